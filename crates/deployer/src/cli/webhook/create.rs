//! `webhook create`: a hook for every repository that has none yet, signed with the secret that the daemon accepts.
//!
//! The secret is the configured one. If its file is named and not there, it is made. If none is configured at all, one is
//! made, and no hook: GitHub would sign with what nobody accepts. The operator configures it and asks again.

use super::Webhooks;
use super::arguments::CreateArguments;
use super::report::WebhookReport;
use crate::base::files::private_file;
use crate::base::names::RepositoryName;
use crate::base::secret::Secret;
use crate::cli::simulate::secret_of;
use crate::config::is_known_secret;
use crate::config::reading::values::addresses::is_loopback;
use crate::github::error::{ApiError, ErrorKind};
use crate::github::hooks::Hook;
use crate::terminal::failed::Failed;
use anyhow::anyhow;
use serde_json::json;
use std::path::{Path, PathBuf};

pub async fn create(webhooks: &Webhooks, arguments: &CreateArguments) -> Result<(), Failed> {
    check_reachable(&webhooks.url)?;
    let mut report = WebhookReport::new(arguments.json);
    for repository in webhooks.repositories(arguments.repository.as_deref())? {
        let secret =
            secret_of(webhooks.config(), &repository).filter(|secret| !is_known_secret(secret.expose()));
        let Some(secret) = secret else { return Err(make_first_secret(webhooks, &repository, arguments)?) };
        if let Some(file) = absent_file(webhooks, &repository) {
            private_file::create(
                &file,
                &format!("{}\n", secret.expose()),
                &webhooks.config().state_directory,
            )?;
            report.say(&format!("a new secret is in {}", file.display()));
        }
        match one(webhooks, &repository, secret).await {
            Ok((hook, made)) => show(webhooks, &repository, &hook, made, &mut report),
            Err(error) => report.api_error(&repository, &error),
        }
        if arguments.show_secret {
            report.say(&format!("  secret   {}", secret.expose()));
            report.entry(json!({ "repository": repository, "secret": secret.expose() }));
        }
    }
    report.end()
}

/// The hook, and whether it was made now.
async fn one(
    webhooks: &Webhooks,
    repository: &RepositoryName,
    secret: &Secret,
) -> Result<(Hook, bool), ApiError> {
    if let Some(hook) = webhooks.hook(repository, None).await? {
        return Ok((hook, false));
    }
    match webhooks.github.create_hook(repository, &webhooks.url, secret, &webhooks.events(repository)).await {
        Ok(hook) => Ok((hook, true)),
        // Made meanwhile, or by a request whose answer was lost.
        Err(error) if matches!(error.kind, ErrorKind::Refused | ErrorKind::Unreachable) => {
            match webhooks.hook(repository, None).await {
                Ok(Some(hook)) => Ok((hook, false)),
                _ => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

fn show(
    webhooks: &Webhooks,
    repository: &RepositoryName,
    hook: &Hook,
    made: bool,
    report: &mut WebhookReport,
) {
    let word = if made { "made" } else { "is there already" };
    report.say(&format!(
        "{repository}: hook {} {word}: {} as {} to {}",
        hook.id,
        hook.events.join(", "),
        hook.config.content_type,
        hook.config.url
    ));
    let faults = webhooks.faults(repository, hook);
    for fault in &faults {
        report.say(&format!("  fault    {fault}"));
    }
    if !made {
        report
            .say("  its secret was left as it is; `durhack-deployer webhook rotate-secret` gives it another");
    }
    report.entry(json!({ "repository": repository, "made": made, "hook": hook, "faults": faults }));
}

/// GitHub cannot deliver to this machine by its own name for itself.
fn check_reachable(url: &str) -> Result<(), Failed> {
    let host =
        url.parse::<http::Uri>().ok().and_then(|url| url.host().map(str::to_owned)).unwrap_or_default();
    if is_loopback(&host) {
        return Err(Failed::because(anyhow!("GitHub cannot deliver to {url}"))
            .hint("configure `origin`, or name the public address by --url; in development use any address by --url, and `webhook relay`"));
    }
    Ok(())
}

/// The file that is configured to hold the secret, and does not exist.
fn absent_file(webhooks: &Webhooks, repository: &RepositoryName) -> Option<PathBuf> {
    let intake = &webhooks.config().intake;
    let files = intake.repository_secret_files.get(repository).unwrap_or(&intake.secret_files);
    files.current.clone().filter(|file| !file.exists())
}

/// Makes a secret that is not configured yet, and gives what to do about that.
fn make_first_secret(
    webhooks: &Webhooks,
    repository: &RepositoryName,
    arguments: &CreateArguments,
) -> Result<Failed, Failed> {
    let own = webhooks.config().intake.repository_secrets.contains_key(repository);
    let (table, key) = match own {
        true => (format!("[repositories.{:?}]\n", repository.as_str()), "webhook_secret_file"),
        false => (String::new(), "webhook_secret_token_file"),
    };
    let file =
        arguments.secret_file.clone().unwrap_or_else(|| webhooks.loaded.directory.join("webhook-secret"));
    let file = std::path::absolute(&file).map_err(|error| Failed::because(anyhow!(error)))?;
    let secret = Secret::generate();
    let made =
        private_file::create(&file, &format!("{}\n", secret.expose()), &webhooks.config().state_directory)?;
    if made && arguments.show_secret {
        print_line!("{}", secret.expose());
    }
    let word = if made { "a new one is in" } else { "there is one in" };
    Ok(Failed::because(anyhow!(
        "no webhook secret is configured for {repository}; {word} {}",
        file.display()
    ))
    .hint(format!(
        "write\n{table}{key} = {}\ninto the configuration, restart the daemon, and ask again",
        toml_text(&file)
    )))
}

/// A path as TOML.
fn toml_text(path: &Path) -> String {
    json!(path.display().to_string()).to_string()
}
