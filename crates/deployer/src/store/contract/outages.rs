//! A database that is gone, full, read-only or damaged: the error says which, and the same store goes on when it is back.

use super::super::pools::within;
use super::*;
use std::path::Path;
use std::time::Duration;

#[tokio::test]
async fn postgresql_stops_and_comes_back() {
    let Some(server) = Postgres::start() else { return };
    let url = server.create_database("outage");
    server.stop();
    let store = open(&url).unwrap();
    assert_unavailable(store.migrate(0).await);
    server.start_again();
    store.migrate(0).await.unwrap();
    store.set_meta("seen", "1").await.unwrap();

    // With connections that are idle by then.
    server.stop();
    assert_unavailable(store.meta("seen").await);
    assert_unavailable(store.set_meta("seen", "2").await);
    assert_unavailable(store.record_delivery(&a_delivery("d1", "1"), &[]).await);
    server.start_again();
    assert_eq!(store.meta("seen").await.unwrap().as_deref(), Some("1"));
    assert_eq!(store.record_delivery(&a_delivery("d1", "1"), &[]).await.unwrap(), Recorded::New);

    // A missing database: an operator can mend that while we run.
    assert_unavailable(open(&server.url("nothing")).unwrap().meta("seen").await);
}

#[tokio::test]
async fn a_transaction_that_breaks_off_leaves_nothing() {
    let Some(server) = Postgres::start() else { return };
    let store = open(&server.create_database("broken")).unwrap();
    store.migrate(0).await.unwrap();
    let Pools::Postgres(pool) = &store.pools else { unreachable!("it is PostgreSQL") };
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query("INSERT INTO meta VALUES ('half', '')").execute(&mut *transaction).await.unwrap();
    server.stop();
    assert_unavailable(transaction.commit().await.map_err(StoreError::from));
    server.start_again();
    assert_eq!(store.meta("half").await.unwrap(), None);
}

/// Calls that were given up while the server did not answer must not use up the connections.
#[tokio::test]
async fn a_server_that_does_not_answer_costs_no_connections() {
    let Some(server) = Postgres::start() else { return };
    let store = open(&server.create_database("mute")).unwrap();
    store.migrate(0).await.unwrap();
    let other = open(&server.url("mute")).unwrap();
    let Pools::Postgres(pool) = &other.pools else { unreachable!("it is PostgreSQL") };
    let mut holder = pool.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE meta IN ACCESS EXCLUSIVE MODE").execute(&mut *holder).await.unwrap();
    for _ in 0..20 {
        let moment = std::time::Duration::from_millis(50);
        assert_unavailable(within(moment, store.set_meta("given", "up")).await);
    }
    let answered = async {
        while let Err(error) = store.last_run("api").await {
            assert!(error.may_be_retried(), "{error:?}");
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), answered)
        .await
        .expect("a connection is free again");
    holder.rollback().await.unwrap();
}

#[tokio::test]
async fn a_word_that_we_cannot_read_is_a_defect() {
    let (_directory, store) = sqlite_store().await;
    store.create_run(&a_run("r", "api", "1")).await.unwrap();
    let Pools::Sqlite { writer, .. } = &store.pools else { unreachable!("it is SQLite") };
    sqlx::raw_sql("UPDATE runs SET state = 'nonsense'").execute(writer).await.unwrap();
    let error = store.run("r").await.unwrap_err();
    assert!(matches!(error, StoreError::Defect(_)), "{error:?}");
    assert!(!error.may_be_retried());
}

#[tokio::test]
async fn a_full_disk_is_waited_out() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = open(&sqlite_url(disk.path())).unwrap();
    store.migrate(0).await.unwrap();
    let filling = disk.fill();
    // Long enough not to fit into what is left of an allocated page.
    let long = "x".repeat(100_000);
    for _ in 0..3 {
        assert_unavailable(store.set_meta("long", &long).await);
        let verdict = Verdict { sentence: long.clone(), ..a_verdict("d1", "api", VerdictCode::Queued) };
        assert_unavailable(store.record_delivery(&a_delivery("d1", "1"), &[verdict]).await);
    }
    std::fs::remove_file(filling).unwrap();
    assert_eq!(store.record_delivery(&a_delivery("d1", "1"), &[]).await.unwrap(), Recorded::New);
    store.set_meta("long", &long).await.unwrap();
    assert_eq!(store.meta("long").await.unwrap(), Some(long));
}

#[tokio::test]
async fn a_read_only_disk_is_waited_out() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = open(&sqlite_url(disk.path())).unwrap();
    disk.remount("ro");
    assert_unavailable(store.migrate(0).await);
    disk.remount("rw");
    store.migrate(0).await.unwrap();
    store.set_meta("seen", "1").await.unwrap();
    store.close().await;

    disk.remount("ro");
    let store = open(&sqlite_url(disk.path())).unwrap();
    assert_unavailable(store.set_meta("seen", "2").await);
    disk.remount("rw");
    assert_eq!(store.meta("seen").await.unwrap().as_deref(), Some("1"));
    store.set_meta("seen", "2").await.unwrap();
}

#[tokio::test]
async fn a_missing_file_is_not_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&sqlite_url(directory.path())).unwrap();
    assert_unavailable(store.meta("seen").await);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_damaged_file_is_told_from_an_absent_one() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("state")).unwrap();
    std::fs::write(
        directory.path().join("state/record.sqlite"),
        "not a database, but long enough ".repeat(200),
    )
    .unwrap();
    let store = open(&sqlite_url(directory.path())).unwrap();
    let error = store.meta("seen").await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    assert!(!error.may_be_retried());
}

#[test]
fn what_names_no_database() {
    for url in [
        "",
        "record.sqlite",
        "mysql://x/y",
        "sqlite::memory:",
        "sqlite://x?mode=memory",
        "postgres://x:notaport/y",
    ] {
        let error = open(url).unwrap_err();
        assert!(matches!(error, StoreError::InvalidUrl(_)), "{url}: {error:?}");
    }
    let secret = open("postgres://user:hunter2@host:notaport/x").unwrap_err();
    assert!(!format!("{secret:?} {secret}").contains("hunter2"), "{secret:?}");
}

fn assert_unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    match result {
        Err(error @ StoreError::Unavailable(_)) => assert!(error.may_be_retried()),
        other => panic!("not unavailable: {other:?}"),
    }
}

/// A file system of one mebibyte. Mounting needs root; without, these tests are skipped, except in CI.
struct SmallDisk {
    directory: tempfile::TempDir,
}

#[expect(clippy::disallowed_methods, reason = "tests mount file systems and ask whether they run in CI")]
impl SmallDisk {
    fn mount() -> Option<Self> {
        let disk = Self { directory: tempfile::tempdir().unwrap() };
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(disk.path());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(disk);
        }
        assert!(std::env::var("CI").as_deref() != Ok("true"), "this test must be able to mount a tmpfs");
        eprintln!("SKIPPED: no tmpfs can be mounted here");
        None
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Fills it to the last byte.
    fn fill(&self) -> std::path::PathBuf {
        use std::io::Write as _;
        let path = self.path().join("filling");
        let mut file = std::fs::File::create(&path).unwrap();
        while file.write(&[0; 4096]).is_ok() {}
        path
    }

    fn remount(&self, mode: &str) {
        let mut mount = std::process::Command::new("mount");
        mount.arg("-o").arg(format!("remount,{mode}")).arg(self.path());
        assert!(mount.status().unwrap().success());
    }
}

#[expect(clippy::disallowed_methods, reason = "as above")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, since SQLite's threads may still be closing their files; does nothing where it was not mounted.
        let _ = std::process::Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

#[tokio::test]
async fn connections_that_are_stuck_are_told_from_a_database_that_is_away() {
    const LIMIT: Duration = Duration::from_secs(1);
    let (directory, store) = sqlite_store().await;
    assert!(!store.is_stuck(LIMIT).await);
    let Pools::Sqlite { reader, .. } = &store.pools else { unreachable!("it is SQLite") };
    let mut held = Vec::new();
    while let Ok(connection) = tokio::time::timeout(LIMIT, reader.acquire()).await {
        held.push(connection.unwrap());
    }
    assert!(store.is_stuck(LIMIT).await);
    fs_err::rename(directory.path().join("state"), directory.path().join("away")).unwrap();
    assert!(!store.is_stuck(LIMIT).await, "the database is away");
    fs_err::rename(directory.path().join("away"), directory.path().join("state")).unwrap();
    drop(held);
    assert!(!store.is_stuck(LIMIT).await);
}
