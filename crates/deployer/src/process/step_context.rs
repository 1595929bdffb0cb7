//! Where a step calls programs: with the run's environment, log, deadline and cancellation.
//!
//! What a program prints goes to the run's log as it comes; a failure is one line, taken from what it printed. Built-in actions that
//! need programs (process managers, nginx, certificates) get a step_context, and nothing else of a run.

use super::cause::Tail;
use super::env_files::{EnvRules, FromFiles};
use super::tools::sudo;
use crate::base::words::counted;
use crate::config::CommandLine;
use crate::process::command::Command;
use crate::process::executor::{self, Executor, RunMode, STEP_OUTPUT_BYTES_MAX, complaint_of};
use crate::process::sandbox::{self, Walls};
use anyhow::{Result, anyhow, bail};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use supervise::{End, Stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Of what a program says on one stream, the lines that are kept: the cause is among the first.
const SAID_LINES_MAX: usize = 1_000;

#[derive(Clone, Copy)]
pub struct StepContext<'a> {
    pub executor: &'a Executor,
    /// The run's, below a command's own.
    pub environment: &'a BTreeMap<String, String>,
    /// How commands of the deployment are started.
    pub walls: &'a Walls,
    /// What holds for environment files.
    pub env_rules: &'a EnvRules,
    pub directory: &'a Path,
    /// When the step must be done.
    pub ends_at: Instant,
    pub cancel: &'a CancellationToken,
    /// Hears every line that a program prints, and what we say ourselves.
    pub hear: &'a (dyn Fn(LogEvent<'_>) + Send + Sync),
}

/// A line for the run's log.
#[derive(Debug, Clone, Copy)]
pub enum LogEvent<'a> {
    /// Of a program.
    Line(&'a supervise::Line),
    /// Our own words.
    Note(&'a str),
    /// What of the sandbox this kernel lacks: the same for each step of a run.
    Shortcoming(&'a str),
    /// A line of a program that has failed, once more: the one that says why, or one beside it.
    Cause {
        /// As it was printed.
        text: &'a str,
        /// Whether it is the one.
        says_why: bool,
    },
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

impl StepContext<'_> {
    /// A line of our own in the run's log.
    pub fn note(&self, text: impl AsRef<str>) {
        (self.hear)(LogEvent::Note(text.as_ref()));
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

    /// Whether the deployment has a user of its own.
    pub fn has_own_user(&self) -> bool {
        self.walls.own.as_ref().is_some_and(|own| own.spawner.is_some())
    }

    /// Calls a program of ours and gives what it printed on standard output. The call is in the log. An end other than exit
    /// code 0 is an error.
    pub async fn call(&self, line: &CommandLine) -> Result<String> {
        self.ask(&self.tool(line), RunMode::Answer).await
    }

    /// Likewise a program of the deployment's user, in the root directory; without such a user, one of ours. The call is not in the log.
    pub async fn look(&self, line: &CommandLine) -> Result<String> {
        let command = Command { directory: "/".into(), ..self.command(line) };
        self.listen(&command, RunMode::StepAnswer(self.walls.own.as_ref())).await
    }

    /// Likewise a program of ours, without a line in the log.
    pub async fn look_as_deployer(&self, line: &CommandLine) -> Result<String> {
        self.listen(&Command { directory: "/".into(), ..self.command(line) }, RunMode::Answer).await
    }

    /// Likewise, a command with a place and an environment of its own.
    pub async fn ask(&self, command: &Command, run_mode: RunMode<'_>) -> Result<String> {
        self.note(format!("$ {}", command.line.shown()));
        self.listen(command, run_mode).await
    }

    /// Likewise, without a line in the log.
    pub async fn listen(&self, command: &Command, run_mode: RunMode<'_>) -> Result<String> {
        let line = &command.line;
        let mut answer = String::new();
        let keep = |line: &supervise::Line| {
            if line.stream == Stream::Out {
                answer.push_str(&line.text);
                answer.push('\n');
            }
            // An answer is for us to read; what goes wrong is for people.
            line.stream == Stream::Err
        };
        let complaint = self.complaint(command, run_mode, keep).await?;
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
        let ours = |name| Some(self.executor.variable(name)?.to_string_lossy().into_owned());
        let user = ours("USER").or_else(|| ours("LOGNAME"));
        let user = user.unwrap_or_else(|| format!("#{}", rustix::process::getuid().as_raw()));
        // It may lie where only root looks.
        let program = self.executor.find(&program).unwrap_or_else(|| program.into());
        format!("\nhint: sudoers lacks the rule `{}`", sudo::rule(&user, &program, &arguments))
    }

    /// Runs a program of ours that says to people, on either stream, what it does and why it fails: every line goes to the run's log. Gives
    /// what it wrote, and the error if it failed.
    pub async fn capture(&self, line: &CommandLine) -> (Said, Result<()>) {
        self.note(format!("$ {}", line.shown()));
        let said = Mutex::new(Said::default());
        let hear = |event: LogEvent<'_>| {
            if let LogEvent::Line(line) = event {
                said.lock().expect("no holder panics").add(line);
            }
            (self.hear)(event);
        };
        let step_context = StepContext { hear: &hear, ..*self };
        let result = step_context.done(&self.tool(line), RunMode::Tool).await;
        let program = line.argv().first().cloned().unwrap_or_default();
        let result = result.map_err(|error| {
            if executor::is_exhaustion(&error) {
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

    /// A tool of ours: where the deployment has a user of its own, not in the directory that this user writes.
    fn tool(&self, line: &CommandLine) -> Command {
        let command = self.command(line);
        if self.has_own_user() { Command { directory: "/".into(), ..command } } else { command }
    }

    /// Runs a command of the deployment, as whom and behind which walls such commands are run; every line goes to the run's log.
    pub async fn run(&self, command: &Command) -> Result<()> {
        self.done(command, RunMode::Step(self.walls.own.as_ref())).await
    }

    /// The same for the switch, where processes that a command has left in the background are servers: they were ended with it, so the command has
    /// not done what it was written for, whatever it says itself.
    pub async fn run_to_the_end(&self, command: &Command) -> Result<()> {
        let run_mode = RunMode::Step(self.walls.own.as_ref());
        match self.complaint_and_leftovers(command, run_mode, |_| true).await? {
            (Some(complaint), _) => Err(anyhow!(complaint)),
            (None, 0) => Ok(()),
            (None, number) => Err(anyhow!(
                "{} with it\nhint: let a systemd unit keep the server, and restart the unit here; or PM2, whose daemon must run before (`pm2 startup`, or the unit durhack-deployer-pm2@USER)",
                counted(
                    number,
                    "process that it left in the background was ended",
                    "processes that it left in the background were ended"
                )
            )),
        }
    }

    /// Reads what a file of the repository says that is a program: runs a command of ours that evaluates it, sandboxed, and gives the rest of
    /// the last line of its standard output that has this mark. All other lines go to the run's log. None: there was no such line.
    pub async fn evaluate(&self, command: &Command, mark: &str) -> Result<Option<String>> {
        let mut answer = None;
        let keep = |line: &supervise::Line| match line.text.split_once(mark) {
            Some((_, said)) if line.stream == Stream::Out && !line.truncated => {
                answer = Some(said.to_owned());
                false
            }
            _ => true,
        };
        let run_mode = RunMode::StepAnswer(self.walls.evaluation.as_ref());
        let complaint = self.complaint(command, run_mode, keep).await?;
        complaint.map_or(Ok(answer), |complaint| Err(anyhow!(complaint)))
    }

    async fn done(&self, command: &Command, run_mode: RunMode<'_>) -> Result<()> {
        let complaint = self.complaint(command, run_mode, |_| true).await?;
        complaint.map_or(Ok(()), |complaint| Err(anyhow!(complaint)))
    }

    /// What its environment files say to it.
    async fn read_env_files(&self, command: &Command, run_mode: RunMode<'_>) -> Result<FromFiles> {
        let reach = run_mode.reach();
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
        run_mode: RunMode<'_>,
        keep: impl FnMut(&supervise::Line) -> bool + Send,
    ) -> Result<Option<String>> {
        Ok(self.complaint_and_leftovers(command, run_mode, keep).await?.0)
    }

    /// The same, with how many processes it had left behind, which were ended.
    async fn complaint_and_leftovers(
        &self,
        command: &Command,
        run_mode: RunMode<'_>,
        mut keep: impl FnMut(&supervise::Line) -> bool + Send,
    ) -> Result<(Option<String>, u32)> {
        let mut tail = Tail::default();
        let sink = |line: supervise::Line| {
            if keep(&line) {
                (self.hear)(LogEvent::Line(&line));
            }
            crate::failpoint!("step-output");
            tail.push(line);
        };
        let from_files = self.read_env_files(command, run_mode).await?;
        let limit = self.left();
        let is_tool = matches!(run_mode, RunMode::Tool | RunMode::Answer | RunMode::ManagerStart);
        let environment = match is_tool && self.has_own_user() {
            true => Cow::Owned(sandbox::of_tools(self.environment)),
            false => Cow::Borrowed(self.environment),
        };
        let outcome =
            self.executor.run(command, run_mode, &environment, from_files, limit, sink, self.cancel).await?;
        if let Some(shortcoming) = outcome.enforcement.and_then(sandbox::shortcoming) {
            (self.hear)(LogEvent::Shortcoming(&shortcoming));
        }
        if outcome.leftovers_killed > 0 {
            let number = outcome.leftovers_killed;
            self.note(format!(
                "{} (hint: what is to go on running, a systemd unit, PM2 or uWSGI keeps)",
                counted(
                    number,
                    "process that the step left behind was ended",
                    "processes that the step left behind were ended"
                )
            ));
        }
        let is_sandboxed = run_mode.confined().is_some_and(|confined| confined.paths.is_some());
        if is_sandboxed && !outcome.end.is_success() {
            let denied = tail.lines().find_map(|line| self.env_rules.note_on_denial(&line.text));
            denied.iter().for_each(|note| self.note(note));
        }
        let complaint = match (&outcome.end, complaint_of(&outcome.end)) {
            (_, None) if outcome.output_bytes > STEP_OUTPUT_BYTES_MAX => {
                let (found, limit) = (outcome.output_bytes >> 20, STEP_OUTPUT_BYTES_MAX >> 20);
                Some(format!("printed too much output: {found} MiB, at most {limit} MiB are allowed"))
            }
            (_, None) => None,
            (End::DeadlineExceeded, _) => Some(format!("took longer than {limit:.0?} and was stopped")),
            (_, Some(complaint)) => {
                if let Some((lines, why)) = tail.around() {
                    for (index, text) in lines.into_iter().enumerate() {
                        (self.hear)(LogEvent::Cause { text, says_why: index == why });
                    }
                }
                Some(match tail.cause() {
                    Some(line) => format!("{complaint}: {line}"),
                    None => complaint,
                })
            }
        };
        Ok((complaint, outcome.leftovers_killed))
    }
}
