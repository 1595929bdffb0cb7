//! `meta/get`: the networks from which webhooks come, and the host keys of the ssh servers.

use super::{Answer, GitHub, Known, Request};
use serde_json::{Value, json};

#[derive(Debug)]
pub struct Meta {
    /// Ranges from which webhooks come.
    hooks: Vec<String>,
    ssh_keys: Vec<String>,
    /// Raised by every change.
    version: u64,
    /// What is answered instead of the truth, whatever it is.
    pub nonsense: Option<Vec<u8>>,
}

impl GitHub {
    /// Replaces the ranges in `/meta`, which gets another `ETag`.
    pub fn set_hooks(&self, networks: &[&str]) {
        let mut known = self.known();
        known.meta.hooks = networks.iter().map(|&network| network.to_owned()).collect();
        known.meta.version += 1;
    }

    /// The host keys in `/meta`, `TYPE BASE64`.
    pub fn set_ssh_keys(&self, keys: &[&str]) {
        let mut known = self.known();
        known.meta.ssh_keys = keys.iter().map(|&key| key.to_owned()).collect();
        known.meta.version += 1;
    }

    /// From now on `/meta` answers with these bytes, and 200; None: with the truth again.
    pub fn set_meta_answer(&self, answer: Option<&[u8]>) {
        self.known().meta.nonsense = answer.map(<[u8]>::to_vec);
    }
}

impl Default for Meta {
    fn default() -> Self {
        let hooks = ["192.30.252.0/22", "140.82.112.0/20", "2a0a:a440::/29"];
        Self { hooks: hooks.map(str::to_owned).to_vec(), ssh_keys: Vec::new(), version: 1, nonsense: None }
    }
}

pub fn route(known: &mut Known, request: &Request) -> Option<Answer> {
    let ("GET", ["meta"]) = (request.method.as_str(), request.segments().as_slice()) else { return None };
    let etag = format!("W/\"{:016x}\"", known.meta.version);
    let unchanged = request.header("if-none-match") == Some(etag.as_str());
    let answer = if unchanged {
        Answer::new(304, Value::Null)
    } else {
        let body = json!({
            "verifiable_password_authentication": false,
            "hooks": known.meta.hooks,
            "ssh_keys": known.meta.ssh_keys,
        });
        Answer::new(200, body)
    };
    Some(answer.header("etag", etag).header("cache-control", "public, max-age=60, s-maxage=60"))
}
