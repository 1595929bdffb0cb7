//! The spool's directories, opened together and found fit to be one.

use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::directory::Directory;
use crate::error::OperationError;
use crate::name::EntryName;

/// The directory is not fit to be a spool.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its owner could take entries away, or put some there.
    #[error("{} belongs to user {owner}, but this runs as user {us}", path.display())]
    NotOurs { path: PathBuf, owner: u32, us: u32 },
    /// Others could take entries away, or put some there.
    #[error("{} may be written by others (mode {mode:04o}); `chmod go-w` it", path.display())]
    WritableByOthers { path: PathBuf, mode: u32 },
    /// Entries move between the directories by rename, which cannot cross file systems.
    #[error("{} is on another file system than the spool that it belongs to", path.display())]
    OtherFileSystem { path: PathBuf },
    #[error(transparent)]
    Operation(#[from] OperationError),
}

/// Dropped and made anew by `reopen`: a failed fsync of the old descriptors says nothing about the new.
pub(crate) struct Directories {
    /// The spool directory itself.
    pub(crate) ready: Directory,
    pub(crate) temporary: Directory,
    pub(crate) claimed: Directory,
    pub(crate) bad: Directory,
    pub(crate) attempts: Directory,
}

impl Directories {
    /// Makes what is missing. What is there afterwards is durable.
    pub(crate) fn open(path: &Path) -> Result<Directories, OpenError> {
        Directory::make(path)?;
        // An operator may have put the spool elsewhere by a link; inside it, a link is a trap.
        let ready = Directory::open(path, OFlags::empty())?;
        check(&ready, &ready)?;
        let below = |name: &str| -> Result<Directory, OpenError> {
            let path = path.join(name);
            Directory::make(&path)?;
            let directory = Directory::open(&path, OFlags::NOFOLLOW)?;
            check(&directory, &ready)?;
            Ok(directory)
        };
        Ok(Directories {
            temporary: below("tmp")?,
            claimed: below("claimed")?,
            bad: below("bad")?,
            attempts: below("attempts")?,
            ready,
        })
    }

    /// Makes durable whatever is to be seen now.
    pub(crate) fn sync_all(&self) -> Result<(), OperationError> {
        self.all().into_iter().try_for_each(Directory::sync)
    }

    /// The first failed fsync. Where one directory could not be written, the others are not to be trusted.
    pub(crate) fn sync_failure(&self) -> Option<OperationError> {
        self.all().into_iter().find_map(Directory::sync_failure)
    }

    fn all(&self) -> [&Directory; 5] {
        [&self.temporary, &self.attempts, &self.bad, &self.claimed, &self.ready]
    }

    /// Where an entry is: ready or claimed. Looks twice, for it may be moving from one to the other.
    pub(crate) fn find(&self, name: &EntryName) -> Result<Option<&Directory>, OperationError> {
        for directory in [&self.ready, &self.claimed, &self.ready, &self.claimed] {
            if directory.holds(name.as_str())? {
                return Ok(Some(directory));
            }
        }
        Ok(None)
    }
}

fn check(directory: &Directory, spool: &Directory) -> Result<(), OpenError> {
    let stat = directory.stat_self()?;
    let path = || directory.path().to_owned();
    let us = rustix::process::geteuid().as_raw();
    if stat.st_uid != us {
        return Err(OpenError::NotOurs { path: path(), owner: stat.st_uid, us });
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(OpenError::WritableByOthers { path: path(), mode: stat.st_mode & 0o7777 });
    }
    if stat.st_dev != spool.stat_self()?.st_dev {
        return Err(OpenError::OtherFileSystem { path: path() });
    }
    Ok(())
}
