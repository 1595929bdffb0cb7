//! What doctor, setup, init and move-user are asked for on the command line.

use clap::Args;
use std::path::PathBuf;

/// What `setup` is to make ready, or to undo.
#[derive(Debug, Args)]
pub struct SetupArguments {
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
    /// How GitHub reaches this host, as in https://deploy.example.org: gives nginx a site for it
    #[arg(long, value_name = "URL", conflicts_with = "uninstall")]
    pub origin: Option<String>,
    /// Which way root's work is done [default: as the configuration says, else helper]
    #[arg(long, value_name = "WAY", conflicts_with = "uninstall")]
    pub privileges: Option<PrivilegesArgument>,
    /// Undo what setup has done; state, configuration and applications stay
    #[arg(long)]
    pub uninstall: bool,
    /// Remove state, configuration, secrets and the user too; applications stay
    #[arg(long, requires = "uninstall")]
    pub purge: bool,
    /// Move an installation of the Python tool here: its checkout, which holds config/
    #[arg(long, value_name = "DIR", conflicts_with_all = ["uninstall", "origin", "privileges", "back"])]
    pub from: Option<PathBuf>,
    /// Undo --from: the Python tool receives and deploys again
    #[arg(long, conflicts_with_all = ["uninstall", "origin", "privileges"])]
    pub back: bool,
    /// With --from or --back: print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which deployment `move-user` gives another user, and which.
#[derive(Debug, Args)]
pub struct MoveUserArguments {
    /// The deployment
    #[arg(add = crate::admin::completion::slug())]
    pub slug: String,
    /// The new user [default: what is recorded for it, else app-SLUG]; durhack-deployer is the deployer's own, which deployments share
    #[arg(long, value_name = "USER")]
    pub to: Option<String>,
    /// A former user whose files in the deployment become the new user's; one that neither the configuration nor users.toml names any more
    #[arg(long, value_name = "USER")]
    pub from: Vec<String>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
    /// Do not deploy the live commit once more at the end; it runs as the old user until it is deployed
    #[arg(long)]
    pub no_deploy: bool,
}

/// How what needs root is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PrivilegesArgument {
    /// The helper, which does what root's list allows
    Helper,
    /// sudo, with fixed rules; the worker is then less confined
    Sudo,
}

/// What `doctor` is told.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Only look at the state: root asks its owner so
    #[arg(long, hide = true)]
    pub of_state: bool,
}

/// The repository that `init` looks at, and where it writes.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// `owner/name` on GitHub, a URL, or the directory of a repository on this machine
    pub repository: String,
    /// The branch to deploy [default: the one that is checked out there, else main or master]
    #[arg(long, value_name = "NAME")]
    pub branch: Option<String>,
    /// The deployment's name [default: as the repository]
    #[arg(long, value_name = "SLUG")]
    pub slug: Option<String>,
    /// The deployment's directory [default: /var/www/SLUG]
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
    /// Append it to this file, instead of printing it
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
}
