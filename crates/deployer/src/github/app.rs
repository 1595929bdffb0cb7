//! A GitHub App as the one who asks: a token for each repository, got when it is first needed and again shortly before its end.
//!
//! With the App's key we sign a statement of who we are (a JWT), with which GitHub tells us the App's installation for a
//! repository and gives a token for that repository alone, whatever else the installation may reach. Such a token lasts an
//! hour. The installation is looked up each time: it changes where an App is removed and installed again.

use super::{Problem, client, plainly};
use crate::clock;
use crate::config::{self, GitHubApp};
use crate::secret::Secret;
use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// How long a statement of ours is good. GitHub allows ten minutes; its clock may be a little behind ours.
const STATEMENT_SECONDS: i64 = 540;

/// GitHub advises to date a statement back by this, for clocks that are not the same.
const CLOCK_DRIFT_SECONDS: i64 = 60;

/// A token with less than this left is not used any more: a fetch that begins now must be able to end.
const RESERVE_MS: i64 = 5 * 60 * 1000;

/// After a refusal GitHub is not asked for that repository's token again within this: nobody installs an App faster.
const PROBLEM_PAUSE: Duration = Duration::from_secs(20);

/// Nor for longer than this, whatever it says itself: its limits are by the hour.
const PROBLEM_PAUSE_MAX: Duration = Duration::from_secs(3600);

/// See the module.
pub struct App {
    settings: GitHubApp,
    api_url: String,
    client: reqwest::Client,
    /// By repository, of which the configuration names a few. Whoever asks first gets the token for all who ask meanwhile.
    tokens: Mutex<HashMap<String, Slot>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Answer>>>;

/// What GitHub said last.
enum Answer {
    Token(Token),
    /// And before when it need not be asked again.
    Problem(Problem, Instant),
}

struct Token {
    secret: Secret,
    /// By GitHub's word; Unix milliseconds.
    expires_at_ms: i64,
}

impl App {
    /// The App that the configuration names.
    pub fn new(settings: GitHubApp, github: &config::GitHub) -> Result<Self> {
        let (api_url, client) = (github.api_url.clone(), client()?);
        Ok(Self { settings, api_url, client, tokens: Mutex::default() })
    }

    /// A token for one repository (`owner/name`).
    pub async fn token(&self, repository: &str) -> Result<Secret, Problem> {
        let slot = self.slot(repository);
        let mut answer = slot.lock().await;
        match answer.as_ref() {
            // The end is a time of GitHub's, so the wall clock decides; where that is wrong, the token is refused and got anew.
            Some(Answer::Token(token)) if token.expires_at_ms - RESERVE_MS > clock::now_ms() => {
                return Ok(token.secret.clone());
            }
            Some(Answer::Problem(problem, until)) if Instant::now() < *until => return Err(problem.clone()),
            _ => {}
        }
        match self.new_token(repository).await {
            Ok(token) => {
                let secret = token.secret.clone();
                *answer = Some(Answer::Token(token));
                Ok(secret)
            }
            Err(problem) => {
                let pause = problem.after.unwrap_or_default().clamp(PROBLEM_PAUSE, PROBLEM_PAUSE_MAX);
                *answer = Some(Answer::Problem(problem.clone(), Instant::now() + pause));
                Err(problem)
            }
        }
    }

    /// GitHub does not accept this token (any more): the next one to ask gets another.
    pub async fn rejected(&self, repository: &str, secret: &Secret) {
        let slot = self.slot(repository);
        let mut answer = slot.lock().await;
        if matches!(answer.as_ref(), Some(Answer::Token(token)) if token.secret.expose() == secret.expose()) {
            *answer = None;
        }
    }

    fn slot(&self, repository: &str) -> Slot {
        let mut tokens = self.tokens.lock().expect("nobody panics while holding this lock");
        Arc::clone(tokens.entry(repository.to_ascii_lowercase()).or_default())
    }

    async fn new_token(&self, repository: &str) -> Result<Token, Problem> {
        #[derive(Deserialize)]
        struct Installation {
            id: u64,
        }
        #[derive(Deserialize)]
        struct AccessToken {
            token: String,
            expires_at: jiff::Timestamp,
        }
        let url = format!("{}/repos/{repository}/installation", self.api_url);
        let installation: Installation =
            self.ask(self.client.get(url), StatusCode::OK).await.map_err(|problem| {
                let reason =
                    format!("the GitHub App has no installation for {repository}: {}", problem.reason);
                Problem { reason, ..problem }
            })?;
        let url = format!("{}/app/installations/{}/access_tokens", self.api_url, installation.id);
        let name = repository.split_once('/').map_or(repository, |(_, name)| name);
        let request = self.client.post(url).json(&json!({ "repositories": [name] }));
        let answer: AccessToken = self.ask(request, StatusCode::CREATED).await?;
        tracing::info!(repository, until = %answer.expires_at, "GitHub gave the App a token");
        Ok(Token { secret: Secret::new(answer.token), expires_at_ms: answer.expires_at.as_millisecond() })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        expected: StatusCode,
    ) -> Result<T, Problem> {
        let statement = self.statement(clock::now_ms() / 1000);
        let sent = request.bearer_auth(statement.expose()).send().await;
        let response = sent.map_err(|error| Problem::now(plainly(&error)))?;
        match response.status() == expected {
            true => response.json().await.map_err(|error| Problem::now(plainly(&error))),
            false => Err(Problem::of(response).await),
        }
    }

    /// Who we are, signed: a JWT (RFC 7519).
    fn statement(&self, now_seconds: i64) -> Secret {
        let header = json!({ "alg": "RS256", "typ": "JWT" });
        let claims = json!({
            "iat": now_seconds - CLOCK_DRIFT_SECONDS,
            "exp": now_seconds + STATEMENT_SECONDS,
            "iss": self.settings.id.to_string(),
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.settings.key.rs256(signed.as_bytes()));
        Secret::new(format!("{signed}.{signature}"))
    }
}
