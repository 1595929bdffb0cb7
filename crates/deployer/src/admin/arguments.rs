//! What doctor, setup, init and move-user are asked for on the command line.

use clap::Args;
use std::path::PathBuf;

/// What `setup` is to make ready, or to undo.
#[derive(Debug, Args)]
pub struct SetupArguments {
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask before it is done
    #[arg(long)]
    pub yes: bool,
    /// How GitHub reaches this host, as in https://deploy.example.org: gives nginx a site for it
    #[arg(long, value_name = "URL", conflicts_with = "uninstall")]
    pub origin: Option<String>,
    /// How what needs root is done [default: as the configuration says, else helper]
    #[arg(long, value_name = "WAY", conflicts_with = "uninstall")]
    pub privileges: Option<PrivilegesArgument>,
    /// Undo what setup has done; state, configuration and applications stay
    #[arg(long)]
    pub uninstall: bool,
    /// State, configuration, secrets and the user go too; applications stay
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
    /// Another user whose files in the deployment become the new one's: one that neither the configuration nor users.toml names any more
    #[arg(long, value_name = "USER")]
    pub from: Vec<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask before it is done
    #[arg(long)]
    pub yes: bool,
    /// Do not deploy the live commit once more at the end: until somebody does, what is live runs as before
    #[arg(long)]
    pub no_deploy: bool,
}

/// How what needs root is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PrivilegesArgument {
    /// By a helper that does what a list of root's allows
    Helper,
    /// By sudo, with fixed rules; the worker is then confined less
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
    /// Whose head is to be deployed [default: what is checked out there, else main or master]
    #[arg(long, value_name = "NAME")]
    pub branch: Option<String>,
    /// What the deployment is to be called [default: as the repository]
    #[arg(long, value_name = "SLUG")]
    pub slug: Option<String>,
    /// Where it is to be deployed to [default: /var/www/SLUG]
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
    /// Add it to this file, instead of printing it
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
}
