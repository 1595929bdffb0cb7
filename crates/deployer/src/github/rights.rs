//! What a credential may do, as far as GitHub tells without anything being changed.
//!
//! A classic token's scopes stand in a header of every answer; an App's permissions in its installation. Of a fine-grained token
//! GitHub tells nothing but its end: what it may is found out by asking.

use super::api::ApiRequest;
use super::error::ApiError;
use super::{GitHub, Subject};
use crate::base::names::RepositoryName;
use reqwest::Method;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What GitHub says of a token beside its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRights {
    /// Of a classic token; None for any other.
    pub scopes: Option<Vec<String>>,
    /// When it ends; None where it does not, or GitHub does not say.
    pub expires_at_ms: Option<i64>,
    /// Requests that are left of this hour's, and how many an hour has.
    pub quota: Option<(u64, u64)>,
    /// GitHub's clock, in Unix milliseconds.
    pub github_time_ms: Option<i64>,
}

/// A repository, as a credential sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Repository {
    /// Under which name GitHub knows it now.
    pub full_name: String,
    /// Whether it is read-only for everybody.
    #[serde(default)]
    pub archived: bool,
    /// What the account may; of a fine-grained token's account, not of the token.
    #[serde(default)]
    pub permissions: RepositoryPermissions,
}

/// What an account may do in a repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct RepositoryPermissions {
    #[serde(default)]
    pub admin: bool,
    #[serde(default)]
    pub push: bool,
}

/// An App in an account's repositories.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Installation {
    /// As GitHub numbers it.
    pub id: u64,
    /// `contents` -> `read`
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
    /// Set where the account has switched it off.
    #[serde(default)]
    pub suspended_at: Option<String>,
}

impl GitHub {
    /// Asks what counts against no limit.
    pub async fn token(&self, subject: Subject<'_>) -> Result<TokenRights, ApiError> {
        let answer = self.send(subject, &ApiRequest::new(Method::GET, "/rate_limit")).await?;
        let number = |name| answer.header(name).and_then(|text| text.parse().ok());
        let quota = number("x-ratelimit-remaining").zip(number("x-ratelimit-limit"));
        Ok(TokenRights {
            scopes: answer.header("x-oauth-scopes").map(scopes),
            expires_at_ms: answer.header("github-authentication-token-expiration").and_then(expiration),
            quota,
            github_time_ms: answer.header("date").and_then(date),
        })
    }

    /// A repository with what the credential's account may do in it.
    pub async fn repository(&self, subject: Subject<'_>) -> Result<Repository, ApiError> {
        self.get(subject, &format!("/repos/{}", subject.repository)).await
    }

    /// Where the App is what asks for all: its installation for this repository.
    pub async fn installation(&self, repository: &RepositoryName) -> Option<Result<Installation, ApiError>> {
        self.credentials.installation(repository).await
    }
}

fn scopes(header: &str) -> Vec<String> {
    header.split(',').map(str::trim).filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
}

/// `2026-12-24 18:00:00 UTC`, `2026-12-24 19:00:00 +0100`
fn expiration(header: &str) -> Option<i64> {
    let text = header.trim().replace(" UTC", " +0000");
    Some(jiff::Timestamp::strptime("%Y-%m-%d %H:%M:%S %z", text).ok()?.as_millisecond())
}

/// `Mon, 23 Nov 2026 18:50:00 GMT`
fn date(header: &str) -> Option<i64> {
    Some(jiff::fmt::rfc2822::parse(header).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        assert_eq!(scopes("repo, admin:org ,,"), ["repo", "admin:org"]);
        assert!(scopes("").is_empty());
        let at = |ms: Option<i64>| ms.map(crate::base::clock::readable_utc);
        assert_eq!(at(expiration("2026-12-24 18:00:00 UTC")).as_deref(), Some("2026-12-24 18:00:00"));
        assert_eq!(at(expiration("2026-12-24 19:00:00 +0100")).as_deref(), Some("2026-12-24 18:00:00"));
        assert_eq!(expiration("soon"), None);
        assert_eq!(at(date("Mon, 23 Nov 2026 18:50:00 GMT")).as_deref(), Some("2026-11-23 18:50:00"));
        assert_eq!(date("now"), None);
    }
}
