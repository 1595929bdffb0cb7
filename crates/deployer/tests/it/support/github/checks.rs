//! What CI says of commits: check runs (`checks/list-for-ref`) and the statuses of others than the deployer
//! (`repos/get-combined-status-for-ref`, which gives the newest of each context).

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// By commit and name.
#[derive(Debug, Default)]
pub struct Checks {
    runs: BTreeMap<(String, String), (String, Option<String>)>,
    contexts: BTreeMap<(String, String), String>,
}

impl Checks {
    /// A check run with this status, or, where it is none, with this conclusion.
    pub fn set_run(&mut self, commit: &str, name: &str, word: &str) {
        let state = match word {
            "queued" | "in_progress" => (word.to_owned(), None),
            conclusion => ("completed".to_owned(), Some(conclusion.to_owned())),
        };
        self.runs.insert((commit.to_owned(), name.to_owned()), state);
    }

    /// The status of a context.
    pub fn set_context(&mut self, commit: &str, context: &str, state: &str) {
        self.contexts.insert((commit.to_owned(), context.to_owned()), state.to_owned());
    }

    /// The answer to `GET commits/{commit}/check-runs`.
    pub fn check_runs(&self, url: &str, commit: &str) -> Value {
        let of_commit = self.runs.iter().filter(|((of, _), _)| of == commit);
        let runs: Vec<Value> = of_commit
            .zip(1..)
            .map(|(((_, name), (status, conclusion)), id)| {
                json!({
                    "id": id,
                    "head_sha": commit,
                    "node_id": format!("CR_{id}"),
                    "external_id": "",
                    "url": format!("{url}/check-runs/{id}"),
                    "html_url": null,
                    "details_url": null,
                    "status": status,
                    "conclusion": conclusion,
                    "started_at": "2026-11-23T12:00:00Z",
                    "completed_at": null,
                    "output": { "title": null, "summary": null, "text": null, "annotations_count": 0,
                        "annotations_url": format!("{url}/check-runs/{id}/annotations") },
                    "name": name,
                    "check_suite": { "id": 1 },
                    "app": null,
                    "pull_requests": [],
                })
            })
            .collect();
        json!({ "total_count": runs.len(), "check_runs": runs })
    }

    /// The answer to `GET commits/{commit}/status`, where the deployer itself has reported these.
    pub fn combined_status(&self, url: &str, commit: &str, reported: &[Value]) -> Value {
        let mut newest: BTreeMap<&str, Value> = BTreeMap::new();
        for status in reported {
            newest.insert(status["context"].as_str().unwrap_or_default(), status.clone());
        }
        for ((_, context), state) in self.contexts.iter().filter(|((of, _), _)| of == commit) {
            newest.insert(context, json!({ "context": context, "state": state }));
        }
        let statuses: Vec<Value> = newest.into_values().collect();
        let is_all = |wanted: &str| statuses.iter().all(|status| status["state"] == wanted);
        let state = if !statuses.is_empty() && is_all("success") { "success" } else { "pending" };
        json!({ "state": state, "statuses": statuses, "sha": commit, "total_count": statuses.len(),
            "url": format!("{url}/commits/{commit}/status") })
    }
}
