//! One runner per deployment, whoever it is: a `flock` on a file in the state directory.
//!
//! The kernel lets go of it when its holder dies, however it dies, so there is never a stale lock to remove. The file holds
//! the holder's process id, for people.

use anyhow::{Context, Result};
use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use fs_err::{File, OpenOptions};
use rustix::fs::OFlags;
use std::fs::TryLockError;
use std::io::{Seek, Write};
use std::path::Path;
use std::time::Duration;

/// How often a held lock is asked for again.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock if nobody holds it.
pub fn try_acquire(directory: &Path, name: &str) -> Result<Option<Lock>> {
    fs::create_dir_all(directory)?;
    let path = directory.join(format!("{name}.lock"));
    let mut options = OpenOptions::new();
    // A link is none of ours: root takes locks, too, where others may write.
    options
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let mut file = options.open(&path)?;
    match file.file().try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    // For people, in the place of what the one before has written: on a full disk there is room for it, and where there is none the lock
    // holds all the same.
    let text = format!("{}\n", std::process::id());
    let written = file.rewind().and_then(|()| file.write_all(text.as_bytes()));
    if let Err(error) = written.and_then(|()| file.set_len(text.len() as u64)) {
        tracing::debug!(path = %path.display(), %error, "whose lock it is cannot be written down");
    }
    Ok(Some(Lock { _file: file }))
}

/// Waits until the lock is free. Cancel by dropping the future.
pub async fn acquire(directory: &Path, name: &str) -> Result<Lock> {
    loop {
        if let Some(lock) = try_acquire(directory, name)? {
            return Ok(lock);
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_not_given_twice_and_a_dropped_one_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let held = try_acquire(directory.path(), "web").unwrap().unwrap();
        assert!(try_acquire(directory.path(), "web").unwrap().is_none());
        assert!(try_acquire(directory.path(), "api").unwrap().is_some());
        drop(held);
        assert!(try_acquire(directory.path(), "web").unwrap().is_some());
    }
}
