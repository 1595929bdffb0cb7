//! When a deployment was last compared with its branch, and what came of it: for `status`, which another process asks.
//!
//! One small file per deployment under `compared/`, replaced at each comparison. It is a hint: it is neither fsynced nor in the
//! database, which may be away, and nothing is decided by it.

use crate::base::names::Slug;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Unix milliseconds.
    pub at_ms: i64,
    /// The branch's head; None: the branch is not there, or could not be asked for.
    pub head: Option<String>,
    /// What came of it, in one sentence.
    pub finding: String,
    /// Whether that is an error.
    pub is_error: bool,
    /// Whether the repository answered, and does not have the branch.
    #[serde(default)]
    pub is_branch_gone: bool,
    /// When the source is asked next, in Unix milliseconds. `None`: an older deployer does not say.
    #[serde(default)]
    pub next_at_ms: Option<i64>,
}

impl Comparison {
    /// Writes it down for a deployment.
    pub fn keep(&self, state_directory: &Path, slug: &Slug) -> Result<()> {
        let path = path(state_directory, slug);
        let new = path.with_extension("new");
        let text = serde_json::to_vec(self).context("texts and numbers serialise")?;
        fs_err::write(&new, text)?;
        fs_err::rename(&new, &path)?;
        Ok(())
    }

    /// Forgets one that could not be made, because the source has answered meanwhile: a run or a `plan` has fetched from it.
    pub fn answered(state_directory: &Path, slug: &Slug) {
        if Self::last(state_directory, slug).is_some_and(|last| last.is_error || last.is_branch_gone) {
            // A hint that stays is only an old one.
            let _ = fs_err::remove_file(path(state_directory, slug));
        }
    }

    /// The last one of a deployment; None where there is none to read.
    pub fn last(state_directory: &Path, slug: &Slug) -> Option<Self> {
        serde_json::from_slice(&fs_err::read(path(state_directory, slug)).ok()?).ok()
    }
}

fn path(state_directory: &Path, slug: &Slug) -> PathBuf {
    state_directory.join("compared").join(format!("{slug}.json"))
}
