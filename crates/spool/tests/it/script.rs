//! A life of a spool in miniature, and the judgement of what is left of it: run by `faults` in a child process
//! that is killed, or lied to, at every system call.
//!
//! The script keeps a journal beside the spool. A line is written after what it says has happened, except
//! `ending`, which is written before. So the journal never claims more than was promised.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use spool::{Appended, Claim, EntryName, Spool};

use crate::support::{START, append, claim, content, files};

pub const DIRECTORY_VARIABLE: &str = "SPOOL_SCRIPT_DIRECTORY";

/// With the variable set this is the child's whole life. Without, it shows that nobody harmed reaches the
/// end of the script, and that the judge finds it so.
#[test]
#[expect(clippy::disallowed_methods, reason = "the environment is how a re-executed test is told what to do")]
fn script_runs_to_its_end() {
    if let Some(directory) = std::env::var_os(DIRECTORY_VARIABLE) {
        let home = Path::new(&directory);
        // Rehearsals elsewhere first. The calls of the real play thereby have numbers that no other thread of
        // the test harness gets to, so that strace can hit each of them by number.
        for rehearsal in ["first", "second"] {
            fs::create_dir(home.join(rehearsal)).unwrap();
            play(&home.join(rehearsal));
        }
        return play(home);
    }
    let home = tempfile::tempdir().unwrap();
    play(home.path());
    let journal = read_journal(home.path());
    assert!(journal.iter().all(|line| !line.starts_with("failed")), "{journal:?}");
    assert_eq!(journal.last().map(String::as_str), Some("end"));
    judge(home.path());
}

struct Player {
    journal: File,
    spool: Spool,
}

fn play(home: &Path) {
    let journal = OpenOptions::new().create(true).append(true).open(home.join("journal")).unwrap();
    let mut note = journal.try_clone().unwrap();
    let played = catch_unwind(AssertUnwindSafe(|| {
        let Ok(spool) = Spool::open(&home.join("spool"), || START) else { return };
        Player { journal, spool }.play();
    }));
    if played.is_err() {
        writeln!(note, "panicked").unwrap();
    }
}

impl Player {
    fn play(&mut self) {
        self.append("a");
        self.append("b");
        self.append("a"); // a duplicate
        self.with_claim("a", |_, claim| claim.release().is_ok());
        self.with_claim("a", |player, claim| {
            player.note("ending a") && claim.finish().is_ok() && player.note("ended a")
        });
        self.with_claim("b", |_, claim| claim.bury("it is for the test").is_ok());
        self.append("c");
        let bad: Vec<EntryName> =
            self.spool.bad().unwrap_or_default().into_iter().map(|entry| entry.name).collect();
        for name in bad {
            if self.spool.retry_bad(&name).is_err() {
                self.note("failed retry");
            }
        }
        self.with_claim("c", |_, claim| {
            std::mem::forget(claim); // as one who dies
            true
        });
        if let Ok(Some(lock)) = self.spool.consumer_lock()
            && lock.recover().is_err()
        {
            self.note("failed recover");
        }
        self.append("d");
        let names = self.spool.ready().unwrap_or_default();
        if let Some(name) = names.iter().find(|name| name.id() == "d")
            && self.note("ending d")
        {
            if matches!(self.spool.remove(name), Ok(true)) {
                self.note("ended d");
            } else {
                self.note("failed remove");
            }
        }
        self.append("e");
        self.note("end");
    }

    fn append(&mut self, id: &str) {
        match self.spool.append(id, &[content(id).as_bytes()]) {
            Ok(Appended::New(name)) => {
                self.note(&format!("acked {name}"));
            }
            Ok(Appended::Duplicate(name)) => {
                self.note(&format!("again {name}"));
            }
            Err(error) => {
                self.note(&format!("failed append {id}: {error}"));
                if self.spool.is_degraded() {
                    assert!(self.spool.append("refused", &[b"x"]).is_err());
                    let _ = self.spool.reopen();
                }
            }
        }
    }

    fn with_claim(&mut self, id: &str, work: impl Fn(&mut Player, Claim) -> bool) {
        let names = self.spool.ready().unwrap_or_default();
        let Some(name) = names.iter().find(|name| name.id() == id) else { return };
        match self.spool.claim(name) {
            Ok(Some(claim)) => {
                assert_eq!(claim.contents(), content(id).as_bytes());
                if !work(self, claim) {
                    self.note(&format!("failed work on {id}"));
                }
            }
            Ok(None) => panic!("{name} was ready and nobody took it"),
            Err(error) => {
                self.note(&format!("failed claim {id}: {error}"));
            }
        }
    }

    /// `false` if the line could not be written: what it announces must then not happen.
    fn note(&mut self, line: &str) -> bool {
        self.journal.write_all(format!("{line}\n").as_bytes()).is_ok()
    }
}

pub fn read_journal(home: &Path) -> Vec<String> {
    let text = fs::read_to_string(home.join("journal")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Starts like the next process would, and compares what is there with what the journal promises.
pub fn judge(home: &Path) {
    let journal = read_journal(home);
    let spool = Spool::open(&home.join("spool"), || START).unwrap();
    let lock = spool.consumer_lock().unwrap().expect("the lock died with its holder");
    lock.recover().unwrap();
    let left = left_over(&spool, home);
    let has = |line: String| journal.contains(&line);
    assert!(!has("panicked".to_owned()), "{journal:?}");
    let promised = |prefix: &str| -> Vec<EntryName> {
        journal
            .iter()
            .filter_map(|line| line.strip_prefix(prefix))
            .map(|name| name.parse().unwrap())
            .collect()
    };
    let mut acked = promised("acked ");
    assert!(acked.is_sorted(), "{journal:?}");
    acked.extend(promised("again "));
    for name in &acked {
        let id = name.id();
        assert!(left.contains_key(name) || has(format!("ending {id}")), "{name} was lost: {journal:?}");
        assert!(!left.contains_key(name) || !has(format!("ended {id}")), "{name} came back: {journal:?}");
    }
    for (name, contents) in &left {
        assert_eq!(*contents, content(name.id()), "{name} is not whole: {journal:?}");
        let others = left.keys().filter(|other| other.id() == name.id()).count();
        assert!(others == 1 || !acked.contains(name), "{name} is there {others} times: {journal:?}");
    }
    assert!(files(&home.join("spool/tmp")).is_empty() && spool.claimed().unwrap().is_empty());
    let next = append(&spool, "afterwards");
    assert!(left.keys().all(|name| *name < next));
    claim(&spool, &next).finish().unwrap();
}

/// What is ready and what is bad, with its contents; and the bad have reasons.
fn left_over(spool: &Spool, home: &Path) -> BTreeMap<EntryName, String> {
    let mut left = BTreeMap::new();
    for name in spool.ready().unwrap() {
        let contents = fs::read_to_string(home.join("spool").join(name.as_str())).unwrap();
        left.insert(name, contents);
    }
    for entry in spool.bad().unwrap() {
        let contents = fs::read_to_string(home.join("spool/bad").join(entry.name.as_str())).unwrap();
        assert!(left.insert(entry.name.clone(), contents).is_none(), "{} is ready and bad", entry.name);
    }
    left
}
