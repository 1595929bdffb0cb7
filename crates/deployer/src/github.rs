//! GitHub's API as we ask it. Only this module and those below it know its addresses, headers and answers.
//!
//! One request goes through [`GitHub::send`], which knows whose token it needs ([`credentials`]); [`api`] carries it out within
//! that identity's [`limits`], and [`error`] says what an answer other than success means. [`statuses`], [`deployments`] and
//! [`hooks`] say what is asked for, [`rights`] what a credential may. [`meta`] is what GitHub says of itself, and is asked for by nobody in particular.

mod api;
pub mod app;
pub mod checks;
pub mod credentials;
pub mod deployments;
pub mod error;
pub mod hook_faults;
pub mod hooks;
mod limits;
pub mod meta;
pub mod rights;
pub mod statuses;
pub mod webhook_event;

use crate::base::names::RepositoryName;
use crate::config;
use anyhow::Result;
use api::{Api, ApiRequest, ApiResponse};
use credentials::Credentials;
use error::{ApiError, ErrorKind};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Entries of a page: the most that GitHub gives.
const PAGE_ENTRIES: u32 = 100;

/// Pages of one list. GitHub allows 20 hooks; 50 pages of deliveries are more than three days of a busy repository.
const PAGES_MAX: usize = 50;

/// A client with its credentials. Clones share their limits.
#[derive(Clone)]
pub struct GitHub {
    credentials: Credentials,
    /// By the deployment whose own token it is.
    of_deployments: Arc<HashMap<String, Api>>,
    /// As whoever asks for all others.
    for_all: Api,
}

/// What a request is about, which decides whose token it carries.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Where it is about one: its own token, if it has any.
    pub deployment: Option<&'a str>,
    /// Of which repository.
    pub repository: &'a RepositoryName,
}

impl<'a> From<&'a RepositoryName> for Subject<'a> {
    fn from(repository: &'a RepositoryName) -> Self {
        Self { deployment: None, repository }
    }
}

impl GitHub {
    /// Asks nobody yet.
    pub fn new(settings: &config::GitHub, credentials: Credentials) -> Result<Self> {
        let for_all = Api::new(settings)?;
        let own = credentials.owners().map(|slug| (slug.to_owned(), for_all.with_own_limits())).collect();
        Ok(Self { credentials, of_deployments: Arc::new(own), for_all })
    }

    /// Sends one request. A token that GitHub does not know is asked for anew, once, where there may be another by now.
    async fn send(&self, subject: Subject<'_>, request: &ApiRequest<'_>) -> Result<ApiResponse, ApiError> {
        let mut renewed = false;
        loop {
            let token = self.credentials.token(subject).await?.ok_or_else(|| ApiError {
                kind: ErrorKind::Unauthorised,
                reason: format!("there is no credential for {}", subject.repository),
                after: None,
            })?;
            match self.api(subject).send(request, Some(&token)).await {
                Err(error)
                    if error.kind == ErrorKind::Unauthorised
                        && !renewed
                        && self.credentials.rejected(subject, &token).await =>
                {
                    renewed = true;
                }
                answered => return answered,
            }
        }
    }

    /// As who this is asked.
    fn api(&self, subject: Subject<'_>) -> &Api {
        let own = self.credentials.owner(subject).and_then(|slug| self.of_deployments.get(slug));
        own.unwrap_or(&self.for_all)
    }

    async fn get<T: DeserializeOwned>(&self, subject: Subject<'_>, path: &str) -> Result<T, ApiError> {
        self.send(subject, &ApiRequest::new(Method::GET, path)).await?.json()
    }

    /// Makes or changes something, and gives what GitHub says it is now.
    async fn write<T: DeserializeOwned>(
        &self,
        subject: Subject<'_>,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<T, ApiError> {
        self.send(subject, &ApiRequest::new(method, path).body(Some(&body.to_string()))).await?.json()
    }

    /// Asks for something to be done, of whose answer nothing is read.
    async fn ask(
        &self,
        subject: Subject<'_>,
        method: Method,
        path: &str,
        body: Option<&str>,
    ) -> Result<(), ApiError> {
        self.send(subject, &ApiRequest::new(method, path).body(body)).await.map(drop)
    }

    /// All pages of a list, or those up to and with the one in which `enough` finds its last entry. A list that is longer than
    /// we read is cut off, which the log says.
    async fn list<T: DeserializeOwned>(
        &self,
        subject: Subject<'_>,
        path: &str,
        enough: impl Fn(&[T]) -> bool,
    ) -> Result<Vec<T>, ApiError> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut next = Some(format!("{path}{separator}per_page={PAGE_ENTRIES}"));
        let mut entries = Vec::new();
        for _ in 0..PAGES_MAX {
            let Some(page) = next else { return Ok(entries) };
            let answer = self.send(subject, &ApiRequest::new(Method::GET, &page)).await?;
            next = self.api(subject).next_page(&answer);
            entries.extend(answer.json::<Vec<T>>()?);
            if enough(&entries) {
                return Ok(entries);
            }
        }
        if next.is_some() {
            let read = entries.len();
            tracing::warn!(path, read, "GitHub has more of these than are read: the rest was left out");
        }
        Ok(entries)
    }
}

/// A value in the query of a URL.
fn in_query(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}
