//! Who we are to GitHub, for its API and for fetching over https.
//!
//! The first of these that is there: a token of the deployment's own, the GitHub App, the token for all, and what the program
//! `gh` is logged in as (which is how the deployer before this one did it). A credential is asked for each time it is needed:
//! an App's token lasts an hour, and who logs in to `gh` again need not restart us.
//!
//! Absent on purpose: writing a credential anywhere.

use super::Problem;
use super::app::App;
use crate::config::Config;
use crate::deploy::execute::Executor;
use crate::deploy::tools::gh;
use crate::secret::Secret;
use anyhow::Result;
use std::collections::HashMap;
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
    /// By slug.
    of_deployments: HashMap<String, Secret>,
    for_all: ForAll,
}

enum ForAll {
    None,
    Token(Secret),
    App(App),
    Gh(Gh),
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
            (None, None) if github.use_gh && executor.finds(gh::PROGRAM) => ForAll::Gh(Gh {
                executor: executor.clone(),
                host: github.host(),
                answer: tokio::sync::Mutex::default(),
                logged_out: AtomicBool::new(false),
            }),
            (None, None) => ForAll::None,
        };
        let own = config
            .deployments
            .values()
            .filter_map(|deployment| Some((deployment.slug.to_string(), deployment.github_token.clone()?)));
        Ok(Self(Arc::new(Inner { of_deployments: own.collect(), for_all })))
    }

    /// Whether anything can be told to GitHub at all.
    pub fn any(&self) -> bool {
        !matches!(self.0.for_all, ForAll::None) || !self.0.of_deployments.is_empty()
    }

    /// Whether a deployment has a credential, as far as is known without asking anybody.
    pub fn has(&self, deployment: &str) -> bool {
        self.0.of_deployments.contains_key(deployment)
            || match &self.0.for_all {
                ForAll::None => false,
                ForAll::Token(_) | ForAll::App(_) => true,
                ForAll::Gh(gh) => !gh.logged_out.load(Ordering::Relaxed),
            }
    }

    /// The token for a deployment's repository (`owner/name`); None where nothing is configured.
    pub async fn token(&self, deployment: &str, repository: &str) -> Result<Option<Secret>, Problem> {
        if let Some(own) = self.0.of_deployments.get(deployment) {
            return Ok(Some(own.clone()));
        }
        match &self.0.for_all {
            ForAll::None => Ok(None),
            ForAll::Token(token) => Ok(Some(token.clone())),
            ForAll::App(app) => app.token(repository).await.map(Some),
            ForAll::Gh(gh) => gh.token().await.map(Some),
        }
    }

    /// GitHub did not accept the token. Whether there may be another one now.
    pub async fn rejected(&self, deployment: &str, repository: &str, token: &Secret) -> bool {
        match &self.0.for_all {
            _ if self.0.of_deployments.contains_key(deployment) => false,
            ForAll::None | ForAll::Token(_) => false,
            ForAll::App(app) => {
                app.rejected(repository, token).await;
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
    async fn token(&self) -> Result<Secret, Problem> {
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
            "`gh` has no token: nothing is told to GitHub; log in with `gh auth login`, or set `[github] token_file`"
        );
        None
    }

    fn nobody(&self) -> Problem {
        Problem::now(format!("`gh` is not logged in to {}", self.host))
    }
}
