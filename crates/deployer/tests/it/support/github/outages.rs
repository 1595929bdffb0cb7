//! How GitHub fails, when a test tells it to, and how it limits who asks too much.

use super::{Answer, problem};
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::pin::Pin;
use std::task::{Context, Poll};

/// How it behaves at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    Fine,
    /// Every answer is 500.
    Fails,
    /// Requests are read and never answered.
    Hangs,
    /// The connection ends in the middle of the answer. What was asked for is not done.
    Cuts,
    /// What was asked to be changed is done, and the connection ends in the middle of the answer. What is only read is answered.
    CutsAfterwards,
    /// 403, nothing remaining, the limit is reset in a second.
    PrimaryLimit,
    /// 429 with `Retry-After: 1`.
    SecondaryLimit,
}

/// Requests that are left, and when there will be more again.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    pub remaining: u32,
    pub resets_at: i64,
}

/// The same, while there are plenty.
pub const QUOTA_OF_AN_HOUR: u32 = 5000;

/// Counts one request; None where none is left.
pub fn take(quota: &mut Option<Quota>, now: i64) -> Option<Quota> {
    if quota.is_some_and(|limited| limited.resets_at <= now) {
        *quota = None;
    }
    let Some(limited) = quota else {
        return Some(Quota { remaining: QUOTA_OF_AN_HOUR - 1, resets_at: now + 3600 });
    };
    limited.remaining = limited.remaining.checked_sub(1)?;
    Some(*limited)
}

/// Answers as the weather is; None where it is fine.
pub async fn answer(weather: Weather, now: i64) -> Option<Response> {
    let answer = match weather {
        Weather::Fine | Weather::CutsAfterwards => return None,
        Weather::Fails => problem(500, "Server Error"),
        Weather::Hangs => std::future::pending().await,
        Weather::Cuts => return Some(cut()),
        Weather::PrimaryLimit => primary_limit(now + 1),
        Weather::SecondaryLimit => {
            problem(429, "You have exceeded a secondary rate limit.").header("retry-after", "1")
        }
    };
    Some(answer.into_response())
}

/// What GitHub says to who has used up the quota.
pub fn primary_limit(resets_at: i64) -> Answer {
    problem(403, "API rate limit exceeded for user ID 1.")
        .header("x-ratelimit-limit", QUOTA_OF_AN_HOUR.to_string())
        .header("x-ratelimit-remaining", "0")
        .header("x-ratelimit-reset", resets_at.to_string())
}

/// Half an answer.
pub fn cut() -> Response {
    (StatusCode::OK, [("content-length", "1000")], Body::new(CutOff::default())).into_response()
}

/// A body that ends the connection after its first bytes.
#[derive(Default)]
struct CutOff {
    polls: u32,
}

impl hyper::body::Body for CutOff {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, std::io::Error>>> {
        self.polls += 1;
        match self.polls {
            1 => Poll::Ready(Some(Ok(hyper::body::Frame::data(Bytes::from_static(b"{\"url\":"))))),
            // An error at once would also discard what has not been written yet.
            2 => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            _ => Poll::Ready(Some(Err(std::io::Error::other("the cable was cut")))),
        }
    }
}
