//! Who started a leash, and so hears of its end: the caller itself, or a keeper.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::Pid;
use tokio::process::Child;
use tokio::time::timeout;

use crate::leash::Assignment;
use crate::protocol::{Ended, LEASH_ARGUMENT, Report, Status};
use crate::run::{Conversation, variables_of_leash};
use crate::{Command, Keeper, Mark, StartError, adopted, belt, control_group, keeper};

/// See the module.
pub(super) enum Holder {
    Caller(Child),
    Keeper { keeper: Keeper, conversation: Conversation },
}

/// How a leash ended.
pub(super) enum LeashEnd {
    ByItself,
    /// It was killed, or it hangs.
    Lost,
    /// There never was one: this is why, by the system's number and in words.
    NotStarted(i32, String),
}

impl Holder {
    /// Starts the leash with these: control socket, standard output, standard error.
    pub async fn start(command: &Command, descriptors: [OwnedFd; 3]) -> Result<Self, StartError> {
        let arguments = Assignment::of(command).into_arguments();
        if let Some(keeper) = &command.keeper {
            let refuse = |error: std::io::Error| StartError::Keeper {
                socket: keeper.socket.clone(),
                reason: error.to_string(),
            };
            let [control, out, error] = descriptors;
            let program = std::fs::File::open(&command.leash);
            let program =
                program.map_err(|error| StartError::of_leash(&command.program, &command.leash, &error))?;
            let descriptors = [program.into(), control, out, error];
            let request = keeper::start_request(command, arguments.collect(), descriptors);
            let conversation = request.send(keeper).await.map_err(refuse)?;
            return Ok(Self::Keeper { keeper: keeper.clone(), conversation });
        }
        let [control, out, error] = descriptors;
        #[expect(clippy::disallowed_methods, reason = "the one place where a leash is started")]
        let leash = adopted::spawn_own(
            tokio::process::Command::new(&command.leash)
                .arg(LEASH_ARGUMENT)
                .args(arguments)
                .env_clear()
                .envs(variables_of_leash(command))
                .current_dir(&command.directory)
                .stdin(control)
                .stdout(out)
                .stderr(error),
        );
        leash
            .map(Self::Caller)
            .map_err(|error| StartError::of_leash(&command.program, &command.leash, &error))
    }

    /// Does the leash's work, as well as it can be done from outside; returns how many survived, at least.
    pub async fn kill_all(&mut self, mark: Option<&Mark>) -> u32 {
        match self {
            Self::Caller(leash) => kill_from_here(leash, mark.cloned()).await,
            // It kills the leash too, which has the mark.
            Self::Keeper { keeper, .. } => match mark {
                Some(mark) => {
                    let killed = keeper::kill_marked_by(keeper, &mark.variable, &mark.value).await;
                    u32::from(killed.is_err())
                }
                None => 1,
            },
        }
    }

    /// Waits for a leash that has said its last word, or will not say any.
    pub async fn end(self, limit: Duration) -> LeashEnd {
        match self {
            Self::Caller(leash) => match adopted::reap_own(leash, limit).await {
                Some(status) if status.code().is_some() => LeashEnd::ByItself,
                _ => LeashEnd::Lost,
            },
            Self::Keeper { mut conversation, .. } => match timeout(limit, conversation.hear()).await {
                Ok(Some(Report::Ended(Ended { status: Status::Exited(_), .. }))) => LeashEnd::ByItself,
                Ok(Some(Report::Failed { errno, text })) => LeashEnd::NotStarted(errno, text),
                _ => LeashEnd::Lost,
            },
        }
    }
}

async fn kill_from_here(leash: &mut Child, mark: Option<Mark>) -> u32 {
    // It may also just hang. Then it must not come back to life later.
    let _ = leash.start_kill();
    let leash = leash.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let killing = tokio::task::spawn_blocking(move || {
        if let Some(leash) = leash {
            control_group::kill_step_of(leash);
        }
        let session = leash.map_or(Ok(0), belt::kill_session);
        let marked = mark.map_or(Ok(0), |mark| belt::kill_marked(&mark.variable, &mark.value));
        // What has left the session and has emptied its environment, but could not choose another parent.
        let orphans = leash.map_or(Ok(0), adopted::kill_orphans_of);
        [session, marked, orphans].iter().map(|killed| u32::from(killed.is_err())).sum()
    });
    killing.await.unwrap_or(1)
}
