//! What the tests run besides the usual Unix programs: a supervisor, and a supervisor that may be killed.
//!
//! `supervise-test-program SCRIPT SECRET MARK [sandboxed]` runs SCRIPT by `sh` with this program as the supervisor, prints its
//! lines that do not begin with `flood`, then the outcome, how many orphans it reaped and how many children are left, and the
//! most memory that it ever took itself.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use supervise::{
    Command, Confinement, Environment, Leftovers, Line, Mark, OutputLimits, Redactor, ResourceLimits,
};

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "the tests' own program: nobody configures it")]
    let environment = Environment::allowed_of(std::env::vars_os());
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next().expect("called with arguments");
    if first == supervise::SUPERVISOR_ARGUMENT {
        return supervise::supervisor_main(arguments);
    }
    if first == supervise::SPAWNER_ARGUMENT {
        return supervise::spawner_main();
    }
    let secret = arguments.next().and_then(|secret| secret.into_string().ok()).expect("a secret as text");
    let mark = arguments.next().and_then(|mark| mark.into_string().ok()).expect("a mark as text");
    let sandboxed = arguments.next().is_some();
    supervise::settle_in_control_group();
    let readable = ["/usr", "/bin", "/lib", "/lib64", "/etc", "/proc", "/sys"].map(Into::into).into();
    // As on Debian 12: there the supervisor process can be killed from inside.
    let confinement = Confinement {
        readable,
        writable: vec!["/dev/null".into()],
        landlock_max: Some(2),
        ..Default::default()
    };
    let limits = ResourceLimits { tasks_max: Some(100), ..Default::default() };
    supervise(Command {
        program: "sh".into(),
        args: vec![OsString::from("-c"), first],
        directory: "/".into(),
        environment: environment.into_map(),
        mark: Some(Mark { variable: "SUPERVISE_TEST_RUN".into(), value: mark }),
        leftovers: Leftovers::Kill,
        deadline: Duration::from_secs(300),
        grace: Duration::from_millis(100),
        limits: OutputLimits { total_bytes_max: 8 << 20, line_bytes_max: 64 << 10 },
        confinement: sandboxed.then_some(confinement),
        resources: sandboxed.then_some(limits),
        redact: Redactor::new([secret.as_str()]),
        supervisor: "/proc/self/exe".into(),
        spawner: None,
        now_ms: || 0,
    })
}

#[tokio::main(flavor = "current_thread")]
async fn supervise(command: Command) -> ExitCode {
    let show = |line: Line| {
        if !line.text.starts_with("flood") {
            println!("{}", line.text);
        }
    };
    supervise::become_subreaper().expect("the kernel has subreapers");
    let outcome = supervise::run(command, show, tokio_util::sync::CancellationToken::new()).await;
    println!("{outcome:?}");
    println!("reaped: {}", supervise::reap_adopted().expect("there is a /proc"));
    let tasks = std::fs::read_dir("/proc/self/task").expect("there is a /proc").flatten();
    let children =
        tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    println!("children: {}", children.collect::<String>().split_whitespace().count());
    let status = std::fs::read_to_string("/proc/self/status").expect("the process has a status");
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).expect("the kernel counts memory"));
    ExitCode::SUCCESS
}
