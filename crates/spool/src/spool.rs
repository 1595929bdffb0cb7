//! The handle: opening, and looking at what is there.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use crate::directories::{Directories, OpenError};
use crate::error::OperationError;
use crate::index::Index;
use crate::name::EntryName;
use crate::sequence::Sequence;

/// A handle to an open spool. Clones share it; every method may be called from any thread, and blocks.
#[derive(Clone)]
pub struct Spool {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    path: PathBuf,
    directories: RwLock<Arc<Directories>>,
    pub(crate) index: Index,
    pub(crate) sequence: Sequence,
}

impl Spool {
    /// Opens the spool in `directory`, making it (and its parents) if it does not exist. `now` is the time in
    /// nanoseconds since the epoch.
    ///
    /// # Errors
    /// Refuses a directory that somebody else owns or may write to, and one that spans file systems.
    pub fn open(directory: &Path, now: impl Fn() -> u64 + Send + Sync + 'static) -> Result<Spool, OpenError> {
        let shared = Shared {
            path: directory.to_owned(),
            directories: RwLock::new(Arc::new(Directories::open(directory)?)),
            index: Index::new(),
            sequence: Sequence::new(now),
        };
        let spool = Spool { shared: Arc::new(shared) };
        spool.survey(&spool.directories())?;
        Ok(spool)
    }

    /// Opens the directory anew, after [`AppendError::Degraded`](crate::AppendError::Degraded) and once the
    /// cause has been dealt with. On failure everything stays as it was. Claims that are held stay valid.
    ///
    /// # Errors
    /// Like [`open`](Self::open).
    pub fn reopen(&self) -> Result<(), OpenError> {
        let opened = Arc::new(Directories::open(&self.shared.path)?);
        self.survey(&opened)?;
        *self.shared.directories.write().unwrap_or_else(PoisonError::into_inner) = opened;
        Ok(())
    }

    /// The directory that this spool is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Whether appends are being refused because an fsync of the directory failed.
    pub fn is_degraded(&self) -> bool {
        self.directories().sync_failure().is_some()
    }

    /// The entries that are ready, oldest first. Files that are not named like entries are passed over.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn ready(&self) -> Result<Vec<EntryName>, OperationError> {
        let entries = self.directories().ready.entries()?;
        self.notice(&entries);
        Ok(entries)
    }

    /// The entries that are being worked on, or were when a process died.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn claimed(&self) -> Result<Vec<EntryName>, OperationError> {
        self.directories().claimed.entries()
    }

    pub(crate) fn directories(&self) -> Arc<Directories> {
        Arc::clone(&self.shared.directories.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Learns which entries exist. Their fsync comes after the look: an id that the index knows will be
    /// acknowledged as a duplicate, so what was seen must be on the disk.
    fn survey(&self, directories: &Directories) -> Result<(), OperationError> {
        self.notice(&directories.ready.entries()?);
        self.notice(&directories.claimed.entries()?);
        if let Some(last) = directories.bad.entries()?.last() {
            self.shared.sequence.observe(last.nanos());
        }
        directories.sync_all()
    }

    /// `entries` are in order.
    fn notice(&self, entries: &[EntryName]) {
        if let Some(last) = entries.last() {
            self.shared.sequence.observe(last.nanos());
        }
        self.shared.index.learn(entries);
    }
}
