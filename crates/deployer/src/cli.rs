//! Every subcommand and every flag, on one screen; what each does is in a file of its own.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod adopt;
pub mod config;
pub mod demo;
pub mod deploy;
pub mod examples;
pub mod follow;
pub mod gates;
pub mod generate;
pub mod ids;
pub mod inspect;
mod logging;
pub mod queue;
pub mod session;
pub mod simulate;
pub mod status;
mod waiting;
pub mod webhook;

use crate::admin::arguments::{DoctorArguments, InitArguments, MoveUserArguments, SetupArguments};
use crate::admin::completion;
use crate::admin::owner::FIRST_INHERITED;
use crate::config::reading::passed_socket;
use crate::config::{Environment, Purpose};
use crate::daemon::self_update::ExitMode;
use crate::daemon::{self, Role, Start};
use crate::terminal::exit;
use crate::terminal::failed::Failed;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const AFTER_HELP: &str = "\
Examples:
  durhack-deployer demo                       see the whole way of a push, with nothing to configure
  durhack-deployer setup                      set this host up, as root
  durhack-deployer move-user web              move a deployment to a user of its own, as root
  durhack-deployer init owner/name            a commented deployment of that repository
  durhack-deployer config check               is the configuration right?
  durhack-deployer doctor                     is the host right? and how is it mended?
  durhack-deployer serve                      receive pushes and deploy them
  durhack-deployer webhook create             let GitHub send pushes here
  durhack-deployer simulate push web          send the daemon a signed push, as GitHub would
  durhack-deployer status                     what is live, running and queued
  durhack-deployer logs web -f                watch the newest run
  durhack-deployer rollback web               back to the release before the live one

Exit codes: 0 done; 1 it did not succeed (status, doctor: something is wrong); 2 usage; 3 no such thing; 4 database or daemon unavailable, try again.";

/// Where the help lists what every subcommand understands.
const GLOBAL: &str = "Global options";

/// A push to a branch becomes a running release on a plain Linux host.
#[derive(Debug, Parser)]
#[command(name = "durhack-deployer", version, about, after_help = AFTER_HELP, propagate_version = true, disable_help_flag = true, disable_version_flag = true)]
pub struct Cli {
    /// Directory of the configuration's layers [default: /etc/durhack-deployer; where there is none, ./config]
    #[arg(long, global = true, value_name = "DIR", env = "DEPLOYER_CONFIG", help_heading = GLOBAL, display_order = 1000)]
    pub config: Option<PathBuf>,
    /// How much the log says: error, warn, info, debug, trace, or a tracing filter
    #[arg(long, global = true, value_name = "LEVEL", env = "DEPLOYER_LOG", help_heading = GLOBAL, display_order = 1001)]
    pub log: Option<String>,
    /// Print help
    #[arg(short, long, global = true, action = clap::ArgAction::Help, help_heading = GLOBAL, display_order = 1002)]
    help: Option<bool>,
    /// Print version
    #[arg(short = 'V', long, global = true, action = clap::ArgAction::Version, help_heading = GLOBAL, display_order = 1003)]
    version: Option<bool>,
    /// What is to be done
    #[command(subcommand)]
    pub command: CliCommand,
}

/// The subcommands, in the order in which one meets them.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Deploy three pushes in a temporary directory, one of which fails, to show how it works
    Demo(DemoArguments),
    /// Inspect a repository, and write a commented deployment for it
    Init(InitArguments),
    /// Set this host up to receive pushes and deploy them, as confined services; or undo that
    Setup(SetupArguments),
    /// Move a deployment to a user of its own, or to another one, with its files and programs; as root
    MoveUser(MoveUserArguments),
    /// Receive pushes and deploy them, in one process
    Serve(DaemonArguments),
    /// Receive pushes only; `work` deploys them
    Listen,
    /// Deploy what `listen` has received
    Work(DaemonArguments),
    /// Deploy a branch's head, or one commit, and wait for the end
    Deploy(DeployArguments),
    /// Go back to the release before the live one, or to a named one, and wait for the end
    Rollback(RollbackArguments),
    /// Turn a work tree that is deployed in place into releases, while it serves
    Adopt(AdoptArguments),
    /// Approve the blocked commit, and wait for the end of its run
    Approve(ApproveArguments),
    /// Let the blocked commit through a freeze, or lift the freeze for a while
    Unfreeze(UnfreezeArguments),
    /// The name that `unfreeze` had in 0.1.0
    #[command(hide = true)]
    Release(UnfreezeArguments),
    /// Stop a run, roll it back, and wait until none of its processes is left
    Cancel(CancelArguments),
    /// Show what is live, running and queued, and what is wrong on this host; exit with 1 if something is
    Status(StatusArguments),
    /// Show the latest runs
    Runs(RunsArguments),
    /// Show one run, step by step
    Run(RunArguments),
    /// Show what a run's commands printed; for a deployment, its newest run's
    Logs(LogsArguments),
    /// Show the latest deliveries and what became of them
    Deliveries(DeliveriesArguments),
    /// Show what became of one delivery, and why
    Explain(ExplainArguments),
    /// Show what a deploy would do now, and do nothing
    Plan(PlanArguments),
    /// Show the queued and the dead-lettered entries; retry or drop one
    Queue(QueueArguments),
    /// Send the running daemon what GitHub would send
    Simulate(SimulateArguments),
    /// Make, show, test and remove the hooks at GitHub that deliver here
    Webhook(webhook::arguments::WebhookArguments),
    /// Check everything the service needs, and say how to mend what is wrong; change nothing
    Doctor(DoctorArguments),
    /// Check and show the configuration
    Config(ConfigArguments),
    /// Apply, undo or check the database's migrations
    Migrate(MigrateArguments),
    /// Print the completion script of a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
    /// Write the generated documents below a directory
    #[command(name = "__generate", hide = true)]
    Generate {
        /// The repository's root
        directory: PathBuf,
    },
    /// Say of each command line in a file whether it can be typed
    #[command(name = "__parse", hide = true)]
    Parse {
        /// A JSON list of lists of words, each beginning with the program's name
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct DaemonArguments {
    /// Take the place of the deployer whose socket is the standard input (it starts this itself when it is deployed)
    #[arg(long, hide = true)]
    pub take_over: bool,
}

#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Show this deployment only, and of the deployer's parts only what is wrong
    #[arg(add = completion::slug())]
    pub slug: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct JsonArguments {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Keep serving at the end, and keep the directory
    #[arg(long)]
    pub keep: bool,
}

#[derive(Debug, Args)]
pub struct DeployArguments {
    /// The deployment
    #[arg(add = completion::slug())]
    pub slug: String,
    /// Take this commit instead of the branch's head; its first digits are enough
    #[arg(long, value_name = "ID")]
    pub commit: Option<String>,
    /// Deploy even if the commit is already live or a gate other than the signature would block it
    #[arg(long)]
    pub force: bool,
    /// Do not wait for the end (needs a running daemon)
    #[arg(long)]
    pub no_wait: bool,
}

#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// The deployment
    #[arg(add = completion::slug())]
    pub slug: String,
    /// Release name, or the beginning of it or of its commit's id [default: the one that was live before, so a second rollback is back
    /// where the first began]
    #[arg(long, value_name = "RELEASE", add = completion::release())]
    pub to: Option<String>,
    /// Do not wait for the end (needs a running daemon)
    #[arg(long)]
    pub no_wait: bool,
}

#[derive(Debug, Args)]
pub struct ApproveArguments {
    /// The deployment
    #[arg(add = completion::slug())]
    pub slug: String,
    /// The commit to approve, or its beginning; refused if another one is blocked by now
    pub commit: Option<String>,
    /// Do not wait for the end (needs a running daemon)
    #[arg(long)]
    pub no_wait: bool,
}

#[derive(Debug, Args)]
pub struct UnfreezeArguments {
    /// The deployment
    #[arg(add = completion::slug())]
    pub slug: String,
    /// Lift the freeze for every commit until this time: `2026-12-23 18:00` (in `freeze_timezone`); a past time ends that
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Do not wait for the end (needs a running daemon)
    #[arg(long)]
    pub no_wait: bool,
}

#[derive(Debug, Args)]
pub struct AdoptArguments {
    /// The deployment
    #[arg(add = completion::slug())]
    pub slug: String,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
    /// Adopt even if files that git tracks were changed by hand; with --finish, even if programs still run in the old tree
    #[arg(long)]
    pub force: bool,
    /// Move the rest of the old tree aside, after the adoption
    #[arg(long)]
    pub finish: bool,
}

#[derive(Debug, Args)]
pub struct CancelArguments {
    /// A deployment, or a run's id or its beginning
    #[arg(add = completion::run())]
    pub what: String,
}

#[derive(Debug, Args)]
pub struct RunsArguments {
    /// Show this deployment only
    #[arg(add = completion::slug())]
    pub slug: Option<String>,
    /// How many to show at most
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RunArguments {
    /// A run's id or its beginning, or a deployment: its newest run
    #[arg(add = completion::run())]
    pub id: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct LogsArguments {
    /// A deployment, or a run's id or its beginning
    #[arg(add = completion::run())]
    pub what: String,
    /// Follow the run until it ends
    #[arg(short, long)]
    pub follow: bool,
}

#[derive(Debug, Args)]
pub struct DeliveriesArguments {
    /// How many to show at most
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// A delivery's GUID, as GitHub's hook page shows it, or its beginning; or a deployment: its newest delivery
    #[arg(add = completion::slug())]
    pub delivery: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PlanArguments {
    /// The deployment
    #[arg(add = completion::slug())]
    pub slug: String,
    /// Take this commit instead of the branch's head; its first digits are enough
    #[arg(long, value_name = "ID")]
    pub commit: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct QueueArguments {
    /// What to do
    #[command(subcommand)]
    pub command: Option<QueueCommand>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// Show queued, claimed and dead-lettered entries, with the reasons
    List,
    /// Put a dead-lettered entry back into its queue
    Retry {
        /// Its name as `queue list` shows it, its delivery's GUID, or the beginning of either; or the spool that it is alone in
        #[arg(add = completion::entry())]
        entry: String,
    },
    /// Remove a queued or dead-lettered entry
    Drop {
        /// Its name as `queue list` shows it, its delivery's GUID, or the beginning of either; or the spool that it is alone in
        #[arg(add = completion::entry())]
        entry: String,
    },
}

#[derive(Debug, Args)]
pub struct SimulateArguments {
    /// What to send
    #[command(subcommand)]
    pub command: SimulateCommand,
}

#[derive(Debug, Subcommand)]
pub enum SimulateCommand {
    /// Send a push of the branch's head, signed with the configured secret
    Push {
        /// The deployment
        #[arg(add = completion::slug())]
        slug: String,
        /// Where the daemon listens [default: as the running daemon says]
        #[arg(long)]
        url: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Only print what the branch is at: root asks the mirror's owner so
        #[arg(long, hide = true)]
        head_only: bool,
    },
}

#[derive(Debug, Args)]
pub struct ConfigArguments {
    /// What to do
    #[command(subcommand)]
    pub command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show errors, with file, line and column
    Check(CheckArguments),
    /// Show what is in force, and where each value comes from; secrets are hidden
    Show(JsonArguments),
    /// Print the JSON Schema, for editors
    Schema,
    /// Print the reference of all keys
    Reference,
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Skip secrets, which the calling user may not be able to read
    #[arg(long)]
    pub no_secrets: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct MigrateArguments {
    /// What to do
    #[command(subcommand)]
    pub command: MigrateCommand,
}

#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Apply missing migrations
    Up {
        /// Make an empty database although there was one, and forget what that had
        #[arg(long)]
        new: bool,
    },
    /// Check whether missing migrations can be applied to this database and undone; change nothing
    Check,
    /// Show which migrations are applied
    Status(JsonArguments),
    /// Sign the rows of the database, so that they are acted on: after an upgrade from 0.1.0 with PostgreSQL, or a restored backup
    Trust {
        /// Sign: you have checked the rows, and no other program can write to the database
        #[arg(long)]
        yes: bool,
    },
    /// Undo the latest migrations, with the data of their tables; while no daemon runs
    Down {
        /// How many
        #[arg(long, default_value_t = 1)]
        steps: u32,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
        /// Undo although the database is PostgreSQL: you have a backup (`pg_dump`). A copy of SQLite is made by itself
        #[arg(long)]
        has_backup: bool,
    },
}

/// The one of the units whose work it is to make what others read.
const UMASK: rustix::fs::Mode = rustix::fs::Mode::WGRP.union(rustix::fs::Mode::WOTH);

/// How long the end of a command waits for what still blocks in the kernel.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(1);

/// The whole program, behind the supervisor.
pub fn main() -> ExitCode {
    // Whoever started this may have had files open that no step is to have: they end with the first program that is started.
    close_fds::set_fds_cloexec(FIRST_INHERITED, &[]);
    if completion::answered(command) {
        return ExitCode::from(exit::OK);
    }
    let cli = match command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            return crate::terminal::failed::exit_code(crate::terminal::failed::show_unparsed(&error));
        }
    };
    // What a command makes is for those for whom its code says, whatever the umask of whoever typed it: under 077, nginx could not read a
    // release, nor the services what `setup` made. Who only listens makes nothing for others, and has its unit's.
    if !matches!(cli.command, CliCommand::Listen) {
        rustix::process::umask(UMASK);
    }
    let environment = Environment::of_process();
    crate::cli::logging::start_logging(&cli, &environment);
    let passed = match &cli.command {
        CliCommand::Serve(_) | CliCommand::Listen => passed_socket::take(&environment),
        _ => Ok(None),
    };
    let passed = match passed {
        Ok(passed) => passed,
        Err(error) => return end(&Failed::because(error)),
    };
    // A daemon needs few threads: its work is waiting. The blocking ones write spool entries.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(32)
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(Box::pin(dispatch(cli, environment, passed)));
            // A question to DNS that nobody waits for any more may hang for long.
            runtime.shutdown_timeout(SHUTDOWN_TIME_MAX);
            result
        }
        Err(error) => Err(Failed::unavailable(anyhow::anyhow!(error).context("cannot start the runtime"))),
    };
    match result {
        Ok(()) => crate::terminal::failed::exit_code(exit::OK),
        Err(failed) => end(&failed),
    }
}

fn end(failed: &Failed) -> ExitCode {
    failed.print();
    crate::terminal::failed::exit_code(failed.code)
}

async fn dispatch(cli: Cli, environment: Environment, passed: Option<TcpListener>) -> Result<(), Failed> {
    let directory = cli.config.as_deref();
    let session = |slug| session::Session::open_for(directory, &environment, Purpose::Deploy, slug);
    // What only looks, and what goes back, does not wait for a configuration to be mended.
    let look = || session::Session::open_by_last_good(directory, &environment, Purpose::Ask);
    match cli.command {
        CliCommand::Demo(arguments) => demo::run(&arguments, &environment).await,
        CliCommand::Init(arguments) => crate::admin::init::run(directory, &environment, &arguments).await,
        CliCommand::Setup(arguments) => crate::admin::setup::run(directory, &environment, &arguments).await,
        CliCommand::MoveUser(arguments) => {
            crate::admin::move_user::run(directory, &environment, &arguments).await
        }
        CliCommand::Serve(arguments) => {
            serve(directory, &environment, Role::Serve, arguments.take_over, passed).await
        }
        CliCommand::Listen => serve(directory, &environment, Role::Listen, false, passed).await,
        CliCommand::Work(arguments) => {
            serve(directory, &environment, Role::Work, arguments.take_over, None).await
        }
        CliCommand::Deploy(arguments) => deploy::deploy(&session(&arguments.slug).await?, &arguments).await,
        CliCommand::Rollback(arguments) => {
            let session =
                session::Session::open_by_last_good(directory, &environment, Purpose::Deploy).await?;
            deploy::rollback(&session, &arguments).await
        }
        CliCommand::Approve(arguments) => gates::approve(&session(&arguments.slug).await?, &arguments).await,
        CliCommand::Unfreeze(arguments) => {
            Box::pin(gates::unfreeze(&session(&arguments.slug).await?, &arguments)).await
        }
        CliCommand::Release(arguments) => {
            print_error_line!(
                "warning: `durhack-deployer release` is called `durhack-deployer unfreeze` now; the old name goes with the next major version"
            );
            Box::pin(gates::unfreeze(&session(&arguments.slug).await?, &arguments)).await
        }
        CliCommand::Adopt(arguments) => {
            Box::pin(adopt::run(&session(&arguments.slug).await?, &arguments)).await
        }
        CliCommand::Cancel(arguments) => deploy::cancel(&look().await?, &arguments).await,
        CliCommand::Status(arguments) => status::run(directory, &environment, &arguments).await,
        CliCommand::Runs(arguments) => inspect::runs(&look().await?, &arguments).await,
        CliCommand::Run(arguments) => inspect::run(&look().await?, &arguments).await,
        CliCommand::Logs(arguments) => inspect::logs(&look().await?, &arguments).await,
        CliCommand::Deliveries(arguments) => inspect::deliveries(&look().await?, &arguments).await,
        CliCommand::Explain(arguments) => inspect::explain(&look().await?, &arguments).await,
        CliCommand::Plan(arguments) => deploy::plan(&session(&arguments.slug).await?, &arguments).await,
        CliCommand::Queue(arguments) => queue::run(&look().await?, &arguments).await,
        CliCommand::Simulate(SimulateArguments { command }) => {
            Box::pin(simulate::push(directory, &environment, command)).await
        }
        CliCommand::Webhook(arguments) => webhook::run(directory, &environment, &arguments).await,
        CliCommand::Doctor(arguments) => crate::admin::doctor::run(directory, &environment, &arguments).await,
        CliCommand::Config(arguments) => config::run(directory, &environment, &arguments.command),
        CliCommand::Migrate(arguments) => config::migrate(directory, &environment, &arguments.command).await,
        CliCommand::Completions { shell } => generate::completions(shell),
        CliCommand::Man => generate::man(),
        CliCommand::Generate { directory } => generate::all(&directory),
        CliCommand::Parse { file } => generate::parse(&file),
    }
}

async fn serve(
    directory: Option<&std::path::Path>,
    environment: &Environment,
    role: Role,
    take_over: bool,
    passed: Option<TcpListener>,
) -> Result<(), Failed> {
    let (loaded, last_good) = session::load_for_daemon(directory, environment, role, take_over)?;
    crate::admin::owner::require_own(&loaded.config.state_directory)?;
    if environment.is_root() {
        tracing::warn!(
            "this runs as root, and so does whatever is pushed to a deployment without a user of its own; `durhack-deployer setup` makes a service with a user"
        );
    }
    let start = Start { directory, environment, role, take_over, passed, last_good };
    match daemon::run(loaded, start).await? {
        ExitMode::Leave => Ok(()),
        ExitMode::PidProxy(replacement, socket) => {
            let error = supervise::become_pid_proxy(replacement, socket);
            Err(Failed::because(anyhow::anyhow!(error).context("cannot stand in for the new deployer")))
        }
    }
}

/// The command line as clap knows it; for man page and completions.
pub fn command() -> clap::Command {
    examples::added(Cli::command(), "")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
