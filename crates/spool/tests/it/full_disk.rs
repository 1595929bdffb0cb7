//! A disk that is full: nothing is promised, nothing is lost, and working entries off still works.

use std::path::Path;

use spool::{AppendError, EntryName};
use tempfile::tempdir;

use crate::support::{append, claim, content, files, is_possible, open, root_is_missing, run_well};

/// Unmounted when dropped.
struct Mounted<'path>(&'path Path);

impl Mounted<'_> {
    fn tmpfs<'path>(path: &'path Path, options: &str) -> Mounted<'path> {
        run_well(
            "mount",
            &["-t", "tmpfs", "-o", &format!("mode=0700,{options}"), "tmpfs", path.to_str().unwrap()],
        );
        Mounted(path)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        run_well("umount", &["--lazy", self.0.to_str().unwrap()]);
    }
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    if !is_possible("a_full_disk_refuses_and_recovers", root_is_missing()) {
        return;
    }
    // Out of space, and out of inodes.
    for options in ["size=256k", "size=4m,nr_inodes=40"] {
        let directory = tempdir().unwrap();
        let _mounted = Mounted::tmpfs(directory.path(), options);
        let spool = open(directory.path());
        let lock = spool.consumer_lock().unwrap().unwrap();
        let mut names: Vec<EntryName> = Vec::new();
        let error = loop {
            let id = format!("id-{}", names.len());
            match spool.append(&id, &[content(&id).as_bytes()]) {
                Ok(appended) => names.push(appended.name().clone()),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, AppendError::Full(_)), "{options}: {error:?}");
        assert!(names.len() > 5 && !spool.is_degraded(), "{options}: {} entries", names.len());
        assert_eq!(spool.ready().unwrap(), names);
        assert!(files(&directory.path().join("tmp")).is_empty());

        // Fill the last bytes too, then work off.
        let mut number = 0;
        while spool.append(&format!("small-{number}"), &[b"x"]).is_ok() {
            number += 1;
        }
        claim(&spool, &names[0]).release().unwrap();
        assert_eq!(claim(&spool, &names[0]).bury("even now").unwrap(), names[0]);
        std::mem::forget(claim(&spool, &names[1])); // as one who dies
        assert_eq!(lock.recover().unwrap().claims, 1);
        for name in &names[1..3] {
            let held = claim(&spool, name);
            assert_eq!(held.contents(), content(name.id()).as_bytes());
            held.finish().unwrap();
        }
        assert_eq!(spool.bad().unwrap()[0].name, names[0]);
        append(&spool, "again");
    }
}
