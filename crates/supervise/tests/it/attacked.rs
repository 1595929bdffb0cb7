//! What a sandboxed command may try against those around it: its supervisor, its caller, and other programs of the same user.

use std::path::PathBuf;
use std::process::Child;

use supervise::{Command, Confinement, End};

use crate::spawner::Spawner;
use crate::support::{PROGRAM, finish, sh, texts, unique};

fn sandboxed(script: &str) -> Command {
    let readable = ["/usr", "/bin", "/lib", "/lib64", "/etc", "/proc", "/sys"].map(PathBuf::from).into();
    let confinement = Confinement { readable, writable: vec!["/dev/null".into()], ..Confinement::default() };
    Command { confinement: Some(confinement), ..sh(script) }
}

/// A program of the same user that has nothing to do with the command.
fn bystander() -> Child {
    #[expect(clippy::disallowed_methods, reason = "it is not what is supervised")]
    std::process::Command::new("sleep").arg("600").spawn().unwrap()
}

/// Living processes whose arguments contain `needle`.
fn living_with_argument(needle: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let arguments =
        processes.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok());
    arguments.filter(|arguments| arguments.contains(needle)).count()
}

#[tokio::test]
async fn limits_and_priorities_of_others_are_out_of_reach() {
    let mut victim = bystander();
    let status = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", victim.id())).unwrap();
    let nice = || status("stat").rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().to_owned();
    let before = (status("limits"), nice());
    let id = victim.id();
    let lines = [
        format!("prlimit --pid={id} --nofile=0:0"),
        format!("prlimit --pid={id} --cpu=0:0"),
        "prlimit --pid=$PPID --fsize=0:0".into(),
        format!("renice -n 19 -p {id}"),
        format!("chrt --idle --pid 0 {id}"),
        format!("taskset -p 1 {id}"),
        format!("ionice -c 3 -p {id}"),
    ];
    let script: String = lines.iter().map(|line| format!("if {line}; then echo REACHED; fi\n")).collect();
    let (outcome, lines) = finish(sandboxed(&script)).await;
    let after = (status("limits"), nice());
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert_eq!(outcome.end, End::Exited(0), "{lines:?}");
    assert!(!texts(&lines).contains(&"REACHED"), "{:#?}", texts(&lines));
    assert_eq!(before, after);
}

/// A process with neither session, parent nor environment of the command's, and the end of the supervisor process.
fn escape(seconds: &str) -> String {
    format!("env -i setsid sleep {seconds} & kill -9 $PPID; kill -STOP $PPID; sleep 0.1; exit 3")
}

/// An argument that no other process has.
fn unique_seconds() -> String {
    format!("98{}", unique().replace('-', ""))
}

#[tokio::test]
async fn the_supervisor_cannot_be_ended_and_nothing_outlives_the_run() {
    let seconds = unique_seconds();
    let (outcome, lines) = finish(sandboxed(&escape(&seconds))).await;
    assert_eq!(living_with_argument(&seconds), 0, "it outlived the run");
    assert_eq!(outcome.end, End::Exited(3), "{lines:?}");
}

/// The daemon in a process of its own, on a kernel as Debian 12 has it; `inside` is what a shell does before it becomes the daemon.
fn daemon_under_attack(inside: &str) -> String {
    let seconds = unique_seconds();
    #[expect(
        clippy::disallowed_methods,
        reason = "to be a subreaper, and in a control group, holds for a whole process"
    )]
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            &format!("{inside}; exec \"$@\""),
            "sh",
            PROGRAM,
            &escape(&seconds),
            "no secret",
            &unique(),
        ])
        .arg("sandboxed")
        .output()
        .unwrap();
    assert_eq!(living_with_argument(&seconds), 0, "it outlived the run");
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn without_scoped_signals_the_daemon_ends_what_a_killed_supervisor_leaves() {
    let text = daemon_under_attack(":");
    assert!(text.contains("end: SupervisorLost") && text.contains("landlock: Partial(2)"), "{text}");
    assert!(text.contains("survivors: 0") && text.contains("children: 0"), "{text}");
}

#[tokio::test]
async fn without_scoped_signals_the_keeper_ends_what_a_killed_supervisor_leaves() {
    let (spawner, seconds) = (Spawner::start(), unique_seconds());
    let mut command = spawner.keep(sandboxed(&escape(&seconds)));
    command.confinement.as_mut().unwrap().landlock_max = Some(2);
    let (outcome, lines) = finish(command).await;
    assert_eq!(living_with_argument(&seconds), 0, "it outlived the run");
    assert_eq!((outcome.end, outcome.survivors), (End::SupervisorLost, 0), "{lines:?}");
}

/// A control group as systemd delegates one, in the kernel's real hierarchy.
#[test]
fn in_a_delegated_control_group_the_whole_step_is_killed_at_once() {
    let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(PathBuf::from);
    let root =
        root.into_iter().find(|root| root.join("cgroup.procs").exists()).expect("the kernel has cgroup v2");
    let group = root.join(format!("durhack-test-{}", unique()));
    std::fs::create_dir(&group).unwrap();
    rustix::fs::setxattr(&group, "user.delegate", b"1", rustix::fs::XattrFlags::empty()).unwrap();
    let text = daemon_under_attack(&format!("echo $$ > {}/cgroup.procs", group.display()));
    assert!(text.contains("control_group: true") && text.contains("end: SupervisorLost"), "{text}");
    let mut left: Vec<_> =
        std::fs::read_dir(&group).unwrap().flatten().map(|entry| entry.file_name()).collect();
    left.retain(|name| group.join(name).is_dir());
    assert_eq!(left, ["supervisor"], "the step's group is gone");
    std::fs::remove_dir(group.join("supervisor")).unwrap();
    std::fs::remove_dir(&group).unwrap();
}

/// What steers a loader must not steer what is not restricted yet: the supervisor process, and the one that becomes the command.
#[tokio::test]
async fn variables_of_the_command_are_not_the_supervisors() {
    let trace = std::env::temp_dir().join(format!("supervise-{}", unique()));
    std::fs::create_dir(&trace).unwrap();
    let script = "tr '\\0' '\\n' < /proc/$PPID/environ | grep -c LD_; exit 0";
    let mut command = sandboxed(script);
    command.environment.insert("LD_DEBUG".into(), "files".into());
    command.environment.insert("LD_DEBUG_OUTPUT".into(), trace.join("of").into());
    let (outcome, _) = finish(command).await;
    assert_eq!(outcome.end, End::Exited(0));
    // The loader writes for each process that has the variable and may write there: nobody in the sandbox may.
    let written = std::fs::read_dir(&trace).unwrap().count();
    std::fs::remove_dir_all(&trace).unwrap();
    assert_eq!(written, 0, "a loader outside of the sandbox obeyed");
}
