//! Users and groups of the system, as we have them made and removed.

use crate::config::CommandLine;
use std::path::Path;

/// Makes what the file of this name in `sysusers.d` describes, where it is not there yet.
pub fn make(file: &str) -> CommandLine {
    CommandLine::Argv(["systemd-sysusers", file].map(str::to_owned).to_vec())
}

/// Makes a user, and a group of the same name, without password and shell. Whoever uses its home makes it.
pub fn make_user(user: &str, home: &Path) -> CommandLine {
    let home = home.to_string_lossy();
    let words = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", &home];
    let shell = ["--shell", "/usr/sbin/nologin", "--", user];
    CommandLine::Argv(words.into_iter().chain(shell).map(str::to_owned).collect())
}

/// Removes a user, and the group of the same name with it. Its home stays.
pub fn remove(user: &str) -> CommandLine {
    CommandLine::Argv(["userdel", "--", user].map(str::to_owned).to_vec())
}
