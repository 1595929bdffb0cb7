//! What `doctor` says of what is under way: the door, queues, runs, the database, what GitHub is told, and PM2.

use super::{Report, as_root, configure, doctor, host};
use crate::support::configuration::text;
use crate::support::gate::Gate;
use crate::support::github::Weather;
use crate::support::node_app::NodeApp;
use crate::support::pm2::Pm2;
use crate::support::process::{command, output, succeed};
use crate::support::servers::free_port;
use crate::support::wait;
use crate::support::world::World;
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpListener;

#[test]
fn what_nobody_answers_for_is_named() {
    World::run(|world| {
        // Another program listens where the daemon should; the database and GitHub are away.
        let other = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let port = other.local_addr().expect("it is bound").port();
        let nobody = format!("127.0.0.1:{}", free_port());
        host(world, |world, deployment| {
            world.settings.set("origin", "\"https://deploy.invalid\"");
            world.settings.set("listen.port", port.to_string());
            world.settings.set("github.api_url", text(&format!("http://{nobody}")));
            world.settings.set("database_url", text(&format!("postgres://durhack@{nobody}/record")));
            world.settings.set("source_networks", "\"github\"");
            deployment
        });
        let report = Report::of(&output(&mut as_root(world)));
        report.assert("daemon", "error", "another program holds", "ss -ltnp");
        report.assert("record", "error", "the database is not available", "start the database");
        report.assert("credentials", "error", "GitHub does not answer", "githubstatus");
        report.assert("origin", "error", "deploy.invalid resolves to nothing", "A or AAAA record");
        report.assert("networks", "error", "answered 503", "source_networks");
        drop(other);
    });
}

#[test]
fn what_got_stuck_is_named() {
    World::run(|world| {
        let repository = host(world, |_, deployment| deployment);
        let gate = Gate::new(&world.root().join("srv"));
        let deployment = world.deployment("site", &repository).step("build", "compile", &gate.shell());
        configure(world, &[deployment]);
        world.start();
        let commit = repository.commit(&[("index.html", "one")], "first");
        let guid = world.push(&repository, &commit);
        gate.wait_for(&commit);
        doctor(world).assert_well("runs", "1 in progress, none stuck");
        change_record(world, "UPDATE runs SET started_at_ms = started_at_ms - 864000000");
        doctor(world).assert(
            "runs",
            "warning",
            "longer than its timeout allows",
            "durhack-deployer cancel site",
        );
        // Somebody is there, and does not get on with anything.
        world.signal(Signal::STOP);
        doctor(world).assert("daemon", "error", "does not answer", "restart it");
        world.kill();

        let old = "00000000000000000001";
        let other = "01a2087b-a47d-7212-a449-6c1ef1f198c0";
        let bad = world.spool("main").join("bad");
        for (directory, name) in [(&bad, other), (&world.spool("main"), guid.as_str())] {
            fs_err::write(directory.join(format!("{old}-{name}.json")), "{}").expect("writable");
        }
        fs_err::write(bad.join(format!("{old}-{other}.json.reason")), "it is no entry\n").expect("writable");
        let report = doctor(world);
        report.assert("runs", "error", "is gone", "start the daemon");
        report.assert("queues", "warning", "it is no entry", &format!("queue drop {old}-{other}"));
        report.assert("queues", "warning", "waiting entries: 1", "status");
        report.assert("daemon", "error", "no daemon", "");
        fs_err::remove_file(world.spool("main").join(format!("{old}-{guid}.json"))).expect("it is there");
    });
}

/// What takes time to happen, in the database. There is no clock for one process.
#[track_caller]
fn change_record(world: &World, statement: &str) {
    let script = "import sqlite3, sys; record = sqlite3.connect(sys.argv[1], timeout=30); record.execute(sys.argv[2]); record.commit()";
    let record = world.state().join("record.sqlite");
    succeed(command("python3", world.root()).args(["-c", script]).arg(record).arg(statement));
}

#[test]
fn what_github_is_not_told_and_a_record_that_is_old_or_broken_are_named() {
    World::run(|world| {
        let repository = host(world, |_, deployment| deployment);
        world.start();
        let first = repository.commit(&[("index.html", "one")], "first");
        world.deploy("site", &repository, &first);
        world.reported(&repository, &first);
        let report = doctor(world);
        report.assert_well("outbox", "reports to GitHub waiting: 0");
        report.assert_well("record", "the database answers");

        world.github.set_statuses_max(0);
        let second = repository.commit(&[("index.html", "two")], "second");
        world.deploy("site", &repository, &second);
        wait::until("GitHub's refusal to be noted", || {
            let said = doctor(world);
            said.of_check("outbox").iter().any(|finding| finding.level == "warning").then_some(())
        });
        doctor(world).assert(
            "outbox",
            "warning",
            "GitHub has refused the reports of site",
            "rights that are missing",
        );
        world.github.set_weather(Weather::Fails);
        let third = repository.commit(&[("index.html", "three")], "third");
        world.deploy("site", &repository, &third);
        world.stop();
        change_record(
            world,
            "UPDATE outbox SET created_at_ms = created_at_ms - 10800000 WHERE done_at_ms IS NULL",
        );
        doctor(world).assert(
            "outbox",
            "warning",
            "reports to GitHub are waiting, the oldest since",
            "mend the credential",
        );

        change_record(
            world,
            "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
        );
        doctor(world).assert("record", "warning", "lacks 1 migration", "durhack-deployer migrate up");
        fs_err::write(
            world.state().join("record.sqlite"),
            "no database, but as long as one could be".repeat(100),
        )
        .expect("writable");
        doctor(world).assert("record", "error", "", "put the last backup in its place");
    });
}

#[test]
fn a_pm2_that_would_start_nothing_and_one_that_is_gone_are_named() {
    World::run(|world| {
        let pm2 = Pm2::of(world);
        let app = NodeApp::of(world, "pnpm-app", "app");
        let home = pm2.home().to_string_lossy().into_owned();
        let environment = format!("{{ PM2_HOME = {} }}", text(&home));
        configure(world, &[app.deployment(world).with("environment", environment)]);
        doctor(world).assert("pm2", "warning", "nothing is saved", "pm2 startup");
        fs_err::write(pm2.home().join("idle.js"), "setInterval(() => {}, 60000);").expect("writable");
        pm2.call(&["start", "idle.js"]);
        pm2.call(&["save"]);
        doctor(world).assert_well("pm2", "knows what to start after a boot (1 homes)");
        // As the kernel and a power cut end it: its sockets stay.
        let applications = pm2.processes();
        let daemon = pm2.daemon().expect("it runs");
        let mut victims = vec![u64::from(daemon)];
        victims.extend(applications.iter().filter_map(|application| application["pid"].as_u64()));
        for victim in victims {
            let pid = i32::try_from(victim).ok().and_then(Pid::from_raw).expect("a process id");
            kill_process(pid, Signal::KILL).expect("it is ours");
        }
        wait::until("PM2 to be gone", || pm2.daemon().is_none().then_some(()));
        assert!(pm2.home().join("rpc.sock").exists(), "or this test shows less than it says");
        doctor(world).assert("pm2", "warning", "no PM2 runs for", "pm2 resurrect");
        pm2.call(&["resurrect"]);
        doctor(world).assert_well("pm2", "knows what to start after a boot");
    });
}
