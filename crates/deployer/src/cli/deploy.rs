//! `deploy`, `rollback`, `cancel`, `plan`: what an operator asks of one deployment.
//!
//! A request is an entry in the deployment's spool like any push; a running daemon takes it up. Where none runs, this process
//! does the same work itself, under the same lock. So both ways are one, and never at the same time.

use super::session::Session;
use super::{CancelArguments, DeployArguments, PlanArguments, RollbackArguments, follow, ids, waiting};
use crate::admin::owner;
use crate::base::names::{CommitId, DeliveryId, Slug};
use crate::base::words::{cause_and_hint, counted};
use crate::config::{Deployment, Queue};
use crate::daemon;
use crate::pipeline::observe::Observer;
use crate::pipeline::preview::{self, Preview};
use crate::pipeline::recovery::{LiveIsUnknown, recover};
use crate::pipeline::unknown;
use crate::pipeline::worker::Worker;
use crate::process::{claim, lock};
use crate::queue::job::{JobKind, JobOptions, operator_job};
use crate::queue::recorded::verdict;
use crate::run_log::rendering::plain;
use crate::store::{Run, RunState, VerdictCode};
use crate::terminal::failed::Failed;
use crate::terminal::output;
use crate::terminal::progress::ProgressLine;
use crate::terminal::style::{BOLD, DIM};
use anyhow::{Context, anyhow};
use spool::{EntryName, Spool};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// How often the database is looked at for a run to begin or end.
const POLL: Duration = Duration::from_millis(100);

pub async fn deploy(session: &Session, arguments: &DeployArguments) -> Result<(), Failed> {
    session.warn_of_unread();
    let deployment = session.deployment(&arguments.slug)?;
    let commit = named_commit(session, deployment, arguments.commit.as_deref()).await?;
    let options = JobOptions { commit, force: arguments.force, ..JobOptions::default() };
    ask(session, deployment, JobKind::Deploy, &options, arguments.no_wait).await
}

pub async fn rollback(session: &Session, arguments: &RollbackArguments) -> Result<(), Failed> {
    session.warn_of_unread();
    let deployment = session.deployment(&arguments.slug)?;
    let release = match &arguments.to {
        Some(typed) => Some(ids::release(session, deployment, typed).await?),
        None => None,
    };
    let options = JobOptions { release, ..JobOptions::default() };
    ask(session, deployment, JobKind::Rollback, &options, arguments.no_wait).await
}

async fn named_commit(
    session: &Session,
    deployment: &Deployment,
    typed: Option<&str>,
) -> Result<Option<CommitId>, Failed> {
    match typed {
        Some(typed) => Ok(Some(ids::commit(session, deployment, typed).await?)),
        None => Ok(None),
    }
}

/// Queues a job, and waits for its end unless told not to.
pub async fn ask(
    session: &Session,
    deployment: &Deployment,
    kind: JobKind,
    options: &JobOptions,
    no_wait: bool,
) -> Result<(), Failed> {
    let state_directory = &session.config().state_directory;
    let spool = daemon::open_spool(session.config(), deployment.slug.as_str())?;
    let alone = !daemon::is_working(state_directory)? || is_unattended(session, deployment, &spool)?;
    if no_wait && alone {
        return Err(Failed::unavailable(anyhow!("no daemon is running that could do it"))
            .hint(format!("leave --no-wait away, or start the service: {}", owner::how_to_start())));
    }
    if !deployment.enabled && !alone {
        return Err(Failed::because(anyhow!("{} is disabled in the configuration", deployment.slug))
            .hint("set `enabled = true`, and restart the daemon"));
    }
    if alone && let Some(holder) = claim::holder(deployment) {
        return Err(anyhow::Error::from(holder).into());
    }
    let unfinished = session.store().unfinished_runs(Some(deployment.slug.as_str())).await?;
    if let Some(run) = unknown::of_runs(&unfinished) {
        return Err(is_unknown(run.cause.as_deref().unwrap_or_default()));
    }
    let who = session.operator();
    let (header, bytes) = operator_job(kind, who, options);
    let appended = spool.append(header.id.as_str(), &[&bytes]).context("cannot queue the request")?;
    let asked = DeployRequest { deployment, id: header.id.clone(), entry: appended.name().clone() };
    if no_wait {
        print_line!("queued as {}; `durhack-deployer explain {0}` says what became of it", header.id);
        return Ok(());
    }
    let run = if alone {
        Box::pin(do_it_here(session, spool, &asked)).await?
    } else {
        print_line!("queued; the running daemon does it (Ctrl-C stops watching, not the run)");
        watch(session, &asked).await?
    };
    match run.state {
        RunState::Succeeded | RunState::Skipped => Ok(()),
        RunState::Waiting => Err(Failed::because(anyhow!("{} is not deployed yet", deployment.slug)).hint(format!(
            "it is deployed when nothing is left to wait for; `durhack-deployer approve {0}` approves it, `durhack-deployer unfreeze {0}` lets it through a freeze, and `durhack-deployer deploy {0} --force` waits for nothing",
            deployment.slug
        ))),
        _ => Err(Failed::silent()),
    }
}

/// Nothing is done to the deployment before an operator has said how to go on.
fn is_unknown(question: &str) -> Failed {
    let (what, hint) = cause_and_hint(question);
    let failed = Failed::because(anyhow!("{}", plain(what)));
    match hint {
        Some(hint) => failed.hint(hint),
        None => failed,
    }
}

/// Whether the worker that runs does not have this deployment, since it has errors in what is written.
fn is_unattended(session: &Session, deployment: &Deployment, spool: &Spool) -> Result<bool, Failed> {
    if !session.is_left_out(&deployment.slug) {
        return Ok(false);
    }
    Ok(spool.consumer_lock().context("cannot ask whether somebody works on it")?.is_some())
}

/// Waits for the entry's run to begin, then shows it to its end. A run that was undone is tried again: wait for that.
async fn watch(session: &Session, asked: &DeployRequest<'_>) -> Result<Run, Failed> {
    let slug = asked.deployment.slug.as_str();
    let mut shown = 0;
    let mut progress = ProgressLine::start();
    loop {
        // Asked first: a run that ends meanwhile is found below.
        let verdicts = session.store().verdicts(asked.id.as_str()).await?;
        let verdict =
            verdicts.into_iter().find(|verdict| verdict.deployment == slug && verdict.code.is_final());
        let runs = session.store().runs_for_entry(slug, asked.entry.as_str()).await?;
        if let Some(run) = runs.get(shown) {
            shown += 1;
            progress.clear();
            let run = follow::to_the_end(session.store(), &session.host.logs(), &run.id).await?;
            if run.state != RunState::Interrupted {
                return Ok(run);
            }
        } else if let Some(verdict) = verdict {
            return Err(Failed::because(anyhow!("{slug}: {}: {}", verdict.code, verdict.sentence)));
        } else {
            let unfinished = session.store().unfinished_runs(Some(slug)).await?;
            if let Some(run) = unknown::of_runs(&unfinished) {
                return Err(is_unknown(run.cause.as_deref().unwrap_or_default()));
            }
            let waits_for = waiting::for_its_turn(session, slug, &asked.entry).await?;
            let waits_for = waits_for.as_deref().unwrap_or("the run has not begun yet");
            progress.wait_for(&format!("queued: {waits_for}"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What was asked for, and the entry that says so.
struct DeployRequest<'a> {
    deployment: &'a Deployment,
    id: DeliveryId,
    entry: EntryName,
}

/// Without a daemon: this process is the worker, until the deployment's spool is empty. Ctrl-C takes the run back.
async fn do_it_here(session: &Session, spool: Spool, asked: &DeployRequest<'_>) -> Result<Run, Failed> {
    let _consumer = daemon::consume(&spool)?;
    // As the daemon does, so that no step outlives its run.
    let _ = supervise::become_subreaper();
    let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
    let worker = Worker {
        host: session.host.clone(),
        // By a configuration that is not what is written only this is done, which supersedes what waits.
        deployment: match session.broken {
            Some(_) => Deployment { queue: Queue::Latest, ..asked.deployment.clone() },
            None => asked.deployment.clone(),
        },
        spool: spool.clone(),
        stop: stop.clone(),
        abort: abort.clone(),
        look_again: Arc::default(),
        run_ended: Arc::default(),
        claim: Mutex::default(),
    };
    let work = async {
        tokio::select! {
            biased;
            result = worker.drain() => result,
            () = interrupted(&stop, &abort) => Ok(()),
        }
    };
    let shown = watch(session, asked);
    tokio::pin!(work, shown);
    let mut done = false;
    let run = loop {
        tokio::select! {
            result = &mut work, if !done => {
                if let Err(error) = result {
                    let Some(LiveIsUnknown(question)) = error.downcast_ref() else { return Err(error.into()) };
                    let failed = is_unknown(question);
                    withdraw(&spool, asked, session, "nobody knows what is live").await?;
                    return Err(failed);
                }
                done = true;
                if stop.is_cancelled() {
                    return Err(withdrawn(session, &spool, asked).await?);
                }
            }
            run = &mut shown => break run?,
        }
    };
    if !done {
        work.await?;
    }
    let mut observer = Observer::new(session.host.clone(), asked.deployment.clone(), spool);
    Box::pin(observer.look()).await;
    Ok(run)
}

/// What was asked for and interrupted must not be done by the next daemon that starts.
async fn withdrawn(session: &Session, spool: &Spool, asked: &DeployRequest<'_>) -> Result<Failed, Failed> {
    withdraw(spool, asked, session, "interrupted at the command line").await?;
    Ok(Failed::because(anyhow!("interrupted: every completed step was undone")))
}

async fn withdraw(
    spool: &Spool,
    asked: &DeployRequest<'_>,
    session: &Session,
    why: &str,
) -> Result<(), Failed> {
    spool.remove(&asked.entry).context("cannot withdraw the request")?;
    let verdict = verdict(&asked.id, Some(&asked.deployment.slug), VerdictCode::Cancelled, why);
    Ok(session.store().set_verdict(&verdict).await?)
}

/// Ctrl-C: no further work, and what is in progress is undone. Never returns: the worker ends by itself.
async fn interrupted(stop: &CancellationToken, abort: &CancellationToken) {
    let _ = tokio::signal::ctrl_c().await;
    print_error_line!("interrupted: undoing the completed steps");
    stop.cancel();
    abort.cancel();
    std::future::pending::<()>().await;
}

pub async fn cancel(session: &Session, arguments: &CancelArguments) -> Result<(), Failed> {
    let run = ids::run_of(session, &arguments.what).await?;
    if run.state.is_final() {
        return Err(nothing_to_cancel(session, &run, &arguments.what)?);
    }
    // Who is asked has read the question.
    let was_unknown = run.state == RunState::Unknown;
    let request = session.host.cancel_request(&run.id);
    fs_err::create_dir_all(request.parent().unwrap_or(&request)).context("cannot ask for it")?;
    fs_err::write(&request, session.operator()).context("cannot ask for it")?;
    match was_unknown {
        true => print_line!("giving up run {} of {}: nothing of it is undone", run.id, run.deployment),
        false => {
            print_line!(
                "cancelling run {} of {}: waiting until nothing of it is left",
                run.id,
                run.deployment
            );
        }
    }
    loop {
        // Whoever has the lock runs it. Where nobody does, a crash has left it behind.
        if let Some(deployment) =
            Slug::parse(&run.deployment).ok().and_then(|slug| session.config().deployments.get(&slug))
            && let Some(_lock) = lock::try_acquire(&session.host.locks(), &run.deployment)?
        {
            match recover(session.hosted(deployment)).await {
                // Of another run it may be, or of this one, as of now.
                Err(error) if error.is::<LiveIsUnknown>() => {}
                result => result?,
            }
        }
        let now = ids::run(session, &run.id).await?;
        if now.state == RunState::Unknown && !was_unknown {
            return Err(is_unknown(now.cause.as_deref().unwrap_or_default()));
        }
        if now.state.is_final() {
            follow::show_end(&now);
            let stopped = matches!(now.state, RunState::Cancelled | RunState::Interrupted);
            if was_unknown && stopped {
                print_line!(
                    "  next: `durhack-deployer deploy {0}`, or `durhack-deployer rollback {0} --to RELEASE`, puts a known release live",
                    now.deployment
                );
            }
            return if stopped { Ok(()) } else { Err(Failed::silent()) };
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Why a run that has ended cannot be cancelled, in words of what was named.
fn nothing_to_cancel(session: &Session, run: &Run, what: &str) -> Result<Failed, Failed> {
    if run.deployment != what {
        return Ok(Failed::because(anyhow!("run {} has {} already", run.id, run.state)));
    }
    let waiting = daemon::open_spool(session.config(), what)?.ready().map_or(0, |ready| ready.len());
    let failed = Failed::because(anyhow!("nothing of {what} is running"));
    Ok(match waiting {
        0 => failed,
        _ => failed.hint(format!(
            "{}: `durhack-deployer queue` shows what, and `queue drop` removes it",
            counted(waiting, "entry waits to be deployed", "entries wait to be deployed")
        )),
    })
}

pub async fn plan(session: &Session, arguments: &PlanArguments) -> Result<(), Failed> {
    session.warn_of_unread();
    let deployment = session.deployment(&arguments.slug)?;
    let commit = named_commit(session, deployment, arguments.commit.as_deref()).await?;
    let preview = preview::preview(session.hosted(deployment), commit.as_ref()).await?;
    if arguments.json {
        output::json(&preview);
        return Ok(());
    }
    let live = preview.live.as_ref().map_or_else(|| "nothing".to_owned(), |live| live.short().to_owned());
    print_line!(
        "{}: {live} is live; {} would be deployed ({})",
        deployment.slug,
        preview.commit.short(),
        plain(&preview.message)
    );
    for obstacle in &preview.obstacles {
        print_line!("would fail before anything is done: {}", plain(obstacle));
    }
    if let Some(reason) = &preview.nothing_to_do {
        print_line!("nothing would be done: {reason}");
        return Ok(());
    }
    for remark in &preview.remarks {
        print_line!("note: {}", plain(remark));
    }
    if let Some(held) = &preview.held {
        print_line!("not at once: {}", plain(held));
    }
    if let Some(changed) = &preview.changed_paths {
        print_line!("{}", counted(changed.len(), "changed path", "changed paths"));
    }
    show_steps(&preview);
    Ok(())
}

/// A plan's steps, each with its undo.
pub fn show_steps(preview: &Preview) {
    for (number, planned) in preview.steps.iter().enumerate() {
        let step = &planned.step;
        print_line!(
            "{:>3}  {BOLD}{:<8}{BOLD:#} {:<16} {}",
            number + 1,
            step.phase.as_str(),
            step.name,
            planned.command
        );
        for undo in &step.undo {
            print_line!("     {DIM}{:<8} undone by        {}{DIM:#}", "", undo.action.shown());
        }
    }
    for command in &preview.on_failure {
        print_line!("     {DIM}on failure: {}{DIM:#}", command.line.shown());
    }
}
