//! Files that only their owner may read, written whole or not at all: secrets, and notes of what is under way.
//!
//! A new file appears under its name by rename(2), with its content and mode, after fsync; then its directory is fsynced. Root
//! writes for the daemon: a new file belongs to whom the file before it, or else the given directory, belongs to.

use anyhow::{Context, Result};
use rustix::fs::{Gid, Uid, fchown};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Writes a file, in place of the one that may be there. `like` is whose owner a file that is new gets.
pub fn replace(path: &Path, content: &str, like: &Path) -> Result<()> {
    let file = prepared(path, content, like)?;
    file.persist(path).map_err(|error| error.error).with_context(|| cannot_write(path))?;
    sync_directory(path)
}

/// Writes a file where there is none; false where there is one.
pub fn create(path: &Path, content: &str, like: &Path) -> Result<bool> {
    match prepared(path, content, like)?.persist_noclobber(path) {
        Ok(_) => sync_directory(path).map(|()| true),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error).with_context(|| cannot_write(path)),
    }
}

/// The path with a further ending.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn prepared(path: &Path, content: &str, like: &Path) -> Result<tempfile::NamedTempFile> {
    let directory = directory_of(path);
    // tempfile's own mode is 0600.
    let mut file = tempfile::NamedTempFile::new_in(directory).with_context(|| cannot_write(path))?;
    file.write_all(content.as_bytes()).with_context(|| cannot_write(path))?;
    if rustix::process::geteuid().is_root() {
        let owner =
            fs_err::metadata(path).or_else(|_| fs_err::metadata(like)).with_context(|| cannot_write(path))?;
        let (user, group) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
        fchown(file.as_file(), Some(user), Some(group)).with_context(|| cannot_write(path))?;
    }
    file.as_file().sync_all().with_context(|| cannot_write(path))?;
    Ok(file)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_directory(path: &Path) -> Result<()> {
    let directory = directory_of(path);
    File::open(directory).and_then(|directory| directory.sync_all()).with_context(|| cannot_write(path))
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_reads_it_and_it_is_never_half_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        assert!(create(&path, "one", directory.path()).unwrap());
        assert!(!create(&path, "two", directory.path()).unwrap());
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "one");
        replace(&path, "three", directory.path()).unwrap();
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "three");
        assert_eq!(fs_err::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left");
        let error = replace(&directory.path().join("none/secret"), "", directory.path()).unwrap_err();
        assert!(error.to_string().contains("none/secret"), "{error}");
    }
}
