//! Paths, and what is left of root: given up by the process that becomes the command; what it starts inherits that and cannot get it back.
//!
//! Signals and abstract sockets end at the border of what is restricted in this way, and the supervisor process is outside of that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, LandlockStatus, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use crate::{Confinement, Landlock};

/// What is asked for; an older kernel gives what it has. 6 is Linux 6.12; Debian 12's 6.1 has 2.
const INTERFACE: ABI = ABI::V6;

/// What is left to root, as tools that unpack and install expect it. With any other root gets around all this: reads others' environment
/// in spite of Landlock, opens files by number, makes devices, loads code into the kernel, sets the clock, raises limits. Who is not root
/// has none of them.
const LEFT_TO_ROOT: [CapabilitySet; 9] = [
    CapabilitySet::CHOWN,
    CapabilitySet::DAC_OVERRIDE,
    CapabilitySet::FOWNER,
    CapabilitySet::FSETID,
    CapabilitySet::KILL,
    CapabilitySet::SETGID,
    CapabilitySet::SETUID,
    CapabilitySet::SETPCAP,
    CapabilitySet::NET_BIND_SERVICE,
];

/// The number of the last capability that a kernel may have. Those that it has not, it refuses to take away.
const CAPABILITY_MAX: u32 = 63;

/// Restricts this process, and all that it starts from now on.
///
/// # Errors
/// The kernel has Landlock and refuses. Then nothing should be started.
pub(super) fn restrict_self(confinement: &Confinement) -> io::Result<Landlock> {
    let hidden: Vec<PathBuf> = confinement.hidden.iter().map(|path| real(path)).collect();
    let readable: Vec<PathBuf> =
        confinement.readable.iter().flat_map(|path| without(&real(path), &hidden)).collect();
    for capability in (0..=CAPABILITY_MAX).map(|number| CapabilitySet::from_bits_retain(1 << number)) {
        if !LEFT_TO_ROOT.contains(&capability) {
            // Refused to who has none to lose.
            let _ = remove_capability_from_bounding_set(capability);
        }
    }
    let interface = confinement.landlock_max.map_or(INTERFACE, |max| {
        let max = ABI::from(i32::try_from(max).unwrap_or(i32::MAX));
        max.min(INTERFACE)
    });
    if interface == ABI::Unsupported {
        return Ok(Landlock::None);
    }
    let status = enforce(interface, &readable, &confinement.writable).map_err(io::Error::other)?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) if interface == INTERFACE => Landlock::Full,
        (RulesetStatus::FullyEnforced, _) => Landlock::Partial(interface as u32),
        (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => {
            Landlock::Partial(effective_abi as u32)
        }
        _ => Landlock::None,
    })
}

fn enforce(
    interface: ABI,
    readable: &[PathBuf],
    writable: &[PathBuf],
) -> Result<RestrictionStatus, RulesetError> {
    let read: BitFlags<AccessFs> = AccessFs::from_read(interface);
    // Who may make a device of the disk's number, reads the disk.
    let write = AccessFs::from_all(interface) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let ruleset = Ruleset::default().handle_access(AccessFs::from_all(interface))?;
    let ruleset = match Scope::from_all(interface) {
        nothing if nothing.is_empty() => ruleset,
        scope => ruleset.scope(scope)?,
    };
    ruleset
        .create()?
        .add_rules(path_beneath_rules(readable, read))?
        .add_rules(path_beneath_rules(writable, write))?
        .restrict_self()
}

/// The path without links on its way: what is allowed is a file, whatever name leads to it.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The tree `root` without what is hidden in it: whole directories where nothing is, else what they hold, one by one. A
/// directory that is gone through cannot be listed by the command, and what is added to it later cannot be read: a new file is a new
/// file also where it has an old one's name.
fn without(root: &Path, hidden: &[PathBuf]) -> Vec<PathBuf> {
    if !hidden.iter().any(|path| path != root && path.starts_with(root)) {
        return vec![root.to_owned()];
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    // A link is not gone through: to allow it would be to allow what it leads to.
    let real_ones = entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
    let paths = real_ones.map(|entry| entry.path()).filter(|path| !hidden.contains(path));
    paths.flat_map(|path| without(&path, hidden)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_carved_out_of_what_is_around_it() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for directory in ["etc/ours/keys", "etc/nginx", "etc/deep/inner/secret", "etc/deep/other"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        fs::write(at("etc/passwd"), "").unwrap();
        std::os::unix::fs::symlink(at("etc/ours"), at("etc/link")).unwrap();
        let granted = |hidden: &[&str]| {
            let hidden: Vec<PathBuf> = hidden.iter().map(|path| at(path)).collect();
            let mut found = without(&at("etc"), &hidden);
            found.sort();
            found
        };
        assert_eq!(granted(&[]), [at("etc")]);
        assert_eq!(granted(&["usr", "etcetera", "etc"]), [at("etc")], "not inside of it");
        assert_eq!(
            granted(&["etc/ours", "etc/deep/inner/secret"]),
            [at("etc/deep/other"), at("etc/nginx"), at("etc/passwd")]
        );
    }
}
