//! `cargo xtask test`: everything that is tested, in one command.

use crate::prepare;
use crate::process::{self, cargo, environment};
use anyhow::{Context, Result};
use std::os::unix::fs::PermissionsExt as _;

/// Features that only tests switch on.
pub const FEATURES: [&str; 2] = ["--features", "durhack-deployer/failpoints"];

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Install what is missing and stop
    #[arg(long)]
    prepare_only: bool,
    /// In an environment such as people have: git with hooks, signing and habits of its own, a language, a time zone, a proxy
    #[arg(long)]
    as_people: bool,
    /// Handed to the test runner: parts of test names
    #[arg(last = true)]
    filters: Vec<String>,
}

/// What no test may take from whoever runs it. Nobody listens at the proxy: it is for `http` alone, which is what loopback speaks.
const PEOPLE: [(&str, &str); 7] = [
    ("HTTP_PROXY", "http://127.0.0.1:1"),
    ("http_proxy", "http://127.0.0.1:1"),
    ("LANG", "de_DE.UTF-8"),
    ("LC_ALL", "de_DE.UTF-8"),
    ("LANGUAGE", "de"),
    ("TZ", "America/New_York"),
    ("GIT_EDITOR", "false"),
];

/// git as people configure it; `DIRECTORY` is the one of the file.
const GIT: &str = "[core]
\thooksPath = DIRECTORY
\tautocrlf = true
\tfileMode = false
[init]
\tdefaultBranch = trunk
[commit]
\tgpgSign = true
[tag]
\tgpgSign = true
[gpg]
\tprogram = false
[color]
\tui = always
[push]
\tdefault = nothing
[merge]
\tff = only
\tverifySignatures = true
[clone]
\tdefaultRemoteName = upstream
[safe]
\tbareRepository = explicit
[url \"https://127.0.0.1:1/\"]
\tinsteadOf = file://
";

/// Hooks that fail.
const HOOKS: [&str; 6] =
    ["pre-commit", "commit-msg", "post-checkout", "post-index-change", "pre-push", "reference-transaction"];

fn as_people(tests: &mut std::process::Command) -> Result<()> {
    let directory = process::root().join("target/testbed/people");
    std::fs::create_dir_all(&directory).context("cannot make target/testbed/people")?;
    for hook in HOOKS {
        let file = directory.join(hook);
        std::fs::write(&file, format!("#!/bin/sh\necho \"{hook} of the user\" >&2\nexit 1\n"))?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    }
    let file = directory.join("gitconfig");
    std::fs::write(&file, GIT.replace("DIRECTORY", &directory.to_string_lossy()))?;
    tests.envs(PEOPLE).env("GIT_CONFIG_GLOBAL", &file).env("GIT_CONFIG_SYSTEM", &file);
    Ok(())
}

/// Prepares, runs the tests, then the doctests.
pub fn run(arguments: &Arguments) -> Result<()> {
    prepare::run_all()?;
    if arguments.prepare_only {
        return Ok(());
    }
    let mut tests = if has_nextest() {
        let mut nextest = cargo(["nextest", "run", "--workspace", "--locked"]);
        if environment("CI").is_some() {
            nextest.args(["--profile", "ci"]);
        }
        nextest
    } else {
        eprintln!("note: cargo-nextest is not installed; cargo test has no limits for tests that hang");
        cargo(["test", "--workspace", "--locked", "--lib", "--bins", "--tests"])
    };
    if arguments.as_people {
        as_people(&mut tests)?;
    }
    // A snapshot that differs is a failure, not a file to be looked at later.
    run_filtered(tests.args(FEATURES).env("INSTA_UPDATE", "no"), &arguments.filters)?;
    if arguments.filters.is_empty() {
        process::run(cargo(["test", "--workspace", "--locked", "--doc"]).args(FEATURES))?;
    }
    Ok(())
}

fn run_filtered(tests: &mut std::process::Command, filters: &[String]) -> Result<()> {
    if !filters.is_empty() {
        tests.arg("--").args(filters);
    }
    process::run(tests)
}

fn has_nextest() -> bool {
    cargo(["nextest", "--version"]).output().is_ok_and(|output| output.status.success())
}
