//! The last good configuration: what was written when there was no error in it.
//!
//! A mistake in the configuration must cost as little as can be. Pushes are written down by it ([`Role::Listen`]), and commands that
//! look, or that go back to an earlier release, go by it. Nothing new is deployed by it: what an operator has just changed may be what
//! matters, so the worker waits for the mistake to be mended.
//!
//! The copy holds what the configuration holds, its secrets too, so it is for its owner alone to read. And it is believed only where its
//! owner wrote it: it is a file of the user that reads it, in a directory of that user, and beside the database's key it carries an HMAC.
//! The intake's has none, since the intake cannot see that key; whoever could write there could write what is received, too. As whom builds
//! run is never taken from a copy.

use super::Role;
use crate::base::clock;
use crate::base::files::private_file;
use crate::config::{
    self, Diagnostics, Environment, Loaded, Purpose, Severity, WrittenConfig, state_directory_of_broken,
};
use crate::plan::recipes::REFERENCE;
use crate::store::Authenticator;
use anyhow::{Context, Result, ensure};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What the HMAC says that it is of.
const WHAT: &str = "configuration";

/// All layers with what stands around them.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What the file holds.
#[derive(Serialize, Deserialize)]
struct Sealed {
    /// Of `kept`; empty in the intake's.
    mac: String,
    /// [`StoredConfig`] as JSON.
    kept: String,
}

#[derive(Serialize, Deserialize)]
struct StoredConfig {
    at_ms: i64,
    written: WrittenConfig,
}

/// A configuration that was good once.
pub struct LastGood {
    /// Loaded anew, by the secrets and users of now.
    pub loaded: Loaded,
    /// When it was seen to be good last.
    pub at_ms: i64,
}

/// Where a part of the deployer keeps it: where that part may write.
fn place(state_directory: &Path, role: Role) -> PathBuf {
    match role {
        Role::Listen => state_directory.join("intake/configuration"),
        Role::Serve | Role::Work => state_directory.join("trust/configuration"),
    }
}

/// Keeps a configuration that has no error. A failure is told and ends nothing.
///
/// What pushes are received by does not depend on single deployments: the intake keeps what has errors in those, too. Else a secret that was
/// replaced while one of them has an error would be believed again when the file breaks as a whole.
pub fn keep(loaded: &Loaded, role: Role) {
    let has_errors = loaded.problems.problems().iter().any(|problem| problem.severity == Severity::Error);
    if role != Role::Listen && has_errors {
        return;
    }
    if let Err(error) = try_to_keep(loaded, role) {
        tracing::warn!(
            error = format!("{error:#}"),
            "cannot keep a copy of this configuration for when it has errors"
        );
    }
}

fn try_to_keep(loaded: &Loaded, role: Role) -> Result<()> {
    let state = &loaded.config.state_directory;
    let path = place(state, role);
    let kept =
        serde_json::to_string(&StoredConfig { at_ms: clock::now_ms(), written: loaded.written.clone() })?;
    let mac = match role {
        Role::Listen => String::new(),
        // Makes the directory, too, where it is not there.
        Role::Serve | Role::Work => Authenticator::new(state).sign_text(WHAT, &kept)?,
    };
    private_file::replace(&path, &serde_json::to_string(&Sealed { mac, kept })?, state)
}

/// What was good last of a configuration that has errors; None where nothing was kept. An error: what was kept is not believed.
pub fn find(
    directory: Option<&Path>,
    environment: &Environment,
    purpose: Purpose,
    role: Role,
) -> Result<Option<LastGood>> {
    let state = state_directory_of_broken(directory, environment);
    let path = place(&state, role);
    let Some(text) = read_own(&path).with_context(|| not_believed(&path))? else { return Ok(None) };
    let copy: Sealed = serde_json::from_str(&text).with_context(|| not_believed(&path))?;
    let is_ours =
        role == Role::Listen || Authenticator::new(&state).is_our_text(WHAT, &copy.kept, &copy.mac)?;
    ensure!(is_ours, "{}: another program wrote it", not_believed(&path));
    let StoredConfig { at_ms, written } =
        serde_json::from_str(&copy.kept).with_context(|| not_believed(&path))?;
    let meant = match directory {
        Some(directory) => environment.working_directory().join(directory),
        None => written.directory.clone(),
    };
    // Several instances may have configurations on one host.
    ensure!(written.directory == meant, "{}: it is of {}", not_believed(&path), written.directory.display());
    let loaded = config::load_written(&REFERENCE, &written, environment, purpose);
    let loaded = loaded.map_err(|problems| said(&problems)).with_context(|| not_believed(&path))?;
    ensure!(loaded.config.state_directory == state, "{}: its state lies elsewhere", not_believed(&path));
    Ok(Some(LastGood { loaded, at_ms }))
}

fn said(problems: &Diagnostics) -> anyhow::Error {
    let errors = problems.problems().iter().filter(|problem| problem.severity == Severity::Error);
    anyhow::anyhow!("{}", errors.map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; "))
}

fn not_believed(path: &Path) -> String {
    format!("the last good configuration, {}, cannot be used", path.display())
}

/// Reads a file that only we can have written, without following a link.
fn read_own(path: &Path) -> Result<Option<String>> {
    let us = rustix::process::geteuid().as_raw();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let directory = path.parent().unwrap_or(path).metadata()?;
    for (what, found) in [("it", file.metadata()?), ("its directory", directory)] {
        ensure!(found.uid() == us, "{what} belongs to user {}, and this runs as user {us}", found.uid());
        ensure!(found.mode() & 0o022 == 0, "others can write {what}");
    }
    ensure!(file.metadata()?.is_file(), "it is no file");
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(Some(text))
}
