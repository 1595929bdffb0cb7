//! Just enough HTTP/1.1 for a load generator: a request as bytes, the status of an answer.

use anyhow::{Context, Result, bail};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Longer than any answer that counts.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Heads of answers are shorter.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A signed push to be sent many times, each time as another delivery.
#[derive(Debug)]
pub struct SignedPush {
    before_guid: String,
    after_guid: String,
    body: Vec<u8>,
}

impl SignedPush {
    /// For `path` of a server that knows `secret`.
    pub fn new(path: &str, secret: &str, body: Vec<u8>, keep_alive: bool) -> Self {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(&body);
        let signature = hex::encode(mac.finalize().into_bytes());
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let before_guid = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\
             User-Agent: GitHub-Hookshot/044aadd\r\nContent-Type: application/json\r\n\
             X-GitHub-Event: push\r\nX-Hub-Signature-256: sha256={signature}\r\n\
             Content-Length: {}\r\nX-GitHub-Delivery: ",
            body.len()
        );
        Self { before_guid, after_guid: "\r\n\r\n".into(), body }
    }

    /// Sends it once, as a delivery that nobody has seen, and gives the status of the answer.
    pub fn send(&self, connection: &mut TcpStream) -> Result<u16> {
        let guid = guid();
        let parts = [self.before_guid.as_bytes(), guid.as_bytes(), self.after_guid.as_bytes(), &self.body];
        connection.write_all(&parts.concat()).context("cannot send")?;
        read_status(connection)
    }
}

/// A connection without delays of its own.
pub fn connect(address: &str) -> Result<TcpStream> {
    let connection = TcpStream::connect(address).with_context(|| format!("cannot reach {address}"))?;
    connection.set_nodelay(true).context("a TCP socket has no delay to switch off")?;
    connection.set_read_timeout(Some(READ_TIMEOUT)).context("a positive timeout is accepted")?;
    Ok(connection)
}

/// A GUID that no delivery of this process, and none of an earlier one, has had.
pub fn guid() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}-0000-4000-8000-{number:012x}", std::process::id())
}

/// A push of exactly so many bytes: real members, and commits until it is long enough.
pub fn push_body(repository: &str, reference: &str, after: &str, bytes: usize) -> Vec<u8> {
    let (owner, name) = repository.split_once('/').expect("a repository is called owner/name");
    let zeros = "0".repeat(40);
    let commit = |message: &str| {
        serde_json::json!({
            "id": after, "tree_id": zeros, "distinct": true, "message": message,
            "timestamp": "2026-11-23T12:00:00Z", "url": format!("https://github.com/{repository}/commit/{after}"),
            "author": { "name": "Ada", "email": "ada@example.org", "username": "ada" },
            "committer": { "name": "Ada", "email": "ada@example.org", "username": "ada" },
            "added": ["index.html"], "removed": [], "modified": ["src/main.rs", "README.md"],
        })
    };
    let mut payload = serde_json::json!({
        "ref": reference, "before": zeros, "after": after, "created": false, "deleted": false, "forced": false,
        "base_ref": null, "compare": format!("https://github.com/{repository}/compare/main"),
        "commits": [], "head_commit": commit("Change the page"),
        "repository": {
            "id": 186_853_002, "name": name, "full_name": repository, "private": false,
            "owner": { "name": owner, "login": owner, "id": 21_031_067 },
            "html_url": format!("https://github.com/{repository}"), "default_branch": "main",
        },
        "pusher": { "name": "ada", "email": "ada@example.org" },
        "sender": { "login": "ada", "id": 21_031_067, "type": "User" },
    });
    let one = commit("One of many").to_string().len() + 1;
    let room = bytes.saturating_sub(payload.to_string().len());
    payload["commits"] = (0..room / one).map(|_| commit("One of many")).collect();
    let mut text = payload.to_string();
    // JSON may be followed by white space.
    text.extend(std::iter::repeat_n(' ', bytes.saturating_sub(text.len())));
    text.into_bytes()
}

/// Reads one whole answer and gives its status.
fn read_status(connection: &mut TcpStream) -> Result<u16> {
    let mut bytes = Vec::with_capacity(1024);
    let mut chunk = [0; 4096];
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let count = connection.read(&mut chunk).context("no answer")?;
        if count == 0 || bytes.len() > HEAD_BYTES_MAX {
            bail!("the answer has no end: {:?}", String::from_utf8_lossy(&bytes));
        }
        bytes.extend_from_slice(&chunk[..count]);
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
    let status =
        head.split(' ').nth(1).and_then(|text| text.parse().ok()).context("the answer has no status")?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize =
        length.map_or(Ok(0), |text| text.trim().parse()).context("the answer's length is no number")?;
    let mut missing = length.saturating_sub(bytes.len() - head_end);
    while missing > 0 {
        let count = connection.read(&mut chunk).context("no end of the answer")?;
        if count == 0 {
            bail!("the answer is shorter than it says");
        }
        missing = missing.saturating_sub(count);
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_has_the_length_asked_for_and_is_json() {
        for bytes in super::super::PUSH_BYTES {
            let body = push_body("acme/site", "refs/heads/main", &"a".repeat(40), bytes);
            assert_eq!(body.len(), bytes);
            let payload: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
            assert!(payload["commits"].as_array().is_some_and(|commits| !commits.is_empty()));
        }
    }

    #[test]
    fn no_two_deliveries_share_a_guid() {
        let (first, second) = (guid(), guid());
        assert_ne!(first, second);
        assert_eq!(first.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    }
}
