//! Appending: names, ids, duplicates, and many threads at once.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use proptest::prelude::*;
use spool::{AppendError, Appended, ENTRY_BYTES_MAX, EntryName, Spool};
use tempfile::tempdir;

use crate::support::{START, append, claim, content, files, ids, open};

#[test]
fn an_entry_is_a_private_file_that_an_operator_can_read() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let appended = spool.append("a", &[b"{\"payload\":", b"", b"1}"]).unwrap();
    assert_eq!(appended, Appended::New(format!("0{START}-a.json").parse().unwrap()));
    let file = directory.path().join(appended.name().as_str());
    assert_eq!(fs::read_to_string(&file).unwrap(), "{\"payload\":1}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(files(&directory.path().join("tmp")).is_empty());
}

#[test]
fn an_id_that_would_not_be_a_safe_file_name_is_refused() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let before = files(directory.path());
    for id in ["", "a/b", "..", "a.b", "a b", "ä", "a\0", &"a".repeat(65)] {
        assert!(matches!(spool.append(id, &[b"x"]), Err(AppendError::InvalidId { .. })), "{id:?}");
    }
    assert_eq!(files(directory.path()), before);
    assert!(matches!(spool.append(&"a".repeat(64), &[b"x"]), Ok(Appended::New(_))));
}

#[test]
fn what_a_claim_would_refuse_is_not_accepted() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let half = vec![0; usize::try_from(ENTRY_BYTES_MAX / 2).unwrap()];
    assert!(matches!(spool.append("a", &[&half, &half, b"x"]), Err(AppendError::TooLarge { .. })));
    let name = spool.append("a", &[&half, &half]).unwrap().name().clone();
    assert_eq!(claim(&spool, &name).contents().len() as u64, ENTRY_BYTES_MAX);
}

#[test]
fn an_id_is_a_duplicate_while_ready_or_claimed_and_not_longer() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let first = append(&spool, "a");
    let duplicate = || spool.append("a", &[b"other"]).unwrap() == Appended::Duplicate(first.clone());
    assert!(duplicate());
    let held = claim(&spool, &first);
    assert!(duplicate());
    held.release().unwrap();
    assert!(duplicate());
    assert_eq!(claim(&spool, &first).contents(), content("a").as_bytes());
    // Dropped: still claimed, hence still in the spool.
    assert!(duplicate());
    spool.consumer_lock().unwrap().unwrap().recover().unwrap();
    claim(&spool, &first).finish().unwrap();
    let second = append(&spool, "a");
    claim(&spool, &second).bury("bad luck").unwrap();
    append(&spool, "a");
}

#[test]
fn a_handle_opened_later_knows_the_ids() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let (ready, claimed) = (append(&spool, "ready"), append(&spool, "claimed"));
    let _held = claim(&spool, &claimed);
    let later = open(directory.path());
    assert_eq!(later.append("ready", &[b""]).unwrap(), Appended::Duplicate(ready));
    assert_eq!(later.append("claimed", &[b""]).unwrap(), Appended::Duplicate(claimed));
}

#[test]
fn an_id_that_others_consumed_can_be_appended_again() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let consumer = open(directory.path());
    let name = append(&spool, "a");
    claim(&consumer, &name).finish().unwrap();
    let name = append(&spool, "a");
    fs::remove_file(directory.path().join(name.as_str())).unwrap();
    append(&spool, "a");
}

#[test]
fn a_scan_teaches_the_ids_that_others_appended() {
    let directory = tempdir().unwrap();
    let (spool, other) = (open(directory.path()), open(directory.path()));
    let name = append(&other, "a");
    assert_eq!(spool.ready().unwrap(), std::slice::from_ref(&name));
    assert_eq!(spool.append("a", &[b""]).unwrap(), Appended::Duplicate(name));
}

#[test]
fn a_name_that_another_process_took_is_not_replaced() {
    let directory = tempdir().unwrap();
    let (spool, other) = (open(directory.path()), open(directory.path()));
    let theirs = append(&other, "a");
    let ours = spool.append("a", &[b"ours"]).unwrap();
    assert_eq!(ours, Appended::New(format!("0{}-a.json", START + 1).parse().unwrap()));
    assert_eq!(claim(&spool, &theirs).contents(), content("a").as_bytes());
}

#[test]
fn names_never_decrease_whatever_the_clock_does() {
    let directory = tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(START));
    let with_clock = |clock: &Arc<AtomicU64>| {
        let clock = Arc::clone(clock);
        Spool::open(directory.path(), move || clock.load(Ordering::SeqCst)).unwrap()
    };
    let mut spool = with_clock(&clock);
    let mut names: Vec<EntryName> = Vec::new();
    for (index, (now, reopen)) in [
        (START, false),
        (START, false),
        (START - 1_000, false),
        (START + 5, false),
        (0, true),
        (START + 9, true),
    ]
    .into_iter()
    .enumerate()
    {
        clock.store(now, Ordering::SeqCst);
        if reopen {
            spool = with_clock(&clock);
        }
        names.push(append(&spool, &format!("id-{index}")));
    }
    let mut sorted = names.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(names, sorted);
    assert_eq!(spool.ready().unwrap(), names);
}

#[test]
fn names_are_greater_than_claimed_and_bad_ones_too() {
    for state in ["claimed", "bad"] {
        let directory = tempdir().unwrap();
        open(directory.path());
        let last = "09000000000000000000-z.json";
        fs::write(directory.path().join(state).join(last), "x").unwrap();
        assert!(append(&open(directory.path()), "a").as_str() > last, "{state}");
    }
}

#[test]
fn the_end_of_all_names_is_an_error_and_no_panic() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    fs::write(directory.path().join(format!("{}-z.json", u64::MAX)), "x").unwrap();
    spool.ready().unwrap();
    assert!(matches!(spool.append("a", &[b"x"]), Err(AppendError::NamesExhausted)));
}

#[test]
fn a_temporary_file_that_is_removed_under_the_writer_is_written_again() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let tidy = |path: &Path| files(path).iter().for_each(|file| drop(fs::remove_file(path.join(file))));
    thread::scope(|scope| {
        let done = Arc::new(AtomicU64::new(0));
        let also_done = Arc::clone(&done);
        let temporary = directory.path().join("tmp");
        scope.spawn(move || {
            while also_done.load(Ordering::SeqCst) == 0 {
                tidy(&temporary);
            }
        });
        let appended: Vec<_> =
            (0..100).map(|number| spool.append(&format!("id-{number}"), &[b"x"])).collect();
        done.store(1, Ordering::SeqCst);
        for result in appended {
            // The operator may win sixteen times in a row; then it is an error, never a false success.
            assert!(matches!(result, Ok(Appended::New(_)) | Err(AppendError::Io(_))), "{result:?}");
            if let Ok(appended) = result {
                assert_eq!(claim(&spool, appended.name()).contents(), b"x");
            }
        }
    });
}

#[test]
fn threads_that_append_together_lose_nothing() {
    const THREADS: usize = 16;
    const EACH: usize = 25;
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (spool, start) = (&spool, &start);
            scope.spawn(move || {
                start.wait();
                let mut last = None;
                for number in 0..EACH {
                    let name = append(spool, &format!("{thread}-{number}"));
                    assert!(last.as_ref() < Some(&name), "{name} after {last:?}");
                    last = Some(name);
                }
            });
        }
    });
    let ready = spool.ready().unwrap();
    assert_eq!(ids(&ready).into_iter().collect::<HashSet<_>>().len(), THREADS * EACH);
    for name in &ready {
        assert_eq!(claim(&spool, name).contents(), content(name.id()).as_bytes());
    }
}

#[test]
fn of_a_hundred_duplicates_in_parallel_one_is_new() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let start = Barrier::new(100);
    let results: Vec<Appended> = thread::scope(|scope| {
        let one = || {
            start.wait();
            let appended = spool.append("same", &[b"x"]).unwrap();
            // Durable or not cannot be seen from here; that it is there can.
            assert!(directory.path().join(appended.name().as_str()).exists());
            appended
        };
        let threads: Vec<_> = (0..100).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|appended| matches!(appended, Appended::New(_))).count(), 1);
    assert_eq!(results.iter().map(Appended::name).collect::<HashSet<_>>().len(), 1);
    assert_eq!(spool.ready().unwrap().len(), 1);
}

#[test]
fn duplicates_race_with_the_consumer_without_harm() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let name = append(&spool, "same");
    thread::scope(|scope| {
        let moving = scope.spawn(|| {
            for _ in 0..300 {
                claim(&spool, &name).release().unwrap();
            }
        });
        while !moving.is_finished() {
            // Between ready and claimed it may be missed, were it looked for only once.
            assert_eq!(spool.append("same", &[b"x"]).unwrap(), Appended::Duplicate(name.clone()));
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn contents_come_back_byte_for_byte(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9000), 0..5)) {
        let directory = tempdir().unwrap();
        let spool = open(directory.path());
        let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let name = spool.append("a", &slices).unwrap().name().clone();
        let held = claim(&spool, &name);
        prop_assert_eq!(held.contents(), parts.concat());
    }
}
