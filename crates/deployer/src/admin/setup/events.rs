//! Events of the Python tool as deliveries of ours, and the way back.

use crate::base::clock;
use crate::base::digest::sha256_hex;
use crate::base::names::DeliveryId;
use crate::github::webhook_event::Reading;
use crate::queue::entry::{Entry, EntrySource, Header, Payload};
use anyhow::Result;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use spool::Spool;
use std::path::Path;

/// An event of the Python tool's, as it writes one.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
}

/// Such an event as an entry of ours. `None`: it is none.
pub fn entry_of(text: &[u8]) -> Option<(Header, String)> {
    let event: Event<'_> = serde_json::from_slice(text).ok()?;
    let payload = event.payload.get().to_owned();
    payload.starts_with('{').then_some(())?;
    let id = event.id.and_then(|id| DeliveryId::parse(&id).ok());
    let id = id.unwrap_or_else(|| {
        DeliveryId::of_reconcile(&format!("taken along {}", sha256_hex(payload.as_bytes())))
    });
    let kind = event.kind.unwrap_or_default();
    let mut header = Header::new(
        id,
        &kind,
        EntrySource::Github,
        "the queues of the Python tool".into(),
        payload.as_bytes(),
    );
    header.reading = Some(Reading::of_entry(&kind, &payload));
    Some((header, payload))
}

/// A spool of ours, opened by its owner.
pub fn open_spool(directory: &Path) -> Result<Spool> {
    let now = || u64::try_from(clock::now().as_nanosecond()).unwrap_or(0);
    Ok(Spool::open(directory, now)?)
}

/// An entry of ours as an event of the Python tool: its id, and its text.
pub fn event_of(entry: &Entry<'_>) -> Option<(String, String)> {
    let (EntrySource::Github, Payload::Json(payload)) = (entry.header.source, &entry.payload) else {
        return None;
    };
    let payload: &RawValue = serde_json::from_str(payload).ok()?;
    let kind = Some(entry.header.event.as_str()).filter(|kind| !kind.is_empty());
    let id = entry.header.id.to_string();
    let event = json!({ "payload": payload, "type": kind, "id": id, "__dataclass__": "GitHubEvent" });
    Some((id, serde_json::to_string_pretty(&event).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::names::{BranchName, CommitId, RepositoryName};
    use crate::queue::job::{Job, JobKind, webhook_job};
    use serde_json::Value;

    #[test]
    fn an_event_of_the_old_tool_is_a_delivery_of_ours() {
        let text = br#"{
  "payload": {"ref": "refs/heads/main", "repository": {"full_name": "acme/site"}, "after": "x"},
  "type": "push",
  "id": "0b989ba4-242f-11e5-81e1-c7b6966d2516",
  "__dataclass__": "GitHubEvent"
}"#;
        let (header, payload) = entry_of(text).unwrap();
        assert_eq!(
            (header.event.as_str(), header.id.as_str()),
            ("push", "0b989ba4-242f-11e5-81e1-c7b6966d2516")
        );
        let bytes = header.with_payload(payload.as_bytes());
        // And the way back.
        let (id, event) = event_of(&Entry::parse(&bytes).unwrap()).unwrap();
        let (again, same) = entry_of(event.as_bytes()).unwrap();
        assert_eq!((id.as_str(), again.id.as_str()), (header.id.as_str(), header.id.as_str()));
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(value(&same), value(&payload));
        // What waits for one deployment is a job by then; it says as much as the old tool goes by.
        let commit = CommitId::parse(&"a".repeat(40)).unwrap();
        let job = Job::of_webhook(JobKind::Push, Some(commit), &header.payload_sha256);
        let (repository, branch) =
            (RepositoryName::parse("acme/site").unwrap(), BranchName::parse("main").unwrap());
        let bytes = webhook_job(&header, &job, &repository, &branch);
        let (id, event) = event_of(&Entry::parse(&bytes).unwrap()).unwrap();
        let event: Value = serde_json::from_str(&event).unwrap();
        assert_eq!((id.as_str(), &event["type"]), (header.id.as_str(), &json!("push")));
        let expected = json!({
            "ref": "refs/heads/main", "after": "a".repeat(40), "head_commit": { "id": "a".repeat(40) },
            "repository": { "full_name": "acme/site" },
        });
        assert_eq!(event["payload"], expected);
        // Headers may have been missing; then twice is still once.
        let without =
            br#"{"payload": {"zen": "x"}, "type": null, "id": null, "__dataclass__": "GitHubEvent"}"#;
        assert_eq!(entry_of(without).unwrap().0.id, entry_of(without).unwrap().0.id);
        for nonsense in [&b"{"[..], b"[]", br#"{"payload": 1, "type": "push", "id": null}"#] {
            assert!(entry_of(nonsense).is_none());
        }
    }
}
