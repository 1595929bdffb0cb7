//! Deliveries that are not what they seem: captured and sent again, under another's id, by the holder of another repository's secret.

use crate::support::configuration::text;
use crate::support::process::{command, succeed};
use crate::support::push::{Delivery, push_payload};
use crate::support::wait;
use crate::support::world::{SECRET, World, files_under};
use serde_json::json;

/// Whoever has the right secret, and a body that came once, gets nothing by it: not after a rollback, not when the deliveries of
/// then are forgotten, not when even their bodies are, and not when the mirror has none of their commits any more.
#[test]
fn a_replay_does_not_undo_a_rollback() {
    replays(|deployment| deployment);
}

#[test]
fn a_replay_does_not_undo_a_rollback_where_every_push_is_deployed() {
    replays(|deployment| deployment.with("queue", "\"all\""));
}

#[track_caller]
fn replays(
    more: impl Fn(crate::support::configuration::Deployment) -> crate::support::configuration::Deployment,
) {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[more(world.deployment("site", &repository))]);
        world.start();
        let mut pushes = Vec::new();
        for number in ["one", "two", "three"] {
            let commit = repository.commit(&[("index.html", number)], number);
            let push = repository.push_of(&commit);
            world.accept(&push);
            assert_eq!(world.ended_run("site", &commit).state, "succeeded");
            world.wait_for_verdict(&push.guid, "deployed");
            pushes.push(push);
        }
        let rolled_back = world.cli(&["rollback", "site", "--to", &pushes_commit(&pushes[0])]);
        assert!(rolled_back.status.success(), "{rolled_back:?}");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));

        let lead_to_nothing = |world: &World, when: &str, same_ids: bool| {
            let runs = world.settled("site", 1).len();
            for push in &pushes {
                let replay = if same_ids { push.clone() } else { push.replayed() };
                let guid = world.accept(&replay);
                wait::until_told("the replay to have its verdict", || {
                    let verdicts = world.verdicts(&guid);
                    (!verdicts.is_empty() && verdicts.iter().all(|verdict| verdict.code != "queued"))
                        .then_some(())
                });
            }
            // What comes after them in the spool shows that they have been dealt with.
            let after = world.accept(&Delivery::ping("acme/site"));
            world.wait_for_verdict(&after, "ping");
            assert_eq!(world.settled("site", 1).len(), runs, "{when}");
            assert_eq!(world.live("site", "index.html").as_deref(), Some("one"), "{when}");
        };
        lead_to_nothing(world, "after the rollback", false);

        // As retention leaves it: what was deployed then is not known any more.
        world.stop();
        change_record(world, "DELETE FROM verdicts");
        change_record(world, "DELETE FROM deliveries");
        world.start();
        lead_to_nothing(world, "when the deliveries are forgotten", false);
        lead_to_nothing(world, "likewise, under their own ids", true);

        world.stop();
        change_record(world, "DELETE FROM verdicts");
        change_record(world, "DELETE FROM deliveries");
        change_record(world, "DELETE FROM seen_bodies");
        world.start();
        lead_to_nothing(world, "when the bodies are forgotten, too", false);

        world.stop();
        change_record(world, "DELETE FROM verdicts");
        change_record(world, "DELETE FROM deliveries");
        change_record(world, "DELETE FROM seen_bodies");
        let mirrors = world.state().join("mirrors");
        assert!(files_under(&mirrors).iter().any(|file| file.ends_with("HEAD")), "{mirrors:?}");
        fs_err::remove_dir_all(&mirrors).expect("it is the test's");
        world.start();
        lead_to_nothing(world, "when the mirror is gone, too", false);

        // What is new is deployed as ever.
        let commit = repository.commit(&[("index.html", "four")], "four");
        world.deploy("site", &repository, &commit);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("four"));
    });
}

fn pushes_commit(push: &Delivery) -> String {
    let payload: serde_json::Value = serde_json::from_slice(&push.body).expect("a payload is JSON");
    payload["after"].as_str().expect("a push has it").to_owned()
}

#[track_caller]
fn change_record(world: &World, statement: &str) {
    let script = "import sqlite3, sys; record = sqlite3.connect(sys.argv[1], timeout=30); record.execute(sys.argv[2]); record.commit()";
    let record = world.state().join("record.sqlite");
    succeed(command("python3", world.root()).args(["-c", script]).arg(record).arg(statement));
}

// GUIDs are not signed: who holds the secret of one repository cannot swallow another's push by using its GUID first.
#[test]
fn another_body_under_the_guid_of_a_push_does_not_swallow_it() {
    World::run(|world| {
        let [one, two] = ["acme/one", "acme/two"].map(|name| world.repository(name));
        let secret = "the secret of one repository, of thirty-two bytes and more";
        world.settings.set("repositories.\"acme/one\".webhook_secret_token", text(secret));
        world.configure(&[world.deployment("one", &one), world.deployment("two", &two)]);
        let commit = two.commit(&[("index.html", "one")], "first");
        let push = two.push_of(&commit);
        let mut before = Delivery::ping("acme/one");
        before.guid.clone_from(&push.guid);

        // Both wait in one spool at the same time ...
        let listen = world.product(&["listen"]);
        assert!(world.launch(listen).is_none(), "{}", world.log());
        assert_eq!(before.signed(secret).send(world.address()).status, 202);
        world.accept(&push);
        world.accept(&push);
        world.stop();
        world.start();
        assert_eq!(world.ended_run("two", &commit).state, "succeeded");
        assert_eq!(world.live("two", "index.html").as_deref(), Some("one"));

        // ... or one comes when the other is known.
        let second = two.commit(&[("index.html", "two")], "second");
        let push = two.push_of(&second);
        before.guid.clone_from(&push.guid);
        assert_eq!(before.signed(secret).send(world.address()).status, 202);
        world.wait_for_verdict(&push.guid, "ping");
        world.accept(&push);
        assert_eq!(world.ended_run("two", &second).state, "succeeded");
        assert_eq!(world.runs("two").len(), 2, "each once");

        let explained = world.cli(&["explain", &push.guid, "--json"]);
        let page: serde_json::Value = serde_json::from_slice(&explained.stdout).expect("JSON");
        assert_eq!(page["verdicts"][0]["code"], "ping", "{page}");
        assert_eq!(page["others"][0]["delivery"]["repository"], "acme/two", "{page}");
        wait::until_told("both to be explained", || {
            let said = world.cli(&["explain", &push.guid]);
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            (said.contains("ping") && said.contains("deployed")).then_some(())
        });
    });
}

// What reconcile finds has an id that anybody can compute who knows what is pushed: nobody from outside gets it first.
#[test]
fn a_delivery_from_outside_never_has_an_id_of_ours() {
    World::run(|world| {
        let [one, two] = ["acme/one", "acme/two"].map(|name| world.repository(name));
        let secret = "the secret of one repository, of thirty-two bytes and more";
        world.settings.set("repositories.\"acme/one\".webhook_secret_token", text(secret));
        world.settings.set("reconcile.enabled", "true");
        world.settings.set("reconcile.interval", "\"1s\"");
        world.configure(&[world.deployment("one", &one), world.deployment("two", &two)]);
        one.commit(&[("index.html", "one")], "first");
        let first = two.commit(&[("index.html", "one")], "first");
        // As reconcile computes it: the deployment, its head, and what was tried last.
        let digest = <sha2::Sha256 as sha2::Digest>::digest(format!("two {first} ").as_bytes());
        let bytes: [u8; 16] = digest[..16].try_into().expect("there are 32");
        let id = uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string();
        let mut before = Delivery::ping("acme/one");
        before.guid.clone_from(&id);
        // While nothing looks at the branches.
        let listen = world.product(&["listen"]);
        assert!(world.launch(listen).is_none(), "{}", world.log());
        assert_eq!(before.signed(secret).send(world.address()).status, 202);
        world.stop();
        world.start();
        assert_eq!(world.ended_run("two", &first).state, "succeeded");
        assert_eq!(world.live("two", "index.html").as_deref(), Some("one"));
        let explained = wait::until_told("both to be explained", || {
            let output = world.cli(&["explain", &id, "--json"]);
            let page: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
            page["others"].is_array().then_some(page)
        });
        assert_eq!(explained["delivery"]["source"], "reconcile", "{explained}");
        assert_eq!(explained["others"][0]["delivery"]["event"], "ping", "{explained}");

        // Under a GUID of that form that nobody else has, it is found by what its sender knows.
        let mut alone = Delivery::ping("acme/one");
        alone.guid = "00000000-0000-8000-8000-000000000000".into();
        assert_eq!(alone.signed(secret).send(world.address()).status, 202);
        wait::until_told("it to be explained", || {
            let output = world.cli(&["explain", &alone.guid]);
            String::from_utf8_lossy(&output.stdout).contains("ping").then_some(())
        });
        let page = crate::support::http::Request::new("GET", &format!("/deliveries/{}", alone.guid));
        assert_eq!(page.send(world.address()).status, 200);
    });
}

// A secret speaks for its repository, however the payload is written.
#[test]
fn a_secret_of_one_repository_never_speaks_for_another() {
    World::run(|world| {
        let [one, two] = ["acme/one", "acme/two"].map(|name| world.repository(name));
        let secret = "the secret of one repository, of thirty-two bytes and more";
        world.settings.set("repositories.\"acme/one\".webhook_secret_token", text(secret));
        world.configure(&[world.deployment("one", &one), world.deployment("two", &two)]);
        let commit = two.commit(&[("index.html", "one")], "first");
        one.commit(&[("index.html", "one")], "first");
        world.start();
        let payload = push_payload("acme/two", "refs/heads/main", "0".repeat(40).as_str(), &commit);
        let written = payload.to_string();
        let name = r#""full_name":"acme/two""#;
        assert!(written.contains(name), "{written}");
        let own = r#""full_name":"acme/one""#;
        let disguises = [
            written.clone(),
            json!(["refs/heads/main", commit, false, { "full_name": "acme/two" }, null]).to_string(),
            json!([payload]).to_string(),
            json!({ "ref": "refs/heads/main", "after": commit, "repository": ["acme/two"] }).to_string(),
            json!({ "ref": "refs/heads/main", "after": commit, "repository": "acme/two" }).to_string(),
            json!({ "ref": "refs/heads/main", "after": commit, "repository": null }).to_string(),
            json!({ "ref": "refs/heads/main", "after": commit }).to_string(),
            written.replacen(name, &format!("{own},{name}"), 1),
            written.replacen(name, &format!("{name},{own}"), 1),
            written.replacen(name, &format!(r#"{own},"full\u005fname":"acme/two""#), 1),
            written.replacen(r#""repository":{"#, &format!(r#""repository":{{{own}}},"repository":{{"#), 1),
            format!(r#"{{"repository":{{{own}}}}}{written}"#),
            format!("{written}{{\"repository\":{{{own}}}}}"),
            written.replacen("acme/two", r"acme\/two", 1),
            written.replacen("acme/two", "ACME/two", 1),
        ];
        for body in &disguises {
            for delivery in [Delivery::new("push", body.clone().into_bytes()), {
                let form = Delivery::new("push", body.clone().into_bytes()).form_encoded();
                Delivery { body: [b"payload=%7B%7D&".as_slice(), &form.body].concat(), ..form }
            }] {
                let status = delivery.signed(secret).send(world.address()).status;
                let sent = String::from_utf8_lossy(&delivery.body);
                assert!([400, 403].contains(&status), "{status}: {sent}");
            }
        }
        let after = world.accept(&Delivery::ping("acme/two"));
        world.wait_for_verdict(&after, "ping");
        assert!(world.settled("one", 0).is_empty() && world.settled("two", 0).is_empty());
        let bad = files_under(&world.spool("main").join("bad"));
        let reasons: Vec<String> = bad
            .iter()
            .filter(|path| path.extension().is_some_and(|end| end == "reason"))
            .map(|path| fs_err::read_to_string(path).expect("readable"))
            .collect();
        assert!(reasons.iter().any(|reason| reason.contains("an object")), "{reasons:?}");
        assert!(reasons.iter().any(|reason| reason.contains("duplicate field")), "{reasons:?}");
    });
}

// An upgrade finds what the deployer before it has accepted, and what was accepted wrongly leads to nothing.
#[test]
fn entries_of_0_1_0_are_still_read() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.stop();
        let spool = world.spool("main");
        let array = json!(["refs/heads/main", commit, false, { "full_name": "acme/site" }, null]).to_string();
        let push = String::from_utf8(repository.push_of(&commit).body).expect("JSON");
        let mut guids = Vec::new();
        for (number, payload) in [array, push].into_iter().enumerate() {
            let digest = <sha2::Sha256 as sha2::Digest>::digest(payload.as_bytes());
            let guid = crate::support::push::guid();
            let entry = format!(
                r#"{{"version":1,"id":"{guid}","event":"push","received_at":"2026-01-01T00:00:00Z","source":"github","remote_address":"192.0.2.1","payload_sha256":"{}","payload":{payload}}}"#,
                hex::encode(digest)
            );
            let file = spool.join(format!("{:020}-{guid}.json", number + 1));
            fs_err::write(&file, entry).expect("the spool is writable");
            guids.push(guid);
        }
        world.start();
        world.wait_for_verdict(&guids[0], "malformed");
        world.wait_for_verdict(&guids[1], "deployed");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        assert_eq!(world.deliver(&Delivery::ping("acme/site")).status, 202, "{SECRET}");
    });
}
