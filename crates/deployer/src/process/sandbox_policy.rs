//! As whom a run's programs are started, what they may touch, and which of them that holds for.
//!
//! Whoever can push runs code here, as the user that holds all our secrets. What makes a release needs none of them: it reads the system
//! and its own deployment, and writes to the release, what releases share, a home and a directory for temporary files. So that is what it
//! gets (`supervise` has the kernel enforce it), and a home of its deployment's own: a cache that all share would be a way from one to the
//! other.
//!
//! With a user of the deployment's own (`step_user`) every command of the deployment runs as that user, in every phase, there and back. What
//! stays with the deployer are its own tools (git, setfacl, systemctl, nginx, certbot), and those get neither the deployment's
//! environment, with its PATH, nor a working directory that this user writes. [`standing`] is the rule.
//!
//! Deliberately absent: a wall against the network, and against sockets in the file system. Registries and databases are reached
//! there, and so is a process manager of the same user (`docs/security.md` says what that means).

use super::step_user;
use crate::base::files::safe_path::OpenDirectory;
use crate::base::names::UserName;
use crate::config::purpose::SYSTEM_DIRECTORY;
use crate::config::{Config, Deployment};
use crate::process::executor::Executor;
use crate::process::remove_tree;
use crate::process::sandbox::{CACHES, DIRECTORY, RunAs, StepSandbox, Walls, made_in, release_of};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use supervise::Confinement;

/// What of the system a build reads: programs, libraries, settings, and what the kernel says. `/home`, `/root`, `/var`, `/srv`, `/tmp`
/// and most of `/run` are other people's.
const SYSTEM: [&str; 16] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/nix",
    "/snap",
    "/etc",
    "/proc",
    "/sys",
    // What `/etc/resolv.conf` may be a link to.
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
];

/// Devices without anything in them, terminals, and memory that processes share.
const DEVICES: [&str; 9] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/shm",
];

/// The host's own secrets, for a deployer that runs as root.
const SECRETS_OF_THE_HOST: [&str; 3] = ["/etc/shadow", "/etc/gshadow", "/etc/ssl/private"];

/// A cache that no other deployment's steps can fill; where it has a user of its own, no other user's.
pub fn cache(deployment: &Deployment, tool: &str) -> PathBuf {
    deployment.user.as_ref().map_or_else(|| deployment.path.clone(), step_user::home).join(CACHES).join(tool)
}

/// Makes ready what an action's programs stand on, in this directory, with the environment of the run and the operator, which win. What
/// `is_evaluated` has a file of the repository read that is a program. Only one run of a deployment is in progress, and only one step of it.
pub async fn walls(
    (config, executor): (&Config, &Executor),
    deployment: &Deployment,
    (standing, is_evaluated): (RunAs, bool),
    directory: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<Walls> {
    let sandboxed = || sandboxed((config, executor), deployment, directory, environment);
    let own = match (standing, &deployment.user) {
        (RunAs::Sandboxed, _) => Some(sandboxed().await?),
        // Also where it is the deployer's own doing: it asks what only this user can see of its processes.
        (RunAs::Users | RunAs::Deployers, Some(user)) => Some(as_user(user)),
        (RunAs::Users | RunAs::Deployers, None) => None,
    };
    let mut evaluation = if is_evaluated { Some(sandboxed().await?) } else { None };
    // It only reads, on the way back in what is live.
    if let Some(paths) = evaluation.as_mut().and_then(|evaluation| evaluation.paths.as_mut()) {
        let made = made_in(deployment, directory);
        paths.writable.retain(|path| !made.contains(path));
    }
    Ok(Walls { own, evaluation })
}

/// How programs are started that only look at what runs: as the deployment's user where only that user can see it.
pub fn looking(deployment: &Deployment) -> Walls {
    Walls { own: deployment.user.as_ref().map(as_user), evaluation: None }
}

/// As a user of the deployment's own, not sandboxed.
fn as_user(user: &UserName) -> StepSandbox {
    StepSandbox {
        spawner: Some(step_user::keeper(user)),
        environment: step_user::environment(user),
        ..StepSandbox::default()
    }
}

/// Sandboxed, as the deployment's own user if there is one.
async fn sandboxed(
    (config, executor): (&Config, &Executor),
    deployment: &Deployment,
    directory: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<StepSandbox> {
    let resources = Some(config.confinement.limits);
    let confined = match &deployment.user {
        Some(user) => as_user(user),
        None if deployment.confine => own_places((config, executor), deployment).await?,
        None => StepSandbox::default(),
    };
    if !deployment.confine {
        return Ok(StepSandbox { resources, ..confined });
    }
    let hidden = hidden(config, deployment);
    let mut readable: Vec<PathBuf> = SYSTEM.map(PathBuf::from).into();
    let of_deployer = executor.variable("PATH").unwrap_or_default();
    let search_paths = [of_deployer, OsStr::new(environment.get("PATH").map_or("", String::as_str))];
    let user_home = executor.variable("HOME").map(Path::new);
    readable.extend(search_paths.iter().flat_map(|path| programs(path, user_home, &hidden)));
    readable.extend(config.confinement.readable.iter().chain(&deployment.readable).cloned());
    readable.push(deployment.path.clone());
    let mut writable: Vec<PathBuf> = DEVICES.map(PathBuf::from).into();
    writable.extend(["HOME", "TMPDIR"].map(|variable| PathBuf::from(&confined.environment[variable])));
    writable.extend(made_in(deployment, directory));
    make_places(deployment, directory)?;
    writable.extend(config.confinement.writable.iter().chain(&deployment.writable).cloned());
    let landlock_max = crate::base::failpoint::landlock_max();
    let paths = Some(Confinement { readable, writable, hidden, landlock_max });
    Ok(StepSandbox { paths, resources, ..confined })
}

/// What releases share must be there to be given to a step. And it must be what it is called: a link that somebody has put in its place, or on
/// the way to it, would give the step what that leads to.
fn make_places(deployment: &Deployment, directory: &Path) -> Result<()> {
    let shared = deployment.shared_dirs.iter().map(|shared| Path::new("shared").join(shared));
    let shared = shared.filter(|_| release_of(&deployment.path, directory).is_some());
    let make = || {
        for place in shared {
            OpenDirectory::open(&deployment.path)?.below(&place, true)?;
        }
        let path = OpenDirectory::open(&deployment.path)?;
        // What was fetched once can be fetched again. `adopt` has put a link there once.
        path.remove_link(CACHES.as_ref())?;
        path.make(CACHES.as_ref())
    };
    make().map(drop).context("where steps may write")
}

/// With a home, and an empty directory for temporary files.
async fn own_places(
    (config, executor): (&Config, &Executor),
    deployment: &Deployment,
) -> Result<StepSandbox> {
    let own = config.state_directory.join(DIRECTORY).join(deployment.slug.as_str());
    let (home, temporary) = (own.join("home"), own.join("tmp"));
    // What a step left there is nobody's. What cannot be removed is in nobody's way.
    let _ = remove_tree::remove(executor, None, &temporary).await;
    for directory in [&home, &temporary] {
        fs_err::create_dir_all(directory).context("where steps may write")?;
    }
    let variable = |name: &str, place: &Path| (name.to_owned(), place.to_string_lossy().into_owned());
    let environment = [variable("HOME", &home), variable("TMPDIR", &temporary)].into();
    Ok(StepSandbox { environment, ..StepSandbox::default() })
}

/// What is never to be read, wherever it lies. Most of it lies where nothing may be read anyway.
fn hidden(config: &Config, deployment: &Deployment) -> Vec<PathBuf> {
    let others = config.deployments.values().filter(|other| other.slug != deployment.slug);
    // What lies in the path is hidden with it. And each of these is resolved before a step starts: a file system that another deployment's build
    // has hanging must not be asked.
    let outside = |other: &'_ Deployment| {
        let files = other.env_files.iter().filter(|file| !file.starts_with(&other.path));
        files.chain([&other.path]).cloned().collect::<Vec<PathBuf>>()
    };
    let of_others = others.flat_map(outside);
    let database = config.database_url.expose().strip_prefix("sqlite:").map(PathBuf::from);
    // A worker does not read what signs webhooks, and so knows only where it would lie.
    let signing = config.intake.repository_secret_files.values().chain([&config.intake.secret_files]);
    let signing = signing.flat_map(|files| files.current.iter().chain(&files.further));
    let own = [PathBuf::from(SYSTEM_DIRECTORY), config.directory.clone(), config.state_directory.clone()];
    own.into_iter()
        .chain(signing.cloned())
        .chain(SECRETS_OF_THE_HOST.map(PathBuf::from))
        .chain([config.certificates.directory.clone()])
        .chain(config.secret_files.iter().cloned())
        .chain(database)
        .chain(of_others)
        .collect()
}

/// Where the search path leads: each of its directories and, for one called `bin`, the directory around it, where programs have
/// their libraries. But not a whole home, and not what holds something hidden.
fn programs(path: &OsStr, home: Option<&Path>, hidden: &[PathBuf]) -> Vec<PathBuf> {
    let is_whole = |around: &Path| {
        around.parent().is_none()
            || home.is_some_and(|home| home.starts_with(around))
            || hidden.iter().any(|path| path.starts_with(around))
    };
    let mut found = Vec::new();
    for directory in std::env::split_paths(path).filter(|directory| directory.is_absolute()) {
        let is_bin =
            directory.file_name().is_some_and(|name| ["bin", "sbin", ".bin"].iter().any(|bin| name == *bin));
        let around = directory.parent().filter(|around| is_bin && !is_whole(around)).map(Path::to_owned);
        found.extend([directory].into_iter().chain(around));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_path_opens_programs_and_no_home() {
        let hidden = ["/srv/deployer/state".into(), "/opt/secret/key".into()];
        let home = Some(Path::new("/home/deploy"));
        let found = |path: &str| programs(OsStr::new(path), home, &hidden);
        for (path, expected) in [
            ("/usr/bin", &["/usr/bin", "/usr"][..]),
            ("/opt/node/bin:relative/bin:", &["/opt/node/bin", "/opt/node"]),
            ("/home/deploy/.nvm/v20/bin", &["/home/deploy/.nvm/v20/bin", "/home/deploy/.nvm/v20"]),
            ("/home/deploy/bin", &["/home/deploy/bin"]),
            ("/home/bin", &["/home/bin"]),
            ("/bin", &["/bin"]),
            ("/srv/deployer/bin", &["/srv/deployer/bin"]),
            ("/opt/secret/bin", &["/opt/secret/bin"]),
            ("/opt/tools", &["/opt/tools"]),
        ] {
            assert_eq!(found(path), expected.iter().map(PathBuf::from).collect::<Vec<_>>(), "{path}");
        }
    }
}
