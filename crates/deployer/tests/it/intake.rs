//! The HTTP contract: what is answered to what, and that nothing but a signed delivery leaves a trace.

use crate::support::configuration::text;
use crate::support::http::{Answer, Request, connect};
use crate::support::push::{Delivery, guid, signature};
use crate::support::wait;
use crate::support::world::{INSTANCE, SECRET, World, files_under};
use rustix::process::Signal;
use serde_json::json;
use std::io::Write;

/// GitHub's own limit of a payload, and ours.
const BODY_BYTES_MAX: usize = 25 * 1024 * 1024;

/// A world whose daemon serves one deployment that has never been deployed.
fn serve(world: &mut World) {
    let repository = world.repository("acme/site");
    world.configure(&[world.deployment("site", &repository)]);
    world.start();
}

/// Every error has the original's three members, the right status among them.
#[track_caller]
fn assert_error(answer: &Answer, status: u16, message: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let body = answer.json();
    assert_eq!((&body["status"], &body["message"]), (&json!(status), &json!(message)), "{body}");
    assert!(body["description"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
}

#[test]
fn the_front_page_says_who_answers() {
    World::run(|world| {
        serve(world);
        let answer = Request::new("GET", "/").send(world.address());
        assert_eq!(answer.status, 200);
        let expected =
            json!({ "instance": INSTANCE, "message": "OK", "service": "durhack-deployer", "status": 200 });
        assert_eq!(answer.json(), expected);

        let head = Request::new("HEAD", "/").send(world.address());
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-type"), answer.header("content-type"));
    });
}

#[test]
fn other_methods_and_paths_are_refused_in_json() {
    World::run(|world| {
        serve(world);
        let allowed = |answer: &Answer| -> Vec<String> {
            let header = answer.header("allow").unwrap_or_default();
            header.split(',').map(|method| method.trim().to_owned()).collect()
        };
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let answer = Request::new(method, "/").body(b"").send(world.address());
            assert_error(&answer, 405, "Method Not Allowed");
            assert!(allowed(&answer).contains(&"GET".to_owned()), "{method} /: {answer:?}");
        }
        for method in ["GET", "PUT", "PATCH", "DELETE"] {
            let answer = Request::new(method, "/github-webhook").send(world.address());
            assert_error(&answer, 405, "Method Not Allowed");
            assert!(allowed(&answer).contains(&"POST".to_owned()), "{method}: {answer:?}");
        }
        for (path, method) in [("/", "GET"), ("/github-webhook", "POST")] {
            let answer = Request::new("OPTIONS", path).send(world.address());
            assert!((answer.status == 200 || answer.status == 204) && answer.body.is_empty(), "{answer:?}");
            assert!(allowed(&answer).contains(&method.to_owned()), "OPTIONS {path}: {answer:?}");
        }
        for path in ["/github-webhook/", "/nothing", "/github-webhook/../x", "/%2e%2e/etc/passwd"] {
            assert_error(&Request::new("GET", path).send(world.address()), 404, "Not Found");
        }
    });
}

#[test]
fn a_signed_delivery_is_accepted_in_both_of_githubs_content_types() {
    World::run(|world| {
        serve(world);
        let as_json = Delivery::ping("acme/site");
        let as_form = Delivery::ping("acme/site").form_encoded();
        let with_charset =
            Delivery { content_type: "application/json; charset=utf-8", ..Delivery::ping("acme/site") };
        for delivery in [as_json, as_form, with_charset] {
            let answer = world.deliver(&delivery);
            assert_eq!(answer.status, 202, "{answer:?}");
            let url = format!("https://deploy.test/deliveries/{}", delivery.guid);
            assert_eq!(answer.json(), json!({ "delivery": delivery.guid, "url": url }));
            world.wait_for_verdict(&delivery.guid, "ping");
        }
    });
}

#[test]
fn a_hook_with_a_mistake_is_told_and_logged() {
    World::run(|world| {
        serve(world);
        let delivery = Delivery::ping("acme/site");
        let with_slash = delivery.signed(SECRET).to("/github-webhook", "/github-webhook/");
        assert_eq!(with_slash.send(world.address()).status, 202);
        let other = Delivery::ping("acme/site");
        let answer = other.signed(SECRET).to("/github-webhook", "/webhook").send(world.address());
        assert_error(&answer, 404, "Not Found");
        assert_eq!(answer.json()["description"], "Webhooks are received at /github-webhook");
        assert_error(&other.unsigned().body(&other.body).send(world.address()), 400, "Bad Request");
        let log = world.log();
        assert!(
            log.contains("webhooks are received at /github-webhook") && log.contains("/webhook"),
            "{log}"
        );
        assert!(
            log.contains("no signature (hint: the webhook's settings at GitHub have no secret)"),
            "{log}"
        );
    });
}

#[test]
fn refusals_keep_the_originals_statuses() {
    World::run(|world| {
        serve(world);
        let delivery = Delivery::ping("acme/site");
        let address = world.address();

        assert_error(&delivery.unsigned().body(&delivery.body).send(address), 400, "Bad Request");
        assert_error(
            &delivery.signed("another secret of more than thirty-two bytes").send(address),
            403,
            "Forbidden",
        );
        for content_type in ["text/plain", "multipart/form-data; boundary=x", "application/xml"] {
            let other = Delivery { content_type, ..delivery.clone() };
            assert_error(&world.deliver(&other), 415, "Unsupported Media Type");
        }
        let request = delivery.unsigned().header("X-Hub-Signature-256", signature(SECRET, b""));
        let length = (BODY_BYTES_MAX + 1).to_string();
        assert_error(&request.header("Content-Length", length).send(address), 413, "Payload Too Large");

        assert!(world.verdicts(&delivery.guid).is_empty(), "a refused delivery is not one");
    });
}

#[test]
fn the_longest_payload_that_github_sends_is_accepted() {
    World::run(|world| {
        serve(world);
        let frame = br#"{"zen":""}"#.len();
        let payload = format!(r#"{{"zen":"{}"}}"#, "z".repeat(BODY_BYTES_MAX - frame));
        assert_eq!(payload.len(), BODY_BYTES_MAX);
        let guid = world.accept(&Delivery::new("ping", payload.into_bytes()));
        world.wait_for_verdict(&guid, "ping");
    });
}

#[test]
fn a_signed_body_that_is_not_json_is_kept_with_its_reason() {
    World::run(|world| {
        serve(world);
        for body in ["", "{", "null garbage", "{\"a\":1}}", "\u{0}"] {
            let delivery = Delivery::new("push", body.as_bytes().to_vec());
            assert_error(&world.deliver(&delivery), 400, "Bad Request");
            assert_eq!(world.verdict(&delivery.guid).code, "malformed");
            let bad = world.spool("main").join("bad");
            wait::until("the body to be set aside with its reason", || {
                let kept: Vec<String> = files_under(&bad)
                    .iter()
                    .map(|path| path.file_name().expect("a file has a name").to_string_lossy().into_owned())
                    .filter(|name| name.contains(&delivery.guid))
                    .collect();
                let reason = kept.iter().any(|name| name.ends_with(".reason"));
                (reason && kept.iter().any(|name| !name.ends_with(".reason"))).then_some(())
            });
        }
    });
}

#[test]
fn forty_malformed_signatures_are_refused_alike() {
    World::run(|world| {
        serve(world);
        let delivery = Delivery::ping("acme/site");
        let right = signature(SECRET, &delivery.body);
        let digits = right.trim_start_matches("sha256=").to_owned();
        let wrong = malformed_signatures(&digits);
        assert!(wrong.len() >= 40, "only {}", wrong.len());

        let mut bodies = Vec::new();
        for value in &wrong {
            let request = delivery.unsigned().header("X-Hub-Signature-256", value).body(&delivery.body);
            let answer = request.send(world.address());
            let shown = String::from_utf8_lossy(value).into_owned();
            // A header that is there but empty may count as missing.
            let expected: &[u16] = if shown.trim().is_empty() { &[400, 403] } else { &[403] };
            assert!(expected.contains(&answer.status), "{shown:?}: {answer:?}");
            answer.json();
            if answer.status == 403 {
                bodies.push(answer.body);
            }
        }
        bodies.dedup();
        assert_eq!(bodies.len(), 1, "the same answer for every failure");
        for pair in [[&right, &right], [&right, &"sha256=00".to_owned()], [&"sha256=00".to_owned(), &right]] {
            let request = pair
                .iter()
                .fold(delivery.unsigned(), |request, value| request.header("X-Hub-Signature-256", value));
            let status = request.body(&delivery.body).send(world.address()).status;
            assert!([400, 403].contains(&status), "two signatures: {status}");
        }

        assert_no_trace(world, &delivery.guid);
        let said = format!("{}{:?}", world.log(), bodies);
        assert!(!said.contains(&digits), "the right signature is told to nobody");
        world.accept(&delivery);
    });
}

/// Neither a verdict nor a file that speaks of it.
fn assert_no_trace(world: &World, guid: &str) {
    assert!(world.verdicts(guid).is_empty());
    let left: Vec<_> = files_under(&world.state())
        .into_iter()
        .filter(|path| path.to_string_lossy().contains(guid))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Around the right digits, everything that is not exactly right.
fn malformed_signatures(digits: &str) -> Vec<Vec<u8>> {
    let zeros = "0".repeat(64);
    let mut flipped_first = digits.to_owned();
    flipped_first.replace_range(0..1, if digits.starts_with('0') { "1" } else { "0" });
    let mut flipped_last = digits.to_owned();
    flipped_last.replace_range(63..64, if digits.ends_with('0') { "1" } else { "0" });
    let texts = [
        String::new(),
        "sha256=".into(),
        "sha256".into(),
        "=".into(),
        "sha1=".into(),
        format!("sha1={digits}"),
        format!("sha1={}", &digits[..40]),
        format!("sha512={digits}{digits}"),
        format!("SHA256={digits}"),
        format!("Sha256={digits}"),
        format!("sha-256={digits}"),
        format!("sha256:{digits}"),
        format!("sha256 {digits}"),
        format!("sha256= {digits}"),
        format!("sha256=={digits}"),
        format!("sha256=0x{digits}"),
        format!("sha256=\"{digits}\""),
        format!("\"sha256={digits}\""),
        format!("sha256={digits};"),
        format!("sha256={digits},sha256={digits}"),
        format!("sha256={digits} sha256={digits}"),
        format!("sha256={}", &digits[..63]),
        format!("sha256={}", &digits[1..]),
        format!("sha256={digits}0"),
        format!("sha256=0{digits}"),
        format!("sha256={digits}{digits}"),
        format!("sha256={}", &digits[..32]),
        format!("sha256={}", &digits[..2]),
        format!("sha256={flipped_first}"),
        format!("sha256={flipped_last}"),
        format!("sha256={zeros}"),
        format!("sha256={}", "f".repeat(64)),
        format!("sha256={}g", &digits[..63]),
        format!("sha256={}-", &digits[..63]),
        format!("sha256={}%30", &digits[..63]),
        format!("sha256={}", "0".repeat(4096)),
        digits.to_owned(),
        format!("hmac={digits}"),
        "sha256=null".into(),
        "sha256=true".into(),
        format!("sha256=\u{ff10}{}", &digits[1..]),
        format!("sha256={}\u{e9}", &digits[..63]),
        format!("sha256={}\u{202e}", &digits[..63]),
    ];
    let mut values: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    values.push([b"sha256=".as_slice(), &[0xff; 64]].concat());
    values.push([b"sha256=\t".as_slice(), digits.as_bytes()].concat());
    values
}

#[test]
fn an_upper_case_signature_or_a_changed_body_is_not_the_signed_one() {
    World::run(|world| {
        serve(world);
        let delivery = Delivery::ping("acme/site");
        let right = signature(SECRET, &delivery.body);
        for body in [[&delivery.body[..], b" "].concat(), delivery.body[1..].to_vec(), Vec::new()] {
            let request = delivery.unsigned().header("X-Hub-Signature-256", &right).body(&body);
            assert_error(&request.send(world.address()), 403, "Forbidden");
        }
        assert_no_trace(world, &delivery.guid);
    });
}

#[test]
fn any_of_several_secrets_signs_and_no_other() {
    World::run(|world| {
        let (old, new) =
            ("the old secret, of thirty-two bytes and more", "the new secret, of thirty-two bytes and more");
        world.settings.set("webhook_secret_token", text(new));
        world.settings.set("webhook_secrets", format!("[{}]", text(old)));
        serve(world);
        for (secret, status) in [(old, 202), (new, 202), (SECRET, 403)] {
            assert_eq!(Delivery::ping("acme/site").signed(secret).send(world.address()).status, status);
        }
    });
}

#[test]
fn a_repository_with_a_secret_of_its_own_takes_no_other() {
    World::run(|world| {
        let own = "the secret of one repository, of thirty-two bytes and more";
        world.settings.set("repositories.\"acme/site\".webhook_secret_token", text(own));
        serve(world);
        for (repository, secret, status) in [
            ("acme/site", own, 202),
            ("acme/site", SECRET, 403),
            ("acme/other", SECRET, 202),
            ("acme/other", own, 403),
        ] {
            let answer = Delivery::ping(repository).signed(secret).send(world.address());
            assert_eq!(answer.status, status, "{repository}");
        }
    });
}

#[test]
fn the_source_address_is_checked_before_anything_else() {
    World::run(|world| {
        world.settings.set("source_networks", "[\"192.0.2.0/24\", \"2001:db8::/32\"]");
        world.settings.set("proxy_fix.x_for", "1");
        serve(world);
        let send = |forwarded: &[&str]| {
            let delivery = Delivery::ping("acme/site");
            let signed = delivery.unsigned().header("X-Hub-Signature-256", signature(SECRET, &delivery.body));
            let request =
                forwarded.iter().fold(signed, |request, value| request.header("X-Forwarded-For", value));
            request.body(&delivery.body).send(world.address())
        };
        for right in ["192.0.2.7", "203.0.113.9, 192.0.2.7", "2001:db8::1", "::ffff:192.0.2.7"] {
            assert_eq!(send(&[right]).status, 202, "{right}");
        }
        for wrong in ["203.0.113.9", "192.0.2.7, 203.0.113.9", "192.0.2", "unknown", "", "2001:db9::1"] {
            assert_error(&send(&[wrong]), 403, "Forbidden");
        }
        assert_error(&send(&["192.0.2.7", "203.0.113.9"]), 403, "Forbidden");
        assert_error(&send(&[]), 403, "Forbidden");
        // Not even the method of a stranger's request to the webhook says more, and neither does its body.
        let unsigned = Delivery::ping("acme/site");
        assert_error(&unsigned.unsigned().body(&unsigned.body).send(world.address()), 403, "Forbidden");
    });
}

#[test]
fn githubs_list_on_disk_decides_who_may_call() {
    World::run(|world| {
        world.settings.set("source_networks", "\"github\"");
        world.settings.set("proxy_fix.x_for", "1");
        fs_err::create_dir_all(world.state()).expect("the world is writable");
        let list = world.state().join("github-meta.json");
        fs_err::write(&list, r#"{"hooks":["192.0.2.0/24"]}"#).expect("the world is writable");
        world.github.set_weather(crate::support::github::Weather::Fails);
        serve(world);
        let send = |world: &World, from: &str| {
            let delivery = Delivery::ping("acme/site");
            let signed = delivery.unsigned().header("X-Hub-Signature-256", signature(SECRET, &delivery.body));
            signed.header("X-Forwarded-For", from).body(&delivery.body).send(world.address()).status
        };
        assert_eq!((send(world, "192.0.2.7"), send(world, "203.0.113.9")), (202, 403));

        world.stop();
        fs_err::remove_file(&list).expect("it was there");
        world.start();
        assert_eq!(send(world, "192.0.2.7"), 503, "without a list nobody is let in");
    });
}

#[test]
fn the_delivery_id_is_a_guid_or_refused() {
    World::run(|world| {
        serve(world);
        let upper = guid().to_uppercase();
        let long = "a".repeat(4096);
        for id in ["", "../../../etc/cron.d/x", "..%2f..%2fx", "x", "/etc/passwd", ".", upper.as_str(), &long]
        {
            let delivery = Delivery { guid: id.to_owned(), ..Delivery::ping("acme/site") };
            assert_eq!(world.deliver(&delivery).status, 400, "{id:?}");
        }
        let paths = files_under(world.root());
        assert!(paths.iter().all(|path| !path.to_string_lossy().contains("cron.d")), "{paths:?}");
    });
}

#[test]
fn slow_clients_are_shown_out_and_hinder_nobody() {
    World::run(|world| {
        world.settings.set("limits.connections_max", "1000");
        world.settings.set("limits.connections_per_address_max", "1000");
        world.settings.set("limits.header_timeout", "\"3s\"");
        world.settings.set("limits.body_timeout", "\"3s\"");
        serve(world);
        let delivery = Delivery::ping("acme/site");
        let whole = delivery.signed(SECRET).bytes();
        let head_end =
            whole.windows(4).position(|window| window == b"\r\n\r\n").expect("a request has a head") + 4;
        let mut waiting = Vec::new();
        for (count, sent) in [(200, 20), (50, head_end), (50, head_end + 10)] {
            for _ in 0..count {
                let mut connection = connect(world.address());
                connection.write_all(&whole[..sent]).expect("the server reads");
                waiting.push(connection);
            }
        }
        for _ in 0..20 {
            world.accept(&Delivery::ping("acme/site"));
        }
        for mut connection in waiting.into_iter().step_by(20) {
            // 408 or nothing: what counts is that the server ends it before this client's own read limit.
            let status = Answer::read(&mut connection).map(|answer| answer.status);
            assert!(status.is_none() || status == Some(408), "{status:?}");
            assert!(
                connection.write_all(&whole).is_err() || has_ended(&connection),
                "the server let it wait"
            );
        }
        assert_no_trace(world, &delivery.guid);
    });
}

#[test]
fn when_all_connections_are_taken_a_good_push_waits_and_is_accepted() {
    World::run(|world| {
        world.settings.set("limits.connections_max", "20");
        world.settings.set("limits.header_timeout", "\"3s\"");
        serve(world);
        let idle: Vec<_> = (0..60).map(|_| connect(world.address())).collect();
        let guid = world.accept(&Delivery::ping("acme/site"));
        world.wait_for_verdict(&guid, "ping");
        drop(idle);
    });
}

// The kernel has said to its caller that it is connected, and the request may be there already.
#[test]
fn a_push_that_was_accepted_and_waits_for_a_place_is_answered_although_the_service_stops() {
    World::run(|world| {
        world.settings.set("limits.connections_max", "1");
        serve(world);
        let first = Delivery::ping("acme/site").signed(SECRET).bytes();
        let (beginning, rest) = first.split_at(20);
        let mut taking = connect(world.address());
        taking.write_all(beginning).unwrap();
        let mut waiting = connect(world.address());
        waiting.write_all(&Delivery::ping("acme/site").signed(SECRET).bytes()).unwrap();
        let port: u16 = world.address().rsplit(':').next().unwrap().parse().unwrap();
        wait::until("both to be accepted", || is_backlog_empty(port).then_some(()));
        world.signal(Signal::TERM);
        taking.write_all(rest).unwrap();
        for connection in [&mut taking, &mut waiting] {
            assert_eq!(Answer::read(connection).expect("it is answered").status, 202);
        }
        assert!(world.wait_for_exit().success());
    });
}

/// Whether no connection waits in the kernel to be accepted at this port: `/proc/net/tcp` has that number as what is to be read.
fn is_backlog_empty(port: u16) -> bool {
    let table = fs_err::read_to_string("/proc/net/tcp").expect("Linux has it");
    let listening = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut ours =
        listening.filter(|fields| fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == "0A");
    ours.next().is_some_and(|fields| fields[4].ends_with(":00000000"))
}

/// Whether the peer has closed: a read gives an end or an error other than "nothing yet".
fn has_ended(mut connection: &std::net::TcpStream) -> bool {
    use std::io::{ErrorKind, Read};
    match connection.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}
