//! Jobs: what dispatch writes for a deployment because of a delivery, and what is found there after a crash or an upgrade.

use crate::support::gate::Gate;
use crate::support::push::{Delivery, guid};
use crate::support::wait;
use crate::support::world::{World, files_under};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The file in a deployment's spool that a delivery led to; also while it is worked on.
fn job_of(world: &World, slug: &str, delivery: &str) -> Option<PathBuf> {
    files_under(&world.spool(slug)).into_iter().find(|path| {
        let path = path.to_string_lossy();
        path.ends_with(&format!("-{delivery}.json")) && !path.contains("/attempts/")
    })
}

fn sha256(text: &str) -> String {
    hex::encode(<sha2::Sha256 as sha2::Digest>::digest(text.as_bytes()))
}

#[test]
fn a_job_says_what_is_to_be_done_and_nothing_of_the_payload() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        world.configure(&[world.deployment("site", &repository).step("build", "wait", &gate.shell())]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let delivery = repository.push_of(&commit);
        world.accept(&delivery);
        gate.wait_for(&commit);

        let file = job_of(world, "site", &delivery.guid).expect("it is there until its run is recorded");
        let text = fs_err::read_to_string(&file).expect("readable");
        let entry: Value = serde_json::from_str(&text).expect("an entry is JSON");
        assert_eq!((&entry["id"], &entry["event"]), (&json!(delivery.guid), &json!("push")));
        let body = String::from_utf8(delivery.body.clone()).expect("JSON");
        let job = json!({
            "version": 1, "kind": "push", "trigger": "delivery", "commit": commit, "body_sha256": sha256(&body),
        });
        assert_eq!(entry["job"], job);
        // What the version before reads in its place.
        let payload = json!({
            "ref": "refs/heads/main", "after": commit, "head_commit": { "id": commit },
            "repository": { "full_name": "acme/site" },
        });
        assert_eq!(entry["payload"], payload);
        assert_eq!(entry["payload_sha256"], json!(sha256(&entry["payload"].to_string())));
        gate.open();
        world.ended_run("site", &commit);
        wait::until("the job to be gone", || (!file.exists()).then_some(()));
    });
}

// The daemon dies with one of two jobs written, with both, and when the delivery is marked: each deployment does its job once.
#[cfg(feature = "failpoints")]
#[test]
fn a_death_between_a_job_and_the_end_of_its_delivery_loses_none_and_does_none_twice() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository), world.deployment("docs", &repository)]);
        let points =
            ["verdict-recorded:1", "job-written:1", "job-written:2", "jobs-written:1", "dispatched:1"];
        for point in points {
            let commit = repository.commit(&[("index.html", point)], point);
            world.environment.push(("DEPLOYER_CRASH_AT".into(), point.into()));
            world.start();
            let delivery = repository.push_of(&commit);
            world.accept(&delivery);
            wait::until("the daemon to die", || world.has_died().then_some(()));
            world.environment.pop();

            world.start();
            for slug in ["site", "docs"] {
                assert_eq!(world.ended_run(slug, &commit).state, "succeeded", "{point} {slug}");
                assert_eq!(world.live(slug, "index.html").as_deref(), Some(point), "{slug}");
            }
            for slug in ["main", "site", "docs"] {
                wait::until("everything to be done", || {
                    let left = files_under(&world.spool(slug));
                    left.iter().all(|path| path.extension().is_none_or(|end| end != "json")).then_some(())
                });
            }
            let verdicts = world.verdicts(&delivery.guid);
            assert!(
                verdicts.len() == 2 && verdicts.iter().all(|verdict| verdict.code == "deployed"),
                "{point}: {verdicts:#?}"
            );
            // Also if GitHub, which may have seen no answer, delivers it again.
            world.deliver(&delivery);
            world.deliver(&Delivery::ping("acme/site"));
            for slug in ["site", "docs"] {
                let runs = world.settled(slug, 1);
                let of_commit = runs.iter().filter(|run| run.commit == commit);
                let done = of_commit.filter(|run| run.state == "succeeded").count();
                assert_eq!(done, 1, "{point} {slug}: {runs:#?}");
            }
            world.stop();
        }
    });
}

// What 0.1.0 has accepted and copied for a deployment is done by this version.
#[test]
fn copies_of_deliveries_that_0_1_0_left_are_done() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &first);
        world.stop();
        let second = repository.commit(&[("index.html", "two")], "second");
        let payload = String::from_utf8(repository.push_of(&second).body).expect("JSON");
        let spool = world.spool("site");
        let write = |number: usize, event: &str, source: &str, payload: &str| {
            let guid = guid();
            let entry = format!(
                r#"{{"version":1,"id":"{guid}","event":"{event}","received_at":"2026-01-01T00:00:00Z","source":"{source}","remote_address":"192.0.2.1","payload_sha256":"{}","payload":{payload}}}"#,
                sha256(payload)
            );
            let file = spool.join(format!("{number:020}-{guid}.json"));
            fs_err::write(file, entry).expect("the spool is writable");
            guid
        };
        let pushed = write(1, "push", "github", &payload);
        let asked = write(2, "deploy", "operator", &json!({ "commit": first }).to_string());
        let wrong = write(3, "paint", "operator", "{}");
        world.start();
        // An operator's request goes first, and what came before it is superseded by it.
        world.wait_for_verdict(&asked, "already-live");
        wait::until("both to be done", || {
            [&pushed, &asked].iter().all(|id| job_of(world, "site", id).is_none()).then_some(())
        });
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        wait::until("what is no job to be dead-lettered", || {
            let bad = files_under(&world.spool("site").join("bad"));
            let reason =
                bad.iter().find(|path| path.to_string_lossy().ends_with(&format!("{wrong}.json.reason")))?;
            let reason = fs_err::read_to_string(reason).ok()?;
            assert!(reason.contains("\"paint\" is not for a deployment"), "{reason}");
            Some(())
        });
        world.stop();
        write(4, "push", "github", &payload);
        world.start();
        assert_eq!(world.ended_run("site", &second).state, "succeeded");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("two"));
    });
}
