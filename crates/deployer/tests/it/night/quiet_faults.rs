//! Faults of a host that nobody was told of, or that went by the wrong order.

use super::{database, live_site, said};
use crate::support::configuration::text;
use crate::support::http::Request;
use crate::support::process::{command, describe, succeed};
use crate::support::repository::Repository;
use crate::support::wait;
use crate::support::world::World;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};

/// What `status` says of a part: its level, and the words.
#[track_caller]
fn part(world: &World, name: &str) -> (String, String) {
    let status = world.status();
    let parts = status["parts"].as_array().expect("a list");
    let found = parts.iter().find(|part| part["name"] == name).unwrap_or_else(|| panic!("{status:#}"));
    let shown = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (shown("level"), format!("{} -> {}", shown("what"), shown("mend")))
}

/// A command that goes on beside the world's daemon.
struct Beside(Child);

impl Beside {
    #[track_caller]
    fn start(world: &World, arguments: &[&str]) -> Self {
        let mut product = world.product(arguments);
        Self(
            product
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the product's binary was built"),
        )
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn one_half_of_the_deployer_that_is_down_is_told_beside_the_other_that_works() {
    World::run(|world| {
        live_site(world);
        world.stop();
        let listen = world.product(&["listen"]);
        assert_eq!(world.launch(listen), None);
        let told = |world: &World, broken: &str, well: &str, hint: &str| {
            let (level, words) = part(world, broken);
            assert_eq!(level, "error", "{broken}: {words}");
            assert!(words.contains(hint) && words.contains("start it"), "{words}");
            assert_eq!(part(world, well).0, "ok");
            for arguments in [["status"], ["doctor"]] {
                let output = world.cli(&arguments);
                assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
                assert!(said(&output).contains(hint), "{}", describe(&output));
            }
        };
        told(world, "worker", "intake", "nobody deploys");
        world.stop();
        let worker = Beside::start(world, &["work"]);
        wait::until_told("the worker to work", || (part(world, "worker").0 == "ok").then_some(()));
        told(world, "intake", "worker", "no daemon listens");
        drop(worker);
    });
}

#[test]
fn what_lies_in_a_spool_and_is_no_entry_is_told_and_left_in_its_place() {
    World::run(|world| {
        let repository = live_site(world);
        let spool = world.spool("main");
        fs_err::write(spool.join("notes.txt"), "by hand").expect("writable");
        fs_err::create_dir(spool.join("kept")).expect("writable");
        fs_err::os::unix::fs::symlink("/etc/passwd", spool.join("link")).expect("writable");
        fs_err::write(spool.join("claimed/left"), "by hand").expect("writable");
        let strays = ["notes.txt", "kept", "link", "claimed/left"];
        // Also what has the name of an entry, and is none.
        let name = "18bc0000000000000-00000000-01a22cb4-a051-767d-bc5f-64d001b75669";
        let _ = fs_err::create_dir(spool.join(name));

        let (level, _) = part(world, "queues");
        assert_eq!(level, "warning");
        let outputs = [["status"], ["doctor"]].map(|arguments| said(&world.cli(&arguments)));
        for (shown, stray) in outputs.iter().flat_map(|shown| strays.map(|stray| (shown, stray))) {
            assert!(
                shown.contains(&format!("{} is no entry of the queue", spool.join(stray).display())),
                "{shown}"
            );
        }
        let second = repository.commit(&[("index.html", "two")], "second");
        world.deploy("site", &repository, &second);
        world.stop();
        world.start();
        wait::until_told("the log to say so", || {
            strays.iter().all(|stray| world.log().contains(&format!("{stray} is no entry"))).then_some(())
        });
        for stray in strays {
            assert!(spool.join(stray).symlink_metadata().is_ok(), "{stray} is left in its place");
        }
    });
}

/// Opens the database, and is the last to close it: -wal and -shm are gone.
#[track_caller]
fn close_last(world: &World) {
    let script = format!(
        "import sqlite3\nc = sqlite3.connect({:?})\nc.execute('SELECT count(*) FROM runs').fetchall()\nc.close()",
        database(world)
    );
    succeed(command("python3", world.root()).args(["-c", &script]));
    for beside in ["record.sqlite-wal", "record.sqlite-shm"] {
        assert!(!world.state().join(beside).exists(), "{beside}");
    }
}

#[test]
fn pages_are_shown_where_a_backup_was_the_last_to_close_a_database_that_the_intake_cannot_write_beside() {
    World::run(|world| {
        let repository = live_site(world);
        world.stop();
        close_last(world);
        // As the intake's unit has it.
        let state = world.state();
        let state = state.display();
        let script = format!(
            "mount --bind {state} {state} && for d in intake spool/main; do mount --bind {state}/$d {state}/$d; done && mount -o remount,ro,bind {state} && exec \"$@\""
        );
        let product = world.product(&["listen"]);
        let mut listen = command("unshare", world.root());
        listen.args(["-m", "sh", "-c", &script, "sh"]).arg(product.get_program()).args(product.get_args());
        listen
            .current_dir(world.root())
            .envs(product.get_envs().filter_map(|(name, value)| Some((name, value?))));
        assert_eq!(world.launch(listen), None, "{}", world.log());
        let shows = |world: &World, run: &str, commit: &str| {
            let page = Request::new("GET", &format!("/runs/{run}")).send(world.address());
            assert_eq!(page.status, 200, "{page:?}");
            let body = String::from_utf8_lossy(&page.body).into_owned();
            assert!(body.contains(&commit[..7]), "{body}");
            assert!(!state_has_journal(world), "the intake makes nothing there");
        };
        let first = world.runs("site").pop().expect("it was deployed");
        close_last(world);
        shows(world, &first.id, &first.commit);
        // Another one, while the intake goes on: what it read before is not what it shows.
        let second = repository.commit(&[("index.html", "two")], "second");
        let deployed = world.cli(&["deploy", "site"]);
        assert_eq!(deployed.status.code(), Some(0), "{}", said(&deployed));
        close_last(world);
        let run = world.runs("site").into_iter().find(|run| run.commit == second).expect("it was deployed");
        close_last(world);
        shows(world, &run.id, &second);
    });
}

fn state_has_journal(world: &World) -> bool {
    world.state().join("record.sqlite-wal").exists()
}

#[test]
fn a_fresh_daemon_logs_nothing_that_looks_like_a_fault() {
    World::run(|world| {
        world.drop_privileges();
        let private = Permissions::from_mode(0o700);
        fs_err::set_permissions(world.state(), private).expect("writable");
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &commit);
        world.stop();
        let log = world.log();
        let faults: Vec<&str> =
            log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).collect();
        // What this machine lacks is said once, and is no fault of the start.
        let faults: Vec<&&str> = faults.iter().filter(|line| !line.contains("Landlock")).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    });
}

/// What is preloaded so that a process sees another time.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

#[test]
fn a_clock_that_is_set_back_changes_no_order() {
    assert!(Path::new(FAKETIME).exists(), "install faketime");
    World::run(|world| {
        let repository = world.repository("acme/site");
        let deployment = world.deployment("site", &repository).with("keep_releases", "2");
        let line = "test ! -e broken || { echo of the broken one; exit 1; }";
        world.configure(&[deployment.step("build", "compile", line)]);
        world.start();
        let deploy = |world: &World, page: &str| {
            let commit = repository.commit(&[("index.html", page)], page);
            world.deploy("site", &repository, &commit);
        };
        deploy(world, "one");
        deploy(world, "two");
        world.stop();
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        world.environment.extend([
            set("LD_PRELOAD", FAKETIME),
            set("FAKETIME", "-2h"),
            set("DONT_FAKE_MONOTONIC", "1"),
        ]);
        world.start();
        deploy(world, "three");
        deploy(world, "four");
        let listed = world.cli(&["runs", "--json"]);
        let listed: Value = serde_json::from_slice(&listed.stdout).expect("runs --json prints JSON");
        let ids: Vec<&str> =
            listed.as_array().into_iter().flatten().filter_map(|run| run["id"].as_str()).collect();
        assert_eq!(ids.len(), 4);
        assert!(ids.windows(2).all(|pair| pair[0] > pair[1]), "newest first: {ids:?}");

        let broken = repository.commit(&[("broken", "")], "broken");
        world.push(&repository, &broken);
        let failed = world.ended_run("site", &broken);
        assert_eq!(failed.state, "failed", "{failed:?}");
        let status = world.status();
        assert_eq!(status["deployments"][0]["last_run"]["id"], Value::from(failed.id.as_str()), "{status:#}");
        assert!(said(&world.cli(&["logs", "site"])).contains("of the broken one"));

        let back = world.cli(&["rollback", "site"]);
        assert_eq!(back.status.code(), Some(0), "{}", said(&back));
        assert_eq!(world.live("site", "index.html").as_deref(), Some("three"), "the one before the live one");
    });
}

#[test]
fn a_directory_whose_name_is_not_utf_8_is_planned_and_deployed() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        commit_latin1(&repository);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &commit);
        let copied =
            world.path_of("site").join("current").join(OsStr::from_bytes(LATIN1)).join("package.json");
        assert_eq!(fs_err::read_to_string(copied).expect("byte for byte"), "{}");
        // Recipes that look into files of that name. What is live already would need no look.
        for recipe in ["\"pnpm-pm2\"", "\"go-static\"", "\"pm2\""] {
            world.configure(&[world.deployment("site", &repository).with("recipe", recipe)]);
            repository.commit(&[("index.html", recipe)], "another one");
            let plan = said(&world.cli(&["plan", "site"]));
            assert!(!plan.contains("does not exist in") && !plan.contains("pkg"), "{recipe}: {plan}");
        }
    });
}

const LATIN1: &[u8] = b"pkg\xe9";

#[track_caller]
fn commit_latin1(repository: &Repository) {
    let directory = repository.work_tree().join(OsStr::from_bytes(LATIN1));
    fs_err::create_dir(&directory).expect("writable");
    for lock in ["package.json", "package-lock.json", "pnpm-lock.yaml"] {
        fs_err::write(directory.join(lock), "{}").expect("writable");
    }
}

#[test]
fn a_switch_without_an_inode_left_leaves_what_is_live_and_says_so() {
    World::run(|world| {
        let path = world.path_of("site");
        fs_err::create_dir_all(&path).expect("writable");
        let small = "size=64m,nr_inodes=4096";
        world.mount(&path, small);
        world.settings.set("runs.disk_free_min", "\"1MiB\"");
        let repository = world.repository("acme/site");
        // As a build leaves it that makes files to the last inode.
        let line = "test ! -e greedy || { i=0; while : 2>/dev/null > f$i; do i=$((i+1)); done; true; }";
        world.configure(&[world.deployment("site", &repository).step("build", "compile", line)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &first);
        let second = repository.commit(&[("index.html", "two"), ("greedy", "")], "second");
        world.push(&repository, &second);
        let run = world.ended_run("site", &second);
        assert_eq!(run.state, "failed", "{run:?}");
        let cause = run.cause.expect("it says why");
        assert!(cause.to_lowercase().contains("no space left") || cause.contains("full"), "{cause}");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        assert_eq!(world.status_of("site").live.expect("current never moved").commit, first);
        let shown = said(&world.cli(&["run", &run.id]));
        assert!(!shown.contains("undoing it failed"), "{shown}");

        repository.git(&["rm", "-q", "greedy"]);
        let third = repository.commit(&[("index.html", "three")], "third");
        world.deploy("site", &repository, &third);
    });
}

#[test]
fn one_directory_has_one_deployment_whatever_it_is_called() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let real = world.path_of("real");
        fs_err::create_dir_all(real.join("inner")).expect("writable");
        let [link, mount] = ["link", "mount"].map(|name| world.root().join(name));
        fs_err::os::unix::fs::symlink(&real, &link).expect("writable");
        world.bind(&real, &mount);
        let check = |world: &World, path: &str| {
            let one = world.deployment("one", &repository).with("path", text(&real.to_string_lossy()));
            let other = world.deployment("other", &repository).with("path", text(path));
            world.configure(&[one, other]);
            let output = world.cli(&["config", "check"]);
            (output.status.code(), said(&output).replace('\n', " "))
        };
        let below = |directory: &Path, name: &str| format!("{}{name}", directory.display());
        for (path, why) in [
            (below(&real, "/"), "is also the path of"),
            (below(&real, "/inner"), "overlaps the path of"),
            (below(&link, ""), "leads through a link or a mount to the path of"),
            (below(&link, "/inner/not-there-yet"), "leads through a link or a mount to the path of"),
            (below(&mount, ""), "leads through a link or a mount to the path of"),
            (below(&mount, "/not-there-yet"), "leads through a link or a mount to the path of"),
            (below(&real, "/../real"), "may not contain `..`"),
            (below(&world.state(), "/site"), "lies in the state directory"),
        ] {
            let (code, said) = check(world, &path);
            assert_eq!(code, Some(1), "{path}: {said}");
            assert!(said.contains(why), "{path}: {why:?} in {said}");
        }
        let (code, said) = check(world, &below(&world.path_of("apart"), ""));
        assert_eq!(code, Some(0), "{said}");
    });
}
