//! What a developer of durhack-deployer runs: test, sweep, outages, check, generate, bench, deb.
//!
//! Each task is one file. Deliberately absent: anything an operator needs; that is in the product's own CLI.

mod bench;
mod check;
mod claims;
mod commands;
mod deb;
mod file_access;
mod floors;
mod generate;
mod linkage;
mod links;
mod openapi;
mod outages;
mod packed;
mod prepare;
mod process;
mod samples;
mod sentences;
mod sweep;
mod test;
mod tools;

use clap::{CommandFactory as _, Parser, Subcommand};
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
  cargo xtask test --as-people          all of them as somebody whose git signs and has hooks, in another language and time zone

Installing needs root and apt-get, and npm for GitHub's example payloads (into target/testbed/npm).
Where nothing is missing, nothing is installed and no rights are needed.")]
    Test(test::Arguments),
    /// Kill the daemon at every failpoint of a push, and check what is left
    #[command(after_help = "Examples:
  cargo xtask sweep                     everything: about half an hour on two cores
  cargo xtask sweep --every 10 --seed 3 every tenth death, beginning with the fourth
  cargo xtask sweep --only link-moved   the deaths at the points whose names contain this
  cargo xtask sweep a_rollback          one scenario: part of a test's name

A death is `kill -9` of the daemon: at each failpoint (crash_point! in the sources) on the way of
each scenario, as often as the daemon comes by it; at each of its system calls that write (by strace),
in two scenarios; and a second time at each point of the recovery from a first death. After each, a
daemon that lives must finish or roll back what it finds, and deploy a further push.

Prints each death before it is died, and `THE SWEEP FAILED: SCENARIO at POINT` for the one that was
not survived; any is exit code 1. `cargo xtask test` takes a sample of the same.")]
    Sweep(sweep::Arguments),
    /// Lose pushes, the daemon, the API and the repositories, by seeded schedules, and check that all of it is recovered
    #[command(after_help = "Examples:
  cargo xtask outages                   a thousand schedules
  cargo xtask outages --schedules 10000 ten thousand
  cargo xtask outages --schedules 1 --seed 17    that one again

A schedule is what happens to one repository: pushes, force pushes, a branch deleted and made again, deliveries that are
dropped, doubled, reordered or late. Forty of them share a daemon that is killed, and a GitHub that fails.

Prints where it is before each forty. A schedule that failed is printed with its seed and what was wrong; any is exit code 1.
`cargo xtask test` runs the first eighty.")]
    Outages(outages::Arguments),
    /// Check formatting, lints, floors, generated files, documents, dependencies
    #[command(after_help = "Examples:
  cargo xtask check

Runs cargo fmt --check and cargo clippy with warnings denied, checks floors, links, commands and claims of documents, compares the generated files with what the
program would generate, and runs cargo-deny, which is installed into target/testbed if it is missing. All are run; any failure is exit code 1.")]
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
    /// Build the package for Debian and Ubuntu
    #[command(after_help = "Examples:
  cargo xtask deb                       of the locked release binaries, in target/deb
  cargo xtask deb --debug               of the debug binaries: quick, for trying out

Prints the package's path and size, the programs' sizes and what libraries they need, and how long the program takes from start to end
beside git and /bin/true. Fails where a program needs more than the package's `depends` says. Installs cargo-deb below target/testbed if it
is missing.")]
    Deb(deb::Arguments),
}

/// The command line as clap knows it.
fn command_line() -> clap::Command {
    Arguments::command()
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Test(arguments) => test::run(&arguments),
        Task::Sweep(arguments) => sweep::run(&arguments),
        Task::Outages(arguments) => outages::run(&arguments),
        Task::Check => check::run(),
        Task::Generate => generate::run(),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Deb(arguments) => deb::run(&arguments),
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
    #[test]
    fn the_command_line_is_consistent() {
        super::command_line().debug_assert();
    }
}
