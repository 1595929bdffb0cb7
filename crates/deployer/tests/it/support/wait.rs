//! Waiting for a condition, with an end.
//!
//! A test never sleeps in the hope that something has happened meanwhile: it asks until it has, and gives
//! up after pauses that only a broken product needs. No test asserts how long anything took.

use std::time::Duration;

/// Between two questions: short, so that a test is not slower than what it waits for.
const PAUSE: Duration = Duration::from_millis(20);

/// Between two questions that start a program, at most: it takes a few hundredths of a second of a core that what is waited for needs.
const PAUSE_OF_PROGRAMS_MAX: Duration = Duration::from_millis(250);

/// Three minutes: more than any condition needs on two busy cores, and than the product's own longest wait.
const WAIT_MAX: Duration = Duration::from_secs(180);

/// Asks until there is an answer; panics with what was waited for when there is none.
#[track_caller]
pub fn until<T>(what: &str, question: impl FnMut() -> Option<T>) -> T {
    asked(what, |_| PAUSE, question)
}

/// The same for a question that starts a program. What has not happened soon is asked for less and less often.
#[track_caller]
pub fn until_told<T>(what: &str, question: impl FnMut() -> Option<T>) -> T {
    asked(what, |pause| (pause * 9 / 8).min(PAUSE_OF_PROGRAMS_MAX), question)
}

#[track_caller]
fn asked<T>(what: &str, longer: impl Fn(Duration) -> Duration, mut question: impl FnMut() -> Option<T>) -> T {
    let (mut pause, mut waited) = (PAUSE, Duration::ZERO);
    while waited < WAIT_MAX {
        if let Some(answer) = question() {
            return answer;
        }
        std::thread::sleep(pause);
        waited += pause;
        pause = longer(pause);
    }
    panic!("waited in vain for: {what}");
}
