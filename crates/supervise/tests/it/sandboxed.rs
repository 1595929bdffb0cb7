//! What a command cannot reach, and how much it cannot use up.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use supervise::{Command, Confinement, End, ResourceLimits};

use crate::support::{enforced, finish, perl, sh, texts};

/// What every program needs.
const READABLE: [&str; 7] = ["/usr", "/bin", "/lib", "/lib64", "/etc", "/proc", "/sys"];

fn confined(command: Command, writable: &[&Path], hidden: &[&Path]) -> Command {
    let paths = |paths: &[&Path]| paths.iter().map(|path| path.to_path_buf()).collect();
    let confinement = Confinement {
        readable: READABLE.map(PathBuf::from).into(),
        writable: [paths(writable), vec!["/dev/null".into()]].concat(),
        hidden: paths(hidden),
        landlock_max: None,
    };
    Command { confinement: Some(confinement), ..command }
}

fn limited(command: Command, resources: ResourceLimits) -> Command {
    Command { resources: Some(resources), ..command }
}

#[tokio::test]
async fn what_is_not_given_can_be_neither_read_nor_written() {
    let root = tempfile::tempdir().unwrap();
    let own = root.path().join("own");
    fs::create_dir(&own).unwrap();
    fs::write(root.path().join("secret"), "canary").unwrap();
    std::os::unix::fs::symlink("../secret", own.join("link")).unwrap();
    let mut victim = sleeping();
    let script = format!(
        "cd {own} && echo mine > file && mv file other && mkdir directory && ln other directory/linked && cat other
         cat ../secret; cat link; ls ..; cat /proc/{victim}/environ; cat /etc/hostname
         echo x > ../secret; true > ../new; rm ../secret; mv other ..; ln ../secret stolen; mkdir ../d
         mknod disk b 1 0; kill {victim}; echo x > /etc/planted-by-a-test; echo x > /proc/self/oom_score_adj; true",
        own = own.display(),
        victim = victim.id(),
    );
    let (outcome, lines) = finish(confined(sh(&script), &[&own], &[Path::new("/etc/hostname")])).await;
    let status = victim.try_wait().unwrap();
    let _ = victim.kill();
    let _ = victim.wait();

    assert_eq!((outcome.end, enforced(&outcome)), (End::Exited(0), true), "{lines:?}");
    let seen = texts(&lines);
    assert_eq!(seen.iter().filter(|line| **line == "mine").count(), 1, "{seen:#?}");
    assert!(!seen.iter().any(|line| line.contains("canary")), "{seen:#?}");
    let refusals = ["Permission denied", "not permitted", "Invalid cross-device link"];
    let refused = seen.iter().filter(|line| refusals.iter().any(|refusal| line.contains(refusal)));
    assert_eq!(refused.count(), 15, "{seen:#?}");
    assert!(status.is_none(), "it was signalled: {status:?}");
    let mut left: Vec<_> =
        fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["own", "secret"]);
    assert_eq!(fs::read_to_string(root.path().join("secret")).unwrap(), "canary");
    assert!(!Path::new("/etc/planted-by-a-test").exists());
}

/// Somebody with a secret in the environment, who has nothing to do with the command.
fn sleeping() -> std::process::Child {
    #[expect(clippy::disallowed_methods, reason = "it is not what is supervised")]
    std::process::Command::new("sleep").arg("600").env("SECRET", "canary").spawn().unwrap()
}

#[tokio::test]
async fn a_confined_command_is_brought_down_like_any_other() {
    let script = "setsid sh -c 'trap \"\" TERM; while :; do sleep 600; done' & sleep 600";
    let command = Command { deadline: Duration::from_millis(300), ..confined(sh(script), &[], &[]) };
    // `finish` looks whether anything is left.
    let (outcome, _) = finish(command).await;
    assert_eq!((outcome.end, outcome.survivors), (End::DeadlineExceeded, 0));
}

/// The supervisor process only looks several times a second: what a bomb does in between, the kernel must bound, for the sake of the machine that
/// this test runs on. `RLIMIT_NPROC` does not hold root back, so the bomb is nobody's; it is below the supervisor process's own wall, which cannot be
/// raised.
#[tokio::test]
async fn a_fork_bomb_is_ended_and_told() {
    let tasks_max = 60;
    let bomb = "while (1) { defined fork or select undef, undef, undef, 0.01 }";
    let script = format!(
        "[ $(id -u) = 0 ] && nobody=\"setpriv --reuid $((1000000 + $$)) --clear-groups\"; \
         exec nice -n 19 prlimit --nproc=190:190 $nobody perl -e '{bomb}'"
    );
    let limits = ResourceLimits { tasks_max: Some(tasks_max), ..Default::default() };
    let (outcome, _) = finish(limited(sh(&script), limits)).await;
    assert_eq!((outcome.end, outcome.survivors), (End::TooManyTasks { max: tasks_max }, 0));
}

/// The wall that the supervisor process itself sets: what is looked at too late cannot fill the machine.
#[tokio::test]
async fn the_kernel_bounds_what_is_not_looked_at_in_time() {
    let limits = ResourceLimits { tasks_max: Some(100), ..Default::default() };
    let (_, lines) = finish(limited(sh("grep processes /proc/self/limits"), limits)).await;
    let numbers = texts(&lines)[0].split_whitespace().filter_map(|word| word.parse().ok());
    let walls: Vec<u64> = numbers.collect();
    assert_eq!(walls[0], walls[1], "it cannot be raised again");
    assert!((200..20_000).contains(&walls[0]), "{walls:?}");
}

#[tokio::test]
async fn threads_count_too() {
    let script = "import threading, time\nfor _ in range(60): threading.Thread(target=time.sleep, args=(600,)).start()";
    let limits = ResourceLimits { tasks_max: Some(50), ..Default::default() };
    let python = Command { program: "python3".into(), args: vec!["-c".into(), script.into()], ..sh("") };
    assert_eq!(finish(limited(python, limits)).await.0.end, End::TooManyTasks { max: 50 });
}

#[tokio::test]
async fn memory_of_all_processes_together_is_what_counts() {
    let bytes_max = 100 << 20;
    let limits = ResourceLimits { memory_bytes_max: Some(bytes_max), ..Default::default() };
    // Three that would pass one by one.
    let devour = "my $x = q(x) x 50_000_000; sleep 600";
    let script = format!("for _ in 1 2 3; do perl -e '{devour}' & done; wait");
    let (outcome, _) = finish(limited(sh(&script), limits)).await;
    assert_eq!(outcome.end, End::TooMuchMemory { bytes_max });

    let modest = perl("my $x = q(x) x 20_000_000; sleep 1; print 'done'");
    let (outcome, lines) = finish(limited(modest, limits)).await;
    assert_eq!((outcome.end, texts(&lines)), (End::Exited(0), vec!["done"]));
}

#[tokio::test]
async fn a_file_that_is_too_large_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let limits = ResourceLimits { file_bytes_max: Some(1 << 20), ..Default::default() };
    let mut command = limited(sh("exec dd if=/dev/zero of=large bs=64k count=64 status=none"), limits);
    command.directory = directory.path().to_owned();
    let (outcome, _) = finish(command).await;

    assert_eq!(outcome.end, End::Signalled(25), "XFSZ");
    assert_eq!(fs::metadata(directory.path().join("large")).unwrap().len(), 1 << 20);
}

#[tokio::test]
async fn it_is_the_first_that_the_kernel_kills_for_want_of_memory_and_leaves_no_core() {
    let script = "cat /proc/self/oom_score_adj; ulimit -c";
    let (_, lines) = finish(limited(sh(script), ResourceLimits::default())).await;
    assert_eq!(texts(&lines), ["500", "0"]);
    // What is to outlive its command must not be so.
    assert_ne!(texts(&finish(sh(script)).await.1)[0], "500");
}
