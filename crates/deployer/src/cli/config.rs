//! `config` and `migrate`.

use super::output::{self, Failed, GREEN, table};
use super::{CheckArguments, ConfigCommand, MigrateCommand, owner, session};
use crate::config::resolve;
use crate::config::{self, Deployment, Diagnostics, Environment, Purpose, Severity, reference};
use crate::deploy::{hand_over, release, situation};
use crate::record::run_log::rendering::plain;
use crate::record::store::{Authenticator, Store};
use anyhow::anyhow;
use serde_json::json;
use std::path::Path;

/// `config`
pub fn run(
    directory: Option<&Path>,
    environment: &Environment,
    command: &ConfigCommand,
) -> Result<(), Failed> {
    match command {
        ConfigCommand::Check(arguments) => check(directory, environment, arguments),
        ConfigCommand::Show(arguments) => show(directory, environment, arguments.json),
        ConfigCommand::Schema => {
            output::json(&reference::json_schema());
            Ok(())
        }
        ConfigCommand::Reference => {
            print!("{}", reference::reference_markdown());
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
    let (problems, summary) = match config::load(directory, environment, purpose) {
        Ok(loaded) => {
            let in_place = |deployment: &&Deployment| release::looks_in_place(deployment);
            for deployment in loaded.config.deployments.values().filter(in_place) {
                eprintln!("warning: {}", situation::in_place_warning(deployment));
            }
            let count = loaded.config.deployments.len();
            let mut problems = loaded.problems;
            if let Some(problem) = resolve::open_database(&loaded.config) {
                problems.push(problem);
            }
            (problems, Some(format!("{count} deployments, {} layers", loaded.layers.len())))
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
        anstream::println!("{GREEN}the configuration is right{GREEN:#}: {summary}");
    }
    Ok(())
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
        print!("{}", loaded.merged.to_text());
    }
    Ok(())
}

/// `migrate`
pub async fn migrate(
    directory: Option<&Path>,
    environment: &Environment,
    command: &MigrateCommand,
) -> Result<(), Failed> {
    let loaded = session::read(directory, environment, Purpose::Ask)?;
    owner::leave_to_owner_of(&loaded.config.state_directory, environment).await?;
    session::print(&loaded.problems);
    crate::daemon::prepare_state_directory(&loaded.config.state_directory)?;
    let store =
        Store::open(loaded.config.database_url.expose(), Authenticator::new(&loaded.config.state_directory))?;
    match command {
        MigrateCommand::Up => {
            store.migrate(crate::clock::now_ms()).await?;
            println!("the schema is up to date");
        }
        MigrateCommand::Check => {
            let irreversible = hand_over::irreversible(&store.migration_status().await?);
            if !irreversible.is_empty() {
                return Err(Failed::because(anyhow!("cannot be taken back: {}", irreversible.join(", "))));
            }
            store.rehearse_migration().await?;
            println!("the database has, or can be given, this program's schema");
        }
        MigrateCommand::Down { steps } => {
            let taken_back = store.migrate_down(*steps as usize).await?;
            println!("{taken_back} migrations taken back");
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
            table(&["VERSION", "MIGRATION", "STATE"], &rows, None);
        }
    }
    Ok(())
}

/// `migrate trust`
async fn trust(store: &Store, is_said: bool) -> Result<(), Failed> {
    let foreign = store.foreign().await?;
    if foreign.is_none() {
        println!("everything in the database is signed already");
        return Ok(());
    }
    println!("not signed: {}", foreign.shown());
    for run in store.unfinished_runs(None).await? {
        println!(
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
    println!("signed: from now on the deployer acts on it");
    Ok(())
}
