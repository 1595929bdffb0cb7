//! Releases: what runs produced, and which of it is live. Only what is recorded here, by ourselves, is ever deleted from a disk or
//! made live again.

use super::authenticator::{Message, Signed};
use super::pools::{found, reading, transaction};
use super::runs::change_run;
use super::text::words;
use super::{Store, StoreError};
use serde::Serialize;
use std::collections::BTreeMap;

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
    /// Proof that this deployer wrote it.
    #[serde(skip)]
    pub mac: Option<String>,
}

impl Signed for Release {
    fn message(&self) -> Message {
        Message::of("releases")
            .text(&self.deployment)
            .text(&self.name)
            .text(&self.path)
            .text(&self.commit_id)
            .text(&self.run_id)
            .text(self.state.as_str())
            .number(self.created_at_ms)
            .optional_number(self.live_at_ms)
            .optional_number(self.bytes)
    }

    fn mac(&self) -> Option<&str> {
        self.mac.as_deref()
    }
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

/// The row of a release, ours or not.
macro_rules! release_row {
    ($transaction:ident, $deployment:expr, $name:expr) => {{
        let row: Option<Release> = sqlx::query_as(concat!(
            "SELECT ",
            crate::store::columns!(releases),
            " FROM releases WHERE deployment = $1 AND name = $2"
        ))
        .bind($deployment)
        .bind($name)
        .fetch_optional(&mut *$transaction)
        .await?;
        row
    }};
}

/// Writes what may change of a release, signed. Gives what is to be noted of it once that is committed.
macro_rules! write_release {
    ($self:ident, $transaction:ident, $release:expr) => {{
        let release: &Release = $release;
        let mac = $self.authenticator.sign(&release.message())?;
        $self.authenticator.expect_releases(&release.deployment, &[(&release.name, &mac)])?;
        let updated = sqlx::query(
            "UPDATE releases SET state = $3, live_at_ms = $4, bytes = $5, mac = $6 WHERE deployment = $1 AND name = $2",
        )
        .bind(&release.deployment)
        .bind(&release.name)
        .bind(release.state)
        .bind(release.live_at_ms)
        .bind(release.bytes)
        .bind(&mac)
        .execute(&mut *$transaction)
        .await?;
        found(updated.rows_affected(), "release", format!("{}/{}", release.deployment, release.name))?;
        let is_there = release.state != ReleaseState::Removed;
        (release.name.clone(), is_there.then_some(mac))
    }};
}

/// The name of a release whose row was written, and its HMAC; none where its directory is gone.
type WrittenRelease = (String, Option<String>);

impl Store {
    /// Records that a release is about to be made, and notes it in its run. One that is there already stays; one of that name that
    /// somebody else has put there does not.
    pub async fn create_release(&self, release: &NewRelease<'_>) -> Result<(), StoreError> {
        let new = Release {
            deployment: release.deployment.to_owned(),
            name: release.name.to_owned(),
            path: release.path.to_owned(),
            commit_id: release.commit_id.to_owned(),
            run_id: release.run_id.to_owned(),
            state: ReleaseState::Building,
            created_at_ms: release.created_at_ms,
            live_at_ms: None,
            bytes: None,
            mac: None,
        };
        let mac = self.authenticator.sign(&new.message())?;
        let is_new = transaction!(self, |transaction| {
            let known = release_row!(transaction, release.deployment, release.name);
            let is_there = match &known {
                Some(known) => self.is_newest_release(known)?,
                None => false,
            };
            if !is_there {
                self.authenticator.expect_releases(&new.deployment, &[(&new.name, &mac)])?;
                sqlx::query(
                    "INSERT INTO releases (deployment, name, path, commit_id, run_id, state, created_at_ms, mac)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                     ON CONFLICT (deployment, name) DO UPDATE SET path = excluded.path,
                         commit_id = excluded.commit_id, run_id = excluded.run_id, state = excluded.state,
                         created_at_ms = excluded.created_at_ms, live_at_ms = NULL, bytes = NULL, mac = excluded.mac",
                )
                .bind(&new.deployment)
                .bind(&new.name)
                .bind(&new.path)
                .bind(&new.commit_id)
                .bind(&new.run_id)
                .bind(new.state)
                .bind(new.created_at_ms)
                .bind(&mac)
                .execute(&mut *transaction)
                .await?;
            }
            change_run!(self, transaction, release.run_id, |run| run.release = Some(new.name.clone()));
            !is_there
        })?;
        match is_new {
            true => self.settle(&new.deployment, &[(new.name.clone(), Some(mac))]),
            false => Ok(()),
        }
    }

    /// Whether a row is ours, and what we wrote of that release last. Of one that is gone no older row says more.
    pub(super) fn is_newest_release(&self, release: &Release) -> Result<bool, StoreError> {
        if !self.authenticator.recognises(release)? {
            return Ok(false);
        }
        if release.state == ReleaseState::Removed {
            return Ok(true);
        }
        let noted = self.authenticator.noted_releases(&release.deployment)?;
        Ok(is_noted(&noted, release))
    }

    pub(super) fn only_newest_releases(&self, rows: Vec<Release>) -> Result<Vec<Release>, StoreError> {
        let mut noted = BTreeMap::new();
        let mut newest = Vec::with_capacity(rows.len());
        for row in self.only_ours(rows)? {
            if !noted.contains_key(&row.deployment) {
                noted.insert(row.deployment.clone(), self.authenticator.noted_releases(&row.deployment)?);
            }
            if row.state == ReleaseState::Removed || is_noted(&noted[&row.deployment], &row) {
                newest.push(row);
            }
        }
        Ok(newest)
    }

    fn require_newest(&self, release: &Release) -> Result<(), StoreError> {
        match self.is_newest_release(release)? {
            true => Ok(()),
            false => Err(StoreError::Foreign {
                kind: "release",
                id: format!("{}/{}", release.deployment, release.name),
            }),
        }
    }

    /// What has been committed is what is new.
    fn settle(&self, deployment: &str, written: &[WrittenRelease]) -> Result<(), StoreError> {
        let rows: Vec<_> = written.iter().map(|(name, mac)| (name.as_str(), mac.as_deref())).collect();
        self.authenticator.settle_releases(deployment, &rows)
    }

    /// Sets what a release is good for, and its size if that is known now. For the live one see [`Store::set_live`].
    pub async fn set_release_state(
        &self,
        deployment: &str,
        name: &str,
        state: ReleaseState,
        bytes: Option<i64>,
    ) -> Result<(), StoreError> {
        let id = || format!("{deployment}/{name}");
        let written = transaction!(self, |transaction| {
            let known = release_row!(transaction, deployment, name);
            let known = known.ok_or_else(|| StoreError::NotRecorded { kind: "release", id: id() })?;
            self.require_newest(&known)?;
            let changed = Release { state, bytes: bytes.or(known.bytes), ..known };
            write_release!(self, transaction, &changed)
        })?;
        self.settle(deployment, &[written])
    }

    /// Makes a release the live one; the one that was live is a good one from then on. It became live later than all others, whatever the
    /// clock says.
    pub async fn set_live(&self, deployment: &str, name: &str, at_ms: i64) -> Result<(), StoreError> {
        let id = || format!("{deployment}/{name}");
        let written = transaction!(self, |transaction| {
            let known = release_row!(transaction, deployment, name);
            let known = known.ok_or_else(|| StoreError::NotRecorded { kind: "release", id: id() })?;
            self.require_newest(&known)?;
            let mut written: Vec<WrittenRelease> = Vec::new();
            let others: Vec<Release> = sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(releases),
                " FROM releases WHERE deployment = $1 AND name <> $2"
            ))
            .bind(deployment)
            .bind(name)
            .fetch_all(&mut *transaction)
            .await?;
            let ours = self.only_newest_releases(others.clone())?;
            let newest_ms = ours.iter().filter_map(|other| other.live_at_ms).max();
            for other in others.into_iter().filter(|other| other.state == ReleaseState::Live) {
                if ours.contains(&other) {
                    let good = Release { state: ReleaseState::Good, ..other };
                    written.push(write_release!(self, transaction, &good));
                } else {
                    // Only one may be live; and what others have written is not signed.
                    sqlx::query("UPDATE releases SET state = $3 WHERE deployment = $1 AND name = $2")
                        .bind(deployment)
                        .bind(&other.name)
                        .bind(ReleaseState::Removed)
                        .execute(&mut *transaction)
                        .await?;
                }
            }
            let at_ms = newest_ms.map_or(at_ms, |newest_ms| at_ms.max(newest_ms.saturating_add(1)));
            let live = Release { state: ReleaseState::Live, live_at_ms: Some(at_ms), ..known };
            written.push(write_release!(self, transaction, &live));
            written
        })?;
        self.settle(deployment, &written)
    }

    /// A deployment's live release.
    pub async fn live_release(&self, deployment: &str) -> Result<Option<Release>, StoreError> {
        let found: Option<Release> = reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(releases),
                " FROM releases WHERE deployment = $1 AND state = $2"
            ))
            .bind(deployment)
            .bind(ReleaseState::Live)
            .fetch_optional(pool)
            .await?
        })?;
        Ok(self.only_newest_releases(found.into_iter().collect())?.pop())
    }

    /// A deployment's releases, the newest first.
    pub async fn releases(&self, deployment: &str) -> Result<Vec<Release>, StoreError> {
        let found = reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(releases),
                " FROM releases WHERE deployment = $1 ORDER BY run_id DESC, created_at_ms DESC, name DESC"
            ))
            .bind(deployment)
            .fetch_all(pool)
            .await?
        })?;
        self.only_newest_releases(found)
    }
}

fn is_noted(noted: &BTreeMap<String, Vec<String>>, release: &Release) -> bool {
    let is_mac = |mac: &String| Some(mac.as_str()) == release.mac();
    noted.get(&release.name).is_some_and(|macs| macs.iter().any(is_mac))
}
