//! `cargo xtask bench`: what a push costs, beside Debian's `webhook` and beside a shell script.
//!
//! One run measures both sides, taking turns, so that whatever else the machine does hurts both; the medians
//! over the rounds are reported. The load comes from threads of this process, on the same cores, with blocking
//! sockets: cheap, and the same for both. What is compared is not the same work: ours writes every push to
//! disk and syncs it before it answers, `webhook` starts `/bin/true`.

mod deploys;
mod http;
mod load;
mod machine;
mod report;
mod servers;

use crate::prepare;
use crate::process::{cargo, root, run as run_command};
use anyhow::{Context, Result};
use load::{Connections, Load, Outcome};
use std::path::PathBuf;

/// Sizes of a push in bytes: what GitHub's examples have, and a busy day's.
const PUSH_BYTES: [usize; 2] = [6_656, 20_480];

/// Clients at once.
const CLIENTS: [usize; 3] = [1, 8, 64];

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Requests of one measurement
    #[arg(long, default_value_t = 2000)]
    requests: usize,
    /// Measurements of each kind for each server; medians are taken
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Deploys that are timed
    #[arg(long, default_value_t = 30)]
    deploys: usize,
    /// On which disk the servers keep what they keep [default: that of `target`]
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

/// One line of the table of throughput: one server, one kind of load, the medians of its rounds.
#[derive(Debug, Clone)]
pub struct Measured {
    pub server: &'static str,
    pub load: Load,
    pub outcome: Outcome,
}

/// Memory of an idle server, in kibibytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub server: &'static str,
    /// After start, before the first request.
    pub fresh: machine::Memory,
    /// After all the load, at rest again.
    pub loaded: machine::Memory,
}

/// A directory of our own on the disk that the build uses; gone at the end.
struct Workplace(PathBuf);

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("warning: cannot remove {}: {error}", self.0.display());
        }
    }
}

/// Builds, measures, reports.
pub fn run(arguments: &Arguments) -> Result<()> {
    prepare::run_all()?;
    run_command(&mut cargo(["build", "--profile", "dist", "--locked", "--package", "durhack-deployer"]))?;
    let base = root().join("target/bench");
    let directory = arguments.directory.as_ref().unwrap_or(&base);
    let directory = std::path::absolute(directory).context("the current directory is gone")?;
    let workplace = Workplace(directory.join(format!("work-{}", std::process::id())));
    for directory in [&base, &workplace.0] {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }

    let (measured, memory) = throughput(&workplace, arguments)?;
    eprintln!("timing {} deploys", arguments.deploys);
    let deploys = deploys::measure(&workplace.0.join("deploys"), arguments.deploys)?;

    let machine = machine::describe(&workplace.0)?;
    let report = report::Report { machine, arguments, measured, memory, deploys };
    println!("{}", report.markdown());
    let file = base.join("result.json");
    let json = serde_json::to_string_pretty(&report.json()).expect("a JSON value can be written");
    std::fs::write(&file, json + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!("also in {}", file.display());
    Ok(())
}

/// Every kind of load on both servers, in turns.
fn throughput(workplace: &Workplace, arguments: &Arguments) -> Result<(Vec<Measured>, Vec<Memory>)> {
    let servers =
        [servers::ours(&workplace.0.join("ours"))?, servers::webhook(&workplace.0.join("webhook"))?];
    let fresh = [servers[0].idle_memory()?, servers[1].idle_memory()?];
    let mut measured = Vec::new();
    for load in all_loads(arguments.requests) {
        eprintln!("measuring {load}");
        let mut outcomes = [Vec::new(), Vec::new()];
        for round in 0..arguments.rounds.max(1) {
            // The first is not always the same one.
            for turn in 0..servers.len() {
                let which = (round + turn) % servers.len();
                outcomes[which].push(load::run(&servers[which], &load)?);
                servers[which].settle()?;
            }
        }
        for (server, outcomes) in servers.iter().zip(outcomes) {
            measured.push(Measured {
                server: server.name,
                load: load.clone(),
                outcome: Outcome::median(&outcomes),
            });
        }
    }
    let loaded = [servers[0].idle_memory()?, servers[1].idle_memory()?];
    let memory_of =
        |which: usize| Memory { server: servers[which].name, fresh: fresh[which], loaded: loaded[which] };
    let memory = (0..servers.len()).map(memory_of).collect();
    Ok((measured, memory))
}

fn all_loads(requests: usize) -> Vec<Load> {
    let mut loads = Vec::new();
    for connections in [Connections::KeptAlive, Connections::NewForEach] {
        for body_bytes in PUSH_BYTES {
            for clients in CLIENTS {
                loads.push(Load { clients, connections, body_bytes, requests });
            }
        }
    }
    loads
}
