//! `cargo xtask check`: what can be said about the code without running it.

use crate::process::{cargo, run as run_command};
use crate::{file_access, generate};
use anyhow::{Result, bail};

/// Runs every check, so that one run shows all there is to mend.
pub fn run() -> Result<()> {
    let checks = [
        ("formatting", formatting as fn() -> Result<()>),
        ("lints", lints),
        ("files", file_access::check),
        ("generated files", generate::check),
        ("dependencies", dependencies),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        if let Err(error) = check() {
            eprintln!("error: {name}: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn formatting() -> Result<()> {
    run_command(&mut cargo(["fmt", "--all", "--check"]))
}

fn lints() -> Result<()> {
    let features = "durhack-deployer/crash-points";
    run_command(&mut cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--features",
        features,
        "--",
        "-D",
        "warnings",
    ]))
}

/// Licences, banned crates and sources. Advisories need a database from the net: that is for a weekly job.
fn dependencies() -> Result<()> {
    if !cargo(["deny", "--version"]).output().is_ok_and(|output| output.status.success()) {
        eprintln!(
            "note: dependencies were not checked: cargo-deny is not installed (cargo install cargo-deny)"
        );
        return Ok(());
    }
    run_command(&mut cargo(["deny", "--offline", "check", "licenses", "bans", "sources"]))
}
