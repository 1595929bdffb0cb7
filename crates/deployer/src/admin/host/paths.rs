//! Where things lie on a host that `setup` has put in order, and whose they are. The package and the units have the same names.

use crate::base::names::UserName;
use crate::config::Config;
use crate::process::step_user;
use std::path::{Path, PathBuf};

/// The user, and the group, that everything but the privileged helper runs as.
pub const USER: &str = "durhack-deployer";

/// Its home: spools, record, mirrors, logs.
pub const STATE: &str = "/var/lib/durhack-deployer";

/// What root knows of it: which of nginx's files are the deployer's.
pub const STATE_OF_ROOT: &str = "/var/lib/durhack-deployer-privileged";

/// The configuration's layers.
pub const CONFIGURATION: &str = "/etc/durhack-deployer";

/// The first layer.
pub const FIRST_LAYER: &str = "/etc/durhack-deployer/default.toml";

/// Secrets that systemd hands to the units that need them; root's alone.
pub const CREDENTIALS: &str = "/etc/durhack-deployer/credentials";

/// What GitHub signs with.
pub const WEBHOOK_SECRET: &str = "/etc/durhack-deployer/credentials/webhook-secret";

/// What the worker shows the privileged helper.
pub const HELPER_KEY: &str = "/etc/durhack-deployer/credentials/helper-key";

/// What the privileged helper may be asked for.
pub const ALLOW_LIST: &str = "/etc/durhack-deployer/privileged.toml";

/// Says that nginx has not been told of the deployer's own site yet.
pub const SITE_PENDING: &str = "/etc/durhack-deployer/.site-pending";

/// What sudo allows, where the helper is not used.
pub const SUDOERS: &str = "/etc/sudoers.d/durhack-deployer";

/// What deploys, as the package has it, or an administrator in its place.
const WORKER_UNITS: [&str; 2] = [
    "/usr/lib/systemd/system/durhack-deployer-worker.service",
    "/etc/systemd/system/durhack-deployer-worker.service",
];

/// The token that the service is handed, by which GitHub knows it.
pub const GITHUB_TOKEN: &str = "/etc/durhack-deployer/credentials/github-token";

/// Whether the package has brought the services to this host.
pub fn has_services() -> bool {
    WORKER_UNITS.iter().any(|unit| Path::new(unit).exists())
}

/// What its units may write beside what they have of themselves.
pub const WORKER_DROP_IN: &str = "/etc/systemd/system/durhack-deployer-worker.service.d/setup.conf";

/// The same, of the units that make releases as deployments' own users.
pub const STEPS_DROP_IN: &str = "/etc/systemd/system/durhack-deployer-steps@.service.d/setup.conf";

/// The same, of the units that keep the applications of deployments' own users, which also says where PM2 is found.
pub const PM2_DROP_IN: &str = "/etc/systemd/system/durhack-deployer-pm2@.service.d/setup.conf";

/// Where systemd keeps which sockets are enabled.
pub const ENABLED_SOCKETS: &str = "/etc/systemd/system/sockets.target.wants";

/// Where the intake's socket listens, behind nginx.
pub const SOCKET_DROP_IN: &str = "/etc/systemd/system/durhack-deployer-intake.socket.d/setup.conf";

/// The environment of the services, and of commands about this installation.
pub const ENVIRONMENT: &str = crate::config::SYSTEM_ENVIRONMENT;

/// As whom the services run, where that is another user than the package's: an installation of the Python tool has moved here.
pub const USER_DROP_INS: [&str; 5] = [
    "/etc/systemd/system/durhack-deployer-worker.service.d/user.conf",
    "/etc/systemd/system/durhack-deployer-intake.service.d/user.conf",
    "/etc/systemd/system/durhack-deployer-state.service.d/user.conf",
    "/etc/systemd/system/durhack-deployer-privileged.socket.d/user.conf",
    "/etc/systemd/system/durhack-deployer-steps@.socket.d/user.conf",
];

/// What of people's homes those see that act as root for nginx: a checkout of sites may lie there, and links lead into it.
pub const NGINX_HOME_DROP_INS: [&str; 3] = [
    "/etc/systemd/system/durhack-deployer-nginx-test@.service.d/setup.conf",
    "/etc/systemd/system/durhack-deployer-certbot@.service.d/setup.conf",
    "/etc/systemd/system/durhack-deployer-privileged.service.d/setup.conf",
];

/// Where foreign files are kept that `setup` replaces by its own, in a directory for each time.
pub const ASIDE: &str = "/var/backups/durhack-deployer";

/// What `setup --from` has changed, so that `setup --back` can undo it.
pub const MOVE: &str = "/var/backups/durhack-deployer/move.json";

/// Where deployments lie unless they say otherwise.
pub const APPLICATIONS: &str = "/var/www";

/// The directory of nginx's configuration.
pub const NGINX: &str = "/etc/nginx";

/// Below it: what the recipe `nginx-sites` writes to.
pub const NGINX_SITES: [&str; 2] = ["conf.d", "snippets"];

/// What nginx's own unit may do otherwise than its package says.
pub const NGINX_DROP_IN: &str = "/etc/systemd/system/nginx.service.d/durhack-deployer.conf";

/// The unit of nginx, as Debian's package names it.
pub const NGINX_UNIT: &str = "nginx.service";

/// The file in `sysusers.d` that describes the user.
pub const SYSUSERS: &str = "durhack-deployer.conf";

/// The units, in the order in which they are started.
pub const INTAKE_SOCKET: &str = "durhack-deployer-intake.socket";
pub const INTAKE: &str = "durhack-deployer-intake.service";
pub const WORKER: &str = "durhack-deployer-worker.service";
pub const PRIVILEGED_SOCKET: &str = "durhack-deployer-privileged.socket";

/// What root's own programs are started by: walls for `nginx -t` and for certbot.
pub const NGINX_TEST_SOCKET: &str = "durhack-deployer-nginx-test.socket";
pub const CERTBOT_SOCKET: &str = "durhack-deployer-certbot.socket";

/// All that setup starts: these, and what starts steps of deployments' own users.
pub fn units<'a>(step_users: impl Iterator<Item = &'a UserName>) -> Vec<String> {
    let constant =
        [INTAKE_SOCKET, INTAKE, WORKER, PRIVILEGED_SOCKET, NGINX_TEST_SOCKET, CERTBOT_SOCKET].into_iter();
    constant.map(str::to_owned).chain(step_users.map(step_user::unit)).collect()
}

/// Requests that the helper is carrying out.
pub const PRIVILEGED_INSTANCES: [&str; 3] = [
    "durhack-deployer-privileged.service",
    "durhack-deployer-nginx-test@*.service",
    "durhack-deployer-certbot@*.service",
];

/// Steps that run as deployments' own users.
pub const STEPS_INSTANCES: &str = "durhack-deployer-steps@*.service";

/// What the package brings and nothing works without.
const PARTS: [&str; 12] = [
    "/usr/bin/durhack-deployer",
    "/usr/libexec/durhack-deployer/durhack-deployer-privileged",
    "/usr/lib/sysusers.d/durhack-deployer.conf",
    "/usr/lib/systemd/system/durhack-deployer-intake.socket",
    "/usr/lib/systemd/system/durhack-deployer-intake.service",
    "/usr/lib/systemd/system/durhack-deployer-state.service",
    "/usr/lib/systemd/system/durhack-deployer-worker.service",
    "/usr/lib/systemd/system/durhack-deployer-privileged.socket",
    "/usr/lib/systemd/system/durhack-deployer-nginx-test.socket",
    "/usr/lib/systemd/system/durhack-deployer-certbot.socket",
    "/usr/lib/systemd/system/durhack-deployer-steps@.socket",
    "/usr/lib/systemd/system/durhack-deployer-pm2@.service",
];

/// Of the intake.
const INTAKE_UNIT: &str = "/usr/lib/systemd/system/durhack-deployer-intake.service";

/// What an administrator adds to it.
const INTAKE_DROP_INS: &str = "/etc/systemd/system/durhack-deployer-intake.service.d";

/// As whom the services run: the package's user, unless [`USER_DROP_INS`] say another one.
pub fn user() -> String {
    let text = std::fs::read_to_string(USER_DROP_INS[0]).unwrap_or_default();
    let written = text.lines().find_map(|line| line.strip_prefix("User=")).filter(|user| !user.is_empty());
    written.unwrap_or(USER).to_owned()
}

/// The parts of the package that are not there.
pub fn missing_parts() -> Vec<PathBuf> {
    PARTS.iter().map(PathBuf::from).filter(|path| !path.exists()).collect()
}

/// Where the configuration of the services says that the state lies, if that is not where their units have it.
pub fn state_elsewhere(config: &Config) -> Option<&Path> {
    let same = |one: &Path, other: &Path| {
        one == other
            || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
    };
    let state = config.state_directory.as_path();
    let is_of_services = config.directory == Path::new(CONFIGURATION)
        && Path::new(INTAKE_UNIT).exists()
        && !is_in_drop_in(state);
    Some(state).filter(|state| is_of_services && !same(state, Path::new(STATE)))
}

/// Whether an administrator has told the intake's unit of it.
fn is_in_drop_in(state: &Path) -> bool {
    let state = state.to_string_lossy();
    let drop_ins = std::fs::read_dir(INTAKE_DROP_INS).into_iter().flatten().flatten();
    drop_ins.filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).any(|text| text.contains(&*state))
}

/// What to say of that.
pub fn said_of_state_elsewhere(state: &Path) -> (String, String) {
    let what = format!(
        "`state_directory` is {}, and the services' units let them write in {STATE} alone: they cannot start",
        state.display()
    );
    let mend = format!(
        "leave `state_directory` out; to have the state on another disk, mount that at {STATE}: stop the services, move the files, `mount --bind {} {STATE}` and a line in /etc/fstab",
        state.display()
    );
    (what, mend)
}

/// Whose a file or directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// root's, and of root's group.
    Root,
    /// root's, and the deployer may read it by its group.
    RootForDeployer,
    /// Owned by the deployer's user and its group.
    Deployer,
}

/// A directory as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorySpec {
    /// Its absolute path.
    pub path: PathBuf,
    /// Who owns it.
    pub owner: Owner,
    /// Its permission bits, whatever the umask says.
    pub mode: u32,
}

/// The directories of every host.
pub fn directories() -> Vec<DirectorySpec> {
    let of = |path: &str, owner, mode| DirectorySpec { path: path.into(), owner, mode };
    vec![
        of(STATE, Owner::Deployer, 0o700),
        of(CONFIGURATION, Owner::RootForDeployer, 0o750),
        of(CREDENTIALS, Owner::Root, 0o700),
    ]
}

/// The directory of a deployment. Others may read it: nginx does.
pub fn application(path: &Path) -> DirectorySpec {
    DirectorySpec { path: path.to_owned(), owner: Owner::Deployer, mode: 0o755 }
}

/// The ids that an owner stands for.
pub fn ids(owner: Owner, account: Option<(u32, u32)>) -> Option<(u32, u32)> {
    match owner {
        Owner::Root => Some((0, 0)),
        Owner::RootForDeployer => account.map(|(_, group)| (0, group)),
        Owner::Deployer => account,
    }
}
