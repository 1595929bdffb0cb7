//! The only code of the deployer that runs as root: a few verbs, with typed arguments, for what a root-owned file allows.
//!
//! Theory of operation: the deployer runs as a user without rights, and whoever can push to a deployed branch may come to run code as that user.
//! So what needs root is asked for in words (`nginx-reload`, `certificate a.org`), by the way of a socket. systemd starts this program for
//! each connection, as root, and it goes through four stations, one file each: [`request`] turns words into a request, or there is none;
//! [`allow_list`] says whether the host's administrator allows it; [`commands`] says which constant programs carry it out; [`program`]
//! runs them, with nothing from outside but checked arguments. [`server`] is the way in, [`client`] its other end.
//!
//! Three ways to call it: without arguments it serves the connection that is its standard input; `ask VERB ARGUMENT...` asks; `VERB ARGUMENT...`
//! does the same at once, for root, which is what a rule of sudo's may allow where there is no socket.
//!
//! Deliberately absent: a shell, a configuration by environment or options, programs or paths that a request could name, and writing
//! files. Whoever may write what nginx reads is as good as root anyway, once nginx is reloaded; `docs/security.md` says what follows.

mod allow_list;
mod answer;
mod client;
mod commands;
mod program;
mod request;
mod server;

use answer::Answer;
use std::process::ExitCode;

const USAGE: &str = "usage: durhack-deployer-privileged ask VERB [ARGUMENT...]
       durhack-deployer-privileged VERB [ARGUMENT...]    (as root)

verbs: nginx-test, nginx-reload, certificate NAME..., certificate-renew NAME...,
       unit-restart|unit-reload|unit-start|unit-stop|unit-reset-failed UNIT

Without arguments it serves one request on the socket that is its standard input.";

fn main() -> ExitCode {
    let words: Result<Vec<String>, _> =
        std::env::args_os().skip(1).map(std::ffi::OsString::into_string).collect();
    let Ok(words) = words else {
        return Answer::Refused("an argument is not UTF-8".into()).deliver();
    };
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => server::serve(),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        // For tests: another socket.
        ["ask", "--socket", path, _, ..] => client::ask(path, &words[3..]),
        ["ask", _, ..] => client::ask(client::SOCKET, &words[1..]),
        _ => at_once(&words),
    }
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
    server::answer_to(words).deliver()
}
