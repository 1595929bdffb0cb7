//! Which gates a run found closed, as values: what a later look is compared with. The sentence about it is the run's cause, and only shown.
//!
//! The rows are signed by themselves, so that the proof of a run stays the one that older programs know. Rows that this deployer did not
//! write do not count: then nobody knows what the run was blocked by, as with a run of 0.1.0, and the next look leads to another run.

use super::authenticator::{Message, Signed};
use super::pools::reading;
use super::text::{storable, words};
use super::{Store, StoreError};
use serde::Serialize;

words! {
    /// A rule that a commit must pass before it is deployed.
    Gate, "gate" {
        /// The deployment has a user as whom it is built and run.
        User = "user",
        /// An operator has deployed it once, after it was brought along from another tool.
        FirstDeploy = "first-deploy",
        /// The commit is signed by an allowed signer.
        Signature = "signature",
        /// A check of the commit succeeded at GitHub.
        Check = "check",
        /// An operator has approved the commit.
        Approval = "approval",
        /// No freeze holds.
        Freeze = "freeze",
    }
}

words! {
    /// Whether what a decision needs was known.
    Certainty, "certainty" {
        Certain = "certain",
        /// GitHub could not be asked, which says nothing of the commit.
        Unknown = "unknown",
    }
}

/// A gate that a commit has not passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocked {
    pub gate: Gate,
    /// Which of its kind: a check's name, a freeze's window; empty where there is one only.
    pub subject: String,
    /// What was found there, as one word or time: a failed check's conclusion, the kind of a signature, the end of a freeze; empty
    /// where nothing was.
    pub finding: String,
    /// Whether that was known.
    pub certainty: Certainty,
}

/// A row of the table `blocked`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct BlockedRow {
    pub(super) run_id: String,
    pub(super) position: i64,
    pub(super) gate: Gate,
    pub(super) subject: String,
    pub(super) finding: String,
    pub(super) certainty: Certainty,
    mac: Option<String>,
}

impl Signed for BlockedRow {
    fn message(&self) -> Message {
        Message::of("blocked")
            .text(&self.run_id)
            .number(self.position)
            .text(self.gate.as_str())
            .text(&self.subject)
            .text(&self.finding)
            .text(self.certainty.as_str())
    }

    fn mac(&self) -> Option<&str> {
        self.mac.as_deref()
    }
}

impl BlockedRow {
    /// The rows of a run that ends so.
    pub(super) fn of(run_id: &str, blocked: &[Blocked]) -> Vec<Self> {
        let row = |(position, blocked): (i64, &Blocked)| Self {
            run_id: run_id.to_owned(),
            position,
            gate: blocked.gate,
            subject: storable(&blocked.subject).into_owned(),
            finding: storable(&blocked.finding).into_owned(),
            certainty: blocked.certainty,
            mac: None,
        };
        (0..).zip(blocked).map(row).collect()
    }
}

/// Writes a row, signed; in place of the one that is there.
macro_rules! write_blocked {
    ($self:ident, $transaction:ident, $row:expr) => {{
        let row: &$crate::store::blocked::BlockedRow = $row;
        let mac = $self.authenticator.sign(&$crate::store::authenticator::Signed::message(row))?;
        sqlx::query(
            "INSERT INTO blocked (run_id, position, gate, subject, finding, certainty, mac)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (run_id, position) DO UPDATE SET mac = excluded.mac",
        )
        .bind(&row.run_id)
        .bind(row.position)
        .bind(row.gate)
        .bind(&row.subject)
        .bind(&row.finding)
        .bind(row.certainty)
        .bind(&mac)
        .execute(&mut *$transaction)
        .await?;
    }};
}
pub(super) use write_blocked;

impl Store {
    /// Which gates a run found closed, in the order in which they were found; empty where none was, and where a program wrote the run that
    /// did not say.
    pub async fn blocked(&self, run_id: &str) -> Result<Vec<Blocked>, StoreError> {
        let rows: Vec<BlockedRow> = reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(blocked),
                " FROM blocked WHERE run_id = $1 ORDER BY position"
            ))
            .bind(run_id)
            .fetch_all(pool)
            .await?
        })?;
        let count = rows.len();
        let ours = self.only_ours(rows)?;
        if ours.len() < count {
            tracing::warn!(
                run = run_id,
                "somebody else has written to the database by what a run is blocked: it does not count"
            );
            return Ok(Vec::new());
        }
        let blocked = |row: BlockedRow| Blocked {
            gate: row.gate,
            subject: row.subject,
            finding: row.finding,
            certainty: row.certainty,
        };
        Ok(ours.into_iter().map(blocked).collect())
    }
}
