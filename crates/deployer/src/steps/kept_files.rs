//! Files that somebody changed or made in a tree deployed in place, and that a deploy overwrites: copies of them, one directory for
//! each run, below `kept/` in the state directory.
//!
//! A run that is undone restores them: they were part of what was served.

use crate::base::files::safe_path::{self, OpenDirectory};
use crate::base::names::Slug;
use anyhow::{Result, bail};
use fs_err as fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Copying is local; but what is copied may be large.
const COPY_MAX: Duration = Duration::from_secs(600);

/// Of one run. More than that is no change by hand, and the disk is the deployer's, too.
const BYTES_MAX: u64 = 1 << 30;

/// Where the copies of a run lie.
pub fn of_run(state: &Path, slug: &Slug, run: &str) -> PathBuf {
    state.join("kept").join(slug.as_str()).join(run)
}

/// Copies files of `tree` to `kept`, which is there afterwards, even if there are none: then they are all kept.
pub async fn keep(tree: &Path, kept: &Path, files: Vec<PathBuf>) -> Result<()> {
    let (root, kept) = (tree.to_owned(), kept.to_owned());
    safe_path::off_thread(tree, COPY_MAX, move || Ok(keep_now(&root, &kept, &files))).await?
}

fn keep_now(tree: &Path, kept: &Path, files: &[PathBuf]) -> Result<()> {
    let aside = kept.with_extension("new");
    fs::create_dir_all(&aside)?;
    let mut bytes = 0;
    for file in files {
        let (mut from, length) = safe_path::open_now(tree, &tree.join(file))?;
        bytes += length;
        if bytes > BYTES_MAX {
            bail!(
                "more than {} MiB were changed by hand in {}, and would be overwritten (the last file: {}): move them away, or \
                 have git ignore them",
                BYTES_MAX >> 20,
                tree.display(),
                file.display()
            );
        }
        let to = aside.join(file);
        fs::create_dir_all(to.parent().unwrap_or(&aside))?;
        let mut copy = fs::File::create(&to)?;
        // It may be written to meanwhile: no more of it than what was counted.
        std::io::copy(&mut (&mut from).take(length), &mut copy)?;
        copy.sync_all()?;
        // Not whom it runs as: the copy is ours.
        let mode = from.metadata()?.permissions().mode() & 0o777;
        copy.set_permissions(std::fs::Permissions::from_mode(mode))?;
    }
    // Whole or not at all: what is there is restored by a run that is undone.
    Ok(fs::rename(&aside, kept)?)
}

/// Puts the copies back into `tree`.
pub async fn put_back(tree: &Path, kept: &Path) -> Result<()> {
    let (root, kept) = (tree.to_owned(), kept.to_owned());
    safe_path::off_thread(tree, COPY_MAX, move || Ok(put_back_now(&root, &kept, Path::new("")))).await?
}

fn put_back_now(tree: &Path, kept: &Path, inner: &Path) -> Result<()> {
    for entry in fs::read_dir(kept.join(inner))? {
        let entry = entry?;
        let path = inner.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            put_back_now(tree, kept, &path)?;
            continue;
        }
        let mut copy = fs::File::open(entry.path())?;
        let mode = copy.metadata()?.permissions().mode() & 0o777;
        OpenDirectory::open(tree)?.below(inner, true)?.write(&entry.file_name(), &mut copy, mode)?;
    }
    Ok(())
}

/// Removes copies that are older than that.
pub fn prune(state: &Path, before_ms: i64) -> Result<()> {
    let kept = state.join("kept");
    if !kept.exists() {
        return Ok(());
    }
    for deployment in fs::read_dir(kept)? {
        for run in fs::read_dir(deployment?.path())? {
            let run = run?;
            let age = run.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            if i64::try_from(age.as_millis()).unwrap_or(i64::MAX) < before_ms {
                fs::remove_dir_all(run.path())?;
            }
        }
    }
    Ok(())
}
