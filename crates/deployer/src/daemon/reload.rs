//! `systemctl reload`, or SIGHUP: the configuration is read anew while everything goes on.
//!
//! One that has an error, be it in one deployment only, changes nothing: what served goes on serving, and the log and the service
//! manager's status say why. A good one holds at once for whoever calls from then on: the listening socket stays, those who are
//! being answered are answered by what they came to. Behind that, runs that are in progress end as they began; nothing new is begun
//! until they have, and what arrives meanwhile waits in the spool; then everything is started again.
//!
//! Not changed without a restart: where the state lies, what the environment said at the start, and systemd's credentials.

use super::listener::Listening;
use super::service_manager::ServiceManager;
use super::state_directory::take_locks;
use super::tasks::Tasks;
use super::{Daemon, Role, host, keep_github_meta, last_good};
use crate::base::clock::readable_utc;
use crate::base::words::counted;
use crate::config::{self, Diagnostics, Problem, Severity};
use crate::intake::http;
use crate::pipeline::context::Host;
use crate::plan::recipes::REFERENCE;
use anyhow::{Context, Result, bail};
use std::sync::Arc;
use std::time::Duration;

/// How often a configuration with errors is looked at again.
const MENDED_POLL: Duration = Duration::from_secs(1);

impl Daemon {
    /// Takes the new configuration as far as it can be taken now. An error: the old one holds.
    pub(super) async fn reload(&mut self) -> Result<()> {
        let next = self.load_anew(Strictness::NoError)?;
        self.take(next).await
    }

    /// Where it started by the last good configuration: waits until what is written can be used. For ever otherwise.
    pub(super) async fn mended(&self) {
        if self.last_good.is_none() {
            std::future::pending::<()>().await;
        }
        loop {
            tokio::time::sleep(MENDED_POLL).await;
            let (directory, environment) = (self.directory.clone(), self.environment.clone());
            let purpose = self.full_role.purpose();
            // The files, secrets among them, may lie on a file system that hangs.
            let is_good =
                move || config::load(&REFERENCE, directory.as_deref(), &environment, purpose).is_ok();
            if tokio::task::spawn_blocking(is_good).await.unwrap_or(false) {
                return;
            }
        }
    }

    /// Goes by what is written from now on, and does what it was started for. An error ends it: only a new start can help.
    pub(super) async fn begin_as_written(&mut self, service_manager: Option<&ServiceManager>) -> Result<()> {
        self.role = self.full_role;
        let next = self.load_anew(Strictness::AsAtStart).context("the configuration was mended")?;
        self.take(next).await?;
        if self.full_role != Role::Listen {
            // The worker's alone: the intake's is held. A command that looks has it for a moment, another daemon for long.
            let mut told = String::new();
            let locks = loop {
                match take_locks(&self.host.config.state_directory, Role::Work).await {
                    Ok(locks) => break locks,
                    Err(error) => {
                        let error = format!("{error:#}");
                        if error != told {
                            tracing::warn!(error, "nothing is deployed yet");
                            told = error;
                        }
                    }
                }
                tokio::time::sleep(MENDED_POLL).await;
            };
            self.locks.extend(locks);
            self.start_work()?;
        }
        self.last_good = None;
        tracing::info!("the configuration was mended, and holds from now on");
        if let Some(service_manager) = service_manager {
            service_manager.status(&self.status());
        }
        Ok(())
    }

    async fn take(&mut self, next: Host) -> Result<()> {
        let (before, after) = (&self.configured().intake, &next.config.intake);
        let moved = (&before.host, before.port) != (&after.host, after.port);
        let socket = match &self.listener {
            Some(listener) if moved && listener.listening == Listening::Passed => {
                tracing::warn!("`listen` has no effect: the port is that of the systemd socket unit");
                None
            }
            Some(_) if moved => Some(http::listen(&after.host, after.port).await?.into_std()?),
            _ => None,
        };
        let background = Tasks::new(&self.crashed);
        let known = keep_github_meta(&next.config, self.role, &background);
        if let Some(listener) = &mut self.listener
            && let Err(error) = listener.change(&next, known, socket, &self.crashed)
        {
            background.stop.cancel();
            return Err(error);
        }
        std::mem::replace(&mut self.background, background).stop.cancel();
        match &self.work {
            Some(work) => {
                work.take_no_more();
                self.next = Some(next);
            }
            None => self.put_in_place(next),
        }
        Ok(())
    }

    fn load_anew(&self, strictness: Strictness) -> Result<Host> {
        let loaded =
            config::load(&REFERENCE, self.directory.as_deref(), &self.environment, self.full_role.purpose());
        let loaded = loaded.map_err(|problems| refused(&problems))?;
        let is_strict = strictness == Strictness::NoError;
        if is_strict && loaded.problems.problems().iter().any(|problem| problem.severity == Severity::Error) {
            return Err(refused(&loaded.problems));
        }
        say(&loaded.problems);
        if loaded.config.state_directory != self.configured().state_directory {
            bail!("`state_directory` has changed, which needs a restart");
        }
        last_good::keep(&loaded, self.full_role);
        let fresh = host(Arc::new(loaded.config), &self.environment)?;
        Ok(Host { this_process: Arc::clone(&self.host.this_process), ..fresh })
    }

    /// What was loaded last, whether it holds everywhere already or not.
    fn configured(&self) -> &config::Config {
        &self.next.as_ref().unwrap_or(&self.host).config
    }

    /// Waits until no run of before the reload is in progress; for ever where there was none. May be dropped while it waits.
    pub(super) async fn runs_ended(&self) {
        match (&self.next, &self.work) {
            (Some(_), Some(work)) => work.rest().await,
            _ => std::future::pending().await,
        }
    }

    /// Starts everything again, by what was loaded.
    pub(super) async fn begin_anew(&mut self) -> Result<()> {
        if let Some(work) = self.work.take() {
            work.end(&self.host, std::future::pending()).await;
        }
        self.take_next();
        self.start_work().context("the new configuration cannot be worked with")
    }

    fn put_in_place(&mut self, next: Host) {
        *self.store.lock().expect("nothing that holds this lock can panic") = next.store.clone();
        self.host = next;
    }

    /// From now on everything is by what was loaded last.
    pub(super) fn take_next(&mut self) {
        if let Some(next) = self.next.take() {
            self.put_in_place(next);
            tracing::info!("the new configuration holds everywhere");
        }
    }

    /// What there is to say of a daemon that does its work.
    pub(super) fn status(&self) -> String {
        let deployments = counted(self.configured().deployments.len(), "deployment", "deployments");
        let doing = match (&self.listener, &self.work) {
            (Some(_), Some(_)) => format!("receiving pushes, and deploying {deployments}"),
            (Some(_), None) => "receiving pushes".to_owned(),
            _ => format!("deploying {deployments}"),
        };
        let waiting = match self.next.is_some() {
            true => "; the new configuration waits for the end of a run",
            false => "",
        };
        let by = match self.last_good {
            Some(at_ms) => format!(
                "; BY THE LAST GOOD CONFIGURATION, of {} UTC: what is written has errors, and nothing is deployed until they are mended",
                readable_utc(at_ms)
            ),
            None => String::new(),
        };
        format!("{doing}, version {}{waiting}{by}", env!("CARGO_PKG_VERSION"))
    }
}

/// How good a configuration must be to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// Without an error: something better is at work.
    NoError,
    /// One that a daemon would start with: deployments with errors are left out.
    AsAtStart,
}

fn refused(problems: &Diagnostics) -> anyhow::Error {
    say(problems);
    let errors = problems.problems().iter().filter(|problem| problem.severity == Severity::Error).count();
    anyhow::anyhow!(
        "the new configuration has {} (`durhack-deployer config check` shows them)",
        counted(errors, "error", "errors")
    )
}

/// One line for each thing that is wrong: a log is read by lines.
pub fn say(problems: &Diagnostics) {
    for Problem { severity, message, help, key, position, .. } in problems.problems() {
        let at = position.as_ref().map(|position| {
            let (line, column) = position.line_and_column();
            format!("{}:{line}:{column}", position.file().display())
        });
        match severity {
            Severity::Error => tracing::error!(key, at, help, "configuration: {message}"),
            Severity::Warning => tracing::warn!(key, at, help, "configuration: {message}"),
            Severity::Note => tracing::info!(key, at, help, "configuration: {message}"),
        }
    }
}
