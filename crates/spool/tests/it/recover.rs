//! Starting after a crash, and being the only consumer.

use std::fs::{self, File};

use spool::Recovered;
use tempfile::tempdir;

use crate::support::{append, claim, files, ids, open};

#[test]
fn there_is_one_consumer() {
    let directory = tempdir().unwrap();
    let (spool, other) = (open(directory.path()), open(directory.path()));
    let lock = spool.consumer_lock().unwrap().expect("nobody else");
    assert!(other.consumer_lock().unwrap().is_none());
    assert!(spool.consumer_lock().unwrap().is_none());
    drop(lock);
    assert!(other.consumer_lock().unwrap().is_some());
}

#[test]
fn claims_become_ready_in_their_order_with_their_attempts() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let names = ["a", "b", "c"].map(|id| append(&spool, id));
    for name in [&names[2], &names[0]] {
        std::mem::forget(claim(&spool, name)); // as one who dies
    }
    drop(spool);
    let spool = open(directory.path());
    let recovered = spool.consumer_lock().unwrap().unwrap().recover().unwrap();
    assert_eq!(recovered, Recovered { claims: 2, temporaries: 0 });
    assert_eq!(spool.ready().unwrap(), names);
    assert_eq!(claim(&spool, &names[0]).attempts(), 2);
    assert_eq!(claim(&spool, &names[1]).attempts(), 1);
}

#[test]
fn only_what_a_dead_writer_left_is_removed_from_tmp() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let temporary = directory.path().join("tmp");
    let own = std::process::id();
    // Also one with our own process id, as a predecessor in the same container leaves it.
    for abandoned in ["1.0.a", "4000000.7.b", &format!("{own}.99999999.c")] {
        fs::write(temporary.join(abandoned), "torn").unwrap();
    }
    let living = File::create(temporary.join(format!("{own}.99999998.d"))).unwrap();
    living.try_lock().unwrap();
    fs::write(temporary.join("notes of the operator"), "").unwrap();
    fs::create_dir(temporary.join("1.1.directory")).unwrap();
    let recovered = spool.consumer_lock().unwrap().unwrap().recover().unwrap();
    assert_eq!(recovered, Recovered { claims: 0, temporaries: 3 });
    let mut left =
        vec!["1.1.directory".to_owned(), format!("{own}.99999998.d"), "notes of the operator".to_owned()];
    left.sort();
    assert_eq!(files(&temporary), left);
}

#[test]
fn notes_about_entries_that_are_gone_are_removed() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let [gone, kept, buried] = ["gone", "kept", "buried"].map(|id| append(&spool, id));
    for name in [&gone, &kept] {
        std::mem::forget(claim(&spool, name)); // as one who dies
    }
    spool.consumer_lock().unwrap().unwrap().recover().unwrap();
    claim(&spool, &buried).bury("no").unwrap();
    fs::remove_file(directory.path().join(gone.as_str())).unwrap();
    fs::write(directory.path().join("bad").join(format!("{gone}.reason")), "orphan").unwrap();
    spool.consumer_lock().unwrap().unwrap().recover().unwrap();
    assert_eq!(files(&directory.path().join("attempts")), [kept.as_str()]);
    assert_eq!(files(&directory.path().join("bad")), [buried.to_string(), format!("{buried}.reason")]);
}

#[test]
fn a_temporary_name_that_is_taken_is_passed_over() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    // Whatever the counter is at: a predecessor with our id left these.
    for counter in 0..5000 {
        File::create(directory.path().join("tmp").join(format!("{}.{counter}.a", std::process::id())))
            .unwrap();
    }
    let name = append(&spool, "a");
    assert_eq!(ids(&spool.ready().unwrap()), [name.id()]);
}
