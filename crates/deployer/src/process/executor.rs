//! Starting programs: the one door from the deployer to `supervise`.
//!
//! Adds to it what every program of ours gets: the clean environment with `PATH` and the configured search paths, the supervisor, the
//! output limits, and (for a deployment's commands) its environment files, whose values are redacted.

use super::cause::Tail;
use super::env_files::{FromFiles, Reach};
use super::step_user;
use super::tools::Invocation;
use crate::base::names::UserName;
use crate::base::secret::Secret;
use crate::config::{Config, Environment, GitLimits};
use crate::process::command::Command;
use crate::process::sandbox::{self, StepSandbox};
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;
use supervise::{
    End, Leftovers, Line, Mark, Outcome, OutputLimits, Redactor, ResourceLimits, StartError, Stream,
};
use tokio_util::sync::CancellationToken;

/// How long a program may take between TERM and KILL.
pub const GRACE: Duration = Duration::from_secs(10);

/// The variable that tells a command which run it belongs to.
const RUN_VARIABLE: &str = "DEPLOYER_RUN";

/// The variable by which a run's processes are found after a crash.
pub const RUN_MARK: &str = "DEPLOYER_RUN_MARK";

/// What one step may print: enough for the longest honest build log, not enough to fill a disk. One that prints more fails.
pub const STEP_OUTPUT_BYTES_MAX: u64 = 16 * 1024 * 1024;

const STEP_OUTPUT: OutputLimits =
    OutputLimits { total_bytes_max: STEP_OUTPUT_BYTES_MAX, line_bytes_max: 16 * 1024 };

/// What git may answer: a `-z` listing of some 100,000 paths.
const TOOL_OUTPUT: OutputLimits =
    OutputLimits { total_bytes_max: 32 * 1024 * 1024, line_bytes_max: 32 * 1024 * 1024 };

/// As much of a tool's standard error as is searched for signs: the cause stands among the first lines.
const SAID_BYTES_MAX: usize = 8 * 1024;
/// What a tool may answer to one who reads it, all in one line if it likes: `pm2 jlist` of some hundred applications.
const ANSWER: OutputLimits =
    OutputLimits { total_bytes_max: 8 * 1024 * 1024, line_bytes_max: 8 * 1024 * 1024 };

/// What a program of a run is. Of all but the last, nothing is left when it has ended.
#[derive(Debug, Clone, Copy)]
pub enum RunMode<'a> {
    /// A command of the deployment, whose output people read; started in this way, or else as any of ours.
    Step(Option<&'a StepSandbox>),
    /// The same, of which we read the output.
    StepAnswer(Option<&'a StepSandbox>),
    /// A tool of ours, whose output people read.
    Tool,
    /// The same, of which we read the output.
    Answer,
    /// One that asks for a process manager, which outlives it.
    ManagerStart,
}

impl RunMode<'_> {
    /// What environment files say to such a program.
    pub fn reach(&self) -> Reach {
        match self.confined() {
            Some(confined) if confined.paths.is_some() || confined.spawner.is_some() => Reach::Sandboxed,
            Some(_) => Reach::Unwalled,
            None => Reach::Outside,
        }
    }

    /// How a command of the deployment is started; none where it is a tool of ours.
    pub fn confined(&self) -> Option<&StepSandbox> {
        match self {
            Self::Step(confined) | Self::StepAnswer(confined) => *confined,
            Self::Tool | Self::Answer | Self::ManagerStart => None,
        }
    }
}

#[derive(Clone)]
pub struct Executor {
    inner: Arc<ExecutorInner>,
}

struct ExecutorInner {
    supervisor: PathBuf,
    environment: BTreeMap<OsString, OsString>,
    redactor: Redactor,
    secrets: Vec<String>,
    git: GitLimits,
    /// How far steps are confined is said once.
    confinement_told: Once,
}

/// What a tool of ours answered.
#[derive(Debug)]
pub struct CapturedOutput {
    /// Standard output, line ends restored.
    pub output: String,
    /// The line of standard error that says why it failed.
    pub complaint: String,
    /// The beginning of all of standard error, for those who look for a sign in it.
    pub said: String,
    /// How it ended.
    pub end: End,
}

impl Executor {
    /// `supervisor process` is this program itself.
    pub fn new(supervisor: PathBuf, config: &Config, environment: &Environment) -> Self {
        let secrets = config.secret_values();
        let redactor = Redactor::new(secrets.iter().map(String::as_str));
        let passed = config.runs.environment_passed.as_slice();
        let environment = clean_environment(environment, passed, &config.executable_search_paths);
        let (git, confinement_told) = (config.git.clone(), Once::new());
        let inner = ExecutorInner { supervisor, environment, redactor, secrets, git, confinement_told };
        Self { inner: Arc::new(inner) }
    }

    /// How much a repository may bring.
    pub fn git_limits(&self) -> &GitLimits {
        &self.inner.git
    }

    /// Where nothing is configured yet: for an administrator's tools, which lie in these directories too.
    pub fn unconfigured(supervisor: PathBuf, environment: &Environment, search_paths: &[PathBuf]) -> Self {
        let environment = clean_environment(environment, &[], search_paths);
        let redactor = Redactor::new(std::iter::empty());
        let (secrets, git, confinement_told) = (Vec::new(), GitLimits::default(), Once::new());
        let inner = ExecutorInner { supervisor, environment, redactor, secrets, git, confinement_told };
        Self { inner: Arc::new(inner) }
    }

    /// Where a program of this name is on the search path.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let is_program = |path: &PathBuf| {
            path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        let path = self.inner.environment.get(OsStr::new("PATH"));
        std::env::split_paths(path?).map(|directory| directory.join(program)).find(is_program)
    }

    /// Runs one of our tools and keeps what it prints. An end other than exit code 0 is for the caller to judge.
    pub async fn ask(
        &self,
        invocation: &Invocation,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<CapturedOutput> {
        self.ask_with(invocation, None, deadline, cancel).await
    }

    /// The same for a tool that needs a secret: it is in the tool's environment, under this name, and in nothing it prints.
    pub async fn ask_with(
        &self,
        invocation: &Invocation,
        secret: Option<(&str, &Secret)>,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<CapturedOutput> {
        let mut environment = self.inner.environment.clone();
        environment.extend(invocation.environment.clone());
        let mut redactor = self.inner.redactor.clone();
        if let Some((name, secret)) = secret {
            environment.insert(name.into(), secret.expose().into());
            let all = self.inner.secrets.iter().map(String::as_str).chain([secret.expose()]);
            redactor = Redactor::new(all);
        }
        let mut command =
            self.command(&invocation.argv, Path::new("/"), environment, deadline, TOOL_OUTPUT, redactor)?;
        command.resources = self.resources_of(invocation);
        answer(command, cancel).await
    }

    /// Runs a git and gives its lines as they come, however many: `line` says whether to go on. Errors are those of [`Self::ask`]; an end
    /// other than exit code 0 is for the caller to judge.
    pub async fn read_lines(
        &self,
        invocation: &Invocation,
        deadline: Duration,
        mut line: impl FnMut(&str) -> bool + Send,
    ) -> Result<CapturedOutput> {
        const LINES: OutputLimits = OutputLimits { total_bytes_max: u64::MAX, line_bytes_max: 16 * 1024 };
        let mut environment = self.inner.environment.clone();
        environment.extend(invocation.environment.clone());
        let redactor = Redactor::new(std::iter::empty());
        let mut command =
            self.command(&invocation.argv, Path::new("/"), environment, deadline, LINES, redactor)?;
        command.resources = self.resources_of(invocation);
        // What is not wanted any more has nothing to tidy up.
        command.grace = Duration::ZERO;
        let enough = CancellationToken::new();
        let (mut said, cancel) = (String::new(), enough.clone());
        let sink = |found: Line| match found.stream {
            Stream::Out if enough.is_cancelled() => {}
            Stream::Out => {
                if !line(&found.text) {
                    enough.cancel();
                }
            }
            Stream::Err if said.len() + found.text.len() < SAID_BYTES_MAX => {
                said.push_str(&found.text);
                said.push('\n');
            }
            Stream::Err => {}
        };
        let end = supervise::run(command, sink, cancel).await?.end;
        let complaint = said.lines().last().unwrap_or_default().to_owned();
        Ok(CapturedOutput { output: String::new(), complaint, said, end })
    }

    /// What git may use up: what it reads was written by whoever can push.
    fn resources_of(&self, invocation: &Invocation) -> Option<ResourceLimits> {
        let limits = ResourceLimits {
            data_bytes_max: Some(self.inner.git.memory_bytes_max),
            file_bytes_max: Some(self.inner.git.bytes_max),
            ..ResourceLimits::default()
        };
        (invocation.argv.first().is_some_and(|program| program == "git")).then_some(limits)
    }

    /// Runs one of our tools as the user of a deployment's own.
    pub async fn ask_as(
        &self,
        user: &UserName,
        invocation: &Invocation,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<CapturedOutput> {
        let (mut environment, redactor) = (self.inner.environment.clone(), self.inner.redactor.clone());
        environment.extend(as_variables(&step_user::environment(user)));
        let command =
            self.command(&invocation.argv, Path::new("/"), environment, deadline, TOOL_OUTPUT, redactor)?;
        answer(supervise::Command { spawner: Some(step_user::keeper(user)), ..command }, cancel).await
    }

    /// Runs a program of ours whose lines are of interest as they come.
    pub async fn watch(
        &self,
        invocation: &Invocation,
        directory: &Path,
        deadline: Duration,
        sink: impl FnMut(Line) + Send,
        cancel: &CancellationToken,
    ) -> Result<Outcome> {
        let mut environment = self.inner.environment.clone();
        environment.extend(invocation.environment.clone());
        let command = self.command(
            &invocation.argv,
            directory,
            environment,
            deadline,
            STEP_OUTPUT,
            self.inner.redactor.clone(),
        )?;
        Ok(supervise::run(command, sink, cancel.clone()).await?)
    }

    /// A text without the secrets of the configuration, and without these.
    pub fn redacted(&self, text: &str, more: &[String]) -> String {
        let secrets = self.inner.secrets.iter().chain(more);
        Redactor::new(secrets.map(String::as_str)).redact(text)
    }

    /// A variable that every program sees.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.inner.environment.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Runs a command of a plan; every line goes to `sink`. `from_files` is what its environment files say to it.
    #[expect(clippy::too_many_arguments, reason = "one caller, which has them in as many places")]
    pub async fn run(
        &self,
        command: &Command,
        run_mode: RunMode<'_>,
        environment: &BTreeMap<String, String>,
        from_files: FromFiles,
        deadline: Duration,
        sink: impl FnMut(Line) + Send,
        cancel: &CancellationToken,
    ) -> Result<Outcome> {
        let mut variables = self.inner.environment.clone();
        let mut secrets = self.inner.secrets.clone();
        let confined = run_mode.confined();
        variables.extend(confined.iter().flat_map(|confined| as_variables(&confined.environment)));
        variables.extend(as_variables(environment));
        secrets.extend(from_files.secrets);
        variables.extend(from_files.variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        variables.extend(as_variables(&command.environment));
        let redactor = match command.env_files.is_empty() {
            true => self.inner.redactor.clone(),
            false => Redactor::new(secrets.iter().map(String::as_str)),
        };
        let argv: Vec<OsString> = command.line.argv().into_iter().map(OsString::from).collect();
        let is_answer = matches!(run_mode, RunMode::Answer | RunMode::StepAnswer(_));
        let limits = if is_answer { ANSWER } else { STEP_OUTPUT };
        let mut command = self.command(&argv, &command.directory, variables, deadline, limits, redactor)?;
        if let Some(confined) = confined {
            (command.confinement, command.resources) = (confined.paths.clone(), confined.resources);
            command.spawner = confined.spawner.clone();
        }
        if matches!(run_mode, RunMode::ManagerStart) {
            (command.leftovers, command.mark) = (Leftovers::Spare, None);
        }
        let outcome = supervise::run(command, sink, cancel.clone()).await?;
        if let Some(enforcement) = outcome.enforcement {
            self.inner.confinement_told.call_once(|| match sandbox::shortcoming(enforcement) {
                None => tracing::info!("steps are confined"),
                Some(shortcoming) => tracing::warn!("{shortcoming}"),
            });
        }
        Ok(outcome)
    }

    fn command(
        &self,
        argv: &[OsString],
        directory: &Path,
        environment: BTreeMap<OsString, OsString>,
        deadline: Duration,
        limits: OutputLimits,
        redact: Redactor,
    ) -> Result<supervise::Command> {
        let Some((program, args)) = argv.split_first() else { bail!("an empty command") };
        let run = environment.get(OsStr::new(RUN_VARIABLE)).map(|run| run.to_string_lossy().into_owned());
        Ok(supervise::Command {
            program: program.clone(),
            args: args.to_vec(),
            directory: directory.to_owned(),
            mark: run.map(|value| Mark { variable: RUN_MARK.to_owned(), value }),
            leftovers: Leftovers::Kill,
            environment,
            deadline,
            grace: GRACE,
            limits,
            confinement: None,
            resources: None,
            redact,
            supervisor: self.inner.supervisor.clone(),
            spawner: None,
            now_ms: crate::base::clock::now_ms,
        })
    }
}

fn as_variables(
    environment: &BTreeMap<String, String>,
) -> impl Iterator<Item = (OsString, OsString)> + use<'_> {
    environment.iter().map(|(name, value)| (name.into(), value.into()))
}

/// Runs a tool and keeps what it prints.
async fn answer(command: supervise::Command, cancel: &CancellationToken) -> Result<CapturedOutput> {
    let (mut output, mut said, mut complaints) = (String::new(), String::new(), Tail::default());
    let outcome = supervise::run(
        command,
        |line: Line| {
            if line.stream == Stream::Err && said.len() + line.text.len() < SAID_BYTES_MAX {
                said.push_str(&line.text);
                said.push('\n');
            }
            match line.stream {
                Stream::Out => {
                    output.push_str(&line.text);
                    output.push('\n');
                }
                Stream::Err => complaints.push(line),
            }
        },
        cancel.clone(),
    )
    .await?;
    Ok(CapturedOutput { output, complaint: complaints.cause().unwrap_or_default(), said, end: outcome.end })
}

/// By these a program finds the certificates of a host's own authority, without which it reaches nothing. No secret is in them.
const AUTHORITIES: [&str; 8] = [
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
];

/// What every program may see: the allow-list, what the operator passes on, and `PATH` with the search paths behind it.
fn clean_environment(
    environment: &Environment,
    passed: &[String],
    search_paths: &[PathBuf],
) -> BTreeMap<OsString, OsString> {
    let mut clean = supervise::Environment::allowed_of(
        environment.variables().map(|(name, value)| (name.into(), value.into())),
    )
    .into_map();
    speak_english(&mut clean);
    for name in AUTHORITIES.into_iter().chain(passed.iter().map(String::as_str)) {
        if let Some(value) = environment.get(name) {
            clean.insert(name.into(), value.into());
        }
    }
    let inherited = clean.get(OsStr::new("PATH")).cloned();
    let inherited = inherited.unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let paths = std::env::split_paths(&inherited).chain(search_paths.iter().cloned());
    if let Ok(path) = std::env::join_paths(paths) {
        clean.insert("PATH".into(), path);
    }
    clean
}

/// Has programs print messages in English, whatever the language of the host: the cause of a failure is found by its words. Characters,
/// numbers and dates stay the host's.
fn speak_english(environment: &mut BTreeMap<OsString, OsString>) {
    if let Some(all) = environment.remove(OsStr::new("LC_ALL")).filter(|all| !all.is_empty()) {
        // It stands above each of the others; below them it says the same of all but the messages.
        environment.retain(|name, _| !name.to_string_lossy().starts_with("LC_"));
        environment.insert("LANG".into(), all);
    }
    environment.remove(OsStr::new("LANGUAGE"));
    environment.insert("LC_MESSAGES".into(), "C".into());
}

/// Whether a program could not be started because this machine has nothing left for it.
pub fn is_exhaustion(error: &anyhow::Error) -> bool {
    let is_exhaustion = |cause: &StartError| matches!(cause, StartError::Exhausted { .. });
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_exhaustion))
}

/// How a program ended, in words; `None` for exit code 0.
pub fn complaint_of(end: &End) -> Option<String> {
    match end {
        End::Exited(0) => None,
        // A shell's word for a child that a signal killed.
        End::Exited(153) => Some(format!("exited with 153{}", signal_name(25))),
        End::Exited(code) => Some(format!("exited with {code}")),
        End::Signalled(signal) => Some(format!("was killed by signal {signal}{}", signal_name(*signal))),
        End::OutOfMemory => Some("ran out of memory (killed by the kernel)".into()),
        End::TooMuchMemory { bytes_max } => Some(format!(
            "used more than {} MiB of memory (`confinement.step_memory_max`) and was stopped",
            bytes_max >> 20
        )),
        End::TooManyTasks { max } => Some(format!(
            "had more than {max} processes and threads (`confinement.step_tasks_max`) and was stopped"
        )),
        End::DeadlineExceeded => Some("took too long and was stopped".into()),
        End::Cancelled => Some("was cancelled".into()),
        End::SupervisorLost => Some("was ended from outside (somebody killed its supervisor)".into()),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (HUP)",
        2 => " (INT)",
        6 => " (ABRT)",
        9 => " (KILL)",
        11 => " (SEGV)",
        13 => " (PIPE)",
        15 => " (TERM)",
        25 => " (XFSZ: a file was larger than `confinement.step_file_max`)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_speak_english_and_write_numbers_as_the_host_does() {
        let after = |variables: &[(&str, &str)]| {
            let mut environment = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
            speak_english(&mut environment);
            let shown =
                environment.iter().map(|(name, value)| format!("{}={}", name.display(), value.display()));
            shown.collect::<Vec<_>>().join(" ")
        };
        let german = [("LANG", "de_DE.UTF-8"), ("LANGUAGE", "de:en"), ("LC_MESSAGES", "de_DE.UTF-8")];
        assert_eq!(after(&german), "LANG=de_DE.UTF-8 LC_MESSAGES=C");
        let all = [("LANG", "C"), ("LC_ALL", "de_DE.UTF-8"), ("LC_TIME", "C"), ("PATH", "/bin")];
        assert_eq!(after(&all), "LANG=de_DE.UTF-8 LC_MESSAGES=C PATH=/bin");
        assert_eq!(after(&[("LC_ALL", "")]), "LC_MESSAGES=C");
    }
}
