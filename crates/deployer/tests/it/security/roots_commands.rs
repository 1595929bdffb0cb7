//! What root's commands do about an installation whose state is another user's: its owner decides what lies in it, and can look into whatever
//! process runs as that user. Root gives that user neither a terminal nor a file, and works by path in nothing of that user's.

use crate::support::configuration::text;
use crate::support::gate::Gate;
use crate::support::process::{command, describe, output, succeed};
use crate::support::push::Delivery;
use crate::support::repository::Repository;
use crate::support::wait;
use crate::support::world::World;
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// `nobody`, as whom the world's daemon runs.
const NOBODY: u32 = 65534;

/// A state that is nobody's, in a place that is root's.
fn installed(world: &mut World) {
    world.drop_privileges();
    served_once(world);
}

/// There is a record, as a daemon that has run once leaves it.
fn served_once(world: &mut World) -> Repository {
    let repository = world.repository("acme/site");
    repository.commit(&[("index.html", "one")], "first");
    world.configure(&[world.deployment("site", &repository)]);
    world.start();
    world.stop();
    make_way_roots(world);
    repository
}

fn make_way_roots(world: &World) {
    chown(world.root(), Some(0), Some(0)).expect("tests run as root");
    fs_err::set_permissions(world.root(), PermissionsExt::from_mode(0o755)).expect("ours");
    let layer = world.configuration.join("default.toml");
    chown(&layer, Some(0), Some(0)).expect("tests run as root");
    fs_err::set_permissions(&layer, PermissionsExt::from_mode(0o644)).expect("ours");
}

/// As root, and given up where it hangs.
fn by_root(world: &World, words: &[&str]) -> Command {
    let mut command = command("timeout", &world.root().join("home"));
    command.args(["--signal=KILL", "60"]).arg(world.root().join("durhack-deployer"));
    command.arg("--config").arg(&world.configuration).args(words);
    command.current_dir(world.root()).envs(world.environment.iter().cloned());
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

fn said_to_root(world: &World, words: &[&str]) -> Output {
    let said = output(&mut by_root(world, words));
    assert!(said.status.code().is_some_and(|code| code < 100), "{words:?}: {}", describe(&said));
    said
}

/// A file of root's where nobody else gets in.
fn precious(world: &World) -> PathBuf {
    let directory = world.root().join("roots");
    fs_err::create_dir(&directory).expect("writable");
    chown(&directory, Some(0), Some(0)).expect("tests run as root");
    fs_err::set_permissions(&directory, PermissionsExt::from_mode(0o700)).expect("ours");
    let file = directory.join("precious");
    fs_err::write(&file, "root's").expect("writable");
    file
}

/// The journal of a transaction over several databases, of which `file` would be the list: SQLite removes that when it has rolled back.
fn plant_hot_journal(world: &World, file: &Path) {
    const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    const PAGE: u32 = 4096;
    let record = world.state().join("record.sqlite");
    // The one before may still lie there, and this process is root too.
    let _ = fs_err::remove_file(world.state().join("record.sqlite-journal"));
    // A database that keeps a log instead has no journal.
    let python =
        "import sqlite3,sys; d=sqlite3.connect(sys.argv[1]); d.execute('pragma journal_mode=delete')";
    succeed(command("python3", world.root()).args(["-c", python]).arg(&record));
    let pages = u32::try_from(record.metadata().expect("it is there").len()).expect("it is small") / PAGE;
    let name = file.as_os_str().as_encoded_bytes();
    let sum = name.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let length = u32::try_from(name.len()).expect("a path is short");
    let mut journal = MAGIC.to_vec();
    for number in [0, 0, pages, 512, PAGE] {
        journal.extend(u32::to_be_bytes(number));
    }
    journal.resize(512, 0);
    journal.extend((0x4000_0000 / PAGE + 1).to_be_bytes());
    journal.extend(name);
    journal.extend(length.to_be_bytes());
    journal.extend(sum.to_be_bytes());
    journal.extend(MAGIC);
    let path = world.state().join("record.sqlite-journal");
    fs_err::write(&path, journal).expect("writable");
    for path in [&path, &record] {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("tests run as root");
    }
}

#[test]
fn roots_commands_remove_nothing_that_a_journal_beside_the_record_names() {
    World::run(|world| {
        installed(world);
        let file = precious(world);
        for words in [
            &["doctor"][..],
            &["migrate", "status"],
            &["migrate", "up"],
            &["status"],
            &["simulate", "push", "site"],
            &["webhook", "list"],
            &["config", "check"],
        ] {
            plant_hot_journal(world, &file);
            said_to_root(world, words);
            assert!(file.exists(), "{words:?} as root removed a file of root's");
        }
        for entry in crate::support::world::files_under(&world.state()) {
            let owner = entry.symlink_metadata().map_or(NOBODY, |found| found.uid());
            assert_eq!(owner, NOBODY, "{} was left by root", entry.display());
        }
    });
}

#[test]
fn roots_commands_start_no_program_that_lies_where_the_services_user_writes() {
    World::run(|world| {
        world.drop_privileges();
        let tools = world.root().join("srv/tools");
        let ran_as = world.root().join("srv/ran-as");
        fs_err::create_dir_all(&tools).expect("writable");
        for name in ["gh", "no-such-tool-of-this-machine"] {
            let program = tools.join(name);
            fs_err::write(&program, format!("#!/bin/sh\nid -u >> '{}'\nexit 1\n", ran_as.display()))
                .expect("writable");
            fs_err::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("ours");
        }
        world.settings.remove("github.token");
        world.settings.set("executable_search_paths", format!("[{}]", text(&tools.to_string_lossy())));
        let repository = served_once(world);
        let url = repository.clone_url();
        for words in [
            &["doctor"][..],
            &["webhook", "list"],
            &["webhook", "rotate-secret", "acme/site"],
            &["simulate", "push", "site"],
            &["init", &url],
        ] {
            said_to_root(world, words);
            let users = fs_err::read_to_string(&ran_as).unwrap_or_default();
            assert!(users.lines().all(|user| user != "0"), "{words:?} ran it as root: {users}");
        }
        let report = describe(&said_to_root(world, &["doctor"]));
        assert!(report.contains("only nobody has it"), "{report}");
    });
}

#[test]
fn roots_commands_make_and_follow_nothing_in_the_state() {
    World::run(|world| {
        let secret = world.root().join("config/webhook-secret");
        fs_err::write(&secret, "a-secret-of-more-than-thirty-two-bytes-in-a-file\n").expect("writable");
        fs_err::set_permissions(&secret, PermissionsExt::from_mode(0o600)).expect("ours");
        world.settings.remove("webhook_secret_token");
        world.settings.set("webhook_secret_token_file", text(&secret.to_string_lossy()));
        let old = world.root().join("config/webhook-secret.old");
        world.settings.set("webhook_secret_files", format!("[{}]", text(&old.to_string_lossy())));
        fs_err::write(&old, "another-secret-of-more-than-thirty-two-bytes-here\n").expect("writable");
        fs_err::set_permissions(&old, PermissionsExt::from_mode(0o600)).expect("ours");
        installed(world);
        for path in [&secret, &old] {
            chown(path, Some(0), Some(0)).expect("tests run as root");
        }
        let elsewhere = world.root().join("elsewhere");
        fs_err::create_dir(&elsewhere).expect("writable");
        fs_err::remove_dir_all(world.state().join("locks")).expect("writable");
        symlink(&elsewhere, world.state().join("locks")).expect("writable");
        let cancel = world.state().join("cancel");
        let _ = fs_err::remove_dir_all(&cancel);
        let address = world.state().join("intake/listen.address");
        let _ = fs_err::remove_file(&address);
        succeed(command("mkfifo", world.root()).arg(&address));
        chown(&address, Some(NOBODY), Some(NOBODY)).expect("tests run as root");

        for words in
            [&["webhook", "list"][..], &["webhook", "rotate-secret", "acme/site"], &["webhook", "ping"]]
        {
            said_to_root(world, words);
            let made = fs_err::read_dir(&elsewhere).expect("readable").count();
            assert_eq!(made, 0, "{words:?} as root went through a link of nobody's");
            assert!(!cancel.exists(), "{words:?} made a directory of root's in the state");
        }
    });
}

#[test]
fn doctor_waits_for_no_pipe_in_the_place_of_a_lock() {
    World::run(|world| {
        installed(world);
        for name in ["locks/daemon/work.lock", "locks/daemon/listen.lock", "intake/listen.address"] {
            let path = world.state().join(name);
            let _ = fs_err::remove_file(&path);
            succeed(command("mkfifo", world.root()).arg(&path));
            chown(&path, Some(NOBODY), Some(NOBODY)).expect("tests run as root");
        }
        let report = describe(&said_to_root(world, &["doctor"]));
        assert!(report.contains("work.lock") && report.contains("not checked"), "{report}");
        assert!(report.contains("sudo's version"), "{report}");
    });
}

#[test]
fn root_does_not_serve_what_is_another_users() {
    World::run(|world| {
        installed(world);
        for role in ["serve", "work", "listen"] {
            let said = describe(&said_to_root(world, &[role]));
            assert!(said.contains("would run whatever is pushed as root"), "{said}");
            assert!(said.contains("sudo -u nobody durhack-deployer"), "{said}");
        }
    });
}

#[test]
fn root_who_serves_a_state_of_its_own_is_warned() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        repository.commit(&[("index.html", "one")], "first");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let log = world.log();
        assert!(log.contains("WARN") && log.contains("this runs as root"), "{log}");
    });
}

#[test]
fn doctor_has_root_follow_no_link_in_the_place_of_a_secret() {
    World::run(|world| {
        world.drop_privileges();
        let application = world.root().join("srv/app");
        fs_err::create_dir_all(&application).expect("writable");
        let variables = application.join(".env");
        let repository = world.repository("acme/site");
        repository.commit(&[("index.html", "one")], "first");
        let deployment = world.deployment("site", &repository);
        world.configure(&[deployment.with("env_file", text(&variables.to_string_lossy()))]);
        world.start();
        world.stop();
        make_way_roots(world);
        let target = world.root().join("shadow");
        fs_err::write(&target, "root:secret\n").expect("writable");
        fs_err::set_permissions(&target, PermissionsExt::from_mode(0o640)).expect("ours");
        chown(&target, Some(0), Some(42)).expect("tests run as root");
        symlink(&target, &variables).expect("writable");
        chown(&application, Some(23456), Some(23456)).expect("tests run as root");

        let said = describe(&said_to_root(world, &["doctor"]));
        let what = format!(
            "{} is a link to {}, and 23456 can have put it there",
            variables.display(),
            target.display()
        );
        assert!(said.contains(&what), "{said}");
        assert!(!said.contains("chgrp") && !said.contains("chmod 640"), "{said}");

        // A file of root's that the directory's owner can exchange while root mends it.
        fs_err::remove_file(&variables).expect("writable");
        fs_err::write(&variables, "A=b\n").expect("writable");
        fs_err::set_permissions(&variables, PermissionsExt::from_mode(0o644)).expect("ours");
        let said = describe(&said_to_root(world, &["doctor"]));
        assert!(said.contains("is 23456's to change") && !said.contains("chgrp"), "{said}");
    });
}

/// A command of root's in a terminal of its own, as `script` gives one.
struct Terminal {
    script: Child,
}

impl Terminal {
    fn start(world: &World, words: &[&str]) -> Self {
        let inner = by_root(world, words);
        let mut line = vec!["exec".to_owned(), "env".into(), "A_VARIABLE_OF_ROOTS=secret".into()];
        line.extend(inner.get_args().skip(2).map(|word| format!("'{}'", word.to_string_lossy())));
        let mut script = command("script", world.root());
        script.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
        script.current_dir(world.root()).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self { script: script.spawn().expect("script is installed") }
    }

    /// What a person types.
    fn types(&mut self, keys: &[u8]) {
        let input = self.script.stdin.as_mut().expect("it is piped");
        input.write_all(keys).and_then(|()| input.flush()).expect("script reads");
    }
}

/// The processes of the user that do this.
fn processes_of(user: u32, word: &str) -> Vec<PathBuf> {
    let all = fs_err::read_dir("/proc").expect("readable").flatten().map(|entry| entry.path());
    all.filter(|process| process.metadata().is_ok() && user_of(process) == Some(user))
        .filter(|process| {
            let line = fs_err::read(process.join("cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            words.contains(&word.as_bytes())
        })
        .collect()
}

/// The owner of `/proc/PID` is root where the process may not be looked into.
fn user_of(process: &Path) -> Option<u32> {
    let status = fs_err::read_to_string(process.join("status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn who_becomes_the_services_user_for_root_has_no_terminal_of_roots_and_hears_ctrl_c() {
    World::run(|world| {
        world.drop_privileges();
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("srv"));
        let deployment = world.deployment("site", &repository).step("build", "compile", &gate.shell());
        world.configure(&[deployment]);
        world.start();
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.push(&repository, &commit);
        gate.wait_for(&commit);
        make_way_roots(world);

        let mut terminal = Terminal::start(world, &["logs", "site", "--follow"]);
        let process =
            wait::until("the service's user to watch for root", || processes_of(NOBODY, "--follow").pop());
        for descriptor in fs_err::read_dir(process.join("fd")).expect("root reads it").flatten() {
            let target = fs_err::read_link(descriptor.path()).unwrap_or_default();
            let target = target.to_string_lossy().into_owned();
            assert!(!target.contains("pts/") && !target.contains("/dev/tty"), "it has {target}");
        }
        let stat = fs_err::read_to_string(process.join("stat")).expect("readable");
        let fields: Vec<&str> = stat.rsplit(") ").next().expect("it has a state").split(' ').collect();
        let pid = process.file_name().expect("its number").to_string_lossy().into_owned();
        assert_eq!(
            (fields[3], fields[4]),
            (pid.as_str(), "0"),
            "a session of its own, without a terminal: {stat}"
        );
        let variables = fs_err::read(process.join("environ")).expect("root reads it");
        assert!(!String::from_utf8_lossy(&variables).contains("A_VARIABLE_OF_ROOTS"), "root's environment");

        terminal.types(b"\x03");
        let ended = terminal.script.wait().expect("it was started");
        assert!(!ended.success(), "Ctrl-C stops watching: {ended}");
        assert_eq!(processes_of(NOBODY, "--follow"), Vec::<PathBuf>::new(), "nobody watches any more");
        gate.open();
        assert_eq!(world.ended_run("site", &commit).state, "succeeded", "the run goes on");
    });
}

#[test]
fn root_asks_the_questions_of_a_command_that_another_user_carries_out() {
    World::run(|world| {
        world.drop_privileges();
        let repository = world.repository("acme/site");
        repository.commit(&[("index.html", "one")], "first");
        let path = world.path_of("site");
        succeed(command("git", world.root()).args(["clone", "-q", &repository.clone_url()]).arg(&path));
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        make_way_roots(world);
        for (answer, is_done) in [(&b"n\n"[..], false), (b"y\n", true)] {
            let mut terminal = Terminal::start(world, &["adopt", "site"]);
            terminal.types(answer);
            let ended = terminal.script.wait_with_output().expect("it was started");
            assert_eq!(ended.status.success(), is_done, "{}", describe(&ended));
            assert_eq!(path.join("current").exists(), is_done, "{}", describe(&ended));
            assert!(describe(&ended).contains("Adopt it? [y/N]"), "{}", describe(&ended));
        }
    });
}

#[test]
fn what_a_payload_says_is_no_command_for_a_terminal() {
    World::run(|world| {
        world.drop_privileges();
        let repository = world.repository("acme/site");
        repository.commit(&[("index.html", "one")], "first");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let name = "\u{1b}]0;from payload\u{7}\u{1b}[31mred\u{1b}[2J/name";
        let ping = Delivery::of("ping", &json!({ "zen": "x", "repository": { "full_name": name } }));
        let guid = world.accept(&ping);
        let by_owner = wait::until_told("the ping to be explained", || {
            let said = world.cli(&["explain", &guid]);
            said.status.success().then_some(said)
        });
        make_way_roots(world);
        for said in [by_owner, said_to_root(world, &["explain", &guid])] {
            let shown = describe(&said);
            assert!(shown.contains("red/name"), "{shown}");
            assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
        }
    });
}
