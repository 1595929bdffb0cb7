//! `cargo xtask check`: what can be said about the code without running it.

use crate::process::{capture, cargo, command, run as run_command};
use crate::tools::CARGO_DENY;
use crate::{claims, commands, file_access, floors, generate, links, packed, samples, sentences};
use anyhow::{Result, bail};

/// Runs every check, so that one run shows all there is to mend.
pub fn run() -> Result<()> {
    let checks = [
        ("formatting", formatting as fn() -> Result<()>),
        ("lints", lints),
        ("floors", floors::check),
        ("files", file_access::check),
        ("sentences", sentences::check),
        ("generated files", generate::check),
        ("claims of docs/explanation/security.md", claims::check),
        ("links between documents", links::check),
        ("documents that are named", links::check_mentions),
        ("links between the package's documents", packed::check),
        ("commands in documents", commands::check),
        ("code in ARCHITECTURE.md", samples::check),
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
    let features = "durhack-deployer/failpoints";
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

/// Licences, banned crates, sources, and known holes where the list of those can be had.
fn dependencies() -> Result<()> {
    let program = CARGO_DENY.installed()?;
    let deny = |words: &[&str]| {
        let mut deny = command(&program);
        deny.args(["--color", "never"]).args(words);
        deny
    };
    run_command(&mut deny(&["--log-level", "error", "check", "licenses", "bans", "sources"]))?;
    // Not to be had is no finding; but nobody should believe that it was looked at.
    if let Err(error) = capture(&mut deny(&["fetch", "db"])) {
        eprintln!(
            "note: known holes (advisories) were not checked, as their list cannot be fetched: {error:#}"
        );
        return Ok(());
    }
    run_command(&mut deny(&["check", "--disable-fetch", "advisories"]))
}
