//! `webhook`: the hooks at GitHub that deliver here, from their making to their end.
//!
//! Every command works on all configured repositories or on one. Whatever goes wrong with one of them is said, with what to do
//! about it, and the others are done all the same. A secret is never printed unless asked for, and never in an argument list:
//! it goes from its file to GitHub in the body of a request.
//!
//! The database is not needed here, on purpose: a hook can be made before the daemon has ever run.

pub mod arguments;
mod create;
mod deliveries;
mod relay;
mod report;
mod rotate;

use super::session;
use crate::base::names::{RepositoryName, Slug};
use crate::base::secret::Secret;
use crate::config::{self, Config, Environment, Loaded, Purpose};
use crate::daemon;
use crate::github::GitHub;
use crate::github::credentials::Credentials;
use crate::github::error::ApiError;
use crate::github::hook_faults::{events, events_missing, faults};
use crate::github::hooks::Hook;
use crate::plan::recipes::REFERENCE;
use crate::process::step_user;
use crate::terminal::failed::Failed;
use crate::terminal::output::table;
use anyhow::anyhow;
use arguments::{DeleteArguments, WebhookArguments, WebhookCommand, WhichArguments};
use report::WebhookReport;
use serde_json::json;
use std::path::Path;

pub async fn run(
    directory: Option<&Path>,
    environment: &Environment,
    arguments: &WebhookArguments,
) -> Result<(), Failed> {
    let open = |url: Option<&str>| {
        Webhooks::new(session::load(directory, environment, Purpose::Serve)?, environment, url)
    };
    match &arguments.command {
        WebhookCommand::Create(arguments) => {
            let loaded = load_making_secrets(directory, environment)?;
            create::create(&Webhooks::new(loaded, environment, arguments.url.as_deref())?, arguments).await
        }
        WebhookCommand::List(which) => list(&open(which.url.as_deref())?, which).await,
        WebhookCommand::Show(which) => show(&open(which.url.as_deref())?, which).await,
        WebhookCommand::Ping(which) => ping(&open(which.url.as_deref())?, which).await,
        WebhookCommand::Test(which) => test(&open(which.url.as_deref())?, which).await,
        WebhookCommand::Deliveries(arguments) => {
            deliveries::list(&open(arguments.which.url.as_deref())?, arguments).await
        }
        WebhookCommand::Redeliver(arguments) => {
            deliveries::redeliver(&open(arguments.url.as_deref())?, arguments).await
        }
        WebhookCommand::RotateSecret(arguments) => {
            rotate::rotate(&open(arguments.url.as_deref())?, arguments).await
        }
        WebhookCommand::Delete(arguments) => delete(&open(arguments.url.as_deref())?, arguments).await,
        WebhookCommand::Relay(arguments) => relay::relay(&open(arguments.url.as_deref())?, arguments).await,
    }
}

/// The configuration, also where the file of a webhook secret is named and not there yet: it is about to be made.
fn load_making_secrets(directory: Option<&Path>, environment: &Environment) -> Result<Loaded, Failed> {
    let loaded = config::load_making_secrets(&REFERENCE, directory, environment, &Secret::generate);
    loaded.inspect(|loaded| session::print(&loaded.problems)).map_err(|problems| {
        session::print(&problems);
        Failed::because(anyhow!("the configuration cannot be used"))
            .hint("`durhack-deployer config reference` lists every key")
    })
}

/// What every `webhook` command works with.
struct Webhooks {
    loaded: Loaded,
    github: GitHub,
    /// Where our hooks deliver to.
    url: String,
}

impl Webhooks {
    fn new(mut loaded: Loaded, environment: &Environment, url: Option<&str>) -> Result<Self, Failed> {
        // Whoever gives this command a token means that one: the daemon's App need not be allowed to manage webhooks.
        if config::GITHUB_TOKEN_VARIABLES.iter().any(|name| environment.get(name).is_some()) {
            loaded.config.github.app = None;
        }
        let config = &loaded.config;
        if !step_user::is_anothers(&config.state_directory) {
            daemon::prepare_state_directory(&config.state_directory)?;
        }
        let credentials = Credentials::new(config, &daemon::executor(config, environment))?;
        if !credentials.any() {
            let hint = "write `app_id` and `app_key_file`, or `token_file`, into [github], or set GITHUB_TOKEN; it needs the right to manage webhooks";
            return Err(Failed::because(anyhow!("there is no credential for GitHub's API")).hint(
                match step_user::is_anothers(&config.state_directory) {
                    true => format!("{hint}; root's `gh` is not asked for another user's installation"),
                    false => hint.to_owned(),
                },
            ));
        }
        let github = GitHub::new(&config.github, credentials)?;
        let url = match url {
            Some(url) => {
                config::reading::values::addresses::http_url(url)
                    .map_err(|wrong| Failed::because(anyhow!("{url:?}: {wrong}")))?;
                url.to_owned()
            }
            None => config.webhook_url(),
        };
        Ok(Self { loaded, github, url })
    }

    fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// The configured repositories, or the named one of them.
    fn repositories(&self, named: Option<&str>) -> Result<Vec<RepositoryName>, Failed> {
        let mut all: Vec<RepositoryName> = Vec::new();
        for deployment in self.config().deployments.values() {
            if !all.contains(&deployment.repository) {
                all.push(deployment.repository.clone());
            }
        }
        let Some(named) = named else { return Ok(all) };
        let by_slug = Slug::parse(named).ok().and_then(|slug| self.config().deployments.get(&slug));
        let by_slug = by_slug.map(|deployment| deployment.repository.clone());
        let found =
            by_slug.or_else(|| all.iter().find(|known| known.as_str().eq_ignore_ascii_case(named)).cloned());
        found.map(|found| vec![found]).ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(RepositoryName::as_str).collect();
            Failed::not_found(format!("no deployment has the repository {named:?}"))
                .hint(format!("configured are: {}", known.join(", ")))
        })
    }

    /// The hook that delivers to our URL, or the one with this number.
    async fn hook(&self, repository: &RepositoryName, number: Option<i64>) -> Result<Option<Hook>, ApiError> {
        let hooks = self.github.hooks(repository).await?;
        Ok(hooks.into_iter().find(|hook| match number {
            Some(number) => hook.id == number,
            None => self.is_ours(hook),
        }))
    }

    fn is_ours(&self, hook: &Hook) -> bool {
        hook.delivers_to(&self.url)
    }

    /// Whether it delivers to this instance, under whatever path.
    fn is_live(&self, hook: &Hook) -> bool {
        let rest = hook.config.url.strip_prefix(self.config().origin.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
    }

    /// Asks for each hook; says where there is none, and what GitHub answers instead.
    async fn each_hook(
        &self,
        which: &WhichArguments,
        mut work: impl AsyncFnMut(&RepositoryName, Hook, &mut WebhookReport) -> Result<(), ApiError>,
    ) -> Result<WebhookReport, Failed> {
        let mut report = WebhookReport::new(which.json);
        for repository in self.repositories(which.repository.as_deref())? {
            let done = match self.hook(&repository, which.hook).await {
                Ok(Some(hook)) => work(&repository, hook, &mut report).await,
                Ok(None) => {
                    report.missing(&repository, &self.missing(which.hook));
                    Ok(())
                }
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                report.api_error(&repository, &error);
            }
        }
        Ok(report)
    }

    /// What a hook of this repository has to deliver.
    fn events(&self, repository: &RepositoryName) -> Vec<&'static str> {
        events(self.config(), repository)
    }

    /// What of that a hook does not deliver.
    fn events_missing(&self, repository: &RepositoryName, hook: &Hook) -> Option<String> {
        events_missing(self.config(), repository, hook)
    }

    /// What keeps a hook from doing what it is for.
    fn faults(&self, repository: &RepositoryName, hook: &Hook) -> Vec<String> {
        let mut faults = faults(self.config(), repository, hook);
        if hook.last_response.code.is_some_and(|code| !(200..300).contains(&code)) {
            let message = hook.last_response.message.as_deref().unwrap_or_default();
            faults.push(format!("its last delivery failed: {message}"));
        }
        faults
    }

    fn missing(&self, number: Option<i64>) -> String {
        match number {
            Some(number) => {
                format!("there is no hook {number}; `durhack-deployer webhook list` shows those that are")
            }
            None => format!("no hook delivers to {}; `durhack-deployer webhook create` makes one", self.url),
        }
    }
}

async fn list(webhooks: &Webhooks, which: &WhichArguments) -> Result<(), Failed> {
    let mut report = WebhookReport::new(which.json);
    let (mut rows, mut notes) = (Vec::new(), Vec::new());
    for repository in webhooks.repositories(which.repository.as_deref())? {
        let hooks = match webhooks.github.hooks(&repository).await {
            Ok(hooks) => hooks,
            Err(error) => {
                report.api_error(&repository, &error);
                continue;
            }
        };
        for hook in hooks.iter().filter(|hook| which.hook.is_none_or(|number| hook.id == number)) {
            let ours = webhooks.is_ours(hook);
            rows.push(vec![
                repository.to_string(),
                hook.id.to_string(),
                if ours { "yes" } else { "no" }.to_owned(),
                if hook.active { "yes" } else { "no" }.to_owned(),
                hook.events.join(","),
                hook.last_response.code.map_or("-".to_owned(), |code| code.to_string()),
                hook.config.url.clone(),
            ]);
            let missing = webhooks.events_missing(&repository, hook).filter(|_| ours);
            notes
                .extend(missing.as_ref().map(|missing| format!("{repository}: hook {}: {missing}", hook.id)));
            report.entry(json!({ "repository": repository, "ours": ours, "hook": hook, "faults": Vec::from_iter(missing) }));
        }
    }
    if !which.json && !rows.is_empty() {
        table(&["REPOSITORY", "HOOK", "OURS", "ACTIVE", "EVENTS", "ANSWERED", "URL"], &rows, None);
    }
    notes.iter().for_each(|note| report.say(note));
    report.end()
}

async fn show(webhooks: &Webhooks, which: &WhichArguments) -> Result<(), Failed> {
    let report = webhooks.each_hook(which, async |repository, hook, report| {
        let faults = webhooks.faults(repository, &hook);
        report.say(&format!(
            "{repository}: hook {}\n  url      {}\n  events   {}\n  content  {}\n  active   {}\n  made     {}, changed {}\n  answered {}",
            hook.id,
            hook.config.url,
            hook.events.join(", "),
            hook.config.content_type,
            if hook.active { "yes" } else { "no" },
            hook.created_at,
            hook.updated_at,
            hook.last_response.code.map_or("nothing was delivered yet".to_owned(), |code| code.to_string()),
        ));
        for fault in &faults {
            report.say(&format!("  fault    {fault}"));
        }
        report.entry(json!({ "repository": repository, "ours": webhooks.is_ours(&hook), "hook": hook, "faults": faults }));
        Ok(())
    });
    report.await?.end()
}

async fn ping(webhooks: &Webhooks, which: &WhichArguments) -> Result<(), Failed> {
    let report = webhooks.each_hook(which, async |repository, hook, report| {
        webhooks.github.ping_hook(repository, hook.id).await?;
        report.done(repository, hook.id, "GitHub delivers a ping");
        Ok(())
    });
    report.await?.end_with("`durhack-deployer webhook deliveries` shows what was answered")
}

async fn test(webhooks: &Webhooks, which: &WhichArguments) -> Result<(), Failed> {
    let report = webhooks.each_hook(which, async |repository, hook, report| {
        webhooks.github.test_hook(repository, hook.id).await?;
        report.done(repository, hook.id, "GitHub delivers the latest push again, if there was one");
        Ok(())
    });
    report.await?.end_with("`durhack-deployer webhook deliveries` shows what was answered")
}

async fn delete(webhooks: &Webhooks, arguments: &DeleteArguments) -> Result<(), Failed> {
    let which = WhichArguments {
        repository: Some(arguments.repository.clone()),
        hook: arguments.hook,
        url: arguments.url.clone(),
        json: arguments.json,
    };
    let report = webhooks.each_hook(&which, async |repository, hook, report| {
        if webhooks.is_live(&hook) && !arguments.force {
            let message =
                format!("hook {} delivers to {}: this instance lives on it", hook.id, hook.config.url);
            report.failed(
                repository,
                &message,
                Some("--force removes it all the same; pushes reach nobody then"),
            );
            return Ok(());
        }
        webhooks.github.delete_hook(repository, hook.id).await?;
        report.done(repository, hook.id, &format!("removed; it delivered to {}", hook.config.url));
        Ok(())
    });
    report.await?.end()
}
