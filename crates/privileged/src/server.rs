//! One connection: who asks, what for, may they, and what came of it. Every request and every answer is a line in the journal.

use crate::allow_list::AllowList;
use crate::answer::{Answer, REFUSED, one_line};
use crate::commands::commands;
use crate::program;
use crate::request::{Refusal, Request};
use rustix::net::sockopt::socket_peercred;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A request: a hundred names of the longest kind fit.
const REQUEST_BYTES_MAX: usize = 32 * 1024;

/// Of a request that is too long, what is read before it is refused, so that its sender hears why.
const HEARD_BYTES_MAX: usize = 1024 * 1024;

/// A request is sent at once, or not by our client.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// As long may pass until the answer is taken.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Serves the connection that is standard input.
pub fn serve() -> ExitCode {
    let input = rustix::stdio::stdin();
    let (peer, connection) = match (socket_peercred(input), input.as_fd().try_clone_to_owned()) {
        (Ok(peer), Ok(connection)) => (peer, UnixStream::from(connection)),
        (Err(error), _) => return not_a_connection(&error),
        (_, Err(error)) => return not_a_connection(&error),
    };
    let uid = peer.uid.as_raw();
    let words = read_request(&connection);
    let asked = words.as_ref().map_or_else(ToString::to_string, |words| format!("{words:?}"));
    eprintln!("user {uid}, process {}, asks: {}", peer.pid, one_line(&asked));
    let answer = match admitted(uid).and(words) {
        Ok(words) => answer_to(&words),
        Err(refusal) => Answer::Refused(refusal.0),
    };
    eprintln!("answer to user {uid}: {}", answer.in_words());
    if let Err(error) = send(&connection, &answer) {
        eprintln!("user {uid} did not take the answer: {error}");
    }
    ExitCode::SUCCESS
}

/// Carries the words out, if they are a request, and one that is allowed.
pub fn answer_to(words: &[String]) -> Answer {
    let permitted = Request::parse(words).and_then(|request| {
        let list = AllowList::load()?;
        list.permit(&request)?;
        Ok(commands(&request, &list.certbot))
    });
    permitted.map_or_else(|refusal| Answer::Refused(refusal.0), |commands| program::run_all(&commands))
}

fn admitted(uid: u32) -> Result<(), Refusal> {
    AllowList::load()?.admit(uid)
}

fn not_a_connection(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("standard input is not a connection ({error}): systemd starts this program; see --help");
    ExitCode::from(REFUSED)
}

/// One line, or all that came before the other side had no more to say: a JSON list of words.
fn read_request(mut connection: &UnixStream) -> Result<Vec<String>, Refusal> {
    let gives_up_at = Instant::now() + REQUEST_LIMIT;
    let mut line = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let left = gives_up_at.saturating_duration_since(Instant::now());
        let read = match left.is_zero() {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => connection.set_read_timeout(Some(left)).and_then(|()| connection.read(&mut piece)),
        };
        let length = match read {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(Refusal(format!("no request came within {} s", REQUEST_LIMIT.as_secs())));
            }
            Err(error) => return Err(Refusal(format!("the request cannot be read: {error}"))),
        };
        let end = piece[..length].iter().position(|&byte| byte == b'\n');
        line.extend_from_slice(&piece[..end.unwrap_or(length)]);
        if end.is_some() || length == 0 || line.len() > HEARD_BYTES_MAX {
            break;
        }
    }
    if line.len() > REQUEST_BYTES_MAX {
        return Err(Refusal(format!("the request is longer than {REQUEST_BYTES_MAX} bytes")));
    }
    serde_json::from_slice(&line)
        .map_err(|error| Refusal(format!("the request is not a JSON list of words: {error}")))
}

fn send(mut connection: &UnixStream, answer: &Answer) -> io::Result<()> {
    connection.set_write_timeout(Some(ANSWER_LIMIT))?;
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    connection.write_all(&line)
}
