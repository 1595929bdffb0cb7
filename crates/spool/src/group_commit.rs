//! One fsync of a directory for all who wait for one.
//!
//! An fsync covers every rename that happened before it started. A thread that arrives while one runs must
//! therefore wait for the next, and all who arrived in that time share it: the first of them to wake leads,
//! the others follow. A lone thread never waits for company.
//!
//! The first failure is final. After a failed fsync the kernel may mark as clean what it could not write, so
//! that a repeated one "succeeds" over lost data; nobody gets an answer from this directory again until it
//! has been opened anew.

use std::sync::{Condvar, Mutex, MutexGuard};

use crate::error::OperationError;

#[derive(Default)]
pub(crate) struct GroupCommit {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Rounds are numbered from 1.
    started: u64,
    finished: u64,
    failure: Option<OperationError>,
}

impl GroupCommit {
    /// The failure that ended this directory's service, if there was one.
    pub(crate) fn failure(&self) -> Option<OperationError> {
        self.lock().failure.clone()
    }

    /// Returns once a round that started after this call has succeeded. `sync` is called by the thread that
    /// leads one.
    pub(crate) fn wait(&self, sync: impl Fn() -> Result<(), OperationError>) -> Result<(), OperationError> {
        let mut state = self.lock();
        let needed = state.started + 1;
        loop {
            if state.finished >= needed {
                return Ok(());
            }
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if state.started > state.finished {
                state = self.changed.wait(state).expect(NOT_POISONED);
                continue;
            }
            state.started += 1;
            let round = state.started;
            drop(state);
            let result = sync();
            state = self.lock();
            match result {
                Ok(()) => state.finished = round,
                Err(error) => state.failure = Some(error),
            }
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(NOT_POISONED)
    }
}

const NOT_POISONED: &str = "nothing that holds this lock can panic";

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    #[test]
    fn a_round_that_had_started_does_not_count() {
        let commit = GroupCommit::default();
        let rounds = AtomicU64::new(0);
        let (running, go_on) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                commit.wait(|| {
                    running.wait();
                    go_on.wait();
                    rounds.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                })
            });
            running.wait(); // the first round is under way: what is renamed now, it may have missed
            let late = scope.spawn(|| {
                commit
                    .wait(|| {
                        rounds.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    })
                    .unwrap();
                rounds.load(Ordering::SeqCst)
            });
            go_on.wait();
            assert_eq!(late.join().unwrap(), 2);
        });
    }

    #[test]
    fn those_who_wait_together_share_a_round() {
        const WAITERS: u64 = 16;
        let commit = GroupCommit::default();
        let rounds = AtomicU64::new(0);
        let (running, go_on) = (Barrier::new(2), Barrier::new(2));
        let arrived = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                commit.wait(|| {
                    running.wait();
                    go_on.wait();
                    Ok(())
                })
            });
            running.wait();
            for _ in 0..WAITERS {
                scope.spawn(|| {
                    arrived.fetch_add(1, Ordering::SeqCst);
                    commit.wait(|| {
                        rounds.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    })
                });
            }
            while arrived.load(Ordering::SeqCst) < WAITERS {
                thread::yield_now();
            }
            // One more round would suffice for all; each who was between arriving and waiting may cost another.
            go_on.wait();
        });
        let rounds = rounds.load(Ordering::SeqCst);
        assert!((1..=WAITERS).contains(&rounds), "{rounds} rounds for {WAITERS} waiters");
        let state = commit.lock();
        assert_eq!((state.started, state.finished), (rounds + 1, rounds + 1));
    }

    #[test]
    fn a_failure_is_final() {
        let commit = GroupCommit::default();
        let broken = || Err(OperationError::new("fsync directory", Path::new("/x"), rustix::io::Errno::IO));
        assert!(commit.failure().is_none());
        assert!(commit.wait(broken).is_err());
        assert!(commit.failure().is_some());
        assert!(commit.wait(|| unreachable!("a failed fsync was repeated")).is_err());
    }
}
