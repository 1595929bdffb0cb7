//! `cargo xtask test`: everything that is tested, in one command.

use crate::prepare;
use crate::process::{self, cargo, environment};
use anyhow::Result;

/// Features that only tests switch on.
pub const FEATURES: [&str; 2] = ["--features", "durhack-deployer/crash-points"];

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Install what is missing and stop
    #[arg(long)]
    prepare_only: bool,
    /// Handed to the test runner: parts of test names
    #[arg(last = true)]
    filters: Vec<String>,
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
