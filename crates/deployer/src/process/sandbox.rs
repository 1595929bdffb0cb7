//! The sandbox of a step, as data: how its programs are started, what it may write, and what the kernel does not enforce of that.

use crate::config::{Config, Deployment, Phase};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use supervise::{Confinement, Enforcement, Landlock, ResourceLimits};

/// The directory below the state directory that holds what steps may write.
pub const DIRECTORY: &str = "steps";

/// Below a deployment's path: where recipes have package managers keep what they have fetched, on the releases' file system.
pub const CACHES: &str = ".cache";

/// As whom an action's programs are started, and behind which walls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunAs {
    /// As the deployer: its own doing, and nothing that the repository or the deployment's user has written is run, or read as configuration.
    Deployers,
    /// As the deployment's user, where it has one, and sandboxed.
    Sandboxed,
    /// As the deployment's user, where it has one; not sandboxed, for it may start what is to go on running.
    Users,
}

/// The same of a command that a deployment names for this phase.
pub fn standing_of_command(phase: Phase) -> RunAs {
    if phase < Phase::Switch { RunAs::Sandboxed } else { RunAs::Users }
}

/// How a deployment's own commands are started.
#[derive(Debug, Default)]
pub struct StepSandbox {
    /// None: not sandboxed, or the operator does not want it.
    pub paths: Option<Confinement>,
    /// Of what makes a release.
    pub resources: Option<ResourceLimits>,
    /// Who starts it as the deployment's own user.
    pub spawner: Option<supervise::Spawner>,
    /// Variables that it needs to know, below those of the run and the operator.
    pub environment: BTreeMap<String, String>,
}

/// How an action's programs are started.
#[derive(Debug, Default)]
pub struct Walls {
    /// Commands of the deployment. None: as the deployer, and not sandboxed.
    pub own: Option<StepSandbox>,
    /// What only reads a file of the repository that is a program; sandboxed whatever the phase.
    pub evaluation: Option<StepSandbox>,
}

/// Of a run's environment, what the deployer's own tools get where the deployment has a user of its own: by the run's id their processes are
/// found. The rest may name what that user can write, as a PATH into the release does.
pub fn of_tools(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let known = environment.iter().filter(|(name, _)| name.starts_with("DEPLOYER_"));
    known.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What of a deployment's path a step in this directory may change: the release that it makes, and the directories that releases share. Neither the
/// one that is live, nor the link to it, nor `shared/` itself: there lie the files that releases share, and environment files, which a step
/// could exchange otherwise. In place, all of it.
pub fn made_in(deployment: &Deployment, directory: &Path) -> Vec<PathBuf> {
    let path = &deployment.path;
    let Some(release) = release_of(path, directory) else { return vec![path.to_owned()] };
    let shared = deployment.shared_dirs.iter().map(|shared| path.join("shared").join(shared));
    std::iter::once(release).chain(shared).chain([path.join(CACHES)]).collect()
}

/// The release that a directory is, or lies in.
pub fn release_of(path: &Path, directory: &Path) -> Option<PathBuf> {
    let releases = path.join("releases");
    let release = directory.strip_prefix(&releases).ok()?.iter().next()?;
    Some(releases.join(release))
}

/// Everywhere that a step of a deployment in this directory may write, as the deployer or as a user of its own.
pub fn writable(config: &Config, deployment: &Deployment, directory: &Path) -> Vec<PathBuf> {
    let lent = config.confinement.writable.iter().chain(&deployment.writable).cloned();
    let of_all = [deployment.path.join("releases"), config.state_directory.join(DIRECTORY)];
    made_in(deployment, directory).into_iter().chain(of_all).chain(lent).collect()
}

/// What is to be said of a step that is not confined as it should be.
pub fn shortcoming(enforcement: Enforcement) -> Option<String> {
    let landlock = match enforcement.landlock {
        Landlock::Full => None,
        Landlock::Partial(interface) => Some(format!(
            "the kernel's Landlock has ABI {interface} ({}); all of it needs ABI 6 (Linux 6.12)",
            missing_of_landlock(interface)
        )),
        Landlock::None => Some(
            "the kernel has no Landlock, or it is switched off (Linux 5.13, `lsm=landlock,...`): a step can read and write every file \
             that its user can"
                .to_owned(),
        ),
    };
    let filter = (!enforcement.system_calls).then(|| {
        "system calls are not filtered (no seccomp, an architecture without a list, or a unit that does not allow `seccomp`): a step can \
         change limits and priorities of its user's other programs"
            .to_owned()
    });
    let missing: Vec<String> = [landlock, filter].into_iter().flatten().collect();
    (!missing.is_empty()).then(|| format!("steps are sandboxed only in part: {}", missing.join("; ")))
}

/// What a step can do where Landlock's interface is older than 6.
pub fn missing_of_landlock(interface: u32) -> String {
    let lacks = [
        (2, "hard links and renames between directories always fail"),
        (3, "a step can empty files that it may not write"),
        (5, "ioctl on devices is not judged"),
        (6, "a step can signal its user's other programs and reach their abstract sockets"),
    ];
    let missing: Vec<&str> =
        lacks.into_iter().filter(|(since, _)| interface < *since).map(|(_, what)| what).collect();
    missing.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layout;
    use crate::plan::recipes::sample::with_facts;

    #[test]
    fn the_deployers_tools_get_nothing_that_the_operator_has_set_for_the_deployment() {
        let environment = ["DEPLOYER_RUN", "PATH", "HOME", "NODE_OPTIONS", "XDOTOOL", "LD_PRELOAD"];
        let environment = environment.map(|name| (name.to_owned(), "x".to_owned())).into();
        assert_eq!(of_tools(&environment).into_keys().collect::<Vec<_>>(), ["DEPLOYER_RUN"]);
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
    fn only_what_is_not_enforced_is_told() {
        let with = |landlock, system_calls| Enforcement { landlock, system_calls, control_group: false };
        let said = |landlock, system_calls| shortcoming(with(landlock, system_calls)).unwrap_or_default();
        assert_eq!(shortcoming(with(Landlock::Full, true)), None);
        assert!(said(Landlock::Partial(2), true).contains("ABI 2 (a step can empty files"));
        assert!(said(Landlock::Partial(5), true).contains("ABI 5 (a step can signal"));
        assert!(said(Landlock::None, true).contains("every file that its user can"));
        let both = said(Landlock::None, false);
        assert!(both.contains("every file") && both.contains("not filtered"), "{both}");
    }
}
