//! A run: a plan carried out, step by step, each recorded before and after; and undone, in reverse, when one fails.
//!
//! The record is not optional: a step that cannot be recorded as started is not started (the run waits for the database, and
//! is undone when it has waited too long). Undoing goes on without it. What the world is told (commit
//! statuses) is written with the run's end in one transaction and sent by `notify::sender`, which nothing here waits for.

mod directories;
mod self_update;
mod undo;

use super::{adopt, preflight};
use crate::base::clock;
use crate::base::names::CommitId;
use crate::base::words::step_title;
use crate::config::{Deployment, HealthCheck, Layout, Phase, UserSource, users};
use crate::git::mirror::{Commit, FetchError, Mirror};
use crate::pipeline::context::{Host, HostedDeployment};
use crate::pipeline::downtime::{Downtime, Watch};
use crate::plan::standing::{is_evaluated, standing};
use crate::plan::{Action, Plan, Step};
use crate::process::cause;
use crate::process::env_files::EnvRules;
use crate::process::step_context::{LogEvent, StepContext};
use crate::process::{executor, remove_tree, sandbox_policy};
use crate::run_log::{self, RunLogWriter};
use crate::steps::self_update::SelfUpdateRequest;
use crate::steps::{health, release};
use crate::store::comparison::Comparison;
use crate::store::{Direction, FaultClass, StepEnd, StepStart, StepState, StoreError};
use anyhow::{Result, anyhow};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;
use supervise::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

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
    /// Whether the log says already what of the sandbox this kernel lacks.
    pub shortcoming_told: Once,
}

/// With less than this free a disk is full: a program that could not write may have left some blocks.
const FULL_BYTES: u64 = 64 * 1024;

/// Why a step, and with it the run, did not succeed.
#[derive(Debug)]
pub struct Failure {
    pub cause: String,
    /// Whether it was stopped from outside.
    pub cancelled: bool,
    /// Who can do something about it.
    pub fault: FaultClass,
    /// Whether this machine had no processes or memory left.
    pub exhausted: bool,
    /// Whether the branch to deploy is gone.
    pub branch_gone: bool,
    /// Whether the switch had begun, so that what was live before was started again.
    pub has_switched: bool,
}

impl Failure {
    /// A failure of this class. Most callers have one of the constructors below, or `?`, whose error says the class.
    pub fn of(fault: FaultClass, cause: impl Into<String>) -> Self {
        Self {
            cause: cause.into(),
            cancelled: false,
            fault,
            exhausted: false,
            branch_gone: false,
            has_switched: false,
        }
    }

    /// What was to be deployed is at fault.
    pub fn of_commit(cause: impl Into<String>) -> Self {
        Self::of(FaultClass::Commit, cause)
    }

    /// This machine is at fault, or what it depends on.
    pub fn of_host(cause: impl Into<String>) -> Self {
        Self::of(FaultClass::Host, cause)
    }

    /// Only a person who operates the deployer can do something about it.
    pub fn of_operator(cause: impl Into<String>) -> Self {
        Self::of(FaultClass::Operator, cause)
    }

    /// Somebody stopped it.
    pub fn cancelled() -> Self {
        Self { cancelled: true, ..Self::of_operator("cancelled") }
    }

    /// A step's action failed.
    fn of_action(error: &anyhow::Error) -> Self {
        let exhausted = executor::is_exhaustion(error);
        let fault = if exhausted { FaultClass::Host } else { FaultClass::Commit };
        Self { exhausted, ..Self::of(fault, format!("{error:#}")) }
    }

    /// What was started could not be undone: nobody can say that what was live before still is. A host that has nothing left is tried again
    /// all the same, since that passes by itself.
    pub(super) fn not_undone(self, unfinished: &[String]) -> Self {
        Self {
            cause: format!("{}; undoing it failed too: {}", self.cause, unfinished.join("; ")),
            fault: if self.exhausted { FaultClass::Host } else { FaultClass::Operator },
            ..self
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast_ref::<StoreError>().is_some_and(StoreError::is_tampering) {
            true => Self::of_operator(format!("{error:#}")),
            false => Self::of_host(format!("{error:#}")),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        record_gone(error)
    }
}

/// Does `what` with the database, again and again while the database is away, for at most `wait`.
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
pub enum RunProgress {
    /// To its end; with what could not be tidied up.
    Done(Vec<String>),
    /// Up to the self-update. No other run is in progress, and none starts as long as the permits are held.
    HandsOver(Box<SelfUpdateRequest>, OwnedSemaphorePermit),
}

/// How a step is recorded.
struct Recording {
    number: u32,
    direction: Direction,
    wait: Duration,
}

/// What ends a step's attempts from outside.
#[derive(Clone, Copy)]
struct Bounds<'a> {
    /// None: only the step's own deadline.
    ends_at: Option<Instant>,
    cancel: &'a CancellationToken,
}

impl Run {
    /// The first step of every run that makes something new: what is missing on this machine is told before anything is done.
    pub async fn preflight(&mut self, layout: Layout) -> Result<(), Failure> {
        let step = preflight_step(&self.deployment);
        let recording = self.start_step(&step, None, Direction::Do).await?;
        let seen = {
            let Host { executor, config, .. } = &self.host;
            preflight::look(executor, config, &self.deployment, layout, &self.cancel).await
        };
        let mut obstacles = seen.obstacles;
        if let Err(error) = check_space(HostedDeployment::new(&self.host, &self.deployment)) {
            obstacles.push(format!("{error:#}"));
        }
        for obstacle in seen.remarks.iter().chain(&obstacles) {
            self.note(recording.number, obstacle);
        }
        let result = if self.cancel.is_cancelled() { Err(Failure::cancelled()) } else { none_of(obstacles) };
        self.end_step(&recording, &result).await?;
        result
    }

    /// The same of what can only be known when the commit is: the programs that its recipe calls. Nothing has been changed by then.
    pub async fn preflight_of_plan(&self, plan: &Plan) -> Result<(), Failure> {
        let Host { executor, config, .. } = &self.host;
        let seen = preflight::programs_of_plan(executor, config, &self.deployment, plan, &self.cancel).await;
        // Of remarks, those of the configuration's own commands were made before.
        for obstacle in &seen.obstacles {
            self.note(self.next_step, obstacle);
        }
        none_of(seen.obstacles)
    }

    /// The second one: the branch's head, or one commit, comes to this machine.
    pub async fn fetch(&mut self, commit: Option<&CommitId>) -> Result<Commit, Failure> {
        let step = fetch_step(&self.deployment);
        let recording = self.start_step(&step, None, Direction::Do).await?;
        let started = Instant::now();
        let mut attempt = 1;
        let result = loop {
            let left = self.ends_at.saturating_duration_since(Instant::now()).min(step.timeout);
            match self.mirror.fetch(&self.deployment.branch, commit, left, &self.cancel).await {
                Err(FetchError::Network(reason)) if attempt < FETCH_ATTEMPTS_MAX => {
                    self.note(recording.number, format!("attempt {attempt} failed: {reason}"));
                    if !pause(attempt, &self.cancel).await {
                        break Err(FetchError::Cancelled);
                    }
                    attempt += 1;
                }
                result => break result,
            }
        };
        let result = result.map_err(|error| match error {
            FetchError::Cancelled => Failure::cancelled(),
            FetchError::NoBranch { .. } => {
                Failure { branch_gone: true, ..Failure::of_operator(error.to_string()) }
            }
            error => Failure::of_host(format!("fetch failed: {error}")),
        });
        if let Ok(found) = &result {
            Comparison::answered(&self.host.config.state_directory, &self.deployment.slug);
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

    /// Carries a plan out. On failure everything that was started has been undone when this returns. Gives also for how
    /// long what is `watched` did not answer during the switch, or on the way back.
    pub async fn carry_out(
        &mut self,
        plan: &Plan,
        watched: &[HealthCheck],
    ) -> (Result<RunProgress, Failure>, Option<Downtime>) {
        let mut watch = Watch::new(watched);
        let result = self.steps(plan, &mut watch).await;
        (result, watch.end().await)
    }

    async fn steps(&mut self, plan: &Plan, watch: &mut Watch<'_>) -> Result<RunProgress, Failure> {
        let mut started: Vec<usize> = Vec::new();
        let mut warnings = Vec::new();
        for (index, step) in plan.steps.iter().enumerate() {
            started.push(index);
            watch.enter(step.phase).await;
            crate::failpoint!("before-step");
            if let (Action::SelfUpdate(update), Some(_)) = (&step.action, &self.host.this_process.requests) {
                match self.make_room(index, step, update).await {
                    Ok((request, permits)) => return Ok(RunProgress::HandsOver(Box::new(request), permits)),
                    Err(failure) => return Err(self.take_back(plan, &started, failure).await),
                }
            }
            match self.step(index, plan).await {
                Ok(()) => {}
                // The release is live and healthy by then: what could not be tidied up is said, not undone.
                Err(failure) if step.phase == Phase::Clean && failure.cancelled => {
                    warnings.push("stopped while tidying up".into());
                    break;
                }
                Err(failure) if step.phase == Phase::Clean => warnings.push(failure.cause),
                Err(failure) => return Err(self.take_back(plan, &started, failure).await),
            }
            crate::failpoint!("after-step");
        }
        Ok(RunProgress::Done(warnings))
    }

    async fn step(&mut self, index: usize, plan: &Plan) -> Result<(), Failure> {
        let step = &plan.steps[index];
        let recording = self.start_step(step, Some(index), Direction::Do).await?;
        let bounds = Bounds { ends_at: Some(self.ends_at), cancel: &self.cancel };
        let result =
            match self.attempts(step, Some(step.phase), &plan.environment, recording.number, bounds).await {
                Err(failure) if Instant::now() >= self.ends_at && !failure.cancelled => {
                    let limit = self.deployment.timeout;
                    Err(Failure::of_commit(format!("the run took longer than {limit:?}: {}", failure.cause)))
                }
                result => result,
            };
        let result = result.map_err(|failure| named(step, self.with_full_disk(failure)));
        if result.is_err() {
            self.free_disk(step, plan, recording.number).await;
        }
        self.end_step(&recording, &result).await?;
        result
    }

    /// Removes the release that a failed step has left half done, where it has filled the disk: the database, which lies on the same one in
    /// most installations, could otherwise not be told that the run has failed, and nothing would ever be removed.
    async fn free_disk(&self, failed: &Step, plan: &Plan, number: u32) {
        let paths: [&Path; 2] = [&self.deployment.path, &self.host.config.state_directory];
        let is_full = release::check_space(&paths, FULL_BYTES).is_err();
        // Behind the switch it may be live, and what undoes a step in it needs it.
        let is_needed = |step: &Step| step.undo.iter().any(|undo| matches!(undo.action, Action::Command(_)));
        if !is_full || failed.phase >= Phase::Switch || plan.steps.iter().any(is_needed) {
            return;
        }
        let made = plan.steps.iter().find_map(|step| match &step.action {
            Action::Export { release, .. } => Some(release),
            _ => None,
        });
        let Some(made) = made else { return };
        match release::remove(&self.host.executor, &self.deployment, made).await {
            Ok(()) => self.note(number, format!("removed {made}, which was not complete: the disk is full")),
            Err(error) => {
                tracing::warn!(
                    run = self.id,
                    error = format!("{error:#}"),
                    "the disk is full, and the failed release cannot be removed"
                );
            }
        }
    }

    /// Does what a step says, as often as it may be attempted.
    async fn attempts(
        &self,
        step: &Step,
        phase: Option<Phase>,
        environment: &BTreeMap<String, String>,
        number: u32,
        bounds: Bounds<'_>,
    ) -> Result<(), Failure> {
        let left = || bounds.ends_at.map(|at| at.saturating_duration_since(Instant::now()));
        let mut attempt = 0;
        loop {
            let limit = left().map_or(step.timeout, |left| left.min(step.timeout));
            let begun = Instant::now();
            let result = self.act(&step.action, phase, environment, number, limit, bounds.cancel).await;
            // What has taken all of its time once would take it again, with everybody behind it waiting.
            let is_out_of_time = begun.elapsed() >= limit;
            let is_over =
                attempt >= step.retries || is_out_of_time || left().is_some_and(|left| left.is_zero());
            // Of a registry only what may pass is asked again.
            let is_final =
                |failure: &Failure| phase == Some(Phase::Install) && cause::is_final(&failure.cause);
            match result {
                Err(failure) if !is_over && !failure.cancelled && !is_final(&failure) => {
                    attempt += 1;
                    self.note(number, format!("{}; attempt {} follows", failure.cause, attempt + 1));
                    if !pause(attempt, bounds.cancel).await {
                        return Err(Failure::cancelled());
                    }
                }
                result => return result,
            }
        }
    }

    /// A full disk is the cause of whatever a program says about it.
    fn with_full_disk(&self, failure: Failure) -> Failure {
        let paths: [&Path; 2] = [&self.deployment.path, &self.host.config.state_directory];
        match release::check_space(&paths, FULL_BYTES) {
            Err(error) if !failure.cancelled => {
                Failure { cause: format!("{error:#} ({})", failure.cause), ..failure }
            }
            _ => failure,
        }
    }

    /// `plan_index` is the place in the plan of the step that is done or undone, where it has one.
    async fn start_step(
        &mut self,
        step: &Step,
        plan_index: Option<usize>,
        direction: Direction,
    ) -> Result<Recording, Failure> {
        self.start_step_within(step, plan_index, direction, self.host.config.runs.record_wait).await
    }

    async fn start_step_within(
        &mut self,
        step: &Step,
        plan_index: Option<usize>,
        direction: Direction,
        wait: Duration,
    ) -> Result<Recording, Failure> {
        let number = self.next_step;
        let shown = step.action.shown();
        let start = StepStart {
            run_id: &self.id,
            number,
            plan_index,
            direction,
            phase: step.phase.as_str(),
            name: &step.name,
            command: Some(&shown),
            started_at_ms: clock::now_ms(),
        };
        recorded(wait, "step started", || self.host.store.step_started(&start)).await.map_err(record_gone)?;
        self.next_step += 1;
        let verb = if direction == Direction::Undo { "undo " } else { "" };
        self.note(number, format!("{verb}{}: {shown}", step_title(step.phase.as_str(), &step.name)));
        crate::failpoint!("step-started");
        Ok(Recording { number, direction, wait })
    }

    async fn end_step<T>(
        &mut self,
        recording: &Recording,
        result: &Result<T, Failure>,
    ) -> Result<(), Failure> {
        self.log.lock().expect("no holder panics").flush();
        crate::failpoint!("step-done");
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

    /// Does it, as part of this phase.
    async fn act(
        &self,
        action: &Action,
        phase: Option<Phase>,
        environment: &BTreeMap<String, String>,
        number: u32,
        limit: Duration,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        if cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        // The gates hold a new commit back before this. Rollbacks and what a crash left have no gate.
        if self.deployment.user_source == UserSource::Missing {
            return Err(Failure::of_operator(users::missing(&self.deployment.slug)));
        }
        let environment = self.environment(environment);
        let directory = PathBuf::from(environment.get("DEPLOYER_RELEASE").cloned().unwrap_or_default());
        let stands_in = match action {
            Action::Command(command) => &command.directory,
            _ => &directory,
        };
        let env_rules = EnvRules::of(&self.host.config, &self.deployment, stands_in);
        if let (Some(user), Action::Examine(_) | Action::SelfUpdate(_)) = (&self.deployment.user, action) {
            return Err(Failure::of_operator(format!(
                "the deployer does not run a program that {user} has made\nhint: its own deployment has no `user`"
            )));
        }
        let starts = (&*self.host.config, &self.host.executor);
        let whose = (standing(phase, action), is_evaluated(action));
        let walls = sandbox_policy::walls(starts, &self.deployment, whose, stands_in, &environment).await?;
        let hear = |heard: LogEvent<'_>| self.hear(number, heard);
        let step_context = StepContext {
            executor: &self.host.executor,
            environment: &environment,
            walls: &walls,
            env_rules: &env_rules,
            directory: &directory,
            ends_at: Instant::now() + limit,
            cancel,
            hear: &hear,
        };
        let work = async {
            match action {
                Action::Command(command) if phase == Some(Phase::Switch) => {
                    step_context.run_to_the_end(command).await
                }
                Action::Command(command) => step_context.run(command).await,
                Action::Health(check) => health::check(check, &step_context).await,
                // These end what they started when their time is over.
                Action::Processes { manager, action } => manager.grant(*action, &step_context).await,
                Action::Sites(step) => step.carry_out(&step_context).await,
                Action::Examine(program) => program.examine(&self.host.this_process, &step_context).await,
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
            false => Failure::of_action(&error),
        })
    }

    async fn built_in(&self, action: &Action, number: u32, cancel: &CancellationToken) -> Result<()> {
        let deployment = &self.deployment;
        match action {
            Action::Export { release, commit } => self.export(release, commit, number, cancel).await,
            Action::UpdateTree { commit } => self.update_tree(commit, number, cancel).await,
            Action::Activate { release } => release::activate(deployment, release),
            Action::Deactivate => release::deactivate(deployment),
            Action::Place(placement) => match placement.carry_out(&deployment.path)? {
                Some(rest) => remove_tree::remove(&self.host.executor, deployment.user.as_ref(), &rest).await,
                None => Ok(()),
            },
            Action::Prune => self.prune(number).await,
            Action::Share { paths } => paths.iter().try_for_each(|path| adopt::share(&deployment.path, path)),
            Action::Unshare { paths } => {
                paths.iter().try_for_each(|path| adopt::unshare(&deployment.path, path))
            }
            // A daemon never comes here: it leaves the run open for its successor.
            Action::SelfUpdate(update) => {
                self.note(number, "no daemon is running: the next one that is started is the new one");
                release::activate(deployment, &update.release)
            }
            Action::Preflight
            | Action::Fetch
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

    fn hear(&self, number: u32, heard: LogEvent<'_>) {
        match heard {
            LogEvent::Note(text) => self.note(number, text),
            LogEvent::Shortcoming(text) => self.shortcoming_told.call_once(|| self.note(number, text)),
            LogEvent::Cause { text, says_why } => {
                let stream = if says_why { run_log::Stream::Cause } else { run_log::Stream::Context };
                self.log.lock().expect("no holder panics").write(number, stream, text);
            }
            LogEvent::Line(line) => {
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

    /// A line of our own in the run's log.
    pub fn note(&self, number: u32, text: impl AsRef<str>) {
        let mut log = self.log.lock().expect("no holder panics");
        log.write(number, run_log::Stream::Note, text.as_ref());
        log.flush();
    }
}

/// Waits before another attempt, longer each time; false where the run is stopped meanwhile.
async fn pause(attempts: u32, cancel: &CancellationToken) -> bool {
    let delay = FIRST_RETRY_DELAY * 2u32.saturating_pow(attempts.saturating_sub(1)).min(32);
    tokio::select! {
        () = cancel.cancelled() => false,
        () = tokio::time::sleep(delay) => true,
    }
}

/// What stands in the way fails a run.
fn none_of(mut obstacles: Vec<String>) -> Result<(), Failure> {
    match obstacles.len() {
        0 => Ok(()),
        1 => Err(Failure::of_host(obstacles.remove(0))),
        more => Err(Failure::of_host(format!("{} (and {} more: see the log)", obstacles[0], more - 1))),
    }
}

/// The step before all others, of a run that makes something new.
pub fn preflight_step(deployment: &Deployment) -> Step {
    Step { name: "preflight".into(), action: Action::Preflight, ..bare_step(deployment, Phase::Fetch) }
}

/// The step that brings the commit.
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
    let fault = if error.is_tampering() { FaultClass::Operator } else { FaultClass::Host };
    Failure::of(fault, format!("the database cannot be used: {error}"))
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

/// Refuses to start where the disk is nearly full.
pub fn check_space(hosted: HostedDeployment<'_>) -> Result<()> {
    let HostedDeployment { host, deployment } = hosted;

    let paths: [&Path; 2] = [&deployment.path, &host.config.state_directory];
    release::check_space(&paths, host.config.runs.disk_free_bytes_min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use FaultClass::{Commit, Host, Operator};
    use std::io;
    use supervise::StartError;

    #[test]
    fn the_fault_class_of_each_kind_of_error() {
        let away = || StoreError::Unavailable(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        let foreign = || StoreError::Foreign { kind: "step", id: "1".into() };
        let exhausted = || {
            anyhow::Error::from(StartError::Exhausted { program: "npm".into(), reason: "no memory".into() })
        };
        for (kind, failure, fault) in [
            ("a step's program fails", Failure::of_action(&anyhow!("exited with 1")), Commit),
            (
                "a step's program cannot be started for want of processes",
                Failure::of_action(&exhausted()),
                Host,
            ),
            ("something is missing on this machine", none_of(vec!["no npm".into()]).unwrap_err(), Host),
            ("several things are", none_of(vec!["no npm".into(), "no git".into()]).unwrap_err(), Host),
            ("the database is away", away().into(), Host),
            ("it is so in other words", anyhow::Error::from(away()).context("cannot ask").into(), Host),
            ("somebody else has changed a row", foreign().into(), Operator),
            (
                "it is so in other words",
                anyhow::Error::from(foreign()).context("cannot ask").into(),
                Operator,
            ),
            ("anything else of the deployer's own work", anyhow!("no such directory").into(), Host),
            ("an operator cancels", Failure::cancelled(), Operator),
        ] {
            assert_eq!(failure.fault, fault, "{kind}: {failure:?}");
        }
        assert!(Failure::of_action(&exhausted()).exhausted);
    }

    #[test]
    fn what_could_not_be_undone_is_an_operator_s_unless_the_host_had_nothing_left() {
        let exhausted = Failure { exhausted: true, ..Failure::of_host("no memory") };
        for (failure, fault) in [
            (Failure::of_commit("exited with 1"), Operator),
            (Failure::of_host("the database is away"), Operator),
            (Failure::of_operator("asked for what is not there"), Operator),
            (exhausted, Host),
        ] {
            let cause = failure.cause.clone();
            let failure = failure.not_undone(&["switch: timed out".into(), "build: exited with 2".into()]);
            assert_eq!(failure.fault, fault, "{failure:?}");
            let expected = format!("{cause}; undoing it failed too: switch: timed out; build: exited with 2");
            assert_eq!(failure.cause, expected);
        }
    }
}
