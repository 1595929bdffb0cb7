//! What CI says of commits: check runs (`checks/list-for-ref`) and the statuses of others than the deployer
//! (`repos/get-combined-status-for-ref`, which gives the newest of each context).

use super::rights::addresses;
use super::{Answer, Known, Request, not_found, now, problem, user};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// By commit and name.
#[derive(Debug, Default)]
pub struct Checks {
    runs: BTreeMap<(String, String), (String, Option<String>)>,
    contexts: BTreeMap<(String, String), String>,
}

pub fn route(known: &mut Known, request: &Request) -> Option<Answer> {
    match (request.method.as_str(), request.segments().as_slice()) {
        ("GET", ["repos", owner, name, "commits", commit, what @ ("check-runs" | "status")]) => {
            Some(answer(known, &format!("{owner}/{name}"), commit, what))
        }
        _ => None,
    }
}

fn answer(known: &Known, repository: &str, commit: &str, what: &str) -> Answer {
    let Some(commits) = known.repositories.get(repository) else { return not_found() };
    if !commits.contains(commit) {
        return problem(422, &format!("No commit found for SHA: {commit}"));
    }
    let url = format!("{}/repos/{repository}", known.url);
    let reported = known.statuses.get(&(repository.to_owned(), commit.to_owned()));
    Answer::new(
        200,
        match what {
            "check-runs" => known.checks.check_runs(&url, commit),
            _ => known.checks.combined_status(&url, repository, commit, reported.map_or(&[], Vec::as_slice)),
        },
    )
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
    pub fn combined_status(&self, url: &str, repository: &str, commit: &str, reported: &[Value]) -> Value {
        let mut newest: BTreeMap<&str, Value> = BTreeMap::new();
        for status in reported {
            newest.insert(status["context"].as_str().unwrap_or_default(), status.clone());
        }
        for (((_, context), state), id) in self.contexts.iter().filter(|((of, _), _)| of == commit).zip(1..) {
            let status = json!({
                "url": format!("{url}/statuses/{commit}"),
                "avatar_url": null,
                "id": id,
                "node_id": format!("SC_ci_{id}"),
                "state": state,
                "description": null,
                "target_url": null,
                "context": context,
                "created_at": now(),
                "updated_at": now(),
            });
            newest.insert(context, status);
        }
        let statuses: Vec<Value> = newest.into_values().collect();
        let is_all = |wanted: &str| statuses.iter().all(|status| status["state"] == wanted);
        let state = if !statuses.is_empty() && is_all("success") { "success" } else { "pending" };
        json!({
            "state": state,
            "statuses": statuses,
            "sha": commit,
            "total_count": statuses.len(),
            "repository": minimal_repository(url, repository),
            "commit_url": format!("{url}/commits/{commit}"),
            "url": format!("{url}/commits/{commit}/status"),
        })
    }
}

/// What GitHub says of a repository beside something else.
fn minimal_repository(url: &str, full_name: &str) -> Value {
    let (owner, name) = full_name.split_once('/').unwrap_or_default();
    let mut repository = addresses(url);
    let rest = json!({ "id": 1, "node_id": "R_1", "name": name, "full_name": full_name, "owner": user(owner),
        "private": false, "fork": false, "description": null, "url": url });
    repository.extend(rest.as_object().cloned().unwrap_or_default());
    Value::Object(repository)
}
