//! Deliveries as GitHub makes them: real example payloads with the names and ids of a test's repository,
//! signed as GitHub's documentation says.

use super::http::Request;
use super::octokit;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::atomic::{AtomicU64, Ordering};

/// How GitHub writes "no commit".
pub const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// One webhook request to be.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub event: String,
    pub guid: String,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

impl Delivery {
    /// Any event with any body, under a new GUID.
    pub fn new(event: &str, body: Vec<u8>) -> Self {
        Self { event: event.to_owned(), guid: guid(), content_type: "application/json", body }
    }

    /// An event with a JSON payload.
    pub fn of(event: &str, payload: &Value) -> Self {
        Self::new(event, payload.to_string().into_bytes())
    }

    /// A push that moved `reference` (`refs/heads/main`) of `repository` (`owner/name`).
    pub fn push(repository: &str, reference: &str, before: &str, after: &str) -> Self {
        Self::of("push", &push_payload(repository, reference, before, after))
    }

    /// A push that deleted `reference`.
    pub fn deletion(repository: &str, reference: &str, before: &str) -> Self {
        Self::push(repository, reference, before, NO_COMMIT)
    }

    /// What GitHub sends about the checks of a commit: `check_run`, `check_suite`, `status` or `workflow_run`.
    pub fn checked(event: &str, repository: &str, commit: &str) -> Self {
        let mut payload = octokit::example(event, |payload| payload.get("repository").is_some());
        rename(&mut payload, repository);
        bring_up_to_date(&mut payload);
        match event {
            "status" => payload["sha"] = json!(commit),
            about => payload[about]["head_sha"] = json!(commit),
        }
        // No two of GitHub's are the same.
        payload["sender"]["node_id"] = json!(guid());
        Self::of(event, &payload)
    }

    /// What GitHub sends first of all.
    pub fn ping(repository: &str) -> Self {
        let mut payload = octokit::example("ping", |payload| payload.get("repository").is_some());
        // The example is older than GitHub's own schema.
        payload["hook"]["deliveries_url"] = json!("https://api.github.com/repos/o/r/hooks/1/deliveries");
        bring_up_to_date(&mut payload);
        rename(&mut payload, repository);
        Self::of("ping", &payload)
    }

    /// The same again under another GUID, as an attacker who has captured it would send it.
    pub fn replayed(&self) -> Self {
        Self { guid: guid(), ..self.clone() }
    }

    /// The same payload in GitHub's other content type.
    pub fn form_encoded(&self) -> Self {
        let payload: String = form_urlencoded::byte_serialize(&self.body).collect();
        Self {
            content_type: "application/x-www-form-urlencoded",
            body: format!("payload={payload}").into_bytes(),
            ..self.clone()
        }
    }

    /// GitHub's headers, without a signature.
    pub fn unsigned(&self) -> Request {
        Request::new("POST", "/github-webhook")
            .header("User-Agent", "GitHub-Hookshot/044aadd")
            .header("Accept", "*/*")
            .header("Content-Type", self.content_type)
            .header("X-GitHub-Event", &self.event)
            .header("X-GitHub-Delivery", &self.guid)
            .header("X-GitHub-Hook-ID", "292430182")
            .header("X-GitHub-Hook-Installation-Target-ID", "79929171")
            .header("X-GitHub-Hook-Installation-Target-Type", "repository")
    }

    /// The whole request, signed.
    pub fn signed(&self, secret: &str) -> Request {
        self.unsigned().header("X-Hub-Signature-256", signature(secret, &self.body)).body(&self.body)
    }
}

/// What GitHub's own schema wants of a repository, and examples that are older than it do not have.
fn bring_up_to_date(payload: &mut Value) {
    for (field, value) in [
        ("is_template", json!(false)),
        ("web_commit_signoff_required", json!(false)),
        ("topics", json!([])),
        ("visibility", json!("public")),
        ("custom_properties", json!({})),
    ] {
        payload["repository"][field] = value;
    }
}

/// `sha256=` and 64 hexadecimal digits.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A delivery GUID that was never used before.
pub fn guid() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A real push payload with these names and ids in every place in which GitHub writes them.
pub fn push_payload(repository: &str, reference: &str, before: &str, after: &str) -> Value {
    // In seconds; at GitHub no two pushes are the same, because it says when each was made.
    static PUSHED_AT: AtomicU64 = AtomicU64::new(1_790_000_000);
    let mut payload = octokit::example("push", |payload| payload["ref"] == "refs/heads/master");
    rename(&mut payload, repository);
    let deleted = after == NO_COMMIT;
    payload["ref"] = json!(reference);
    payload["repository"]["pushed_at"] = json!(PUSHED_AT.fetch_add(1, Ordering::Relaxed));
    payload["before"] = json!(before);
    payload["after"] = json!(after);
    payload["created"] = json!(before == NO_COMMIT);
    payload["deleted"] = json!(deleted);
    payload["compare"] = json!(format!("https://github.com/{repository}/compare/{before}...{after}"));
    payload["head_commit"]["id"] = json!(after);
    if deleted {
        payload["head_commit"] = Value::Null;
        payload["commits"] = json!([]);
    } else {
        payload["commits"] = json!([payload["head_commit"]]);
    }
    payload
}

/// Gives the payload's repository another name, in its URLs too.
fn rename(payload: &mut Value, repository: &str) {
    let (owner, name) = repository.split_once('/').expect("a repository is called owner/name");
    let before = payload["repository"]["full_name"].as_str().expect("a real payload").to_owned();
    for value in payload["repository"].as_object_mut().expect("a real payload").values_mut() {
        if let Value::String(text) = value {
            *text = text.replace(&before, repository);
        }
    }
    payload["repository"]["name"] = json!(name);
    payload["repository"]["owner"]["login"] = json!(owner);
    payload["repository"]["owner"]["name"] = json!(owner);
}

/// GitHub's published test vector: what signs here signs there.
#[test]
fn signs_as_github_documents() {
    let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert_eq!(signature("It's a Secret to Everybody", b"Hello, World!"), expected);
}
