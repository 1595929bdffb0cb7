//! Who is let in: accepts connections, and gives those that show the worker's key to a process of their own.
//!
//! Whoever runs as the deployer's user can connect, and a build may be one of them. So nothing is started for a connection that has not shown
//! the key: it costs a descriptor for a second, and the oldest of too many is closed first. A caller sends the key at once, so it
//! is let in however many others are silent.
//!
//! Deliberately absent: who the peer is, by its process id and control group. A build of the deployer's own user is in the worker's control group
//! as the worker is, so that would tell them apart no better; with a user of its own it cannot connect at all.

use crate::answer::{Answer, REFUSED};
use crate::journal::say;
use crate::key;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// From being accepted until the key has come.
const KEY_LIMIT: Duration = Duration::from_secs(1);

/// Connections that have not shown the key yet.
const WAITING_MAX: usize = 512;

/// Requests in progress. Further callers wait in the socket's queue.
const REQUESTS_MAX: usize = 64;

/// Accepted before those that are waiting are looked at again.
const ACCEPTED_AT_ONCE: usize = 64;

/// Without a request for so long, the process ends; the next one starts it again.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// Between two looks at whether a request has ended.
const REQUESTS_POLL: Duration = Duration::from_millis(200);

/// Between two lines in the journal about connections without the key: whoever makes many must not push out other lines.
const CLOSED_LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Accepts connections until nobody has asked for a while, and gives each one that shows the key a process of its own.
struct Gate {
    listener: UnixListener,
    waiting: VecDeque<Waiting>,
    requests: Vec<Child>,
    closed: Closed,
    idle_since: Instant,
}

/// A connection that has not shown the key yet.
struct Waiting {
    connection: UnixStream,
    until: Instant,
    shown: Vec<u8>,
}

/// Connections that were closed without a request.
#[derive(Default)]
struct Closed {
    number: usize,
    said_at: Option<Instant>,
}

/// What has become of a connection.
enum Shown {
    /// Not all of it is there.
    Incomplete,
    /// The key, and nothing that follows it.
    Key,
    /// Why it is closed.
    Nothing(String),
}

/// Serves the listening socket that is standard input, until nobody asks for a while.
pub fn serve() -> ExitCode {
    let listener = rustix::stdio::stdin().as_fd().try_clone_to_owned().map(UnixListener::from);
    let listener = listener.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    let listener = match listener {
        Ok(listener) if listener.local_addr().is_ok() => listener,
        _ => {
            say("standard input is not a listening socket: systemd starts this program; see --help");
            return ExitCode::from(REFUSED);
        }
    };
    let mut gate = Gate {
        listener,
        waiting: VecDeque::new(),
        requests: Vec::new(),
        closed: Closed::default(),
        idle_since: Instant::now(),
    };
    loop {
        match gate.turn() {
            Ok(true) => {}
            Ok(false) => return ExitCode::SUCCESS,
            Err(error) => {
                say(&format!("cannot wait for connections: {error}"));
                return ExitCode::FAILURE;
            }
        }
    }
}

impl Gate {
    /// Waits for something to happen, and does what is to be done; whether there may be more.
    fn turn(&mut self) -> io::Result<bool> {
        self.requests.retain_mut(|request| matches!(request.try_wait(), Ok(None)));
        let may_accept = self.requests.len() < REQUESTS_MAX;
        let now = Instant::now();
        if !self.requests.is_empty() || !self.waiting.is_empty() {
            self.idle_since = now;
        }
        let idle = IDLE_LIMIT.saturating_sub(now - self.idle_since);
        if idle.is_zero() {
            return Ok(false);
        }
        let deadline = self.waiting.front().map(|first| first.until.saturating_duration_since(now));
        let requests = (!self.requests.is_empty()).then_some(REQUESTS_POLL);
        let limit = [deadline, requests].into_iter().flatten().min().unwrap_or(idle);
        self.wait(may_accept, limit)?;
        for _ in 0..self.waiting.len() {
            if let Some(waiting) = self.waiting.pop_front() {
                self.look_at(waiting);
            }
        }
        if may_accept {
            self.accept();
        }
        Ok(true)
    }

    fn wait(&self, may_accept: bool, limit: Duration) -> io::Result<()> {
        let connections = self.waiting.iter().map(|waiting| waiting.connection.as_fd());
        let listener = may_accept.then_some(self.listener.as_fd());
        let mut sources: Vec<PollFd<'_>> = connections
            .chain(listener)
            .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
            .collect();
        let timeout = Timespec::try_from(limit).map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut sources, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTED_AT_ONCE {
            // An error other than that nobody is there is of that connection, or passes.
            let Ok((connection, _)) = self.listener.accept() else { return };
            if connection.set_nonblocking(true).is_err() {
                continue;
            }
            if self.waiting.len() >= WAITING_MAX
                && let Some(oldest) = self.waiting.pop_front()
            {
                self.note_closed(&oldest.connection, "too many have not shown the key");
            }
            let until = Instant::now() + KEY_LIMIT;
            self.look_at(Waiting { connection, until, shown: Vec::new() });
        }
    }

    /// Lets it in, keeps it waiting, or closes it.
    fn look_at(&mut self, mut waiting: Waiting) {
        match waiting.read() {
            Shown::Incomplete if Instant::now() < waiting.until => self.waiting.push_back(waiting),
            // A caller that was only slow connects again.
            Shown::Incomplete => self.note_closed(&waiting.connection, "no key came within a second"),
            Shown::Nothing(why) => {
                let refusal = Answer::Refused(format!("{why}; requests are the worker's alone"));
                // Whoever does not take it at once does without.
                let _ = waiting.connection.write_all(&serde_json::to_vec(&refusal).unwrap_or_default());
                self.note_closed(&waiting.connection, &why);
            }
            Shown::Key => match let_in(waiting.connection) {
                Ok(request) => self.requests.push(request),
                Err(error) => say(&format!("cannot start a process for a request: {error}")),
            },
        }
    }

    /// A line in the journal, now and then.
    fn note_closed(&mut self, connection: &UnixStream, why: &str) {
        self.closed.number += 1;
        let now = Instant::now();
        if self.closed.said_at.is_none_or(|at| now - at >= CLOSED_LINE_INTERVAL) {
            let peer = socket_peercred(connection);
            let peer = peer.map_or_else(
                |_| "?".into(),
                |peer| format!("user {}, process {}", peer.uid.as_raw(), peer.pid),
            );
            say(&format!(
                "closed {} connections without a request; the last, of {peer}: {why}",
                self.closed.number
            ));
            self.closed = Closed { number: 0, said_at: Some(now) };
        }
    }
}

impl Waiting {
    /// Takes the key and the end of its line, and nothing that follows.
    fn read(&mut self) -> Shown {
        let mut piece = [0; key::LENGTH + 1];
        loop {
            let missing = piece.len() - self.shown.len();
            match self.connection.read(&mut piece[..missing]) {
                Ok(0) => return Shown::Nothing("it ended before the key".into()),
                Ok(length) => self.shown.extend_from_slice(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Shown::Incomplete,
                Err(error) => return Shown::Nothing(error.to_string()),
            }
            // What cannot become a key is not waited for.
            if self.shown.iter().take(key::LENGTH).any(|byte| !byte.is_ascii_hexdigit()) {
                return Shown::Nothing("it did not begin with the key".into());
            }
            if self.shown.len() == piece.len() {
                return match (key::is_right(&self.shown[..key::LENGTH]), self.shown.last()) {
                    (Ok(true), Some(b'\n')) => Shown::Key,
                    (Ok(_), _) => Shown::Nothing("it did not begin with the key".into()),
                    (Err(refusal), _) => Shown::Nothing(refusal.0),
                };
            }
        }
    }
}

fn let_in(connection: UnixStream) -> io::Result<Child> {
    connection.set_nonblocking(false)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a process for each request: what one does wrong is not another's"
    )]
    let mut request = std::process::Command::new(std::env::current_exe()?);
    request.arg("serve-request").stdin(OwnedFd::from(connection)).stdout(Stdio::null()).spawn()
}
