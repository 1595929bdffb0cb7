//! Who works on a deployment's directory, whatever state directory they have: a `flock` on a file in that directory.
//!
//! The locks in the state directory exclude whoever has the same state directory. One that is moved away or replaced while a daemon runs
//! would let a `deploy` run beside that daemon, on the same releases. So the worker of a deployment holds this lock, too, for as long as
//! it lives. The file names its process and its state directory: for people, and so that a state directory which has lost its database
//! is not taken for a new one ([`expect_no_database`]).
//!
//! Best effort where the directory is not there yet, or where nothing can be written to it: then nothing of ours can be made there either.

use crate::base::files::kernel_locks;
use crate::base::files::safe_path::{FileKind, OpenDirectory, Refused};
use crate::config::{Config, Deployment, Layout};
use crate::store::{Store, StoreError};
use anyhow::{Context, Result};
use rustix::fs::{Gid, Uid, fchown};
use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file, beside `releases/` and `current`.
pub const FILE: &str = ".durhack-deployer.lock";

/// The same for a work tree that is deployed in place: where git does not look.
const FILE_IN_GIT: &str = "durhack-deployer.lock";

/// A process id and a path are shorter.
const FILE_BYTES_MAX: u64 = 8192;

/// How long a lock is asked for that is held for a moment only: a look at it, or a program that a dying process was about to start.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often within that.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Held until it is dropped.
#[derive(Debug)]
pub struct Claim {
    file: File,
}

/// Another deployer, which works on the same directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The directory that both want.
    pub path: PathBuf,
    /// Its process, as far as it has written it down.
    pub pid: Option<u32>,
    /// Where its state lies.
    pub state_directory: Option<PathBuf>,
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "another durhack-deployer works on {}", self.path.display())?;
        if let Some(pid) = self.pid {
            write!(formatter, " (process {pid}")?;
            if let Some(state_directory) = &self.state_directory {
                write!(formatter, ", state directory {}", state_directory.display())?;
            }
            write!(formatter, ")")?;
        }
        Ok(())
    }
}

impl std::error::Error for Holder {}

impl Holder {
    /// What to do about it.
    pub fn mend(&self) -> String {
        let process = self.pid.map_or("it".to_owned(), |pid| format!("process {pid} (`ps -fp {pid}`)"));
        format!(
            "stop {process}, or ask it instead; if its state directory was moved or replaced while it ran, put that back and restart it"
        )
    }
}

impl Claim {
    /// Takes the lock. `None`: there is no such directory yet, or it cannot be written to. An error with a [`Holder`]: somebody else has it.
    pub async fn take(deployment: &Deployment, state_directory: &Path) -> Result<Option<Self>> {
        let mut waited = Duration::ZERO;
        loop {
            match try_take(deployment, state_directory)? {
                Ok(claim) => return Ok(claim),
                Err(holder) if waited >= PATIENCE => return Err(holder.into()),
                Err(_) => {}
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
            waited += RETRY_INTERVAL;
        }
    }

    /// Whether it still is the lock of this directory: it may have been moved away, and another one made.
    pub fn holds(&self, deployment: &Deployment) -> bool {
        let place = |file: &File| file.metadata().map(|found| (found.dev(), found.ino())).ok();
        let now = open(deployment, false).ok().flatten();
        now.is_some_and(|now| place(&now) == place(&self.file))
    }
}

/// Whoever else works on a deployment now. Nothing is made for that, and what cannot be seen is nobody.
pub fn holder(deployment: &Deployment) -> Option<Holder> {
    let file = open(deployment, false).ok().flatten()?;
    let holder = written(&file, &deployment.path);
    let is_ours = holder.pid == Some(std::process::id());
    (!is_ours && matches!(file.try_lock(), Err(TryLockError::WouldBlock))).then_some(holder)
}

fn try_take(deployment: &Deployment, state_directory: &Path) -> Result<Result<Option<Claim>, Holder>> {
    let path = &deployment.path;
    let mut file = match open(deployment, true) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(Ok(None)),
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "cannot be locked");
            return Ok(Ok(None));
        }
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Err(written(&file, path))),
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    // For people: on a full disk it says nothing, and locks all the same.
    let text = format!("{}\n{}\n", std::process::id(), state_directory.display());
    let written = file.rewind().and_then(|()| file.write_all(text.as_bytes()));
    let _ = written.and_then(|()| file.set_len(text.len() as u64));
    Ok(Ok(Some(Claim { file })))
}

/// The lock's file; `None` where the directory, or with `make` unset the file, is not there. Among the files of a work tree it never lies.
fn open(deployment: &Deployment, make: bool) -> Result<Option<File>, Refused> {
    let path = &deployment.path;
    let missing = |error: Refused| if error.is_missing() { Ok(None) } else { Err(error) };
    let directory = match OpenDirectory::open(path) {
        Ok(directory) => directory,
        Err(error) => return missing(error),
    };
    let has = |name: &str| directory.kind(OsStr::new(name)).map(|kind| kind.is_some());
    let has_git = directory.kind(OsStr::new(".git"))? == Some(FileKind::Directory);
    let is_work_tree = match deployment.layout {
        Some(layout) => layout == Layout::InPlace,
        None => has_git && !has("releases")? && !has("current")?,
    };
    let (directory, name) = match is_work_tree {
        true if !has_git => return Ok(None),
        true => (directory.child(OsStr::new(".git"))?, OsStr::new(FILE_IN_GIT)),
        false => (directory, OsStr::new(FILE)),
    };
    let file = match directory.lock_file(name, None) {
        Ok(file) => file,
        Err(error) if error.is_missing() && make => {
            let file = directory.lock_file(name, Some(0o600))?;
            // Root asks for the service, which must be able to open it later.
            if rustix::process::geteuid().is_root()
                && let Ok(owner) = directory.path().metadata()
            {
                let _ = fchown(&file, Some(Uid::from_raw(owner.uid())), Some(Gid::from_raw(owner.gid())));
            }
            file
        }
        Err(error) => return missing(error),
    };
    // One that another user has put there is nobody's lock.
    let us = rustix::process::geteuid();
    let is_ours = |owner: u32| us.is_root() || owner == 0 || owner == us.as_raw();
    let is_plain = file.metadata().is_ok_and(|found| found.is_file() && is_ours(found.uid()));
    is_plain.then_some(file).map_or_else(
        || Err(Refused::Kind { path: path.join(name), found: "special file", wanted: "file" }),
        |file| Ok(Some(file)),
    )
}

/// What the holder has written into the lock.
fn written(mut file: &File, path: &Path) -> Holder {
    let mut text = String::new();
    let _ = file.rewind();
    let _ = file.take(FILE_BYTES_MAX).read_to_string(&mut text);
    let mut lines = text.lines();
    let said: Option<u32> = lines.next().and_then(|line| line.parse().ok());
    // The kernel knows who has it; what is written only tells it from a file of the same number on another file system.
    let locks = fs_err::read_to_string("/proc/locks").unwrap_or_default();
    let inode = file.metadata().map(|found| found.ino()).unwrap_or_default();
    let pid = kernel_locks::holders(&locks, "FLOCK", &[inode]).into_iter().find(|pid| Some(*pid) == said);
    Holder { path: path.to_owned(), pid, state_directory: lines.next().map(PathBuf::from) }
}

/// Refuses to take a state directory for a new one where deployments were made with it: it was moved away, or its file system is not
/// mounted. A database that is gone from a state directory that is there, the store itself misses.
pub fn expect_no_database(config: &Config, store: &Store) -> Result<(), StoreError> {
    let Some(file) = store.file().filter(|file| !file.exists() && !store.has_had_database()) else {
        return Ok(());
    };
    let used = config.deployments.values().find(|deployment| {
        let lock = open(deployment, false).ok().flatten();
        lock.is_some_and(|lock| {
            written(&lock, &deployment.path).state_directory.as_ref() == Some(&config.state_directory)
        })
    });
    match used {
        None => Ok(()),
        Some(deployment) => Err(StoreError::Gone {
            file,
            why: format!(
                "{} was deployed with the state directory {}, which holds nothing now",
                deployment.path.display(),
                config.state_directory.display()
            ),
        }),
    }
}
