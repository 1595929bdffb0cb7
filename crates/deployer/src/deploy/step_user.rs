//! A user of a deployment's own, as whom its release is made: `user = "web"`.
//!
//! Nobody here can become another user, and nothing of ours is root to do it. systemd is: connecting to the socket of
//! `durhack-deployer-steps@web.socket` has it start a keeper (`supervise::keeper_main`) as `web`, in a unit with walls and a control group of its
//! own. That root has enabled this socket is what allows it; only the deployer may connect.
//!
//! Two users then make one tree: the deployer its directory and what the commit holds, the other what comes of that. An access list
//! lets each write what the other makes, and what both left to everybody stays readable for who runs or serves it. It is of the
//! release, and of what is shared: the link `current` and other releases are beyond that user's reach.

use super::execute::{Executor, complaint_of};
use super::tools::{Invocation, acl};
use crate::config::{CommandLine, Deployment};
use crate::names::UserName;
use anyhow::{Context, Result, bail};
use rustix::process::getuid;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Below it lie the sockets, which the unit names too.
const SOCKETS: &str = "/run/durhack-deployer-steps";

/// Below it lie the homes, likewise.
const HOMES: &str = "/var/lib/durhack-deployer-steps";

/// An access list is a few bytes for each path.
const GRANT_TIMEOUT: Duration = Duration::from_secs(60);

/// Where steps are asked for.
pub fn socket(user: &UserName) -> PathBuf {
    Path::new(SOCKETS).join(format!("{user}.sock"))
}

/// HOME of its steps.
pub fn home(user: &UserName) -> PathBuf {
    Path::new(HOMES).join(user.as_str())
}

/// What systemd listens by.
pub fn unit(user: &UserName) -> String {
    format!("durhack-deployer-steps@{user}.socket")
}

/// Whose steps a unit is about.
pub fn of_unit(name: &str) -> Option<UserName> {
    let user = name.strip_prefix("durhack-deployer-steps@")?.strip_suffix(".socket")?;
    UserName::parse(user).ok()
}

/// Lets the user write in a directory that was just made, and both of us write whatever either makes in it.
pub async fn share(executor: &Executor, user: &UserName, directory: &Path) -> Result<()> {
    grant(executor, user, &acl::share(user.as_str(), getuid().as_raw(), &[directory])).await
}

/// The same for shared directories, and shared files may be read. Only of those that are ours: what is somebody else's, he decides.
pub async fn share_shared(executor: &Executor, user: &UserName, deployment: &Deployment) -> Result<()> {
    let shared = deployment.path.join("shared");
    let ours = |paths: &[PathBuf], is_directory: bool| -> Vec<PathBuf> {
        let is_ours = |path: &PathBuf| {
            path.symlink_metadata().is_ok_and(|found| {
                found.uid() == getuid().as_raw() && found.is_dir() == is_directory && !found.is_symlink()
            })
        };
        paths.iter().map(|path| shared.join(path)).filter(is_ours).collect()
    };
    let (directories, files) = (ours(&deployment.shared_dirs, true), ours(&deployment.shared_files, false));
    if !directories.is_empty() {
        grant(executor, user, &acl::share(user.as_str(), getuid().as_raw(), &directories)).await?;
    }
    if !files.is_empty() {
        grant(executor, user, &acl::let_read(user.as_str(), &files)).await?;
    }
    Ok(())
}

async fn grant(executor: &Executor, user: &UserName, call: &CommandLine) -> Result<()> {
    let invocation = Invocation::of(call);
    let answer = executor.ask(&invocation, GRANT_TIMEOUT, &CancellationToken::new()).await;
    let answer = answer.context("`user` needs setfacl (Debian's package acl)")?;
    match complaint_of(&answer.end) {
        None => Ok(()),
        Some(end) if !socket(user).exists() => {
            bail!(
                "setfacl {end}: {}; is {user} there? `durhack-deployer setup`, as root, makes the user, and lets its steps be started",
                answer.complaint
            )
        }
        Some(end) => bail!("setfacl {end}: {}", answer.complaint),
    }
}
