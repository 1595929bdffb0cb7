//! A command that a step runs, as data: it is stored with the plan.

use crate::config::CommandLine;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A program to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// What is run.
    pub line: CommandLine,
    pub directory: PathBuf,
    /// In addition to the plan's.
    pub environment: BTreeMap<String, String>,
    /// Read when it starts; their values are secrets.
    pub env_files: Vec<PathBuf>,
}
