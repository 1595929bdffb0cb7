//! What a gate holds back: said by the state of a run and by the verdicts of its deliveries, so that there is nothing to keep
//! beside them.

use super::pools::reading;
use super::{Run, RunState, Store, StoreError, VerdictCode};

/// Deliveries of one commit that wait are a push, reconcile and the events of its checks, of which most bring no news: more than
/// this are not looked at in one transaction.
const WAITING_MAX: i64 = 1000;

/// A delivery whose commit waits for a gate.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct WaitingDelivery {
    /// The delivery.
    pub delivery_id: String,
    /// What waits, by the run that said so.
    pub commit_id: String,
}

impl Store {
    /// What was last tried of the branch, if that was held back by a gate and nothing that an operator asked for has been put in
    /// its place since.
    pub async fn held_run(&self, deployment: &str) -> Result<Option<Run>, StoreError> {
        let Some(run) = self.last_tried(deployment).await? else { return Ok(None) };
        let is_held = match run.state {
            RunState::Waiting => true,
            RunState::Failed => self.was_refused(&run.id).await?,
            _ => false,
        };
        let replaced: i64 = reading!(self, |pool| {
            sqlx::query_scalar(
                "SELECT COUNT(*) FROM runs WHERE deployment = $1 AND created_at_ms > $2 AND plan IS NOT NULL
                     AND trigger_kind IN ('operator', 'rollback')
                     AND NOT EXISTS (SELECT 1 FROM deliveries
                         WHERE deliveries.id = runs.delivery_id AND deliveries.event = 'adopt'
                             AND deliveries.source <> 'github')",
            )
            .bind(deployment)
            .bind(run.created_at_ms)
            .fetch_one(pool)
            .await?
        })?;
        Ok(Some(run).filter(|_| is_held && replaced == 0))
    }

    /// Whether a release became live, or an operator found that there was nothing to do, since a time.
    pub async fn was_deployed_since(&self, deployment: &str, since_ms: i64) -> Result<bool, StoreError> {
        let asked_for: i64 = reading!(self, |pool| {
            sqlx::query_scalar(
                "SELECT COUNT(*) FROM runs WHERE deployment = $1 AND created_at_ms >= $2
                     AND state IN ('succeeded', 'skipped') AND trigger_kind IN ('operator', 'rollback')",
            )
            .bind(deployment)
            .bind(since_ms)
            .fetch_one(pool)
            .await?
        })?;
        let live = self.live_release(deployment).await?;
        Ok(asked_for > 0 || live.is_some_and(|live| live.created_at_ms >= since_ms))
    }

    /// Whether a gate refused what a run was to deploy.
    pub async fn was_refused(&self, run_id: &str) -> Result<bool, StoreError> {
        self.has_verdict(run_id, VerdictCode::Refused).await
    }

    /// The deliveries of a deployment that wait for a gate, the oldest first.
    pub async fn waiting_deliveries(&self, deployment: &str) -> Result<Vec<WaitingDelivery>, StoreError> {
        reading!(self, |pool| {
            sqlx::query_as(
                "SELECT verdicts.delivery_id AS delivery_id, runs.commit_id AS commit_id
                 FROM verdicts JOIN runs ON runs.id = verdicts.run_id
                 WHERE verdicts.deployment = $1 AND verdicts.code = 'waiting' AND runs.commit_id IS NOT NULL
                 ORDER BY verdicts.decided_at_ms LIMIT $2",
            )
            .bind(deployment)
            .bind(WAITING_MAX)
            .fetch_all(pool)
            .await?
        })
    }
}
