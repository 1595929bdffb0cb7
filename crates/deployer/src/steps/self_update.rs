//! Handing over: this deployer gives its place to the one of a new release, and keeps it where that one does not come up.
//!
//! A run cannot do that alone, for it ends with the process that carries it out. So the run's part is small: wait until no
//! other run is in progress, keep new ones from starting, and ask the daemon ([`SelfUpdateRequest`]); from then on the run is left as it is, its
//! step recorded as started. `daemon::self_update` does the rest. What was being attempted stands in a file, [`Pending`], until the run is
//! settled; whoever serves next, the new program, the old one, or one started after a crash of either, reads there what
//! it is to that run: the replacement, who completes it, or another process, which rolls it back.
//!
//! `current` is moved only after the new program has said that it is ready. So what it names has been seen to start, and a
//! crash at any moment starts one that works.

use super::release;
use crate::config::{CommandLine, HealthCheck};
use crate::process::step_context::StepContext;
use crate::store::MigrationStatus;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The file in the state directory that says what is being attempted.
const PENDING_FILE: &str = "hand-over.json";

/// What a daemon knows of itself.
#[derive(Debug, Clone)]
pub struct ThisProcess {
    /// The file that it runs from.
    pub executable: PathBuf,
    /// With which it was started.
    pub environment: BTreeMap<String, String>,
    /// In which it was started.
    pub working_directory: PathBuf,
    /// Where a run asks it for a self-update; None where this is no daemon but a command.
    pub requests: Option<mpsc::Sender<SelfUpdateRequest>>,
}

/// A deployer's program, and how it is to be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The release that it belongs to.
    pub release: PathBuf,
    /// The file, inside the release.
    pub file: PathBuf,
    /// Where its configuration lies.
    pub configuration: PathBuf,
    /// Where it is started.
    pub working_directory: PathBuf,
}

/// What a self-update is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelfUpdate {
    /// The release that is live afterwards.
    pub release: String,
    pub program: Program,
    /// What must hold while it alone answers.
    pub health: Vec<HealthCheck>,
}

/// What a run asks its daemon for.
#[derive(Debug)]
pub struct SelfUpdateRequest {
    /// What is attempted.
    pub pending: Pending,
    /// The same, as planned.
    pub planned: SelfUpdate,
    /// The number of the run's step, for its log.
    pub step: u32,
    /// When the step must be over.
    pub ends_at: Instant,
}

/// What is being attempted, or has been, for a run that is not settled yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    pub deployment: String,
    pub run: String,
    pub program: Program,
    /// The migrations that the database had before.
    pub schema: Vec<i64>,
    /// Why nothing came of it, once that is known.
    pub refused: Option<String>,
}

impl ThisProcess {
    /// This process, as its configuration's directory was found by it.
    pub fn of_process(environment: &crate::config::Environment) -> Self {
        let variables = environment.variables();
        Self {
            // Where it was replaced or removed, its path says so at its end, and is no release's.
            executable: fs_err::read_link("/proc/self/exe").unwrap_or_default(),
            environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            working_directory: environment.working_directory().to_owned(),
            requests: None,
        }
    }

    /// Whether this is that program.
    pub fn is(&self, program: &Program) -> bool {
        let release = program.release.canonicalize().unwrap_or_else(|_| program.release.clone());
        self.executable.starts_with(release)
    }
}

impl Program {
    /// The call that has it check the configuration with which it would start.
    fn check_configuration(&self) -> CommandLine {
        self.call(&["config", "check"])
    }

    fn check_migrations(&self) -> CommandLine {
        self.call(&["migrate", "check"])
    }

    /// The call of one of its subcommands, with its configuration.
    pub fn call(&self, words: &[&str]) -> CommandLine {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let own = [text(&self.file), "--config".into(), text(&self.configuration)];
        CommandLine::Argv(own.into_iter().chain(words.iter().map(|word| (*word).to_owned())).collect())
    }

    /// One line for people.
    pub fn shown(&self) -> String {
        let [configuration, migrations] = [self.check_configuration(), self.check_migrations()];
        format!("{} && {}", configuration.shown(), migrations.shown())
    }

    /// Has the new program say whether it would start here: with this configuration, and with this database.
    pub async fn examine(&self, this_process: &ThisProcess, step_context: &StepContext<'_>) -> Result<()> {
        let file =
            self.file.canonicalize().with_context(|| format!("there is no {}", self.file.display()))?;
        let release = self.release.canonicalize()?;
        if !file.starts_with(&release) {
            bail!(
                "{} lies outside the release, in {}\nhint: have `build` put the program itself into the release",
                self.file.display(),
                file.display()
            );
        }
        let step_context = StepContext {
            environment: &this_process.environment,
            directory: &self.working_directory,
            ..*step_context
        };
        step_context
            .call(&self.check_configuration())
            .await
            .context("the new program refuses the configuration")?;
        step_context.call(&self.check_migrations()).await.context("the new program refuses the database")?;
        Ok(())
    }
}

impl SelfUpdate {
    /// One line for people.
    pub fn shown(&self) -> String {
        format!("hand over to {}, and link current -> releases/{}", self.program.file.display(), self.release)
    }
}

/// What is being attempted, if anything is.
pub fn pending(state_directory: &Path) -> Result<Option<Pending>> {
    match fs_err::read(state_directory.join(PENDING_FILE)) {
        Ok(bytes) => {
            let file =
                || format!("{} cannot be read; remove it", state_directory.join(PENDING_FILE).display());
            serde_json::from_slice(&bytes).map(Some).with_context(file)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Pending {
    /// Writes it down, durably.
    pub fn save(&self, state_directory: &Path) -> Result<()> {
        let file = state_directory.join(PENDING_FILE);
        let temporary = file.with_extension("new");
        let text = serde_json::to_vec_pretty(self).expect("texts and numbers serialise");
        fs_err::write(&temporary, text)?;
        fs_err::File::open(&temporary)?.sync_all()?;
        fs_err::rename(&temporary, &file)?;
        release::sync_directory(state_directory)
    }

    /// The run is settled.
    pub fn forget(state_directory: &Path) -> Result<()> {
        match fs_err::remove_file(state_directory.join(PENDING_FILE)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => release::sync_directory(state_directory),
        }
    }
}

/// Why migrations are not to be relied on: one that the database does not have cannot be undone.
pub fn irreversible(migrations: &[MigrationStatus]) -> Vec<String> {
    let missing = migrations.iter().filter(|migration| !migration.applied && !migration.reversible);
    missing.map(|migration| format!("{} {}", migration.version, migration.description)).collect()
}
