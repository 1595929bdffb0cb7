//! The command line of `webhook`.

use crate::admin::completion;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct WebhookArguments {
    /// What to do
    #[command(subcommand)]
    pub command: WebhookCommand,
}

#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Make the hooks that are missing; those that are there are shown
    Create(CreateArguments),
    /// All hooks of the configured repositories
    List(WhichArguments),
    /// Our hooks in full, and what is wrong with them
    Show(WhichArguments),
    /// Make GitHub deliver a ping
    Ping(WhichArguments),
    /// Make GitHub deliver the latest push again
    Test(WhichArguments),
    /// What GitHub has delivered of late, and what was answered
    Deliveries(DeliveriesArguments),
    /// Make GitHub deliver again what it has delivered, or tried to, in the last three days
    Redeliver(RedeliverArguments),
    /// Replace a secret; no push is lost meanwhile
    RotateSecret(RotateArguments),
    /// Remove a hook
    Delete(DeleteArguments),
    /// For development: take deliveries from GitHub and hand them, signed, to the daemon that runs here
    Relay(RelayArguments),
}

/// Which hooks.
#[derive(Debug, Args)]
pub struct WhichArguments {
    /// A repository (OWNER/NAME) or a deployment of it [default: every configured repository]
    #[arg(add = completion::slug())]
    pub repository: Option<String>,
    /// This hook, by its number at GitHub [default: the one that delivers here]
    #[arg(long, value_name = "ID", requires = "repository")]
    pub hook: Option<i64>,
    /// Where the hook delivers to [default: /github-webhook of the configured `origin`]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CreateArguments {
    /// A repository (OWNER/NAME) or a deployment of it [default: every configured repository]
    #[arg(add = completion::slug())]
    pub repository: Option<String>,
    /// Where the hook delivers to [default: /github-webhook of the configured `origin`]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Where a new secret is written, if none is configured [default: webhook-secret beside the configuration]
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Print the secret
    #[arg(long)]
    pub show_secret: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DeliveriesArguments {
    /// Of which hooks
    #[command(flatten)]
    pub which: WhichArguments,
    /// At most so many of each hook
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    pub limit: usize,
    /// Only those of which no attempt was answered with a success
    #[arg(long)]
    pub failed: bool,
}

#[derive(Debug, Args)]
pub struct RedeliverArguments {
    /// GUIDs of deliveries, as `webhook deliveries` shows them
    #[arg(required_unless_present = "failed")]
    pub deliveries: Vec<String>,
    /// All of which no attempt was answered with a success
    #[arg(long, conflicts_with = "deliveries")]
    pub failed: bool,
    /// Only of this repository (OWNER/NAME) or deployment
    #[arg(long, value_name = "REPOSITORY")]
    #[arg(add = completion::slug())]
    pub repository: Option<String>,
    /// Where the hook delivers to [default: /github-webhook of the configured `origin`]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RotateArguments {
    /// A repository (OWNER/NAME) or a deployment of it [default: every configured repository]
    #[arg(add = completion::slug())]
    pub repository: Option<String>,
    /// Where the hooks deliver to [default: /github-webhook of the configured `origin`]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The daemon was restarted since the new secret was written (only where that cannot be seen from here)
    #[arg(long)]
    pub restarted: bool,
    /// Print the new secret
    #[arg(long)]
    pub show_secret: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DeleteArguments {
    /// The repository (OWNER/NAME) or a deployment of it
    pub repository: String,
    /// This hook, by its number at GitHub [default: the one that delivers here]
    #[arg(long, value_name = "ID")]
    pub hook: Option<i64>,
    /// Where the hook delivers to [default: /github-webhook of the configured `origin`]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Also a hook that this instance lives on
    #[arg(long)]
    pub force: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RelayArguments {
    /// The repository (OWNER/NAME) or a deployment of it
    pub repository: String,
    /// This hook, by its number at GitHub [default: the one with the URL]
    #[arg(long, value_name = "ID")]
    pub hook: Option<i64>,
    /// Where the hook delivers to [default: /github-webhook of the configured `origin`]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Where the daemon listens [default: as the running daemon says]
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// Begin with the oldest that GitHub still has, instead of where it was left, or of now
    #[arg(long)]
    pub all: bool,
    /// End when everything has been handed over
    #[arg(long)]
    pub once: bool,
}
