//! The other end of the sockets: asks, and gives what came back.

use crate::answer::{Answer, UNAVAILABLE};
use crate::key;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Where `durhack-deployer-privileged.socket` listens.
pub const SOCKET: &str = "/run/durhack-deployer-privileged.sock";

/// Where `durhack-deployer-nginx-test.socket` listens, for root.
pub const NGINX_TEST: &str = "/run/durhack-deployer-nginx-test.sock";

/// Where `durhack-deployer-certbot.socket` listens, for root.
pub const CERTBOT: &str = "/run/durhack-deployer-certbot.sock";

/// Longer than any request may take; the deployer's own step has a deadline too.
const ANSWER_LIMIT: Duration = Duration::from_secs(20 * 60);

/// What two programs may print, each byte written as `\u0000`.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long it is tried again where a connection is refused or closed before the request was accepted.
const RETRY_LIMIT: Duration = Duration::from_secs(30);

/// Before the first time; twice as long before each further one.
const RETRY_FIRST: Duration = Duration::from_millis(50);

/// The longest pause between two tries.
const RETRY_LONGEST: Duration = Duration::from_secs(3);

/// Why there is no answer.
enum Failure {
    /// The request was not accepted, so it may be made again.
    Again(String),
    /// Nobody can say what came of it, or trying again is of no use.
    Final(String),
}

/// Asks the helper, and becomes the exit code.
pub fn ask(socket: &str, words: &[String]) -> ExitCode {
    let key = match key::of_worker() {
        Ok(key) => key,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(UNAVAILABLE);
        }
    };
    match exchange(socket, &format!("{key}\n"), words) {
        Ok(answer) => answer.deliver(),
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(UNAVAILABLE)
        }
    }
}

/// Has one of root's own units do it.
pub fn ask_unit(socket: &str, words: &[String]) -> Answer {
    exchange(socket, "", words).unwrap_or_else(Answer::Refused)
}

fn exchange(socket: &str, preamble: &str, words: &[String]) -> Result<Answer, String> {
    let gives_up_at = Instant::now() + RETRY_LIMIT;
    let mut pause = RETRY_FIRST;
    loop {
        match try_once(socket, preamble, words) {
            Ok(answer) => return Ok(answer),
            Err(Failure::Final(why)) => return Err(why),
            Err(Failure::Again(why)) if Instant::now() + pause > gives_up_at => return Err(why),
            Err(Failure::Again(_)) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(RETRY_LONGEST);
    }
}

fn try_once(socket: &str, preamble: &str, words: &[String]) -> Result<Answer, Failure> {
    let unit = unit_of(socket);
    let mut connection = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Failure::Final(format!("{socket}: {error}; it is for the deployer's user and group only"))
        }
        io::ErrorKind::NotFound => {
            Failure::Final(format!("{socket}: {error}; start it with: systemctl enable --now {unit}.socket"))
        }
        _ => {
            Failure::Again(format!("{socket}: {error}; start it with: systemctl enable --now {unit}.socket"))
        }
    })?;
    let silent = |error: &dyn std::fmt::Display| {
        format!("{socket}: no answer ({error}); see: journalctl _UID=0 -u '{unit}*'")
    };
    let send = |connection: &mut UnixStream| {
        connection.set_read_timeout(Some(ANSWER_LIMIT))?;
        connection.write_all(preamble.as_bytes())?;
        connection.write_all(&serde_json::to_vec(words)?)?;
        connection.shutdown(Shutdown::Write)
    };
    // What is too long may be refused before all of it was heard: the answer counts.
    let sent = send(&mut connection);
    let mut line = Vec::new();
    let read = connection.take(ANSWER_BYTES_MAX).read_to_end(&mut line);
    match serde_json::from_slice(&line) {
        Ok(answer) => Ok(answer),
        // The empty line that says that the request was accepted.
        Err(error) if !line.is_empty() => Err(Failure::Final(silent(&error))),
        Err(_) => match sent.and(read.map(drop)) {
            Err(error) => Err(Failure::Again(silent(&error))),
            Ok(()) => Err(Failure::Again(silent(&"the connection was closed"))),
        },
    }
}

/// The unit behind a socket, for hints.
fn unit_of(socket: &str) -> &'static str {
    match socket {
        NGINX_TEST => "durhack-deployer-nginx-test",
        CERTBOT => "durhack-deployer-certbot",
        _ => "durhack-deployer-privileged",
    }
}
