//! A GitHub that keeps state: it knows repositories and commits, stores what is reported to it, refuses what
//! the real one refuses, and fails in the ways in which the real one fails when a test tells it to.
//!
//! Answers follow GitHub's REST description (`repos/create-commit-status`, `repos/list-commit-statuses-for-ref`,
//! `meta/get`). Deliberately absent: everything the deployer does not ask for.

mod accounts;
mod checks;
mod git_server;

use accounts::Accounts;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use checks::Checks;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use tokio::runtime::Runtime;

/// The only token it accepts.
pub const TOKEN: &str = "github_pat_a-token-that-the-fake-github-accepts";

/// GitHub's limit for one commit and context.
const STATUSES_MAX: usize = 1000;

/// GitHub's limit of a description, in characters.
const DESCRIPTION_CHARACTERS_MAX: usize = 140;

/// How it behaves at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// As documented.
    Fine,
    /// Every answer is 500.
    Fails,
    /// Requests are read and never answered.
    Hangs,
    /// The connection ends in the middle of the answer.
    Cuts,
    /// 403, nothing remaining, the limit is reset in a second.
    PrimaryLimit,
    /// 429 with `Retry-After: 1`.
    SecondaryLimit,
}

/// A stored commit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub state: String,
    pub context: String,
    pub description: String,
    pub target_url: String,
}

/// A handle; all clones are the same GitHub. It ends with the last of them.
#[derive(Debug, Clone)]
pub struct GitHub {
    url: String,
    known: Arc<Mutex<Known>>,
    _runtime: Arc<Runtime>,
}

/// Everything it knows.
#[derive(Debug)]
struct Known {
    url: String,
    weather: Weather,
    /// Commits by repository.
    repositories: HashMap<String, HashSet<String>>,
    /// By repository and commit, oldest first.
    statuses: HashMap<(String, String), Vec<Value>>,
    /// `METHOD /path` of every request, in order.
    requests: Vec<String>,
    /// Ranges from which webhooks come, for `/meta`.
    hooks: Vec<String>,
    /// Of `/meta`; raised by every change.
    meta_version: u64,
    /// Who may ask.
    accounts: Accounts,
    /// What CI says.
    checks: Checks,
}

impl GitHub {
    /// Starts one on a free port of the loopback.
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let listener =
            runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("loopback has ports");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let known = Arc::new(Mutex::new(Known::new(url.clone())));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&known));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, known, _runtime: Arc::new(runtime) }
    }

    /// What to configure as `github.api_url`.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn set_weather(&self, weather: Weather) {
        self.known().weather = weather;
    }

    pub fn add_repository(&self, name: &str) {
        self.known().repositories.entry(name.to_owned()).or_default();
    }

    pub fn add_commit(&self, repository: &str, commit: &str) {
        self.known().repositories.entry(repository.to_owned()).or_default().insert(commit.to_owned());
    }

    /// GitHub may not know a commit yet that a push event names.
    pub fn forget_commit(&self, repository: &str, commit: &str) {
        self.known().repositories.entry(repository.to_owned()).or_default().remove(commit);
    }

    /// CI says something of a commit, as a check run: a status (`in_progress`) or a conclusion (`success`).
    pub fn set_check(&self, commit: &str, name: &str, word: &str) {
        self.known().checks.set_run(commit, name, word);
    }

    /// The same as a commit status.
    pub fn set_context(&self, commit: &str, context: &str, state: &str) {
        self.known().checks.set_context(commit, context, state);
    }

    /// Replaces the ranges in `/meta`, which gets another `ETag`.
    pub fn set_hooks(&self, networks: &[&str]) {
        let mut known = self.known();
        known.hooks = networks.iter().map(|&network| network.to_owned()).collect();
        known.meta_version += 1;
    }

    /// What was reported for a commit, oldest first.
    pub fn statuses(&self, repository: &str, commit: &str) -> Vec<Status> {
        let key = (repository.to_owned(), commit.to_owned());
        let known = self.known();
        let stored = known.statuses.get(&key).map_or(&[][..], Vec::as_slice);
        stored.iter().map(Status::of).collect()
    }

    /// `METHOD /path` of every request so far.
    pub fn requests(&self) -> Vec<String> {
        self.known().requests.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no request panics while it holds the lock")
    }
}

impl Status {
    fn of(stored: &Value) -> Self {
        let text = |key: &str| stored[key].as_str().unwrap_or_default().to_owned();
        Self {
            state: text("state"),
            context: text("context"),
            description: text("description"),
            target_url: text("target_url"),
        }
    }
}

/// Answers every request; the weather comes first.
async fn answer(
    State(known): State<Arc<Mutex<Known>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let weather = {
        let mut known = known.lock().expect("no request panics while it holds the lock");
        known.requests.push(format!("{method} {}", uri.path()));
        known.weather
    };
    match weather {
        Weather::Fine => {
            let mut known = known.lock().expect("no request panics while it holds the lock");
            known.answer(&method, uri.path(), &headers, &body)
        }
        Weather::Fails => problem(StatusCode::INTERNAL_SERVER_ERROR, "Server Error"),
        Weather::Hangs => std::future::pending().await,
        Weather::Cuts => ([("content-length", "1000")], Body::new(CutOff::default())).into_response(),
        Weather::PrimaryLimit => {
            let headers =
                [("x-ratelimit-limit", "5000".to_owned()), ("x-ratelimit-remaining", "0".to_owned())];
            let reset = [("x-ratelimit-reset", (unix_seconds() + 1).to_string())];
            (headers, reset, problem(StatusCode::FORBIDDEN, "API rate limit exceeded for user ID 1."))
                .into_response()
        }
        Weather::SecondaryLimit => {
            let message = "You have exceeded a secondary rate limit.";
            ([("retry-after", "1")], problem(StatusCode::TOO_MANY_REQUESTS, message)).into_response()
        }
    }
}

impl Known {
    fn new(url: String) -> Self {
        Self {
            url,
            weather: Weather::Fine,
            repositories: HashMap::new(),
            statuses: HashMap::new(),
            requests: Vec::new(),
            hooks: vec!["192.30.252.0/22".into(), "140.82.112.0/20".into(), "2a0a:a440::/29".into()],
            meta_version: 1,
            accounts: Accounts::default(),
            checks: Checks::default(),
        }
    }

    fn answer(&mut self, method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        if let Some(answer) = self.accounts.answer(method, &segments, headers, body) {
            return answer;
        }
        match (method.as_str(), segments.as_slice()) {
            ("GET", ["meta"]) => self.meta(headers),
            (_, ["repos", ..]) if !self.accounts.accept(headers) => {
                problem(StatusCode::UNAUTHORIZED, "Bad credentials")
            }
            ("POST", ["repos", owner, name, "statuses", commit]) => {
                self.create_status(&format!("{owner}/{name}"), commit, body)
            }
            ("GET", ["repos", owner, name, "commits", commit, "statuses"]) => {
                self.list_statuses(&format!("{owner}/{name}"), commit)
            }
            ("GET", ["repos", owner, name, "commits", commit, what @ ("check-runs" | "status")]) => {
                self.checks_of(&format!("{owner}/{name}"), commit, what)
            }
            _ => problem(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    fn checks_of(&self, repository: &str, commit: &str, what: &str) -> Response {
        let Some(commits) = self.repositories.get(repository) else {
            return problem(StatusCode::NOT_FOUND, "Not Found");
        };
        if !commits.contains(commit) {
            let message = format!("No commit found for SHA: {commit}");
            return problem(StatusCode::UNPROCESSABLE_ENTITY, &message);
        }
        let url = format!("{}/repos/{repository}", self.url);
        let reported = self.statuses.get(&(repository.to_owned(), commit.to_owned()));
        axum::Json(match what {
            "check-runs" => self.checks.check_runs(&url, commit),
            _ => self.checks.combined_status(&url, commit, reported.map_or(&[], Vec::as_slice)),
        })
        .into_response()
    }

    fn meta(&self, headers: &HeaderMap) -> Response {
        let etag = format!("W/\"{:016x}\"", self.meta_version);
        let tags = [("etag", etag.clone()), ("cache-control", "public, max-age=60, s-maxage=60".into())];
        if headers.get("if-none-match").is_some_and(|value| value.as_bytes() == etag.as_bytes()) {
            return (StatusCode::NOT_MODIFIED, tags).into_response();
        }
        let body = json!({ "verifiable_password_authentication": false, "hooks": self.hooks, "ssh_keys": self.accounts.ssh_keys });
        (tags, axum::Json(body)).into_response()
    }

    fn create_status(&mut self, repository: &str, commit: &str, body: &[u8]) -> Response {
        let Some(commits) = self.repositories.get(repository) else {
            return problem(StatusCode::NOT_FOUND, "Not Found");
        };
        if !commits.contains(commit) {
            let message = format!("No commit found for SHA: {commit}");
            return problem(StatusCode::UNPROCESSABLE_ENTITY, &message);
        }
        let Ok(asked) = serde_json::from_slice::<Value>(body) else {
            return problem(StatusCode::BAD_REQUEST, "Problems parsing JSON");
        };
        if let Err(message) = check_status(&asked) {
            return problem(StatusCode::UNPROCESSABLE_ENTITY, message);
        }
        let context = asked["context"].as_str().unwrap_or("default").to_owned();
        let stored = self.statuses.entry((repository.to_owned(), commit.to_owned())).or_default();
        if stored.iter().filter(|status| status["context"] == context).count() >= STATUSES_MAX {
            let message =
                "Validation Failed: This SHA and context has reached the maximum number of statuses.";
            return problem(StatusCode::UNPROCESSABLE_ENTITY, message);
        }
        let id = stored.len() as u64 + 1;
        let status = json!({
            "url": format!("{}/repos/{repository}/statuses/{commit}", self.url),
            "avatar_url": null,
            "id": id,
            "node_id": format!("SC_{id}"),
            "state": asked["state"],
            "description": asked["description"],
            "target_url": asked["target_url"],
            "context": context,
            "created_at": "2026-11-23T12:00:00Z",
            "updated_at": "2026-11-23T12:00:00Z",
            "creator": { "login": "durhack-deployer", "id": 1, "type": "Bot" },
        });
        stored.push(status.clone());
        (StatusCode::CREATED, axum::Json(status)).into_response()
    }

    fn list_statuses(&self, repository: &str, commit: &str) -> Response {
        if !self.repositories.contains_key(repository) {
            return problem(StatusCode::NOT_FOUND, "Not Found");
        }
        let stored = self.statuses.get(&(repository.to_owned(), commit.to_owned()));
        let newest_first: Vec<&Value> = stored.into_iter().flatten().rev().collect();
        axum::Json(newest_first).into_response()
    }
}

/// What GitHub's validation says of a status, less what needs state.
fn check_status(asked: &Value) -> Result<(), &'static str> {
    let state = asked["state"].as_str().unwrap_or_default();
    if !["error", "failure", "pending", "success"].contains(&state) {
        return Err("Validation Failed: state is not included in the list");
    }
    let description = asked["description"].as_str().unwrap_or_default();
    if description.chars().count() > DESCRIPTION_CHARACTERS_MAX {
        return Err("Validation Failed: description is too long (maximum is 140 characters)");
    }
    match asked["target_url"].as_str() {
        Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => {
            Err("Validation Failed: target_url must use http(s) scheme")
        }
        _ => Ok(()),
    }
}

/// GitHub's form of an error.
fn problem(status: StatusCode, message: &str) -> Response {
    let body = json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": status.as_u16().to_string(),
    });
    (status, axum::Json(body)).into_response()
}

fn unix_seconds() -> i64 {
    durhack_deployer::clock::now_ms() / 1000
}

/// A body that ends the connection after its first bytes.
#[derive(Default)]
struct CutOff {
    polls: u32,
}

impl hyper::body::Body for CutOff {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, std::io::Error>>> {
        self.polls += 1;
        match self.polls {
            1 => Poll::Ready(Some(Ok(hyper::body::Frame::data(Bytes::from_static(b"{\"url\":"))))),
            // An error at once would also discard what has not been written yet.
            2 => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            _ => Poll::Ready(Some(Err(std::io::Error::other("the cable was cut")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::http::{Answer, Request};

    fn post(github: &GitHub, path: &str, token: &str, body: &Value) -> Answer {
        Request::new("POST", path)
            .header("Authorization", format!("Bearer {token}"))
            .body(body.to_string().as_bytes())
            .send(github.url().trim_start_matches("http://"))
    }

    #[test]
    fn refuses_what_github_refuses() {
        let github = GitHub::start();
        github.add_commit("o/r", "abc");
        let good =
            json!({ "state": "success", "context": "c", "description": "d", "target_url": "https://x" });
        let path = "/repos/o/r/statuses/abc";
        let long = json!({ "state": "success", "description": "x".repeat(141) });
        for (path, token, body, status) in [
            (path, TOKEN, &good, 201),
            (path, "another token", &good, 401),
            ("/repos/o/unknown/statuses/abc", TOKEN, &good, 404),
            ("/repos/o/r/statuses/unknown", TOKEN, &good, 422),
            (path, TOKEN, &json!({ "state": "done" }), 422),
            (path, TOKEN, &long, 422),
            ("/user", TOKEN, &good, 404),
        ] {
            assert_eq!(post(&github, path, token, body).status, status, "{path} {body}");
        }
        let stored = github.statuses("o/r", "abc");
        assert_eq!(stored.len(), 1);
        assert_eq!((stored[0].state.as_str(), stored[0].target_url.as_str()), ("success", "https://x"));
        assert_eq!(github.requests().len(), 7);
        for _ in 1..STATUSES_MAX {
            assert_eq!(post(&github, path, TOKEN, &good).status, 201);
        }
        assert_eq!(post(&github, path, TOKEN, &good).status, 422, "the thousand and first");
        assert_eq!(post(&github, path, TOKEN, &json!({ "state": "error", "context": "other" })).status, 201);
    }

    #[test]
    fn fails_as_it_is_told_to() {
        let github = GitHub::start();
        github.add_commit("o/r", "abc");
        let body = json!({ "state": "success" });
        let path = "/repos/o/r/statuses/abc";
        for (weather, status, header) in [
            (Weather::Fails, 500, None),
            (Weather::PrimaryLimit, 403, Some("x-ratelimit-reset")),
            (Weather::SecondaryLimit, 429, Some("retry-after")),
        ] {
            github.set_weather(weather);
            let answer = post(&github, path, TOKEN, &body);
            assert_eq!(answer.status, status);
            assert!(header.is_none_or(|header| answer.header(header).is_some()), "{answer:?}");
        }
        github.set_weather(Weather::Cuts);
        let cut = post(&github, path, TOKEN, &body);
        let promised: usize =
            cut.header("content-length").and_then(|text| text.parse().ok()).expect("a length");
        assert!(cut.body.len() < promised);
        assert!(github.statuses("o/r", "abc").is_empty());
    }

    #[test]
    fn meta_has_a_tag_that_changes_with_it() {
        let github = GitHub::start();
        let address = github.url().trim_start_matches("http://").to_owned();
        let meta = |tag: &str| Request::new("GET", "/meta").header("If-None-Match", tag).send(&address);
        let first = meta("none");
        let tag = first.header("etag").expect("meta is tagged").to_owned();
        assert!(first.json()["hooks"].is_array());
        assert_eq!(meta(&tag).status, 304);
        github.set_hooks(&["192.0.2.0/24"]);
        assert_eq!(meta(&tag).json()["hooks"], json!(["192.0.2.0/24"]));
    }
}
