//! What operators have answered to a deployment's gates: which commit is approved, which is let through a freeze, and until when
//! a freeze is lifted.
//!
//! Each answer is a row of its own in `meta`, so that two operators do not overwrite each other's. Only the last one of a kind
//! counts: what was approved before it has been deployed, or has given way. An answer that was not signed here, or that is not the
//! newest that was, is none.

use super::authenticator::{Message, Signed};
use super::pools::{reading, writing};
use super::{Store, StoreError};
use crate::base::names::CommitId;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// The commit that is approved.
    pub approved: Option<CommitId>,
    /// The commit that a freeze does not hold.
    pub released: Option<CommitId>,
    /// Before then, no freeze holds anything; Unix milliseconds.
    pub freeze_lifted_until_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorAnswer {
    /// This commit is approved.
    Approved(CommitId),
    /// This commit may pass a freeze.
    Released(CommitId),
    /// No freeze holds anything before this; Unix milliseconds.
    FreezeLiftedUntil(i64),
}

const APPROVED: &str = "approved";
const RELEASED: &str = "released";
const FREEZE_LIFTED: &str = "freeze-lifted-until";

/// A row of `meta` that holds an answer.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct AnswerRow {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) mac: Option<String>,
}

impl Signed for AnswerRow {
    fn message(&self) -> Message {
        Message::of("answer").text(&self.key).text(&self.value)
    }

    fn mac(&self) -> Option<&str> {
        self.mac.as_deref()
    }
}

impl AnswerRow {
    /// Whether a row of `meta` is one.
    pub(super) fn is_one(&self) -> bool {
        self.key.split_once('/').is_some_and(|(kind, _)| [APPROVED, RELEASED, FREEZE_LIFTED].contains(&kind))
    }
}

impl Store {
    /// All answers for a deployment.
    pub async fn answers(&self, deployment: &str) -> Result<Answers, StoreError> {
        let text = async |kind| self.answer(&key(deployment, kind)).await;
        let commit = |text: Option<String>| text.and_then(|text| CommitId::parse(&text).ok());
        Ok(Answers {
            approved: commit(text(APPROVED).await?),
            released: commit(text(RELEASED).await?),
            freeze_lifted_until_ms: text(FREEZE_LIFTED).await?.and_then(|text| text.parse().ok()),
        })
    }

    async fn answer(&self, key: &str) -> Result<Option<String>, StoreError> {
        let row: Option<AnswerRow> = reading!(self, |pool| {
            sqlx::query_as("SELECT key, value, mac FROM meta WHERE key = $1")
                .bind(key)
                .fetch_optional(pool)
                .await?
        })?;
        let Some(row) = row else { return Ok(None) };
        let is_ours = self.is_newest_answer(&row)?;
        if !is_ours {
            tracing::warn!(key, "an answer in the database was not given here: it does not count");
        }
        Ok(is_ours.then_some(row.value))
    }

    pub(super) fn is_newest_answer(&self, row: &AnswerRow) -> Result<bool, StoreError> {
        Ok(self.authenticator.recognises(row)? && self.authenticator.is_newest(&row.key, row.mac())?)
    }

    /// Keeps an answer, in place of the last one of its kind.
    pub async fn set_answer(&self, deployment: &str, answer: &OperatorAnswer) -> Result<(), StoreError> {
        let (kind, value) = match answer {
            OperatorAnswer::Approved(commit) => (APPROVED, commit.to_string()),
            OperatorAnswer::Released(commit) => (RELEASED, commit.to_string()),
            OperatorAnswer::FreezeLiftedUntil(until_ms) => (FREEZE_LIFTED, until_ms.to_string()),
        };
        let row = AnswerRow { key: key(deployment, kind), value, mac: None };
        let mac = self.authenticator.sign(&row.message())?;
        writing!(self, |pool| {
            sqlx::query(
                "INSERT INTO meta (key, value, mac) VALUES ($1, $2, $3)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value, mac = excluded.mac",
            )
            .bind(&row.key)
            .bind(&row.value)
            .bind(&mac)
            .execute(pool)
            .await?;
        })?;
        // Last: whoever is interrupted before has no answer, and gives it again.
        self.authenticator.set_newest(&row.key, &mac)
    }
}

fn key(deployment: &str, kind: &str) -> String {
    format!("{kind}/{deployment}")
}
