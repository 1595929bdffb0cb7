//! How git is let in: who it says it is, and whom it takes for GitHub.
//!
//! Over https, the credential of [`crate::github::credentials`], if the repository is on GitHub: git is told it through its
//! environment, and only if the server asks, so that a credential that has expired keeps nobody from a public repository. Over
//! ssh, the deployment's key, and for GitHub the host keys that it publishes. Whatever GitHub or a credential is needed for,
//! git is asked in any case: it knows best whether it was needed.
//!
//! A same-named user of the machine can read a process's environment, as it can read the files from which credentials come;
//! others cannot.

use crate::base::names::RepositoryName;
use crate::base::secret::Secret;
use crate::config::{Config, Deployment};
use crate::github::Subject;
use crate::github::credentials::Credentials;
use crate::github::meta::KNOWN_HOSTS_FILE;
use crate::process::executor::{CapturedOutput, Executor};
use crate::process::tools::Invocation;
use crate::process::tools::git::{complaints, login};
use anyhow::Result;
use std::path::PathBuf;
use std::time::Duration;
use supervise::End;
use tokio_util::sync::CancellationToken;

/// See the module. For one deployment.
#[derive(Clone)]
pub struct Access {
    credentials: Credentials,
    deployment: String,
    repository: RepositoryName,
    github_host: String,
    ssh_key_file: Option<PathBuf>,
    known_hosts: PathBuf,
    /// Of which repositories a push may have submodules that need a credential.
    submodule_repositories: Vec<RepositoryName>,
    /// Whether a credential may be used.
    is_let_in: bool,
}

impl Access {
    pub fn new(config: &Config, credentials: Credentials, deployment: &Deployment) -> Self {
        Self {
            deployment: deployment.slug.to_string(),
            ssh_key_file: deployment.ssh_key_file.clone(),
            submodule_repositories: deployment.submodule_repositories.clone(),
            ..Self::of_repository(config, credentials, &deployment.repository)
        }
    }

    /// To a repository that no deployment has yet: with what all deployments have.
    pub fn of_repository(config: &Config, credentials: Credentials, repository: &RepositoryName) -> Self {
        Self {
            credentials,
            deployment: String::new(),
            repository: repository.clone(),
            github_host: config.github.host(),
            ssh_key_file: None,
            known_hosts: config.state_directory.join(KNOWN_HOSTS_FILE),
            submodule_repositories: Vec::new(),
            is_let_in: true,
        }
    }

    /// To a submodule, whose URL a push has written: with a credential only where the operator has named its repository. Else whoever
    /// pushes here would read all that the credential reads.
    pub fn to_submodule(&self, url: &str) -> Self {
        let named = [&self.repository].into_iter().chain(&self.submodule_repositories);
        let found = login::repository_of(url);
        let is_named =
            |found: &str| named.into_iter().any(|named| named.as_str().eq_ignore_ascii_case(found));
        Self { is_let_in: found.is_some_and(is_named), ..self.clone() }
    }

    /// Whose mirrors of submodules are shared with nobody else.
    pub fn deployment(&self) -> &str {
        &self.deployment
    }

    /// Asks git something for which it talks to `url`. A token that is refused is asked for anew, once.
    pub async fn ask(
        &self,
        executor: &Executor,
        invocation: Invocation,
        url: &str,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<CapturedOutput> {
        if login::is_ssh(url) {
            return executor.ask(&self.by_ssh(invocation, url), deadline, cancel).await;
        }
        let with_password = login::with_password(invocation.clone(), url);
        let mut renewed = false;
        loop {
            let (token, trouble) = tokio::select! {
                () = cancel.cancelled() => (None, None),
                found = self.token_for(url) => found,
            };
            let secret = token.as_ref().map(|token| (login::PASSWORD_VARIABLE, token));
            let invocation = if secret.is_some() { &with_password } else { &invocation };
            let mut answer = executor.ask_with(invocation, secret, deadline, cancel).await?;
            let refused = answer.end != End::Exited(0) && complaints::is_refusal(&answer.said);
            if let (true, false, Some(token)) = (refused, renewed, &token)
                && self.credentials.rejected(self.subject(), token).await
            {
                renewed = true;
                continue;
            }
            if let (true, Some(trouble)) = (refused, trouble) {
                answer.complaint = format!("{} ({trouble})", answer.complaint);
            }
            return Ok(answer);
        }
    }

    /// What git complained of, and what to do about it where that is known.
    pub fn explained(&self, executor: &Executor, answer: &CapturedOutput, url: &str) -> String {
        if !self.is_let_in
            && let Some(repository) = login::repository_of(url)
        {
            return format!(
                "{}; it was asked for without a credential, because the operator has not named it\nhint: `submodule_repositories = [{repository:?}]` lets whoever pushes here read it",
                answer.complaint
            );
        }
        match complaints::advice(&answer.said, url, executor.variable("USER").and_then(|user| user.to_str()))
        {
            Some(advice) => format!("{}; {advice}", answer.complaint),
            None => answer.complaint.clone(),
        }
    }

    /// The token for an https repository on GitHub, or why there is none.
    async fn token_for(&self, url: &str) -> (Option<Secret>, Option<String>) {
        if !self.is_let_in || !login::is_on(url, &self.github_host) {
            return (None, None);
        }
        match self.credentials.token(self.subject()).await {
            Ok(token) => (token, None),
            Err(error) => (None, Some(error.reason)),
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject { deployment: Some(&self.deployment), repository: &self.repository }
    }

    fn by_ssh(&self, invocation: Invocation, url: &str) -> Invocation {
        let pinned = (login::is_on(url, &self.github_host) && self.known_hosts.exists())
            .then_some((self.known_hosts.as_path(), self.github_host.as_str()));
        login::with_ssh(
            invocation,
            &login::Ssh { key_file: self.ssh_key_file.as_deref(), no_key: !self.is_let_in, pinned },
        )
    }
}
