//! Taking an entry to work on it, and what is done with it then.

use std::io::Read as _;

use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;

use crate::attempts;
use crate::bad;
use crate::directories::Directories;
use crate::directory::Moved;
use crate::error::OperationError;
use crate::name::EntryName;
use crate::spool::Spool;

/// Largest entry, in bytes. GitHub sends at most 25 MiB; base64 makes 34 MiB of that, and JSON around it a
/// little more. Twice as much is room to spare, and still nothing that reading into memory could hurt by.
pub const ENTRY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// An entry that is ours to work on. Dropped without being finished, released or dead-lettered, it is released (where
/// that fails, it stays claimed until [`ConsumerLock::recover`](crate::ConsumerLock::recover)).
#[must_use = "an entry that is claimed and dropped goes back"]
pub struct Claim {
    spool: Spool,
    name: EntryName,
    contents: Vec<u8>,
    attempts: u32,
    settled: bool,
}

/// The entry could not be claimed. Others can.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// It is nothing that could be worked on (a directory, a link, a giant, foreign), and has been
    /// set aside as `buried_as`.
    #[error("{name} was dead-lettered: {reason}")]
    Buried { name: EntryName, buried_as: EntryName, reason: String },
    /// An entry of the same name is being worked on. An operator has copied it rather than moved.
    #[error("an entry named {name} is claimed already")]
    AlreadyClaimed { name: EntryName },
    /// It is still ready, if that was possible.
    #[error(transparent)]
    Operation(#[from] OperationError),
}

/// What a claimed file turns out to be.
enum Examined {
    Whole(Vec<u8>),
    Gone,
    /// For this reason it will never do.
    Unfit(String),
}

impl Spool {
    /// Takes a ready entry; `None` if it is gone. Counts as an attempt from here on, whatever happens.
    ///
    /// # Errors
    /// See [`ClaimError`].
    pub fn claim(&self, name: &EntryName) -> Result<Option<Claim>, ClaimError> {
        let directories = self.directories();
        match directories.ready.move_new(name.as_str(), &directories.claimed, name.as_str())? {
            Moved::Done => {}
            Moved::Gone => return Ok(None),
            Moved::Taken => return Err(ClaimError::AlreadyClaimed { name: name.clone() }),
        }
        let examined = attempts::count(&directories.attempts, name)
            .and_then(|attempts| Ok((attempts, examine(&directories, name)?)));
        match examined {
            Ok((attempts, Examined::Whole(contents))) => Ok(Some(Claim {
                spool: self.clone(),
                name: name.clone(),
                contents,
                attempts,
                settled: false,
            })),
            Ok((_, Examined::Gone)) => {
                self.settle(&directories, name)?;
                Ok(None)
            }
            Ok((_, Examined::Unfit(reason))) => {
                let buried_as = self.bury_claimed(&directories, name, &reason)?;
                Err(ClaimError::Buried { name: name.clone(), buried_as, reason })
            }
            Err(error) => {
                // A want of memory or descriptors passes. If putting it back fails as well, recovery does it.
                let _ = self.put_back(&directories, name);
                Err(error.into())
            }
        }
    }

    /// Forgets what is remembered about an entry that is no longer there.
    pub(crate) fn settle(&self, directories: &Directories, name: &EntryName) -> Result<(), OperationError> {
        self.shared.index.forget(name);
        attempts::forget(&directories.attempts, name)
    }

    /// Makes a claimed entry ready again.
    pub(crate) fn put_back(&self, directories: &Directories, name: &EntryName) -> Result<(), OperationError> {
        let Directories { ready, claimed, .. } = directories;
        match claimed.move_new(name.as_str(), ready, name.as_str())? {
            Moved::Done | Moved::Gone => Ok(()),
            Moved::Taken => {
                let identity = |stat: Option<Stat>| stat.map(|stat| (stat.st_dev, stat.st_ino));
                if identity(claimed.stat(name.as_str())?) == identity(ready.stat(name.as_str())?) {
                    // A move by linking was cut short: one file under two names.
                    claimed.remove(name.as_str()).map(drop)
                } else {
                    let reason =
                        "another entry of the same name had appeared when this one was to be put back";
                    self.bury_claimed(directories, name, reason).map(drop)
                }
            }
        }
    }

    fn bury_claimed(
        &self,
        directories: &Directories,
        name: &EntryName,
        reason: &str,
    ) -> Result<EntryName, OperationError> {
        let buried_as = bad::bury(directories, &self.shared.sequence, name, reason)?;
        self.settle(directories, name)?;
        Ok(buried_as)
    }
}

impl Claim {
    /// The entry's name.
    pub fn name(&self) -> &EntryName {
        &self.name
    }

    /// What was appended.
    pub fn contents(&self) -> &[u8] {
        &self.contents
    }

    /// How often this entry has been claimed, this time included, since it was appended or last dead-lettered.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The work is done and recorded elsewhere: removes the entry. After a power cut it may be back, for this
    /// is not fsynced; the database must then recognise it.
    ///
    /// # Errors
    /// When the file cannot be removed. It will come back at the next start.
    pub fn finish(mut self) -> Result<(), OperationError> {
        self.settled = true;
        let directories = self.spool.directories();
        directories.claimed.remove(self.name.as_str())?;
        self.spool.settle(&directories, &self.name)
    }

    /// Puts the entry back for a later attempt, at its old place in the order. The attempt does not count: it has ended by
    /// itself. What counts are those that took the process with them.
    ///
    /// # Errors
    /// When the file cannot be moved. It will come back at the next start.
    pub fn release(mut self) -> Result<(), OperationError> {
        self.settled = true;
        self.put_back_uncounted()
    }

    fn put_back_uncounted(&self) -> Result<(), OperationError> {
        let directories = self.spool.directories();
        attempts::uncount(&directories.attempts, &self.name)?;
        self.spool.put_back(&directories, &self.name)
    }

    /// Sets the entry aside for ever, or until an operator retries it. Returns the name that it bears among
    /// the bad, which is another one where an entry of this name was dead-lettered before and is still there.
    ///
    /// # Errors
    /// When the file cannot be moved. It will come back at the next start.
    pub fn bury(mut self, reason: &str) -> Result<EntryName, OperationError> {
        self.settled = true;
        self.spool.bury_claimed(&self.spool.directories(), &self.name, reason)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // A panic is a crash, and counts as one. There is nobody to tell of an error; the next start recovers the entry.
        let _ = match std::thread::panicking() {
            true => self.spool.put_back(&self.spool.directories(), &self.name),
            false => self.put_back_uncounted(),
        };
    }
}

/// Reads a claimed entry, if it is a file that one may read: looks before opening, because opening a device
/// can have effects, and after, because it may have been exchanged.
fn examine(directories: &Directories, name: &EntryName) -> Result<Examined, OperationError> {
    let claimed = &directories.claimed;
    let Some(stat) = claimed.stat(name.as_str())? else { return Ok(Examined::Gone) };
    if let Some(reason) = unfit(&stat) {
        return Ok(Examined::Unfit(reason));
    }
    let file = match claimed.open_file(name.as_str(), OFlags::RDONLY) {
        Ok(file) => file,
        Err(error) => return unreadable(error),
    };
    let stat = rustix::fs::fstat(&file).map_err(|errno| claimed.error("examine", name.as_str(), errno))?;
    if let Some(reason) = unfit(&stat) {
        return Ok(Examined::Unfit(reason));
    }
    let mut contents = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or(0));
    match file.take(ENTRY_BYTES_MAX + 1).read_to_end(&mut contents) {
        Ok(_) if contents.len() as u64 > ENTRY_BYTES_MAX => Ok(Examined::Unfit(too_large(contents.len()))),
        Ok(_) => Ok(Examined::Whole(contents)),
        Err(error) => unreadable(claimed.error("read", name.as_str(), error)),
    }
}

/// Tells a file that nobody will ever read from a passing want of memory or descriptors.
fn unreadable(error: OperationError) -> Result<Examined, OperationError> {
    match error.errno() {
        Some(Errno::NOENT) => Ok(Examined::Gone),
        Some(Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::NXIO | Errno::IO) => {
            Ok(Examined::Unfit(format!("it cannot be read: {}", error.io_error())))
        }
        _ => Err(error),
    }
}

fn unfit(stat: &Stat) -> Option<String> {
    let us = rustix::process::geteuid().as_raw();
    let file_type = FileType::from_raw_mode(stat.st_mode);
    if file_type != FileType::RegularFile {
        Some(format!("it is not a regular file but a {}", describe(file_type)))
    } else if stat.st_uid != us {
        Some(format!("it belongs to user {}, but this runs as user {us}", stat.st_uid))
    } else if u64::try_from(stat.st_size).map_or(true, |bytes| bytes > ENTRY_BYTES_MAX) {
        Some(too_large(stat.st_size))
    } else {
        None
    }
}

fn too_large(bytes: impl std::fmt::Display) -> String {
    format!("it is too large: {bytes} bytes, where at most {ENTRY_BYTES_MAX} are read")
}

fn describe(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Directory => "directory",
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        FileType::RegularFile | FileType::Unknown => "thing of an unknown kind",
    }
}
