//! The supervisor: the process between the daemon and a step's command.
//!
//! It is the subreaper of everything that the command starts: a process whose parent ends, and be it by a
//! double fork with `setsid`, becomes the supervisor process's child and not init's. From this follows the one fact on
//! which all waiting here rests: *wait(2) says ECHILD exactly when nothing of the step is left.* No table of
//! processes is consulted to know that it is over; the table serves only to find whom to signal.
//!
//! It is synchronous and starts no thread, so that it is there in a millisecond and has little to go wrong.
//! It has a session of its own: a terminal's Ctrl-C does not reach it, and the command finds no terminal on
//! which to ask for a password.
//!
//! It is not restricted itself. A restricted command is started by way of [`restrict`], a second process of this program that takes the
//! restrictions on and then becomes the command. So the border of the sandbox runs between the supervisor process and the command, and the command
//! cannot signal the supervisor. Neither of the two has the command's environment as its own, or an `LD_PRELOAD` in it would run outside.
//!
//! TERM, INT, HUP and QUIT that are sent to it are swallowed: a service manager that ends the whole control
//! group must not end the supervisor process before its charges. Deliberately absent: any knowledge of deadlines, output,
//! or why it is told to stop. The daemon knows that.

mod bring_down;
mod children;
mod confine;
mod restrict;
mod system_calls;
mod usage;

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, getpid, set_child_subreaper, set_dumpable_behavior, setsid};
use rustix::stdio::stdin;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

pub(crate) use bring_down::BEYOND_GRACE_MAX;

use crate::confinement::Restrictions;
use crate::control_group::StepGroup;
use crate::process_table;
use crate::protocol::{Ended, EndedBy, Report, SUPERVISOR_ARGUMENT, Status, read_variables, write_variables};
use crate::{Enforcement, Leftovers, ResourceLimits};
use children::{Children, Notices};

/// Exit code of a supervisor process that was not called as [`crate::run`] calls it.
const USAGE: u8 = 64;

/// What is reported of a command that survived even KILL, and so has no status yet.
pub(crate) const STATUS_UNKNOWN: Status = Status::Signalled(9);

/// Be the supervisor. `arguments` is what follows [`crate::SUPERVISOR_ARGUMENT`]; [`crate::run`] writes it.
///
/// The program's `main` calls this before it does anything else. It returns when nothing of the command runs
/// any more; the result is for `main` to return.
pub fn supervisor_main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.peekable();
    if arguments.next_if(|first| first == restrict::ARGUMENT).is_some() {
        return restrict::main(arguments);
    }
    let Some(assignment) = Assignment::parse(arguments) else {
        eprintln!(
            "this is an internal command: it is run by the daemon, with a socket as its standard input"
        );
        return ExitCode::from(USAGE);
    };
    // What it runs is its own user: it may neither read its control socket nor its memory. Best effort: an old kernel.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // What the daemon, or who started that, has left open by mistake is not for commands.
    close_fds::set_fds_cloexec(3, &[]);
    match start(&assignment) {
        Ok((children, enforcement)) => {
            report(&Report::Started(enforcement));
            let ended = see_to_its_end(children, &assignment);
            report(&Report::Ended(ended));
            ExitCode::SUCCESS
        }
        Err(error) => {
            report(&Report::failed(&error));
            ExitCode::FAILURE
        }
    }
}

/// `<grace in ms> <kill|spare> <restrictions...> -- <program> <arguments...>`
#[derive(Debug, PartialEq)]
pub(crate) struct Assignment {
    pub grace: Duration,
    pub leftovers: Leftovers,
    pub restrictions: Restrictions,
    pub program: OsString,
    pub arguments: Vec<OsString>,
}

impl Assignment {
    pub fn of(command: &crate::Command) -> Self {
        Self {
            grace: command.grace,
            leftovers: command.leftovers,
            restrictions: Restrictions {
                confinement: command.confinement.clone(),
                resources: command.resources,
            },
            program: command.program.clone(),
            arguments: command.args.clone(),
        }
    }

    pub fn into_arguments(self) -> impl Iterator<Item = OsString> {
        let leftovers = match self.leftovers {
            Leftovers::Kill => "kill",
            Leftovers::Spare => "spare",
        };
        [self.grace.as_millis().to_string().into(), leftovers.into()]
            .into_iter()
            .chain(self.restrictions.into_arguments())
            .chain(["--".into(), self.program])
            .chain(self.arguments)
    }

    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let grace = Duration::from_millis(arguments.next()?.to_str()?.parse().ok()?);
        let leftovers = match arguments.next()?.to_str()? {
            "kill" => Leftovers::Kill,
            "spare" => Leftovers::Spare,
            _ => return None,
        };
        let restrictions = Restrictions::parse(&mut arguments)?;
        Some(Self {
            grace,
            leftovers,
            restrictions,
            program: arguments.next()?,
            arguments: arguments.collect(),
        })
    }
}

/// Everything that could fail fails before the command runs: what could not be stopped is not started.
fn start(assignment: &Assignment) -> io::Result<(Children, Option<Enforcement>)> {
    let variables = read_variables(stdin_of_leash()?)?;
    // Refused only to the leader of a process group, who is out of the terminal's reach already.
    let _ = setsid();
    set_child_subreaper(Some(getpid()))?;
    process_table::living_below(getpid())?;
    let notices = Notices::new()?;
    if !assignment.restrictions.are_none() {
        return start_restricted(assignment, variables, notices);
    }
    #[expect(clippy::disallowed_methods, reason = "the one place where a step's command is started")]
    let command = Command::new(&assignment.program)
        .args(&assignment.arguments)
        .env_clear()
        .envs(variables)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()?;
    Ok((Children::new(notices, id_of(&command), None), None))
}

/// Starts the process that restricts itself and then becomes the command; returns when it is the command, or could not become it.
fn start_restricted(
    assignment: &Assignment,
    variables: Vec<(OsString, OsString)>,
    notices: Notices,
) -> io::Result<(Children, Option<Enforcement>)> {
    let mut group = StepGroup::create(assignment.restrictions.resources.as_ref());
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut words: Vec<OsString> = vec![SUPERVISOR_ARGUMENT.into(), restrict::ARGUMENT.into()];
    words.push(group.as_ref().map_or_else(OsString::new, |group| group.directory().into()));
    words.extend(assignment.restrictions.clone().into_arguments());
    words.extend(["--".into(), assignment.program.clone()]);
    words.extend(assignment.arguments.iter().cloned());
    // `theirs` is closed here at the end of the statement: only then does the socket end when they close it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where a step's restricted command is started"
    )]
    let mut command =
        Command::new("/proc/self/exe").args(words).stdin(OwnedFd::from(theirs)).process_group(0).spawn()?;
    let answered = io::Write::write_all(&mut ours, &write_variables(variables)?);
    let mut answer = String::new();
    // It ends when the command runs: the socket is closed on exec.
    let answered = answered.and_then(|()| ours.read_to_string(&mut answer));
    let mut lines = answer.lines();
    let restricted = lines.next().and_then(restrict::Restricted::parse);
    let failure = lines.next().and_then(Report::parse);
    if let (Some(restricted), None) = (restricted, failure.as_ref()) {
        group = group.filter(|_| restricted.in_group);
        return Ok((Children::new(notices, id_of(&command), group), restricted.enforcement));
    }
    let _ = command.kill();
    let status = command.wait()?;
    drop(group);
    Err(match (failure, answered) {
        (Some(Report::Failed { errno, .. }), _) if errno > 0 => io::Error::from_raw_os_error(errno),
        (Some(Report::Failed { text, .. }), _) => io::Error::other(text),
        (_, Err(error)) => error,
        _ => io::Error::other(format!("it ended before it had become the command ({status})")),
    })
}

fn id_of(command: &std::process::Child) -> Pid {
    i32::try_from(command.id()).ok().and_then(Pid::from_raw).expect("a process id is a positive i32")
}

/// The control socket, to be read without anything read in advance.
fn stdin_of_leash() -> io::Result<UnixStream> {
    Ok(UnixStream::from(rustix::io::fcntl_dupfd_cloexec(stdin(), 3)?))
}

fn see_to_its_end(mut children: Children, assignment: &Assignment) -> Ended {
    let limits = assignment.restrictions.resources.filter(usage::is_watched);
    let by = wait_for_end(&mut children, limits.as_ref());
    let (leftovers, survivors) = match (by, assignment.leftovers) {
        (EndedBy::Itself, Leftovers::Kill) => bring_down::leftovers(&mut children, assignment.grace),
        (EndedBy::Itself, Leftovers::Spare) => {
            bring_down::spared().for_each(|pid| report(&Report::Spared(pid)));
            (0, 0)
        }
        (EndedBy::Order, _) => (0, bring_down::everything(&mut children, assignment.grace)),
        // Who asks a fork bomb to end, and waits for it, feeds it.
        (EndedBy::Memory | EndedBy::Tasks, _) => (0, bring_down::at_once(&mut children)),
    };
    let status = children.status().unwrap_or(STATUS_UNKNOWN);
    // The kernel was faster than the next look.
    let by = if by == EndedBy::Itself && children.ran_out_of_memory() { EndedBy::Memory } else { by };
    Ended { status, by, leftovers, survivors }
}

/// Sleeps until the command has ended, or must be stopped.
fn wait_for_end(children: &mut Children, limits: Option<&ResourceLimits>) -> EndedBy {
    let interval = limits.map(|_| Timespec { tv_sec: 0, tv_nsec: usage::INTERVAL.subsec_nanos().into() });
    let mut looked_at = Instant::now();
    loop {
        children.reap();
        if children.status().is_some() {
            return EndedBy::Itself;
        }
        let mut descriptors = [
            PollFd::new(children.changes(), PollFlags::IN),
            PollFd::from_borrowed_fd(stdin(), PollFlags::IN),
        ];
        // An error is EINTR: one of the signals that are swallowed.
        let order = poll(&mut descriptors, interval.as_ref()).is_ok() && !descriptors[1].revents().is_empty();
        // Whatever arrives is an order: the byte, the end of the stream, and also an error on the socket, for
        // a supervisor process that can no longer be told to stop has to stop now.
        if order {
            return EndedBy::Order;
        }
        // Not at every orphan that ends: there may be thousands.
        if let Some(limits) = limits
            && looked_at.elapsed() >= usage::INTERVAL
        {
            if let Some(excess) = usage::excess(limits) {
                return excess;
            }
            looked_at = Instant::now();
        }
    }
}

fn report(report: &Report) {
    let line = format!("{report}\n");
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        match rustix::io::write(stdin(), rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            // The daemon is no more: nobody is left who could be told.
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Confinement;

    #[test]
    fn an_assignment_is_read_as_it_was_written() {
        let assignment = || Assignment {
            grace: Duration::from_millis(1500),
            leftovers: Leftovers::Spare,
            restrictions: Restrictions {
                confinement: Some(Confinement {
                    readable: vec!["/usr".into(), "--".into()],
                    writable: vec!["/tmp/a b".into()],
                    hidden: vec!["read".into()],
                    landlock_max: Some(2),
                }),
                resources: Some(ResourceLimits {
                    memory_bytes_max: Some(1 << 40),
                    tasks_max: Some(7),
                    file_bytes_max: None,
                    data_bytes_max: Some(9),
                }),
            },
            program: "--".into(),
            arguments: vec!["--".into(), String::new().into(), "a b".into()],
        };
        assert_eq!(Assignment::parse(assignment().into_arguments()), Some(assignment()));
    }

    #[test]
    fn anything_else_is_refused() {
        for arguments in [
            &[][..],
            &["x"],
            &["1", "kill"],
            &["1", "kill", "--"],
            &["1", "maybe", "--", "true"],
            &["1", "kill", "read", "/usr", "--", "true"],
            &["1", "kill", "confine", "read"],
            &["1", "kill", "confine", "landlock-max", "x", "--", "true"],
            &["1", "kill", "limit", "tasks", "many", "--", "true"],
            &["1", "kill", "limit", "fun", "7", "--", "true"],
        ] {
            assert_eq!(Assignment::parse(arguments.iter().map(OsString::from)), None, "{arguments:?}");
        }
    }
}
