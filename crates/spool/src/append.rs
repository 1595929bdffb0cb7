//! Putting an entry in: complete and on the disk, or not there.

use crate::claim::ENTRY_BYTES_MAX;
use crate::directories::Directories;
use crate::directory::Moved;
use crate::error::OperationError;
use crate::index::Reserved;
use crate::name::{EntryName, ID_BYTES_MAX, is_id};
use crate::spool::Spool;
use crate::temporary::Temporary;

/// How often an append is begun again because its name was taken or its file removed under it. Each needs
/// another process to do so at that very moment; a loop of that is not chance but a broken host.
const TRIES_MAX: usize = 16;

/// The entry with this id is in the spool, durably.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// It was put there.
    New(EntryName),
    /// It was there already, ready or claimed; what was to be appended is not.
    Duplicate(EntryName),
}

impl Appended {
    /// The entry's name, whoever put it there.
    pub fn name(&self) -> &EntryName {
        match self {
            Appended::New(name) | Appended::Duplicate(name) => name,
        }
    }
}

/// The entry is not in the spool, or not known to be: do not acknowledge it.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The caller's mistake. Never worth a repetition.
    #[error(
        "{id:?} cannot be an entry's id: 1 to {ID_BYTES_MAX} ASCII letters, digits and hyphens are needed"
    )]
    InvalidId { id: String },
    /// The caller's mistake: a claim would refuse the entry.
    #[error("an entry of {bytes} bytes exceeds the limit of {ENTRY_BYTES_MAX}")]
    TooLarge { bytes: u64 },
    /// The disk, or our share of it, is full. Works again once there is space.
    #[error("no space for another entry")]
    Full(#[source] OperationError),
    /// This append failed; another may succeed.
    #[error(transparent)]
    Io(OperationError),
    /// An fsync of the directory failed, now or earlier, and with it the ground to promise anything. Nothing
    /// is accepted until the directory has been opened anew, which a later operation does by itself.
    #[error(
        "the spool could not be written safely, and accepts nothing until it can be opened anew (tried again within a minute)"
    )]
    Degraded(#[source] OperationError),
    /// A file in the spool bears the highest time that a name can hold. Remove it and reopen.
    #[error("no name is left that would sort behind those in the spool")]
    NamesExhausted,
}

impl From<OperationError> for AppendError {
    fn from(error: OperationError) -> AppendError {
        if error.is_full() { AppendError::Full(error) } else { AppendError::Io(error) }
    }
}

impl Spool {
    /// Appends the concatenation of `contents` under `id`. When this returns `Ok`, the entry survives a
    /// power cut.
    ///
    /// An id that is still in the spool is a duplicate. While another thread is writing the same id, this
    /// waits, and tries itself should the other fail.
    ///
    /// # Errors
    /// See [`AppendError`]. In the rare case that the entry was already visible when its fsync failed, a
    /// consumer may have claimed it before it was withdrawn.
    pub fn append(&self, id: &str, contents: &[&[u8]]) -> Result<Appended, AppendError> {
        if !is_id(id) {
            return Err(AppendError::InvalidId { id: id.chars().take(2 * ID_BYTES_MAX).collect() });
        }
        let bytes: u64 = contents.iter().map(|part| part.len() as u64).sum();
        if bytes > ENTRY_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes });
        }
        let directories = self.directories();
        if let Some(failure) = directories.sync_failure() {
            return Err(AppendError::Degraded(failure));
        }
        self.shared.index.prune_if_grown(|name| !matches!(directories.find(name), Ok(None)));
        match self.shared.index.reserve(id, |name| directories.find(name))? {
            Reserved::Ours(reservation) => {
                let name = self.write(&directories, id, contents)?;
                reservation.fulfil(name.clone());
                Ok(Appended::New(name))
            }
            Reserved::Present(name, place) => {
                // Another process may have put it there and not have come to its own fsync yet.
                if std::ptr::eq(place, &directories.claimed) {
                    place.sync().map_err(AppendError::Degraded)?;
                }
                directories.ready.sync().map_err(AppendError::Degraded)?;
                Ok(Appended::Duplicate(name))
            }
        }
    }

    fn write(
        &self,
        directories: &Directories,
        id: &str,
        contents: &[&[u8]],
    ) -> Result<EntryName, AppendError> {
        let mut temporary = Temporary::write(&directories.temporary, id, contents)?;
        for _ in 0..TRIES_MAX {
            let nanos = self.shared.sequence.next().ok_or(AppendError::NamesExhausted)?;
            let name = EntryName::new(nanos, id);
            match temporary.move_new(&directories.ready, name.as_str())? {
                Moved::Done => return commit(directories, name),
                Moved::Taken => {} // by another process with the same time and id
                // By a recovery that came before the lock, or by an operator who tidies.
                Moved::Gone => temporary = Temporary::write(&directories.temporary, id, contents)?,
            }
        }
        let cause = rustix::io::Errno::BUSY;
        Err(AppendError::Io(directories.ready.error("find a free name for", id, cause)))
    }
}

fn commit(directories: &Directories, name: EntryName) -> Result<EntryName, AppendError> {
    match directories.ready.sync() {
        Ok(()) => Ok(name),
        Err(failure) => {
            // It must not look accepted. If even this fails it will be worked on: more than was promised.
            let _ = directories.ready.remove(name.as_str());
            Err(AppendError::Degraded(failure))
        }
    }
}
