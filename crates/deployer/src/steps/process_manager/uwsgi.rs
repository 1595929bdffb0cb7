//! A vassal of uWSGI's emperor, as a process manager.
//!
//! The emperor is not spoken to: it looks at its vassals' files every few seconds and reloads a vassal whose file has become younger.
//! How (2.0.21, found by experiment, with directories and patterns alike): it compares whole seconds, only ever
//! forwards, and follows links unless it was started with `--emperor-nofollow`, when it sees the link's own time. So the file
//! and the link to it both get a time that is a second later than either had; the link's own, which outlives releases, remembers
//! the last one where the file lies in a release. That link is the one that is followed: it lies in the emperor's directory, and whoever writes there
//! has the emperor run anything. What a build puts in the place of its file (a link to another vassal's file, or to any other) is not touched.
//!
//! A reload keeps the master's process (it executes itself again), so it is the workers that must all be others than
//! before. They are found by the vassal's file in their master's arguments, or by its pid file. Any local process may have such arguments, so
//! who started the master counts as well ([`Trusted`]). A program that cannot be loaded may
//! only show some moments later, so the proof looks for a while. What a worker answers is for health checks to ask.

use super::ManagerAction;
use crate::base::clock;
use crate::base::files::safe_path::{self, FoundFile, Refused, read_small};
use crate::base::names::{UnitName, UserName};
use crate::config::CommandLine;
use crate::process::process_table::{self, Process};
use crate::process::step_context::StepContext;
use crate::process::step_user;
use crate::process::tools::uwsgi::{pid_file, runs_vassal};
use crate::process::tools::{files, systemctl};
use crate::steps::finding::Finding;
use crate::steps::release::CURRENT;
use anyhow::{Context, Result, bail};
use fs_err as fs;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// How long a reload may take: the emperor's look around (3 s), the mercy that old workers get for their last requests (60 s), and
/// the start of the new ones.
const RELOAD_WAIT_MAX: Duration = Duration::from_secs(120);

/// How long a vassal may take to end: the same mercy.
const STOP_WAIT_MAX: Duration = Duration::from_secs(75);

/// How long a look at files may take: what a build has put there may lie on a file system that does not answer.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// More than any vassal's file has.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a worker must run to count as running.
const SETTLE: Duration = Duration::from_secs(3);

/// How often the proof begins again because no worker stayed: the emperor may reload a second time where it saw the link
/// `current` change before the file was touched.
const SETTLE_ROUNDS_MAX: u32 = 3;

/// Masters that may be seen one after another before the vassal counts as one that does not stay up.
const MASTERS_MAX: usize = 4;

/// Who inherits processes whose parent has ended.
const INIT: i32 = 1;

/// The first number of a person's account (Debian's `UID_MIN`).
const FIRST_PERSON: u32 = 1000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vassal {
    /// Its file, as the emperor sees it.
    pub config: PathBuf,
    /// What that is made a link to where it does not exist.
    pub source: Option<PathBuf>,
    /// Where releases lie, of which a worker must stand in none but the right one. None in place.
    pub releases: Option<PathBuf>,
    /// The deployment's own user, as whom it is to run. As whom it does, is said by the emperor, its file, or whose that is.
    #[serde(default)]
    pub runs_as: Option<UserName>,
}

/// The processes of a vassal.
#[derive(Debug, Default)]
struct Running {
    masters: Vec<Process>,
    workers: Vec<Process>,
    /// Where those stand that only the deployment's own user can look into.
    places: BTreeMap<i32, PathBuf>,
}

impl Vassal {
    pub async fn grant(&self, action: ManagerAction, step_context: &StepContext<'_>) -> Result<()> {
        match action {
            // What is missing is found by the recipe's own first steps.
            ManagerAction::Check => Ok(()),
            ManagerAction::Run => self.reload(step_context).await,
            ManagerAction::Prove => self.prove(step_context).await,
            ManagerAction::Stop => self.stop(step_context).await,
        }
    }

    pub async fn look(&self, step_context: &StepContext<'_>) -> Result<Vec<Finding>> {
        let config = self.config.display();
        let mut running = self.running(step_context).await?;
        if running.workers.is_empty() {
            return Ok(vec![Finding::ProcessesDown {
                what: format!("the vassal {config} has no workers"),
                mend: "see that uWSGI's emperor runs (`systemctl status uwsgi-emperor`), and what its log says of the vassal".into(),
            }]);
        }
        running.look(step_context).await;
        let mut findings = Vec::new();
        if let Some(old) = running.old(&BTreeSet::new(), self, step_context.directory).first() {
            let place = running.place(old).unwrap_or_default();
            findings.push(Finding::ProcessesElsewhere {
                what: format!("the vassal {config} runs {}, which is not the live release", place.display()),
            });
        }
        findings.extend(self.emperor(&running, step_context).await);
        Ok(findings)
    }

    /// Whether the emperor, whose unit is known by its control group, is started at boot.
    async fn emperor(&self, running: &Running, step_context: &StepContext<'_>) -> Option<Finding> {
        let emperor = running.masters.first()?.parent;
        let cgroups = fs::read_to_string(format!("/proc/{emperor}/cgroup")).ok()?;
        let unit = systemctl::service_of(&cgroups)?;
        let printed = step_context
            .look_as_deployer(&systemctl::show(false, &[UnitName::parse(&unit).ok()?]))
            .await
            .ok()?;
        let state = systemctl::states(&printed).into_iter().next()?;
        (!state.is_enabled).then_some(Finding::UnitNotEnabled {
            unit,
            has_install: state.has_install,
            user: false,
        })
    }

    pub fn shown(&self, action: ManagerAction) -> String {
        let config = self.config.display();
        match action {
            ManagerAction::Check => format!("nothing about {config}"),
            ManagerAction::Run => format!("touch {config} and wait for new workers"),
            ManagerAction::Prove => format!("look whether the workers of {config} stay"),
            ManagerAction::Stop => format!("end the vassal {config}"),
        }
    }

    async fn reload(&self, step_context: &StepContext<'_>) -> Result<()> {
        let before = self.running(step_context).await?;
        if self.link()? {
            step_context.note(format!("{} is a link to the repository's file now", self.config.display()));
        } else {
            self.touch(step_context).await?;
        }
        let before = before.workers.iter().map(Process::identity).collect();
        self.wait_for_others(&before, step_context).await
    }

    /// Whether the file had to be made.
    fn link(&self) -> Result<bool> {
        let config = self.config.display();
        match self.config.symlink_metadata() {
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot look at {config}")),
        }
        let Some(source) = &self.source else { bail!("{config} does not exist") };
        // With --emperor-tyrant a vassal runs as whose file it is, and else as the file says, which whoever can push has written.
        if let Some(user) = &self.runs_as {
            bail!(
                "{config} does not exist, and only root can say that it runs as {user}\nhint: with an emperor that has `emperor-tyrant` and `emperor-nofollow`, or that runs as {user}: ln -s {} {config} && chown --no-dereference {user} {config}",
                source.display()
            );
        }
        fs::os::unix::fs::symlink(source, &self.config)
            .context("cannot make the vassal's file\nhint: its directory must be writable for us")?;
        Ok(true)
    }

    /// Makes the file, and the link to it if it is one, younger than the emperor can have seen them.
    async fn touch(&self, step_context: &StepContext<'_>) -> Result<()> {
        let own = fs::symlink_metadata(&self.config)?;
        let (vassal, release) = (self.clone(), step_context.directory.to_owned());
        let file = safe_path::off_thread(&self.config, LOOK_MAX, move || vassal.file(&release)).await?;
        let seen = own.mtime().max(file.modified_at());
        let seconds = clock::now().as_second().max(seen.saturating_add(1));
        let mut refusals = Vec::new();
        for (file, owner) in [(Some(&file), file.owner()), (None, own.uid())] {
            match self.set_time(seconds, file, step_context).await {
                Ok(()) => {}
                Err(Errno::PERM | Errno::ACCESS | Errno::ROFS) => {
                    // As the deployment's own user, who may touch what is its own, wherever a link leads.
                    let touch = files::touch(&self.config, seconds, file.is_none());
                    if !(step_context.has_own_user() && step_context.look(&touch).await.is_ok()) {
                        refusals.push(owner);
                    }
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot touch {}", self.config.display()));
                }
            }
        }
        match refusals[..] {
            [] => Ok(()),
            // Which of the two the emperor looks at is not known here. The wait for new workers shows it.
            [owner] if own.is_symlink() => {
                let config = self.config.display();
                step_context.note(format!("of {config}, only one of link and file could be touched: the other belongs to user {owner}"));
                Ok(())
            }
            [owner, ..] => bail!(
                "{} cannot be touched: it belongs to user {owner}\nhint: chown --no-dereference {} {}",
                self.config.display(),
                rustix::process::geteuid().as_raw(),
                self.config.display()
            ),
        }
    }

    /// The vassal's file itself, of which nothing is known but that it is a regular file: in the release, or where an administrator's link leads.
    fn file(&self, release: &Path) -> Result<FoundFile, Refused> {
        let directory = self.config.parent().unwrap_or(Path::new("/"));
        let target = match fs::read_link(&self.config) {
            Ok(target) => directory.join(target),
            Err(_) => self.config.clone(),
        };
        let path = self.releases.as_deref().and_then(Path::parent);
        let of_build = match path {
            Some(path) => match target.strip_prefix(path.join(CURRENT)) {
                // `current` is the deployer's own link, and leads to this release.
                Ok(inside) => Some((release, release.join(inside))),
                Err(_) => target.starts_with(path).then(|| (path, target.clone())),
            },
            None => target.starts_with(release).then(|| (release, target.clone())),
        };
        if let Some((root, file)) = of_build {
            let found = safe_path::find_now(root, &file)?;
            return match found.has_several_names() {
                true => Err(Refused::Link(file)),
                false => Ok(found),
            };
        }
        let place = target.parent().and_then(|parent| fs::canonicalize(parent).ok());
        let (Some(place), Some(name)) = (place, target.file_name()) else {
            return Err(Refused::Missing(target));
        };
        safe_path::find_now(&place, &place.join(name))
    }

    /// Sets the time of the file, or without one of the link to it. Who may only write the file may set it to now; that is waited for where it
    /// has to be.
    async fn set_time(
        &self,
        seconds: i64,
        file: Option<&FoundFile>,
        step_context: &StepContext<'_>,
    ) -> Result<(), Errno> {
        let set = |times: &Timestamps| match file {
            Some(file) => file.set_times(times),
            None => utimensat(CWD, &self.config, times, AtFlags::SYMLINK_NOFOLLOW),
        };
        let omitted = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let at = |time| Timestamps { last_access: omitted, last_modification: time };
        let exactly = at(Timespec { tv_sec: seconds, tv_nsec: 0 });
        match set(&exactly) {
            Err(Errno::PERM) => {}
            result => return result,
        }
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let now = Timestamps { last_access: now, last_modification: now };
        set(&now)?;
        let missing = u64::try_from(seconds - clock::now().as_second()).unwrap_or_default();
        if missing == 0 {
            return Ok(());
        }
        let wait = Duration::from_secs(missing).min(RELOAD_WAIT_MAX);
        step_context.pause(wait).await.map_err(|_| Errno::TIMEDOUT)?;
        set(&now)
    }

    /// Waits until there are workers, and none of these.
    async fn wait_for_others(
        &self,
        before: &BTreeSet<(i32, u64)>,
        step_context: &StepContext<'_>,
    ) -> Result<()> {
        let config = self.config.display();
        let limit = RELOAD_WAIT_MAX.min(step_context.left().saturating_sub(2 * LOOK_INTERVAL));
        let started = Instant::now();
        let mut masters = BTreeSet::new();
        loop {
            let running = self.running(step_context).await?;
            let old = running.old(before, self, step_context.directory);
            if old.is_empty() && !running.workers.is_empty() {
                running.note(self, step_context);
                return Ok(());
            }
            masters.extend(running.masters.iter().map(Process::identity));
            if masters.len() > MASTERS_MAX {
                bail!(
                    "the vassal {config} does not stay up: uWSGI has started it again and again\nhint: its log says why"
                );
            }
            if started.elapsed() >= limit {
                let found = match (running.masters.len(), old.len()) {
                    (0, _) => format!("no process of the vassal {config} is there"),
                    (_, 0) => format!("the vassal {config} has no workers"),
                    (_, old) => format!("{old} old workers of {config} are still there"),
                };
                bail!(
                    "{found} after {limit:.0?}\nhint: is the emperor running, does it watch {}, and has the vassal `master = true`? uWSGI's log says more",
                    self.config.parent().unwrap_or(Path::new("/")).display()
                );
            }
            step_context.pause(LOOK_INTERVAL).await?;
        }
    }

    async fn prove(&self, step_context: &StepContext<'_>) -> Result<()> {
        for _ in 0..SETTLE_ROUNDS_MAX {
            let first = self.running(step_context).await?;
            step_context.pause(SETTLE).await?;
            let mut second = self.running(step_context).await?;
            second.look(step_context).await;
            let stayed = |process: &&Process| {
                first.workers.iter().any(|earlier| earlier.identity() == process.identity())
            };
            let old = second.old(&BTreeSet::new(), self, step_context.directory);
            if old.is_empty() && second.workers.iter().filter(stayed).count() > 0 {
                second.note(self, step_context);
                return Ok(());
            }
        }
        let config = self.config.display();
        bail!("the workers of the vassal {config} do not stay\nhint: its log says why")
    }

    /// Ends the vassal. Its file goes if we made it; else the emperor will try, and fail, as it did before.
    async fn stop(&self, step_context: &StepContext<'_>) -> Result<()> {
        let config = self.config.display();
        let is_ours = self.source.is_some() && fs::read_link(&self.config).ok() == self.source;
        if is_ours {
            fs::remove_file(&self.config)?;
            let started = Instant::now();
            while !self.running(step_context).await?.masters.is_empty() {
                if started.elapsed() >= STOP_WAIT_MAX {
                    bail!("the vassal {config} is still running {STOP_WAIT_MAX:.0?} after its file has gone");
                }
                step_context.pause(LOOK_INTERVAL).await?;
            }
            return Ok(());
        }
        for master in self.masters_by_arguments(&process_table::all()?) {
            let ended = rustix::process::Pid::from_raw(master.pid)
                .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::INT));
            let Some(Err(error)) = ended else { continue };
            let words =
                ["/bin/sh", "-c", "kill -INT \"$1\"", "sh", &master.pid.to_string()].map(str::to_owned);
            if !(step_context.has_own_user()
                && step_context.look(&CommandLine::Argv(words.to_vec())).await.is_ok())
            {
                step_context.note(format!("the vassal {config} goes on running: {error}"));
            }
        }
        Ok(())
    }

    async fn running(&self, step_context: &StepContext<'_>) -> Result<Running> {
        let (vassal, release) = (self.clone(), step_context.directory.to_owned());
        safe_path::off_thread(&self.config, LOOK_MAX, move || Ok(vassal.running_now(&release))).await?
    }

    fn running_now(&self, release: &Path) -> Result<Running> {
        let processes = process_table::all()?;
        let mut masters = self.masters_by_arguments(&processes);
        if masters.is_empty() {
            let file = self.file(release).and_then(|found| found.read_text(&self.config, FILE_BYTES_MAX));
            let text = file.unwrap_or_default();
            // Where it lies, the vassal's file says: links are followed, and of what is found only a number is used.
            let number =
                pid_file(&self.config, &text).and_then(|file| read_small(&file)?.trim().parse::<i32>().ok());
            masters.extend(processes.iter().find(|process| Some(process.pid) == number).cloned());
        }
        let is_worker = |process: &&Process| masters.iter().any(|master| master.pid == process.parent);
        let workers = processes.iter().filter(is_worker).cloned().collect();
        Ok(Running { masters, workers, places: BTreeMap::new() })
    }

    /// Those that run the file, whose parent does not, and that an emperor has started or somebody who may be one.
    fn masters_by_arguments(&self, processes: &[Process]) -> Vec<Process> {
        let trusted = Trusted::now(self.runs_as.as_ref());
        let emperor_of = |process: &Process| {
            let emperor = processes.iter().find(|other| other.pid == process.parent)?;
            emperor.directory()
        };
        // A process knows the directory it stands in without the links that may lead there.
        let parent = self.config.parent().and_then(|parent| fs::canonicalize(parent).ok());
        let real = parent.unwrap_or_default().join(self.config.file_name().unwrap_or_default());
        let runs_in = |process: &Process, directory: Option<&Path>| {
            [&self.config, &real].iter().any(|config| runs_vassal(&process.arguments, directory, config))
        };
        let runs = |process: &Process| runs_in(process, None);
        let all: Vec<&Process> = processes.iter().filter(|process| runs(process)).collect();
        let is_worker = |process: &Process| all.iter().any(|other| other.pid == process.parent);
        let parent_of = |process: &Process| processes.iter().find(|other| other.pid == process.parent);
        let is_started = |process: &Process| match parent_of(process).filter(|parent| parent.pid != INIT) {
            Some(parent) => is_uwsgi(parent) && parent.user().is_some_and(|user| trusted.is_emperor(user)),
            None => process.user().is_some_and(|user| trusted.is_emperor(user)),
        };
        let masters = all.iter().filter(|process| !is_worker(process) && is_started(process));
        let ours = masters.filter(|process| runs_in(process, emperor_of(process).as_deref()));
        ours.map(|process| (*process).clone()).collect()
    }
}

/// Users of whom a process may be uWSGI's emperor. A local process with the right arguments is not one yet: else whoever runs something
/// here, another deployment's application too, could make a reload fail, or look done.
#[derive(Debug)]
struct Trusted {
    own: BTreeSet<u32>,
    of_deployments: BTreeSet<u32>,
}

impl Trusted {
    /// The deployer, this deployment's own user; and not those of others.
    fn now(runs_as: Option<&UserName>) -> Self {
        let own = [rustix::process::geteuid().as_raw()].into_iter().chain(runs_as.and_then(step_user::id));
        Self { own: own.collect(), of_deployments: step_user::ids() }
    }

    /// Root, its own, or an account that root has made for a service, as Debian's emperor is www-data. People are no services.
    fn is_emperor(&self, user: u32) -> bool {
        let is_service = user < FIRST_PERSON && !self.of_deployments.contains(&user);
        is_service || self.own.contains(&user)
    }
}

/// Whether it calls itself uWSGI: root also starts what cron and sshd are asked for by anybody.
fn is_uwsgi(process: &Process) -> bool {
    let name = process.arguments.first().and_then(|program| Path::new(program).file_name()?.to_str());
    name.is_some_and(|name| name.to_ascii_lowercase().contains("uwsgi"))
}

impl Running {
    /// Asks where the workers stand, as the deployment's own user.
    async fn look(&mut self, step_context: &StepContext<'_>) {
        let unseen = self.workers.iter().filter(|worker| worker.directory().is_none());
        let links: BTreeMap<PathBuf, i32> =
            unseen.map(|worker| (format!("/proc/{}/cwd", worker.pid).into(), worker.pid)).collect();
        if links.is_empty() || !step_context.has_own_user() {
            return;
        }
        let paths: Vec<PathBuf> = links.keys().cloned().collect();
        if let Ok(printed) = step_context.look(&files::read_links(&paths)).await {
            let found = files::links(&printed).into_iter();
            self.places = found.filter_map(|(link, place)| Some((*links.get(&link)?, place))).collect();
        }
    }

    fn place(&self, process: &Process) -> Option<PathBuf> {
        self.places.get(&process.pid).cloned().or_else(|| process.directory())
    }

    /// The workers that were there before, or stand in another release than this.
    fn old(&self, before: &BTreeSet<(i32, u64)>, vassal: &Vassal, release: &Path) -> Vec<&Process> {
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let (release, releases) = (real(release), vassal.releases.as_deref().map(real));
        let elsewhere = |process: &Process| {
            let (Some(releases), Some(found)) = (&releases, self.place(process)) else { return false };
            found.starts_with(releases) && !found.starts_with(&release)
        };
        let is_old = |process: &&Process| before.contains(&process.identity()) || elsewhere(process);
        self.workers.iter().filter(is_old).collect()
    }

    fn note(&self, vassal: &Vassal, step_context: &StepContext<'_>) {
        let config = vassal.config.display();
        let pids: Vec<String> = self.workers.iter().map(|worker| worker.pid.to_string()).collect();
        step_context.note(format!("workers of {config}: {}", pids.join(", ")));
        let complaint = |process: &Process| {
            let what = format!("process {} of the vassal {config}", process.pid);
            step_user::complaint(vassal.runs_as.as_ref()?, &what, process.user()?)
        };
        // One says enough.
        if let Some(complaint) = self.masters.iter().chain(&self.workers).find_map(complaint) {
            step_context.note(format!(
                "WARNING: {complaint}\nhint: an emperor with `emperor-tyrant` runs a vassal as whose file it is; or write `uid` and `gid` in a file that only root can change"
            ));
        }
        if vassal.releases.is_some() && self.workers.iter().all(|worker| self.place(worker).is_none()) {
            step_context.note("they are another user's: where they stand cannot be seen, only that they were started after the reload");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn people_and_other_deployments_have_no_emperor() {
        let trusted = Trusted { own: [997, 1001].into(), of_deployments: [996, 995, 1001].into() };
        for (user, expected) in [
            (0, true),
            (33, true),
            (997, true),
            (1001, true),
            (996, false),
            (995, false),
            (1000, false),
            (65534, false),
        ] {
            assert_eq!(trusted.is_emperor(user), expected, "{user}");
        }
        let called = |arguments: &[&str]| {
            is_uwsgi(&Process {
                pid: 2,
                parent: 1,
                started_ticks: 0,
                arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            })
        };
        assert!(
            called(&["/usr/bin/uwsgi", "--emperor", "/etc/uwsgi"])
                && called(&["uWSGI master"])
                && called(&["uwsgi-core"])
        );
        assert!(!called(&["/usr/sbin/cron", "-f"]) && !called(&["/srv/uwsgi/sh"]) && !called(&[]));
    }

    #[test]
    fn a_vassals_file_is_touched_and_no_other_that_a_build_has_named() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |path: &str| scratch.path().join(path);
        for directory in ["vassals", "apps", "site/releases/1/deploy"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        symlink("releases/1", at("site/current")).unwrap();
        for file in ["vassals/other.ini", "vassals/plain.ini", "apps/app.ini", "site/releases/1/good.ini"] {
            fs::write(at(file), "[uwsgi]").unwrap();
        }
        symlink(at("vassals/other.ini"), at("site/releases/1/link.ini")).unwrap();
        symlink(at("vassals"), at("site/releases/1/way")).unwrap();
        fs::hard_link(at("vassals/other.ini"), at("site/releases/1/hard.ini")).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let file_times = std::fs::FileTimes::new().set_modified(long_ago);
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: 2_000_000, tv_nsec: 0 },
        };
        for (link, target) in [
            ("app.ini", at("apps/app.ini")),
            ("relative.ini", "../apps/app.ini".into()),
            ("good.ini", at("site/current/good.ini")),
            ("link.ini", at("site/current/link.ini")),
            ("way.ini", at("site/current/way/other.ini")),
            ("up.ini", at("site/current/../../vassals/other.ini")),
            ("direct.ini", at("site/releases/1/link.ini")),
            ("hard.ini", at("site/current/hard.ini")),
            ("directory.ini", at("site/current/deploy")),
            ("nowhere.ini", at("site/current/nothing.ini")),
        ] {
            symlink(target, at("vassals").join(link)).unwrap();
        }
        for (config, touched) in [
            ("plain.ini", Some("vassals/plain.ini")),
            ("app.ini", Some("apps/app.ini")),
            ("relative.ini", Some("apps/app.ini")),
            ("good.ini", Some("site/releases/1/good.ini")),
            ("link.ini", None),
            ("way.ini", None),
            ("up.ini", None),
            ("direct.ini", None),
            ("hard.ini", None),
            ("directory.ini", None),
            ("nowhere.ini", None),
            ("missing.ini", None),
        ] {
            let all = ["vassals/other.ini", "vassals/plain.ini", "apps/app.ini", "site/releases/1/good.ini"];
            for file in all {
                std::fs::File::options().write(true).open(at(file)).unwrap().set_times(file_times).unwrap();
            }
            let vassal = Vassal {
                config: at("vassals").join(config),
                source: None,
                releases: Some(at("site/releases")),
                runs_as: None,
            };
            let found = vassal.file(&at("site/releases/1"));
            assert_eq!(found.is_ok(), touched.is_some(), "{config}: {found:?}");
            if let Ok(found) = found {
                found.set_times(&times).unwrap();
            }
            for file in all {
                let modified = at(file).metadata().unwrap().mtime();
                let expected = if touched == Some(file) { 2_000_000 } else { 1_000_000 };
                assert_eq!(modified, expected, "{config}: {file}");
            }
        }
    }
}
