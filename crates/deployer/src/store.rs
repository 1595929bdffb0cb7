//! The record: deliveries, verdicts, runs, steps, releases and the outbox, in SQLite or PostgreSQL.
//!
//! One [`Store`] hides which of the two it is: a statement is written once, with `$1`, and runs on both (sqlx's
//! `Any` driver would do that too, but loses types and placeholders). The contract test tells one story to both.
//!
//! Three rules hold in every method. Whatever consists of several statements is one transaction. Whoever
//! does not know whether a call was committed (the connection broke, the deadline passed) may simply call again:
//! keys come from the caller, and so do the times, so a repetition writes what is there already. And
//! nothing waits longer than the deadline in `pools`, since a deploy must never hang on its record.
//!
//! The record remembers and does not decide: no method here says what should be deployed. It deals in text
//! that was checked before (see [`crate::names`]) and does not check it again.
//!
//! Others may be able to write to the database. What leads to an action (runs with their plans and steps, releases, answers to gates,
//! what GitHub is told) is signed, and methods whose result is acted on return only what we signed: see [`authenticator`].

mod answers;
mod authenticator;
mod authorship;
mod blocked;
mod columns;
pub mod comparison;
mod condition;
mod deliveries;
mod error;
mod held;
mod migrations;
mod observations;
mod outbox;
mod pools;
mod prune;
mod releases;
mod reported_deployments;
mod runs;
mod seen;
mod steps;
mod text;
mod verdicts;
pub mod visibility;

#[cfg(test)]
mod contract;

pub use answers::{Answers, OperatorAnswer};
pub use authenticator::Authenticator;
pub use authorship::Foreign;
pub use blocked::{Blocked, Certainty, Gate};
pub(crate) use columns::columns;
pub use deliveries::{Delivery, DeliveryFilter, NewDelivery, Recorded};
pub use error::{StoreError, is_database_away};
pub use held::WaitingDelivery;
pub use migrations::{IMPORTED_SENTENCE, MigrationStatus};
pub use observations::Observation;
pub use outbox::{NewNotification, OutboxTrouble, PendingTelling, TellingKind};
pub use prune::Pruned;
pub use releases::{NewRelease, Release, ReleaseState};
pub use reported_deployments::{NewReportedDeployment, ReportedDeployment};
pub use runs::{
    FaultClass, HostFailures, NewRun, Run, RunEnd, RunEnded, RunFilter, RunMatch, RunState, RunTrigger,
    RunUnknown,
};
pub use steps::{Direction, Step, StepEnd, StepStart, StepState};
pub use verdicts::{Verdict, VerdictCode};

use pools::{Pools, reading, writing};
use std::io;
use std::time::Duration;

/// The record. Cheap to clone; all clones share the same few connections.
#[derive(Debug, Clone)]
pub struct Store {
    pools: Pools,
    authenticator: Authenticator,
}

impl Store {
    /// Takes `sqlite:PATH` or `postgres://...`. Connects to nothing and creates nothing, so that it succeeds while
    /// the database is down; the only error is a URL that cannot be meant.
    ///
    /// Must be called within a tokio runtime: the pools look after their idle connections there.
    pub fn open(url: &str, authenticator: Authenticator) -> Result<Self, StoreError> {
        Ok(Self { pools: Pools::open(url)?, authenticator })
    }

    /// The file of a SQLite database; none for PostgreSQL.
    pub fn file(&self) -> Option<std::path::PathBuf> {
        self.pools.file()
    }

    /// Whether somebody who knows no password, and is the user that this process runs as, can log in to this PostgreSQL as the user that
    /// the URL names: over the network or socket of the URL, or over one of the usual sockets of this machine. Gives by which way.
    pub async fn opens_without_password(url: &str) -> Result<Option<String>, StoreError> {
        pools::opens_without_password(url).await
    }

    /// Whether the connections give nothing within this time although the database answers on another. A database that is away is not
    /// stuck. Whoever asks it on another has a runtime of its own, so that trouble of ours is not taken for the database's.
    pub async fn is_stuck(&self, limit: Duration) -> bool {
        if tokio::time::timeout(limit, self.ping()).await.is_ok_and(|answered| answered.is_ok()) {
            return false;
        }
        let pools = self.pools.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let answered = async { tokio::time::timeout(limit, pools.ping_anew()).await };
            Ok::<_, io::Error>(runtime.block_on(answered).is_ok_and(|answered| answered.is_ok()))
        });
        matches!(asked.await, Ok(Ok(true)))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        reading!(self, |pool| {
            sqlx::query("SELECT 1").execute(pool).await?;
        })
    }

    /// Closes all connections and waits for it; a SQLite database is checkpointed by that.
    pub async fn close(&self) {
        self.pools.close().await;
    }

    /// A small thing remembered by [`Store::set_meta`].
    pub async fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        reading!(self, |pool| sqlx::query_scalar("SELECT value FROM meta WHERE key = $1")
            .bind(key)
            .fetch_optional(pool)
            .await?)
    }

    /// Remembers a small thing that has no table of its own.
    pub async fn set_meta(&self, key: &str, value: &str) -> Result<(), StoreError> {
        writing!(self, |pool| {
            sqlx::query(
                "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )
            .bind(key)
            .bind(text::storable(value))
            .execute(pool)
            .await?;
        })
    }
}
