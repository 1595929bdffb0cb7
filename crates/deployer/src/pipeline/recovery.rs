//! What a crash left behind: every run that the database says is running, although nobody runs it, is finished or undone.
//!
//! Called by whoever holds the deployment's lock, before anything else is done to it: the lock is the proof that nobody runs
//! it. A run that was left open for a self-update is no crash's: the successor completes it, anybody else takes it back.
//! A step that started and did not end is unknown, and undone like one that ended. A run of which every step up
//! to the checks succeeded is finished instead: its release is live and healthy, only the database did not hear of it.
//!
//! Nothing is carried out because the database says so alone. A run that this deployer did not begin, that has ended already, or that
//! somebody else has changed, with its plan or its steps, ends with a sentence, and nothing else happens.

use super::outcome::{self, Outcome};
use super::run::{Failure, Run};
use crate::base::clock;
use crate::config::{Deployment, Phase};
use crate::pipeline::context::Host;
use crate::plan::{Plan, Step, recipes};
use crate::process::executor::RUN_MARK;
use crate::process::step_user;
use crate::run_log::RunLogWriter;
use crate::steps::self_update::{self, Pending};
use crate::store::{self, Direction, ReleaseState, RunState, RunTrigger, StepEnd, StepState};
use anyhow::Result;
use std::sync::{Arc, Mutex, Once};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Finishes or undoes what is found. An error is the database's: nothing else may be done to the deployment then.
pub async fn recover(host: &Host, deployment: &Deployment) -> Result<()> {
    let state_directory = &host.config.state_directory;
    let pending =
        self_update::pending(state_directory)?.filter(|found| found.deployment == deployment.slug.as_str());
    for found in host.store.unfinished_runs(Some(deployment.slug.as_str())).await? {
        let recorded = host.store.steps(&found.id).await?;
        if !(host.store.is_open_and_ours(&found)? && host.store.are_our_steps(&recorded)?) {
            tracing::error!(deployment = %deployment.slug, run = found.id, "{}", outcome::TAMPERED);
            outcome::end_run(host, deployment, &found.id, &Outcome::tampered(outcome::TAMPERED)).await?;
            continue;
        }
        if let Some(pending) = pending.as_ref().filter(|pending| pending.run == found.id) {
            if host.this_process.is(&pending.program) && pending.refused.is_none() {
                complete(host, deployment, &found, &recorded).await?;
                continue;
            }
            if let Some(cause) = &pending.refused {
                refuse(host, deployment, &found, &recorded, cause).await?;
                continue;
            }
        }
        tracing::warn!(deployment = %deployment.slug, run = found.id, "a crash interrupted this run");
        // The supervisor process ends a run's processes with the daemon; this is for the case that the supervisor process was killed as well.
        end_processes(&of_plan(deployment, &found), &found.id).await?;
        crate::failpoint!("recovery-begun");
        recover_run(host, deployment, &found, &recorded).await?;
        crate::failpoint!("recovery-ended");
    }
    host.store.no_run_is_open(deployment.slug.as_str()).await?;
    if pending.is_some() {
        Pending::forget(state_directory)?;
    }
    Ok(())
}

/// Ends what is left of a run's steps.
async fn end_processes(deployment: &Deployment, run: &str) -> Result<()> {
    let id = run.to_owned();
    let mut killed = tokio::task::spawn_blocking(move || supervise::kill_marked(RUN_MARK, &id)).await??;
    if let Some(user) = &deployment.user {
        match supervise::kill_marked_by(&step_user::keeper(user), RUN_MARK, run).await {
            Ok(more) => killed += more,
            // Then none of its steps could be started either.
            Err(error) => tracing::warn!(run, %user, %error, "cannot look for processes of this user"),
        }
    }
    if killed > 0 {
        tracing::warn!(run, killed, "ended processes that had outlived their run");
    }
    Ok(())
}

/// This is the program that the run handed over to: what follows is done, and the run has succeeded.
async fn complete(
    host: &Host,
    deployment: &Deployment,
    found: &store::Run,
    recorded: &[store::Step],
) -> Result<()> {
    let (hand_over, others): (Vec<_>, Vec<_>) =
        recorded.iter().cloned().partition(|step| step.name == recipes::SELF_UPDATE);
    close(host, found, &hand_over, StepState::Succeeded, None).await?;
    close(host, found, &others, StepState::Unknown, Some("the deployer died")).await?;
    let mut warnings = Vec::new();
    if let Some(plan) = plan_of(found) {
        let begun = Begun::of(found, &plan, recorded);
        let (_, rest): (Vec<_>, Vec<_>) =
            plan.steps.iter().enumerate().partition(|(index, _)| begun.state_of(*index).is_some());
        let rest: Vec<&Step> = rest.into_iter().map(|(_, step)| step).collect();
        let mut run = run_of(host, deployment, found, recorded);
        run.note(run.next_step, format!("process {} has taken over", std::process::id()));
        warnings = run.carry_on(&plan, &rest).await;
    }
    let mut outcome = Outcome::new(RunState::Succeeded, "");
    outcome.summary = (!warnings.is_empty()).then(|| format!("live, but: {}", warnings.join("; ")));
    tracing::info!(deployment = %deployment.slug, run = found.id, "the self-update is complete");
    end(host, deployment, found, &outcome).await
}

/// The new program did not take over: the run has failed, and is undone.
async fn refuse(
    host: &Host,
    deployment: &Deployment,
    found: &store::Run,
    recorded: &[store::Step],
    cause: &str,
) -> Result<()> {
    close(host, found, recorded, StepState::Failed, Some(cause)).await?;
    let mut failure = Failure::new(cause);
    if let Some(plan) = plan_of(found) {
        let begun = Begun::of(found, &plan, recorded);
        let started = begun.started(&plan);
        let mut run = run_of(host, deployment, found, recorded);
        failure = run.take_back(&plan, &started, failure).await;
    }
    tracing::warn!(deployment = %deployment.slug, run = found.id, cause, "the old deployer serves on");
    let mut outcome = Outcome::of_failure(failure);
    outcome.summary = Some("the deployer that was running before serves on".into());
    end(host, deployment, found, &outcome).await
}

async fn recover_run(
    host: &Host,
    deployment: &Deployment,
    found: &store::Run,
    recorded: &[store::Step],
) -> Result<()> {
    close(host, found, recorded, StepState::Unknown, Some("the deployer died")).await?;
    let undone = |cause: &str| Outcome::new(RunState::Undone, cause);
    let Some(plan) = plan_of(found) else {
        return end(host, deployment, found, &undone("the deployer died before anything was changed")).await;
    };
    let begun = Begun::of(found, &plan, recorded);
    let must_hold: Vec<usize> =
        (0..plan.steps.len()).filter(|index| plan.steps[*index].phase < Phase::Clean).collect();
    let went_back = recorded.iter().any(|step| step.direction == Direction::Undo);
    let complete =
        !went_back && must_hold.iter().all(|index| begun.state_of(*index) == Some(StepState::Succeeded));
    if complete {
        return end(host, deployment, found, &Outcome::new(RunState::Succeeded, "")).await;
    }
    let started = begun.started(&plan);
    let mut run = run_of(host, deployment, found, recorded);
    crate::failpoint!("recovery-steps-closed");
    let unfinished = run.undo(&plan, &started).await;
    crate::failpoint!("recovery-taken-back");
    let outcome = if unfinished.is_empty() {
        undone("the deployer died during this run; it was rolled back")
    } else {
        let unfinished = unfinished.join("; ");
        undone(&format!("the deployer died during this run; taking it back failed: {unfinished}"))
    };
    end(host, deployment, found, &outcome).await
}

/// The plan of a run that is known to be ours.
fn plan_of(found: &store::Run) -> Option<Plan> {
    found.plan.as_deref().and_then(|text| serde_json::from_str(text).ok())
}

/// Which steps of a plan had been begun.
struct Begun<'a> {
    forward: Vec<&'a store::Step>,
    /// As many steps came before the plan's, which follow them if nothing has been undone yet.
    before: u32,
}

impl<'a> Begun<'a> {
    fn of(found: &store::Run, plan: &Plan, recorded: &'a [store::Step]) -> Self {
        let forward = recorded.iter().filter(|step| step.direction == Direction::Do).collect();
        let of_old = u32::from(found.trigger != RunTrigger::Rollback);
        Self { forward, before: plan.steps_before.unwrap_or(of_old) }
    }

    fn state_of(&self, index: usize) -> Option<StepState> {
        let number = self.before + 1 + u32::try_from(index).unwrap_or(u32::MAX / 2);
        self.forward.iter().find(|step| step.number == number).map(|step| step.state)
    }

    fn started<'p>(&self, plan: &'p Plan) -> Vec<&'p Step> {
        let steps = plan.steps.iter().enumerate();
        steps.filter(|(index, _)| self.state_of(*index).is_some()).map(|(_, step)| step).collect()
    }
}

/// Steps that began and did not end have ended so.
async fn close(
    host: &Host,
    found: &store::Run,
    recorded: &[store::Step],
    state: StepState,
    cause: Option<&str>,
) -> Result<()> {
    for step in recorded.iter().filter(|step| step.state == StepState::Started) {
        let end = StepEnd {
            run_id: &found.id,
            number: step.number,
            direction: step.direction,
            state,
            detail: None,
            cause,
            ended_at_ms: clock::now_ms(),
        };
        host.store.step_ended(&end).await?;
    }
    Ok(())
}

/// The deployment, with the user as whom the run was begun: the deployer must not run what that user has written, even if it names none by now.
fn of_plan(deployment: &Deployment, found: &store::Run) -> Deployment {
    let planned = plan_of(found).and_then(|plan| plan.user);
    Deployment { user: planned.or_else(|| deployment.user.clone()), ..deployment.clone() }
}

/// The run, to be gone on with.
fn run_of(host: &Host, deployment: &Deployment, found: &store::Run, recorded: &[store::Step]) -> Run {
    Run {
        host: host.clone(),
        deployment: of_plan(deployment, found),
        id: found.id.clone(),
        mirror: host.mirror(deployment),
        log: Arc::new(Mutex::new(RunLogWriter::open(&host.logs(), &found.id))),
        cancel: CancellationToken::new(),
        ends_at: Instant::now() + deployment.timeout,
        next_step: recorded.iter().map(|step| step.number).max().unwrap_or(0) + 1,
        shortcoming_told: Once::new(),
    }
}

async fn end(host: &Host, deployment: &Deployment, found: &store::Run, outcome: &Outcome) -> Result<()> {
    if let Some(release) = &found.release {
        match outcome.state {
            RunState::Succeeded => {
                match host.store.set_live(deployment.slug.as_str(), release, clock::now_ms()).await {
                    Err(error) if error.is_tampering() => {
                        tracing::error!(run = found.id, %error, "{}", outcome::RELEASE_TAMPERED);
                        let outcome = Outcome::tampered(outcome::RELEASE_TAMPERED);
                        return Ok(outcome::end_run(host, deployment, &found.id, &outcome).await?);
                    }
                    result => result?,
                }
            }
            // The run's release is not recorded yet if the crash came before its first step, and another run's if it is a rollback.
            _ => {
                let slug = deployment.slug.as_str();
                let known = host.store.releases(slug).await?;
                if known.iter().any(|known| known.name == *release && known.state == ReleaseState::Building) {
                    host.store.set_release_state(slug, release, ReleaseState::Failed, None).await?;
                }
            }
        }
    }
    crate::failpoint!("recovery-release-known");
    Ok(outcome::end_run(host, deployment, &found.id, outcome).await?)
}
