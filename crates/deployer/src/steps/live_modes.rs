//! The modes of the directories that lead to a live release: a build of another deployment of the same user can take them away, and with
//! them the site. So they are remembered when a release goes live, and given back at the next look, within half a minute.
//!
//! Only rights that are missing are given back, and only to directories that are the deployer's: what else an operator does to them stays.

use super::release;
use crate::base::files::private_file;
use crate::config::Deployment;
use anyhow::Result;
use rustix::fs::{AtFlags, CWD, FileType, Mode, chmodat, statat};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// In the state directory.
const DIRECTORY: &str = "live-modes";

/// A file of this program's: four lines.
const BYTES_MAX: u64 = 64 * 1024;

/// What leads to a live release, from the outside in.
fn way(deployment: &Deployment, live: &str) -> [PathBuf; 4] {
    let path = &deployment.path;
    [path.clone(), path.join("releases"), release::directory(deployment, live), path.join("shared")]
}

fn file(state_directory: &Path, deployment: &Deployment) -> PathBuf {
    state_directory.join(DIRECTORY).join(deployment.slug.as_str())
}

/// The mode of a directory that is ours; None for everything else.
fn mode(path: &Path) -> Option<u32> {
    let found = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let is_ours = found.st_uid == rustix::process::geteuid().as_raw();
    let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
    (is_ours && is_directory).then_some(found.st_mode & 0o7777)
}

/// Notes how a release is that has gone live.
pub fn remember(state_directory: &Path, deployment: &Deployment, live: &str) -> Result<()> {
    let mut lines = String::new();
    for path in way(deployment, live) {
        if let Some(mode) = mode(&path) {
            writeln!(lines, "{mode:o} {}", path.display())?;
        }
    }
    let file = file(state_directory, deployment);
    fs_err::create_dir_all(state_directory.join(DIRECTORY))?;
    private_file::replace(&file, &lines, state_directory)
}

/// Gives back what was taken from the way to the live release; gives what that was.
pub fn mend(state_directory: &Path, deployment: &Deployment) -> Vec<PathBuf> {
    let file = file(state_directory, deployment);
    if file.metadata().is_ok_and(|found| found.len() > BYTES_MAX) {
        return Vec::new();
    }
    let Ok(text) = fs_err::read_to_string(file) else { return Vec::new() };
    let mut mended = Vec::new();
    for line in text.lines() {
        let Some((remembered, path)) = line.split_once(' ') else { continue };
        let (Ok(remembered), path) = (u32::from_str_radix(remembered, 8), Path::new(path)) else { continue };
        let Some(found) = mode(path).filter(|found| found & remembered != remembered) else { continue };
        match chmodat(CWD, path, Mode::from_raw_mode(found | remembered), AtFlags::empty()) {
            Ok(()) => {
                tracing::error!(
                    deployment = %deployment.slug, path = %path.display(), was = format!("{found:o}"),
                    "rights on the way to the live release had been taken away, and are given back: a build of a deployment without a user of its own can do that"
                );
                mended.push(path.to_owned());
            }
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "cannot give back the rights of this directory");
            }
        }
    }
    mended
}
