//! What a shell offers when somebody presses Tab: subcommands and options as clap knows them, and slugs, runs, releases and queue entries as
//! they are on this host.
//!
//! A script that is generated once calls this program at each Tab. So it must be quick, say nothing where something is wrong, and change
//! nothing: no database is opened (SQLite would make files, as root with the wrong owner), the names of files and directories are enough.

use crate::base::names::Slug;
use crate::base::short_ids::Short;
use crate::config::{self, Config, Environment, Purpose};
use crate::plan::recipes::REFERENCE;
use crate::steps::release;
use anyhow::Context;
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Of a directory no more names are read: whoever can make files in it is not to keep a shell waiting.
const READ_MAX: usize = 20_000;

/// Set by the scripts. Not clap's own `COMPLETE`: a variable of that name may be anything's.
const VARIABLE: &str = "DEPLOYER_COMPLETE";

/// More than this nobody reads through.
const OFFERED_MAX: usize = 30;

/// Answers a script that asks for completions of this command line. Gives whether this was one.
pub fn answered(command: fn() -> clap::Command) -> bool {
    if Environment::of_process().get(VARIABLE).is_none_or(|shell| shell.is_empty() || shell == "0") {
        return false;
    }
    let directory = std::env::current_dir().ok();
    // Where it fails nothing is offered; a message would stand in the middle of what is being typed.
    let _ = CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .try_complete(std::env::args_os(), directory.as_deref());
    true
}

/// The script that has a shell ask this program.
pub fn script(shell: clap_complete::Shell) -> anyhow::Result<String> {
    let name = "durhack-deployer";
    let shells = Shells::builtins();
    let completer =
        shells.completer(&shell.to_string()).context("clap has a script for each of its shells")?;
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, name, name, name, &mut script)
        .context("cannot make the script")?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// A deployment's slug.
pub fn slug() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| offered(typed, slugs(&asked())))
}

/// A run, or a deployment that stands for its newest.
pub fn run() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let asked = asked();
        let runs: Vec<String> =
            asked.config.iter().flat_map(|config| runs(&config.state_directory)).collect();
        // As tables print them. A whole id is offered to whoever has begun to type one.
        let short = Short::among(runs.iter().map(String::as_str), true);
        let shown = runs.iter().map(|id| short.of(id));
        match offered(typed, slugs(&asked).into_iter().chain(shown).collect()) {
            none if none.is_empty() => offered(typed, runs),
            offered => offered,
        }
    })
}

/// A release of the deployment that was typed before.
pub fn release() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| offered(typed, releases(&asked()).unwrap_or_default()))
}

/// An entry of a spool.
pub fn entry() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let config = asked().config;
        offered(
            typed,
            config.iter().flat_map(|config| entries(&config.state_directory.join("spool"))).collect(),
        )
    })
}

fn offered(typed: &OsStr, names: Vec<String>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    // Clap's engine keeps the order in which they are here.
    let meant = names.into_iter().filter(|name| name.starts_with(typed.as_ref()));
    meant.take(OFFERED_MAX).map(CompletionCandidate::new).collect()
}

struct CommandLineSoFar {
    words: Vec<String>,
    config: Option<Config>,
}

/// The words that were typed so far, and the configuration that they name.
fn asked() -> CommandLineSoFar {
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let behind = words.iter().zip(words.iter().skip(1)).find(|(word, _)| *word == "--config");
    let joined = words.iter().find_map(|word| word.strip_prefix("--config="));
    let environment = Environment::of_process();
    let directory = joined.or(behind.map(|(_, directory)| directory.as_str()));
    let directory = directory.or(environment.get("DEPLOYER_CONFIG")).map(PathBuf::from);
    let loaded = config::load(&REFERENCE, directory.as_deref(), &environment, Purpose::Ask);
    CommandLineSoFar { words, config: loaded.ok().map(|loaded| loaded.config) }
}

fn slugs(asked: &CommandLineSoFar) -> Vec<String> {
    let slugs = asked.config.iter().flat_map(|config| config.deployments.keys());
    slugs.map(|slug| slug.as_str().to_owned()).collect()
}

/// The names in a directory, the last first: all that is asked for here begins with a time. Somebody else may own the directory, so a name
/// that a terminal or a shell could take for more is none.
fn names(directory: &Path) -> Vec<String> {
    let is_plain = |name: &String| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
    };
    let entries = fs_err::read_dir(directory).into_iter().flatten().flatten().take(READ_MAX);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(is_plain).collect();
    names.sort_unstable_by(|a, b| b.cmp(a));
    names
}

/// Each run has a log.
fn runs(state_directory: &Path) -> Vec<String> {
    let logs = names(&state_directory.join("logs")).into_iter();
    logs.filter_map(|name| name.strip_suffix(".log").map(str::to_owned)).collect()
}

fn releases(asked: &CommandLineSoFar) -> Option<Vec<String>> {
    let config = asked.config.as_ref()?;
    let slug = asked
        .words
        .iter()
        .skip(1)
        .find_map(|word| Slug::parse(word).ok().filter(|slug| config.deployments.contains_key(slug)))?;
    let deployment = config.deployments.get(&slug)?;
    let directory = release::directory(deployment, "any");
    Some(names(directory.parent()?).into_iter().filter(|name| name.starts_with(char::is_numeric)).collect())
}

fn entries(spools: &Path) -> Vec<String> {
    let of_spool = |spool: String| {
        let spool = spools.join(spool);
        [names(&spool), names(&spool.join("bad"))].concat()
    };
    let all = names(spools).into_iter().flat_map(of_spool);
    all.filter(|name| name.ends_with(".json")).collect()
}
