//! Verdicts: what became of a delivery, per deployment, and why.

use super::pools::{reading, writing};
use super::text::words;
use super::{Store, StoreError};
use serde::Serialize;

words! {
    /// What became of a delivery, for machines.
    VerdictCode, "verdict" {
        /// It waits for its deployment.
        Queued = "queued",
        /// A newer push of the same branch was deployed in its place.
        Superseded = "superseded",
        /// Its commit was live already.
        AlreadyLive = "already-live",
        /// Its commit is live because of it.
        Deployed = "deployed",
        /// Its deploy failed.
        Failed = "failed",
        /// Its deploy failed for want of what the deployer's machine did not have: that says nothing of the commit, and is tried again.
        Error = "error",
        /// Its commit may not be deployed: a signature is missing, or a check did not succeed.
        Refused = "refused",
        /// Its commit may not be deployed yet.
        Waiting = "waiting",
        /// It speaks of checks of a commit that no deployment waits for.
        NotWaitedFor = "not-waited-for",
        /// Its deploy was cancelled.
        Cancelled = "cancelled",
        /// Nothing of what it changes concerns the deployment.
        Skipped = "skipped",
        /// No deployment has its repository.
        NotAConfiguredRepository = "not-a-configured-repository",
        /// No deployment of its repository has its branch.
        NotAConfiguredBranch = "not-a-configured-branch",
        /// It deleted the branch.
        BranchDeleted = "branch-deleted",
        /// The deployment is switched off.
        DeploymentDisabled = "deployment-disabled",
        /// Its event is none that is acted on.
        EventNotHandled = "event-not-handled",
        /// It was GitHub's test of the hook.
        Ping = "ping",
        /// It could not be understood.
        Malformed = "malformed",
        /// Another delivery said the same.
        Duplicate = "duplicate",
        /// The deployer that was here before ours had it.
        Imported = "imported",
    }
}

impl VerdictCode {
    /// Whether nothing more is done for the delivery itself.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued)
    }

    /// Whether the same delivery, coming again, is a reason to try again. What an operator has cancelled is not: whoever has captured a
    /// delivery can send it again, byte for byte, as GitHub does.
    pub fn may_be_retried(self) -> bool {
        matches!(self, Self::Failed | Self::Error | Self::Refused | Self::Waiting)
    }
}

/// What became of one delivery for one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Verdict {
    pub delivery_id: String,
    /// The deployment; empty where the delivery concerns none.
    pub deployment: String,
    pub code: VerdictCode,
    /// For people: one sentence.
    pub sentence: String,
    /// The run that it led to.
    pub run_id: Option<String>,
    /// Unix milliseconds.
    pub decided_at_ms: i64,
}

/// Writes one verdict, over an earlier one of the same delivery and deployment.
macro_rules! upsert_verdict {
    ($executor:expr, $verdict:expr) => {{
        let verdict: &$crate::store::Verdict = $verdict;
        sqlx::query(
            "INSERT INTO verdicts (delivery_id, deployment, code, sentence, run_id, decided_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (delivery_id, deployment) DO UPDATE SET code = excluded.code,
                 sentence = excluded.sentence, run_id = excluded.run_id, decided_at_ms = excluded.decided_at_ms",
        )
        .bind(&verdict.delivery_id)
        .bind(&verdict.deployment)
        .bind(verdict.code)
        .bind($crate::store::text::bounded(&verdict.sentence))
        .bind(verdict.run_id.as_deref())
        .bind(verdict.decided_at_ms)
        .execute($executor)
        .await?
    }};
}
pub(super) use upsert_verdict;

impl Store {
    /// Sets the verdict on a delivery for a deployment, in place of an earlier one.
    pub async fn set_verdict(&self, verdict: &Verdict) -> Result<(), StoreError> {
        writing!(self, |pool| {
            upsert_verdict!(pool, verdict);
        })
    }

    /// Whether a run led to such a verdict.
    pub async fn has_verdict(&self, run_id: &str, code: VerdictCode) -> Result<bool, StoreError> {
        let found: i64 = reading!(self, |pool| {
            sqlx::query_scalar("SELECT COUNT(*) FROM verdicts WHERE run_id = $1 AND code = $2")
                .bind(run_id)
                .bind(code)
                .fetch_one(pool)
                .await?
        })?;
        Ok(found > 0)
    }

    /// The verdicts on a delivery, by deployment.
    pub async fn verdicts(&self, delivery_id: &str) -> Result<Vec<Verdict>, StoreError> {
        reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(verdicts),
                " FROM verdicts WHERE delivery_id = $1 ORDER BY deployment"
            ))
            .bind(delivery_id)
            .fetch_all(pool)
            .await?
        })
    }
}
