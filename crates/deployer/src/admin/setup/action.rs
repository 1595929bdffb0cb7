//! One thing that setup does: what it is for people, and what it is for the machine.
//!
//! Each may be done again after it was done by half: files appear whole, and a program that was interrupted is simply called again,
//! because the next look at the host finds that something is missing.

use super::aside;
use super::reached::{TEXT_BYTES_MAX, read_plain};
use crate::admin::host::accounts::account;
use crate::admin::host::ask::ask;
use crate::admin::host::paths::{self, DirectorySpec, Owner, ids};
use crate::base::files::private_file;
use crate::base::names::UserName;
use crate::base::secret::Secret;
use crate::config::CommandLine;
use crate::process::executor::Executor;
use crate::process::step_user;
use crate::process::tools::{nginx, systemctl, visudo};
use anyhow::{Context, Result};
use fs_err as fs;
use rustix::fs::{Gid, Mode, OFlags, Uid, fchmod, fchown, open};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// One line for people.
    pub what: String,
    /// What is done.
    pub operation: Operation,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A program is called.
    Call(CommandLine),
    /// A directory is made, or its owner and mode are put right.
    Make(DirectorySpec),
    /// A file is written whole, in place of the one that may be there.
    Write(File),
    /// The same, for a file that sudo obeys: only after visudo has found it good.
    WriteSudoers(String),
    /// The webhook secret is made, where there is none.
    MakeSecret,
    /// The key is made that the worker shows the privileged helper.
    MakeKey,
    /// From that key, the one by which steps of this user are asked for.
    MakeStepsKey(UserName),
    /// nginx's unit gets walls, if nginx can do its work inside them. None: they go.
    NginxWalls(Option<String>),
    /// The deployer's own site is written, and nginx told; what nginx refuses goes away again. None: the site goes.
    Site(PathBuf, Option<String>),
    /// A file is copied to where it is kept.
    Keep(PathBuf, PathBuf),
    /// A file goes.
    Remove(PathBuf),
    /// A directory goes, and everything in it. One that a file system is mounted on stays, empty.
    RemoveAll(PathBuf),
    /// A file with a secret is for its owner alone to read from now on.
    Close(PathBuf),
}

/// A file as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its absolute path.
    pub path: PathBuf,
    /// All that is written in it.
    pub text: String,
    /// Who owns it.
    pub owner: Owner,
    /// Its permission bits, whatever the umask says.
    pub mode: u32,
}

impl Action {
    /// Of a line and a operation.
    pub fn new(what: impl Into<String>, operation: Operation) -> Self {
        Self { what: what.into(), operation }
    }

    /// Carries the action out. May be repeated, also where it was done by half.
    pub async fn carry_out(&self, executor: &Executor) -> Result<()> {
        match &self.operation {
            Operation::Call(call) => ask(executor, call).await.map(drop),
            Operation::Make(directory) => make(directory),
            Operation::Write(file) => write(file),
            Operation::WriteSudoers(text) => write_sudoers(text, executor).await,
            Operation::MakeSecret => make_secret(paths::WEBHOOK_SECRET),
            Operation::MakeKey => make_secret(paths::HELPER_KEY),
            Operation::MakeStepsKey(user) => make_steps_key(user),
            Operation::NginxWalls(text) => nginx_walls(text.as_deref(), executor).await,
            Operation::Site(path, text) => site(path, text.as_deref(), executor).await,
            Operation::Keep(path, kept) => aside::keep(path, kept),
            Operation::Remove(path) => remove(path),
            Operation::RemoveAll(path) => remove_all(path),
            Operation::Close(path) => close(path),
        }
    }
}

/// The kernel keeps a directory that something is mounted on: it is emptied, which is what was meant.
fn remove_all(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
            let is_empty = fs::read_dir(path)?.next().is_none();
            anyhow::ensure!(is_empty, "a file system is mounted below {}: unmount it", path.display());
            Ok(())
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Only a plain file, and not through a link.
fn close(path: &Path) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::empty()).with_context(|| format!("cannot open {}", path.display()))?;
    let file = std::fs::File::from(file);
    anyhow::ensure!(file.metadata()?.is_file(), "{} is no file", path.display());
    Ok(fchmod(&file, Mode::from_raw_mode(0o600))?)
}

/// By descriptor, and not through a link: what is given away is what was made, whoever else may write beside it.
fn make(directory: &DirectorySpec) -> Result<()> {
    let path = &directory.path;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make {}", path.display()));
        }
        _ => {}
    }
    let made = open(path, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let made = made.with_context(|| format!("{} is not a directory", path.display()))?;
    give(&made, directory.owner, directory.mode)
        .with_context(|| format!("cannot put right whose {} is", path.display()))
}

fn write(file: &File) -> Result<()> {
    let directory = file.path.parent().context("a file lies in a directory")?;
    fs::create_dir_all(directory)?;
    // A name that neither sudo nor systemd nor nginx's conf.d reads, should we be killed here.
    let new = tempfile::Builder::new().prefix(".setup.").suffix("~").tempfile_in(directory);
    let mut new = new.with_context(|| format!("cannot write in {}", directory.display()))?;
    new.write_all(file.text.as_bytes())?;
    give(new.as_file(), file.owner, file.mode)?;
    new.as_file().sync_all()?;
    new.persist(&file.path).with_context(|| format!("cannot write {}", file.path.display()))?;
    Ok(std::fs::File::open(directory).and_then(|directory| directory.sync_all())?)
}

fn give(made: impl AsFd, owner: Owner, mode: u32) -> Result<()> {
    let ids = ids(owner, account(&paths::user())?);
    let (user, group) = ids.with_context(|| format!("there is no user {}", paths::user()))?;
    fchown(&made, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
    Ok(fchmod(&made, Mode::from_raw_mode(mode))?)
}

async fn write_sudoers(text: &str, executor: &Executor) -> Result<()> {
    let mut trial = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    trial.write_all(text.as_bytes()).context("cannot write a temporary file")?;
    ask(executor, &visudo::check(trial.path())).await.context("sudo would not understand its rules")?;
    let path = paths::SUDOERS.into();
    write(&File { path, text: text.to_owned(), owner: Owner::Root, mode: 0o440 })
}

fn make_secret(path: &str) -> Result<()> {
    let path = Path::new(path);
    let directory = Path::new(paths::CREDENTIALS);
    private_file::create(path, &format!("{}\n", Secret::generate().expose()), directory).map(drop)
}

fn make_steps_key(user: &UserName) -> Result<()> {
    let key = step_user::key(user).with_context(|| format!("{} holds no key", paths::HELPER_KEY))?;
    write(&File { path: step_user::key_file(user), text: key + "\n", owner: Owner::Root, mode: 0o600 })
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Tried by a reload, which tests the configuration inside of the new walls while the old nginx goes on; only then is it restarted.
async fn nginx_walls(text: Option<&str>, executor: &Executor) -> Result<()> {
    let path = Path::new(paths::NGINX_DROP_IN);
    let place = |text: Option<&str>| match text {
        Some(text) => {
            write(&File { path: path.to_owned(), text: text.into(), owner: Owner::Root, mode: 0o644 })
        }
        None => remove(path),
    };
    let before = read_plain(path, TEXT_BYTES_MAX).ok();
    place(text)?;
    ask(executor, &systemctl::reload_units()).await?;
    let state = systemctl::installations(&[paths::NGINX_UNIT]);
    let state = systemctl::read_installations(&ask(executor, &state).await?);
    if !state.iter().any(|unit| unit.is_active) {
        return Ok(());
    }
    if let Err(error) = ask(executor, &systemctl::reload(&[paths::NGINX_UNIT])).await {
        place(before.as_deref())?;
        ask(executor, &systemctl::reload_units()).await?;
        let said = ask(executor, &systemctl::last_words(paths::NGINX_UNIT)).await.unwrap_or_default();
        return Err(error.context(format!(
            "nginx cannot do its work inside these walls as it is configured; nothing of it has changed. It said:\n{}\nWhat it needs beside \
             them is allowed by `systemctl edit nginx` (docs/operating.md says how)",
            said.trim_end()
        )));
    }
    ask(executor, &systemctl::restart(&[paths::NGINX_UNIT])).await.map(drop)
}

/// The note goes first and comes last: who is killed in between begins here again.
async fn site(path: &Path, text: Option<&str>, executor: &Executor) -> Result<()> {
    let pending = Path::new(paths::SITE_PENDING);
    if pending.parent().is_some_and(Path::is_dir) {
        fs::write(pending, "nginx has not been told of the site yet\n")?;
    }
    // Only what setup itself has written is restored: the deployer's user may have put something else here.
    let before = read_plain(path, TEXT_BYTES_MAX).ok().filter(|text| text.starts_with(super::site::MARK));
    let place = |text: Option<&str>| match text {
        Some(text) => {
            write(&File { path: path.to_owned(), text: text.into(), owner: Owner::Root, mode: 0o644 })
        }
        None => remove(path),
    };
    place(text)?;
    if let Err(error) = ask(executor, &nginx::test_host()).await {
        place(before.as_deref())?;
        remove(pending)?;
        return Err(error.context("nginx does not accept it so; everything is as it was"));
    }
    // One that does not run reads it when it starts.
    ask(executor, &systemctl::reload_if_running("nginx.service")).await?;
    remove(pending)
}
