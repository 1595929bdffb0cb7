//! Visitors who ask for the same pages again and again, and remember whatever went wrong.

use super::http::Request;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Visitors at once; with the pause, some hundred requests a second.
const NUMBER: usize = 4;

/// Between a visitor's answer and the next request.
const PAUSE: Duration = Duration::from_millis(6);

/// Failures that are described.
const DESCRIBED_MAX: usize = 5;

/// See the module. Each request has its own connection.
#[derive(Debug)]
pub struct Visitors {
    ended: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    threads: Vec<JoinHandle<()>>,
    started: Instant,
}

/// What the visitors saw.
#[derive(Debug, Clone)]
pub struct Seen {
    pub requests: usize,
    pub failures: usize,
    /// The first few failures.
    pub described: Vec<String>,
    /// Different pages, in the order in which they were first seen.
    pub pages: Vec<String>,
    /// The longest time in which nobody got a good answer.
    pub longest_gap: Duration,
    pub elapsed: Duration,
    last_success: Instant,
}

impl Visitors {
    /// Begins. Each asks for these paths in turn.
    pub fn come(address: &str, paths: &[&'static str]) -> Self {
        let started = Instant::now();
        let seen = Seen {
            requests: 0,
            failures: 0,
            described: Vec::new(),
            pages: Vec::new(),
            longest_gap: Duration::ZERO,
            elapsed: Duration::ZERO,
            last_success: started,
        };
        let (ended, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(seen)));
        let visitor = |_| {
            let (ended, seen) = (Arc::clone(&ended), Arc::clone(&seen));
            let (address, paths) = (address.to_owned(), paths.to_vec());
            std::thread::spawn(move || {
                for path in paths.iter().cycle().take_while(|_| !ended.load(Ordering::Relaxed)) {
                    visit(&address, path, &seen);
                    std::thread::sleep(PAUSE);
                }
            })
        };
        let threads = (0..NUMBER).map(visitor).collect();
        Self { ended, seen, threads, started }
    }

    /// Ends, and tells.
    pub fn leave(mut self) -> Seen {
        self.end();
        let mut seen = self.seen.lock().expect("no visitor panics").clone();
        seen.elapsed = self.started.elapsed();
        seen
    }

    fn end(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.end();
    }
}

fn visit(address: &str, path: &str, seen: &Mutex<Seen>) {
    let answer = Request::new("GET", path).send_to_mortal(address);
    let mut seen = seen.lock().expect("no visitor panics");
    seen.requests += 1;
    match answer {
        Some(answer) if answer.status == 200 => {
            seen.longest_gap = seen.longest_gap.max(seen.last_success.elapsed());
            seen.last_success = Instant::now();
            let page = String::from_utf8_lossy(&answer.body).into_owned();
            if !seen.pages.contains(&page) {
                seen.pages.push(page);
            }
        }
        other => {
            seen.failures += 1;
            if seen.described.len() < DESCRIBED_MAX {
                let described = match other {
                    Some(answer) => {
                        format!("{}: {:.200}", answer.status, String::from_utf8_lossy(&answer.body))
                    }
                    None => "no answer".to_owned(),
                };
                seen.described.push(format!("{path}: {described}"));
            }
        }
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let rate = self.requests as f64 / seconds;
        write!(
            formatter,
            "{} requests in {seconds:.1} s ({rate:.0}/s), {} failed, {} different pages, longest gap {:?}",
            self.requests,
            self.failures,
            self.pages.len(),
            self.longest_gap
        )
    }
}
