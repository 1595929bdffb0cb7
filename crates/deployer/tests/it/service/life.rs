//! Signs of life for the service manager: given by a daemon that can do its work, and by no other.

use crate::support::push::Delivery;
use crate::support::wait;
use crate::support::world::World;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// `WatchdogSec=`: a sign comes twice in it.
const INTERVAL: Duration = Duration::from_secs(1);

/// Stands for systemd.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn of(world: &mut World) -> Self {
        let path = world.root().join("notify");
        let socket = UnixDatagram::bind(&path).expect("the world is writable");
        // As long as it takes systemd to lose patience, and then as long again twice.
        socket.set_read_timeout(Some(3 * INTERVAL)).expect("a positive timeout");
        let notify = path.to_string_lossy().into_owned();
        world.environment.push(("NOTIFY_SOCKET".into(), notify));
        world.environment.push(("WATCHDOG_USEC".into(), INTERVAL.as_micros().to_string()));
        Self { socket }
    }

    /// What it is told next; None where it is told nothing for longer than it would wait.
    fn told(&self) -> Option<String> {
        let mut buffer = [0; 4096];
        match self.socket.recv(&mut buffer) {
            Ok(count) => Some(String::from_utf8_lossy(&buffer[..count]).into_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("{error}"),
        }
    }

    #[track_caller]
    fn sees_life(&self, signs: usize) {
        let mut seen = 0;
        while seen < signs {
            let told = self.told().expect("a sign of life before systemd loses patience");
            seen += usize::from(told.contains("WATCHDOG=1"));
        }
    }

    #[track_caller]
    fn loses_patience(&self) {
        // A few may be on their way.
        assert!((0..20).any(|_| self.told().is_none()), "signs of life of a daemon that can do nothing");
    }
}

// prlimit(2) needs no more than the same user, and a process without descriptors goes on as if nothing were.
#[test]
fn a_daemon_that_gets_no_descriptors_gives_no_signs_of_life() {
    for part in ["serve", "listen", "work"] {
        World::run(|world| {
            let repository = world.repository("acme/site");
            world.configure(&[world.deployment("site", &repository)]);
            let manager = Manager::of(world);
            let mut daemon = world.product(&[part]);
            let process = match part {
                // It opens no door, so nobody can wait for that.
                "work" => {
                    world.start();
                    world.stop();
                    let log = fs_err::File::create(world.root().join("work.log")).expect("writable");
                    daemon.stderr(log.into_parts().0);
                    Some(daemon.spawn().expect("the product's binary was built"))
                }
                _ => {
                    assert!(world.launch(daemon).is_none(), "{}", world.log());
                    None
                }
            };
            let pid = process.as_ref().map_or_else(
                || Pid::from_raw(i32::try_from(world.daemon_id()).expect("a pid")).expect("a pid"),
                Pid::from_child,
            );
            manager.sees_life(3);

            let limits = getrlimit(Resource::Nofile);
            let none = Rlimit { current: Some(0), maximum: limits.maximum };
            prlimit(Some(pid), Resource::Nofile, none).expect("it is our child");
            manager.loses_patience();

            // As it must be: systemd would have started it again. Here it is given back what it needs.
            prlimit(Some(pid), Resource::Nofile, limits).expect("it is our child");
            wait::until("it to live again", || {
                manager.told().filter(|told| told.contains("WATCHDOG=1")).map(drop)
            });
            match process {
                Some(mut process) => {
                    rustix::process::kill_process(pid, rustix::process::Signal::TERM)
                        .expect("it is our child");
                    assert!(process.wait().expect("it is our child").success());
                }
                None => drop(world.accept(&Delivery::ping("acme/site"))),
            }
        });
    }
}

// A database that is away is no reason to start again: it is not better then.
#[test]
fn a_daemon_whose_database_is_away_gives_signs_of_life() {
    World::run(|world| {
        world.settings.set("database_url", "\"postgres://deployer:nobody@127.0.0.1:1/deployer\"");
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let manager = Manager::of(world);
        world.start();
        manager.sees_life(30);
        world.accept(&Delivery::ping("acme/site"));
    });
}

// Nor are callers who take every place: they would have it started again and again.
#[test]
fn a_daemon_all_of_whose_places_are_taken_gives_signs_of_life() {
    World::run(|world| {
        world.settings.set("limits.connections_max", "5");
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let manager = Manager::of(world);
        world.start();
        let _taken: Vec<_> = (0..20).map(|_| crate::support::http::connect(world.address())).collect();
        manager.sees_life(10);
    });
}
