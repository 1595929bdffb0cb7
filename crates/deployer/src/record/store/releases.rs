//! Releases: what runs produced, and which of it is live. Only what is recorded here is ever deleted from a disk.

use super::pools::{found, reading, transaction, writing};
use super::text::words;
use super::{Store, StoreError};
use serde::Serialize;

words! {
    /// What a release is good for.
    ReleaseState, "release state" {
        /// It is not whole yet.
        Building = "building",
        /// It serves. At most one of a deployment does.
        Live = "live",
        /// It served before, and could again.
        Good = "good",
        /// It never served; what is left of it is evidence.
        Failed = "failed",
        /// Its directory is gone.
        Removed = "removed",
    }
}

/// What a run produced for one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Release {
    /// The deployment's slug.
    pub deployment: String,
    /// As in `20261123T115400Z-0b989ba`.
    pub name: String,
    /// Where it lies.
    pub path: String,
    /// Of what it was made.
    pub commit_id: String,
    /// By what it was made.
    pub run_id: String,
    /// What it is good for.
    pub state: ReleaseState,
    /// Unix milliseconds, as the following.
    pub created_at_ms: i64,
    /// When it last became the live one.
    pub live_at_ms: Option<i64>,
    /// What it takes on the disk.
    pub bytes: Option<i64>,
}

/// A release about to be made; the fields are those of [`Release`].
#[derive(Debug, Clone, Copy)]
pub struct NewRelease<'a> {
    pub deployment: &'a str,
    pub name: &'a str,
    pub path: &'a str,
    pub commit_id: &'a str,
    pub run_id: &'a str,
    pub created_at_ms: i64,
}

impl Store {
    /// Records that a release is about to be made, and notes it in its run. One that is there already stays.
    pub async fn create_release(&self, release: &NewRelease<'_>) -> Result<(), StoreError> {
        transaction!(self, |transaction| {
            sqlx::query(
                "INSERT INTO releases (deployment, name, path, commit_id, run_id, state, created_at_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (deployment, name) DO NOTHING",
            )
            .bind(release.deployment)
            .bind(release.name)
            .bind(release.path)
            .bind(release.commit_id)
            .bind(release.run_id)
            .bind(ReleaseState::Building)
            .bind(release.created_at_ms)
            .execute(&mut *transaction)
            .await?;
            sqlx::query("UPDATE runs SET release = $2 WHERE id = $1")
                .bind(release.run_id)
                .bind(release.name)
                .execute(&mut *transaction)
                .await?;
        })
    }

    /// Sets what a release is good for, and its size if that is known now. For the live one see [`Store::set_live`].
    pub async fn set_release_state(
        &self,
        deployment: &str,
        name: &str,
        state: ReleaseState,
        bytes: Option<i64>,
    ) -> Result<(), StoreError> {
        writing!(self, |pool| {
            let updated = sqlx::query(
                "UPDATE releases SET state = $3, bytes = COALESCE($4, bytes) WHERE deployment = $1 AND name = $2",
            )
            .bind(deployment)
            .bind(name)
            .bind(state)
            .bind(bytes)
            .execute(pool)
            .await?;
            found(updated.rows_affected(), "release", format!("{deployment}/{name}"))?;
        })
    }

    /// Makes a release the live one; the one that was live is a good one from then on.
    pub async fn set_live(&self, deployment: &str, name: &str, at_ms: i64) -> Result<(), StoreError> {
        transaction!(self, |transaction| {
            sqlx::query("UPDATE releases SET state = $3 WHERE deployment = $1 AND state = $4 AND name <> $2")
                .bind(deployment)
                .bind(name)
                .bind(ReleaseState::Good)
                .bind(ReleaseState::Live)
                .execute(&mut *transaction)
                .await?;
            let updated = sqlx::query(
                "UPDATE releases SET state = $3, live_at_ms = $4 WHERE deployment = $1 AND name = $2",
            )
            .bind(deployment)
            .bind(name)
            .bind(ReleaseState::Live)
            .bind(at_ms)
            .execute(&mut *transaction)
            .await?;
            found(updated.rows_affected(), "release", format!("{deployment}/{name}"))?;
        })
    }

    /// A deployment's live release.
    pub async fn live_release(&self, deployment: &str) -> Result<Option<Release>, StoreError> {
        reading!(self, |pool| {
            sqlx::query_as("SELECT * FROM releases WHERE deployment = $1 AND state = $2")
                .bind(deployment)
                .bind(ReleaseState::Live)
                .fetch_optional(pool)
                .await?
        })
    }

    /// A deployment's releases, the newest first.
    pub async fn releases(&self, deployment: &str) -> Result<Vec<Release>, StoreError> {
        reading!(self, |pool| {
            sqlx::query_as(
                "SELECT * FROM releases WHERE deployment = $1 ORDER BY created_at_ms DESC, name DESC",
            )
            .bind(deployment)
            .fetch_all(pool)
            .await?
        })
    }
}
