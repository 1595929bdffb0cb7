//! The directories of a deployment: `releases/`, `shared/`, `current`; or a work tree in place.
//!
//! `current` is replaced by rename(2): there is no moment without it. Only what the database says we made is ever removed. Whatever
//! a repository contains is treated as hostile while its directory is filled: no link of it is followed.

use crate::base::clock;
use crate::base::files::safe_path::{self, FileKind, OpenDirectory, Refused};
use crate::base::names::CommitId;
use crate::config::{Deployment, Layout};
use crate::process::executor::Executor;
use crate::process::remove_tree;
use crate::steps::shared_directory;
use anyhow::{Context, Result, bail};
use fs_err as fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// The link that names the live release.
pub const CURRENT: &str = "current";

/// The layout of a deployment of which nothing is recorded yet: as configured, or as its path is found.
pub fn layout_found(deployment: &Deployment) -> Layout {
    let there = |name: &str| deployment.path.join(name).symlink_metadata().is_ok();
    // A build can plant a `.git` beside its release; it cannot make `releases/` not be there.
    let in_place = there(".git") && !there("releases") && !there(CURRENT);
    deployment.layout.unwrap_or(if in_place { Layout::InPlace } else { Layout::Releases })
}

/// Whether a path looks as if it were deployed in place, and nobody had chosen that: for a warning, where there is no record
/// to be asked.
pub fn looks_in_place(deployment: &Deployment) -> bool {
    let there = |name: &str| deployment.path.join(name).symlink_metadata().is_ok();
    deployment.layout.is_none() && there(".git") && !there(CURRENT)
}

/// The directory of a release.
pub fn directory(deployment: &Deployment, release: &str) -> PathBuf {
    deployment.path.join("releases").join(release)
}

/// A name that no release has yet.
pub fn new_name(deployment: &Deployment, commit: &CommitId) -> String {
    let base = format!("{}-{}", clock::compact_utc(clock::now()), commit.short());
    let taken = |name: &str| directory(deployment, name).symlink_metadata().is_ok();
    let mut name = base.clone();
    let mut number = 2;
    while taken(&name) {
        name = format!("{base}-{number}");
        number += 1;
    }
    name
}

/// Makes a release's directory, which must not exist.
pub fn create(deployment: &Deployment, release: &str) -> Result<PathBuf> {
    let directory = directory(deployment, release);
    fs::create_dir_all(&deployment.path)?;
    let releases = OpenDirectory::open(&deployment.path)?.below(Path::new("releases"), true)?;
    let (_, made) = releases.make(release.as_ref())?;
    if !made {
        bail!("{} is there already", directory.display());
    }
    Ok(directory)
}

/// Links the shared files and directories into a release. Returns what the operator should know.
pub async fn link_shared(
    executor: &Executor,
    deployment: &Deployment,
    release: &Path,
) -> Result<Vec<String>> {
    let shared = deployment.path.join("shared");
    let mut notes = close_to_others(&deployment.path)?;
    for path in &deployment.shared_dirs {
        let directory = in_shared(&deployment.path, path)?;
        notes.extend(shared_directory::take_over(release, &directory, path)?);
        replace_by_link(executor, release, &shared, path).await?;
    }
    for path in &deployment.shared_files {
        let source = shared.join(path);
        let name = path.file_name().with_context(|| format!("shared path {} has no name", path.display()))?;
        let directory = in_shared(&deployment.path, path.parent().unwrap_or(Path::new("")))?;
        match directory.kind(name)? {
            Some(FileKind::File) => replace_by_link(executor, release, &shared, path).await?,
            // An application would read what somebody else keeps from it, or wait for ever.
            Some(FileKind::Link) => bail!(Refused::Link(source)),
            Some(FileKind::Directory) => {
                bail!("shared file {} is a directory\nhint: name it in `shared_dirs`", source.display())
            }
            Some(FileKind::Other) => bail!(
                "shared file {} is a named pipe, a socket or a device\nhint: look who has put it there, and remove it",
                source.display()
            ),
            None => notes.push(format!(
                "shared file {} does not exist yet; create it if the release needs it",
                source.display()
            )),
        }
    }
    Ok(notes)
}

/// Nobody but us makes releases or exchanges what they share: the sandbox keeps a build from writing to these directories, not from changing
/// their modes. Returns what the operator should know.
fn close_to_others(path: &Path) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for name in ["", "releases", "shared"] {
        let directory = OpenDirectory::open(path)?.below(Path::new(name), true)?;
        if directory.close_to_others()? {
            notes.push(format!(
                "WARNING: everybody could write to {}: that right is removed (chmod o-w)",
                directory.path().display()
            ));
        }
    }
    Ok(notes)
}

/// A directory in `shared/`, made where it is missing.
fn in_shared(path: &Path, inner: &Path) -> Result<OpenDirectory> {
    let below = |directory: OpenDirectory| directory.below(&Path::new("shared").join(inner), true);
    Ok(OpenDirectory::open(path).and_then(below)?)
}

/// Puts a relative link to `shared/<path>` in the place of `<release>/<path>`.
async fn replace_by_link(executor: &Executor, release: &Path, shared: &Path, path: &Path) -> Result<()> {
    let name = path.file_name().with_context(|| format!("shared path {} has no name", path.display()))?;
    let parent = path.parent().unwrap_or(Path::new(""));
    let parent = OpenDirectory::open(release).and_then(|release| release.below(parent, true))?;
    remove_tree::remove(executor, None, &parent.path().join(name)).await?;
    // From <path>/releases/<name>/<parent...>/ back to <path>.
    let up = 2 + path.components().count() - 1;
    let mut target: PathBuf = std::iter::repeat_n("..", up).collect();
    target.push(shared.file_name().expect("shared/ has a name"));
    target.push(path);
    Ok(parent.link(name, &target)?)
}

/// The release that `current` names; `None` where there is no link.
pub fn current(deployment: &Deployment) -> Result<Option<String>> {
    let link = deployment.path.join(CURRENT);
    match link.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", link.display())),
        Ok(found) if !found.is_symlink() => {
            bail!("{} is not a link: the deployer did not make it; move it away", link.display())
        }
        Ok(_) => {
            let target = fs::read_link(&link)?;
            Ok(target.file_name().map(|name| name.to_string_lossy().into_owned()))
        }
    }
}

/// Whether a release's directory is there, and is one.
pub fn is_there(deployment: &Deployment, release: &str) -> bool {
    directory(deployment, release).symlink_metadata().is_ok_and(|found| found.is_dir())
}

/// Makes `current` name a release, durably and without a moment in which it does not exist.
pub fn activate(deployment: &Deployment, release: &str) -> Result<()> {
    if !is_there(deployment, release) {
        bail!("the release {} is gone", directory(deployment, release).display());
    }
    // Where nothing has moved, undoing it needs no room for another link.
    let target = Path::new("releases").join(release);
    if current(deployment)?.is_some() && fs::read_link(deployment.path.join(CURRENT))? == target {
        return sync_directory(&deployment.path);
    }
    let temporary = deployment.path.join(".current.new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::os::unix::fs::symlink(target, &temporary)?;
    crate::failpoint!("link-made");
    fs::rename(&temporary, deployment.path.join(CURRENT))?;
    crate::failpoint!("link-moved");
    sync_directory(&deployment.path)
}

/// Removes `current`: there was none before.
pub fn deactivate(deployment: &Deployment) -> Result<()> {
    if current(deployment)?.is_some() {
        fs::remove_file(deployment.path.join(CURRENT))?;
        sync_directory(&deployment.path)?;
    }
    Ok(())
}

/// Removes a release's directory, if it is one: a plain name directly below `releases/`, and not the live one.
pub async fn remove(executor: &Executor, deployment: &Deployment, release: &str) -> Result<()> {
    let plain = Path::new(release).components().eq([Component::Normal(release.as_ref())]);
    if !plain || current(deployment)?.as_deref() == Some(release) {
        bail!("{release:?} is not a release that may be removed");
    }
    remove_tree::remove(executor, deployment.user.as_ref(), &directory(deployment, release)).await
}

/// The commit that a work tree made by somebody's git stands on, read from its files: its configuration is not ours to run.
pub fn commit_of_work_tree(path: &Path) -> Option<CommitId> {
    // Of a repository with a hundred thousand branches.
    const BYTES_MAX: u64 = 16 * 1024 * 1024;
    let git = path.join(".git");
    let read = |name: &str| safe_path::read_text_now(path, &git.join(name), BYTES_MAX).ok();
    let head = read("HEAD")?;
    let Some(name) = head.trim().strip_prefix("ref: ") else { return CommitId::parse(head.trim()).ok() };
    // Only what lies in the repository is a branch of it.
    let is_plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    is_plain.then_some(())?;
    if let Some(commit) = read(name) {
        return CommitId::parse(commit.trim()).ok();
    }
    let packed = read("packed-refs")?;
    let line = packed.lines().find(|line| line.split_once(' ').is_some_and(|(_, found)| found == name))?;
    CommitId::parse(line.split_once(' ')?.0).ok()
}

/// Whether this is the empty place that systemd shows to a unit instead of people's homes (`ProtectHome=tmpfs`).
fn is_hidden_home(directory: &Path) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    let is_home = ["/home", "/root", "/run/user"].iter().any(|home| directory.starts_with(home));
    is_home && rustix::fs::statfs(directory).is_ok_and(|found| found.f_type == TMPFS)
}

/// Refuses where a file system that a run writes to is nearly full.
pub fn check_space(paths: &[&Path], free_bytes_min: u64) -> Result<()> {
    /// Files that must be able to be made: a small `node_modules`.
    const FREE_INODES_MIN: u64 = 1_000;
    for path in paths {
        let existing = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
        let found = rustix::fs::statvfs(existing)
            .with_context(|| format!("cannot ask how full {} is", existing.display()))?;
        if existing != *path && is_hidden_home(existing) {
            bail!(
                "{} cannot be seen by the service, which sees nothing in people's homes: make that directory, and run `sudo durhack-deployer setup`, which lets it in",
                path.display()
            );
        }
        let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
        if free_bytes < free_bytes_min {
            bail!(
                "the disk is full: {} KiB free at {}, {} KiB wanted",
                free_bytes >> 10,
                existing.display(),
                free_bytes_min >> 10
            );
        }
        // Some file systems count no inodes and say 0 of 0.
        if found.f_files > 0 && found.f_favail < FREE_INODES_MIN {
            bail!("the disk is full: {} inodes free at {}", found.f_favail, existing.display());
        }
    }
    Ok(())
}

/// Makes what was created, renamed or removed in a directory survive a power cut.
pub fn sync_directory(path: &Path) -> Result<()> {
    fs::File::open(path)?.sync_all().with_context(|| format!("cannot sync {}", path.display()))
}
