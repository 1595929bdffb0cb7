//! What `status` shows: one row per deployment that the record knows, by one query.

use super::pools::reading;
use super::{RunState, RunTrigger, Store, StoreError};
use serde::Serialize;

/// A deployment at a glance. All times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct DeploymentOverview {
    /// The deployment's slug.
    pub deployment: String,
    /// The live release.
    pub live_release: Option<String>,
    /// Of what it was made.
    pub live_commit: Option<String>,
    /// Since when it is live.
    pub live_at_ms: Option<i64>,
    /// The newest run.
    pub run_id: Option<String>,
    /// How far it is.
    pub run_state: Option<RunState>,
    /// What led to it.
    pub run_trigger: Option<RunTrigger>,
    /// What it deploys.
    pub run_commit: Option<String>,
    /// Why it failed.
    pub run_cause: Option<String>,
    /// When it was wanted.
    pub run_created_at_ms: Option<i64>,
    /// When it started.
    pub run_started_at_ms: Option<i64>,
    /// When it ended.
    pub run_ended_at_ms: Option<i64>,
}

impl Store {
    /// Every deployment with a run or a release, by name, with its live release and its newest run.
    pub async fn overview(&self) -> Result<Vec<DeploymentOverview>, StoreError> {
        reading!(self, |pool| {
            sqlx::query_as(
                "SELECT known.deployment AS deployment,
                     releases.name AS live_release, releases.commit_id AS live_commit, releases.live_at_ms AS live_at_ms,
                     runs.id AS run_id, runs.state AS run_state, runs.trigger_kind AS run_trigger,
                     runs.commit_id AS run_commit, runs.cause AS run_cause,
                     runs.created_at_ms AS run_created_at_ms, runs.started_at_ms AS run_started_at_ms,
                     runs.ended_at_ms AS run_ended_at_ms
                 FROM (SELECT deployment FROM runs UNION SELECT deployment FROM releases) AS known
                 LEFT JOIN releases ON releases.deployment = known.deployment AND releases.state = 'live'
                 LEFT JOIN runs ON runs.id = (SELECT newest.id FROM runs AS newest
                     WHERE newest.deployment = known.deployment
                     ORDER BY newest.id DESC LIMIT 1)
                 ORDER BY known.deployment",
            )
            .fetch_all(pool)
            .await?
        })
    }
}
