//! One request: who asks, what for, may they, and what came of it. Every request and every answer is a line in the journal.

use crate::allow_list::{AllowList, CERTIFICATES, Certbot};
use crate::answer::{Answer, REFUSED, one_line};
use crate::journal::say;
use crate::request::{DomainName, Refusal, Request};
use crate::{acme, carry_out, commands, program, shadow};
use rustix::net::sockopt::socket_peercred;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A request: a site file of the largest kind fits, also where each of its characters is escaped by another.
const REQUEST_BYTES_MAX: usize = 2 * nginx_policy::FILE_BYTES_MAX + 32 * 1024;

/// Of a request that is too long, what is read before it is refused, so that its sender hears why.
const HEARD_BYTES_MAX: usize = REQUEST_BYTES_MAX + 1024 * 1024;

/// A request is sent at once, or not by our client.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// As long may pass until the answer is taken.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A longer argument is a file's content, and is not shown.
const WORD_BYTES_SHOWN: usize = 512;

/// Who is served, and what with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Whoever has shown the key.
    Requests,
    /// Root, who wants nginx's configuration tested.
    NginxTest,
    /// Root, who wants a certificate.
    Certbot,
}

/// Serves the connection that is standard input.
pub fn serve(service: Service) -> ExitCode {
    let input = rustix::stdio::stdin();
    let (peer, mut connection) = match (socket_peercred(input), input.as_fd().try_clone_to_owned()) {
        (Ok(peer), Ok(connection)) => (peer, UnixStream::from(connection)),
        (Err(error), _) => return not_a_connection(&error),
        (_, Err(error)) => return not_a_connection(&error),
    };
    // Accepted: from here on a caller must not make the request again. White space before an answer means nothing.
    let accepted =
        connection.set_write_timeout(Some(ANSWER_LIMIT)).and_then(|()| connection.write_all(b"\n"));
    let uid = peer.uid.as_raw();
    let words = read_request(&connection);
    let asked = words.as_ref().map_or_else(ToString::to_string, |words| format!("{:?}", shown(words)));
    say(&format!("user {uid}, process {}, asks: {}", peer.pid, one_line(&asked)));
    let answer = words
        .and_then(|words| answer_to(service, uid, &words))
        .unwrap_or_else(|refusal| Answer::Refused(refusal.0));
    say(&format!("answer to user {uid}: {}", answer.in_words()));
    if let Err(error) = accepted.and_then(|()| send(&connection, &answer)) {
        say(&format!("user {uid} did not take the answer: {error}"));
    }
    ExitCode::SUCCESS
}

fn answer_to(service: Service, uid: u32, words: &[String]) -> Result<Answer, Refusal> {
    match service {
        Service::Requests => {
            let list = AllowList::load()?;
            list.admit(uid)?;
            match Request::parse(words)? {
                Request::SitesAdopt(_) => Err(Refusal("sites-adopt is for root, without the socket".into())),
                request => carry_out::request(&request, words, &list),
            }
        }
        // Its socket is root's, and so is what it would have to read to know more.
        Service::NginxTest => {
            shadow::make()
                .map_err(|error| Refusal(format!("cannot make ready for nginx's test: {error}")))?;
            Ok(program::run_all(&[commands::nginx_test()]))
        }
        Service::Certbot => {
            let (request, list) = (Request::parse(words)?, AllowList::load()?);
            list.permit(&request)?;
            match request {
                Request::Certificate { names, renew } => certificate(&names, renew, &list.certbot),
                _ => Err(Refusal("only certificates are obtained here".into())),
            }
        }
    }
}

/// Has certbot obtain a certificate, or keep the one that is there.
fn certificate(names: &[DomainName], renew: bool, certbot: &Certbot) -> Result<Answer, Refusal> {
    let name = names.first().map(ToString::to_string).unwrap_or_default();
    let is_there = Path::new(CERTIFICATES).join("live").join(name).join("fullchain.pem").exists();
    // One that is there is kept as a rule, and the CA is not asked.
    if renew || !is_there {
        acme::check(names, certbot.webroot())?;
    }
    Ok(match program::run_all(&[commands::certificate(names, renew, certbot)]) {
        Answer::Done { code, out, err } if code != 0 => {
            let hint = format!(
                "If the CA did not find its answer: /.well-known/acme-challenge/ {}\n",
                acme::hint(certbot.webroot())
            );
            Answer::Done { code, out: out + &hint, err }
        }
        answer => answer,
    })
}

/// Words for the journal: what is in a file does not stand there.
fn shown(words: &[String]) -> Vec<String> {
    let short = |word: &String| match word.len() {
        0..=WORD_BYTES_SHOWN => word.clone(),
        length => format!("({length} bytes)"),
    };
    let is_file = words.first().is_some_and(|verb| verb == "site-write") && words.len() == 3;
    match words {
        [verb, target, text] if is_file => {
            vec![verb.clone(), short(target), format!("({} bytes)", text.len())]
        }
        _ => words.iter().map(short).collect(),
    }
}

fn not_a_connection(error: &dyn std::fmt::Display) -> ExitCode {
    say(&format!("standard input is not a connection ({error}): systemd starts this program; see --help"));
    ExitCode::from(REFUSED)
}

/// One line, or all that came before the other side had no more to say: a JSON list of words.
fn read_request(mut connection: &UnixStream) -> Result<Vec<String>, Refusal> {
    let gives_up_at = Instant::now() + REQUEST_LIMIT;
    let mut line = Vec::new();
    let mut piece = [0; 16 * 1024];
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
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    connection.write_all(&line)
}
