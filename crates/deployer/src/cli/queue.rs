//! `queue`: the spools as an operator sees them. Everything here can be done with `ls`, `mv` and `rm` as well.

use super::output::{self, Failed, table};
use super::session::Session;
use super::{QueueArguments, QueueCommand};
use crate::clock::readable_utc;
use crate::daemon;
use anyhow::Context;
use serde::Serialize;
use spool::{EntryName, Spool};

/// One entry, as shown.
#[derive(Debug, Serialize)]
struct Shown {
    spool: String,
    entry: String,
    state: &'static str,
    arrived_at_ms: u64,
    reason: Option<String>,
}

/// `queue`
pub fn run(session: &Session, arguments: &QueueArguments) -> Result<(), Failed> {
    let spools = spools(session)?;
    match &arguments.command {
        None | Some(QueueCommand::List) => list(&spools, arguments.json),
        Some(QueueCommand::Retry { entry }) => {
            let (name, spool) = find(&spools, entry)?;
            spool.retry_bad(&name).context("cannot put it back")?;
            print_line!("{entry} is back in its queue");
            Ok(())
        }
        Some(QueueCommand::Drop { entry }) => {
            let (name, spool) = find(&spools, entry)?;
            spool.remove(&name).context("cannot remove it")?;
            print_line!("{entry} is gone");
            Ok(())
        }
    }
}

fn spools(session: &Session) -> Result<Vec<(String, Spool)>, Failed> {
    let config = session.config();
    let names = std::iter::once("main").chain(config.deployments.keys().map(|slug| slug.as_str()));
    names.map(|name| Ok((name.to_owned(), daemon::open_spool(config, name)?))).collect()
}

/// The spool that has an entry of this name, waiting or set aside.
fn find<'a>(spools: &'a [(String, Spool)], entry: &str) -> Result<(EntryName, &'a Spool), Failed> {
    let missing = || {
        Failed::not_found(format!("no entry {entry:?} waits or was set aside"))
            .hint("`durhack-deployer queue list` shows them")
    };
    let name: EntryName = entry.parse().map_err(|_| missing())?;
    for (_, spool) in spools {
        let waits = spool.ready().context("cannot read a spool")?.contains(&name);
        if waits || spool.bad().context("cannot read a spool")?.iter().any(|bad| bad.name == name) {
            return Ok((name, spool));
        }
    }
    Err(missing())
}

fn list(spools: &[(String, Spool)], as_json: bool) -> Result<(), Failed> {
    let mut all = Vec::new();
    for (spool_name, spool) in spools {
        let mut add = |name: &EntryName, state, reason| {
            all.push(Shown {
                spool: spool_name.clone(),
                entry: name.as_str().to_owned(),
                state,
                arrived_at_ms: name.nanos() / 1_000_000,
                reason,
            });
        };
        spool.claimed().context("cannot read a spool")?.iter().for_each(|name| add(name, "claimed", None));
        spool.ready().context("cannot read a spool")?.iter().for_each(|name| add(name, "waiting", None));
        for bad in spool.bad().context("cannot read a spool")? {
            add(&bad.name, "bad", bad.reason);
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
    let rows: Vec<Vec<String>> = all
        .into_iter()
        .map(|shown| {
            let arrived = readable_utc(i64::try_from(shown.arrived_at_ms).unwrap_or(0));
            vec![shown.spool, shown.entry, shown.state.to_owned(), arrived, shown.reason.unwrap_or_default()]
        })
        .collect();
    table(&["SPOOL", "ENTRY", "STATE", "ARRIVED (UTC)", "REASON"], &rows, Some(2));
    Ok(())
}
