//! One directory held open, and what the spool does in one. Everything goes through the descriptor: a
//! directory that is renamed or replaced underneath does not make two operations look at different places.
//!
//! A file that vanishes is never an error here, it is an answer: operators move and remove files at any time.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{self, AtFlags, Dir, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::error::OperationError;
use crate::group_commit::GroupCommit;
use crate::name::EntryName;

/// Directories for us alone: entries carry what GitHub signed, which may be a private repository's.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

pub(crate) struct Directory {
    path: PathBuf,
    descriptor: OwnedFd,
    commit: GroupCommit,
    /// The contents of files, where many are written at once.
    contents: GroupCommit,
    writers: AtomicUsize,
}

/// From so many writers at once on, one syncfs for all of them is cheaper than an fsync for each: the disk's cache is flushed
/// once. Below it, syncfs would only make us wait for what others have written to the same file system.
const COMPANY_MIN: usize = 4;

/// What became of a move that does not replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    Done,
    /// There is no such file (any more).
    Gone,
    /// The target name exists; nothing was changed.
    Taken,
}

impl Directory {
    /// Makes the directory, and those above it that are missing, each durable in its parent.
    pub(crate) fn make(path: &Path) -> Result<(), OperationError> {
        let parent = parent_of(path);
        match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && parent != path => {
                Directory::make(parent)?;
                return Directory::make(path);
            }
            Err(error) => return Err(OperationError::new("make directory", path, error)),
        }
        // Also when it existed: whoever made it may have been killed before its own fsync.
        Directory::open(parent, OFlags::empty())?.sync()
    }

    pub(crate) fn open(path: &Path, flags: OFlags) -> Result<Directory, OperationError> {
        let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = fs::open(path, flags, Mode::empty())
            .map_err(|errno| OperationError::new("open directory", path, errno))?;
        Ok(Directory {
            path: path.to_owned(),
            descriptor,
            commit: GroupCommit::default(),
            contents: GroupCommit::default(),
            writers: AtomicUsize::new(0),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn stat_self(&self) -> Result<Stat, OperationError> {
        fs::fstat(&self.descriptor).map_err(|errno| OperationError::new("examine", &self.path, errno))
    }

    /// Makes what was created, moved and removed here before this call survive a power cut.
    pub(crate) fn sync(&self) -> Result<(), OperationError> {
        self.commit.wait(|| {
            fs::fsync(&self.descriptor)
                .map_err(|errno| OperationError::new("fsync directory", &self.path, errno))
        })
    }

    /// Makes the contents of a file in this directory durable: by an fsync of its own or, in company, by one syncfs for
    /// all. A syncfs that fails (since Linux 5.8 it says so) speaks for no file in particular; each is then asked itself, and its
    /// own descriptor still knows of every error that concerned it.
    pub(crate) fn sync_file(&self, file: &File) -> io::Result<()> {
        let company = self.writers.fetch_add(1, Ordering::SeqCst) + 1;
        let together = company >= COMPANY_MIN
            && self
                .contents
                .wait(|| {
                    fs::syncfs(&self.descriptor)
                        .map_err(|errno| OperationError::new("syncfs", &self.path, errno))
                })
                .is_ok();
        let result = if together { Ok(()) } else { file.sync_all() };
        self.writers.fetch_sub(1, Ordering::SeqCst);
        result
    }

    /// The failure after which `sync` does not succeed any more.
    pub(crate) fn sync_failure(&self) -> Option<OperationError> {
        self.commit.failure()
    }

    /// As if the next fsync had failed.
    #[cfg(test)]
    pub(crate) fn fail_sync(&self) {
        let failure = || Err(self.error("fsync", "directory", Errno::IO));
        assert!(self.commit.wait(failure).is_err());
    }

    /// Creates a file that did not exist, for writing; `None` if the name is taken.
    pub(crate) fn create_new(&self, name: &str) -> Result<Option<File>, OperationError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::openat(&self.descriptor, name, flags, FILE_MODE) {
            Ok(descriptor) => Ok(Some(descriptor.into())),
            Err(Errno::EXIST) => Ok(None),
            Err(errno) => Err(self.error("create", name, errno)),
        }
    }

    /// Opens a file without following a link and without waiting for a FIFO's other end.
    pub(crate) fn open_file(&self, name: &str, flags: OFlags) -> Result<File, OperationError> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        fs::openat(&self.descriptor, name, flags, FILE_MODE)
            .map(File::from)
            .map_err(|errno| self.error("open", name, errno))
    }

    /// Looks at the thing itself, also where it is a link; `None` if there is none.
    pub(crate) fn stat(&self, name: &str) -> Result<Option<Stat>, OperationError> {
        match fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.error("examine", name, errno)),
        }
    }

    pub(crate) fn holds(&self, name: &str) -> Result<bool, OperationError> {
        Ok(self.stat(name)?.is_some())
    }

    /// Removes a file, or an empty directory; `false` if there was none.
    pub(crate) fn remove(&self, name: &str) -> Result<bool, OperationError> {
        let removed = match fs::unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => fs::unlinkat(&self.descriptor, name, AtFlags::REMOVEDIR),
            other => other,
        };
        match removed {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.error("remove", name, errno)),
        }
    }

    /// Moves without ever replacing anything.
    pub(crate) fn move_new(&self, name: &str, to: &Directory, new: &str) -> Result<Moved, OperationError> {
        let moved =
            match fs::renameat_with(&self.descriptor, name, &to.descriptor, new, RenameFlags::NOREPLACE) {
                // This file system does not know the flag.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.link_and_unlink(name, to, new),
                other => other,
            };
        match moved {
            Ok(()) => Ok(Moved::Done),
            Err(Errno::NOENT) => Ok(Moved::Gone),
            Err(Errno::EXIST) => Ok(Moved::Taken),
            Err(errno) => Err(self.error("move", name, errno)),
        }
    }

    /// The oldest way to move without replacing. A kill in between leaves the file under both names, which
    /// recovery recognises by its inode.
    fn link_and_unlink(&self, name: &str, to: &Directory, new: &str) -> rustix::io::Result<()> {
        fs::linkat(&self.descriptor, name, &to.descriptor, new, AtFlags::empty())?;
        match fs::unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()), // somebody helped
            other => other,
        }
    }

    /// Moves and replaces what bore the name.
    pub(crate) fn move_over(&self, name: &str, to: &Directory, new: &str) -> Result<(), OperationError> {
        fs::renameat(&self.descriptor, name, &to.descriptor, new)
            .map_err(|errno| self.error("move", name, errno))
    }

    /// Calls `visit` with every name here that is UTF-8, in no order; others are never ours.
    pub(crate) fn visit(&self, mut visit: impl FnMut(&str)) -> Result<(), OperationError> {
        let failed = |errno| OperationError::new("list", &self.path, errno);
        // Opens `.` anew, so that concurrent scans do not share a position.
        for file in Dir::read_from(&self.descriptor).map_err(failed)? {
            let file = file.map_err(failed)?;
            if let Ok(name) = file.file_name().to_str() {
                visit(name);
            }
        }
        Ok(())
    }

    /// The names here that are names of entries, in order.
    pub(crate) fn entries(&self) -> Result<Vec<EntryName>, OperationError> {
        let mut entries = Vec::new();
        self.visit(|name| entries.extend(name.parse::<EntryName>().ok()))?;
        entries.sort_unstable();
        entries.dedup(); // a name that is moved away and back during the scan may be listed twice
        Ok(entries)
    }

    pub(crate) fn error(
        &self,
        action: &'static str,
        name: &str,
        cause: impl Into<io::Error>,
    ) -> OperationError {
        OperationError::new(action, &self.path.join(name), cause)
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path, // the root is its own parent
    }
}
