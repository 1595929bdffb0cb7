//! The outbox: what GitHub is to be told, kept until it has it.
//!
//! What is told under one key (kind, repository, commit, context) replaces what was told before, so only the
//! newest is worth notification: one that is still waiting is marked superseded as soon as a newer is pushed. Thus
//! at most one per key waits, and what GitHub sees never goes backwards, as long as one process at a time
//! delivers. Several processes on one PostgreSQL each tell of their own deployments, under contexts of their own.

use super::authenticator::Message;
use super::pools::{found, reading, transaction, writing};
use super::text::{embedded_json, storable, words};
use super::{Store, StoreError};
use serde::Serialize;

words! {
    /// What kind of thing GitHub is told.
    TellingKind, "kind of notification" {
        /// A commit status; its context is the status's.
        Status = "status",
        /// A state of the deployment that stands for a run; its context is the run.
        Deployment = "deployment",
    }
}

/// Something that GitHub does not have yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct PendingTelling {
    /// Its number; later ones are greater.
    pub id: i64,
    /// What kind of thing it is.
    pub kind: TellingKind,
    /// `owner/name`.
    pub repository: String,
    /// On which commit.
    pub commit_id: String,
    /// Under which name.
    pub context: String,
    /// About which deployment.
    pub deployment: String,
    /// About which run.
    pub run_id: Option<String>,
    /// What is told, as JSON.
    #[serde(serialize_with = "embedded")]
    pub body: String,
    /// Unix milliseconds.
    pub created_at_ms: i64,
    /// How often notification it failed.
    #[sqlx(try_from = "i64")]
    pub attempts: u32,
    /// Not before then: Unix milliseconds.
    pub next_at_ms: i64,
    /// Why notification it failed.
    pub last_error: Option<String>,
    /// Proof that this deployer wrote it.
    #[serde(skip)]
    pub mac: Option<String>,
}

/// What has not reached GitHub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutboxTrouble {
    /// How much GitHub does not have yet.
    pub unsent: u64,
    /// Of that, what has waited for longest.
    pub oldest_unsent: Option<PendingTelling>,
    /// What it would not take, the newest first, at most [`REFUSED_SHOWN_MAX`].
    pub refused: Vec<PendingTelling>,
}

/// Refusals shown at once: one is usually like the next.
const REFUSED_SHOWN_MAX: i64 = 10;

fn embedded<S: serde::Serializer>(body: &str, serializer: S) -> Result<S::Ok, S::Error> {
    embedded_json(&Some(body.to_owned()), serializer)
}

/// Something to tell; the fields are those of [`PendingTelling`].
#[derive(Debug, Clone, Copy)]
pub struct NewNotification<'a> {
    pub kind: TellingKind,
    pub repository: &'a str,
    pub commit_id: &'a str,
    pub context: &'a str,
    pub deployment: &'a str,
    pub run_id: Option<&'a str>,
    pub body: &'a str,
    pub created_at_ms: i64,
}

/// Puts one notification into the outbox, within a transaction, in place of those of its key that still wait.
macro_rules! push_telling {
    ($self:ident, $transaction:ident, $notification:expr) => {{
        let notification: &$crate::store::NewNotification<'_> = $notification;
        let signed = $crate::store::outbox::as_row(notification);
        let mac = $self.authenticator.sign(&$crate::store::authenticator::Signed::message(&signed))?;
        $self.authenticator.expect_telling(&$crate::store::outbox::key_of(&signed), &mac)?;
        // Pushed twice because the first commit's outcome was not known: it is there already.
        sqlx::query(
            "INSERT INTO outbox (kind, repository, commit_id, context, deployment, run_id, body, created_at_ms,
                 attempts, next_at_ms, mac)
             SELECT $8, $1, $2, $3, $4, $5, $6, $7, 0, $7, $9
             WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE kind = $8 AND repository = $1
                 AND commit_id = $2 AND context = $3 AND body = $6 AND created_at_ms = $7)",
        )
        .bind(notification.repository)
        .bind(notification.commit_id)
        .bind(notification.context)
        .bind(notification.deployment)
        .bind(notification.run_id)
        .bind(&signed.body)
        .bind(notification.created_at_ms)
        .bind(notification.kind)
        .bind(&mac)
        .execute(&mut *$transaction)
        .await?;
        sqlx::query(
            "UPDATE outbox SET superseded_at_ms = $4
             WHERE kind = $5 AND repository = $1 AND commit_id = $2 AND context = $3
                 AND done_at_ms IS NULL AND refused_at_ms IS NULL AND superseded_at_ms IS NULL
                 AND id < (SELECT MAX(id) FROM outbox
                     WHERE kind = $5 AND repository = $1 AND commit_id = $2 AND context = $3)",
        )
        .bind(notification.repository)
        .bind(notification.commit_id)
        .bind(notification.context)
        .bind(notification.created_at_ms)
        .bind(notification.kind)
        .execute(&mut *$transaction)
        .await?;
    }};
}
pub(super) use push_telling;

/// A row as it will be stored.
pub(super) fn as_row(notification: &NewNotification<'_>) -> PendingTelling {
    PendingTelling {
        id: 0,
        kind: notification.kind,
        repository: notification.repository.to_owned(),
        commit_id: notification.commit_id.to_owned(),
        context: notification.context.to_owned(),
        deployment: notification.deployment.to_owned(),
        run_id: notification.run_id.map(str::to_owned),
        body: storable(notification.body).into_owned(),
        created_at_ms: notification.created_at_ms,
        attempts: 0,
        next_at_ms: notification.created_at_ms,
        last_error: None,
        mac: None,
    }
}

/// What a notification replaces: all others with the same.
pub(super) fn key_of(notification: &PendingTelling) -> Message {
    Message::of("key of the outbox")
        .text(notification.kind.as_str())
        .text(&notification.repository)
        .text(&notification.commit_id)
        .text(&notification.context)
}

impl Store {
    /// Puts something into the outbox, in place of what still waits under its key.
    pub async fn enqueue_telling(&self, notification: &NewNotification<'_>) -> Result<(), StoreError> {
        transaction!(self, |transaction| push_telling!(self, transaction, notification))
    }

    /// Whether this deployer wrote a row of the outbox, and GitHub is still to have it: not one that GitHub has had, restored.
    pub fn is_our_telling(&self, notification: &PendingTelling) -> Result<bool, StoreError> {
        Ok(self.authenticator.recognises(notification)?
            && self.authenticator.is_expected(&key_of(notification), notification.mac.as_deref())?)
    }

    /// What is told under its key from now on must be written anew.
    pub(super) async fn telling_is_done(&self, notification: &PendingTelling) -> Result<(), StoreError> {
        // What somebody else puts there ends no report of ours.
        if !self.authenticator.recognises(notification)? {
            return Ok(());
        }
        let (key, mac) = (key_of(notification), notification.mac.clone());
        self.off_thread(move |authenticator| authenticator.telling_is_done(&key, mac.as_deref())).await
    }

    /// What is due, what has waited for longest since it was last tried first (so that one that always fails is in no
    /// other's way); never two of one key.
    pub async fn due_outbox(&self, now_ms: i64, limit: u32) -> Result<Vec<PendingTelling>, StoreError> {
        reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(outbox),
                " FROM outbox WHERE next_at_ms <= $1
                     AND done_at_ms IS NULL AND refused_at_ms IS NULL AND superseded_at_ms IS NULL
                 ORDER BY next_at_ms, id LIMIT $2"
            ))
            .bind(now_ms)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?
        })
    }

    /// GitHub has it.
    pub async fn outbox_sent(&self, notification: &PendingTelling, at_ms: i64) -> Result<(), StoreError> {
        writing!(self, |pool| {
            let updated = sqlx::query("UPDATE outbox SET done_at_ms = $2, last_error = NULL WHERE id = $1")
                .bind(notification.id)
                .bind(at_ms)
                .execute(pool)
                .await?;
            found(updated.rows_affected(), "outbox row", notification.id.to_string())?;
        })?;
        self.telling_is_done(notification).await
    }

    /// Notification it failed, and is to be tried again at `next_at_ms`.
    pub async fn outbox_failed(
        &self,
        notification: &PendingTelling,
        error: &str,
        next_at_ms: i64,
    ) -> Result<(), StoreError> {
        writing!(self, |pool| {
            let updated = sqlx::query(
                "UPDATE outbox SET attempts = $2, last_error = $3, next_at_ms = $4 WHERE id = $1",
            )
            .bind(notification.id)
            .bind(i64::from(notification.attempts) + 1)
            .bind(storable(error))
            .bind(next_at_ms)
            .execute(pool)
            .await?;
            found(updated.rows_affected(), "outbox row", notification.id.to_string())?;
        })
    }

    /// GitHub will never take it; it is not tried again.
    pub async fn outbox_refused(
        &self,
        notification: &PendingTelling,
        error: &str,
        at_ms: i64,
    ) -> Result<(), StoreError> {
        writing!(self, |pool| {
            let updated = sqlx::query("UPDATE outbox SET refused_at_ms = $2, last_error = $3 WHERE id = $1")
                .bind(notification.id)
                .bind(at_ms)
                .bind(storable(error))
                .execute(pool)
                .await?;
            found(updated.rows_affected(), "outbox row", notification.id.to_string())?;
        })?;
        self.telling_is_done(notification).await
    }

    /// What GitHub does not have yet, and what it would not take since then (Unix milliseconds).
    pub async fn outbox_trouble(&self, refused_since_ms: i64) -> Result<OutboxTrouble, StoreError> {
        let unsent: i64 = reading!(self, |pool| {
            sqlx::query_scalar(
                "SELECT COUNT(*) FROM outbox
                 WHERE done_at_ms IS NULL AND refused_at_ms IS NULL AND superseded_at_ms IS NULL",
            )
            .fetch_one(pool)
            .await?
        })?;
        let oldest_unsent = reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(outbox),
                " FROM outbox
                 WHERE done_at_ms IS NULL AND refused_at_ms IS NULL AND superseded_at_ms IS NULL
                 ORDER BY id LIMIT 1"
            ))
            .fetch_optional(pool)
            .await?
        })?;
        let refused = reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(outbox),
                " FROM outbox WHERE refused_at_ms >= $1 ORDER BY id DESC LIMIT $2"
            ))
            .bind(refused_since_ms)
            .bind(REFUSED_SHOWN_MAX)
            .fetch_all(pool)
            .await?
        })?;
        Ok(OutboxTrouble { unsent: unsent.unsigned_abs(), oldest_unsent, refused })
    }
}
