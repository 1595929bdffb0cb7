//! Where a step calls programs: with the run's environment, log, deadline and cancellation.
//!
//! What a program prints goes to the run's log as it comes; a failure is one line, taken from what it printed. Built-in actions that
//! need programs (process managers, nginx, certificates) get a workbench, and nothing else of a run.

use super::confinement::{self, Confined};
use super::env_files::{EnvRules, FromFiles};
use super::execute::{self, Executor, Manner, STEP_OUTPUT_BYTES_MAX, complaint_of};
use super::plan::Command;
use super::tools::sudo;
use crate::config::CommandLine;
use crate::record::run_log::rendering;
use anyhow::{Result, anyhow, bail};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use supervise::{End, Stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Of a failed program's output, the lines among which the cause is looked for.
const CAUSE_LINES_MAX: usize = 60;

/// Of what a program says on one stream, the lines that are kept: the cause is among the first.
const SAID_LINES_MAX: usize = 1_000;

/// See the module.
#[derive(Clone, Copy)]
pub struct Workbench<'a> {
    /// Starts programs.
    pub executor: &'a Executor,
    /// The run's, below a command's own.
    pub environment: &'a BTreeMap<String, String>,
    /// How its own commands are confined; what it asks of process managers and the like never is.
    pub confined: Option<&'a Confined>,
    /// What holds for environment files.
    pub env_rules: &'a EnvRules,
    /// The release.
    pub directory: &'a Path,
    /// When the step must be done.
    pub ends_at: Instant,
    /// Stops it.
    pub cancel: &'a CancellationToken,
    /// Hears every line that a program prints, and what we say ourselves.
    pub hear: &'a (dyn Fn(Heard<'_>) + Send + Sync),
}

/// A line for the run's log.
#[derive(Debug, Clone, Copy)]
pub enum Heard<'a> {
    /// Of a program.
    Line(&'a supervise::Line),
    /// Our own words.
    Note(&'a str),
}

/// What a program has written, line by line.
#[derive(Debug, Default)]
pub struct Said {
    /// To standard output.
    pub out: Vec<String>,
    /// To standard error.
    pub err: Vec<String>,
}

impl Said {
    fn add(&mut self, line: &supervise::Line) {
        let lines = if line.stream == Stream::Out { &mut self.out } else { &mut self.err };
        if lines.len() < SAID_LINES_MAX {
            lines.push(line.text.clone());
        }
    }
}

impl Workbench<'_> {
    /// A line of our own in the run's log.
    pub fn note(&self, text: impl AsRef<str>) {
        (self.hear)(Heard::Note(text.as_ref()));
    }

    /// What is left of the step's time.
    pub fn left(&self) -> Duration {
        self.ends_at.saturating_duration_since(Instant::now())
    }

    /// Waits; an error where the step is stopped or out of time before that.
    pub async fn pause(&self, length: Duration) -> Result<()> {
        let timely = length.min(self.left());
        tokio::select! {
            () = self.cancel.cancelled() => bail!("cancelled"),
            () = tokio::time::sleep(timely) => {}
        }
        if timely < length { Err(anyhow!("the step's time is over")) } else { Ok(()) }
    }

    /// A variable as programs here see it, but for what environment files say.
    pub fn variable(&self, name: &str) -> Option<String> {
        let own = self.environment.get(name).cloned();
        own.or_else(|| Some(self.executor.variable(name)?.to_string_lossy().into_owned()))
    }

    /// Calls a program of ours in the release and gives what it printed on standard output. The call is in the log. An end other than exit
    /// code 0 is an error.
    pub async fn call(&self, line: &CommandLine) -> Result<String> {
        self.ask(&self.command(line), Manner::Answer).await
    }

    /// Likewise, a command with a place and an environment of its own.
    pub async fn ask(&self, command: &Command, manner: Manner<'_>) -> Result<String> {
        let line = &command.line;
        self.note(format!("$ {}", line.shown()));
        let mut answer = String::new();
        let keep = |line: &supervise::Line| {
            if line.stream == Stream::Out {
                answer.push_str(&line.text);
                answer.push('\n');
            }
            // An answer is for us to read; what goes wrong is for people.
            line.stream == Stream::Err
        };
        let complaint = self.complaint(command, manner, keep).await?;
        let program = line.argv().first().cloned().unwrap_or_default();
        complaint.map_or(Ok(answer), |complaint| {
            Err(anyhow!("{program} {complaint}{}", self.missing_rule(line, &complaint)))
        })
    }

    /// A hint that says what sudoers lacks, where that is why a call failed; otherwise nothing.
    fn missing_rule(&self, line: &CommandLine, complaint: &str) -> String {
        let Some((program, arguments)) = sudo::called(line).filter(|_| sudo::has_refused(complaint)) else {
            return String::new();
        };
        let user = self.variable("USER").or_else(|| self.variable("LOGNAME"));
        let user = user.unwrap_or_else(|| format!("#{}", rustix::process::getuid().as_raw()));
        // It may lie where only root looks.
        let program = self.executor.find(&program).unwrap_or_else(|| program.into());
        format!("\nhint: sudoers lacks the rule `{}`", sudo::rule(&user, &program, &arguments))
    }

    /// Runs a program of ours that says to people, on either stream, what it does and why it fails: every line goes to the run's log. Gives
    /// what it wrote, and the error if it failed.
    pub async fn hear_out(&self, line: &CommandLine) -> (Said, Result<()>) {
        self.note(format!("$ {}", line.shown()));
        let said = Mutex::new(Said::default());
        let hear = |heard: Heard<'_>| {
            if let Heard::Line(line) = heard {
                said.lock().expect("no holder panics").add(line);
            }
            (self.hear)(heard);
        };
        let command = self.command(line);
        let result = Workbench { hear: &hear, ..*self }.run(&command).await;
        let program = line.argv().first().cloned().unwrap_or_default();
        let result = result.map_err(|error| {
            if execute::is_exhaustion(&error) {
                return error;
            }
            let hint = self.missing_rule(line, &error.to_string());
            anyhow!("{program} {error}{hint}")
        });
        (said.into_inner().expect("no holder panics"), result)
    }

    /// A command in the release.
    fn command(&self, line: &CommandLine) -> Command {
        Command {
            line: line.clone(),
            directory: self.directory.to_owned(),
            environment: BTreeMap::new(),
            env_files: Vec::new(),
        }
    }

    /// Runs a step's own command, confined where steps of its kind are; every line goes to the run's log.
    pub async fn run(&self, command: &Command) -> Result<()> {
        let complaint = self.complaint(command, Manner::Step(self.confined), |_| true).await?;
        complaint.map_or(Ok(()), |complaint| Err(anyhow!(complaint)))
    }

    /// What its environment files say to it.
    async fn read_env_files(&self, command: &Command, manner: Manner<'_>) -> Result<FromFiles> {
        let reach = manner.reach();
        let found = self.env_rules.read(&command.env_files, reach, self.left(), self.cancel).await?;
        if let Some(note) = found.note(reach) {
            self.note(note);
        }
        Ok(found)
    }

    /// Runs a command and says how it failed, if it did. `keep` sees each line, and says whether it goes to the log.
    async fn complaint(
        &self,
        command: &Command,
        manner: Manner<'_>,
        mut keep: impl FnMut(&supervise::Line) -> bool + Send,
    ) -> Result<Option<String>> {
        let mut tail: VecDeque<supervise::Line> = VecDeque::new();
        let sink = |line: supervise::Line| {
            if keep(&line) {
                (self.hear)(Heard::Line(&line));
            }
            crate::crash_point!("step-output");
            if tail.len() == CAUSE_LINES_MAX {
                tail.pop_front();
            }
            tail.push_back(line);
        };
        let from_files = self.read_env_files(command, manner).await?;
        let limit = self.left();
        let environment = self.environment;
        let outcome =
            self.executor.run(command, manner, environment, from_files, limit, sink, self.cancel).await?;
        if let Some(shortcoming) = outcome.enforcement.and_then(confinement::shortcoming) {
            self.note(shortcoming);
        }
        if outcome.leftovers_killed > 0 {
            let number = outcome.leftovers_killed;
            self.note(format!("{number} processes that the step left behind were ended"));
        }
        let is_sandboxed = matches!(manner, Manner::Step(Some(confined)) if confined.paths.is_some());
        if is_sandboxed && !outcome.end.is_success() {
            let denied = tail.iter().find_map(|line| self.env_rules.note_on_denial(&line.text));
            denied.iter().for_each(|note| self.note(note));
        }
        Ok(match (&outcome.end, complaint_of(&outcome.end)) {
            (_, None) if outcome.output_bytes > STEP_OUTPUT_BYTES_MAX => {
                let (found, limit) = (outcome.output_bytes >> 20, STEP_OUTPUT_BYTES_MAX >> 20);
                Some(format!("printed too much output: {found} MiB, at most {limit} MiB are allowed"))
            }
            (_, None) => None,
            (End::DeadlineExceeded, _) => Some(format!("took longer than {limit:.0?} and was stopped")),
            (_, Some(complaint)) => Some(match telling_line(&tail) {
                Some(line) => format!("{complaint}: {line}"),
                None => complaint,
            }),
        })
    }
}

/// The line of a failed program's output that says most: the first that speaks of an error, else the last on standard error,
/// else the last.
fn telling_line(tail: &VecDeque<supervise::Line>) -> Option<String> {
    let speaks = |line: &&supervise::Line| {
        let text = line.text.to_ascii_lowercase();
        ["error", "no space left", "cannot", "fatal"].iter().any(|sign| text.contains(sign))
    };
    let says_something = |line: &&supervise::Line| !line.text.trim().is_empty();
    let full = tail.iter().find(|line| line.text.contains("No space left"));
    let found = full
        .or_else(|| tail.iter().find(speaks))
        .or_else(|| tail.iter().rev().filter(says_something).find(|line| line.stream == Stream::Err))
        .or_else(|| tail.iter().rev().find(says_something))?;
    let text = rendering::plain(&found.text).trim().to_owned();
    // "An unexpected error occurred:" and then what.
    let next = tail.iter().skip_while(|line| !std::ptr::eq(*line, found)).nth(1);
    Some(match next.filter(|_| text.ends_with(':')) {
        Some(next) => format!("{text} {}", rendering::plain(&next.text).trim()),
        None => text,
    })
}
