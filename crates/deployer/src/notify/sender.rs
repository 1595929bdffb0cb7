//! Sends what is in the outbox, until GitHub has it.
//!
//! It is in nobody's way: no deploy waits for it, and no failure here changes anything but a row's next attempt. What fares badly
//! for GitHub's sake (it is away, or fails) makes all rows wait, since they would fare no better; what fares badly for its own
//! sake, or because GitHub has had enough of the credential that it needs, makes only itself wait, so that it is in no
//! other's way.

use crate::base::clock;
use crate::base::names::{CommitId, RepositoryName};
use crate::github::deployments::About;
use crate::github::error::{ApiError, ErrorKind};
use crate::github::{GitHub, Subject};
use crate::run_log::rendering::plain;
use crate::store::{NewReportedDeployment, PendingTelling, Store, StoreError, TellingKind};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Rows looked at in one go.
const BATCH: u32 = 20;

/// How often the outbox is looked at while nothing wakes us.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Before the second attempt; doubled for each further one.
const FIRST_RETRY: Duration = Duration::from_secs(2);

/// Between two attempts of one row, at most.
const RETRY_MAX: Duration = Duration::from_secs(600);

/// Between two questions whether GitHub is back, at most: short, as everything waits for the answer.
const AWAY_RETRY_MAX: Duration = Duration::from_secs(60);

/// What cannot be delivered for this long never will be: GitHub has forgotten us.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3 * 24 * 3600);

/// GitHub's API learns of a pushed commit within seconds. One that it does not know after this long was never pushed there.
const GIVE_UP_UNKNOWN_COMMIT_AFTER: Duration = Duration::from_secs(3600);

pub struct Sender {
    store: Store,
    github: GitHub,
    /// How often nothing could be told, one time after the other.
    away: u32,
    /// Nothing is sent before.
    paused_until: Option<Instant>,
}

/// Why a row was not sent.
enum Unsent {
    GitHub(ApiError),
    Store(StoreError),
}

impl From<ApiError> for Unsent {
    fn from(error: ApiError) -> Self {
        Self::GitHub(error)
    }
}

impl From<StoreError> for Unsent {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Sender {
    /// For the outbox of this record.
    pub fn new(store: Store, github: GitHub) -> Self {
        Self { store, github, away: 0, paused_until: None }
    }

    /// Sends what is due until told to stop, then once more what is due at that moment.
    pub async fn serve(mut self, told: Arc<Notify>, stop: CancellationToken) {
        loop {
            let stopping = stop.is_cancelled();
            if self.paused_until.is_none_or(|end| end <= Instant::now())
                && let Err(error) = self.send_due().await
            {
                // What was told could not be marked as told: notification it again and again would use GitHub's patience up.
                self.pause(None);
                tracing::debug!(%error, "the outbox cannot be used now");
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

    /// Nothing is sent for so long as GitHub says, or else for longer each time.
    fn pause(&mut self, after: Option<Duration>) -> Duration {
        let delay = after.unwrap_or_else(|| (FIRST_RETRY * 2u32.pow(self.away.min(16))).min(AWAY_RETRY_MAX));
        self.away = self.away.saturating_add(1);
        self.paused_until = Some(Instant::now() + delay);
        delay
    }

    async fn send_due(&mut self) -> Result<(), StoreError> {
        for row in self.store.due_outbox(clock::now_ms(), BATCH).await? {
            if !self.store.is_our_telling(&row)? {
                let reason = "somebody else has put this into the database, or put it back: it is not sent";
                tracing::error!(repository = plain(&row.repository), id = row.id, reason);
                self.store.outbox_refused(&row, reason, clock::now_ms()).await?;
                continue;
            }
            match self.send(&row).await {
                Ok(()) => self.away = 0,
                Err(Unsent::Store(error)) => return Err(error),
                Err(Unsent::GitHub(error)) if error.kind.is_everybodys() => {
                    return self.github_is_away(&row, &error).await;
                }
                Err(Unsent::GitHub(error)) => {
                    self.away = 0;
                    self.not_sent(&row, &error).await?;
                }
            }
        }
        Ok(())
    }

    async fn send(&self, row: &PendingTelling) -> Result<(), Unsent> {
        let names = RepositoryName::parse(&row.repository).ok().zip(CommitId::parse(&row.commit_id).ok());
        let (repository, commit) = names.ok_or_else(|| refusal("the database has names that are none"))?;
        let subject = Subject { deployment: Some(&row.deployment), repository: &repository };
        match row.kind {
            TellingKind::Status => {
                self.github.create_status(subject, &commit, &row.body).await?;
                Ok(self.store.outbox_sent(row, clock::now_ms()).await?)
            }
            TellingKind::Deployment => self.send_deployment(row, subject, &commit).await,
        }
    }

    async fn send_deployment(
        &self,
        row: &PendingTelling,
        subject: Subject<'_>,
        commit: &CommitId,
    ) -> Result<(), Unsent> {
        let run = row.context.as_str();
        let body: Value = serde_json::from_str(&row.body)
            .map_err(|_| refusal("the database has a body that is not JSON"))?;
        let id = match self.store.told_deployment(run).await? {
            Some(known) => known.github_id,
            None => {
                let environment = body["environment"].as_str().unwrap_or_default();
                let id = self.github.ensure_deployment(About { subject, commit, environment, run }).await?;
                let made = NewReportedDeployment {
                    run_id: run,
                    deployment: &row.deployment,
                    repository: &row.repository,
                    commit_id: &row.commit_id,
                    github_id: id,
                    told_at_ms: clock::now_ms(),
                };
                self.store.create_told_deployment(&made).await?;
                id
            }
        };
        self.github.create_deployment_status(subject, id, &body).await?;
        let state = body["state"].as_str().unwrap_or_default();
        Ok(self.store.deployment_told(row, run, state, clock::now_ms()).await?)
    }

    /// Everything waits; the row that found out says why.
    async fn github_is_away(&mut self, row: &PendingTelling, error: &ApiError) -> Result<(), StoreError> {
        let delay = self.pause(error.after);
        tracing::info!(
            reason = error.reason,
            delay_ms = delay.as_millis(),
            "GitHub cannot be reached now: reports wait"
        );
        if age(row) > GIVE_UP_AFTER {
            return self.give_up(row, &error.reason).await;
        }
        self.store.outbox_failed(row, &error.reason, after(delay)).await
    }

    /// The row waits, or is given up.
    async fn not_sent(&self, row: &PendingTelling, error: &ApiError) -> Result<(), StoreError> {
        if error.kind == ErrorKind::Refused {
            tracing::warn!(
                repository = row.repository,
                commit = row.commit_id,
                reason = error.reason,
                "GitHub refuses a report"
            );
            return self.store.outbox_refused(row, &error.reason, clock::now_ms()).await;
        }
        let limit = match error.kind {
            ErrorKind::UnknownCommit => GIVE_UP_UNKNOWN_COMMIT_AFTER,
            _ => GIVE_UP_AFTER,
        };
        if age(row) > limit {
            return self.give_up(row, &error.reason).await;
        }
        let delay =
            error.after.unwrap_or_else(|| (FIRST_RETRY * 2u32.pow(row.attempts.min(16))).min(RETRY_MAX));
        tracing::info!(
            repository = row.repository,
            commit = row.commit_id,
            reason = error.reason,
            delay_ms = delay.as_millis(),
            "not reported yet"
        );
        self.store.outbox_failed(row, &error.reason, after(delay)).await
    }

    async fn give_up(&self, row: &PendingTelling, reason: &str) -> Result<(), StoreError> {
        let reason = format!("given up after {} hours: {reason}", age(row).as_secs() / 3600);
        tracing::warn!(repository = row.repository, commit = row.commit_id, reason, "not reported to GitHub");
        self.store.outbox_refused(row, &reason, clock::now_ms()).await
    }
}

fn refusal(reason: &str) -> ApiError {
    ApiError { kind: ErrorKind::Refused, reason: reason.to_owned(), after: None }
}

/// For how long a row has waited.
fn age(row: &PendingTelling) -> Duration {
    Duration::from_millis(u64::try_from(clock::now_ms() - row.created_at_ms).unwrap_or(0))
}

/// In Unix milliseconds.
fn after(delay: Duration) -> i64 {
    clock::now_ms().saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX / 2))
}
