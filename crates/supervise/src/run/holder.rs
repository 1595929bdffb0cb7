//! Who started a supervisor, and so hears of its end: the caller itself, or a spawner.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::Pid;
use tokio::process::Child;
use tokio::time::timeout;

use crate::protocol::{Ended, Report, SUPERVISOR_ARGUMENT, Status};
use crate::run::{Conversation, variables_of_leash};
use crate::supervisor::Assignment;
use crate::{Command, Mark, Spawner, StartError, adopted, control_group, orphan_killer, spawner};

pub(super) enum Holder {
    Caller(Child),
    Spawner { spawner: Spawner, conversation: Conversation },
}

/// How a supervisor process ended.
pub(super) enum LeashEnd {
    ByItself,
    /// It was killed, or it hangs.
    Lost,
    /// There never was one: this is why, by the system's number and in words.
    NotStarted(i32, String),
}

impl Holder {
    /// Starts the supervisor process with these: control socket, standard output, standard error.
    pub async fn start(command: &Command, descriptors: [OwnedFd; 3]) -> Result<Self, StartError> {
        let arguments = Assignment::of(command).into_arguments();
        if let Some(spawner) = &command.spawner {
            let refuse = |error: std::io::Error| StartError::Spawner {
                socket: spawner.socket.clone(),
                reason: error.to_string(),
            };
            let [control, out, error] = descriptors;
            let program = std::fs::File::open(&command.supervisor);
            let program = program
                .map_err(|error| StartError::of_supervisor(&command.program, &command.supervisor, &error))?;
            let descriptors = [program.into(), control, out, error];
            let request = spawner::start_request(command, arguments.collect(), descriptors);
            let conversation = request.send(spawner).await.map_err(refuse)?;
            return Ok(Self::Spawner { spawner: spawner.clone(), conversation });
        }
        let [control, out, error] = descriptors;
        #[expect(clippy::disallowed_methods, reason = "the one place where a supervisor process is started")]
        let supervisor = adopted::spawn_own(
            tokio::process::Command::new(&command.supervisor)
                .arg(SUPERVISOR_ARGUMENT)
                .args(arguments)
                .env_clear()
                .envs(variables_of_leash(command))
                .current_dir(&command.directory)
                .stdin(control)
                .stdout(out)
                .stderr(error),
        );
        supervisor
            .map(Self::Caller)
            .map_err(|error| StartError::of_supervisor(&command.program, &command.supervisor, &error))
    }

    /// Does the supervisor process's work, as well as it can be done from outside; returns how many survived, at least.
    pub async fn kill_all(&mut self, mark: Option<&Mark>) -> u32 {
        match self {
            Self::Caller(supervisor) => kill_from_here(supervisor, mark.cloned()).await,
            // It kills the supervisor process too, which has the mark.
            Self::Spawner { spawner, .. } => match mark {
                Some(mark) => {
                    let killed = spawner::kill_marked_by(spawner, &mark.variable, &mark.value).await;
                    u32::from(killed.is_err())
                }
                None => 1,
            },
        }
    }

    /// Waits for a supervisor process that has said its last word, or will not say any.
    pub async fn end(self, limit: Duration) -> LeashEnd {
        match self {
            Self::Caller(supervisor) => match adopted::reap_own(supervisor, limit).await {
                Some(status) if status.code().is_some() => LeashEnd::ByItself,
                _ => LeashEnd::Lost,
            },
            Self::Spawner { mut conversation, .. } => match timeout(limit, conversation.hear()).await {
                Ok(Some(Report::Ended(Ended { status: Status::Exited(_), .. }))) => LeashEnd::ByItself,
                Ok(Some(Report::Failed { errno, text })) => LeashEnd::NotStarted(errno, text),
                _ => LeashEnd::Lost,
            },
        }
    }
}

async fn kill_from_here(supervisor: &mut Child, mark: Option<Mark>) -> u32 {
    // It may also just hang. Then it must not come back to life later.
    let _ = supervisor.start_kill();
    let supervisor = supervisor.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let killing = tokio::task::spawn_blocking(move || {
        if let Some(supervisor) = supervisor {
            control_group::kill_step_of(supervisor);
        }
        let session = supervisor.map_or(Ok(0), orphan_killer::kill_session);
        let marked = mark.map_or(Ok(0), |mark| orphan_killer::kill_marked(&mark.variable, &mark.value));
        // What has left the session and has emptied its environment, but could not choose another parent.
        let orphans = supervisor.map_or(Ok(0), adopted::kill_orphans_of);
        [session, marked, orphans].iter().map(|killed| u32::from(killed.is_err())).sum()
    });
    killing.await.unwrap_or(1)
}
