//! What is examined: the configuration as far as it can be used, whom the service runs as, and how programs are called.

use crate::admin::host::accounts::Account;
use crate::config::{self, CommandLine, Config, Deployment, Diagnostics, Environment, Loaded, Purpose};
use crate::daemon::last_good::{self, LastGood};
use crate::daemon::{self, Role};
use crate::github::GitHub;
use crate::github::credentials::Credentials;
use crate::plan::recipes::REFERENCE;
use crate::process::executor::{CapturedOutput, Executor};
use crate::process::tools::{Invocation, gh};
use crate::process::{lock, step_user};
use crate::store::{Authenticator, Store};
use anyhow::{Context, Result, anyhow};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a program may take that is asked something. They answer within a second; node on a busy machine takes some.
const PROGRAM_TIME_MAX: Duration = Duration::from_secs(10);

/// Where root looks for programs.
const ROOTS_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The user that a packaged service runs as.
const SERVICE_USER: &str = "durhack-deployer";

pub struct DoctorContext {
    /// What is wrong with the configuration.
    pub problems: Diagnostics,
    /// Who runs this command.
    pub us: Account,
    /// Whom the service runs as: to whom the state belongs.
    pub service: Account,
    /// By what the checks go where the configuration cannot be used as it is written.
    pub instead: Option<Instead>,
    usable: Option<Usable>,
}

/// What takes the place of a configuration that cannot be used, so that one mistake does not hide what else is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// What is written, without what signs webhooks.
    WithoutWebhookSecrets,
    /// What is written, without any secret.
    WithoutSecrets,
    /// What was good at this time, without secrets.
    LastGood(i64),
}

/// What there is where the configuration can be used.
struct Usable {
    loaded: Loaded,
    executor: Executor,
    credentials: Credentials,
    github: GitHub,
    /// None where it is another user's to open: SQLite believes what lies beside a database, and removes by it.
    store: Option<Store>,
    /// The `PATH` that steps get.
    path: OsString,
    is_path_of_daemon: bool,
}

impl DoctorContext {
    /// Reads the configuration and the tables of users. Asks nobody, changes nothing.
    pub fn new(directory: Option<&Path>, environment: &Environment, purpose: Purpose) -> Result<Self> {
        let us = Account::ours();
        let (loaded, problems, instead) = match config::load(&REFERENCE, directory, environment, purpose) {
            Ok(loaded) => {
                let problems = loaded.problems.clone();
                (Some(loaded), problems, None)
            }
            Err(problems) => {
                let (loaded, instead) = instead_of_broken(directory, environment).unzip();
                (loaded, problems, instead)
            }
        };
        let owner = loaded.as_ref().and_then(|loaded| loaded.config.state_directory.metadata().ok());
        // Before the first start, or where nothing says where the state lies: the user that packages make.
        let usual = || Account::named(SERVICE_USER).unwrap_or_else(|| us.clone());
        let service = owner.map_or_else(usual, |owner| Account::of(owner.uid()));
        let usable = loaded.map(|loaded| Usable::new(loaded, environment)).transpose()?;
        Ok(Self { problems, us, service, instead, usable })
    }

    fn usable(&self) -> Result<&Usable> {
        self.usable.as_ref().context("the configuration cannot be used")
    }

    pub fn config(&self) -> Result<&Config> {
        Ok(&self.loaded()?.config)
    }

    /// The same with where it came from.
    pub fn loaded(&self) -> Result<&Loaded> {
        Ok(&self.usable()?.loaded)
    }

    /// All deployments that are switched on.
    pub fn deployments(&self) -> Result<impl Iterator<Item = &Deployment>> {
        Ok(self.config()?.deployments.values().filter(|deployment| deployment.enabled))
    }

    pub fn github(&self) -> Result<(&GitHub, &Credentials)> {
        let usable = self.usable()?;
        if matches!(self.instead, Some(Instead::WithoutSecrets | Instead::LastGood(_))) {
            return Err(anyhow!("the configuration cannot be used, and without it no token is read"));
        }
        Ok((&usable.github, &usable.credentials))
    }

    /// The record, whether it is there or not.
    pub fn any_store(&self) -> Result<&Store> {
        let store = self.usable()?.store.as_ref();
        store.with_context(|| format!("only {} opens the database", self.service.name))
    }

    /// The record, which is not there before the first start.
    pub fn store(&self) -> Result<&Store> {
        let store = self.any_store()?;
        match store.file() {
            Some(file) if !file.exists() => {
                Err(anyhow!("there is no record yet at {}: the first start makes it", file.display()))
            }
            _ => Ok(store),
        }
    }

    /// Lets go of the database. SQLite's last reader takes the files away that it has made beside it; where two are last at once they
    /// stay, as the database's owner's, until somebody opens it again.
    pub async fn close(&self) {
        if let Ok(store) = self.store() {
            store.close().await;
        }
    }

    /// Whether the service asks `gh` who it is. Root's `gh` is another one, which is not asked.
    pub fn service_asks_gh(&self) -> Result<bool> {
        let github = &self.config()?.github;
        let is_alone = github.use_gh && github.app.is_none() && github.token.is_none();
        Ok(is_alone && !self.is_service() && self.find(gh::PROGRAM)?.is_some())
    }

    /// Whether we can see what the service sees.
    pub fn is_service(&self) -> bool {
        self.us.uid == self.service.uid
    }

    /// Whether [`Self::find`] looks where the running daemon does; else where this shell does.
    pub fn looks_as_daemon(&self) -> Result<bool> {
        Ok(self.usable()?.is_path_of_daemon)
    }

    /// Where steps find a program.
    pub fn find(&self, program: &str) -> Result<Option<PathBuf>> {
        let is_program = |path: &PathBuf| {
            path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        let path = &self.usable()?.path;
        Ok(std::env::split_paths(path).map(|directory| directory.join(program)).find(is_program))
    }

    /// Calls a program, as whoever we are.
    pub async fn ask(&self, words: &[&str]) -> Result<CapturedOutput> {
        let usable = self.usable()?;
        // Whose programs lie on the service's path, the service's user decides: root looks at them, and calls root's.
        let path = match self.us.is_root() && !self.is_service() {
            true => OsString::from(ROOTS_PATH),
            false => usable.path.clone(),
        };
        let environment = BTreeMap::from([
            (OsString::from("PATH"), path),
            // What is read from what programs print is English.
            ("LC_ALL".into(), "C.UTF-8".into()),
        ]);
        let invocation = Invocation { argv: words.iter().map(Into::into).collect(), environment };
        usable.executor.ask(&invocation, PROGRAM_TIME_MAX, &CancellationToken::new()).await
    }

    /// The same for a command line of a tool of ours.
    pub async fn ask_tool(&self, command: &CommandLine) -> Result<CapturedOutput> {
        let words = command.argv();
        self.ask(&words.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// Whether we may call this program: root calls none that somebody else could have written.
    pub fn may_call(&self, program: &Path) -> bool {
        let is_roots = |path: &Path| {
            path.metadata().is_ok_and(|found| found.uid() == 0 && found.permissions().mode() & 0o022 == 0)
        };
        let is_sticky = |path: &Path| {
            path.metadata().is_ok_and(|found| found.uid() == 0 && found.permissions().mode() & 0o1000 != 0)
        };
        let Ok(program) = program.canonicalize() else { return false };
        let mut way = program.ancestors();
        !self.us.is_root()
            || self.is_service()
            || way.next().is_some_and(is_roots) && way.all(|path| is_roots(path) || is_sticky(path))
    }

    /// Whether the service may make and remove files in this directory; the kernel is asked, as the service's user.
    pub async fn service_may_write(&self, directory: &Path) -> Result<bool> {
        use rustix::fs::{Access, access};
        if self.is_service() {
            return Ok(access(directory, Access::WRITE_OK | Access::EXEC_OK).is_ok());
        }
        if !self.us.is_root() {
            return Err(anyhow!("only root and {} can find out", self.service.name));
        }
        let identity = [format!("--reuid={}", self.service.uid), format!("--regid={}", self.service.gid)];
        let path = directory.to_string_lossy();
        let test = ["/bin/sh", "-c", r#"test -w "$1" -a -x "$1""#, "sh", &path];
        let mut words = vec!["setpriv", &identity[0], &identity[1], "--init-groups"];
        if self.service.groups.is_empty() {
            words[3] = "--clear-groups";
        }
        words.extend(test);
        let answer = self.ask(&words).await?;
        match answer.end {
            supervise::End::Exited(0) => Ok(true),
            supervise::End::Exited(1) if answer.said.trim().is_empty() => Ok(false),
            _ => Err(anyhow!("cannot ask as {}: {}", self.service.name, answer.complaint)),
        }
    }
}

/// What can be looked at of a configuration that cannot be used.
fn instead_of_broken(directory: Option<&Path>, environment: &Environment) -> Option<(Loaded, Instead)> {
    let read = |purpose| config::load(&REFERENCE, directory, environment, purpose).ok();
    if let Some(loaded) = read(Purpose::Deploy) {
        return Some((loaded, Instead::WithoutWebhookSecrets));
    }
    if let Some(loaded) = read(Purpose::Ask) {
        return Some((loaded, Instead::WithoutSecrets));
    }
    // What its owner has kept is the owner's to read; why it is not believed, commands say that go by it.
    let LastGood { loaded, at_ms } =
        last_good::find(directory, environment, Purpose::Ask, Role::Work).ok().flatten()?;
    Some((loaded, Instead::LastGood(at_ms)))
}

impl Usable {
    fn new(loaded: Loaded, environment: &Environment) -> Result<Self> {
        let executor = daemon::executor(&loaded.config, environment);
        let credentials = Credentials::new(&loaded.config, &executor)?;
        let github = GitHub::new(&loaded.config.github, credentials.clone())?;
        let state = &loaded.config.state_directory;
        let open = || Store::open(loaded.config.database_url.expose(), Authenticator::new(state));
        let store = match state.exists() && step_user::is_anothers(state) {
            true => None,
            false => Some(open()?),
        };
        let of_daemon = path_of_daemon(&loaded.config);
        let is_path_of_daemon = of_daemon.is_some();
        // To look for programs, not to call them.
        let ours = || {
            let path = executor.variable("PATH").unwrap_or(OsStr::new("/usr/bin:/bin"));
            let searched = loaded.config.executable_search_paths.iter().cloned();
            let all = std::env::join_paths(std::env::split_paths(path).chain(searched));
            all.unwrap_or_else(|_| path.to_owned())
        };
        let path = of_daemon.unwrap_or_else(ours);
        Ok(Self { loaded, executor, credentials, github, store, path, is_path_of_daemon })
    }
}

/// The `PATH` that the running daemon was started with, and the configured paths behind it; None where only root could see that.
fn path_of_daemon(config: &Config) -> Option<OsString> {
    let state = &config.state_directory;
    let pid = lock::holder(state, &daemon::work_lock(state)).ok()??;
    let environment = fs_err::read(format!("/proc/{pid}/environ")).ok()?;
    let path = environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(b"PATH="))?;
    let searched = config.executable_search_paths.iter().cloned();
    std::env::join_paths(std::env::split_paths(OsStr::from_bytes(path)).chain(searched)).ok()
}
