//! The journal of a move from the Python tool: what was changed, and where what was there is kept. The way back reads nothing else.

use super::aside;
use super::reached::Reached;
use crate::admin::host::paths;
use crate::base::files::private_file;
use anyhow::{Context, Result};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What was changed, and where what was there is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Journal {
    /// The checkout of the Python tool.
    pub from: PathBuf,
    /// Whose it is.
    pub user: String,
    /// The old listener's port or socket.
    pub old_port: Option<u16>,
    /// The port behind nginx.
    pub port: u16,
    /// Whether it is under way to here, here, or back again.
    pub state: JournalState,
    /// Units that were stopped: name, and whether they were started at boot.
    pub units: Vec<(String, bool)>,
    /// The same of those that ran the listener.
    pub listeners: Vec<(String, bool)>,
    /// Files by which uWSGI ran the listener.
    pub vassals: Vec<MovedAside>,
    /// Files by which nginx led to the listener.
    pub sites: Vec<MovedAside>,
    /// The old tool's links among nginx's files.
    #[serde(default)]
    pub links: Vec<MovedAside>,
    /// Files that let the old tool act as root.
    pub sudoers: Vec<MovedAside>,
    /// What `getfacl` said of nginx's directories.
    pub access: Option<PathBuf>,
}

/// How far a move has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JournalState {
    /// Begun, and not ended: the same command does the rest.
    #[default]
    UnderWay,
    /// This tool works.
    Here,
    /// The old tool works again.
    Back,
}

/// A foreign file or link that the move replaces, and that `--back` puts there again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedAside {
    /// Where it was.
    pub path: PathBuf,
    /// Where it is kept.
    pub kept: PathBuf,
}

impl Journal {
    /// What the last move has left; None: there was none.
    pub fn read() -> Result<Option<Self>> {
        match fs::read(paths::MOVE) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .with_context(|| format!("{} cannot be read", paths::MOVE)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Durable when it returns.
    pub fn save(&self) -> Result<()> {
        let path = Path::new(paths::MOVE);
        let directory = Path::new(paths::ASIDE);
        aside::make_private(directory)?;
        private_file::replace(path, &format!("{:#}\n", serde_json::to_value(self)?), directory)
    }
}

/// Remembers a file, and keeps a copy of it, before it is changed.
pub fn remember(list: &mut Vec<MovedAside>, date: &str, reached: &Reached) -> Result<()> {
    let kept = aside::place_of(date, &reached.path);
    aside::keep_reached(reached, &kept)?;
    list.retain(|known| known.path != reached.path);
    list.push(MovedAside { path: reached.path.clone(), kept });
    Ok(())
}
