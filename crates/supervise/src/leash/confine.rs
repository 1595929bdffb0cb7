//! The leash gives up what the command is not to have; what it starts inherits that and cannot get it back.
//!
//! The leash keeps what it needs itself: `/proc`, where its caller lets it read that, and signals to its own children. Signals
//! and abstract sockets end at the border of what runs below it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, LandlockStatus, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use crate::{Confinement, Enforcement};

/// What is asked for; an older kernel gives what it has. 6 is Linux 6.12; Debian 12's 6.1 has 2.
const INTERFACE: ABI = ABI::V6;

/// With which root gets around all this: reads others' environment in spite of Landlock, opens files by number, makes or writes to
/// devices, loads code into the kernel. Who is not root has none of them.
const TAKEN_FROM_ROOT: [CapabilitySet; 9] = [
    CapabilitySet::SYS_ADMIN,
    CapabilitySet::SYS_PTRACE,
    CapabilitySet::SYS_RAWIO,
    CapabilitySet::SYS_MODULE,
    CapabilitySet::SYS_BOOT,
    CapabilitySet::PERFMON,
    CapabilitySet::BPF,
    CapabilitySet::MKNOD,
    CapabilitySet::DAC_READ_SEARCH,
];

/// Restricts this process, and all that it starts from now on.
///
/// # Errors
/// The kernel has Landlock and refuses. Then nothing should be started.
pub(super) fn restrict_self(confinement: &Confinement) -> io::Result<Enforcement> {
    let hidden: Vec<PathBuf> = confinement.hidden.iter().map(|path| real(path)).collect();
    let readable: Vec<PathBuf> =
        confinement.readable.iter().flat_map(|path| without(&real(path), &hidden)).collect();
    for capability in TAKEN_FROM_ROOT {
        // Refused to who has none to lose.
        let _ = remove_capability_from_bounding_set(capability);
    }
    let status = enforce(&readable, &confinement.writable).map_err(io::Error::other)?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) => Enforcement::Full,
        (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => {
            Enforcement::Partial(effective_abi as u32)
        }
        _ => Enforcement::None,
    })
}

fn enforce(readable: &[PathBuf], writable: &[PathBuf]) -> Result<RestrictionStatus, RulesetError> {
    let read: BitFlags<AccessFs> = AccessFs::from_read(INTERFACE);
    // Who may make a device of the disk's number, reads the disk.
    let write = AccessFs::from_all(INTERFACE) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    Ruleset::default()
        .handle_access(AccessFs::from_all(INTERFACE))?
        .scope(Scope::from_all(INTERFACE))?
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
