//! The supervisor process's children: the command, and whatever was orphaned below it.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process_group, wait};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use crate::control_group::StepGroup;
use crate::process_table::Process;
use crate::protocol::Status;

/// Notices of signals; there must be one before the first child is.
pub(super) struct Notices {
    /// Readable whenever a child may have ended.
    changes: UnixStream,
}

impl Notices {
    pub fn new() -> io::Result<Self> {
        let (changes, sender) = UnixStream::pair()?;
        changes.set_nonblocking(true)?;
        sender.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(SIGCHLD, sender)?;
        // A flag that nobody reads. Unlike "ignore", a handler is not inherited by the command.
        let swallowed = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
            signal_hook::flag::register(signal, Arc::clone(&swallowed))?;
        }
        Ok(Self { changes })
    }
}

pub(super) struct Children {
    notices: Notices,
    command: Pid,
    /// How the command ended, once it has been reaped. Until then its id cannot be given to another.
    status: Option<Status>,
    /// Nothing of the step exists any more, not even a zombie.
    none_left: bool,
    /// The control group of all of them, where there is one.
    group: Option<StepGroup>,
}

impl Children {
    pub fn new(notices: Notices, command: Pid, group: Option<StepGroup>) -> Self {
        Self { notices, command, status: None, none_left: false, group }
    }

    /// Kills all of them in one call, where they have a control group.
    pub fn kill_group(&self) {
        self.group.iter().for_each(StepGroup::kill);
    }

    /// Whether the kernel has killed some of them because their control group was over its limit.
    pub fn ran_out_of_memory(&self) -> bool {
        self.group.as_ref().is_some_and(StepGroup::ran_out_of_memory)
    }

    /// To be polled for reading.
    pub fn changes(&self) -> &UnixStream {
        &self.notices.changes
    }

    /// How the command ended, if it has.
    pub fn status(&self) -> Option<Status> {
        self.status
    }

    /// Sends `signal` to everything below the supervisor process that `processes` names. The command's own group gets it in
    /// one call: while we went from one to the next, a fork bomb in it would leave us little of the processor,
    /// and the kernel lets no fork slip through a signal to a group.
    pub fn signal(&self, processes: &[Process], signal: Signal) {
        let group = self.command.as_raw_pid();
        let session = getpid().as_raw_pid();
        let is_grouped = |process: &Process| process.group == group && process.session == session;
        // The number is surely still this group's where the command is not reaped or the group has members.
        if self.status.is_none() || processes.iter().any(is_grouped) {
            // An error says that nobody is left in it, or nobody whom we may signal.
            let _ = kill_process_group(self.command, signal);
        }
        for process in processes.iter().filter(|process| !is_grouped(process)) {
            process.signal(signal);
        }
    }

    /// Reaps everything that has ended.
    pub fn reap(&mut self) {
        // First the notice, then the children: one who ends in between leaves a new notice.
        let mut notices = [0; 64];
        while matches!(self.changes().read(&mut notices), Ok(count) if count > 0) {}
        loop {
            match wait(WaitOptions::NOHANG) {
                // The first word counts: once reaped, the id may come back as an orphan's.
                Ok(Some((pid, status))) if pid == self.command && self.status.is_none() => {
                    self.status = read(status);
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return,
                Err(_) => {
                    self.none_left = true;
                    return;
                }
            }
        }
    }

    /// Waits until nothing of the step is left (`true`) or the time is over (`false`).
    pub fn wait_until_none(&mut self, limit: Duration) -> bool {
        let started = Instant::now();
        loop {
            self.reap();
            let remaining = limit.saturating_sub(started.elapsed());
            if self.none_left || remaining.is_zero() {
                return self.none_left;
            }
            let timeout = Timespec {
                tv_sec: i64::try_from(remaining.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: remaining.subsec_nanos().into(),
            };
            // An error is EINTR, after which there is as much to do as after a notice or the time-out.
            let _ = poll(&mut [PollFd::new(self.changes(), PollFlags::IN)], Some(&timeout));
        }
    }
}

fn read(status: WaitStatus) -> Option<Status> {
    status.exit_status().map(Status::Exited).or_else(|| status.terminating_signal().map(Status::Signalled))
}
