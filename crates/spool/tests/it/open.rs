//! Opening: what is made, and what is refused.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use spool::{OpenError, Spool};
use tempfile::tempdir;

use crate::support::{append, claim, is_possible, open, root_is_missing, run_well};

#[test]
fn makes_private_directories_and_their_parents() {
    let outside = tempdir().unwrap();
    let directory = outside.path().join("state/spools/main");
    let spool = open(&directory);
    assert_eq!(spool.path(), directory);
    for made in ["", "tmp", "claimed", "bad", "attempts"] {
        assert_eq!(fs::metadata(directory.join(made)).unwrap().mode() & 0o7777, 0o700, "{made:?}");
    }
    append(&spool, "a");
    assert_eq!(open(&directory).ready().unwrap().len(), 1);
}

#[test]
fn refuses_what_others_may_write_to() {
    for (below, mode) in [("", 0o720), ("", 0o702), ("tmp", 0o777), ("claimed", 0o770), ("bad", 0o707)] {
        let directory = tempdir().unwrap();
        open(directory.path());
        fs::set_permissions(directory.path().join(below), fs::Permissions::from_mode(mode)).unwrap();
        let Err(OpenError::WritableByOthers { path, mode: found }) = Spool::open(directory.path(), || 1)
        else {
            panic!("{below:?} with mode {mode:o} was accepted")
        };
        assert_eq!((path, found), (directory.path().join(below), mode));
    }
}

#[test]
fn refuses_a_link_inside_and_a_file_in_a_directorys_place() {
    let elsewhere = tempdir().unwrap();
    let directory = tempdir().unwrap();
    symlink(elsewhere.path(), directory.path().join("claimed")).unwrap();
    assert!(matches!(Spool::open(directory.path(), || 1), Err(OpenError::Operation(_))));
    let file = elsewhere.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(Spool::open(&file, || 1), Err(OpenError::Operation(_))));
}

#[test]
fn follows_a_link_to_the_spool_itself() {
    let outside = tempdir().unwrap();
    let (real, link) = (outside.path().join("real"), outside.path().join("link"));
    fs::create_dir(&real).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o700)).unwrap();
    symlink(&real, &link).unwrap();
    append(&open(&link), "a");
    assert_eq!(open(&real).ready().unwrap().len(), 1);
}

#[test]
fn refuses_somebody_elses_directory_and_a_second_file_system() {
    if !is_possible("refuses_somebody_elses_directory_and_a_second_file_system", root_is_missing()) {
        return;
    }
    let directory = tempdir().unwrap();
    open(directory.path());
    std::os::unix::fs::chown(directory.path().join("bad"), Some(65534), None).unwrap();
    assert!(matches!(Spool::open(directory.path(), || 1), Err(OpenError::NotOurs { owner: 65534, .. })));
    std::os::unix::fs::chown(directory.path().join("bad"), Some(0), None).unwrap();

    let claimed = directory.path().join("claimed").into_os_string().into_string().unwrap();
    run_well("mount", &["-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", &claimed]);
    let opened = Spool::open(directory.path(), || 1);
    run_well("umount", &[&claimed]);
    assert!(matches!(opened, Err(OpenError::OtherFileSystem { .. })));
}

#[test]
fn only_names_of_entries_are_entries() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    for foreign in
        [".01700000000000000001-a.json", "README", "01700000000000000001-a.json~", "1-a.json", "lock"]
    {
        fs::write(directory.path().join(foreign), "x").unwrap();
    }
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let not_text = std::ffi::OsStr::from_bytes(b"01700000000000000001-\xff.json");
        fs::write(directory.path().join(not_text), "x").unwrap();
    }
    let name = append(&spool, "a");
    assert_eq!(spool.ready().unwrap(), std::slice::from_ref(&name));
    let second = append(&spool, "b");
    claim(&spool, &name).finish().unwrap();
    assert_eq!(spool.ready().unwrap(), [second]);
}

#[test]
fn reopening_keeps_handles_and_claims_alive() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let (name, clone) = (append(&spool, "a"), spool.clone());
    let held = claim(&spool, &name);
    spool.reopen().unwrap();
    assert!(!clone.is_degraded());
    append(&clone, "b");
    held.finish().unwrap();
    assert!(spool.claimed().unwrap().is_empty());
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(spool.reopen().is_err());
    append(&spool, "c"); // as it was
}
