//! The gap of a switch: the longest time during which a deployment did not answer while it was switched and verified.
//!
//! Measured, not promised: while those steps run, the deployment's first health check that needs no program is asked again and
//! again, beside the run. It only looks: it delays nothing, fails nothing, and ends with whoever began it. An
//! answer that comes late is an answer: what a visitor waits for is not missing. Where nothing was live before there is
//! nothing to measure.

use crate::config::{HealthCheck, Phase};
use crate::steps::health::Question;
use std::fmt;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two questions: short against a restart, and no load for what is asked. The next one waits for the answer.
const INTERVAL: Duration = Duration::from_millis(30);

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downtime {
    /// From the first question that was not answered as it should be, to the next that was, or to the end. Zero: there was none.
    longest: Duration,
    /// Whether any question was answered as it should be.
    answered: bool,
}

/// Watches a run enter its phases, and measures in those of the switch.
pub struct Watch<'a> {
    checks: &'a [HealthCheck],
    asking: Option<ProbeTask>,
    gap: Option<Downtime>,
}

/// A measurement in progress; it ends when this is dropped.
struct ProbeTask {
    over: CancellationToken,
    task: JoinSet<Downtime>,
}

impl<'a> Watch<'a> {
    /// Of a run after which these must hold; none of them: nothing is measured.
    pub fn new(checks: &'a [HealthCheck]) -> Self {
        Self { checks, asking: None, gap: None }
    }

    /// A step of this phase is about to be started.
    pub async fn enter(&mut self, phase: Phase) {
        match phase {
            Phase::Switch | Phase::Verify if self.asking.is_none() => {
                self.asking = ProbeTask::begin(self.checks);
            }
            Phase::Clean => self.stop().await,
            _ => {}
        }
    }

    /// The run is over. None: nothing was measured.
    pub async fn end(mut self) -> Option<Downtime> {
        self.stop().await;
        self.gap
    }

    async fn stop(&mut self) {
        if let Some(mut asking) = self.asking.take() {
            asking.over.cancel();
            self.gap = asking.task.join_next().await.and_then(Result::ok);
        }
    }
}

impl ProbeTask {
    /// None where no check can be asked without a program.
    fn begin(checks: &[HealthCheck]) -> Option<Self> {
        // What cannot even be asked fails as a health check, with its reason; that is not for us to say.
        let question = checks.iter().find_map(|check| Question::of(check).ok().flatten())?;
        let over = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(ask(question, over.clone()));
        Some(Self { over, task })
    }
}

async fn ask(question: Question, over: CancellationToken) -> Downtime {
    let mut measured = Measurement::default();
    loop {
        let asked = Instant::now();
        tokio::select! {
            // An answer that is there counts, also at the end.
            biased;
            answer = question.ask() => measured.hear(answer.is_ok(), asked, Instant::now()),
            () = over.cancelled() => return measured.end(Instant::now()),
        }
        tokio::select! {
            () = over.cancelled() => return measured.end(Instant::now()),
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

#[derive(Debug, Default)]
struct Measurement {
    longest: Duration,
    answered: bool,
    silent_since: Option<Instant>,
}

impl Measurement {
    fn hear(&mut self, good: bool, asked: Instant, answered: Instant) {
        if good {
            self.close(answered);
            self.answered = true;
        } else {
            self.silent_since.get_or_insert(asked);
        }
    }

    fn close(&mut self, at: Instant) {
        if let Some(since) = self.silent_since.take() {
            self.longest = self.longest.max(at.duration_since(since));
        }
    }

    fn end(mut self, at: Instant) -> Downtime {
        self.close(at);
        Downtime { longest: self.longest, answered: self.answered }
    }
}

impl fmt::Display for Downtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest =
            crate::base::clock::duration(i64::try_from(self.longest.as_millis()).unwrap_or(i64::MAX));
        match (self.longest.is_zero(), self.answered) {
            (true, true) => write!(formatter, "no downtime while switching"),
            (false, true) => write!(formatter, "not reachable for {longest} while switching"),
            (_, false) => write!(formatter, "not reachable at any time while switching ({longest})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silence_counts() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        for (answers, shown) in [
            (&[(true, 0), (true, 30), (true, 60)][..], "no downtime while switching"),
            // From the first question in vain to the next answer; each answer takes 10 ms.
            (
                &[(true, 0), (false, 100), (false, 200), (true, 300), (false, 400), (true, 450)],
                "not reachable for 210 ms while switching",
            ),
            // Silent to the end.
            (&[(true, 0), (false, 500)], "not reachable for 1.5 s while switching"),
            (&[(false, 0), (false, 500)], "not reachable at any time while switching (2.0 s)"),
        ] {
            let mut measurement = Measurement::default();
            for (good, asked) in answers {
                measurement.hear(*good, at(*asked), at(asked + 10));
            }
            assert_eq!(measurement.end(at(2000)).to_string(), shown, "{answers:?}");
        }
    }
}
