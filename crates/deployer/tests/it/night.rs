//! An operator's night: what else can happen to a host. Each fault is told, nothing is lost, and what can heal by itself does.

mod broken_configuration;
mod quiet_faults;

use crate::support::configuration::text;
use crate::support::process::{command, describe, succeed};
use crate::support::repository::Repository;
use crate::support::wait;
use crate::support::world::World;
use rustix::process::Signal;
use serde_json::Value;
use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
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
        assert!(said(&made).contains("there is a new database"), "{}", said(&made));
        wait::until_told("what waited to be deployed", || {
            world.live("site", "index.html").filter(|page| page == "two")
        });
        // One that is there is kept, and that is said.
        let runs = world.settled("site", 1);
        let kept = world.cli(&["migrate", "up", "--new"]);
        assert!(said(&kept).contains("it was kept"), "{}", said(&kept));
        assert_eq!(world.runs("site").len(), runs.len(), "nothing was forgotten");
    });
}

#[test]
fn a_database_that_is_removed_stops_the_daemon_and_what_is_received_waits_for_it() {
    World::run(|world| {
        let repository = live_site(world);
        let aside = world.root().join("record-aside");
        fs_err::create_dir(&aside).expect("writable");
        // All that SQLite has there: what lies beside the database may hold most of it.
        let move_database = |from: &Path, to: &Path| {
            for name in ["record.sqlite-wal", "record.sqlite-shm", "record.sqlite"] {
                if from.join(name).exists() {
                    fs_err::rename(from.join(name), to.join(name)).expect("writable");
                }
            }
        };
        move_database(&world.state(), &aside);
        wait::until("the daemon to stop", || world.has_died().then_some(()));
        let log = world.log();
        assert!(log.contains("ERROR the database") && log.contains("record.sqlite is gone"), "{log}");
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
        // An empty file is no database either.
        fs_err::write(database(world), "").expect("writable");
        database_trouble(world, &["is gone", "lies there now is empty"]);
        fs_err::remove_file(database(world)).expect("it is there");

        move_database(&aside, &world.state());
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
        // Until the daemon has let go of what SQLite made beside it, which has the old mode.
        wait::until("the database to be well", || {
            (database_in(world, &["doctor", "--json"]).0 == "ok").then_some(())
        });
        let run = world.ended_run("site", &second);
        assert_eq!(run.state, "succeeded", "{run:?}");
    });
}

#[test]
fn whoever_reads_the_database_after_its_mode_was_mended_takes_nothing_away_from_the_daemon() {
    World::run(|world| {
        let repository = live_site(world);
        // As a build that runs as the deployer's own user may have it. The next run mends it.
        fs_err::set_permissions(database(world), Permissions::from_mode(0o644)).expect("writable");
        let second = repository.commit(&[("index.html", "two")], "second");
        world.deploy("site", &repository, &second);
        assert_eq!(database(world).metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
        // Who closes a database last removes its journal: without its locks the daemon would count for nobody.
        let script = format!(
            "import sqlite3\nc = sqlite3.connect({:?})\nprint(c.execute('SELECT COUNT(*) FROM runs').fetchone()[0])\nc.close()",
            database(world)
        );
        let mut python = command("python3", world.root());
        assert_eq!(succeed(python.args(["-c", &script])).trim(), "2");
        assert!(world.state().join("record.sqlite-wal").exists(), "the daemon goes on writing to it");
        let third = repository.commit(&[("index.html", "three")], "third");
        world.deploy("site", &repository, &third);
        assert_eq!(world.runs("site").len(), 3, "nothing is forgotten");
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

/// Fills the file system of a directory to its last block: with one large file, then with small ones.
#[track_caller]
fn fill(directory: &Path, bytes_left: u64) {
    fs_err::create_dir_all(directory).expect("writable");
    let mut number = 0;
    for length in [1 << 20, 64 << 10, 4 << 10, 1] {
        loop {
            let free =
                rustix::fs::statvfs(directory).map(|found| found.f_bavail * found.f_frsize).expect("mounted");
            if free <= bytes_left || free - bytes_left < length {
                break;
            }
            number += 1;
            if fs_err::write(
                directory.join(number.to_string()),
                vec![1; usize::try_from(length).expect("small")],
            )
            .is_err()
            {
                break;
            }
        }
    }
}

#[test]
fn a_build_that_fills_the_disk_of_everything_fails_and_the_next_push_is_deployed() {
    World::run(|world| {
        // State and deployments on one file system, as in most installations.
        let disk = world.root().join("disk");
        world.mount_small(&disk, 48 << 20);
        for (place, on_disk) in
            [(world.state(), disk.join("state")), (world.root().join("srv"), disk.join("srv"))]
        {
            fs_err::create_dir(&on_disk).expect("the disk is empty");
            fs_err::remove_dir(&place).expect("nothing was started yet");
            fs_err::os::unix::fs::symlink(&on_disk, &place).expect("writable");
        }
        world.settings.set("runs.disk_free_min", "\"1MiB\"");
        world.settings.set("runs.record_wait", "\"2s\"");
        let repository = world.repository("acme/site");
        let line = "if [ -e broken ]; then cat /dev/zero > fill; i=0; while echo x > small-$i; do i=$((i+1)); done; exit 1; fi";
        world.configure(&[world.deployment("site", &repository).step("build", "compile", line)]);
        let good = repository.commit(&[("index.html", "good")], "good");
        world.start();
        world.deploy("site", &repository, &good);

        let bad = repository.commit(&[("index.html", "bad"), ("broken", "")], "bad");
        world.push(&repository, &bad);
        let run = world.ended_run("site", &bad);
        assert_eq!(run.state, "failed", "{run:?}");
        let cause = run.cause.expect("it says why").to_lowercase();
        assert!(cause.contains("the disk is full") || cause.contains("no space left"), "{cause}");
        let releases = fs_err::read_dir(world.path_of("site").join("releases")).expect("it is there").count();
        assert_eq!(releases, 1, "what filled the disk is gone");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("good"));
        repository.git(&["rm", "-q", "broken"]);
        let next = repository.commit(&[("index.html", "next")], "next");
        world.deploy("site", &repository, &next);
    });
}

#[test]
fn a_daemon_starts_on_a_full_disk_and_goes_on_when_there_is_room() {
    World::run(|world| {
        world.mount_small(&world.state(), 16 << 20);
        world.settings.set("runs.disk_free_min", "\"1MiB\"");
        let repository = live_site(world);
        world.stop();
        let filler = world.state().join("filler");
        fill(&filler, 0);
        world.start();
        assert!(!world.log().contains("panicked"), "{}", world.log());
        let status = world.cli(&["status", "--json"]);
        assert!(
            said(&status).contains("MiB free at") && said(&status).contains("no run starts"),
            "{}",
            said(&status)
        );
        assert_ne!(status.status.code(), Some(0));
        fs_err::remove_dir_all(&filler).expect("it is there");
        let second = repository.commit(&[("index.html", "two")], "second");
        wait::until("a push to be accepted", || {
            (world.deliver(&repository.push_of(&second)).status == 202).then_some(())
        });
        assert_eq!(world.ended_run("site", &second).state, "succeeded");
    });
}

#[test]
fn a_rollback_needs_no_room_and_a_release_that_was_deleted_is_refused_before_anything_is_done() {
    World::run(|world| {
        world.mount_small(&world.path_of("site"), 16 << 20);
        world.settings.set("runs.disk_free_min", "\"4MiB\"");
        let repository = world.repository("acme/site");
        let restarts = world.root().join("restarts");
        let line = format!("echo restarted >> '{}'", restarts.display());
        world.configure(&[world.deployment("site", &repository).step("switch", "restart", &line)]);
        world.start();
        let mut names = Vec::new();
        for page in ["one", "two"] {
            let commit = repository.commit(&[("index.html", page)], page);
            world.deploy("site", &repository, &commit);
            names.push(fs_err::canonicalize(world.path_of("site").join("current")).expect("it is live"));
        }
        fill(&world.path_of("site").join("filler"), 128 << 10);
        let back = world.cli(&["rollback", "site"]);
        assert_eq!(back.status.code(), Some(0), "{}", said(&back));
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));

        fs_err::remove_dir_all(&names[1]).expect("it is not live");
        let before = fs_err::read_to_string(&restarts).expect("it was restarted");
        let name = names[1].file_name().expect("it has a name").to_string_lossy().into_owned();
        let refused = world.cli(&["rollback", "site", "--to", &name]);
        assert_ne!(refused.status.code(), Some(0));
        assert!(said(&refused).contains("was deleted by hand"), "{}", said(&refused));
        let refused = world.cli(&["rollback", "site"]);
        assert_ne!(refused.status.code(), Some(0), "only what is there is offered: {}", said(&refused));
        assert_eq!(
            fs_err::read_to_string(&restarts).expect("it was restarted"),
            before,
            "nothing was restarted for it"
        );
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
    });
}

#[test]
fn a_server_that_the_switch_starts_in_the_background_fails_the_run() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let line = "if [ -e server ]; then setsid sleep 600 >/dev/null 2>&1 & sleep 0.1; fi";
        world.configure(&[world.deployment("site", &repository).step("switch", "start", line)]);
        let good = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &good);
        let bad = repository.commit(&[("index.html", "two"), ("server", "")], "second");
        world.push(&repository, &bad);
        let run = world.ended_run("site", &bad);
        assert_eq!(run.state, "failed", "{run:?}");
        let cause = run.cause.expect("it says why");
        assert!(cause.contains("1 process that it left in the background was ended"), "{cause}");
        assert!(said(&world.cli(&["logs", &run.id])).contains("let a systemd unit keep the server"));
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
    });
}
