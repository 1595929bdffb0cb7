//! What every deployment stands on: configuration, database, programs, GitHub.

use crate::config::{Config, Deployment};
use crate::git::access::Access;
use crate::git::mirror::Mirror;
use crate::github::GitHub;
use crate::github::credentials::Credentials;
use crate::notify::Notifier;
use crate::process::executor::Executor;
use crate::steps::self_update::ThisProcess;
use crate::store::Store;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What every deployment stands on.
#[derive(Clone)]
pub struct Host {
    pub config: Arc<Config>,
    pub store: Store,
    /// How programs are started.
    pub executor: Executor,
    /// Who we are to GitHub.
    pub credentials: Credentials,
    pub github: GitHub,
    /// Runs at once.
    pub slots: Arc<tokio::sync::Semaphore>,
    /// The process that this is.
    pub this_process: Arc<ThisProcess>,
    /// Reports to GitHub.
    pub notifier: Notifier,
}

/// A deployment and what it stands on: what nearly everything in the pipeline is about.
#[derive(Clone, Copy)]
pub struct HostedDeployment<'a> {
    /// Configuration, database, programs, GitHub.
    pub host: &'a Host,
    pub deployment: &'a Deployment,
}

impl<'a> HostedDeployment<'a> {
    /// A deployment of this host.
    pub fn new(host: &'a Host, deployment: &'a Deployment) -> Self {
        Self { host, deployment }
    }
}

impl Host {
    /// The mirror of a deployment's repository.
    pub fn mirror(&self, deployment: &Deployment) -> Mirror {
        let mirrors = self.config.state_directory.join("mirrors");
        let access = Access::new(&self.config, self.credentials.clone(), deployment);
        let (repository, url) = (&deployment.repository, &deployment.clone_url);
        Mirror::new(self.executor.clone(), mirrors, repository, url, access)
    }

    /// The directory that holds the lock files.
    pub fn locks(&self) -> PathBuf {
        self.config.state_directory.join("locks")
    }

    /// The file by which an operator asks for a run to be cancelled; it holds who they are.
    pub fn cancel_request(&self, run: &str) -> PathBuf {
        self.config.state_directory.join("cancel").join(run)
    }

    /// The directory of a deployment's spool, or of the main one.
    pub fn spool_directory(state_directory: &Path, name: &str) -> PathBuf {
        state_directory.join("spool").join(name)
    }

    /// The directory of run logs.
    pub fn logs(&self) -> PathBuf {
        self.config.state_directory.join("logs")
    }
}
