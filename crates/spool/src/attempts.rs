//! How often an entry has been claimed: the size, in bytes, of its file in `attempts/`.
//!
//! Counted before anything is done with the entry, so that one whose work kills the process is counted too.
//! Not fsynced: the count outlives the process, and a power cut may undo the last few seconds of it.

use std::io::Write as _;

use rustix::fs::OFlags;

use crate::directory::Directory;
use crate::error::OperationError;
use crate::name::EntryName;

/// Counts one more; returns the count including it. On a full disk the number is right but not kept: the
/// entry must be workable all the same, for working it off is what frees the space.
pub(crate) fn count(attempts: &Directory, name: &EntryName) -> Result<u32, OperationError> {
    let before = attempts.stat(name.as_str())?.map_or(0, |stat| stat.st_size);
    match add_byte(attempts, name) {
        Err(error) if !error.is_full() => Err(error),
        _ => Ok(u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)),
    }
}

fn add_byte(attempts: &Directory, name: &EntryName) -> Result<(), OperationError> {
    let mut file = attempts.open_file(name.as_str(), OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE)?;
    file.write_all(b".").map_err(|error| attempts.error("write", name.as_str(), error))
}

/// Takes the last one back: the work came to an end of its own, and will be tried again.
pub(crate) fn uncount(attempts: &Directory, name: &EntryName) -> Result<(), OperationError> {
    let size = attempts.stat(name.as_str())?.map_or(0, |stat| stat.st_size);
    if size <= 1 {
        return forget(attempts, name);
    }
    let file = attempts.open_file(name.as_str(), OFlags::WRONLY)?;
    let shorter = u64::try_from(size - 1).unwrap_or(0);
    file.set_len(shorter).map_err(|error| attempts.error("truncate", name.as_str(), error))
}

/// Starts from zero again.
pub(crate) fn forget(attempts: &Directory, name: &EntryName) -> Result<(), OperationError> {
    attempts.remove(name.as_str()).map(drop)
}
