//! One worker per deployment: claims what waits in its spool, decides what of it is worth a run, and sees the run to its end.
//!
//! An entry says only that something may have changed. What is deployed is the branch's head as it is when the work starts, so a
//! late, repeated or reordered entry can do no harm. An entry is acknowledged only after the database knows what became of it.

mod attempt;
mod blocked;

use super::gates::Held;
use super::outcome::{self, Outcome};
use super::recovery::recover;
use super::{inbox, run, state_modes};
use crate::base::clock;
use crate::base::names::CommitId;
use crate::config::{Deployment, Queue, users};
use crate::pipeline::context::{Host, HostedDeployment};
use crate::pipeline::live_state::{self, LiveState};
use crate::process::claim::{Claim, Holder};
use crate::process::{lock, step_user_access};
use crate::queue::job::{self, ClaimedJob, JobOptions, redeploy_job};
use crate::steps::live_modes;
use crate::store::{self, NewRun, RunState, RunTrigger, StoreError, is_database_away};
use anyhow::Result;
use spool::Spool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often a request to cancel is looked for.
const CANCEL_POLL: Duration = Duration::from_millis(200);

/// Before the next attempt after trouble that is not a run's: a database that is away, a directory that cannot be read.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);

/// Before the live commit is looked at again that the gates hold back although the configuration has changed: its checks cost two
/// requests each time.
const COMPARE_PAUSE: Duration = Duration::from_secs(300);

/// A push that arrives so long after reconcile has begun with its commit is still the one that reconcile was ahead of; later it is
/// somebody's request to try it again. GitHub's deliveries are late by seconds, and by minutes when it is in trouble.
const PUSH_LATE_MAX: Duration = Duration::from_secs(600);

/// What becomes of a job's entry in the spool after a worker's attempt at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JobResult {
    /// The database has its outcome, of whatever kind: the entry is acknowledged.
    Done,
    /// It was interrupted, or not begun: the entry goes back and is tried again.
    Keep,
    /// A self-update: the deployer that replaces this one finds the run in progress and the entry where it is.
    LeftToReplacement,
}

/// How a run was left.
enum Attempt {
    /// So it ended; that is not recorded yet.
    Ended(Outcome),
    /// It is in progress, and the deployer's replacement goes on with it.
    LeftToReplacement,
}

impl JobResult {
    /// Of a job whose run has ended and is recorded.
    fn of(state: RunState) -> Self {
        match state {
            RunState::Interrupted => Self::Keep,
            _ => Self::Done,
        }
    }
}

/// One deployment's worker.
pub struct Worker {
    /// What everything stands on.
    pub host: Host,
    pub deployment: Deployment,
    pub spool: Spool,
    /// Take no further work.
    pub stop: CancellationToken,
    /// Do not wait for the run in progress: roll it back and leave its entry for later.
    pub abort: CancellationToken,
    /// Told when the gates are to be asked again about what they hold back.
    pub look_again: Arc<Notify>,
    /// Told when a run has ended: what is live may be something else.
    pub run_ended: Arc<Notify>,
    /// Kept from the first look at the spool on, for as long as this worker lives.
    pub claim: Mutex<Option<Claim>>,
}

impl Worker {
    /// Works until told to stop. `wake` is only a hint: the spool is looked at every [`spool::SCAN_INTERVAL`] in any case.
    pub async fn serve(self, wake: Arc<Notify>) {
        let mut compare_at = Some(Instant::now());
        // At the start: what happened meanwhile told nobody.
        let mut must_look = true;
        let mut told = String::new();
        while !self.stop.is_cancelled() {
            let error = match self.round(&mut compare_at, &mut must_look).await {
                Ok(rest) => {
                    told.clear();
                    tokio::select! {
                        () = self.stop.cancelled() => return,
                        () = wake.notified() => {}
                        () = self.look_again.notified() => must_look = true,
                        () = tokio::time::sleep(rest) => {}
                    }
                    continue;
                }
                Err(error) => error,
            };
            let slug = &self.deployment.slug;
            let text = format!("{error:#}");
            // What goes on for hours is one line, not one for each second.
            match is_database_away(&error) {
                _ if text == told => {}
                true => {
                    let who = self.host.store.who_locks(&error);
                    tracing::warn!(deployment = %slug, error = text, who, "waiting for the database");
                }
                false => {
                    let hint = error.downcast_ref::<Holder>().map(Holder::mend);
                    tracing::error!(deployment = %slug, error = text, hint, "the worker is in trouble");
                }
            }
            told = text;
            // Putting an entry back wakes us too: only time may.
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(TROUBLE_PAUSE) => {}
            }
        }
    }

    /// Everything that there is to do now. Gives how long there will be nothing that no entry tells of.
    async fn round(&self, compare_at: &mut Option<Instant>, must_look: &mut bool) -> Result<Duration> {
        let (state_directory, deployment) =
            (self.host.config.state_directory.clone(), self.deployment.clone());
        tokio::task::spawn_blocking(move || live_modes::mend(&state_directory, &deployment)).await?;
        self.drain().await?;
        if compare_at.is_some_and(|at| at <= Instant::now()) {
            *compare_at = self.compare().await?;
            self.drain().await?;
        }
        self.look_at_held(must_look).await
    }

    /// At the start: a configuration that was changed meanwhile has effect without a push. Gives when to ask again, where the live
    /// commit may not be deployed now.
    async fn compare(&self) -> Result<Option<Instant>> {
        let Some(commit) = live_state::outdated(self.hosted()).await? else { return Ok(None) };
        let slug = &self.deployment.slug;
        if let Some(sentence) = self.holds_back(&commit).await? {
            tracing::warn!(deployment = %slug, %commit, sentence, "the configuration has changed: the live commit is not deployed again yet");
            return Ok(Some(Instant::now() + COMPARE_PAUSE));
        }
        tracing::info!(deployment = %slug, %commit, "the configuration has changed: the live commit is deployed again");
        let options = JobOptions { commit: Some(commit), ..JobOptions::default() };
        let who = "the configuration, which has changed".to_owned();
        let (header, bytes) = redeploy_job(who, &options);
        let spool = self.spool.clone();
        tokio::task::spawn_blocking(move || spool.append(header.id.as_str(), &[&bytes]).map(drop)).await??;
        Ok(None)
    }

    /// Puts in order what a crash left of a deployment that is disabled, and does nothing else.
    pub async fn recover_only(&self) {
        let mut told = String::new();
        while let Err(error) = self.recovered().await {
            let text = format!("{error:#}");
            if text != told {
                tracing::warn!(deployment = %self.deployment.slug, error = text, "cannot put a crash in order yet");
            }
            told = text;
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(TROUBLE_PAUSE) => {}
            }
        }
    }

    async fn recovered(&self) -> Result<()> {
        let _lock = lock::acquire(&self.host.locks(), self.deployment.slug.as_str()).await?;
        recover(self.hosted()).await
    }

    /// Works on what waits until nothing does, or until told to stop. Whatever cannot be recorded stays in the spool.
    pub async fn drain(&self) -> Result<()> {
        let locks = self.host.locks();
        let _lock = tokio::select! {
            // First: a run that has left for a self-update is another's to put in order.
            biased;
            () = self.stop.cancelled() => return Ok(()),
            lock = lock::acquire(&locks, self.deployment.slug.as_str()) => lock?,
        };
        // `move-user` holds the lock while it changes whose the files are, and has us read the configuration anew before it lets go. Until we
        // have, a run would make files of the wrong user's.
        if users::has_changed(&self.host.config.directory, &self.deployment)? {
            tracing::warn!(deployment = %self.deployment.slug, "as whom it runs has changed: nothing is begun before the configuration is read anew");
            return Ok(());
        }
        self.keep_claim().await?;
        recover(self.hosted()).await?;
        while !self.stop.is_cancelled() {
            // Again: a first release has made the directory.
            self.keep_claim().await?;
            let one_by_one = self.deployment.queue == Queue::All;
            let jobs = inbox::take(self.hosted(), &self.spool, one_by_one).await?;
            if jobs.is_empty() {
                return Ok(());
            }
            let jobs = self.without_replays(jobs).await?;
            let Some((chosen, superseded)) = job::choose(jobs) else { continue };
            crate::failpoint!("jobs-taken");
            match Box::pin(self.one(&chosen, &superseded)).await? {
                JobResult::Done => inbox::finish(superseded.into_iter().chain([chosen])).await?,
                // They go back by being dropped.
                JobResult::Keep | JobResult::LeftToReplacement => {}
            }
            crate::failpoint!("jobs-finished");
        }
        Ok(())
    }

    fn hosted(&self) -> HostedDeployment<'_> {
        HostedDeployment::new(&self.host, &self.deployment)
    }

    /// Keeps deployers with another state directory away from this deployment's directory, as soon as there is one.
    async fn keep_claim(&self) -> Result<()> {
        let mut claim = self.claim.lock().await;
        if !claim.as_ref().is_some_and(|claim| claim.holds(&self.deployment)) {
            // First: a lock on the same file would wait for ours.
            *claim = None;
            *claim = Claim::take(&self.deployment, &self.host.config.state_directory).await?;
        }
        Ok(())
    }

    /// One run for the newest job; the others are superseded by it.
    async fn one(&self, claimed: &ClaimedJob, superseded: &[ClaimedJob]) -> Result<JobResult> {
        for older in superseded {
            // What another run has done for it is more than that it is superseded.
            if !self.is_settled_already(older).await? {
                outcome::superseded(self.hosted(), older, claimed).await?;
            }
        }
        if self.is_settled_already(claimed).await?
            || self.is_held_still(claimed).await?
            || self.is_settled_by_head(claimed).await?
        {
            return Ok(JobResult::Done);
        }
        let _slot = tokio::select! {
            () = self.stop.cancelled() => return Ok(JobResult::Keep),
            slot = self.host.slots.acquire() => slot?,
        };
        // A build of another deployment may have changed them meanwhile.
        let state_directory = self.host.config.state_directory.clone();
        tokio::task::spawn_blocking(move || state_modes::mend(&state_directory)).await??;
        step_user_access::keep_others_out(&self.host.config, &self.host.executor, &self.deployment).await;
        let new = NewRun {
            id: &self.host.store.new_run_id().await?,
            deployment: self.deployment.slug.as_str(),
            repository: self.deployment.repository.as_str(),
            branch: self.deployment.branch.as_str(),
            commit_id: claimed.job.commit.as_ref().map(CommitId::as_str),
            previous_commit: None,
            trigger: claimed.job.trigger,
            requested_by: &claimed.header.remote_address,
            entry: claimed.claim.name().as_str(),
            delivery_id: Some(claimed.header.id.as_str()),
            created_at_ms: clock::now_ms(),
            pid: std::process::id(),
            boot_id: &clock::boot_id(),
        };
        let record = self.host.store.create_run(&new).await?;
        crate::failpoint!("run-queued");
        self.host.store.start_run(&record.id, clock::now_ms(), new.pid, new.boot_id).await?;
        crate::failpoint!("run-created");
        tracing::info!(deployment = %self.deployment.slug, run = record.id, delivery = %claimed.header.id, "run started");
        let attempt = self.supervised(claimed, &record).await;
        // The first run has made the directory.
        step_user_access::keep_others_out(&self.host.config, &self.host.executor, &self.deployment).await;
        if let Err(error) = self.keep_claim().await {
            tracing::error!(deployment = %self.deployment.slug, error = format!("{error:#}"), "this deployment's directory is not ours alone");
        }
        let outcome = match attempt {
            Attempt::Ended(outcome) => outcome,
            Attempt::LeftToReplacement => return Ok(JobResult::LeftToReplacement),
        };
        crate::failpoint!("run-done");
        match outcome.state {
            RunState::Failed | RunState::Interrupted => {
                tracing::warn!(deployment = %self.deployment.slug, run = record.id, state = ?outcome.state, cause = outcome.cause, "run ended");
            }
            _ => {
                tracing::info!(deployment = %self.deployment.slug, run = record.id, state = ?outcome.state, cause = outcome.cause, "run ended");
            }
        }
        // The run is over whatever the database says: wait for it, so that nothing is done twice.
        while let Err(error) = self.recorded_end(&record.id, &outcome).await {
            // Told to stop: the next start finds the run, and finishes what it finds complete.
            if !error.may_be_retried() || self.stop.is_cancelled() {
                return Err(error.into());
            }
            tracing::warn!(run = record.id, %error, "the run has ended and cannot be recorded yet");
            tokio::time::sleep(TROUBLE_PAUSE).await;
        }
        crate::failpoint!("run-ended");
        self.run_ended.notify_one();
        Ok(JobResult::of(outcome.state))
    }

    async fn recorded_end(&self, run: &str, outcome: &Outcome) -> Result<(), StoreError> {
        if let Some(release) = &outcome.live {
            match self.host.store.set_live(self.deployment.slug.as_str(), release, clock::now_ms()).await {
                Err(error) if error.is_tampering() => {
                    tracing::error!(run, %error, "{}", outcome::RELEASE_TAMPERED);
                    let outcome = Outcome::tampered(outcome::RELEASE_TAMPERED);
                    return outcome::end_run(self.hosted(), run, &outcome).await;
                }
                result => result?,
            }
            crate::failpoint!("live");
            let (state_directory, deployment) = (&self.host.config.state_directory, &self.deployment);
            if let Err(error) = live_modes::remember(state_directory, deployment, release) {
                tracing::warn!(
                    run,
                    error = format!("{error:#}"),
                    "cannot note the modes of the live release"
                );
            }
        }
        outcome::end_run(self.hosted(), run, outcome).await
    }

    /// With the database, however long that takes within `runs.record_wait`.
    async fn patiently<T, F>(&self, what: &str, work: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        run::recorded(self.host.config.runs.record_wait, what, work).await
    }

    /// Whether another run has done meanwhile what a job asks for: reconcile and a push often find the same commit at the same
    /// time, and it is deployed once, also where that fails.
    async fn is_settled_already(&self, claimed: &ClaimedJob) -> Result<bool> {
        let Some(run) = self.host.store.last_tried(self.deployment.slug.as_str()).await? else {
            return Ok(false);
        };
        // One that was interrupted is to be done again, most likely by this very job.
        let is_same = claimed.job.commit.as_ref().map(CommitId::as_str) == run.commit_id.as_deref();
        if !is_same || run.state == RunState::Interrupted {
            return Ok(false);
        }
        let received_at_ms = claimed.header.received_at.as_millisecond();
        let settled = match claimed.job.trigger {
            // What had ended when reconcile looked, it knew of.
            RunTrigger::Reconcile => run.ended_at_ms.is_some_and(|ended_at_ms| ended_at_ms >= received_at_ms),
            RunTrigger::Delivery if run.trigger == RunTrigger::Reconcile && !claimed.is_look_again() => {
                let late_ms = received_at_ms - run.created_at_ms;
                !self.is_redelivery(claimed).await?
                    && late_ms < i64::try_from(PUSH_LATE_MAX.as_millis()).unwrap_or(i64::MAX)
            }
            _ => false,
        };
        if settled {
            outcome::settled_by(self.hosted(), claimed, &run).await?;
        }
        Ok(settled)
    }

    /// Settles what says nothing new: whose body came before under another id. First of all, so that nothing else is superseded by it.
    async fn without_replays(&self, jobs: Vec<ClaimedJob>) -> Result<Vec<ClaimedJob>> {
        let mut kept = Vec::new();
        for claimed in jobs {
            let earlier = match &claimed.job.body_sha256 {
                Some(body_sha256) => self.host.store.first_seen(body_sha256).await?,
                None => None,
            };
            let Some(earlier) = earlier.filter(|earlier| earlier != claimed.header.id.as_str()) else {
                kept.push(claimed);
                continue;
            };
            if !self.is_settled_by_head(&claimed).await? {
                outcome::replayed(self.hosted(), &claimed, &earlier).await?;
            }
            inbox::finish([claimed]).await?;
        }
        Ok(kept)
    }

    /// Whether a push brings nothing, by what the branch's head is: that is live, or was the last that was tried. Such a push (late,
    /// repeated, reordered, replayed) gets its verdict and no run. Whether its commit is known here says nothing: a mirror forgets what no
    /// branch has any more, and is made anew where it is gone.
    async fn is_settled_by_head(&self, claimed: &ClaimedJob) -> Result<bool> {
        let (RunTrigger::Delivery, Some(_)) = (claimed.job.trigger, &claimed.job.commit) else {
            return Ok(false);
        };
        let recorded = self.host.store.live_release(self.deployment.slug.as_str()).await?;
        // Neither a tree that was merely found there, nor a release that an undo may not have restored completely.
        let is_certain = |state: &LiveState| {
            state.recorded.as_ref().map(|known| &known.name)
                == state.target.as_ref().map(|live| &live.release)
        };
        let state = live_state::look_at(self.hosted(), recorded).await.ok().filter(is_certain);
        let live = state.and_then(|state| state.target);
        let tried = self.tried_and_judged(claimed).await?;
        let mirror = self.host.mirror(&self.deployment);
        if live.is_none() && tried.is_none() {
            return Ok(false);
        }
        let fetched =
            mirror.fetch(&self.deployment.branch, None, self.deployment.step_timeout, &self.abort).await;
        let Ok(head) = fetched else { return Ok(false) };
        if let Some(sentence) = live_state::already_live(&head, live.as_ref(), None) {
            let live = live.as_ref().map(|live| &live.commit);
            outcome::already_live(self.hosted(), claimed, live, &sentence).await?;
            return Ok(true);
        }
        match tried.filter(|run| run.commit_id.as_deref() == Some(head.id.as_str())) {
            Some(run) => {
                outcome::tried_before(self.hosted(), claimed, &run).await?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// What was tried last of the branch, where that is a judgement on its commit: as reconcile has it, a push does not try that
    /// again. A redelivery does, where it failed.
    pub(super) async fn tried_and_judged(&self, claimed: &ClaimedJob) -> Result<Option<store::Run>> {
        let (host, slug) = (&self.host, self.deployment.slug.as_str());
        if claimed.is_look_again() {
            return Ok(None);
        }
        let Some(run) = host.store.last_tried(slug).await? else { return Ok(None) };
        // What was interrupted, what a gate holds back and what failed for want of something of ours has not had its turn.
        let has_had_its_turn = !matches!(run.state, RunState::Interrupted | RunState::Waiting)
            && !run.says_nothing_of_its_commit()
            && Held::of(self.hosted())
                .await?
                .is_none_or(|held| run.commit_id.as_deref() != Some(held.commit.as_str()));
        let is_retry = run.state == RunState::Failed && self.is_redelivery(claimed).await?;
        Ok((has_had_its_turn && !is_retry).then_some(run))
    }

    async fn is_redelivery(&self, claimed: &ClaimedJob) -> Result<bool, StoreError> {
        let delivery = self.host.store.delivery(claimed.header.id.as_str()).await?;
        Ok(delivery.is_some_and(|delivery| delivery.redeliveries > 0))
    }

    /// The run, with an eye on whoever may stop it.
    async fn supervised(&self, claimed: &ClaimedJob, record: &store::Run) -> Attempt {
        let cancel = CancellationToken::new();
        let request = self.host.cancel_request(&record.id);
        let work = self.run(claimed, record, cancel.clone());
        tokio::pin!(work);
        let mut stopped_by: Option<RunState> = None;
        let attempt = loop {
            tokio::select! {
                attempt = &mut work => break attempt,
                () = self.abort.cancelled(), if stopped_by.is_none() => {
                    stopped_by = Some(RunState::Interrupted);
                    cancel.cancel();
                }
                () = tokio::time::sleep(CANCEL_POLL), if stopped_by.is_none() => {
                    if request.exists() {
                        stopped_by = Some(RunState::Cancelled);
                        cancel.cancel();
                    }
                }
            }
        };
        let _ = fs_err::remove_file(&request);
        match (stopped_by, attempt) {
            (Some(RunState::Interrupted), Attempt::Ended(outcome))
                if outcome.state == RunState::Cancelled =>
            {
                Attempt::Ended(Outcome::new(
                    RunState::Interrupted,
                    "the deployer was stopped during this run; it was rolled back and will be tried again",
                ))
            }
            (_, attempt) => attempt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_job_that_was_interrupted_is_kept() {
        let kept: Vec<_> =
            RunState::ALL.iter().filter(|state| JobResult::of(**state) == JobResult::Keep).collect();
        assert_eq!(kept, [&RunState::Interrupted]);
        assert!(RunState::ALL.iter().all(|state| JobResult::of(*state) != JobResult::LeftToReplacement));
    }
}
