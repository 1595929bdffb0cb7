//! The figures as a person and as a program read them, and whether they are what we promise.

use super::deploys::Deploys;
use super::load::Connections;
use super::{Arguments, CLIENTS, Measured, Memory, PUSH_BYTES};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Under load of 64 clients.
const P99_MS_MAX: f64 = 25.0;

/// Resident, at rest after start.
const IDLE_KIBIBYTES_MAX: u64 = 12 * 1024;

/// Median from the push to the first step.
const FIRST_STEP_MS_MAX: f64 = 20.0;

/// Median of a deploy without steps, over the shell script.
const OVERHEAD_MS_MAX: f64 = 150.0;

/// Everything that was measured.
pub struct Report<'a> {
    pub machine: Value,
    pub arguments: &'a Arguments,
    pub measured: Vec<Measured>,
    pub memory: Vec<Memory>,
    pub deploys: Deploys,
}

/// One promise and what came of it.
struct Target {
    promise: String,
    measured: String,
    kept: bool,
}

impl Report<'_> {
    pub fn markdown(&self) -> String {
        let mut text = String::from("# What a push costs\n\n");
        self.method(&mut text);
        text.push_str(
            "\n## Pushes\n\n| connections | bytes | at once | server | pushes/s | p50 ms | p99 ms |\n",
        );
        text.push_str("| --- | ---: | ---: | --- | ---: | ---: | ---: |\n");
        for Measured { server, load, outcome } in &self.measured {
            line(
                &mut text,
                &format!(
                    "| {} | {} | {} | {server} | {:.0} | {:.2} | {:.2} |",
                    load.connections,
                    load.body_bytes,
                    load.clients,
                    outcome.per_second,
                    outcome.p50_ms,
                    outcome.p99_ms
                ),
            );
        }
        text.push_str("\n## Memory at rest\n\n| server | RSS MiB | PSS MiB | RSS after the load | PSS after the load |\n");
        text.push_str("| --- | ---: | ---: | ---: | ---: |\n");
        for Memory { server, fresh, loaded } in &self.memory {
            let [a, b, c, d] = [fresh.rss, fresh.pss, loaded.rss, loaded.pss].map(mebibytes);
            line(&mut text, &format!("| {server} | {a:.1} | {b:.1} | {c:.1} | {d:.1} |"));
        }
        let Deploys { first_step_ms, deploy_ms, script_ms } = self.deploys;
        text.push_str("\n## Deploys without steps\n\n| what | median ms |\n| --- | ---: |\n");
        line(&mut text, &format!("| from the push to the first step | {first_step_ms:.1} |"));
        line(&mut text, &format!("| from the push to the end of the run | {deploy_ms:.1} |"));
        line(&mut text, &format!("| shell script with the same git commands | {script_ms:.1} |"));
        text.push_str("\n## Targets\n\n| target | measured | |\n| --- | --- | --- |\n");
        for Target { promise, measured, kept } in self.targets() {
            let verdict = if kept { "PASS" } else { "short" };
            line(&mut text, &format!("| {promise} | {measured} | {verdict} |"));
        }
        text
    }

    fn method(&self, text: &mut String) {
        let of = |key: &str| self.machine[key].to_string().trim_matches('"').to_owned();
        line(
            text,
            &format!(
                "Machine: {}, {} cores, {} of memory, Linux {}, {} under the spool.",
                of("processor"),
                of("cores"),
                of("memory"),
                of("kernel"),
                of("file_system")
            ),
        );
        let Arguments { requests, rounds, deploys, .. } = self.arguments;
        line(
            text,
            &format!(
                "Method: load from blocking threads on the same cores; {requests} signed pushes a measurement, a delivery \
             id of its own each; {rounds} rounds for each server, taking turns, medians. Ours fsyncs every push before \
             it answers 202 and records a verdict on it afterwards (worked off between measurements, not counted); \
             Debian's `webhook` checks the same HMAC and starts `/bin/true`. Deploys: {deploys} commits of 200 files, \
             each deployed by ours and then by the script."
            ),
        );
    }

    pub fn json(&self) -> Value {
        let pushes: Vec<Value> = self
            .measured
            .iter()
            .map(|Measured { server, load, outcome }| {
                json!({
                    "server": server,
                    "connections": load.connections.to_string(),
                    "body_bytes": load.body_bytes,
                    "clients": load.clients,
                    "per_second": outcome.per_second,
                    "p50_ms": outcome.p50_ms,
                    "p99_ms": outcome.p99_ms,
                })
            })
            .collect();
        let memory: Vec<Value> = self
            .memory
            .iter()
            .map(|Memory { server, fresh, loaded }| {
                json!({
                    "server": server,
                    "rss_kib": fresh.rss,
                    "pss_kib": fresh.pss,
                    "loaded_rss_kib": loaded.rss,
                    "loaded_pss_kib": loaded.pss,
                })
            })
            .collect();
        let targets: Vec<Value> = self
            .targets()
            .into_iter()
            .map(|Target { promise, measured, kept }| {
                json!({
                    "target": promise, "measured": measured, "kept": kept,
                })
            })
            .collect();
        json!({
            "machine": self.machine,
            "requests": self.arguments.requests,
            "rounds": self.arguments.rounds,
            "pushes": pushes,
            "memory": memory,
            "deploys": {
                "count": self.arguments.deploys,
                "first_step_ms": self.deploys.first_step_ms,
                "deploy_ms": self.deploys.deploy_ms,
                "script_ms": self.deploys.script_ms,
            },
            "targets": targets,
        })
    }

    fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        for connections in [Connections::KeptAlive, Connections::NewForEach] {
            for body_bytes in PUSH_BYTES {
                for clients in CLIENTS.into_iter().filter(|&clients| clients > 1) {
                    targets.extend(self.not_slower(connections, body_bytes, clients));
                }
                targets.extend(self.quick(connections, body_bytes));
            }
        }
        let Deploys { first_step_ms, deploy_ms, script_ms } = self.deploys;
        let idle = self.memory.first().map_or(u64::MAX, |ours| ours.fresh.rss);
        targets.push(Target {
            promise: "idle memory at most 12 MB".into(),
            measured: format!("{:.1} MiB RSS", mebibytes(idle)),
            kept: idle <= IDLE_KIBIBYTES_MAX,
        });
        targets.push(Target {
            promise: format!("POST to first step at most {FIRST_STEP_MS_MAX} ms (median)"),
            measured: format!("{first_step_ms:.1} ms"),
            kept: first_step_ms <= FIRST_STEP_MS_MAX,
        });
        targets.push(Target {
            promise: format!("at most {OVERHEAD_MS_MAX} ms over the shell script"),
            measured: format!("{:.1} ms", deploy_ms - script_ms),
            kept: deploy_ms - script_ms <= OVERHEAD_MS_MAX,
        });
        targets
    }

    /// Ours and theirs under one load; none where it was not measured.
    fn pair(
        &self,
        connections: Connections,
        body_bytes: usize,
        clients: usize,
    ) -> Option<(&Measured, &Measured)> {
        let mut both = self.measured.iter().filter(|measured| {
            let load = &measured.load;
            load.connections == connections && load.body_bytes == body_bytes && load.clients == clients
        });
        Some((both.next()?, both.next()?))
    }

    fn not_slower(&self, connections: Connections, body_bytes: usize, clients: usize) -> Option<Target> {
        let (ours, theirs) = self.pair(connections, body_bytes, clients)?;
        let (ours, theirs) = (ours.outcome.per_second, theirs.outcome.per_second);
        Some(Target {
            promise: format!("not slower than webhook: {clients} at once, {body_bytes} bytes, {connections}"),
            measured: format!("{ours:.0}/s beside {theirs:.0}/s"),
            kept: ours >= theirs,
        })
    }

    fn quick(&self, connections: Connections, body_bytes: usize) -> Option<Target> {
        let (ours, _) = self.pair(connections, body_bytes, 64)?;
        let p99 = ours.outcome.p99_ms;
        Some(Target {
            promise: format!("p99 under {P99_MS_MAX} ms: 64 at once, {body_bytes} bytes, {connections}"),
            measured: format!("{p99:.1} ms"),
            kept: p99 < P99_MS_MAX,
        })
    }
}

fn line(text: &mut String, content: &str) {
    writeln!(text, "{content}").expect("a String takes everything");
}

fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}
