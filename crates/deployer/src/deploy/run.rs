//! A run: a plan carried out, step by step, each recorded before and after; and taken back, in reverse, when one fails.
//!
//! The record is not optional: a step that cannot be recorded as started is not started (the run waits for the database, and
//! is taken back when it has waited too long). Taking back goes on without it. What the world is told (commit
//! statuses) is written with the run's end in one transaction and sent by `record::report`, which nothing here waits for.

use super::gap::{Gap, Watch};
use super::hand_over::{self, Pending, Request};
use super::mirror::{Commit, FetchError, Mirror};
use super::plan::{Action, Command, Plan, Step};
use super::workbench::{Heard, Workbench};
use super::{Host, adopt, health, release};
use crate::clock;
use crate::config::{Deployment, HealthCheck, Phase};
use crate::names::CommitId;
use crate::record::run_log::{self, RunLogWriter};
use crate::record::store::{
    Direction, NewRelease, Release, ReleaseState, StepEnd, StepStart, StepState, StoreError,
};
use anyhow::{Result, anyhow};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use supervise::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a step of taking back waits for the database before it goes on unrecorded.
const UNDO_RECORD_WAIT: Duration = Duration::from_secs(2);

/// Between two attempts to reach the database.
const RECORD_RETRY: Duration = Duration::from_millis(250);

/// Attempts of a fetch whose failure looks like the network's.
const FETCH_ATTEMPTS_MAX: u32 = 4;

/// Before the second attempt of anything; doubled for each further one.
const FIRST_RETRY_DELAY: Duration = Duration::from_secs(1);

/// How long what a step has printed may wait before a follower can see it: what a person takes for at once.
const OUTPUT_DELAY: Duration = Duration::from_millis(200);

/// A run in progress.
pub struct Run {
    /// What everything stands on.
    pub host: Host,
    /// The deployment.
    pub deployment: Deployment,
    /// The run's id.
    pub id: String,
    /// The repository's mirror.
    pub mirror: Mirror,
    /// What the commands print.
    pub log: Arc<Mutex<RunLogWriter>>,
    /// Stops the step that runs; see [`StopReason`].
    pub cancel: CancellationToken,
    /// The run's deadline.
    pub ends_at: Instant,
    /// The next step's number.
    pub next_step: u32,
}

/// Why a step, and with it the run, did not succeed.
#[derive(Debug)]
pub struct Failure {
    /// One line.
    pub cause: String,
    /// Whether it was stopped from outside.
    pub cancelled: bool,
    /// Whether the deployer itself, not the deployed, is to blame: the status is `error` instead of `failure`.
    pub ours: bool,
    /// Whether the branch to deploy is gone.
    pub branch_gone: bool,
}

impl Failure {
    /// What was to be deployed is at fault.
    pub fn new(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), cancelled: false, ours: false, branch_gone: false }
    }

    /// Somebody stopped it.
    pub fn cancelled() -> Self {
        Self { cancelled: true, ..Self::new("cancelled") }
    }

    /// The deployer is at fault.
    pub fn ours(cause: impl Into<String>) -> Self {
        Self { ours: true, ..Self::new(cause) }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::ours(format!("{error:#}"))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        record_gone(error)
    }
}

/// Does `what` with the record, again and again while the database is away, for at most `wait`.
pub async fn recorded<T, F>(wait: Duration, what: &str, mut work: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let started = Instant::now();
    let mut warned = false;
    loop {
        match work().await {
            Err(error) if error.may_be_retried() && started.elapsed() < wait => {
                if !warned {
                    tracing::warn!(%error, what, "the database is away: waiting for it");
                    warned = true;
                }
                tokio::time::sleep(RECORD_RETRY).await;
            }
            Err(error) if error.may_be_retried() => {
                tracing::error!(%error, what, "given up waiting for the database after {wait:?}");
                return Err(error);
            }
            result => return result,
        }
    }
}

/// How far a plan was carried out.
pub enum Progress {
    /// To its end; with what could not be tidied up.
    Done(Vec<String>),
    /// Up to the hand-over. No other run is in progress, and none starts as long as the permits are held.
    HandsOver(Box<Request>, OwnedSemaphorePermit),
}

/// How a step is recorded.
struct Recording {
    number: u32,
    direction: Direction,
    wait: Duration,
}

impl Run {
    /// The first step of every run that makes something new: the branch's head, or one commit, comes to this machine.
    pub async fn fetch(&mut self, commit: Option<&CommitId>) -> Result<Commit, Failure> {
        let step = fetch_step(&self.deployment);
        let recording = self.start_step(&step, Direction::Do).await?;
        let started = Instant::now();
        let mut attempt = 1;
        let result = loop {
            let left = self.ends_at.saturating_duration_since(Instant::now()).min(step.timeout);
            match self.mirror.fetch(&self.deployment.branch, commit, left, &self.cancel).await {
                Err(FetchError::Network(reason)) if attempt < FETCH_ATTEMPTS_MAX => {
                    self.note(recording.number, format!("attempt {attempt} failed: {reason}"));
                    if !self.pause(attempt).await {
                        break Err(FetchError::Cancelled);
                    }
                    attempt += 1;
                }
                result => break result,
            }
        };
        let result = result.map_err(|error| match error {
            FetchError::Cancelled => Failure::cancelled(),
            FetchError::NoBranch(_) => Failure { branch_gone: true, ..Failure::new(error.to_string()) },
            error => Failure::new(format!("fetch failed: {error}")),
        });
        if let Ok(found) = &result {
            let shown = format!(
                "{} is at {} ({} ms)",
                self.deployment.branch,
                found.id,
                started.elapsed().as_millis()
            );
            self.note(recording.number, shown);
        }
        self.end_step(&recording, &result).await?;
        result
    }

    /// Carries a plan out. On failure everything that was started has been taken back when this returns. Gives also for how
    /// long what is `watched` did not answer during the switch, or on the way back.
    pub async fn carry_out(
        &mut self,
        plan: &Plan,
        watched: &[HealthCheck],
    ) -> (Result<Progress, Failure>, Option<Gap>) {
        let mut watch = Watch::new(watched);
        let result = self.steps(plan, &mut watch).await;
        (result, watch.end().await)
    }

    async fn steps(&mut self, plan: &Plan, watch: &mut Watch<'_>) -> Result<Progress, Failure> {
        let mut started: Vec<&Step> = Vec::new();
        let mut warnings = Vec::new();
        for step in &plan.steps {
            started.push(step);
            watch.enter(step.phase).await;
            crate::crash_point!("before-step");
            if let (Action::HandOver(wish), Some(_)) = (&step.action, &self.host.oneself.requests) {
                match self.make_room(step, wish).await {
                    Ok((request, permits)) => return Ok(Progress::HandsOver(Box::new(request), permits)),
                    Err(failure) => return Err(self.take_back(plan, &started, failure).await),
                }
            }
            match self.step(step, plan).await {
                Ok(()) => {}
                // The release is live and healthy by then: what could not be tidied up is said, not undone.
                Err(failure) if step.phase == Phase::Clean && failure.cancelled => {
                    warnings.push("stopped while tidying up".into());
                    break;
                }
                Err(failure) if step.phase == Phase::Clean => warnings.push(failure.cause),
                Err(failure) => return Err(self.take_back(plan, &started, failure).await),
            }
            crate::crash_point!("after-step");
        }
        Ok(Progress::Done(warnings))
    }

    /// Waits until no other run is in progress: a hand-over interrupts nobody. The step stays open.
    async fn make_room(
        &mut self,
        step: &Step,
        wish: &hand_over::Wish,
    ) -> Result<(Request, OwnedSemaphorePermit), Failure> {
        let ends_at = self.ends_at.min(Instant::now() + step.timeout);
        let recording = self.start_step(step, Direction::Do).await?;
        let others = u32::try_from(self.host.config.runs.parallel_max).unwrap_or(u32::MAX) - 1;
        if self.host.slots.available_permits() < others as usize {
            self.note(recording.number, "waiting for the runs of other deployments to end");
        }
        let result = tokio::select! {
            () = self.cancel.cancelled() => Err(Failure::cancelled()),
            () = tokio::time::sleep_until(ends_at) => {
                Err(Failure::new("the runs of other deployments did not end in time"))
            }
            permits = Arc::clone(&self.host.slots).acquire_many_owned(others) => {
                Ok(permits.expect("the semaphore is never closed"))
            }
        };
        let schema = self.host.store.applied_versions().await.map_err(record_gone);
        let result = result.and_then(|permits| Ok((permits, schema?)));
        let result = result.map_err(|failure| named(step, failure));
        if result.is_err() {
            self.end_step(&recording, &result).await?;
        }
        let (permits, schema) = result?;
        let pending = Pending {
            deployment: self.deployment.slug.to_string(),
            run: self.id.clone(),
            program: wish.program.clone(),
            schema,
            refused: None,
        };
        Ok((Request { pending, wish: wish.clone(), step: recording.number, ends_at }, permits))
    }

    /// Carries out what follows a hand-over, as the one who was handed over to. Nobody could take it back: what fails is said.
    pub async fn carry_on(&mut self, plan: &Plan, rest: &[&Step]) -> Vec<String> {
        let mut warnings = Vec::new();
        for step in rest {
            if let Err(failure) = self.step(step, plan).await {
                warnings.push(failure.cause);
            }
        }
        warnings
    }

    async fn step(&mut self, step: &Step, plan: &Plan) -> Result<(), Failure> {
        let recording = self.start_step(step, Direction::Do).await?;
        let mut attempt = 0;
        let result = loop {
            let left = self.ends_at.saturating_duration_since(Instant::now());
            let limit = step.timeout.min(left);
            let result =
                self.act(&step.action, &plan.environment, recording.number, limit, &self.cancel).await;
            match result {
                Err(failure)
                    if attempt < step.retries && !failure.cancelled && Instant::now() < self.ends_at =>
                {
                    attempt += 1;
                    self.note(
                        recording.number,
                        format!("{}; attempt {} follows", failure.cause, attempt + 1),
                    );
                    if !self.pause(attempt).await {
                        break Err(Failure::cancelled());
                    }
                }
                Err(failure) if Instant::now() >= self.ends_at && !failure.cancelled => {
                    let limit = self.deployment.timeout;
                    break Err(Failure::new(format!(
                        "the run took longer than {limit:?}: {}",
                        failure.cause
                    )));
                }
                result => break result,
            }
        };
        let result = result.map_err(|failure| named(step, self.with_full_disk(failure)));
        self.end_step(&recording, &result).await?;
        result
    }

    /// A full disk is the cause of whatever a program says about it.
    fn with_full_disk(&self, failure: Failure) -> Failure {
        const NEARLY_NOTHING_BYTES: u64 = 64 * 1024;
        let paths: [&Path; 2] = [&self.deployment.path, &self.host.config.state_directory];
        match release::check_space(&paths, NEARLY_NOTHING_BYTES) {
            Err(error) if !failure.cancelled => {
                Failure { cause: format!("{error:#} ({})", failure.cause), ..failure }
            }
            _ => failure,
        }
    }

    /// Takes back what was started, in reverse, and tells the operator's `on_failure` commands.
    pub async fn take_back(&mut self, plan: &Plan, started: &[&Step], mut failure: Failure) -> Failure {
        self.note(self.next_step, format!("failed: {}", failure.cause));
        let unfinished = self.undo(plan, started).await;
        crate::crash_point!("taken-back");
        if !unfinished.is_empty() {
            failure.cause =
                format!("{}; taking it back failed too: {}", failure.cause, unfinished.join("; "));
            failure.ours = true;
        }
        let environment = plan.environment.clone();
        let told = [("DEPLOYER_CAUSE".to_owned(), failure.cause.clone())];
        for command in &plan.on_failure {
            let command = Command {
                environment: command.environment.clone().into_iter().chain(told.clone()).collect(),
                ..command.clone()
            };
            let number = self.next_step;
            let action = Action::Command(command);
            let step =
                Step { name: "on-failure".into(), action, ..bare_step(&self.deployment, Phase::Clean) };
            if let Err(problem) = self.undo_step(&step, &environment).await {
                self.note(number, format!("on_failure: {}", problem.cause));
            }
        }
        failure
    }

    /// Runs the undo of each started step, the last one first. Returns what could not be taken back; then nobody can say that
    /// what was live still is, and the record does not, until a run has succeeded again.
    pub async fn undo(&mut self, plan: &Plan, started: &[&Step]) -> Vec<String> {
        let mut unfinished = Vec::new();
        let phases: Vec<Phase> = started.iter().map(|step| step.phase).collect();
        for step in started.iter().rev() {
            for undo in &step.undo {
                if undo.if_started.is_some_and(|phase| !phases.contains(&phase)) {
                    continue;
                }
                let bare = bare_step(&self.deployment, step.phase);
                let undo_step = Step {
                    action: undo.action.clone(),
                    name: step.name.clone(),
                    timeout: undo.timeout.unwrap_or(bare.timeout),
                    retries: undo.retries,
                    ..bare
                };
                if let Err(failure) = self.undo_step(&undo_step, &plan.environment_before).await {
                    unfinished.push(failure.cause);
                    // What follows would be done to the new files as if they were the old ones.
                    if matches!(undo.action, Action::Activate { .. } | Action::UpdateTree { .. }) {
                        break;
                    }
                }
            }
        }
        if !unfinished.is_empty() {
            self.doubt_what_is_live().await;
        }
        unfinished
    }

    async fn doubt_what_is_live(&self) {
        let (store, slug) = (&self.host.store, self.deployment.slug.as_str());
        let doubt = || async {
            let Some(live) = store.live_release(slug).await? else { return Ok(()) };
            store.set_release_state(slug, &live.name, ReleaseState::Good, None).await
        };
        if let Err(error) = recorded(UNDO_RECORD_WAIT, "what is live", doubt).await {
            tracing::error!(run = self.id, %error, "cannot record that nobody knows what is live");
        }
    }

    /// One step of taking back: neither cancelled nor bound by the run's deadline, and not dependent on the record.
    async fn undo_step(
        &mut self,
        step: &Step,
        environment: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let recording = match self.start_step_within(step, Direction::Undo, UNDO_RECORD_WAIT).await {
            Ok(recording) => recording,
            Err(failure) => {
                tracing::error!(run = self.id, cause = failure.cause, "taking back without a record");
                Recording { number: self.next_step, direction: Direction::Undo, wait: Duration::ZERO }
            }
        };
        let never = CancellationToken::new();
        let mut attempt = 0;
        let result = loop {
            let result = self.act(&step.action, environment, recording.number, step.timeout, &never).await;
            match result {
                Err(failure) if attempt < step.retries => {
                    attempt += 1;
                    self.note(
                        recording.number,
                        format!("{}; attempt {} follows", failure.cause, attempt + 1),
                    );
                    tokio::time::sleep(delay_before(attempt)).await;
                }
                result => break result,
            }
        };
        let result = result.map_err(|failure| named(step, failure));
        if let Err(failure) = self.end_step(&recording, &result).await {
            tracing::error!(run = self.id, cause = failure.cause, "taken back without a record");
        }
        result
    }

    async fn start_step(&mut self, step: &Step, direction: Direction) -> Result<Recording, Failure> {
        self.start_step_within(step, direction, self.host.config.runs.record_wait).await
    }

    async fn start_step_within(
        &mut self,
        step: &Step,
        direction: Direction,
        wait: Duration,
    ) -> Result<Recording, Failure> {
        let number = self.next_step;
        let shown = step.action.shown();
        let start = StepStart {
            run_id: &self.id,
            number,
            direction,
            phase: step.phase.as_str(),
            name: &step.name,
            command: Some(&shown),
            started_at_ms: clock::now_ms(),
        };
        recorded(wait, "step started", || self.host.store.step_started(&start)).await.map_err(record_gone)?;
        self.next_step += 1;
        let verb = if direction == Direction::Undo { "undo " } else { "" };
        self.note(number, format!("{verb}{} {}: {shown}", step.phase.as_str(), step.name));
        crate::crash_point!("step-started");
        Ok(Recording { number, direction, wait })
    }

    async fn end_step<T>(
        &mut self,
        recording: &Recording,
        result: &Result<T, Failure>,
    ) -> Result<(), Failure> {
        self.log.lock().expect("no holder panics").flush();
        crate::crash_point!("step-done");
        let state = if result.is_ok() { StepState::Succeeded } else { StepState::Failed };
        let end = StepEnd {
            run_id: &self.id,
            number: recording.number,
            direction: recording.direction,
            state,
            detail: None,
            cause: result.as_ref().err().map(|failure| failure.cause.as_str()),
            ended_at_ms: clock::now_ms(),
        };
        recorded(recording.wait, "step ended", || self.host.store.step_ended(&end)).await.map_err(record_gone)
    }

    /// Does it.
    async fn act(
        &self,
        action: &Action,
        environment: &BTreeMap<String, String>,
        number: u32,
        limit: Duration,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        if cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        let environment = self.environment(environment);
        let directory = PathBuf::from(environment.get("DEPLOYER_RELEASE").cloned().unwrap_or_default());
        let hear = |heard: Heard<'_>| self.hear(number, heard);
        let workbench = Workbench {
            executor: &self.host.executor,
            environment: &environment,
            directory: &directory,
            ends_at: Instant::now() + limit,
            cancel,
            hear: &hear,
        };
        let work = async {
            match action {
                Action::Command(command) => workbench.run(command).await,
                Action::Health(check) => health::check(check, &workbench).await,
                // These end what they started when their time is over.
                Action::Processes { manager, wish } => manager.grant(*wish, &workbench).await,
                Action::Sites(step) => step.carry_out(&workbench).await,
                Action::Examine(program) => program.examine(&self.host.oneself, &workbench).await,
                built_in => {
                    let done = tokio::time::timeout(limit, self.built_in(built_in, number, cancel)).await;
                    done.unwrap_or_else(|_| Err(anyhow!("took longer than {limit:?}")))
                }
            }
        };
        let done = tokio::select! {
            done = work => done,
            never = self.show_what_is_printed() => match never {},
        };
        done.map_err(|error| match cancel.is_cancelled() {
            true => Failure::cancelled(),
            false => Failure::new(format!("{error:#}")),
        })
    }

    async fn built_in(&self, action: &Action, number: u32, cancel: &CancellationToken) -> Result<()> {
        let deployment = &self.deployment;
        match action {
            Action::Export { release, commit } => self.export(release, commit, number, cancel).await,
            Action::UpdateTree { commit } => self.update_tree(commit, cancel).await,
            Action::Activate { release } => release::activate(deployment, release),
            Action::Deactivate => release::deactivate(deployment),
            Action::Place(placement) => {
                let (placement, root) = (placement.clone(), deployment.path.clone());
                tokio::task::spawn_blocking(move || placement.carry_out(&root)).await?
            }
            Action::Prune => self.prune(number).await,
            Action::Share { paths } => paths.iter().try_for_each(|path| adopt::share(&deployment.path, path)),
            Action::Unshare { paths } => {
                paths.iter().try_for_each(|path| adopt::unshare(&deployment.path, path))
            }
            // A daemon never comes here: it leaves the run open for its successor.
            Action::HandOver(wish) => {
                self.note(number, "no daemon is running: the next one that is started is the new one");
                release::activate(deployment, &wish.release)
            }
            Action::Fetch
            | Action::Command(_)
            | Action::Health(_)
            | Action::Processes { .. }
            | Action::Examine(_)
            | Action::Sites(_) => Err(anyhow!("not a built-in action")),
        }
    }

    /// Lets followers see what a step has printed while it goes on.
    async fn show_what_is_printed(&self) -> Infallible {
        loop {
            tokio::time::sleep(OUTPUT_DELAY).await;
            self.log.lock().expect("no holder panics").flush();
        }
    }

    fn hear(&self, number: u32, heard: Heard<'_>) {
        match heard {
            Heard::Note(text) => self.note(number, text),
            Heard::Line(line) => {
                let stream = match line.stream {
                    Stream::Out => run_log::Stream::Output,
                    Stream::Err => run_log::Stream::Error,
                };
                self.log.lock().expect("no holder panics").write(number, stream, &line.text);
            }
        }
    }

    /// The deployment's environment below the plan's.
    fn environment(&self, environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut merged = self.deployment.environment.clone();
        merged.extend(environment.clone());
        merged
    }

    async fn export(
        &self,
        name: &str,
        commit: &CommitId,
        number: u32,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let deployment = &self.deployment;
        let path = release::directory(deployment, name);
        let path_text = path.to_string_lossy();
        let new = NewRelease {
            deployment: deployment.slug.as_str(),
            name,
            path: &path_text,
            commit_id: commit.as_str(),
            run_id: &self.id,
            created_at_ms: clock::now_ms(),
        };
        recorded(self.host.config.runs.record_wait, "release", || self.host.store.create_release(&new))
            .await?;
        crate::crash_point!("release-recorded");
        release::create(deployment, name)?;
        crate::crash_point!("release-created");
        let index = self.index(name)?;
        self.mirror.check_out(&path, &index, commit).await?;
        if deployment.submodules {
            self.mirror.check_out_submodules(&path, &index, commit, cancel).await?;
        }
        let _ = fs_err::remove_file(&index);
        for note in release::link_shared(deployment, &path)? {
            self.note(number, note);
        }
        Ok(())
    }

    async fn update_tree(&self, commit: &CommitId, cancel: &CancellationToken) -> Result<()> {
        let path = &self.deployment.path;
        let index = self.index("tree")?;
        if !index.exists()
            && let Some(found) = release::commit_of_work_tree(path)
            && self.mirror.commit(&found).await.is_ok()
        {
            self.mirror.assume_checked_out(path, &index, &found).await?;
        }
        fs_err::create_dir_all(path)?;
        self.mirror.check_out(path, &index, commit).await?;
        crate::crash_point!("tree-updated");
        if self.deployment.submodules {
            self.mirror.check_out_submodules(path, &index, commit, cancel).await?;
        }
        Ok(())
    }

    /// Where git remembers what it wrote to a tree.
    fn index(&self, name: &str) -> Result<PathBuf> {
        let directory = self.host.config.state_directory.join("trees");
        fs_err::create_dir_all(&directory)?;
        Ok(directory.join(format!("{}-{name}.index", self.deployment.slug)))
    }

    /// Removes what `keep_releases` does not keep: never the live one, the one before it, or the last failed one.
    async fn prune(&self, number: u32) -> Result<()> {
        let store = &self.host.store;
        let releases = store.releases(self.deployment.slug.as_str()).await?;
        let live = release::current(&self.deployment)?;
        for name in prunable(&releases, live.as_deref(), self.deployment.keep_releases) {
            let (deployment, gone) = (self.deployment.clone(), name.clone());
            tokio::task::spawn_blocking(move || release::remove(&deployment, &gone)).await??;
            crate::crash_point!("release-removed");
            store
                .set_release_state(self.deployment.slug.as_str(), &name, ReleaseState::Removed, None)
                .await?;
            self.note(number, format!("removed release {name}"));
        }
        Ok(())
    }

    /// Waits before another attempt; false where the run is stopped meanwhile.
    async fn pause(&self, attempt: u32) -> bool {
        tokio::select! {
            () = self.cancel.cancelled() => false,
            () = tokio::time::sleep(delay_before(attempt)) => true,
        }
    }

    /// A line of our own in the run's log.
    pub fn note(&self, number: u32, text: impl AsRef<str>) {
        let mut log = self.log.lock().expect("no holder panics");
        log.write(number, run_log::Stream::Note, text.as_ref());
        log.flush();
    }
}

/// Before the attempt that follows this many.
fn delay_before(attempts: u32) -> Duration {
    FIRST_RETRY_DELAY * 2u32.saturating_pow(attempts.saturating_sub(1)).min(32)
}

/// The step that every run begins with.
pub fn fetch_step(deployment: &Deployment) -> Step {
    Step { name: "fetch".into(), action: Action::Fetch, ..bare_step(deployment, Phase::Fetch) }
}

fn bare_step(deployment: &Deployment, phase: Phase) -> Step {
    Step {
        phase,
        name: String::new(),
        action: Action::Fetch,
        undo: Vec::new(),
        timeout: deployment.step_timeout,
        retries: 0,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err wants it")]
fn record_gone(error: StoreError) -> Failure {
    Failure::ours(format!("the database cannot be used: {error}"))
}

/// "build failed (npm run build): exited with 1: ..."
fn named(step: &Step, failure: Failure) -> Failure {
    if failure.cancelled {
        return failure;
    }
    let phase = step.phase.as_str();
    let what = if step.name.is_empty() || step.name == phase {
        phase.to_owned()
    } else {
        format!("{phase} ({})", step.name)
    };
    Failure { cause: format!("{what}: {}", failure.cause), ..failure }
}

/// Which releases may go; see [`Run::prune`]. Newest first in, names out.
fn prunable(releases: &[Release], live: Option<&str>, keep: usize) -> Vec<String> {
    let is_success = |release: &&Release| matches!(release.state, ReleaseState::Good | ReleaseState::Live);
    let mut kept: Vec<&str> = live.into_iter().collect();
    // By when they served last, not by age: after a rollback the one before the live one may be the oldest of all.
    let mut successes: Vec<&Release> = releases.iter().filter(is_success).collect();
    successes.sort_by_key(|release| std::cmp::Reverse(release.live_at_ms));
    let others =
        successes.into_iter().map(|release| release.name.as_str()).filter(|name| Some(*name) != live);
    // At least the live one and the one before it.
    kept.extend(others.take(keep.saturating_sub(1).max(1)));
    let failures = releases.iter().filter(|release| release.state == ReleaseState::Failed);
    kept.extend(failures.max_by_key(|release| release.created_at_ms).map(|release| release.name.as_str()));
    releases
        .iter()
        .filter(|release| release.state != ReleaseState::Removed && release.state != ReleaseState::Building)
        .filter(|release| !kept.contains(&release.name.as_str()))
        .map(|release| release.name.clone())
        .collect()
}

/// Refuses to start where the disk is nearly full.
pub fn check_space(host: &Host, deployment: &Deployment) -> Result<()> {
    let paths: [&Path; 2] = [&deployment.path, &host.config.state_directory];
    release::check_space(&paths, host.config.runs.disk_free_bytes_min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(name: &str, state: ReleaseState, created_at_ms: i64, live_at_ms: Option<i64>) -> Release {
        let text = || name.to_owned();
        let (deployment, path, commit_id, run_id) = (text(), text(), text(), text());
        Release {
            deployment,
            name: text(),
            path,
            commit_id,
            run_id,
            state,
            created_at_ms,
            live_at_ms,
            bytes: None,
        }
    }

    #[test]
    fn what_was_live_last_and_the_last_failure_are_kept() {
        use ReleaseState::{Building, Failed, Good, Live, Removed};
        let releases = [
            release("new", Building, 7, None),
            release("failed-last", Failed, 6, None),
            release("half", Building, 5, None),
            release("young", Good, 4, Some(4)),
            release("failed-first", Failed, 3, None),
            release("gone", Removed, 2, Some(2)),
            // The oldest, and live until now: somebody had gone back to it.
            release("old", Live, 1, Some(6)),
        ];
        for (keep, expected) in
            [(1, &["young", "failed-first"][..]), (2, &["young", "failed-first"]), (3, &["failed-first"])]
        {
            assert_eq!(prunable(&releases, Some("new"), keep), expected, "keep {keep}");
        }
    }
}
