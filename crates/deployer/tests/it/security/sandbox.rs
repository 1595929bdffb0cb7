//! What a hostile build tries, and what comes of it: one table, tried in a real step of a real daemon, with all of Landlock, with that of Linux
//! 6.1 (Debian 12), and with none. `docs/explanation/sandbox.md` is written of it.
//!
//! The daemon, its steps and a neighbour are one user who is not root, and there is no systemd: what units add to this is not in it.

use crate::support::process::{command, succeed};
use crate::support::world::World;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What comes of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The kernel says no.
    Refused,
    /// It can be done, up to a limit: this one.
    Bounded(&'static str),
    /// It can be done, because of this.
    Open(&'static str),
}
use Outcome::{Bounded, Open, Refused};

/// A try's name, what comes of it with all of Landlock, with ABI 2, and with none.
type Row = (&'static str, [Outcome; 3]);

const SAME_USER: Outcome = Open("Landlock keeps this out, and is not there; another user (`user`) does");
const ABI_3: Outcome = Open("needs Landlock's ABI 3 (Linux 6.2), or another user");
const ABI_6: Outcome = Open("needs Landlock's ABI 6 (Linux 6.12), or another user");
const NO_PATHS: Outcome =
    Open("no kernel can judge it by path without privileges; its own user (`user`) may not");
const NETWORK: Outcome = Open("builds need the network; passwords and firewalls judge it, not the sandbox");
const SOCKETS: Outcome = Open(
    "Landlock does not judge connect(2) to a path: the socket's directory, its password, or another user must",
);
const HARMLESS: Outcome = Open("tools need it, and it changes nothing");

const fn always(outcome: Outcome) -> [Outcome; 3] {
    [outcome; 3]
}
/// By Landlock, in each version of it.
const fn by_landlock() -> [Outcome; 3] {
    [Refused, Refused, SAME_USER]
}
/// By Landlock from ABI 6 on.
const fn by_scope() -> [Outcome; 3] {
    [Refused, ABI_6, SAME_USER]
}

const FILES: &[Row] = &[
    ("read the deployer's configuration", by_landlock()),
    ("read the deployer's database", by_landlock()),
    ("write to the deployer's database", by_landlock()),
    ("read the webhook secret", by_landlock()),
    ("list the deployer's state", by_landlock()),
    ("put a job into a spool", by_landlock()),
    ("read the git mirror", by_landlock()),
    ("write to the git mirror", by_landlock()),
    ("read another deployment's .env", by_landlock()),
    ("write to another deployment's files", by_landlock()),
    ("make a file in another deployment", by_landlock()),
    ("rename another deployment's file", by_landlock()),
    ("remove another deployment's file", by_landlock()),
    ("truncate another deployment's file by its path", [Refused, ABI_3, SAME_USER]),
    ("read through a symbolic link of one's own", by_landlock()),
    ("read through a hard link of one's own", by_landlock()),
    ("replace the deployment's own `current`", by_landlock()),
    ("write to the live release", by_landlock()),
    ("change another file's mode (chmod)", always(NO_PATHS)),
    ("change another file's times (utime)", always(NO_PATHS)),
    ("see that a foreign file is there, its size and owner (stat)", always(NO_PATHS)),
    ("give a file of one's own the set-user-ID bit", always(Refused)),
    ("make a file with the set-user-ID bit", always(Refused)),
    ("make a device", always(Refused)),
    ("write to /etc", always(Refused)),
    ("write to /tmp", by_landlock()),
    ("open a file by its handle", always(Refused)),
    ("ask for a file's handle", always(Refused)),
    ("open with hidden flags (openat2)", always(Refused)),
    ("watch a file system (fanotify)", always(Refused)),
    ("set quotas", always(Refused)),
];

const PROCESSES: &[Row] = &[
    ("read the deployer's environment", always(Refused)),
    ("read the deployer's memory", always(Refused)),
    ("read the supervisor process's memory", always(Refused)),
    ("read another program's environment", by_landlock()),
    ("open another program's memory for writing", by_landlock()),
    ("list the numbers of another program's descriptors", always(HARMLESS)),
    ("see what another program's descriptors are of", by_landlock()),
    ("change another program's score for the OOM killer", by_landlock()),
    ("signal the deployer", by_scope()),
    ("signal the supervisor process", by_scope()),
    ("signal another program", by_scope()),
    ("signal another program by a pidfd", by_scope()),
    ("trace another program", always(Refused)),
    ("read another program's memory by system call", always(Refused)),
    ("write another program's memory by system call", always(Refused)),
    ("take another program's descriptor", always(Refused)),
    ("compare another program's resources", always(Refused)),
    ("page out another program", always(Refused)),
    ("move another program's memory", always(Refused)),
    ("set the deployer's limits", always(Refused)),
    ("set the supervisor process's limits", always(Refused)),
    ("set another program's limits", always(Refused)),
    ("read another program's limits", always(HARMLESS)),
    ("lower the deployer's priority", always(Refused)),
    ("lower the priority of all of a user's programs", always(Refused)),
    ("change the deployer's scheduling", always(Refused)),
    ("change another program's scheduling", always(Refused)),
    ("bind the deployer to one processor", always(Refused)),
    ("lower the deployer's priority at the disk", always(Refused)),
    ("write to the control groups", always(Refused)),
];

const SHARED: &[Row] = &[
    ("open another program's System V shared memory", always(Refused)),
    ("make System V semaphores", always(Refused)),
    ("make a System V message queue", always(Refused)),
    ("open a POSIX message queue", always(Refused)),
    (
        "open another program's POSIX shared memory (/dev/shm)",
        always(Open("browsers and Python need /dev/shm; in the packaged units it is the unit's own")),
    ),
    ("add a key to the kernel's keyrings", always(Refused)),
    ("look for a key in the kernel's keyrings", always(Refused)),
    ("read the user's keyring", always(Refused)),
];

const KERNEL: &[Row] = &[
    ("use io_uring", always(Refused)),
    ("load a BPF program", always(Refused)),
    ("measure performance of others", always(Refused)),
    ("handle page faults (userfaultfd)", always(Refused)),
    ("hide memory from the kernel (memfd_secret)", always(Refused)),
    ("make a user namespace (unshare)", always(Refused)),
    ("make a user namespace (clone)", always(Refused)),
    ("make a process with hidden flags (clone3)", always(Refused)),
    ("enter another program's namespace", always(Refused)),
    ("mount a file system", always(Refused)),
    ("open a file system to mount", always(Refused)),
    ("change the root directory (chroot)", always(Refused)),
    ("change the root mount (pivot_root)", always(Refused)),
    ("change the execution domain (personality)", always(Refused)),
    ("install segments (modify_ldt)", always(Refused)),
    ("reach devices' ports (iopl)", always(Refused)),
    ("set the clock", always(Refused)),
    ("set the time of day", always(Refused)),
    ("tune the clock", always(Refused)),
    ("set the host's name", always(Refused)),
    ("reboot", always(Refused)),
    ("load another kernel", always(Refused)),
    ("load a kernel module", always(Refused)),
    ("swap to a file", always(Refused)),
    ("write accounts of processes to a file", always(Refused)),
    ("read the kernel's log", always(Refused)),
    ("change the kernel's settings", always(Refused)),
    ("call by x32 numbers", always(Refused)),
    ("call what no kernel has yet", always(Refused)),
    ("type into a terminal (TIOCSTI)", always(Refused)),
];

const CONNECTIONS: &[Row] = &[
    ("open a socket for packets of the network card", always(Refused)),
    ("open a socket for virtual machines' sockets", always(Refused)),
    ("open a socket for the kernel's cryptography", always(Refused)),
    ("open a socket for Bluetooth", always(Refused)),
    ("open a raw IP socket", always(Refused)),
    ("open an SCTP socket", always(Refused)),
    ("ask the kernel's audit (netlink)", always(Refused)),
    ("ask for the host's network addresses (netlink)", always(HARMLESS)),
    ("connect to another program's abstract socket", by_scope()),
    ("connect to another program's socket in a closed directory (ssh agent, PostgreSQL)", always(SOCKETS)),
    ("connect to a port of this host (a database, Redis)", always(NETWORK)),
    ("connect to the deployer's own port", always(NETWORK)),
    ("list the host's sockets by name (/proc/net/unix)", always(HARMLESS)),
];

const USED_UP: &[Row] = &[
    (
        "start processes without end",
        always(Bounded(
            "`confinement.step_tasks_max`, and twice that by the kernel (`RLIMIT_NPROC`, `pids.max`)",
        )),
    ),
    ("write a file without end", always(Bounded("`confinement.step_file_max` (`RLIMIT_FSIZE`)"))),
    ("leave core dumps", always(Bounded("none are written (`RLIMIT_CORE` is 0)"))),
    (
        "use memory without end",
        always(Bounded(
            "`confinement.step_memory_max`, the unit's `MemoryMax=`, and it is the first that the kernel kills",
        )),
    ),
    ("raise one's own limits", always(Refused)),
    ("raise one's own priority", always(Refused)),
    ("become a real-time process", always(Refused)),
    (
        "protect this process from the OOM killer",
        [Refused, Refused, Open("up to what every program has; the unit's `MemoryMax=` remains")],
    ),
    (
        "fill the disk with many files",
        always(Open(
            "`runs.disk_free_min` is asked before a run, not during it; a quota of its user's bounds it",
        )),
    ),
    (
        "outlive the run (setsid, empty environment)",
        always(Bounded("everything that is left is killed when the step ends")),
    ),
];

const AREAS: [(&str, &[Row]); 6] = [
    ("Files", FILES),
    ("Processes", PROCESSES),
    ("What programs of one user share", SHARED),
    ("The kernel", KERNEL),
    ("Sockets and the network", CONNECTIONS),
    ("Using things up", USED_UP),
];

/// A kernel without Landlock, for the program that it becomes: its system calls do not exist (seccomp, by numbers that are the same everywhere).
const WITHOUT_LANDLOCK: &str = r#"
import ctypes, os, struct, sys
rule = lambda code, yes, no, k: struct.pack("HBBI", code, yes, no, k)
rules = rule(0x20, 0, 0, 0) + rule(0x35, 0, 2, 444) + rule(0x25, 1, 0, 446) + rule(0x06, 0, 0, 0x50000 | 38) + rule(0x06, 0, 0, 0x7fff0000)
buffer = ctypes.create_string_buffer(rules)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("rules", ctypes.c_void_p)]
program = Program(len(rules) // 8, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"#;

/// The neighbour, and what is known of it.
struct Neighbour {
    process: Child,
    known: Value,
}

impl Neighbour {
    fn start(world: &World) -> Self {
        let place = world.root().join("neighbour");
        fs_err::create_dir(&place).expect("the world is writable");
        succeed(command("chown", world.root()).arg("65534:65534").arg(&place));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/security/neighbour.py");
        let script = fs_err::read_to_string(script).expect("it is beside this file");
        let mut process = command("setpriv", world.root())
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", &script])
            .arg(&place)
            .env("SECRET_OF_THE_NEIGHBOUR", "x")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("setpriv is installed");
        let mut line = String::new();
        let output = process.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("it writes a line");
        let known = serde_json::from_str(&line).expect("the line is JSON");
        Self { process, known }
    }

    fn limits(&self) -> String {
        fs_err::read_to_string(format!("/proc/{}/limits", self.process.id())).expect("it lives")
    }

    fn end(mut self) {
        drop(self.process.stdin.take());
        self.process.wait().expect("it is our child");
    }
}

/// Tries everything in a build, and gives what came of each.
fn try_all(
    world: &mut World,
    mut wrap: impl FnMut(Command) -> Command,
) -> BTreeMap<String, (String, String)> {
    world.drop_privileges();
    world.confine();
    let secret = world.root().join("webhook-secret");
    fs_err::write(&secret, "a-webhook-secret-of-32-bytes-or-more").expect("the world is writable");
    let other = world.path_of("other").join("shared");
    fs_err::create_dir_all(&other).expect("the world is writable");
    for name in [".env", "decoy", "truncated"] {
        fs_err::write(other.join(name), "TOKEN=secret\n").expect("the world is writable");
    }
    let repository = world.repository("acme/site");
    let deployment =
        world.deployment("site", &repository).step("build", "make", "exec /usr/bin/python3 tries.py");
    world.configure(&[deployment]);
    let first = repository.commit(&[("index.html", "one"), ("tries.py", "")], "first");
    let neighbour = Neighbour::start(world);
    succeed(command("chown", world.root()).args(["-R", "65534:65534"]).arg(world.root()));
    let serve = wrap(world.product(&["serve"]));
    assert_eq!(world.launch(serve), None, "{}", world.log());
    world.deploy("site", &repository, &first);

    let seconds = format!("97{}", std::process::id());
    let port: u16 = world.address().rsplit(':').next().and_then(|port| port.parse().ok()).expect("host:port");
    let mut place = json!({
        "daemon": world.daemon_id(),
        "foreign": other.join(".env"),
        "decoy": other.join("decoy"),
        "truncated": other.join("truncated"),
        "configuration": world.configuration.join("default.toml"),
        "state": world.state(),
        "record": world.state().join("record.sqlite"),
        "secret": secret,
        "mirror": world.state().join("mirrors/acme/site.git"),
        "spool": world.spool("site"),
        "path": world.path_of("site"),
        "deployer_port": port,
        "seconds": seconds,
    });
    let all = place.as_object_mut().expect("it is an object");
    all.extend(neighbour.known.as_object().expect("it is an object").clone());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/security/tries.py");
    let script = fs_err::read_to_string(script).expect("it is beside this file");
    let limits = neighbour.limits();
    let files = [("tries.py", script.as_str()), ("tries.json", &place.to_string())];
    let commit = repository.commit(&files, "a hostile build");
    world.push(&repository, &commit);
    let run = world.ended_run("site", &commit);
    let log = String::from_utf8_lossy(&world.cli(&["logs", &run.id]).stdout).into_owned();
    assert!(log.contains("ALL WAS TRIED"), "{run:?}\n{log}");
    assert_eq!(neighbour.limits(), limits, "another program's limits have changed");
    let processes = fs_err::read_dir("/proc").expect("there is a /proc").flatten();
    let arguments =
        processes.filter_map(|process| fs_err::read_to_string(process.path().join("cmdline")).ok());
    let left: Vec<String> = arguments.filter(|arguments| arguments.contains(&seconds)).collect();
    assert!(left.is_empty(), "it outlived the run: {left:?}");
    neighbour.end();
    log.lines().filter_map(|line| line.split_once("TRIED\t")).map(|(_, tried)| said(tried)).collect()
}

fn said(line: &str) -> (String, (String, String)) {
    let words: Vec<&str> = line.trim_end().split('\t').collect();
    let word = |number: usize| words.get(number).copied().unwrap_or_default().to_owned();
    (word(0), (word(1), word(2)))
}

/// Prints the column, and fails with all that is not as the table says.
fn judge(column: usize, found: &BTreeMap<String, (String, String)>) {
    let mut wrong = String::new();
    let rows: Vec<&Row> = AREAS.iter().flat_map(|(_, rows)| rows.iter()).collect();
    for (name, outcomes) in &rows {
        let expected = match outcomes[column] {
            Refused => "refused",
            Bounded(_) => "bounded",
            Open(_) => "reached",
        };
        match found.get(*name) {
            Some((outcome, why)) => {
                println!("{name}: {outcome} {why}");
                if outcome != expected {
                    let _ = writeln!(wrong, "{name}: {outcome} {why}, where the table says {expected}");
                }
            }
            None => {
                let _ = writeln!(wrong, "{name}: not tried");
            }
        }
    }
    let unknown = found.keys().filter(|name| !rows.iter().any(|(known, _)| known == name));
    wrong.extend(unknown.map(|name| format!("{name}: not in the table\n")));
    assert!(rows.len() >= 60 && wrong.is_empty(), "{wrong}");
}

#[test]
fn a_hostile_build_reaches_what_the_table_says() {
    World::run(|world| judge(0, &try_all(world, |serve| serve)));
}

#[test]
fn with_the_landlock_of_debian_12_it_reaches_what_the_table_says() {
    World::run(|world| {
        world.environment.push(("DEPLOYER_TEST_LANDLOCK_MAX".into(), "2".into()));
        let found = try_all(world, |serve| serve);
        judge(1, &found);
        assert!(world.log().contains("Landlock has ABI 2"), "{}", world.log());
    });
}

#[test]
fn without_landlock_it_reaches_what_the_table_says() {
    World::run(|world| {
        let found = try_all(world, |serve| without_landlock(&serve));
        judge(2, &found);
        assert!(world.log().contains("has no Landlock"), "{}", world.log());
    });
}

/// The same command, on a kernel without Landlock.
fn without_landlock(serve: &Command) -> Command {
    let mut wrapped = command("/usr/bin/python3", Path::new("/"));
    wrapped.args(["-c", WITHOUT_LANDLOCK]).arg(serve.get_program()).args(serve.get_args());
    wrapped.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    wrapped.current_dir(serve.get_current_dir().expect("a daemon is started in its world"));
    wrapped
}

/// The page for people; `cargo nextest run the_page_of_the_sandbox` with `WRITE_SANDBOX_PAGE=1` writes it.
#[test]
fn the_page_of_the_sandbox_says_what_is_tested() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/explanation/sandbox.md");
    let page = page();
    #[expect(clippy::disallowed_methods, reason = "a developer's wish, not configuration")]
    if std::env::var_os("WRITE_SANDBOX_PAGE").is_some() {
        fs_err::write(&file, &page).expect("the repository is writable");
    }
    let written = fs_err::read_to_string(&file).unwrap_or_default();
    assert!(written == page, "docs/explanation/sandbox.md is stale: run this test with WRITE_SANDBOX_PAGE=1");
}

fn page() -> String {
    const HEAD: &str = include_str!("sandbox-head.txt");
    let mut page = HEAD.to_owned();
    let mut reasons: Vec<&'static str> = Vec::new();
    for (area, rows) in AREAS {
        let _ = write!(
            page,
            "\n### {area}\n\n| a build tries to | Linux 6.12 and later | Debian 12 (6.1) | no Landlock |\n| --- | --- | --- | --- |\n"
        );
        for (name, outcomes) in rows {
            let cells = outcomes.map(|outcome| match outcome {
                Refused => "refused".to_owned(),
                Bounded(reason) => format!("bounded {}", note(&mut reasons, reason)),
                Open(reason) => format!("**open** {}", note(&mut reasons, reason)),
            });
            let _ = writeln!(page, "| {name} | {} |", cells.join(" | "));
        }
    }
    page.push_str("\n## Notes\n\n");
    for (number, reason) in reasons.iter().enumerate() {
        let _ = writeln!(page, "{}. {reason}", number + 1);
    }
    page
}

fn note(reasons: &mut Vec<&'static str>, reason: &'static str) -> String {
    let known = reasons.iter().position(|known| *known == reason);
    let number = known.unwrap_or_else(|| {
        reasons.push(reason);
        reasons.len() - 1
    });
    format!("({})", number + 1)
}
