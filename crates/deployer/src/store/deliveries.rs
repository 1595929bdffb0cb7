//! Deliveries: what arrived, once per GUID however often GitHub sends it.

use super::pools::{reading, transaction, writing};
use super::seen::remember_body;
use super::text::bounded;
use super::verdicts::upsert_verdict;
use super::{Store, StoreError, Verdict, VerdictCode};
use serde::Serialize;

/// A delivery as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Delivery {
    /// GitHub's GUID, or one of ours.
    pub id: String,
    /// The main spool's entry by which it came first; empty if it was imported.
    pub entry: String,
    /// Its type, as in `push`.
    pub event: String,
    /// By what it came, as in `webhook`.
    pub source: String,
    /// From where it came.
    pub remote_address: String,
    /// Unix milliseconds.
    pub received_at_ms: i64,
    /// Of the payload's bytes, in hexadecimal digits.
    pub payload_sha256: String,
    /// What the payload is about.
    pub repository: Option<String>,
    /// As in `refs/heads/main`.
    pub git_ref: Option<String>,
    /// The head after the push.
    pub commit_id: Option<String>,
    pub sender: Option<String>,
    /// How often it came again.
    #[sqlx(try_from = "i64")]
    pub redeliveries: u32,
    /// When every deployment that it concerns had been given its copy: Unix milliseconds.
    pub dispatched_at_ms: Option<i64>,
}

/// A delivery to record; the fields are those of [`Delivery`].
#[derive(Debug, Clone, Copy)]
pub struct NewDelivery<'a> {
    pub id: &'a str,
    pub entry: &'a str,
    pub event: &'a str,
    pub source: &'a str,
    pub remote_address: &'a str,
    pub received_at_ms: i64,
    pub payload_sha256: &'a str,
    pub repository: Option<&'a str>,
    pub git_ref: Option<&'a str>,
    pub commit_id: Option<&'a str>,
    pub sender: Option<&'a str>,
}

/// Whether a delivery was seen before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// It was not; it and its verdicts are recorded now.
    New,
    /// It was; its verdicts are as they were.
    Known {
        /// The entry by which it came first. The same as now: we were interrupted. Another: it was redelivered.
        entry: String,
        /// Whether it was dispatched then.
        dispatched: bool,
    },
}

/// Which deliveries to list: all that fit every field that is set.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeliveryFilter<'a> {
    /// About this repository.
    pub repository: Option<&'a str>,
    /// With a verdict for this deployment.
    pub deployment: Option<&'a str>,
    /// With this verdict.
    pub code: Option<VerdictCode>,
}

impl Store {
    /// Records a delivery with its first verdicts, unless it is known; as dispatched already, if none of them is queued. A redelivery is counted, once per entry.
    /// The body of a webhook that a deployment is to act on is remembered for longer ([`Store::first_seen`]).
    pub async fn record_delivery(
        &self,
        delivery: &NewDelivery<'_>,
        verdicts: &[Verdict],
    ) -> Result<Recorded, StoreError> {
        // Where nothing is queued, nothing remains to be dispatched.
        let queued = verdicts.iter().any(|verdict| verdict.code == VerdictCode::Queued);
        let dispatched_at_ms = verdicts.first().filter(|_| !queued).map(|verdict| verdict.decided_at_ms);
        let is_remembered = delivery.source == "github" && queued;
        transaction!(self, |transaction| {
            let inserted = sqlx::query(
                "INSERT INTO deliveries (id, entry, event, source, remote_address, received_at_ms,
                     payload_sha256, repository, git_ref, commit_id, sender, dispatched_at_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO NOTHING",
            )
            .bind(delivery.id)
            .bind(delivery.entry)
            .bind(bounded(delivery.event))
            .bind(delivery.source)
            .bind(delivery.remote_address)
            .bind(delivery.received_at_ms)
            .bind(delivery.payload_sha256)
            .bind(delivery.repository.map(bounded))
            .bind(delivery.git_ref.map(bounded))
            .bind(delivery.commit_id.map(bounded))
            .bind(delivery.sender.map(bounded))
            .bind(dispatched_at_ms)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if is_remembered {
                remember_body!(&mut *transaction, delivery);
            }
            if inserted == 1 {
                for verdict in verdicts {
                    upsert_verdict!(&mut *transaction, verdict);
                }
                Recorded::New
            } else {
                sqlx::query(
                    "UPDATE deliveries SET redeliveries = redeliveries + 1, last_redelivery_entry = $2
                     WHERE id = $1 AND entry <> $2 AND last_redelivery_entry IS DISTINCT FROM $2",
                )
                .bind(delivery.id)
                .bind(delivery.entry)
                .execute(&mut *transaction)
                .await?;
                let (entry, dispatched_at_ms): (String, Option<i64>) =
                    sqlx::query_as("SELECT entry, dispatched_at_ms FROM deliveries WHERE id = $1")
                        .bind(delivery.id)
                        .fetch_one(&mut *transaction)
                        .await?;
                Recorded::Known { entry, dispatched: dispatched_at_ms.is_some() }
            }
        })
    }

    /// Notes that every deployment that a delivery concerns has its copy. The first time counts.
    pub async fn mark_dispatched(&self, id: &str, at_ms: i64) -> Result<(), StoreError> {
        writing!(self, |pool| {
            sqlx::query(
                "UPDATE deliveries SET dispatched_at_ms = $2 WHERE id = $1 AND dispatched_at_ms IS NULL",
            )
            .bind(id)
            .bind(at_ms)
            .execute(pool)
            .await?;
        })
    }

    /// The delivery with this id.
    pub async fn delivery(&self, id: &str) -> Result<Option<Delivery>, StoreError> {
        reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(deliveries),
                " FROM deliveries WHERE id = $1"
            ))
            .bind(id)
            .fetch_optional(pool)
            .await?
        })
    }

    /// The newest deliveries first.
    pub async fn deliveries(
        &self,
        limit: u32,
        filter: DeliveryFilter<'_>,
    ) -> Result<Vec<Delivery>, StoreError> {
        reading!(self, |pool| {
            sqlx::query_as(
                concat!("SELECT ", crate::store::columns!(deliveries), " FROM deliveries
                 WHERE ($1 IS NULL OR repository = $1)
                   AND (($2 IS NULL AND $3 IS NULL) OR EXISTS (
                       SELECT 1 FROM verdicts WHERE verdicts.delivery_id = deliveries.id
                           AND ($2 IS NULL OR verdicts.deployment = $2) AND ($3 IS NULL OR verdicts.code = $3)))
                 ORDER BY received_at_ms DESC, entry DESC LIMIT $4"),
            )
            .bind(filter.repository)
            .bind(filter.deployment)
            .bind(filter.code)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?
        })
    }
}
