//! Visitors: requests without a pause, some hundreds a second, that count what goes wrong.

use super::http::{Answer, Request};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Failures that are described; a test needs one.
const DESCRIBED_MAX: usize = 5;

/// One visitor after the other.
#[derive(Debug)]
pub struct Load {
    ended: Arc<AtomicBool>,
    visitors: Vec<JoinHandle<Seen>>,
}

/// What they have seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub requests: usize,
    pub failures: usize,
    pub described: Vec<String>,
    /// The longest time from one good answer to the next.
    pub longest_gap: Duration,
}

impl Load {
    /// So many at once, each of whom asks `GET /` again and again.
    pub fn start(address: &str, visitors: usize) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let visitor = |_| {
            let (ended, address) = (Arc::clone(&ended), address.to_owned());
            std::thread::spawn(move || visit(&address, &ended))
        };
        let visitors = (0..visitors).map(visitor).collect();
        Self { ended, visitors }
    }

    /// Stops them.
    pub fn stop(self) -> Seen {
        self.ended.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for visitor in self.visitors {
            let seen = visitor.join().expect("a visitor does not panic");
            all.requests += seen.requests;
            all.failures += seen.failures;
            all.described.extend(seen.described);
            all.longest_gap = all.longest_gap.max(seen.longest_gap);
        }
        all
    }
}

fn visit(address: &str, ended: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut last_good = Instant::now();
    while !ended.load(Ordering::Relaxed) {
        seen.requests += 1;
        match Request::new("GET", "/").send_to_mortal(address) {
            Some(Answer { status: 200, .. }) => {
                seen.longest_gap = seen.longest_gap.max(last_good.elapsed());
                last_good = Instant::now();
            }
            other => {
                seen.failures += 1;
                if seen.described.len() < DESCRIBED_MAX {
                    seen.described.push(format!("{other:?}"));
                }
            }
        }
    }
    seen
}
