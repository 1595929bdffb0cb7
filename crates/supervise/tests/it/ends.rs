//! However it ends, the end is named rightly, and nothing is left.

use std::time::Duration;

use rustix::process::{Signal, kill_process};
use supervise::{End, run};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::{
    finish, finish_after_line, lines_when_cancelled_at_the_first, living_with, mark, perl, pid, sh,
    wait_until_gone,
};

/// Says that it is there, then ignores TERM for ever.
const STUBBORN: &str = r#"$SIG{TERM} = "IGNORE"; $| = 1; print "$$\n"; sleep 1000 while 1"#;

#[tokio::test]
async fn exit_codes_and_signals_are_told() {
    for (script, expected) in [
        ("exit 0", End::Exited(0)),
        ("exit 1", End::Exited(1)),
        ("exit 255", End::Exited(255)),
        ("exit 137", End::Exited(137)),
        ("kill -TERM $$", End::Signalled(15)),
        ("kill -KILL $$", End::Signalled(9)),
        ("kill -SEGV $$", End::Signalled(11)),
    ] {
        let (outcome, lines) = finish(sh(script)).await;
        assert_eq!(outcome.end, expected, "{script}");
        assert_eq!((outcome.leftovers_killed, outcome.survivors, lines.len()), (0, 0, 0), "{script}");
    }
}

#[tokio::test]
async fn the_deadline_ends_what_ignores_term() {
    let mut command = perl(STUBBORN);
    command.deadline = Duration::from_millis(300);
    let (outcome, _) = finish(command).await;
    assert_eq!(outcome.end, End::DeadlineExceeded);
    assert_eq!(outcome.survivors, 0);
}

#[tokio::test]
async fn the_deadline_ends_what_never_writes_and_has_closed_its_streams() {
    let mut command = sh("exec sleep 1000 >&- 2>&-");
    command.deadline = Duration::from_millis(300);
    assert_eq!(finish(command).await.0.end, End::DeadlineExceeded);
}

#[tokio::test]
async fn a_deadline_beyond_all_clocks_is_none() {
    let mut command = sh("exit 3");
    command.deadline = Duration::MAX;
    assert_eq!(finish(command).await.0.end, End::Exited(3));
}

#[tokio::test]
async fn cancelling_ends_it_and_waits_for_that() {
    let outcome = finish_after_line(perl(STUBBORN), async |_, cancel| cancel.cancel()).await;
    assert_eq!(outcome.end, End::Cancelled);
}

#[tokio::test]
async fn what_was_cancelled_before_does_not_run_on() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let command = sh("sleep 1000");
    let mark = mark(&command);
    let outcome = run(command, |_| {}, cancel).await.unwrap();
    assert_eq!(outcome.end, End::Cancelled);
    assert_eq!(living_with(&mark), 0);
}

#[tokio::test]
async fn whoever_is_asked_to_end_may_finish_within_the_grace() {
    let mut command = perl(
        r#"$| = 1; $SIG{TERM} = sub { print "tidied up\n"; exit }; print "ready\n"; sleep 1000 while 1"#,
    );
    command.grace = Duration::from_secs(60);
    assert_eq!(lines_when_cancelled_at_the_first(command).await, ["ready", "tidied up"]);
}

#[tokio::test]
async fn each_process_is_asked_once() {
    // For many programs a second TERM means to drop everything. The child shares the command's group.
    let script = r#"
        $| = 1; $SIG{TERM} = sub { print "$name asked\n"; $asked++ };
        pipe(my $read, my $write);
        $name = fork ? "parent" : "child";
        if ($name eq "child") { print $write "ready\n"; close $write }
        else { close $write; <$read>; print "ready\n" }
        select undef, undef, undef, 1000 until $asked;
        select undef, undef, undef, 0.1;
        wait if $name eq "parent";
    "#;
    let mut command = perl(script);
    command.grace = Duration::from_secs(60);
    let mut lines = lines_when_cancelled_at_the_first(command).await;
    lines.sort_unstable();
    assert_eq!(lines, ["child asked", "parent asked", "ready"]);
}

#[tokio::test]
async fn a_stopped_process_hears_the_term() {
    let script = r#"
        use POSIX ":sys_wait_h"; $| = 1; $SIG{TERM} = "IGNORE";
        my $child = fork;
        unless ($child) { $SIG{TERM} = sub { print "heard\n"; exit }; kill "STOP", $$; exit }
        waitpid $child, WUNTRACED;
        print "stopped\n"; waitpid $child, 0;
    "#;
    let mut command = perl(script);
    command.grace = Duration::from_secs(20);
    assert_eq!(lines_when_cancelled_at_the_first(command).await, ["stopped", "heard"]);
}

#[tokio::test]
async fn dropping_the_future_brings_it_down() {
    let (sender, mut lines) = mpsc::channel(1);
    let sink = |line: supervise::Line| drop(sender.try_send(line.text));
    let running = run(perl(STUBBORN), sink, CancellationToken::new());
    let child = tokio::select! {
        _ = running => panic!("it does not end by itself"),
        line = lines.recv() => pid(&line.unwrap()),
    };
    wait_until_gone(child);
}

#[tokio::test]
async fn signals_to_the_leash_do_not_end_it() {
    let outcome = finish_after_line(sh("echo $PPID; read line; sleep 0.1; exit 7"), async |supervisor, _| {
        for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
            kill_process(pid(&supervisor), signal).unwrap();
        }
    });
    assert_eq!(outcome.await.end, End::Exited(7));
}

#[tokio::test]
async fn the_command_does_not_inherit_that_deafness() {
    // HUP, INT, QUIT, PIPE, TERM, CHLD; whoever runs the tests may have others ignored.
    let ours = [1, 2, 3, 13, 15, 17].iter().fold(0_u64, |mask, signal| mask | 1 << (signal - 1));
    let (_, lines) = finish(sh("grep -E 'Sig(Ign|Blk)' /proc/self/status")).await;
    assert_eq!(lines.len(), 2);
    for line in lines {
        let mask = u64::from_str_radix(line.text.split('\t').nth(1).unwrap(), 16).unwrap();
        assert_eq!(mask & ours, 0, "{}", line.text);
    }
}
