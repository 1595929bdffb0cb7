//! Commands of another user: started by a spawner of that user's, on the same supervisor.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Child, Stdio};

use rustix::process::{Signal, kill_process};
use supervise::{Command, Confinement, End, ResourceLimits, StartError, kill_marked_by};
use tokio_util::sync::CancellationToken;

use crate::support::{
    MARK, PROGRAM, enforced, finish, finish_after_line, lines_when_cancelled_at_the_first, living_with, mark,
    pid, sh, texts,
};

/// What is shown to the spawners of these tests.
const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const USER: u32 = 65534;

/// A spawner of another user's, as a service manager starts one; killed at the end.
pub struct Spawner {
    directory: tempfile::TempDir,
    process: Child,
}

impl Spawner {
    pub fn start() -> Self {
        Self::start_with(KEY)
    }

    fn start_with(key: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Its program too must be where that user finds it, and may start it, as the caller's, which becomes the supervisor.
        for open in [directory.path(), PROGRAM.as_ref()] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let program = directory.path().join("program");
        fs::copy(PROGRAM, &program).unwrap();
        fs::write(directory.path().join(supervise::SPAWNER_CREDENTIAL), format!("{key}\n")).unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        #[expect(clippy::disallowed_methods, reason = "stands in for a service manager")]
        let process = std::process::Command::new("setpriv")
            .args([&format!("--reuid={USER}"), "--clear-groups", "--no-new-privs", "--"])
            .arg(program)
            .arg(supervise::SPAWNER_ARGUMENT)
            .env("CREDENTIALS_DIRECTORY", directory.path())
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { directory, process }
    }

    pub fn keep(&self, command: Command) -> Command {
        Command { spawner: Some(self.address()), ..command }
    }

    fn address(&self) -> supervise::Spawner {
        supervise::Spawner { socket: self.directory.path().join("socket"), key: KEY.into() }
    }

    /// A command that this user may do something in a directory of his own.
    fn home(&self) -> std::path::PathBuf {
        let home = self.directory.path().join("home");
        fs::create_dir_all(&home).unwrap();
        std::os::unix::fs::chown(&home, Some(USER), None).unwrap();
        home
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_command_is_another_users_and_else_like_any_other() {
    let spawner = Spawner::start();
    let mut command =
        spawner.keep(sh("id -u; pwd; echo \"$GIVEN\"; env | grep -c .; echo mistake >&2; exit 7"));
    command.environment.insert("GIVEN".into(), "a=b c".into());
    command.directory = spawner.home();
    let expected = ["65534".to_owned(), command.directory.display().to_string(), "a=b c".to_owned()];
    let (outcome, lines) = finish(command).await;
    assert_eq!(outcome.end, End::Exited(7));
    assert_eq!(texts(&lines)[..3], expected);
    // PATH, PWD, the mark and the one given; nothing of the spawner's.
    assert!(texts(&lines).contains(&"4") && texts(&lines).contains(&"mistake"), "{lines:?}");
}

#[tokio::test]
async fn it_is_confined_and_counted_as_any_other() {
    let spawner = Spawner::start();
    let home = spawner.home();
    let readable = ["/usr", "/bin", "/lib", "/lib64", "/etc", "/proc", "/sys"].map(Into::into);
    let confined = |script: &str| {
        let confinement = Confinement {
            readable: readable.to_vec(),
            writable: vec![home.clone(), "/dev/null".into()],
            ..Confinement::default()
        };
        let limits = ResourceLimits { tasks_max: Some(32), ..ResourceLimits::default() };
        Command { confinement: Some(confinement), resources: Some(limits), ..spawner.keep(sh(script)) }
    };
    let script =
        format!("cd {} && echo mine > file && cat file; touch /tmp/planted-by-a-test; :", home.display());
    let (outcome, lines) = finish(confined(&script)).await;
    assert_eq!((outcome.end, enforced(&outcome)), (End::Exited(0), true), "{lines:?}");
    assert!(lines.iter().any(|line| line.text.contains("Permission denied")), "{lines:?}");
    let (outcome, _) = finish(confined("for each in $(seq 50); do sleep 1000 & done; wait")).await;
    assert_eq!(outcome.end, End::TooManyTasks { max: 32 });
}

#[tokio::test]
async fn what_it_leaves_behind_ends_with_it_and_it_ends_when_it_is_told_to() {
    let spawner = Spawner::start();
    let (outcome, _) =
        finish(spawner.keep(sh("setsid sleep 1000 & (trap '' TERM; sleep 1000) & exit 0"))).await;
    assert_eq!(outcome.end, End::Exited(0));
    assert!(outcome.leftovers_killed >= 2, "{outcome:?}");
    let stubborn = "trap '' TERM; echo begun; while :; do sleep 1000; done";
    assert_eq!(lines_when_cancelled_at_the_first(spawner.keep(sh(stubborn))).await, ["begun"]);
}

#[tokio::test]
async fn when_its_leash_is_killed_the_keeper_does_the_rest() {
    let spawner = Spawner::start();
    let tree = "setsid sh -c 'echo '$PPID'; sleep 1000' & trap '' TERM; while :; do sleep 1000; done";
    let outcome = finish_after_line(spawner.keep(sh(tree)), async |line, _| {
        kill_process(pid(&line), Signal::KILL).unwrap();
    });
    assert_eq!(outcome.await.end, End::SupervisorLost);
}

#[tokio::test]
async fn what_a_mark_is_on_is_killed_by_its_own_user() {
    let spawner = Spawner::start();
    let command = spawner.keep(sh("echo $PPID; sleep 1000"));
    let (address, value) = (spawner.address(), mark(&command));
    let outcome = finish_after_line(command, async |_, _| {
        assert_eq!(supervise::kill_marked(MARK, &value).unwrap(), 0, "it is not ours");
        assert!(kill_marked_by(&address, MARK, &value).await.unwrap() >= 2);
    });
    // Whichever of the two was the first.
    assert!(matches!(outcome.await.end, End::SupervisorLost | End::Signalled(9)));
    assert_eq!(living_with(&value), 0);
}

#[tokio::test]
async fn a_keeper_that_was_stopped_is_not_waited_for_longer_than_agreed() {
    let spawner = Spawner::start();
    let keeper_pid = pid(&spawner.process.id().to_string());
    let (cancel, (sender, mut lines)) = (CancellationToken::new(), tokio::sync::mpsc::channel(1));
    let command = spawner.keep(sh("echo $PPID $$; exec sleep 1000"));
    let sink = |line: supervise::Line| drop(sender.try_send(line.text));
    let (outcome, stopped) = tokio::join!(supervise::run(command, sink, cancel.clone()), async {
        let line = lines.recv().await.unwrap();
        let (supervisor, sleeper) =
            line.split_once(' ').map(|(supervisor, sleeper)| (pid(supervisor), pid(sleeper))).unwrap();
        for stopped in [keeper_pid, supervisor] {
            kill_process(stopped, Signal::STOP).unwrap();
        }
        cancel.cancel();
        // Slow on purpose, on a clock that tokio turns forward.
        tokio::time::pause();
        [supervisor, sleeper]
    });
    for process in stopped {
        kill_process(process, Signal::KILL).unwrap();
    }
    let outcome = outcome.unwrap();
    assert_eq!(outcome.end, End::Cancelled);
    assert!(outcome.survivors > 0, "nobody could be asked to kill: {outcome:?}");
}

#[tokio::test]
async fn who_cannot_be_asked_and_what_cannot_be_started_is_said() {
    let spawner = Spawner::start();
    let refused = |command: Command| async {
        supervise::run(command, |_| {}, CancellationToken::new()).await.map(drop).unwrap_err()
    };
    let closed = spawner.directory.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let error = refused(Command { directory: closed, ..spawner.keep(sh("true")) }).await;
    assert!(error.to_string().contains("closed: Permission denied"), "{error}");
    let error = refused(spawner.keep(crate::support::command("no-such-program", [""; 0]))).await;
    assert!(matches!(error, StartError::ProgramNotFound { .. }), "{error}");
    let nobody = Some(supervise::Spawner { socket: "/nowhere/socket".into(), ..spawner.address() });
    let error = refused(Command { spawner: nobody, ..sh("true") }).await;
    assert!(error.to_string().contains("/nowhere/socket (No such file"), "{error}");
}

#[tokio::test]
async fn nonsense_is_answered_and_forgotten() {
    use std::io::{Read, Write};
    let spawner = Spawner::start();
    let socket = spawner.directory.path().join("socket");
    let behind = |key: &str, bytes: &[u8]| [key.as_bytes(), bytes].concat();
    for nonsense in [
        behind(KEY, b"\0\0\0\x04kill"),
        behind(KEY, b"\xff\xff\xff\xff"),
        behind(KEY, b"\0\0\0\0"),
        behind(KEY, b"\0"),
        behind("", b"GET / HTTP/1.1\r\n\r\n"),
        behind("", b"\0\0\0\x04kill"),
    ] {
        let mut stranger = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stranger.write_all(&nonsense).unwrap();
        stranger.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // What it did not read, it throws away, and the answer with it.
        if stranger.read_to_end(&mut answer).is_ok() {
            assert!(answer.starts_with(b"failed 0 "), "{nonsense:?}: {answer:?}");
        }
    }
    assert_eq!(finish(spawner.keep(sh("true"))).await.0.end, End::Exited(0));
}

/// What is asked with another key, or of a spawner that has none, is not done; and the next who has the key is heard.
#[tokio::test]
async fn who_does_not_show_the_key_has_nothing_run() {
    let (spawner, without) = (Spawner::start(), Spawner::start_with(""));
    let witness = spawner.home().join("run-by-a-stranger");
    let touch = || sh(&format!("touch {}", witness.display()));
    let other = format!("f{}", &KEY[1..]);
    for (address, expected) in [
        (
            supervise::Spawner { key: other, ..spawner.address() },
            "the key is not the one of this user's steps",
        ),
        (
            supervise::Spawner { key: String::new(), ..spawner.address() },
            "only durhack-deployer-worker.service has the key",
        ),
        (without.address(), "has no key"),
    ] {
        let command = Command { spawner: Some(address.clone()), ..touch() };
        let error = supervise::run(command, |_| {}, CancellationToken::new()).await.map(drop).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        let error = kill_marked_by(&address, MARK, "1").await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(!witness.exists());
    assert_eq!(finish(spawner.keep(touch())).await.0.end, End::Exited(0));
    assert!(witness.exists());
}
