//! `/meta`: the networks from which webhooks come.

use super::{Answer, Known, Request};
use serde_json::{Value, json};

#[derive(Debug)]
pub struct Meta {
    /// Ranges from which webhooks come.
    pub hooks: Vec<String>,
    /// Raised by every change.
    pub version: u64,
}

impl Default for Meta {
    fn default() -> Self {
        let hooks = ["192.30.252.0/22", "140.82.112.0/20", "2a0a:a440::/29"];
        Self { hooks: hooks.map(str::to_owned).to_vec(), version: 1 }
    }
}

pub fn route(known: &mut Known, request: &Request) -> Option<Answer> {
    let ("GET", ["meta"]) = (request.method.as_str(), request.segments().as_slice()) else { return None };
    let etag = format!("W/\"{:016x}\"", known.meta.version);
    let unchanged = request.header("if-none-match") == Some(etag.as_str());
    let answer = if unchanged {
        Answer::new(304, Value::Null)
    } else {
        let body = json!({ "verifiable_password_authentication": false, "hooks": known.meta.hooks });
        Answer::new(200, body)
    };
    Some(answer.header("etag", etag).header("cache-control", "public, max-age=60, s-maxage=60"))
}
