//! How long to wait before the next attempt at an entry, and when to stop trying.
//!
//! Pure: it neither waits nor knows the time. The spool counts attempts; the consumer asks here and then
//! releases, or buries.

use std::time::Duration;

/// Exponential back-off with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failed attempt.
    pub first: Duration,
    /// By how much each further wait is longer than the one before.
    pub factor: u32,
    /// No wait is longer than this.
    pub limit: Duration,
    /// After this many attempts there is no further one.
    pub attempts_max: u32,
}

impl Backoff {
    /// The wait after `attempts` failed attempts; `None` means give up (bury the entry).
    pub fn delay(&self, attempts: u32) -> Option<Duration> {
        if attempts >= self.attempts_max {
            return None;
        }
        let growth = self.factor.saturating_pow(attempts.saturating_sub(1));
        Some(self.first.saturating_mul(growth).min(self.limit))
    }

    /// Like [`delay`](Self::delay), but spread over its upper half, so that entries that failed together do
    /// not come back together. The same seed and attempt give the same wait.
    pub fn delay_with_jitter(&self, attempts: u32, seed: u64) -> Option<Duration> {
        let delay = self.delay(attempts)?;
        let half = delay / 2;
        // The top 32 bits as a fraction of 2^32, in integers so that every machine gets the same.
        let fraction = u128::from(mix(seed ^ u64::from(attempts)) >> 32);
        let spread = ((delay - half).as_nanos() * fraction) >> 32;
        Some(half + Duration::from_nanos(u64::try_from(spread).unwrap_or(u64::MAX)))
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): neighbouring seeds give unrelated numbers.
fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(5),
        factor: 3,
        limit: Duration::from_secs(100),
        attempts_max: 6,
    };

    #[test]
    fn grows_to_the_limit_and_then_gives_up() {
        let seconds: Vec<_> =
            (0..=7).map(|attempts| BACKOFF.delay(attempts).map(|delay| delay.as_secs())).collect();
        assert_eq!(seconds, [Some(5), Some(5), Some(15), Some(45), Some(100), Some(100), None, None]);
    }

    #[test]
    fn no_attempts_allowed_means_give_up_at_once() {
        assert_eq!(Backoff { attempts_max: 0, ..BACKOFF }.delay(0), None);
    }

    #[test]
    fn seeds_spread() {
        let delays: std::collections::HashSet<_> =
            (0..100).map(|seed| BACKOFF.delay_with_jitter(4, seed).unwrap()).collect();
        assert!(delays.len() > 90, "{} different waits from 100 seeds", delays.len());
    }

    proptest! {
        #[test]
        fn waits_stay_in_bounds(first_nanos: u64, factor: u32, limit_nanos: u64, attempts: u32, seed: u64) {
            let backoff = Backoff {
                first: Duration::from_nanos(first_nanos),
                factor,
                limit: Duration::from_nanos(limit_nanos),
                attempts_max: u32::MAX,
            };
            if let Some(delay) = backoff.delay(attempts) {
                prop_assert!(delay <= backoff.limit);
                let jittered = backoff.delay_with_jitter(attempts, seed).unwrap();
                prop_assert!(delay / 2 <= jittered && jittered <= delay);
                prop_assert_eq!(backoff.delay_with_jitter(attempts, seed), Some(jittered));
            }
        }
    }
}
