//! GitHub's API as we ask it. Only this module and those below it know its addresses, headers and answers.
//!
//! One request goes through [`GitHub::send`], which knows the credential, the limits ([`limits`]) and what an answer other than
//! success means ([`error`]). [`statuses`], [`deployments`] and [`hooks`] say what is asked for. Redirects are not followed:
//! the credential is for the configured address alone.

pub mod deployments;
pub mod error;
pub mod hooks;
mod limits;
pub mod statuses;

use crate::config;
use crate::secret::Secret;
use anyhow::{Context, Result};
use error::{ApiError, ErrorKind};
use limits::Limits;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LINK};
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The version of the REST description that our requests follow.
const API_VERSION: &str = "2022-11-28";

/// One request, from the first byte sent to the last one read.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer is a delivery with its payload, of which GitHub sends at most 25 MiB, escaped in JSON.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Entries of a page: the most that GitHub gives.
const PAGE_ENTRIES: u32 = 100;

/// Pages of one list. GitHub allows 20 hooks; 50 pages of deliveries are more than three days of a busy repository.
const PAGES_MAX: usize = 50;

/// A client with a credential. Clones share their limits.
#[derive(Clone)]
pub struct GitHub {
    client: reqwest::Client,
    api_url: String,
    token: Secret,
    limits: Arc<Mutex<Limits>>,
}

/// What a request that succeeded was answered with.
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    /// The next page of a list, below the API's address.
    next: Option<String>,
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
        Ok(Some(Self { client, api_url: settings.api_url.clone(), token, limits: Arc::default() }))
    }

    /// Sends one request, when the limits allow it. Whatever is not a success is an error.
    async fn send(&self, method: Method, path: &str, body: Option<&str>) -> Result<Answer, ApiError> {
        self.wait_for_turn(&method).await?;
        let mut request = self.client.request(method, format!("{}{path}", self.api_url));
        request = request.bearer_auth(self.token.expose());
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_owned());
        }
        let response = request.send().await.map_err(|error| ApiError::of_transport(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let read = read_limited(response).await;
        if !status.is_success() {
            // An error without its text is one all the same.
            let error = ApiError::of_answer(status, &headers, &read.unwrap_or_default());
            if error.kind == ErrorKind::Limited {
                self.limits().pause(Instant::now(), error.after.unwrap_or_default(), &error.reason);
            }
            return Err(error);
        }
        if let Some(wait) = error::wait_for_reset(&headers) {
            self.limits().pause(Instant::now(), wait, "the rate limit is used up");
        }
        Ok(Answer { status, body: read?, next: self.next_page(&headers) })
    }

    /// Waits where we have written much of late; gives up at once where GitHub has said that it has had enough.
    async fn wait_for_turn(&self, method: &Method) -> Result<(), ApiError> {
        loop {
            let wait = {
                let mut limits = self.limits();
                if let Some((after, reason)) = limits.paused(Instant::now()) {
                    return Err(ApiError { kind: ErrorKind::Limited, reason, after: Some(after) });
                }
                if *method == Method::GET { None } else { limits.write(Instant::now()) }
            };
            match wait {
                None => return Ok(()),
                Some(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    fn limits(&self) -> std::sync::MutexGuard<'_, Limits> {
        self.limits.lock().expect("nothing panics while it holds the lock")
    }

    /// One thing.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.send(Method::GET, path, None).await?.json()
    }

    /// Makes or changes something, and gives what GitHub says it is now.
    async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<T, ApiError> {
        self.send(method, path, Some(&body.to_string())).await?.json()
    }

    /// Asks for something to be done that has no answer worth reading.
    async fn ask(&self, method: Method, path: &str) -> Result<(), ApiError> {
        self.send(method, path, None).await.map(drop)
    }

    /// All pages of a list, or those up to and with the one in which `enough` finds its last entry.
    async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        enough: impl Fn(&[T]) -> bool,
    ) -> Result<Vec<T>, ApiError> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut next = Some(format!("{path}{separator}per_page={PAGE_ENTRIES}"));
        let mut entries = Vec::new();
        for _ in 0..PAGES_MAX {
            let Some(path) = next else { break };
            let answer = self.send(Method::GET, &path, None).await?;
            next = answer.next.clone();
            entries.extend(answer.json::<Vec<T>>()?);
            if enough(&entries) {
                break;
            }
        }
        Ok(entries)
    }

    /// `Link: <...>; rel="next"`, if it leads to where the credential belongs.
    fn next_page(&self, headers: &HeaderMap) -> Option<String> {
        let links = headers.get(LINK)?.to_str().ok()?;
        let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
        let url = next.split_once('<')?.1.split_once('>')?.0;
        url.strip_prefix(&self.api_url).filter(|path| path.starts_with('/')).map(str::to_owned)
    }
}

impl Answer {
    fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body).map_err(|error| ApiError {
            kind: ErrorKind::Unreadable,
            reason: format!("{}: the answer cannot be read: {error}", self.status),
            after: None,
        })
    }
}

/// The body, if it is not larger than any that can be meant.
async fn read_limited(mut response: Response) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| ApiError::of_transport(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            let reason = format!("the answer has more than {ANSWER_BYTES_MAX} bytes");
            return Err(ApiError { kind: ErrorKind::Unreadable, reason, after: None });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A value in the query of a URL.
fn in_query(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}
