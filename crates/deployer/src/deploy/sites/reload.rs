//! Having nginx read its configuration again, and proving that it has.
//!
//! A reload is a signal: whoever sends it does not hear whether nginx could do it (the port is taken, a log cannot be opened). An
//! nginx that has read its configuration has new workers; so their process ids are compared. Until an old worker has heard that it is to end,
//! it takes new connections too, and answers them as before: the reload is over when all of them have.

use super::SitesStep;
use super::blame::complaint;
use crate::deploy::processes::table::{self, Process};
use crate::deploy::tools::nginx;
use crate::deploy::workbench::Workbench;
use anyhow::{Context, Result, bail};
use fs_err as fs;
use nginx_policy::configuration::{self, Directive};
use rustix::process::{Pid, test_kill_process};
use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// How long nginx may take to start new workers: it resolves names and reads certificates before.
const WORKERS_WAIT: Duration = Duration::from_secs(20);

/// Between two looks at its workers.
const WORKERS_POLL: Duration = Duration::from_millis(20);

/// Of the error log, what is read after a reload that did nothing.
const LOG_BYTES_MAX: u64 = 64 * 1024;

/// Where nginx's packages put it.
const PID_FILE: &str = "/run/nginx.pid";

/// Reloads nginx. What `nginx -t` has not accepted must not come here.
pub async fn reload(step: &SitesStep, workbench: &Workbench<'_>) -> Result<()> {
    let settings = Settings::read(step)?;
    let master = settings.master()?;
    let before = workers(master);
    let log_end =
        settings.error_log.as_deref().map_or(0, |path| fs::metadata(path).map_or(0, |found| found.len()));
    workbench.call(&nginx::reload(&step.nginx, step.privileges)).await?;
    let Some(before) = before.map(|before| before.iter().map(Process::identity).collect()) else {
        workbench.note("nginx's workers cannot be seen from here: that it has reloaded is not proven");
        return Ok(());
    };
    let give_up = Instant::now() + WORKERS_WAIT;
    while !has_taken_over(master, &before) {
        if Instant::now() > give_up {
            let why = settings.last_complaint(log_end).unwrap_or_else(|| "its error log says nothing".into());
            bail!("nginx was told to reload and did not: {why}");
        }
        workbench.pause(WORKERS_POLL).await?;
    }
    workbench.note(format!("nginx (process {master}) has new workers"));
    Ok(())
}

struct Settings {
    pid_file: PathBuf,
    error_log: Option<PathBuf>,
}

impl Settings {
    fn read(step: &SitesStep) -> Result<Self> {
        let text = String::from_utf8_lossy(&fs::read(&step.nginx.configuration)?).into_owned();
        let directives = configuration::parse(&text)
            .with_context(|| format!("cannot read {}", step.nginx.configuration.display()))?;
        let base = step.nginx.prefix.as_deref().unwrap_or(Path::new("/"));
        let path = |name: &str| {
            let found = directives.iter().find(|directive| directive.name() == name);
            found.and_then(Directive::argument).map(|path| base.join(path))
        };
        Ok(Self { pid_file: path("pid").unwrap_or_else(|| PID_FILE.into()), error_log: path("error_log") })
    }

    fn master(&self) -> Result<i32> {
        let file = self.pid_file.display();
        let text = fs::read_to_string(&self.pid_file).context("nginx does not seem to run")?;
        let pid: i32 = text.trim().parse().with_context(|| format!("{file} holds no process id"))?;
        let process = Pid::from_raw(pid).with_context(|| format!("{file} holds no process id"))?;
        match test_kill_process(process) {
            Err(rustix::io::Errno::SRCH) => bail!("nginx does not run: {file} names a process that is gone"),
            _ => Ok(pid),
        }
    }

    /// What nginx has complained of since the log had this length.
    fn last_complaint(&self, log_end: u64) -> Option<String> {
        let mut file = fs::File::open(self.error_log.as_deref()?).ok()?;
        file.seek(SeekFrom::Start(log_end)).ok()?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        text.lines().rev().find_map(complaint).map(str::to_owned)
    }
}

/// Whether there are new workers, and no old one takes connections any more.
fn has_taken_over(master: i32, before: &BTreeSet<(i32, u64)>) -> bool {
    let now = workers(master).unwrap_or_default();
    let is_old = |worker: &&Process| before.contains(&worker.identity());
    // What nginx calls its processes is the only sign of it.
    let ends = |worker: &Process| worker.arguments.iter().any(|words| words.contains("shutting down"));
    now.iter().any(|worker| !is_old(&worker)) && now.iter().filter(is_old).all(ends)
}

/// The children of nginx's master; None where the kernel does not show them to us.
fn workers(master: i32) -> Option<Vec<Process>> {
    table::read(master)?;
    let processes = table::all().ok()?;
    Some(processes.into_iter().filter(|process| process.parent == master).collect())
}
