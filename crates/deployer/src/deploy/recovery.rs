//! What a crash left behind: every run that the record says is running, although nobody runs it, is finished or taken back.
//!
//! Called by whoever holds the deployment's lock, before anything else is done to it: the lock is the proof that nobody runs
//! it. A step that started and did not end is unknown, and taken back like one that ended. A run of which every step up
//! to the checks succeeded is finished instead: its release is live and healthy, only the record did not hear of it.

use super::Host;
use super::execute::RUN_MARK;
use super::outcome::{self, Outcome};
use super::plan::{Plan, Step};
use super::run::Run;
use crate::clock;
use crate::config::{Deployment, Phase};
use crate::record::run_log::RunLogWriter;
use crate::record::store::{self, Direction, ReleaseState, RunState, RunTrigger, StepEnd, StepState};
use anyhow::Result;
use std::sync::{Arc, Mutex};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Finishes or takes back what is found. An error is the record's: nothing else may be done to the deployment then.
pub async fn recover(host: &Host, deployment: &Deployment) -> Result<()> {
    for found in host.store.unfinished_runs(Some(deployment.slug.as_str())).await? {
        tracing::warn!(deployment = %deployment.slug, run = found.id, "a crash interrupted this run");
        // The leash ends a run's processes with the daemon; this is for the case that the leash was killed as well.
        let id = found.id.clone();
        let killed = tokio::task::spawn_blocking(move || supervise::kill_marked(RUN_MARK, &id)).await??;
        if killed > 0 {
            tracing::warn!(run = found.id, killed, "ended processes that had outlived their run");
        }
        crate::crash_point!("recovery-begun");
        recover_run(host, deployment, &found).await?;
        crate::crash_point!("recovery-ended");
    }
    Ok(())
}

async fn recover_run(host: &Host, deployment: &Deployment, found: &store::Run) -> Result<()> {
    let plan: Option<Plan> = found.plan.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let recorded = host.store.steps(&found.id).await?;
    for step in recorded.iter().filter(|step| step.state == StepState::Started) {
        let end = StepEnd {
            run_id: &found.id,
            number: step.number,
            direction: step.direction,
            state: StepState::Unknown,
            detail: None,
            cause: Some("the deployer died"),
            ended_at_ms: clock::now_ms(),
        };
        host.store.step_ended(&end).await?;
    }
    let Some(plan) = plan else {
        return end(
            host,
            deployment,
            found,
            RunState::Undone,
            "the deployer died before anything was changed",
        )
        .await;
    };
    // Step 1 is the fetch; the plan's steps follow it, if nothing has been taken back yet.
    let forward: Vec<&store::Step> = recorded.iter().filter(|step| step.direction == Direction::Do).collect();
    let first = u32::from(found.trigger != RunTrigger::Rollback);
    let state_of = |index: usize| {
        let number = first + 1 + u32::try_from(index).unwrap_or(u32::MAX / 2);
        forward.iter().find(|step| step.number == number).map(|step| step.state)
    };
    let must_hold: Vec<usize> =
        (0..plan.steps.len()).filter(|index| plan.steps[*index].phase < Phase::Clean).collect();
    let went_back = recorded.iter().any(|step| step.direction == Direction::Undo);
    let complete = !went_back && must_hold.iter().all(|index| state_of(*index) == Some(StepState::Succeeded));
    if complete {
        return end(host, deployment, found, RunState::Succeeded, "").await;
    }
    let started: Vec<&Step> = plan
        .steps
        .iter()
        .enumerate()
        .filter(|(index, _)| state_of(*index).is_some())
        .map(|(_, step)| step)
        .collect();
    let mut run = Run {
        host: host.clone(),
        deployment: deployment.clone(),
        id: found.id.clone(),
        mirror: host.mirror(deployment),
        log: Arc::new(Mutex::new(RunLogWriter::open(&host.logs(), &found.id))),
        cancel: CancellationToken::new(),
        ends_at: Instant::now() + deployment.timeout,
        next_step: recorded.iter().map(|step| step.number).max().unwrap_or(0) + 1,
    };
    crate::crash_point!("recovery-steps-closed");
    let unfinished = run.undo(&plan, &started).await;
    crate::crash_point!("recovery-taken-back");
    if unfinished.is_empty() {
        end(host, deployment, found, RunState::Undone, "the deployer died during this run; it was taken back")
            .await
    } else {
        let cause =
            format!("the deployer died during this run; taking it back failed: {}", unfinished.join("; "));
        end(host, deployment, found, RunState::Undone, &cause).await
    }
}

async fn end(
    host: &Host,
    deployment: &Deployment,
    found: &store::Run,
    state: RunState,
    cause: &str,
) -> Result<()> {
    let outcome = Outcome::new(state, cause);
    if let Some(release) = &found.release {
        match state {
            RunState::Succeeded => {
                host.store.set_live(deployment.slug.as_str(), release, clock::now_ms()).await?;
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
    crate::crash_point!("recovery-release-known");
    Ok(outcome::end_run(host, deployment, &found.id, &outcome).await?)
}
