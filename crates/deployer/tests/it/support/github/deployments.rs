//! Deployments and their statuses: `repos/{list,create}-deployments`, `repos/{list,create}-deployment-status`.

use super::statuses::DESCRIPTION_CHARACTERS_MAX;
use super::{Answer, Known, Request, is_number, not_found, now, problem, user, validation_failed};
use serde_json::{Value, json};

/// A deployment with what was told of it.
#[derive(Debug, Clone)]
pub struct GithubDeployment {
    repository: String,
    /// As GitHub answers.
    pub body: Value,
    /// As GitHub answers, oldest first.
    pub statuses: Vec<Value>,
}

impl GithubDeployment {
    /// The state that GitHub shows.
    pub fn state(&self) -> &str {
        self.statuses.last().and_then(|status| status["state"].as_str()).unwrap_or_default()
    }
}

pub fn route(known: &mut Known, request: &Request) -> Option<Answer> {
    let segments = request.segments();
    let ["repos", owner, name, "deployments", rest @ ..] = segments.as_slice() else { return None };
    let repository = format!("{owner}/{name}");
    if !known.repositories.contains_key(&repository) {
        return Some(not_found());
    }
    match (request.method.as_str(), rest) {
        ("GET", []) => Some(list(known, &repository, request)),
        ("POST", []) => Some(create(known, &repository, &request.body)),
        ("POST", [id, "statuses"]) => Some(create_status(known, &repository, id, &request.body)),
        ("GET", [id, "statuses"]) => Some(match find(known, &repository, id) {
            Some(found) => Answer::new(200, found.statuses.iter().rev().cloned().collect()),
            None => not_found(),
        }),
        _ => None,
    }
}

fn list(known: &Known, repository: &str, request: &Request) -> Answer {
    let fits = |deployment: &&GithubDeployment| {
        deployment.repository == repository
            && ["sha", "environment"]
                .iter()
                .all(|key| request.query(key).is_none_or(|value| deployment.body[key] == value))
    };
    let newest_first: Vec<&Value> =
        known.deployments.iter().filter(fits).map(|deployment| &deployment.body).rev().collect();
    request.page(&known.url, &newest_first)
}

fn create(known: &mut Known, repository: &str, body: &[u8]) -> Answer {
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return problem(400, "Problems parsing JSON");
    };
    let commit = asked["ref"].as_str().unwrap_or_default();
    if !known.repositories[repository].contains(commit) {
        return problem(422, &format!("No ref found for: {commit}"));
    }
    // Without an empty list GitHub waits for the commit's own statuses, of which ours is one.
    if asked["required_contexts"] != json!([]) {
        return problem(409, "Conflict: Commit status checks failed for the ref.");
    }
    let environment = asked["environment"].as_str().unwrap_or("production");
    let id = known.deployments.len() as u64 + 1;
    let url = format!("{}/repos/{repository}/deployments/{id}", known.url);
    let made = json!({
        "url": url,
        "id": id,
        "node_id": format!("DE_{id}"),
        "sha": commit,
        "ref": commit,
        "task": "deploy",
        "payload": asked.get("payload").cloned().unwrap_or(json!({})),
        "original_environment": environment,
        "environment": environment,
        "description": asked["description"],
        "creator": user("durhack-deployer"),
        "created_at": now(),
        "updated_at": now(),
        "statuses_url": format!("{url}/statuses"),
        "repository_url": format!("{}/repos/{repository}", known.url),
    });
    let deployment =
        GithubDeployment { repository: repository.to_owned(), body: made.clone(), statuses: Vec::new() };
    known.deployments.push(deployment);
    Answer::new(201, made)
}

fn create_status(known: &mut Known, repository: &str, id: &str, body: &[u8]) -> Answer {
    let base = known.url.clone();
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return problem(400, "Problems parsing JSON");
    };
    let description = asked["description"].as_str().unwrap_or_default();
    if description.chars().count() > DESCRIPTION_CHARACTERS_MAX {
        return validation_failed("DeploymentStatus", "description is too long (maximum is 140 characters)");
    }
    let Some(found) = known.deployments.iter_mut().find(|found| is_it(found, repository, id)) else {
        return not_found();
    };
    let number = found.statuses.len() + 1;
    let url = found.body["url"].as_str().unwrap_or_default();
    let text = |key: &str| asked[key].as_str().unwrap_or_default();
    let status = json!({
        "url": format!("{url}/statuses/{number}"),
        "id": number,
        "node_id": format!("DES_{number}"),
        "state": asked["state"],
        "creator": user("durhack-deployer"),
        "description": description,
        "environment": found.body["environment"],
        "target_url": text("log_url"),
        "log_url": text("log_url"),
        "environment_url": text("environment_url"),
        "created_at": now(),
        "updated_at": now(),
        "deployment_url": url,
        "repository_url": format!("{base}/repos/{repository}"),
    });
    found.statuses.push(status.clone());
    Answer::new(201, status)
}

fn is_it(deployment: &GithubDeployment, repository: &str, id: &str) -> bool {
    deployment.repository == repository && is_number(&deployment.body["id"], id)
}

fn find<'a>(known: &'a Known, repository: &str, id: &str) -> Option<&'a GithubDeployment> {
    known.deployments.iter().find(|deployment| is_it(deployment, repository, id))
}
