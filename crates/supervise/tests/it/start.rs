//! What a command gets to see, and what is said when it cannot be started.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;

use supervise::{Command, End, StartError, run};
use tokio_util::sync::CancellationToken;

use crate::support::{command, finish, sh, texts};

async fn refusal(command: Command) -> StartError {
    run(command, |line| panic!("{line:?}"), CancellationToken::new()).await.expect_err("it cannot start")
}

#[tokio::test]
async fn arguments_and_environment_pass_intact() {
    let odd: Vec<OsString> =
        [&b"a b"[..], b"", b"line\nfeed", b"\xff\xfe", b"--", b"$(id) `id` 'x' \"y\" *", b"-e"]
            .map(|bytes| OsString::from_vec(bytes.to_vec()))
            .into();
    let directory = tempfile::tempdir().unwrap();
    let script = r#"printf '%s\0' "$@" > arguments; printf '%s' "$ODD" > environment"#;
    let mut command = command("sh", ["-c", script, "sh"]);
    command.args.extend(odd.iter().cloned());
    command.environment.insert("ODD".into(), OsString::from_vec(b"\xff =\n\t".to_vec()));
    command.directory = directory.path().to_owned();
    assert_eq!(finish(command).await.0.end, End::Exited(0));

    let arguments = std::fs::read(directory.path().join("arguments")).unwrap();
    let seen: Vec<&OsStr> =
        arguments.strip_suffix(b"\0").unwrap().split(|b| *b == 0).map(OsStr::from_bytes).collect();
    assert_eq!(seen, odd);
    assert_eq!(std::fs::read(directory.path().join("environment")).unwrap(), b"\xff =\n\t");
}

#[tokio::test]
async fn nothing_is_inherited_but_what_was_given() {
    let mut command = command("/usr/bin/env", [""; 0]);
    command.environment = [("ONLY".into(), "this".into())].into();
    let mark = command.mark.clone().unwrap();
    let (_, lines) = finish(command).await;
    let mut seen = texts(&lines);
    seen.sort_unstable();
    assert_eq!(seen, ["ONLY=this", &format!("{}={}", mark.variable, mark.value)]);
}

#[tokio::test]
async fn it_has_an_empty_input_no_terminal_and_none_of_our_files() {
    let inherited = inherited_files();
    // Files and sockets of our own, of which none may reach the command.
    let _file = std::fs::File::open("/dev/zero").unwrap();
    let _sockets = std::os::unix::net::UnixStream::pair().unwrap();
    let script =
        "wc -c; (: < /dev/tty) 2> /dev/null || echo none; exec find /proc/self/fd -type l -printf '%f=%l\\n'";
    let (_, lines) = finish(sh(script)).await;
    let seen = texts(&lines);
    assert_eq!(seen[..2], ["0", "none"]);
    let strange = seen[2..].iter().filter(|file| {
        let (number, target) = file.split_once('=').unwrap();
        let is_standard =
            matches!(number, "0" | "1" | "2") && (target == "/dev/null" || target.starts_with("pipe:"));
        // What `find` itself has opened.
        let is_of_find = target.starts_with("/proc/") || target == "/";
        !is_standard && !is_of_find && !inherited.contains(&target.to_owned())
    });
    assert_eq!(strange.count(), 0, "{lines:?}");
}

/// What this process itself was started with by somebody who did not close it.
fn inherited_files() -> Vec<String> {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    files.filter_map(|file| Some(std::fs::read_link(file.path()).ok()?.to_str()?.to_owned())).collect()
}

#[tokio::test]
async fn the_program_is_looked_up_in_the_given_path_only() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("surely-only-here");
    std::fs::write(&program, "#!/bin/sh\necho found\n").unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let mut found = command("surely-only-here", [""; 0]);
    found.environment.insert("PATH".into(), directory.path().into());
    assert_eq!(texts(&finish(found).await.1), ["found"]);

    let mut missing = command("sh", ["-c", "echo found"]);
    missing.environment.insert("PATH".into(), directory.path().into());
    assert!(matches!(refusal(missing).await, StartError::ProgramNotFound { program } if program == "sh"));
}

#[tokio::test]
async fn each_reason_not_to_start_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str, mode| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        command(path.to_str().unwrap(), [""; 0])
    };
    let error = refusal(command("no-such-program", [""; 0])).await;
    assert!(matches!(error, StartError::ProgramNotFound { .. }), "{error:?}");
    assert!(error.to_string().contains("`no-such-program` was not found. Install it"), "{error}");

    let error = refusal(file("script", "#!/no/such/interpreter\n", 0o755)).await;
    assert!(matches!(error, StartError::ProgramNotFound { .. }), "{error:?}");
    let error = refusal(file("data", "hello", 0o644)).await;
    assert!(matches!(error, StartError::NotExecutable { .. }), "{error:?}");
    let error = refusal(command("/usr", [""; 0])).await;
    assert!(matches!(error, StartError::NotExecutable { .. }), "{error:?}");

    let error = refusal(command("true", ["x".repeat(3 << 20)])).await;
    assert!(matches!(error, StartError::ArgumentListTooLong { .. }), "{error:?}");
    let error = refusal(command("true", ["a\0b"])).await;
    assert!(matches!(error, StartError::Other { .. }), "{error:?}");

    let mut nowhere = sh("true");
    nowhere.directory = directory.path().join("missing");
    let error = refusal(nowhere).await;
    assert!(matches!(&error, StartError::DirectoryMissing(path) if path.ends_with("missing")), "{error:?}");

    let mut unleashed = sh("true");
    unleashed.supervisor = directory.path().join("missing");
    let error = refusal(unleashed).await;
    assert!(matches!(error, StartError::Leash { .. }), "{error:?}");
}

/// As a user who may have no process more than the supervisor: then it is the supervisor process that cannot start the command. That the supervisor process itself cannot be
/// started is seen from outside, by the deployer's test `reconcile::a_machine_without_processes_is_not_the_commits_fault`.
#[tokio::test]
async fn a_user_without_processes_left_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let mut starved = sh("true");
    let supervisor = directory.path().join("leash");
    let script = format!(
        "#!/bin/sh\n[ $(id -u) = 0 ] && nobody='setpriv --reuid 65533 --clear-groups'\nexec prlimit --nproc=1 $nobody {} \"$@\"\n",
        starved.supervisor.display()
    );
    std::fs::write(&supervisor, script).unwrap();
    std::fs::set_permissions(&supervisor, PermissionsExt::from_mode(0o755)).unwrap();
    starved.supervisor = supervisor;
    let error = refusal(starved).await;
    assert!(matches!(&error, StartError::Exhausted { program, .. } if program == "sh"), "{error:?}");
}

#[tokio::test]
async fn what_is_no_leash_is_not_taken_for_one() {
    let mut command = sh("true");
    command.supervisor = "/bin/true".into();
    let error = refusal(command).await;
    assert!(matches!(error, StartError::Leash { .. }), "{error:?}");
}
