//! The only code of the deployer that runs as root: a few verbs, with typed arguments, for what a root-owned file allows.
//!
//! Theory of operation: the deployer runs as a user without rights, and whoever can push to a deployed branch may come to run code as that user.
//! So what needs root is asked for in words (`nginx-reload`, `certificate a.org`), by the way of a socket. [`gate`] accepts connections and closes
//! at once what does not show the worker's [`key`]. Each request gets a process, and goes through stations, one file each: [`request`] turns
//! words into a request, or there is none; [`allow_list`] says whether the host's administrator allows it; [`carry_out`] has it done.
//! Site files root judges and writes itself ([`sites`]). nginx reads what others may have had a hand in, and certbot what the network says, so
//! they run in units of their own, which the same program serves (`serve-nginx-test`, `serve-certbot`), and only after [`readers`] has seen
//! that nobody but root can change what nginx reads. Before the CA asks, [`acme`] has seen that nginx answers. [`commands`] are constant programs, and [`program`] runs them. [`client`] is the other end.
//!
//! `ask VERB ARGUMENT...` asks by the socket; `VERB ARGUMENT...` does the same at once, for root, which is what a rule of sudo's may allow where
//! there is no socket. What is in a site file is read from standard input.
//!
//! Deliberately absent: a shell, a configuration by environment or options, and programs or paths that a request could name.

mod acme;
mod allow_list;
mod answer;
mod carry_out;
mod client;
mod commands;
mod gate;
mod journal;
mod key;
mod program;
mod readers;
mod request;
mod server;
mod shadow;
mod sites;

use answer::Answer;
use server::Service;
use std::io::Read;
use std::process::ExitCode;

const USAGE: &str = "usage: durhack-deployer-privileged ask VERB [ARGUMENT...]
       durhack-deployer-privileged VERB [ARGUMENT...]    (as root)

verbs: nginx-test, nginx-reload, certificate NAME..., certificate-renew NAME...,
       unit-restart|unit-reload|unit-start|unit-stop|unit-reset-failed|unit-journal UNIT,
       site-write FILE < CONTENT, site-remove FILE, sites-adopt [DIRECTORY...] (root only)

systemd starts it as `serve`, `serve-nginx-test` and `serve-certbot`.";

fn main() -> ExitCode {
    let words: Result<Vec<String>, _> =
        std::env::args_os().skip(1).map(std::ffi::OsString::into_string).collect();
    let Ok(words) = words else {
        return Answer::Refused("an argument is not UTF-8".into()).deliver();
    };
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve"] => gate::serve(),
        ["serve-request"] => server::serve(Service::Requests),
        ["serve-nginx-test"] => server::serve(Service::NginxTest),
        ["serve-certbot"] => server::serve(Service::Certbot),
        [] | ["--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        // For tests: another socket.
        ["ask", "--socket", path, _, ..] => with_content(&words[3..], |words| client::ask(path, words)),
        ["ask", _, ..] => with_content(&words[1..], |words| client::ask(client::SOCKET, words)),
        _ => at_once(&words),
    }
}

/// Adds what is to be in a site file: it comes by standard input, as it may be longer than an argument.
fn with_content(words: &[String], then: impl FnOnce(&[String]) -> ExitCode) -> ExitCode {
    let mut words = words.to_vec();
    if let [verb, _] = words.as_slice()
        && verb == "site-write"
    {
        let mut bytes = Vec::new();
        let limit = nginx_policy::FILE_BYTES_MAX as u64 + 1;
        let read = std::io::stdin().take(limit).read_to_end(&mut bytes);
        match (read, String::from_utf8(bytes)) {
            (Ok(_), Ok(text)) => words.push(text),
            (Err(error), _) => {
                return Answer::Refused(format!("standard input cannot be read: {error}")).deliver();
            }
            (_, Err(_)) => return Answer::Refused("standard input is not UTF-8".into()).deliver(),
        }
    }
    then(&words)
}

/// Without a socket: root asks, or sudo has let somebody.
fn at_once(words: &[String]) -> ExitCode {
    if !rustix::process::geteuid().is_root() {
        eprintln!(
            "only root may do that at once; to ask for it: durhack-deployer-privileged ask {}",
            words.join(" ")
        );
        return ExitCode::from(answer::REFUSED);
    }
    with_content(words, |words| {
        let answer = request::Request::parse(words).and_then(|request| {
            let list = allow_list::AllowList::load()?;
            carry_out::request(&request, words, &list)
        });
        answer.unwrap_or_else(|refusal| Answer::Refused(refusal.0)).deliver()
    })
}
