//! `cargo xtask outages`: as many schedules of module `outages` of the tests as are wished for, where `cargo xtask test` takes a
//! sample.
//!
//! They run under `cargo test` and not under nextest, which would end what takes longer than a test may.

use crate::prepare;
use crate::process::{cargo, run as run_command};
use crate::test::FEATURES;
use anyhow::Result;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    schedules: u32,
    /// The seed of the first; those of the others follow
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u32,
}

/// Prepares, then runs them.
pub fn run(arguments: &Arguments) -> Result<()> {
    prepare::run_all()?;
    let mut outages = cargo(["test", "--package", "durhack-deployer", "--locked", "--test", "it"]);
    outages.args(FEATURES).env("OUTAGE_SCHEDULES", arguments.schedules.to_string());
    outages.env("OUTAGE_SEED", arguments.seed.to_string());
    run_command(outages.args(["--", "outages::after_any_outage", "--nocapture"]))
}
