//! `move-user`: a deployment gets a user of its own, or another one, with everything that is the old user's.
//!
//! What `setup` leaves as it was (a deployment that earlier versions built and ran as the deployer) is moved here, and back by `--to
//! durhack-deployer`. The order, in which everything may be interrupted and begun again:
//!
//! 1. The deployment's lock: no run of it is in progress, and none begins. The daemon goes on with the others.
//! 2. The user and the socket by which its steps are started ([`super::setup`] makes the same).
//! 3. The files ([`tree`]), as root; what the deployer itself can do is done as the deployer.
//! 4. Its units' `User=`, by a drop-in; the unit that keeps the new user's PM2, at every boot.
//! 5. `users.toml`, and the daemon reads it. A worker that has not read it yet begins nothing (`pipeline::worker`).
//! 6. The live commit is deployed once more, which starts everything as the new user. Under PM2, the old applications serve until that run is
//!    about to start the new ones: it asks us then (`steps::process_manager::pm2::former`), and we end them in the old user's PM2.
//!
//! Deliberately absent: knowing who was the user before. Whoever may have been is an old user: so the second attempt does what the first did
//! not come to.

pub mod plan;
mod programs;
mod served;
pub mod tree;

use super::setup::options::SetupOptions;
use super::{owner, setup};
use crate::admin::arguments::MoveUserArguments;
use crate::admin::host::accounts;
use crate::admin::host::ask;
use crate::admin::host::paths;
use crate::admin::setup::host_state;
use crate::base::files::safe_path::OpenDirectory;
use crate::base::names::{Slug, UserName};
use crate::config::users::DEPLOYER;
use crate::config::{self, Deployment, Environment, Loaded, Purpose};
use crate::plan::recipes::REFERENCE;
use crate::process::executor::Executor;
use crate::process::step_user;
use crate::process::tools::systemctl;
use crate::run_log::rendering::plain;
use crate::terminal::failed::Failed;
use crate::terminal::question::agreed;
use crate::terminal::style::{BOLD, GREEN, YELLOW};
use anyhow::{Context, anyhow};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

/// How long a run may take to end that is said to be going on: a worker that finds nothing to do has the lock for a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Between two attempts to take it.
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// The program that the package brings.
const PROGRAM: &str = "/usr/bin/durhack-deployer";

/// Runs `move-user`: asks, moves the files, records the user, and deploys once more.
pub async fn run(
    directory: Option<&Path>,
    environment: &Environment,
    arguments: &MoveUserArguments,
) -> Result<(), Failed> {
    let slug = &arguments.slug;
    if !environment.is_root() {
        let hint = format!("sudo durhack-deployer move-user {slug}");
        return Err(Failed::because(anyhow!("only root can change whose files are")).hint(hint));
    }
    let configuration = directory.unwrap_or(Path::new(paths::CONFIGURATION)).to_owned();
    let options = SetupOptions { configuration, origin: None, privileges: None, uninstall: false };
    let loaded = load(&options, environment)?;
    let slug = Slug::parse(slug).ok().filter(|slug| loaded.config.deployments.contains_key(slug));
    let Some(deployment) = slug.and_then(|slug| loaded.config.deployments.get(&slug)) else {
        return Err(Failed::not_found(format!("there is no deployment {:?}", arguments.slug)));
    };
    let search_paths = setup::SEARCH_PATHS.map(Into::into);
    let search_paths = [&search_paths[..], &loaded.config.executable_search_paths].concat();
    let executor = Executor::unconfigured("/proc/self/exe".into(), environment, &search_paths);
    let asked =
        MoveContext { options: &options, environment, executor: &executor, loaded: &loaded, deployment };
    let (moved, to) = asked.look(arguments).await?;
    moved.show(&asked, to.as_ref())?;
    if arguments.dry_run {
        print_line!("\nnothing was done (--dry-run)");
        return Ok(());
    }
    agreed(arguments.yes, "Do it?")?;
    let lock = lock_of(&loaded.config.state_directory, &deployment.slug, &moved.host.deployer).await?;
    moved.carry_out(&asked, to.as_ref()).await.map_err(|error| {
        Failed::because(error).hint(format!(
            "mend the cause, and run the same command again: it does the rest. Until then do not deploy {}",
            deployment.slug
        ))
    })?;
    drop(lock);
    asked.deploy(&moved.host, arguments.no_deploy).await
}

/// As the services have it, without secrets.
fn load(options: &SetupOptions, environment: &Environment) -> Result<Loaded, Failed> {
    let environment = host_state::as_units_have_it(environment);
    let loaded = config::load(&REFERENCE, Some(&options.configuration), &environment, Purpose::Ask);
    loaded.map_err(|problems| {
        let said = problems.render(config::Rendering::Plain).trim_end().to_owned();
        Failed::because(anyhow!(said).context("the configuration cannot be used"))
    })
}

/// The command's deployment, and what is needed to look at the host.
struct MoveContext<'a> {
    options: &'a SetupOptions,
    environment: &'a Environment,
    executor: &'a Executor,
    loaded: &'a Loaded,
    deployment: &'a Deployment,
}

/// What is found, and what is to be done.
struct Moved {
    host: plan::MoveHost,
    found: host_state::HostState,
    applications: Vec<programs::Applications>,
    remarks: Vec<String>,
}

impl MoveContext<'_> {
    async fn look(&self, arguments: &MoveUserArguments) -> Result<(Moved, Option<UserName>), Failed> {
        let (slug, deployment) = (&self.deployment.slug, self.deployment);
        let setup_first = "sudo durhack-deployer setup";
        let Some(recorded) = &self.loaded.users else {
            let what = "`setup` of this version has not been run: it records as whom deployments run";
            return Err(Failed::because(anyhow!(what)).hint(setup_first));
        };
        let Some(deployer) = account(DEPLOYER)? else {
            return Err(Failed::because(anyhow!("there is no user {DEPLOYER}")).hint(setup_first));
        };
        let others = self.loaded.config.deployments.values().filter(|other| other.slug != *slug);
        let mut of_others: std::collections::BTreeSet<UserName> =
            others.filter_map(|other| other.user.clone()).collect();
        of_others.extend(recorded.iter().filter(|(other, _)| *other != slug).map(|(_, user)| user.clone()));
        let user_name = |text: &String| UserName::parse(text).map_err(Failed::because);
        let asked = arguments.to.as_ref().map(user_name).transpose()?;
        let state =
            |user: &UserName| host_state::account_state(user).unwrap_or(setup::users::AccountState::Taken);
        let to = plan::target(deployment, asked.as_ref(), recorded, &of_others, state)?;
        if to.is_some() && host_state::path_state(deployment) == setup::users::PathState::InPlace {
            let what =
                anyhow!("{slug} is deployed in place, as the deployer: a user of its own has releases");
            return Err(Failed::because(what).hint(format!("first `durhack-deployer adopt {slug}`")));
        }
        let new = match &to {
            None => Some(deployer.clone()),
            Some(user) => account(user.as_str())?,
        };
        if to.is_some() && new.as_ref().is_some_and(|new| new.uid == 0 || new.uid == deployer.uid) {
            return Err(Failed::because(anyhow!("this user is root, or the deployer, by another name")));
        }
        let mut old = Vec::new();
        let written = arguments.from.iter().map(user_name).collect::<Result<Vec<_>, _>>()?;
        let known = [deployment.user.clone(), recorded.of(slug).cloned(), UserName::parse(DEPLOYER).ok()];
        let own = setup::users::names(slug)
            .into_iter()
            .filter(|name| state(name) == setup::users::AccountState::Ours && !of_others.contains(name));
        for name in written.into_iter().chain(known.into_iter().flatten()).chain(own) {
            if let Some(account) = account(name.as_str())?
                && account.uid != 0
                && Some(&account) != new.as_ref()
                && !old.contains(&account)
            {
                old.push(account);
            }
        }
        let host = plan::MoveHost {
            releases: directories(&deployment.path.join("releases"), &deployer),
            has_cache: deployment.path.join(".cache").symlink_metadata().is_ok(),
            units: programs::of_units(deployment, self.executor).await?,
            with_drop_in: programs::with_drop_in(deployment),
            deployer,
            old,
            new,
        };
        let applications = programs::of_pm2(deployment, &host.old, self.executor).await?;
        let more: Vec<UserName> = to.iter().cloned().collect();
        let mut found =
            host_state::look_also_at(&more, self.options, self.environment, self.executor).await?;
        let known = found.configuration.as_mut().context("there is no configuration any more")?;
        known.assignment.users = recorded.clone();
        known.assignment.remarks.clear();
        let name = to.as_ref().map_or(DEPLOYER, UserName::as_str);
        known.assignment.new = vec![format!("{slug}: {name}")];
        if deployment.user_source != config::UserSource::Written {
            known.assignment.users.set(slug.clone(), user_name(&name.to_owned())?);
        }
        let mut remarks = plan::of_units(&host, deployment, to.as_ref()).1;
        remarks.extend(plan::of_shared_files(deployment, to.as_ref()));
        if !applications.is_empty() && !deployment.shared_dirs.is_empty() {
            remarks.push(format!(
                "what {slug} runs now cannot write in its shared directories from the time at which they are given away until the deploy has started it anew"
            ));
        }
        match &to {
            None => remarks.push(format!(
                "whatever is pushed to {slug} can then do what the deployer can: reach every deployment, also those that have a user of their own"
            )),
            Some(user) if of_others.contains(user) => remarks.push(format!(
                "{user} is the user of another deployment too: whatever is pushed to one of them can change and end the other"
            )),
            Some(_) => {}
        }
        Ok((Moved { host, found, applications, remarks }, to))
    }

    /// As an operator would. Its end is the command's.
    async fn deploy(&self, host: &plan::MoveHost, is_unwanted: bool) -> Result<(), Failed> {
        let slug = &self.deployment.slug;
        let directory = self.options.configuration.to_string_lossy().into_owned();
        let live = match self.deployment.enabled && !is_unwanted {
            true => self.live(&directory).await?,
            false => None,
        };
        print_line!("{GREEN}done{GREEN:#}");
        let Some(live) = live else {
            for left in programs::of_pm2(self.deployment, &host.old, self.executor).await? {
                print_line!("{}", plain(&left.are_left(slug.as_str())));
            }
            print_line!(
                "`sudo durhack-deployer deploy {slug} --force` makes a release as the new user, and starts it"
            );
            return Ok(());
        };
        let words = [PROGRAM, "--config", &directory, "deploy", slug.as_str(), "--force", "--commit", &live];
        print_line!("\n{}", words.join(" "));
        let listener = served::listen(slug)?;
        #[expect(clippy::disallowed_methods, reason = "it is watched by whoever has started this command")]
        let mut deploy = tokio::process::Command::new(PROGRAM);
        let environment = host_state::as_units_have_it(self.environment);
        let named = ["DEPLOYER_ENV", "DEPLOYER_INSTANCE"];
        deploy.args(&words[1..]).envs(named.iter().filter_map(|name| Some((name, environment.get(name)?))));
        let mut deploy = deploy.spawn().context("cannot deploy")?;
        let status = loop {
            tokio::select! {
                status = deploy.wait() => break status.context("cannot deploy")?,
                asked = listener.asked(&host.deployer) => {
                    let Some(run) = asked else { continue };
                    run.answer(programs::end_all(self.deployment, &host.old, self.executor).await).await;
                }
            }
        };
        drop(listener);
        if !status.success() {
            let what = anyhow!("{slug} has its new user, but could not be deployed as that");
            return Err(Failed::because(what).hint(format!(
                "what ran as the old user under PM2 is left running if the run did not come to its start: mend the cause, and run the same `move-user` command again; `durhack-deployer logs {slug}` says what went wrong"
            )));
        }
        self.end_former(host).await
    }

    /// What the old users' PM2s still keep of the deployment; and those of them that keep nothing else do not come back at a boot.
    async fn end_former(&self, host: &plan::MoveHost) -> Result<(), Failed> {
        for line in programs::end_all(self.deployment, &host.old, self.executor).await? {
            print_line!("- {}", plain(&line));
        }
        if !self.deployment.recipe.is_under_pm2() {
            return Ok(());
        }
        let others = self.loaded.config.deployments.values();
        let others: Vec<&UserName> = others
            .filter(|other| other.slug != self.deployment.slug)
            .filter_map(|other| other.user.as_ref())
            .collect();
        for old in host.old.iter().filter(|old| old.name != DEPLOYER) {
            let Ok(user) = UserName::parse(&old.name) else { continue };
            let is_unused = programs::keeps_nothing(self.deployment, old, self.executor).await?;
            if is_unused && !others.contains(&&user) {
                let unit = step_user::pm2_unit(&user);
                print_line!("- stop {unit}: no deployment needs it any more");
                ask::ask(self.executor, &systemctl::disable(&[&unit])).await?;
            }
        }
        Ok(())
    }

    /// The commit that is live by the database, which the deployer's user reads.
    async fn live(&self, directory: &str) -> Result<Option<String>, Failed> {
        use crate::config::CommandLine;
        use crate::process::tools::Invocation;
        let words = [PROGRAM, "--config", directory, "status", "--json"].map(str::to_owned);
        let mut invocation = Invocation::of(&CommandLine::Argv(words.to_vec()));
        let environment = host_state::as_units_have_it(self.environment);
        for name in ["DEPLOYER_ENV", "DEPLOYER_INSTANCE"] {
            let value = environment.get(name).map(|value| (name.into(), value.into()));
            invocation.environment.extend(value);
        }
        let never = tokio_util::sync::CancellationToken::new();
        let answer = self.executor.ask(&invocation, ask::CALL_TIMEOUT, &never).await?;
        let status: serde_json::Value = serde_json::from_str(&answer.output)
            .with_context(|| format!("`status` does not say what is live: {}", answer.complaint))?;
        let deployments = status["deployments"].as_array().into_iter().flatten();
        let this = deployments.into_iter().find(|found| found["slug"] == self.deployment.slug.as_str());
        Ok(this.and_then(|found| found["live"]["commit"].as_str()).map(str::to_owned))
    }
}

impl Moved {
    fn show(&self, asked: &MoveContext<'_>, to: Option<&UserName>) -> anyhow::Result<()> {
        let (slug, path) = (&asked.deployment.slug, asked.deployment.path.display());
        let name = to.map_or(DEPLOYER, UserName::as_str);
        print_line!("{BOLD}{slug} is to be built and run as {name}. To be done:{BOLD:#}");
        let mut lines: Vec<String> =
            vec![format!("wait until no run of {slug} is in progress, and let none begin")];
        lines.extend(self.users_made(asked, to).actions.into_iter().map(|action| action.what));
        let old: Vec<&str> = self.host.old.iter().map(|old| old.name.as_str()).collect();
        lines.push(format!(
            "give what {} has in {path}/releases/* and in its shared directories to {name}, and remove access lists there; files of other users stay theirs",
            old.join(" or ")
        ));
        lines.extend(
            plan::of_directories(&self.host, asked.deployment, to).into_iter().map(|action| action.what),
        );
        lines
            .extend(plan::of_units(&self.host, asked.deployment, to).0.into_iter().map(|action| action.what));
        lines.extend(self.users_recorded(asked, to)?.actions.into_iter().map(|action| action.what));
        lines.push(format!("deploy the live commit of {slug} once more, which starts it as {name}"));
        lines.extend(self.applications.iter().map(programs::Applications::what));
        for (number, line) in lines.iter().enumerate() {
            print_line!("{:>3}. {}", number + 1, plain(line));
        }
        for remark in &self.remarks {
            print_line!("{YELLOW}  -{YELLOW:#} {}", plain(remark));
        }
        Ok(())
    }

    /// The new user beside all that are there.
    fn users_made(&self, asked: &MoveContext<'_>, to: Option<&UserName>) -> setup::plan::Plan {
        let mut found = self.found.clone();
        if let (Some(known), Some(user)) = (&mut found.configuration, to) {
            known.users.insert(user.clone());
            known.users_paths.insert(asked.deployment.path.clone());
        }
        // Whom no deployment names is `setup`'s business.
        found
            .step_users
            .retain(|user, _| found.configuration.as_ref().is_some_and(|known| known.users.contains(user)));
        setup::plan::users_made(&found)
    }

    /// The users as they are from then on.
    fn users_recorded(
        &self,
        asked: &MoveContext<'_>,
        to: Option<&UserName>,
    ) -> anyhow::Result<setup::plan::Plan> {
        let mut found = self.found.clone();
        let moved = Deployment { user: to.cloned(), ..asked.deployment.clone() };
        let is_under_pm2 = |one: &&Deployment| one.recipe.is_under_pm2();
        if let Some(known) = &mut found.configuration {
            let others = asked.loaded.config.deployments.values();
            let all = || others.clone().filter(|other| other.slug != moved.slug).chain([&moved]);
            known.users = all().filter_map(|one| one.user.clone()).collect();
            known.pm2_users = all().filter(is_under_pm2).filter_map(|one| one.user.clone()).collect();
            known.units.extend(known.pm2_users.iter().map(step_user::pm2_unit));
            known.needs_user_manager = all().any(host_state::needs_user_manager);
            let path = &asked.deployment.path;
            match to {
                Some(_) => drop(known.users_paths.insert(path.clone())),
                None => drop(known.users_paths.remove(path)),
            }
        }
        // What the first part has started is up.
        for action in self.users_made(asked, to).actions {
            found.note(&action);
        }
        setup::plan::users_recorded(&found, asked.options, to.filter(|_| is_under_pm2(&&moved)))
    }

    async fn carry_out(&self, asked: &MoveContext<'_>, to: Option<&UserName>) -> anyhow::Result<()> {
        let does = async |action: &setup::action::Action| {
            print_line!("- {}", plain(&action.what));
            action.carry_out(asked.executor).await.with_context(|| format!("cannot {}", action.what))
        };
        for action in &self.users_made(asked, to).actions {
            does(action).await?;
        }
        let mut host = self.host.clone();
        if let Some(user) = to {
            host.new = account(user.as_str())?;
        }
        let change = plan::change(&host).context("the new user is not there")?;
        let trees = plan::trees(&host, asked.deployment);
        let path = asked.deployment.path.clone();
        let is_there = path.symlink_metadata().is_ok();
        print_line!("- give the files in {} to their new user", plain(&path.to_string_lossy()));
        if is_there {
            let report = tokio::task::spawn_blocking(move || tree::give(&path, &trees, &change)).await??;
            say(&report);
        }
        let directories = plan::of_directories(&host, asked.deployment, to);
        let (units, _) = plan::of_units(&host, asked.deployment, to);
        for action in directories.iter().chain(&units).chain(&self.users_recorded(asked, to)?.actions) {
            does(action).await?;
        }
        Ok(())
    }
}

fn say(report: &tree::TreeReport) {
    print_line!(
        "  {} changed hands",
        crate::base::words::counted(report.changed, "file or directory", "files and directories")
    );
    if report.left > 0 {
        print_line!("  {} stay as they are:", report.left);
        for (path, why) in &report.named {
            print_line!("    {}: {}", plain(&path.to_string_lossy()), plain(why));
        }
    }
}

fn account(name: &str) -> anyhow::Result<Option<plan::Account>> {
    let found = accounts::account(name)?;
    Ok(found.map(|(uid, gid)| plan::Account { name: name.to_owned(), uid, gid }))
}

/// The names of directories in a directory that are the deployer's. Looked at only: what is done with them goes by descriptors, or is
/// done as the deployer.
fn directories(directory: &Path, deployer: &plan::Account) -> Vec<std::path::PathBuf> {
    let is_directory = directory.symlink_metadata().is_ok_and(|found| found.is_dir());
    let entries = is_directory.then(|| fs_err::read_dir(directory).ok()).flatten();
    let entries = entries.into_iter().flatten().flatten();
    let ours = entries.filter(|entry| is_directory_of(&entry.path(), deployer));
    let mut names: Vec<std::path::PathBuf> = ours.map(|entry| entry.file_name().into()).collect();
    names.sort();
    names
}

fn is_directory_of(path: &Path, account: &plan::Account) -> bool {
    use std::os::unix::fs::MetadataExt;
    path.symlink_metadata().is_ok_and(|found| found.is_dir() && found.uid() == account.uid)
}

/// The deployment's lock, as `process::lock` takes it: but for root, in a directory of the deployer's. Nothing is written to the file, and no
/// link of that name is followed.
async fn lock_of(state: &Path, slug: &Slug, deployer: &plan::Account) -> Result<Option<File>, Failed> {
    if !owner::is_roots_way(state) {
        let what = anyhow!("others than root could have put {} where it is", state.display());
        return Err(Failed::unavailable(what));
    }
    let directory = match OpenDirectory::open(state).and_then(|state| state.below(Path::new("locks"), false))
    {
        Ok(directory) => directory,
        // Nothing of any deployment has run here.
        Err(refused) if refused.is_missing() => return Ok(None),
        Err(refused) => return Err(Failed::unavailable(refused)),
    };
    let name = format!("{slug}.lock");
    let path = directory.path().join(&name);
    let said = || format!("cannot take the lock of {slug}, {}", path.display());
    let file = match directory.lock_file(name.as_ref(), None) {
        Err(refused) if refused.is_missing() => {
            let made = directory.lock_file(name.as_ref(), Some(0o644)).with_context(said)?;
            let (user, group) =
                (rustix::fs::Uid::from_raw(deployer.uid), rustix::fs::Gid::from_raw(deployer.gid));
            rustix::fs::fchown(&made, Some(user), Some(group))
                .map_err(anyhow::Error::from)
                .with_context(said)?;
            made
        }
        opened => opened.with_context(said)?,
    };
    let is_ours = file.metadata().is_ok_and(|found| found.is_file());
    if !is_ours {
        return Err(Failed::unavailable(anyhow!("{} is not a regular file", path.display())));
    }
    let ends_at = tokio::time::Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < ends_at => {
                tokio::time::sleep(LOCK_RETRY).await;
            }
            Err(TryLockError::WouldBlock) => {
                let hint = format!("wait for it: `durhack-deployer logs {slug} -f`");
                return Err(Failed::unavailable(anyhow!("a run of {slug} is going on")).hint(hint));
            }
            Err(TryLockError::Error(error)) => {
                return Err(Failed::unavailable(anyhow::Error::from(error).context(said())));
            }
        }
    }
}
