//! `cargo xtask sweep`: the tests of module `sweep` in full, where `cargo xtask test` takes a sample.
//!
//! They run under `cargo test` and not under nextest, which would end what takes longer than a test may.

use crate::prepare;
use crate::process::{cargo, run as run_command};
use crate::test::FEATURES;
use anyhow::Result;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Of the deaths of each scenario, only each N-th
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Begin with another one, so that several partial sweeps see different deaths
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u32,
    /// Only deaths whose name contains this: a point (live, or live:1) or a call (call-fsync:3)
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Scenarios at once
    #[arg(long, default_value_t = 2, value_name = "N")]
    threads: u32,
    /// Only the scenarios whose tests have this in their names
    scenario: Option<String>,
}

/// Prepares, then sweeps.
pub fn run(arguments: &Arguments) -> Result<()> {
    prepare::run_all()?;
    let mut sweep = cargo(["test", "--package", "durhack-deployer", "--locked", "--test", "it"]);
    sweep.args(FEATURES).env("DEPLOYER_SWEEP_EVERY", arguments.every.to_string());
    sweep.env("DEPLOYER_SWEEP_SEED", arguments.seed.to_string());
    sweep.env("DEPLOYER_SWEEP_ONLY", arguments.only.as_deref().unwrap_or_default());
    let filter = format!("sweep::{}", arguments.scenario.as_deref().unwrap_or_default());
    sweep.args(["--", &filter, "--nocapture", &format!("--test-threads={}", arguments.threads)]);
    run_command(&mut sweep)
}
