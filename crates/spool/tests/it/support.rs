//! What the tests share: opening, and asking the environment for what a test needs.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use spool::{Appended, Claim, EntryName, Spool};

pub const START: u64 = 1_700_000_000_000_000_000;

/// A spool whose clock ticks once per look.
pub fn open(directory: &Path) -> Spool {
    let ticks = AtomicU64::new(START);
    Spool::open(directory, move || ticks.fetch_add(1, Ordering::SeqCst)).unwrap()
}

pub fn append(spool: &Spool, id: &str) -> EntryName {
    match spool.append(id, &[content(id).as_bytes()]).unwrap() {
        Appended::New(name) => name,
        Appended::Duplicate(name) => panic!("{id} was a duplicate of {name}"),
    }
}

pub fn claim(spool: &Spool, name: &EntryName) -> Claim {
    spool.claim(name).unwrap().expect("the entry is there")
}

/// What is appended under an id: recognisable, and longer than one page.
pub fn content(id: &str) -> String {
    format!("{{\"id\":\"{id}\",\"payload\":\"{}\"}}", id.repeat(5000 / id.len()))
}

pub fn ids(names: &[EntryName]) -> Vec<&str> {
    names.iter().map(EntryName::id).collect()
}

/// The names in a directory of the spool, sorted, whatever they are.
pub fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Whether the test can run here. What is missing is an error in CI: there it would hide a failure.
#[expect(clippy::disallowed_methods, reason = "a test asks what the environment offers")]
pub fn is_possible(test: &str, missing: Option<&str>) -> bool {
    let Some(missing) = missing else { return true };
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{test} needs {missing}");
    eprintln!("SKIPPED {test}: it needs {missing}");
    false
}

pub fn root_is_missing() -> Option<&'static str> {
    (!rustix::process::geteuid().is_root()).then_some("root, to mount file systems")
}

/// Runs a program to its end.
#[expect(
    clippy::disallowed_methods,
    reason = "`supervise` cannot be used here: it is a crate beside this one"
)]
pub fn run(program: &str, arguments: &[&str]) -> std::process::Output {
    std::process::Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}"))
}

pub fn run_well(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}: {error}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
