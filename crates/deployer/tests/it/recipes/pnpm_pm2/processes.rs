//! What becomes of processes: gaps, schedules, daemons, strangers.

use super::{fails, with_app};
use crate::support::node_app::NodeApp;
use crate::support::pm2::Pm2;
use crate::support::visitors::Visitors;
use crate::support::wait;
use crate::support::world::World;
use rustix::process::{Pid, Signal};

/// Deploys of a cluster application under load.
const REDEPLOYS: usize = 20;

/// In fork mode each is a gap.
const FORK_REDEPLOYS: usize = 3;

#[test]
fn a_cluster_application_is_redeployed_without_one_failed_request() {
    World::run(|world| {
        let pm2 = Pm2::of(world);
        // Without a build, to get to the switch.
        let app = NodeApp::of(world, "pnpm-full", "full");
        let ecosystem = "module.exports = { apps: [{ name: 'api', cwd: './server', script: 'main.js', instances: 2, wait_ready: true }] };";
        app.keep(world, "server/keys/signing", "the key");
        let deployment = app
            .deployment(world)
            .with("migrate", "[]")
            .with("scripts", "[]")
            .with("shared_files", "[]")
            .with("shared_dirs", r#"["server/keys", "server/state"]"#);
        world.configure(&[deployment]);
        let version = |number: usize| app.commit(&[("server/version.txt", &number.to_string())]);
        let first = app.commit(&[("ecosystem.config.cjs", ecosystem)]);
        world.start();
        world.deploy("full", &app.repository, &first);
        let visitors = Visitors::come(&app.address(), &["/"]);
        for number in 1..=REDEPLOYS {
            let commit = version(number);
            world.deploy("full", &app.repository, &commit);
            assert_eq!(app.live_version(), number.to_string());
        }
        let seen = visitors.leave();
        eprintln!("cluster mode, {REDEPLOYS} deploys: {seen}");
        assert_eq!(seen.failures, 0, "{:?}", seen.described);
        assert!(seen.requests > 100 * REDEPLOYS, "{}", seen.requests);
        assert_eq!(pm2.pids("api").len(), 2);
    });
}

#[test]
fn a_fork_application_is_redeployed_with_a_short_gap() {
    with_app(|world, pm2, app| {
        let fork =
            "export const apps = [{ name: 'app-server', script: 'server/dist/main.js', env: { A: '1' } }];";
        let first = app.commit(&[("ecosystem.config.js", fork), ("server/src/version.txt", "0")]);
        world.start();
        world.deploy("app", &app.repository, &first);
        let visitors = Visitors::come(&app.address(), &["/"]);
        for number in 1..=FORK_REDEPLOYS {
            let commit = app.version(&number.to_string());
            world.deploy("app", &app.repository, &commit);
            assert_eq!(app.live_version(), number.to_string());
        }
        let seen = visitors.leave();
        eprintln!("fork mode, {FORK_REDEPLOYS} deploys: {seen}");
        // One restart for each deploy, and no more.
        let process = &pm2.of_name("app-server")[0];
        assert_eq!(process["pm2_env"]["restart_time"], FORK_REDEPLOYS);
    });
}

#[test]
fn a_changed_definition_is_what_runs_afterwards() {
    with_app(|world, pm2, app| {
        let file = |more: &str| {
            format!("export const apps = [{{ name: 'app-server', script: 'server/dist/main.js', {more} }}];")
        };
        let first = app.commit(&[("ecosystem.config.js", &file("env: { MODE: 'a' }"))]);
        world.start();
        world.deploy("app", &app.repository, &first);
        assert_eq!(app.answer()["mode"], "a");
        for (more, mode, instances) in [
            ("env: { MODE: 'b' }", "b", 1),
            ("env: {}", "", 1),
            ("env: { MODE: 'c' }, exec_mode: 'cluster', instances: 3, wait_ready: true", "c", 3),
            ("env: { MODE: 'd' }, exec_mode: 'cluster', instances: 2, wait_ready: true", "d", 2),
        ] {
            let commit = app.commit(&[("ecosystem.config.js", &file(more))]);
            world.deploy("app", &app.repository, &commit);
            assert_eq!(
                (app.answer()["mode"].as_str(), pm2.pids("app-server").len()),
                (Some(mode), instances),
                "{more}"
            );
        }
    });
}

/// An ecosystem file with the server and a job.
fn with_job(job: &str) -> String {
    format!(
        "export const apps = [{{ name: 'app-server', script: 'server/dist/main.js' }}, {{ name: 'app-job', script: 'server/dist/job.js', autorestart: false, {job} }}];"
    )
}

#[test]
fn b38_a_scheduled_application_is_registered_and_not_run_by_a_deploy() {
    with_app(|world, pm2, app| {
        world.start();
        for (hour, version) in [("5", "one"), ("5", "two"), ("6", "three")] {
            let file = with_job(&format!("cron_restart: '0 {hour} 1 1 *'"));
            let commit = app.commit(&[("ecosystem.config.js", &file), ("server/src/version.txt", version)]);
            world.deploy("app", &app.repository, &commit);
            let job = &pm2.of_name("app-job")[0];
            assert_eq!(
                (job["pm2_env"]["status"].as_str(), job["pid"].as_u64().unwrap_or(0)),
                (Some("stopped"), 0)
            );
            assert!(!std::path::Path::new(&app.aside("jobs")).exists(), "it has not run");
        }
        assert_eq!(pm2.of_name("app-job")[0]["pm2_env"]["cron_restart"], "0 6 1 1 *");
    });
}

#[test]
fn b38_a_scheduled_application_runs_what_is_live_and_is_not_stopped_in_its_middle() {
    with_app(|world, pm2, app| {
        // Often, and yet with the time that it takes to start on a busy machine.
        let often = "cron_restart: '*/15 * * * * *', env: { JOB_MS: '0' }";
        let first = app.commit(&[("ecosystem.config.js", &with_job(often))]);
        world.start();
        world.deploy("app", &app.repository, &first);
        let jobs = || fs_err::read_to_string(app.aside("jobs")).unwrap_or_default();
        wait::until("its time to come", || jobs().contains("done").then_some(()));
        let second = app.version("two");
        world.deploy("app", &app.repository, &second);
        let live = fs_err::canonicalize(world.path_of("app").join("current")).expect("a link");
        wait::until("it to run what is live", || {
            jobs().contains(&format!("started in {}", live.display())).then_some(())
        });

        // A definition changes while a long one is at work; the clock does not come again meanwhile.
        let yearly =
            |length: u32| with_job(&format!("cron_restart: '0 5 1 1 *', env: {{ JOB_MS: '{length}' }}"));
        let long = app.commit(&[("ecosystem.config.js", &yearly(4000))]);
        world.deploy("app", &app.repository, &long);
        fs_err::write(app.aside("jobs"), "").expect("writable");
        pm2.call(&["restart", "app-job"]);
        wait::until("it to be at work", || jobs().contains("started").then_some(()));
        let pids = pm2.pids("app-job");
        let unchanged = app.version("three");
        world.deploy("app", &app.repository, &unchanged);
        assert!(pm2.pids("app-job") == pids || jobs().contains("done"), "not touched: {}", jobs());
        let changed = app.commit(&[("ecosystem.config.js", &yearly(1))]);
        world.deploy("app", &app.repository, &changed);
        assert_eq!(jobs().matches("started").count(), 1, "{}", jobs());
        assert_eq!(jobs().matches("done").count(), 1, "it was waited for: {}", jobs());
    });
}

#[test]
fn b38_the_pm2_daemon_and_the_applications_outlive_the_deployer() {
    with_app(|world, pm2, app| {
        let first = app.version("one");
        world.start();
        world.deploy("app", &app.repository, &first);
        let daemon = pm2.daemon().expect("it runs");
        let place = |pid: u32| {
            let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
            let words: Vec<u64> = stat
                .rsplit(')')
                .next()
                .expect("a name")
                .split_whitespace()
                .skip(1)
                .take(3)
                .map(|word| word.parse().expect("a number"))
                .collect();
            (words[1], words[2])
        };
        let (ours, its) = (place(world.daemon_id()), place(daemon));
        assert!(ours.0 != its.0 && ours.1 != its.1, "process group and session: {ours:?} {its:?}");
        let directory = fs_err::read_link(format!("/proc/{daemon}/cwd")).expect("it runs");
        assert_eq!(directory, pm2.home(), "not in a release, which will be removed");

        world.stop();
        assert_eq!((app.live_version().as_str(), pm2.daemon()), ("one", Some(daemon)));
        world.start();
        let second = app.version("two");
        world.deploy("app", &app.repository, &second);
        assert_eq!((app.live_version().as_str(), pm2.daemon()), ("two", Some(daemon)));
    });
}

#[test]
fn a_pm2_daemon_that_is_gone_comes_back_with_what_was_saved() {
    with_app(|world, pm2, app| {
        let first = app.version("one");
        world.start();
        world.deploy("app", &app.repository, &first);
        let script = world.root().join("other.js");
        fs_err::write(&script, "setInterval(() => {}, 1000);").expect("writable");
        pm2.call(&["start", &script.to_string_lossy(), "--name", "other"]);
        pm2.call(&["save"]);
        let daemon = pm2.daemon();
        pm2.call(&["kill"]);
        wait::until("the daemon to be gone", || (pm2.daemon() != daemon).then_some(()));
        let second = app.version("two");
        world.deploy("app", &app.repository, &second);
        assert_eq!(app.live_version(), "two");
        assert_eq!(pm2.names(), ["app-server", "app-ticket-assigner", "other"]);
    });
}

#[test]
fn applications_of_others_are_not_touched_and_their_names_are_theirs() {
    with_app(|world, pm2, app| {
        let script = world.root().join("other.js");
        fs_err::write(&script, "setInterval(() => {}, 1000);").expect("writable");
        pm2.call(&["start", &script.to_string_lossy(), "--name", "other"]);
        let pids = pm2.pids("other");
        let first = app.version("one");
        world.start();
        world.deploy("app", &app.repository, &first);
        let taken = "export const apps = [{ name: 'other', script: 'server/dist/main.js' }];";
        fails(
            world,
            app,
            &app.commit(&[("ecosystem.config.js", taken)]),
            "the name other is taken by an application in",
        );
        assert_eq!(pm2.pids("other"), pids);
    });
}

#[test]
fn a_first_deploy_that_fails_leaves_no_application() {
    with_app(|world, pm2, app| {
        let ill = app.version("is ill");
        world.start();
        world.push(&app.repository, &ill);
        let run = world.ended_run("app", &ill);
        assert_eq!((run.state.as_str(), pm2.names().len()), ("failed", 0), "{run:?}");
        let first = app.version("one");
        world.deploy("app", &app.repository, &first);
        assert_eq!(app.live_version(), "one");
    });
}

#[test]
fn a_daemon_killed_in_the_middle_of_the_switch_leaves_a_whole_release() {
    with_app(|world, pm2, app| {
        let first = app.version("one");
        world.start();
        world.deploy("app", &app.repository, &first);
        let live = fs_err::read_link(world.path_of("app").join("current")).expect("a link");
        let second = app.version("two");
        world.push(&app.repository, &second);
        wait::until("the switch", || {
            let now = fs_err::read_link(world.path_of("app").join("current")).ok()?;
            (now != live).then_some(())
        });
        world.kill();
        let version = app.live_version();
        assert!(["one", "two"].contains(&version.as_str()), "{version}");
        world.start();
        // Taken back, and tried again.
        wait::until("it to be live after all", || (app.live_version() == "two").then_some(()));
        world.settled("app", 2);
        let third = app.version("three");
        world.deploy("app", &app.repository, &third);
        assert_eq!(app.live_version(), "three");
        assert_eq!(pm2.pids("app-server").len(), 2);
    });
}

#[test]
fn one_that_is_killed_from_outside_comes_back_in_what_is_live() {
    with_app(|world, pm2, app| {
        let first = app.version("one");
        world.start();
        world.deploy("app", &app.repository, &first);
        let second = app.version("two");
        world.deploy("app", &app.repository, &second);
        let before = pm2.pids("app-server");
        for pid in &before {
            let pid = i32::try_from(*pid).ok().and_then(Pid::from_raw).expect("a pid");
            rustix::process::kill_process(pid, Signal::KILL).expect("it is the test's");
        }
        wait::until_told("PM2 to start both again", || {
            let now = pm2.pids("app-server");
            (now.len() == 2 && now.iter().all(|pid| *pid != 0 && !before.contains(pid))).then_some(())
        });
        wait::until("it to answer", || std::net::TcpStream::connect(app.address()).ok());
        assert_eq!(app.live_version(), "two");
    });
}

/// What is in the log of the deployment's newest run.
fn log(world: &World) -> String {
    String::from_utf8_lossy(&world.cli(&["logs", "app"]).stdout).into_owned()
}

#[test]
fn what_is_at_work_is_waited_for_before_the_link_moves() {
    with_app(|world, pm2, app| {
        let file =
            |length: u32| with_job(&format!("cron_restart: '0 5 1 1 *', env: {{ JOB_MS: '{length}' }}"));
        let first = app.commit(&[("ecosystem.config.js", &file(600_000))]);
        world.start();
        world.deploy("app", &app.repository, &first);
        pm2.call(&["restart", "app-job"]);
        let live = || fs_err::read_link(world.path_of("app").join("current")).expect("a link");
        let before = live();
        let second = app.commit(&[("ecosystem.config.js", &file(1))]);
        world.push(&app.repository, &second);
        wait::until("the run to wait", || log(world).contains("app-job is at work").then_some(()));
        assert_eq!(live(), before);
        pm2.call(&["stop", "app-job"]);
        assert_eq!(world.ended_run("app", &second).state, "succeeded");
        assert_ne!(live(), before);
    });
}

#[test]
fn what_others_have_saved_is_not_forgotten_by_a_deploy() {
    with_app(|world, pm2, app| {
        let stranger = world.root().join("stranger.js");
        fs_err::write(&stranger, "setInterval(() => {}, 1000);").expect("the world is writable");
        let first = app.version("one");
        world.start();
        world.deploy("app", &app.repository, &first);
        pm2.call(&["start", &stranger.to_string_lossy()]);
        pm2.call(&["save"]);
        pm2.call(&["delete", "stranger"]);
        let saved = || fs_err::read_to_string(pm2.home().join("dump.pm2")).expect("it is saved");
        let second = app.version("two");
        world.deploy("app", &app.repository, &second);
        assert!(log(world).contains("not saved for the next boot: stranger is"), "{}", log(world));
        assert!(saved().contains("\"stranger\"") && saved().contains("app-server"), "{}", saved());

        pm2.call(&["save"]);
        let third = app.version("three");
        world.deploy("app", &app.repository, &third);
        assert!(!log(world).contains("not saved"), "{}", log(world));
    });
}
