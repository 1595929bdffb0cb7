//! A GitHub that keeps state: it knows repositories, commits, statuses, deployments, hooks and what they delivered; it refuses
//! what the real one refuses, delivers as the real one delivers, and fails as the real one fails when a test tells it to.
//!
//! Every request and every answer has to fit GitHub's own description ([`openapi`]); what does not is a violation, on which the
//! test's world fails. Each concept has a file with a `route`, listed in [`ROUTES`]: that is where one more goes (and its
//! operations into `xtask/src/openapi.rs`). Deliberately absent: everything the deployer does not ask for.

pub mod accounts;
pub mod checks;
pub mod deployments;
pub mod exchange;
pub mod git_server;
pub mod hooks;
pub mod meta;
pub mod openapi;
pub mod outages;
pub mod rights;
pub mod statuses;

pub use deployments::GithubDeployment;
pub use hooks::Hook;
pub use outages::Weather;
pub use statuses::Status;

use super::push::Delivery;
use accounts::Accounts;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use checks::Checks;
use exchange::{Answer, Request, is_number, not_found, problem, user, validation_failed};
use meta::Meta;
use openapi::Description;
use outages::Quota;
use rights::Rights;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::runtime::Runtime;

/// The token that it accepts from the beginning.
pub const TOKEN: &str = "github_pat_a-token-that-the-fake-github-accepts";

/// Who answers; the first that knows the path.
const ROUTES: [fn(&mut Known, &Request) -> Option<Answer>; 7] = [
    meta::route,
    accounts::route,
    rights::route,
    statuses::route,
    checks::route,
    deployments::route,
    hooks::route,
];

/// A handle; all clones are the same GitHub. It ends with the last of them.
#[derive(Debug, Clone)]
pub struct GitHub {
    url: String,
    known: Arc<Mutex<Known>>,
    _runtime: Arc<Runtime>,
}

/// Everything it knows.
#[derive(Debug)]
pub struct Known {
    url: String,
    weather: Weather,
    /// Of [`TOKEN`]; all others have plenty.
    quota: Option<Quota>,
    /// Requests that came although GitHub had said that there are too many.
    asked_while_limited: u32,
    /// Paths that contain this are answered 500, whatever the weather.
    failing: Option<String>,
    /// Commits by repository.
    repositories: HashMap<String, HashSet<String>>,
    /// By repository and commit, oldest first.
    statuses: HashMap<(String, String), Vec<Value>>,
    /// How many statuses one commit and context may have.
    statuses_max: usize,
    deployments: Vec<GithubDeployment>,
    hooks: Vec<Hook>,
    /// Deliveries to be made once the request is answered.
    jobs: Vec<Job>,
    last_push: HashMap<String, Delivery>,
    /// Where the beginning of a hook's URL leads: `host:port`.
    reachable: Vec<(String, String)>,
    /// Whether the token may manage hooks.
    token_manages_hooks: bool,
    /// What [`TOKEN`] may, and what is said of it.
    rights: Rights,
    /// Who may ask.
    accounts: Accounts,
    /// What CI says.
    checks: Checks,
    meta: Meta,
    last_id: u64,
    /// `METHOD /path` of every request, in order.
    requests: Vec<String>,
    /// What did not fit GitHub's description.
    violations: Vec<String>,
}

/// A delivery to be made.
#[derive(Debug)]
pub struct Job {
    hook: u64,
    delivery: Delivery,
    redelivery: bool,
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

    /// Answers 500 to everything whose path contains this.
    pub fn fail_on(&self, part_of_path: &str) {
        self.known().failing = Some(part_of_path.to_owned());
    }

    /// So many requests more with [`TOKEN`], until the limit is reset in some seconds.
    pub fn set_quota(&self, remaining: u32, seconds: i64) {
        self.known().quota = Some(Quota { remaining, resets_at: unix_seconds() + seconds });
    }

    /// How many requests came although GitHub had said that there are too many.
    pub fn asked_while_limited(&self) -> u32 {
        self.known().asked_while_limited
    }

    /// Fewer than GitHub's thousand, so that a test need not send so many.
    pub fn set_statuses_max(&self, statuses_max: usize) {
        self.known().statuses_max = statuses_max;
    }

    /// Whether the token may manage hooks.
    pub fn let_token_manage_hooks(&self, allowed: bool) {
        self.known().token_manages_hooks = allowed;
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

    /// What was reported for a commit, oldest first.
    pub fn statuses(&self, repository: &str, commit: &str) -> Vec<Status> {
        let key = (repository.to_owned(), commit.to_owned());
        let known = self.known();
        let stored = known.statuses.get(&key).map_or(&[][..], Vec::as_slice);
        stored.iter().map(Status::of).collect()
    }

    /// All deployments, oldest first.
    pub fn deployments(&self) -> Vec<GithubDeployment> {
        self.known().deployments.clone()
    }

    /// A repository's hooks, oldest first.
    pub fn hooks(&self, repository: &str) -> Vec<Hook> {
        let known = self.known();
        known.hooks.iter().filter(|hook| hook.repository == repository).cloned().collect()
    }

    /// From now on deliveries to URLs that begin so reach this `host:port`; None: nobody.
    pub fn reach(&self, origin: &str, address: Option<&str>) {
        let mut known = self.known();
        known.reachable.retain(|(known, _)| known != origin);
        known.reachable.extend(address.map(|address| (origin.to_owned(), address.to_owned())));
    }

    /// A push happens: every active hook of the repository delivers it.
    pub fn push(&self, repository: &str, delivery: &Delivery) {
        let jobs: Vec<Job> = {
            let mut known = self.known();
            known.last_push.insert(repository.to_owned(), delivery.clone());
            let ours = known.hooks.iter().filter(|hook| hook.repository == repository);
            ours.map(|hook| Job { hook: hook.id, delivery: delivery.clone(), redelivery: false }).collect()
        };
        jobs.iter().for_each(|job| hooks::carry_out(&self.known, job));
    }

    /// `METHOD /path` of every request so far.
    pub fn requests(&self) -> Vec<String> {
        self.known().requests.clone()
    }

    /// What did not fit GitHub's description so far.
    pub fn violations(&self) -> Vec<String> {
        self.known().violations.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no request panics while it holds the lock")
    }
}

/// Answers every request; the weather comes first.
async fn answer(
    State(shared): State<Arc<Mutex<Known>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let request = Request { method: method.to_string(), path: uri.path().to_owned(), query, headers, body };
    let weather = {
        let mut known = lock(&shared);
        known.requests.push(format!("{method} {}", request.path));
        known.weather
    };
    if lock(&shared).failing.as_ref().is_some_and(|part| request.path.contains(part)) {
        return problem(500, "Server Error").into_response();
    }
    if let Some(nonsense) = lock(&shared).meta.nonsense.clone().filter(|_| request.path == "/meta") {
        return nonsense.into_response();
    }
    if let Some(failure) = outages::answer(weather, unix_seconds()).await {
        return failure;
    }
    let (answer, jobs) = {
        let mut known = lock(&shared);
        let answer = known.checked_answer(&request);
        (answer, std::mem::take(&mut known.jobs))
    };
    if !jobs.is_empty() {
        tokio::task::spawn_blocking(move || jobs.iter().for_each(|job| hooks::carry_out(&shared, job)));
    }
    let is_lost = weather == Weather::CutsAfterwards && request.method != "GET";
    if is_lost { outages::cut() } else { answer.into_response() }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().expect("no request panics while it holds the lock")
}

impl Known {
    fn new(url: String) -> Self {
        Self {
            url,
            weather: Weather::Fine,
            quota: None,
            asked_while_limited: 0,
            failing: None,
            repositories: HashMap::new(),
            statuses: HashMap::new(),
            statuses_max: statuses::STATUSES_MAX,
            deployments: Vec::new(),
            hooks: Vec::new(),
            jobs: Vec::new(),
            last_push: HashMap::new(),
            reachable: Vec::new(),
            token_manages_hooks: true,
            rights: Rights::default(),
            accounts: Accounts::default(),
            checks: Checks::default(),
            meta: Meta::default(),
            last_id: 1_000_000_000,
            requests: Vec::new(),
            violations: Vec::new(),
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The answer, when both it and the request have been held against the description.
    fn checked_answer(&mut self, request: &Request) -> Answer {
        let description = Description::get();
        let (operation, wrong) =
            description.check_request(&request.method, &request.path, &request.query, &request.body);
        let what = format!("{} {}", request.method, request.path);
        self.violations.extend(wrong.into_iter().map(|wrong| format!("{what}: {wrong}")));
        let answer = self.answer(request);
        if let Some(operation) = operation {
            let wrong = description.check_answer(operation, answer.status, &answer.body);
            let wrong = wrong.into_iter().map(|wrong| format!("{what}: answer {}: {wrong}", answer.status));
            self.violations.extend(wrong);
        }
        answer
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let before = self.quota;
        let is_limited = accounts::bearer(&request.headers).as_deref() == Some(TOKEN);
        let counted = if is_limited { &mut self.quota } else { &mut None };
        let Some(quota) = outages::take(counted, unix_seconds()) else {
            self.asked_while_limited += 1;
            return outages::primary_limit(before.map_or(0, |quota| quota.resets_at));
        };
        let answer = match self.accounts.admit(request) {
            Ok(()) => ROUTES.iter().find_map(|route| route(self, request)).unwrap_or_else(not_found),
            Err(message) => problem(401, message),
        };
        let answer = if is_limited { self.rights.told(answer) } else { answer };
        answer
            .header("x-ratelimit-limit", outages::QUOTA_OF_AN_HOUR.to_string())
            .header("x-ratelimit-remaining", quota.remaining.to_string())
            .header("x-ratelimit-reset", quota.resets_at.to_string())
    }
}

fn now() -> String {
    durhack_deployer::base::clock::now().to_string()
}

fn unix_seconds() -> i64 {
    durhack_deployer::base::clock::now_ms() / 1000
}

#[cfg(test)]
mod tests {
    use super::statuses::STATUSES_MAX;
    use super::*;
    use crate::support::http::{Answer, Request};
    use serde_json::json;

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
        let violations = github.violations();
        assert_eq!(violations.len(), 2, "a state and a path that are none: {violations:?}");
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
        for (weather, done) in [(Weather::Cuts, 0), (Weather::CutsAfterwards, 1)] {
            github.set_weather(weather);
            let cut = post(&github, path, TOKEN, &body);
            let promised: usize =
                cut.header("content-length").and_then(|text| text.parse().ok()).expect("a length");
            assert!(cut.body.len() < promised);
            assert_eq!(github.statuses("o/r", "abc").len(), done, "{weather:?}");
        }
        github.set_weather(Weather::Fine);
        github.set_quota(1, 3600);
        let last = post(&github, path, TOKEN, &body);
        assert_eq!((last.status, last.header("x-ratelimit-remaining")), (201, Some("0")));
        assert_eq!(post(&github, path, TOKEN, &body).status, 403);
        assert_eq!(github.asked_while_limited(), 1);
    }

    #[test]
    fn lists_have_pages() {
        let github = GitHub::start();
        github.add_repository("o/r");
        let hook = |number: u32| {
            json!({ "name": "web", "events": ["push"],
                "config": { "url": format!("https://x/{number}"), "content_type": "json" } })
        };
        for number in 0..3 {
            assert_eq!(post(&github, "/repos/o/r/hooks", TOKEN, &hook(number)).status, 201);
        }
        let twice = post(&github, "/repos/o/r/hooks", TOKEN, &hook(0));
        assert_eq!(twice.json()["errors"][0]["message"], "Hook already exists on this repository");
        let mut path = "/repos/o/r/hooks?per_page=2".to_owned();
        let mut lengths = Vec::new();
        loop {
            let answer = Request::new("GET", &path)
                .header("Authorization", format!("Bearer {TOKEN}"))
                .send(github.url().trim_start_matches("http://"));
            lengths.push(answer.json().as_array().map_or(0, Vec::len));
            let Some(link) = answer.header("link") else { break };
            let url = link.trim_start_matches('<').split('>').next().unwrap_or_default();
            path = url.trim_start_matches(github.url()).to_owned();
        }
        assert_eq!(lengths, [2, 1]);
        assert_eq!(github.violations(), Vec::<String>::new());
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
