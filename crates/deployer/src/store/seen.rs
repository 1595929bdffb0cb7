//! What was seen of deliveries, beyond themselves: bodies for years, and GUIDs that more than one body came under.

use super::pools::{reading, writing};
use super::{Delivery, Store, StoreError};

/// Bodies are remembered for so long after their deliveries may be forgotten: five years. A replay needs a secret that was never replaced
/// since.
pub(super) const SEEN_KEPT_MS: i64 = 5 * 365 * 24 * 3_600_000;

/// Bodies of one repository remembered at most, the newest: some 2 MB. Beyond, a replay is still judged by what was tried last.
pub(super) const SEEN_MAX: i64 = 10_000;

/// Remembers a body, unless it is known.
macro_rules! remember_body {
    ($executor:expr, $delivery:expr) => {{
        let delivery: &$crate::store::NewDelivery<'_> = $delivery;
        sqlx::query(
            "INSERT INTO seen_bodies (payload_sha256, delivery_id, seen_at_ms, repository) VALUES ($1, $2, $3, $4)
             ON CONFLICT (payload_sha256) DO NOTHING",
        )
        .bind(delivery.payload_sha256)
        .bind(delivery.id)
        .bind(delivery.received_at_ms)
        .bind(delivery.repository.unwrap_or_default().to_ascii_lowercase())
        .execute($executor)
        .await?
    }};
}
pub(super) use remember_body;

impl Store {
    /// The delivery that brought a body first, if it led to anything. It may be forgotten itself.
    pub async fn first_seen(&self, payload_sha256: &str) -> Result<Option<String>, StoreError> {
        reading!(self, |pool| {
            sqlx::query_scalar("SELECT delivery_id FROM seen_bodies WHERE payload_sha256 = $1")
                .bind(payload_sha256)
                .fetch_optional(pool)
                .await?
        })
    }

    /// Notes that a delivery came under a GUID that an earlier one with another body has.
    pub async fn note_guid(&self, delivery_id: &str, guid: &str) -> Result<(), StoreError> {
        writing!(self, |pool| {
            sqlx::query(
                "INSERT INTO deliveries_of_guids (delivery_id, guid) VALUES ($1, $2)
                 ON CONFLICT (delivery_id) DO NOTHING",
            )
            .bind(delivery_id)
            .bind(guid)
            .execute(pool)
            .await?;
        })
    }

    /// Further deliveries under a GUID, the oldest first.
    pub async fn further_deliveries(&self, guid: &str) -> Result<Vec<Delivery>, StoreError> {
        reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(deliveries),
                " FROM deliveries
                     WHERE id IN (SELECT delivery_id FROM deliveries_of_guids WHERE guid = $1)
                     ORDER BY received_at_ms, id"
            ))
            .bind(guid)
            .fetch_all(pool)
            .await?
        })
    }
}
