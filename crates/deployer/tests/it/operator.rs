//! What an operator asks for and writes: commands, hooks, checks, environments.

use crate::support::configuration::text;
use crate::support::gate::Gate;
use crate::support::process::{command, describe, living_in, output};
use crate::support::push::Delivery;
use crate::support::wait;
use crate::support::world::World;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", describe(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn cancel_stops_a_run_and_leaves_nothing_of_it() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        let wait_in_second = format!("[ -z \"$DEPLOYER_PREVIOUS_COMMIT\" ] || {{ {}; }}", gate.shell());
        world.configure(&[world.deployment("site", &repository).step("build", "wait", &wait_in_second)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &first);
        let second = repository.commit(&[("index.html", "two")], "second");
        let delivery = repository.push_of(&second);
        let guid = world.accept(&delivery);
        gate.wait_for(&second);

        said(&world.cli(&["cancel", "site"]));
        let run = world.ended_run("site", &second);
        assert_eq!(run.state, "cancelled", "{run:?}");
        world.wait_for_verdict(&guid, "cancelled");
        assert_eq!(world.reported(&repository, &second).state, "error");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        let daemon = format!("{}:", world.daemon_id());
        wait::until("the step to be gone", || {
            living_in(world.root()).iter().all(|line| line.starts_with(&daemon)).then_some(())
        });
        let again = world.cli(&["cancel", "site"]);
        assert!(
            String::from_utf8_lossy(&again.stderr).contains("nothing of site is running"),
            "{}",
            describe(&again)
        );
    });
}

// Whoever has captured a delivery can send it again, byte for byte: what an operator has stopped stays stopped.
#[test]
fn a_delivery_that_comes_again_does_not_take_back_a_cancel() {
    for queue in ["latest", "all"] {
        World::run(|world| {
            let repository = world.repository("acme/site");
            let gate = Gate::new(&world.root().join("gate"));
            let deployment = world.deployment("site", &repository).step("build", "wait", &gate.shell());
            world.configure(&[deployment.with("queue", text(queue))]);
            let commit = repository.commit(&[("index.html", "one")], "first");
            world.start();
            let delivery = repository.push_of(&commit);
            world.accept(&delivery);
            gate.wait_for(&commit);
            said(&world.cli(&["cancel", "site"]));
            assert_eq!(world.ended_run("site", &commit).state, "cancelled");
            world.wait_for_verdict(&delivery.guid, "cancelled");

            for _ in 0..2 {
                world.accept(&delivery);
                let after = world.accept(&Delivery::ping("acme/site"));
                world.wait_for_verdict(&after, "ping");
            }
            assert_eq!(world.settled("site", 1).len(), 1);
            let explained = said(&world.cli(&["explain", &delivery.guid]));
            assert!(explained.contains("`durhack-deployer deploy site`"), "{explained}");
            // As it says.
            gate.open();
            said(&world.cli(&["deploy", "site"]));
            assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        });
    }
}

/// Nginx is another user. A daemon that runs does it by its unit's umask; without one, the command does it.
#[test]
fn what_is_deployed_from_a_terminal_with_a_strict_umask_is_for_everybody_to_read() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let build = "mkdir made && echo one > made/page";
        world.configure(&[world.deployment("site", &repository).step("build", "compile", build)]);
        repository.commit(&[("index.html", "one")], "first");
        let deploy = world.product(&["deploy", "site"]);
        let mut typed = command("sh", world.root());
        typed.envs(deploy.get_envs().filter_map(|(name, value)| Some((name, value?))));
        typed.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(deploy.get_program()).args(deploy.get_args());
        said(&output(typed.current_dir(world.root())));
        let path = world.path_of("site");
        for (file, mode) in [
            ("", 0o755),
            ("releases", 0o755),
            ("current/", 0o755),
            ("current/index.html", 0o644),
            ("current/made", 0o755),
            ("current/made/page", 0o644),
        ] {
            let found = fs_err::metadata(path.join(file)).expect("it was deployed").permissions().mode();
            assert_eq!(format!("{:o}", found & 0o777), format!("{mode:o}"), "{file}");
        }
    });
}

#[test]
fn hooks_run_around_their_phases_and_after_a_failure() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let heard = world.root().join("heard");
        let hear = |what: &str| format!("echo {what} >> '{}'", heard.display());
        let hook = |what: &str| text(&hear(what));
        let hooks = format!(
            "{{ after_fetch = {}, before_build = {}, after_build = [{{ shell = {} }}], after_switch = {}, on_failure = {} }}",
            hook("after-fetch"),
            hook("before-build"),
            hook("after-build"),
            hook("after-switch"),
            hook("\"failed: $DEPLOYER_CAUSE\""),
        );
        let deployment = world.deployment("site", &repository).with("hooks", hooks);
        let deployment = deployment.step("build", "compile", &hear("build"));
        world.configure(&[deployment.step(
            "switch",
            "restart",
            &format!("{}; test ! -e broken", hear("switch")),
        )]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &first);
        let whole = "after-fetch\nbefore-build\nbuild\nafter-build\nswitch\nafter-switch\n";
        assert_eq!(fs_err::read_to_string(&heard).expect("they ran"), whole);

        fs_err::write(&heard, "").expect("the world is writable");
        let second = repository.commit(&[("broken", "")], "second");
        world.push(&repository, &second);
        let run = world.ended_run("site", &second);
        let heard = fs_err::read_to_string(&heard).expect("they ran");
        assert!(heard.starts_with("after-fetch\nbefore-build\nbuild\nafter-build\nswitch\n"), "{heard}");
        assert!(!heard.contains("after-switch"), "{heard}");
        let last = heard.lines().last().expect("there are lines");
        assert_eq!(last, format!("failed: {}", run.cause.expect("it failed")), "{heard}");
    });
}

#[test]
fn a_port_and_a_command_can_be_what_health_is() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let health = format!(
            "[{{ tcp = {}, attempts = 2, interval = \"100ms\" }}, {{ command = [\"test\", \"!\", \"-e\", \"ill\"], attempts = 1 }}]",
            text(&address)
        );
        world.configure(&[world.deployment("site", &repository).with("health", health)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &first);

        let ill = repository.commit(&[("ill", "")], "ill");
        world.push(&repository, &ill);
        let run = world.ended_run("site", &ill);
        assert_eq!(
            (run.state.as_str(), run.summary.as_deref().map(|it| it.contains("no downtime"))),
            ("failed", Some(true))
        );
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        assert!(world.live("site", "ill").is_none(), "the old release is back");

        drop(listener);
        repository.git(&["rm", "-q", "ill"]);
        let deaf = repository.commit(&[("index.html", "two")], "deaf");
        world.push(&repository, &deaf);
        let run = world.ended_run("site", &deaf);
        assert!(run.cause.as_deref().is_some_and(|cause| cause.contains(&address)), "{run:?}");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
    });
}

#[test]
fn submodules_come_where_they_are_wanted() {
    World::run(|world| {
        let module = world.repository("acme/module");
        let inside = module.commit(&[("inside.txt", "from the module")], "module");
        let repository = world.repository("acme/site");
        repository.commit(&[("index.html", "one")], "first");
        let add = [
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            &module.clone_url(),
            "lib/module",
        ];
        repository.git(&add);
        let commit = repository.commit_index("with a module");
        let wanted = world.deployment("site", &repository).with("submodules", "true");
        world.configure(&[wanted, world.deployment("bare", &repository)]);
        world.start();
        world.push(&repository, &commit);
        for slug in ["site", "bare"] {
            assert_eq!(world.ended_run(slug, &commit).state, "succeeded");
        }
        assert_eq!(
            world.live("site", "lib/module/inside.txt").as_deref(),
            Some("from the module"),
            "{inside}"
        );
        assert_eq!(world.live("bare", "lib/module/inside.txt"), None);
    });
}

#[test]
fn listen_and_work_are_serve_in_two_processes() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        assert!(world.launch(world.product(&["listen"])).is_none(), "{}", world.log());
        let guid = world.push(&repository, &first);
        assert_eq!(world.verdicts(&guid).len(), 0, "nobody works");

        let mut work = world.product(&["work"]).spawn().expect("the product's binary was built");
        world.wait_for_verdict(&guid, "deployed");
        let second = repository.commit(&[("index.html", "two")], "second");
        world.deploy("site", &repository, &second);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("two"));
        rustix::process::kill_process(Pid::from_child(&work), Signal::TERM).expect("it is our child");
        assert!(work.wait().expect("it is our child").success());
    });
}

#[test]
fn environments_of_files_deployment_and_step_are_laid_over_one_another() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let seen = world.root().join("seen");
        let shell = format!("echo \"$A $B $C\" >> '{}'; echo \"hidden: $A\"", seen.display());
        let step = format!(
            "{{ phase = \"build\", name = \"own\", shell = {0}, environment = {{ B = \"of the step\" }} }}, {{ phase = \"build\", name = \"other\", shell = {0} }}",
            text(&shell)
        );
        let deployment = world.deployment("site", &repository).with("env_file", "\"shared/.env\"");
        let deployment = deployment.with("environment", "{ B = \"of the deployment\", C = \"plain\" }");
        world.configure(&[deployment.step_of(&step)]);
        let file = world.path_of("site").join("shared/.env");
        fs_err::create_dir_all(file.parent().expect("it lies in shared")).expect("the world is writable");
        fs_err::write(&file, "A=of-the-file-and-secret\n").expect("the world is writable");
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &first);
        let seen = fs_err::read_to_string(&seen).expect("the steps ran");
        let file = "of-the-file-and-secret";
        assert_eq!(seen, format!("{file} of the step plain\n{file} of the deployment plain\n"));
        let log = said(&world.cli(&["logs", "site"]));
        assert!(log.contains("hidden: ") && !log.contains(file), "{log}");
    });
}

#[test]
fn logs_can_be_followed_while_a_run_goes_on() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        let shell = format!("echo now building; {}; echo built", gate.shell());
        world.configure(&[world.deployment("site", &repository).step("build", "compile", &shell)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &first);
        gate.wait_for(&first);
        let mut follower = world.product(&["logs", "site", "-f"]);
        let mut follower = follower.stdout(Stdio::piped()).spawn().expect("the product's binary was built");
        let mut lines = BufReader::new(follower.stdout.take().expect("it is piped"));
        let mut line = String::new();
        while !line.contains("  | now building") {
            line.clear();
            assert!(lines.read_line(&mut line).expect("it is text") > 0, "it ended before the run did");
        }
        gate.open();
        let mut rest = String::new();
        lines.read_to_string(&mut rest).expect("it is text");
        assert!(follower.wait().expect("it is our child").success());
        assert!(rest.contains("  | built") && rest.contains("site is live"), "{rest}");
    });
}

/// Nothing was in it, so nobody can have got at anything.
#[test]
fn a_state_directory_that_is_missing_or_empty_was_open_to_nobody() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        repository.commit(&[("index.html", "one")], "first");
        let state = world.state();
        let mode = |mode: u32| fs_err::set_permissions(&state, std::fs::Permissions::from_mode(mode));
        mode(0o755).expect("it is ours");
        let of_empty = describe(&world.cli(&["plan", "site"]));
        fs_err::remove_dir_all(&state).expect("it is ours");
        let of_missing = describe(&world.cli(&["plan", "site"]));
        for said in [of_empty, of_missing] {
            assert!(said.contains("would be deployed") && !said.contains("others could"), "{said}");
        }
        assert_eq!(fs_err::metadata(&state).expect("it is there").permissions().mode() & 0o777, 0o700);
        mode(0o755).expect("it is ours");
        let of_full = describe(&world.cli(&["plan", "site"]));
        assert!(of_full.contains("others could get at the deployer's state"), "{of_full}");
    });
}

#[test]
fn queue_says_what_each_entry_waits_for() {
    World::run(|world| {
        let [site, shop] = ["site", "shop"].map(|name| world.repository(&format!("acme/{name}")));
        let gate = Gate::new(&world.root().join("gate"));
        let gated = world.deployment("site", &site).step("build", "compile", &gate.shell());
        world.settings.set("runs.parallel", "1");
        world.configure(&[gated, world.deployment("shop", &shop)]);
        let first = site.commit(&[("index.html", "one")], "first");
        assert!(world.launch(world.product(&["listen"])).is_none(), "{}", world.log());
        world.push(&site, &first);
        let of_main = said(&world.cli(&["queue"]));
        assert!(of_main.contains("waits for a daemon: none deploys now"), "{of_main}");
        world.stop();

        world.start();
        gate.wait_for(&first);
        let second = site.commit(&[("index.html", "two")], "second");
        let other = shop.commit(&[("index.html", "one")], "first");
        for guid in [world.push(&site, &second), world.push(&shop, &other)] {
            world.verdict(&guid);
        }
        let id = world.runs("site")[0].id.replace('-', "");
        let lines = || -> Vec<String> { said(&world.cli(&["queue"])).lines().map(str::to_owned).collect() };
        let why = |spool: &str, state: &str| {
            let is_it = |line: &&String| line.starts_with(spool) && line.contains(state);
            lines().iter().find(is_it).cloned().unwrap_or_else(|| panic!("{:#?}", lines()))
        };
        let run = format!("run {} (build compile, ", &id[13..20]);
        let claimed = why("site", "claimed");
        assert!(claimed.contains(&format!("is carried out by {run}")), "{claimed}");
        let waiting = why("site", "waiting");
        assert!(waiting.contains(&format!("waits for {run}")), "{waiting}");
        let of_shop = why("shop", "");
        assert!(of_shop.contains("waits for a place: 1 run goes on"), "{of_shop}");
        let entries = said(&world.cli(&["queue", "--json"]));
        let entries: Vec<Value> = serde_json::from_str(&entries).expect("JSON");
        let said_of = |entry: &Value| entry["waits_for"].as_str().map(|text| text.contains("wait"));
        assert_eq!(entries.iter().filter(|entry| said_of(entry) == Some(true)).count(), 2, "{entries:#?}");
        gate.open();
        world.ended_run("site", &second);
        world.ended_run("shop", &other);
        wait::until("nothing to wait", || {
            said(&world.cli(&["queue"])).contains("nothing waits").then_some(())
        });
    });
}

#[test]
fn an_entry_that_was_set_aside_is_worked_on_after_queue_retry() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        assert!(world.launch(world.product(&["listen"])).is_none(), "{}", world.log());
        let guid = world.push(&repository, &first);
        world.stop();
        let spool = world.spool("main");
        let entries =
            fs_err::read_dir(&spool).expect("it is there").map(|entry| entry.expect("readable").path());
        let entry =
            entries.into_iter().find(|path| path.to_string_lossy().ends_with(".json")).expect("it waits");
        let name = entry.file_name().expect("a file has a name").to_string_lossy().into_owned();
        fs_err::rename(&entry, spool.join("bad").join(&name)).expect("the spool is writable");
        world.start();
        let listed: Value = serde_json::from_str(&said(&world.cli(&["queue", "--json"]))).expect("JSON");
        assert_eq!(
            (&listed[0]["entry"], &listed[0]["state"]),
            (&Value::from(name.clone()), &Value::from("bad"))
        );
        assert_eq!(world.verdicts(&guid).len(), 0);
        said(&world.cli(&["queue", "retry", &name]));
        world.wait_for_verdict(&guid, "deployed");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        assert_eq!(world.cli(&["queue", "retry", &name]).status.code(), Some(3));
    });
}

#[test]
fn deploy_does_what_is_live_again_only_by_force() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        repository.commit(&[("index.html", "one")], "first");
        // With a daemon and without.
        for running in [false, true] {
            if running {
                world.start();
            }
            let release = || world.status_of("site").live.map(|live| live.release);
            if !running {
                said(&world.cli(&["deploy", "site"]));
            }
            let before = release();
            assert!(said(&world.cli(&["deploy", "site"])).contains("nothing to do"));
            assert_eq!(release(), before);
            said(&world.cli(&["deploy", "site", "--force"]));
            assert_ne!(release(), before);
        }
    });
}

#[test]
fn a_commit_that_says_so_is_not_deployed_unless_asked_for() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &first);
        let draft = repository.commit(&[("index.html", "draft")], "a draft\n\n[skip deploy]");
        let guid = world.push(&repository, &draft);
        let verdict = world.wait_for_verdict(&guid, "skipped");
        assert!(verdict.sentence.contains("[skip deploy]"), "{verdict:?}");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        said(&world.cli(&["deploy", "site"]));
        assert_eq!(world.live("site", "index.html").as_deref(), Some("draft"));
    });
}

#[test]
fn a_cause_is_said_once() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world
            .deployment("site", &repository)
            .with("clone_url", text("/no/such/repository"))]);
        let output = world.cli(&["plan", "site"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said.matches("caused by").count(), 1, "{said}");
        assert!(said.contains("is there a repository at /no/such/repository"), "{said}");
    });
}
