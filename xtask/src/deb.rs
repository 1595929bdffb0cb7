//! `cargo xtask deb`: the package for Debian and Ubuntu, of the locked release binaries. What is in it stands in
//! `[package.metadata.deb]` of `crates/deployer/Cargo.toml`; what is done when it is installed and removed, in `packaging/debian/`.

use crate::process::{capture, cargo, command, root, run as run_command};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What packs. A new version may pack differently: raise it on purpose.
const CARGO_DEB: &str = "3.8.0";

/// So many starts of the program are timed.
const STARTS: usize = 21;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Of the debug binaries, without compressing much: quick, big, for trying out
    #[arg(long)]
    debug: bool,
    /// Instead of the workspace's version
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
}

/// Builds, packs, and says where and how big, and how quick to start.
pub fn run(arguments: &Arguments) -> Result<()> {
    let packer = packer()?;
    let mut build =
        cargo(["build", "--locked", "--package", "durhack-deployer", "--package", "durhack-privileged"]);
    if !arguments.debug {
        build.arg("--release");
    }
    run_command(&mut build)?;
    let directory = root().join("target/deb");
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let mut pack = command(packer);
    pack.args(["deb", "--no-build", "--locked", "--package", "durhack-deployer", "--output"]).arg(&directory);
    if arguments.debug {
        pack.args(["--profile", "dev", "--no-strip", "--fast"]);
    }
    if let Some(version) = &arguments.version {
        pack.args(["--deb-version", version]);
    }
    let package = PathBuf::from(capture(&mut pack)?.lines().last().context("cargo-deb names what it wrote")?);
    let bytes = std::fs::metadata(&package).with_context(|| format!("no {}", package.display()))?.len();
    let profile = if arguments.debug { "debug" } else { "release" };
    println!("{}: {}", package.display(), megabytes(bytes));
    for program in ["durhack-deployer", "durhack-deployer-privileged"] {
        let binary = root().join("target").join(profile).join(program);
        println!("  {program}: {}", megabytes(std::fs::metadata(&binary)?.len()));
    }
    let program = root().join("target").join(profile).join("durhack-deployer");
    println!("  durhack-deployer --version: {:.1} ms, the median of {STARTS} starts", start_ms(&program)?);
    Ok(())
}

/// From starting the program to its end, when it only says its version.
fn start_ms(program: &Path) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let started = Instant::now();
        capture(command(program).arg("--version"))?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[STARTS / 2])
}

/// cargo-deb, installed into the testbed if it is not there yet.
pub fn packer() -> Result<PathBuf> {
    let directory = root().join("target/testbed/cargo");
    let program = directory.join("bin/cargo-deb");
    let is_there = program.exists()
        && capture(command(&program).arg("--version")).is_ok_and(|found| found.contains(CARGO_DEB));
    if !is_there {
        // Without its own compression: xz is on every Debian.
        let mut install =
            cargo(["install", "cargo-deb", "--locked", "--no-default-features", "--version", CARGO_DEB]);
        run_command(install.arg("--root").arg(&directory))?;
    }
    Ok(program)
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}
