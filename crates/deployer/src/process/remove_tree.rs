//! Removing what builds have made.
//!
//! By `rm`, in a process of its own: a tree can be nested deeper than we have stack and descriptors, and what of it belongs to the
//! deployment's own user only that one can empty. Deliberately absent: any look at whether it may go. Who calls knows that.

use super::tools::files;
use crate::base::names::UserName;
use crate::process::executor::{Executor, complaint_of};
use anyhow::{Result, bail};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A release of a million files on a slow disk.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Removes a file, a link or a whole tree, as its `user` and then as ourselves. What is not there is removed already.
pub async fn remove(executor: &Executor, user: Option<&UserName>, path: &Path) -> Result<()> {
    // Mostly it is a file, a link, or nothing.
    let simple = match fs_err::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs_err::remove_dir(path),
        Ok(_) => fs_err::remove_file(path),
        Err(error) => Err(error),
    };
    match simple {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
        Err(error) => return Err(error.into()),
    }
    let never = CancellationToken::new();
    let remove = files::remove(path);
    let mut complaint = String::new();
    if let Some(user) = user {
        // It cannot remove the tree itself, which lies in a directory of ours; and some package managers make theirs read-only.
        for call in [files::make_writable(path), files::remove(path)] {
            if let Err(error) = executor.ask_as(user, &call, REMOVE_TIMEOUT, &never).await {
                complaint = format!(" (as {user}: {error})");
            }
        }
    }
    // Never chmod as ourselves what somebody else can exchange: it goes by names, and follows links.
    if user.is_none() && !executor.ask(&remove, REMOVE_TIMEOUT, &never).await?.end.is_success() {
        executor.ask(&files::make_writable(path), REMOVE_TIMEOUT, &never).await?;
    }
    let answer = executor.ask(&remove, REMOVE_TIMEOUT, &never).await?;
    match complaint_of(&answer.end) {
        None => Ok(()),
        // Of a user whom the configuration does not name any more, perhaps.
        Some(end) => bail!(
            "rm {end}: {}{complaint}\nhint: if another user's files are in it: sudo rm -rf {}",
            answer.complaint,
            path.display()
        ),
    }
}
