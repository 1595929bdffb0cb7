//! What the store promises, told as one story to a SQLite file and to a real PostgreSQL server; and what it
//! does when the database is gone, full, damaged, or used by two at once.

mod concurrency;
mod forged;
mod gates;
mod login;
mod migrating;
mod outages;
#[path = "../../tests/it/support/postgres.rs"]
mod postgres;
mod story;

use super::*;
use postgres::Postgres;
use std::sync::LazyLock;

/// A store on a new SQLite file, migrated.
async fn sqlite_store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&sqlite_url(directory.path())).unwrap();
    store.migrate(0).await.unwrap();
    (directory, store)
}

/// A store as the deployer of this test's process opens it, whose key all of its tests share.
fn open(url: &str) -> Result<Store, StoreError> {
    static STATE: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    Store::open(url, Authenticator::new(STATE.path()))
}

fn sqlite_url(directory: &std::path::Path) -> String {
    format!("sqlite:{}", directory.join("state/record.sqlite").display())
}

fn a_delivery<'a>(id: &'a str, entry: &'a str) -> NewDelivery<'a> {
    NewDelivery {
        id,
        entry,
        event: "push",
        source: "github",
        remote_address: "140.82.112.1",
        received_at_ms: 1_000,
        payload_sha256: "aa",
        repository: Some("ducompsoc/durhack"),
        git_ref: Some("refs/heads/main"),
        commit_id: Some("c1"),
        sender: Some("nul\0in a name"),
    }
}

fn a_verdict(delivery: &str, deployment: &str, code: VerdictCode) -> Verdict {
    Verdict {
        delivery_id: delivery.to_owned(),
        deployment: deployment.to_owned(),
        code,
        sentence: format!("It is {code}."),
        run_id: None,
        decided_at_ms: 1_000,
    }
}

fn a_run<'a>(id: &'a str, deployment: &'a str, entry: &'a str) -> NewRun<'a> {
    NewRun {
        id,
        deployment,
        repository: "ducompsoc/durhack",
        branch: "main",
        commit_id: None,
        previous_commit: None,
        trigger: RunTrigger::Delivery,
        requested_by: "octocat",
        entry,
        delivery_id: None,
        created_at_ms: 2_000,
        pid: 42,
        boot_id: "boot",
    }
}

fn a_status<'a>(context: &'a str, body: &'a str, created_at_ms: i64) -> NewNotification<'a> {
    NewNotification {
        kind: TellingKind::Status,
        repository: "ducompsoc/durhack",
        commit_id: "c1",
        context,
        deployment: "api",
        run_id: None,
        body,
        created_at_ms,
    }
}
