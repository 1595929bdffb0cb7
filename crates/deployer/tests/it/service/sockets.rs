//! A listening socket that whoever starts the daemon holds: restarts refuse nobody.

use crate::support::http::{Answer, connect};
use crate::support::process::{command, describe, output};
use crate::support::push::Delivery;
use crate::support::sender::Sender;
use crate::support::wait;
use crate::support::world::{SECRET, World};
use rustix::process::Signal;
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

/// Passes its standard input on as descriptor 3, as sd_listen_fds(3) describes.
const PASS: &str =
    r#"exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=webhook; exec "$@""#;

/// The same command, to which a socket is passed.
fn passing(listener: &TcpListener, daemon: &Command) -> Command {
    let mut passing = command("sh", "/".as_ref());
    let listener = OwnedFd::from(listener.try_clone().expect("descriptors are left"));
    passing
        .args(["-c", PASS, "pass"])
        .arg(daemon.get_program())
        .args(daemon.get_args())
        .stdin(Stdio::from(listener));
    passing.current_dir(daemon.get_current_dir().expect("the world's"));
    for (name, value) in daemon.get_envs() {
        passing.env(name, value.expect("nothing is taken away"));
    }
    passing
}

#[test]
fn restarts_on_a_passed_socket_refuse_nobody_and_lose_nothing() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let held = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = held.local_addr().expect("it is bound").to_string();
        let start = |world: &mut World| {
            let serve = passing(&held, &world.product(&["serve"]));
            assert!(world.launch(serve).is_none(), "{}", world.log());
            assert_eq!(
                world.address(),
                address,
                "it listens where it was told to, not where it is configured"
            );
        };
        start(world);
        let sender = Sender::start(world);
        for text in ["one", "two", "three"] {
            let commit = repository.commit(&[("index.html", text)], text);
            world.deploy("site", &repository, &commit);
            assert!(world.stop().success());
            start(world);
            assert_eq!(world.live("site", "index.html").as_deref(), Some(text));
        }
        assert!(sender.finish(world) > 10);
        // Whom a killed one was just hearing gets no answer; the next is heard by its successor.
        world.kill();
        let waits = std::thread::spawn({
            let address = world.address().to_owned();
            move || Delivery::ping("acme/site").signed(SECRET).send(&address).status
        });
        start(world);
        assert_eq!(waits.join().expect("it is answered"), 202);
    });
}

#[test]
fn what_systemd_passes_is_taken_and_what_was_passed_to_another_is_not() {
    World::run(|world| {
        world.configure(&[]);
        // A number that was free a moment ago: systemd's program opens the socket itself.
        let address = TcpListener::bind("127.0.0.1:0")
            .expect("a port is free")
            .local_addr()
            .expect("bound")
            .to_string();
        let daemon = world.product(&["serve"]);
        let mut activate = command("systemd-socket-activate", world.root());
        activate.args(["--listen", &address]).current_dir(world.root());
        for (name, value) in daemon.get_envs() {
            let value = value.expect("nothing is taken away").to_string_lossy();
            activate.arg(format!("--setenv={}={value}", name.to_string_lossy()));
        }
        activate.arg(daemon.get_program()).args(daemon.get_args());
        let ping = Delivery::ping("acme/site");
        std::thread::scope(|scope| {
            // It starts the daemon for the first who calls, who waits meanwhile.
            let caller =
                scope.spawn(|| wait::until("an answer", || ping.signed(SECRET).send_to_mortal(&address)));
            assert!(world.launch(activate).is_none(), "{}", world.log());
            assert_eq!(caller.join().expect("it was answered").status, 202);
        });
        assert_eq!(world.address(), address);
        world.wait_for_verdict(&ping.guid, "ping");
        world.stop();

        let mut inherited = world.product(&["serve"]);
        inherited.env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
        assert!(world.launch(inherited).is_none(), "{}", world.log());
        assert_ne!(world.address(), address);
        world.accept(&Delivery::ping("acme/site"));
    });
}

#[test]
fn what_is_no_listening_port_is_refused_in_words() {
    World::run(|world| {
        world.configure(&[]);
        let serve = world.product(&["serve"]);
        let mut with_file = command("sh", world.root());
        with_file.args(["-c", PASS, "pass"]).arg(serve.get_program()).args(serve.get_args());
        let refused = output(&mut with_file);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains("ListenStream="), "{}", describe(&refused));
    });
}

#[test]
fn who_was_accepted_just_before_a_stop_is_heard() {
    World::run(|world| {
        world.configure(&[]);
        world.start();
        let mut connection = connect(world.address());
        // Answered after it, so the other one has been accepted too.
        world.accept(&Delivery::ping("acme/site"));
        world.signal(Signal::TERM);
        wait::until("it to stop", || world.log().contains("stopping").then_some(()));
        let ping = Delivery::ping("acme/site");
        connection.write_all(&ping.signed(SECRET).bytes()).expect("it is open");
        assert_eq!(Answer::read(&mut connection).map(|answer| answer.status), Some(202));
        assert!(world.wait_for_exit().success());
        world.start();
        world.wait_for_verdict(&ping.guid, "ping");
    });
}
