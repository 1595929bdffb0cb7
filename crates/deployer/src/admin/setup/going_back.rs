//! `setup --back`: from here to the Python tool again, by the [`Journal`] of the move, in the opposite order of [`super::moving`].

use super::events::{event_of, open_spool};
use super::journal::{Journal, JournalState};
use super::moving::{Move, VASSAL_TIME, is_listening, nginx_workers, options, reload_nginx, words};
use super::old_links::{self, Present};
use super::reached::as_user;
use super::uwsgi_pass::Address;
use super::{access_lists, aside};
use crate::admin::arguments::SetupArguments;
use crate::admin::host::accounts;
use crate::admin::host::ask::ask;
use crate::admin::host::paths;
use crate::admin::setup::host_state;
use crate::base::clock;
use crate::base::names::Slug;
use crate::config::{self, Environment};
use crate::plan::recipes::REFERENCE;
use crate::process::executor::Executor;
use crate::process::tools::systemctl;
use crate::queue::entry::Entry;
use crate::run_log::rendering::plain;
use crate::terminal::failed::Failed;
use crate::terminal::output;
use crate::terminal::question::agreed;
use crate::terminal::style::{BOLD, GREEN};
use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Returns to the Python tool, by the journal of the move (`setup --back`).
pub async fn back(
    environment: &Environment,
    executor: &Executor,
    arguments: &SetupArguments,
) -> Result<(), Failed> {
    let Some(journal) = Journal::read()?.filter(|journal| journal.state != JournalState::Back) else {
        return Err(Failed::because(anyhow!("nothing has moved here from the Python tool"))
            .hint("`setup --from DIR` does that, and `setup --back` undoes it"));
    };
    let mut lines = vec!["stop the worker, which first ends the run that it is at".to_owned()];
    let brought = journal.sudoers.iter().chain(&journal.vassals).chain(&journal.sites).chain(&journal.links);
    lines.extend(
        brought.map(|kept| format!("bring back {}, as {} has it", kept.path.display(), kept.kept.display())),
    );
    lines.extend(journal.access.iter().map(|file| {
        format!(
            "bring back the access lists of nginx's directories and files, as {} has them",
            file.display()
        )
    }));
    lines.push("wait for the old listener, then have nginx, tested and reloaded, send webhooks to it".into());
    lines.push(format!("put what waits here into {}/queues/main", journal.from.display()));
    lines.extend(journal.units.iter().map(|(unit, _)| format!("start {unit}, now and at every boot")));
    lines.push("stop the intake and the helper; configuration, state and secrets stay".into());
    if arguments.json && arguments.dry_run {
        output::json(&json!({ "to_do": lines }));
        return Ok(());
    }
    if !arguments.json {
        print_line!("{BOLD}To be done:{BOLD:#}");
        for (number, line) in lines.iter().enumerate() {
            print_line!("{:>3}. {}", number + 1, plain(line));
        }
    }
    if arguments.dry_run {
        print_line!("\nnothing was done (--dry-run)");
        return Ok(());
    }
    agreed(arguments.yes, "Go back to the old tool?")?;
    let mut the_move = Move::new(environment, executor, arguments.json);
    the_move.go_back(journal).await.map_err(|error| {
        Failed::because(error)
            .hint("mend the cause, and run `durhack-deployer setup --back` again: it does the rest")
    })?;
    if arguments.json {
        output::json(&json!({ "to_do": lines, "done": the_move.said }));
    } else {
        print_line!(
            "\n{GREEN}done{GREEN:#}: the old tool receives and deploys again; `setup --from` comes here again"
        );
    }
    Ok(())
}

impl Move<'_> {
    async fn go_back(&mut self, mut journal: Journal) -> Result<()> {
        let executor = self.executor;
        self.say(format!("stop {}, which ends the run that it is at", paths::WORKER));
        ask(executor, &systemctl::disable(&[paths::WORKER])).await?;
        let waiting = self.waiting_here().await;
        for kept in journal.sudoers.iter().chain(&journal.vassals) {
            aside::bring_back(&kept.kept, &kept.path)?;
            self.say(format!("brought back {}", kept.path.display()));
        }
        if let Some(file) = journal.access.as_ref().filter(|file| file.exists()) {
            let left = access_lists::give_back(&fs::read_to_string(file)?, executor).await?;
            self.say("brought back the access lists of nginx's directories and files");
            if !left.is_empty() {
                self.say(format!("what the access lists of these were is in {}; give them by hand (`setfacl --modify`) where the old tool needs them:", file.display()));
            }
            for line in left {
                self.say(format!("  {line}"));
            }
        }
        self.start_old(&journal.listeners).await?;
        if let Some(port) =
            journal.old_port.filter(|_| !journal.vassals.is_empty() || !journal.listeners.is_empty())
        {
            let address = Address::Port(port);
            if !self.waits(VASSAL_TIME, || is_listening(&address)).await {
                bail!(
                    "the old listener does not listen on port {port}: is uWSGI running? Webhooks still come to the new intake"
                );
            }
        }
        // All of them can be reached, before the first one changes.
        let date = self.date.clone();
        let brought = || journal.sites.iter().chain(&journal.links);
        let ours = brought().map(|kept| Present::keep(kept, &date)).collect::<Result<Vec<_>>>()?;
        for kept in brought() {
            aside::bring_back(&kept.kept, &kept.path)?;
        }
        if let Err(error) = ask(executor, &words(&["nginx", "-t"])).await {
            ours.into_iter().try_for_each(Present::put_back)?;
            return Err(
                error.context("nginx does not accept its old files; webhooks still come to the new intake")
            );
        }
        let before = nginx_workers();
        ask(executor, &reload_nginx()).await?;
        self.say("nginx sends webhooks to the old listener");
        if !ours.is_empty() {
            self.say(format!("what was in these places until now is kept in {}/{date}", paths::ASIDE));
        }
        for path in old_links::come_since(&journal) {
            self.say(format!("{0} was deployed from here, and stays: the old tool puts no link in its place. `mv '{0}' /root/` before it deploys that site", path.display()));
        }
        self.drain(&before, &Address::Port(journal.port)).await?;
        let mut stopped = vec![paths::INTAKE_SOCKET.to_owned(), paths::INTAKE.to_owned()];
        let found =
            host_state::look(&options(Path::new(paths::CONFIGURATION)), self.environment, executor).await?;
        stopped.extend(
            paths::units(found.step_users.keys())
                .into_iter()
                .filter(|unit| unit != paths::WORKER && !stopped.contains(unit))
                .collect::<Vec<_>>(),
        );
        for unit in stopped
            .iter()
            .filter(|unit| found.units.get(*unit).is_some_and(|unit| unit.is_active || unit.is_enabled))
        {
            ask(executor, &systemctl::disable(&[unit])).await?;
        }
        self.say("stopped the intake and the helper");
        let handed = hand_over(&journal)?;
        if handed > 0 {
            self.say(format!(
                "put {handed} events that waited here into {}/queues/main",
                journal.from.display()
            ));
        }
        self.start_old(&journal.units).await?;
        for line in waiting {
            self.say(line);
        }
        journal.state = JournalState::Back;
        journal.save()
    }

    async fn start_old(&mut self, units: &[(String, bool)]) -> Result<()> {
        for (unit, is_enabled) in units {
            let verb: &[&str] = if *is_enabled { &["enable", "--now"] } else { &["start"] };
            ask(
                self.executor,
                &words(&[&["systemctl", "--no-ask-password"][..], verb, &["--", unit]].concat()),
            )
            .await?;
            self.say(format!("started {unit}"));
        }
        Ok(())
    }

    /// What was queued here and not deployed: the old tool does not know of it.
    async fn waiting_here(&self) -> Vec<String> {
        let call = words(&["/proc/self/exe", "runs", "--json", "-n", "200"]);
        let Ok(printed) = ask(self.executor, &call).await else { return Vec::new() };
        let runs: Vec<Value> = serde_json::from_str(&printed).unwrap_or_default();
        let environment = host_state::as_units_have_it(self.environment);
        let loaded = config::load(
            &REFERENCE,
            Some(Path::new(paths::CONFIGURATION)),
            &environment,
            config::Purpose::Ask,
        );
        let deployments = loaded.map(|loaded| loaded.config.deployments).unwrap_or_default();
        let path_of = |slug: &str| {
            let found = Slug::parse(slug).ok().and_then(|slug| deployments.get(&slug));
            found.map_or(PathBuf::from("PATH"), |deployment| deployment.path.clone())
        };
        let mut seen = BTreeSet::new();
        let mut lines = Vec::new();
        for run in &runs {
            let text = |key: &str| run[key].as_str().unwrap_or_default();
            let (slug, state, commit) = (text("deployment"), text("state"), text("commit"));
            if !seen.insert(slug.to_owned()) {
                continue;
            }
            let (path, short) = (path_of(slug), commit.get(..7).unwrap_or(commit));
            if state == "waiting" {
                lines.push(format!("{slug}: {short} was pushed meanwhile and is not deployed: push again, or redeliver it at GitHub, and the old tool deploys it"));
            } else if state == "succeeded" {
                lines.push(format!("{slug}: {short} was deployed from here, and git of the old tool refuses to check out over it: first `git -C {} checkout --force --detach {commit}`", path.display()));
            }
        }
        lines
    }
}

/// What waits in our spools becomes events of the Python tool. How many these are.
fn hand_over(journal: &Journal) -> Result<usize> {
    let account =
        accounts::account(&journal.user)?.with_context(|| format!("there is no user {}", journal.user))?;
    let queue = journal.from.join("queues/main");
    as_user(account, || {
        let spools = fs::read_dir(Path::new(paths::STATE).join("spool"))?.flatten().map(|entry| entry.path());
        let mut written = BTreeSet::new();
        for directory in spools.filter(|directory| directory.is_dir()) {
            empty_into(&queue, &directory, &mut written)?;
        }
        Ok(written.len())
    })
}

/// Writes what waits in a spool into a queue, each delivery once.
fn empty_into(queue: &Path, directory: &Path, written: &mut BTreeSet<String>) -> Result<()> {
    let spool = open_spool(directory)?;
    let Some(lock) = spool.consumer_lock()? else {
        bail!("{} is still being worked on", directory.display());
    };
    let _: spool::Recovered = lock.recover()?;
    for name in spool.ready()? {
        let Some(claim) = spool.claim(&name)? else { continue };
        let event = Entry::parse(claim.contents()).ok().and_then(|entry| event_of(&entry));
        // An operator's request, or what reconcile found: the old tool has nothing like it.
        if let Some((id, event)) = event
            && written.insert(id)
        {
            fs::create_dir_all(queue)?;
            let new = queue.join(".setup.new");
            fs::write(&new, event)?;
            fs::rename(&new, queue.join(format!("{}.json", clock::now().as_nanosecond())))?;
        }
        claim.finish()?;
    }
    Ok(())
}
