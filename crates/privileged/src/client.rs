//! The other end of the socket: asks as whoever runs it, and says what came back.

use crate::answer::{Answer, UNAVAILABLE};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

/// Where `durhack-deployer-privileged.socket` listens.
pub const SOCKET: &str = "/run/durhack-deployer-privileged.sock";

/// Longer than any request may take; the deployer's own step has a deadline too.
const ANSWER_LIMIT: Duration = Duration::from_secs(20 * 60);

/// What two programs may print, each byte written as `\u0000`.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Asks, and becomes the exit code.
pub fn ask(socket: &str, words: &[String]) -> ExitCode {
    match exchange(socket, words) {
        Ok(answer) => answer.deliver(),
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(UNAVAILABLE)
        }
    }
}

fn exchange(socket: &str, words: &[String]) -> Result<Answer, String> {
    let mut connection = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("{socket}: {error}; it is for the deployer's user and group only")
        }
        _ => format!(
            "{socket}: {error}; start it with: systemctl enable --now durhack-deployer-privileged.socket"
        ),
    })?;
    let silent = |error: &dyn std::fmt::Display| {
        format!("{socket}: no answer ({error}); see: journalctl -u 'durhack-deployer-privileged*'")
    };
    connection.set_read_timeout(Some(ANSWER_LIMIT)).map_err(|error| silent(&error))?;
    let request = serde_json::to_vec(words).map_err(|error| silent(&error))?;
    // What is too long may be refused before all of it was heard: the answer counts.
    let sent = connection.write_all(&request).and_then(|()| connection.shutdown(Shutdown::Write));
    let mut line = Vec::new();
    let read = connection.take(ANSWER_BYTES_MAX).read_to_end(&mut line);
    match serde_json::from_slice(&line) {
        Ok(answer) => Ok(answer),
        Err(error) if !line.is_empty() => Err(silent(&error)),
        Err(_) => match sent.and(read.map(drop)) {
            Err(error) => Err(silent(&error)),
            Ok(()) => Err(silent(&"the connection was closed; perhaps there are too many at once")),
        },
    }
}
