//! Short forms of ids: what is shown where space is short, and what a person may type instead of a whole id.
//!
//! A run's id begins with the time, so all runs of a day begin alike: its short form is what stands behind that. A delivery's GUID and a
//! commit's id are shortened at their end. Every short form that is shown is accepted wherever such an id is asked for, and so is the
//! beginning of the whole id. One that fits several is never guessed: the candidates are listed.

use super::session::Session;
use crate::base::clock::{ago, now_ms};
use crate::base::names::{CommitId, Slug, nearest};
use crate::base::short_ids::{DIGITS_MIN, Short, may_mean};
use crate::config::Deployment;
use crate::steps::release;
use crate::store::{Delivery, DeliveryFilter, Release, ReleaseState, Run, RunFilter, RunMatch};
use crate::terminal::failed::Failed;
use anyhow::anyhow;
use spool::EntryName;
use std::collections::HashSet;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Candidates and suggestions that are listed.
const LISTED_MAX: usize = 5;

/// Everything that is kept: the old is pruned.
const ALL: u32 = u32::MAX;

/// The short forms of runs, among all that are recorded.
pub async fn short_runs(session: &Session) -> Result<Short, Failed> {
    let runs = session.store().runs(ALL, RunFilter::default()).await?;
    Ok(Short::among(runs.iter().map(|run| run.id.as_str()), true))
}

/// The short forms of deliveries, among those that are recorded.
pub async fn short_deliveries(session: &Session) -> Result<Short, Failed> {
    let deliveries = session.store().deliveries(ALL, DeliveryFilter::default()).await?;
    Ok(Short::among(deliveries.iter().map(|delivery| &*delivery.id), false))
}

fn ambiguous(kind: &str, typed: &str, mut candidates: Vec<String>) -> Failed {
    let more = candidates.len().saturating_sub(LISTED_MAX);
    candidates.truncate(LISTED_MAX);
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    Failed::not_found(format!("{typed:?} may be one of several {kind}"))
        .hint(format!("type more of it: {}{more}", candidates.join("; ")))
}

/// A run by its id, the beginning of it, or its short form.
pub async fn run(session: &Session, typed: &str) -> Result<Run, Failed> {
    match session.store().find_run(typed).await? {
        RunMatch::One(run) => return Ok(*run),
        RunMatch::None | RunMatch::Several(_) => {}
    }
    let all = session.store().runs(ALL, RunFilter::default()).await?;
    let mut meant: Vec<&Run> = all.iter().filter(|run| may_mean(&run.id, typed, true)).collect();
    match meant.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(no_run(session, typed, &all).await?),
        several => {
            let short = Short::among(all.iter().map(|run| run.id.as_str()), true);
            meant = several.to_vec();
            let shown = meant.iter().map(|run| described(run, &short)).collect();
            Err(ambiguous("runs", typed, shown))
        }
    }
}

fn described(run: &Run, short: &Short) -> String {
    let (id, at) = (short.of(&run.id), ago(now_ms() - run.created_at_ms));
    format!("{id} ({}, {}, {at})", run.deployment, run.state)
}

/// Says what it is instead, where it is something else, or what is like it.
async fn no_run(session: &Session, typed: &str, all: &[Run]) -> Result<Failed, Failed> {
    let short = Short::among(all.iter().map(|run| run.id.as_str()), true);
    if let Some(delivery) = deliveries_meant(session, typed).await?.pop() {
        let verdicts = session.store().verdicts(&delivery.id).await?;
        let runs: Vec<String> =
            verdicts.iter().filter_map(|verdict| verdict.run_id.as_deref()).map(|id| short.of(id)).collect();
        let its = match runs.as_slice() {
            [] => "it has made no run".to_owned(),
            runs => format!("its run: `durhack-deployer run {}`", runs.join("`, `durhack-deployer run ")),
        };
        return Ok(Failed::not_found(format!("{typed:?} is a delivery, not a run"))
            .hint(format!("`durhack-deployer explain {}` says what became of it; {its}", delivery.id)));
    }
    let failed = Failed::not_found(format!("there is no run {typed:?}"));
    let of_commit = all.iter().find(|run| {
        typed.len() >= DIGITS_MIN && run.commit_id.as_deref().is_some_and(|commit| commit.starts_with(typed))
    });
    if let Some(run) = of_commit {
        return Ok(failed.hint(format!("it is a commit; its newest run is {}", described(run, &short))));
    }
    let ids: Vec<String> = all.iter().map(|run| short.of(&run.id)).collect();
    let slugs = session.config().deployments.keys().map(Slug::as_str);
    let known = ids.iter().map(String::as_str).chain(slugs);
    Ok(failed.hint(match nearest(typed, known) {
        Some(nearest) => format!("did you mean {nearest}? `durhack-deployer runs` lists them"),
        None => "`durhack-deployer runs` lists them".to_owned(),
    }))
}

async fn deliveries_meant(session: &Session, typed: &str) -> Result<Vec<Delivery>, Failed> {
    if typed.chars().filter(char::is_ascii_hexdigit).count() < 4 {
        return Ok(Vec::new());
    }
    if let Some(one) = session.store().delivery(&typed.to_ascii_lowercase()).await? {
        return Ok(vec![one]);
    }
    let mut all = session.store().deliveries(ALL, DeliveryFilter::default()).await?;
    all.retain(|delivery| may_mean(&delivery.id, typed, false));
    Ok(all)
}

/// The newest run of a deployment, or a run by its id.
pub async fn run_of(session: &Session, what: &str) -> Result<Run, Failed> {
    let slug = Slug::parse(what).ok().filter(|slug| session.config().deployments.contains_key(slug));
    let Some(slug) = slug else { return run(session, what).await };
    let found = session.store().last_run(slug.as_str()).await?;
    found.ok_or_else(|| {
        Failed::not_found(format!("{slug} has had no run yet"))
            .hint(format!("`durhack-deployer deploy {slug}` makes one"))
    })
}

/// A delivery by its GUID, the beginning of it, or the deployment that it was the newest of.
pub async fn delivery(session: &Session, typed: &str) -> Result<Delivery, Failed> {
    let slug = Slug::parse(typed).ok().filter(|slug| session.config().deployments.contains_key(slug));
    if let Some(slug) = slug {
        let filter = DeliveryFilter { deployment: Some(slug.as_str()), ..DeliveryFilter::default() };
        return session.store().deliveries(1, filter).await?.pop().ok_or_else(|| {
            Failed::not_found(format!("no delivery for {slug} has been dispatched yet"))
                .hint(format!("`durhack-deployer simulate push {slug}` sends one"))
        });
    }
    let mut meant = deliveries_meant(session, typed).await?;
    if let (Some(only), true) = (meant.pop(), meant.is_empty()) {
        return Ok(only);
    }
    meant = deliveries_meant(session, typed).await?;
    if !meant.is_empty() {
        let shown = |delivery: &Delivery| {
            format!("{} ({}, {})", delivery.id, delivery.event, ago(now_ms() - delivery.received_at_ms))
        };
        return Err(ambiguous("deliveries", typed, meant.iter().map(shown).collect()));
    }
    let runs = session.store().runs(ALL, RunFilter::default()).await?;
    if let Some(run) = runs.iter().find(|run| typed.len() >= DIGITS_MIN && may_mean(&run.id, typed, true)) {
        let of = run.delivery_id.as_deref();
        let its = of.map_or(String::new(), |id| format!("; its delivery: `durhack-deployer explain {id}`"));
        return Err(Failed::not_found(format!("{typed:?} is a run, not a delivery"))
            .hint(format!("`durhack-deployer run {typed}` shows it{its}")));
    }
    let all = session.store().deliveries(ALL, DeliveryFilter::default()).await?;
    let slugs = session.config().deployments.keys().map(Slug::as_str);
    let known = all.iter().map(|delivery| &*delivery.id).chain(slugs);
    let like = nearest(typed, known).map_or(String::new(), |nearest| format!("did you mean {nearest}? "));
    Err(Failed::not_found(format!("no delivery {typed:?} has been dispatched")).hint(format!(
        "{like}`durhack-deployer deliveries` lists those that were; `durhack-deployer queue` those that wait"
    )))
}

/// The release that a rollback is to go back to, by its name, the beginning of it, or that of its commit's id. Asked before anything is
/// queued: a name that was mistyped makes no run.
pub async fn release(session: &Session, deployment: &Deployment, typed: &str) -> Result<String, Failed> {
    let slug = deployment.slug.as_str();
    let mut all = session.store().releases(slug).await?;
    // A name begins with the time.
    all.sort_by(|a, b| b.name.cmp(&a.name));
    // In place there are no directories of releases; where there are, a work tree that was adopted is none of them.
    let has_directories = deployment.path.join(release::CURRENT).symlink_metadata().is_ok();
    all.retain(|found| !has_directories || deployment.path != Path::new(&found.path));
    let is_meant = |found: &&Release| {
        !typed.is_empty() && (found.name.starts_with(typed) || found.commit_id.starts_with(typed))
    };
    let could_be = |found: &&Release| matches!(found.state, ReleaseState::Good | ReleaseState::Live);
    let is_there =
        |found: &&Release| !has_directories || release::directory(deployment, &found.name).is_dir();
    let meant: Vec<&Release> = all.iter().filter(could_be).filter(is_meant).collect();
    let deleted = |found: &Release| {
        Failed::not_found(format!(
            "the release {} was deleted by hand: its directory {} is not there",
            found.name,
            release::directory(deployment, &found.name).display()
        ))
        .hint(format!("`durhack-deployer deploy {slug} --commit {}` makes it again", found.commit_id))
    };
    if let Some(exact) = meant.iter().find(|found| found.name == typed) {
        return if is_there(exact) { Ok(exact.name.clone()) } else { Err(deleted(exact)) };
    }
    let commits: HashSet<&str> = meant.iter().map(|found| found.commit_id.as_str()).collect();
    if commits.len() > 1 {
        return Err(ambiguous("releases", typed, meant.iter().map(|found| found.name.clone()).collect()));
    }
    if let Some(newest) = meant.iter().filter(|found| is_there(found)).max_by_key(|found| found.live_at_ms) {
        return Ok(newest.name.clone());
    }
    if let Some(gone) = meant.first() {
        return Err(deleted(gone));
    }
    let failed = Failed::not_found(format!("{slug} has no successful release {typed:?} to go back to"));
    if let Some(other) = all.iter().find(is_meant) {
        let why = match other.state {
            ReleaseState::Removed => "its directory was removed",
            ReleaseState::Failed => "it never served",
            _ => "it is not finished",
        };
        let again = format!("`durhack-deployer deploy {slug} --commit {}` makes it again", other.commit_id);
        return Err(failed.hint(format!("{} cannot be gone back to: {why}; {again}", other.name)));
    }
    let there: Vec<&str> =
        all.iter().filter(could_be).filter(is_there).map(|found| found.name.as_str()).collect();
    let like = nearest(typed, there.iter().copied());
    let like = like.map_or(String::new(), |nearest| format!("did you mean {nearest}? "));
    Err(match there.as_slice() {
        [] => failed.hint("none of its releases has been live before"),
        there => {
            failed.hint(format!("{like}the newest are {}", there[..there.len().min(LISTED_MAX)].join(", ")))
        }
    })
}

/// A commit by its whole id, or by the beginning of it as the mirror knows it once the branch was fetched.
pub async fn commit(session: &Session, deployment: &Deployment, typed: &str) -> Result<CommitId, Failed> {
    let malformed = match CommitId::parse(&typed.to_ascii_lowercase()) {
        Ok(commit) => return Ok(commit),
        Err(error) => error,
    };
    let is_beginning = (4..64).contains(&typed.len()) && typed.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_beginning {
        return Err(Failed::because(malformed)
            .with_code(crate::terminal::exit::USAGE)
            .hint("write a commit's id, or its first digits (at least 4): `git rev-parse HEAD` prints one"));
    }
    let typed = typed.to_ascii_lowercase();
    let mirror = session.host.mirror(deployment);
    let never = CancellationToken::new();
    let fetched = mirror.fetch(&deployment.branch, None, deployment.step_timeout, &never).await;
    let mut meant = mirror.commits_beginning_with(&typed).await.unwrap_or_default();
    if let (Some(only), true) = (meant.pop(), meant.is_empty()) {
        return Ok(only.id);
    }
    meant = mirror.commits_beginning_with(&typed).await.unwrap_or_default();
    if meant.is_empty() {
        fetched.map_err(|error| {
            Failed::unavailable(anyhow!(error).context("cannot fetch the branch to look for the commit"))
        })?;
        return Err(Failed::not_found(format!("{} has no commit {typed:?}", deployment.branch))
            .hint("write the whole id if it is on another branch"));
    }
    let shown = meant.iter().map(|commit| {
        let first_line = commit.message.lines().next().unwrap_or_default();
        format!("{} ({first_line})", commit.id)
    });
    Err(ambiguous("commits", &typed, shown.collect()))
}

/// An entry of a spool by its name, the beginning of that, its delivery's GUID or the beginning of that, or by the deployment that it is
/// the only one of.
pub fn entry<'a>(
    entries: &'a [(String, EntryName)],
    spools: impl Iterator<Item = &'a str>,
    typed: &str,
) -> Result<EntryName, Failed> {
    if let Some((_, exact)) = entries.iter().find(|(_, name)| name.as_str() == typed) {
        return Ok(exact.clone());
    }
    let by = |is_meant: &dyn Fn(&str, &EntryName) -> bool| -> Vec<EntryName> {
        entries.iter().filter(|(spool, name)| is_meant(spool, name)).map(|(_, name)| name.clone()).collect()
    };
    let mut meant = by(&|spool, _| spool == typed);
    if meant.is_empty() && !typed.is_empty() {
        meant = by(&|_, name| name.as_str().starts_with(typed) || may_mean(name.id(), typed, false));
    }
    match meant.as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            let known = entries.iter().flat_map(|(_, name)| [name.as_str(), name.id()]).chain(spools);
            let like =
                nearest(typed, known).map_or(String::new(), |nearest| format!("did you mean {nearest}? "));
            Err(Failed::not_found(format!("no entry {typed:?} waits or is dead-lettered"))
                .hint(format!("{like}`durhack-deployer queue list` shows them")))
        }
        several => {
            Err(ambiguous("entries", typed, several.iter().map(|name| name.as_str().to_owned()).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_form_is_as_long_as_it_must_be_and_means_what_it_was_made_of() {
        let ids = [
            "019e7b1c-0a2b-7123-8456-789abcdef012",
            "019e7b1c-0a2b-7123-8456-789abcdef013",
            "019e7b1c-0a2c-7999-8456-789abcdef012",
        ];
        let few = Short::among([ids[0], ids[2]].into_iter(), true);
        assert_eq!((few.of(ids[0]), few.of(ids[2])), ("1238456".to_owned(), "9998456".to_owned()));
        let all = Short::among(ids.into_iter(), true);
        for id in ids {
            let meant: Vec<_> = ids.iter().filter(|other| may_mean(other, &all.of(id), true)).collect();
            assert_eq!(meant, [&id]);
            assert!(may_mean(id, &id[..20], true) && may_mean(id, id, true));
        }
        let guid = "0b989ba4-242f-11e5-81e1-c7b6966d2516";
        assert_eq!(Short::among([guid].into_iter(), false).of(guid), "0b989ba");
        assert!(may_mean(guid, "0B989BA4-24", false));
        assert!(!may_mean(guid, "1b", false));
    }
}
