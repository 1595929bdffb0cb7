//! PM2, as a process manager: what a release's ecosystem file names is what runs.
//!
//! # How a running application is moved to another release
//!
//! Found by trying, with PM2 7: `reload`, `startOrReload` and `restart` of a file with another `cwd` or `script` leave both as they were
//! when the application was first started. Only what is *behind* a path can change. So every application is registered through the link
//! `<path>/current`; each new process then stands, by `/proc/PID/cwd`, in what is live at its start, and so does one that PM2 starts after
//! a crash or a boot. (Setting `pm_cwd` and `pm_exec_path` in the environment of a reload moves an application too, by an oversight of
//! PM2's; nothing here needs that.)
//!
//! - **Cluster mode**: a reload starts the new worker, waits until it listens (or says `ready`, with `wait_ready`), and only then asks the
//!   old one to end (SIGINT, then KILL after `kill_timeout`). Without a gap, provided the application finishes its requests on SIGINT.
//! - **Fork mode**: two processes cannot have one port. It is ended and started, and between the two nobody answers: as long as it
//!   needs to end and to start.
//! - **A definition that a reload cannot change** (script, directory, mode, number of instances, ...): deleted and started. A gap, once.
//! - **On a schedule** (`cron_restart` and `autorestart: false`): registered, never started or ended by us; see [`scheduled`].
//!
//! What a deployment's processes are is known by a mark in their environment. Others are not touched.
//!
//! Deliberately absent: memory. Each action asks PM2 what there is, and may be repeated, also after a crash in its middle.

pub mod changes;
pub mod definition;
pub mod ecosystem;
pub mod former;
pub mod home;
mod look;
pub mod proof;
pub mod saving;
pub mod scheduled;

use super::ManagerAction;
use crate::base::names::{Slug, UserName};
use crate::config::{CommandLine, Privileges};
use crate::process::env_files::Reach;
use crate::process::lock::Lock;
use crate::process::step_context::StepContext;
use crate::process::step_user;
use crate::process::tools::files;
use crate::process::tools::pm2::{self, Pm2Process, marks};
use anyhow::{Result, anyhow, bail};
use changes::{Changes, Owner, changes, of};
use definition::{Block, Definition, Origin};
use ecosystem::Exported;
use home::Home;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use supervise::StartError;

/// Rounds of comparing and changing: a second one for what a first was refused because an earlier reload was not over, and a last.
const ROUNDS_MAX: usize = 3;

/// The variable that names the release's commit.
const COMMIT: &str = "DEPLOYER_COMMIT";

/// In words, for people: how a daemon that does not run is started.
const DAEMON: &str = "where PM2's daemon does not run: pm2 resurrect or pm2 ping, from a service by systemctl start or systemd-run";

/// Likewise, how what a clock starts is registered without being started.
const SCHEDULED: &str = "pm2 resurrect what is on a schedule";

/// Between two looks at what is about to end.
const PAUSE: Duration = Duration::from_millis(500);

/// Applications under PM2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applications {
    /// Whose they are.
    pub deployment: Slug,
    /// The deployment's path.
    pub path: PathBuf,
    /// The release that they are to run.
    pub release: PathBuf,
    pub release_name: String,
    /// How it is reached once it is live: `<path>/current`, or the work tree.
    pub through: PathBuf,
    /// The file that names them, relative to the release; None: the first that there is.
    pub ecosystem: Option<PathBuf>,
    /// Which of its blocks `env_*` is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<Block>,
    /// For their environment.
    pub env_files: Vec<PathBuf>,
    /// Who may start PM2's unit.
    pub privileges: Privileges,
    /// Whose PM2 it is; None: the deployer's.
    #[serde(default)]
    pub user: Option<UserName>,
    /// Where the deployer keeps its locks for the PM2 of such users.
    #[serde(default)]
    pub locks: PathBuf,
}

/// By process id: where each stands.
type ProcessPaths = BTreeMap<i32, PathBuf>;

/// Applications, and where they are dealt with.
pub struct Scene<'a> {
    /// What is wanted.
    pub of: &'a Applications,
    pub home: Home,
    /// Calls programs. Not with the run's id: by that the run's own processes are found and ended after a crash.
    pub step_context: StepContext<'a>,
    /// What the applications see below what their file says.
    pub lasting: BTreeMap<String, String>,
    /// The same, of the release.
    pub of_release: BTreeMap<String, String>,
}

impl Applications {
    pub async fn grant(&self, action: ManagerAction, step_context: &StepContext<'_>) -> Result<()> {
        let mut lasting = lasting(step_context.environment);
        for (name, value) in step_context.walls.own.iter().flat_map(|own| &own.environment) {
            lasting.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let of_release = self.of_release(step_context.environment);
        let environment = lasting.clone().into_iter().chain(of_release.clone()).collect();
        let step_context = StepContext { environment: &environment, ..*step_context };
        let home = Home::of(self, &step_context)?;
        let (rules, reach) = (step_context.env_rules, Reach::Application);
        let of_files = rules.read(&self.env_files, reach, step_context.left(), step_context.cancel).await?;
        let (of_files, secrets) = (of_files.variables, of_files.secrets);
        let lasting = lasting.into_iter().chain(of_files).collect();
        let scene = Scene { of: self, home, step_context, lasting, of_release };
        let granted = match action {
            ManagerAction::Check => scene.check().await,
            ManagerAction::Run => scene.run().await,
            ManagerAction::Prove => scene.prove().await,
            ManagerAction::Stop => scene.stop().await,
        };
        // It may quote what the file threw, or what an application wrote before it died; and the world is told.
        granted.map_err(|error| match error.downcast::<StartError>() {
            Ok(not_started) => not_started.into(),
            Err(error) => anyhow!(step_context.executor.redacted(&format!("{error:#}"), &secrets)),
        })
    }

    pub fn shown(&self, action: ManagerAction) -> String {
        let file = self.ecosystem.as_deref().unwrap_or(Path::new("ecosystem.config.*")).display();
        let (deployment, daemon) = (&self.deployment, self.daemon());
        match action {
            ManagerAction::Check => format!(
                "see whether PM2 could run what {file} names, and wait until it can: node --eval, pm2 jlist; {daemon}"
            ),
            ManagerAction::Run => format!(
                "node --eval of {file}; pm2 jlist, pm2 delete what is gone, pm2 start or pm2 reload what {file} names, {SCHEDULED}, pm2 save --force; {daemon}"
            ),
            ManagerAction::Prove => format!(
                "see that PM2 runs the release, and that it stays up: node --eval of {file}, pm2 jlist; {daemon}"
            ),
            ManagerAction::Stop => {
                format!("pm2 jlist, pm2 delete what belongs to {deployment}, pm2 save --force")
            }
        }
    }

    /// In words, for people: how a daemon that does not run is started.
    fn daemon(&self) -> String {
        match &self.user {
            Some(user) => format!(
                "where the PM2 daemon of {user} does not run: systemctl start {}",
                step_user::pm2_unit(user)
            ),
            None => DAEMON.to_owned(),
        }
    }

    /// What tells an application's release.
    fn of_release(&self, of_run: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let commit = of_run.get_key_value(COMMIT).map(|(name, commit)| (name.clone(), commit.clone()));
        commit.into_iter().chain([(marks::RELEASE.to_owned(), self.release_name.clone())]).collect()
    }

    fn owner(&self) -> Owner<'_> {
        Owner { deployment: &self.deployment, path: &self.path }
    }
}

/// The part of a run's environment that is not about the run.
fn lasting(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let of_run = |name: &str| name.starts_with("DEPLOYER_");
    environment
        .iter()
        .filter(|(name, _)| !of_run(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

impl Scene<'_> {
    /// Everything that can be known to fail before anything is changed, and all that may have to be waited for: once the link has moved,
    /// every second is one in which a process that dies comes back as the new release beside the old one.
    async fn check(&self) -> Result<()> {
        let Exported { definitions: wanted, unused } = self.exported().await?;
        unused.into_iter().for_each(|unused| self.step_context.note(unused));
        for definition in &wanted {
            let script = definition.script().map(|script| match script.strip_prefix(&self.of.through) {
                Ok(inside) => self.of.release.join(inside),
                Err(_) => script,
            });
            if let Some(script) = script.filter(|script| !script.exists()) {
                bail!("the script of {} is not there: {}", definition.name, script.display());
            }
        }
        let lock = self.hold().await?;
        self.check_names(&wanted, &self.processes().await?)?;
        drop(lock);
        self.wait_for_scheduled(&wanted).await
    }

    async fn run(&self) -> Result<()> {
        let wanted = self.wanted().await?;
        // Waited for already by `check`, but on the way back, and where its time has come again since.
        self.wait_for_scheduled(&wanted).await?;
        let _lock = self.hold().await?;
        for round in 0..ROUNDS_MAX {
            let processes = self.settled_processes().await?;
            self.check_names(&wanted, &processes)?;
            let places = self.places(&processes).await?;
            let is_current = |definition: &Definition, process: &Pm2Process| match round {
                0 => self.stands_in_release(definition, process, &places),
                _ => process.variable(marks::RELEASE) == Some(&self.of.release_name),
            };
            let changes = changes(self.of.owner(), &wanted, &processes, &is_current);
            if changes.is_empty() {
                return self.save().await;
            }
            if round == 0 && !changes.run.is_empty() {
                former::end(&former::socket(&self.of.deployment), &self.of.deployment, &self.step_context)
                    .await?;
            }
            self.apply(&changes).await?;
        }
        let processes = self.settled_processes().await?;
        let is_current = |_: &Definition, process: &Pm2Process| {
            process.variable(marks::RELEASE) == Some(&self.of.release_name)
        };
        let left = changes(self.of.owner(), &wanted, &processes, &is_current);
        if !left.is_empty() {
            let names: Vec<&str> =
                left.run.iter().chain(&left.register).map(|left| left.name.as_str()).collect();
            bail!(
                "PM2 did not bring {} to this release\nhint: the lines above say what it complained of",
                names.join(", ")
            );
        }
        self.save().await
    }

    /// Where none was live before: what we have started goes.
    async fn stop(&self) -> Result<()> {
        if !self.home.is_served(&self.step_context).await? {
            return Ok(());
        }
        let _lock = self.hold().await?;
        let processes = self.settled_processes().await?;
        let own = processes.iter().filter(|process| self.of.owner().has_started(process));
        let ids: Vec<u64> = own.filter_map(|process| process.id).collect();
        self.delete(&ids).await?;
        self.save().await
    }

    async fn apply(&self, changes: &Changes<'_>) -> Result<()> {
        self.delete(&changes.delete).await?;
        if !changes.run.is_empty() {
            let applications =
                changes.run.iter().map(|definition| definition.application(self.origin(&[]))).collect();
            let file = self.write("run.json", applications).await?;
            let reloaded = self.pm2(pm2::reload(&file)).await;
            self.home.remove(&[file], &self.step_context).await?;
            reloaded?;
        }
        if !changes.register.is_empty() {
            self.register(&changes.register).await?;
        }
        Ok(())
    }

    async fn delete(&self, ids: &[u64]) -> Result<()> {
        // A name that looks like an id would be taken for one.
        let processes = if ids.is_empty() { Vec::new() } else { self.processes().await? };
        if let Some(odd) =
            processes.iter().find(|process| ids.iter().any(|id| process.name == id.to_string()))
        {
            bail!(
                "an application is called {:?}, and PM2 cannot tell that from an id\nhint: name it otherwise",
                odd.name
            );
        }
        if !ids.is_empty() {
            self.pm2(pm2::delete(ids)).await?;
        }
        Ok(())
    }

    /// A file of applications, for PM2. To be removed: it may hold what the ecosystem file took from its environment.
    async fn write(&self, name: &str, applications: Vec<serde_json::Value>) -> Result<PathBuf> {
        self.home.write(name, &json!({ "apps": applications }).to_string(), &self.step_context).await
    }

    async fn pm2(&self, line: CommandLine) -> Result<String> {
        self.home.ask(&self.home.command(line), &self.step_context).await
    }

    async fn wanted(&self) -> Result<Vec<Definition>> {
        Ok(self.exported().await?.definitions)
    }

    async fn exported(&self) -> Result<Exported> {
        let file = ecosystem::find(&self.of.release, self.of.ecosystem.as_deref())?;
        // The file knows where it lies as node says it: without links.
        let places = [self.of.release.clone(), fs_err::canonicalize(&self.of.release)?];
        ecosystem::read(&file, self.origin(&places), &self.of.env_files, &self.step_context).await
    }

    fn origin<'o>(&'o self, places: &'o [PathBuf]) -> Origin<'o> {
        let Applications { deployment, through, .. } = self.of;
        let (environment, of_release) = (&self.lasting, &self.of_release);
        let block = self.of.block.as_ref();
        Origin { deployment, release: places, through, environment, of_release, block }
    }

    /// The lock, and a daemon: asked where none runs, PM2 would start one, empty, where it is ended with us.
    async fn hold(&self) -> Result<Lock> {
        let lock = self.home.lock(&self.step_context).await?;
        self.home.serve(self.of.privileges, &self.step_context).await?;
        Ok(lock)
    }

    /// A daemon, for those who only look and do not hold the lock.
    async fn attend(&self) -> Result<()> {
        if !self.home.is_served(&self.step_context).await? {
            self.hold().await?;
        }
        Ok(())
    }

    /// What there is. A daemon must be there.
    async fn processes(&self) -> Result<Vec<Pm2Process>> {
        let printed = self.pm2(pm2::list()).await?;
        pm2::processes(&printed).map_err(|error| anyhow!(error))
    }

    /// What there is once none of ours is being replaced any more: until then PM2 refuses to reload it.
    async fn settled_processes(&self) -> Result<Vec<Pm2Process>> {
        loop {
            let processes = self.processes().await?;
            let is_outgoing = |process: &Pm2Process| process.id.is_none() && self.of.owner().owns(process);
            if !processes.iter().any(is_outgoing) {
                return Ok(processes);
            }
            self.step_context.pause(PAUSE).await?;
        }
    }

    fn check_names(&self, wanted: &[Definition], processes: &[Pm2Process]) -> Result<()> {
        self.of.owner().check_names(wanted, processes).map_err(|error| anyhow!(error))
    }

    /// Whether a process was started in this very release, and runs. In place that cannot be seen.
    fn stands_in_release(
        &self,
        definition: &Definition,
        process: &Pm2Process,
        places: &ProcessPaths,
    ) -> bool {
        self.of.release != self.of.through
            && process.is_online()
            && process.variable(marks::RELEASE) == Some(&self.of.release_name)
            && places.get(&process.pid).is_some_and(|place| self.is_right_place(definition, place))
    }

    /// Where the deployment's processes stand, without links; nothing of one that has ended. Another user's, that user must ask for.
    async fn places(&self, processes: &[Pm2Process]) -> Result<ProcessPaths> {
        let online = processes.iter().filter(|process| process.is_online() && self.of.owner().owns(process));
        let links: BTreeMap<PathBuf, i32> =
            online.map(|process| (format!("/proc/{}/cwd", process.pid).into(), process.pid)).collect();
        if self.of.user.is_none() {
            let read = |(link, pid): (PathBuf, i32)| Some((pid, fs_err::read_link(link).ok()?));
            return Ok(links.into_iter().filter_map(read).collect());
        }
        let paths: Vec<PathBuf> = links.keys().cloned().collect();
        let found = files::links(&self.step_context.look(&files::read_links(&paths)).await?);
        Ok(found.into_iter().filter_map(|(link, place)| Some((*links.get(&link)?, place))).collect())
    }

    /// Whether a process of an application may stand there.
    fn is_right_place(&self, definition: &Definition, place: &Path) -> bool {
        let release = fs_err::canonicalize(&self.of.release).unwrap_or_else(|_| self.of.release.clone());
        // A directory outside the release is the same for every release.
        !definition.directory.starts_with(&self.of.through) || place.starts_with(release)
    }

    /// The processes of what is not started by a clock.
    fn lasting_processes<'p>(
        wanted: &'p [Definition],
        processes: &'p [Pm2Process],
    ) -> impl Iterator<Item = (&'p Definition, Vec<&'p Pm2Process>)> {
        let lasting = wanted.iter().filter(|definition| !definition.scheduled);
        lasting.map(|definition| (definition, of(definition, processes).collect()))
    }
}

/// Of no user's own.
#[cfg(test)]
pub fn sample() -> Applications {
    Applications {
        deployment: Slug::parse("api").unwrap(),
        path: "/srv/api".into(),
        release: "/srv/api/releases/1".into(),
        release_name: "1".into(),
        through: "/srv/api/current".into(),
        ecosystem: None,
        block: None,
        env_files: Vec::new(),
        privileges: Privileges::Direct,
        user: None,
        locks: PathBuf::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_is_shown() {
        let applications = sample();
        let starts = [pm2::ping(), pm2::resurrect()];
        let changes =
            [pm2::delete(&[1]), pm2::reload(Path::new("x")), pm2::start(Path::new("x")), pm2::save()];
        for (action, lines) in [
            (ManagerAction::Check, starts.to_vec()),
            (ManagerAction::Run, [&starts[..], &changes].concat()),
            (ManagerAction::Prove, starts.to_vec()),
            (ManagerAction::Stop, vec![pm2::delete(&[1]), pm2::save()]),
        ] {
            let shown = applications.shown(action);
            for line in lines.into_iter().chain([pm2::list()]) {
                let words = line.argv()[..2].join(" ");
                assert!(shown.contains(&words), "{words:?} in {shown}");
            }
            assert!(action == ManagerAction::Stop || shown.contains("node --eval"), "{shown}");
        }
    }
}
