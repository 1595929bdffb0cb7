//! A configuration with errors: pushes are received, the old releases are served and can be gone back to, and a mended file is enough.

use super::{live_site, said};
use crate::support::configuration::Deployment;
use crate::support::http::Request;
use crate::support::process::describe;
use crate::support::repository::Repository;
use crate::support::wait;
use crate::support::world::World;
use serde_json::Value;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

fn file(world: &World) -> PathBuf {
    world.root().join("config/default.toml")
}

/// Gives what was written before.
#[track_caller]
fn break_it(world: &World, how: &str) -> String {
    let good = fs_err::read_to_string(file(world)).expect("it was written");
    fs_err::write(file(world), format!("{how}\n{good}")).expect("writable");
    good
}

/// `status` names it as an error of its own, and gives the rest all the same.
#[track_caller]
fn told_in_status(world: &World, words: &[&str]) -> Value {
    let output = world.cli(&["status", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let status: Value = serde_json::from_slice(&output.stdout).expect("status --json prints JSON");
    let parts = status["parts"].as_array().expect("a list");
    let part = parts.iter().find(|part| part["name"] == "config").expect("it is named");
    let shown = format!("{} -> {}", part["what"], part["mend"]);
    assert_eq!(part["level"], "error", "{shown}");
    for word in words.iter().chain(&["config check"]) {
        assert!(shown.contains(word), "{word:?} in {shown}");
    }
    status
}

#[track_caller]
fn told_in_doctor(world: &World, words: &[&str]) {
    let output = world.cli(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("doctor --json prints JSON");
    let findings = report["findings"].as_array().expect("a list");
    let of_it = findings.iter().filter(|finding| finding["check"] == "configuration");
    let shown: String = of_it.map(|finding| format!("{}\n", finding["what"])).collect();
    for word in words {
        assert!(shown.contains(word), "{word:?} in {shown}");
    }
    // Without the last good one each check but a few says so.
    let unseen = |finding: &&Value| finding["what"] == "the configuration cannot be used";
    let hidden: Vec<&Value> = findings.iter().filter(unseen).collect();
    assert!(hidden.is_empty(), "one fault hides no others: {hidden:#?}");
}

/// Two releases, of which the second is live.
#[track_caller]
fn two_releases(world: &mut World) -> Repository {
    let repository = live_site(world);
    let second = repository.commit(&[("index.html", "two")], "second");
    world.deploy("site", &repository, &second);
    repository
}

#[test]
fn pushes_are_received_and_a_rollback_works_while_nothing_of_it_can_be_used() {
    for broken in ["this is no TOML", "limits.body_max = \"much\""] {
        World::run(|world| {
            let repository = two_releases(world);
            world.stop();
            let good = break_it(world, broken);
            world.start();
            let log = world.log();
            assert!(
                log.contains("ERROR the configuration has") && log.contains("by the last good one"),
                "{log}"
            );
            let third = repository.commit(&[("index.html", "three")], "third");
            world.push(&repository, &third);
            let status = told_in_status(world, &["nothing is deployed by it", "last good one, of"]);
            assert_eq!(status["deployments"][0]["slug"], "site");
            assert_eq!(status["deliveries_waiting"], 1, "{status:#}");
            told_in_doctor(world, &["the other checks go by the last good configuration, of"]);
            let run = world.runs("site").pop().expect("it was deployed");
            let page = Request::new("GET", &format!("/runs/{}", run.id)).send(world.address());
            assert_eq!(page.status, 200, "{page:?}");

            let back = world.cli(&["rollback", "site"]);
            assert_eq!(back.status.code(), Some(0), "{}", said(&back));
            assert!(said(&back).contains("this goes by the last good one"), "{}", said(&back));
            assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
            let refused = world.cli(&["deploy", "site"]);
            assert!(!refused.status.success(), "nothing new is deployed by it: {}", said(&refused));

            fs_err::write(file(world), good).expect("writable");
            wait::until_told("what waited to be deployed, without a restart", || {
                world.live("site", "index.html").filter(|page| page == "three")
            });
            assert_eq!(world.status()["ok"], true);
            assert!(world.log().contains("the configuration was mended"), "{}", world.log());
        });
    }
}

#[test]
fn the_intake_by_itself_receives_by_its_own_copy_and_the_worker_waits() {
    World::run(|world| {
        let repository = live_site(world);
        world.stop();
        let listen = world.product(&["listen"]);
        assert_eq!(world.launch(listen), None, "{}", world.log());
        world.stop();
        let good = break_it(world, "limits.body_max = \"much\"");
        let listen = world.product(&["listen"]);
        assert_eq!(world.launch(listen), None, "{}", world.log());
        let second = repository.commit(&[("index.html", "two")], "second");
        world.push(&repository, &second);
        let worker = world.cli(&["work"]);
        assert!(!worker.status.success() && said(&worker).contains("body_max"), "{}", said(&worker));
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        fs_err::write(file(world), good).expect("writable");
        wait::until("it to be mended", || world.log().contains("the configuration was mended").then_some(()));
        world.stop();
        world.start();
        assert_eq!(world.ended_run("site", &second).state, "succeeded");
    });
}

#[test]
fn the_intake_keeps_what_it_receives_by_although_a_deployment_has_an_error() {
    World::run(|world| {
        let repository = live_site(world);
        world.stop();
        let listen = world.product(&["listen"]);
        assert_eq!(world.launch(listen), None, "{}", world.log());
        world.stop();
        let broken = world.deployment("site", &repository).with("recipe", "\"stepz\"");
        world.configure(&[broken]);
        let listen = world.product(&["listen"]);
        assert_eq!(world.launch(listen), None, "{}", world.log());
        world.stop();
        // A secret that is replaced at that time stands in the same files.
        let kept = fs_err::read_to_string(world.state().join("intake/configuration")).expect("it is kept");
        assert!(kept.contains("stepz"), "{kept}");
        break_it(world, "this is no TOML");
        let listen = world.product(&["listen"]);
        assert_eq!(world.launch(listen), None, "{}", world.log());
    });
}

#[test]
fn one_deployment_with_errors_can_be_gone_back_with_beside_the_worker_that_leaves_it_out() {
    World::run(|world| {
        let repository = two_releases(world);
        world.stop();
        let other = world.repository("acme/other");
        let broken: Deployment = world.deployment("site", &repository).with("recipe", "\"stepz\"");
        world.configure(&[broken, world.deployment("other", &other)]);
        world.start();
        let commit = other.commit(&[("index.html", "other")], "first");
        world.deploy("other", &other, &commit);

        let status = told_in_status(world, &["site as the last good configuration has it"]);
        let shown: Vec<&str> = status["deployments"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|deployment| deployment["slug"].as_str())
            .collect();
        assert_eq!(shown, ["other", "site"]);
        let back = world.cli(&["rollback", "site"]);
        assert_eq!(back.status.code(), Some(0), "{}", said(&back));
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        assert_eq!(world.live("other", "index.html").as_deref(), Some("other"));
    });
}

#[test]
fn a_copy_that_others_may_have_written_is_not_believed() {
    World::run(|world| {
        two_releases(world);
        world.stop();
        break_it(world, "limits.body_max = \"much\"");
        let kept = world.state().join("trust/configuration");
        let mode = |mode| fs_err::set_permissions(&kept, Permissions::from_mode(mode)).expect("it is there");
        assert_eq!(kept.metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
        let text = fs_err::read_to_string(&kept).expect("it is there");
        let refused = |what: &str| {
            let output = world.cli(&["rollback", "site"]);
            assert!(!output.status.success() && said(&output).contains(what), "{what}: {}", said(&output));
            assert_eq!(world.live("site", "index.html").as_deref(), Some("two"));
        };
        fs_err::write(&kept, text.replace("acme/site", "evil/site")).expect("writable");
        refused("another program wrote it");
        fs_err::write(&kept, &text).expect("writable");
        mode(0o622);
        refused("others can write it");
        mode(0o600);
        fs_err::os::unix::fs::symlink(&kept, kept.with_extension("link")).expect("writable");
        fs_err::rename(&kept, kept.with_extension("real")).expect("writable");
        fs_err::rename(kept.with_extension("link"), &kept).expect("writable");
        refused("cannot be used");
        fs_err::rename(kept.with_extension("real"), &kept).expect("writable");
        let back = world.cli(&["rollback", "site"]);
        assert_eq!(back.status.code(), Some(0), "{}", said(&back));
    });
}
