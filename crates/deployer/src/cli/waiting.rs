//! What an entry of a spool waits for: a run before it, a place among the runs, or somebody who works on it.

use super::inspect::running_step;
use super::{ids, session::Session};
use crate::base::clock::now_ms;
use crate::base::names::Slug;
use crate::base::words::{counted, step_title};
use crate::daemon;
use crate::run_log::rendering::plain;
use crate::store::{Run, RunState};
use crate::terminal::failed::Failed;
use anyhow::Context;
use spool::{EntryName, Spool};

/// Why nobody works on a spool, if so.
pub fn for_a_worker(session: &Session, name: &str, spool: &Spool) -> Result<Option<String>, Failed> {
    let config = session.config();
    let deployment = Slug::parse(name).ok().and_then(|slug| config.deployments.get(&slug));
    let is_left_out = deployment.is_some_and(|deployment| session.is_left_out(&deployment.slug));
    // A command, where no daemon does: it has the lock of the deployment's spool. That of `main` is not asked for: a daemon that starts just
    // then would not wait for it.
    let is_command_working = || -> Result<bool, Failed> {
        let lock = deployment.map(|_| spool.consumer_lock()).transpose();
        Ok(deployment.is_some()
            && lock.context("cannot ask whether somebody works on it")?.flatten().is_none())
    };
    let is_daemon_working = daemon::is_working(&config.state_directory)?;
    if (!is_daemon_working || is_left_out) && is_command_working()? {
        return Ok(None);
    }
    Ok(match deployment {
        _ if !is_daemon_working => Some("waits for a daemon: none deploys now".to_owned()),
        Some(_) if is_left_out => Some(format!("waits for the configuration of {name} to have no errors")),
        Some(deployment) if !deployment.enabled => {
            Some(format!("waits for {name} to be enabled in the configuration"))
        }
        _ => None,
    })
}

/// What an entry of a deployment's spool waits for that somebody works on; `None` where its turn has come, and its run begins.
pub async fn for_its_turn(
    session: &Session,
    slug: &str,
    entry: &EntryName,
) -> Result<Option<String>, Failed> {
    let mut running = session.store().unfinished_runs(None).await?;
    running.retain(|run| run.started_at_ms.is_some());
    if let Some(run) = running.iter().find(|run| run.deployment == slug) {
        if run.state == RunState::Unknown {
            let id = ids::short_runs(session).await?.of(&run.id);
            return Ok(Some(format!("waits for an operator: what is live is unknown since run {id}")));
        }
        let verb = if run.entry == entry.as_str() { "is carried out by" } else { "waits for" };
        return Ok(Some(format!("{verb} {}", run_and_step(session, run).await?)));
    }
    // What waits for an operator takes no place.
    running.retain(|run| run.state != RunState::Unknown);
    // A run of an entry begins when it has a place, however long it has been claimed.
    let going_on = counted(running.len(), "run goes on", "runs go on");
    let is_full = running.len() >= session.config().runs.parallel_max;
    Ok(is_full.then(|| format!("waits for a place: {going_on}, and `runs.parallel` allows no more at once")))
}

/// A run by its short id, and where it is.
async fn run_and_step(session: &Session, run: &Run) -> Result<String, Failed> {
    let id = ids::short_runs(session).await?.of(&run.id);
    let steps = session.store().steps(&run.id).await?;
    Ok(match running_step(run, &steps) {
        Some(step) => {
            let seconds = (now_ms() - step.started_at_ms).max(0) / 1000;
            format!("run {id} ({}, {seconds} s)", plain(&step_title(&step.phase, &step.name)))
        }
        None => format!("run {id}"),
    })
}
