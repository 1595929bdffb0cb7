//! A file being written in `tmp/`, on its way to becoming something.
//!
//! Its writer holds a lock on it. Recovery removes the files that nobody holds: the kernel drops a lock with
//! its process, however that ended, whereas a process id in a name may meanwhile be another's (in a container
//! it always is). The id is in the name all the same, for the operator who wonders.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;

use crate::directory::{Directory, Moved};
use crate::error::OperationError;

/// One counter for all spools of the process: two handles may share a directory.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Removed when dropped, unless it was moved to where it belongs.
pub(crate) struct Temporary<'directory> {
    directory: &'directory Directory,
    name: String,
    /// Holds the lock.
    file: File,
    moved: bool,
}

impl<'directory> Temporary<'directory> {
    /// Writes a file and makes its contents durable.
    ///
    /// There is no check of `close`: after an fsync that succeeded it has nothing left to lose.
    pub(crate) fn write(
        directory: &'directory Directory,
        label: &str,
        contents: &[&[u8]],
    ) -> Result<Temporary<'directory>, OperationError> {
        let (name, file) = create(directory, label)?;
        let mut temporary = Temporary { directory, name, file, moved: false };
        temporary.fill(contents)?;
        Ok(temporary)
    }

    fn fill(&mut self, contents: &[&[u8]]) -> Result<(), OperationError> {
        let failed = |action| move |error| (action, error);
        let result = (|| {
            match self.file.try_lock() {
                Ok(()) => {}
                // Recovery came upon it in the moment since it was created and is removing it. That will
                // show as `Moved::Gone`.
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(("lock", error)),
            }
            for part in contents {
                self.file.write_all(part).map_err(failed("write"))?;
            }
            self.directory.sync_file(&self.file).map_err(failed("fsync"))
        })();
        result.map_err(|(action, error)| self.directory.error(action, &self.name, error))
    }

    /// Gives the file its place, without replacing anything. `Moved::Gone` means that somebody removed it.
    pub(crate) fn move_new(&mut self, to: &Directory, name: &str) -> Result<Moved, OperationError> {
        let moved = self.directory.move_new(&self.name, to, name)?;
        self.moved = moved != Moved::Taken;
        Ok(moved)
    }

    /// Gives the file its place, replacing what was there.
    pub(crate) fn move_over(mut self, to: &Directory, name: &str) -> Result<(), OperationError> {
        self.directory.move_over(&self.name, to, name)?;
        self.moved = true;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.moved {
            // Best effort: if this fails too, recovery does it.
            let _ = self.directory.remove(&self.name);
        }
    }
}

fn create(directory: &Directory, label: &str) -> Result<(String, File), OperationError> {
    loop {
        let name = format!("{}.{}.{label}", process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        // A name can be taken by a file that a crashed process with our id left: the next one then.
        if let Some(file) = directory.create_new(&name)? {
            return Ok((name, file));
        }
    }
}

/// Removes the files whose writers are no more; says how many.
pub(crate) fn remove_abandoned(directory: &Directory) -> Result<usize, OperationError> {
    let mut names = Vec::new();
    directory.visit(|name| {
        if !matches!(name, "." | "..") {
            names.push(name.to_owned());
        }
    })?;
    let mut removed = 0;
    for name in names {
        if is_abandoned(directory, &name)? {
            removed += usize::from(directory.remove(&name)?);
        }
    }
    Ok(removed)
}

/// Only files of the form that we create: what else lies there is not ours to remove.
fn is_abandoned(directory: &Directory, name: &str) -> Result<bool, OperationError> {
    let mut parts = name.splitn(3, '.');
    let is_number = |part: Option<&str>| part.is_some_and(|digits| digits.parse::<u64>().is_ok());
    if !(is_number(parts.next()) && is_number(parts.next()) && parts.next().is_some()) {
        return Ok(false);
    }
    let is_file = |stat: rustix::fs::Stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    if !directory.stat(name)?.is_some_and(is_file) {
        return Ok(false);
    }
    // For writing, because some file systems lock only what could be written.
    let file = match directory.open_file(name, OFlags::WRONLY) {
        Ok(file) => file,
        Err(error) if error.errno() == Some(rustix::io::Errno::NOENT) => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(directory.error("lock", name, error)),
    }
}
