//! Whoever can reach the port, with a secret that leaked or without one.

use crate::support::http::{Request, connect};
use crate::support::memory::peak_kilobytes;
use crate::support::process::describe;
use crate::support::push::{Delivery, NO_COMMIT, push_payload, signature};
use crate::support::wait;
use crate::support::world::{SECRET, World, files_under};
use serde_json::json;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;

/// What the daemon may hold in memory, whatever strangers send.
const MEMORY_KILOBYTES_MAX: u64 = 96 * 1024;

// 1: no secret, no service.
#[test]
fn it_does_not_start_without_a_real_secret() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let start = |world: &World, why: &str| {
            world.configure(&[world.deployment("site", &repository)]);
            let output = world.start_refused();
            let said = describe(&output);
            assert!(said.contains("webhook_secret_token"), "{why}: {said}");
        };
        for weak in ["\"\"", "\" \"", "\"short\"", "\"                                        \""] {
            world.settings.set("webhook_secret_token", weak);
            start(world, weak);
        }
        world.settings.remove("webhook_secret_token");
        start(world, "missing");
        world.settings.set("webhook_secret_token", "\"not-a-real-secret-token\"");
        world.environment.push(("DEPLOYER_ENV".into(), "production".into()));
        start(world, "the published default");
    });
}

// 3: what is not signed takes neither memory nor disk, and good deliveries get through meanwhile.
#[test]
fn bodies_of_strangers_fill_neither_memory_nor_disk() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let body = vec![b' '; 25 * 1024 * 1024];
        let unsigned = Delivery::new("push", body);
        let head = unsigned.unsigned().header("X-Hub-Signature-256", signature(SECRET, b"something else"));

        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    // Refused at the end, or cut off before it: both are fine.
                    let mut connection = connect(world.address());
                    let _ = connection.write_all(&head.clone().body(&unsigned.body).bytes());
                });
            }
            for _ in 0..4 {
                scope.spawn(|| endless_chunks(world.address(), &head));
            }
            for _ in 0..10 {
                world.accept(&Delivery::ping("acme/site"));
            }
        });

        let kilobytes = peak_kilobytes(world.daemon_id());
        assert!(kilobytes < MEMORY_KILOBYTES_MAX, "{kilobytes} kB at the peak");
        wait::until("the disk to be as it was", || {
            let left = files_under(&world.spool("main"));
            left.iter().all(|path| path.is_dir() || path.ends_with("lock")).then_some(())
        });
    });
}

/// A chunked body without an end, until the server has had enough; gives up at four times the limit.
fn endless_chunks(address: &str, head: &Request) {
    let mut connection = connect(address);
    let head = head.clone().header("Transfer-Encoding", "chunked");
    let mut chunk = b"100000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x10_0000, b' ');
    chunk.extend_from_slice(b"\r\n");
    let mut sent = connection.write_all(&head.bytes());
    let mut megabytes = 0;
    while sent.is_ok() {
        sent = connection.write_all(&chunk);
        megabytes += 1;
        assert!(megabytes <= 100, "the server reads without end");
    }
}

// 5: one poisoned entry is not a crash loop.
#[test]
fn a_poisoned_entry_is_buried_once() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let spools = [world.spool("main"), world.spool("site")];
        world.stop();
        let poisons: [&[u8]; 6] = [
            b"",
            b"{",
            b"\0\0\0\0\0\0\0\0",
            b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
            br#"{"version":999,"id":"0b989ba4-242f-11e5-81e1-c7b6966d2516","event":"push"}"#,
            br#"{"version":1,"id":"../../x","event":"push","received_at":"x","source":"x","payload":"{}"}"#,
        ];
        for spool in &spools {
            for (number, poison) in poisons.iter().enumerate() {
                let name = format!("{:020}-0b989ba4-242f-11e5-81e1-00000000000{number}.json", number + 1);
                fs_err::write(spool.join(name), poison).expect("the spool is writable");
            }
            symlink(
                "/etc/passwd",
                spool.join("00000000000000000100-0b989ba4-242f-11e5-81e1-000000000010.json"),
            )
            .expect("the spool is writable");
            fs_err::create_dir(spool.join("00000000000000000101-0b989ba4-242f-11e5-81e1-000000000011.json"))
                .expect("the spool is writable");
        }
        for _ in 0..10 {
            world.start();
            world.kill();
        }
        world.start();
        world.deploy("site", &repository, &commit);
        for spool in &spools {
            let ready = |path: &Path| path.is_file() && path.extension().is_some_and(|end| end == "json");
            wait::until("the poison to be buried", || {
                let mut entries = fs_err::read_dir(spool).expect("readable").flatten();
                entries.all(|entry| !ready(&entry.path())).then_some(())
            });
            let reason = |path: &Path| path.extension().is_some_and(|end| end == "reason");
            let buried = files_under(&spool.join("bad")).iter().filter(|path| !reason(path)).count();
            assert!(buried >= poisons.len(), "{buried} of {} in {}", poisons.len(), spool.display());
        }
    });
}

// 12: names of a payload are never paths.
#[test]
fn hostile_repository_names_of_a_payload_are_only_compared() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let before = files_under(world.root()).len();
        let long = format!("acme/{}", "x".repeat(4096));
        for name in
            ["../../escape", "acme/../../escape", "/etc/escape", "acme/site\0", "acme", "", "acme/-x", &long]
        {
            let mut payload = push_payload("acme/site", "refs/heads/main", NO_COMMIT, &commit);
            payload["repository"]["full_name"] = json!(name);
            let guid = world.accept(&Delivery::of("push", &payload));
            let code = world.verdict(&guid).code;
            assert!(
                ["not-a-configured-repository", "malformed"].contains(&code.as_str()),
                "{name:?}: {code}"
            );
        }
        for after in ["", "x; touch CANARY", "--output=CANARY", "HEAD", &"A".repeat(40), "../../x"] {
            let payload = push_payload("acme/site", "refs/heads/main", NO_COMMIT, after);
            let guid = world.accept(&Delivery::of("push", &payload));
            world.verdict(&guid);
        }
        let paths = files_under(world.root());
        assert!(
            paths.iter().all(|path| !path.to_string_lossy().contains("escape")),
            "{before} before: {paths:?}"
        );
        wait::until_told("whatever the pushes woke to end", || {
            world.runs("site").iter().all(|run| run.is_final() && run.commit == commit).then_some(())
        });
    });
}

// 13: where a payload says to fetch from is nobody's business.
#[test]
fn urls_of_a_payload_are_never_asked() {
    World::run(|world| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a socket can be asked without waiting");
        let trap = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();

        let mut payload = push_payload("acme/site", "refs/heads/main", NO_COMMIT, &commit);
        let keys: Vec<String> =
            payload["repository"].as_object().expect("a real payload").keys().cloned().collect();
        for key in keys.iter().filter(|key| key.ends_with("url")) {
            payload["repository"][key] = json!(format!("{trap}/{key}"));
        }
        payload["compare"] = json!(trap);
        payload["head_commit"]["url"] = json!(trap);
        let guid = world.accept(&Delivery::of("push", &payload));
        world.wait_for_verdict(&guid, "deployed");
        world.reported(&repository, &commit);

        let asked = listener.accept().map(|(_, from)| from);
        assert!(asked.is_err(), "{asked:?} was sent there by the payload");
    });
}
