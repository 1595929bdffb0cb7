//! What is done about a push: from an entry in a deployment's spool to a release that is live, or to the old one that still is.
//!
//! [`worker`] takes entries ([`order`]) and decides ([`situation`]) what is worth a run; its end is an [`outcome`]; a recipe ([`recipes`], pure) turns the facts into a
//! [`plan`]; [`run`] carries it out, records it and, if it fails, takes it back. [`release`] knows the
//! directories and [`mirror`] the commits ([`access`] how git may have them), [`health`] asks whether it is alive, [`gap`] how
//! long it was not, [`confinement`] says what a step may touch, [`hand_over`] replaces the deployer itself, [`tools`] knows how programs are called, and [`execute`] calls them. [`claim`]
//! keeps others out of a deployment's directory.

use crate::config::{Config, Deployment};
use crate::github::GitHub;
use crate::github::credentials::Credentials;
use crate::store::Store;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What every deployment stands on.
#[derive(Clone)]
pub struct Host {
    /// Everything configured.
    pub config: Arc<Config>,
    /// The record.
    pub store: Store,
    /// How programs are started.
    pub executor: crate::process::executor::Executor,
    /// Who we are to GitHub.
    pub credentials: Credentials,
    /// GitHub's API.
    pub github: GitHub,
    /// Runs at once.
    pub slots: Arc<tokio::sync::Semaphore>,
    /// The process that this is.
    pub oneself: Arc<crate::steps::self_update::Oneself>,
    /// Wakes `record::report`: there is something to tell. Only a hint.
    pub told: Arc<tokio::sync::Notify>,
}

impl Host {
    /// The mirror of a deployment's repository.
    pub fn mirror(&self, deployment: &Deployment) -> crate::git::mirror::Mirror {
        let mirrors = self.config.state_directory.join("mirrors");
        let access = crate::git::access::Access::new(&self.config, self.credentials.clone(), deployment);
        let (repository, url) = (&deployment.repository, &deployment.clone_url);
        crate::git::mirror::Mirror::new(self.executor.clone(), mirrors, repository, url, access)
    }

    /// The directory that holds the lock files.
    pub fn locks(&self) -> PathBuf {
        self.config.state_directory.join("locks")
    }

    /// The directory of a deployment's spool, or of the main one.
    pub fn spool_directory(state_directory: &Path, name: &str) -> PathBuf {
        state_directory.join("spool").join(name)
    }

    /// The directory of run logs.
    pub fn logs(&self) -> PathBuf {
        self.config.state_directory.join("logs")
    }

    /// Where people see a run.
    pub fn run_url(&self, run: &str) -> String {
        format!("{}/runs/{run}", self.config.origin)
    }
}
