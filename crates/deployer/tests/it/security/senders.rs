//! Every way to send, and to read, slowly, much or wrongly: what the intake holds in memory, and whether a good push is answered
//! meanwhile.
//!
//! The intake runs by itself here (`listen`), as the package has it. The callers come from several addresses, because one gets no more
//! than `limits.connections_per_address_max`.

use crate::support::http::{connect_from, is_cut_off};
use crate::support::memory::{forget_peak, peak_kilobytes};
use crate::support::push::{Delivery, signature};
use crate::support::wait;
use crate::support::world::{SECRET, World, files_under};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};

/// What the intake may hold, whatever callers do.
const MEMORY_KILOBYTES_MAX: u64 = 96 * 1024;

/// Callers at once: all places but six.
const CALLERS: usize = 250;

const MIB: usize = 1024 * 1024;

/// One way to be a burden.
struct Way {
    name: &'static str,
    callers: usize,
    /// What each caller sends, as far as it is taken.
    bytes: Vec<u8>,
    /// What it does then.
    then: Then,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// Nothing: neither sends nor reads.
    Waits,
    /// Sends no more, and says so.
    HalfCloses,
    /// Vanishes, and another takes its place, several times.
    Aborts,
    /// Reads a byte now and then.
    ReadsSlowly,
    /// Waits for the answer.
    Reads,
}

fn head(lines: &[&str]) -> Vec<u8> {
    let signature = format!("X-Hub-Signature-256: {}", signature(SECRET, b"something else"));
    let fixed = ["POST /github-webhook HTTP/1.1", "Host: x", "Content-Type: application/json", &signature];
    [fixed.as_slice(), lines, &["", ""]].concat().join("\r\n").into_bytes()
}

fn chunked(chunks: &[u8]) -> Vec<u8> {
    [&head(&["Transfer-Encoding: chunked"])[..], chunks].concat()
}

fn with_body(length: usize, sent: usize) -> Vec<u8> {
    [&head(&[&format!("Content-Length: {length}")])[..], &vec![b' '; sent]].concat()
}

/// What somebody sends who has the secret.
fn signed(content_type: &'static str, body: Vec<u8>) -> Vec<u8> {
    Delivery { content_type, ..Delivery::new("push", body) }.signed(SECRET).bytes()
}

fn ways() -> Vec<Way> {
    let of = |name, then, bytes| Way { name, callers: CALLERS, bytes, then };
    let few = |name, callers, bytes| Way { name, callers, bytes, then: Then::Reads };
    let one_byte_chunks = b"1\r\nx\r\n".repeat(60 * 1024);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    let long_extension = [b"1;".as_slice(), &vec![b'e'; 15 * 1024], b"\r\nx\r\n"].concat();
    let trailers = format!("X-T: {}\r\n", "t".repeat(1000)).repeat(100).into_bytes();
    let unfinished = "POST /github-webhook HTTP/1.1\r\nHost: x\r\n";
    let million_fields = b"a=1&".repeat(MIB);
    let nested = vec![b'['; 24 * MIB];
    let deep = [br#"{"a":"#.repeat(MIB).as_slice(), b"1", &b"}".repeat(MIB)].concat();
    let encoded = [b"payload=".as_slice(), &b"%7B".repeat(8 * MIB)].concat();
    vec![
        of("nothing at all", Then::Waits, Vec::new()),
        of("20 bytes of a head", Then::Waits, unfinished.as_bytes()[..20].to_vec()),
        of(
            "a line of a head without an end",
            Then::Waits,
            [unfinished.as_bytes(), &vec![b'h'; MIB]].concat(),
        ),
        of(
            "a head of a thousand lines",
            Then::Waits,
            [unfinished, &"X-H: h\r\n".repeat(1000)].concat().into_bytes(),
        ),
        of(
            "the beginning of TLS",
            Then::Waits,
            [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &[7; 500]].concat(),
        ),
        of("HTTP/2", Then::Waits, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        of(
            "an upgrade to WebSocket",
            Then::Waits,
            head(&["Connection: Upgrade", "Upgrade: websocket", "Content-Length: 9"]),
        ),
        of("a head, and the body never", Then::Waits, with_body(1000, 0)),
        of(
            "Expect: 100-continue, and the body never",
            Then::Waits,
            head(&["Expect: 100-continue", "Content-Length: 60000"]),
        ),
        of("HTTP/1.0 without a length", Then::Waits, b"POST /github-webhook HTTP/1.0\r\n\r\nbody".to_vec()),
        of("one-byte chunks", Then::Waits, chunked(&one_byte_chunks)),
        of(
            "chunks of a kilobyte without an end",
            Then::Waits,
            chunked(&[b"400\r\n".as_slice(), &[b'x'; 1024], b"\r\n"].concat().repeat(500)),
        ),
        of("chunks with long extensions", Then::Waits, chunked(&long_extension.repeat(8))),
        of("trailers of 100 KB", Then::Waits, chunked(&[b"0\r\n".as_slice(), &trailers].concat())),
        of("64 KiB less one byte", Then::Waits, with_body(64 * 1024, 64 * 1024 - 1)),
        of("25 MiB announced, one byte sent", Then::Waits, with_body(25 * MIB, 1)),
        of("25 MiB announced, one MiB sent", Then::Waits, with_body(25 * MIB, MIB)),
        of(
            "a packed body",
            Then::Waits,
            [&head(&["Content-Encoding: gzip", "Content-Length: 60000"])[..], &[0x1f; 59_999]].concat(),
        ),
        of("half a body, and the end", Then::HalfCloses, with_body(60_000, 30_000)),
        of("half a body, and gone", Then::Aborts, with_body(60_000, 30_000)),
        of("a thousand pages asked for, none read", Then::Waits, get("/runs/x").repeat(1000)),
        of("a thousand pages asked for, read byte by byte", Then::ReadsSlowly, get("/").repeat(1000)),
        of("wrongly signed pushes, no answer read", Then::Waits, with_body(1000, 1000).repeat(200)),
        of(
            "what is not allowed, no answer read",
            Then::Waits,
            b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n"
                .iter()
                .copied()
                .chain([b' '; 9000])
                .collect::<Vec<u8>>()
                .repeat(50),
        ),
        few(
            "signed: a form of a million fields",
            4,
            signed("application/x-www-form-urlencoded", million_fields),
        ),
        few("signed: a form, all of it encoded", 1, signed("application/x-www-form-urlencoded", encoded)),
        few("signed: 24 MiB of brackets", 1, signed("application/json", nested)),
        few("signed: a million objects in each other", 2, signed("application/json", deep)),
    ]
}

#[test]
fn no_way_to_send_or_read_takes_memory_or_keeps_a_good_push_out() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let listen = world.product(&["listen"]);
        assert!(world.launch(listen).is_none(), "{}", world.log());
        let mut table =
            vec![format!("{:>9}  {:>6}  {:>7}  {}", "peak/kB", "pushes", "callers", "what each does")];
        let mut largest = 0;
        for way in ways() {
            forget_peak(world.daemon_id());
            let mut answered = 0;
            let callers = begin(world, &way);
            for _ in 0..5 {
                world.accept(&Delivery::ping("acme/site"));
                answered += 1;
            }
            finish(&way, callers);
            let peak = peak_kilobytes(world.daemon_id());
            table.push(format!("{peak:>9}  {answered:>6}  {:>7}  {}", way.callers, way.name));
            largest = largest.max(peak);
        }
        eprintln!("{}", table.join("\n"));
        assert!(largest < MEMORY_KILOBYTES_MAX, "{largest} kB at the peak:\n{}", table.join("\n"));
    });
}

/// All callers, each having sent what the server and the kernels between have taken.
fn begin(world: &World, way: &Way) -> Vec<TcpStream> {
    let rounds = if way.then == Then::Aborts { 4 } else { 1 };
    let mut callers = Vec::new();
    for _ in 0..rounds {
        // Dropped with what they have not read: the other side sees a reset.
        callers.clear();
        callers.extend((0..way.callers).map(|number| {
            let address = Ipv4Addr::new(127, 0, 1, u8::try_from(1 + number % 10).expect("ten addresses"));
            connect_from(address, world.address())
        }));
        if way.then == Then::Reads {
            continue;
        }
        let mut sent = vec![0; callers.len()];
        // Until nobody could send any more, several times over: the server has had its turns in between.
        let mut idle = 0;
        while idle < 3 {
            let before: usize = sent.iter().sum();
            for (caller, sent) in callers.iter_mut().zip(&mut sent) {
                send_on(caller, &way.bytes, sent);
            }
            let went_on = sent.iter().sum::<usize>() > before;
            idle = if went_on { 0 } else { idle + 1 };
            world.accept(&Delivery::ping("acme/site"));
            if way.then == Then::ReadsSlowly {
                callers.iter_mut().for_each(|caller| drop(caller.read(&mut [0])));
            }
        }
    }
    if way.then == Then::HalfCloses {
        // One that was refused already has nothing to close.
        callers.iter().for_each(|caller| drop(caller.shutdown(Shutdown::Write)));
    }
    callers
}

fn send_on(caller: &mut TcpStream, bytes: &[u8], sent: &mut usize) {
    caller.set_nonblocking(true).expect("sockets can");
    while *sent < bytes.len() {
        match caller.write(&bytes[*sent..]) {
            Ok(count) => *sent += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            // It was refused: it has nothing more to say.
            Err(_) => *sent = bytes.len(),
        }
    }
}

/// Those who have the secret send all of it, one beside the other, and are answered.
fn finish(way: &Way, callers: Vec<TcpStream>) {
    if way.then != Then::Reads {
        return;
    }
    std::thread::scope(|scope| {
        for mut caller in callers {
            scope.spawn(move || {
                caller.write_all(&way.bytes).expect("it is read");
                let mut answer = Vec::new();
                caller.read_to_end(&mut answer).expect("it is answered");
                let answer = String::from_utf8_lossy(&answer).into_owned();
                assert!(
                    answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.1 503"),
                    "{}: {answer}",
                    way.name
                );
            });
        }
    });
}

// Whoever does not read what he asked for loses his connection, also if he reads a little.
#[test]
fn slow_readers_are_cut_off() {
    World::run(|world| {
        world.settings.set("limits.header_timeout", "\"1s\"");
        world.settings.set("limits.body_timeout", "\"1s\"");
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let questions = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100_000);
        let mut readers: Vec<TcpStream> =
            (0..20).map(|_| connect_from(Ipv4Addr::LOCALHOST, world.address())).collect();
        let mut sent = vec![0; readers.len()];
        wait::until("all who read nothing, or nearly nothing, to be cut off", || {
            for (number, (reader, sent)) in readers.iter_mut().zip(&mut sent).enumerate() {
                send_on(reader, &questions, sent);
                if number % 2 == 0 {
                    let _ = reader.read(&mut [0]);
                }
            }
            readers.iter().all(is_cut_off).then_some(())
        });
        world.accept(&Delivery::ping("acme/site"));
    });
}

// One stranger cannot take all places, and whoever may do nothing here gets none.
#[test]
fn addresses_are_judged_when_a_connection_is_accepted() {
    World::run(|world| {
        let [pusher, reader, stranger] = [3, 4, 5].map(|last| Ipv4Addr::new(127, 0, 0, last));
        world.settings.set("source_networks", format!("[\"{pusher}/32\"]"));
        world.settings.set("page_networks", format!("[\"{reader}/32\"]"));
        world.settings.set("limits.header_timeout", "\"60s\"");
        world.settings.set("limits.connections_max", "12");
        world.settings.set("limits.connections_per_address_max", "4");
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let say = |from: Ipv4Addr, bytes: &[u8]| {
            let mut connection = connect_from(from, world.address());
            // Who is turned away may find the connection closed before he has said anything.
            let _ = connection.write_all(bytes);
            let mut answer = Vec::new();
            let _ = connection.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        };
        let push = || Delivery::ping("acme/site").signed(SECRET).bytes();
        let page = b"GET / HTTP/1.0\r\n\r\n";

        let _all_that_one_may_have: Vec<_> = (0..4).map(|_| connect_from(pusher, world.address())).collect();
        let turned_away: Vec<_> = (0..30).map(|_| connect_from(pusher, world.address())).collect();
        wait::until("those beyond to be turned away", || turned_away.iter().all(is_cut_off).then_some(()));
        let strangers: Vec<_> = (0..30).map(|_| connect_from(stranger, world.address())).collect();
        wait::until("strangers to be turned away", || strangers.iter().all(is_cut_off).then_some(()));
        assert_eq!(say(stranger, &push()), "");
        // A quarter of the places is for those who only read.
        let visitors: Vec<_> = (0..30).map(|_| connect_from(reader, world.address())).collect();
        wait::until("all visitors but three to be turned away", || {
            (visitors.iter().filter(|visitor| is_cut_off(visitor)).count() == 27).then_some(())
        });
        drop((visitors, _all_that_one_may_have));
        wait::until("a page for whom it is", || say(reader, page).starts_with("HTTP/1.0 200").then_some(()));
        assert!(say(reader, &push()).starts_with("HTTP/1.1 403"));
        wait::until("a push from where it may come", || {
            say(pusher, &push()).starts_with("HTTP/1.1 202").then_some(())
        });
        assert!(say(pusher, page).starts_with("HTTP/1.0 403"));
    });
}

// Behind a proxy, too, one address has only so many connections, and whoever stands where the proxy does and says nothing does not keep
// the places.
#[test]
fn callers_behind_a_proxy_are_counted() {
    World::run(|world| {
        world.settings.set("proxy_fix.x_for", "1");
        world.settings.set("limits.header_timeout", "\"60s\"");
        world.settings.set("limits.body_timeout", "\"60s\"");
        world.settings.set("limits.connections_max", "12");
        world.settings.set("limits.connections_per_address_max", "4");
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let push_for = |world: &World, client: &str| {
            let push = Delivery::ping("acme/site").signed(SECRET).header("X-Forwarded-For", client);
            push.send(world.address()).status
        };
        let connect = || connect_from(Ipv4Addr::new(127, 0, 0, 9), world.address());
        let cut_off = |callers: &[TcpStream]| callers.iter().filter(|caller| is_cut_off(caller)).count();

        // Every place is taken by connections that say nothing: the push waits for a place, and gets one.
        let silent: Vec<_> = (0..12).map(|_| connect()).collect();
        assert_eq!(push_for(world, "192.0.2.7"), 202);
        // Eight for want of time, and the oldest of the four others for want of a place.
        wait::until("all silent ones but four to be cut off", || (cut_off(&silent) >= 8).then_some(()));
        drop(silent);

        // Who names nobody is the caller, and who is named is.
        for line in [None, Some("X-Forwarded-For: 192.0.2.9")] {
            let lines = [Some("Content-Length: 1000000"), line];
            let lines: Vec<&str> = lines.into_iter().flatten().collect();
            let begin = || {
                let mut caller = connect();
                let _ = caller.write_all(&head(&lines));
                caller
            };
            let slow: Vec<_> = (0..8).map(|_| begin()).collect();
            wait::until("all but four to be turned away", || (cut_off(&slow) == 4).then_some(()));
            let client = if line.is_some() { "192.0.2.9" } else { "127.0.0.9" };
            assert_eq!((push_for(world, client), push_for(world, "192.0.2.8")), (503, 202), "{line:?}");
            drop(slow);
            wait::until("the places to be given back", || (push_for(world, client) == 202).then_some(()));
        }
    });
}

/// What a caller sends, by its number.
type SentBy<'a> = &'a dyn Fn(usize) -> Vec<u8>;

// A build on the host can connect as the proxy does, and name another caller each time. It keeps nobody out: who is waited for makes room.
#[test]
fn whoever_stands_beside_the_proxy_keeps_no_good_push_out() {
    World::run(|world| {
        world.settings.set("proxy_fix.x_for", "1");
        world.settings.set("limits.header_timeout", "\"10m\"");
        world.settings.set("limits.body_timeout", "\"10m\"");
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let listen = world.product(&["listen"]);
        assert!(world.launch(listen).is_none(), "{}", world.log());
        let names = |number: usize| format!("X-Forwarded-For: 140.82.{}.{}", number / 250, number % 250);
        let begun = |number, length: &str, sent: usize| {
            [&head(&[&names(number), length])[..], &vec![b' '; sent]].concat()
        };
        let page = |number| format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n\r\n", names(number));
        let ways: [(&str, SentBy<'_>); 6] = [
            ("nothing at all", &|_| Vec::new()),
            ("a head, and the body never", &|number| begun(number, "Content-Length: 1000", 0)),
            ("a body less one byte", &|number| begun(number, "Content-Length: 60000", 59_999)),
            ("chunks without an end", &|number| {
                [&begun(number, "Transfer-Encoding: chunked", 0)[..], b"3e8\r\n", &[b' '; 1000]].concat()
            }),
            ("a refused request, and the body never", &|number| {
                format!(
                    "POST /github-webhook HTTP/1.1\r\nHost: x\r\n{}\r\nContent-Length: 9\r\n\r\n",
                    names(number)
                )
                .into_bytes()
            }),
            ("many pages asked for, none read", &|number| page(number).repeat(5000).into_bytes()),
        ];
        for (name, bytes) in ways {
            forget_peak(world.daemon_id());
            let mut callers = Vec::new();
            for number in 0..CALLERS + 50 {
                let mut caller = connect_from(Ipv4Addr::new(127, 0, 0, 9), world.address());
                send_on(&mut caller, &bytes(number), &mut 0);
                callers.push(caller);
            }
            for _ in 0..5 {
                let push =
                    Delivery::ping("acme/site").signed(SECRET).header("X-Forwarded-For", "140.82.120.9");
                assert_eq!(push.send(world.address()).status, 202, "{name}");
            }
            let peak = peak_kilobytes(world.daemon_id());
            assert!(peak < MEMORY_KILOBYTES_MAX, "{name}: {peak} kB");
        }
    });
}

// A name in an event that leads to nothing is text of others as every name is.
#[test]
fn what_is_signed_and_leads_to_nothing_fills_no_record() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let long = "n".repeat(4 * MIB);
        let named = |rest: &str| format!(r#"{{{rest}"repository":{{"full_name":"{long}"}}}}"#);
        let wrong_kind =
            format!(r#"{{"ref":"refs/heads/main","after":"","deleted":"{long}","repository":{{}}}}"#);
        for (event, body, status, verdict) in [
            ("watch", named(""), 202, "event-not-handled"),
            ("ping", named(""), 202, "ping"),
            ("push", named(r#""ref":3,"#), 400, "malformed"),
            ("check_run", named(r#""check_run":{},"#), 400, "malformed"),
            ("push", wrong_kind, 400, "malformed"),
        ] {
            let delivery = Delivery::new(event, body.into_bytes());
            assert_eq!(world.deliver(&delivery).status, status, "{event}");
            world.wait_for_verdict(&delivery.guid, verdict);
            let explained = world.cli(&["explain", &delivery.guid]);
            assert!(
                explained.stdout.len() < 16 * 1024,
                "{event}: {} bytes are shown",
                explained.stdout.len()
            );
        }
        let record: u64 = files_under(&world.state())
            .iter()
            .filter(|file| {
                file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("record.sqlite"))
            })
            .map(|file| file.metadata().map_or(0, |found| found.len()))
            .sum();
        assert!(record < 4 * MIB as u64, "the database has {record} bytes");
    });
}

// Whoever has a secret, and sends nonsense, fills no disk with it.
#[test]
fn what_is_signed_and_cannot_be_read_is_kept_once_and_not_without_end() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let bad = world.spool("main").join("bad");
        let kept = || {
            let files = files_under(&bad);
            let entries: Vec<_> =
                files.into_iter().filter(|file| file.extension().is_some_and(|end| end == "json")).collect();
            let bytes: u64 = entries.iter().map(|file| file.metadata().map_or(0, |found| found.len())).sum();
            (entries.len(), bytes)
        };
        let send = |world: &World, body: &[u8]| {
            let delivery = Delivery::new("push", body.to_vec());
            assert_eq!(world.deliver(&delivery).status, 400);
            world.wait_for_verdict(&delivery.guid, "malformed");
            let after = world.accept(&Delivery::ping("acme/site"));
            world.wait_for_verdict(&after, "ping");
        };
        let brackets = vec![b'['; 2 * MIB];
        let object = [br#"{"ref":""#.as_slice(), &vec![b'r'; 2 * MIB], br#""}"#].concat();
        for _ in 0..3 {
            send(world, &brackets);
            send(world, &object);
        }
        send(world, b"[]");
        let (entries, bytes) = kept();
        assert_eq!(entries, 3, "each once");
        assert!(bytes < 256 * 1024, "{bytes}");
        assert!(world.log().contains("the same body was dead-lettered before"), "{}", world.log());

        for number in 0..1000 {
            let name = format!("{number:020}-{}.json", crate::support::push::guid());
            fs_err::write(bad.join(name), "of an operator").expect("it is the test's");
        }
        send(world, b"[1]");
        assert_eq!(kept().0, 1003, "nothing makes room for it");
        let doctor = String::from_utf8_lossy(&world.cli(&["doctor"]).stdout).into_owned();
        assert!(doctor.contains("no further delivery that cannot be read is kept"), "{doctor}");
        // What can be read is dealt with as ever.
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.deploy("site", &repository, &commit);
    });
}
