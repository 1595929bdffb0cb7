//! Claiming: attempts, and things that are named like entries without being any.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};
use spool::{ClaimError, ENTRY_BYTES_MAX, EntryName};
use tempfile::tempdir;

use crate::support::{append, claim, content, files, open};

#[test]
fn a_claimed_entry_is_nobody_elses() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let name = append(&spool, "a");
    let held = claim(&spool, &name);
    assert_eq!((held.name(), held.attempts(), held.contents()), (&name, 1, content("a").as_bytes()));
    assert!(spool.claim(&name).unwrap().is_none());
    assert_eq!((spool.ready().unwrap(), spool.claimed().unwrap()), (vec![], vec![name]));
    held.finish().unwrap();
    for leftover in ["claimed", "attempts", "tmp", "bad"] {
        assert!(files(&directory.path().join(leftover)).is_empty(), "{leftover}");
    }
}

#[test]
fn a_released_entry_keeps_its_place_and_the_attempt_does_not_count() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let (first, second) = (append(&spool, "a"), append(&spool, "b"));
    for _ in 1..=300 {
        let held = claim(&spool, &first);
        assert_eq!(held.attempts(), 1);
        held.release().unwrap();
    }
    for attempt in 1..=300 {
        let held = claim(&spool, &first);
        assert_eq!(held.attempts(), attempt);
        std::mem::forget(held); // as one who dies
        assert_eq!(spool.consumer_lock().unwrap().unwrap().recover().unwrap().claims, 1);
    }
    assert_eq!(spool.ready().unwrap(), [first, second]);
}

#[test]
fn attempts_start_anew_after_bury_and_after_finish() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let name = append(&spool, "a");
    claim(&spool, &name).release().unwrap();
    claim(&spool, &name).bury("no").unwrap();
    assert!(spool.retry_bad(&name).unwrap());
    let held = claim(&spool, &name);
    assert_eq!(held.attempts(), 1);
}

#[test]
fn the_claim_of_one_who_dies_stays_claimed_and_a_dropped_one_goes_back() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let name = append(&spool, "a");
    std::mem::forget(claim(&spool, &name));
    assert_eq!(spool.claimed().unwrap(), std::slice::from_ref(&name));
    assert_eq!(spool.consumer_lock().unwrap().unwrap().recover().unwrap().claims, 1);
    drop(claim(&spool, &name));
    assert_eq!(spool.ready().unwrap(), [name]);
}

/// Everything that can bear an entry's name: none is followed, waited for, or met twice.
#[test]
fn what_is_no_entry_is_buried_with_its_reason() {
    let outside = tempdir().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let make_giant = |path: &Path| File::create(path).unwrap().set_len(ENTRY_BYTES_MAX + 1).unwrap();
    let make_directory = |path: &Path| fs::create_dir_all(path.join("below")).unwrap();
    let make_fifo = |path: &Path| mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
    let make_socket = |path: &Path| drop(UnixListener::bind(path).unwrap());
    type Make<'make> = &'make dyn Fn(&Path);
    let cases: [(&str, Make); 6] = [
        ("a directory", &make_directory),
        ("a symbolic link", &|path| symlink(&secret, path).unwrap()),
        ("a symbolic link", &|path| symlink("/nowhere/at-all", path).unwrap()),
        ("a FIFO", &make_fifo),
        ("a socket", &make_socket),
        ("too large", &make_giant),
    ];
    for (reason, make) in cases {
        let directory = tempdir().unwrap();
        let spool = open(directory.path());
        let name: EntryName = "01700000000000000001-odd.json".parse().unwrap();
        make(&directory.path().join(name.as_str()));
        let good = append(&spool, "good");
        let Err(ClaimError::Buried { name: buried, buried_as, reason: given }) = spool.claim(&name) else {
            panic!("{reason} was taken for an entry")
        };
        assert_eq!((&buried, &buried_as), (&name, &name));
        assert!(given.contains(reason), "{given}");
        let bad = spool.bad().unwrap();
        assert_eq!((bad[0].name.clone(), bad[0].reason.clone()), (name, Some(given)));
        assert_eq!((spool.ready().unwrap(), spool.claimed().unwrap()), (vec![good], vec![]));
        assert!(files(&directory.path().join("attempts")).is_empty());
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
}

#[test]
fn an_entry_of_somebody_else_is_buried() {
    if !rustix::process::geteuid().is_root() {
        assert!(!crate::support::is_possible(
            "an_entry_of_somebody_else_is_buried",
            Some("root, to give files away")
        ));
        return;
    }
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let name = append(&spool, "a");
    std::os::unix::fs::chown(directory.path().join(name.as_str()), Some(65534), None).unwrap();
    let Err(ClaimError::Buried { reason, .. }) = spool.claim(&name) else { panic!("it was taken") };
    assert!(reason.contains("65534"), "{reason}");
}

#[test]
fn damaged_contents_are_the_consumers_to_judge() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    for (id, damaged) in [("empty", &b""[..]), ("zeros", &[0; 4096]), ("torn", b"{\"pay")] {
        let name = append(&spool, id);
        fs::write(directory.path().join(name.as_str()), damaged).unwrap();
        assert_eq!(claim(&spool, &name).contents(), damaged);
    }
}

#[test]
fn a_copy_of_a_claimed_entry_does_not_replace_it() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let name = append(&spool, "a");
    let held = claim(&spool, &name);
    fs::write(directory.path().join(name.as_str()), "copy").unwrap();
    assert!(matches!(spool.claim(&name), Err(ClaimError::AlreadyClaimed { .. })));
    // Putting it back finds its place taken: both are kept.
    held.release().unwrap();
    assert_eq!(spool.bad().unwrap()[0].name, name);
    assert_eq!(fs::read_to_string(directory.path().join("bad").join(name.as_str())).unwrap(), content("a"));
    assert_eq!(claim(&spool, &name).contents(), b"copy");
}

#[test]
fn an_entry_that_was_under_two_names_is_one_entry() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let name = append(&spool, "a");
    let held = claim(&spool, &name);
    // As a move by link and unlink leaves it when killed in between.
    let claimed = directory.path().join("claimed").join(name.as_str());
    fs::hard_link(&claimed, directory.path().join(name.as_str())).unwrap();
    held.release().unwrap();
    assert_eq!((spool.ready().unwrap(), spool.claimed().unwrap()), (vec![name], vec![]));
    assert!(spool.bad().unwrap().is_empty());
}

#[test]
fn permissions_of_an_entry_do_not_matter_to_its_owner() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let name = append(&spool, "a");
    let file = directory.path().join(name.as_str());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    match spool.claim(&name) {
        Ok(Some(held)) => assert_eq!(held.contents(), content("a").as_bytes()), // root reads everything
        Err(ClaimError::Buried { reason, .. }) => assert!(reason.contains("cannot be read"), "{reason}"),
        Ok(None) | Err(_) => panic!("it must be read or buried"),
    }
}
