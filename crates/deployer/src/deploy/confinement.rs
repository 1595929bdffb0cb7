//! What a step may touch, and which steps that holds for.
//!
//! Whoever can push runs code here, as the user that holds all our secrets. What makes a release needs none of them: it reads the system
//! and its own deployment, and writes to the release, what releases share, a home and a directory for temporary files. So that is what it
//! gets (`supervise` has the kernel enforce it), and a home of its deployment's own: a cache that all share would be a way from one to the
//! other. With a user of its deployment's own it also runs as that (`step_user`).
//!
//! Deliberately absent: a wall against the network, and against sockets in the file system. Registries and databases are reached
//! there, and so is a process manager of the same user (`docs/security.md` says what that means).

use super::plan::Action;
use super::{Host, step_user, trees};
use crate::config::load::SYSTEM_DIRECTORY;
use crate::config::{Config, Deployment, Phase};
use crate::safe_path::Directory;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use supervise::{Confinement, Enforcement, ResourceLimits};

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

/// The directory below the state directory that holds what steps may write.
const DIRECTORY: &str = "steps";

/// Below a deployment's path: where recipes have package managers keep what they have fetched, on the releases' file system.
pub const CACHES: &str = ".cache";

/// A cache that no other deployment's steps can fill; where it has a user of its own, no other user's.
pub fn cache(deployment: &Deployment, tool: &str) -> PathBuf {
    deployment.user.as_ref().map_or_else(|| deployment.path.clone(), step_user::home).join(CACHES).join(tool)
}

/// How a deployment's step is to be started.
#[derive(Debug)]
pub struct Confined {
    /// None: the operator does not want it.
    pub paths: Option<Confinement>,
    /// In any case.
    pub resources: ResourceLimits,
    /// Who starts it as the deployment's own user.
    pub keeper: Option<PathBuf>,
}

/// Whether what this does is confined. The one place that says so.
///
/// What makes a release is: the commands of a recipe and of the operator up to the migration, and taking those back. Not confined is
/// - whatever comes from the switch on. It may start a program that is to go on running (`pm2 reload`, a service), and one that
///   was started confined is so for ever, as is everything that PM2's daemon starts if that is the first to be started this way;
/// - what needs privileges (`systemctl`, `sudo`, `nginx`, `certbot`): no set-user-id program gains anything inside;
/// - the hand-over, which starts the deployer itself.
///
/// The last two are actions of their own, not [`Action::Command`], whatever their phase.
pub fn confines(phase: Phase, action: &Action) -> bool {
    matches!(action, Action::Command(_)) && phase < Phase::Switch
}

/// Makes ready what a deployment's confined step in this directory stands on, and adds what it must know to its environment; what the operator says there
/// wins. Only one run of a deployment is in progress, and only one step of it.
pub async fn prepare(
    host: &Host,
    deployment: &Deployment,
    directory: &Path,
    environment: &mut BTreeMap<String, String>,
) -> Result<Confined> {
    let config = &host.config;
    let (resources, keeper) = (config.confinement.limits, deployment.user.as_ref().map(step_user::socket));
    let [home, temporary] = match &deployment.user {
        Some(user) => {
            for variable in ["USER", "LOGNAME"] {
                environment.entry(variable.to_owned()).or_insert_with(|| user.to_string());
            }
            // Its unit makes both; the latter is gone when the unit ends.
            [step_user::home(user), "/tmp".into()]
        }
        None if deployment.confine => own_places(host, deployment).await?,
        None => return Ok(Confined { paths: None, resources, keeper }),
    };
    for (variable, directory) in [("HOME", &home), ("TMPDIR", &temporary)] {
        environment.entry(variable.to_owned()).or_insert_with(|| directory.to_string_lossy().into_owned());
    }
    if !deployment.confine {
        return Ok(Confined { paths: None, resources, keeper });
    }
    let hidden = hidden(config, deployment);
    let mut readable: Vec<PathBuf> = SYSTEM.map(PathBuf::from).into();
    let of_deployer = host.executor.variable("PATH").unwrap_or_default();
    let search_paths = [of_deployer, OsStr::new(environment.get("PATH").map_or("", String::as_str))];
    let user_home = host.executor.variable("HOME").map(Path::new);
    readable.extend(search_paths.iter().flat_map(|path| programs(path, user_home, &hidden)));
    readable.extend(config.confinement.readable.iter().chain(&deployment.readable).cloned());
    readable.push(deployment.path.clone());
    let mut writable: Vec<PathBuf> = DEVICES.map(PathBuf::from).into();
    writable.extend([home, temporary]);
    writable.extend(made_in(deployment, directory));
    make_places(deployment, directory)?;
    writable.extend(config.confinement.writable.iter().chain(&deployment.writable).cloned());
    Ok(Confined { paths: Some(Confinement { readable, writable, hidden }), resources, keeper })
}

/// What of a deployment's path a step in this directory may change: the release that it makes, and the directories that releases share. Neither the
/// one that is live, nor the link to it, nor `shared/` itself: there lie the files that releases share, and environment files, which a step
/// could exchange otherwise. In place, all of it.
fn made_in(deployment: &Deployment, directory: &Path) -> Vec<PathBuf> {
    let path = &deployment.path;
    let Some(release) = release_of(path, directory) else { return vec![path.to_owned()] };
    let shared = deployment.shared_dirs.iter().map(|shared| path.join("shared").join(shared));
    std::iter::once(release).chain(shared).chain([path.join(CACHES)]).collect()
}

/// The release that a directory is, or lies in.
fn release_of(path: &Path, directory: &Path) -> Option<PathBuf> {
    let releases = path.join("releases");
    let release = directory.strip_prefix(&releases).ok()?.iter().next()?;
    Some(releases.join(release))
}

/// What releases share must be there to be given to a step. And it must be what it is called: a link that somebody has put in its place, or on
/// the way to it, would give the step what that leads to.
fn make_places(deployment: &Deployment, directory: &Path) -> Result<()> {
    let shared = deployment.shared_dirs.iter().map(|shared| Path::new("shared").join(shared));
    let shared = shared.filter(|_| release_of(&deployment.path, directory).is_some());
    let make = || {
        for place in shared {
            Directory::open(&deployment.path)?.below(&place, true)?;
        }
        let path = Directory::open(&deployment.path)?;
        // What was fetched once can be fetched again. `adopt` has put a link there once.
        path.remove_link(CACHES.as_ref())?;
        path.make(CACHES.as_ref())
    };
    make().map(drop).context("where steps may write")
}

/// Everywhere that a step of a deployment in this directory may write, as the deployer or as a user of its own.
pub fn writable(config: &Config, deployment: &Deployment, directory: &Path) -> Vec<PathBuf> {
    let lent = config.confinement.writable.iter().chain(&deployment.writable).cloned();
    let of_all = [deployment.path.join("releases"), config.state_directory.join(DIRECTORY)];
    made_in(deployment, directory).into_iter().chain(of_all).chain(lent).collect()
}

/// A home, and an empty directory for temporary files.
async fn own_places(host: &Host, deployment: &Deployment) -> Result<[PathBuf; 2]> {
    let own = host.config.state_directory.join(DIRECTORY).join(deployment.slug.as_str());
    let (home, temporary) = (own.join("home"), own.join("tmp"));
    // What a step left there is nobody's. What cannot be removed is in nobody's way.
    let _ = trees::remove(&host.executor, None, &temporary).await;
    for directory in [&home, &temporary] {
        fs_err::create_dir_all(directory).context("where steps may write")?;
    }
    Ok([home, temporary])
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

/// What is to be said of a step that is not confined as it should be.
pub fn shortcoming(enforcement: Enforcement) -> Option<String> {
    match enforcement {
        Enforcement::Full => None,
        Enforcement::Partial(interface) => Some(format!(
            "steps are confined only in part: the kernel's Landlock has interface {interface}, all of it needs 6 (Linux 6.12)"
        )),
        Enforcement::None => Some(
            "nothing confines steps: the kernel has no Landlock, or it is switched off (Linux 5.13, `lsm=landlock,...`)".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CommandLine, Layout};
    use crate::deploy::plan::Command;
    use crate::deploy::recipes::sample::with_facts;

    #[test]
    fn what_makes_a_release_is_confined_and_what_makes_it_live_is_not() {
        let command = Action::Command(Command {
            line: CommandLine::Shell("pm2 reload x".into()),
            directory: "/".into(),
            environment: BTreeMap::new(),
            env_files: Vec::new(),
        });
        let confined: Vec<Phase> =
            Phase::ALL.into_iter().filter(|phase| confines(*phase, &command)).collect();
        assert_eq!(confined, [Phase::Fetch, Phase::Install, Phase::Build, Phase::Migrate]);
        assert!(!Phase::ALL.into_iter().any(|phase| confines(phase, &Action::Prune)));
    }

    #[test]
    fn a_step_changes_the_release_that_it_makes_and_the_directories_that_are_shared() {
        let keys = "recipe = \"steps\"\nshared_dirs = [\"keys\", \"a/b\"]\nshared_files = [\".env\"]";
        with_facts(keys, Layout::Releases, &[], |facts| {
            let shared = ["/srv/app/shared/keys", "/srv/app/shared/a/b", "/srv/app/.cache"];
            let release = [&["/srv/app/releases/b"][..], &shared].concat();
            for (directory, expected) in [
                ("/srv/app/releases/b", &release[..]),
                ("/srv/app/releases/b/server/src", &release),
                ("/srv/app", &["/srv/app"]),
                ("/srv/app/server", &["/srv/app"]),
            ] {
                let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
                assert_eq!(made_in(facts.deployment, Path::new(directory)), expected, "{directory}");
            }
        });
    }

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

    #[test]
    fn only_what_is_not_enforced_is_told() {
        assert_eq!(shortcoming(Enforcement::Full), None);
        assert!(shortcoming(Enforcement::Partial(2)).is_some_and(|text| text.contains("interface 2")));
        assert!(shortcoming(Enforcement::None).is_some_and(|text| text.contains("nothing confines")));
    }
}
