//! Root asks as the user whose state it is: `sudo durhack-deployer status` does what that user's own would.
//!
//! Not as root itself: what it would make beside the spools and the record would be root's, and in the service's way. And not as whoever
//! owns a directory that root was made to look at: only root can have put one where all above it is root's.

use super::doctor::accounts::Account;
use super::output::Failed;
use anyhow::{Context, anyhow};
use rustix::process::geteuid;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

/// Of root's environment, what the other one gets: how to talk to whoever types, and which installation is meant.
const PASSED: [&str; 10] = [
    "PATH",
    "TERM",
    "LANG",
    "LC_ALL",
    "TZ",
    "NO_COLOR",
    "DEPLOYER_ENV",
    "DEPLOYER_INSTANCE",
    "DEPLOYER_CONFIG",
    "DEPLOYER_LOG",
];

/// Goes on as the owner of the state directory, if that is somebody else. Returns where there is nothing to be done; what it gives else is
/// why it cannot be.
pub fn become_owner_of(
    state_directory: &Path,
    environment: &crate::config::Environment,
) -> Result<(), Failed> {
    let us = geteuid();
    // Nothing is there yet, or it is said later what is wrong with it.
    let Ok(found) = std::fs::symlink_metadata(state_directory) else { return Ok(()) };
    if found.uid() == us.as_raw() {
        return Ok(());
    }
    let (owner, shown) = (Account::of(found.uid()), state_directory.display());
    let by_hand = format!("sudo -u {} durhack-deployer ...", owner.name);
    if !us.is_root() {
        let what = format!("{shown} is {}'s, and this runs as {}", owner.name, Account::ours().name);
        return Err(Failed::unavailable(anyhow!(what)).hint(by_hand));
    }
    if !is_roots_way(state_directory) {
        let what = format!("{shown} is {}'s, and others than root could have put it there", owner.name);
        return Err(Failed::unavailable(anyhow!(what)).hint(by_hand));
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing is started: this program goes on as somebody else"
    )]
    let mut again = std::process::Command::new("/proc/self/exe");
    again.args(std::env::args_os().skip(1)).uid(owner.uid).gid(owner.gid).env_clear();
    again.envs(PASSED.iter().filter_map(|name| Some((name, environment.get(name)?))));
    again.env("USER", &owner.name).env("LOGNAME", &owner.name).envs(owner.home.map(|home| ("HOME", home)));
    Err::<(), _>(again.exec())
        .with_context(|| format!("cannot go on as {}, whose {shown} is", owner.name))
        .map_err(Failed::unavailable)
}

/// Whether nobody but root can have put something there. In a directory such as `/tmp` everybody makes entries, and only their owners
/// exchange them.
pub fn is_roots_way(path: &Path) -> bool {
    let is_roots = |(number, directory): (usize, &Path)| {
        directory.symlink_metadata().is_ok_and(|found| {
            let (mode, is_next) = (found.mode(), number == 0);
            found.uid() == 0 && (mode & 0o022 == 0 || (!is_next && mode & 0o1000 != 0))
        })
    };
    path.ancestors().skip(1).enumerate().all(is_roots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown};

    #[test]
    fn only_what_root_alone_can_have_put_somewhere_is_believed() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |path: &str| scratch.path().join(path);
        std::fs::create_dir_all(at("roots/state")).unwrap();
        std::fs::create_dir_all(at("others/roots/state")).unwrap();
        chown(at("others"), Some(1000), None).unwrap();
        std::fs::create_dir_all(at("open/state")).unwrap();
        std::fs::set_permissions(at("open"), PermissionsExt::from_mode(0o1777)).unwrap();
        for (path, expected) in
            [("roots/state", true), ("others/roots/state", false), ("open/state", false), ("no/state", false)]
        {
            assert_eq!(is_roots_way(&at(path)), expected, "{path}");
        }
    }
}
