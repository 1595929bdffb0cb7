//! Webhooks and their deliveries.
//!
//! A hook's secret goes to GitHub and never comes back: GitHub shows asterisks, and we do not even read those.

use super::GitHub;
use super::error::ApiError;
use crate::base::names::RepositoryName;
use crate::base::secret::Secret;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::HashSet;

/// What the deployer acts upon. GitHub sends `ping` unasked.
const EVENTS: [&str; 1] = ["push"];

/// What it acts upon too where a deployment waits for checks.
const EVENTS_OF_CHECKS: [&str; 4] = ["check_run", "check_suite", "status", "workflow_run"];

/// What a hook has to deliver.
pub fn events(of_checks_too: bool) -> Vec<&'static str> {
    let of_checks: &[&str] = if of_checks_too { &EVENTS_OF_CHECKS } else { &[] };
    [&EVENTS, of_checks].concat()
}

/// A hook of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// GitHub's number.
    pub id: i64,
    /// Whether GitHub delivers.
    pub active: bool,
    /// What is delivered.
    pub events: Vec<String>,
    /// Where to, and how.
    pub config: HookConfig,
    /// How the last delivery went.
    #[serde(default)]
    pub last_response: LastResponse,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}

impl Hook {
    /// Whether it delivers there.
    pub fn delivers_to(&self, url: &str) -> bool {
        self.config.url.trim_end_matches('/') == url.trim_end_matches('/')
    }
}

/// Where a hook delivers to, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookConfig {
    #[serde(default)]
    pub url: String,
    /// `json` or `form`; GitHub's default is `form`.
    #[serde(default = "form")]
    pub content_type: String,
    /// Whether GitHub checks our certificate: `"0"` (text or number) where it does.
    #[serde(default)]
    pub insecure_ssl: Value,
}

fn form() -> String {
    "form".to_owned()
}

/// How a hook's last delivery went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastResponse {
    /// The answer's status; none before the first delivery.
    pub code: Option<i64>,
    /// `unused`, `active`, `misconfigured`, ...
    pub status: Option<String>,
    /// What GitHub says of it.
    pub message: Option<String>,
}

/// One attempt to deliver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// GitHub's number of the attempt.
    pub id: i64,
    /// The delivery's, shared by all attempts.
    pub guid: String,
    /// RFC 3339.
    pub delivered_at: String,
    /// Whether somebody asked for it.
    pub redelivery: bool,
    /// `OK`, or what went wrong.
    pub status: String,
    /// The answer's; 0 where there was none.
    pub status_code: i64,
    /// `push`, `ping`, ...
    pub event: String,
}

impl Delivery {
    /// Whether it was answered with a success.
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.status_code)
    }
}

/// Of each delivery none of whose attempts succeeded, the newest attempt; the oldest delivery first, as they happened.
pub fn undelivered(attempts: &[Delivery]) -> Vec<Delivery> {
    let mut settled: HashSet<&str> =
        attempts.iter().filter(|attempt| attempt.succeeded()).map(|attempt| attempt.guid.as_str()).collect();
    let mut chosen: Vec<Delivery> =
        attempts.iter().filter(|attempt| settled.insert(&attempt.guid)).cloned().collect();
    chosen.reverse();
    chosen
}

/// What was, or would have been, sent.
#[derive(Debug, Clone, Deserialize)]
pub struct SentRequest {
    /// Null where GitHub has forgotten it.
    pub payload: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct DeliveryDetail {
    request: SentRequest,
}

impl GitHub {
    /// All hooks of a repository.
    pub async fn hooks(&self, repository: &RepositoryName) -> Result<Vec<Hook>, ApiError> {
        self.list(repository.into(), &format!("/repos/{repository}/hooks"), |_: &[Hook]| false).await
    }

    /// Makes a hook that delivers here, as JSON.
    pub async fn create_hook(
        &self,
        repository: &RepositoryName,
        url: &str,
        secret: &Secret,
        events: &[&str],
    ) -> Result<Hook, ApiError> {
        let body = json!({
            "name": "web",
            "active": true,
            "events": events,
            "config": { "url": url, "content_type": "json", "insecure_ssl": "0", "secret": secret.expose() },
        });
        self.write(repository.into(), Method::POST, &format!("/repos/{repository}/hooks"), &body).await
    }

    /// Gives a hook another secret, and changes nothing else.
    pub async fn set_hook_secret(
        &self,
        repository: &RepositoryName,
        hook: i64,
        secret: &Secret,
    ) -> Result<(), ApiError> {
        let path = format!("/repos/{repository}/hooks/{hook}/config");
        let _: Value = self
            .write(repository.into(), Method::PATCH, &path, &json!({ "secret": secret.expose() }))
            .await?;
        Ok(())
    }

    /// Removes a hook.
    pub async fn delete_hook(&self, repository: &RepositoryName, hook: i64) -> Result<(), ApiError> {
        self.ask(repository.into(), Method::DELETE, &format!("/repos/{repository}/hooks/{hook}"), None).await
    }

    /// Makes GitHub deliver a `ping`.
    pub async fn ping_hook(&self, repository: &RepositoryName, hook: i64) -> Result<(), ApiError> {
        self.ask(repository.into(), Method::POST, &format!("/repos/{repository}/hooks/{hook}/pings"), None)
            .await
    }

    /// Makes GitHub deliver the latest push again, under a new GUID.
    pub async fn test_hook(&self, repository: &RepositoryName, hook: i64) -> Result<(), ApiError> {
        self.ask(repository.into(), Method::POST, &format!("/repos/{repository}/hooks/{hook}/tests"), None)
            .await
    }

    /// The attempts of the last three days, the newest first, as far back as `enough` wants.
    pub async fn hook_deliveries(
        &self,
        repository: &RepositoryName,
        hook: i64,
        enough: impl Fn(&[Delivery]) -> bool,
    ) -> Result<Vec<Delivery>, ApiError> {
        self.list(repository.into(), &format!("/repos/{repository}/hooks/{hook}/deliveries"), enough).await
    }

    /// What an attempt sent.
    pub async fn hook_delivery_request(
        &self,
        repository: &RepositoryName,
        hook: i64,
        delivery: i64,
    ) -> Result<SentRequest, ApiError> {
        let path = format!("/repos/{repository}/hooks/{hook}/deliveries/{delivery}");
        Ok(self.get::<DeliveryDetail>(repository.into(), &path).await?.request)
    }

    /// Makes GitHub deliver once more, under the same GUID.
    pub async fn redeliver(
        &self,
        repository: &RepositoryName,
        hook: i64,
        delivery: i64,
    ) -> Result<(), ApiError> {
        let path = format!("/repos/{repository}/hooks/{hook}/deliveries/{delivery}/attempts");
        self.ask(repository.into(), Method::POST, &path, None).await
    }
}
