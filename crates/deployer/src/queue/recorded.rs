//! What is remembered and told.
//!
//! [`store`] keeps deliveries, verdicts, runs, steps, releases and the outbox in SQLite or PostgreSQL;
//! [`run_log`] keeps what a run's commands printed, in files; [`report`] tells GitHub, from the outbox; [`comparison`] is what reconcile found last,
//! [`visibility`] who may see a repository.
//! Nothing here decides anything about a deploy.

use crate::base::names::{DeliveryId, Slug};
use crate::queue::entry::{EntrySource, Header};
use crate::store::{NewDelivery, Verdict, VerdictCode};

/// A delivery to record, as far as its entry's header tells.
pub fn delivery_of<'a>(header: &'a Header, entry: &'a str) -> NewDelivery<'a> {
    NewDelivery {
        id: header.id.as_str(),
        entry,
        event: &header.event,
        source: match header.source {
            EntrySource::Github => "github",
            EntrySource::Operator => "operator",
            EntrySource::Reconcile => "reconcile",
        },
        remote_address: &header.remote_address,
        received_at_ms: header.received_at.as_millisecond(),
        payload_sha256: &header.payload_sha256,
        repository: None,
        git_ref: None,
        commit_id: None,
        sender: None,
    }
}

/// A verdict of now; for no deployment, where the delivery concerns none.
pub fn verdict(
    delivery: &DeliveryId,
    deployment: Option<&Slug>,
    code: VerdictCode,
    sentence: &str,
) -> Verdict {
    Verdict {
        delivery_id: delivery.to_string(),
        deployment: deployment.map(Slug::to_string).unwrap_or_default(),
        code,
        sentence: sentence.to_owned(),
        run_id: None,
        decided_at_ms: crate::base::clock::now_ms(),
    }
}
