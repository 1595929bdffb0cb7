//! Telling GitHub: commit statuses, out of the outbox, until GitHub has them.
//!
//! A status is a row, written in the transaction of what it tells of; this sends the rows. It is in nobody's way: no deploy
//! waits for it, and no failure here changes anything but the row's next attempt. Per commit and context only the newest
//! row is worth sending; the store sees to that.

use super::store::{NewStatus, PendingStatus, Store, StoreError};
use crate::clock;
use crate::config::Deployment;
use crate::deploy::Host;
use crate::github::{GitHub, StatusError};
use crate::names::CommitId;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// GitHub's limit, in characters.
const DESCRIPTION_CHARS_MAX: usize = 140;

/// Rows looked at in one go.
const BATCH: u32 = 20;

/// How often the outbox is looked at while nothing wakes us.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Before the second attempt; doubled for each further one.
const FIRST_RETRY: Duration = Duration::from_secs(2);

/// Between two attempts, at most.
const RETRY_MAX: Duration = Duration::from_secs(600);

/// A status that cannot be delivered for this long never will be: the commit is unknown, or GitHub has forgotten us.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3 * 24 * 3600);

/// GitHub's commit status states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Under way.
    Pending,
    /// Live.
    Success,
    /// What was pushed is at fault.
    Failure,
    /// The deployer, or somebody's decision, is.
    Error,
}

impl Status {
    /// As GitHub writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
        }
    }
}

/// A status to be told.
#[derive(Debug)]
pub struct Telling {
    repository: String,
    commit: String,
    context: String,
    deployment: String,
    run: Option<String>,
    body: String,
    created_at_ms: i64,
}

impl Telling {
    /// As the outbox takes it.
    pub fn row(&self) -> NewStatus<'_> {
        NewStatus {
            repository: &self.repository,
            commit_id: &self.commit,
            context: &self.context,
            deployment: &self.deployment,
            run_id: self.run.as_deref(),
            body: &self.body,
            created_at_ms: self.created_at_ms,
        }
    }
}

/// Puts a status into the outbox.
pub async fn tell(
    host: &Host,
    deployment: &Deployment,
    commit: &CommitId,
    status: Status,
    description: &str,
    run: Option<&str>,
) -> Result<(), StoreError> {
    match telling(host, deployment, commit, status, description, run) {
        Some(telling) => {
            host.store.enqueue_status(&telling.row()).await?;
            host.told.notify_one();
            Ok(())
        }
        None => Ok(()),
    }
}

/// A status for the outbox; `None` where nothing is to be told, since there is no credential.
pub fn telling(
    host: &Host,
    deployment: &Deployment,
    commit: &CommitId,
    status: Status,
    description: &str,
    run: Option<&str>,
) -> Option<Telling> {
    if !host.credentials.has(deployment.slug.as_str()) {
        return None;
    }
    let target_url = run.map_or_else(|| host.config.origin.clone(), |run| host.run_url(run));
    let context = context(host.config.instance.as_deref(), deployment);
    let body = json!({
        "state": status.as_str(),
        "context": context,
        "description": shortened(description),
        "target_url": target_url,
    });
    Some(Telling {
        repository: deployment.repository.to_string(),
        commit: commit.to_string(),
        context,
        deployment: deployment.slug.to_string(),
        run: run.map(str::to_owned),
        body: body.to_string(),
        created_at_ms: clock::now_ms(),
    })
}

/// Two deployments of one commit, and two instances, do not overwrite each other's.
fn context(instance: Option<&str>, deployment: &Deployment) -> String {
    match instance {
        Some(instance) => format!("continuous-integration/{instance}/{}", deployment.slug),
        None => format!("continuous-integration/durhack-deployer/{}", deployment.slug),
    }
}

/// One line of at most [`DESCRIPTION_CHARS_MAX`] characters.
fn shortened(description: &str) -> String {
    let line = description.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= DESCRIPTION_CHARS_MAX {
        return line;
    }
    let mut cut: String = line.chars().take(DESCRIPTION_CHARS_MAX - 1).collect();
    cut.push('…');
    cut
}

/// Sends what is due until told to stop, then once more what is due at that moment.
pub async fn serve(store: Store, github: GitHub, told: Arc<Notify>, stop: CancellationToken) {
    loop {
        let stopping = stop.is_cancelled();
        if let Err(error) = send_due(&store, &github).await {
            tracing::debug!(%error, "the outbox cannot be read now");
        }
        if stopping {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = told.notified() => {}
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }
}

async fn send_due(store: &Store, github: &GitHub) -> Result<(), StoreError> {
    for row in store.due_outbox(clock::now_ms(), BATCH).await? {
        match github.create_status(&row.deployment, &row.repository, &row.commit_id, &row.body).await {
            Ok(()) => store.outbox_sent(row.id, clock::now_ms()).await?,
            Err(StatusError::Refused(reason)) => {
                tracing::warn!(
                    repository = row.repository,
                    commit = row.commit_id,
                    reason,
                    "GitHub refuses this status"
                );
                store.outbox_refused(row.id, &reason, clock::now_ms()).await?;
            }
            Err(StatusError::Later { reason, after }) => later(store, &row, &reason, after).await?,
        }
    }
    Ok(())
}

async fn later(
    store: &Store,
    row: &PendingStatus,
    reason: &str,
    after: Option<Duration>,
) -> Result<(), StoreError> {
    let now = clock::now_ms();
    let age = Duration::from_millis(u64::try_from(now - row.created_at_ms).unwrap_or(0));
    if age > GIVE_UP_AFTER {
        return store.outbox_refused(row.id, &format!("given up after {age:?}: {reason}"), now).await;
    }
    let exponent = row.attempts.min(16);
    let delay = after.unwrap_or_else(|| (FIRST_RETRY * 2u32.pow(exponent)).min(RETRY_MAX));
    tracing::info!(
        repository = row.repository,
        commit = row.commit_id,
        reason,
        delay_ms = delay.as_millis(),
        "status not sent yet"
    );
    let next = now + i64::try_from(delay.as_millis()).unwrap_or(i64::MAX / 2);
    store.outbox_failed(row, reason, next).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_fit_in_github_s_limit_by_characters_not_bytes() {
        assert_eq!(shortened("a\n b\tc"), "a b c");
        let long = "é".repeat(200);
        assert_eq!(shortened(&long).chars().count(), 140);
        assert!(shortened(&long).ends_with('…'));
        assert_eq!(shortened(&"é".repeat(140)), "é".repeat(140));
    }
}
