//! Applications that a clock starts: registering them without starting them, and leaving alone the one that is at work.
//!
//! PM2 has no command for that. `start` starts; with `autostart: false` it does not, but PM2 7 then never starts the application at
//! all, not even when its time has come. What PM2 does have is `resurrect`: what was saved as stopped comes back stopped, with its
//! clock running. So the application is registered with `autostart: false`, which resolves its paths as PM2 does, and saved; deleted; and
//! brought back from what was saved of it, without that word. `save` and `resurrect` know only PM2's own file, which is for the next boot: so
//! they are called with a home beside it, from which links lead to the daemon's sockets.

use super::Scene;
use super::changes::changes;
use super::definition::Definition;
use crate::config::CommandLine;
use crate::process::tools::pm2::{self, Pm2Process};
use anyhow::{Context, Result};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// Between two looks at one that is at work.
const PAUSE: Duration = Duration::from_secs(1);

/// The home beside PM2's own.
const BESIDE: &str = "beside";

/// Leaves in a dump what has one of these names, as an application whose time has not come. By node, which is there where PM2 is: the dump
/// holds secrets, and may be another user's.
const WAKE: &str = r#"
const { readFileSync, writeFileSync } = require("node:fs");
const [, dump, ...names] = process.argv;
const saved = JSON.parse(readFileSync(dump, "utf8")).filter((application) => names.includes(application.name));
for (const application of saved) { delete application.autostart; application.status = "stopped"; }
writeFileSync(dump, JSON.stringify(saved));
"#;

impl Scene<'_> {
    /// Waits while a scheduled application that must be replaced or removed is at work. Nothing is locked meanwhile.
    pub(super) async fn wait_for_scheduled(&self, wanted: &[Definition]) -> Result<()> {
        let mut told = false;
        loop {
            self.attend().await?;
            let processes = self.processes().await?;
            let busy = changes(self.of.owner(), wanted, &processes, &|_, _| true).busy.join(", ");
            if busy.is_empty() {
                return Ok(());
            }
            if !told {
                self.step_context
                    .note(format!("{busy} is at work, and its definition changes: waiting until it is done"));
                told = true;
            }
            self.step_context.pause(PAUSE).await.with_context(|| {
                format!("{busy} was at work all the time, and its definition changes\nhint: a job has to end itself (`process.exit()`), PM2 keeps it alive otherwise; `pm2 stop {busy}` ends it now")
            })?;
        }
    }

    /// Registers them. None of their names may be there.
    pub(super) async fn register(&self, definitions: &[&Definition]) -> Result<()> {
        let origin = self.origin(&[]);
        let asleep = definitions.iter().map(|definition| {
            let mut application = definition.application(origin);
            application["autostart"] = json!(false);
            application
        });
        let file = self.write("register.json", asleep.collect()).await?;
        let started = self.pm2(pm2::start(&file)).await;
        self.home.remove(&[file], &self.step_context).await?;
        started?;
        let dump = self.home.private(&format!("{BESIDE}/dump.pm2"));
        let registered = self.wake(definitions, &dump).await;
        // It holds secrets, and so does what PM2 keeps of it.
        self.home.remove(&[dump.clone(), dump.with_extension("pm2.bak")], &self.step_context).await?;
        registered
    }

    /// Of what was registered asleep, makes what its clock will start. `dump` is what is saved beside.
    async fn wake(&self, definitions: &[&Definition], dump: &Path) -> Result<()> {
        self.beside(pm2::save()).await?;
        let is_new = |name: &str| definitions.iter().any(|definition| definition.name.as_str() == name);
        let is_asleep = |process: &&Pm2Process| is_new(&process.name) && process.is_dormant();
        let ids: Vec<u64> =
            self.processes().await?.iter().filter(is_asleep).filter_map(|process| process.id).collect();
        self.delete(&ids).await?;
        let words = ["node", "--eval", WAKE, "--", &dump.to_string_lossy()].map(str::to_owned);
        let names = definitions.iter().map(|definition| definition.name.to_string());
        let line = CommandLine::Argv(words.into_iter().chain(names).collect());
        self.home
            .ask(&self.home.command(line), &self.step_context)
            .await
            .context("what PM2 saves is no list")?;
        self.beside(pm2::resurrect()).await
    }

    /// A call of PM2 that has its files beside the daemon's.
    async fn beside(&self, line: CommandLine) -> Result<()> {
        let beside = self.home.make_beside(BESIDE, &self.step_context).await?;
        let mut command = self.home.command(line);
        command.environment.insert("PM2_HOME".into(), beside.to_string_lossy().into_owned());
        self.home.ask(&command, &self.step_context).await.map(drop)
    }
}
