//! `webhook relay`: deliveries from GitHub to a daemon that GitHub cannot reach, for development.
//!
//! GitHub keeps what it could not deliver, and gives it to whoever may manage the hook. So no tunnel and nobody else's server is
//! needed: this asks for new deliveries, signs each with the secret that the daemon accepts (GitHub gives the payload as
//! JSON, not as the bytes that it signed), and hands it over under its own GUID. Where it was is remembered in a file in
//! the state directory, written after each delivery: after an interruption one may be handed over twice, none is left out,
//! and the daemon knows a GUID again.

use super::Webhooks;
use super::arguments::RelayArguments;
use super::report::hint;
use crate::base::files::private_file;
use crate::base::names::{DeliveryId, RepositoryName};
use crate::base::secret::Secret;
use crate::cli::simulate::{Outgoing, daemon_url, deliver, secret_of};
use crate::github::error::ApiError;
use crate::github::hooks::{Delivery, Hook};
use crate::process::step_user;
use crate::run_log::rendering::plain;
use crate::terminal::failed::Failed;
use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Between two questions to GitHub: 1,200 an hour, of the 5,000 that it allows.
const POLL_INTERVAL: Duration = Duration::from_secs(3);

/// Between two attempts to hand a delivery over to a daemon that is away.
const DAEMON_RETRY: Duration = Duration::from_secs(2);

/// Where the relay is: the newest delivery that was handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    id: i64,
    /// In GitHub's words, which sort as they were.
    delivered_at: String,
}

struct Relay<'a> {
    webhooks: &'a Webhooks,
    repository: RepositoryName,
    hook: Hook,
    secret: Secret,
    to: Option<String>,
    file: PathBuf,
    once: bool,
}

/// Why a round was not finished.
enum Trouble {
    GitHub(ApiError),
    Daemon(Failed),
}

impl From<ApiError> for Trouble {
    fn from(error: ApiError) -> Self {
        Self::GitHub(error)
    }
}

impl From<Failed> for Trouble {
    fn from(failed: Failed) -> Self {
        Self::Daemon(failed)
    }
}

pub async fn relay(webhooks: &Webhooks, arguments: &RelayArguments) -> Result<(), Failed> {
    let state = &webhooks.config().state_directory;
    if step_user::is_anothers(state) {
        let what = anyhow!("{} is another user's: the relay keeps its position there", state.display());
        return Err(Failed::because(what).hint("`webhook relay` is for development: run it as that user"));
    }
    let repositories = webhooks.repositories(Some(&arguments.repository))?;
    let repository = repositories.into_iter().next().expect("a named repository is found or an error");
    let hook = webhooks.hook(&repository, arguments.hook).await.map_err(failed)?;
    let hook =
        hook.ok_or_else(|| Failed::not_found(format!("{repository}: {}", webhooks.missing(arguments.hook))))?;
    let secret = secret_of(webhooks.config(), &repository)
        .ok_or_else(|| Failed::because(anyhow!("no webhook secret is configured for {repository}")))?
        .clone();
    let directory = webhooks.config().state_directory.join("relay");
    fs_err::create_dir_all(&directory).context("cannot make the directory of the relay's positions")?;
    let file = directory.join(format!("{}.json", hook.id));
    let to = arguments.to.clone();
    let relay = Relay { webhooks, repository, hook, secret, to, file, once: arguments.once };
    print_line!(
        "relaying {} from hook {} ({})",
        relay.repository,
        relay.hook.id,
        plain(&relay.hook.config.url)
    );
    let position = if arguments.all { None } else { relay.remembered().await? };
    tokio::select! {
        result = relay.serve(position) => result,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

fn failed(error: ApiError) -> Failed {
    let hint = hint(&error);
    let failed = match error.kind.passes() {
        true => Failed::unavailable(error),
        false => Failed::because(error),
    };
    match hint {
        Some(hint) => failed.hint(hint),
        None => failed,
    }
}

impl Relay<'_> {
    /// Where it was left; or, the first time, the newest delivery there is: what comes from now on is relayed.
    async fn remembered(&self) -> Result<Option<Position>, Failed> {
        if let Ok(text) = fs_err::read_to_string(&self.file) {
            let position = serde_json::from_str(&text);
            let position = position.with_context(|| format!("cannot understand {}", self.file.display()))?;
            return Ok(Some(position));
        }
        let newest = self.webhooks.github.hook_deliveries(&self.repository, self.hook.id, |_| true).await;
        let newest = newest.map_err(failed)?.into_iter().next().map(|delivery| position_of(&delivery));
        if let Some(position) = &newest {
            self.remember(position)?;
        }
        Ok(newest)
    }

    fn remember(&self, position: &Position) -> Result<()> {
        let text = serde_json::to_string(position).expect("a number and a text serialise");
        private_file::replace(&self.file, &text, &self.webhooks.config().state_directory)
    }

    async fn serve(&self, mut position: Option<Position>) -> Result<(), Failed> {
        loop {
            match self.round(&mut position).await {
                Ok(()) if self.once => return Ok(()),
                Ok(()) => tokio::time::sleep(POLL_INTERVAL).await,
                Err(Trouble::GitHub(error)) if error.kind.passes() && !self.once => {
                    let pause = error.after.unwrap_or(POLL_INTERVAL);
                    print_error_line!(
                        "GitHub cannot be asked now ({}): again in {} s",
                        plain(&error.reason),
                        pause.as_secs()
                    );
                    tokio::time::sleep(pause).await;
                }
                Err(Trouble::GitHub(error)) => return Err(failed(error)),
                Err(Trouble::Daemon(failed)) => return Err(failed),
            }
        }
    }

    /// Hands over what is new, and remembers each.
    async fn round(&self, position: &mut Option<Position>) -> Result<(), Trouble> {
        for delivery in self.newer(position.as_ref()).await? {
            self.hand_over(&delivery).await?;
            let reached = position_of(&delivery);
            self.remember(&reached).map_err(Failed::from)?;
            *position = Some(reached);
        }
        Ok(())
    }

    /// What came after a position, the oldest first.
    async fn newer(&self, position: Option<&Position>) -> Result<Vec<Delivery>, ApiError> {
        let is_old = |delivery: &Delivery| {
            position.is_some_and(|position| {
                delivery.id == position.id || delivery.delivered_at < position.delivered_at
            })
        };
        let enough = |deliveries: &[Delivery]| deliveries.iter().any(is_old);
        let listed = self.webhooks.github.hook_deliveries(&self.repository, self.hook.id, enough).await?;
        let mut newer: Vec<Delivery> = listed.into_iter().take_while(|delivery| !is_old(delivery)).collect();
        newer.reverse();
        Ok(newer)
    }

    /// Hands one over, however long the daemon is away. What it refuses for good is passed over, said so.
    async fn hand_over(&self, delivery: &Delivery) -> Result<(), Trouble> {
        let is_event = delivery.event.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let Some(id) = DeliveryId::parse(&delivery.guid).ok().filter(|_| is_event) else {
            print_error_line!("passed over a delivery without a GUID or an event ({})", delivery.id);
            return Ok(());
        };
        let request = self.webhooks.github.hook_delivery_request(&self.repository, self.hook.id, delivery.id);
        let request = request.await?;
        let Some(payload) = request.payload else {
            print_error_line!("passed over {id}: GitHub has forgotten its payload");
            return Ok(());
        };
        let outgoing = Outgoing { delivery: id, event: &delivery.event, body: payload.get() };
        loop {
            let reason = match self.deliver(&outgoing).await {
                Ok((200..300, _)) => {
                    print_line!("{} {} handed over", delivery.event, delivery.guid);
                    return Ok(());
                }
                Ok((403, body)) => {
                    let error = anyhow!("the daemon refuses what the relay signs: {}", plain(&body));
                    return Err(Failed::because(error).hint("does it run with this configuration?").into());
                }
                Ok((status @ 400..500, body)) => {
                    print_error_line!("passed over {}: {status} {}", delivery.guid, plain(&body));
                    return Ok(());
                }
                Ok((status, body)) => format!("{status} {}", plain(&body)),
                Err(error) => format!("{error:#}"),
            };
            if self.once {
                let error = anyhow!("the daemon does not take {}: {reason}", delivery.guid);
                return Err(Failed::unavailable(error).into());
            }
            print_error_line!("the daemon does not take {} now ({reason}): trying again", delivery.guid);
            tokio::time::sleep(DAEMON_RETRY).await;
        }
    }

    async fn deliver(&self, outgoing: &Outgoing<'_>) -> Result<(u16, String)> {
        let url = match &self.to {
            Some(url) => url.clone(),
            None => {
                let daemon = daemon_url(self.webhooks.config());
                format!("{}/github-webhook", daemon.map_err(|_| anyhow!("no daemon is running here"))?)
            }
        };
        let answer = deliver(self.webhooks.config(), &self.secret, outgoing, &url).await?;
        Ok((answer.status, answer.body))
    }
}

fn position_of(delivery: &Delivery) -> Position {
    Position { id: delivery.id, delivered_at: delivery.delivered_at.clone() }
}
