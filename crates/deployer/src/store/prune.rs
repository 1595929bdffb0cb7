//! Forgetting: what is older than the operator wants to keep, and that nothing kept refers to.

use super::pools::transaction;
use super::seen::{SEEN_KEPT_MS, SEEN_MAX};
use super::{Store, StoreError};
use serde::Serialize;

/// How much was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Runs, each with its steps.
    pub runs: u64,
    /// Deliveries, each with its verdicts.
    pub deliveries: u64,
    /// Releases that were removed from the disk before.
    pub releases: u64,
    /// What GitHub has, refused, or need not have.
    pub notifications: u64,
}

/// Kept however old: unfinished runs, those whose release serves or could serve again, each deployment's newest (which `status`
/// shows), and the newest of those that followed its branch (which tells reconcile that a failing head was tried).
const OLD_RUNS: &str = "DELETE FROM runs WHERE ended_at_ms < $1
    AND NOT EXISTS (SELECT 1 FROM releases WHERE releases.deployment = runs.deployment
        AND (releases.run_id = runs.id OR releases.name = runs.release)
        AND releases.state IN ('building', 'live', 'good'))
    AND EXISTS (SELECT 1 FROM runs AS newer WHERE newer.deployment = runs.deployment
        AND (newer.trigger_kind IN ('delivery', 'reconcile') OR runs.trigger_kind NOT IN ('delivery', 'reconcile'))
        AND newer.id > runs.id)";

/// Kept however old: deliveries that are not dispatched, that still wait, or that a kept run carried out.
const OLD_DELIVERIES: &str =
    "DELETE FROM deliveries WHERE received_at_ms < $1 AND dispatched_at_ms IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.delivery_id = deliveries.id)
    AND NOT EXISTS (SELECT 1 FROM verdicts WHERE verdicts.delivery_id = deliveries.id
        AND (verdicts.code = 'queued' OR verdicts.decided_at_ms >= $1
            OR EXISTS (SELECT 1 FROM runs WHERE runs.id = verdicts.run_id)))";

const VERDICTS_WITHOUT_DELIVERY: &str = "DELETE FROM verdicts WHERE decided_at_ms < $1
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.id = verdicts.delivery_id)";

const GUIDS_WITHOUT_DELIVERY: &str = "DELETE FROM deliveries_of_guids
    WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.id = deliveries_of_guids.delivery_id)";

const OLD_BODIES: &str = "DELETE FROM seen_bodies WHERE seen_at_ms < $1";

/// Of each repository, all but the newest: none makes another's be forgotten.
const TOO_MANY_BODIES: &str = "DELETE FROM seen_bodies WHERE payload_sha256 IN (SELECT payload_sha256 FROM
    (SELECT payload_sha256, ROW_NUMBER() OVER
        (PARTITION BY repository ORDER BY seen_at_ms DESC, payload_sha256) AS place FROM seen_bodies) AS placed
    WHERE place > $1)";

const REMOVED_RELEASES: &str = "DELETE FROM releases WHERE state = 'removed' AND created_at_ms < $1";

/// Kept however old: what GitHub takes to be live now.
const TOLD_DEPLOYMENTS: &str = "DELETE FROM told_deployments WHERE told_at_ms < $1 AND state <> 'success'";

const SETTLED_TELLINGS: &str = "DELETE FROM outbox WHERE created_at_ms < $1
    AND (done_at_ms IS NOT NULL OR refused_at_ms IS NOT NULL OR superseded_at_ms IS NOT NULL)";

impl Store {
    /// Forgets what is older than `before_ms` (Unix milliseconds) and that nothing kept refers to. Bodies that were seen are kept for
    /// much longer.
    pub async fn prune(&self, before_ms: i64) -> Result<Pruned, StoreError> {
        transaction!(self, |transaction| {
            let mut deleted = [0; 6];
            // Runs before the deliveries that they refer to.
            let statements = [
                OLD_RUNS,
                OLD_DELIVERIES,
                VERDICTS_WITHOUT_DELIVERY,
                REMOVED_RELEASES,
                SETTLED_TELLINGS,
                TOLD_DEPLOYMENTS,
            ];
            for (statement, count) in statements.into_iter().zip(&mut deleted) {
                *count =
                    sqlx::query(statement).bind(before_ms).execute(&mut *transaction).await?.rows_affected();
            }
            sqlx::query(GUIDS_WITHOUT_DELIVERY).execute(&mut *transaction).await?;
            sqlx::query(OLD_BODIES)
                .bind(before_ms.saturating_sub(SEEN_KEPT_MS))
                .execute(&mut *transaction)
                .await?;
            sqlx::query(TOO_MANY_BODIES).bind(SEEN_MAX).execute(&mut *transaction).await?;
            let [runs, deliveries, _, releases, notifications, _] = deleted;
            Pruned { runs, deliveries, releases, notifications }
        })
    }
}
