//! Steps: the intent log of a run. A step is recorded as started before it starts and as ended after it
//! ended, so that after a crash the database says what may have happened: a step that started and did not end is
//! *unknown*, and its own definition says what to do about it.

use super::authenticator::{Message, Signed};
use super::pools::{found, reading, transaction, writing};
use super::text::{embedded_json, storable, words};
use super::{Store, StoreError};
use serde::Serialize;

words! {
    /// Whether a step is done or undone.
    Direction, "direction" {
        /// It is done.
        Do = "do",
        /// It is undone.
        Undo = "undo",
    }
}

words! {
    /// How far a step is.
    StepState, "step state" {
        /// It may have happened.
        Started = "started",
        Succeeded = "succeeded",
        Failed = "failed",
        /// The process died meanwhile; nobody knows.
        Unknown = "unknown",
        /// There was nothing to do.
        Skipped = "skipped",
    }
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Step {
    pub run_id: String,
    /// Its place among the run's steps: 1 for the first.
    #[sqlx(try_from = "i64")]
    pub number: u32,
    /// The index in the run's plan of the step that it does or undoes; `None` for what is done beside the plan, such as the fetch before
    /// there is one.
    pub plan_index: Option<i64>,
    /// Whether it is done or undone.
    pub direction: Direction,
    /// The phase, as in `build`.
    pub phase: String,
    /// Its name within the phase.
    pub name: String,
    /// The command as it is shown.
    pub command: Option<String>,
    /// How far it is.
    pub state: StepState,
    /// More, as JSON.
    #[serde(serialize_with = "embedded_json")]
    pub detail: Option<String>,
    /// Unix milliseconds, as the following.
    pub started_at_ms: i64,
    /// When it ended.
    pub ended_at_ms: Option<i64>,
    /// Why it failed, in one line.
    pub cause: Option<String>,
    /// Proof that this deployer wrote it.
    #[serde(skip)]
    pub mac: Option<String>,
    /// The same of [`Step::plan_index`], which programs that sign nothing of it do not know.
    #[serde(skip)]
    pub plan_index_mac: Option<String>,
}

impl Signed for Step {
    fn message(&self) -> Message {
        message(&self.run_id, self.number, self.direction, &self.phase, &self.name, self.state)
    }

    fn mac(&self) -> Option<&str> {
        self.mac.as_deref()
    }

    fn further(&self) -> Option<(Message, Option<&str>)> {
        Some((self.message_of_plan_index(), self.plan_index_mac.as_deref()))
    }
}

impl Step {
    pub(super) fn message_of_plan_index(&self) -> Message {
        message_of_plan_index(&self.run_id, self.number, self.direction, self.plan_index)
    }
}

/// Which step of the plan was begun decides about what is undone as well.
fn message_of_plan_index(run_id: &str, number: u32, direction: Direction, index: Option<i64>) -> Message {
    Message::of("steps.plan_index")
        .text(run_id)
        .number(number.into())
        .text(direction.as_str())
        .optional_number(index)
}

/// What decides about what is undone after a crash.
fn message(
    run_id: &str,
    number: u32,
    direction: Direction,
    phase: &str,
    name: &str,
    state: StepState,
) -> Message {
    Message::of("steps")
        .text(run_id)
        .number(number.into())
        .text(direction.as_str())
        .text(phase)
        .text(name)
        .text(state.as_str())
}

/// A step about to start; the fields are those of [`Step`].
#[derive(Debug, Clone, Copy)]
pub struct StepStart<'a> {
    pub run_id: &'a str,
    pub number: u32,
    pub plan_index: Option<usize>,
    pub direction: Direction,
    pub phase: &'a str,
    pub name: &'a str,
    pub command: Option<&'a str>,
    pub started_at_ms: i64,
}

/// A step that ended; the fields are those of [`Step`].
#[derive(Debug, Clone, Copy)]
pub struct StepEnd<'a> {
    pub run_id: &'a str,
    pub number: u32,
    pub direction: Direction,
    pub state: StepState,
    pub detail: Option<&'a str>,
    pub cause: Option<&'a str>,
    pub ended_at_ms: i64,
}

impl Store {
    /// Records that a step is about to start. If it was recorded before (it is repeated), it begins anew.
    pub async fn step_started(&self, step: &StepStart<'_>) -> Result<(), StoreError> {
        let name = storable(step.name);
        let signed = message(step.run_id, step.number, step.direction, step.phase, &name, StepState::Started);
        let mac = self.authenticator.sign(&signed)?;
        let plan_index = step.plan_index.map(|index| i64::try_from(index).unwrap_or(i64::MAX));
        let of_index = message_of_plan_index(step.run_id, step.number, step.direction, plan_index);
        let plan_index_mac = self.authenticator.sign(&of_index)?;
        writing!(self, |pool| {
            sqlx::query(
                "INSERT INTO steps (run_id, number, direction, phase, name, command, state, started_at_ms, mac,
                     plan_index, plan_index_mac)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                 ON CONFLICT (run_id, number, direction) DO UPDATE SET phase = excluded.phase,
                     name = excluded.name, command = excluded.command, state = excluded.state, detail = NULL,
                     started_at_ms = excluded.started_at_ms, ended_at_ms = NULL, cause = NULL, mac = excluded.mac,
                     plan_index = excluded.plan_index, plan_index_mac = excluded.plan_index_mac",
            )
            .bind(step.run_id)
            .bind(i64::from(step.number))
            .bind(step.direction)
            .bind(step.phase)
            .bind(&*name)
            .bind(step.command.map(storable))
            .bind(StepState::Started)
            .bind(step.started_at_ms)
            .bind(&mac)
            .bind(plan_index)
            .bind(&plan_index_mac)
            .execute(pool)
            .await?;
        })
    }

    /// Records how a step ended.
    pub async fn step_ended(&self, step: &StepEnd<'_>) -> Result<(), StoreError> {
        let id = || format!("{} of {}", step.number, step.run_id);
        transaction!(self, |transaction| {
            let known: Option<Step> = sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(steps),
                " FROM steps WHERE run_id = $1 AND number = $2 AND direction = $3"
            ))
            .bind(step.run_id)
            .bind(i64::from(step.number))
            .bind(step.direction)
            .fetch_optional(&mut *transaction)
            .await?;
            let known = known.ok_or_else(|| StoreError::NotRecorded { kind: "step", id: id() })?;
            self.require_ours(&known, "step", id)?;
            let mac = self.authenticator.sign(&Step { state: step.state, ..known }.message())?;
            let updated = sqlx::query(
                "UPDATE steps SET state = $4, detail = $5, cause = $6, ended_at_ms = $7, mac = $8
                 WHERE run_id = $1 AND number = $2 AND direction = $3",
            )
            .bind(step.run_id)
            .bind(i64::from(step.number))
            .bind(step.direction)
            .bind(step.state)
            .bind(step.detail.map(storable))
            .bind(step.cause.map(storable))
            .bind(step.ended_at_ms)
            .bind(&mac)
            .execute(&mut *transaction)
            .await?;
            found(updated.rows_affected(), "step", id())?;
        })
    }

    /// A run's steps: those done in their order, then those undone in theirs (the last first).
    pub async fn steps(&self, run_id: &str) -> Result<Vec<Step>, StoreError> {
        reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(steps),
                " FROM steps WHERE run_id = $1
                 ORDER BY direction, CASE direction WHEN 'do' THEN number ELSE -number END"
            ))
            .bind(run_id)
            .fetch_all(pool)
            .await?
        })
    }
}
