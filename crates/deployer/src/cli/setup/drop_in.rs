//! What units do otherwise on this host than the package says. The worker may write the directories of deployments, and, with sudo, has
//! the rights that sudo itself needs; behind nginx, the port is this machine's alone. Pure.

use super::found::Configuration;
use super::places;
use crate::config::Privileges;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Of the intake's socket, behind nginx: nobody else has to reach it.
pub const SOCKET: &str = "\
# Written by `durhack-deployer setup --origin`.
[Socket]
ListenStream=
ListenStream=127.0.0.1:3400
";

/// Of nginx's unit, as the package has it.
pub const NGINX: &str =
    include_str!("../../../../../packaging/systemd/nginx.service.d/durhack-deployer.conf");

/// The text for the worker; None: the unit will do as it is.
pub fn worker(known: Option<&Configuration>, privileges: Privileges) -> Option<String> {
    let paths = writable(known.into_iter().flat_map(|known| &known.paths));
    let walls = if privileges == Privileges::Sudo { SUDO } else { "" };
    text(&(paths + walls))
}

/// The same for what makes releases as deployments' own users.
pub fn steps(known: Option<&Configuration>) -> Option<String> {
    text(&writable(known.into_iter().flat_map(|known| &known.users_paths)))
}

fn writable<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> String {
    let mut lines = String::new();
    for path in paths.filter(|path| !is_writable_anyway(path)) {
        let _ = writeln!(lines, "ReadWritePaths=-{}", escaped(path));
    }
    lines
}

fn text(lines: &str) -> Option<String> {
    const HEAD: &str = "# Written by `durhack-deployer setup`, of the configuration.\n[Service]\n";
    (!lines.is_empty()).then(|| format!("{HEAD}{lines}"))
}

/// sudo becomes root, and what it starts writes where root may. The price of `privileges = "sudo"`: the worker loses its walls, as
/// systemd takes each of these to mean NoNewPrivileges=yes too.
const SUDO: &str = "\
NoNewPrivileges=no
RestrictSUIDSGID=no
CapabilityBoundingSet=~
AmbientCapabilities=
SystemCallFilter=
SystemCallArchitectures=
RestrictAddressFamilies=
RestrictNamespaces=no
RestrictRealtime=no
LockPersonality=no
PrivateDevices=no
DevicePolicy=auto
ProtectClock=no
ProtectHostname=no
ProtectKernelLogs=no
ProtectKernelModules=no
ProtectKernelTunables=no
ProtectSystem=no
";

fn is_writable_anyway(path: &Path) -> bool {
    path.starts_with(places::APPLICATIONS) || path.starts_with(places::STATE)
}

/// As a unit's path: quoted, with what systemd would expand doubled.
fn escaped(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    // `-` stands inside the quotes: an absent directory is no reason not to start.
    if text.contains([' ', '\'', '"']) { format!("\"{text}\"") } else { text }
}
