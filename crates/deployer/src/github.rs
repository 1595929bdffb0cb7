//! GitHub's API as we ask it. This is the only module that knows its addresses, headers and answers.
//!
//! What an answer means for us is in its type: done, later (with GitHub's own word on when), or refused for good.

pub mod app;
pub mod checks;
pub mod credentials;
pub mod meta;

use crate::config;
use anyhow::{Context, Result};
use credentials::Credentials;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use std::time::Duration;

/// The version of the REST description that our requests follow.
const API_VERSION: &str = "2022-11-28";

/// One request, from the first byte sent to the last one read.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What GitHub advises to wait where it gives no time itself.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(60);

/// As much of an error message as is kept.
const MESSAGE_CHARS_MAX: usize = 300;

/// A client with its credentials.
#[derive(Clone)]
pub struct GitHub {
    client: reqwest::Client,
    api_url: String,
    credentials: Credentials,
}

/// Why something was not answered as it should have been.
#[derive(Debug, Clone)]
pub struct Problem {
    /// One line.
    pub reason: String,
    /// GitHub's own word on when to ask again, where it gave one.
    pub after: Option<Duration>,
}

impl Problem {
    fn now(reason: String) -> Self {
        Self { reason, after: None }
    }

    /// What an answer other than success says.
    async fn of(response: Response) -> Self {
        match judged(response).await {
            StatusError::Later { reason, after } => Self { reason, after },
            StatusError::Refused(reason) => Self::now(reason),
        }
    }
}

/// Why a status was not created.
#[derive(Debug)]
pub enum StatusError {
    /// Not now; `after` is GitHub's own word, where it gave one.
    Later {
        /// One line.
        reason: String,
        /// Not before.
        after: Option<Duration>,
    },
    /// Never, as it stands.
    Refused(String),
}

impl GitHub {
    /// Asks nobody yet.
    pub fn new(settings: &config::GitHub, credentials: Credentials) -> Result<Self> {
        Ok(Self { client: client()?, api_url: settings.api_url.clone(), credentials })
    }

    /// `POST /repos/{owner}/{repo}/statuses/{sha}`.
    pub async fn create_status(
        &self,
        deployment: &str,
        repository: &str,
        commit: &str,
        body: &str,
    ) -> Result<(), StatusError> {
        let later = |Problem { reason, after }| StatusError::Later { reason, after };
        let token = self.credentials.token(deployment, repository).await.map_err(later)?;
        let Some(token) = token else { return Err(later(Problem::now("there is no credential".into()))) };
        let url = format!("{}/repos/{repository}/statuses/{commit}", self.api_url);
        let request = self.client.post(url).bearer_auth(token.expose());
        let request = request.header("content-type", "application/json").body(body.to_owned());
        let response = request.send().await.map_err(|error| later(Problem::now(plainly(&error))))?;
        match response.status() {
            StatusCode::CREATED => return Ok(()),
            StatusCode::UNAUTHORIZED => {
                self.credentials.rejected(deployment, repository, &token).await;
            }
            _ => {}
        }
        Err(judged(response).await)
    }
}

/// What every request has.
fn client() -> Result<reqwest::Client> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
    headers.insert("x-github-api-version", HeaderValue::from_static(API_VERSION));
    reqwest::Client::builder()
        .user_agent(concat!("durhack-deployer/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .timeout(REQUEST_TIMEOUT)
        .connect_timeout(Duration::from_secs(5))
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(1)
        .build()
        .context("cannot make an HTTP client")
}

/// What an answer other than success means.
async fn judged(response: Response) -> StatusError {
    let status = response.status();
    let after = wait_asked_for(response.headers());
    let text = response.text().await.unwrap_or_default();
    let message = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|answer| answer.get("message")?.as_str().map(str::to_owned))
        .unwrap_or(text);
    let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
    let reason = format!("{status}: {message}");
    let limited = after.is_some() || message.to_ascii_lowercase().contains("rate limit");
    // A commit that a push event names may not be known to the API yet.
    let unknown_commit = status == StatusCode::UNPROCESSABLE_ENTITY && message.contains("No commit found");
    match status {
        StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS if limited => {
            StatusError::Later { reason, after: Some(after.unwrap_or(RATE_LIMIT_PAUSE)) }
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => StatusError::Later { reason, after },
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY if !unknown_commit => {
            StatusError::Refused(reason)
        }
        // Outages pass, expired tokens are replaced, repositories are made visible: the outbox has its own limit.
        _ => StatusError::Later { reason, after },
    }
}

/// `Retry-After`, or the reset of a used-up rate limit.
fn wait_asked_for(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
    if let Some(seconds) = number(RETRY_AFTER.as_str()) {
        return Some(Duration::from_secs(seconds));
    }
    if number("x-ratelimit-remaining") != Some(0) {
        return None;
    }
    let reset = number("x-ratelimit-reset")?;
    let now = u64::try_from(crate::clock::now_ms() / 1000).unwrap_or(0);
    Some(Duration::from_secs(reset.saturating_sub(now).max(1)))
}

/// An error of the transport, without the URL and with its innermost cause.
fn plainly(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_timeout() { format!("no answer in time ({cause})") } else { cause.to_string() }
}
