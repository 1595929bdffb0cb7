//! What operators have answered to a deployment's gates: which commit is approved, which is let through a freeze, and until when
//! a freeze is lifted.
//!
//! Each answer is a row of its own in `meta`, so that two operators do not overwrite each other's. Only the last one of a kind
//! counts: what was approved before it has been deployed, or has given way.

use super::{Store, StoreError};
use crate::names::CommitId;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// The commit that is approved.
    pub approved: Option<CommitId>,
    /// The commit that a freeze does not hold.
    pub released: Option<CommitId>,
    /// Before then, no freeze holds anything; Unix milliseconds.
    pub freeze_lifted_until_ms: Option<i64>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
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

impl Store {
    /// All answers for a deployment.
    pub async fn answers(&self, deployment: &str) -> Result<Answers, StoreError> {
        let text = async |kind| self.meta(&key(deployment, kind)).await;
        let commit = |text: Option<String>| text.and_then(|text| CommitId::parse(&text).ok());
        Ok(Answers {
            approved: commit(text(APPROVED).await?),
            released: commit(text(RELEASED).await?),
            freeze_lifted_until_ms: text(FREEZE_LIFTED).await?.and_then(|text| text.parse().ok()),
        })
    }

    /// Keeps an answer, in place of the last one of its kind.
    pub async fn set_answer(&self, deployment: &str, answer: &Answer) -> Result<(), StoreError> {
        let (kind, value) = match answer {
            Answer::Approved(commit) => (APPROVED, commit.to_string()),
            Answer::Released(commit) => (RELEASED, commit.to_string()),
            Answer::FreezeLiftedUntil(until_ms) => (FREEZE_LIFTED, until_ms.to_string()),
        };
        self.set_meta(&key(deployment, kind), &value).await
    }
}

fn key(deployment: &str, kind: &str) -> String {
    format!("{kind}/{deployment}")
}
