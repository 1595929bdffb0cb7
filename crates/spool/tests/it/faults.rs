//! `kill -9` at every system call of a spool's life, and every system call failing in turn (`strace -e inject`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::script::{DIRECTORY_VARIABLE, judge, read_journal};
use crate::support::is_possible;

/// The calls by which the script changes anything, or learns of anything. `?`: not on every architecture.
const CALLS: &str = "?mkdir,mkdirat,?open,openat,read,write,fsync,?renameat,renameat2,linkat,unlinkat,flock,?newfstatat,getdents64,close";

/// What each call can answer that a host really does: full, broken, out of descriptors or memory, forbidden.
const ERRORS: [(&str, &[&str]); 12] = [
    ("mkdir", &["ENOSPC"]),
    ("open", &["EMFILE", "EIO"]),
    ("renameat", &["EIO"]),
    ("openat", &["EMFILE", "ENOSPC", "EACCES", "EIO"]),
    ("read", &["EIO"]),
    ("write", &["ENOSPC", "EIO"]),
    ("fsync", &["EIO", "ENOSPC"]),
    ("renameat2", &["EIO", "ENOSPC", "EINVAL", "EROFS"]),
    ("unlinkat", &["EIO", "EROFS"]),
    ("flock", &["ENOLCK", "EAGAIN"]),
    ("newfstatat", &["ENOMEM", "EIO"]),
    ("getdents64", &["EIO"]),
];

/// In memory where there is such a place: a kill or an injected error is the same there, and a thousand plays do
/// not wait for a disk.
fn home() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// A play takes a fraction of a second. One that meets an error which it repeats for ever is a failure too.
const DEADLINE_SECONDS: &str = "30";

/// What `timeout` answers, and a shell: 128 and the number of the signal.
const KILLED: i32 = 137;

/// Runs the script in a child under strace.
#[expect(
    clippy::disallowed_methods,
    reason = "`supervise` cannot be used here: it is a crate beside this one"
)]
fn play_under_strace(home: &Path, arguments: &[&str]) -> Output {
    std::process::Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(home.join("trace"))
        .args(arguments)
        .args(["timeout", "--signal=KILL", DEADLINE_SECONDS])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "script::script_runs_to_its_end", "--nocapture", "--test-threads=1"])
        .env_remove("LD_LIBRARY_PATH") // cargo sets it, and the loader's search would be counted
        .env(DIRECTORY_VARIABLE, home)
        .output()
        .unwrap()
}

/// Which of each call's numbers belong to the script: strace counts by thread and call, and the
/// rehearsals come before.
fn numbers_of_calls() -> BTreeMap<String, RangeInclusive<usize>> {
    let home = home();
    let output = play_under_strace(home.path(), &["-e", &format!("trace={CALLS}")]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(read_journal(home.path()).last().map(String::as_str), Some("end"));
    let trace = std::fs::read_to_string(home.path().join("trace")).unwrap();
    let calls: Vec<(&str, &str)> =
        trace.lines().filter_map(|line| line.split_once(char::is_whitespace)).collect();
    let (player, _) = calls.iter().find(|(_, call)| call.contains("renameat2(")).expect("the script renames");
    let begin = format!("{}/journal", home.path().display());
    let mut begun = false;
    let mut numbers: BTreeMap<String, RangeInclusive<usize>> = BTreeMap::new();
    let mut others: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for (thread, call) in &calls {
        let Some((name, arguments)) = call.trim_start().split_once('(') else { continue };
        if thread != player {
            *others.entry((thread, name.to_owned())).or_insert(0) += 1;
            continue;
        }
        begun |= arguments.contains(&begin);
        let range = numbers.entry(name.to_owned()).or_insert(RangeInclusive::new(1, 0));
        let shift = usize::from(!begun);
        *range = range.start() + shift..=range.end() + 1;
    }
    for ((_, name), count) in others {
        let first = numbers.get(&name).map_or(usize::MAX, |range| *range.start());
        assert!(count < first, "another thread makes {count} calls of {name}, the script's begin at {first}");
    }
    numbers
}

#[expect(
    clippy::disallowed_methods,
    reason = "`supervise` cannot be used here: it is a crate beside this one"
)]
fn strace_is_missing() -> Option<&'static str> {
    let version = std::process::Command::new("strace").arg("-V").output();
    (!version.is_ok_and(|output| output.status.success())).then_some("strace (apt-get install strace)")
}

#[test]
fn killed_at_every_system_call_nothing_acknowledged_is_lost() {
    if !is_possible("killed_at_every_system_call_nothing_acknowledged_is_lost", strace_is_missing()) {
        return;
    }
    let mut stages = BTreeSet::new();
    let mut kills = 0;
    for (call, numbers) in numbers_of_calls() {
        for nth in numbers {
            let home = home();
            let inject = format!("inject={call}:signal=KILL:when={nth}");
            let output = play_under_strace(home.path(), &["-e", &format!("trace={call}"), "-e", &inject]);
            assert!(!output.status.success(), "{call} {nth} was survived");
            judge(home.path());
            stages.insert(read_journal(home.path()));
            kills += 1;
        }
    }
    eprintln!("{kills} kills, {} different journals", stages.len());
    // All lines but the last, after which hardly anything is left to kill at.
    let longest = stages.iter().map(Vec::len).max().unwrap();
    assert!(longest >= 8 && stages.len() >= longest, "the kills missed stages: {stages:?}");
}

#[test]
fn with_every_system_call_failing_in_turn_nothing_acknowledged_is_lost() {
    if !is_possible("with_every_system_call_failing_in_turn", strace_is_missing()) {
        return;
    }
    let calls = numbers_of_calls();
    let (mut runs, mut noticed) = (0, 0);
    for (call, errors) in ERRORS {
        for nth in calls.get(call).cloned().into_iter().flatten() {
            for error in errors {
                // Once, and for good: a disk that has failed often goes on failing.
                for ever in ["", "+"] {
                    let home = home();
                    let inject = format!("inject={call}:error={error}:when={nth}{ever}");
                    let output =
                        play_under_strace(home.path(), &["-e", &format!("trace={call}"), "-e", &inject]);
                    assert_ne!(output.status.code(), Some(KILLED), "{inject}: the script hangs");
                    judge(home.path());
                    runs += 1;
                    noticed +=
                        usize::from(read_journal(home.path()).iter().any(|line| line.starts_with("failed")));
                }
            }
        }
    }
    eprintln!("{runs} runs, {noticed} of them with an operation that failed");
    assert!(noticed > 50, "of {runs} runs only {noticed} had an operation fail");
}

#[test]
fn without_renameat2_links_do() {
    if !is_possible("without_renameat2_links_do", strace_is_missing()) {
        return;
    }
    let home = home();
    let arguments = ["-e", "trace=renameat2,linkat", "-e", "inject=renameat2:error=EINVAL"];
    assert!(play_under_strace(home.path(), &arguments).status.success());
    let journal = read_journal(home.path());
    assert!(journal.iter().all(|line| !line.starts_with("failed")), "{journal:?}");
    assert!(std::fs::read_to_string(home.path().join("trace")).unwrap().contains("linkat("));
    judge(home.path());
}
