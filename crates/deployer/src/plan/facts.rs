//! What a recipe may know.

use crate::base::names::CommitId;
use crate::config::recipe::Settings;
use crate::config::{Config, Deployment, Layout, Privileges};
use crate::git::commit_tree::Tree;
use crate::process::sandbox_policy;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a recipe may know.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    pub deployment: &'a Deployment,
    /// How its path is laid out.
    pub layout: Layout,
    /// Where the deployer's own configuration lies.
    pub configuration: &'a Path,
    /// Where the deployer itself was started.
    pub working_directory: &'a Path,
    /// How what needs root is done.
    pub privileges: Privileges,
    /// What the host has.
    pub host: &'a Config,
    /// Whether an operator wants it done whatever speaks against it.
    pub forced: bool,
    /// The files of the commit that is deployed; empty where the recipe does not ask for them.
    pub tree: &'a Tree,
    /// Digests of what is written in the deployment's shared and environment files, by path; likewise.
    pub kept: &'a [(String, String)],
    /// This installation's name, or nothing.
    pub instance: &'a str,
    /// The run's id.
    pub run: &'a str,
    /// What is deployed.
    pub target: Target,
    /// What is live now.
    pub live: Option<Target>,
    /// Why there is a run: a new release, or going back to one that exists.
    pub purpose: PlanPurpose,
}

/// A commit and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub commit: CommitId,
    /// The release's name; in place, a name for the database only.
    pub release: String,
    /// The release's directory; in place, the work tree.
    pub directory: PathBuf,
}

/// Why there is a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanPurpose {
    /// Make a release and switch to it.
    Deploy,
    /// Switch to a release that exists.
    Rollback,
}

impl Facts<'_> {
    /// The settings of the deployment's recipe, for that recipe.
    ///
    /// # Panics
    ///
    /// Where they are another recipe's: a recipe is asked only about deployments that it has read itself.
    pub fn settings<T: Settings>(&self) -> &T {
        self.deployment.recipe.settings().expect("a recipe plans only what it has read")
    }

    /// Where a tool keeps what it has downloaded: on the releases' file system, so that it can link instead of copying, and each
    /// deployment its own, so that none can put something into another one's.
    pub fn cache(&self, tool: &str) -> String {
        sandbox_policy::cache(self.deployment, tool).to_string_lossy().into_owned()
    }

    /// What a command needs to know, with `release` as the one that is, or is to be, live and `before` as the one it follows.
    pub fn environment(&self, release: &Target, before: Option<&Target>) -> BTreeMap<String, String> {
        let deployment = self.deployment;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut environment = BTreeMap::from([
            ("DEPLOYER_DEPLOYMENT".to_owned(), deployment.slug.to_string()),
            ("DEPLOYER_REPOSITORY".to_owned(), deployment.repository.to_string()),
            ("DEPLOYER_BRANCH".to_owned(), deployment.branch.to_string()),
            ("DEPLOYER_PATH".to_owned(), text(&deployment.path)),
            ("DEPLOYER_INSTANCE".to_owned(), self.instance.to_owned()),
            ("DEPLOYER_RUN".to_owned(), self.run.to_owned()),
            ("DEPLOYER_COMMIT".to_owned(), release.commit.to_string()),
            ("DEPLOYER_RELEASE".to_owned(), text(&release.directory)),
            ("DEPLOYER_RELEASE_NAME".to_owned(), release.release.clone()),
        ]);
        if let Some(before) = before {
            environment.insert("DEPLOYER_PREVIOUS_COMMIT".into(), before.commit.to_string());
            environment.insert("DEPLOYER_PREVIOUS_RELEASE".into(), text(&before.directory));
        }
        if let Some(name) = &deployment.instance_name {
            environment.insert("INSTANCE_NAME".into(), name.clone());
        }
        environment
    }
}
