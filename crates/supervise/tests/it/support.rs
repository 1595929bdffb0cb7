//! What the tests share: commands with a mark of their own, and ways to see that nothing is left of them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use supervise::{
    Command, End, Environment, Landlock, Leftovers, Line, Mark, Outcome, OutputLimits, Redactor, run,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_supervise-test-program");
pub const MARK: &str = "SUPERVISE_TEST_RUN";

/// No test waits as long as this unless it fails.
pub const LONG: Duration = Duration::from_secs(120);

/// A value that no other test, and no other run of this one, has.
pub fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

pub fn command(program: &str, args: impl IntoIterator<Item = impl Into<OsString>>) -> Command {
    let path = [("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())];
    Command {
        program: program.into(),
        args: args.into_iter().map(Into::into).collect(),
        directory: "/".into(),
        environment: Environment::allowed_of(path).into_map(),
        mark: Some(Mark { variable: MARK.into(), value: unique() }),
        leftovers: Leftovers::Kill,
        deadline: LONG,
        grace: Duration::from_millis(200),
        limits: OutputLimits { total_bytes_max: 16 << 20, line_bytes_max: 64 << 10 },
        confinement: None,
        resources: None,
        redact: Redactor::default(),
        supervisor: PathBuf::from(PROGRAM),
        spawner: None,
        now_ms: || 42,
    }
}

pub fn sh(script: &str) -> Command {
    command("sh", ["-c", script])
}

pub fn perl(script: &str) -> Command {
    command("perl", ["-e", script])
}

/// Runs it to its end, after which nothing of it may be left.
pub async fn finish(command: Command) -> (Outcome, Vec<Line>) {
    let mark = mark(&command);
    let mut lines = Vec::new();
    let outcome = run(command, |line| lines.push(line), CancellationToken::new()).await.expect("it starts");
    assert_eq!(living_with(&mark), 0, "something of it still runs");
    (outcome, lines)
}

/// Runs it, and `then` with the first line that it writes and a token that cancels it.
pub async fn finish_after_line<Then>(command: Command, then: Then) -> Outcome
where
    Then: AsyncFnOnce(String, CancellationToken),
{
    let mark = mark(&command);
    let cancel = CancellationToken::new();
    let (sender, mut lines) = mpsc::channel(1);
    // Only the first line is of interest; the others find the channel full or closed.
    let sink = |line: Line| drop(sender.try_send(line.text));
    let (outcome, ()) = tokio::join!(run(command, sink, cancel.clone()), async {
        then(lines.recv().await.expect("it writes a line"), cancel.clone()).await;
    });
    assert_eq!(living_with(&mark), 0, "something of it still runs");
    outcome.expect("it starts")
}

/// Runs it, cancels it at its first line, and returns all its lines.
pub async fn lines_when_cancelled_at_the_first(command: Command) -> Vec<String> {
    let mark = mark(&command);
    let cancel = CancellationToken::new();
    let mut lines = Vec::new();
    let sink = |line: Line| {
        cancel.cancel();
        lines.push(line.text);
    };
    let outcome = run(command, sink, cancel.clone()).await.expect("it starts");
    assert_eq!(outcome.end, End::Cancelled);
    assert_eq!(living_with(&mark), 0, "something of it still runs");
    lines
}

/// Whether the kernel enforced all of a confinement: paths, signals and system calls.
pub fn enforced(outcome: &Outcome) -> bool {
    outcome.enforcement.is_some_and(|found| found.landlock == Landlock::Full && found.system_calls)
}

pub fn mark(command: &Command) -> String {
    command.mark.clone().expect("every command here is marked").value
}

pub fn texts(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

pub fn pid(text: &str) -> Pid {
    text.trim().parse().ok().and_then(Pid::from_raw).expect("the line is a process id")
}

/// Waits for a process to end; its zombie may remain.
pub fn wait_until_gone(pid: Pid) {
    let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let limit = Timespec { tv_sec: 60, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&limit));
    assert_eq!(ended, Ok(1), "{pid:?} still runs");
}

/// How many living processes, of any user, have this mark. (A zombie has no environment.)
pub fn living_with(mark: &str) -> usize {
    let entry = format!("{MARK}={mark}");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let environments = processes.filter_map(|process| std::fs::read(process.path().join("environ")).ok());
    environments.filter(|all| all.split(|byte| *byte == 0).any(|one| one == entry.as_bytes())).count()
}
