//! Ids that are typed short, wrong, or of something else; and the exit codes of that.

use crate::support::gate::Gate;
use crate::support::process::describe;
use crate::support::push::Delivery;
use crate::support::terminal::Terminal;
use crate::support::world::World;
use serde_json::Value;

#[track_caller]
fn said(world: &World, arguments: &[&str], code: i32) -> String {
    let output = world.cli(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", describe(&output));
    describe(&output)
}

#[test]
fn short_ids_that_are_shown_are_accepted_everywhere() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let mut commits = Vec::new();
        let mut guids = Vec::new();
        for text in ["one", "two", "three"] {
            let commit = repository.commit(&[("index.html", text)], text);
            guids.push(world.push(&repository, &commit));
            assert_eq!(world.ended_run("site", &commit).state, "succeeded");
            world.wait_for_verdict(guids.last().expect("it was pushed"), "deployed");
            commits.push(commit);
        }
        let first_cells = |command: &str, header: &str| -> Vec<String> {
            let (_, shown) = Terminal::start(world.product(&[command]), 80).end();
            let rows = shown.lines().skip_while(|line| !line.starts_with(header)).skip(1);
            let cells = rows.filter_map(|line| line.split(' ').next().filter(|cell| !cell.is_empty()));
            cells.map(str::to_owned).collect()
        };
        let runs = world.runs("site");
        for (short, run) in first_cells("runs", "RUN").iter().zip(runs.iter().rev()) {
            assert!(short.len() >= 7 && short.len() < 12, "{short}");
            for typed in [short.as_str(), &run.id, &run.id[..30]] {
                assert!(said(world, &["run", typed, "--json"], 0).contains(&run.id), "{typed}");
                assert!(said(world, &["logs", typed], 0).contains("is live"), "{typed}");
                assert!(said(world, &["cancel", typed], 1).contains("has succeeded already"), "{typed}");
            }
        }
        for (short, guid) in first_cells("deliveries", "DELIVERY").iter().zip(guids.iter().rev()) {
            for typed in [short.as_str(), guid, &guid[..13]] {
                assert!(said(world, &["explain", typed], 0).contains(guid), "{typed}");
            }
        }
        assert!(said(world, &["explain", "site"], 0).contains(&guids[2]));
        assert!(said(world, &["run", "site", "--json"], 0).contains(&runs[2].id));

        assert!(said(world, &["plan", "site", "--commit", &commits[0][..7]], 0).contains(&commits[0][..7]));
        said(world, &["deploy", "site", "--commit", &commits[0][..8]], 0);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        let release = runs[1].release.clone().expect("it made one");
        said(world, &["rollback", "site", "--to", &commits[2][..7]], 0);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("three"));
        said(world, &["rollback", "site", "--to", &release], 0);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("two"));
    });
}

#[test]
fn what_is_ambiguous_or_unknown_is_answered_with_what_there_is() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let mut guids = Vec::new();
        for text in ["one", "two"] {
            let commit = repository.commit(&[("index.html", text)], text);
            guids.push(world.push(&repository, &commit));
            assert_eq!(world.ended_run("site", &commit).state, "succeeded");
            world.wait_for_verdict(guids.last().expect("it was pushed"), "deployed");
        }
        let runs = world.runs("site");
        let several = said(world, &["run", &runs[0].id[..4]], 3);
        assert!(several.contains("may be one of several runs"), "{several}");
        assert_eq!(several.matches("(site, succeeded, ").count(), 2, "{several}");
        let deliveries = [Delivery::ping("acme/site"), Delivery::ping("acme/site")];
        deliveries.iter().for_each(|delivery| drop(world.accept(delivery)));

        let delivery = said(world, &["run", &guids[0]], 3);
        assert!(delivery.contains("is a delivery, not a run"), "{delivery}");
        // As it says.
        let hint = delivery.split("`durhack-deployer run ").nth(1).and_then(|rest| rest.split('`').next());
        let shown = said(world, &["run", hint.expect("it names the run"), "--json"], 0);
        assert!(shown.contains(&runs[0].id), "{shown}");
        let run = said(world, &["explain", &runs[0].id], 3);
        assert!(run.contains("is a run, not a delivery") && run.contains(&guids[0]), "{run}");

        for (arguments, suggested) in [
            (&["deploy", "siet"][..], "did you mean site?"),
            (&["run", "siet"], "did you mean site?"),
            (&["explain", "siet"], "did you mean site?"),
            (&["queue", "drop", "siet"], "did you mean site?"),
            (&["run", "zzzz"], "`durhack-deployer runs` lists them"),
        ] {
            let unknown = said(world, arguments, 3);
            assert!(unknown.contains(suggested), "{arguments:?}: {unknown}");
        }
    });
}

/// A name that was mistyped makes no run, and a commit that is none is a mistake of usage.
#[test]
fn what_was_mistyped_makes_no_run() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        for has_daemon in [false, true] {
            if has_daemon {
                world.start();
            }
            let text = has_daemon.to_string();
            repository.commit(&[("index.html", &text)], "change");
            said(world, &["deploy", "site"], 0);
            let before = world.runs("site").len();
            let typo = said(world, &["rollback", "site", "--to", "2020typo"], 3);
            assert!(typo.contains("the newest are 20"), "{typo}");
            for malformed in ["main", "xyz", "HEAD~1", "", "--help-me", "ab"] {
                let option = format!("--commit={malformed}");
                said(world, &["deploy", "site", &option], 2);
                said(world, &["plan", "site", &option], 2);
            }
            let unknown = said(world, &["deploy", "site", "--commit", "0123456789"], 3);
            assert!(unknown.contains("has no commit"), "{unknown}");
            assert_eq!(world.runs("site").len(), before, "no run was made");
            assert_eq!(world.live("site", "index.html").as_deref(), Some(text.as_str()));
        }
    });
}

#[test]
fn an_entry_is_named_by_its_delivery_or_its_spool() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        let deployment = world.deployment("site", &repository).step("build", "wait", &gate.shell());
        world.configure(&[deployment.with("queue", "\"all\"")]);
        world.start();
        let commits: Vec<String> =
            ["one", "two", "three"].map(|text| repository.commit(&[("index.html", text)], text)).into();
        let guids: Vec<String> = commits.iter().map(|commit| world.push(&repository, commit)).collect();
        for guid in &guids {
            world.verdict(guid);
        }
        gate.wait_for(&commits[0]);
        let waiting = || -> Vec<String> {
            let printed = world.cli(&["queue", "--json"]);
            let entries: Vec<Value> = serde_json::from_slice(&printed.stdout).expect("JSON");
            let waiting =
                entries.iter().filter(|entry| entry["state"] == "waiting" && entry["spool"] == "site");
            waiting.map(|entry| entry["entry"].as_str().unwrap_or_default().to_owned()).collect()
        };
        let entries = waiting();
        if entries.len() > 1 {
            let several = said(world, &["queue", "drop", "site"], 3);
            assert!(several.contains(&entries[0]) && several.contains(&entries[1]), "{several}");
        }
        for entry in &entries {
            let guid = guids.iter().find(|guid| entry.contains(*guid)).expect("it is a delivery's");
            said(world, &["queue", "drop", &guid[..18]], 0);
        }
        assert!(waiting().is_empty());
        gate.open();
        world.settled("site", 1);
    });
}
