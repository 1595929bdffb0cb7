//! A spool entry: the one document through which the stations of a push meet.
//!
//! It is one JSON object with the payload last, byte for byte as it was signed, so that `jq .payload.ref` works on the file.
//!
//! What a webhook says is read once, before the entry is written, and stands in the entry beside the payload (`reading`): dispatch
//! believes that and does not read the payload again. Entries of 0.1.0 have none and are read when they are taken up.
//!
//! In a deployment's spool an entry carries a job ([`super::job`]), with a checksum of its own. It is not read here.
//!
//! A body that was correctly signed but is no JSON object has no `payload`; it is kept as `body_base64`. So is one that says nothing that
//! can be read and is long: its beginning, with what it was (`cut`).

use crate::base::digest::sha256_hex;
use crate::base::names::DeliveryId;
use crate::github::webhook_event::{Event, Reading};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version that this program writes and the only one it reads.
pub const VERSION: u32 = 1;

/// Digits of a body's hash in the name of its entry: as many as fit in an id of a spool behind a GUID.
const SPOOL_ID_DIGITS: usize = spool::ID_BYTES_MAX - 37;

/// Where an entry came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntrySource {
    /// A webhook whose signature was right.
    Github,
    /// Somebody at the command line.
    Operator,
    /// Our own comparison of what should be live with what is.
    Reconcile,
}

/// Everything about an entry but its payload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    pub version: u32,
    /// GitHub's delivery GUID, or one of ours.
    pub id: DeliveryId,
    /// `X-GitHub-Event`, or `deploy`, `rollback`, `approve`, `release`; empty where the header was missing.
    pub event: String,
    /// RFC 3339, UTC.
    pub received_at: jiff::Timestamp,
    /// Where it came from.
    pub source: EntrySource,
    /// The client as the proxies' headers gave it; who asked, for an operator's entry.
    pub remote_address: String,
    /// Of the payload's bytes (or of the body's, where it is no JSON object), in hexadecimal.
    pub payload_sha256: String,
    /// What a webhook says, as it was read when it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
    /// Where only the beginning of a body is kept, since it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

/// What became of a body of which only the beginning is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// How long it was. Its hash is `payload_sha256`.
    pub bytes: u64,
    /// Of what is kept, in hexadecimal.
    pub kept_sha256: String,
}

/// An entry as read back.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Everything but job and payload.
    pub header: Header,
    /// The job, as JSON. None: a delivery in the spool `main`, or what 0.1.0 put into a deployment's spool.
    pub job: Option<&'a str>,
    /// The payload's bytes, or why there are none to read.
    pub payload: Payload<'a>,
}

/// What an entry carries.
#[derive(Debug)]
pub enum Payload<'a> {
    /// JSON, byte for byte.
    Json(&'a str),
    /// What came instead.
    Malformed(Vec<u8>),
}

/// Why a file in a spool is not an entry.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEntry {
    /// Not the document that this module writes.
    #[error("not a spool entry: {0}")]
    Syntax(#[from] serde_json::Error),
    /// Written by another version of this program.
    #[error("the entry has version {0}; this program reads version {VERSION}")]
    Version(u32),
    /// The bytes have changed since they were written.
    #[error("the payload is not what was received: its SHA-256 is {found}, not {expected}")]
    Checksum {
        /// Of the bytes found.
        found: String,
        /// As recorded when it arrived.
        expected: String,
    },
    /// The job has changed since it was written.
    #[error("the job is not what was written: its SHA-256 is {found}, not {expected}")]
    JobChecksum {
        /// Of the bytes found.
        found: String,
        /// As recorded when it was written.
        expected: String,
    },
    /// Neither payload nor body.
    #[error("the entry carries neither `payload` nor `body_base64`")]
    Empty,
}

/// The JSON white space that may surround a payload without being part of it.
pub fn trimmed(body: &[u8]) -> &[u8] {
    let white = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let start = body.iter().position(|byte| !white(byte)).unwrap_or(body.len());
    let end = body.iter().rposition(|byte| !white(byte)).map_or(start, |last| last + 1);
    &body[start..end]
}

impl Header {
    /// A header for these payload bytes.
    pub fn new(
        id: DeliveryId,
        event: &str,
        source: EntrySource,
        remote_address: String,
        payload: &[u8],
    ) -> Self {
        Self {
            version: VERSION,
            id,
            event: event.to_owned(),
            received_at: crate::base::clock::now(),
            source,
            remote_address,
            payload_sha256: sha256_hex(payload),
            reading: None,
            cut: None,
        }
    }

    /// Whether what a webhook says could not be read.
    pub fn is_malformed(&self) -> bool {
        matches!(&self.reading, Some(Reading { event: Event::Malformed(_), .. }))
    }

    /// Says that only so many bytes of the body are kept, from its beginning.
    pub fn cut(&mut self, body: &[u8], bytes_max: usize) {
        let kept = &body[..body.len().min(bytes_max)];
        self.cut = Some(Cut { bytes: body.len() as u64, kept_sha256: sha256_hex(kept) });
    }

    /// The name that the entry has in the spool of deliveries: nobody signs the id, so that it alone does not say whether two are the
    /// same. With the first digits of the body's hash, which no other body has, two that differ both have their place.
    pub fn spool_id(&self) -> String {
        format!("{}-{}", self.id, self.hash_in_spool_id())
    }

    /// What of the body's hash is in [`spool_id`](Self::spool_id).
    pub fn hash_in_spool_id(&self) -> &str {
        self.payload_sha256.get(..SPOOL_ID_DIGITS).unwrap_or(&self.payload_sha256)
    }

    /// The entry's bytes in front of and behind a JSON payload, so that the payload itself need not be copied.
    pub fn around_payload(&self) -> (Vec<u8>, &'static [u8]) {
        let mut start = serde_json::to_vec(self).expect("a header of strings and numbers serialises");
        start.pop();
        start.extend_from_slice(b",\"payload\":");
        (start, b"}\n")
    }

    /// The bytes of an entry for a payload that is JSON.
    pub fn with_payload(&self, payload: &[u8]) -> Vec<u8> {
        let (mut bytes, end) = self.around_payload();
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(end);
        bytes
    }

    /// The bytes of an entry that carries a job, both JSON.
    pub fn with_job(&self, job: &str, payload: &str) -> Vec<u8> {
        let mut text = serde_json::to_string(self).expect("a header of strings and numbers serialises");
        text.pop();
        let job_sha256 = sha256_hex(job.as_bytes());
        text.push_str(&format!(",\"job\":{job},\"job_sha256\":\"{job_sha256}\",\"payload\":{payload}}}\n"));
        text.into_bytes()
    }

    /// The bytes of an entry for a body that is not JSON.
    pub fn with_malformed_body(&self, body: &[u8]) -> Vec<u8> {
        let mut start = serde_json::to_string(self).expect("a header of strings and numbers serialises");
        start.pop();
        start.push_str(",\"body_base64\":\"");
        let end = "\"}\n";
        // In one piece and without a second copy: it may be 34 MiB.
        let mut text = String::with_capacity(start.len() + body.len().div_ceil(3) * 4 + end.len());
        text.push_str(&start);
        BASE64.encode_string(body, &mut text);
        text.push_str(end);
        text.into_bytes()
    }
}

impl<'a> Entry<'a> {
    /// Reads an entry and checks it against its own checksum.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, InvalidEntry> {
        #[derive(Deserialize)]
        struct Document<'a> {
            #[serde(borrow)]
            job: Option<&'a RawValue>,
            job_sha256: Option<String>,
            #[serde(borrow)]
            payload: Option<&'a RawValue>,
            body_base64: Option<String>,
        }
        let header: Header = serde_json::from_slice(bytes)?;
        if header.version != VERSION {
            return Err(InvalidEntry::Version(header.version));
        }
        let document: Document = serde_json::from_slice(bytes)?;
        let payload = match (document.payload, document.body_base64) {
            (Some(raw), _) => Payload::Json(raw.get()),
            (None, Some(text)) => Payload::Malformed(BASE64.decode(text).unwrap_or_default()),
            (None, None) => return Err(InvalidEntry::Empty),
        };
        let found = sha256_hex(match &payload {
            Payload::Json(text) => text.as_bytes(),
            Payload::Malformed(body) => body,
        });
        let expected = header.cut.as_ref().map_or(&header.payload_sha256, |cut| &cut.kept_sha256);
        if found != *expected {
            return Err(InvalidEntry::Checksum { found, expected: expected.clone() });
        }
        let job = document.job.map(RawValue::get);
        if let Some(job) = job {
            let (found, expected) = (sha256_hex(job.as_bytes()), document.job_sha256.unwrap_or_default());
            if found != expected {
                return Err(InvalidEntry::JobChecksum { found, expected });
            }
        }
        Ok(Self { header, job, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry_of(payload: &[u8]) -> Vec<u8> {
        let header =
            Header::new(DeliveryId::generate(), "push", EntrySource::Github, "192.0.2.1".into(), payload);
        let (mut bytes, end) = header.around_payload();
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(end);
        bytes
    }

    #[test]
    fn the_payload_comes_back_byte_for_byte() {
        let payload = br#"{"b": 1,  "a":"\u00e9 \/ e","n":1.000000000000000000001}"#;
        let bytes = entry_of(payload);
        let entry = Entry::parse(&bytes).unwrap();
        assert!(matches!(entry.payload, Payload::Json(text) if text.as_bytes() == payload));
        assert_eq!(entry.header.event, "push");
    }

    #[test]
    fn an_entry_of_an_older_deployer_is_read_and_has_no_reading() {
        let old = br#"{"version":1,"id":"0b989ba4-242f-11e5-81e1-c7b6966d2516","event":"push","received_at":"2026-01-01T00:00:00Z","source":"github","remote_address":"192.0.2.1","payload_sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","payload":{}}"#;
        let entry = Entry::parse(old).unwrap();
        assert_eq!((entry.header.reading, entry.header.event.as_str()), (None, "push"));
    }

    #[test]
    fn bodies_that_differ_have_different_places_under_one_id() {
        let id = DeliveryId::generate();
        let spool_id = |body: &[u8]| {
            Header::new(id.clone(), "push", EntrySource::Github, String::new(), body).spool_id()
        };
        assert_eq!(spool_id(b"one"), spool_id(b"one"));
        assert_ne!(spool_id(b"one"), spool_id(b"two"));
        assert!(spool_id(b"one").starts_with(id.as_str()) && spool_id(b"one").len() <= spool::ID_BYTES_MAX);
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let bytes = entry_of(br#"{"after":"1111"}"#);
        let text = String::from_utf8(bytes).unwrap().replace("1111", "2222");
        assert!(matches!(Entry::parse(text.as_bytes()), Err(InvalidEntry::Checksum { .. })));
    }

    #[test]
    fn a_body_that_is_not_json_is_kept() {
        let body = b"\xff\xfenot json\0";
        let header = Header::new(DeliveryId::generate(), "push", EntrySource::Github, String::new(), body);
        let bytes = header.with_malformed_body(body);
        let entry = Entry::parse(&bytes).unwrap();
        assert!(matches!(entry.payload, Payload::Malformed(kept) if kept == body));
    }

    #[test]
    fn of_a_long_body_that_cannot_be_read_the_beginning_is_kept() {
        let body = [b'x'; 1000];
        let mut header =
            Header::new(DeliveryId::generate(), "push", EntrySource::Github, String::new(), &body);
        header.cut(&body, 100);
        let bytes = header.with_malformed_body(&body[..100]);
        let entry = Entry::parse(&bytes).unwrap();
        assert_eq!(entry.header.payload_sha256, sha256_hex(&body));
        assert_eq!(entry.header.cut.as_ref().map(|cut| cut.bytes), Some(1000));
        assert!(matches!(&entry.payload, Payload::Malformed(kept) if kept == &body[..100]));
        let changed = String::from_utf8(header.with_malformed_body(&body[..99])).unwrap();
        assert!(matches!(Entry::parse(changed.as_bytes()), Err(InvalidEntry::Checksum { .. })));
    }

    proptest! {
        #[test]
        fn nonsense_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::parse(&bytes);
        }

        #[test]
        fn a_cut_entry_is_refused(cut in 0usize..100) {
            let bytes = entry_of(br#"{"after":"1111"}"#);
            let cut = cut.min(bytes.len() - 3);
            prop_assert!(Entry::parse(&bytes[..cut]).is_err());
        }
    }
}
