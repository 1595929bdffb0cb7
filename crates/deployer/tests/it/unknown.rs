//! A run was interrupted whose plan this program cannot read: nobody knows what is live. Nothing is undone or tried again by guess, the
//! deployment's other work waits, everybody is told, and an operator, or a program that can read the plan, settles it.

use crate::support::gate::Gate;
use crate::support::process::describe;
use crate::support::record::Run;
use crate::support::repository::Repository;
use crate::support::sqlite;
use crate::support::wait;
use crate::support::world::World;
use serde_json::Value;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;

/// A version of plans that no program here knows, but for one that says so.
const LATER: &str = "99";

/// One deployment whose build waits at a gate and leaves a file behind when it is undone; its first commit is live.
struct Site<'w> {
    world: &'w mut World,
    repository: Repository,
    gate: Gate,
    undone: PathBuf,
    first: String,
}

impl<'w> Site<'w> {
    fn deployed(world: &'w mut World) -> Self {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        let undone = world.root().join("undone");
        let step = gate.step_undone_by(&undone);
        world.configure(&[world.deployment("site", &repository).step_of(&step)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        gate.open();
        world.start();
        world.deploy("site", &repository, &first);
        world.stop();
        gate.close();
        Self { world, repository, gate, undone, first }
    }

    /// Starts the daemon as a later version of itself, which may be told to die somewhere.
    fn start_later_version(&mut self, dies_at: Option<&str>) {
        let mut serve = self.world.product(&["serve"]);
        serve.env("DEPLOYER_TEST_PLAN_VERSION", LATER);
        if let Some(point) = dies_at {
            serve.env("DEPLOYER_CRASH_AT", point);
        }
        assert_eq!(self.world.launch(serve), None, "{}", self.world.log());
    }

    /// A later version dies in a build of a second commit. Gives the commit.
    fn interrupted(&mut self) -> String {
        let second = self.repository.commit(&[("index.html", "two")], "second");
        self.start_later_version(None);
        self.world.push(&self.repository, &second);
        self.gate.wait_for(&second);
        self.world.kill();
        self.gate.open();
        second
    }

    fn of_status(&self) -> Value {
        self.world.status()["deployments"][0].clone()
    }

    fn wait_until_unknown(&self) -> Value {
        wait::until_told("what is live to be unknown", || {
            Some(self.of_status()).filter(|site| site["unknown"].is_object())
        })
    }

    fn newest_run(&self) -> Run {
        self.world.runs("site").pop().expect("there are runs")
    }

    /// What must hold as long as nobody has settled it.
    #[track_caller]
    fn nothing_was_done(&self, runs: usize) {
        assert!(!self.undone.exists(), "something was undone by guess");
        assert_eq!(self.world.runs("site").len(), runs, "something was tried by guess");
        assert_eq!(self.world.live("site", "index.html").as_deref(), Some("one"));
    }
}

#[test]
fn it_is_said_everywhere_and_everything_else_waits_for_the_version_that_can_read_the_plan() {
    World::run(|world| {
        let mut site = Site::deployed(world);
        let second = site.interrupted();
        site.world.start();
        let shown = site.wait_until_unknown();
        let run = site.newest_run();
        assert_eq!((run.state.as_str(), &run.commit), ("unknown", &second));
        assert_eq!(
            (&shown["last_run"]["status"], &shown["last_run"]["fault"]),
            (&"unknown".into(), &"operator".into())
        );
        assert_eq!(shown["unknown"]["run"], run.id);
        let what = shown["unknown"]["what"].as_str().expect("it says what is known");
        for known in [
            "what is live is unknown",
            "it is of version 99, and this program reads plans up to version",
            "build b may have happened",
            "(live before)",
            "(being made by it)",
        ] {
            assert!(what.contains(known), "{known:?} in {what}");
        }
        assert_eq!(shown["live"]["commit"], Value::Null, "the link is not what one may rely on");
        let told = wait::until("the commit to be told", || {
            site.world.github.statuses("acme/site", &second).pop().filter(|status| status.state == "error")
        });
        assert!(told.description.starts_with("what is live is unknown: run "), "{told:?}");
        for (arguments, said) in [
            (&["status"][..], "site: what is live is unknown"),
            (&["doctor"], "site: what is live is unknown"),
            (&["run", run.id.as_str()], "hint "),
            (&["runs"], "unknown"),
        ] {
            let shown = describe(&site.world.cli(arguments));
            assert!(shown.contains(said), "{arguments:?}: {shown}");
        }

        // What comes meanwhile waits, also over a restart; an operator who asks is told why, and leaves nothing behind.
        let third = site.repository.commit(&[("index.html", "three")], "third");
        let guid = site.world.push(&site.repository, &third);
        site.world.wait_for_verdict(&guid, "queued");
        for (arguments, is_running) in
            [(&["deploy", "site"][..], true), (&["rollback", "site"], true), (&["deploy", "site"], false)]
        {
            if !is_running {
                site.world.stop();
            }
            let asked = site.world.cli(arguments);
            let shown = describe(&asked);
            assert!(!asked.status.success() && shown.contains("what is live is unknown"), "{shown}");
            assert!(shown.contains(&format!("durhack-deployer cancel {}", run.id)), "{shown}");
        }
        site.world.start();
        site.wait_until_unknown();
        site.nothing_was_done(2);
        assert_eq!(site.world.verdict(&guid).code, "queued");
        site.world.stop();

        site.start_later_version(None);
        site.world.wait_for_verdict(&guid, "deployed");
        assert!(site.undone.exists(), "the version that knows the plan undoes it");
        let run = site.world.runs("site").into_iter().find(|other| other.id == run.id).expect("it is kept");
        assert_eq!(run.state, "undone", "a renamed value keeps its old word in its old key: {run:?}");
        assert!(site.of_status()["unknown"].is_null());
        assert_eq!(site.world.live("site", "index.html").as_deref(), Some("three"));
    });
}

#[test]
fn an_operator_gives_it_up_and_what_waited_goes_on() {
    World::run(|world| {
        let mut site = Site::deployed(world);
        let second = site.interrupted();
        site.world.start();
        site.wait_until_unknown();
        let run = site.newest_run();
        let third = site.repository.commit(&[("index.html", "three")], "third");
        let guid = site.world.push(&site.repository, &third);
        let cancelled = site.world.cli(&["cancel", &run.id]);
        let shown = describe(&cancelled);
        assert!(cancelled.status.success(), "{shown}");
        assert!(
            shown.contains("nothing of it is undone") && shown.contains("`durhack-deployer deploy site`"),
            "{shown}"
        );
        site.world.wait_for_verdict(&guid, "deployed");
        let run = site.world.runs("site").into_iter().find(|other| other.id == run.id).expect("it is kept");
        assert_eq!((run.state.as_str(), &run.commit), ("cancelled", &second));
        assert!(!site.undone.exists(), "nothing was undone by guess");
        assert!(site.of_status()["unknown"].is_null());
        assert_eq!(site.world.live("site", "index.html").as_deref(), Some("three"));
    });
}

/// Each way that the hint names, by what it says: without a daemon, and with nothing else that waits.
#[test]
fn every_way_that_the_hint_names_leads_out() {
    World::run(|world| {
        let mut site = Site::deployed(world);
        let release = site.of_status()["live"]["release"].as_str().expect("it is live").to_owned();
        for (ways, expected) in [
            (&[&["deploy", "site"][..]][..], "two"),
            (&[&["rollback", "site", "--to", release.as_str()]], "one"),
        ] {
            let second = site.interrupted();
            // Whoever asks first is the first to see it.
            let seen = describe(&site.world.cli(&["cancel", "site"]));
            assert!(seen.contains("what is live is unknown"), "{seen}");
            assert_eq!(site.newest_run().state, "unknown", "who cancelled before knew nothing of this");
            let cancelled = site.world.cli(&["cancel", "site"]);
            assert!(cancelled.status.success(), "{}", describe(&cancelled));
            for way in ways {
                let done = site.world.cli(way);
                assert!(done.status.success(), "{}", describe(&done));
            }
            assert_eq!(site.world.live("site", "index.html").as_deref(), Some(expected));
            assert_eq!(site.of_status()["live"]["release"] == release.as_str(), expected == "one");
            assert!(!site.undone.exists());
            assert_ne!(second, site.first);
            site.gate.close();
        }
    });
}

#[test]
fn a_plan_that_is_no_plan_is_not_no_plan() {
    World::run(|world| {
        let mut site = Site::deployed(world);
        site.interrupted();
        let database = site.world.state().join("record.sqlite");
        sqlite::execute(&database, "UPDATE runs SET plan = '{\"steps\": [' WHERE state = 'running'");
        // An operator takes what lies there for genuine: what others have changed is not even looked at.
        let trusted = site.world.cli(&["migrate", "trust", "--yes"]);
        assert!(trusted.status.success(), "{}", describe(&trusted));
        site.world.start();
        let shown = site.wait_until_unknown();
        let what = shown["unknown"]["what"].as_str().expect("it says what is known");
        assert!(what.contains("its plan cannot be read (it cannot be parsed: "), "{what}");
        site.nothing_was_done(2);
    });
}

/// Killed while a step is recorded, before and after: as what the run has come to is unknown, it stays so, and the version that knows the
/// plan finds each step that was begun.
#[test]
fn a_death_around_the_record_of_a_step() {
    for point in
        ["planned:1", "before-step:1", "step-started:3", "step-done:3", "after-step:1", "step-started:4"]
    {
        World::run(|world| {
            let mut site = Site::deployed(world);
            site.gate.open();
            let second = site.repository.commit(&[("index.html", "two")], "second");
            site.start_later_version(Some(point));
            site.world.push(&site.repository, &second);
            wait::until("the daemon to die", || site.world.has_died().then_some(()));
            site.world.start();
            site.wait_until_unknown();
            site.nothing_was_done(2);
            site.world.stop();
            site.start_later_version(None);
            let runs = site.world.settled("site", 3);
            let states: Vec<&str> = runs.iter().map(|run| run.state.as_str()).collect();
            assert_eq!(states, ["succeeded", "undone", "succeeded"], "{point}");
            assert_eq!(site.world.live("site", "index.html").as_deref(), Some("two"));
        });
    }
}

/// Killed before and after it is written down that nobody knows, and while an operator gives the run up.
#[test]
fn a_death_around_the_question() {
    for point in ["recovery-begun:1", "recovery-ended:1"] {
        World::run(|world| {
            let mut site = Site::deployed(world);
            site.interrupted();
            let mut serve = site.world.product(&["serve"]);
            serve.env("DEPLOYER_CRASH_AT", point);
            // It may die before it listens.
            site.world.launch(serve);
            wait::until("the daemon to die", || site.world.has_died().then_some(()));
            site.world.start();
            site.wait_until_unknown();
            site.nothing_was_done(2);
            site.world.stop();
            let run = site.newest_run();
            let died = site
                .world
                .product(&["cancel", &run.id])
                .env("DEPLOYER_CRASH_AT", "recovery-release-known:1")
                .status()
                .expect("the product's binary was built");
            assert_eq!(died.signal(), Some(9), "{died:?}");
            assert_eq!(site.newest_run().state, "unknown", "it was not given up yet");
            let cancelled = site.world.cli(&["cancel", &run.id]);
            assert!(cancelled.status.success(), "{}", describe(&cancelled));
            assert_eq!(site.newest_run().state, "cancelled");
            site.world.start();
            let third = site.repository.commit(&[("index.html", "three")], "third");
            site.world.deploy("site", &site.repository, &third);
            assert!(!site.undone.exists(), "nothing was undone by guess");
        });
    }
}
