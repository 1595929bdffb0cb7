//! Waiting for a condition, with an end.
//!
//! A test never sleeps in the hope that something has happened meanwhile: it asks until it has, and gives
//! up after a number of attempts that only a broken product needs. No test asserts how long anything took.

use std::time::Duration;

/// Between two questions: short, so that a test is not slower than what it waits for.
const PAUSE: Duration = Duration::from_millis(20);

/// About a minute and a half: more than any condition needs on two busy cores.
const ATTEMPTS_MAX: u32 = 4500;

/// Asks until there is an answer; panics with what was waited for when there is none.
#[track_caller]
pub fn until<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    for _ in 0..ATTEMPTS_MAX {
        if let Some(answer) = question() {
            return answer;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("waited in vain for: {what}");
}
