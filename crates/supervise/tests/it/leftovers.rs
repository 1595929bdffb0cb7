//! What a command leaves behind ends with it.

use std::time::Duration;

use rustix::process::{Signal, kill_process, test_kill_process};
use supervise::{End, Leftovers, run};
use tokio_util::sync::CancellationToken;

use crate::support::{
    finish, finish_after_line, lines_when_cancelled_at_the_first, perl, pid, sh, texts, wait_until_gone,
};

/// Becomes a daemon by the book (fork, setsid, fork), deaf to TERM, with an emptied environment, and keeps
/// standard output open. Prints its number.
const DAEMON: &str = r#"
    use POSIX; $| = 1;
    pipe(my $read, my $write);
    if (!fork) {
        POSIX::setsid();
        exit 0 if fork;
        $SIG{TERM} = $SIG{HUP} = "IGNORE";
        print "$$\n"; close $write;
        exec "env", "-i", "sleep", "1000";
    }
    close $write; <$read>; exit 5;
"#;

#[tokio::test]
async fn a_daemon_is_found_and_killed() {
    let (outcome, lines) = finish(perl(DAEMON)).await;
    assert_eq!((outcome.end, outcome.leftovers_killed, outcome.survivors), (End::Exited(5), 1, 0));
    assert!(test_kill_process(pid(&lines[0].text)).is_err(), "the daemon still runs");
}

#[tokio::test]
async fn a_daemon_is_killed_with_what_is_cancelled() {
    let script = DAEMON.replace("exit 5", "sleep 1000");
    let mut daemon = None;
    let outcome = finish_after_line(perl(&script), async |line, cancel| {
        daemon = Some(pid(&line));
        cancel.cancel();
    });
    assert_eq!(outcome.await.end, End::Cancelled);
    assert!(test_kill_process(daemon.unwrap()).is_err(), "the daemon still runs");
}

#[tokio::test]
async fn leftovers_that_end_soon_by_themselves_are_none() {
    // As in `> >(tee log)`: the reader of the pipe ends only after the command.
    let (outcome, lines) = finish(sh("{ cat; echo last; } </dev/null & exit 0")).await;
    assert_eq!((outcome.leftovers_killed, texts(&lines)), (0, vec!["last"]));
}

#[tokio::test]
async fn leftovers_that_end_by_themselves_a_second_later_are_none() {
    let (outcome, lines) = finish(sh("{ sleep 1; echo last; } & exit 0")).await;
    assert_eq!((outcome.leftovers_killed, texts(&lines)), (0, vec!["last"]));
}

#[tokio::test]
async fn what_is_spared_goes_on_and_does_not_keep_us() {
    let mut command = perl(DAEMON);
    command.leftovers = Leftovers::Spare;
    let mut lines = Vec::new();
    let outcome = run(command, |line| lines.push(line), CancellationToken::new()).await.unwrap();
    let daemon = pid(&lines[0].text);
    let runs = test_kill_process(daemon);
    kill_process(daemon, Signal::KILL).unwrap();
    wait_until_gone(daemon);
    assert!(runs.is_ok(), "it was not spared");
    assert_eq!((outcome.end, outcome.leftovers_killed), (End::Exited(5), 0));
}

#[tokio::test]
async fn a_deadline_spares_nobody() {
    let mut command = perl(&DAEMON.replace("exit 5", "sleep 1000"));
    command.leftovers = Leftovers::Spare;
    command.deadline = Duration::from_secs(1);
    let (outcome, lines) = finish(command).await;
    assert_eq!(outcome.end, End::DeadlineExceeded);
    assert!(test_kill_process(pid(&lines[0].text)).is_err(), "the daemon still runs");
}

#[tokio::test]
async fn nobody_gets_to_act_on_the_killing_of_others() {
    // Each child, in a session of its own, would notice the end of its parent, as those do who start the killed
    // anew. But all are stopped before the first is killed.
    let script = r#"
        use POSIX; $| = 1; $SIG{TERM} = "IGNORE";
        pipe(my $life, my $hold); pipe(my $read, my $write);
        for (1..100) {
            next if fork;
            POSIX::setsid(); close $hold; syswrite $write, "x";
            <$life>; syswrite STDOUT, "noticed\n"; sleep 1000 while 1;
        }
        for (1..100) { sysread $read, my $byte, 1 }
        print "ready\n"; sleep 1000 while 1;
    "#;
    assert_eq!(lines_when_cancelled_at_the_first(perl(script)).await, ["ready"]);
}

#[tokio::test]
async fn a_fork_bomb_is_put_out() {
    put_out("1").await;
}

#[tokio::test]
async fn a_fork_bomb_whose_every_process_leaves_the_group_is_put_out() {
    put_out("POSIX::setsid()").await;
}

/// Lets a bomb fill what processes it may have, then cancels it.
async fn put_out(each_does: &str) {
    let bomb = format!(
        r#"
        use POSIX; $SIG{{TERM}} = "IGNORE"; $| = 1;
        while (1) {{
            my $child = fork;
            unless (defined $child) {{ print "full\n" unless $said++; select undef, undef, undef, 0.001 }}
            {each_does} if defined $child and not $child;
        }}
        "#
    );
    // RLIMIT_NPROC does not hold root back, and counts all processes of the user, on the whole machine: be one that has no others.
    // With low priority, for the other tests' sake.
    let script = format!(
        "[ $(id -u) = 0 ] && nobody=\"setpriv --reuid $((1000000 + $$)) --clear-groups\"; \
         exec nice -n 19 prlimit --nproc=300:300 $nobody perl -e '{bomb}'"
    );
    let outcome = finish_after_line(sh(&script), async |line, cancel| {
        assert_eq!(line, "full");
        cancel.cancel();
    });
    let outcome = outcome.await;
    assert_eq!((outcome.end, outcome.survivors), (End::Cancelled, 0));
}
