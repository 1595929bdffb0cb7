//! What operators do, by command and by hand, at any time.

use std::fs;

use spool::REASON_BYTES_MAX;
use tempfile::tempdir;

use crate::support::{append, claim, content, files, ids, open};

#[test]
fn the_buried_are_listed_with_their_reasons_and_survive_reopening() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    for id in ["a", "b"] {
        let name = append(&spool, id);
        claim(&spool, &name).bury(&format!("{id} is\nbroken")).unwrap();
    }
    let bad = open(directory.path()).bad().unwrap();
    let listed: Vec<_> = bad.iter().map(|entry| (entry.name.id(), entry.reason.as_deref())).collect();
    assert_eq!(listed, [("a", Some("a is\nbroken")), ("b", Some("b is\nbroken"))]);
    assert!(spool.ready().unwrap().is_empty() && spool.claimed().unwrap().is_empty());
}

#[test]
fn a_reason_is_cut_at_a_character() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let name = append(&spool, "a");
    claim(&spool, &name).bury(&"ä".repeat(REASON_BYTES_MAX)).unwrap();
    assert_eq!(spool.bad().unwrap()[0].reason, Some("ä".repeat(REASON_BYTES_MAX / 2)));
}

#[test]
fn retrying_by_command_or_by_hand_gives_the_entry_its_old_place() {
    for by_hand in [false, true] {
        let directory = tempdir().unwrap();
        let spool = open(directory.path());
        let names = ["a", "b"].map(|id| append(&spool, id));
        claim(&spool, &names[0]).bury("no").unwrap();
        if by_hand {
            let bad = directory.path().join("bad").join(names[0].as_str());
            fs::rename(bad, directory.path().join(names[0].as_str())).unwrap();
            spool.consumer_lock().unwrap().unwrap().recover().unwrap();
        } else {
            assert!(spool.retry_bad(&names[0]).unwrap());
            assert!(!spool.retry_bad(&names[0]).unwrap());
        }
        assert_eq!(spool.ready().unwrap(), names);
        assert!(files(&directory.path().join("bad")).is_empty(), "the reason went too");
        let duplicate = spool.append("a", &[b"x"]).unwrap();
        assert_eq!(duplicate, spool::Appended::Duplicate(names[0].clone()));
    }
}

#[test]
fn retrying_does_not_replace_a_ready_entry() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let name = append(&spool, "a");
    claim(&spool, &name).bury("no").unwrap();
    fs::write(directory.path().join(name.as_str()), "other").unwrap();
    assert!(spool.retry_bad(&name).is_err());
    assert_eq!(claim(&spool, &name).contents(), b"other");
    assert_eq!(spool.bad().unwrap().len(), 1);
}

#[test]
fn burying_again_what_was_copied_out_of_bad_keeps_both() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let name = append(&spool, "a");
    claim(&spool, &name).bury("first").unwrap();
    let path = |below: &str| directory.path().join(below).join(name.as_str());
    fs::copy(path("bad"), path("")).unwrap();
    let buried_as = claim(&spool, &name).bury("second").unwrap();
    assert!(buried_as > name);
    let bad = spool.bad().unwrap();
    let reasons: Vec<_> = bad.iter().map(|entry| entry.reason.as_deref()).collect();
    assert_eq!((ids(&[name.clone(), buried_as])[1], reasons), ("a", vec![Some("first"), Some("second")]));
}

#[test]
fn removing_works_for_ready_and_bad_and_not_for_claimed() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let [ready, bad, claimed, directory_in_bad] =
        ["ready", "bad", "claimed", "odd"].map(|id| append(&spool, id));
    claim(&spool, &bad).bury("no").unwrap();
    let held = claim(&spool, &claimed);
    fs::remove_file(directory.path().join(directory_in_bad.as_str())).unwrap();
    fs::create_dir(directory.path().join(directory_in_bad.as_str())).unwrap();
    assert!(spool.claim(&directory_in_bad).is_err());
    for (name, removed) in [(&ready, true), (&bad, true), (&claimed, false), (&directory_in_bad, true)] {
        assert_eq!(spool.remove(name).unwrap(), removed, "{name}");
        assert!(!spool.remove(name).unwrap(), "{name}");
    }
    assert!(files(&directory.path().join("bad")).is_empty());
    held.finish().unwrap();
    append(&spool, "ready"); // forgotten, hence new
}

#[test]
fn everything_tolerates_files_that_vanish() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let path = |below: &str, name: &spool::EntryName| directory.path().join(below).join(name.as_str());
    let vanished = append(&spool, "vanished");
    fs::remove_file(path("", &vanished)).unwrap();
    assert!(spool.claim(&vanished).unwrap().is_none());
    assert!(!spool.remove(&vanished).unwrap() && !spool.retry_bad(&vanished).unwrap());
    for id in ["finish", "release", "bury"] {
        let name = append(&spool, id);
        let held = claim(&spool, &name);
        fs::remove_file(path("claimed", &name)).unwrap();
        match id {
            "finish" => held.finish().unwrap(),
            "release" => held.release().unwrap(),
            _ => drop(held.bury("why").unwrap()),
        }
        append(&spool, id);
    }
    let kept = append(&spool, "kept");
    claim(&spool, &kept).bury("why").unwrap();
    fs::remove_file(path("bad", &format!("{kept}").parse().unwrap()).with_extension("json.reason")).unwrap();
    assert_eq!(spool.bad().unwrap()[0].reason, None);
    spool.consumer_lock().unwrap().unwrap().recover().unwrap();
    let contents = fs::read_to_string(path("bad", &kept)).unwrap();
    assert_eq!(contents, content("kept"));
}
