//! What of the database this deployer wrote, and what somebody else did: for those who read rows, for people, and for the one time at
//! which rows without proof are signed.

use super::answers::AnswerRow;
use super::authenticator::{Authenticator, Message, Signed};
use super::outbox::PendingTelling;
use super::pools::{Pools, reading, within};
use super::reported_deployments::ReportedDeployment;
use super::{Release, Run, Step, Store, StoreError};
use crate::store::pools::MIGRATION_DEADLINE;
use serde::Serialize;

/// Rows of a table that are looked at for those of others: what is acted on is among the newest.
const ROWS_MAX: i64 = 10_000;

/// How many rows of each kind this deployer did not write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Foreign {
    pub runs: usize,
    pub releases: usize,
    /// Answers to gates.
    pub answers: usize,
    /// What GitHub is to be told.
    pub notifications: usize,
}

impl Foreign {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// As in `2 runs, 1 release`.
    pub fn shown(&self) -> String {
        let kinds = [
            (self.runs, "run", "runs"),
            (self.releases, "release", "releases"),
            (self.answers, "answer to a gate", "answers to gates"),
            (self.notifications, "report for GitHub", "reports for GitHub"),
        ];
        let some = kinds.into_iter().filter(|(count, ..)| *count > 0);
        let shown = some.map(|(count, one, several)| match count {
            1 => format!("1 {one}"),
            _ => format!("{count} {several}"),
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

/// Signs every row as it is now.
macro_rules! sign_all {
    ($self:ident, $transaction:ident) => {{
        let runs: Vec<Run> = sqlx::query_as(concat!("SELECT ", crate::store::columns!(runs), " FROM runs")).fetch_all(&mut *$transaction).await?;
        for run in &runs {
            super::runs::write_run!($self, $transaction, run);
            if !run.state.is_final() {
                $self.authenticator.begin(&run.id, &run.deployment)?;
            }
        }
        let steps: Vec<Step> = sqlx::query_as(concat!(
            "SELECT ", crate::store::columns!(steps), " FROM steps
             WHERE run_id IN (SELECT id FROM runs WHERE state IN ('queued', 'running', 'unknown'))"
        ))
            .fetch_all(&mut *$transaction)
            .await?;
        for step in &steps {
            let mac = $self.authenticator.sign(&step.message())?;
            let plan_index_mac = $self.authenticator.sign(&step.message_of_plan_index())?;
            sqlx::query("UPDATE steps SET mac = $4, plan_index_mac = $5 WHERE run_id = $1 AND number = $2 AND direction = $3")
                .bind(&step.run_id)
                .bind(i64::from(step.number))
                .bind(step.direction)
                .bind(&mac)
                .bind(&plan_index_mac)
                .execute(&mut *$transaction)
                .await?;
        }
        let blocked: Vec<super::blocked::BlockedRow> =
            sqlx::query_as(concat!("SELECT ", crate::store::columns!(blocked), " FROM blocked")).fetch_all(&mut *$transaction).await?;
        for row in &blocked {
            super::blocked::write_blocked!($self, $transaction, row);
        }
        let releases: Vec<Release> =
            sqlx::query_as(concat!("SELECT ", crate::store::columns!(releases), " FROM releases")).fetch_all(&mut *$transaction).await?;
        let mut noted = std::collections::BTreeMap::<String, Vec<(String, String)>>::new();
        for release in &releases {
            let mac = $self.authenticator.sign(&release.message())?;
            let of_deployment = noted.entry(release.deployment.clone()).or_default();
            if release.state != super::ReleaseState::Removed {
                of_deployment.push((release.name.clone(), mac.clone()));
            }
            sqlx::query("UPDATE releases SET mac = $3 WHERE deployment = $1 AND name = $2")
                .bind(&release.deployment)
                .bind(&release.name)
                .bind(&mac)
                .execute(&mut *$transaction)
                .await?;
        }
        for (deployment, rows) in &noted {
            let rows: Vec<_> = rows.iter().map(|(name, mac)| (name.as_str(), mac.as_str())).collect();
            $self.authenticator.set_releases(deployment, &rows)?;
        }
        let notifications: Vec<PendingTelling> = sqlx::query_as(
            concat!("SELECT ", crate::store::columns!(outbox), " FROM outbox WHERE done_at_ms IS NULL AND refused_at_ms IS NULL AND superseded_at_ms IS NULL
             ORDER BY id"),
        )
        .fetch_all(&mut *$transaction)
        .await?;
        for notification in &notifications {
            let mac = $self.authenticator.sign(&notification.message())?;
            $self.authenticator.expect_telling(&super::outbox::key_of(notification), &mac)?;
            sqlx::query("UPDATE outbox SET mac = $2 WHERE id = $1")
                .bind(notification.id)
                .bind(&mac)
                .execute(&mut *$transaction)
                .await?;
        }
        let told: Vec<ReportedDeployment> =
            sqlx::query_as(concat!("SELECT ", crate::store::columns!(told_deployments), " FROM told_deployments")).fetch_all(&mut *$transaction).await?;
        for row in &told {
            let mac = $self.authenticator.sign(&row.message())?;
            sqlx::query("UPDATE told_deployments SET mac = $2 WHERE run_id = $1")
                .bind(&row.run_id)
                .bind(&mac)
                .execute(&mut *$transaction)
                .await?;
        }
        let answers: Vec<AnswerRow> =
            sqlx::query_as("SELECT key, value, mac FROM meta").fetch_all(&mut *$transaction).await?;
        for row in answers.iter().filter(|row| row.is_one()) {
            let mac = $self.authenticator.sign(&row.message())?;
            sqlx::query("UPDATE meta SET mac = $2 WHERE key = $1")
                .bind(&row.key)
                .bind(&mac)
                .execute(&mut *$transaction)
                .await?;
            $self.authenticator.set_newest(&row.key, &mac)?;
        }
    }};
}
pub(super) use sign_all;

/// Signs the columns that have come with migration 7 in the rows that we wrote before it.
macro_rules! sign_faults {
    ($self:ident, $transaction:ident) => {{
        let runs: Vec<Run> = sqlx::query_as(concat!("SELECT ", crate::store::columns!(runs), " FROM runs")).fetch_all(&mut *$transaction).await?;
        for run in &runs {
            // As it was signed then; the new column was made by the migration, in this transaction.
            if $self.authenticator.verifies(&run.message(), run.mac.as_deref())? {
                let mac = $self.authenticator.sign(&run.message_of_fault())?;
                sqlx::query("UPDATE runs SET fault_mac = $2 WHERE id = $1")
                    .bind(&run.id)
                    .bind(&mac)
                    .execute(&mut *$transaction)
                    .await?;
            }
        }
        let steps: Vec<Step> = sqlx::query_as(concat!("SELECT ", crate::store::columns!(steps), " FROM steps")).fetch_all(&mut *$transaction).await?;
        for step in &steps {
            if $self.authenticator.verifies(&step.message(), step.mac.as_deref())? {
                let mac = $self.authenticator.sign(&step.message_of_plan_index())?;
                sqlx::query(
                    "UPDATE steps SET plan_index_mac = $4 WHERE run_id = $1 AND number = $2 AND direction = $3",
                )
                .bind(&step.run_id)
                .bind(i64::from(step.number))
                .bind(step.direction)
                .bind(&mac)
                .execute(&mut *$transaction)
                .await?;
            }
        }
    }};
}
pub(super) use sign_faults;

impl Store {
    /// That this deployer wrote a row.
    pub(super) fn require_ours(
        &self,
        row: &impl Signed,
        kind: &'static str,
        id: impl FnOnce() -> String,
    ) -> Result<(), StoreError> {
        match self.authenticator.recognises(row)? {
            true => Ok(()),
            false => Err(StoreError::Foreign { kind, id: id() }),
        }
    }

    /// Those rows that this deployer wrote.
    pub(super) fn only_ours<T: Signed>(&self, rows: Vec<T>) -> Result<Vec<T>, StoreError> {
        let mut ours = Vec::with_capacity(rows.len());
        for row in rows {
            if self.authenticator.recognises(&row)? {
                ours.push(row);
            }
        }
        Ok(ours)
    }

    /// The first row that this deployer wrote.
    pub(super) fn first_of_ours<T: Signed>(&self, rows: Vec<T>) -> Result<Option<T>, StoreError> {
        for row in rows {
            if self.authenticator.recognises(&row)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// Whether this deployer wrote all of these steps.
    pub fn are_our_steps(&self, steps: &[Step]) -> Result<bool, StoreError> {
        for step in steps {
            if !self.authenticator.recognises(step)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether this deployer wrote a run.
    pub fn is_our_run(&self, run: &Run) -> Result<bool, StoreError> {
        self.authenticator.recognises(run)
    }

    /// What somebody else has written.
    pub async fn foreign(&self) -> Result<Foreign, StoreError> {
        let runs: Vec<Run> = reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(runs),
                " FROM runs ORDER BY id DESC LIMIT $1"
            ))
            .bind(ROWS_MAX)
            .fetch_all(pool)
            .await?
        })?;
        let releases: Vec<Release> = reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(releases),
                " FROM releases WHERE state <> 'removed' ORDER BY created_at_ms DESC LIMIT $1"
            ))
            .bind(ROWS_MAX)
            .fetch_all(pool)
            .await?
        })?;
        let notifications: Vec<PendingTelling> = reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(outbox),
                " FROM outbox WHERE done_at_ms IS NULL AND refused_at_ms IS NULL AND superseded_at_ms IS NULL
                 ORDER BY id DESC LIMIT $1"
            ))
            .bind(ROWS_MAX)
            .fetch_all(pool)
            .await?
        })?;
        let answers: Vec<AnswerRow> = reading!(self, |pool| {
            sqlx::query_as("SELECT key, value, mac FROM meta LIMIT $1").bind(ROWS_MAX).fetch_all(pool).await?
        })?;
        let mut foreign_answers = 0;
        for row in answers.iter().filter(|row| row.is_one()) {
            foreign_answers += usize::from(!self.is_newest_answer(row)?);
        }
        let mut foreign_tellings = 0;
        for row in &notifications {
            foreign_tellings += usize::from(!self.is_our_telling(row)?);
        }
        Ok(Foreign {
            runs: runs.len() - self.only_ours(runs)?.len(),
            releases: releases.len() - self.only_newest_releases(releases)?.len(),
            answers: foreign_answers,
            notifications: foreign_tellings,
        })
    }

    /// Signs everything as it is now: an operator has looked at it, and takes it for genuine.
    pub async fn sign_everything(&self) -> Result<(), StoreError> {
        within(MIGRATION_DEADLINE, async {
            match &self.pools {
                Pools::Sqlite { writer, .. } => {
                    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
                    sign_all!(self, transaction);
                    transaction.commit().await?;
                }
                Pools::Postgres(pool) => {
                    let mut transaction = pool.begin().await?;
                    sign_all!(self, transaction);
                    transaction.commit().await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Does something with files, where that holds up nobody else.
    pub(super) async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Authenticator) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let authenticator = self.authenticator.clone();
        let path = authenticator.key_path();
        let done = tokio::task::spawn_blocking(move || work(&authenticator)).await;
        done.unwrap_or_else(|error| Err(StoreError::Trust { path, error: std::io::Error::other(error) }))
    }
}

impl Signed for PendingTelling {
    fn message(&self) -> Message {
        Message::of("outbox")
            .text(self.kind.as_str())
            .text(&self.repository)
            .text(&self.commit_id)
            .text(&self.context)
            .text(&self.deployment)
            .optional_text(self.run_id.as_deref())
            .text(&self.body)
            .number(self.created_at_ms)
    }

    fn mac(&self) -> Option<&str> {
        self.mac.as_deref()
    }
}

impl Signed for ReportedDeployment {
    fn message(&self) -> Message {
        Message::of("told_deployments")
            .text(&self.run_id)
            .text(&self.deployment)
            .text(&self.repository)
            .text(&self.commit_id)
            .number(self.github_id)
            .text(&self.state)
            .number(self.told_at_ms)
    }

    fn mac(&self) -> Option<&str> {
        self.mac.as_deref()
    }
}
