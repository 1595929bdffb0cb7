//! How long a spool whose fsync failed waits before it is opened anew.

use std::sync::{Mutex, PoisonError};

const FIRST_NANOS: u64 = 1_000_000_000;
const LONGEST_NANOS: u64 = 60 * FIRST_NANOS;

/// Doubles from one second to a minute with each attempt that fails. By the spool's own clock: where that is set
/// back, the next attempt comes at once, for a time in the future might never come.
#[derive(Default)]
pub(crate) struct Pause(Mutex<Option<Waiting>>);

#[derive(Clone, Copy)]
struct Waiting {
    since: u64,
    nanos: u64,
}

impl Pause {
    /// Whether it is time to try. The first question after a failure starts the first pause.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *waiting {
            None => {
                *waiting = Some(Waiting { since: now, nanos: FIRST_NANOS });
                false
            }
            Some(Waiting { since, nanos }) => {
                let is_over = now.checked_sub(since).is_none_or(|waited| waited >= nanos);
                if is_over {
                    // Whoever asks meanwhile does not try too.
                    *waiting = Some(Waiting { since: now, nanos: (2 * nanos).min(LONGEST_NANOS) });
                }
                is_over
            }
        }
    }

    /// An attempt succeeded: the next failure starts from the shortest pause again.
    pub(crate) fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = FIRST_NANOS;

    #[test]
    fn doubles_up_to_a_minute_and_starts_again_after_a_success() {
        let pause = Pause::default();
        let attempts = |from: u64, to: u64| {
            (from..=to).filter(|second| pause.is_over(second * SECOND)).collect::<Vec<_>>()
        };
        assert_eq!(attempts(1000, 1200), [1001, 1003, 1007, 1015, 1031, 1063, 1123, 1183]);
        pause.end();
        assert_eq!(attempts(1201, 1204), [1202, 1204]);
    }

    #[test]
    fn a_clock_that_is_set_back_ends_it() {
        let pause = Pause::default();
        assert!(!pause.is_over(5000 * SECOND));
        assert!(pause.is_over(3 * SECOND));
        assert!(!pause.is_over(3 * SECOND + SECOND / 2));
    }
}
