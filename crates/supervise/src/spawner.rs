//! Commands of another user: a process of that user's own, the spawner, starts their supervisor processes.
//!
//! # Theory of operation
//!
//! ```text
//!   daemon (user A) -- request, with program, ends of control socket and pipes --> spawner (B)
//!     |                                                                         | starts
//!     |  <------------- control socket, standard output and error ---------> supervisor process (B) --> command (B)
//! ```
//!
//! Nobody becomes another user here, so nothing here needs root: a service manager starts the spawner as its user when somebody
//! connects to its socket, and who may connect is said by that socket's owner and mode. From there on a command is like any other:
//! the supervisor process has the same arguments, the same environment and the same descriptors, and answers to the same daemon. The spawner
//! only tells how the supervisor process has ended, and kills by a mark ([`crate::kill_marked`]), which is for the same user only.
//!
//! The spawner gets the listening socket as its standard input, and ends when nobody has wanted anything of it for a while. It also ends
//! when a supervisor process was killed: then nobody knows what that has left behind, so it kills everything that it has started, and a service manager
//! what may be left of a service even then. That includes other commands of that user; whose supervisor process is killed is under attack by his own.
//!
//! Who connects shows a key first, which the spawner has from the service manager (the credential [`CREDENTIAL`]). The socket's mode
//! lets in whoever is the deployer's user, and builds of a deployment without a user of its own are: Landlock does not judge `connect`, but
//! keeps the key from them. Each user's spawner has a key of its own, so what is read from one opens no other.
//!
//! Deliberately absent: any check of what is asked for. Whoever has the key may do everything that the user may.

mod address;
mod request;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, getpid, set_child_subreaper, set_dumpable_behavior};
use rustix::stdio::stdin;
use tokio::time::timeout;

use crate::protocol::{Ended, EndedBy, Report, SUPERVISOR_ARGUMENT, Status};
use crate::supervisor::STATUS_UNKNOWN;
use crate::{control_group, orphan_killer};
pub use address::{CREDENTIAL, Spawner};
use request::Start;
pub(crate) use request::{Descriptors, Request};

/// The argument by which the product's `main` recognises that it is to be a spawner.
pub const SPAWNER_ARGUMENT: &str = "__keeper";

/// So long it waits for another request: from one step of a run to the next.
const IDLE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Longer than [`crate::kill_marked`] takes. One that was stopped, perhaps by what is to be killed, never answers.
const KILL_MAX: Duration = Duration::from_secs(15);

/// When the system has no more connections or threads for us, it is asked again after this.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Exit code of a spawner that was not given a listening socket.
const USAGE: u8 = 64;

/// Be the spawner, on the listening socket that is the standard input. Returns when nothing has been asked for a while.
pub fn spawner_main() -> ExitCode {
    // What it starts is its own user, who may not look into it. Best effort: an old kernel.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // What a killed supervisor process has left comes to us.
    let _ = set_child_subreaper(Some(getpid()));
    // Or each command has none of its own; then what ends the spawner ends them too.
    let _ = control_group::settle();
    let key = address::own_key();
    let serve = |socket| serve(&UnixListener::from(socket), &key);
    let served = stdin().as_fd().try_clone_to_owned().and_then(serve);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "this is an internal command: a service manager runs it, with a listening socket as its standard input ({error})"
            );
            ExitCode::from(USAGE)
        }
    }
}

fn serve(listener: &UnixListener, key: &Arc<str>) -> io::Result<()> {
    let working = Arc::new(AtomicUsize::new(0));
    loop {
        match poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&IDLE)) {
            Ok(0) if working.load(Ordering::SeqCst) == 0 => return Ok(()),
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let attended = listener.accept().and_then(|(connection, _)| {
            let (working, key) = (Attendance::of(&working), Arc::clone(key));
            thread::Builder::new().spawn(move || {
                attend(connection, &key);
                drop(working);
            })
        });
        // Who asked hears that nobody answers; what others have asked for goes on.
        if attended.is_err() {
            thread::sleep(EXHAUSTED_PAUSE);
        }
    }
}

/// As long as it is there, somebody is attended to.
struct Attendance(Arc<AtomicUsize>);

impl Attendance {
    fn of(working: &Arc<AtomicUsize>) -> Self {
        working.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(working))
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One request, from its first byte to the answer.
fn attend(mut connection: UnixStream, key: &str) {
    let done = Request::receive(&connection, key).and_then(|request| match request {
        Request::Start(start, descriptors) => keep(&start, descriptors).map(Report::Ended),
        Request::KillMarked { variable, value } => {
            orphan_killer::kill_marked(&variable, &value).map(Report::Killed)
        }
    });
    let report = done.unwrap_or_else(|error| {
        eprintln!("{error}");
        Report::Failed { errno: error.raw_os_error().unwrap_or(0), text: error.to_string() }
    });
    let is_lost = matches!(report, Report::Ended(Ended { status: Status::Signalled(_), .. }));
    if is_lost {
        eprintln!("a supervisor process was killed: this ends, and all that it has started");
        let _ = orphan_killer::kill_below_self();
    }
    // Who does not hear it any more does not need it.
    let _ = connection.write_all(format!("{report}\n").as_bytes());
    if is_lost {
        std::process::exit(1);
    }
}

/// Starts a supervisor process and waits for its end.
fn keep(start: &Start, descriptors: Descriptors) -> io::Result<Ended> {
    let directory = Path::new(&start.directory);
    let may_enter = directory.join(".").metadata().map(drop);
    may_enter.map_err(|error| io::Error::other(format!("{}: {error}", directory.display())))?;
    let status = spawn(start, descriptors)?.wait()?;
    let status = status.code().map(Status::Exited).or(status.signal().map(Status::Signalled));
    Ok(Ended { status: status.unwrap_or(STATUS_UNKNOWN), by: EndedBy::Itself, leftovers: 0, survivors: 0 })
}

/// The supervisor process is the caller's program, whatever version this one is of.
fn spawn(start: &Start, [program, control, out, error]: Descriptors) -> io::Result<Child> {
    let variables = start.variables.iter().map(|(name, value)| (name, value));
    #[expect(clippy::disallowed_methods, reason = "where a supervisor process is started for another user")]
    Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .arg(SUPERVISOR_ARGUMENT)
        .args(&start.arguments)
        .env_clear()
        .envs(variables)
        .current_dir(&start.directory)
        .stdin(control)
        .stdout(out)
        .stderr(error)
        .spawn()
}

/// What is asked of a spawner by who wants a command run.
pub(crate) fn start_request(
    command: &crate::Command,
    arguments: Vec<OsString>,
    descriptors: Descriptors,
) -> Request {
    let variables = crate::run::variables_of_leash(command).into_iter().collect();
    Request::Start(Start { directory: command.directory.clone().into(), arguments, variables }, descriptors)
}

/// [`crate::kill_marked`] among the processes of a spawner's user.
///
/// # Errors
/// Nobody serves there, it does not take the key, or what [`crate::kill_marked`] says.
pub async fn kill_marked_by(spawner: &Spawner, variable: &str, value: &str) -> io::Result<usize> {
    let request = Request::KillMarked { variable: variable.to_owned(), value: value.to_owned() };
    let mut conversation = request.send(spawner).await?;
    match timeout(KILL_MAX, conversation.hear()).await {
        Ok(Some(Report::Killed(number))) => Ok(number),
        Ok(Some(Report::Failed { text, .. })) => Err(io::Error::other(text)),
        // It has ended, and with it all that was its.
        Ok(_) => Ok(0),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the spawner does not answer")),
    }
}
