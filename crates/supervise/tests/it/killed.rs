//! What happens when somebody kills those who should do the killing.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use rustix::process::{Signal, kill_process};
use supervise::{End, kill_marked};

use crate::support::{MARK, PROGRAM, finish_after_line, living_with, pid, sh, unique, wait_until_gone};

/// Three generations, the last in a session of its own; prints the numbers of supervisor, first and last.
const TREE: &str = r#"
    trap '' TERM
    setsid sh -c 'trap "" TERM; echo '$PPID' '$$' $$; while :; do sleep 1000; done' &
    while :; do sleep 1000; done
"#;

/// A supervisor in a process of its own, and the three numbers.
fn supervisor(mark: &str) -> (Child, Vec<rustix::process::Pid>) {
    #[expect(clippy::disallowed_methods, reason = "the supervisor itself is what is to be killed")]
    let mut supervisor = std::process::Command::new(PROGRAM)
        .args([TREE, "no secret", mark])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(supervisor.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pids: Vec<_> = line.split_whitespace().map(pid).collect();
    assert_eq!(pids.len(), 3, "{line}");
    (supervisor, pids)
}

#[test]
fn when_the_daemon_is_killed_the_whole_tree_goes() {
    let mark = unique();
    let (mut supervisor, pids) = supervisor(&mark);
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    pids.into_iter().for_each(wait_until_gone);
    assert_eq!(living_with(&mark), 0);
}

#[tokio::test]
async fn when_the_leash_is_killed_the_daemon_does_its_work() {
    let outcome = finish_after_line(sh(TREE), async |line, _| {
        let supervisor = pid(line.split(' ').next().unwrap());
        kill_process(supervisor, Signal::KILL).unwrap();
    });
    assert_eq!(outcome.await.end, End::SupervisorLost);
}

#[test]
fn orphans_of_a_killed_leash_are_reaped_by_a_daemon_that_adopts_them() {
    let script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; while :; do :; done' & kill -KILL $PPID; while :; do :; done";
    #[expect(
        clippy::disallowed_methods,
        reason = "a process of its own: to be a subreaper holds for a whole process"
    )]
    let output = std::process::Command::new(PROGRAM).args([script, "no secret", &unique()]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("end: SupervisorLost"), "{text}");
    assert!(text.contains("\nreaped: 0\nchildren: 0\n"), "they were reaped as they were killed: {text}");
}

#[tokio::test]
async fn without_a_mark_at_least_the_session_is_found() {
    let mut command = sh("echo $PPID $$; sleep 1000 & trap '' TERM; while :; do sleep 1000; done");
    command.mark = None;
    command.environment.insert(MARK.into(), unique().into());
    let mark = command.environment[std::ffi::OsStr::new(MARK)].clone().into_string().unwrap();
    let (sender, mut lines) = tokio::sync::mpsc::channel(1);
    let sink = |line: supervise::Line| drop(sender.try_send(line.text));
    let (outcome, ()) = tokio::join!(supervise::run(command, sink, Default::default()), async {
        let line = lines.recv().await.unwrap();
        kill_process(pid(line.split(' ').next().unwrap()), Signal::KILL).unwrap();
    });
    assert_eq!(outcome.unwrap().end, End::SupervisorLost);
    assert_eq!(living_with(&mark), 0);
}

#[tokio::test]
async fn a_leash_that_hangs_is_not_waited_for_longer_than_agreed() {
    // Slow on purpose: it sees the whole of what a supervisor process is granted, on a clock that tokio turns forward.
    let outcome = finish_after_line(sh("echo $PPID $$; sleep 1000"), async |line, cancel| {
        kill_process(pid(line.split(' ').next().unwrap()), Signal::STOP).unwrap();
        cancel.cancel();
        tokio::time::pause();
    });
    assert_eq!(outcome.await.end, End::Cancelled);
}

#[test]
fn when_both_are_killed_the_mark_finds_the_rest() {
    let (mark, other_mark) = (unique(), unique());
    let (mut supervisor, pids) = supervisor(&mark);
    let (mut other_supervisor, other_pids) = self::supervisor(&other_mark);
    // The supervisor process first, stopped before that: or the daemon's or the supervisor process's own killing would be what we see.
    kill_process(pid(&supervisor.id().to_string()), Signal::STOP).unwrap();
    kill_process(pids[0], Signal::KILL).unwrap();
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    wait_until_gone(pids[0]);
    assert!(living_with(&mark) >= 2);

    assert!(kill_marked(MARK, &mark).unwrap() >= 2);
    assert_eq!(living_with(&mark), 0);
    assert_eq!(kill_marked(MARK, &mark).unwrap(), 0);

    assert!(living_with(&other_mark) >= 3, "others were not to be touched");
    other_supervisor.kill().unwrap();
    other_supervisor.wait().unwrap();
    other_pids.into_iter().for_each(wait_until_gone);
}
