//! Files that are there whole or not at all, also after a power cut: written aside, synced, renamed; then their directory is synced.
//!
//! What is written aside has a name that begins with a dot, which no `include` of nginx matches.

use anyhow::{Context, Result};
use fs_err as fs;
use fs_err::OpenOptions;
use fs_err::os::unix::fs::OpenOptionsExt;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Puts these bytes there, in the place of whatever file or link is there.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let aside = aside(path);
    remove_if_there(&aside)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside)?;
    file.write_all(bytes)?;
    // Whatever the umask says.
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    sync_directory(path)
}

/// Puts a link there.
pub fn link(path: &Path, to: &Path) -> Result<()> {
    let aside = aside(path);
    remove_if_there(&aside)?;
    fs::os::unix::fs::symlink(to, &aside)?;
    fs::rename(&aside, path)?;
    sync_directory(path)
}

/// Removes a file or link; one that is not there is gone already.
pub fn remove(path: &Path) -> Result<()> {
    remove_if_there(path)?;
    match path.parent().is_some_and(Path::exists) {
        true => sync_directory(path),
        false => Ok(()),
    }
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn aside(path: &Path) -> PathBuf {
    path.with_file_name(".durhack-deployer.new")
}

fn sync_directory(path: &Path) -> Result<()> {
    let directory = path.parent().context("a file lies in a directory")?;
    fs::File::open(directory)?.sync_all().with_context(|| format!("cannot sync {}", directory.display()))
}
