//! A recipe turns facts into a plan. Pure: no I/O, no clock, nothing remembered.
//!
//! To add one: a variant of [`Recipe`], a file here with `fn parts(&Facts, &Settings, &Target) -> Vec<Part>`, and a line in [`plan`].

pub mod deployer;
pub mod go_static;
pub mod nginx_sites;
pub mod pm2;
#[cfg(test)]
pub mod sample;
pub mod steps;
pub mod systemd;
pub mod uv_uwsgi;

use crate::base::names::CommitId;
use crate::config::{Config, Deployment, Layout, Privileges, Recipe};
use crate::git::commit_tree::Tree;
use crate::plan::builder::ORDER;
use crate::plan::{Action, Plan};
use crate::process::sandbox_policy;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a recipe may know.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The deployment.
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
    pub purpose: Purpose,
}

/// A commit and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The commit.
    pub commit: CommitId,
    /// The release's name; in place, a name for the record only.
    pub release: String,
    /// The release's directory; in place, the work tree.
    pub directory: PathBuf,
}

/// Why there is a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Make a release and switch to it.
    Deploy,
    /// Switch to a release that exists.
    Rollback,
}

/// The plan of a deployment's recipe.
pub fn plan(facts: &Facts<'_>) -> Plan {
    let plan = match &facts.deployment.recipe {
        Recipe::Steps(recipe) => {
            crate::plan::builder::plan(facts, ORDER, &|release| steps::parts(facts, recipe, release))
        }
        Recipe::Systemd(recipe) => {
            crate::plan::builder::plan(facts, ORDER, &|release| systemd::parts(facts, recipe, release))
        }
        Recipe::UvUwsgi(recipe) => {
            crate::plan::builder::plan(facts, ORDER, &|release| uv_uwsgi::parts(facts, recipe, release))
        }
        Recipe::GoStatic(recipe) => {
            crate::plan::builder::plan(facts, ORDER, &|release| go_static::parts(facts, recipe, release))
        }
        Recipe::NginxSites(recipe) => {
            crate::plan::builder::plan(facts, ORDER, &|release| nginx_sites::parts(facts, recipe, release))
        }
        Recipe::Pm2(recipe) => crate::plan::builder::plan(facts, pm2::order(recipe), &|release| {
            pm2::parts(facts, recipe, release)
        }),
        Recipe::Deployer(recipe) => {
            crate::plan::builder::plan(facts, ORDER, &|release| deployer::parts(facts, recipe, release))
        }
    };
    Plan { inputs: crate::plan::input_digest::digest(facts), ..plan }
}

/// The name of the step in which this deployer gives its place to a new one.
pub const HAND_OVER: &str = "hand-over";

/// What makes the new release the live one, and whether that includes the operator's health checks.
pub(crate) fn switch(facts: &Facts<'_>) -> (&'static str, Action) {
    match &facts.deployment.recipe {
        Recipe::Deployer(recipe) => (HAND_OVER, deployer::switch(facts, recipe)),
        _ => ("activate", Action::Activate { release: facts.target.release.clone() }),
    }
}

/// Whether a recipe asks for the files of the commit, and can say on which of them a release depends. A command of the operator's may
/// read whatever it likes, the commit's id included.
pub fn reads_files(recipe: &Recipe) -> bool {
    !matches!(recipe, Recipe::Steps(_) | Recipe::Systemd(_) | Recipe::Deployer(_))
}

impl Facts<'_> {
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
