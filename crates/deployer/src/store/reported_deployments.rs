//! The deployments that GitHub has: which of its numbers stands for which run, and what it was told of it last.
//!
//! Needed because a state is told of a number, which only GitHub knows at first; and because GitHub shows as active whatever was
//! told to be a success until it is told that it is inactive.

use super::authenticator::Signed;
use super::outbox::push_telling;
use super::pools::{reading, transaction, writing};
use super::text::storable;
use super::{NewNotification, PendingTelling, Store, StoreError, TellingKind};
use serde::Serialize;

/// What a deployment is told to be once another has taken its place.
const INACTIVE: &str = r#"{"state":"inactive"}"#;

/// A deployment at GitHub that stands for a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct ReportedDeployment {
    pub run_id: String,
    /// Of which deployment of ours.
    pub deployment: String,
    /// `owner/name`.
    pub repository: String,
    pub commit_id: String,
    /// GitHub's number.
    pub github_id: i64,
    /// In GitHub's words; empty before any was told.
    pub state: String,
    /// Unix milliseconds.
    pub told_at_ms: i64,
    /// Proof that this deployer wrote it.
    #[serde(skip)]
    pub mac: Option<String>,
}

/// A deployment that GitHub has made; the fields are those of [`ReportedDeployment`].
#[derive(Debug, Clone, Copy)]
pub struct NewReportedDeployment<'a> {
    pub run_id: &'a str,
    pub deployment: &'a str,
    pub repository: &'a str,
    pub commit_id: &'a str,
    pub github_id: i64,
    pub told_at_ms: i64,
}

impl Store {
    /// GitHub's deployment for a run.
    pub async fn told_deployment(&self, run_id: &str) -> Result<Option<ReportedDeployment>, StoreError> {
        let found: Option<ReportedDeployment> = reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(told_deployments),
                " FROM told_deployments WHERE run_id = $1"
            ))
            .bind(run_id)
            .fetch_optional(pool)
            .await?
        })?;
        Ok(self.only_ours(found.into_iter().collect())?.pop())
    }

    /// GitHub has made a deployment for a run.
    pub async fn create_told_deployment(&self, made: &NewReportedDeployment<'_>) -> Result<(), StoreError> {
        let new = ReportedDeployment {
            run_id: made.run_id.to_owned(),
            deployment: made.deployment.to_owned(),
            repository: made.repository.to_owned(),
            commit_id: made.commit_id.to_owned(),
            github_id: made.github_id,
            state: String::new(),
            told_at_ms: made.told_at_ms,
            mac: None,
        };
        if self.told_deployment(made.run_id).await?.is_some() {
            return Ok(());
        }
        let mac = self.authenticator.sign(&new.message())?;
        writing!(self, |pool| {
            sqlx::query(
                "INSERT INTO told_deployments (run_id, deployment, repository, commit_id, github_id, state,
                     told_at_ms, mac)
                 VALUES ($1, $2, $3, $4, $5, '', $6, $7)
                 ON CONFLICT (run_id) DO UPDATE SET deployment = excluded.deployment, repository = excluded.repository,
                     commit_id = excluded.commit_id, github_id = excluded.github_id, state = excluded.state,
                     told_at_ms = excluded.told_at_ms, mac = excluded.mac",
            )
            .bind(made.run_id)
            .bind(made.deployment)
            .bind(made.repository)
            .bind(made.commit_id)
            .bind(made.github_id)
            .bind(made.told_at_ms)
            .bind(&mac)
            .execute(pool)
            .await?;
        })
    }

    /// GitHub has a deployment's state. Of all that are a success now, only that of the newest run stays: the others
    /// are to be told inactive (also the one just told, if it was told late). So are those that were queued: a commit that has waited
    /// gets another run, or is superseded by one.
    pub async fn deployment_told(
        &self,
        row: &PendingTelling,
        run_id: &str,
        state: &str,
        at_ms: i64,
    ) -> Result<(), StoreError> {
        transaction!(self, |transaction| {
            let known: Option<ReportedDeployment> = sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(told_deployments),
                " FROM told_deployments WHERE run_id = $1"
            ))
            .bind(run_id)
            .fetch_optional(&mut *transaction)
            .await?;
            let known = known.ok_or_else(|| StoreError::NotRecorded {
                kind: "deployment at GitHub",
                id: run_id.to_owned(),
            })?;
            self.require_ours(&known, "deployment at GitHub", || run_id.to_owned())?;
            let told = ReportedDeployment { state: storable(state).into_owned(), told_at_ms: at_ms, ..known };
            let mac = self.authenticator.sign(&told.message())?;
            sqlx::query(
                "UPDATE told_deployments SET state = $2, told_at_ms = $3, mac = $4 WHERE run_id = $1",
            )
            .bind(run_id)
            .bind(&told.state)
            .bind(at_ms)
            .bind(&mac)
            .execute(&mut *transaction)
            .await?;
            sqlx::query("UPDATE outbox SET done_at_ms = $2, last_error = NULL WHERE id = $1")
                .bind(row.id)
                .bind(at_ms)
                .execute(&mut *transaction)
                .await?;
            let all: Vec<ReportedDeployment> = sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(told_deployments),
                " FROM told_deployments WHERE deployment = $1 AND state <> '' ORDER BY run_id"
            ))
            .bind(&row.deployment)
            .fetch_all(&mut *transaction)
            .await?;
            for old in &replaced(self.only_ours(all)?) {
                let notification = NewNotification {
                    kind: TellingKind::Deployment,
                    repository: &old.repository,
                    commit_id: &old.commit_id,
                    context: &old.run_id,
                    deployment: &old.deployment,
                    run_id: Some(&old.run_id),
                    body: INACTIVE,
                    created_at_ms: at_ms,
                };
                push_telling!(self, transaction, &notification);
            }
        })?;
        self.telling_is_done(row).await
    }
}

/// Those that are to be told inactive, of all that GitHub was told something of, the oldest run first: ids of runs are in the order of
/// their making.
fn replaced(mut told: Vec<ReportedDeployment>) -> Vec<ReportedDeployment> {
    let newest = told.last().map(|told| told.run_id.clone());
    let newest_success = told.iter().rfind(|told| told.state == "success").map(|told| told.run_id.clone());
    told.retain(|told| match told.state.as_str() {
        "success" => Some(&told.run_id) != newest_success.as_ref(),
        "queued" => Some(&told.run_id) != newest.as_ref(),
        _ => false,
    });
    told
}
