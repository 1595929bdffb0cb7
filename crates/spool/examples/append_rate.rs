//! How many entries a second can be appended, each durable before the next by the same thread.
//!
//! `cargo run --profile dist --package durhack-spool --example append_rate [DIRECTORY]`; the directory decides which
//! disk is measured.

use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use spool::Spool;

const ENTRY_BYTES: usize = 20 * 1024;
const MEASURED_FOR: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;

fn main() {
    let base = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    println!("threads  appends/s (median of {ROUNDS})  p50 ms  p99 ms");
    for threads in [1, 8, 32] {
        let mut rounds: Vec<(f64, Duration, Duration)> =
            (0..ROUNDS).map(|_| measure(&base, threads)).collect();
        rounds.sort_by(|left, right| left.0.total_cmp(&right.0));
        let (rate, half, most) = rounds[ROUNDS / 2];
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
        println!("{threads:7}  {rate:24.0}  {:6.2}  {:6.2}", milliseconds(half), milliseconds(most));
    }
}

/// Appends a second, and the median and 99th percentile of one append's time.
fn measure(base: &std::path::Path, threads: usize) -> (f64, Duration, Duration) {
    let directory = tempfile::tempdir_in(base).expect("a directory can be made where it was asked for");
    let start = Instant::now();
    let now = move || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let spool = Spool::open(directory.path(), now).expect("the spool opens");
    let contents = vec![b'x'; ENTRY_BYTES];
    let times = Mutex::new(Vec::new());
    let started = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads {
            let (spool, contents, times) = (&spool, &contents, &times);
            scope.spawn(move || {
                let mut own = Vec::new();
                while started.elapsed() < MEASURED_FOR {
                    let before = Instant::now();
                    let _ = spool.append(&format!("{thread}-{}", own.len()), &[contents]).expect("appends");
                    own.push(before.elapsed());
                }
                times.lock().expect("no thread panics").extend(own);
            });
        }
    });
    let elapsed = started.elapsed();
    let mut times = times.into_inner().expect("no thread panics");
    times.sort_unstable();
    let count = times.len();
    (
        f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / elapsed.as_secs_f64(),
        times[count / 2],
        times[count * 99 / 100],
    )
}
