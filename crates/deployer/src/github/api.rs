//! One request to GitHub's API, and what became of it.
//!
//! Whose token it carries is the caller's to know: [`super::GitHub`] asks with somebody's, [`super::app`] with the App's own
//! statement, [`super::meta`] with none. Each identity has an [`Api`] of its own, because GitHub counts requests by identity.
//! Redirects are not followed: a credential is for the configured address alone.

use super::error::{self, ApiError, ErrorKind};
use super::limits::Limits;
use crate::base::secret::Secret;
use crate::config;
use anyhow::{Context, Result};
use reqwest::header::{ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, LINK};
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The version of the REST description that our requests follow.
const API_VERSION: &str = "2022-11-28";

/// One request, from the first byte sent to the last one read.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer is a delivery with its payload, of which GitHub sends at most 25 MiB, escaped in JSON.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The API as one identity asks it. Clones share their limits.
#[derive(Clone)]
pub(super) struct Api {
    client: reqwest::Client,
    url: String,
    limits: Arc<Mutex<Limits>>,
}

/// What is asked.
#[derive(Clone)]
pub(super) struct ApiRequest<'a> {
    method: Method,
    /// Below the API's address.
    path: &'a str,
    body: Option<&'a str>,
    /// Of the answer that we have already.
    etag: Option<&'a str>,
    answer_bytes_max: usize,
}

/// What a request that succeeded was answered with.
pub(super) struct ApiResponse {
    status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl<'a> ApiRequest<'a> {
    pub(super) fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, body: None, etag: None, answer_bytes_max: ANSWER_BYTES_MAX }
    }

    pub(super) fn body(self, body: Option<&'a str>) -> Self {
        Self { body, ..self }
    }

    /// Asks only for what has changed: see [`ApiResponse::is_unchanged`].
    pub(super) fn unless(self, etag: Option<&'a str>) -> Self {
        Self { etag, ..self }
    }

    /// Less than the largest that any request has.
    pub(super) fn answer_bytes_max(self, answer_bytes_max: usize) -> Self {
        Self { answer_bytes_max, ..self }
    }
}

impl Api {
    /// Asks nobody yet.
    pub(super) fn new(settings: &config::GitHub) -> Result<Self> {
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
        Ok(Self { client, url: settings.api_url.clone(), limits: Arc::default() })
    }

    /// The same for another identity.
    pub(super) fn with_own_limits(&self) -> Self {
        Self { limits: Arc::default(), ..self.clone() }
    }

    /// Sends one request, when the limits allow it. Whatever is not a success is an error.
    pub(super) async fn send(
        &self,
        asked: &ApiRequest<'_>,
        credential: Option<&Secret>,
    ) -> Result<ApiResponse, ApiError> {
        self.wait_for_turn(&asked.method).await?;
        let mut request = self.client.request(asked.method.clone(), format!("{}{}", self.url, asked.path));
        if let Some(credential) = credential {
            request = request.bearer_auth(credential.expose());
        }
        if let Some(etag) = asked.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(body) = asked.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_owned());
        }
        let response = request.send().await.map_err(|error| ApiError::of_transport(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let read = read_limited(response, asked.answer_bytes_max).await;
        let is_unchanged = status == StatusCode::NOT_MODIFIED && asked.etag.is_some();
        if !status.is_success() && !is_unchanged {
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
        Ok(ApiResponse { status, headers, body: read? })
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

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().expect("nothing panics while it holds the lock")
    }

    /// The next page of a list, below the API's address: `Link: <...>; rel="next"`, if it leads to where the credential belongs.
    pub(super) fn next_page(&self, answer: &ApiResponse) -> Option<String> {
        let links = answer.headers.get(LINK)?.to_str().ok()?;
        let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
        let url = next.split_once('<')?.1.split_once('>')?.0;
        url.strip_prefix(&self.url).filter(|path| path.starts_with('/')).map(str::to_owned)
    }
}

impl ApiResponse {
    /// Nothing has changed since the answer whose tag was sent along.
    pub(super) fn is_unchanged(&self) -> bool {
        self.status == StatusCode::NOT_MODIFIED
    }

    pub(super) fn etag(&self) -> Option<&str> {
        self.header(ETAG.as_str())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            ApiError::unreadable(format!("{}: the answer cannot be read: {error}", self.status))
        })
    }
}

/// The body, if it is not larger than any that can be meant.
async fn read_limited(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| ApiError::of_transport(&error))? {
        if body.len() + chunk.len() > bytes_max {
            return Err(ApiError::unreadable(format!("the answer has more than {bytes_max} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
