//! What GitHub means by an answer other than success: whose fault it is, and whether it passes.

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::fmt;
use std::time::Duration;

/// What GitHub advises to wait where it gives no time itself.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(60);

/// As much of an error message as is kept.
const MESSAGE_CHARS_MAX: usize = 300;

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// One line, in GitHub's words where it had any.
    pub reason: String,
    /// Not before; GitHub's own word, where it gave one.
    pub after: Option<Duration>,
}

/// The kinds of failure that somebody does something different about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No connection, no answer in time, or half of one.
    Unreachable,
    /// GitHub says that it is at fault.
    Failing,
    /// We have asked too much.
    Limited,
    /// The credential is not known (any more).
    Unauthorised,
    /// The credential may not do this.
    Forbidden,
    /// It is not there, or the credential may not know that it is.
    NotFound,
    /// The commit is not known; after a push it may become so.
    UnknownCommit,
    /// Never, as it stands.
    Refused,
    /// A success that makes no sense.
    Unreadable,
}

impl ErrorKind {
    /// Whether any other request would fare as badly now. A limit is one credential's, of which there may be others.
    pub fn is_everybodys(self) -> bool {
        matches!(self, Self::Unreachable | Self::Failing)
    }

    /// Whether the same request may succeed later, with nothing changed by anybody.
    pub fn passes(self) -> bool {
        self.is_everybodys() || self == Self::Limited
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

impl std::error::Error for ApiError {}

impl ApiError {
    /// A failure of the connection, without the URL and with its innermost cause.
    pub(super) fn of_transport(error: &reqwest::Error) -> Self {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let reason =
            if error.is_timeout() { format!("no answer in time ({cause})") } else { cause.to_string() };
        Self { kind: ErrorKind::Unreachable, reason, after: None }
    }

    /// A success that makes no sense.
    pub(super) fn unreadable(reason: String) -> Self {
        Self { kind: ErrorKind::Unreadable, reason, after: None }
    }

    /// What an answer other than success means.
    pub(super) fn of_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let message = message_of(body);
        let after = retry_after(headers).or_else(|| wait_for_reset(headers));
        let kind = kind_of(status, after.is_some(), &message);
        let after = if kind == ErrorKind::Limited { Some(after.unwrap_or(RATE_LIMIT_PAUSE)) } else { after };
        Self { kind, reason: format!("{status}: {message}"), after }
    }
}

fn kind_of(status: StatusCode, told_to_wait: bool, message: &str) -> ErrorKind {
    let text = message.to_ascii_lowercase();
    let limited = told_to_wait || text.contains("rate limit");
    match status {
        StatusCode::TOO_MANY_REQUESTS => ErrorKind::Limited,
        StatusCode::FORBIDDEN if limited => ErrorKind::Limited,
        StatusCode::FORBIDDEN => ErrorKind::Forbidden,
        StatusCode::UNAUTHORIZED => ErrorKind::Unauthorised,
        // A repository that was renamed is answered by a redirect.
        StatusCode::NOT_FOUND | StatusCode::GONE => ErrorKind::NotFound,
        status if status.is_redirection() => ErrorKind::NotFound,
        StatusCode::UNPROCESSABLE_ENTITY
            if text.contains("no commit found") || text.contains("no ref found") =>
        {
            ErrorKind::UnknownCommit
        }
        StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
            ErrorKind::Refused
        }
        _ => ErrorKind::Failing,
    }
}

/// GitHub's message, with those of its list of errors; or what it sent instead.
fn message_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let message = match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(answer) => {
            let errors = answer["errors"].as_array().into_iter().flatten();
            let errors = errors.filter_map(|error| error.as_str().or(error["message"].as_str()));
            let parts = answer["message"].as_str().into_iter().chain(errors);
            parts.collect::<Vec<_>>().join("; ")
        }
        Err(_) => text.into_owned(),
    };
    message.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MESSAGE_CHARS_MAX).collect()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// `Retry-After`, in seconds: how a secondary limit says it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    number(headers, RETRY_AFTER.as_str()).map(Duration::from_secs)
}

/// The time until a used-up limit is reset.
pub(super) fn wait_for_reset(headers: &HeaderMap) -> Option<Duration> {
    if number(headers, "x-ratelimit-remaining") != Some(0) {
        return None;
    }
    let reset = number(headers, "x-ratelimit-reset")?;
    let now = u64::try_from(crate::base::clock::now_ms() / 1000).unwrap_or(0);
    Some(Duration::from_secs(reset.saturating_sub(now).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, headers: &[(&'static str, &str)], body: &str) -> ApiError {
        let headers = headers.iter().map(|&(name, value)| {
            (name.parse().unwrap(), value.parse::<reqwest::header::HeaderValue>().unwrap())
        });
        ApiError::of_answer(StatusCode::from_u16(status).unwrap(), &headers.collect(), body.as_bytes())
    }

    #[test]
    fn what_an_answer_means() {
        let used_up = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")];
        let some_left = [("x-ratelimit-remaining", "12"), ("x-ratelimit-reset", "1")];
        for (status, headers, body, kind, after) in [
            (500, &[][..], "oops", ErrorKind::Failing, None),
            (502, &[], "<html>", ErrorKind::Failing, None),
            (408, &[], "", ErrorKind::Failing, None),
            (401, &[], r#"{"message":"Bad credentials"}"#, ErrorKind::Unauthorised, None),
            (403, &[], r#"{"message":"Resource not accessible"}"#, ErrorKind::Forbidden, None),
            (403, &some_left, r#"{"message":"Resource not accessible"}"#, ErrorKind::Forbidden, None),
            (403, &used_up, r#"{"message":"API rate limit exceeded"}"#, ErrorKind::Limited, Some(1)),
            (403, &[("retry-after", "7")], "{}", ErrorKind::Limited, Some(7)),
            (403, &[], r#"{"message":"a secondary rate limit"}"#, ErrorKind::Limited, Some(60)),
            (429, &[], "", ErrorKind::Limited, Some(60)),
            (404, &[], r#"{"message":"Not Found"}"#, ErrorKind::NotFound, None),
            (301, &[], r#"{"message":"Moved Permanently"}"#, ErrorKind::NotFound, None),
            (422, &[], r#"{"message":"No commit found for SHA: x"}"#, ErrorKind::UnknownCommit, None),
            (422, &[], r#"{"message":"No ref found for: x"}"#, ErrorKind::UnknownCommit, None),
            (422, &[], r#"{"message":"Validation Failed"}"#, ErrorKind::Refused, None),
            (409, &[], "{}", ErrorKind::Refused, None),
        ] {
            let error = judged(status, headers, body);
            assert_eq!((error.kind, error.after), (kind, after.map(Duration::from_secs)), "{status} {body}");
        }
    }

    #[test]
    fn reasons_are_one_line_with_what_github_says_beside_its_message() {
        let body = r#"{"message":"Validation Failed","errors":[{"resource":"Hook","message":"Hook already exists"},"x\ny"]}"#;
        assert_eq!(
            judged(422, &[], body).reason,
            "422 Unprocessable Entity: Validation Failed; Hook already exists; x y"
        );
        assert!(judged(500, &[], &"é".repeat(5000)).reason.chars().count() < 350);
    }
}
