//! `setup --back`: from here to the Python tool again, by the [`Journal`] of the move, in the opposite order of [`super::moving`].

use super::events::{event_of, open_spool};
use super::found::{self, ask};
use super::journal::{Journal, JournalState};
use super::moving::{Move, VASSAL_TIME, is_listening, nginx_workers, reload_nginx, wishes, words};
use super::reached::{Content, Reached, TEXT_BYTES_MAX, as_user};
use super::uwsgi_pass::Address;
use super::{aside, places};
use crate::cli::SetupArguments;
use crate::cli::output::{self, BOLD, Failed, GREEN, agreed};
use crate::clock;
use crate::config::{self, Environment};
use crate::deploy::execute::Executor;
use crate::deploy::tools::systemctl;
use crate::entry::Entry;
use crate::names::Slug;
use crate::record::run_log::rendering::plain;
use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
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
    let brought = journal.sudoers.iter().chain(&journal.vassals).chain(&journal.sites);
    lines.extend(
        brought.map(|kept| format!("bring back {}, as {} has it", kept.path.display(), kept.kept.display())),
    );
    lines.extend(journal.access.iter().map(|file| {
        format!(
            "bring back the access lists of nginx's directories themselves, as {} has them",
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
        anstream::println!("{BOLD}To be done:{BOLD:#}");
        for (number, line) in lines.iter().enumerate() {
            println!("{:>3}. {}", number + 1, plain(line));
        }
    }
    if arguments.dry_run {
        println!("\nnothing was done (--dry-run)");
        return Ok(());
    }
    agreed(arguments.yes, "Go back to the old tool?")?;
    let mut the_move = Move { environment, executor, is_json: arguments.json, said: Vec::new() };
    the_move.go_back(journal).await.map_err(|error| {
        Failed::because(error)
            .hint("mend the cause, and run `durhack-deployer setup --back` again: it does the rest")
    })?;
    if arguments.json {
        output::json(&json!({ "to_do": lines, "done": the_move.said }));
    } else {
        anstream::println!(
            "\n{GREEN}done{GREEN:#}: the old tool receives and deploys again; `setup --from` comes here again"
        );
    }
    Ok(())
}

impl Move<'_> {
    async fn go_back(&mut self, mut journal: Journal) -> Result<()> {
        let executor = self.executor;
        self.say(format!("stop {}, which ends the run that it is at", places::WORKER));
        ask(executor, &systemctl::disable(&[places::WORKER])).await?;
        let waiting = self.waiting_here().await;
        for kept in journal.sudoers.iter().chain(&journal.vassals) {
            aside::bring_back(&kept.kept, &kept.path)?;
            self.say(format!("brought back {}", kept.path.display()));
        }
        if let Some(file) = journal.access.as_ref().filter(|file| file.exists()) {
            // Of these two directories alone: what is in them is not root's, and may be links by now.
            let all = fs::read_to_string(file)?;
            let lists = own_access_lists(&all);
            let mut kept = tempfile::NamedTempFile::new()?;
            kept.write_all(lists.as_bytes())?;
            let restore = format!("--restore={}", kept.path().display());
            // What has come since is not in it, and what has gone since is said.
            let restored = ask(executor, &words(&["setfacl", &restore])).await;
            match restored {
                Ok(_) => self.say("brought back the access lists of nginx's directories themselves"),
                Err(error) => {
                    self.say(format!("not all access lists of nginx's directories came back: {error:#}"));
                }
            }
            let entry = format!("user:{}:", journal.user);
            if all.matches(&entry).count() > lists.matches(&entry).count() {
                self.say(format!(
                    "the access lists of what lies in them are as setup left them; what they were is in {}: give them by hand (`setfacl --modify`) where the old tool needs them",
                    file.display()
                ));
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
        let mut ours: Vec<(Reached, Content)> = Vec::new();
        for kept in &journal.sites {
            let reached = aside::way_back(&kept.kept, &kept.path)?;
            if let Ok(content) = reached.read(TEXT_BYTES_MAX) {
                ours.push((reached, content));
            }
        }
        for kept in &journal.sites {
            aside::bring_back(&kept.kept, &kept.path)?;
        }
        if let Err(error) = ask(executor, &words(&["nginx", "-t"])).await {
            for (reached, content) in ours {
                reached.write(&content)?;
            }
            return Err(
                error.context("nginx does not accept its old files; webhooks still come to the new intake")
            );
        }
        let before = nginx_workers();
        ask(executor, &reload_nginx()).await?;
        self.say("nginx sends webhooks to the old listener");
        self.drain(&before, &Address::Port(journal.port)).await?;
        let mut stopped = vec![places::INTAKE_SOCKET.to_owned(), places::INTAKE.to_owned()];
        let found =
            found::look(&wishes(Path::new(places::CONFIGURATION)), self.environment, executor).await?;
        stopped.extend(
            places::units(found.step_users.keys())
                .into_iter()
                .filter(|unit| unit != places::WORKER && !stopped.contains(unit))
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
        let environment = found::as_units_have_it(self.environment);
        let loaded = config::load(Some(Path::new(places::CONFIGURATION)), &environment, config::Purpose::Ask);
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

/// Of what `getfacl` printed, the lists of nginx's directories themselves, without the lines that say whose they are: what would be given
/// back with them, and what lies in the directories, setup has not changed.
fn own_access_lists(printed: &str) -> String {
    let ours = places::NGINX_SITES.map(|name| format!("# file: {}/{name}", places::NGINX));
    let is_ours = |block: &&str| block.lines().next().is_some_and(|line| ours.iter().any(|our| our == line));
    let blocks = printed.split("\n\n").map(str::trim_start).filter(is_ours);
    let is_kept = |line: &&str| !line.starts_with('#') || line.starts_with("# file: ");
    blocks.map(|block| block.lines().filter(is_kept).collect::<Vec<_>>().join("\n") + "\n\n").collect()
}

/// What waits in our spools becomes events of the Python tool. How many these are.
fn hand_over(journal: &Journal) -> Result<usize> {
    let account =
        found::account(&journal.user)?.with_context(|| format!("there is no user {}", journal.user))?;
    let queue = journal.from.join("queues/main");
    as_user(account, || {
        let spools =
            fs::read_dir(Path::new(places::STATE).join("spool"))?.flatten().map(|entry| entry.path());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_lists_come_back_for_the_directories_themselves_and_nobody_is_given_them() {
        let printed = "# file: /etc/nginx/snippets\n# owner: root\n# group: root\nuser::rwx\nuser:d:rwx\ndefault:user:d:rwx\n\n\
             # file: /etc/nginx/snippets/d/x\n# owner: d\n# group: d\nuser::rw-\n\n\
             # file: /etc/nginx/conf.d\n# owner: root\n# flags: -s-\nuser::rwx\n";
        let expected = "# file: /etc/nginx/snippets\nuser::rwx\nuser:d:rwx\ndefault:user:d:rwx\n\n\
             # file: /etc/nginx/conf.d\nuser::rwx\n\n";
        assert_eq!(own_access_lists(printed), expected);
        assert_eq!(own_access_lists(expected), expected);
    }
}
