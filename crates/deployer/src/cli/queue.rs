//! `queue`: the spools as an operator sees them. Everything here can be done with `ls`, `mv` and `rm` as well.

use super::session::Session;
use super::{QueueArguments, QueueCommand, ids, waiting};
use crate::daemon;
use crate::terminal::failed::Failed;
use crate::terminal::output;
use crate::terminal::table::{self, Cell, Column};
use anyhow::Context;
use serde::Serialize;
use spool::{EntryName, Spool};

/// One entry, as shown.
#[derive(Debug, Serialize)]
struct ShownEntry {
    spool: String,
    entry: String,
    #[serde(skip)]
    id: String,
    state: &'static str,
    arrived_at_ms: u64,
    reason: Option<String>,
    waits_for: Option<String>,
}

pub async fn run(session: &Session, arguments: &QueueArguments) -> Result<(), Failed> {
    let spools = spools(session)?;
    match &arguments.command {
        None | Some(QueueCommand::List) => list(session, &spools, arguments.json).await,
        Some(QueueCommand::Retry { entry }) => {
            let (name, spool) = find(&spools, entry, true)?;
            spool.retry_bad(&name).context("cannot put it back")?;
            print_line!("{name} is back in its queue");
            Ok(())
        }
        Some(QueueCommand::Drop { entry }) => {
            let (name, spool) = find(&spools, entry, false)?;
            spool.remove(&name).context("cannot remove it")?;
            print_line!("{name} is gone");
            Ok(())
        }
    }
}

fn spools(session: &Session) -> Result<Vec<(String, Spool)>, Failed> {
    let config = session.config();
    let names = std::iter::once("main").chain(config.deployments.keys().map(|slug| slug.as_str()));
    names.map(|name| Ok((name.to_owned(), daemon::open_spool(config, name)?))).collect()
}

/// The spool that has an entry of this name, waiting or dead-lettered.
fn find<'a>(
    spools: &'a [(String, Spool)],
    entry: &str,
    is_retry: bool,
) -> Result<(EntryName, &'a Spool), Failed> {
    let (mut all, mut owners) = (Vec::new(), Vec::new());
    for (spool_name, spool) in spools {
        let waiting = spool.ready().context("cannot read a spool")?.into_iter();
        let bad = spool.bad().context("cannot read a spool")?.into_iter().map(|bad| bad.name);
        // Only what was dead-lettered can be restored.
        let waiting: Vec<EntryName> = if is_retry { Vec::new() } else { waiting.collect() };
        for name in waiting.into_iter().chain(bad) {
            all.push((spool_name.clone(), name));
            owners.push(spool);
        }
    }
    let found = ids::entry(&all, spools.iter().map(|(name, _)| name.as_str()), entry)?;
    let owner = all.iter().zip(owners).find(|((_, name), _)| *name == found);
    let (_, spool) = owner.context("an entry that was found is one of these")?;
    Ok((found, spool))
}

async fn list(session: &Session, spools: &[(String, Spool)], as_json: bool) -> Result<(), Failed> {
    let mut all = Vec::new();
    for (spool_name, spool) in spools {
        let claimed = spool.claimed().context("cannot read a spool")?;
        let ready = spool.ready().context("cannot read a spool")?;
        let is_idle = claimed.is_empty() && ready.is_empty();
        let for_a_worker = match is_idle {
            true => None,
            false => waiting::for_a_worker(session, spool_name, spool)?,
        };
        let states =
            claimed.iter().map(|name| (name, "claimed")).chain(ready.iter().map(|name| (name, "waiting")));
        for (name, state) in states {
            let waits_for = match (&for_a_worker, spool_name.as_str()) {
                (None, "main") => None,
                (None, slug) => waiting::for_its_turn(session, slug, name).await?,
                (Some(_), _) => for_a_worker.clone(),
            };
            all.push(ShownEntry { waits_for, ..shown(spool_name, name, state) });
        }
        for bad in spool.bad().context("cannot read a spool")? {
            all.push(ShownEntry { reason: bad.reason, ..shown(spool_name, &bad.name, "bad") });
        }
    }
    if as_json {
        output::json(&all);
        return Ok(());
    }
    if all.is_empty() {
        print_line!("nothing waits");
        return Ok(());
    }
    const COLUMNS: [Column; 5] = [
        Column::new("SPOOL"),
        Column::new("ENTRY"),
        Column::new("STATE").state(),
        Column::time("ARRIVED (UTC)", "ARRIVED"),
        Column::new("WHY").rest(),
    ];
    let ids: Vec<&str> = all.iter().map(|shown| shown.id.as_str()).collect();
    let short_ids = crate::base::short_ids::Short::among(ids.into_iter(), false);
    let rows: Vec<Vec<Cell>> = all
        .iter()
        .map(|shown| {
            vec![
                Cell::text(shown.spool.as_str()),
                Cell::id(&shown.entry, &short_ids.of(&shown.id)),
                Cell::text(if shown.state == "bad" { "dead-lettered" } else { shown.state }),
                Cell::time(Some(i64::try_from(shown.arrived_at_ms).unwrap_or(0))),
                Cell::text(shown.reason.as_deref().or(shown.waits_for.as_deref()).unwrap_or_default()),
            ]
        })
        .collect();
    table::print(&COLUMNS, &rows);
    Ok(())
}

fn shown(spool: &str, name: &EntryName, state: &'static str) -> ShownEntry {
    ShownEntry {
        spool: spool.to_owned(),
        entry: name.as_str().to_owned(),
        id: name.id().to_owned(),
        state,
        arrived_at_ms: name.nanos() / 1_000_000,
        reason: None,
        waits_for: None,
    }
}
