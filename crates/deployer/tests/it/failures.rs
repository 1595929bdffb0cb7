//! Whatever goes wrong: the old release serves, the commit says why, and the next push works.

use crate::support::configuration::{Deployment, text};
use crate::support::gate::Gate;
use crate::support::postgres::Postgres;
use crate::support::process::living_in;
use crate::support::push::Delivery;
use crate::support::record::Run;
use crate::support::repository::Repository;
use crate::support::site::Site;
use crate::support::wait;
use crate::support::world::{World, files_under};
use std::io::Write as _;

/// What the log of a run may take on disk, whatever its steps print.
const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Deploys a good commit, then one that holds the file `broken`, then a good one again, and requires of
/// the middle one what every failure must leave behind. Gives its run.
#[track_caller]
fn survives(world: &mut World, deployment: Deployment, repository: &Repository, cause: &[&str]) -> Run {
    let site = Site::serve(world.path_of("site").join("current"));
    let health = format!(
        "[{{ http = {}, attempts = 2, interval = \"1s\" }}]",
        text(&format!("{}/index.html", site.url()))
    );
    world.configure(&[deployment.with("health", health)]);
    let good = repository.commit(&[("index.html", "good")], "good");
    world.start();
    world.deploy("site", repository, &good);
    let release = fs_err::read_link(world.path_of("site").join("current")).expect("current is a link");

    let bad = repository.commit(&[("index.html", "bad"), ("broken", "")], "bad");
    let guid = world.push(repository, &bad);
    let run = world.ended_run("site", &bad);

    assert!(["failed", "undone"].contains(&run.state.as_str()), "{run:?}");
    assert_eq!(site.page(), "good", "the old release serves");
    assert_eq!(fs_err::read_link(world.path_of("site").join("current")).expect("current is a link"), release);
    assert_eq!(world.status_of("site").live.expect("something is live").commit, good);
    world.wait_for_verdict(&guid, "failed");
    let status = world.reported(repository, &bad);
    assert!(["failure", "error"].contains(&status.state.as_str()), "{status:?}");
    let said = status.description.to_lowercase();
    assert!(cause.iter().any(|word| said.contains(word)), "{cause:?} in {said:?}");
    assert!(run.cause.is_some() && run.summary.is_some(), "{run:?}");
    wait::until("nothing of the run to be left", || {
        let daemon = format!("{}:", world.daemon_id());
        living_in(world.root()).iter().all(|line| line.starts_with(&daemon)).then_some(())
    });

    repository.git(&["rm", "-q", "broken"]);
    let next = repository.commit(&[("index.html", "next")], "next");
    world.deploy("site", repository, &next);
    assert_eq!(site.page(), "next", "the next push works");
    run
}

/// A world with one repository; the deployment under test is made of its configuration.
fn with_site(test: impl FnOnce(&mut World, &Repository, Deployment)) {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let deployment = world.deployment("site", &repository);
        test(world, &repository, deployment);
    });
}

#[test]
fn the_build_fails() {
    with_site(|world, repository, deployment| {
        let line = "if [ -e broken ]; then echo no such module >&2; exit 3; fi";
        let run = survives(world, deployment.step("build", "compile", line), repository, &["compile"]);

        let steps = world.run_page(&run.id).steps;
        let failed = steps.iter().find(|step| step.state == "failed").expect("a step failed");
        assert_eq!((failed.name.as_str(), failed.phase.as_str()), ("compile", "build"));
        assert!(failed.cause.as_ref().is_some_and(|cause| cause.contains('3')), "{failed:?}");
        assert!(
            failed.command.as_ref().is_some_and(|command| command.contains("no such module")),
            "{failed:?}"
        );
        assert!(steps.iter().map(|step| step.number).is_sorted(), "{steps:?}");
        let log = world.cli(&["logs", &run.id]);
        assert!(String::from_utf8_lossy(&log.stdout).contains("no such module"), "{log:?}");
    });
}

#[test]
fn of_many_failures_the_last_one_is_kept_as_evidence() {
    with_site(|world, repository, deployment| {
        world.configure(&[deployment.step("build", "make", "test ! -e broken")]);
        world.start();
        let good = repository.commit(&[("index.html", "good")], "good");
        world.deploy("site", repository, &good);
        let mut last = String::new();
        for number in 0..3 {
            last = repository.commit(&[("broken", &number.to_string())], "broken");
            world.push(repository, &last);
            assert_eq!(world.ended_run("site", &last).state, "failed");
        }
        let releases = fs_err::read_dir(world.path_of("site").join("releases")).expect("it is there");
        let names = releases.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned());
        let mut failed: Vec<String> = names.filter(|name| !name.ends_with(&good[..7])).collect();
        assert!(
            failed.pop().is_some_and(|name| name.ends_with(&last[..7])) && failed.is_empty(),
            "{failed:?}"
        );
    });
}

#[test]
fn a_step_dies_of_a_signal() {
    with_site(|world, repository, deployment| {
        let line = "if [ -e broken ]; then kill -SEGV $$; fi";
        survives(
            world,
            deployment.step("build", "compile", line),
            repository,
            &["signal", "sigsegv", "segv"],
        );
    });
}

#[test]
fn a_program_is_missing() {
    with_site(|world, repository, deployment| {
        let line = "if [ -e broken ]; then exec no-such-program-anywhere; fi";
        survives(world, deployment.step("install", "dependencies", line), repository, &["dependencies"]);
    });
}

#[test]
fn the_health_check_fails() {
    // The site answers 500 while the release holds the file.
    with_site(|world, repository, deployment| {
        let run = survives(world, deployment, repository, &["health", "500"]);
        let undone =
            world.run_page(&run.id).steps.into_iter().filter(|step| step.direction == "undo").count();
        assert!(undone > 0, "what was switched was switched back, in the database");
    });
}

#[test]
fn a_command_of_the_switch_fails() {
    with_site(|world, repository, deployment| {
        let line = "if [ -e broken ]; then exit 7; fi";
        survives(world, deployment.step("switch", "restart", line), repository, &["restart", "switch"]);
    });
}

#[test]
fn the_migration_fails() {
    with_site(|world, repository, deployment| {
        let line = "if [ -e broken ]; then exit 1; fi";
        survives(world, deployment.step("migrate", "schema", line), repository, &["schema", "migrate"]);
    });
}

#[test]
fn a_step_hangs() {
    with_site(|world, repository, deployment| {
        // Deaf to TERM: only KILL ends it.
        let line = "if [ -e broken ]; then trap '' TERM; while :; do sleep 1; done; fi";
        let deployment = deployment.with("step_timeout", "\"2s\"").step("build", "compile", line);
        survives(
            world,
            deployment,
            repository,
            &["timed out", "deadline", "time limit", "longer than", "timeout"],
        );
    });
}

#[test]
fn a_run_takes_too_long() {
    with_site(|world, repository, deployment| {
        let line = "if [ -e broken ]; then sleep 600; fi";
        let deployment = deployment.with("timeout", "\"3s\"").step("build", "compile", line);
        survives(
            world,
            deployment,
            repository,
            &["timed out", "deadline", "time limit", "longer than", "timeout"],
        );
    });
}

#[test]
fn a_step_leaves_a_daemon_behind() {
    with_site(|world, repository, deployment| {
        let line = "if [ -e broken ]; then setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.1; done' \
                    >/dev/null 2>&1 & sleep 0.2; exit 4; fi";
        survives(world, deployment.step("build", "compile", line), repository, &["compile"]);
    });
}

#[test]
fn a_step_that_succeeds_leaves_no_daemon_either() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let line = "(setsid sh -c 'while :; do sleep 0.1; done' &) ; (sleep 600 &) ; exit 0";
        world.configure(&[world.deployment("site", &repository).step("build", "compile", line)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &commit);
        let daemon = format!("{}:", world.daemon_id());
        wait::until("nothing of the run to be left", || {
            living_in(world.root()).iter().all(|line| line.starts_with(&daemon)).then_some(())
        });
    });
}

#[test]
fn a_step_floods_its_output() {
    for line in [
        "if [ -e broken ]; then yes 'a line of output' | head -c 1000000000; fi",
        "if [ -e broken ]; then head -c 1000000000 /dev/zero | tr '\\0' x; fi",
    ] {
        with_site(|world, repository, deployment| {
            survives(world, deployment.step("build", "compile", line), repository, &["output"]);
            let kept: u64 = files_under(&world.state())
                .iter()
                .filter_map(|path| fs_err::symlink_metadata(path).ok())
                .filter(|metadata| metadata.is_file())
                .map(|metadata| metadata.len())
                .sum();
            assert!(kept < LOG_BYTES_MAX, "{kept} bytes were kept");
        });
    }
}

/// The words with which a full disk may be named.
const DISK_FULL: [&str; 3] = ["disk", "no space", "space left"];

#[test]
fn the_disk_fills_while_building() {
    with_site(|world, repository, deployment| {
        world.mount_small(&world.path_of("site"), 16 * 1024 * 1024);
        world.settings.set("runs.disk_free_min", "\"1MiB\"");
        let line = "if [ -e broken ]; then head -c 64000000 /dev/zero > big || exit 1; fi";
        survives(
            world,
            deployment.step("build", "compile", line),
            repository,
            &["compile", "disk", "no space"],
        );
    });
}

#[test]
fn the_disk_is_too_full_for_the_release() {
    with_site(|world, repository, deployment| {
        world.mount_small(&world.path_of("site"), 8 * 1024 * 1024);
        world.settings.set("runs.disk_free_min", "\"1MiB\"");
        let big = "x".repeat(12_000_000);
        // `survives` commits and removes the file that makes the commit bad; this makes it too big as well.
        world.configure(std::slice::from_ref(&deployment));
        let good = repository.commit(&[("index.html", "good")], "good");
        world.start();
        world.deploy("site", repository, &good);

        let bad = repository.commit(&[("big", &big)], "bad");
        world.push(repository, &bad);
        assert_eq!(world.ended_run("site", &bad).state, "failed");
        let said = world.reported(repository, &bad).description.to_lowercase();
        assert!(DISK_FULL.iter().any(|word| said.contains(word)), "{said:?}");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("good"));

        repository.git(&["rm", "-q", "big"]);
        let next = repository.commit(&[("index.html", "next")], "next");
        world.deploy("site", repository, &next);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("next"));
    });
}

#[test]
fn too_little_disk_is_noticed_before_anything_starts() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.mount_small(&world.path_of("site"), 4 * 1024 * 1024);
        world.settings.set("runs.disk_free_min", "\"16MiB\"");
        let gate = Gate::new(&world.root().join("gate"));
        gate.open();
        world.configure(&[world.deployment("site", &repository).step("install", "first", &gate.shell())]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &commit);

        assert_eq!(world.ended_run("site", &commit).state, "failed");
        let said = world.reported(&repository, &commit).description.to_lowercase();
        assert!(DISK_FULL.iter().any(|word| said.contains(word)), "{said:?}");
        assert!(gate.arrivals().is_empty(), "no command was started");
    });
}

#[test]
fn a_full_spool_disk_refuses_and_recovers() {
    World::run(|world| {
        let disk = world.root().join("full");
        world.mount_small(&disk, 8 * 1024 * 1024);
        world.settings.set("state_directory", text(&disk.join("state").to_string_lossy()));
        // The daemon writes its address into the state directory, where the world looks for it.
        fs_err::create_dir(disk.join("state")).expect("the disk is empty");
        fs_err::remove_dir(world.state()).expect("nothing was started yet");
        fs_err::os::unix::fs::symlink(disk.join("state"), world.state()).expect("the world is writable");
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();

        // Again and again: a daemon that has just started gives back room of its own, such as its database's journal.
        let filler = disk.join("filler");
        let refused = wait::until("a delivery to be refused", || {
            let mut file = fs_err::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&filler)
                .expect("the disk is there");
            while file.write_all(&[0; 4096]).is_ok() {}
            let answer = world.deliver(&Delivery::ping("acme/site"));
            (answer.status != 202).then_some(answer)
        });
        assert_eq!(refused.status, 503, "{refused:?}");
        assert_eq!(refused.json()["status"], 503);

        fs_err::remove_file(&filler).expect("it was written in part");
        wait::until("deliveries to be accepted again", || {
            let ping = Delivery::ping("acme/site");
            (world.deliver(&ping).status == 202).then_some(())
        });
    });
}

#[test]
fn the_commit_cannot_be_fetched() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let missing = world.root().join("nowhere.git");
        let url = text(&format!("file://{}", missing.display()));
        world.configure(&[world.deployment("site", &repository).with("clone_url", url)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &commit);
        let status = world.reported(&repository, &commit);
        assert!(["failure", "error"].contains(&status.state.as_str()), "{status:?}");
        assert!(status.description.to_lowercase().contains("fetch"), "{status:?}");
        assert_eq!(world.live("site", "index.html"), None);
    });
}

#[test]
fn the_database_is_gone_for_longer_than_a_run_waits() {
    let postgres = Postgres::start().expect("PostgreSQL is installed");
    World::run(|world| {
        world.settings.set("database_url", text(&postgres.create_database("durhack")));
        world.settings.set("runs.record_wait", "\"2s\"");
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        let line = format!("if [ -e broken ]; then {}; fi", gate.shell());
        world.configure(&[world.deployment("site", &repository).step("build", "compile", &line)]);
        let good = repository.commit(&[("index.html", "good")], "good");
        world.start();
        world.deploy("site", &repository, &good);

        let bad = repository.commit(&[("index.html", "bad"), ("broken", "")], "bad");
        world.push(&repository, &bad);
        gate.wait_for(&bad);
        postgres.stop();
        gate.open();
        wait::until("the run to be given up", || {
            let log = world.log().to_lowercase();
            (log.contains("gave up") || log.contains("given up")).then_some(())
        });
        assert_eq!(world.live("site", "index.html").as_deref(), Some("good"));
        postgres.start_again();

        let run = world.ended_run("site", &bad);
        assert!(["failed", "undone"].contains(&run.state.as_str()), "{run:?}");
        let said = world.reported(&repository, &bad).description.to_lowercase();
        assert!(["database", "record"].iter().any(|word| said.contains(word)), "{said:?}");

        repository.git(&["rm", "-q", "broken"]);
        let next = repository.commit(&[("index.html", "next")], "next");
        world.deploy("site", &repository, &next);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("next"));
    });
}

#[test]
fn a_failed_run_shows_the_line_that_says_why_and_those_around_it_and_a_good_one_none() {
    with_site(|world, repository, deployment| {
        let script = "echo compiling; echo 'src/main.ts(1,7): error TS2322: no'; echo done; test ! -e fails";
        world.configure(&[deployment.step("build", "build", script)]);
        world.start();
        let shown = |world: &World, commit: &str| {
            let id = world.ended_run("site", commit).id;
            String::from_utf8_lossy(&world.cli(&["run", &id]).stdout).into_owned()
        };
        let good = repository.commit(&[("a", "1")], "good");
        world.deploy("site", repository, &good);
        assert!(!shown(world, &good).contains("TS2322: no\n"), "{}", shown(world, &good));
        let bad = repository.commit(&[("fails", "")], "bad");
        world.push(repository, &bad);
        let shown = shown(world, &bad);
        let lines = ["  compiling\n", "> src/main.ts(1,7): error TS2322: no\n", "  done\n"];
        assert!(lines.iter().all(|line| shown.contains(line)), "{shown}");
    });
}
