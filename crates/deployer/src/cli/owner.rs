//! Root asks as the user whose state it is: `sudo durhack-deployer status` does what that user's own would.
//!
//! Not as root itself: what it would make beside the spools and the record would be root's, and in the service's way.

use super::doctor::accounts::Account;
use super::output::Failed;
use rustix::process::geteuid;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

/// Goes on as the owner of the state directory, if that is somebody else. Returns where there is nothing to be done; what it gives else is
/// why it cannot be.
pub fn become_owner_of(state_directory: &Path) -> Result<(), Failed> {
    let us = geteuid();
    // Nothing is there yet, or it is said later what is wrong with it.
    let Ok(found) = std::fs::metadata(state_directory) else { return Ok(()) };
    if found.uid() == us.as_raw() {
        return Ok(());
    }
    let owner = Account::of(found.uid());
    let shown = state_directory.display();
    if !us.is_root() {
        let us = Account::ours().name;
        return Err(Failed::unavailable(anyhow::anyhow!(
            "{shown} is {}'s, and this runs as {us}",
            owner.name
        ))
        .hint(format!("sudo -u {} durhack-deployer ...", owner.name)));
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing is started: this program goes on as somebody else"
    )]
    let mut again = std::process::Command::new("/proc/self/exe");
    again.args(std::env::args_os().skip(1)).uid(owner.uid).gid(found.gid());
    again.env("USER", &owner.name).env("LOGNAME", &owner.name);
    if let Some(home) = &owner.home {
        again.env("HOME", home);
    }
    let error = anyhow::Error::from(again.exec());
    Err(Failed::unavailable(error.context(format!("cannot go on as {}, whose {shown} is", owner.name))))
}
