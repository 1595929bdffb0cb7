//! A step that takes long: somebody who waits for it sees that it runs.

use crate::support::gate::Gate;
use crate::support::process::output;
use crate::support::repository::Repository;
use crate::support::terminal::Terminal;
use crate::support::wait;
use crate::support::world::World;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// A world with a step that says something and then waits at a gate.
fn with_a_long_step(world: &mut World) -> (Repository, Gate) {
    let repository = world.repository("acme/site");
    let gate = Gate::new(&world.root().join("gate"));
    let line = format!("echo compiling module 17; {}", gate.shell());
    world.configure(&[world.deployment("site", &repository).step("build", "compile", &line)]);
    (repository, gate)
}

#[test]
fn a_terminal_shows_the_step_the_time_and_the_last_line() {
    World::run(|world| {
        let (repository, gate) = with_a_long_step(world);
        for has_daemon in [false, true] {
            let commit = repository.commit(&[("index.html", &has_daemon.to_string())], "change");
            if has_daemon {
                gate.close();
                world.start();
            }
            let terminal = Terminal::start(world.product(&["deploy", "site"]), 100);
            gate.wait_for(&commit);
            terminal.wait_for("build compile  compiling module 17");
            // The time goes on although nothing is printed.
            wait::until("the time to move", || {
                let raw = terminal.raw();
                ["compile  1 s  compiling", "compile  2 s  compiling"]
                    .iter()
                    .any(|text| raw.contains(text))
                    .then_some(())
            });
            gate.open();
            let (status, shown) = terminal.end();
            assert!(status.success(), "{shown}");
            let last = shown.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
            assert!(last.contains("site is live"), "the line goes away at the end: {shown}");
        }
    });
}

#[test]
fn a_log_is_told_now_and_then_that_a_step_still_runs() {
    World::run(|world| {
        let (repository, gate) = with_a_long_step(world);
        let commit = repository.commit(&[("index.html", "one")], "first");
        let mut deploy = world.product(&["deploy", "site"]);
        let mut deploy = deploy
            .env("DEPLOYER_HEARTBEAT", "0")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the product was built");
        gate.wait_for(&commit);
        let mut lines = BufReader::new(deploy.stderr.take().expect("it is piped")).lines();
        let told =
            lines.find_map(|line| line.ok().filter(|line| line.contains("last line: compiling module 17")));
        let told = told.expect("it is told before the step ends");
        assert!(told.starts_with("still running: build compile"), "{told}");
        gate.open();
        lines.for_each(drop);
        assert!(deploy.wait().expect("it is our child").success());
    });
}

#[test]
fn run_and_status_say_since_when_a_step_runs() {
    World::run(|world| {
        let (repository, gate) = with_a_long_step(world);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &commit);
        gate.wait_for(&commit);
        for arguments in [&["run", "site"][..], &["status"]] {
            let said = String::from_utf8_lossy(&output(&mut world.product(arguments)).stdout).into_owned();
            let line =
                said.lines().find(|line| line.starts_with("running")).unwrap_or_else(|| panic!("{said}"));
            assert!(line.contains("build compile since 20") && line.contains(" UTC ("), "{line}");
        }
        let status = world.status();
        let step = &status["deployments"][0]["running_step"];
        assert_eq!((&step["phase"], &step["name"]), (&"build".into(), &"compile".into()), "{status:#}");
        assert!(step["since_ms"].as_i64().is_some_and(|at_ms| at_ms > 0), "{status:#}");
        gate.open();
        world.settled("site", 1);
        assert!(world.status()["deployments"][0]["running_step"].is_null());
    });
}

#[test]
fn whoever_deploys_meanwhile_sees_which_run_is_waited_for() {
    World::run(|world| {
        let (repository, gate) = with_a_long_step(world);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &commit);
        gate.wait_for(&commit);
        let id = world.runs("site")[0].id.replace('-', "");
        let terminal = Terminal::start(world.product(&["deploy", "site", "--force"]), 100);
        terminal.wait_for(&format!("queued: waits for run {} (build compile, ", &id[13..20]));
        gate.open();
        let (status, shown) = terminal.end();
        assert!(status.success(), "{shown}");
    });
}
