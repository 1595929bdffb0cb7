//! `approve` and `unfreeze`: an operator's answers to what a commit waits for.
//!
//! The answer is recorded first and holds whatever becomes of this process; then the commit is asked for like any deploy. If the
//! branch has moved on by the time of the run, the run is about the new head, which the answer does not speak of.

use super::deploy::ask;
use super::session::Session;
use super::{ApproveArguments, UnfreezeArguments};
use crate::base::clock::now_ms;
use crate::config::Deployment;
use crate::pipeline::gates::Held;
use crate::queue::job::{JobKind, JobOptions};
use crate::store::{OperatorAnswer, VerdictCode};
use crate::terminal::failed::Failed;
use anyhow::anyhow;
use jiff::civil::DateTime;

pub async fn approve(session: &Session, arguments: &ApproveArguments) -> Result<(), Failed> {
    let deployment = session.deployment(&arguments.slug)?;
    if !deployment.gates.approval {
        return Err(Failed::because(anyhow!("{} does not wait for approvals", deployment.slug))
            .hint("`approval = true` makes it do so"));
    }
    let waiting = waiting(session, deployment).await?.ok_or_else(|| nothing_waits(deployment))?;
    if let Some(named) = &arguments.commit
        && (named.len() < waiting.commit.short().len()
            || !waiting.commit.as_str().starts_with(named.as_str()))
    {
        return Err(Failed::because(anyhow!("what waits is {}, not {named}", waiting.commit))
            .hint("look at what has been pushed since, and approve that"));
    }
    answer(session, deployment, &OperatorAnswer::Approved(waiting.commit.clone())).await?;
    look_again(session, deployment, JobKind::Approve, waiting, arguments.no_wait).await
}

pub async fn unfreeze(session: &Session, arguments: &UnfreezeArguments) -> Result<(), Failed> {
    let deployment = session.deployment(&arguments.slug)?;
    if deployment.gates.freeze.windows.is_empty() {
        return Err(
            Failed::because(anyhow!("{} has no freeze", deployment.slug)).hint("`freeze = [...]` sets one")
        );
    }
    let waiting = waiting(session, deployment).await?;
    let Some(until) = &arguments.until else {
        let waiting = waiting.ok_or_else(|| nothing_waits(deployment))?;
        answer(session, deployment, &OperatorAnswer::Released(waiting.commit.clone())).await?;
        return look_again(session, deployment, JobKind::Unfreeze, waiting, arguments.no_wait).await;
    };
    let until_ms = until_ms(deployment, until)?;
    answer(session, deployment, &OperatorAnswer::FreezeLiftedUntil(until_ms)).await?;
    if until_ms <= now_ms() {
        print_line!("{}: its freezes hold again", deployment.slug);
        return Ok(());
    }
    print_line!("{}: no freeze holds until {until}", deployment.slug);
    match waiting {
        Some(waiting) => look_again(session, deployment, JobKind::Unfreeze, waiting, arguments.no_wait).await,
        None => Ok(()),
    }
}

async fn waiting(session: &Session, deployment: &Deployment) -> Result<Option<Held>, Failed> {
    let held = Held::of(session.hosted(deployment)).await?;
    Ok(held.filter(|held| held.verdict == VerdictCode::Waiting))
}

async fn answer(session: &Session, deployment: &Deployment, answer: &OperatorAnswer) -> Result<(), Failed> {
    Ok(session.store().set_answer(deployment.slug.as_str(), answer).await?)
}

async fn look_again(
    session: &Session,
    deployment: &Deployment,
    kind: JobKind,
    waiting: Held,
    no_wait: bool,
) -> Result<(), Failed> {
    let options = JobOptions { head: Some(waiting.commit), ..JobOptions::default() };
    ask(session, deployment, kind, &options, no_wait).await
}

fn nothing_waits(deployment: &Deployment) -> Failed {
    Failed::not_found(format!("nothing of {} waits", deployment.slug))
        .hint("`durhack-deployer status` says what its last run was")
}

fn until_ms(deployment: &Deployment, text: &str) -> Result<i64, Failed> {
    let wrong = || {
        Failed::because(anyhow!("{text:?} is not a time"))
            .with_code(crate::terminal::exit::USAGE)
            .hint("write for example `--until \"2026-12-23 18:00\"`")
    };
    let civil: DateTime = text.parse().map_err(|_| wrong())?;
    let zoned = civil.to_zoned(deployment.gates.freeze.zone.clone()).map_err(|_| wrong())?;
    Ok(zoned.timestamp().as_millisecond())
}
