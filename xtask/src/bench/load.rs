//! The load generator: so many clients, each with a connection, sending pushes until all are sent.

use super::http::{SignedPush, connect, push_body};
use super::servers::{SECRET, Server};
use anyhow::{Result, bail};
use std::fmt;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What is sent, and how.
#[derive(Debug, Clone)]
pub struct Load {
    pub clients: usize,
    pub connections: Connections,
    pub body_bytes: usize,
    pub requests: usize,
}

/// How long a connection lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// One for each client.
    KeptAlive,
    /// One for each request, as GitHub's come; its set-up counts.
    NewForEach,
}

impl fmt::Display for Connections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::KeptAlive => "kept alive",
            Self::NewForEach => "new for each",
        })
    }
}

impl fmt::Display for Load {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, connections, body_bytes, requests } = self;
        write!(
            formatter,
            "{requests} pushes of {body_bytes} bytes, {clients} at once, connections {connections}"
        )
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub per_second: f64,
    /// Milliseconds from the first byte sent (or the connection's start) to the whole answer.
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Outcome {
    /// Of each figure by itself.
    pub fn median(outcomes: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(outcomes.iter().map(figure).collect());
        Self { per_second: of(|o| o.per_second), p50_ms: of(|o| o.p50_ms), p99_ms: of(|o| o.p99_ms) }
    }
}

/// Sends it all; any answer but the right one ends the measurement with an error.
pub fn run(server: &Server, load: &Load) -> Result<Outcome> {
    let body = push_body(super::servers::REPOSITORY, "refs/heads/another", &"a".repeat(40), load.body_bytes);
    let push = SignedPush::new(server.path, SECRET, body, load.connections == Connections::KeptAlive);
    let sent = AtomicUsize::new(0);
    let started = Instant::now();
    let results: Vec<Result<Vec<Duration>>> = std::thread::scope(|scope| {
        let client = || scope.spawn(|| client(server, load, &push, &sent));
        let clients: Vec<_> = (0..load.clients).map(|_| client()).collect();
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect()
    });
    let seconds = started.elapsed().as_secs_f64();
    let mut latencies = Vec::with_capacity(load.requests);
    for result in results {
        latencies.extend(result?);
    }
    latencies.sort_unstable();
    Ok(Outcome {
        per_second: latencies.len() as f64 / seconds,
        p50_ms: percentile_ms(&latencies, 50),
        p99_ms: percentile_ms(&latencies, 99),
    })
}

/// Sends as long as some are left to send.
fn client(server: &Server, load: &Load, push: &SignedPush, sent: &AtomicUsize) -> Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(load.requests / load.clients + 1);
    let mut kept: Option<TcpStream> = match load.connections {
        Connections::KeptAlive => Some(connect(&server.address)?),
        Connections::NewForEach => None,
    };
    while sent.fetch_add(1, Ordering::Relaxed) < load.requests {
        let started = Instant::now();
        let status = match &mut kept {
            Some(connection) => push.send(connection)?,
            None => push.send(&mut connect(&server.address)?)?,
        };
        latencies.push(started.elapsed());
        if status != server.accepted {
            bail!("{} answered {status} instead of {}", server.name, server.accepted);
        }
    }
    Ok(latencies)
}

/// The nearest-rank percentile of sorted times.
fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
}

/// The middle one, or the mean of the middle two; not a number where there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(Vec::new()).is_nan());
        let hundred: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        for (percent, expected) in [(50, 50.0), (99, 99.0), (100, 100.0)] {
            assert!((percentile_ms(&hundred, percent) - expected).abs() < 1e-9);
        }
        assert!((percentile_ms(&hundred[..1], 99) - 1.0).abs() < 1e-9);
    }
}
