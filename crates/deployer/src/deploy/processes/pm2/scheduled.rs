//! Applications that a clock starts: registering them without starting them, and leaving alone the one that is at work.
//!
//! PM2 has no command for that. `start` starts; with `autostart: false` it does not, but PM2 7 then never starts the application at
//! all, not even when its time has come. What PM2 does have is `resurrect`: what was saved as stopped comes back stopped, with its
//! clock running. So the application is registered with `autostart: false`, which resolves its paths as PM2 does, and saved; deleted; and
//! brought back from what was saved of it, without that word. `resurrect` reads only PM2's own file, so it is called with a home beside it,
//! from which links lead to the daemon's sockets.

use super::Scene;
use super::changes::changes;
use super::definition::Definition;
use crate::deploy::execute::Manner;
use crate::deploy::tools::pm2::{self, Process};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::time::Duration;

/// Between two looks at one that is at work.
const PAUSE: Duration = Duration::from_secs(1);

/// The home beside PM2's own.
const BESIDE: &str = "beside";

impl Scene<'_> {
    /// Waits while a scheduled application that must be replaced or removed is at work. Nothing is locked meanwhile.
    pub(super) async fn wait_for_scheduled(&self, wanted: &[Definition]) -> Result<()> {
        let mut told = false;
        loop {
            let processes = self.processes().await?;
            let busy = changes(self.of.owner(), wanted, &processes, &|_, _| true).busy.join(", ");
            if busy.is_empty() {
                return Ok(());
            }
            if !told {
                self.workbench
                    .note(format!("{busy} is at work, and its definition changes: waiting until it is done"));
                told = true;
            }
            self.workbench.pause(PAUSE).await.with_context(|| {
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
        let file = self.write("register.json", asleep)?;
        let started = self.pm2(pm2::start(&file)).await;
        fs_err::remove_file(&file)?;
        started?;
        self.home.save(&self.workbench).await?;
        let saved: Vec<Value> =
            serde_json::from_str(&self.home.saved()?).context("what PM2 saves is no list")?;
        let is_new =
            |name: Option<&str>| definitions.iter().any(|definition| name == Some(definition.name.as_str()));
        let awake: Vec<Value> =
            saved.into_iter().filter(|saved| is_new(saved["name"].as_str())).map(awake).collect();
        let is_asleep = |process: &&Process| is_new(Some(&process.name)) && process.is_dormant();
        let ids: Vec<u64> =
            self.processes().await?.iter().filter(is_asleep).filter_map(|process| process.id).collect();
        self.delete(&ids).await?;
        self.resurrect(&json!(awake)).await
    }

    async fn resurrect(&self, saved: &Value) -> Result<()> {
        let beside = self.home.private(BESIDE);
        fs_err::create_dir_all(&beside)?;
        for socket in ["rpc.sock", "pub.sock"] {
            let link = beside.join(socket);
            if fs_err::symlink_metadata(&link).is_err() {
                fs_err::os::unix::fs::symlink(self.home.directory().join(socket), &link)?;
            }
        }
        // PM2 greets whom it does not know with a banner and a question to its makers.
        fs_err::write(beside.join("touch"), "")?;
        let file = self.home.write(&format!("{BESIDE}/dump.pm2"), &saved.to_string())?;
        let mut command = self.home.command(pm2::resurrect());
        command.environment.insert("PM2_HOME".into(), beside.to_string_lossy().into_owned());
        let resurrected = self.workbench.ask(&command, Manner::Answer).await;
        fs_err::remove_file(&file)?;
        resurrected.map(drop)
    }
}

/// What was saved of an application that never starts, as that of one whose time has not come.
fn awake(mut saved: Value) -> Value {
    if let Some(saved) = saved.as_object_mut() {
        saved.remove("autostart");
        saved.insert("status".into(), json!("stopped"));
    }
    saved
}
