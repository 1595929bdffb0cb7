//! The dead-lettered: entries that nobody works on any more, each with its reason beside it.

use std::io::Read as _;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use crate::attempts;
use crate::directories::Directories;
use crate::directory::{Directory, Moved};
use crate::error::OperationError;
use crate::name::EntryName;
use crate::sequence::Sequence;
use crate::spool::Spool;
use crate::temporary::Temporary;

/// Longest reason that is kept, in bytes. A reason is a sentence; one that quotes a whole payload would fill
/// the disk and the terminal of whoever lists them.
pub const REASON_BYTES_MAX: usize = 4096;

/// How many other names are tried for an entry whose name is taken among the bad.
const NAMES_TRIED_MAX: usize = 16;

const REASON_SUFFIX: &str = ".reason";

/// An entry that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEntry {
    pub name: EntryName,
    /// `None` where an operator removed it, or the disk was too full to write it.
    pub reason: Option<String>,
}

impl Spool {
    /// The dead-lettered entries, oldest first.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn bad(&self) -> Result<Vec<BadEntry>, OperationError> {
        let directories = self.directories();
        let entries = directories.bad.entries()?.into_iter();
        entries.map(|name| Ok(BadEntry { reason: read_reason(&directories.bad, &name)?, name })).collect()
    }

    /// The dead-lettered entries and the bytes of each, oldest first: whoever dead-letters what others may send without end looks first how much of it
    /// there is. Reads no reasons.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn bad_sizes(&self) -> Result<Vec<(EntryName, u64)>, OperationError> {
        let directories = self.directories();
        let mut sizes = Vec::new();
        for name in directories.bad.entries()? {
            // One that an operator has removed meanwhile has none.
            if let Some(stat) = directories.bad.stat(name.as_str())? {
                sizes.push((name, u64::try_from(stat.st_size).unwrap_or(0)));
            }
        }
        Ok(sizes)
    }

    /// Makes a dead-lettered entry ready again, with no attempts counted; `false` if there is none of this name.
    /// The same as `mv bad/<name> .` by hand.
    ///
    /// # Errors
    /// When it cannot be moved; also when a ready entry has this name.
    pub fn retry_bad(&self, name: &EntryName) -> Result<bool, OperationError> {
        let directories = self.directories();
        attempts::forget(&directories.attempts, name)?;
        match directories.bad.move_new(name.as_str(), &directories.ready, name.as_str())? {
            Moved::Done => {}
            Moved::Gone => return Ok(false),
            Moved::Taken => {
                return Err(directories.ready.error("make ready again", name.as_str(), Errno::EXIST));
            }
        }
        self.shared.sequence.observe(name.nanos());
        self.shared.index.learn(std::slice::from_ref(name));
        directories.bad.remove(&reason_name(name))?;
        directories.ready.sync()?;
        directories.bad.sync()?;
        Ok(true)
    }

    /// Drops an entry that is ready or bad, for good; `false` if there is none of this name. The same as `rm`
    /// by hand. One that is claimed is its consumer's to finish.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, name: &EntryName) -> Result<bool, OperationError> {
        let directories = self.directories();
        if directories.ready.remove(name.as_str())? {
            self.settle(&directories, name)?;
            directories.ready.sync()?;
            return Ok(true);
        }
        let removed = directories.bad.remove(name.as_str())?;
        if removed {
            directories.bad.remove(&reason_name(name))?;
            directories.bad.sync()?;
        }
        Ok(removed)
    }
}

/// Moves a claimed entry to the bad. The reason comes first: an entry among the bad has one.
pub(crate) fn bury(
    directories: &Directories,
    sequence: &Sequence,
    name: &EntryName,
    reason: &str,
) -> Result<EntryName, OperationError> {
    let Directories { claimed, bad, .. } = directories;
    let mut target = name.clone();
    for _ in 0..NAMES_TRIED_MAX {
        // Look first: the reason must not replace that of another entry.
        if !bad.holds(target.as_str())? {
            write_reason(directories, &target, reason)?;
            match claimed.move_new(name.as_str(), bad, target.as_str())? {
                Moved::Done | Moved::Gone => {
                    bad.sync()?;
                    claimed.sync()?;
                    return Ok(target);
                }
                Moved::Taken => {}
            }
        }
        // An operator copied it from here instead of moving it. Both are kept.
        let nanos = sequence.next().ok_or_else(|| bad.error("name", name.as_str(), Errno::OVERFLOW))?;
        target = EntryName::new(nanos, name.id());
    }
    Err(bad.error("bury", name.as_str(), Errno::EXIST))
}

/// On a full disk the entry is dead-lettered without a reason: better that than poison which cannot be set aside.
fn write_reason(directories: &Directories, name: &EntryName, reason: &str) -> Result<(), OperationError> {
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    let written =
        Temporary::write(&directories.temporary, name.as_str(), &[&reason.as_bytes()[..end], b"\n"])
            .and_then(|temporary| temporary.move_over(&directories.bad, &reason_name(name)));
    match written {
        Err(error) if !error.is_full() => Err(error),
        _ => Ok(()),
    }
}

/// As careful as with entries: whatever lies there, this neither follows, nor blocks, nor reads without end.
fn read_reason(bad: &Directory, name: &EntryName) -> Result<Option<String>, OperationError> {
    let file_name = reason_name(name);
    let is_file = |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode).is_file();
    if !bad.stat(&file_name)?.is_some_and(is_file) {
        return Ok(None);
    }
    let file = match bad.open_file(&file_name, OFlags::RDONLY) {
        Ok(file) => file,
        Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::ACCESS | Errno::LOOP)) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(REASON_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| bad.error("read", &file_name, error))?;
    Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned()))
}

/// Removes the reasons whose entries are gone, because an operator moved or removed them.
pub(crate) fn remove_orphaned_reasons(bad: &Directory) -> Result<(), OperationError> {
    let mut owners = Vec::new();
    bad.visit(|name| {
        let owner = name.strip_suffix(REASON_SUFFIX).and_then(|owner| owner.parse::<EntryName>().ok());
        owners.extend(owner);
    })?;
    for owner in owners {
        if !bad.holds(owner.as_str())? {
            bad.remove(&reason_name(&owner))?;
        }
    }
    Ok(())
}

fn reason_name(name: &EntryName) -> String {
    format!("{name}{REASON_SUFFIX}")
}
