//! One run of a job, from the fetch to its outcome: what is live, what is to be, the plan for that, and what becomes of it.
//!
//! What fails in here fails the run. The job's entry, the run's row and its end are the worker's affair.

use crate::base::clock;
use crate::base::names::CommitId;
use crate::config::{Layout, Queue};
use crate::git::mirror::Commit;
use crate::pipeline::live_state::{self, LiveState};
use crate::pipeline::outcome::{self, Outcome};
use crate::pipeline::run::{self, Failure, Run, RunProgress};
use crate::pipeline::worker::{Attempt, Worker};
use crate::pipeline::{adopt, observe, preflight};
use crate::plan::facts::{Facts, PlanPurpose, Target};
use crate::plan::{Plan, Step, recipes};
use crate::process::step_context::LogEvent;
use crate::queue::job::{Adopt, ClaimedJob};
use crate::run_log::RunLogWriter;
use crate::steps::{release, self_update};
use crate::store::{self, NewRelease, ReleaseState, RunState, RunTrigger, StoreError, VerdictCode};
use anyhow::Result;
use std::path::Path;
use std::sync::{Arc, Mutex, Once};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

impl Worker {
    /// Carries a run out, and gives how it ended.
    pub(super) async fn run(
        &self,
        claimed: &ClaimedJob,
        record: &store::Run,
        cancel: CancellationToken,
    ) -> Attempt {
        let mut run = Run {
            host: self.host.clone(),
            deployment: self.deployment.clone(),
            id: record.id.clone(),
            mirror: self.host.mirror(&self.deployment),
            log: Arc::new(Mutex::new(RunLogWriter::open(&self.host.logs(), &record.id))),
            cancel,
            ends_at: Instant::now() + self.deployment.timeout,
            next_step: 1,
            shortcoming_told: Once::new(),
        };
        let trigger = claimed.job.trigger;
        let before = match self.live_before().await {
            Ok(before) => before,
            Err(failure) => return Attempt::Ended(self.failed(&run, trigger, failure, None).await),
        };
        match self.attempt(claimed, &mut run, &before).await {
            Ok(attempt) => attempt,
            Err(failure) => Attempt::Ended(self.failed(&run, trigger, failure, Some(&before)).await),
        }
    }

    /// What is live before a run: looked up here and nowhere else, as long as the run has not switched.
    async fn live_before(&self) -> Result<LiveState, Failure> {
        let slug = self.deployment.slug.as_str();
        let recorded = self.patiently("what is live", || self.host.store.live_release(slug)).await?;
        Ok(live_state::look_at(self.hosted(), recorded).await?)
    }

    async fn attempt(
        &self,
        claimed: &ClaimedJob,
        run: &mut Run,
        before: &LiveState,
    ) -> Result<Attempt, Failure> {
        let (found, live) = (before.layout, before.target.clone());
        let adopt = claimed.job.options.adopt.as_ref();
        let layout = match (adopt, found) {
            (Some(_), Layout::Releases) => {
                let outcome = Outcome::new(RunState::Skipped, "it is deployed as releases already");
                return Ok(Attempt::Ended(outcome));
            }
            (Some(_), Layout::InPlace) => Layout::Releases,
            (None, layout) => layout,
        };
        if layout == Layout::InPlace && self.deployment.layout.is_none() {
            run.note(1, live_state::in_place_warning(&self.deployment));
        }
        let (head, target) = match claimed.job.trigger {
            RunTrigger::Rollback => {
                (None, self.rollback_target(claimed, &run.id, layout, live.as_ref()).await?)
            }
            _ => {
                // What adopting is about to move to `shared/` is not there yet.
                run.preflight(found).await?;
                let head = run.fetch(claimed.job.options.commit.as_ref()).await?;
                let head = self.whose_turn(claimed, run, head, live.as_ref()).await;
                let live_commit = live.as_ref().map(|live| &live.commit);
                self.patiently("commit", || {
                    outcome::resolved(self.hosted(), claimed, &run.id, &head.id, live_commit)
                })
                .await?;
                if let Some(outcome) = self.says_nothing_new(claimed, &head).await? {
                    return Ok(Attempt::Ended(outcome));
                }
                let target = live_state::new_target(&self.deployment, layout, &head.id);
                (Some(head), target)
            }
        };
        let held = match &head {
            Some(head) => self.held_back(claimed, run, head, live.as_ref()).await?,
            None => None,
        };
        let id = run.id.clone();
        let purpose = if head.is_some() { PlanPurpose::Deploy } else { PlanPurpose::Rollback };
        let known = live_state::known(&run.mirror, &self.deployment, &target.commit).await?;
        for remark in preflight::remarks(&run.mirror, &self.deployment, &known.tree, &target.commit).await? {
            run.note(run.next_step, remark);
        }
        let facts = Facts {
            forced: claimed.job.options.force,
            ..live_state::facts(self.hosted(), &known, (layout, live), (&id, target, purpose))
        };
        let mut plan = recipes::plan(&facts);
        if let Some(adopt) = adopt {
            plan.steps.insert(0, self.first_step_of_adopting(&facts, adopt).await?);
        }
        if let Some(head) = head
            && let Some(outcome) = self.nothing_to_do(claimed, run, &head, &facts, &plan).await?
        {
            return Ok(Attempt::Ended(outcome));
        }
        // What would change nothing need not wait for anything.
        if let Some(held) = held {
            run.note(run.next_step, &held.cause);
            return Ok(Attempt::Ended(held));
        }
        run.preflight_of_plan(&plan).await?;
        if !claimed.is_of_live() {
            let commit = &facts.target.commit;
            self.patiently("what waited", || outcome::waiting_superseded(self.hosted(), commit)).await?;
        }
        self.patiently("plan", || self.save(run, &facts, &plan)).await?;
        crate::failpoint!("planned");
        let commit = &facts.target.commit;
        self.patiently("beginning", || outcome::planned(self.hosted(), &run.id, commit)).await?;
        // Where nothing was live, nothing can have been missing.
        let watched = if facts.live.is_some() { self.deployment.health.as_slice() } else { &[] };
        let (result, gap) = run.carry_out(&plan, watched).await;
        let mut outcome = match result {
            Ok(RunProgress::HandsOver(request, others)) => {
                self.leave(*request, others).await;
                return Ok(Attempt::LeftToReplacement);
            }
            Ok(RunProgress::Done(warnings)) => {
                let live = Some(facts.target.release.clone());
                let summary = (!warnings.is_empty()).then(|| format!("live, but: {}", warnings.join("; ")));
                Outcome { live, summary, ..Outcome::new(RunState::Succeeded, "") }
            }
            Err(failure) => self.failed(run, claimed.job.trigger, failure, Some(before)).await,
        };
        outcome.add(gap);
        Ok(Attempt::Ended(outcome))
    }

    /// The end of a run whose push leads to what was tried last. That is found out before there is a run, unless the server of the
    /// repository did not answer just then.
    async fn says_nothing_new(
        &self,
        claimed: &ClaimedJob,
        head: &Commit,
    ) -> Result<Option<Outcome>, Failure> {
        if claimed.job.trigger != RunTrigger::Delivery || claimed.job.commit.is_none() {
            return Ok(None);
        }
        let tried = self.tried_and_judged(claimed).await?;
        let same = tried.filter(|tried| tried.commit_id.as_deref() == Some(head.id.as_str()));
        Ok(same.map(|tried| Outcome {
            verdict: Some(VerdictCode::Duplicate),
            ..Outcome::new(
                RunState::Skipped,
                format!("{} was tried by run {}, and nothing is new", head.id.short(), tried.id),
            )
        }))
    }

    /// The run goes on, or is undone, by another process or by this one begun anew: it is left as it is. Until this worker
    /// has been told to stop nobody else starts a run.
    async fn leave(&self, request: self_update::SelfUpdateRequest, others: OwnedSemaphorePermit) {
        if let Some(requests) = &self.host.this_process.requests {
            // Where nobody listens, the daemon is about to stop.
            let _ = requests.send(request).await;
        }
        self.stop.cancelled().await;
        drop(others);
    }

    /// What must outlive deploys leaves the work tree. From here on the database knows that the tree is what is live: so that what
    /// this run makes beside it does not pass for an earlier release.
    async fn first_step_of_adopting(&self, facts: &Facts<'_>, adopt: &Adopt) -> Result<Step, Failure> {
        let Some(live) = facts.live.as_ref().filter(|live| live.commit == facts.target.commit) else {
            return Err(Failure::of_operator("something else has become live meanwhile: ask again"));
        };
        let survey = adopt::survey(self.hosted(), live).await?;
        survey.check(adopt.modified_too).map_err(|error| Failure::of_operator(format!("{error:#}")))?;
        if survey.kept != adopt.kept {
            let hint = "if the configuration was changed, restart the daemon; then ask again";
            return Err(Failure::of_operator(format!(
                "what is to be kept is not what was agreed upon: {hint}"
            )));
        }
        let (store, slug) = (&self.host.store, self.deployment.slug.as_str());
        if store.live_release(slug).await?.is_none() {
            let name = live_state::name_of_found_tree(&facts.target.release);
            let path = self.deployment.path.to_string_lossy();
            let (commit_id, run_id) = (live.commit.as_str(), facts.run);
            let created_at_ms = clock::now_ms();
            let tree =
                NewRelease { deployment: slug, name: &name, path: &path, commit_id, run_id, created_at_ms };
            store.create_release(&tree).await?;
            store.set_live(slug, &name, created_at_ms).await?;
        }
        Ok(survey.step(&self.deployment))
    }

    /// The plan is in the database before its first step starts; with it the release, where one is made in place.
    async fn save(&self, run: &Run, facts: &Facts<'_>, plan: &Plan) -> Result<(), StoreError> {
        let text = Plan { steps_before: Some(run.next_step - 1), ..plan.clone() }.stored();
        let (store, target) = (&self.host.store, &facts.target);
        store.save_plan(&run.id, &text).await?;
        crate::failpoint!("plan-saved");
        match facts.layout {
            Layout::Releases => store.set_run_release(&run.id, &target.release).await,
            Layout::InPlace => {
                let release = NewRelease {
                    deployment: self.deployment.slug.as_str(),
                    name: &target.release,
                    path: &target.directory.to_string_lossy(),
                    commit_id: target.commit.as_str(),
                    run_id: &run.id,
                    created_at_ms: clock::now_ms(),
                };
                store.create_release(&release).await
            }
        }
    }

    /// The failed release stays as evidence, unless the disk has no room for it. `before` is None where even that could not be looked up.
    async fn failed(
        &self,
        run: &Run,
        trigger: RunTrigger,
        failure: Failure,
        before: Option<&LiveState>,
    ) -> Outcome {
        if trigger != RunTrigger::Rollback
            && let Err(error) = self.set_aside(run, before).await
        {
            tracing::warn!(run = run.id, error = format!("{error:#}"), "cannot set the failed release aside");
        }
        let live = match before {
            Some(before) if !failure.has_switched => before.target.clone(),
            // It was switched and undone: what is linked now is what counts.
            _ => {
                let state = live_state::look_up(self.hosted()).await;
                state.ok().and_then(|state| state.target)
            }
        };
        let mut failure = failure;
        let serves = match live {
            None => "nothing is live".into(),
            Some(live) => {
                let commit = live.commit.short();
                match self.trouble_of(run, &live, &failure, before).await {
                    None => format!("{commit} is live"),
                    Some(trouble) => {
                        failure.cause = format!(
                            "{}; {commit}, which was live before, does not run either: {trouble}",
                            failure.cause
                        );
                        format!("{commit} is linked, and does not run")
                    }
                }
            }
        };
        let by_operator = trigger == RunTrigger::Operator;
        failure.branch_gone &= !by_operator;
        Outcome { summary: Some(serves), ..Outcome::of_failure(failure) }
    }

    /// Why what is live again does not run, if it does not: it was started again, and nobody else looks at it as closely.
    async fn trouble_of(
        &self,
        run: &Run,
        live: &Target,
        failure: &Failure,
        before: Option<&LiveState>,
    ) -> Option<String> {
        if !failure.has_switched || self.abort.is_cancelled() {
            return None;
        }
        let layout = before?.layout;
        run.note(run.next_step, format!("looking whether {} runs again", live.commit.short()));
        let note = |heard: LogEvent<'_>| {
            if let LogEvent::Note(text) = heard {
                run.note(run.next_step, text);
            }
        };
        let proof = observe::prove(self.hosted(), layout, live, (&note, &self.abort));
        let trouble = format!("{:#}", Box::pin(proof).await.err()?);
        // What to do about it is in the log.
        let cause = trouble.lines().next().unwrap_or_default().to_owned();
        run.note(run.next_step, trouble);
        Some(cause)
    }

    async fn set_aside(&self, run: &Run, before: Option<&LiveState>) -> Result<()> {
        let record = self.host.store.run(&run.id).await?;
        let Some(record) = record else { return Ok(()) };
        let is_ours = self.host.store.is_our_run(&record)?;
        let Some(release) = record.release.filter(|_| is_ours) else { return Ok(()) };
        let slug = self.deployment.slug.as_str();
        let releases = self.host.store.releases(slug).await?;
        if !releases.iter().any(|found| found.name == release && found.state == ReleaseState::Building) {
            return Ok(());
        }
        // A run that does not know what was live has made no release.
        let Some(layout) = before.map(|before| before.layout) else { return Ok(()) };
        let is_full = run::check_space(self.hosted()).is_err();
        if layout == Layout::Releases && is_full {
            // First: the database may be waiting for just this room.
            run.note(run.next_step, "removed the failed release: the disk has no room for evidence");
            release::remove(&self.host.executor, &self.deployment, &release).await?;
        }
        self.host.store.set_release_state(slug, &release, ReleaseState::Failed, None).await?;
        crate::failpoint!("release-set-aside");
        if layout != Layout::Releases {
            return Ok(());
        }
        // One is evidence; ten of them fill a disk before the next success removes what is not kept.
        let live = release::current(&self.deployment)?;
        let is_gone = |found: &&store::Release| {
            found.state == ReleaseState::Failed && live.as_ref() != Some(&found.name)
        };
        let earlier = releases.iter().filter(is_gone);
        let mut gone: Vec<&str> = earlier.map(|found| found.name.as_str()).collect();
        if is_full {
            gone.push(&release);
        }
        for release in gone {
            release::remove(&self.host.executor, &self.deployment, release).await?;
            self.host.store.set_release_state(slug, release, ReleaseState::Removed, None).await?;
        }
        Ok(())
    }

    /// With `queue = "all"` each push has its turn: its own commit, if that is not behind what is live (a late or repeated push
    /// never puts an older commit live). Otherwise the branch's head.
    async fn whose_turn(
        &self,
        claimed: &ClaimedJob,
        run: &Run,
        head: Commit,
        live: Option<&Target>,
    ) -> Commit {
        let (Queue::All, RunTrigger::Delivery, Some(named)) =
            (self.deployment.queue, claimed.job.trigger, &claimed.job.commit)
        else {
            return head;
        };
        let onward = match live {
            Some(live) => run.mirror.is_ancestor(&live.commit, named).await,
            None => true,
        };
        if !onward
            || !run.mirror.is_ancestor(named, &head.id).await
            || self.had_its_turn(claimed, named).await
        {
            return head;
        }
        run.mirror.commit(named).await.unwrap_or(head)
    }

    /// Whether a commit that a push names was tried before: whoever has gone back from it does not get it back by an old push.
    async fn had_its_turn(&self, claimed: &ClaimedJob, named: &CommitId) -> bool {
        let (store, slug) = (&self.host.store, self.deployment.slug.as_str());
        let tried = self.patiently("the commit's runs", || store.last_outcome(slug, named.as_str())).await;
        // A redelivery is a retry, but of what an operator has cancelled. What cannot be found out now is taken to be tried: then the head
        // has its turn.
        match tried {
            Ok(None) => false,
            Ok(Some(run)) if run.state == RunState::Cancelled => true,
            Ok(Some(_)) | Err(_) => !self.is_redelivery(claimed).await.unwrap_or(false),
        }
    }

    /// The release to go back to: in place that is a new tree of its commit.
    async fn rollback_target(
        &self,
        claimed: &ClaimedJob,
        run: &str,
        layout: Layout,
        live: Option<&Target>,
    ) -> Result<Target, Failure> {
        let slug = self.deployment.slug.as_str();
        let mut releases = self.patiently("releases", || self.host.store.releases(slug)).await?;
        // A work tree that was adopted is no release that a link could name.
        releases.retain(|found| layout == Layout::InPlace || self.deployment.path != Path::new(&found.path));
        // What was deleted by hand cannot be gone back to; nothing is begun to find that out.
        let wanted = claimed.job.options.release.as_deref();
        let is_there = |found: &store::Release| {
            layout == Layout::InPlace || release::directory(&self.deployment, &found.name).is_dir()
        };
        let deleted = releases.iter().find(|found| Some(found.name.as_str()) == wanted && !is_there(found));
        if let Some(deleted) = deleted.filter(|found| found.state != ReleaseState::Removed) {
            return Err(Failure::of_operator(format!(
                "the release {} was deleted by hand: its directory {} is not there; `durhack-deployer deploy {slug} --commit {}` makes it again",
                deleted.name,
                release::directory(&self.deployment, &deleted.name).display(),
                deleted.commit_id
            )));
        }
        releases.retain(is_there);
        let found = live_state::rollback_candidate(&releases, wanted, live);
        let found = found.map_err(Failure::of_operator)?;
        let target = live_state::target_of(found)
            .ok_or_else(|| Failure::of_operator("the database has no commit of that release"))?;
        outcome::resolved(self.hosted(), claimed, run, &target.commit, live.map(|live| &live.commit)).await?;
        Ok(match layout {
            Layout::InPlace => live_state::new_target(&self.deployment, layout, &target.commit),
            Layout::Releases => target,
        })
    }

    /// How the run ends at once, where there is nothing to do. An operator who asks is only told that it is live already.
    async fn nothing_to_do(
        &self,
        claimed: &ClaimedJob,
        run: &Run,
        head: &Commit,
        facts: &Facts<'_>,
        plan: &Plan,
    ) -> Result<Option<Outcome>, StoreError> {
        let is_first = || crate::pipeline::gates::is_first_after_the_move(self.hosted());
        if claimed.job.options.force
            || (claimed.job.trigger == RunTrigger::Operator && self.patiently("runs", is_first).await?)
        {
            return Ok(None);
        }
        let same = self.patiently("inputs", || live_state::same_inputs(&self.host, facts, plan)).await?;
        let live = facts.live.as_ref();
        // Whoever asks gets a deploy that is known to have succeeded; by itself the deployer takes what it finds as good.
        let live = live.filter(|live| {
            !live_state::is_found_tree(&live.release) || claimed.job.trigger == RunTrigger::Reconcile
        });
        let found = match claimed.job.trigger {
            RunTrigger::Operator => live_state::already_live(head, live, same)
                .map(|sentence| (VerdictCode::AlreadyLive, sentence)),
            _ => live_state::nothing_to_do(&self.deployment, &run.mirror, head, live, same).await,
        };
        Ok(found.map(|(code, sentence)| Outcome {
            verdict: Some(code),
            ..Outcome::new(RunState::Skipped, sentence)
        }))
    }
}
