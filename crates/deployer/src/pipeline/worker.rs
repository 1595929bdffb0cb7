//! One worker per deployment: claims what waits in its spool, decides what of it is worth a run, and sees the run to its end.
//!
//! An entry says only that something may have changed. What is deployed is the branch's head as it is when the work starts, so a
//! late, repeated or reordered entry can do no harm. An entry is let go of only after the record knows what became of it.

mod attempt;
mod blocked;

use super::gates::Held;
use super::outcome::{self, Outcome};
use super::recovery::recover;
use super::{inbox, run, state_modes};
use crate::base::clock;
use crate::base::names::CommitId;
use crate::config::{Deployment, Queue, users};
use crate::pipeline::context::Host;
use crate::pipeline::live_state;
use crate::plan::facts::Target;
use crate::process::claim::{Claim, Holder};
use crate::process::{lock, step_user_access};
use crate::queue::entry::{REDEPLOY, Request, Source, request_entry};
use crate::queue::job::{self, Order};
use crate::steps::live_modes;
use crate::store::{self, NewRun, RunState, RunTrigger, StoreError, is_database_away};
use anyhow::Result;
use spool::Spool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often a wish to cancel is looked for.
const CANCEL_POLL: Duration = Duration::from_millis(200);

/// Before the next attempt after trouble that is not a run's: a database that is away, a directory that cannot be read.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);

/// Before the live commit is looked at again that the gates hold back although the configuration has changed: its checks cost two
/// requests each time.
const COMPARE_PAUSE: Duration = Duration::from_secs(300);

/// A push that arrives so long after reconcile has begun with its commit is still the one that reconcile was ahead of; later it is
/// somebody's wish to try it again. GitHub's deliveries are late by seconds, and by minutes when it is in trouble.
const PUSH_LATE_MAX: Duration = Duration::from_secs(600);

/// One deployment's worker.
pub struct Worker {
    /// What everything stands on.
    pub host: Host,
    /// The deployment.
    pub deployment: Deployment,
    /// Its spool.
    pub spool: Spool,
    /// Take no further work.
    pub stop: CancellationToken,
    /// Do not wait for the run in progress: take it back and leave its entry for later.
    pub abort: CancellationToken,
    /// Told when a run has ended: what is live may be something else.
    pub run_ended: Arc<Notify>,
    /// Kept from the first look at the spool on, for as long as this worker lives.
    pub claim: Mutex<Option<Claim>>,
}

impl Worker {
    /// Works until told to stop. `wake` is only a hint: the spool is looked at every [`spool::SCAN_INTERVAL`] in any case.
    pub async fn serve(self, wake: Arc<Notify>) {
        let mut compare_at = Some(Instant::now());
        let mut is_first = true;
        let mut told = String::new();
        while !self.stop.is_cancelled() {
            let error = match self.round(&mut compare_at, &mut is_first).await {
                Ok(rest) => {
                    told.clear();
                    tokio::select! {
                        () = self.stop.cancelled() => return,
                        () = wake.notified() => {}
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
    async fn round(&self, compare_at: &mut Option<Instant>, is_first: &mut bool) -> Result<Duration> {
        let (state_directory, deployment) =
            (self.host.config.state_directory.clone(), self.deployment.clone());
        tokio::task::spawn_blocking(move || live_modes::mend(&state_directory, &deployment)).await?;
        self.drain().await?;
        if compare_at.is_some_and(|at| at <= Instant::now()) {
            *compare_at = self.compare().await?;
            self.drain().await?;
        }
        self.look_at_held(is_first).await
    }

    /// At the start: a configuration that was changed meanwhile has effect without a push. Gives when to ask again, where the live
    /// commit may not be deployed now.
    async fn compare(&self) -> Result<Option<Instant>> {
        let Some(commit) = live_state::outdated(&self.host, &self.deployment).await? else { return Ok(None) };
        let slug = &self.deployment.slug;
        if let Some(sentence) = self.holds_back(&commit).await? {
            tracing::warn!(deployment = %slug, %commit, sentence, "the configuration has changed: the live commit is not deployed again yet");
            return Ok(Some(Instant::now() + COMPARE_PAUSE));
        }
        tracing::info!(deployment = %slug, %commit, "the configuration has changed: the live commit is deployed again");
        let request = Request { commit: Some(commit), ..Request::default() };
        let who = "the configuration, which has changed".to_owned();
        let (header, bytes) = request_entry(REDEPLOY, Source::Reconcile, who, &request);
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
        recover(&self.host, &self.deployment).await
    }

    /// Works on what waits until nothing does, or until told to stop. Whatever cannot be recorded stays in the spool.
    pub async fn drain(&self) -> Result<()> {
        let locks = self.host.locks();
        let _lock = tokio::select! {
            // First: a run that has left for a hand-over is another's to put in order.
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
        recover(&self.host, &self.deployment).await?;
        while !self.stop.is_cancelled() {
            // Again: a first release has made the directory.
            self.keep_claim().await?;
            let one_by_one = self.deployment.queue == Queue::All;
            let orders = inbox::take(&self.host, &self.deployment, &self.spool, one_by_one).await?;
            if orders.is_empty() {
                return Ok(());
            }
            let orders = self.without_replays(orders).await?;
            let Some((chosen, superseded)) = job::choose(orders) else { continue };
            crate::crash_point!("orders-taken");
            let state = Box::pin(self.one(&chosen, &superseded)).await?;
            // What the record has is done with; what it has not goes back by being dropped.
            if state != RunState::Interrupted {
                inbox::finish(superseded.into_iter().chain([chosen])).await?;
            }
            crate::crash_point!("orders-finished");
        }
        Ok(())
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

    /// One run for the newest order; the others are superseded by it.
    async fn one(&self, order: &Order, superseded: &[Order]) -> Result<RunState> {
        for older in superseded {
            // What another run has done for it is more than that it gives way.
            if !self.is_settled_already(older).await? {
                outcome::superseded(&self.host, &self.deployment, older, order).await?;
            }
        }
        if self.is_settled_already(order).await?
            || self.is_held_still(order).await?
            || self.is_settled_by_head(order).await?
        {
            return Ok(RunState::Skipped);
        }
        let _slot = tokio::select! {
            () = self.stop.cancelled() => return Ok(RunState::Interrupted),
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
            commit_id: order.commit.as_ref().map(CommitId::as_str),
            previous_commit: None,
            trigger: order.trigger,
            requested_by: &order.header.remote_address,
            entry: order.claim.name().as_str(),
            delivery_id: Some(order.header.id.as_str()),
            created_at_ms: clock::now_ms(),
            pid: std::process::id(),
            boot_id: &clock::boot_id(),
        };
        let record = self.host.store.create_run(&new).await?;
        crate::crash_point!("run-queued");
        self.host.store.start_run(&record.id, clock::now_ms(), new.pid, new.boot_id).await?;
        crate::crash_point!("run-created");
        tracing::info!(deployment = %self.deployment.slug, run = record.id, delivery = %order.header.id, "run started");
        let outcome = self.supervised(order, &record).await;
        // The first run has made the directory.
        step_user_access::keep_others_out(&self.host.config, &self.host.executor, &self.deployment).await;
        if let Err(error) = self.keep_claim().await {
            tracing::error!(deployment = %self.deployment.slug, error = format!("{error:#}"), "this deployment's directory is not ours alone");
        }
        if outcome.state == RunState::Running {
            // Whoever serves next settles it, and finds the entry where it is.
            return Ok(RunState::Interrupted);
        }
        crate::crash_point!("run-done");
        match outcome.state {
            RunState::Failed | RunState::Interrupted => {
                tracing::warn!(deployment = %self.deployment.slug, run = record.id, state = ?outcome.state, cause = outcome.cause, "run ended");
            }
            _ => {
                tracing::info!(deployment = %self.deployment.slug, run = record.id, state = ?outcome.state, cause = outcome.cause, "run ended");
            }
        }
        // The run is over whatever the database says: wait for it, so that nothing is done twice.
        let state = outcome.state;
        while let Err(error) = self.recorded_end(&record.id, &outcome).await {
            // Told to stop: the next start finds the run, and finishes what it finds complete.
            if !error.may_be_retried() || self.stop.is_cancelled() {
                return Err(error.into());
            }
            tracing::warn!(run = record.id, %error, "the run has ended and cannot be recorded yet");
            tokio::time::sleep(TROUBLE_PAUSE).await;
        }
        crate::crash_point!("run-ended");
        self.run_ended.notify_one();
        Ok(state)
    }

    async fn recorded_end(&self, run: &str, outcome: &Outcome) -> Result<(), StoreError> {
        if let Some(release) = &outcome.live {
            match self.host.store.set_live(self.deployment.slug.as_str(), release, clock::now_ms()).await {
                Err(error) if error.is_tampering() => {
                    tracing::error!(run, %error, "{}", outcome::RELEASE_TAMPERED);
                    let outcome = Outcome::tampered(outcome::RELEASE_TAMPERED);
                    return outcome::end_run(&self.host, &self.deployment, run, &outcome).await;
                }
                result => result?,
            }
            crate::crash_point!("live");
            let (state_directory, deployment) = (&self.host.config.state_directory, &self.deployment);
            if let Err(error) = live_modes::remember(state_directory, deployment, release) {
                tracing::warn!(
                    run,
                    error = format!("{error:#}"),
                    "cannot note the modes of the live release"
                );
            }
        }
        outcome::end_run(&self.host, &self.deployment, run, outcome).await
    }

    /// With the record, however long that takes within `runs.record_wait`.
    async fn patiently<T, F>(&self, what: &str, work: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        run::recorded(self.host.config.runs.record_wait, what, work).await
    }

    /// Whether another run has done meanwhile what an order asks for: reconcile and a push often find the same commit at the same
    /// time, and it is deployed once, also where that fails.
    async fn is_settled_already(&self, order: &Order) -> Result<bool> {
        let Some(run) = self.host.store.last_tried(self.deployment.slug.as_str()).await? else {
            return Ok(false);
        };
        // One that was interrupted is to be done again, most likely by this very order.
        let is_same = order.commit.as_ref().map(CommitId::as_str) == run.commit_id.as_deref();
        if !is_same || run.state == RunState::Interrupted {
            return Ok(false);
        }
        let received_at_ms = order.header.received_at.as_millisecond();
        let settled = match order.trigger {
            // What had ended when reconcile looked, it knew of.
            RunTrigger::Reconcile => run.ended_at_ms.is_some_and(|ended_at_ms| ended_at_ms >= received_at_ms),
            RunTrigger::Delivery if run.trigger == RunTrigger::Reconcile && !order.is_wake_up() => {
                let late_ms = received_at_ms - run.created_at_ms;
                !self.is_redelivery(order).await?
                    && late_ms < i64::try_from(PUSH_LATE_MAX.as_millis()).unwrap_or(i64::MAX)
            }
            _ => false,
        };
        if settled {
            outcome::settled_by(&self.host, &self.deployment, order, &run).await?;
        }
        Ok(settled)
    }

    /// Settles what says nothing new: whose body came before under another id. First of all, so that nothing else gives way to it.
    async fn without_replays(&self, orders: Vec<Order>) -> Result<Vec<Order>> {
        let mut kept = Vec::new();
        for order in orders {
            let earlier = match order.header.source {
                Source::Github => self.host.store.first_seen(&order.header.payload_sha256).await?,
                Source::Operator | Source::Reconcile => None,
            };
            let Some(earlier) = earlier.filter(|earlier| earlier != order.header.id.as_str()) else {
                kept.push(order);
                continue;
            };
            if !self.is_settled_by_head(&order).await? {
                outcome::replayed(&self.host, &self.deployment, &order, &earlier).await?;
            }
            inbox::finish([order]).await?;
        }
        Ok(kept)
    }

    /// Whether a push brings nothing, by what the branch's head is: that is live, or was the last that was tried. Such a push (late,
    /// repeated, reordered, replayed) gets its verdict and no run. Whether its commit is known here says nothing: a mirror forgets what no
    /// branch has any more, and is made anew where it is gone.
    async fn is_settled_by_head(&self, order: &Order) -> Result<bool> {
        let (RunTrigger::Delivery, Some(_)) = (order.trigger, &order.commit) else { return Ok(false) };
        let recorded = self.host.store.live_release(self.deployment.slug.as_str()).await?;
        // Not what was merely found there, nor what could not be taken back to for certain.
        let is_certain = |live: &Target| recorded.as_ref().is_some_and(|known| known.name == live.release);
        let live = self.live().await.unwrap_or(None).filter(is_certain);
        let tried = self.tried_and_judged(order).await?;
        let mirror = self.host.mirror(&self.deployment);
        if live.is_none() && tried.is_none() {
            return Ok(false);
        }
        let fetched =
            mirror.fetch(&self.deployment.branch, None, self.deployment.step_timeout, &self.abort).await;
        let Ok(head) = fetched else { return Ok(false) };
        if let Some(sentence) = live_state::already_live(&head, live.as_ref(), None) {
            let live = live.as_ref().map(|live| &live.commit);
            outcome::already_live(&self.host, &self.deployment, order, live, &sentence).await?;
            return Ok(true);
        }
        match tried.filter(|run| run.commit_id.as_deref() == Some(head.id.as_str())) {
            Some(run) => {
                outcome::tried_before(&self.host, &self.deployment, order, &run).await?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// What was tried last of the branch, where that is a judgement on its commit: as reconcile has it, a push does not try that
    /// again. A redelivery does, where it failed.
    pub(super) async fn tried_and_judged(&self, order: &Order) -> Result<Option<store::Run>> {
        let (host, slug) = (&self.host, self.deployment.slug.as_str());
        if order.is_wake_up() {
            return Ok(None);
        }
        let Some(run) = host.store.last_tried(slug).await? else { return Ok(None) };
        // What was interrupted, what a gate holds back and what failed for want of something of ours has not had its turn.
        let has_had_its_turn = !matches!(run.state, RunState::Interrupted | RunState::Waiting)
            && !run.says_nothing_of_its_commit()
            && Held::of(host, &self.deployment)
                .await?
                .is_none_or(|held| run.commit_id.as_deref() != Some(held.commit.as_str()));
        let is_retry = run.state == RunState::Failed && self.is_redelivery(order).await?;
        Ok((has_had_its_turn && !is_retry).then_some(run))
    }

    async fn is_redelivery(&self, order: &Order) -> Result<bool, StoreError> {
        let delivery = self.host.store.delivery(order.header.id.as_str()).await?;
        Ok(delivery.is_some_and(|delivery| delivery.redeliveries > 0))
    }

    async fn live(&self) -> Result<Option<Target>> {
        let layout = live_state::layout(&self.host, &self.deployment).await?;
        live_state::live(&self.host, &self.deployment, layout).await
    }

    /// The run, with an eye on whoever may stop it.
    async fn supervised(&self, order: &Order, record: &store::Run) -> Outcome {
        let cancel = CancellationToken::new();
        let wish = self.host.cancel_wish(&record.id);
        let work = self.run(order, record, cancel.clone());
        tokio::pin!(work);
        let mut stopped_by: Option<RunState> = None;
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                () = self.abort.cancelled(), if stopped_by.is_none() => {
                    stopped_by = Some(RunState::Interrupted);
                    cancel.cancel();
                }
                () = tokio::time::sleep(CANCEL_POLL), if stopped_by.is_none() => {
                    if wish.exists() {
                        stopped_by = Some(RunState::Cancelled);
                        cancel.cancel();
                    }
                }
            }
        };
        let _ = fs_err::remove_file(&wish);
        match stopped_by {
            Some(RunState::Interrupted) if outcome.state == RunState::Cancelled => Outcome::new(
                RunState::Interrupted,
                "the deployer was stopped during this run; it was taken back and will be tried again",
            ),
            _ => outcome,
        }
    }
}
