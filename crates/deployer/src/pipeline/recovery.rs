//! What a crash left behind: every run that the database says is running, although nobody runs it, is finished or undone.
//!
//! Called by whoever holds the deployment's lock, before anything else is done to it: the lock is the proof that nobody runs
//! it. A run that was left open for a self-update is no crash's: the replacement completes it, any other process rolls it back.
//! A step that started and did not end is unknown, and undone like one that ended. A run of which every step up
//! to the checks succeeded is finished instead: its release is live and healthy, only the database did not hear of it.
//!
//! A plan that cannot be read is not "no plan": what such a run has changed is unknown ([`RunState::Unknown`]). Nothing of it is undone and
//! nothing is done on top of it, until an operator gives the run up (`cancel`), or a program that can read the plan works on it.
//!
//! Nothing is carried out because the database says so alone. A run that this deployer did not begin, that has ended already, or that
//! somebody else has changed, with its plan or its steps, ends with a sentence, and nothing else happens.

use super::outcome::{self, Outcome};
use super::run::{Failure, Run};
use crate::base::clock;
use crate::config::{Deployment, Phase};
use crate::pipeline::context::{Host, HostedDeployment};
use crate::pipeline::unknown;
use crate::plan::{Plan, UnreadablePlan, recipes};
use crate::process::executor::RUN_MARK;
use crate::process::step_user;
use crate::run_log::RunLogWriter;
use crate::steps::self_update::{self, Pending};
use crate::store::{self, Direction, ReleaseState, RunState, StepEnd, StepState};
use anyhow::Result;
use std::sync::{Arc, Mutex, Once};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The deployment is not worked on: a run was interrupted, and nobody knows what it has left behind.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct LiveIsUnknown(pub String);

/// Finishes or undoes what is found.
///
/// # Errors
///
/// [`LiveIsUnknown`] where only an operator can say what is live; any other error is the database's. Nothing else may be done to the
/// deployment then.
pub async fn recover(hosted: HostedDeployment<'_>) -> Result<()> {
    let HostedDeployment { host, deployment } = hosted;

    let state_directory = &host.config.state_directory;
    let pending =
        self_update::pending(state_directory)?.filter(|found| found.deployment == deployment.slug.as_str());
    let mut unknown = None;
    for found in host.store.unfinished_runs(Some(deployment.slug.as_str())).await? {
        let recorded = host.store.steps(&found.id).await?;
        if !(host.store.is_open_and_ours(&found)? && host.store.are_our_steps(&recorded)?) {
            tracing::error!(deployment = %deployment.slug, run = found.id, "{}", outcome::TAMPERED);
            outcome::end_run(hosted, &found.id, &Outcome::tampered(outcome::TAMPERED)).await?;
            continue;
        }
        let pending_of_run = pending.as_ref().filter(|pending| pending.run == found.id);
        if let Some(pending) = pending_of_run
            && host.this_process.is(&pending.program)
            && pending.refused.is_none()
        {
            complete(hosted, &found, &recorded).await?;
            continue;
        }
        let plan = match found.plan.as_deref().map(Plan::read).transpose() {
            Ok(plan) => plan,
            Err(unreadable) => {
                unknown = unknown.or(without_plan(hosted, &found, &recorded, &unreadable).await?);
                continue;
            }
        };
        if let Some(cause) = pending_of_run.and_then(|pending| pending.refused.as_ref()) {
            refuse(hosted, &found, plan.as_ref(), &recorded, cause).await?;
            continue;
        }
        tracing::warn!(deployment = %deployment.slug, run = found.id, "a crash interrupted this run");
        // The supervisor process ends a run's processes with the daemon; this is for the case that the supervisor process was killed as well.
        end_processes(&of_plan(deployment, plan.as_ref()), &found.id).await?;
        crate::failpoint!("recovery-begun");
        recover_run(hosted, &found, plan.as_ref(), &recorded).await?;
        crate::failpoint!("recovery-ended");
    }
    if let Some(unknown) = unknown {
        return Err(unknown.into());
    }
    host.store.no_run_is_open(deployment.slug.as_str()).await?;
    if pending.is_some() {
        Pending::forget(state_directory)?;
    }
    Ok(())
}

/// A run whose plan cannot be read: what it has changed is unknown, so nothing of it is undone and nothing is done on top of it. Gives what
/// an operator is asked; nothing where one has given the run up.
async fn without_plan(
    hosted: HostedDeployment<'_>,
    found: &store::Run,
    recorded: &[store::Step],
    unreadable: &UnreadablePlan,
) -> Result<Option<LiveIsUnknown>> {
    let HostedDeployment { host, deployment } = hosted;

    let request = host.cancel_request(&found.id);
    if found.state == RunState::Unknown {
        let Ok(who) = fs_err::read_to_string(&request) else {
            return Ok(Some(LiveIsUnknown(found.cause.clone().unwrap_or_default())));
        };
        tracing::warn!(deployment = %deployment.slug, run = found.id, who, "an operator gives this run up: nothing of it is undone");
        // What the database calls live need not be. It says so again when a run has succeeded.
        run_of(hosted, found, None, recorded).doubt_what_is_live().await;
        let cause =
            format!("given up by {}; nothing of it was undone, since its plan cannot be read", who.trim());
        end(hosted, found, &Outcome::new(RunState::Cancelled, cause)).await?;
        let _ = fs_err::remove_file(&request);
        return Ok(None);
    }
    // Nothing of it may go on, whatever it was.
    end_processes(deployment, &found.id).await?;
    crate::failpoint!("recovery-begun");
    // Whoever wanted to cancel it before knew nothing of this.
    let _ = fs_err::remove_file(&request);
    close(host, found, recorded, StepState::Unknown, Some("the deployer died")).await?;
    let steps = host.store.steps(&found.id).await?;
    let releases = host.store.releases(deployment.slug.as_str()).await?;
    let question = unknown::question(found, &steps, &releases, unreadable);
    outcome::is_unknown(hosted, found, &question).await?;
    crate::failpoint!("recovery-ended");
    Ok(Some(LiveIsUnknown(question)))
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

/// This is the replacement that the run started: what follows is done, and the run has succeeded.
async fn complete(hosted: HostedDeployment<'_>, found: &store::Run, recorded: &[store::Step]) -> Result<()> {
    let HostedDeployment { host, deployment } = hosted;

    let (hand_over, others): (Vec<_>, Vec<_>) =
        recorded.iter().cloned().partition(|step| step.name == recipes::SELF_UPDATE);
    close(host, found, &hand_over, StepState::Succeeded, None).await?;
    close(host, found, &others, StepState::Unknown, Some("the deployer died")).await?;
    // That this process runs is the proof that its release is live, whatever can be read of the plan.
    let warnings = match found.plan.as_deref().map(Plan::read) {
        Some(Ok(plan)) => {
            let begun = Begun::of(recorded);
            let rest: Vec<usize> =
                (0..plan.steps.len()).filter(|index| begun.state_of(*index).is_none()).collect();
            let mut run = run_of(hosted, found, Some(&plan), recorded);
            run.note(run.next_step, format!("process {} has taken over", std::process::id()));
            run.carry_on(&plan, &rest).await
        }
        Some(Err(unreadable)) => {
            vec![format!(
                "what was to follow the self-update was not done: its plan cannot be read: {unreadable}"
            )]
        }
        None => Vec::new(),
    };
    let mut outcome = Outcome::new(RunState::Succeeded, "");
    outcome.summary = (!warnings.is_empty()).then(|| format!("live, but: {}", warnings.join("; ")));
    tracing::info!(deployment = %deployment.slug, run = found.id, "the self-update is complete");
    end(hosted, found, &outcome).await
}

/// The new program did not take over: the run has failed, and is undone.
async fn refuse(
    hosted: HostedDeployment<'_>,
    found: &store::Run,
    plan: Option<&Plan>,
    recorded: &[store::Step],
    cause: &str,
) -> Result<()> {
    let HostedDeployment { host, deployment } = hosted;

    close(host, found, recorded, StepState::Failed, Some(cause)).await?;
    let mut failure = Failure::of_commit(cause);
    if let Some(plan) = plan {
        let started = Begun::of(recorded).started(plan);
        let mut run = run_of(hosted, found, Some(plan), recorded);
        failure = run.take_back(plan, &started, failure).await;
    }
    tracing::warn!(deployment = %deployment.slug, run = found.id, cause, "the old deployer serves on");
    let mut outcome = Outcome::of_failure(failure);
    outcome.summary = Some("the deployer that was running before serves on".into());
    end(hosted, found, &outcome).await
}

async fn recover_run(
    hosted: HostedDeployment<'_>,
    found: &store::Run,
    plan: Option<&Plan>,
    recorded: &[store::Step],
) -> Result<()> {
    let HostedDeployment { host, .. } = hosted;

    close(host, found, recorded, StepState::Unknown, Some("the deployer died")).await?;
    let interrupted = |cause: &str| Outcome::new(RunState::Interrupted, cause);
    let Some(plan) = plan else {
        let cause = "the deployer died before anything was changed";
        return end(hosted, found, &interrupted(cause)).await;
    };
    let begun = Begun::of(recorded);
    let must_hold: Vec<usize> =
        (0..plan.steps.len()).filter(|index| plan.steps[*index].phase < Phase::Clean).collect();
    let went_back = recorded.iter().any(|step| step.direction == Direction::Undo);
    let complete =
        !went_back && must_hold.iter().all(|index| begun.state_of(*index) == Some(StepState::Succeeded));
    if complete {
        return end(hosted, found, &Outcome::new(RunState::Succeeded, "")).await;
    }
    let started = begun.started(plan);
    let mut run = run_of(hosted, found, Some(plan), recorded);
    crate::failpoint!("recovery-steps-closed");
    let unfinished = run.undo(plan, &started).await;
    crate::failpoint!("recovery-taken-back");
    let outcome = if unfinished.is_empty() {
        interrupted("the deployer died during this run; it was rolled back")
    } else {
        let unfinished = unfinished.join("; ");
        interrupted(&format!("the deployer died during this run; undoing it failed: {unfinished}"))
    };
    end(hosted, found, &outcome).await
}

/// Which steps of a plan had been begun.
struct Begun<'a>(&'a [store::Step]);

impl<'a> Begun<'a> {
    fn of(recorded: &'a [store::Step]) -> Self {
        Self(recorded)
    }

    fn state_of(&self, index: usize) -> Option<StepState> {
        let index = i64::try_from(index).ok()?;
        let is_it = |step: &&store::Step| step.direction == Direction::Do && step.plan_index == Some(index);
        self.0.iter().find(is_it).map(|step| step.state)
    }

    /// Their indices in the plan, in order.
    fn started(&self, plan: &Plan) -> Vec<usize> {
        (0..plan.steps.len()).filter(|index| self.state_of(*index).is_some()).collect()
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
fn of_plan(deployment: &Deployment, plan: Option<&Plan>) -> Deployment {
    let planned = plan.and_then(|plan| plan.user.clone());
    Deployment { user: planned.or_else(|| deployment.user.clone()), ..deployment.clone() }
}

/// The run, to be gone on with.
fn run_of(
    hosted: HostedDeployment<'_>,
    found: &store::Run,
    plan: Option<&Plan>,
    recorded: &[store::Step],
) -> Run {
    let HostedDeployment { host, deployment } = hosted;

    Run {
        host: host.clone(),
        deployment: of_plan(deployment, plan),
        id: found.id.clone(),
        mirror: host.mirror(deployment),
        log: Arc::new(Mutex::new(RunLogWriter::open(&host.logs(), &found.id))),
        cancel: CancellationToken::new(),
        ends_at: Instant::now() + deployment.timeout,
        next_step: recorded.iter().map(|step| step.number).max().unwrap_or(0) + 1,
        shortcoming_told: Once::new(),
    }
}

async fn end(hosted: HostedDeployment<'_>, found: &store::Run, outcome: &Outcome) -> Result<()> {
    let HostedDeployment { host, deployment } = hosted;

    if let Some(release) = &found.release {
        match outcome.state {
            RunState::Succeeded => {
                match host.store.set_live(deployment.slug.as_str(), release, clock::now_ms()).await {
                    Err(error) if error.is_tampering() => {
                        tracing::error!(run = found.id, %error, "{}", outcome::RELEASE_TAMPERED);
                        let outcome = Outcome::tampered(outcome::RELEASE_TAMPERED);
                        return Ok(outcome::end_run(hosted, &found.id, &outcome).await?);
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
    Ok(outcome::end_run(hosted, &found.id, outcome).await?)
}
