//! The second belt: killing what a supervisor process that was itself killed has left.
//!
//! Without their subreaper the processes belong to init, and nothing in the table says any more whose they
//! were. What is left of it: the mark in the environment that each was started with, and, for the command's
//! own session, the number of the supervisor process that opened it. A process that did `setsid` *and* emptied its
//! environment is found by its parent ([`crate::become_subreaper`]) or its control group, where there are those.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, getuid, pidfd_open};

use crate::process_table::{Process, Sent, all, living_below};

/// After this, what is still there cannot be killed, or is started anew as fast as it is killed.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// How long one killed process may take to end before the next look.
const END_MAX: Duration = Duration::from_millis(200);

/// Kills every living process of this user, except the caller, that was started with `variable=value` in its
/// environment, and returns how many there were. For recovery after a crash, when neither daemon nor supervisor process
/// is there any more. Blocks for at most some seconds.
///
/// # Errors
/// `/proc` cannot be read, or after ten seconds some were still there.
pub fn kill_marked(variable: &str, value: &str) -> io::Result<usize> {
    let entry = format!("{variable}={value}").into_bytes();
    kill_until_none(|| all_where(|process| process.has_in_environment(&entry)))
}

/// Kills what is left of the session that a supervisor process opened. The supervisor process must not have been reaped yet, or its
/// number could be foreign.
pub(crate) fn kill_session(supervisor: Pid) -> io::Result<usize> {
    kill_until_none(|| all_where(|process| process.session == supervisor.as_raw_pid()))
}

/// Kills what is below the calling process, a subreaper, however deep.
pub(crate) fn kill_below_self() -> io::Result<usize> {
    kill_until_none(|| living_below(getpid()))
}

fn all_where(matches: impl Fn(&Process) -> bool) -> io::Result<Vec<Process>> {
    let mut found = all()?;
    found.retain(|process| process.is_alive() && matches(process));
    Ok(found)
}

pub(crate) fn kill_until_none(find: impl Fn() -> io::Result<Vec<Process>>) -> io::Result<usize> {
    let started = Instant::now();
    let mut killed = HashSet::new();
    let user = getuid().as_raw();
    loop {
        let mut found = find()?;
        found.retain(|process| process.pid != getpid() && process.user() == Some(user));
        if found.is_empty() {
            return Ok(killed.len());
        }
        if started.elapsed() > GIVE_UP_AFTER {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "{} processes are still there after {} s of killing",
                    found.len(),
                    GIVE_UP_AFTER.as_secs()
                ),
            ));
        }
        // As in the supervisor: who is stopped cannot fork while the others are being killed.
        for process in &found {
            process.signal(Signal::STOP);
        }
        for process in &found {
            if process.signal(Signal::KILL) == Sent::Delivered {
                killed.insert(process.identity());
            }
        }
        found.iter().for_each(wait_for_end);
    }
}

/// Waits, but not for long: the next look tells whether it is gone.
fn wait_for_end(process: &Process) {
    let Ok(descriptor) = pidfd_open(process.pid, PidfdFlags::empty()) else { return };
    let timeout = Timespec { tv_sec: 0, tv_nsec: END_MAX.subsec_nanos().into() };
    let _ = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&timeout));
}
