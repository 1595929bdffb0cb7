//! Has the machine slept? The wall clock and the monotonic one, which stands still meanwhile, then drift apart, as they do when
//! somebody sets the clock. In both cases nobody knows what was missed, and it is time to compare.

use crate::base::clock;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the clock is looked at.
const CLOCK_INTERVAL: Duration = Duration::from_secs(5);

/// By how much wall clock and monotonic clock may drift apart in that time. The monotonic one stands still while the machine
/// sleeps; NTP moves the other by far less than this.
const CLOCK_JUMP_MIN: Duration = Duration::from_secs(2);

/// Notices that the wall clock has jumped, which it also does when the machine wakes up.
pub struct ClockWatch(watch::Sender<u64>);

impl ClockWatch {
    /// The watch, and what it counts.
    pub fn new() -> (Self, watch::Receiver<u64>) {
        let (sender, receiver) = watch::channel(0);
        (Self(sender), receiver)
    }

    /// Looks until told to stop.
    pub async fn serve(self, stop: CancellationToken) {
        let (mut wall_ms, mut monotonic) = (clock::now_ms(), Instant::now());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(CLOCK_INTERVAL) => {}
            }
            let (wall_now_ms, monotonic_now) = (clock::now_ms(), Instant::now());
            if has_jumped(wall_now_ms - wall_ms, monotonic_now - monotonic) {
                tracing::info!(
                    seconds = (wall_now_ms - wall_ms) / 1000,
                    "the clock has jumped, or the machine has slept: comparing at once"
                );
                self.0.send_modify(|jumps| *jumps += 1);
            }
            (wall_ms, monotonic) = (wall_now_ms, monotonic_now);
        }
    }
}

fn has_jumped(wall_elapsed_ms: i64, monotonic_elapsed: Duration) -> bool {
    let monotonic_ms = i64::try_from(monotonic_elapsed.as_millis()).unwrap_or(i64::MAX);
    wall_elapsed_ms.abs_diff(monotonic_ms) >= u64::try_from(CLOCK_JUMP_MIN.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_and_a_change_of_the_clock_are_jumps_and_a_slow_machine_is_not() {
        let seconds = Duration::from_secs;
        for (wall_ms, monotonic, expected) in [
            (5_000, seconds(5), false),
            (60_000, seconds(60), false),
            (5_900, seconds(5), false),
            (3_605_000, seconds(5), true),
            (-3_600_000, seconds(5), true),
            (i64::MIN, seconds(5), true),
        ] {
            assert_eq!(has_jumped(wall_ms, monotonic), expected, "{wall_ms}");
        }
    }
}
