//! Which of nginx's files are ours, and what we wrote into them. Kept in the state directory, one for each deployment.

use crate::base::files::atomic;
use anyhow::{Context, Result};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

const FILE: &str = "manifest.json";

/// See the module. Paths are relative to nginx's directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Files, with the SHA-256 of what we wrote.
    pub files: BTreeMap<String, String>,
    /// Directories that we made.
    pub directories: BTreeSet<String>,
}

impl Manifest {
    /// What was saved last; nothing is ours where nothing was.
    pub fn load(state: &Path) -> Result<Self> {
        let path = state.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!("{} is damaged; it says which of nginx's files are ours", path.display())
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Durable when it returns.
    pub fn save(&self, state: &Path) -> Result<()> {
        fs::create_dir_all(state)?;
        let bytes = serde_json::to_vec_pretty(self).expect("texts serialise");
        atomic::write(&state.join(FILE), &bytes, 0o600)
    }
}
