//! What the deployer saw last of each deployment on this host: one row per deployment, replaced at each look.
//!
//! Signed like the rows that lead to an action: `status` and `doctor` show it as what is, and whoever can write to the database must not be
//! able to have them say that all is well.

use super::authenticator::{Message, Signed};
use super::pools::{reading, writing};
use super::text::storable;
use super::{Store, StoreError};

/// One look at a deployment.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Observation {
    /// The deployment's slug.
    pub deployment: String,
    /// When it was looked at, in Unix milliseconds.
    pub observed_at_ms: i64,
    /// What was not as it should be, as JSON.
    pub findings: String,
    /// Proof that this deployer wrote it.
    pub mac: Option<String>,
}

impl Signed for Observation {
    fn message(&self) -> Message {
        Message::of("observations").text(&self.deployment).number(self.observed_at_ms).text(&self.findings)
    }

    fn mac(&self) -> Option<&str> {
        self.mac.as_deref()
    }
}

impl Store {
    /// The last look at a deployment. `None` where there was none, and where somebody else has written the row.
    pub async fn observation(&self, deployment: &str) -> Result<Option<Observation>, StoreError> {
        let found: Option<Observation> = reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(observations),
                " FROM observations WHERE deployment = $1"
            ))
            .bind(deployment)
            .fetch_optional(pool)
            .await?
        })?;
        Ok(self.only_ours(found.into_iter().collect())?.pop())
    }

    /// Keeps a look in place of the last one.
    pub async fn set_observation(
        &self,
        deployment: &str,
        observed_at_ms: i64,
        findings: &str,
    ) -> Result<(), StoreError> {
        let new = Observation {
            deployment: deployment.to_owned(),
            observed_at_ms,
            findings: storable(findings).into_owned(),
            mac: None,
        };
        let mac = self.authenticator.sign(&new.message())?;
        writing!(self, |pool| {
            sqlx::query(
                "INSERT INTO observations (deployment, observed_at_ms, findings, mac) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (deployment) DO UPDATE SET observed_at_ms = excluded.observed_at_ms,
                     findings = excluded.findings, mac = excluded.mac",
            )
            .bind(&new.deployment)
            .bind(new.observed_at_ms)
            .bind(&new.findings)
            .bind(&mac)
            .execute(pool)
            .await?;
        })
    }
}
