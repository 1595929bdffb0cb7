//! The handle: opening, and looking at what is there.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use crate::directories::{Directories, OpenError};
use crate::error::OperationError;
use crate::index::Index;
use crate::name::EntryName;
use crate::pause::Pause;
use crate::sequence::Sequence;

/// A handle to an open spool. Clones share it; every method may be called from any thread, and blocks.
#[derive(Clone)]
pub struct Spool {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    path: PathBuf,
    directories: RwLock<Arc<Directories>>,
    pause: Pause,
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
            pause: Pause::default(),
            index: Index::new(),
            sequence: Sequence::new(now),
        };
        let spool = Spool { shared: Arc::new(shared) };
        spool.survey(&spool.opened())?;
        Ok(spool)
    }

    /// Opens the directory anew. After a failed fsync of it each later operation does so by itself, at the earliest
    /// after a second and then at growing intervals up to a minute; this does it at once. On failure everything stays
    /// as it was. Claims that are held stay valid.
    ///
    /// # Errors
    /// Like [`open`](Self::open).
    pub fn reopen(&self) -> Result<(), OpenError> {
        let opened = Arc::new(Directories::open(&self.shared.path)?);
        self.survey(&opened)?;
        *self.shared.directories.write().unwrap_or_else(PoisonError::into_inner) = opened;
        self.shared.pause.end();
        Ok(())
    }

    /// The directory that this spool is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Whether appends are being refused because an fsync of the directory failed.
    pub fn is_degraded(&self) -> bool {
        self.opened().sync_failure().is_some()
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

    /// What an operation works on. Opened anew first if an fsync failed and the pause after it is over: what the new
    /// descriptors show is fsynced by [`survey`](Self::survey), so that nothing rests on the one that failed.
    pub(crate) fn directories(&self) -> Arc<Directories> {
        let opened = self.opened();
        if opened.sync_failure().is_none() || !self.shared.pause.is_over(self.shared.sequence.now()) {
            return opened;
        }
        // What is wrong is said by the operation, which finds the failure still there.
        let _ = self.reopen();
        self.opened()
    }

    fn opened(&self) -> Arc<Directories> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AppendError, Appended};
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicU64, Ordering};

    const SECOND: u64 = 1_000_000_000;

    /// The directory cannot be read any more, or is not ours alone: it stays closed, and is tried again later.
    fn set_mode(directory: &Path, mode: u32) {
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn after_a_failed_fsync_it_opens_itself_anew() {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicU64::new(1_000 * SECOND));
        let spool = Spool::open(directory.path(), {
            let clock = Arc::clone(&clock);
            move || clock.load(Ordering::SeqCst)
        })
        .unwrap();
        let at = |second: u64| clock.store((1_000 + second) * SECOND, Ordering::SeqCst);
        let refused = |id: &str| matches!(spool.append(id, &[b"x"]), Err(AppendError::Degraded(_)));
        let Appended::New(first) = spool.append("a", &[b"x"]).unwrap() else { unreachable!("the first") };

        spool.opened().ready.fail_sync();
        assert!(spool.is_degraded());
        assert!(refused("b") && refused("b"));
        set_mode(directory.path(), 0o777);
        at(1);
        assert!(refused("b"));
        set_mode(directory.path(), 0o700);
        at(2);
        assert!(refused("b"), "the second attempt comes after two seconds");
        at(3);
        // A look is enough: an entry that waits is claimed again although nobody appends.
        assert_eq!(spool.ready().unwrap(), std::slice::from_ref(&first));
        assert!(!spool.is_degraded());
        assert!(matches!(spool.append("a", &[b"x"]).unwrap(), Appended::Duplicate(name) if name == first));
        assert!(matches!(spool.append("b", &[b"x"]).unwrap(), Appended::New(_)));

        // And again, from the shortest pause.
        spool.opened().claimed.fail_sync();
        assert!(refused("c"));
        at(4);
        assert!(matches!(spool.append("c", &[b"x"]).unwrap(), Appended::New(_)));
    }
}
