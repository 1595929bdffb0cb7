//! Somebody who sends deliveries without a pause until told to end; every one must be accepted.

use super::push::Delivery;
use super::world::{SECRET, World};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

pub struct Sender {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Vec<String>>,
}

impl Sender {
    pub fn start(world: &World) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (address, seen) = (world.address().to_owned(), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            let mut accepted = Vec::new();
            while !seen.load(Ordering::Relaxed) {
                let ping = Delivery::ping("acme/site");
                let answer = ping.signed(SECRET).send_to_mortal(&address);
                let answer = answer.unwrap_or_else(|| panic!("not answered, after {} were", accepted.len()));
                assert_eq!(answer.status, 202, "{answer:?}");
                accepted.push(ping.guid);
                // Some hundreds are enough; each costs a verdict.
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            accepted
        });
        Self { ended, thread }
    }

    /// Ends, and says how many there were; each of some of them has its verdict.
    #[track_caller]
    pub fn finish(self, world: &World) -> usize {
        self.ended.store(true, Ordering::Relaxed);
        let accepted = self.thread.join().expect("every delivery was accepted");
        for guid in accepted.iter().step_by(accepted.len() / 10 + 1) {
            world.wait_for_verdict(guid, "ping");
        }
        accepted.len()
    }
}
