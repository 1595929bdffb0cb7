//! The proof that a release runs: every process of it is up, stands in it, and stays so for a while.
//!
//! PM2 says `online` of whatever it has just started, and starts it again when it dies: so the proof looks more than once.

use super::definition::Definition;
use super::{ProcessPaths, Scene};
use crate::base::clock;
use crate::process::tools::files;
use crate::process::tools::pm2::{Pm2Process, marks};
use anyhow::{Result, anyhow, bail};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

/// How long a process must run without being started again to count as running.
const SETTLE: Duration = Duration::from_secs(3);

/// How long one that PM2 is about to start may take to be up.
const LOOKS_MAX: usize = 20;

/// Between two looks at one that is not up yet.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Between being wanted and being started, beyond the time that the one before it may take to end: more was a death in between.
const START_SLACK_MS: i64 = 5_000;

/// What died longer ago than this has lived long enough since.
const RECENT_MS: i64 = 60_000;

/// Of an error log, what is read to explain a death.
const LOG_BYTES_MAX: u64 = 4096;

/// Of that, what is said.
const LOG_LINES_MAX: usize = 3;

impl Scene<'_> {
    pub(super) async fn prove(&self) -> Result<()> {
        let wanted = self.wanted().await?;
        let before = self.up(&wanted).await?;
        self.step_context.pause(SETTLE).await?;
        self.attend().await?;
        let after = self.processes().await?;
        let places = self.places(&after).await?;
        let starts_before = starts(&wanted, &before);
        for (definition, processes) in Self::lasting_processes(&wanted, &after) {
            for process in processes {
                self.check_stands(definition, process, &places).await?;
                let earlier = process.id.and_then(|id| starts_before.get(&id));
                if earlier != Some(&(process.kept.restart_time, process.pid)) {
                    let times =
                        process.kept.restart_time.saturating_sub(earlier.map_or(0, |(times, _)| *times));
                    return Err(self.does_not_stay_up(process, times).await);
                }
            }
        }
        let running = starts_before.len();
        self.step_context.note(format!(
            "{} in {}",
            crate::base::words::counted(running, "process stands", "processes stand"),
            self.of.release.display()
        ));
        Ok(())
    }

    /// Waits until all are up; an error where one cannot be any more.
    async fn up(&self, wanted: &[Definition]) -> Result<Vec<Pm2Process>> {
        for look in 1.. {
            self.attend().await?;
            let processes = self.settled_processes().await?;
            match self.missing(wanted, &processes).await? {
                None => return Ok(processes),
                Some(missing) if look == LOOKS_MAX => bail!("{missing}"),
                Some(_) => self.step_context.pause(LOOK_AGAIN).await?,
            }
        }
        bail!("PM2 was not asked")
    }

    /// What is not up yet, in words. What dies again and again will never be.
    async fn missing(&self, wanted: &[Definition], processes: &[Pm2Process]) -> Result<Option<String>> {
        let places = self.places(processes).await?;
        for (definition, processes) in Self::lasting_processes(wanted, processes) {
            let name = &definition.name;
            let expected = definition.instances.unwrap_or(1);
            if processes.len() < expected {
                return Ok(Some(format!("PM2 keeps {} of {expected} processes of {name}", processes.len())));
            }
            for process in processes {
                let has_died =
                    process.kept.unstable_restarts > 0 || came_back(definition, process, clock::now_ms());
                if has_died || process.kept.status == "errored" {
                    return Err(self.does_not_stay_up(process, process.kept.unstable_restarts).await);
                }
                if !process.is_online() {
                    let said = format!("{name} is {}", process.kept.status);
                    return Ok(Some(self.with_log(process, &said).await));
                }
                self.check_stands(definition, process, &places).await?;
            }
        }
        Ok(None)
    }

    async fn check_stands(
        &self,
        definition: &Definition,
        process: &Pm2Process,
        places: &ProcessPaths,
    ) -> Result<()> {
        let name = &definition.name;
        if !process.is_online() {
            bail!("{}", self.with_log(process, &format!("{name} is {}", process.kept.status)).await);
        }
        let of = process.variable(marks::RELEASE).unwrap_or("none of ours");
        if of != self.of.release_name {
            bail!("{name} was started for another release: {of}");
        }
        // It may have ended in this moment: then it does not stay up.
        let Some(place) = places.get(&process.pid) else {
            return Err(self.does_not_stay_up(process, 1).await);
        };
        if !self.is_right_place(definition, place) {
            bail!("{name} (process {}) stands in {}, not in this release", process.pid, place.display());
        }
        Ok(())
    }

    async fn does_not_stay_up(&self, process: &Pm2Process, times: u64) -> anyhow::Error {
        let name = &process.name;
        let said = match times {
            0 => format!("{name} does not stay up"),
            1 => format!("{name} does not stay up: it was started again once"),
            times => format!("{name} does not stay up: it was started again {times} times"),
        };
        anyhow!(self.with_log(process, &said).await)
    }

    async fn with_log(&self, process: &Pm2Process, said: &str) -> String {
        match self.last_lines(&process.kept.pm_err_log_path).await {
            Some(lines) => format!("{said}: {lines}"),
            None => format!("{said}\nhint: pm2 logs {}", process.name),
        }
    }

    /// The last lines of an error log, in one; none where it is empty or cannot be read. PM2 says where it lies, and whoever speaks for PM2.
    async fn last_lines(&self, path: &Path) -> Option<String> {
        let end = match self.of.user {
            Some(_) => self.step_context.look(&files::read_end(path, LOG_BYTES_MAX)).await.ok()?,
            None => read_end(path)?,
        };
        notification(&end)
    }
}

/// Whether PM2 has started it again by itself, not long ago: slow starters die slowly, too slowly for the count that PM2 keeps.
fn came_back(definition: &Definition, process: &Pm2Process, now_ms: i64) -> bool {
    let started_ms = process.kept.pm_uptime;
    let wanted_ms = process.kept.created_at.unwrap_or(started_ms);
    started_ms - wanted_ms > definition.kill_timeout_ms() + START_SLACK_MS && now_ms - started_ms < RECENT_MS
}

/// By id: how often each was started, and as which process.
fn starts(wanted: &[Definition], processes: &[Pm2Process]) -> BTreeMap<u64, (u64, i32)> {
    let all = Scene::lasting_processes(wanted, processes).flat_map(|(_, processes)| processes);
    all.filter_map(|process| Some((process.id?, (process.kept.restart_time, process.pid)))).collect()
}

/// The end of a file; a fifo is not waited for.
fn read_end(path: &Path) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let found = file.metadata().ok()?;
    found.is_file().then_some(())?;
    file.seek(SeekFrom::Start(found.len().saturating_sub(LOG_BYTES_MAX))).ok()?;
    let mut end = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut end).ok()?;
    Some(String::from_utf8_lossy(&end).into_owned())
}

/// Of what a dying program wrote: what says most, without node's source excerpt and stack.
fn notification(end: &str) -> Option<String> {
    let lines = end.lines().map(str::trim).filter(|line| {
        let noise = line.is_empty()
            || line.starts_with("at ")
            || line.starts_with("Node.js v")
            || line.starts_with(['^', '}']);
        !noise
    });
    let lines: Vec<&str> = lines.collect();
    let error = lines.iter().rposition(|line| line.contains("Error"));
    let start = error.unwrap_or(lines.len().saturating_sub(LOG_LINES_MAX));
    let said: Vec<&str> = lines[start..].iter().take(LOG_LINES_MAX).copied().collect();
    (!said.is_empty()).then(|| said.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dying_program_wrote_is_told_in_a_line() {
        for (end, expected) in [
            ("", None),
            ("\n\n", None),
            ("one\ntwo\nthree\nfour\n", Some("two | three | four")),
            (
                "/srv/main.js:3\n  throw new Error(\"no such key\");\n  ^\n\nError: no such key\n    at main (/srv/main.js:3)\n\nNode.js v20.1\n",
                Some("Error: no such key"),
            ),
        ] {
            assert_eq!(notification(end).as_deref(), expected, "{end:?}");
        }
    }
}
