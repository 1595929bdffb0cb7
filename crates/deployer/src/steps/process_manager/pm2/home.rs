//! PM2's home (`PM2_HOME`, else `~/.pm2`), what of ours lies in it, and the daemon that serves it.
//!
//! The daemon must outlive us, and with it every application: so it is never left where we are ended. PM2 gives it a session of
//! its own. In a systemd service that is not enough, as systemd ends the service's whole control group: there it is
//! started by systemd, as the unit that `pm2 startup` has made, or else as a transient one.
//!
//! All deployments and instances of a user share one daemon, and what it saves. One lock, beside its files, orders them.
//!
//! Where the deployment has a user of its own, all of this is that user's: PM2's home, the daemon, and what of ours lies beside. The daemon is a
//! unit that root has enabled (`durhack-deployer-pm2@USER.service`), `pm2` is called as that user, and so is whatever reads or
//! writes a file there. The deployer opens nothing of it: the user may exchange any name in it at any moment. Only the lock is the deployer's.

use super::Applications;
use crate::base::names::{UnitName, UserName};
use crate::config::{CommandLine, Privileges};
use crate::process::command::Command;
use crate::process::executor::RunMode;
use crate::process::lock::{self, Lock};
use crate::process::step_context::StepContext;
use crate::process::step_user;
use crate::process::tools::{files, pm2, systemctl};
use anyhow::{Context, Result, bail};
use fs_err::os::unix::fs::OpenOptionsExt;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two attempts to take the lock, or to find the daemon there.
const RETRY: Duration = Duration::from_millis(200);

/// How long a daemon may take until it listens: it starts what was saved, too.
const START_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Home {
    directory: PathBuf,
    /// Whose it is, where it is not the deployer's.
    user: Option<UserName>,
    /// Where the lock lies.
    locks: PathBuf,
}

impl Home {
    /// Where PM2 has it: with a user of the deployment's own, that user's; else by what programs here see.
    pub fn of(applications: &Applications, step_context: &StepContext<'_>) -> Result<Self> {
        if let Some(user) = applications.user.clone() {
            let directory = step_user::pm2_home(&user);
            let locks = applications.locks.join(user.as_str());
            return Ok(Self { directory, user: Some(user), locks });
        }
        let directory = match (step_context.variable("PM2_HOME"), step_context.variable("HOME")) {
            (Some(home), _) if !home.is_empty() => PathBuf::from(home),
            (_, Some(home)) => Path::new(&home).join(".pm2"),
            _ => bail!("neither PM2_HOME nor HOME is set\nhint: `environment = {{ PM2_HOME = \"...\" }}`"),
        };
        if !directory.is_absolute() {
            bail!("PM2_HOME is {}, which is not absolute", directory.display());
        }
        let private = private(&directory, "");
        fs_err::create_dir_all(&private)?;
        fs_err::set_permissions(&private, Permissions::from_mode(0o700))?;
        Ok(Self { directory, user: None, locks: private })
    }

    /// A place of ours in it, which only its owner can read.
    pub fn private(&self, name: &str) -> PathBuf {
        private(&self.directory, name)
    }

    /// Writes a file of ours that may hold secrets.
    pub async fn write(&self, name: &str, content: &str, step_context: &StepContext<'_>) -> Result<PathBuf> {
        let path = self.private(name);
        if self.user.is_some() {
            let (line, environment) = files::write(&path, content)?;
            self.see(Command { environment, ..self.command(line) }, step_context).await?;
            return Ok(path);
        }
        let mut options = fs_err::OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        options.open(&path)?.write_all(content.as_bytes())?;
        Ok(path)
    }

    /// Removes files of ours.
    pub async fn remove(&self, paths: &[PathBuf], step_context: &StepContext<'_>) -> Result<()> {
        if self.user.is_some() {
            return self.see(self.command(files::remove_files(paths)), step_context).await.map(drop);
        }
        for path in paths {
            match fs_err::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Waits until nobody else changes what this daemon runs.
    pub async fn lock(&self, step_context: &StepContext<'_>) -> Result<Lock> {
        let mut told = false;
        loop {
            if let Some(lock) = lock::try_acquire(&self.locks, "pm2")? {
                return Ok(lock);
            }
            if !told {
                step_context.note("another deployment is at PM2: waiting for it");
                told = true;
            }
            step_context.pause(RETRY).await.context("another deployment was at PM2 all the time")?;
        }
    }

    /// Writes down what runs, for the next boot, whatever was written down before. The lock must be held. What is written may hold secrets.
    pub async fn save(&self, step_context: &StepContext<'_>) -> Result<()> {
        self.ask(&self.command(pm2::save()), step_context).await?;
        // Another user's home is closed as a whole.
        for name in ["dump.pm2", "dump.pm2.bak"].iter().filter(|_| self.user.is_none()) {
            let path = self.directory.join(name);
            if path.exists() {
                fs_err::set_permissions(&path, Permissions::from_mode(0o600))?;
            }
        }
        Ok(())
    }

    /// What is saved; nothing where that cannot be read, as PM2 has it.
    pub async fn saved(&self, step_context: &StepContext<'_>) -> String {
        let path = self.directory.join("dump.pm2");
        match self.user {
            Some(_) => self.see(self.command(files::read(&path)), step_context).await.unwrap_or_default(),
            None => fs_err::read_to_string(path).unwrap_or_default(),
        }
    }

    /// Whether that was saved since the daemon runs: by then it had started what was saved before.
    pub async fn is_saved_since_start(&self, step_context: &StepContext<'_>) -> bool {
        let [saved, started] = ["dump.pm2", "pm2.pid"].map(|name| self.directory.join(name));
        if self.user.is_some() {
            let asked = self.see(self.command(files::is_newer(&saved, &started)), step_context).await;
            return asked.is_ok_and(|answer| answer.trim() == "yes");
        }
        let written = |path: &Path| fs_err::metadata(path).and_then(|found| found.modified());
        matches!((written(&saved), written(&started)), (Ok(saved), Ok(started)) if saved > started)
    }

    /// Makes a home beside it, from which links lead to the daemon's sockets.
    pub async fn make_beside(&self, name: &str, step_context: &StepContext<'_>) -> Result<PathBuf> {
        let beside = self.private(name);
        let sockets = ["rpc.sock", "pub.sock"];
        if self.user.is_some() {
            let line = files::make_beside(&beside, &sockets.map(|name| self.directory.join(name)));
            self.see(self.command(line), step_context).await?;
            return Ok(beside);
        }
        fs_err::create_dir_all(&beside)?;
        for socket in sockets {
            let link = beside.join(socket);
            if fs_err::symlink_metadata(&link).is_err() {
                fs_err::os::unix::fs::symlink(self.directory.join(socket), &link)?;
            }
        }
        // PM2 greets whom it does not know with a banner and a question to its makers.
        fs_err::write(beside.join("touch"), "")?;
        Ok(beside)
    }

    /// A call of PM2. Not in the release: the daemon would stand there when the release is removed.
    pub fn command(&self, line: CommandLine) -> Command {
        let directory = self.user.as_ref().map_or_else(|| self.directory.clone(), step_user::home);
        // Whatever is configured: its unit has it so.
        let home = ("PM2_HOME".to_owned(), self.directory.to_string_lossy().into_owned());
        let environment = self.user.iter().map(|_| home.clone()).collect();
        Command { line, directory, environment, env_files: Vec::new() }
    }

    /// Calls PM2, or what belongs to it, as whose it is. The call is in the log.
    pub async fn ask(&self, command: &Command, step_context: &StepContext<'_>) -> Result<String> {
        step_context.ask(command, self.run_mode(step_context)).await
    }

    /// The same, not in the log.
    async fn see(&self, command: Command, step_context: &StepContext<'_>) -> Result<String> {
        step_context.listen(&command, self.run_mode(step_context)).await
    }

    fn run_mode<'w>(&self, step_context: &StepContext<'w>) -> RunMode<'w> {
        match self.user {
            Some(_) => RunMode::StepAnswer(step_context.walls.own.as_ref()),
            None => RunMode::Answer,
        }
    }

    /// Whether the daemon runs, found out without starting it.
    pub async fn is_served(&self, step_context: &StepContext<'_>) -> Result<bool> {
        let Some(user) = &self.user else {
            return Ok(UnixStream::connect(self.directory.join("rpc.sock")).is_ok());
        };
        let line = systemctl::show(false, &[UnitName::parse(&step_user::pm2_unit(user))?]);
        let command =
            Command { line, directory: "/".into(), environment: BTreeMap::new(), env_files: Vec::new() };
        let printed = step_context.listen(&command, RunMode::Answer).await?;
        Ok(systemctl::states(&printed).first().is_some_and(systemctl::UnitState::is_active))
    }

    /// Sees to it that the daemon runs, and not where it would be ended with us. The lock must be held.
    pub async fn serve(&self, privileges: Privileges, step_context: &StepContext<'_>) -> Result<()> {
        if self.is_served(step_context).await? {
            if let Some(unit) = self.ends_with_us() {
                step_context.note(format!(
                    "WARNING: the PM2 daemon stands in our own service {unit}: when that is stopped, every application is. hint: `pm2 save && pm2 kill`, and deploy again"
                ));
            }
            return Ok(());
        }
        if let Some(user) = &self.user {
            let unit = UnitName::parse(&step_user::pm2_unit(user))?;
            let start = systemctl::verb(privileges, false, "start", &unit);
            step_context.call(&start).await.with_context(|| {
                format!("PM2 of {user} does not run, and cannot be started\nhint: `durhack-deployer setup`, as root, has systemd start {unit}, now and at every boot; `journalctl -u {unit}` says why it does not run")
            })?;
            return self.wait(step_context).await;
        }
        // What was saved is not forgotten because the daemon was gone.
        let line = if self.directory.join("dump.pm2").is_file() { pm2::resurrect() } else { pm2::ping() };
        let Some(service) = own_service() else {
            step_context.ask(&self.command(line), RunMode::ManagerStart).await?;
            return self.wait(step_context).await;
        };
        step_context.note(format!("we are in {service}: systemd is to start the PM2 daemon, outside it"));
        let Err(by_unit) = self.start_by_unit(privileges, step_context).await else { return Ok(()) };
        let Err(by_transient) = self.start_by_transient(&line, step_context).await else { return Ok(()) };
        bail!(
            "the PM2 daemon does not run, and cannot be started outside {service}: {by_transient:#}; {by_unit:#}\n\
             hint: `pm2 startup` makes a unit for PM2, `loginctl enable-linger` lets the user have services"
        )
    }

    /// As the unit that `pm2 startup` makes.
    async fn start_by_unit(&self, privileges: Privileges, step_context: &StepContext<'_>) -> Result<()> {
        let user =
            step_context.variable("USER").or_else(|| step_context.variable("LOGNAME")).unwrap_or_default();
        let unit = UnitName::parse(&format!("pm2-{user}.service"))?;
        let start = self.command(systemctl::verb(privileges, false, "start", &unit));
        step_context.ask(&start, RunMode::Answer).await?;
        self.wait(step_context).await
    }

    /// As a unit that is there as long as the daemon is.
    async fn start_by_transient(&self, line: &CommandLine, step_context: &StepContext<'_>) -> Result<()> {
        step_context.ask(&self.command(self.transient(line, step_context)), RunMode::Answer).await?;
        self.wait(step_context).await
    }

    fn transient(&self, line: &CommandLine, step_context: &StepContext<'_>) -> CommandLine {
        let mut words = vec!["systemd-run".to_owned()];
        if !rustix::process::getuid().is_root() {
            // The user's manager is not looked for where there is no login.
            let runtime = format!("XDG_RUNTIME_DIR=/run/user/{}", rustix::process::getuid().as_raw());
            words = vec!["env".into(), runtime, "systemd-run".into(), "--user".into()];
        }
        words.extend(["--quiet", "--collect", "--service-type=forking"].map(str::to_owned));
        words.push(format!("--property=PIDFile={}", self.directory.join("pm2.pid").display()));
        let path = step_context.variable("PATH").unwrap_or_default();
        let home = step_context.variable("HOME").unwrap_or_default();
        words.extend([format!("--setenv=PATH={path}"), format!("--setenv=HOME={home}")]);
        words.push(format!("--setenv=PM2_HOME={}", self.directory.display()));
        words.push("--".into());
        words.extend(line.argv());
        CommandLine::Argv(words)
    }

    async fn wait(&self, step_context: &StepContext<'_>) -> Result<()> {
        let ends_at = (tokio::time::Instant::now() + START_MAX).min(step_context.ends_at);
        while !self.is_served(step_context).await? {
            if tokio::time::Instant::now() >= ends_at {
                bail!("the PM2 daemon does not listen on {}", self.directory.join("rpc.sock").display());
            }
            step_context.pause(RETRY).await?;
        }
        Ok(())
    }

    /// The service that we share with the daemon, if any.
    fn ends_with_us(&self) -> Option<String> {
        if self.user.is_some() {
            return None;
        }
        let pid = fs_err::read_to_string(self.directory.join("pm2.pid")).ok()?;
        let daemon = fs_err::read_to_string(format!("/proc/{}/cgroup", pid.trim())).ok()?;
        own_service().filter(|service| systemctl::service_of(&daemon).as_ref() == Some(service))
    }
}

fn private(home: &Path, name: &str) -> PathBuf {
    home.join("deployer").join(name)
}

fn own_service() -> Option<String> {
    systemctl::service_of(&fs_err::read_to_string("/proc/self/cgroup").ok()?)
}
