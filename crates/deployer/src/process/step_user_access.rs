//! Lets the user of a deployment's steps into its directories, and keeps others out.

use super::executor::{Executor, complaint_of};
use super::step_user::{id, socket};
use crate::base::names::UserName;
use crate::config::{CommandLine, Config, Deployment};
use crate::process::tools::{Invocation, acl};
use anyhow::{Context, Result, bail};
use rustix::process::getuid;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// An access list is a few bytes for each path.
const GRANT_TIMEOUT: Duration = Duration::from_secs(60);

/// What will be made in this directory is for both of us to write. Nobody else can enter it yet: as long as we go by names in it, nobody may
/// put links there.
pub async fn prepare(executor: &Executor, user: &UserName, directory: &Path) -> Result<()> {
    grant(executor, user, &acl::prepare(user.as_str(), getuid().as_raw(), directory)).await
}

/// Lets the user write in it, and others read.
pub async fn open(executor: &Executor, user: &UserName, directory: &Path) -> Result<()> {
    grant(executor, user, &acl::open(user.as_str(), directory)).await
}

/// Lets both of us write in shared directories, and the user read shared files. Only in those that the deployer owns: others are for their owner to decide about.
pub async fn share_shared(executor: &Executor, user: &UserName, deployment: &Deployment) -> Result<()> {
    let shared = deployment.path.join("shared");
    let ours = |paths: &[PathBuf], is_directory: bool| -> Vec<PathBuf> {
        let paths = paths.iter().filter(|path| is_ours(&shared, path, is_directory));
        paths.map(|path| shared.join(path)).collect()
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

/// Whether it is ours, and nobody else can put something else in its place: setfacl goes by names, and follows links. What lies in a shared
/// directory is left out by that, and has no need of it: it has inherited the directory's access list.
pub fn is_ours(shared: &Path, path: &Path, is_directory: bool) -> bool {
    let found = |path: &Path| path.symlink_metadata().ok().filter(|found| found.uid() == getuid().as_raw());
    let inner = shared.join(path);
    // An access list shows in the group's bits.
    let closed = |path: &Path| found(path).is_some_and(|found| found.is_dir() && found.mode() & 0o022 == 0);
    let way = inner.ancestors().skip(1).take_while(|above| above.starts_with(shared));
    let kind = if is_directory { std::fs::FileType::is_dir } else { std::fs::FileType::is_file };
    way.into_iter().all(closed) && found(&inner).is_some_and(|found| kind(&found.file_type()))
}

/// Keeps the users of other deployments out of this one's directory. Everybody may enter it, so that nginx and programs of whatever user can serve
/// what lies there; those users run what others push.
pub async fn keep_others_out(config: &Config, executor: &Executor, deployment: &Deployment) {
    let own = deployment.user.as_ref().and_then(id);
    let users = config.deployments.values().filter_map(|other| other.user.as_ref());
    let others: BTreeSet<u32> = users.filter_map(id).filter(|user| Some(*user) != own).collect();
    let path = &deployment.path;
    let is_ours =
        path.symlink_metadata().is_ok_and(|found| found.is_dir() && found.uid() == getuid().as_raw());
    if others.is_empty() || !is_ours {
        return;
    }
    let invocation = Invocation::of(&acl::keep_out(own, &others, path));
    let answer = executor.ask(&invocation, GRANT_TIMEOUT, &CancellationToken::new()).await;
    let complaint = match answer {
        Ok(answer) => complaint_of(&answer.end).map(|end| format!("setfacl {end}: {}", answer.complaint)),
        Err(error) => Some(format!("{error:#}; is setfacl there (Debian's package acl)?")),
    };
    if let Some(complaint) = complaint {
        tracing::warn!(deployment = %deployment.slug, complaint, "programs of other deployments can read what lies here");
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn only_what_nobody_else_can_exchange_is_ours() {
        let scratch = tempfile::tempdir().unwrap();
        let shared = scratch.path().join("shared");
        for directory in ["closed/inner", "open/inner"] {
            std::fs::create_dir_all(shared.join(directory)).unwrap();
        }
        std::fs::set_permissions(shared.join("open"), PermissionsExt::from_mode(0o775)).unwrap();
        for file in [".env", "open/file"] {
            std::fs::write(shared.join(file), "").unwrap();
        }
        symlink("/etc", shared.join("link")).unwrap();
        symlink("closed", shared.join("way")).unwrap();
        for (path, is_directory, expected) in [
            ("closed", true, true),
            ("closed/inner", true, true),
            ("open", true, true),
            (".env", false, true),
            ("closed", false, false),
            (".env", true, false),
            ("open/inner", true, false),
            ("open/file", false, false),
            ("link", true, false),
            ("way/inner", true, false),
            ("missing", true, false),
        ] {
            assert_eq!(is_ours(&shared, Path::new(path), is_directory), expected, "{path}");
        }
    }
}
