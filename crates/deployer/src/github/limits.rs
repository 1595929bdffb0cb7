//! How much may be asked: GitHub's own word, and what it documents for requests that create content.
//!
//! Who goes on asking while limited is limited for longer, and may be banned.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// GitHub allows 80 requests a minute that create content. Others use the same account.
const WRITES_A_MINUTE_MAX: usize = 60;

/// It allows 500 of them an hour.
const WRITES_AN_HOUR_MAX: usize = 400;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// However far away the end of a limit is said to be: GitHub's windows are an hour, and a clock may be wrong.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(super) struct Limits {
    paused: Option<(Instant, String)>,
    /// Of the last hour, the oldest first.
    writes: VecDeque<Instant>,
}

impl Limits {
    /// GitHub wants to hear nothing for so long.
    pub(super) fn pause(&mut self, now: Instant, duration: Duration, reason: &str) {
        self.paused = Some((now + duration.min(PAUSE_MAX), reason.to_owned()));
    }

    /// For how much longer, and why.
    pub(super) fn paused(&self, now: Instant) -> Option<(Duration, String)> {
        let (end, reason) = self.paused.as_ref()?;
        let left = end.saturating_duration_since(now);
        (!left.is_zero()).then(|| (left, reason.clone()))
    }

    /// One more write, now: None. Or after how long to ask again.
    pub(super) fn write(&mut self, now: Instant) -> Option<Duration> {
        while self.writes.front().is_some_and(|first| now.duration_since(*first) >= HOUR) {
            self.writes.pop_front();
        }
        let wait_for = |count: usize, window: Duration| {
            let oldest = self.writes.len().checked_sub(count).map(|at| self.writes[at])?;
            Some((oldest + window).saturating_duration_since(now)).filter(|wait| !wait.is_zero())
        };
        let wait = wait_for(WRITES_A_MINUTE_MAX, MINUTE).max(wait_for(WRITES_AN_HOUR_MAX, HOUR));
        if wait.is_none() {
            self.writes.push_back(now);
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_writes_than_github_allows_in_any_minute_or_hour() {
        let mut limits = Limits::default();
        let mut now = Instant::now();
        let mut written: Vec<Instant> = Vec::new();
        while written.len() < 1000 {
            match limits.write(now) {
                None => written.push(now),
                Some(wait) => now += wait,
            }
        }
        for (window, max) in [(MINUTE, WRITES_A_MINUTE_MAX), (HOUR, WRITES_AN_HOUR_MAX)] {
            let crowded = written.windows(max + 1).find(|those| those[max] - those[0] < window);
            assert_eq!(crowded, None, "more than {max} in {window:?}");
        }
        assert!(written[999] - written[0] < 3 * HOUR, "and not many fewer");
    }

    #[test]
    fn a_pause_ends() {
        let (mut limits, start) = (Limits::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(limits.paused(start), None);
        limits.pause(start, Duration::from_secs(90), "enough");
        assert_eq!(limits.paused(after(60)), Some((Duration::from_secs(30), "enough".to_owned())));
        assert_eq!(limits.paused(after(90)), None);
        limits.pause(start, Duration::MAX, "a clock that is wrong");
        assert!(limits.paused(start).is_some_and(|(left, _)| left <= PAUSE_MAX));
    }
}
