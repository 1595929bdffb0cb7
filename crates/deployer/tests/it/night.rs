//! An operator's night: what else can happen to a host. Each fault is told, nothing is lost, and what can heal by itself does.

use crate::support::configuration::text;
use crate::support::process::{command, describe};
use crate::support::repository::Repository;
use crate::support::wait;
use crate::support::world::World;
use rustix::process::Signal;
use serde_json::Value;
use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Output, Stdio};

/// A world whose one deployment, `site`, is live.
#[track_caller]
fn live_site(world: &mut World) -> Repository {
    let repository = world.repository("acme/site");
    world.configure(&[world.deployment("site", &repository)]);
    let commit = repository.commit(&[("index.html", "one")], "first");
    world.start();
    world.deploy("site", &repository, &commit);
    repository
}

#[track_caller]
fn said(output: &Output) -> String {
    describe(output)
}

/// What `status` or `doctor` says of the database: its level, and the words with what to do.
#[track_caller]
fn database_in(world: &World, arguments: &[&str]) -> (String, String) {
    let output = world.cli(arguments);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", describe(&output)));
    let lines = report["parts"].as_array().or(report["findings"].as_array()).expect("a list");
    let is_it = |line: &&Value| line["name"] == "database" || line["check"] == "record";
    let found = lines.iter().find(is_it).unwrap_or_else(|| panic!("{report:#}"));
    let shown = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (shown("level"), format!("{} -> {}", shown("what"), shown("mend")))
}

/// `status` and `doctor` both name it as an error, with all of these words.
#[track_caller]
fn database_trouble(world: &World, words: &[&str]) {
    for arguments in [["status", "--json"], ["doctor", "--json"]] {
        let (level, shown) = database_in(world, &arguments);
        assert_eq!(level, "error", "{arguments:?}: {shown}");
        for word in words {
            assert!(shown.contains(word), "{arguments:?}: {word:?} in {shown}");
        }
        assert_eq!(world.cli(&arguments).status.code().map(|code| code > 0), Some(true));
    }
}

fn database(world: &World) -> PathBuf {
    world.state().join("record.sqlite")
}

#[test]
fn nobody_deploys_beside_a_worker_that_has_another_state_directory() {
    World::run(|world| {
        let repository = live_site(world);
        let next = repository.commit(&[("index.html", "two")], "second");
        let other = world.root().join("other-state");
        fs_err::create_dir(&other).expect("writable");
        world.settings.set("state_directory", text(&other.to_string_lossy()));
        world.configure(&[world.deployment("site", &repository)]);
        for arguments in [&["deploy", "site", "--force"][..], &["rollback", "site"]] {
            let refused = world.cli(arguments);
            let said = said(&refused);
            assert_eq!(refused.status.code(), Some(4), "{said}");
            let pid = world.daemon_id().to_string();
            let state = world.state().to_string_lossy().into_owned();
            let named = ["another durhack-deployer works on", &pid, &state, "hint: stop"];
            assert!(named.iter().all(|word| said.contains(word)), "{named:?}: {said}");
        }
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        // Nothing of it was queued either: a daemon there finds nothing to do.
        world.stop();
        let deployed = world.cli(&["deploy", "site"]);
        assert_eq!(deployed.status.code(), Some(0), "{}", said(&deployed));
        assert_eq!(world.live("site", "index.html").as_deref(), Some("two"), "{next}");
        assert_eq!(world.runs("site").len(), 1, "the one that was asked for last");
    });
}

#[test]
fn a_state_directory_that_is_moved_away_stops_the_daemon_and_is_not_made_anew() {
    World::run(|world| {
        let repository = live_site(world);
        let aside = world.root().join("state-aside");
        // As it is before the daemon looks again.
        world.signal(Signal::STOP);
        fs_err::rename(world.state(), &aside).expect("writable");
        let second = repository.commit(&[("index.html", "two")], "second");
        for arguments in [&["deploy", "site"][..], &["status"], &["runs"], &["migrate", "up"]] {
            let refused = world.cli(arguments);
            let said = said(&refused);
            assert_eq!(refused.status.code(), Some(4), "{arguments:?}: {said}");
            assert!(said.contains("holds nothing now") && said.contains("migrate up --new"), "{said}");
        }
        assert!(!world.state().exists(), "nothing was made in its place");
        world.signal(Signal::CONT);
        wait::until("the daemon to stop", || world.has_died().then_some(()));
        let log = world.log();
        assert!(log.contains("ERROR the state directory") && log.contains("is gone"), "{log}");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));

        // As its message says.
        fs_err::rename(&aside, world.state()).expect("writable");
        world.start();
        world.deploy("site", &repository, &second);
        assert_eq!(world.runs("site").len(), 2, "nothing is forgotten");
    });
}

#[test]
fn a_state_directory_that_is_replaced_stops_the_daemon_and_a_new_one_waits_for_the_old() {
    World::run(|world| {
        let repository = live_site(world);
        let aside = world.root().join("state-aside");
        fs_err::rename(world.state(), &aside).expect("writable");
        fs_err::create_dir(world.state()).expect("writable");
        wait::until("the daemon to stop", || world.has_died().then_some(()));
        assert!(world.log().contains("was replaced by another one"), "{}", world.log());

        // It receives, and begins nothing before it knows what was.
        world.start();
        let second = repository.commit(&[("index.html", "two")], "second");
        world.push(&repository, &second);
        wait::until("the trouble to be told", || {
            world.log().contains("which holds nothing now").then_some(())
        });
        database_trouble(world, &["is gone", "holds nothing now", "migrate up --new"]);
        assert!(!database(world).exists(), "no empty database was made");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));

        // What it held may be forgotten.
        let made = world.cli(&["migrate", "up", "--new"]);
        assert_eq!(made.status.code(), Some(0), "{}", said(&made));
        wait::until_told("what waited to be deployed", || {
            world.live("site", "index.html").filter(|page| page == "two")
        });
    });
}

#[test]
fn a_database_that_is_removed_stops_the_daemon_and_what_is_received_waits_for_it() {
    World::run(|world| {
        let repository = live_site(world);
        let aside = world.root().join("record-aside");
        world.stop();
        world.start();
        fs_err::rename(database(world), &aside).expect("writable");
        wait::until("the daemon to stop", || world.has_died().then_some(()));
        let log = world.log();
        assert!(log.contains("ERROR the database") && log.contains("record.sqlite is gone"), "{log}");
        for left in ["record.sqlite-wal", "record.sqlite-shm"] {
            let _ = fs_err::remove_file(world.state().join(left));
        }
        let refused = world.cli(&["deploy", "site"]);
        assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
        assert!(said(&refused).contains("there is no such file any more"), "{}", said(&refused));

        world.start();
        let second = repository.commit(&[("index.html", "two")], "second");
        world.push(&repository, &second);
        wait::until("the trouble to be told", || {
            world.log().contains("there is no such file any more").then_some(())
        });
        database_trouble(world, &["is gone", "backup"]);
        assert!(!database(world).exists(), "no empty database was made");

        fs_err::rename(&aside, database(world)).expect("writable");
        let run = world.ended_run("site", &second);
        assert_eq!(run.state, "succeeded", "{run:?}");
        assert_eq!(world.runs("site").len(), 2, "nothing is forgotten");
    });
}

#[test]
fn a_database_that_cannot_be_written_to_is_told_and_the_worker_goes_on_when_it_can() {
    World::run(|world| {
        world.drop_privileges();
        let repository = live_site(world);
        let second = repository.commit(&[("index.html", "two")], "second");
        world.stop();
        let file = database(world);
        let mode =
            |mode: u32| fs_err::set_permissions(&file, Permissions::from_mode(mode)).expect("writable");
        mode(0o400);
        world.start();
        world.push(&repository, &second);
        wait::until("the trouble to be told", || world.log().contains("readonly database").then_some(()));
        let (level, shown) = database_in(world, &["doctor", "--json"]);
        assert_eq!(level, "error", "{shown}");
        assert!(shown.contains("readonly database") && shown.contains("writable for the service"), "{shown}");
        mode(0o600);
        let run = world.ended_run("site", &second);
        assert_eq!(run.state, "succeeded", "{run:?}");
        assert_eq!(database_in(world, &["doctor", "--json"]).0, "ok");
    });
}

#[test]
fn a_database_that_another_process_keeps_is_told_with_who_it_is() {
    World::run(|world| {
        let repository = live_site(world);
        let script = format!(
            "import sqlite3, sys\nc = sqlite3.connect({:?}, isolation_level=None)\nc.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\nsys.stdin.read()",
            database(world)
        );
        let mut python = command("python3", world.root());
        let mut python = python
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("installed");
        let mut line = String::new();
        BufReader::new(python.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        assert_eq!(line.trim(), "held");
        let second = repository.commit(&[("index.html", "two")], "second");
        world.push(&repository, &second);
        database_trouble(
            world,
            &["locked", &format!("process {} (python3", python.id()), "end that process"],
        );
        wait::until("the trouble to be told", || world.log().contains("holds it").then_some(()));
        drop(python.stdin.take());
        assert!(python.wait().expect("it is our child").success());
        let run = world.ended_run("site", &second);
        assert_eq!(run.state, "succeeded", "{run:?}");
    });
}

#[test]
fn migrations_are_taken_back_without_a_daemon_after_a_question_and_with_a_backup() {
    World::run(|world| {
        live_site(world);
        let refused = world.cli(&["migrate", "down", "--steps", "5", "--yes"]);
        assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
        assert!(said(&refused).contains("a daemon runs"), "{}", said(&refused));
        world.stop();
        let asked = world.cli(&["migrate", "down", "--steps", "99"]);
        assert_eq!(asked.status.code(), Some(1), "{}", said(&asked));
        assert!(said(&asked).contains("nobody is there to be asked"), "{}", said(&asked));
        assert_eq!(world.runs("site").len(), 1, "nothing was taken back");

        let before = fs_err::read(database(world)).expect("it is there");
        let done = world.cli(&["migrate", "down", "--steps", "99", "--yes"]);
        let shown = said(&done);
        assert_eq!(done.status.code(), Some(0), "{shown}");
        let backup =
            shown.lines().find_map(|line| line.split_once("as it was is in ")).expect("it is named").1;
        assert!(fs_err::metadata(backup).expect("it is there").len() > 0, "{}", before.len());
        // Nothing is there any more, which was asked for; the backup brings it back.
        assert!(world.runs("site").is_empty());
        for left in ["-wal", "-shm"] {
            let _ = fs_err::remove_file(world.state().join(format!("record.sqlite{left}")));
        }
        fs_err::copy(backup, database(world)).expect("writable");
        assert_eq!(world.runs("site").len(), 1);
    });
}
