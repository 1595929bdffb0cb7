//! The process that becomes a restricted command: it takes the restrictions on, says how far the kernel enforces them, and executes the program.
//!
//! It is started by the supervisor, with a socket as its standard input. Over that it hears the command's variables and answers with one
//! line ([`Restricted`]); a second line says that the program could not be executed. Where it could, the socket is closed by that, which is the
//! whole success message. Whatever it does not give up before the program runs is not given up: the order below matters.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::stdio::{dup2_stdin, stdin};

use super::{USAGE, confine, system_calls, usage};
use crate::Enforcement;
use crate::confinement::Restrictions;
use crate::control_group;
use crate::protocol::{Report, read_variables};

/// What comes behind [`crate::SUPERVISOR_ARGUMENT`] instead of an assignment: `restrict <control group or nothing> <restrictions...> -- <program> ...`
pub(super) const ARGUMENT: &str = "restrict";

/// What it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Restricted {
    pub in_group: bool,
    /// None: no confinement was asked for.
    pub enforcement: Option<Enforcement>,
}

impl Restricted {
    fn to_line(self) -> String {
        let group = if self.in_group { "in" } else { "out" };
        let enforcement = self.enforcement.map_or_else(|| "unconfined".into(), |found| found.to_string());
        format!("{group} {enforcement}\n")
    }

    pub fn parse(line: &str) -> Option<Self> {
        let (group, enforcement) = line.split_once(' ')?;
        let enforcement = match enforcement {
            "unconfined" => None,
            text => Some(Enforcement::parse(text)?),
        };
        Some(Self { in_group: group == "in", enforcement })
    }
}

/// Returns only where the program could not be executed.
pub(super) fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let parsed = arguments.next().and_then(|group| Some((group, Restrictions::parse(&mut arguments)?)));
    let (Some((group, restrictions)), Some(program)) = (parsed, arguments.next()) else {
        eprintln!("this is an internal command: it is run by a supervisor process");
        return ExitCode::from(USAGE);
    };
    let Ok(control) = fcntl_dupfd_cloexec(stdin(), 3) else { return ExitCode::FAILURE };
    let mut control = UnixStream::from(control);
    let error = match become_command(&mut control, &group, &restrictions, &program, arguments) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    // Where nobody hears it, the supervisor process is no more.
    let _ = writeln!(control, "{}", Report::failed(&error));
    ExitCode::FAILURE
}

fn become_command(
    mut control: &mut UnixStream,
    group: &OsStr,
    restrictions: &Restrictions,
    program: &OsStr,
    arguments: impl Iterator<Item = OsString>,
) -> io::Result<std::convert::Infallible> {
    let variables = read_variables(&mut control)?;
    dup2_stdin(fs::File::open("/dev/null")?)?;
    let in_group = !group.is_empty() && control_group::join(Path::new(group)).is_ok();
    if let Some(limits) = &restrictions.resources {
        usage::limit_self(limits);
    }
    let enforcement = match &restrictions.confinement {
        None => None,
        Some(confinement) => {
            // Landlock first: its own system calls need not be on the filter's list, though they are.
            let landlock = confine::restrict_self(confinement)?;
            let system_calls = system_calls::restrict_self();
            Some(Enforcement { landlock, system_calls, control_group: in_group })
        }
    };
    control.write_all(Restricted { in_group, enforcement }.to_line().as_bytes())?;
    #[expect(clippy::disallowed_methods, reason = "not started: become")]
    let mut command = Command::new(program);
    Err(command.args(arguments).env_clear().envs(variables).exec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Landlock;

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let enforcement =
            Enforcement { landlock: Landlock::Partial(2), system_calls: true, control_group: true };
        for answer in [
            Restricted { in_group: true, enforcement: Some(enforcement) },
            Restricted { in_group: false, enforcement: None },
        ] {
            assert_eq!(Restricted::parse(answer.to_line().trim_end()), Some(answer));
        }
        assert_eq!(Restricted::parse("in half"), None);
    }
}
