//! What git remembers of a tree that is deployed in place, and what somebody has changed there since.

use super::release;
use crate::base::names::{CommitId, Slug};
use crate::git::mirror::Mirror;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Where git remembers what it wrote to a tree of a deployment's.
pub fn index(state: &Path, slug: &Slug, name: &str) -> PathBuf {
    state.join("trees").join(format!("{slug}-{name}.index"))
}

/// A tree that somebody else has checked out: what its own `.git` says is taken as written there.
pub async fn assume(mirror: &Mirror, tree: &Path, index: &Path) -> Result<()> {
    if let Some(found) = release::commit_of_work_tree(tree)
        && mirror.commit(&found).await.is_ok()
    {
        mirror.assume_checked_out(tree, index, &found).await?;
    }
    Ok(())
}

/// Files in the tree that are neither as git wrote them last nor as this commit has them: what a person has changed or made there.
pub async fn changed_here(
    mirror: &Mirror,
    path: &Path,
    index: &Path,
    commit: &CommitId,
) -> Result<Vec<PathBuf>> {
    let before = mirror.compared_with(path, index).await?;
    let aside = index.with_extension("compared");
    let after = mirror.state_of_tree(path, &aside, commit).await?;
    let tree = mirror.tree(commit, false).await?;
    let is_foreign =
        |file: &PathBuf| before.untracked.iter().chain(&before.ignored).any(|known| file.starts_with(known));
    let overwritten =
        after.modified.into_iter().filter(|file| before.modified.contains(file) || is_foreign(file));
    let removed = before.modified.iter().filter(|file| !tree.has(&file.to_string_lossy())).cloned();
    let mut changed: Vec<PathBuf> = overwritten.chain(removed).collect();
    changed.retain(|file| path.join(file).symlink_metadata().is_ok_and(|found| found.is_file()));
    Ok(changed)
}
