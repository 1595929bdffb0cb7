//! What holds, and where each value came from: `durhack-deployer config show`.
//!
//! Flat, a line for each value, like `git config --list --show-origin`: easy to search and to compare between two
//! hosts. Secrets were replaced before they came here.

use serde::Serialize;
use std::fmt::Write;

/// The configuration as it was merged, with origins.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    shown: Vec<ShownValue>,
}

/// One value that holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShownValue {
    /// `deployments.api.branch`; list elements as `steps[0].run`.
    pub key: String,
    /// `"(hidden)"` for a secret.
    pub value: serde_json::Value,
    /// `config/default.toml:12`, `default`, `environment DATABASE_URL`, `credential webhook-secret` or `preset of REPOSITORY`.
    pub origin: String,
}

impl Merged {
    pub(crate) fn new(shown: Vec<ShownValue>) -> Self {
        Self { shown }
    }

    /// Every value that holds, defaults included.
    pub fn show(&self) -> &[ShownValue] {
        &self.shown
    }

    /// For people: `key = value  # origin`. JSON's texts, numbers and lists are TOML's too.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for ShownValue { key, value, origin } in &self.shown {
            writeln!(text, "{key} = {value}  # {origin}").expect("writing to a String does not fail");
        }
        text
    }

    /// For programs: a list of `{key, value, origin}`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.shown).expect("texts and JSON values are JSON")
    }
}
