//! SIGHUP: a new configuration while a run is in progress.

use crate::support::configuration::text;
use crate::support::gate::Gate;
use crate::support::push::Delivery;
use crate::support::sender::Sender;
use crate::support::wait;
use crate::support::world::{SECRET, World};
use rustix::process::Signal;

const OTHER_SECRET: &str = "another-secret-of-more-than-thirty-two-bytes";

/// How often the log says so.
fn said(world: &World, what: &str) -> usize {
    world.log().matches(what).count()
}

/// Tells the daemon to reload, and waits until its log says this once more.
#[track_caller]
fn reload(world: &World, until: &str) {
    let before = said(world, until);
    world.signal(Signal::HUP);
    wait::until(&format!("the log to say {until:?}"), || (said(world, until) > before).then_some(()));
}

#[test]
fn a_good_configuration_holds_for_callers_at_once_and_for_the_rest_when_the_run_has_ended() {
    World::run(|world| {
        let [first, second] = ["acme/first", "acme/second"].map(|name| world.repository(name));
        let gate = Gate::new(&world.root().join("gate"));
        let wait_at_gate = world.deployment("first", &first).step("build", "wait", &gate.shell());
        world.configure(std::slice::from_ref(&wait_at_gate));
        let commits =
            [&first, &second].map(|repository| repository.commit(&[("index.html", "one")], "first"));
        world.start();
        let pid = world.daemon_id();
        let sender = Sender::start(world);
        world.push(&first, &commits[0]);
        gate.wait_for(&commits[0]);

        world.settings.set("webhook_secrets", format!("[{}]", text(OTHER_SECRET)));
        world.configure(&[
            wait_at_gate.with("environment_name", text("changed")),
            world.deployment("second", &second),
        ]);
        reload(world, "the configuration was read anew");

        // Who calls now is answered by it; what it deploys waits.
        let push = second.push_of(&commits[1]);
        assert_eq!(push.signed(OTHER_SECRET).send(world.address()).status, 202);
        assert!(world.verdicts(&push.guid).is_empty(), "nothing is begun beside a run of before");
        assert!(world.runs("first").iter().all(|run| !run.is_final()), "the run goes on");
        gate.open();
        world.wait_for_verdict(&push.guid, "deployed");
        let run = world.ended_run("first", &commits[0]);
        assert_eq!((run.state.as_str(), world.runs("first").len()), ("succeeded", 1), "{run:?}");
        assert_eq!(world.live("second", "index.html").as_deref(), Some("one"));
        assert!(sender.finish(world) > 10);
        assert_eq!(world.daemon_id(), pid);
        assert!(!world.has_died());
    });
}

#[test]
fn a_bad_configuration_changes_nothing_and_says_why() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        let line = format!("if [ -e wait ]; then {}; fi", gate.shell());
        let site = world.deployment("site", &repository).step("build", "wait", &line);
        world.configure(std::slice::from_ref(&site));
        let commit = repository.commit(&[("index.html", "one"), ("wait", "")], "first");
        world.start();
        let sender = Sender::start(world);
        world.push(&repository, &commit);
        gate.wait_for(&commit);

        let file = world.root().join("config/default.toml");
        let good = fs_err::read_to_string(&file).expect("it was written");
        let state = text(&world.state().to_string_lossy());
        for (bad, complaint) in [
            ("[broken".to_owned(), "default.toml:1"),
            (format!("{good}\n[deployments.site2]\nbranch = 1\n"), "branch"),
            (good.replace(&state, text("/somewhere/else").as_str()), "needs a restart"),
            (good.replace(SECRET, "short"), "webhook_secret_token"),
        ] {
            assert_ne!(bad, good);
            fs_err::write(&file, &bad).expect("the world is writable");
            reload(world, "the configuration stays as it was");
            assert!(world.log().contains(complaint), "{complaint}");
        }
        // The log speaks of a secret only by its key.
        assert!(!world.log().contains(SECRET));
        fs_err::remove_file(&file).expect("it is there");
        reload(world, "the configuration stays as it was");
        fs_err::write(&file, &good).expect("the world is writable");

        gate.open();
        assert_eq!(world.ended_run("site", &commit).state, "succeeded");
        let second = repository.commit(&[("index.html", "two")], "second");
        world.deploy("site", &repository, &second);
        assert!(sender.finish(world) > 10);
    });
}

#[test]
fn a_new_address_is_listened_on_before_the_old_one_is_left() {
    World::run(|world| {
        world.configure(&[]);
        world.start();
        let old = world.address().to_owned();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = taken.local_addr().expect("it is bound").port();
        world.settings.set("listen.port", port.to_string());
        world.configure(&[]);
        reload(world, "the configuration stays as it was");
        world.accept(&Delivery::ping("acme/site"));
        drop(taken);
        reload(world, "the configuration was read anew");
        let address = format!("127.0.0.1:{port}");
        let ping = Delivery::ping("acme/site");
        assert_eq!(ping.signed(SECRET).send(&address).status, 202);
        world.wait_for_verdict(&ping.guid, "ping");
        wait::until("nobody to listen where it did", || {
            std::net::TcpStream::connect(&old).is_err().then_some(())
        });
    });
}

#[test]
fn a_stop_while_the_new_configuration_waits_ends_in_order() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        let site = world.deployment("site", &repository).step("build", "wait", &gate.shell());
        world.configure(&[site]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &commit);
        gate.wait_for(&commit);
        reload(world, "the configuration was read anew");
        reload(world, "the configuration was read anew");
        world.signal(Signal::TERM);
        wait::until("it to stop", || (said(world, "stopping") > 0).then_some(()));
        gate.open();
        assert!(world.wait_for_exit().success());
        assert_eq!(world.ended_run("site", &commit).state, "succeeded");
    });
}

#[test]
fn each_half_is_reloaded_by_itself_and_has_its_own_secrets_only() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.settings.remove("webhook_secret_token");
        world.settings.set("source_networks", "\"github\"");
        world.settings.set("proxy_fix.x_for", "1");
        world.settings.remove("github.token");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        for (half, name, secret) in [
            ("listening", "webhook-secret", SECRET),
            ("working", "github-token", crate::support::github::TOKEN),
        ] {
            fs_err::create_dir_all(world.root().join(half)).expect("the world is writable");
            fs_err::write(world.root().join(half).join(name), format!("{secret}\n"))
                .expect("the world is writable");
        }
        let mut work = world.product(&["work"]);
        work.env("CREDENTIALS_DIRECTORY", world.root().join("working"));
        let log = fs_err::File::create(world.root().join("worker.log")).expect("the world is writable");
        work.stderr(log.into_parts().0);
        let mut worker = work.spawn().expect("the product was built");
        let mut listen = world.product(&["listen"]);
        listen.env("CREDENTIALS_DIRECTORY", world.root().join("listening"));
        assert!(world.launch(listen).is_none(), "{}", world.log());

        // What the worker has asked GitHub, the intake knows: it asks nobody itself.
        let push = repository.push_of(&commit);
        let send = || {
            let signed = push.unsigned().header("X-Forwarded-For", "140.82.112.7");
            let signature = crate::support::push::signature(SECRET, &push.body);
            signed.header("X-Hub-Signature-256", signature).body(&push.body).send(world.address()).status
        };
        wait::until("GitHub to be let in", || (send() == 202).then_some(()));
        world.wait_for_verdict(&push.guid, "deployed");
        assert_eq!(world.reported(&repository, &commit).state, "success");

        reload(world, "the configuration was read anew");
        let pid = rustix::process::Pid::from_child(&worker);
        rustix::process::kill_process(pid, Signal::HUP).expect("it is our child");
        let worker_log = || fs_err::read_to_string(world.root().join("worker.log")).unwrap_or_default();
        wait::until("the worker to have begun anew", || {
            worker_log().contains("the new configuration holds everywhere").then_some(())
        });
        assert_eq!(send(), 202);
        rustix::process::kill_process(pid, Signal::TERM).expect("it is our child");
        assert!(worker.wait().expect("it is our child").success(), "{}", worker_log());
        // The operator's commands need neither.
        assert_eq!(world.runs("site").len(), 1);
    });
}
