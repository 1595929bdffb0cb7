//! What a gate holds back: said by the state of a run and by the verdicts of its deliveries, so that there is nothing to keep
//! beside them.

use super::pools::reading;
use super::runs::CANDIDATES_MAX;
use super::{Run, RunState, Store, StoreError, VerdictCode};
use std::collections::HashMap;

/// Deliveries of one commit that wait are a push, reconcile and the events of its checks, of which most bring no news: more than
/// this are not looked at in one transaction.
const WAITING_MAX: i64 = 1000;

/// A delivery whose commit waits for a gate.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct WaitingDelivery {
    pub delivery_id: String,
    /// What waits, by the run that said so.
    pub commit_id: String,
}

impl Store {
    /// What was last tried of the branch, if that was blocked by a gate and nothing that an operator asked for has been put in
    /// its place since.
    pub async fn held_run(&self, deployment: &str) -> Result<Option<Run>, StoreError> {
        let Some(run) = self.last_tried(deployment).await? else { return Ok(None) };
        let is_held = match run.state {
            RunState::Waiting => true,
            RunState::Failed => self.was_refused(&run.id).await?,
            _ => false,
        };
        if !is_held {
            return Ok(None);
        }
        let later: Vec<Run> = reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(runs),
                " FROM runs WHERE deployment = $1 AND id > $2 AND plan IS NOT NULL
                     AND trigger_kind IN ('operator', 'rollback')
                     AND NOT EXISTS (SELECT 1 FROM deliveries
                         WHERE deliveries.id = runs.delivery_id AND deliveries.event = 'adopt'
                             AND deliveries.source <> 'github')
                 ORDER BY id DESC LIMIT $3"
            ))
            .bind(deployment)
            .bind(&run.id)
            .bind(CANDIDATES_MAX)
            .fetch_all(pool)
            .await?
        })?;
        let is_replaced = self.first_of_ours(later)?.is_some();
        Ok(Some(run).filter(|_| !is_replaced))
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

    /// The deliveries of a deployment that wait for a gate, the oldest run first: those whose run, as we wrote it, ended with its commit
    /// blocked, and no later run of that commit came to anything. Verdicts only say which deliveries those are.
    pub async fn waiting_deliveries(&self, deployment: &str) -> Result<Vec<WaitingDelivery>, StoreError> {
        let waiting: Vec<(String, String)> = reading!(self, |pool| {
            sqlx::query_as(
                "SELECT verdicts.delivery_id, verdicts.run_id FROM verdicts JOIN runs ON runs.id = verdicts.run_id
                 WHERE verdicts.deployment = $1 AND runs.deployment = $1 AND verdicts.code = 'waiting'
                     AND runs.state = 'waiting' AND runs.commit_id IS NOT NULL
                 ORDER BY runs.id, verdicts.delivery_id LIMIT $2",
            )
            .bind(deployment)
            .bind(WAITING_MAX)
            .fetch_all(pool)
            .await?
        })?;
        // Many deliveries have one run.
        let mut commits = HashMap::<String, Option<String>>::new();
        let mut found = Vec::new();
        for (delivery_id, run_id) in waiting {
            if !commits.contains_key(&run_id) {
                let commit = self.waiting_commit(deployment, &run_id).await?;
                commits.insert(run_id.clone(), commit);
            }
            if let Some(Some(commit_id)) = commits.get(&run_id) {
                found.push(WaitingDelivery { delivery_id, commit_id: commit_id.clone() });
            }
        }
        Ok(found)
    }

    /// The commit that a run left waiting, where nothing has come of it since.
    async fn waiting_commit(&self, deployment: &str, run_id: &str) -> Result<Option<String>, StoreError> {
        let Some(run) = self.run(run_id).await? else { return Ok(None) };
        let is_waiting = run.state == RunState::Waiting && run.deployment == deployment;
        let Some(commit) = run.commit_id.clone().filter(|_| is_waiting) else { return Ok(None) };
        if !self.is_our_run(&run)? {
            tracing::warn!(
                run = run.id,
                "somebody else has put a run into the database, or changed it: nothing waits because of it"
            );
            return Ok(None);
        }
        let outcome = self.last_outcome(deployment, &commit).await?;
        Ok(Some(commit).filter(|_| outcome.is_none_or(|outcome| outcome.id < run.id)))
    }
}
