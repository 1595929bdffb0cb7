//! Users and groups of the system, as we have them made and removed.

use crate::config::CommandLine;

/// Makes what the file of this name in `sysusers.d` describes, where it is not there yet.
pub fn make(file: &str) -> CommandLine {
    CommandLine::Argv(["systemd-sysusers", file].map(str::to_owned).to_vec())
}

/// Removes a user, and the group of the same name with it. Its home stays.
pub fn remove(user: &str) -> CommandLine {
    CommandLine::Argv(["userdel", "--", user].map(str::to_owned).to_vec())
}
