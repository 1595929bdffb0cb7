//! The power is cut while threads append and a consumer works: what was acknowledged is on the disk.
//!
//! An ext4 on a loop device is shut down by ioctl without its journal being flushed, which forgets all that
//! was not made durable; then it is mounted again. A file written without an fsync, which must be lost, shows
//! each time that the cut was one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use spool::{EntryName, Spool};
use tempfile::tempdir;

use crate::support::{content, is_possible, open, root_is_missing, run, run_well};

/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`. In Python, because an ioctl is `unsafe` in Rust.
const CUT: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";

struct Disk {
    image: PathBuf,
    mount_point: PathBuf,
}

impl Disk {
    fn new(home: &Path) -> Disk {
        let disk = Disk { image: home.join("image"), mount_point: home.join("mounted") };
        fs::create_dir(&disk.mount_point).unwrap();
        fs::File::create(&disk.image).unwrap().set_len(64 << 20).unwrap();
        run_well("mkfs.ext4", &["-q", "-F", disk.image.to_str().unwrap()]);
        disk.mount();
        disk
    }

    fn mount(&self) {
        // The kernel's own commit must not come to our aid, nor its early write-out of renamed files.
        let (image, mount_point) = (self.image.to_str().unwrap(), self.mount_point.to_str().unwrap());
        run_well("mount", &["-o", "loop,commit=300,noauto_da_alloc", image, mount_point]);
    }

    fn cut_power(&self) {
        run_well("python3", &["-c", CUT, self.mount_point.to_str().unwrap()]);
    }

    fn restart(&self) {
        run_well("umount", &[self.mount_point.to_str().unwrap()]);
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["--lazy", self.mount_point.to_str().unwrap()]);
    }
}

/// What was promised until the cut.
#[derive(Default)]
struct Promises {
    acknowledged: Mutex<Vec<EntryName>>,
    /// May be gone: somebody began to remove it.
    ending: Mutex<BTreeSet<EntryName>>,
    buried: Mutex<BTreeSet<EntryName>>,
}

fn append_until_the_cut(spool: &Spool, label: &str, promises: &Promises) {
    for number in 0.. {
        let id = format!("{label}-{number}");
        match spool.append(&id, &[content(&id).as_bytes()]) {
            Ok(appended) => promises.acknowledged.lock().unwrap().push(appended.name().clone()),
            Err(_) => return,
        }
    }
}

/// Finishes, releases and dead-letters in turn, and stops at the first error.
fn consume_until_the_cut(spool: &Spool, promises: &Promises) {
    let mut turn = 0;
    while !spool.is_degraded() {
        let Ok(names) = spool.ready() else { return };
        for name in names {
            let Ok(Some(claim)) = spool.claim(&name) else { return };
            turn += 1;
            let done = match turn % 4 {
                0 => {
                    promises.ending.lock().unwrap().insert(name);
                    claim.finish()
                }
                1 => claim.bury("for the test").map(|buried_as| {
                    promises.buried.lock().unwrap().insert(buried_as);
                }),
                _ => claim.release(),
            };
            if done.is_err() {
                return;
            }
        }
    }
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    if !is_possible("what_was_acknowledged_survives_a_power_cut", root_is_missing()) {
        return;
    }
    let home = tempdir().unwrap();
    let disk = Disk::new(home.path());
    for cut in [1, 2, 7, 30, 100, 150, 200, 250] {
        one_cut(&disk, cut);
    }
    // The control: with nobody else writing (a writer's syncfs would save it), what was not synced is lost.
    let control = disk.mount_point.join("not-synced");
    fs::write(&control, content("control")).unwrap();
    disk.cut_power();
    disk.restart();
    assert_ne!(fs::read_to_string(&control).unwrap_or_default(), content("control"), "this was no power cut");
}

fn one_cut(disk: &Disk, cut_after: usize) {
    let directory = disk.mount_point.join(format!("spool-{cut_after}"));
    let promises = Promises::default();
    let writers = AtomicUsize::new(4);
    let spool = open(&directory);
    thread::scope(|scope| {
        let (spool, promises, writers) = (&spool, &promises, &writers);
        for label in ["a", "b", "c", "d"] {
            scope.spawn(move || {
                append_until_the_cut(spool, label, promises);
                writers.fetch_sub(1, Ordering::SeqCst);
            });
        }
        scope.spawn(move || consume_until_the_cut(spool, promises));
        while promises.acknowledged.lock().unwrap().len() < cut_after && writers.load(Ordering::SeqCst) > 0 {
            thread::yield_now();
        }
        disk.cut_power();
    });
    drop(spool);
    disk.restart();

    check_promises(&directory, cut_after, &promises);
}

fn check_promises(directory: &Path, cut_after: usize, promises: &Promises) {
    let spool = open(directory);
    spool.consumer_lock().unwrap().unwrap().recover().unwrap();
    let mut left: BTreeMap<EntryName, &str> = BTreeMap::new();
    for name in spool.ready().unwrap() {
        left.insert(name, "");
    }
    for entry in spool.bad().unwrap() {
        assert_eq!(entry.reason.as_deref(), Some("for the test"), "{}", entry.name);
        assert!(left.insert(entry.name, "bad").is_none(), "an entry is ready and bad");
    }
    let acknowledged = promises.acknowledged.lock().unwrap();
    let ending = promises.ending.lock().unwrap();
    assert!(acknowledged.len() >= cut_after, "only {} of {cut_after} came to be", acknowledged.len());
    for name in acknowledged.iter().filter(|name| !ending.contains(name)) {
        assert!(left.contains_key(name), "{name} was acknowledged and is lost");
    }
    for name in promises.buried.lock().unwrap().iter() {
        assert_eq!(left.get(name), Some(&"bad"), "{name} was buried and is not");
    }
    for (name, below) in &left {
        // Whatever has a name is whole, promised or not.
        let contents = fs::read_to_string(directory.join(below).join(name.as_str())).unwrap();
        assert_eq!(contents, content(name.id()), "{name}");
    }
    eprintln!(
        "{} acknowledged, {} begun to be finished, {} left",
        acknowledged.len(),
        ending.len(),
        left.len()
    );
}
