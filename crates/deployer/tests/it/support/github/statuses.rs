//! Commit statuses: `repos/create-commit-status`, `repos/list-commit-statuses-for-ref`.

use super::{Answer, Known, Request, not_found, now, problem, user, validation_failed};
use serde_json::{Value, json};

/// GitHub's limit for one commit and context.
pub const STATUSES_MAX: usize = 1000;

/// GitHub's limit of a description, in characters.
pub const DESCRIPTION_CHARACTERS_MAX: usize = 140;

/// A stored commit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub state: String,
    pub context: String,
    pub description: String,
    pub target_url: String,
}

impl Status {
    pub fn of(stored: &Value) -> Self {
        let text = |key: &str| stored[key].as_str().unwrap_or_default().to_owned();
        Self {
            state: text("state"),
            context: text("context"),
            description: text("description"),
            target_url: text("target_url"),
        }
    }
}

pub fn route(known: &mut Known, request: &Request) -> Option<Answer> {
    match (request.method.as_str(), request.segments().as_slice()) {
        ("POST", ["repos", owner, name, "statuses", commit]) => {
            Some(create(known, &format!("{owner}/{name}"), commit, &request.body))
        }
        ("GET", ["repos", owner, name, "commits", commit, "statuses"]) => {
            Some(list(known, &format!("{owner}/{name}"), commit))
        }
        _ => None,
    }
}

fn create(known: &mut Known, repository: &str, commit: &str, body: &[u8]) -> Answer {
    let Some(commits) = known.repositories.get(repository) else { return not_found() };
    if !commits.contains(commit) {
        return problem(422, &format!("No commit found for SHA: {commit}"));
    }
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return problem(400, "Problems parsing JSON");
    };
    if let Err(message) = check(&asked) {
        return validation_failed("Status", message);
    }
    let context = asked["context"].as_str().unwrap_or("default").to_owned();
    let key = (repository.to_owned(), commit.to_owned());
    let stored = known.statuses.entry(key).or_default();
    if stored.iter().filter(|status| status["context"] == context).count() >= known.statuses_max {
        return validation_failed(
            "Status",
            "This SHA and context has reached the maximum number of statuses.",
        );
    }
    let id = stored.len() as u64 + 1;
    let status = json!({
        "url": format!("{}/repos/{repository}/statuses/{commit}", known.url),
        "avatar_url": null,
        "id": id,
        "node_id": format!("SC_{id}"),
        "state": asked["state"],
        "description": asked["description"],
        "target_url": asked["target_url"],
        "context": context,
        "created_at": now(),
        "updated_at": now(),
        "creator": user("durhack-deployer"),
    });
    stored.push(status.clone());
    Answer::new(201, status)
}

fn list(known: &Known, repository: &str, commit: &str) -> Answer {
    if !known.repositories.contains_key(repository) {
        return not_found();
    }
    let stored = known.statuses.get(&(repository.to_owned(), commit.to_owned()));
    let newest_first: Vec<&Value> = stored.into_iter().flatten().rev().collect();
    Answer::new(200, json!(newest_first))
}

/// What GitHub's validation says of a status, less what needs state.
fn check(asked: &Value) -> Result<(), &'static str> {
    let state = asked["state"].as_str().unwrap_or_default();
    if !["error", "failure", "pending", "success"].contains(&state) {
        return Err("state is not included in the list");
    }
    let description = asked["description"].as_str().unwrap_or_default();
    if description.chars().count() > DESCRIPTION_CHARACTERS_MAX {
        return Err("description is too long (maximum is 140 characters)");
    }
    match asked["target_url"].as_str() {
        Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => {
            Err("target_url must use http(s) scheme")
        }
        _ => Ok(()),
    }
}
