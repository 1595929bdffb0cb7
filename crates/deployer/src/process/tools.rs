//! How programs are called: builders of argument lists. Pure; nothing runs here, [`super::execute`] does that.

pub mod accounts;
pub mod acl;
pub mod certbot;
pub mod files;
pub mod gh;
pub mod git;
pub mod go;
pub mod nginx;
pub mod node_packages;
pub mod pm2;
pub mod pnpm;
pub mod sudo;
pub mod systemctl;
pub mod uv;
pub mod uwsgi;
pub mod visudo;

use crate::config::{CommandLine, Privileges};
use std::collections::BTreeMap;
use std::ffi::OsString;

/// A call of a program, as data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// In addition to the clean environment.
    pub environment: BTreeMap<OsString, OsString>,
}

impl Invocation {
    /// Of a command line; nothing is added to the environment.
    pub fn of(line: &CommandLine) -> Self {
        Self { argv: line.argv().into_iter().map(Into::into).collect(), environment: BTreeMap::new() }
    }

    /// As one would type it, for people.
    pub fn shown(&self) -> String {
        self.argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

/// Where packages put `crates/privileged`: what sudo may run as root, and what asks the helper.
pub const HELPER: &str = "/usr/libexec/durhack-deployer/durhack-deployer-privileged";

/// A command that needs root, as root would type it, and as a verb of the helper's with its arguments.
fn privileged(privileges: Privileges, words: Vec<String>, asked: Vec<String>) -> CommandLine {
    match privileges {
        Privileges::Direct => CommandLine::Argv(words),
        Privileges::Sudo => preceded_by(&sudo::WAY, words),
        Privileges::Helper => preceded_by(&[HELPER, "ask"], asked),
    }
}

fn preceded_by(way: &[&str], words: Vec<String>) -> CommandLine {
    CommandLine::Argv(way.iter().map(|word| (*word).to_owned()).chain(words).collect())
}
