//! Random histories, crashes and operators included, against a model that is a sorted map.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use spool::{Appended, Claim, ClaimError, ConsumerLock, EntryName, Spool};
use tempfile::TempDir;

use crate::support::{START, files};

#[derive(Debug, Clone)]
enum Operation {
    Append {
        id: u8,
    },
    /// Of the ready ones, this one.
    Claim {
        nth: usize,
    },
    Finish {
        nth: usize,
    },
    Release {
        nth: usize,
    },
    Bury {
        nth: usize,
    },
    RetryBad {
        nth: usize,
    },
    Remove {
        nth: usize,
    },
    /// By the operator, behind the spool's back.
    MoveOutOfBad {
        nth: usize,
    },
    DeleteReady {
        nth: usize,
    },
    DeleteClaimed {
        nth: usize,
    },
    PutDirectory {
        id: u8,
    },
    /// The clock is set to this much before or after the start.
    SetClock {
        offset: i32,
    },
    Scan,
    Reopen,
    /// The process dies: what it held stays as it is, perhaps with a file half written.
    Crash {
        torn: bool,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let nth = 0..6_usize;
    prop_oneof![
        8 => (0..12_u8).prop_map(|id| Append { id }),
        6 => nth.clone().prop_map(|nth| Claim { nth }),
        3 => nth.clone().prop_map(|nth| Finish { nth }),
        2 => nth.clone().prop_map(|nth| Release { nth }),
        2 => nth.clone().prop_map(|nth| Bury { nth }),
        1 => nth.clone().prop_map(|nth| RetryBad { nth }),
        1 => nth.clone().prop_map(|nth| Remove { nth }),
        1 => nth.clone().prop_map(|nth| MoveOutOfBad { nth }),
        1 => nth.clone().prop_map(|nth| DeleteReady { nth }),
        1 => nth.prop_map(|nth| DeleteClaimed { nth }),
        1 => (12..14_u8).prop_map(|id| PutDirectory { id }),
        2 => any::<i32>().prop_map(|offset| SetClock { offset }),
        1 => Just(Scan),
        1 => Just(Reopen),
        2 => any::<bool>().prop_map(|torn| Crash { torn }),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Claimed,
    Bad,
}

/// Never both of a held claim and its entry's state are trusted: the model says what must be so.
#[derive(Debug, Clone)]
struct Entry {
    state: State,
    contents: Vec<u8>,
    attempts: u32,
    is_directory: bool,
}

struct History {
    home: TempDir,
    clock: Arc<AtomicU64>,
    model: BTreeMap<EntryName, Entry>,
    claims: Vec<Claim>,
    spool: Spool,
    lock: Option<ConsumerLock>,
    appended: u64,
    crashes: u64,
}

impl History {
    fn begin() -> History {
        let home = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicU64::new(START));
        let spool = open(&home, &clock);
        let lock = spool.consumer_lock().unwrap();
        History {
            home,
            clock,
            model: BTreeMap::new(),
            claims: Vec::new(),
            spool,
            lock,
            appended: 0,
            crashes: 0,
        }
    }

    fn names(&self, state: State) -> Vec<EntryName> {
        self.model.iter().filter(|(_, entry)| entry.state == state).map(|(name, _)| name.clone()).collect()
    }

    fn pick(&self, state: State, nth: usize) -> Option<EntryName> {
        let names = self.names(state);
        (!names.is_empty()).then(|| names[nth % names.len()].clone())
    }

    fn take_claim(&mut self, nth: usize) -> Option<Claim> {
        (!self.claims.is_empty()).then(|| self.claims.swap_remove(nth % self.claims.len()))
    }

    fn path(&self, below: &str, name: &EntryName) -> PathBuf {
        self.home.path().join(below).join(name.as_str())
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Append { id } => self.append(id),
            Operation::Claim { nth } => self.claim(nth),
            Operation::Finish { nth } => {
                if let Some(claim) = self.take_claim(nth) {
                    self.model.remove(claim.name());
                    claim.finish().unwrap();
                }
            }
            Operation::Release { nth } => {
                if let Some(claim) = self.take_claim(nth) {
                    if let Some(entry) = self.model.get_mut(claim.name()) {
                        (entry.state, entry.attempts) = (State::Ready, entry.attempts - 1);
                    }
                    claim.release().unwrap();
                }
            }
            Operation::Bury { nth } => {
                if let Some(claim) = self.take_claim(nth) {
                    if let Some(entry) = self.model.get_mut(claim.name()) {
                        (entry.state, entry.attempts) = (State::Bad, 0);
                    }
                    let name = claim.name().clone();
                    assert_eq!(claim.bury("because").unwrap(), name);
                }
            }
            Operation::RetryBad { nth } => {
                if let Some(name) = self.pick(State::Bad, nth) {
                    assert!(self.spool.retry_bad(&name).unwrap());
                    self.model.get_mut(&name).unwrap().state = State::Ready;
                }
            }
            Operation::Remove { nth } => {
                let name = self.pick(State::Ready, nth).or_else(|| self.pick(State::Bad, nth));
                if let Some(name) = name {
                    assert!(self.spool.remove(&name).unwrap());
                    self.model.remove(&name);
                }
            }
            Operation::MoveOutOfBad { nth } => {
                if let Some(name) = self.pick(State::Bad, nth) {
                    fs::rename(self.path("bad", &name), self.path("", &name)).unwrap();
                    self.model.get_mut(&name).unwrap().state = State::Ready;
                }
            }
            Operation::DeleteReady { nth } => {
                if let Some(name) = self.pick(State::Ready, nth) {
                    if self.model.remove(&name).unwrap().is_directory {
                        fs::remove_dir(self.path("", &name)).unwrap();
                    } else {
                        fs::remove_file(self.path("", &name)).unwrap();
                    }
                }
            }
            Operation::DeleteClaimed { nth } => {
                if let Some(name) = self.pick(State::Claimed, nth) {
                    fs::remove_file(self.path("claimed", &name)).unwrap();
                    self.model.remove(&name);
                }
            }
            Operation::PutDirectory { id } => self.put_directory(id),
            Operation::SetClock { offset } => {
                self.clock.store(START.saturating_add_signed(i64::from(offset)), Ordering::SeqCst);
            }
            Operation::Scan => drop(self.spool.ready().unwrap()),
            Operation::Reopen => self.spool.reopen().unwrap(),
            Operation::Crash { torn } => self.crash(torn),
        }
    }

    fn append(&mut self, id: u8) {
        self.appended += 1;
        let (id, contents) = (format!("id-{id}"), format!("contents {}", self.appended).into_bytes());
        let present: Vec<&EntryName> = self
            .model
            .iter()
            .filter(|(name, entry)| name.id() == id && entry.state != State::Bad)
            .map(|(name, _)| name)
            .collect();
        match self.spool.append(&id, &[&contents]).unwrap() {
            Appended::Duplicate(name) => {
                assert!(present.contains(&&name), "{name} is not there: {present:?}");
            }
            Appended::New(name) => {
                assert!(present.is_empty(), "{name} beside {present:?}");
                assert!(self.model.keys().all(|before| *before < name), "{name} sorts before older ones");
                let entry = Entry { state: State::Ready, contents, attempts: 0, is_directory: false };
                self.model.insert(name, entry);
            }
        }
    }

    fn claim(&mut self, nth: usize) {
        let Some(name) = self.pick(State::Ready, nth) else { return };
        let entry = self.model.get_mut(&name).unwrap();
        if entry.is_directory {
            let Err(ClaimError::Buried { buried_as, .. }) = self.spool.claim(&name) else {
                panic!("a directory was claimed")
            };
            assert_eq!(buried_as, name);
            (entry.state, entry.attempts) = (State::Bad, 0);
            return;
        }
        entry.attempts += 1;
        entry.state = State::Claimed;
        let claim = self.spool.claim(&name).unwrap().expect("it is ready");
        assert_eq!((claim.contents(), claim.attempts()), (&entry.contents[..], entry.attempts));
        self.claims.push(claim);
    }

    fn put_directory(&mut self, id: u8) {
        let name: EntryName = format!("{:020}-id-{id}.json", START - 1).parse().unwrap();
        if !self.model.contains_key(&name) {
            fs::create_dir(self.path("", &name)).unwrap();
            let entry = Entry { state: State::Ready, contents: Vec::new(), attempts: 0, is_directory: true };
            self.model.insert(name, entry);
        }
    }

    fn crash(&mut self, torn: bool) {
        self.crashes += 1;
        self.claims.drain(..).for_each(std::mem::forget);
        if torn {
            let name = format!("4000000.{}.torn", self.crashes);
            fs::write(self.home.path().join("tmp").join(name), "{\"tor").unwrap();
        }
        self.lock = None;
        self.spool = open(&self.home, &self.clock);
        self.lock = self.spool.consumer_lock().unwrap();
        let recovered = self.lock.as_ref().expect("the lock died with its holder").recover().unwrap();
        assert_eq!(
            (recovered.claims, recovered.temporaries),
            (self.names(State::Claimed).len(), usize::from(torn))
        );
        for entry in self.model.values_mut().filter(|entry| entry.state == State::Claimed) {
            entry.state = State::Ready;
        }
    }

    /// Nothing lost, nothing twice, everything in order and whole.
    fn check(&self) {
        assert_eq!(self.spool.ready().unwrap(), self.names(State::Ready));
        assert_eq!(self.spool.claimed().unwrap(), self.names(State::Claimed));
        let bad: Vec<EntryName> = self.spool.bad().unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(bad, self.names(State::Bad));
        for (name, entry) in self.model.iter().filter(|(_, entry)| !entry.is_directory) {
            let below = match entry.state {
                State::Ready => "",
                State::Claimed => "claimed",
                State::Bad => "bad",
            };
            assert_eq!(fs::read(self.path(below, name)).unwrap(), entry.contents);
        }
        assert!(files(&self.home.path().join("tmp")).is_empty());
    }
}

fn open(home: &TempDir, clock: &Arc<AtomicU64>) -> Spool {
    let clock = Arc::clone(clock);
    Spool::open(home.path(), move || clock.load(Ordering::SeqCst)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_history_matches_the_model(operations in prop::collection::vec(operation(), 1..60)) {
        let mut history = History::begin();
        for operation in &operations {
            history.apply(operation);
            history.check();
        }
        history.apply(&Operation::Crash { torn: true });
        history.check();
    }
}

#[test]
fn the_check_notices_a_lost_entry() {
    let mut history = History::begin();
    history.apply(&Operation::Append { id: 1 });
    let name = history.pick(State::Ready, 0).unwrap();
    File::create(history.path("", &name)).unwrap();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history.check())).is_err());
}
