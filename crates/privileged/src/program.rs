//! Runs a program as root: nothing of whoever asked in its environment, a deadline, and an end to what it may print.
//!
//! The rest of the project starts programs by `supervise`; this is less, for it must be read in ten minutes: systemd ends
//! what a program leaves behind, when the unit of this connection ends.

use crate::answer::Answer;
use crate::commands::Command;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Kept of either output: the end, where programs say what went wrong.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// Between asking a program that is out of time to end, and ending it: certbot undoes what it has written for the CA.
const GRACE: Duration = Duration::from_secs(20);

/// As timeout(1) has it.
const OUT_OF_TIME: u8 = 124;

/// The whole environment. certbot looks for openssl.
const ENVIRONMENT: [(&str, &str); 2] = [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C.UTF-8")];

/// Runs them, as far as they succeed.
pub fn run_all(commands: &[Command]) -> Answer {
    let (mut all_out, mut all_err) = (String::new(), String::new());
    for command in commands {
        let (code, out, err) = match run(command) {
            Ok(outcome) => outcome,
            Err(error) => (127, String::new(), format!("cannot run {}: {error}\n", command.program)),
        };
        all_out.push_str(&out);
        all_err.push_str(&err);
        if code != 0 {
            return Answer::Done { code, out: all_out, err: all_err };
        }
    }
    Answer::Done { code: 0, out: all_out, err: all_err }
}

fn run(command: &Command) -> io::Result<(u8, String, String)> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place beside `supervise` that starts programs"
    )]
    let mut builder = std::process::Command::new(command.program);
    builder.args(&command.arguments).env_clear().envs(ENVIRONMENT).current_dir("/").process_group(0);
    let mut child = builder.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let outputs = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
    let mut outputs = outputs.map(Output::new);
    let in_time = hear_out(&mut child, &mut outputs, command.limit);
    // Also where hearing failed: it has ended, or ends now.
    let status = child.try_wait()?.map_or_else(|| child.kill().and_then(|()| child.wait()), Ok)?;
    let [out, mut err] = outputs.map(Output::text);
    if in_time? {
        return Ok((code_of(status), out, err));
    }
    err.push_str(&format!(
        "{} took longer than {} s and was stopped\n",
        command.program,
        command.limit.as_secs()
    ));
    Ok((OUT_OF_TIME, out, err))
}

/// Reads what it prints until it has ended; whether that was in time.
fn hear_out(child: &mut Child, outputs: &mut [Output; 2], limit: Duration) -> io::Result<bool> {
    let pid = Pid::from_child(child);
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let mut ends_at = Instant::now() + limit;
    let mut signals = [Signal::TERM, Signal::KILL].into_iter();
    loop {
        let left = ends_at.saturating_duration_since(Instant::now());
        let [process_ready, out_ready, err_ready] = wait_for(&process, outputs, left)?;
        if out_ready {
            outputs[0].take_in();
        }
        if err_ready {
            outputs[1].take_in();
        }
        // Whoever else holds the pipes is not waited for.
        if process_ready && !out_ready && !err_ready {
            return Ok(signals.len() == 2);
        }
        if !process_ready && left.is_zero() {
            let signal = signals.next().unwrap_or(Signal::KILL);
            // Gone this moment is as well.
            let _ = kill_process_group(pid, signal);
            ends_at = Instant::now() + GRACE;
        }
    }
}

/// Which of process and outputs have something to say.
fn wait_for(process: &OwnedFd, outputs: &[Output; 2], limit: Duration) -> io::Result<[bool; 3]> {
    let sources = [Some(process), outputs[0].pipe.as_ref(), outputs[1].pipe.as_ref()];
    let open: Vec<usize> = (0..sources.len()).filter(|&at| sources[at].is_some()).collect();
    let mut waits: Vec<PollFd<'_>> = sources
        .iter()
        .flatten()
        .map(|source| PollFd::from_borrowed_fd(source.as_fd(), PollFlags::IN))
        .collect();
    let timeout = Timespec::try_from(limit).map_err(|_| io::ErrorKind::InvalidInput)?;
    match poll(&mut waits, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut ready = [false; 3];
    for (&at, wait) in open.iter().zip(&waits) {
        ready[at] = !wait.revents().is_empty();
    }
    Ok(ready)
}

/// One of a program's outputs, and its end.
struct Output {
    pipe: Option<OwnedFd>,
    bytes: Vec<u8>,
}

impl Output {
    fn new(pipe: Option<OwnedFd>) -> Self {
        Self { pipe, bytes: Vec::new() }
    }

    fn take_in(&mut self) {
        let mut piece = [0; 8192];
        match self.pipe.as_ref().map(|pipe| rustix::io::read(pipe, &mut piece)) {
            Some(Ok(length @ 1..)) => self.bytes.extend_from_slice(&piece[..length]),
            Some(Err(rustix::io::Errno::INTR)) => {}
            _ => self.pipe = None,
        }
        if self.bytes.len() > 2 * OUTPUT_BYTES_MAX {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.bytes.drain(..self.bytes.len().saturating_sub(OUTPUT_BYTES_MAX));
    }

    fn text(mut self) -> String {
        self.cut();
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str, limit: Duration) -> Command {
        Command { program: "/bin/sh", arguments: vec!["-c".into(), line.into()], limit }
    }

    fn done(commands: &[Command]) -> (u8, String, String) {
        match run_all(commands) {
            Answer::Done { code, out, err } => (code, out, err),
            Answer::Refused(why) => panic!("{why}"),
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_first_that_fails_is_the_last() {
        let commands = ["echo a; echo b >&2", "exit 3", "echo c"].map(|line| shell(line, LONG));
        assert_eq!(done(&commands), (3, "a\n".into(), "b\n".into()));
        assert_eq!(done(&[shell("kill -9 $$", LONG)]).0, 137);
        let missing = Command { program: "/nonexistent", ..shell("", LONG) };
        assert_eq!(done(&[missing]).0, 127);
    }

    #[test]
    fn nothing_of_ours_is_in_its_environment() {
        assert_eq!(
            done(&[shell("pwd; /usr/bin/env | grep -v ^PWD= | grep -v ^_=", LONG)]).1,
            "/\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nLC_ALL=C.UTF-8\n"
        );
    }

    #[test]
    fn floods_silence_and_leftovers_have_an_end() {
        let (code, out, err) = done(&[shell("exec yes", Duration::from_millis(300))]);
        assert_eq!((code, out.len()), (OUT_OF_TIME, OUTPUT_BYTES_MAX));
        assert!(err.contains("took longer"), "{err}");
        // What goes on holding the pipe is not waited for.
        assert_eq!(done(&[shell("setsid sleep 5 & echo x", LONG)]).1, "x\n");
    }
}
