//! One run of an order, from the fetch to its outcome: what is live, what is to be, the plan for that, and what becomes of it.
//!
//! What fails in here fails the run. The order's entry, the run's row and its end are the worker's affair.

use crate::base::clock;
use crate::base::names::CommitId;
use crate::config::{Layout, Queue};
use crate::git::mirror::Commit;
use crate::pipeline::outcome::{self, Outcome};
use crate::pipeline::run::{self, Failure, Progress, Run};
use crate::pipeline::worker::Worker;
use crate::pipeline::{adopt, live_state, observe, preflight};
use crate::plan::facts::{Facts, Purpose, Target};
use crate::plan::{Plan, Step, recipes};
use crate::process::step_context::Heard;
use crate::queue::entry::Adopt;
use crate::queue::job::Order;
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
    pub(super) async fn run(&self, order: &Order, record: &store::Run, cancel: CancellationToken) -> Outcome {
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
        match self.attempt(order, &mut run).await {
            Ok(outcome) => outcome,
            Err(failure) => self.failed(&run, order.trigger, failure).await,
        }
    }

    async fn attempt(&self, order: &Order, run: &mut Run) -> Result<Outcome, Failure> {
        let layout = self.patiently("layout", || live_state::layout(&self.host, &self.deployment)).await?;
        let live = live_state::live(&self.host, &self.deployment, layout).await?;
        let adopt = order.request.adopt.as_ref();
        let found = layout;
        let layout = match (adopt, layout) {
            (Some(_), Layout::Releases) => {
                return Ok(Outcome::new(RunState::Skipped, "it is deployed as releases already"));
            }
            (Some(_), Layout::InPlace) => Layout::Releases,
            (None, layout) => layout,
        };
        if layout == Layout::InPlace && self.deployment.layout.is_none() {
            run.note(1, live_state::in_place_warning(&self.deployment));
        }
        let (head, target) = match order.trigger {
            RunTrigger::Rollback => {
                (None, self.rollback_target(order, &run.id, layout, live.as_ref()).await?)
            }
            _ => {
                // What adopting is about to move to `shared/` is not there yet.
                run.preflight(found).await?;
                let head = run.fetch(order.request.commit.as_ref()).await?;
                let head = self.whose_turn(order, run, head, live.as_ref()).await;
                let live_commit = live.as_ref().map(|live| &live.commit);
                self.patiently("commit", || {
                    outcome::resolved(&self.host, &self.deployment, order, &run.id, &head.id, live_commit)
                })
                .await?;
                if let Some(outcome) = self.says_nothing_new(order, &head).await? {
                    return Ok(outcome);
                }
                let target = live_state::new_target(&self.deployment, layout, &head.id);
                (Some(head), target)
            }
        };
        let held = match &head {
            Some(head) => self.held_back(order, run, head).await?,
            None => None,
        };
        let id = run.id.clone();
        let purpose = if head.is_some() { Purpose::Deploy } else { Purpose::Rollback };
        let known = live_state::known(&run.mirror, &self.deployment, &target.commit).await?;
        for remark in preflight::remarks(&run.mirror, &self.deployment, &known.tree, &target.commit).await? {
            run.note(run.next_step, remark);
        }
        let facts = Facts {
            forced: order.request.force,
            ..live_state::facts(&self.host, &self.deployment, &known, (layout, live), (&id, target, purpose))
        };
        let mut plan = recipes::plan(&facts);
        if let Some(adopt) = adopt {
            plan.steps.insert(0, self.first_step_of_adopting(&facts, adopt).await?);
        }
        if let Some(head) = head
            && let Some(outcome) = self.nothing_to_do(order, run, &head, &facts, &plan).await?
        {
            return Ok(outcome);
        }
        // What would change nothing need not wait for anything.
        if let Some(held) = held {
            run.note(run.next_step, &held.cause);
            return Ok(held);
        }
        run.preflight_of_plan(&plan).await?;
        if !order.is_of_live() {
            let commit = &facts.target.commit;
            self.patiently("what waited", || {
                outcome::waiting_superseded(&self.host, &self.deployment, commit)
            })
            .await?;
        }
        self.patiently("plan", || self.save(run, &facts, &plan)).await?;
        crate::crash_point!("planned");
        let commit = &facts.target.commit;
        self.patiently("beginning", || outcome::planned(&self.host, &self.deployment, &run.id, commit))
            .await?;
        // Where nothing was live, nothing can have been missing.
        let watched = if facts.live.is_some() { self.deployment.health.as_slice() } else { &[] };
        let (result, gap) = run.carry_out(&plan, watched).await;
        let mut outcome = match result {
            Ok(Progress::HandsOver(request, others)) => return Ok(self.leave(*request, others).await),
            Ok(Progress::Done(warnings)) => {
                let live = Some(facts.target.release.clone());
                let summary = (!warnings.is_empty()).then(|| format!("live, but: {}", warnings.join("; ")));
                Outcome { live, summary, ..Outcome::new(RunState::Succeeded, "") }
            }
            Err(failure) => self.failed(run, order.trigger, failure).await,
        };
        outcome.add(gap);
        Ok(outcome)
    }

    /// The end of a run whose push leads to what was tried last. That is found out before there is a run, unless the server of the
    /// repository did not answer just then.
    async fn says_nothing_new(&self, order: &Order, head: &Commit) -> Result<Option<Outcome>, Failure> {
        if order.trigger != RunTrigger::Delivery || order.commit.is_none() {
            return Ok(None);
        }
        let tried = self.tried_and_judged(order).await?;
        let same = tried.filter(|tried| tried.commit_id.as_deref() == Some(head.id.as_str()));
        Ok(same.map(|tried| Outcome {
            verdict: Some(VerdictCode::Duplicate),
            ..Outcome::new(
                RunState::Skipped,
                format!("{} was tried by run {}, and nothing is new", head.id.short(), tried.id),
            )
        }))
    }

    /// The run goes on, or is taken back, by another process or by this one begun anew: it is left as it is. Until this worker
    /// has been told to stop nobody else starts a run.
    async fn leave(&self, request: self_update::Request, others: OwnedSemaphorePermit) -> Outcome {
        if let Some(requests) = &self.host.oneself.requests {
            // Where nobody listens, the daemon is about to stop.
            let _ = requests.send(request).await;
        }
        self.stop.cancelled().await;
        drop(others);
        Outcome::new(RunState::Running, "")
    }

    /// What must outlive deploys leaves the work tree. From here on the record knows that the tree is what is live: so that what
    /// this run makes beside it does not pass for an earlier release.
    async fn first_step_of_adopting(&self, facts: &Facts<'_>, adopt: &Adopt) -> Result<Step, Failure> {
        let Some(live) = facts.live.as_ref().filter(|live| live.commit == facts.target.commit) else {
            return Err(Failure::of_operator("something else has become live meanwhile: ask again"));
        };
        let survey = adopt::survey(&self.host, &self.deployment, live).await?;
        survey.check(adopt.modified_too).map_err(|error| Failure::of_operator(format!("{error:#}")))?;
        if survey.kept != adopt.kept {
            let hint = "if the configuration was changed, restart the daemon; then ask again";
            return Err(Failure::of_operator(format!(
                "what is to be kept is not what was agreed upon: {hint}"
            )));
        }
        let (store, slug) = (&self.host.store, self.deployment.slug.as_str());
        if store.live_release(slug).await?.is_none() {
            let name = format!("{}-in-place", facts.target.release);
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

    /// The plan is in the record before its first step starts; with it the release, where one is made in place.
    async fn save(&self, run: &Run, facts: &Facts<'_>, plan: &Plan) -> Result<(), StoreError> {
        let text = Plan { steps_before: Some(run.next_step - 1), ..plan.clone() }.stored();
        let (store, target) = (&self.host.store, &facts.target);
        store.save_plan(&run.id, &text).await?;
        crate::crash_point!("plan-saved");
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

    /// The failed release stays as evidence, unless the disk has no room for it.
    async fn failed(&self, run: &Run, trigger: RunTrigger, failure: Failure) -> Outcome {
        if trigger != RunTrigger::Rollback
            && let Err(error) = self.set_aside(run).await
        {
            tracing::warn!(run = run.id, error = format!("{error:#}"), "cannot set the failed release aside");
        }
        let live = self.live().await.ok().flatten();
        let mut failure = failure;
        let serves = match live {
            None => "nothing is live".into(),
            Some(live) => {
                let commit = live.commit.short();
                match self.trouble_of(run, &live, &failure).await {
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
    async fn trouble_of(&self, run: &Run, live: &Target, failure: &Failure) -> Option<String> {
        if !failure.has_switched || self.abort.is_cancelled() {
            return None;
        }
        let layout = live_state::layout(&self.host, &self.deployment).await.ok()?;
        run.note(run.next_step, format!("looking whether {} runs again", live.commit.short()));
        let note = |heard: Heard<'_>| {
            if let Heard::Note(text) = heard {
                run.note(run.next_step, text);
            }
        };
        let proof = observe::prove(&self.host, &self.deployment, layout, live, (&note, &self.abort));
        let trouble = format!("{:#}", Box::pin(proof).await.err()?);
        // What to do about it is in the log.
        let cause = trouble.lines().next().unwrap_or_default().to_owned();
        run.note(run.next_step, trouble);
        Some(cause)
    }

    async fn set_aside(&self, run: &Run) -> Result<()> {
        let record = self.host.store.run(&run.id).await?;
        let Some(record) = record else { return Ok(()) };
        let is_ours = self.host.store.is_our_run(&record)?;
        let Some(release) = record.release.filter(|_| is_ours) else { return Ok(()) };
        let slug = self.deployment.slug.as_str();
        let releases = self.host.store.releases(slug).await?;
        if !releases.iter().any(|found| found.name == release && found.state == ReleaseState::Building) {
            return Ok(());
        }
        let layout = live_state::layout(&self.host, &self.deployment).await?;
        let is_full = run::check_space(&self.host, &self.deployment).is_err();
        if layout == Layout::Releases && is_full {
            // First: the database may be waiting for just this room.
            run.note(run.next_step, "removed the failed release: the disk has no room for evidence");
            release::remove(&self.host.executor, &self.deployment, &release).await?;
        }
        self.host.store.set_release_state(slug, &release, ReleaseState::Failed, None).await?;
        crate::crash_point!("release-set-aside");
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
    async fn whose_turn(&self, order: &Order, run: &Run, head: Commit, live: Option<&Target>) -> Commit {
        let (Queue::All, RunTrigger::Delivery, Some(named)) =
            (self.deployment.queue, order.trigger, &order.commit)
        else {
            return head;
        };
        let onward = match live {
            Some(live) => run.mirror.is_ancestor(&live.commit, named).await,
            None => true,
        };
        if !onward || !run.mirror.is_ancestor(named, &head.id).await || self.had_its_turn(order, named).await
        {
            return head;
        }
        run.mirror.commit(named).await.unwrap_or(head)
    }

    /// Whether a commit that a push names was tried before: whoever has gone back from it does not get it back by an old push.
    async fn had_its_turn(&self, order: &Order, named: &CommitId) -> bool {
        let (store, slug) = (&self.host.store, self.deployment.slug.as_str());
        let tried = self.patiently("the commit's runs", || store.last_outcome(slug, named.as_str())).await;
        // A redelivery is a retry, but of what an operator has cancelled. What cannot be found out now is taken to be tried: then the head
        // has its turn.
        match tried {
            Ok(None) => false,
            Ok(Some(run)) if run.state == RunState::Cancelled => true,
            Ok(Some(_)) | Err(_) => !self.is_redelivery(order).await.unwrap_or(false),
        }
    }

    /// The release to go back to: in place that is a new tree of its commit.
    async fn rollback_target(
        &self,
        order: &Order,
        run: &str,
        layout: Layout,
        live: Option<&Target>,
    ) -> Result<Target, Failure> {
        let slug = self.deployment.slug.as_str();
        let mut releases = self.patiently("releases", || self.host.store.releases(slug)).await?;
        // A work tree that was adopted is no release that a link could name.
        releases.retain(|found| layout == Layout::InPlace || self.deployment.path != Path::new(&found.path));
        // What was deleted by hand cannot be gone back to; nothing is begun to find that out.
        let wanted = order.request.release.as_deref();
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
            .ok_or_else(|| Failure::of_operator("the record has no commit of that release"))?;
        outcome::resolved(
            &self.host,
            &self.deployment,
            order,
            run,
            &target.commit,
            live.map(|live| &live.commit),
        )
        .await?;
        Ok(match layout {
            Layout::InPlace => live_state::new_target(&self.deployment, layout, &target.commit),
            Layout::Releases => target,
        })
    }

    /// How the run ends at once, where there is nothing to do. An operator who asks is only told that it is live already.
    async fn nothing_to_do(
        &self,
        order: &Order,
        run: &Run,
        head: &Commit,
        facts: &Facts<'_>,
        plan: &Plan,
    ) -> Result<Option<Outcome>, StoreError> {
        let is_first = || crate::pipeline::gates::is_first_after_the_move(&self.host, &self.deployment);
        if order.request.force
            || (order.trigger == RunTrigger::Operator && self.patiently("runs", is_first).await?)
        {
            return Ok(None);
        }
        let same = self.patiently("inputs", || live_state::same_inputs(&self.host, facts, plan)).await?;
        let live = facts.live.as_ref();
        // Whoever asks gets a deploy that is known to have succeeded; by itself the deployer takes what it finds as good.
        let live = live
            .filter(|live| live.release != live_state::UNRECORDED || order.trigger == RunTrigger::Reconcile);
        let found = match order.trigger {
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
