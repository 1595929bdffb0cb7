//! What GitHub is told: commit statuses, and deployments where `github.deployments` says so. The [`sender`] tells it.
//!
//! A notification is a row of the outbox, written in the transaction of what it tells of. Nobody waits for its being sent. Per
//! commit and context (per run, for deployments) only the newest row is worth sending; the store sees to that.
//!
//! A deployment at GitHub stands for a run that got as far as a plan, or to a gate: what was superseded or had nothing to do has
//! none. Which of them is active, or still queued, follows from the order of the runs, so no row says so ([`super::store::Store::deployment_told`]).

pub mod sender;

use super::store::{NewNotification, StoreError, TellingKind};
use crate::base::clock;
use crate::base::names::CommitId;
use crate::config::Config;
use crate::config::Deployment;
use crate::github::credentials::Credentials;
use crate::store::Store;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Notify;

/// GitHub's limit, in characters.
const DESCRIPTION_CHARS_MAX: usize = 140;

/// GitHub's commit status states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Pending,
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

/// GitHub's deployment states, as far as a run has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentState {
    /// It waits for a gate.
    Queued,
    InProgress,
    Success,
    /// What was pushed is at fault.
    Failure,
    /// The deployer, or somebody's decision, is.
    Error,
}

impl DeploymentState {
    /// As GitHub writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
        }
    }
}

/// Something to be told.
#[derive(Debug)]
pub struct Notification {
    kind: TellingKind,
    repository: String,
    commit: String,
    context: String,
    deployment: String,
    run: Option<String>,
    body: String,
    created_at_ms: i64,
}

impl Notification {
    /// As the outbox takes it.
    pub fn row(&self) -> NewNotification<'_> {
        NewNotification {
            kind: self.kind,
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

/// Writes notifications into the outbox, in the transactions of what they report.
#[derive(Clone)]
pub struct Notifier {
    /// Which repositories are told of, and what our pages are called.
    pub config: Arc<Config>,
    /// Where the outbox is.
    pub store: Store,
    /// Without one for a deployment, nothing is reported to GitHub of it.
    pub credentials: Credentials,
    /// Wakes the [`sender`]. Only a hint.
    pub wake: Arc<Notify>,
}

impl Notifier {
    /// Puts a status into the outbox.
    pub async fn tell(
        &self,
        deployment: &Deployment,
        commit: &CommitId,
        status: Status,
        description: &str,
        run: Option<&str>,
    ) -> Result<(), StoreError> {
        let told = self.notification(deployment, commit, status, description, run);
        self.enqueue(told.as_ref()).await
    }

    /// Puts the state of a run's deployment into the outbox.
    pub async fn tell_deployment(
        &self,
        deployment: &Deployment,
        commit: &CommitId,
        state: DeploymentState,
        description: &str,
        run: &str,
    ) -> Result<(), StoreError> {
        let told = self.deployment_telling(deployment, commit, state, description, run);
        self.enqueue(told.as_ref()).await
    }

    /// Puts what there is to tell into the outbox.
    pub async fn enqueue(&self, notification: Option<&Notification>) -> Result<(), StoreError> {
        let Some(notification) = notification else { return Ok(()) };
        self.store.enqueue_telling(&notification.row()).await?;
        self.wake.notify_one();
        Ok(())
    }

    /// A status for the outbox; `None` where nothing is to be told, since there is no credential.
    pub fn notification(
        &self,
        deployment: &Deployment,
        commit: &CommitId,
        status: Status,
        description: &str,
        run: Option<&str>,
    ) -> Option<Notification> {
        if !self.credentials.has(deployment.slug.as_str()) {
            return None;
        }
        let target_url = run.map_or_else(|| self.config.origin.clone(), |run| self.config.run_url(run));
        let context = context(self.config.instance.as_deref(), deployment);
        let body = json!({
            "state": status.as_str(),
            "context": context,
            "description": shortened(description),
            "target_url": target_url,
        });
        Some(Notification {
            kind: TellingKind::Status,
            repository: deployment.repository.to_string(),
            commit: commit.to_string(),
            context,
            deployment: deployment.slug.to_string(),
            run: run.map(str::to_owned),
            body: body.to_string(),
            created_at_ms: clock::now_ms(),
        })
    }

    /// The state of a run's deployment, for the outbox; `None` where GitHub is not told of deployments.
    pub fn deployment_telling(
        &self,
        deployment: &Deployment,
        commit: &CommitId,
        state: DeploymentState,
        description: &str,
        run: &str,
    ) -> Option<Notification> {
        if !self.config.github.deployments || !self.credentials.has(deployment.slug.as_str()) {
            return None;
        }
        let mut body = json!({
            "state": state.as_str(),
            "environment": deployment.environment_name,
            "description": shortened(description),
            "log_url": self.config.run_url(run),
            // GitHub's own rule knows neither production environments nor which run is the newer one.
            "auto_inactive": false,
        });
        if let Some(url) = &deployment.url {
            body["environment_url"] = json!(url);
        }
        Some(Notification {
            kind: TellingKind::Deployment,
            repository: deployment.repository.to_string(),
            commit: commit.to_string(),
            context: run.to_owned(),
            deployment: deployment.slug.to_string(),
            run: Some(run.to_owned()),
            body: body.to_string(),
            created_at_ms: clock::now_ms(),
        })
    }
}

/// Two deployments of one commit, and two instances, do not overwrite each other's.
fn context(instance: Option<&str>, deployment: &Deployment) -> String {
    match instance {
        Some(instance) => format!("continuous-integration/{instance}/{}", deployment.slug),
        None => format!("continuous-integration/durhack-deployer/{}", deployment.slug),
    }
}

/// One line of at most [`DESCRIPTION_CHARS_MAX`] characters: as much as GitHub shows of it.
pub fn shortened(description: &str) -> String {
    let line = description.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= DESCRIPTION_CHARS_MAX {
        return line;
    }
    let mut cut: String = line.chars().take(DESCRIPTION_CHARS_MAX - 1).collect();
    cut.push('…');
    cut
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
