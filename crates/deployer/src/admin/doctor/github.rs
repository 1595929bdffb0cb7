//! GitHub: each credential, the hooks that deliver here, and its clock beside ours. Nothing is written there.

use super::context::DoctorContext;
use super::finding::{CheckResult, Finding, FindingLevel, or_ok};
use super::rights::{self, Needs};
use crate::admin::host::paths;
use crate::base::clock::now_ms;
use crate::base::names::RepositoryName;
use crate::config::{Config, Deployment, SourceNetworks};
use crate::github::credentials::CredentialKind;
use crate::github::error::{ApiError, ErrorKind};
use crate::github::hook_faults::faults;
use crate::github::hooks::Delivery;
use crate::github::meta::{KNOWN_HOSTS_FILE, META_FILE, Meta};
use crate::github::{GitHub, Subject};
use crate::process::tools::git::login;
use anyhow::Result;
use std::time::Duration;

/// Repositories of one credential that are asked for: more would take longer than a check may.
const REPOSITORIES_MAX: usize = 20;

/// GitHub's statements of an App are good for ten minutes; a clock that is wrong by one is on its way.
const CLOCK_DRIFT_MAX: Duration = Duration::from_secs(60);

/// Who asks, and for which repositories.
struct Identity<'a> {
    name: String,
    /// Whose own token it is.
    deployment: Option<&'a str>,
    kind: CredentialKind,
    repositories: Vec<&'a RepositoryName>,
    needs: Needs,
}

impl<'a> Identity<'a> {
    fn subject(&self, repository: &'a RepositoryName) -> Subject<'a> {
        Subject { deployment: self.deployment, repository }
    }

    fn of(
        name: &str,
        kind: CredentialKind,
        own: Option<&'a str>,
        users: &[&'a Deployment],
        config: &Config,
    ) -> Self {
        let mut repositories: Vec<&RepositoryName> = Vec::new();
        for deployment in users {
            if !repositories.contains(&&deployment.repository) {
                repositories.push(&deployment.repository);
            }
        }
        let checks = users.iter().any(|deployment| !deployment.gates.checks.is_empty());
        let needs = Needs { deployments: config.github.deployments, checks };
        Self { name: name.to_owned(), deployment: own, kind, repositories, needs }
    }
}

fn identities(context: &DoctorContext) -> Result<Vec<Identity<'_>>> {
    let config = context.config()?;
    let (_, credentials) = context.github()?;
    let (own, general): (Vec<&Deployment>, Vec<&Deployment>) =
        context.deployments()?.partition(|deployment| deployment.github_token.is_some());
    let mut identities = Vec::new();
    let kind = match credentials.kind_for_all() {
        CredentialKind::None if context.service_asks_gh()? => CredentialKind::Gh,
        kind => kind,
    };
    let name = match kind {
        CredentialKind::None => None,
        CredentialKind::Token => Some("the token for all"),
        CredentialKind::App => Some("the GitHub App"),
        CredentialKind::Gh => Some("the account of `gh`"),
    };
    if let (Some(name), false) = (name, general.is_empty()) {
        // Without a deployment named, so that it is asked as what is there for all; any of these would lead there.
        let first = general.first().map(|deployment| deployment.slug.as_str());
        identities.push(Identity::of(name, kind, first, &general, config));
    }
    for deployment in own {
        let name = format!("the token of {}", deployment.slug);
        let slug = Some(deployment.slug.as_str());
        identities.push(Identity::of(&name, CredentialKind::Token, slug, &[deployment], config));
    }
    Ok(identities)
}

/// Where the package is installed the service is handed the token, wherever else it lies for others.
fn how_to_give_a_credential() -> String {
    let others =
        "write `token_file` or `app_id` and `app_key_file` into [github] (README, \"Commit statuses\")";
    match paths::has_services() {
        true => format!(
            "put a token into {}, and call `sudo durhack-deployer setup`; or {others}",
            paths::GITHUB_TOKEN
        ),
        false => others.to_owned(),
    }
}

/// Each credential: whether it works, what it may, and when it ends.
pub async fn credentials(context: &DoctorContext) -> CheckResult {
    let (github, _) = context.github()?;
    let identities = identities(context)?;
    if identities.is_empty() {
        return Ok(vec![Finding::warning(
            "there is no credential: nothing is reported to GitHub, and only public repositories can be fetched over https",
            how_to_give_a_credential(),
        )]);
    }
    let mut findings = Vec::new();
    for identity in &identities {
        // Whoever `gh` knows is somebody else for each user.
        if identity.kind == CredentialKind::Gh && !context.is_service() {
            findings.push(Finding::not_checked(format!(
                "{}: only {} has it; `sudo -u {} durhack-deployer doctor` looks",
                identity.name, context.service.name, context.service.name
            )));
            continue;
        }
        for mut finding in of_identity(github, identity).await {
            finding.what = format!("{}: {}", identity.name, finding.what);
            findings.push(finding);
        }
    }
    Ok(findings)
}

async fn of_identity(github: &GitHub, identity: &Identity<'_>) -> Vec<Finding> {
    let Some(first) = identity.repositories.first() else { return Vec::new() };
    let token = match github.token(identity.subject(first)).await {
        Ok(token) => token,
        Err(error) => return without_token(github, identity, first, &error).await,
    };
    let mut findings = rights::of_token(&token, now_ms());
    if let Some(scopes) = &token.scopes {
        findings.extend(rights::of_scopes(scopes, identity.needs));
    }
    for repository in identity.repositories.iter().take(REPOSITORIES_MAX) {
        let found = match identity.kind {
            CredentialKind::App => of_installation(github, repository, identity.needs).await,
            CredentialKind::None | CredentialKind::Token | CredentialKind::Gh => {
                of_repository(github, identity, repository, token.scopes.is_some()).await
            }
        };
        findings.extend(found);
    }
    if let Some(further) =
        identity.repositories.len().checked_sub(REPOSITORIES_MAX).filter(|further| *further > 0)
    {
        findings.push(Finding::not_checked(format!("{further} further repositories")));
    }
    let quota =
        token.quota.map(|(left, whole)| format!(", {left} of {whole} requests left")).unwrap_or_default();
    let number = identity.repositories.len();
    let unseen = match (identity.kind, &token.scopes) {
        (CredentialKind::Token | CredentialKind::Gh, None) => {
            "; GitHub does not tell what a fine-grained token may write"
        }
        _ => "",
    };
    or_ok(findings, format!("GitHub knows it, and it reads {number} repositories{quota}{unseen}"))
}

/// An App that is suspended gets no token, and its installation says why.
async fn without_token(
    github: &GitHub,
    identity: &Identity<'_>,
    repository: &RepositoryName,
    error: &ApiError,
) -> Vec<Finding> {
    let mut findings = match identity.kind {
        CredentialKind::App => of_installation(github, repository, identity.needs).await,
        CredentialKind::None | CredentialKind::Token | CredentialKind::Gh => Vec::new(),
    };
    if findings.iter().all(|finding| finding.level != FindingLevel::Error) {
        findings.push(refused(error, identity.kind));
    }
    findings
}

async fn of_installation(github: &GitHub, repository: &RepositoryName, needs: Needs) -> Vec<Finding> {
    match github.installation(repository).await {
        Some(Ok(installation)) => rights::of_installation(&installation, needs),
        Some(Err(error)) => vec![refused(&error, CredentialKind::App)],
        None => Vec::new(),
    }
}

async fn of_repository(
    github: &GitHub,
    identity: &Identity<'_>,
    repository: &RepositoryName,
    is_classic: bool,
) -> Vec<Finding> {
    let subject = Subject { deployment: identity.deployment, repository };
    match github.repository(subject).await {
        Ok(found) if found.archived => vec![Finding::warning(
            format!("{repository} is archived at GitHub: nothing is pushed there, and no status taken"),
            "take its deployments out of the configuration, or `enabled = false`",
        )],
        Ok(found) if !found.full_name.eq_ignore_ascii_case(repository.as_str()) => vec![Finding::warning(
            format!("{repository} is called {} now", found.full_name),
            "write its new name into `repository`: pushes name that one",
        )],
        Ok(found) => rights::of_repository(repository.as_str(), found.permissions, is_classic),
        Err(error) if error.kind == ErrorKind::NotFound => vec![Finding::error(
            format!("it may not read {repository}, or there is no such repository"),
            "give the credential this repository, or correct `repository`",
        )],
        Err(error) => vec![refused(&error, identity.kind)],
    }
}

fn refused(error: &ApiError, kind: CredentialKind) -> Finding {
    match error.kind {
        ErrorKind::Unauthorised if kind == CredentialKind::App => Finding::error(
            format!("GitHub does not accept its key: it is another App's, or was revoked ({})", error.reason),
            "write the App's own `app_id`, and in `app_key_file` a private key that the App's settings still list",
        ),
        ErrorKind::Unauthorised => Finding::error(
            format!("GitHub does not accept it: it has ended, or was revoked ({})", error.reason),
            "make another at https://github.com/settings/tokens, and put it in this one's place (`gh auth login`, for gh)",
        ),
        ErrorKind::Unreachable | ErrorKind::Failing => Finding::error(
            format!("GitHub does not answer: {}", error.reason),
            "look at https://www.githubstatus.com, at this machine's network, and at `github.api_url`",
        ),
        ErrorKind::Limited => Finding::error(
            format!("GitHub takes no more requests of it for now: {}", error.reason),
            "wait, and find out what else asks with this credential",
        ),
        ErrorKind::NotFound => Finding::error(
            error.reason.clone(),
            "install the App in the account that has the repository, and give it this repository",
        ),
        _ => Finding::error(
            format!("GitHub refuses it: {}", error.reason),
            "give it the rights that the README names",
        ),
    }
}

/// The hook of each repository: that it is there, active, and delivers.
pub async fn hooks(context: &DoctorContext) -> CheckResult {
    let config = context.config()?;
    let (github, credentials) = context.github()?;
    let mut repositories: Vec<&RepositoryName> = Vec::new();
    for deployment in context.deployments()? {
        if !repositories.contains(&&deployment.repository) {
            repositories.push(&deployment.repository);
        }
    }
    if !credentials.any() {
        return Ok(vec![Finding::not_checked("there is no credential to ask with")]);
    }
    let mut findings = Vec::new();
    for repository in repositories.into_iter().take(REPOSITORIES_MAX) {
        match of_hooks(github, config, repository).await {
            Ok(found) => findings.extend(
                found
                    .into_iter()
                    .map(|finding| Finding { what: format!("{repository}: {}", finding.what), ..finding }),
            ),
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Forbidden) => {
                findings.push(Finding::not_checked(format!(
                    "{repository}: the credential may not see hooks, which a deploy does not need; `GITHUB_TOKEN=... durhack-deployer webhook show` looks with another"
                )));
            }
            Err(error) => findings.push(Finding::not_checked(format!("{repository}: {error}"))),
        }
    }
    Ok(findings)
}

async fn of_hooks(
    github: &GitHub,
    config: &Config,
    repository: &RepositoryName,
) -> Result<Vec<Finding>, ApiError> {
    let url = config.webhook_url();
    let hooks = github.hooks(repository).await?;
    let Some(hook) = hooks.iter().find(|hook| hook.delivers_to(&url)) else {
        return Ok(vec![Finding::error(
            format!("no hook delivers to {url}: a push is only seen when branches are compared"),
            "`durhack-deployer webhook create`",
        )]);
    };
    let settings = format!("https://github.com/{repository}/settings/hooks/{}", hook.id);
    let faults = faults(config, repository, hook);
    let mut findings: Vec<Finding> = faults
        .into_iter()
        .map(|fault| Finding::error(format!("hook {}: {fault}", hook.id), format!("change it at {settings}")))
        .collect();
    // The first page: a hundred attempts tell enough.
    let deliveries = github.hook_deliveries(repository, hook.id, |_: &[Delivery]| true).await?;
    findings.extend(of_deliveries(&deliveries, hook.id));
    Ok(or_ok(findings, format!("hook {} delivers here", hook.id)))
}

fn of_deliveries(deliveries: &[Delivery], hook: i64) -> Option<Finding> {
    let newest = deliveries.first()?;
    let lost = deliveries.iter().filter(|delivery| {
        let arrived = |other: &&Delivery| other.guid == delivery.guid && other.succeeded();
        !delivery.succeeded() && !deliveries.iter().any(|other| arrived(&other))
    });
    let lost = lost.count();
    if !newest.succeeded() {
        return Some(Finding::error(
            format!("hook {hook}: the last delivery failed: {} ({})", newest.status, newest.delivered_at),
            "`durhack-deployer webhook deliveries` shows them; then `durhack-deployer webhook redeliver --failed`",
        ));
    }
    (lost > 0).then(|| {
        Finding::warning(
            format!("hook {hook}: {lost} of the last {} deliveries never arrived", deliveries.len()),
            "`durhack-deployer webhook redeliver --failed`",
        )
    })
}

/// Our clock beside GitHub's.
pub async fn clock(context: &DoctorContext) -> CheckResult {
    let (github, _) = context.github()?;
    let identities = identities(context)?;
    let asked =
        identities.iter().find(|identity| identity.kind != CredentialKind::Gh || context.is_service());
    let Some((identity, repository)) =
        asked.and_then(|identity| Some((identity, identity.repositories.first()?)))
    else {
        return Ok(vec![Finding::not_checked("there is no credential to ask GitHub with")]);
    };
    let token = github.token(identity.subject(repository)).await?;
    let Some(theirs) = token.github_time_ms else {
        return Ok(vec![Finding::not_checked("GitHub's answer has no date")]);
    };
    let drift_ms = now_ms() - theirs;
    let drift = Duration::from_millis(drift_ms.unsigned_abs());
    Ok(vec![match drift > CLOCK_DRIFT_MAX {
        true => Finding::error(
            format!(
                "the clock is {} s {} GitHub's: tokens and certificates are taken for ended, or not yet good",
                drift.as_secs(),
                if drift_ms > 0 { "ahead of" } else { "behind" }
            ),
            "`timedatectl set-ntp true`",
        ),
        false => Finding::ok("the clock is GitHub's, to the minute"),
    }])
}

/// What GitHub has said of itself: its networks, without which nobody may call, and the host keys of its ssh.
pub async fn networks(context: &DoctorContext) -> CheckResult {
    let config = context.config()?;
    let directory = &config.state_directory;
    let mut findings = Vec::new();
    if config.intake.source_networks == SourceNetworks::GitHub {
        match Meta::load(directory) {
            Err(reason) => findings.push(Finding::error(
                format!("the list of GitHub's networks cannot be used: {reason}"),
                format!("`rm {}`: the daemon asks again", directory.join(META_FILE).display()),
            )),
            Ok(None) => findings.push(Finding::error(
                "GitHub's networks are not known: every webhook is answered 503",
                "the daemon asks for them when it starts, and again and again: its log says why it has not got them; with `source_networks = \"any\"` the signature alone decides",
            )),
            // The file's age says nothing: it is only written when the networks change, a few times a year.
            Ok(Some(known)) if known.is_outdated(&config.github).await.unwrap_or(false) => {
                findings.push(Finding::warning(
                    "GitHub has other networks than the daemon knows: webhooks from new ones are refused",
                    "start the daemon, or look into its log for `networks were not refreshed`",
                ));
            }
            Ok(Some(_)) => {}
        }
    }
    let host = config.github.host();
    let mut deployments = context.deployments()?;
    let by_ssh = deployments
        .any(|deployment| login::is_ssh(&deployment.clone_url) && login::is_on(&deployment.clone_url, &host));
    if by_ssh && !directory.join(KNOWN_HOSTS_FILE).exists() {
        findings.push(Finding::warning(
            format!("the host keys of {host} are not pinned yet: ssh believes whatever it knows"),
            "start the daemon, which asks for them",
        ));
    }
    let what = match (&config.intake.source_networks, by_ssh) {
        (SourceNetworks::GitHub, true) => "GitHub's networks and host keys are known",
        (SourceNetworks::GitHub, false) => "GitHub's networks are known",
        (_, true) => "GitHub's host keys are pinned",
        (_, false) => "nothing depends on GitHub's networks or host keys",
    };
    Ok(or_ok(findings, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_lost_until_an_attempt_of_it_succeeds() {
        let attempt = |id: i64, guid: &str, status_code: i64| Delivery {
            id,
            guid: guid.into(),
            delivered_at: String::new(),
            redelivery: false,
            status: String::new(),
            status_code,
            event: "push".into(),
        };
        for (deliveries, expected) in [
            (vec![], None),
            (vec![attempt(1, "a", 202)], None),
            (vec![attempt(1, "a", 502)], Some(FindingLevel::Error)),
            (vec![attempt(2, "b", 202), attempt(1, "a", 502)], Some(FindingLevel::Warning)),
            (vec![attempt(2, "a", 202), attempt(1, "a", 502)], None),
            (vec![attempt(2, "b", 0), attempt(1, "a", 202)], Some(FindingLevel::Error)),
        ] {
            assert_eq!(of_deliveries(&deliveries, 7).map(|finding| finding.level), expected);
        }
    }
}
