//! The one process that works entries off, and what it puts in order when it starts.

use std::fs::{File, TryLockError};

use rustix::fs::OFlags;

use crate::attempts;
use crate::bad;
use crate::error::OperationError;
use crate::spool::Spool;
use crate::temporary;

const LOCK_FILE: &str = "lock";

/// The right to be this spool's consumer, until dropped. The kernel takes it back when the process ends,
/// however it does.
#[must_use = "the lock is held only as long as this lives"]
pub struct ConsumerLock {
    spool: Spool,
    _file: File,
}

/// What [`ConsumerLock::recover`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Entries that a dead consumer had claimed; they are ready again.
    pub claims: usize,
    /// Half-written files of dead writers; they are gone.
    pub temporaries: usize,
}

impl Spool {
    /// Becomes the consumer; `None` if there is one already, in this process or another.
    ///
    /// # Errors
    /// When the lock file cannot be opened or locked.
    pub fn consumer_lock(&self) -> Result<Option<ConsumerLock>, OperationError> {
        let directories = self.directories();
        let file = directories.ready.open_file(LOCK_FILE, OFlags::RDWR | OFlags::CREATE)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(ConsumerLock { spool: self.clone(), _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(directories.ready.error("lock", LOCK_FILE, error)),
        }
    }
}

impl ConsumerLock {
    /// Clears up after the consumer and the writers before: claimed entries become ready, half-written files
    /// are removed. Once, before the first claim; it would take living claims away too.
    ///
    /// # Errors
    /// When a directory cannot be read or a file not be moved. What was done until then stays done, and it
    /// may be called again.
    pub fn recover(&self) -> Result<Recovered, OperationError> {
        let directories = self.spool.directories();
        let mut recovered = Recovered::default();
        for name in directories.claimed.entries()? {
            self.spool.put_back(&directories, &name)?;
            recovered.claims += 1;
        }
        recovered.temporaries = temporary::remove_abandoned(&directories.temporary)?;
        bad::remove_orphaned_reasons(&directories.bad)?;
        for name in directories.attempts.entries()? {
            if directories.find(&name)?.is_none() {
                attempts::forget(&directories.attempts, &name)?;
            }
        }
        self.spool.ready()?; // learn their ids
        Ok(recovered)
    }

    /// The spool that this is the lock of.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }
}
