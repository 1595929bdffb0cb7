//! What a run replaces among nginx's files, kept durably before the first of them changes, so that it can be restored byte for byte by
//! whoever finds the run: the run itself, or the next start of the deployer.

use super::SitesStep;
use super::manifest::Manifest;
use super::writer::{MODE, Writer};
use crate::base::files::atomic;
use anyhow::{Context, Result, bail};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Written last: without it there is no backup, and nothing was changed.
const INDEX: &str = "backup.json";

/// Says that nginx may have read the new files.
const RELOADED: &str = "reloaded";

/// All backups of a deployment.
const DIRECTORY: &str = "backups";

/// What is found at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Original {
    Missing,
    /// A plain file.
    File {
        /// What is in it.
        bytes: Vec<u8>,
        mode: u32,
    },
    Link(PathBuf),
    /// Something that is never ours.
    Other,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Backup {
    /// What was ours before.
    pub manifest: Manifest,
    /// Directories, relative to nginx's, that the run makes; outer ones first.
    pub directories: Vec<String>,
    entries: Vec<BackupEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct BackupEntry {
    /// Relative to nginx's directory.
    target: String,
    before: Before,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Before {
    Missing,
    File { copy: String, mode: u32 },
    Link(PathBuf),
}

/// What is at a path.
pub fn look(path: &Path) -> Result<Original> {
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Original::Missing);
        }
        Err(error) => return Err(error).with_context(|| format!("cannot look at {}", path.display())),
    };
    Ok(if found.is_symlink() {
        Original::Link(fs::read_link(path)?)
    } else if found.is_file() {
        Original::File { bytes: fs::read(path)?, mode: found.permissions().mode() & 0o7777 }
    } else {
        Original::Other
    })
}

impl Backup {
    /// Keeps what is at these targets, and lets go of what earlier runs kept.
    pub fn make(
        step: &SitesStep,
        writer: &Writer<'_, '_>,
        manifest: Manifest,
        targets: &[String],
        directories: Vec<String>,
    ) -> Result<()> {
        let (state, nginx) = (step.state.as_path(), step.nginx.directory.as_path());
        let all = state.join(DIRECTORY);
        match fs::remove_dir_all(&all) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let directory = all.join(&step.run);
        fs::create_dir_all(&directory)?;
        let mut entries = Vec::new();
        for (number, target) in targets.iter().enumerate() {
            let path = nginx.join(target);
            let found = match look(&path)? {
                // Root writes no links back, so what is linked is kept.
                Original::Link(_) if writer.is_root() => match fs::read(&path) {
                    Ok(bytes) => Original::File { bytes, mode: MODE },
                    Err(error) if error.kind() == ErrorKind::NotFound => Original::Missing,
                    Err(error) => return Err(error.into()),
                },
                found => found,
            };
            let before = match found {
                Original::Missing => Before::Missing,
                Original::Link(to) => Before::Link(to),
                Original::File { bytes, mode } => {
                    let copy = format!("{number:05}");
                    atomic::write(&directory.join(&copy), &bytes, 0o600)?;
                    Before::File { copy, mode }
                }
                Original::Other => bail!("{target} is neither a file nor a link"),
            };
            entries.push(BackupEntry { target: target.clone(), before });
        }
        let backup = Self { manifest, directories, entries };
        let index = serde_json::to_vec(&backup).context("a path that is not UTF-8 cannot be kept")?;
        atomic::write(&directory.join(INDEX), &index, 0o600)?;
        for directory in [&all, state] {
            fs::File::open(directory)?.sync_all()?;
        }
        Ok(())
    }

    /// A run's backup; None where it had not come to that.
    pub fn of(state: &Path, run: &str) -> Result<Option<Self>> {
        let path = state.join(DIRECTORY).join(run).join(INDEX);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?,
            )),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts everything back. May be repeated.
    pub async fn put_back(&self, step: &SitesStep, writer: &Writer<'_, '_>) -> Result<()> {
        let nginx = &step.nginx.directory;
        let directory = step.state.join(DIRECTORY).join(&step.run);
        for entry in self.entries.iter().rev() {
            let path = nginx.join(&entry.target);
            let before = match &entry.before {
                Before::Missing => Original::Missing,
                Before::Link(to) => Original::Link(to.clone()),
                Before::File { copy, mode } => {
                    Original::File { bytes: fs::read(directory.join(copy))?, mode: *mode }
                }
            };
            if look(&path)? == before {
                continue;
            }
            if let (Some(parent), true, false) =
                (path.parent(), before != Original::Missing, writer.is_root())
            {
                fs::create_dir_all(parent)?;
            }
            match before {
                Original::File { bytes, mode } => writer.write(&entry.target, &bytes, mode).await?,
                Original::Link(to) => writer.link(&entry.target, &to)?,
                Original::Missing | Original::Other => writer.remove(&entry.target).await?,
            }
        }
        for made in self.directories.iter().rev() {
            // Somebody else may have put something there meanwhile.
            writer.remove_directory(made);
        }
        self.manifest.save(&step.state)
    }
}

/// Notes that nginx is about to be told to read the run's files.
pub fn mark_reloaded(state: &Path, run: &str) -> Result<()> {
    atomic::write(&state.join(DIRECTORY).join(run).join(RELOADED), b"", 0o600)
}

/// Whether that was noted.
pub fn was_reloaded(state: &Path, run: &str) -> bool {
    state.join(DIRECTORY).join(run).join(RELOADED).exists()
}
