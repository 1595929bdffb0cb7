//! The record's schema: brought up as soon as the database lets us, while everything that works waits for it.

use crate::base::clock;
use crate::pipeline::context::Host;
use crate::process::claim;
use crate::process::env_files::EnvRules;
use crate::process::sandbox::Walls;
use crate::process::step_context::{LogEvent, StepContext};
use crate::steps::self_update;
use crate::store::StoreError;
use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two attempts while the database is away.
const MIGRATE_PAUSE: Duration = Duration::from_secs(1);

/// The record's schema, which everything that works waits for.
#[derive(Clone)]
pub struct Schema {
    host: Host,
    is_up: Arc<OnceCell<()>>,
    /// Whether it was logged that the database is away: one line for all who wait.
    said: Arc<AtomicBool>,
    stop: CancellationToken,
}

impl Schema {
    /// Of this record, waited for until told to stop.
    pub fn new(host: Host, stop: CancellationToken) -> Self {
        Self { host, is_up: Arc::default(), said: Arc::default(), stop }
    }

    /// The same, waited for until told so otherwise.
    pub fn until(&self, stop: CancellationToken) -> Self {
        Self { stop, ..self.clone() }
    }

    /// Waits until it is up, for as long as the database does not let us. False: told to stop before that.
    pub async fn up(&self) -> bool {
        loop {
            match self.is_up.get_or_try_init(|| bring_schema_up(&self.host)).await {
                Ok(()) => return true,
                Err(error) if !self.said.swap(true, Ordering::Relaxed) => {
                    let hint = error.downcast_ref::<StoreError>().and_then(|error| {
                        matches!(error, StoreError::Gone { .. }).then_some(StoreError::GONE_MEND)
                    });
                    let error = format!("{error:#}");
                    tracing::error!(
                        error,
                        hint,
                        "the database cannot be used yet: deliveries are accepted and wait"
                    );
                }
                Err(_) => {}
            }
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = tokio::time::sleep(MIGRATE_PAUSE) => {}
            }
        }
    }
}

pub async fn bring_schema_up(host: &Host) -> Result<()> {
    claim::expect_no_database(&host.config, &host.store)?;
    take_schema_back(host).await?;
    // sqlx's migrator is not `Send`: it is waited for on a thread that may block.
    let (runtime, store) = (tokio::runtime::Handle::current(), host.store.clone());
    tokio::task::spawn_blocking(move || runtime.block_on(store.migrate(clock::now_ms()))).await??;
    let foreign = host.store.foreign().await?;
    if !foreign.is_none() {
        tracing::error!(
            rows = foreign.shown(),
            "the database holds what this deployer has not written: none of it is acted on; `durhack-deployer doctor` says what to do"
        );
    }
    Ok(())
}

/// How long undoing the schema may take: as long as bringing it up.
const SCHEMA_DEADLINE: Duration = Duration::from_secs(120);

/// Where a replacement that did not become one has brought the database to its own schema: has it undo that. Only then can
/// this program use the database.
pub async fn take_schema_back(host: &Host) -> Result<()> {
    let Some(pending) = self_update::pending(&host.config.state_directory)? else { return Ok(()) };
    if host.this_process.is(&pending.program) {
        return Ok(());
    }
    let applied = host.store.applied_versions().await?;
    let further = applied.iter().filter(|version| !pending.schema.contains(version)).count();
    if further == 0 {
        return Ok(());
    }
    tracing::warn!(migrations = further, run = pending.run, "undoing the new program's migrations");
    let program = &pending.program;
    let never = CancellationToken::new();
    let hear = |heard: LogEvent<'_>| match heard {
        LogEvent::Note(text) | LogEvent::Shortcoming(text) => {
            tracing::info!("{text}");
        }
        LogEvent::Line(line) => tracing::info!("{}", line.text),
        LogEvent::Cause { .. } => {}
    };
    let step_context = StepContext {
        executor: &host.executor,
        environment: &host.this_process.environment,
        walls: &Walls::default(),
        env_rules: &EnvRules::default(),
        directory: &program.working_directory,
        ends_at: Instant::now() + SCHEMA_DEADLINE,
        cancel: &never,
        hear: &hear,
    };
    // Nobody is there to be asked, and nothing of ours is in what the new program has added.
    let further = further.to_string();
    let down = program.call(&["migrate", "down", "--steps", &further, "--yes", "--has-backup"]);
    step_context.call(&down).await.context("cannot undo the new program's migrations")?;
    Ok(())
}
