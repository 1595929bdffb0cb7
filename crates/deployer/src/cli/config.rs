//! `config` and `migrate`.

use super::{CheckArguments, ConfigCommand, MigrateCommand, session};
use crate::admin::owner;
use crate::base::clock::{compact_utc, now};
use crate::base::words::counted;
use crate::config::{
    self, Config, Deployment, Diagnostics, Environment, Problem, Purpose, Severity, reference, resolve,
};
use crate::daemon;
use crate::pipeline::{live_state, preflight};
use crate::plan::recipes::REFERENCE;
use crate::process::{claim, lock, process_table};
use crate::run_log::rendering::plain;
use crate::steps::{release, self_update};
use crate::store::{Authenticator, MigrationStatus, Store};
use crate::terminal::failed::Failed;
use crate::terminal::style::GREEN;
use crate::terminal::{output, printing};
use anyhow::anyhow;
use serde_json::json;
use std::path::Path;

pub fn run(
    directory: Option<&Path>,
    environment: &Environment,
    command: &ConfigCommand,
) -> Result<(), Failed> {
    match command {
        ConfigCommand::Check(arguments) => check(directory, environment, arguments),
        ConfigCommand::Show(arguments) => show(directory, environment, arguments.json),
        ConfigCommand::Schema => {
            output::json(&reference::json_schema(&REFERENCE));
            Ok(())
        }
        ConfigCommand::Reference => {
            printing::text(&reference::reference_markdown(&REFERENCE));
            Ok(())
        }
    }
}

fn check(
    directory: Option<&Path>,
    environment: &Environment,
    arguments: &CheckArguments,
) -> Result<(), Failed> {
    let as_json = arguments.json;
    let purpose = if arguments.no_secrets { Purpose::Ask } else { Purpose::Check };
    let (problems, summary) = match config::load(&REFERENCE, directory, environment, purpose) {
        Ok(loaded) => {
            let in_place = |deployment: &&Deployment| release::looks_in_place(deployment);
            for deployment in loaded.config.deployments.values().filter(in_place) {
                print_error_line!("warning: {}", live_state::in_place_warning(deployment));
            }
            let count = loaded.config.deployments.len();
            let mut problems = loaded.problems;
            if let Some(problem) = resolve::open_database(&loaded.config) {
                problems.push(problem);
            }
            for deployment in loaded.config.deployments.values().filter(|deployment| deployment.enabled) {
                missing_files(deployment).into_iter().for_each(|problem| problems.push(problem));
            }
            (
                problems,
                Some(format!(
                    "{}, {}",
                    counted(count, "deployment", "deployments"),
                    counted(loaded.layers.len(), "layer", "layers")
                )),
            )
        }
        Err(problems) => (problems, None),
    };
    if as_json {
        output::json(&json!({ "ok": !has_errors(&problems), "problems": problems.problems() }));
    } else {
        session::print(&problems);
    }
    if has_errors(&problems) {
        return Err(Failed::silent());
    }
    if let (false, Some(summary)) = (as_json, summary) {
        print_line!("{GREEN}the configuration is right{GREEN:#}: {summary}");
    }
    Ok(())
}

/// What runs would need, and is not on this host. The configuration may be checked on another one, so nothing of it is an error.
fn missing_files(deployment: &Deployment) -> Vec<Problem> {
    let missing = preflight::missing_files(deployment, release::layout_found(deployment));
    missing
        .into_iter()
        .map(|(key, file)| Problem {
            severity: Severity::Warning,
            key: Some(format!("deployments.{}.{key}", deployment.slug)),
            ..Problem::error(format!("{}: there is no {} on this host", deployment.slug, file.display()))
                .help(format!("put it there before the first deploy, or take it out of `{key}`"))
        })
        .collect()
}

/// Whether there is an error, be it only in one deployment.
fn has_errors(problems: &Diagnostics) -> bool {
    problems.problems().iter().any(|problem| problem.severity == Severity::Error)
}

fn show(directory: Option<&Path>, environment: &Environment, as_json: bool) -> Result<(), Failed> {
    let loaded = session::load(directory, environment, Purpose::Check)?;
    if as_json {
        output::json(&loaded.merged.to_json());
    } else {
        printing::text(&loaded.merged.to_text());
    }
    Ok(())
}

pub async fn migrate(
    directory: Option<&Path>,
    environment: &Environment,
    command: &MigrateCommand,
) -> Result<(), Failed> {
    let loaded = session::read(directory, environment, Purpose::Ask)?;
    owner::leave_to_owner_of(&loaded.config.state_directory, environment).await?;
    session::print(&loaded.problems);
    let store =
        Store::open(loaded.config.database_url.expose(), Authenticator::new(&loaded.config.state_directory))?;
    if !matches!(command, MigrateCommand::Up { new: true }) {
        claim::expect_no_database(&loaded.config, &store)?;
    }
    daemon::prepare_state_directory(&loaded.config.state_directory)?;
    match command {
        MigrateCommand::Up { new: true } => match store.migrate_anew(crate::base::clock::now_ms()).await? {
            true => print_line!(
                "there is a database of the deployer's already: it was kept with what is recorded in it, and its schema is up to date"
            ),
            false => print_line!("there is a new database, and the schema is up to date"),
        },
        MigrateCommand::Up { new: false } => {
            store.migrate(crate::base::clock::now_ms()).await?;
            print_line!("the schema is up to date");
        }
        MigrateCommand::Check => {
            let irreversible = self_update::irreversible(&store.migration_status().await?);
            if !irreversible.is_empty() {
                return Err(Failed::because(anyhow!("cannot be undone: {}", irreversible.join(", "))));
            }
            store.rehearse_migration().await?;
            print_line!("the database has, or can be given, this program's schema");
        }
        MigrateCommand::Down { steps, yes, has_backup } => {
            down(&loaded.config, &store, *steps as usize, (*yes, *has_backup)).await?;
        }
        MigrateCommand::Trust { yes } => trust(&store, *yes).await?,
        MigrateCommand::Status(arguments) => {
            let status = store.migration_status().await?;
            if arguments.json {
                output::json(&status);
                return Ok(());
            }
            let rows: Vec<Vec<String>> = status
                .iter()
                .map(|migration| {
                    let state = if migration.applied { "applied" } else { "missing" };
                    vec![migration.version.to_string(), migration.description.clone(), state.to_owned()]
                })
                .collect();
            output::table(&["VERSION", "MIGRATION", "STATE"], &rows, None);
        }
    }
    Ok(())
}

async fn down(
    config: &Config,
    store: &Store,
    steps: usize,
    (yes, has_backup): (bool, bool),
) -> Result<(), Failed> {
    let state = &config.state_directory;
    let is_in_use = daemon::is_working(state)? || daemon::is_listening(state)?;
    if is_in_use && !is_asked_by_daemon(state) {
        return Err(Failed::unavailable(anyhow!("a daemon runs, and works with these tables")).hint(
            "stop it first (`sudo systemctl stop durhack-deployer-worker durhack-deployer-intake`), and start it again with the program that fits",
        ));
    }
    let status = store.migration_status().await?;
    let applied: Vec<&MigrationStatus> = status.iter().filter(|migration| migration.applied).collect();
    let concerned = &applied[applied.len().saturating_sub(steps)..];
    if concerned.is_empty() {
        print_line!("no migration is applied");
        return Ok(());
    }
    for migration in concerned.iter().rev() {
        print_line!("undoes {} ({})", migration.version, migration.description);
    }
    if concerned.len() == applied.len() {
        print_line!("that is all of them: nothing of what is recorded is left, neither runs nor releases");
    }
    if store.file().is_none() && !has_backup {
        return Err(Failed::because(anyhow!("nothing was undone: there is no backup"))
            .hint("make one (`pg_dump`), and say `--has-backup`"));
    }
    crate::terminal::question::agreed(yes, "Undo them, with what is recorded in their tables?")?;
    if let Some(backup) = store.back_up(&compact_utc(now())).await? {
        print_line!("the database as it was is in {}", backup.display());
    }
    let taken_back = store.migrate_down(steps).await?;
    print_line!("{} undone", counted(taken_back, "migration", "migrations"));
    Ok(())
}

/// Whether the daemon that works with the tables has started this process: it has a new program that did not take over undo what that has
/// migrated, and does nothing else meanwhile.
fn is_asked_by_daemon(state_directory: &Path) -> bool {
    let Ok(Some(daemon)) = lock::holder(state_directory, &daemon::work_lock(state_directory)) else {
        return false;
    };
    let parent =
        |pid: &i32| process_table::read(*pid).map(|process| process.parent).filter(|parent| *parent > 1);
    let Some(us) = i32::try_from(std::process::id()).ok() else { return false };
    std::iter::successors(Some(us), parent).skip(1).any(|ancestor| u32::try_from(ancestor) == Ok(daemon))
}

async fn trust(store: &Store, is_said: bool) -> Result<(), Failed> {
    let foreign = store.foreign().await?;
    if foreign.is_none() {
        print_line!("everything in the database is signed already");
        return Ok(());
    }
    print_line!("not signed: {}", foreign.shown());
    for run in store.unfinished_runs(None).await? {
        print_line!(
            "run {} of {} is unfinished; its plan: {}",
            plain(&run.id),
            plain(&run.deployment),
            plain(run.plan.as_deref().unwrap_or("none"))
        );
    }
    if !is_said {
        return Err(Failed::because(anyhow!("nothing was signed")).hint(
            "whoever could write to the database could have put commands into it: look at it, keep others out, and say `--yes`",
        ));
    }
    store.sign_everything().await?;
    print_line!("signed: from now on the deployer acts on it");
    Ok(())
}
