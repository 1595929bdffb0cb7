//! The listening socket that whoever started us has opened already: `LISTEN_PID`, `LISTEN_FDS`, `LISTEN_FDNAMES` of sd_listen_fds(3).
//!
//! systemd holds it while we are restarted, so nobody who knocks then is refused. Sockets for another process (its variables have been
//! inherited) are none of ours. The crate `listenfd` makes a socket of a descriptor's number, which cannot be done without `unsafe`.

use crate::config::Environment;
use anyhow::{Context, Result, bail};
use listenfd::ListenFd;
use std::net::TcpListener;

/// What the socket is called where several are passed: `FileDescriptorName=` of the unit.
const NAME: &str = "webhook";

/// Takes it, once. To be called while there is one thread only: it removes the variables.
pub fn take(environment: &Environment) -> Result<Option<TcpListener>> {
    let Some(index) = index(environment, std::process::id())? else { return Ok(None) };
    let taken = ListenFd::from_env().take_tcp_listener(index);
    taken.context("what was passed as LISTEN_FDS is no TCP socket: set ListenStream= to a port")
}

/// Which of those that were passed to the process with this number.
fn index(environment: &Environment, pid: u32) -> Result<Option<usize>> {
    let number = |name: &str| environment.get(name).and_then(|text| text.parse::<u32>().ok());
    let count = number("LISTEN_FDS").unwrap_or(0);
    if number("LISTEN_PID") != Some(pid) || count == 0 {
        return Ok(None);
    }
    if count == 1 {
        return Ok(Some(0));
    }
    let names = environment.get("LISTEN_FDNAMES").unwrap_or_default();
    match names.split(':').position(|name| name == NAME) {
        Some(index) => Ok(Some(index)),
        None => bail!(
            "{count} sockets were passed, and none of them is called {NAME}: one is served, so leave one ListenStream= or set FileDescriptorName={NAME}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_passed_to_this_process_is_taken() {
        let index = |variables: &[(&str, &str)]| {
            let environment = Environment::new(variables.iter().copied(), "/");
            super::index(&environment, 7).map_err(|error| error.to_string())
        };
        let pid = ("LISTEN_PID", "7");
        for (variables, expected) in [
            (&[][..], None),
            (&[("LISTEN_FDS", "1")], None),
            (&[("LISTEN_PID", "8"), ("LISTEN_FDS", "1")], None),
            (&[pid, ("LISTEN_FDS", "0")], None),
            (&[pid, ("LISTEN_FDS", "-1")], None),
            (&[pid, ("LISTEN_FDS", "x")], None),
            (&[pid, ("LISTEN_FDS", "1")], Some(0)),
            (&[pid, ("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "other")], Some(0)),
            (&[pid, ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "other:webhook")], Some(1)),
        ] {
            assert_eq!(index(variables), Ok(expected), "{variables:?}");
        }
        let error = index(&[pid, ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "a:b")]).unwrap_err();
        assert!(error.contains("FileDescriptorName=webhook"), "{error}");
    }
}
