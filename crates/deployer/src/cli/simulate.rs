//! `simulate push`: what GitHub would send, signed with the configured secret, to the daemon that runs here.

use super::SimulateCommand;
use super::session::{self, Session};
use crate::admin::owner;
use crate::base::names::{CommitId, DeliveryId, RepositoryName};
use crate::base::secret::Secret;
use crate::config::{Config, Deployment, Environment, Proxies, Purpose, SourceNetworks};
use crate::daemon;
use crate::intake::signature::sign;
use crate::process::step_user;
use crate::run_log::rendering::plain;
use crate::terminal::failed::Failed;
use crate::terminal::output;
use anyhow::{Context, anyhow};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the question for the branch's head may take.
const HEAD_TIME_MAX: Duration = Duration::from_secs(120);

/// The answer to a webhook.
pub struct SimulatedAnswer {
    /// The delivery's id.
    pub delivery: DeliveryId,
    pub status: u16,
    pub body: String,
}

pub async fn push(
    directory: Option<&Path>,
    environment: &Environment,
    command: SimulateCommand,
) -> Result<(), Failed> {
    let SimulateCommand::Push { slug, url, json, head_only } = command;
    if head_only {
        let session = Session::open(directory, environment, Purpose::Deploy).await?;
        print_line!("{}", head_of(&session, session.deployment(&slug)?).await?);
        return Ok(());
    }
    let loaded = session::read(directory, environment, Purpose::Serve)?;
    let state = &loaded.config.state_directory;
    if !step_user::is_anothers(state) {
        let session = Session::open(directory, environment, Purpose::Serve).await?;
        let deployment = session.deployment(&slug)?;
        let head = head_of(&session, deployment).await?;
        return send_it(session.config(), deployment, &head, url, json).await;
    }
    // Root has the secret, and the mirror is its owner's.
    session::print(&loaded.problems);
    let deployment = session::deployment(&loaded.config, &slug)?;
    let directory = directory.map(|directory| directory.to_string_lossy().into_owned());
    let named = directory.iter().flat_map(|directory| ["--config", directory]);
    let words: Vec<&str> = named.chain(["simulate", "push", slug.as_str(), "--head-only"]).collect();
    let told = owner::ask_owner_of(state, environment, &words, HEAD_TIME_MAX).await?;
    let head = CommitId::parse(told.unwrap_or_default().trim());
    let head =
        head.map_err(|error| Failed::unavailable(anyhow!(error).context("the branch's head is not told")))?;
    send_it(&loaded.config, deployment, &head, url, json).await
}

/// What the branch is at.
async fn head_of(session: &Session, deployment: &Deployment) -> Result<CommitId, Failed> {
    let mirror = session.host.mirror(deployment);
    let never = CancellationToken::new();
    // Asked, not fetched: nothing is changed here.
    let heads = mirror.heads(&[&deployment.branch], deployment.step_timeout, &never).await;
    let heads = heads.map_err(|error| anyhow!(error).context("cannot ask for the branch's head"))?;
    heads.get(&deployment.branch).cloned().ok_or_else(|| {
        Failed::not_found(format!("{} has no branch {}", deployment.repository, deployment.branch))
    })
}

async fn send_it(
    config: &Config,
    deployment: &Deployment,
    head: &CommitId,
    url: Option<String>,
    as_json: bool,
) -> Result<(), Failed> {
    let url = match url {
        Some(url) => url,
        None => format!("{}/github-webhook", daemon_url(config)?),
    };
    let answer = send(config, deployment, head, &url).await?;
    if as_json {
        output::json(&json!({ "delivery": answer.delivery, "status": answer.status, "body": answer.body }));
    } else {
        print_line!("{} {}", answer.status, plain(&answer.body));
    }
    if answer.status != 202 {
        let failed = Failed::because(anyhow!("the daemon refused the push"));
        let needs_github = config.intake.source_networks == SourceNetworks::GitHub;
        return Err(match answer.status {
            // Without GitHub nobody says which networks it has.
            503 if needs_github => failed.hint(format!(
                "either `source_networks = \"any\"` in the configuration and `sudo durhack-deployer setup`, so that the signature alone decides, or without the webhook: `durhack-deployer deploy {}`",
                deployment.slug
            )),
            _ => failed,
        });
    }
    if !as_json {
        print_line!("`durhack-deployer explain {}` says what became of it", answer.delivery);
    }
    Ok(())
}

/// Where the running daemon listens.
pub fn daemon_url(config: &Config) -> Result<String, Failed> {
    let mut address = daemon::address(config).ok_or_else(|| {
        Failed::unavailable(anyhow!("no daemon is running here"))
            .hint(format!("start it: {}", owner::how_to_start()))
    })?;
    // What listens on every address is reached on this machine's own.
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(format!("http://{address}"))
}

/// Sends a push of one commit.
pub async fn send(
    config: &Config,
    deployment: &Deployment,
    commit: &CommitId,
    url: &str,
) -> anyhow::Result<SimulatedAnswer> {
    let secret =
        secret_of(config, &deployment.repository).context("no secret is configured for this repository")?;
    let body = payload(deployment, commit);
    let outgoing = Outgoing { delivery: DeliveryId::generate(), event: "push", body: &body };
    deliver(config, secret, &outgoing, url).await
}

/// What signs for a repository.
pub fn secret_of<'a>(config: &'a Config, repository: &RepositoryName) -> Option<&'a Secret> {
    let own = config.intake.repository_secrets.get(repository);
    own.map_or(&config.intake.secrets, |own| own).first()
}

/// A webhook request to be.
#[derive(Debug)]
pub struct Outgoing<'a> {
    pub delivery: DeliveryId,
    pub event: &'a str,
    pub body: &'a str,
}

/// Sends what GitHub would send, signed with this secret, as if it had come through the proxies that stand in front.
pub async fn deliver(
    config: &Config,
    secret: &Secret,
    outgoing: &Outgoing<'_>,
    url: &str,
) -> anyhow::Result<SimulatedAnswer> {
    let client = reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(10)).build()?;
    let mut request = client
        .post(url)
        .header("content-type", "application/json")
        .header("user-agent", "GitHub-Hookshot/simulated")
        .header("x-github-event", outgoing.event)
        .header("x-github-delivery", outgoing.delivery.as_str())
        .header("x-hub-signature-256", sign(secret, outgoing.body.as_bytes()));
    let entries = match &config.intake.proxies {
        Proxies::Hops(hops) => *hops,
        // We are such a proxy, if any on this machine is.
        Proxies::Trusted(networks) => {
            usize::from(networks.iter().any(|network| network.contains(&IpAddr::from(Ipv4Addr::LOCALHOST))))
        }
    };
    if entries > 0 {
        request = request.header("x-forwarded-for", vec![admitted_address(config); entries].join(", "));
    }
    let sent = request.body(outgoing.body.to_owned()).send().await;
    let response = sent.with_context(|| format!("cannot reach {url}"))?;
    let status = response.status().as_u16();
    Ok(SimulatedAnswer { delivery: outgoing.delivery.clone(), status, body: response.text().await? })
}

/// An address from which a webhook may come.
fn admitted_address(config: &Config) -> String {
    match &config.intake.source_networks {
        SourceNetworks::List(networks) => networks.first().map(|network| network.addr().to_string()),
        _ => None,
    }
    .unwrap_or_else(|| "140.82.112.1".to_owned())
}

/// The fields of GitHub's push payload that say something.
fn payload(deployment: &Deployment, commit: &CommitId) -> String {
    let repository = &deployment.repository;
    json!({
        "ref": format!("refs/heads/{}", deployment.branch),
        "before": "0".repeat(40),
        "after": commit,
        "created": false, "deleted": false, "forced": false, "base_ref": null,
        "compare": format!("https://github.com/{repository}/commit/{commit}"),
        "commits": [],
        "head_commit": { "id": commit, "message": "simulated", "timestamp": crate::base::clock::now().to_string() },
        "repository": { "id": 0, "name": repository.name(), "full_name": repository, "private": true,
            "owner": { "login": repository.owner() } },
        "pusher": { "name": "simulated" },
        "sender": { "login": "simulated" },
    })
    .to_string()
}
