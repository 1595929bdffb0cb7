//! One command from start to end, as the daemon sees it.
//!
//! Everything happens in the caller's own future, in one loop: read both pipes, hear the supervisor, watch the
//! deadline and the caller's wish. No task is spawned, so nothing can outlive the future; if that is dropped,
//! the control socket closes and the supervisor process brings the command down.

mod conversation;
mod holder;
mod pipes;

use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::output::Output;
use crate::protocol::{Ended, EndedBy, Report, Status, write_variables};
use crate::supervisor::BEYOND_GRACE_MAX;
use crate::{Command, End, Enforcement, Line, Outcome, ResourceLimits, StartError, adopted, memory_kills};
pub(crate) use conversation::Conversation;
use holder::{Holder, LeashEnd};
use pipes::Pipes;

/// How long output is still read after the supervisor process's last word. Only processes that were spared can keep the
/// pipes open, and those may do so for years.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// How much later than it ought to a supervisor process may report before it is taken for lost.
const SUPERVISOR_DELAY_MAX: Duration = Duration::from_secs(10);

/// A deadline that the clock cannot express is this far away: about thirty years.
const FAR_AWAY: Duration = Duration::from_secs(1 << 30);

/// A shell reports a command that was killed by KILL with this.
const EXIT_CODE_OF_KILLED: i32 = 128 + SIGNAL_KILL;
const SIGNAL_KILL: i32 = 9;

/// Runs `command` to its end: until nothing of it runs any more, be it because it ended, because its deadline
/// passed, or because `cancel` was cancelled. Each line of its output goes to `sink`, which should not block.
///
/// Dropping the future brings the command down as well, only without waiting for it.
///
/// # Errors
/// The command could not be started; see [`StartError`]. Everything later is an [`Outcome`].
pub async fn run(
    command: Command,
    mut sink: impl FnMut(Line) + Send,
    cancel: CancellationToken,
) -> Result<Outcome, StartError> {
    let memory_kills_before = memory_kills::count();
    let mut supervision = Supervision::start(&command).await?;
    let mut output = Output::new(&command.redact, command.limits, command.now_ms, &mut sink);
    let last_word = supervision.watch(&command, &mut output, &cancel).await;

    let mut survivors = 0;
    if matches!(last_word, LastWord::None) {
        survivors = supervision.holder.kill_all(command.mark.as_ref()).await;
    }
    supervision.drain(&mut output).await;
    output.finish();
    let (output_bytes, output_dropped_bytes) = (output.total_bytes, output.dropped_bytes);
    let (started, stopped, enforcement) = (supervision.started, supervision.stopped, supervision.enforcement);
    let supervisor_end = supervision.holder.end(SUPERVISOR_DELAY_MAX).await;

    let ended = match last_word {
        LastWord::NotStarted(error) => return Err(error),
        LastWord::Ended(ended) => Some(ended),
        LastWord::None => match supervisor_end {
            LeashEnd::NotStarted(errno, text) => {
                return Err(StartError::of_command(&command.program, errno, text));
            }
            LeashEnd::ByItself if !started => {
                let reason = "it ended before it had started anything".to_owned();
                return Err(StartError::Leash { supervisor: command.supervisor, reason });
            }
            // Had it been killed before it said so, the command might have run: that is an outcome.
            LeashEnd::ByItself | LeashEnd::Lost => None,
        },
    };
    let memory_kills_on_host = memory_kills::count().saturating_sub(memory_kills_before);
    Ok(Outcome {
        end: end(ended, stopped, memory_kills_on_host, &command.resources.unwrap_or_default()),
        enforcement,
        output_bytes,
        output_dropped_bytes,
        leftovers_killed: ended.map_or(0, |ended| ended.leftovers),
        survivors: ended.map_or(survivors, |ended| ended.survivors),
        memory_kills_on_host,
    })
}

/// What the outcome is called. `stopped` is why the supervisor process was told to stop, if it was; `ended` says whether it
/// heard that before the command had ended by itself.
fn end(ended: Option<Ended>, stopped: Option<End>, memory_kills: u64, limits: &ResourceLimits) -> End {
    match ended {
        None | Some(Ended { by: EndedBy::Order, .. }) => stopped.unwrap_or(End::SupervisorLost),
        Some(Ended { by: EndedBy::Memory, .. }) => {
            End::TooMuchMemory { bytes_max: limits.memory_bytes_max.unwrap_or_default() }
        }
        Some(Ended { by: EndedBy::Tasks, .. }) => {
            End::TooManyTasks { max: limits.tasks_max.unwrap_or_default() }
        }
        Some(Ended {
            status: Status::Signalled(SIGNAL_KILL) | Status::Exited(EXIT_CODE_OF_KILLED), ..
        }) if memory_kills > 0 => End::OutOfMemory,
        Some(Ended { status: Status::Exited(code), .. }) => End::Exited(code),
        Some(Ended { status: Status::Signalled(signal), .. }) => End::Signalled(signal),
    }
}

/// How the watch over a command ends.
enum LastWord {
    Ended(Ended),
    NotStarted(StartError),
    /// The supervisor process fell silent.
    None,
}

/// The whole environment of a command.
fn variables(command: &Command) -> impl Iterator<Item = (OsString, OsString)> {
    command.environment.clone().into_iter().chain(variables_of_leash(command))
}

/// The whole environment of a command's supervisor: what it is found by. What steers a loader or an interpreter in the command's own must not
/// steer the supervisor, which is not restricted.
pub(crate) fn variables_of_leash(command: &Command) -> Option<(OsString, OsString)> {
    command.mark.as_ref().map(|mark| (OsString::from(&mark.variable), OsString::from(&mark.value)))
}

/// The supervisor process of one command and all that connects us to it.
struct Supervision {
    holder: Holder,
    conversation: Conversation,
    pipes: Pipes,
    deadline: Instant,
    /// The supervisor process has said that the command runs.
    started: bool,
    /// How far the kernel confines it, if that was asked for.
    enforcement: Option<Enforcement>,
    /// Why the supervisor process was told to stop, if it was.
    stopped: Option<End>,
}

impl Supervision {
    async fn start(command: &Command) -> Result<Self, StartError> {
        // Or its absence would look like that of the supervisor. A spawner looks itself, as its own user.
        if command.spawner.is_none() && !command.directory.is_dir() {
            return Err(StartError::DirectoryMissing(command.directory.clone()));
        }
        let refuse = |error| StartError::of_supervisor(&command.program, &command.supervisor, &error);
        let variables = write_variables(variables(command)).map_err(refuse)?;
        let (ours, theirs) = UnixStream::pair().map_err(refuse)?;
        let mut conversation = Conversation::of(ours).map_err(refuse)?;
        let (pipes, out, error) = Pipes::new().map_err(refuse)?;
        let holder = Holder::start(command, [theirs.into(), out, error]).await?;
        // Where it does not take them it is no supervisor, or lost: what it says or does not say next tells.
        let _ = timeout(SUPERVISOR_DELAY_MAX, conversation.send(&variables)).await;
        let now = Instant::now();
        let deadline = now.checked_add(command.deadline).unwrap_or(now + FAR_AWAY);
        Ok(Self { holder, conversation, pipes, deadline, started: false, enforcement: None, stopped: None })
    }

    async fn watch<Sink: FnMut(Line)>(
        &mut self,
        command: &Command,
        output: &mut Output<'_, Sink>,
        cancel: &CancellationToken,
    ) -> LastWord {
        let mut until = self.deadline;
        loop {
            let stop = tokio::select! {
                report = self.conversation.hear() => match report {
                    Some(Report::Started(enforcement)) => {
                        (self.started, self.enforcement) = (true, enforcement);
                        continue;
                    }
                    Some(Report::Ended(ended)) => return LastWord::Ended(ended),
                    Some(Report::Failed { errno, text }) => {
                        return LastWord::NotStarted(StartError::of_command(&command.program, errno, text));
                    }
                    Some(Report::Spared(pid)) => {
                        adopted::spare(pid);
                        continue;
                    }
                    None | Some(Report::Killed(_)) => return LastWord::None,
                },
                Some((stream, bytes)) = self.pipes.read() => {
                    output.write(stream, bytes);
                    continue;
                }
                () = cancel.cancelled(), if self.stopped.is_none() => End::Cancelled,
                () = sleep_until(until) => End::DeadlineExceeded,
            };
            if self.stopped.is_some() {
                return LastWord::None;
            }
            self.stopped = Some(stop);
            // A spawner that somebody has stopped takes nothing: its unit ends it.
            let _ = timeout(SUPERVISOR_DELAY_MAX, self.conversation.order_stop()).await;
            until = Instant::now() + command.grace + BEYOND_GRACE_MAX + SUPERVISOR_DELAY_MAX;
        }
    }

    /// Reads what is left in the pipes.
    async fn drain<Sink: FnMut(Line)>(&mut self, output: &mut Output<'_, Sink>) {
        let rest = async {
            while let Some((stream, bytes)) = self.pipes.read().await {
                output.write(stream, bytes);
            }
        };
        // Too late is no error: the rest is of processes that are not ours any more.
        let _ = timeout(DRAIN_MAX, rest).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_name() {
        let ended = |status, ordered| {
            let by = if ordered { EndedBy::Order } else { EndedBy::Itself };
            Some(Ended { status, by, leftovers: 0, survivors: 0 })
        };
        let excess = |by| Some(Ended { status: Status::Signalled(9), by, leftovers: 0, survivors: 0 });
        let limits = ResourceLimits { memory_bytes_max: Some(5), tasks_max: Some(7), ..Default::default() };
        let late = Some(End::DeadlineExceeded);
        for (ended, stopped, memory_kills, expected) in [
            (ended(Status::Exited(0), false), None, 0, End::Exited(0)),
            (ended(Status::Exited(0), false), None, 1, End::Exited(0)),
            (ended(Status::Exited(137), false), None, 0, End::Exited(137)),
            (ended(Status::Exited(137), false), None, 1, End::OutOfMemory),
            (ended(Status::Signalled(9), false), None, 0, End::Signalled(9)),
            (ended(Status::Signalled(9), false), None, 2, End::OutOfMemory),
            (ended(Status::Signalled(15), false), None, 2, End::Signalled(15)),
            // The order came when the command had ended already.
            (ended(Status::Exited(3), false), late, 0, End::Exited(3)),
            (ended(Status::Signalled(9), true), late, 1, End::DeadlineExceeded),
            (ended(Status::Exited(0), true), Some(End::Cancelled), 0, End::Cancelled),
            (excess(EndedBy::Memory), None, 1, End::TooMuchMemory { bytes_max: 5 }),
            (excess(EndedBy::Tasks), None, 1, End::TooManyTasks { max: 7 }),
            (None, None, 0, End::SupervisorLost),
            (None, late, 0, End::DeadlineExceeded),
        ] {
            let found = end(ended, stopped, memory_kills, &limits);
            assert_eq!(found, expected, "{ended:?} {stopped:?} {memory_kills}");
        }
    }
}
