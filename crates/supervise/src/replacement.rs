//! A replacement: the one process that is started without a supervisor, because it is to outlive its parent.
//!
//! A daemon that is replaced by a newer one starts that itself, so that it can give it what it holds (a socket that listens, say) and can
//! go on if nothing comes of it. It gets the caller's environment and standard output, for it is to be what the caller is; a process
//! group of its own, so that a terminal's Ctrl-C is not heard twice; and, as its standard input, one end of a socket over which
//! the two talk. That end is also how it notices that the other is no more.
//!
//! Whoever supervises the caller may know only the caller's process id. For that case there is the *PID proxy*: the caller becomes
//! ([`become_pid_proxy`]) a tiny program ([`pid_proxy_main`]) that passes signals on to the replacement and ends as that ends. A replacement that has
//! itself been succeeded says so to the PID proxy ([`name_replacement`]), which then stands in for that one: they do not pile up.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::RecvFlags;
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, set_child_subreaper,
    set_dumpable_behavior, wait,
};
use rustix::stdio::{dup2_stdin, stdin};
use tokio::process::Child;
use tokio::time::timeout;

use crate::adopted;

/// The argument by which the product's `main` recognises that it is to be a PID proxy.
pub const PID_PROXY_ARGUMENT: &str = "__stand-in";

/// Signals that are meant for the daemon.
const PASSED_ON: [Signal; 6] =
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];

/// Exit code of a PID proxy that was not called as [`become_pid_proxy`] calls it.
const USAGE: u8 = 64;

/// "successor 4194304" and some more: longer messages are not ours.
const MESSAGE_BYTES_MAX: usize = 256;

/// A process that was started to succeed the caller. Dropping it leaves it alone.
#[derive(Debug)]
pub struct Replacement {
    child: Child,
    pid: Pid,
}

impl Replacement {
    /// Starts `program`; `control` becomes its standard input.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        program: &Path,
        arguments: &[OsString],
        directory: &Path,
        control: UnixStream,
    ) -> io::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "the one place where a replacement is started")]
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).current_dir(directory).stdin(OwnedFd::from(control)).process_group(0);
        let child = adopted::spawn_own(&mut command)?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, pid: pid.expect("a child that was not waited for has a positive id") })
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for its end. May be dropped while it waits.
    ///
    /// # Errors
    /// It was waited for by somebody else.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends it: TERM, and KILL to it when `grace` is over.
    ///
    /// # Errors
    /// It was waited for by somebody else.
    pub async fn end(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        // Once it has been waited for, its number may be another's.
        if self.child.id().is_some() {
            let _ = kill_process(self.pid, Signal::TERM);
        }
        match timeout(grace, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                self.child.start_kill()?;
                self.child.wait().await
            }
        }
    }
}

/// Turns the calling process into the PID proxy of its child `replacement`, with which it goes on talking over `control`. Returns only
/// where that fails.
pub fn become_pid_proxy(replacement: Pid, control: impl AsFd) -> io::Error {
    if let Err(error) = dup2_stdin(control) {
        return error.into();
    }
    #[expect(clippy::disallowed_methods, reason = "not started: become")]
    let mut command = Command::new("/proc/self/exe");
    let pid = replacement.as_raw_pid().to_string();
    command.arg0("durhack-deployer").args([PID_PROXY_ARGUMENT, &pid]).exec()
}

/// Says to one's own PID proxy, over one's own control socket, who comes next.
///
/// # Errors
/// Nobody is there to hear it.
pub fn name_replacement(mut control: &UnixStream, replacement: Pid) -> io::Result<()> {
    control.write_all(format!("successor {}\n", replacement.as_raw_pid()).as_bytes())
}

/// Be the PID proxy. `arguments` is what follows [`PID_PROXY_ARGUMENT`]; the result is for `main` to return.
pub fn pid_proxy_main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let charge = arguments.next().and_then(|text| text.to_str()?.parse().ok()).and_then(Pid::from_raw);
    let Some(charge) = charge else {
        eprintln!("this is an internal command: it is run by a daemon that hands over");
        return ExitCode::from(USAGE);
    };
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    match PidProxy::new(charge).and_then(PidProxy::stand) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("the PID proxy cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}

struct PidProxy {
    charge: Pid,
    /// Who is to be stood in for when the charge has ended.
    next: Option<Pid>,
    /// Half a message.
    received: Vec<u8>,
    /// Readable when a child may have ended.
    changes: UnixStream,
    /// Readable when the signal has come.
    signals: Vec<(Signal, UnixStream)>,
}

impl PidProxy {
    fn new(charge: Pid) -> io::Result<Self> {
        // A replacement's replacement becomes our child when the one between has ended.
        set_child_subreaper(Some(getpid()))?;
        let signals = PASSED_ON.into_iter().map(|signal| Ok((signal, notice_of(signal)?)));
        let signals = signals.collect::<io::Result<_>>()?;
        Ok(Self { charge, next: None, received: Vec::new(), changes: notice_of(Signal::CHILD)?, signals })
    }

    /// Until the charge has ended and nobody follows it; gives the code to end with.
    fn stand(mut self) -> io::Result<u8> {
        let mut linked = true;
        loop {
            linked = linked && self.hear();
            if let Some(code) = self.reap()? {
                return Ok(code);
            }
            for (signal, notice) in &self.signals {
                if drained(notice) {
                    let _ = kill_process(self.charge, *signal);
                }
            }
            let notices = std::iter::once(&self.changes).chain(self.signals.iter().map(|(_, notice)| notice));
            let mut descriptors: Vec<PollFd<'_>> =
                notices.map(|notice| PollFd::new(notice, PollFlags::IN)).collect();
            if linked {
                descriptors.push(PollFd::from_borrowed_fd(stdin(), PollFlags::IN));
            }
            // An error is EINTR: a signal, of which there is a notice.
            let _ = poll(&mut descriptors, None);
        }
    }

    /// Reads what the charge says; false where nothing more will come.
    fn hear(&mut self) -> bool {
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        loop {
            match rustix::net::recv(stdin(), &mut buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return false,
                Ok((count, _)) => self.received.extend_from_slice(&buffer[..count]),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => return false,
            }
        }
        while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            let named =
                str::from_utf8(&line).ok().and_then(|line| line.trim_end().strip_prefix("successor "));
            self.next = named.and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw).or(self.next);
        }
        self.received.len() <= MESSAGE_BYTES_MAX
    }

    /// Reaps what has ended; Some when it was the charge and nobody follows.
    fn reap(&mut self) -> io::Result<Option<u8>> {
        drained(&self.changes);
        while let Some((pid, status)) = wait(WaitOptions::NOHANG)? {
            if pid != self.charge {
                continue;
            }
            // Its last words may have come after we listened.
            self.hear();
            match self.next.take() {
                Some(next) => self.charge = next,
                None => return Ok(Some(code_of(status))),
            }
        }
        Ok(None)
    }
}

/// As a shell would say it.
fn code_of(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn notice_of(signal: Signal) -> io::Result<UnixStream> {
    let (notice, sender) = UnixStream::pair()?;
    notice.set_nonblocking(true)?;
    sender.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(signal.as_raw(), sender)?;
    Ok(notice)
}

/// Whether there was something in it; now there is not.
fn drained(mut notice: &UnixStream) -> bool {
    let mut buffer = [0; 64];
    let mut found = false;
    while matches!(io::Read::read(&mut notice, &mut buffer), Ok(count) if count > 0) {
        found = true;
    }
    found
}
