//! `cargo xtask deb`: the package for Debian and Ubuntu, of the locked release binaries. What is in it stands in
//! `[package.metadata.deb]` of `crates/deployer/Cargo.toml`; what is done when it is installed and removed, in `packaging/debian/`.

use crate::linkage;
use crate::process::{capture, cargo, command, root, run as run_command};
use crate::tools::CARGO_DEB;
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// So many starts of each program are timed.
const STARTS: usize = 21;

/// The programs in it.
const PROGRAMS: [&str; 2] = ["durhack-deployer", "durhack-deployer-privileged"];

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Of the debug binaries, without compressing much: quick, big, for trying out
    #[arg(long)]
    debug: bool,
    /// Instead of the workspace's version
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
}

/// Builds, looks at what was built, packs, and says where and how big, and how quick to start.
pub fn run(arguments: &Arguments) -> Result<()> {
    let packer = CARGO_DEB.installed()?;
    let mut build =
        cargo(["build", "--locked", "--package", "durhack-deployer", "--package", "durhack-privileged"]);
    if !arguments.debug {
        build.args(["--profile", "dist"]);
    }
    run_command(&mut build)?;
    let profile = if arguments.debug { "debug" } else { "dist" };
    let programs = PROGRAMS.map(|program| root().join("target").join(profile).join(program));
    let needs = programs.iter().map(|program| linkage::check(program)).collect::<Result<Vec<_>>>()?;
    let package = pack(&packer, arguments)?;
    println!("{}: {}", package.display(), megabytes(&package)?);
    for (program, needs) in programs.iter().zip(needs) {
        println!("  {}: {}, {needs}", program.display(), megabytes(program)?);
    }
    print_starts(&programs[0])
}

/// The package's path.
fn pack(packer: &Path, arguments: &Arguments) -> Result<PathBuf> {
    let directory = root().join("target/deb");
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let mut pack = command(packer);
    pack.args(["deb", "--no-build", "--locked", "--package", "durhack-deployer", "--output"]).arg(&directory);
    if arguments.debug {
        pack.args(["--profile", "dev", "--no-strip", "--fast"]);
    } else {
        pack.args(["--profile", "dist"]);
    }
    if let Some(version) = &arguments.version {
        pack.args(["--deb-version", version]);
    }
    Ok(PathBuf::from(capture(&mut pack)?.lines().last().context("cargo-deb names what it wrote")?))
}

/// Beside a program that everybody has, and one that does nothing, taking turns: what else the machine does hurts all of them.
fn print_starts(program: &Path) -> Result<()> {
    let calls: [&[&OsStr]; 3] = [
        &[program.as_os_str(), "--version".as_ref()],
        &["git".as_ref(), "--version".as_ref()],
        &["/bin/true".as_ref()],
    ];
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..STARTS {
        for (call, times) in calls.iter().zip(&mut times) {
            let started = Instant::now();
            capture(command(call[0]).args(&call[1..]))?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    let [ours, git, nothing] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[STARTS / 2]
    });
    println!("  from start to end, the medians of {STARTS}, taking turns:");
    println!(
        "    durhack-deployer --version {ours:.1} ms, git --version {git:.1} ms, /bin/true {nothing:.1} ms"
    );
    Ok(())
}

fn megabytes(file: &Path) -> Result<String> {
    let bytes = std::fs::metadata(file).with_context(|| format!("no {}", file.display()))?.len();
    Ok(format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000))
}
