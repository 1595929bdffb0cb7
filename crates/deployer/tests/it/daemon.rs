//! Starting, stopping and dying.

use crate::support::gate::Gate;
use crate::support::process::{describe, living_in};
use crate::support::push::Delivery;
use crate::support::wait;
use crate::support::world::{World, files_under};
use rustix::process::Signal;

#[test]
fn a_second_daemon_ends_and_the_first_serves_on() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();

        let refused = world.start_refused();
        let said = String::from_utf8_lossy(&refused.stderr).to_lowercase();
        assert!(said.contains("already") || said.contains("another"), "{}", describe(&refused));

        world.deploy("site", &repository, &commit);
    });
}

#[test]
fn what_was_accepted_before_a_stop_is_deployed_after_it() {
    World::run(|world| {
        let [first, second] = ["acme/first", "acme/second"].map(|name| world.repository(name));
        let gate = Gate::new(&world.root().join("gate"));
        world.settings.set("runs.parallel", "1");
        world.configure(&[
            world.deployment("first", &first).step("build", "wait", &gate.shell()),
            world.deployment("second", &second),
        ]);
        let commits =
            [&first, &second].map(|repository| repository.commit(&[("index.html", "one")], "first"));
        world.start();
        world.push(&first, &commits[0]);
        gate.wait_for(&commits[0]);
        let waiting = world.push(&second, &commits[1]);

        world.kill();
        gate.open();
        world.start();

        world.wait_for_verdict(&waiting, "deployed");
        for (slug, commit) in [("first", &commits[0]), ("second", &commits[1])] {
            assert_eq!(world.ended_run(slug, commit).state, "succeeded");
            assert_eq!(world.live(slug, "index.html").as_deref(), Some("one"));
        }
    });
}

#[test]
fn a_daemon_killed_in_a_step_leaves_no_process_and_no_running_run() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        let line = format!("if [ -e second ]; then {}; fi", gate.shell());
        world.configure(&[world.deployment("site", &repository).step("build", "wait", &line)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &first);
        let second = repository.commit(&[("index.html", "two"), ("second", "")], "second");
        let guid = world.push(&repository, &second);
        gate.wait_for(&second);
        let step_was: Vec<String> = living_in(world.root())
            .into_iter()
            .filter(|line| !line.starts_with(&format!("{}:", world.daemon_id())))
            .collect();
        assert!(!step_was.is_empty(), "the step waits at the gate");

        world.kill();
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        world.start();
        wait::until("the step of the dead daemon to be gone", || {
            let living = living_in(world.root());
            step_was.iter().all(|line| !living.contains(line)).then_some(())
        });
        gate.open();

        world.wait_for_verdict(&guid, "deployed");
        let runs = world.settled("site", 2);
        assert!(runs.iter().all(|run| run.is_final()), "{runs:#?}");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("two"));
        let releases =
            fs_err::read_dir(world.path_of("site").join("releases")).expect("releases are kept there");
        for release in releases.flatten() {
            assert!(release.path().join("index.html").exists(), "{release:?} is half of one");
        }
    });
}

#[test]
fn a_stop_lets_a_run_end() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        world.configure(&[world.deployment("site", &repository).step("build", "wait", &gate.shell())]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &commit);
        gate.wait_for(&commit);

        world.signal(Signal::TERM);
        wait::until("the daemon to accept nothing more", || {
            std::net::TcpStream::connect(world.address()).is_err().then_some(())
        });
        gate.open();
        assert!(world.wait_for_exit().success());

        assert_eq!(world.ended_run("site", &commit).state, "succeeded");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
    });
}

#[test]
fn a_stop_that_waits_in_vain_ends_the_step_and_the_push_is_deployed_later() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        world.settings.set("runs.drain_timeout", "\"1s\"");
        world.configure(&[world.deployment("site", &repository).step("build", "wait", &gate.shell())]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let guid = world.push(&repository, &commit);
        gate.wait_for(&commit);

        world.stop();
        wait::until("the step to be gone", || living_in(world.root()).is_empty().then_some(()));
        assert_eq!(world.live("site", "index.html"), None);
        gate.open();
        world.start();

        world.wait_for_verdict(&guid, "deployed");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        assert!(world.settled("site", 1).iter().all(|run| run.is_final()));
    });
}

#[test]
fn a_backlog_is_worked_off_at_start_in_order() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let spool = world.spool("main");
        let guids: Vec<String> = (0..200).map(|_| world.accept(&Delivery::ping("acme/site"))).collect();
        let push = world.push(&repository, &commit);
        world.kill();
        world.start();

        for guid in guids.iter().step_by(20) {
            world.wait_for_verdict(guid, "ping");
        }
        world.wait_for_verdict(&push, "deployed");
        wait::until("the spool to be empty", || {
            files_under(&spool)
                .iter()
                .all(|path| path.extension().is_none_or(|end| end != "json"))
                .then_some(())
        });
    });
}

#[test]
fn an_operator_may_put_a_buried_entry_back() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        repository.commit(&[("index.html", "one")], "first");
        world.start();
        let spool = world.spool("main");
        let name = "00000000000000000001-0b989ba4-242f-11e5-81e1-c7b6966d2516.json";
        // As an operator's `cp` would: not through `tmp/`.
        fs_err::write(spool.join(name), "{ half an entry").expect("the spool is writable");
        let bad = spool.join("bad").join(name);
        wait::until("the broken entry to be buried", || bad.exists().then_some(()));
        assert!(
            files_under(&spool.join("bad")).iter().any(|path| path.to_string_lossy().ends_with(".reason"))
        );

        fs_err::rename(&bad, spool.join(name)).expect("an operator may move it back");
        wait::until("it to be buried again", || bad.exists().then_some(()));
        let ping = world.accept(&Delivery::ping("acme/site"));
        world.wait_for_verdict(&ping, "ping");
    });
}
