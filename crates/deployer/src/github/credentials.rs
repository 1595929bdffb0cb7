//! Who we are to GitHub, for its API and for fetching over https.
//!
//! The first of these that is there: a token of the deployment's own, the GitHub App, the token for all, and what the program
//! `gh` is logged in as (which is how the deployer before this one did it). A credential is asked for each time it is needed:
//! an App's token lasts an hour, and who logs in to `gh` again need not restart us.
//!
//! Absent on purpose: writing a credential anywhere.

use super::Subject;
use super::app::App;
use super::error::{ApiError, ErrorKind};
use super::rights::Installation;
use crate::base::names::RepositoryName;
use crate::base::secret::Secret;
use crate::config::Config;
use crate::process::executor::Executor;
use crate::process::step_user::is_anothers;
use crate::process::tools::gh;
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use supervise::End;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// `gh auth token` reads a file or asks a key ring.
const GH_TIMEOUT: Duration = Duration::from_secs(10);

/// Before `gh` is asked again after it had no answer.
const GH_PAUSE: Duration = Duration::from_secs(60);

/// All of them. Clones are the same.
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

struct Inner {
    /// In the configuration's order.
    of_deployments: Vec<Own>,
    for_all: ForAll,
}

/// A deployment's own token.
struct Own {
    slug: String,
    repository: RepositoryName,
    token: Secret,
}

enum ForAll {
    None,
    Token(Secret),
    App(App),
    Gh(Gh),
}

/// What is there for all deployments without a token of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    None,
    Token,
    /// The GitHub App.
    App,
    /// The account that `gh` is logged in to.
    Gh,
}

/// The program `gh`.
struct Gh {
    executor: Executor,
    /// Whose token is asked for: one of another host is never sent to ours.
    host: String,
    answer: tokio::sync::Mutex<Option<GhAnswer>>,
    /// The last answer was that nobody is logged in.
    logged_out: AtomicBool,
}

struct GhAnswer {
    token: Option<Secret>,
    at: Instant,
}

impl Credentials {
    /// Those of the configuration; `gh` where there is nothing else and the program is there.
    pub fn new(config: &Config, executor: &Executor) -> Result<Self> {
        let github = &config.github;
        let for_all = match (&github.app, &github.token) {
            (Some(app), _) => ForAll::App(App::new(app.clone(), github)?),
            (None, Some(token)) => ForAll::Token(token.clone()),
            // Whoever `gh` knows is somebody else for each user: root's is not the service's.
            (None, None) if is_anothers(&config.state_directory) => ForAll::None,
            (None, None) if github.use_gh && executor.find(gh::PROGRAM).is_some() => ForAll::Gh(Gh {
                executor: executor.clone(),
                host: github.host(),
                answer: tokio::sync::Mutex::default(),
                logged_out: AtomicBool::new(false),
            }),
            (None, None) => ForAll::None,
        };
        let own = config.deployments.values().filter_map(|deployment| {
            let (slug, repository) = (deployment.slug.to_string(), deployment.repository.clone());
            Some(Own { slug, repository, token: deployment.github_token.clone()? })
        });
        Ok(Self(Arc::new(Inner { of_deployments: own.collect(), for_all })))
    }

    /// Whether anything can be told to GitHub at all.
    pub fn any(&self) -> bool {
        !matches!(self.0.for_all, ForAll::None) || !self.0.of_deployments.is_empty()
    }

    /// Whether a deployment has a credential, as far as is known without asking anybody.
    pub fn has(&self, deployment: &str) -> bool {
        self.0.of_deployments.iter().any(|own| own.slug == deployment)
            || match &self.0.for_all {
                ForAll::None => false,
                ForAll::Token(_) | ForAll::App(_) => true,
                ForAll::Gh(gh) => !gh.logged_out.load(Ordering::Relaxed),
            }
    }

    /// What is there for all.
    pub fn kind_for_all(&self) -> CredentialKind {
        match &self.0.for_all {
            ForAll::None => CredentialKind::None,
            ForAll::Token(_) => CredentialKind::Token,
            ForAll::App(_) => CredentialKind::App,
            ForAll::Gh(_) => CredentialKind::Gh,
        }
    }

    /// The App's installation for a repository; None where there is no App.
    pub async fn installation(&self, repository: &RepositoryName) -> Option<Result<Installation, ApiError>> {
        match &self.0.for_all {
            ForAll::App(app) => Some(app.installation(repository.as_str()).await),
            ForAll::None | ForAll::Token(_) | ForAll::Gh(_) => None,
        }
    }

    /// The deployments that have a token of their own.
    pub fn owners(&self) -> impl Iterator<Item = &str> {
        self.0.of_deployments.iter().map(|own| own.slug.as_str())
    }

    /// The deployment whose own token is used; None: what is there for all.
    pub fn owner(&self, subject: Subject<'_>) -> Option<&str> {
        self.own(subject).map(|own| own.slug.as_str())
    }

    /// What is about no deployment of a repository but about itself is asked with the token of one of them only where nothing is
    /// configured for all.
    fn own(&self, Subject { deployment, repository }: Subject<'_>) -> Option<&Own> {
        let mut own = self.0.of_deployments.iter();
        match (deployment, &self.0.for_all) {
            (Some(deployment), _) => own.find(|own| own.slug == deployment),
            (None, ForAll::None | ForAll::Gh(_)) => own.find(|own| own.repository == *repository),
            (None, ForAll::Token(_) | ForAll::App(_)) => None,
        }
    }

    /// The token for what is asked; None where nothing is configured.
    pub async fn token(&self, subject: Subject<'_>) -> Result<Option<Secret>, ApiError> {
        if let Some(own) = self.own(subject) {
            return Ok(Some(own.token.clone()));
        }
        match &self.0.for_all {
            ForAll::None => Ok(None),
            ForAll::Token(token) => Ok(Some(token.clone())),
            ForAll::App(app) => app.token(subject.repository.as_str()).await.map(Some),
            ForAll::Gh(gh) => gh.token().await.map(Some),
        }
    }

    /// GitHub did not accept the token. Whether there may be another one now.
    pub async fn rejected(&self, subject: Subject<'_>, token: &Secret) -> bool {
        match &self.0.for_all {
            _ if self.own(subject).is_some() => false,
            ForAll::None | ForAll::Token(_) => false,
            ForAll::App(app) => {
                app.rejected(subject.repository.as_str(), token).await;
                true
            }
            ForAll::Gh(gh) => {
                gh.rejected(token).await;
                true
            }
        }
    }
}

impl Gh {
    async fn token(&self) -> Result<Secret, ApiError> {
        let mut answer = self.answer.lock().await;
        if let Some(known) = answer.as_ref() {
            match &known.token {
                Some(token) => return Ok(token.clone()),
                None if known.at.elapsed() < GH_PAUSE => return Err(self.nobody()),
                None => {}
            }
        }
        let token = self.ask().await;
        self.logged_out.store(token.is_none(), Ordering::Relaxed);
        *answer = Some(GhAnswer { token: token.clone(), at: Instant::now() });
        token.ok_or_else(|| self.nobody())
    }

    async fn rejected(&self, token: &Secret) {
        let mut answer = self.answer.lock().await;
        let same =
            |known: &GhAnswer| known.token.as_ref().is_some_and(|known| known.expose() == token.expose());
        if answer.as_ref().is_some_and(same) {
            *answer = None;
        }
    }

    async fn ask(&self) -> Option<Secret> {
        let asked =
            self.executor.ask(&gh::auth_token(&self.host), GH_TIMEOUT, &CancellationToken::new()).await;
        let reason = match asked {
            Ok(answer) if answer.end == End::Exited(0) => match gh::token_in(&answer.output) {
                Some(token) => return Some(token),
                None => "it printed no token".to_owned(),
            },
            Ok(answer) => answer.complaint,
            Err(error) => format!("{error:#}"),
        };
        tracing::warn!(
            host = self.host,
            reason,
            "`gh` has no token: nothing is reported to GitHub; log in with `gh auth login`, or set `[github] token_file`"
        );
        None
    }

    fn nobody(&self) -> ApiError {
        let reason = format!("`gh` is not logged in to {}", self.host);
        ApiError { kind: ErrorKind::Unauthorised, reason, after: None }
    }
}
