//! What should be live, compared with what is, without any event.
//!
//! GitHub sends a webhook once; if we were down, or it failed, it is lost. So each repository is asked for the heads of its
//! branches (one `git ls-remote` for all of its deployments, which needs nothing but the right to read): at start, at an
//! interval, and when the clock has jumped, which a machine that was asleep sees. A head that is new to us goes
//! through the deployment's own spool, as a push does.
//!
//! New is: neither live, nor waiting or running, nor the last that was tried of that branch. So a head that failed is not tried
//! again, whatever an operator has rolled back to stays (also where the head was superseded by that while it waited), and a branch that was moved back by force is followed. A run that
//! failed and says nothing of the commit (nothing could be fetched, the machine had no memory left) is repeated at growing distances;
//! one that had begun to carry out its plan, [`TRIES_WITH_PLAN_MAX`] times in all.
//!
//! A push that arrives meanwhile does no harm: the worker sees that both mean the same run (`Worker::is_settled_already`).
//! Of a head that a gate holds back, the worker is told to look again: it is the only one that asks the gates.
//! Absent on purpose: any decision about what a run does, and any memory of its own. Everything it knows is in the database.

pub mod clock_watch;
pub mod deliveries;

use crate::base::clock;
use crate::base::names::{BranchName, CommitId, DeliveryId};
use crate::config::Deployment;
use crate::git::mirror::FetchError;
use crate::pipeline::context::{Host, HostedDeployment};
use crate::pipeline::gates::Held;
use crate::queue::job::reconcile_job;
use crate::store::comparison::Comparison;
use crate::store::{HostFailures, Run, RunState};
use anyhow::{Context, Result};
use spool::Spool;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// Repositories asked at once: each is a git and its connection, and a small server has other things to do.
pub const PARALLEL_MAX: usize = 4;

/// One `git ls-remote`. It is a few kilobytes; what takes longer is a server in trouble.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// Between two comparisons after errors, at most (or the interval itself, where that is longer).
const PAUSE_MAX: Duration = Duration::from_secs(30 * 60);

/// Runs of one commit that had begun to act when this machine had nothing left for their programs. Each has switched what is live, or may
/// have, and taken it back; and what uses the machine up may be what was deployed.
const TRIES_WITH_PLAN_MAX: u32 = 5;

/// Part of a pause by which it is longer or shorter, so that many repositories, and many instances, are not in step.
const JITTER: f64 = 0.1;

/// One repository as it is asked: by one URL with one credential.
pub struct Reconcile {
    host: Host,
    targets: Vec<Target>,
    slots: Arc<Semaphore>,
}

/// A deployment, and how its worker is reached.
pub struct Target {
    pub deployment: Deployment,
    /// Where its jobs wait.
    pub spool: Spool,
    /// Has its worker ask the gates again about what they hold back.
    pub look_again: Arc<Notify>,
}

/// How long to wait after a comparison.
struct Pauses {
    answered: Duration,
    failed: Duration,
}

/// The enabled deployments by what is asked for them: those of one repository together.
pub fn by_source<'a>(deployments: impl Iterator<Item = &'a Deployment>) -> Vec<Vec<Deployment>> {
    let mut sources: Vec<Vec<Deployment>> = Vec::new();
    for deployment in deployments.filter(|deployment| deployment.enabled) {
        match sources.iter_mut().find(|source| is_same_source(&source[0], deployment)) {
            Some(source) => source.push(deployment.clone()),
            None => sources.push(vec![deployment.clone()]),
        }
    }
    sources
}

fn is_same_source(one: &Deployment, other: &Deployment) -> bool {
    let token =
        |deployment: &Deployment| deployment.github_token.as_ref().map(|token| token.expose().to_owned());
    one.clone_url == other.clone_url
        && one.repository == other.repository
        && one.ssh_key_file == other.ssh_key_file
        && token(one) == token(other)
}

impl Reconcile {
    /// For deployments of one source, at least one.
    pub fn new(host: Host, targets: Vec<Target>, slots: Arc<Semaphore>) -> Self {
        Self { host, targets, slots }
    }

    /// Compares until told to stop; at once when `jumps` says so.
    pub async fn serve(self, mut jumps: watch::Receiver<u64>, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let slot = tokio::select! {
                () = stop.cancelled() => return,
                slot = self.slots.acquire() => slot,
            };
            jumps.mark_unchanged();
            let (interval, fraction) = (self.host.config.reconcile.interval, random_fraction());
            let pauses = Pauses {
                answered: jittered(interval, fraction),
                failed: jittered(pause(interval, failures + 1), fraction),
            };
            let answered = self.compare(&pauses, &stop).await;
            drop(slot);
            failures = if answered { 0 } else { failures + 1 };
            let pause = if answered { pauses.answered } else { pauses.failed };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                Ok(()) = jumps.changed() => {}
            }
        }
    }

    /// Asks for the heads and looks at each deployment. Whether the source answered.
    async fn compare(&self, pauses: &Pauses, stop: &CancellationToken) -> bool {
        let first = &self.targets[0].deployment;
        let branches: Vec<&BranchName> =
            self.targets.iter().map(|target| &target.deployment.branch).collect();
        // Before anything is read: what ends after this may not have been seen.
        let seen_at = clock::now();
        match self.host.mirror(first).heads(&branches, ASK_TIMEOUT, stop).await {
            Ok(heads) => {
                let next = pauses.answered;
                for target in &self.targets {
                    self.look_at(target, &heads, (seen_at, next)).await;
                }
                true
            }
            Err(FetchError::Cancelled) => true,
            Err(error) => {
                tracing::warn!(repository = %first.repository, error = %error, "the heads of its branches cannot be asked for");
                for Target { deployment, .. } in &self.targets {
                    self.note(deployment, None, Err(error.to_string()), pauses.failed);
                }
                false
            }
        }
    }

    async fn look_at(
        &self,
        target: &Target,
        heads: &BTreeMap<BranchName, CommitId>,
        (seen_at, next): (jiff::Timestamp, Duration),
    ) {
        let Target { deployment, spool, look_again } = target;
        let Some(head) = heads.get(&deployment.branch) else {
            let finding = format!("the branch {} does not exist; what is live stays live", deployment.branch);
            return self.note(deployment, None, Ok(finding), next);
        };
        let finding = match self.known(deployment, spool, head).await {
            Ok(known) => match standing(head, &known, clock::now_ms(), self.host.config.reconcile.interval) {
                HeadState::Fine(finding) => Ok(finding),
                HeadState::Blocked(finding) => {
                    look_again.notify_one();
                    Ok(finding)
                }
                HeadState::Behind => self
                    .enqueue(deployment, spool, head, &known, seen_at)
                    .await
                    .map(|()| format!("{} was not live: it is queued", head.short())),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = &finding {
            tracing::warn!(deployment = %deployment.slug, error = format!("{error:#}"), "cannot be compared now");
        }
        self.note(deployment, Some(head), finding.map_err(|error| format!("{error:#}")), next);
    }

    /// What record and spool say.
    async fn known(&self, deployment: &Deployment, spool: &Spool, head: &CommitId) -> Result<KnownHeads> {
        let (slug, store) = (deployment.slug.as_str(), &self.host.store);
        let spool = spool.clone();
        // In this order: what is taken meanwhile is seen in one of them.
        let entries = move || Ok::<_, spool::OperationError>((spool.ready()?, spool.claimed()?));
        let (waiting, taken) =
            tokio::task::spawn_blocking(entries).await?.context("cannot read the spool")?;
        let running = store.unfinished_runs(Some(slug)).await?;
        let live = store.live_release(slug).await?.map(|release| release.commit_id);
        let tried = store.last_tried(slug).await?;
        let host_failures = match &tried {
            Some(run) if run.says_nothing_of_its_commit() => {
                Some(store.host_failures(slug, head.as_str()).await?)
            }
            _ => None,
        };
        let tried_at_ms = tried.as_ref().and_then(|run| run.ended_at_ms).unwrap_or(0);
        let overruled = store.was_overruled(slug, head.as_str(), tried_at_ms).await?;
        let held = Held::of(HostedDeployment::new(&self.host, deployment))
            .await?
            .filter(|held| held.commit == *head);
        let [waiting, taken] = [waiting, taken].map(|entries| !entries.is_empty());
        Ok(KnownHeads { live, waiting, taken, running, tried, host_failures, held, overruled })
    }

    async fn enqueue(
        &self,
        deployment: &Deployment,
        spool: &Spool,
        head: &CommitId,
        known: &KnownHeads,
        seen_at: jiff::Timestamp,
    ) -> Result<()> {
        let last = known.tried.as_ref().map_or("", |run| run.id.as_str());
        // The same find twice is one job, but for one that came to an end without a try of this head: the branch was away just then, or moved
        // on and came back.
        let find = format!("{} {head} {last}", deployment.slug);
        let id = DeliveryId::of_reconcile(&find);
        let id = match self.host.store.delivery(id.as_str()).await? {
            None => id,
            Some(_) => DeliveryId::of_reconcile(&format!("{find} {seen_at}")),
        };
        tracing::info!(deployment = %deployment.slug, delivery = %id, commit = %head, "the branch's head is not live: queued");
        let bytes = reconcile_job(id.clone(), seen_at, head.clone());
        let spool = spool.clone();
        // There already is as good as new.
        tokio::task::spawn_blocking(move || spool.append(id.as_str(), &[&bytes]))
            .await?
            .map(drop)
            .context("cannot queue it")
    }

    /// Keeps what came of it; the source is asked again after `next`. A source that answered without naming the branch does not have it.
    fn note(
        &self,
        deployment: &Deployment,
        head: Option<&CommitId>,
        finding: Result<String, String>,
        next: Duration,
    ) {
        let is_error = finding.is_err();
        let at_ms = clock::now_ms();
        let comparison = Comparison {
            at_ms,
            head: head.map(CommitId::to_string),
            finding: finding.unwrap_or_else(|error| error),
            is_error,
            is_branch_gone: head.is_none() && !is_error,
            next_at_ms: i64::try_from(next.as_millis()).ok().map(|next| at_ms + next),
        };
        if let Err(error) = comparison.keep(&self.host.config.state_directory, &deployment.slug) {
            tracing::debug!(deployment = %deployment.slug, error = format!("{error:#}"), "cannot note the comparison");
        }
    }
}

/// What is known of a deployment.
struct KnownHeads {
    live: Option<String>,
    /// Whether something waits in its spool: it will lead to the head as it is then.
    waiting: bool,
    /// Whether something has been taken from it that is not done with.
    taken: bool,
    running: Vec<Run>,
    tried: Option<Run>,
    /// How often this head was tried in vain, where what was tried last says nothing of it.
    host_failures: Option<HostFailures>,
    /// The head, where a gate held it back when it was last tried.
    held: Option<Held>,
    /// Whether an operator's wish took the head's place.
    overruled: bool,
}

/// How a head stands.
#[derive(Debug)]
enum HeadState {
    /// Nothing is to be done; why.
    Fine(String),
    /// A gate held it back; which. Its worker finds out whether it still does.
    Blocked(String),
    /// It is to be deployed.
    Behind,
}

fn standing(head: &CommitId, known: &KnownHeads, now_ms: i64, interval: Duration) -> HeadState {
    let is_head = |commit: &Option<String>| commit.as_deref() == Some(head.as_str());
    // A run that does not know its commit yet is about to ask for the head itself.
    let under_way = known.running.iter().any(|run| run.commit_id.is_none() || is_head(&run.commit_id))
        // The worker is deciding what to do with it; that may be to let an operator's wish have its place.
        || known.taken && known.running.is_empty();
    let short = head.short();
    if let Some(run) = known.running.iter().find(|run| run.state == RunState::Unknown) {
        return HeadState::Fine(format!("what is live is unknown: an operator is to look at run {}", run.id));
    }
    if is_head(&known.live) {
        return HeadState::Fine(format!("{short} is live"));
    }
    if known.waiting || under_way {
        return HeadState::Fine(format!("{short} is not live; work on it waits or is under way"));
    }
    if known.overruled {
        return HeadState::Fine(format!("{short} was superseded by what an operator asked for"));
    }
    if let Some(held) = &known.held {
        return HeadState::Blocked(format!("{short}: {}", held.sentence));
    }
    match &known.tried {
        Some(run) if is_head(&run.commit_id) => {
            let is_due = |failures: &HostFailures| {
                let pause = i64::try_from(pause(interval, failures.all).as_millis()).unwrap_or(i64::MAX);
                failures.with_plan < TRIES_WITH_PLAN_MAX && now_ms - run.ended_at_ms.unwrap_or(0) >= pause
            };
            match known.host_failures.as_ref().is_some_and(is_due) {
                true => HeadState::Behind,
                false => HeadState::Fine(format!("{short} was tried and {}: run {}", run.state, run.id)),
            }
        }
        _ => HeadState::Behind,
    }
}

/// The interval, doubled with each failure.
fn pause(interval: Duration, failures: u32) -> Duration {
    interval.saturating_mul(2u32.saturating_pow(failures.min(16))).min(PAUSE_MAX.max(interval))
}

/// A pause, longer or shorter by up to [`JITTER`]; `fraction` is 0 to 1.
fn jittered(pause: Duration, fraction: f64) -> Duration {
    pause.mul_f64(1.0 + JITTER * (2.0 * fraction - 1.0))
}

/// Something from 0 to 1 that is another one each time. It need not be more random than an id.
fn random_fraction() -> f64 {
    let bytes = uuid::Uuid::now_v7().into_bytes();
    f64::from(u16::from_be_bytes([bytes[14], bytes[15]])) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{RunTrigger, VerdictCode};

    const MINUTE: Duration = Duration::from_secs(60);

    fn run(commit: Option<&str>, state: RunState, plan: Option<&str>, ended_at_ms: i64) -> Run {
        Run {
            id: "r".into(),
            deployment: "d".into(),
            repository: "o/r".into(),
            branch: "main".into(),
            commit_id: commit.map(|digit| digit.repeat(40)),
            previous_commit: None,
            attempt: 1,
            trigger: RunTrigger::Delivery,
            requested_by: String::new(),
            entry: String::new(),
            delivery_id: None,
            state,
            cause: None,
            summary: None,
            plan: plan.map(str::to_owned),
            release: None,
            created_at_ms: 0,
            started_at_ms: None,
            ended_at_ms: Some(ended_at_ms),
            pid: 1,
            boot_id: String::new(),
            fault: None,
            mac: None,
            fault_mac: None,
        }
    }

    #[test]
    fn which_heads_are_new() {
        let failed = |commit| run(Some(commit), RunState::Failed, Some("{}"), 0);
        let unfetched = |failures, ended_at_ms| {
            let host_failures = Some(HostFailures { all: failures, with_plan: 0 });
            (Some(run(Some("b"), RunState::Failed, None, ended_at_ms)), host_failures)
        };
        let exhausted = |with_plan| (Some(failed("b")), Some(HostFailures { all: 1, with_plan }));
        let skipped = run(Some("b"), RunState::Skipped, None, 0);
        let succeeded = run(Some("b"), RunState::Succeeded, Some("{}"), 0);
        let running = |commit| vec![run(commit, RunState::Running, None, 0)];
        let now_ms = 10 * 60_000;
        // The head is always b: what is live, waits, runs, was tried; and whether it is new.
        for (live, waiting, running, (tried, host_failures), is_new) in [
            (None, false, vec![], (None, None), true),
            (Some("a"), false, vec![], (None, None), true),
            (Some("b"), false, vec![], (None, None), false),
            (Some("a"), true, vec![], (None, None), false),
            (Some("a"), false, running(None), (None, None), false),
            (Some("a"), false, running(Some("b")), (None, None), false),
            (Some("a"), false, running(Some("c")), (None, None), true),
            // Nobody knows what is live: whatever it is, nothing is done before an operator has looked.
            (Some("a"), false, vec![run(Some("c"), RunState::Unknown, Some("{}"), 0)], (None, None), false),
            (None, false, vec![run(None, RunState::Unknown, Some("{}"), 0)], (None, None), false),
            (Some("a"), false, vec![], (Some(failed("b")), None), false),
            // Somebody rolled back: the head was tried, and stays where it is.
            (Some("a"), false, vec![], (Some(succeeded), None), false),
            (Some("a"), false, vec![], (Some(skipped), None), false),
            // Moved back by force to what was live before the last.
            (Some("a"), false, vec![], (Some(failed("c")), None), true),
            (Some("a"), false, vec![], unfetched(1, now_ms - 119_000), false),
            (Some("a"), false, vec![], unfetched(1, now_ms - 121_000), true),
            (Some("a"), false, vec![], unfetched(3, now_ms - 121_000), false),
            // It has seen nothing of the commit yet.
            (Some("a"), false, vec![], unfetched(40, now_ms - 31 * 60_000), true),
            (Some("a"), false, vec![], exhausted(4), true),
            (Some("a"), false, vec![], exhausted(5), false),
        ] {
            let label = format!("{live:?} {waiting} {running:?} {tried:?} {host_failures:?}");
            let live = live.map(|digit: &str| digit.repeat(40));
            let is_new_beside_a_run = is_new && !running.is_empty();
            let taken = false;
            let known = KnownHeads {
                live,
                waiting,
                taken,
                running,
                tried,
                host_failures,
                held: None,
                overruled: false,
            };
            let head = CommitId::parse(&"b".repeat(40)).unwrap();
            let is_behind =
                |known: &KnownHeads| matches!(standing(&head, known, now_ms, MINUTE), HeadState::Behind);
            assert_eq!(is_behind(&known), is_new, "{label}");
            let taken = KnownHeads { taken: true, ..known };
            assert_eq!(is_behind(&taken), is_new_beside_a_run, "{label}");
            let overruled = KnownHeads { overruled: true, ..taken };
            assert!(!is_behind(&overruled), "{label}");
        }
    }

    #[test]
    fn of_a_head_that_is_held_back_its_worker_is_told_to_look_again() {
        let head = CommitId::parse(&"b".repeat(40)).unwrap();
        let held = Held {
            commit: head.clone(),
            blocked: vec![],
            sentence: "waiting for ci".into(),
            verdict: VerdictCode::Waiting,
            run: "r".into(),
            at_ms: 0,
        };
        // Held back, as a run that waits or that was refused; whether something waits in the spool, and whether an operator's wish took its place.
        for (held, refused, waiting, overruled, expected) in [
            (Some(held.clone()), false, false, false, "blocked"),
            (Some(held.clone()), true, false, false, "blocked"),
            (Some(held.clone()), false, true, false, "fine"),
            (Some(held), false, false, true, "fine"),
            // Refused, and then an operator put something else live.
            (None, true, false, false, "fine"),
        ] {
            let state = if refused { RunState::Failed } else { RunState::Waiting };
            let label = format!("{held:?} {refused} {waiting} {overruled}");
            let known = KnownHeads {
                live: None,
                waiting,
                taken: false,
                running: vec![],
                tried: Some(run(Some("b"), state, None, 0)),
                host_failures: None,
                held,
                overruled,
            };
            let found = match standing(&head, &known, 10 * 60_000, MINUTE) {
                HeadState::Fine(_) => "fine",
                HeadState::Blocked(finding) => {
                    assert_eq!(finding, "bbbbbbb: waiting for ci");
                    "blocked"
                }
                HeadState::Behind => "behind",
            };
            assert_eq!(found, expected, "{label}");
        }
    }

    #[test]
    fn pauses_grow_to_a_limit_and_are_not_in_step() {
        assert_eq!([pause(MINUTE, 0), pause(MINUTE, 2)], [MINUTE, 4 * MINUTE]);
        assert_eq!([pause(MINUTE, 40), pause(60 * MINUTE, 3)], [PAUSE_MAX, 60 * MINUTE]);
        assert_eq!([jittered(MINUTE, 0.0), jittered(MINUTE, 1.0)].map(|pause| pause.as_secs()), [54, 66]);
        let fractions: Vec<f64> = (0..100).map(|_| random_fraction()).collect();
        assert!(fractions.iter().all(|fraction| (0.0..=1.0).contains(fraction)));
        assert!(
            fractions.iter().any(|fraction| *fraction < 0.5)
                && fractions.iter().any(|fraction| *fraction > 0.5)
        );
    }
}
