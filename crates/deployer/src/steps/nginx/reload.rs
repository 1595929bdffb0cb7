//! Having nginx read its configuration again, and proving that it has.
//!
//! A reload is a signal: whoever sends it does not hear whether nginx could do it (the port is taken, a log cannot be opened). An
//! nginx that has read its configuration has new workers; so their process ids are compared. Until an old worker has heard that it is to end,
//! it takes new connections too, and answers them as before: the reload is over when all of them have.
//!
//! A configuration that nginx's test accepts can still be one with which no worker lives (`proxy_bind ... transparent` without the right for it).
//! Then new ones end while they start, old ones end as they were told, and nobody answers for any site: that is seen at once, and the new workers
//! are looked at until they have stayed for a while.

use super::SitesStep;
use super::error_mapping::complaint;
use crate::process::process_table::{self, Process};
use crate::process::step_context::StepContext;
use crate::process::tools::nginx;
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

/// Looks in a row that find the same new workers: then they stay.
const STEADY_LOOKS: usize = 10;

/// Looks in a row that find no worker: between two entries of a directory, one may be overlooked once.
const EMPTY_LOOKS: usize = 2;

/// Looks that miss a new worker that was there before. Somebody else may reload at the same time, once or twice.
const RESTLESS_LOOKS: usize = 5;

/// Of the error log, what is read after a reload that did nothing.
const LOG_BYTES_MAX: u64 = 64 * 1024;

/// Where nginx's packages put it.
const PID_FILE: &str = "/run/nginx.pid";

/// Reloads nginx. What `nginx -t` has not accepted must not come here.
pub async fn reload(step: &SitesStep, step_context: &StepContext<'_>) -> Result<()> {
    let settings = Settings::read(step)?;
    let master = settings.master()?;
    let before = workers(master);
    let log_end =
        settings.error_log.as_deref().map_or(0, |path| fs::metadata(path).map_or(0, |found| found.len()));
    step_context.call(&nginx::reload(&step.nginx, step.privileges)).await?;
    let Some(before) = before else {
        step_context.note("nginx's workers cannot be seen from here: that it has reloaded is not proven");
        return Ok(());
    };
    let complaint =
        || settings.last_complaint(log_end).unwrap_or_else(|| "its error log says nothing".into());
    let mut watch = Watch::new(&before);
    let give_up = Instant::now() + WORKERS_WAIT;
    loop {
        match watch.look(&workers(master).unwrap_or_default()) {
            Seen::Stays => break,
            Seen::Fails(how) => bail!("nginx was told to reload, and {how}: {}", complaint()),
            Seen::Nothing if Instant::now() > give_up => {
                bail!("nginx was told to reload and did not: {}", complaint())
            }
            Seen::Nothing => step_context.pause(WORKERS_POLL).await?,
        }
    }
    step_context.note(format!("nginx (process {master}) has new workers"));
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

/// What nginx's workers come to after a reload, look by look.
struct Watch {
    before: BTreeSet<(i32, u64)>,
    /// The new ones, as they were at the last look.
    new: BTreeSet<(i32, u64)>,
    steady: usize,
    empty: usize,
    restless: usize,
}

/// What a look has come to.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// There are new workers, they stay, and no old one takes connections any more.
    Stays,
    /// Nobody will answer.
    Fails(&'static str),
    Nothing,
}

impl Watch {
    fn new(before: &[Process]) -> Self {
        let before = before.iter().map(Process::identity).collect();
        Self { before, new: BTreeSet::new(), steady: 0, empty: 0, restless: 0 }
    }

    fn look(&mut self, now: &[Process]) -> Seen {
        // Where none was there before, the first one is waited for.
        self.empty = if now.is_empty() && !self.before.is_empty() { self.empty + 1 } else { 0 };
        if self.empty == EMPTY_LOOKS {
            return Seen::Fails("none of its workers is left");
        }
        let all: BTreeSet<(i32, u64)> = now.iter().map(Process::identity).collect();
        if !self.new.is_subset(&all) {
            self.restless += 1;
        }
        if self.restless == RESTLESS_LOOKS {
            return Seen::Fails("its new workers end again and again");
        }
        let is_old = |worker: &&Process| self.before.contains(&worker.identity());
        // What nginx calls its processes is the only sign of it.
        let ends = |worker: &Process| worker.arguments.iter().any(|words| words.contains("shutting down"));
        let have_ended = now.iter().filter(is_old).all(ends);
        let new: BTreeSet<(i32, u64)> =
            now.iter().filter(|worker| !is_old(worker) && !ends(worker)).map(Process::identity).collect();
        let is_same = have_ended && !new.is_empty() && new == self.new;
        self.steady = if is_same { self.steady + 1 } else { 0 };
        self.new = new;
        if self.steady == STEADY_LOOKS { Seen::Stays } else { Seen::Nothing }
    }
}

/// The workers among the children of nginx's master, which call themselves so when they are ready to accept; None where the kernel does not show
/// them to us.
fn workers(master: i32) -> Option<Vec<Process>> {
    process_table::read(master)?;
    let is_worker =
        |process: &Process| process.arguments.iter().any(|words| words.contains("worker process"));
    let processes = process_table::all().ok()?;
    Some(processes.into_iter().filter(|process| process.parent == master && is_worker(process)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(pid: i32, title: &str) -> Process {
        Process { pid, parent: 1, started_ticks: 7, arguments: vec![format!("nginx: {title}")] }
    }

    fn workers(pids: &[i32]) -> Vec<Process> {
        pids.iter().map(|pid| worker(*pid, "worker process")).collect()
    }

    #[test]
    fn new_workers_that_stay_have_taken_over() {
        let mut watch = Watch::new(&workers(&[1, 2]));
        let mut ending = workers(&[3]);
        ending.push(worker(1, "worker process is shutting down"));
        for now in [workers(&[1, 2]), workers(&[1, 2, 3]), ending.clone()] {
            assert_eq!(watch.look(&now), Seen::Nothing);
        }
        let seen: Vec<Seen> = (0..STEADY_LOOKS).map(|_| watch.look(&ending)).collect();
        assert!(seen.contains(&Seen::Stays), "{seen:?}");
        // As long as one of the old ones takes connections, it is not over.
        let mut watch = Watch::new(&workers(&[1]));
        assert!((0..100).all(|_| watch.look(&workers(&[1, 2])) == Seen::Nothing));
    }

    #[test]
    fn workers_that_do_not_live_are_seen_at_once() {
        let fails = Seen::Fails("none of its workers is left");
        let mut watch = Watch::new(&workers(&[1, 2]));
        assert_eq!(watch.look(&workers(&[1])), Seen::Nothing);
        assert_eq!(watch.look(&[]), Seen::Nothing);
        assert_eq!(watch.look(&[]), fails);
        // They were there for a moment: that is no proof.
        let mut watch = Watch::new(&workers(&[1]));
        let seen = [workers(&[2]), workers(&[2]), Vec::new(), Vec::new()].map(|now| watch.look(&now));
        assert_eq!(seen[3], fails);
        assert!(!seen.contains(&Seen::Stays));
        // Each is followed by another one.
        let mut watch = Watch::new(&workers(&[1]));
        let seen: Vec<Seen> = (2..20).map(|pid| watch.look(&workers(&[pid]))).collect();
        assert!(!seen.contains(&Seen::Stays));
        assert!(seen.contains(&Seen::Fails("its new workers end again and again")), "{seen:?}");
    }

    #[test]
    fn an_nginx_that_had_no_workers_is_given_the_time_to_start_some() {
        let mut watch = Watch::new(&[]);
        assert!((0..100).all(|_| watch.look(&[]) == Seen::Nothing));
        assert!((0..=STEADY_LOOKS).any(|_| watch.look(&workers(&[1])) == Seen::Stays));
    }
}
