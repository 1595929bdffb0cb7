//! Everything that GitHub is known to send, and the same with its bytes damaged.

use crate::support::http::Request;
use crate::support::octokit;
use crate::support::push::{Delivery, NO_COMMIT, guid, signature};
use crate::support::wait;
use crate::support::world::{SECRET, World};
use serde_json::{Value, json};
use std::collections::HashMap;

/// GitHub's published examples; fewer means that the package was cut or read wrongly.
const EXAMPLES_MIN: usize = 300;

/// Damaged bodies in all.
const DAMAGED: usize = 240;

/// What the verdict on an undamaged example must be, in a world that deploys `master` of its repository.
fn expected(event: &str, payload: &Value) -> &'static [&'static str] {
    match event {
        "ping" => &["ping"],
        "push" if payload["ref"] == "refs/heads/master" => &["deployed", "already-live", "superseded"],
        "push" => &["not-a-configured-branch"],
        _ => &["event-not-handled"],
    }
}

#[test]
fn every_example_is_accepted_and_gets_one_verdict() {
    World::run(|world| {
        let repository = world.repository("Codertocat/Hello-World");
        let commit = repository.commit(&[("index.html", "hello")], "first");
        repository.git(&["push", "-q", &repository.clone_url(), "HEAD:refs/heads/master"]);
        world.configure(&[world.deployment("hello", &repository).with("branch", "\"master\"")]);
        world.start();

        let examples = octokit::examples();
        assert!(examples.len() >= EXAMPLES_MIN, "only {} examples", examples.len());
        let deliveries: Vec<Delivery> =
            examples.iter().map(|(event, payload)| Delivery::of(event, payload)).collect();
        for delivery in &deliveries {
            world.accept(delivery);
        }

        let mut seen: HashMap<&str, usize> = HashMap::new();
        for ((event, payload), delivery) in examples.iter().zip(&deliveries) {
            let expected = expected(event, payload);
            wait::until(&format!("one of {expected:?} on a {event}"), || {
                expected.contains(&world.verdict(&delivery.guid).code.as_str()).then_some(())
            });
            *seen.entry(event).or_default() += 1;
        }
        assert!(seen["push"] >= 7 && seen["ping"] >= 4, "{seen:?}");
        assert_eq!(world.live("hello", "index.html").as_deref(), Some("hello"));
        assert_eq!(
            world.settled("hello", 1)[0].commit,
            commit,
            "the branch's head, not what the example names"
        );
    });
}

#[test]
fn damaged_bodies_never_hurt_and_always_get_a_verdict() {
    World::run(|world| {
        let repository = world.repository("Codertocat/Hello-World");
        repository.commit(&[("index.html", "hello")], "first");
        world.configure(&[world.deployment("hello", &repository).with("branch", "\"master\"")]);
        world.start();

        let examples = octokit::examples();
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut sent = Vec::new();
        for round in 0..DAMAGED {
            // Every second one a push: that is what is read most closely.
            let event =
                if round % 2 == 0 { "push" } else { examples[random.below(examples.len())].0.as_str() };
            let of_event: Vec<&Value> =
                examples.iter().filter(|(name, _)| name == event).map(|(_, payload)| payload).collect();
            let body = of_event[random.below(of_event.len())].to_string().into_bytes();
            let delivery = Delivery::new(event, damaged(body, &mut random));
            let status = world.deliver(&delivery).status;
            let is_json = serde_json::from_slice::<Value>(&delivery.body).is_ok();
            // What is still JSON may be no delivery any more: a repository that is a text, a name twice.
            assert!(status == 400 || (is_json && status == 202), "round {round}: {event}: {status}");
            sent.push((delivery, status == 202));
        }

        assert!(sent.iter().any(|(_, is_accepted)| *is_accepted), "not all of them");
        for (delivery, is_accepted) in &sent {
            let verdict = world.verdict(&delivery.guid);
            assert!(*is_accepted || verdict.code == "malformed", "{verdict:?}");
        }
        let healthy = world.accept(&Delivery::ping("Codertocat/Hello-World"));
        world.wait_for_verdict(&healthy, "ping");
    });
}

/// Cut at a random place, or with up to eight bits flipped.
fn damaged(mut body: Vec<u8>, random: &mut Random) -> Vec<u8> {
    if random.below(2) == 0 {
        body.truncate(random.below(body.len()));
        return body;
    }
    for _ in 0..=random.below(8) {
        let at = random.below(body.len());
        body[at] ^= 1 << random.below(8);
    }
    body
}

/// xorshift64*: the same numbers on every machine, so that a failure can be seen again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).expect("31 bits fit") % limit
    }
}

/// The fields of Gitea's and Forgejo's payload, and the headers, are those of their documentation and sources.
#[test]
fn a_push_of_gitea_is_one() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let commit = repository.commit(&[("index.html", "from gitea")], "first");
        let user = json!({ "id": 1, "login": "ada", "full_name": "", "email": "ada@example.org", "username": "ada" });
        let body = json!({
            "ref": "refs/heads/main",
            "before": NO_COMMIT,
            "after": commit,
            "compare_url": "",
            "commits": [],
            "total_commits": 1,
            "head_commit": null,
            "repository": { "id": 140, "owner": user, "name": "site", "full_name": "acme/site", "private": false },
            "pusher": user,
            "sender": user,
        });
        let (body, guid) = (body.to_string(), guid());
        let signed = signature(SECRET, body.as_bytes());
        let mut request = Request::new("POST", "/github-webhook").header("Content-Type", "application/json");
        for (name, value) in [
            ("X-Gitea-Event", "push"),
            ("X-Gitea-Event-Type", "push"),
            ("X-Gitea-Signature", signed.trim_start_matches("sha256=")),
            ("X-Hub-Signature-256", &signed),
            ("X-Gitea-Delivery", &guid),
            ("X-GitHub-Delivery", &guid),
            ("X-GitHub-Event", "push"),
            ("X-GitHub-Event-Type", "push"),
        ] {
            request = request.header(name, value);
        }
        assert_eq!(request.body(body.as_bytes()).send(world.address()).status, 202);
        world.wait_for_verdict(&guid, "deployed");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("from gitea"));
    });
}
