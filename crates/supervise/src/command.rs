//! What is asked of [`crate::run`], and what it answers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Confinement, Enforcement, Redactor, ResourceLimits, Spawner};

/// A command and the supervisor process it gets.
#[derive(Debug, Clone)]
pub struct Command {
    /// A path, or a name that is looked up in the `PATH` of `environment`. Never a shell line.
    pub program: OsString,
    pub args: Vec<OsString>,
    pub directory: PathBuf,
    /// The whole environment: nothing is inherited. [`crate::Environment`] builds one.
    pub environment: BTreeMap<OsString, OsString>,
    /// Added to the environment, so that [`crate::kill_marked`] finds the command's processes should daemon
    /// and supervisor process both be killed. `None` for a command that asks a process manager to run something, because
    /// that would carry the mark as well.
    pub mark: Option<Mark>,
    /// What becomes of processes that are still there when the command has ended by itself.
    pub leftovers: Leftovers,
    /// For the whole of it, from here to the moment when nothing of it runs any more.
    pub deadline: Duration,
    /// Between TERM and KILL, where it is stopped.
    pub grace: Duration,
    pub limits: OutputLimits,
    /// Where it may read and write. `None`: where the caller may. Not for a command that starts something which is to outlive it.
    pub confinement: Option<Confinement>,
    /// What it may use up. With it, it is also the first that the kernel kills for want of memory, and leaves no core dumps; so `None` for
    /// a command that starts something which is to outlive it.
    pub resources: Option<ResourceLimits>,
    /// What must not appear in the output.
    pub redact: Redactor,
    /// The program that calls [`crate::supervisor_main`] when its first argument is [`crate::SUPERVISOR_ARGUMENT`].
    /// `/proc/self/exe` is the calling program itself, even after its file was replaced by an update.
    pub supervisor: PathBuf,
    /// A spawner ([`crate::spawner_main`]), which then starts the supervisor, out of its own program and as its own user. Only
    /// with a `mark`: what a spawner's supervisor process has left is found by it. `None`: the caller does.
    pub spawner: Option<Spawner>,
    /// The time, in Unix milliseconds, for the time stamps of lines.
    pub now_ms: fn() -> i64,
}

/// An environment variable whose value belongs to one run and to nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub variable: String,
    pub value: String,
}

/// What becomes of processes that a command leaves behind when it ends by itself. One that is stopped leaves
/// none behind, whatever is said here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Leftovers {
    #[default]
    Kill,
    /// For a command that asks a process manager to run something, and thereby may start the manager itself,
    /// as `pm2` does.
    Spare,
}

/// How much output is kept. Beyond it everything is read and dropped, so that the command is never blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimits {
    /// Of both streams together, after redaction.
    pub total_bytes_max: u64,
    /// Of one line; the rest of it is dropped.
    pub line_bytes_max: usize,
}

/// Which of the two it was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    Out,
    Err,
}

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When its end was read, in Unix milliseconds.
    pub at_ms: i64,
    pub stream: Stream,
    /// Without its line end; what is not UTF-8 has become U+FFFD. Control characters are left as they came.
    pub text: String,
    /// Something of it is missing, because it or the whole output was too long.
    pub truncated: bool,
}

/// What became of a command that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub end: End,
    /// How far the kernel enforced [`Command::confinement`]; `None` where there was none, or the supervisor process was lost too early to tell.
    pub enforcement: Option<Enforcement>,
    /// How much it wrote, kept or not.
    pub output_bytes: u64,
    /// How much of that was dropped because of [`OutputLimits::total_bytes_max`].
    pub output_dropped_bytes: u64,
    /// Processes that were still there a moment after it had ended by itself, and were ended. More than none
    /// says that the command does not clean up after itself.
    pub leftovers_killed: u32,
    /// Processes that could not be killed: they hang in the kernel or are another user's. They still run.
    pub survivors: u32,
    /// How many processes of the whole host the kernel killed for want of memory in the meantime. Where the
    /// command failed in another way, this may be why: `make` exits with 2 when its compiler was killed.
    pub memory_kills_on_host: u64,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    /// By a signal that was not sent from here.
    Signalled(i32),
    /// Killed by the kernel for want of memory.
    OutOfMemory,
    /// Stopped, because it used more than [`ResourceLimits::memory_bytes_max`].
    TooMuchMemory {
        bytes_max: u64,
    },
    /// Stopped, because it had more than [`ResourceLimits::tasks_max`].
    TooManyTasks {
        max: u32,
    },
    /// Stopped, because it took longer than [`Command::deadline`].
    DeadlineExceeded,
    /// Stopped, because the caller said so.
    Cancelled,
    /// Somebody killed the supervisor. What could be found of the command was killed, how it ended is not known.
    SupervisorLost,
}

impl End {
    pub fn is_success(self) -> bool {
        self == Self::Exited(0)
    }
}
