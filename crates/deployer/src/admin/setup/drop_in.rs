//! What units do otherwise on this host than the package says. The worker may write the directories of deployments, and, with sudo, has
//! the rights that sudo itself needs; behind nginx, the port is this machine's alone. Pure.

use crate::admin::host::paths;
use crate::admin::setup::configured::Configuration;
use crate::config::Privileges;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The port behind nginx, unless something else has it.
pub const PORT: u16 = 3400;

/// Of the intake's socket, behind nginx: nobody else has to reach it.
pub fn socket(port: u16) -> String {
    format!(
        "# Written by `durhack-deployer setup --origin`.\n[Socket]\nListenStream=\nListenStream=127.0.0.1:{port}\n"
    )
}

/// The port that [`socket`] has written.
pub fn port_in(text: &str) -> Option<u16> {
    text.lines().find_map(|line| line.strip_prefix("ListenStream=127.0.0.1:"))?.trim().parse().ok()
}

/// Who runs the services, where it is not the package's user: one for each of [`paths::USER_DROP_INS`].
pub fn users(user: &str, home: &Path) -> [String; 5] {
    const HEAD: &str =
        "# Written by `durhack-deployer setup --from`: what is deployed here is this user's.\n";
    let home = escaped(home);
    [
        format!(
            "{HEAD}[Service]\nUser={user}\nGroup={user}\n# Its keys, and what it keeps PM2's and node's files in.\nEnvironment=HOME={home}\nBindPaths=-{home}\n"
        ),
        format!("{HEAD}[Service]\nUser={user}\nGroup={user}\n"),
        format!("{HEAD}[Service]\nUser={user}\nGroup={user}\n"),
        format!("{HEAD}[Socket]\nSocketGroup={user}\n"),
        format!("{HEAD}[Socket]\nSocketUser={user}\n"),
    ]
}

/// Of nginx's unit, as the package has it.
pub const NGINX: &str =
    include_str!("../../../../../packaging/systemd/nginx.service.d/durhack-deployer.conf");

/// The text for the worker; None: the unit will do as it is.
pub fn worker(known: Option<&Configuration>, privileges: Privileges) -> Option<String> {
    let paths = writable(known.into_iter().flat_map(|known| &known.paths));
    let programs = programs(known.into_iter().flat_map(|known| &known.search_paths));
    let manager = if known.is_some_and(|known| known.needs_user_manager) { USER_MANAGER } else { "" };
    let walls = if privileges == Privileges::Sudo { SUDO } else { "" };
    text(&(paths + &programs + manager + walls))
}

/// The same for what makes releases as deployments' own users.
pub fn steps(known: Option<&Configuration>) -> Option<String> {
    let paths = writable(known.into_iter().flat_map(|known| &known.users_paths));
    let programs = programs(known.into_iter().flat_map(|known| &known.search_paths));
    text(&(paths + if known.is_some_and(|known| known.users_paths.is_empty()) { "" } else { &programs }))
}

/// The same for what acts as root for nginx: it reads what nginx's links lead to.
pub fn nginx_homes(known: Option<&Configuration>) -> Option<String> {
    let mut lines = String::new();
    for path in known.into_iter().flat_map(|known| &known.sites_paths).filter(|path| is_in_a_home(path)) {
        let _ = writeln!(lines, "BindReadOnlyPaths=-{}", escaped(path));
    }
    let head = if lines.is_empty() { "" } else { "ProtectHome=tmpfs\n" };
    text(&format!("{head}{lines}"))
}

/// The same for what keeps the applications of deployments' own users; PM2 and node may lie elsewhere than systemd looks.
pub fn pm2(known: Option<&Configuration>) -> Option<String> {
    let known = known.filter(|known| !known.pm2_users.is_empty())?;
    let mut lines = writable(known.users_paths.iter());
    if !known.search_paths.is_empty() {
        let paths: Vec<String> =
            known.search_paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        let path = format!("{USUAL_PATH}:{}", paths.join(":"));
        let _ = writeln!(lines, "Environment=\"PATH={}\"", quoted(&path));
        lines += &programs(known.search_paths.iter());
    }
    text(&lines)
}

/// Where systemd has units look for programs.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";

/// Whether `ProtectHome=` takes a path away.
pub fn is_in_a_home(path: &Path) -> bool {
    ["/home", "/root", "/run/user"].iter().any(|home| path.starts_with(home))
}

/// Programs in a directory called `bin` have their libraries beside it.
fn around(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if path.ends_with("bin") && parent.components().count() > 3 => parent.to_owned(),
        _ => path.to_owned(),
    }
}

/// Programs that lie in somebody's home, of which nothing else is there.
fn programs<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> String {
    let mut lines = String::new();
    for path in paths.filter(|path| is_in_a_home(path)) {
        let _ = writeln!(lines, "BindReadOnlyPaths=-{}", escaped(&around(path)));
    }
    lines
}

fn writable<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> String {
    let mut lines = String::new();
    for path in paths.filter(|path| !is_writable_anyway(path)) {
        // Homes are not there for the units: what lies in one is bound in, and is writable then.
        let key = if is_in_a_home(path) { "BindPaths" } else { "ReadWritePaths" };
        let _ = writeln!(lines, "{key}=-{}", escaped(path));
    }
    lines
}

fn text(lines: &str) -> Option<String> {
    const HEAD: &str = "# Written by `durhack-deployer setup`, of the configuration.\n[Service]\n";
    (!lines.is_empty()).then(|| format!("{HEAD}{lines}"))
}

/// For `user_units`, and for a PM2 that the manager of the deployer's user is to start. A build reaches that too, and what it starts there is in
/// no sandbox: docs/explanation/security.md says so.
const USER_MANAGER: &str = "BindReadOnlyPaths=-/run/user\n";

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
    path.starts_with(paths::APPLICATIONS) || path.starts_with(paths::STATE)
}

/// As a unit's path: quoted, with what systemd would expand doubled.
fn escaped(path: &Path) -> String {
    let text = quoted(&path.to_string_lossy());
    // `-` stands inside the quotes: an absent directory is no reason not to start.
    if text.contains([' ', '\'', '"']) { format!("\"{text}\"") } else { text }
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::setup::plan::tests::configuration;
    use crate::base::names::UserName;

    #[test]
    fn what_lies_in_a_home_is_bound_into_it_and_the_rest_made_writable() {
        let mut known = configuration();
        known.paths = ["/srv/site".into(), "/home/durhack/projects/my nginx".into(), "/root/x".into()].into();
        known.search_paths = vec!["/home/durhack/.nvm/versions/node/v24/bin".into()];
        insta::assert_snapshot!(worker(Some(&known), Privileges::Helper).unwrap(), @r#"
        # Written by `durhack-deployer setup`, of the configuration.
        [Service]
        BindPaths=-"/home/durhack/projects/my nginx"
        BindPaths=-/root/x
        ReadWritePaths=-/srv/site
        BindReadOnlyPaths=-/home/durhack/.nvm/versions/node/v24
        "#);
        assert_eq!(nginx_homes(Some(&known)), None);
        known.sites_paths = known.paths.clone();
        assert!(
            nginx_homes(Some(&known)).unwrap().contains("ProtectHome=tmpfs\nBindReadOnlyPaths=-\"/home/")
        );
        assert_eq!(port_in(&socket(3401)), Some(3401));
    }

    #[test]
    fn pm2_is_found_where_the_configuration_says_and_writes_where_deployments_lie() {
        let mut known = configuration();
        known.search_paths = vec!["/opt/node/bin".into(), "/home/deploy/.nvm/v20/bin".into()];
        known.users_paths = ["/srv/site".into(), "/var/www/site".into()].into();
        assert_eq!(pm2(Some(&known)), None, "nobody has a PM2");
        known.pm2_users = [UserName::parse("web").unwrap()].into();
        insta::assert_snapshot!(pm2(Some(&known)).unwrap(), @r#"
        # Written by `durhack-deployer setup`, of the configuration.
        [Service]
        ReadWritePaths=-/srv/site
        Environment="PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/opt/node/bin:/home/deploy/.nvm/v20/bin"
        BindReadOnlyPaths=-/home/deploy/.nvm/v20
        "#);
        assert_eq!(around(Path::new("/home/deploy/bin")), Path::new("/home/deploy/bin"), "no whole home");
    }
}
