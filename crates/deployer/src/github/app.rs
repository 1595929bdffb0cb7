//! A GitHub App as the one who asks: a token for each repository, got when it is first needed and again shortly before its end.
//!
//! With the App's key we sign a statement of who we are (a JWT), with which GitHub tells us the App's installation for a
//! repository and gives a token for that repository alone, whatever else the installation may reach. Such a token lasts an
//! hour. The installation is looked up each time: it changes where an App is removed and installed again.

use super::api::{Api, ApiRequest};
use super::error::{ApiError, ErrorKind};
use super::rights::Installation;
use crate::base::clock;
use crate::base::secret::Secret;
use crate::config::{self, GitHubApp};
use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
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
const REFUSAL_PAUSE: Duration = Duration::from_secs(20);

/// Nor for longer than this, whatever it says itself: its limits are by the hour.
const REFUSAL_PAUSE_MAX: Duration = Duration::from_secs(3600);

pub struct App {
    settings: GitHubApp,
    api: Api,
    /// By repository, of which the configuration names a few. Whoever asks first gets the token for all who ask meanwhile.
    tokens: Mutex<HashMap<String, Slot>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<CachedToken>>>;

/// What GitHub said last.
enum CachedToken {
    Token(AppToken),
    /// And before when it need not be asked again.
    No(ApiError, Instant),
}

struct AppToken {
    secret: Secret,
    /// By GitHub's word; Unix milliseconds.
    expires_at_ms: i64,
}

impl App {
    /// The App that the configuration names.
    pub fn new(settings: GitHubApp, github: &config::GitHub) -> Result<Self> {
        Ok(Self { settings, api: Api::new(github)?, tokens: Mutex::default() })
    }

    /// A token for one repository (`owner/name`).
    pub async fn token(&self, repository: &str) -> Result<Secret, ApiError> {
        let slot = self.slot(repository);
        let mut answer = slot.lock().await;
        match answer.as_ref() {
            // The end is a time of GitHub's, so the wall clock decides; where that is wrong, the token is refused and got anew.
            Some(CachedToken::Token(token)) if token.expires_at_ms - RESERVE_MS > clock::now_ms() => {
                return Ok(token.secret.clone());
            }
            Some(CachedToken::No(error, until)) if Instant::now() < *until => return Err(error.clone()),
            _ => {}
        }
        match self.new_token(repository).await {
            Ok(token) => {
                let secret = token.secret.clone();
                *answer = Some(CachedToken::Token(token));
                Ok(secret)
            }
            Err(error) => {
                let pause = error.after.unwrap_or_default().clamp(REFUSAL_PAUSE, REFUSAL_PAUSE_MAX);
                *answer = Some(CachedToken::No(error.clone(), Instant::now() + pause));
                Err(error)
            }
        }
    }

    /// GitHub does not accept this token (any more): the next one to ask gets another.
    pub async fn rejected(&self, repository: &str, secret: &Secret) {
        let slot = self.slot(repository);
        let mut answer = slot.lock().await;
        if matches!(answer.as_ref(), Some(CachedToken::Token(token)) if token.secret.expose() == secret.expose())
        {
            *answer = None;
        }
    }

    fn slot(&self, repository: &str) -> Slot {
        let mut tokens = self.tokens.lock().expect("nobody panics while holding this lock");
        Arc::clone(tokens.entry(repository.to_ascii_lowercase()).or_default())
    }

    async fn new_token(&self, repository: &str) -> Result<AppToken, ApiError> {
        #[derive(Deserialize)]
        struct AccessToken {
            token: String,
            expires_at: jiff::Timestamp,
        }
        let installation = self.installation(repository).await?;
        let path = format!("/app/installations/{}/access_tokens", installation.id);
        let name = repository.split_once('/').map_or(repository, |(_, name)| name);
        let body = json!({ "repositories": [name] }).to_string();
        let answer: AccessToken = self.ask(&ApiRequest::new(Method::POST, &path).body(Some(&body))).await?;
        tracing::info!(repository, until = %answer.expires_at, "GitHub gave the App a token");
        Ok(AppToken { secret: Secret::new(answer.token), expires_at_ms: answer.expires_at.as_millisecond() })
    }

    /// The App in the account that has this repository (`owner/name`).
    pub async fn installation(&self, repository: &str) -> Result<Installation, ApiError> {
        let path = format!("/repos/{repository}/installation");
        let found = self.ask(&ApiRequest::new(Method::GET, &path)).await;
        found.map_err(|error| match error.kind {
            ErrorKind::NotFound => {
                let reason = format!("the GitHub App has no installation for {repository}: {}", error.reason);
                ApiError { reason, ..error }
            }
            _ => error,
        })
    }

    async fn ask<T: DeserializeOwned>(&self, request: &ApiRequest<'_>) -> Result<T, ApiError> {
        let statement = self.statement(clock::now_ms() / 1000);
        self.api.send(request, Some(&statement)).await?.json()
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
