//! What happens to be going on when the daemon is killed.

use crate::support::configuration::{Deployment, text};
use crate::support::repository::Repository;
use crate::support::world::World;
use std::path::PathBuf;

/// The deployment of every scenario.
pub const SLUG: &str = "site";

/// Enough files for a release to be seen half made.
const PARTS: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Nothing is live yet.
    FirstDeploy,
    NextDeploy,
    /// Its build fails, before the switch.
    BuildFails,
    /// Its health check fails, after the switch.
    HealthFails,
    /// Back to the release that was live before.
    Rollback,
    /// The work tree at the deployment's path is changed.
    InPlace,
    /// The same, and its health check fails.
    InPlaceFails,
}

impl Scenario {
    /// Those on whose ways most points lie come first.
    pub const ALL: [Self; 7] = [
        Self::NextDeploy,
        Self::InPlaceFails,
        Self::HealthFails,
        Self::BuildFails,
        Self::Rollback,
        Self::InPlace,
        Self::FirstDeploy,
    ];

    /// How many releases there are before.
    pub fn deploys_before(self) -> usize {
        match self {
            Self::FirstDeploy => 0,
            // So many that the oldest is removed, or gone back to.
            Self::NextDeploy | Self::Rollback => 2,
            _ => 1,
        }
    }

    /// Whether what is asked for becomes live.
    pub fn succeeds(self) -> bool {
        !matches!(self, Self::BuildFails | Self::HealthFails | Self::InPlaceFails)
    }

    pub fn is_in_place(self) -> bool {
        matches!(self, Self::InPlace | Self::InPlaceFails)
    }

    /// The file by which a commit of this scenario makes its deploy fail.
    pub fn poison(self) -> Option<&'static str> {
        match self {
            Self::BuildFails => Some("build-fails"),
            Self::HealthFails | Self::InPlaceFails => Some("health-fails"),
            _ => None,
        }
    }

    /// The deployment: a build that writes down what it built and leaves a process behind, a switch that writes down what it
    /// restarted, and a check.
    pub fn deployment(self, world: &World, repository: &Repository) -> Deployment {
        let build = "echo building; (setsid sleep 600 >/dev/null 2>&1 &); test ! -e build-fails && echo $DEPLOYER_COMMIT > built";
        let restart = format!("echo $DEPLOYER_COMMIT >> '{}'", restarted(world).display());
        let health = "[{ command = [\"test\", \"!\", \"-e\", \"health-fails\"], attempts = 1 }]";
        let deployment = world.deployment(SLUG, repository).with("keep_releases", "2").with("health", health);
        let deployment = match self.is_in_place() {
            true => deployment.with("layout", text("in-place")),
            false => deployment,
        };
        deployment.step("build", "compile", build).step("switch", "restart", &restart)
    }

    /// Where what is live lies.
    pub fn live_directory(self, world: &World) -> PathBuf {
        match self.is_in_place() {
            true => world.path_of(SLUG),
            false => world.path_of(SLUG).join("current"),
        }
    }
}

/// The file to which each restart adds the commit that it was for.
pub fn restarted(world: &World) -> PathBuf {
    world.root().join("restarted")
}

/// A commit and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub commit: String,
    /// Names and contents, sorted.
    pub files: Vec<(String, String)>,
}

impl Version {
    /// Commits a version of which every file is another than in the one before, and one file is new.
    pub fn commit(repository: &Repository, label: &str, poison: Option<&str>) -> Self {
        for entry in fs_err::read_dir(repository.work_tree()).expect("it is there").flatten() {
            let path = entry.path();
            if entry.file_name() == ".git" {
            } else if path.is_dir() {
                fs_err::remove_dir_all(path).expect("it is ours");
            } else {
                fs_err::remove_file(path).expect("it is ours");
            }
        }
        let mut files: Vec<(String, String)> =
            (0..PARTS).map(|part| (format!("part/{part:02}"), format!("{part} of {label}\n"))).collect();
        files.push((format!("only-in-{label}"), String::new()));
        files.extend(poison.map(|name| (name.to_owned(), String::new())));
        files.sort();
        let borrowed: Vec<(&str, &str)> =
            files.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
        let commit = repository.commit(&borrowed, label);
        Self { commit, files }
    }

    /// What its release consists of: its files, and what the build made of them.
    pub fn release(&self) -> Vec<(String, String)> {
        let mut files = self.files.clone();
        files.push(("built".to_owned(), format!("{}\n", self.commit)));
        files.sort();
        files
    }
}
