//! What a developer of durhack-deployer runs: test, check, generate, bench.
//!
//! Each task is one file. Deliberately absent: anything an operator needs; that is in the product's own CLI.

mod bench;
mod check;
mod generate;
mod prepare;
mod process;
mod test;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What a developer of durhack-deployer runs.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "Exit codes: 0 all went well, 1 something failed, 2 the command line is wrong."
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what the tests need, if it is missing, and run all of them
    #[command(after_help = "Examples:
  cargo xtask test                      everything, with the doctests
  cargo xtask test -- queue::           the tests whose names contain queue::
  cargo xtask test --prepare-only       only install what is missing

Installing needs root and apt-get, and npm for GitHub's example payloads (into target/testbed/npm).
Where nothing is missing, nothing is installed and no rights are needed.")]
    Test(test::Arguments),
    /// Formatting, lints, generated files, dependencies
    #[command(after_help = "Examples:
  cargo xtask check

Runs cargo fmt --check, cargo clippy with warnings denied, compares the generated files with what the
program would generate, and runs cargo deny where it is installed. All are run; any failure is exit code 1.")]
    Check,
    /// Write the generated files: reference, schema, man page, completions
    #[command(after_help = "Examples:
  cargo xtask generate && git diff --stat")]
    Generate,
    /// Measure the product beside Debian's `webhook` and a shell script
    #[command(after_help = "Examples:
  cargo xtask bench                     about five minutes on two cores
  cargo xtask bench --requests 200 --rounds 1 --deploys 5    a quick look

Prints a Markdown report and writes target/bench/result.json. A missed target is reported, not an error.")]
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Test(arguments) => test::run(&arguments),
        Task::Check => check::run(),
        Task::Generate => generate::run(),
        Task::Bench(arguments) => bench::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
