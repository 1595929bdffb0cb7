//! GitHub's API as we ask it. This is the only module that knows its addresses, headers and answers.
//!
//! What an answer means for us is in its type: done, later (with GitHub's own word on when), or refused for good.

use crate::config;
use crate::secret::Secret;
use anyhow::{Context, Result};
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

/// A client with a credential.
#[derive(Clone)]
pub struct GitHub {
    client: reqwest::Client,
    api_url: String,
    token: Secret,
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
    /// `None` where the configuration has no credential.
    pub fn new(settings: &config::GitHub) -> Result<Option<Self>> {
        let Some(token) = settings.token.clone() else { return Ok(None) };
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        headers.insert("x-github-api-version", HeaderValue::from_static(API_VERSION));
        let client = reqwest::Client::builder()
            .user_agent(concat!("durhack-deployer/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(1)
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Some(Self { client, api_url: settings.api_url.clone(), token }))
    }

    /// `POST /repos/{owner}/{repo}/statuses/{sha}`.
    pub async fn create_status(&self, repository: &str, commit: &str, body: &str) -> Result<(), StatusError> {
        let url = format!("{}/repos/{repository}/statuses/{commit}", self.api_url);
        let request = self.client.post(url).bearer_auth(self.token.expose());
        let request = request.header("content-type", "application/json").body(body.to_owned());
        let response = request
            .send()
            .await
            .map_err(|error| StatusError::Later { reason: plainly(&error), after: None })?;
        if response.status() == StatusCode::CREATED {
            return Ok(());
        }
        Err(judged(response).await)
    }
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
