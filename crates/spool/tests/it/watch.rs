//! The watch wakes for what happens in the spool, and not for looking at it.

use std::fs;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use spool::Watcher;
use tempfile::tempdir;

use crate::support::{append, open};

/// Far more than a wake takes; reached only when none comes.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn wakes_for_appends_and_for_what_operators_do() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let (sender, wakes) = sync_channel(1000);
    let mut watcher = Watcher::new().unwrap();
    let wake = move || {
        let _ = sender.try_send(());
    };
    watcher.watch(&spool, wake).unwrap();
    let name = append(&spool, "a");
    wakes.recv_timeout(PATIENCE).expect("an append wakes");
    while wakes.try_recv().is_ok() {}
    fs::rename(directory.path().join(name.as_str()), directory.path().join("bad").join(name.as_str()))
        .unwrap();
    wakes.recv_timeout(PATIENCE).expect("a move out wakes");
    fs::rename(directory.path().join("bad").join(name.as_str()), directory.path().join(name.as_str()))
        .unwrap();
    wakes.recv_timeout(PATIENCE).expect("a move in wakes");
    drop(watcher);
    // The watch owned the sender: its end is the end of all wakes.
    while wakes.recv_timeout(PATIENCE).is_ok() {}
    assert_eq!(wakes.recv_timeout(PATIENCE), Err(std::sync::mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_scan_does_not_wake_itself() {
    let directory = tempdir().unwrap();
    let spool = open(directory.path());
    let (sender, wakes) = sync_channel(100_000);
    let mut watcher = Watcher::new().unwrap();
    let wake = move || {
        let _ = sender.try_send(());
    };
    watcher.watch(&spool, wake).unwrap();
    for _ in 0..100 {
        spool.ready().unwrap();
    }
    // Events come in order: when the append's has, all that the scans could cause have.
    append(&spool, "a");
    wakes.recv_timeout(PATIENCE).expect("the append wakes");
    assert!(wakes.try_iter().count() < 10, "the scans woke");
}

#[test]
fn a_spool_that_cannot_be_watched_can_be_scanned() {
    let directory = tempdir().unwrap();
    let spool = open(&directory.path().join("spool"));
    fs::rename(directory.path().join("spool"), directory.path().join("moved")).unwrap();
    assert!(Watcher::new().unwrap().watch(&spool, || ()).is_err());
    append(&spool, "a");
    assert_eq!(spool.ready().unwrap().len(), 1);
}
