//! The modes of what the deployer keeps: nobody else may look into it, whatever somebody has done to it meanwhile.
//!
//! A build of a deployment without a user of its own runs as the deployer's user, and the kernel lets an owner change modes also where
//! Landlock refuses everything else. So modes are asserted at each start and before each run, from the outside in. That mends; it does
//! not prevent: between a `chmod` and the next run another user's process may have been inside. What it can have put there is refused
//! by its owner (spools, the key) or for want of a signature (the database). The wall is a user for every deployment.

use crate::base::files::safe_path;
use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// What others may do to anything in the state directory: nothing.
const OTHERS: u32 = 0o077;

/// The directories whose contents are looked at too; what lies deeper, or elsewhere, is behind these and the state directory itself.
/// Not mirrors, trees and homes, which have many files and are git's and the builds' affair.
const LOOKED_INTO: [&str; 7] = ["spool", "intake", "locks", "cancel", "compared", "trust", "certificates"];

/// How deep: `spool/SLUG/claimed/ENTRY`.
const DEPTH_MAX: usize = 3;

/// Entries looked at, so that a full spool does not delay a run for long: each takes microseconds.
const ENTRIES_MAX: usize = 20_000;

/// The key's directory and file below the state directory: whoever could read it can sign.
const KEY: &str = "trust/record.key";

/// What was mended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// What others could look into, or write: the first of it, and how much.
    pub first: Option<String>,
    pub count: usize,
    /// Whether the state directory itself was open to others, or closed to us, and something was in it.
    pub state: bool,
    /// Whether others could read the key.
    pub key: bool,
}

/// Takes away what others may do to the state, and says so in the log. An error only where the state directory is not ours.
pub fn mend(state_directory: &Path) -> Result<()> {
    let mended = mended(state_directory)?;
    if mended.state {
        tracing::error!(
            state = %state_directory.display(), count = mended.count,
            "others could get at the deployer's state: its modes are mended now; a build of a deployment without a user of its own can change them"
        );
    } else if let Some(first) = &mended.first {
        // Behind a closed directory nobody could get at it (most of it was made so), and of an empty one there was nothing to get.
        tracing::debug!(
            first,
            count = mended.count,
            "took away what others could do behind the closed state directory, or in an empty one"
        );
    }
    if mended.key {
        tracing::error!(
            key = %state_directory.join(KEY).display(),
            "others could read the key that signs the database: stop the deployer, remove this file, look at what `durhack-deployer status` and `runs` show, and say `durhack-deployer migrate trust --yes`"
        );
    }
    Ok(())
}

/// The same without a word.
fn mended(state_directory: &Path) -> Result<Mended> {
    let mut mended = Mended::default();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // `RDONLY` needs a right that somebody may have taken from us, who own it.
    if let Ok(found) = statat(rustix::fs::CWD, state_directory, AtFlags::empty())
        && is_ours(&found)
        && found.st_mode & 0o700 != 0o700
    {
        match rustix::fs::chmodat(rustix::fs::CWD, state_directory, Mode::RWXU, AtFlags::empty()) {
            Err(Errno::ROFS) => {}
            result => {
                result.with_context(|| format!("cannot mend the mode of {}", state_directory.display()))?;
                mended.note(".");
            }
        }
    }
    let directory = match openat(rustix::fs::CWD, state_directory, flags, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(mended),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot look into {}", state_directory.display()));
        }
    };
    let found = rustix::fs::fstat(&directory)?;
    // Root may be asked to look at another's.
    if !is_ours(&found) && rustix::process::geteuid().is_root() {
        return Ok(mended);
    }
    if !is_ours(&found) {
        bail!(
            "the state directory {} belongs to user {}, and this runs as user {}",
            state_directory.display(),
            found.st_uid,
            rustix::process::geteuid().as_raw()
        );
    }
    close(&directory, &found, ".", &mut mended);
    // What somebody has made for a deployer that has not started yet: there was nothing to get at.
    mended.state &= !is_empty(&directory);
    let mut seen = 0;
    look_into(&directory, "", 0, &mut seen, &mut mended);
    Ok(mended)
}

fn is_empty(directory: &OwnedFd) -> bool {
    let is_own = |name: &std::ffi::CStr| matches!(name.to_bytes(), b"." | b"..");
    Dir::read_from(directory).is_ok_and(|entries| entries.flatten().all(|entry| is_own(entry.file_name())))
}

impl Mended {
    fn note(&mut self, path: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| path.to_owned());
        self.state |= path == ".";
        self.key |= path == KEY;
    }
}

/// The service's files are its user's; root, who may look at another's state, leaves alone what is not root's.
fn is_ours(found: &Stat) -> bool {
    found.st_uid == rustix::process::geteuid().as_raw()
}

/// Takes others' rights from an open file. Where that is refused (a read-only mount), nobody else could have changed it from here.
fn close(file: impl AsFd, found: &Stat, path: &str, mended: &mut Mended) {
    if found.st_mode & OTHERS == 0 {
        return;
    }
    match safe_path::set_mode(file, found.st_mode & 0o7700) {
        Ok(()) => mended.note(path),
        Err(Errno::ROFS) => {}
        Err(error) => tracing::warn!(path, %error, "cannot take away what others may do to it"),
    }
}

fn look_into(directory: &OwnedFd, path: &str, depth: usize, seen: &mut usize, mended: &mut Mended) {
    let Ok(entries) = Dir::read_from(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        *seen += 1;
        if *seen > ENTRIES_MAX {
            return;
        }
        let Ok(found) = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let path = match path {
            "" => name.to_string_lossy().into_owned(),
            _ => format!("{path}/{}", name.to_string_lossy()),
        };
        if !is_ours(&found) {
            continue;
        }
        let kind = FileType::from_raw_mode(found.st_mode);
        let is_looked_into = depth > 0 || LOOKED_INTO.contains(&path.as_str());
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match kind {
            FileType::Directory => {
                let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY;
                let Ok(below) = openat(directory, name, flags, Mode::empty()) else { continue };
                // What is behind a directory that is closed is closed; only what may be handed out is looked at again.
                close(&below, &found, &path, mended);
                if is_looked_into && depth < DEPTH_MAX {
                    look_into(&below, &path, depth + 1, seen, mended);
                }
            }
            FileType::RegularFile if found.st_mode & OTHERS != 0 => {
                // Not for reading: to close a file that was open drops SQLite's locks on it, which are the whole process's.
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let Ok(file) = openat(directory, name, flags, Mode::empty()) else { continue };
                if fstat(&file).is_ok_and(|now| (now.st_mode, now.st_ino) == (found.st_mode, found.st_ino)) {
                    close(&file, &found, &path, mended);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_opened_is_closed_again_and_said() {
        let scratch = tempfile::tempdir().unwrap();
        let state = scratch.path().join("state");
        assert_eq!(mended(&state).unwrap(), Mended::default());
        fs::create_dir(&state).unwrap();
        fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
        let nothing_was_in_it = Mended { first: Some(".".into()), count: 1, state: false, key: false };
        assert_eq!(mended(&state).unwrap(), nothing_was_in_it);
        assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
        for directory in ["spool/site/claimed", "trust", "mirrors/acme", "logs"] {
            fs::create_dir_all(state.join(directory)).unwrap();
        }
        for file in [
            "record.sqlite",
            "record.sqlite-wal",
            "trust/record.key",
            "spool/site/claimed/1.json",
            "mirrors/acme/object",
        ] {
            fs::write(state.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", state.join("trust/link")).unwrap();
        mended(&state).unwrap();
        assert_eq!(mended(&state).unwrap(), Mended::default(), "everything is closed");
        let mode = |path: &str| state.join(path).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(
            [mode(""), mode("record.sqlite"), mode("spool"), mode("logs")],
            [0o700, 0o600, 0o700, 0o700]
        );
        let before = fs::metadata("/etc/passwd").unwrap().permissions().mode();

        // H4: what a build did, which owns them.
        for (path, is_key) in [
            ("", false),
            ("record.sqlite", false),
            ("record.sqlite-wal", false),
            ("spool", false),
            ("spool/site/claimed", false),
            ("spool/site/claimed/1.json", false),
            ("trust", false),
            ("trust/record.key", true),
            ("mirrors", false),
        ] {
            let was = mode(path);
            fs::set_permissions(state.join(path), Permissions::from_mode(was | 0o077)).unwrap();
            let found = mended(&state).unwrap();
            let first = if path.is_empty() { "." } else { path };
            assert_eq!(
                found,
                Mended { first: Some(first.into()), count: 1, state: path.is_empty(), key: is_key },
                "{path}"
            );
            assert_eq!(mode(path), was, "{path}");
        }
        fs::set_permissions(&state, Permissions::from_mode(0o000)).unwrap();
        assert_eq!(mended(&state).unwrap().first.as_deref(), Some("."));
        assert_eq!(mode(""), 0o700);
        assert_eq!(
            fs::metadata("/etc/passwd").unwrap().permissions().mode(),
            before,
            "links are not followed"
        );
    }

    #[test]
    fn another_user_s_state_is_left_alone_by_root() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: only root can give a file away");
            return;
        }
        let state = tempfile::tempdir().unwrap();
        fs::set_permissions(state.path(), Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(state.path(), Some(1000), None).unwrap();
        assert_eq!(mended(state.path()).unwrap(), Mended::default());
        assert_eq!(fs::metadata(state.path()).unwrap().permissions().mode() & 0o777, 0o755);
    }
}
