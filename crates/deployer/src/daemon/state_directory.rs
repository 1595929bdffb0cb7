//! The state directory: what is in it, who may see it, and which process holds which part of it.
//!
//! Commands use it beside a daemon that runs: they see by its locks whether there is one.

use super::Role;
use crate::base::clock;
use crate::config::Config;
use crate::pipeline::context::Host;
use crate::pipeline::state_modes;
use crate::process::lock;
use anyhow::{Context, Result, bail};
use spool::{ConsumerLock, Spool};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a start waits for the locks: a command looks at them in passing, and of a daemon that has just died a program
/// that it was about to start holds them from its fork to its exec.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Directory and name of the lock of whoever receives: where it may write.
const LISTEN_LOCK: (&str, &str) = ("intake", "listen");

/// Of whoever deploys. A deployment may be called `work` too: the daemon's lock lies apart from the deployments'.
const WORK_LOCK: (&str, &str) = ("locks/daemon", "work");

/// Makes the state directory, readable by nobody else: it holds private payloads and code.
pub fn prepare_state_directory(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    // First: what is closed cannot be changed while the rest is looked at.
    state_modes::mend(path)?;
    for directory in ["spool", "intake", "logs", "locks", "cancel", "compared"] {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path.join(directory)).with_context(
            || format!("cannot make the state directory {} (`state_directory` sets another)", path.display()),
        )?;
    }
    Ok(())
}

/// Holds what this part of the deployer works on, as long as the locks live.
pub(super) async fn take_locks(state_directory: &Path, role: Role) -> Result<Vec<lock::Lock>> {
    let needed: &[(&str, &str)] = match role {
        Role::Serve => &[LISTEN_LOCK, WORK_LOCK],
        Role::Listen => &[LISTEN_LOCK],
        Role::Work => &[WORK_LOCK],
    };
    let mut locks = Vec::new();
    for (directory, name) in needed {
        let directory = state_directory.join(directory);
        match tokio::time::timeout(LOCK_PATIENCE, lock::acquire(&directory, name)).await {
            Ok(lock) => locks.push(lock.with_context(|| {
                let shown = state_directory.display();
                format!("the state in {shown} cannot be used: it must be this user's, all of it (`sudo chown -R \"$(id -un)\": {shown}`)")
            })?),
            Err(_) => bail!(
                "another durhack-deployer already does `{name}` for {}; stop it first, or set another `state_directory`",
                state_directory.display()
            ),
        }
    }
    Ok(locks)
}

/// Whether a daemon of this instance does the deployments.
pub fn is_working(state_directory: &Path) -> Result<bool> {
    let (directory, name) = WORK_LOCK;
    Ok(lock::try_acquire(&state_directory.join(directory), name)?.is_none())
}

/// Whether a daemon of this instance receives webhooks.
pub fn is_listening(state_directory: &Path) -> Result<bool> {
    let (directory, name) = LISTEN_LOCK;
    Ok(lock::try_acquire(&state_directory.join(directory), name)?.is_none())
}

/// The file that whoever receives has locked, and has written its process into.
pub fn listen_lock(state_directory: &Path) -> PathBuf {
    lock_file(state_directory, LISTEN_LOCK)
}

/// The same of whoever deploys.
pub fn work_lock(state_directory: &Path) -> PathBuf {
    lock_file(state_directory, WORK_LOCK)
}

fn lock_file(state_directory: &Path, (directory, name): (&str, &str)) -> PathBuf {
    state_directory.join(directory).join(format!("{name}.lock"))
}

/// A spool of this instance.
pub fn open_spool(config: &Config, name: &str) -> Result<Spool> {
    let directory = Host::spool_directory(&config.state_directory, name);
    let now = || u64::try_from(clock::now().as_nanosecond()).unwrap_or(0);
    Spool::open(&directory, now).with_context(|| format!("cannot open the spool {}", directory.display()))
}

/// Becomes a spool's only consumer, and restores what a crash left claimed.
pub fn consume(spool: &Spool) -> Result<ConsumerLock> {
    let what = || format!("cannot recover the spool {}", spool.path().display());
    let lock = spool.consumer_lock().with_context(what)?;
    let lock = lock.with_context(|| format!("another process works on {}", spool.path().display()))?;
    lock.recover().with_context(what)?;
    Ok(lock)
}
