//! A way for the daemon to die: at a named point of its sources, or at a system call.

use crate::support::process::command;
use crate::support::world::World;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

/// The calls by which the daemon changes what is on the disk or tells anybody anything. Those of its record's
/// database are among them.
const CALLS: &str = "write,pwrite64,fsync,fdatasync,renameat2,?rename,?renameat,?unlink,unlinkat,?symlink,symlinkat,?mkdir,mkdirat,ftruncate,sendto";

/// The daemon is killed when it comes here for the so manieth time since its start.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kill {
    Point {
        name: String,
        time: usize,
    },
    /// A system call, before it does anything; counted by thread.
    Call {
        name: String,
        time: usize,
    },
}

impl fmt::Display for Kill {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Point { name, time } => write!(formatter, "{name}:{time}"),
            Self::Call { name, time } => write!(formatter, "call-{name}:{time}"),
        }
    }
}

impl Kill {
    /// The point's name, if it is one.
    pub fn into_point(self) -> Option<String> {
        match self {
            Self::Point { name, .. } => Some(name),
            Self::Call { .. } => None,
        }
    }

    /// A daemon that will die so.
    pub fn daemon(&self, world: &World) -> Command {
        match self {
            Self::Point { .. } => {
                let mut daemon = world.product(&["serve"]);
                daemon.env("DEPLOYER_CRASH_AT", self.to_string());
                daemon
            }
            Self::Call { name, time } => under_strace(
                world,
                &["-e".into(), format!("inject={name}:signal=KILL:when={time}")],
                Path::new("/dev/null"),
            ),
        }
    }
}

/// A daemon that writes down which points it reaches.
pub fn daemon_with_log_of_points(world: &World, log: &Path) -> Command {
    let mut daemon = world.product(&["serve"]);
    daemon.env("DEPLOYER_CRASH_LOG", log);
    daemon
}

/// Every point in that log, each as often as it was reached, in order.
pub fn points_in(log: &str) -> Vec<Kill> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    let kills = log.lines().map(|name| {
        let time = times.entry(name).or_default();
        *time += 1;
        Kill::Point { name: name.to_owned(), time: *time }
    });
    kills.collect()
}

/// A daemon whose calls are written down.
pub fn daemon_with_log_of_calls(world: &World, log: &Path) -> Command {
    under_strace(world, &[], log)
}

/// Every call in that log, as often as the thread that made most of them did.
pub fn calls_in(log: &str) -> Vec<Kill> {
    let mut by_thread: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in log.lines() {
        // `PID  name(arguments...`; anything else is the end of a call that was interrupted.
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((name, _)) = rest.trim_start().split_once('(') else { continue };
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            *by_thread.entry((name, thread)).or_default() += 1;
        }
    }
    let mut most: BTreeMap<&str, usize> = BTreeMap::new();
    for ((name, _), times) in by_thread {
        let known = most.entry(name).or_default();
        *known = times.max(*known);
    }
    let kill = |name: &str, time| Kill::Call { name: name.to_owned(), time };
    most.into_iter().flat_map(|(name, times)| (1..=times).map(move |time| kill(name, time))).collect()
}

/// The daemon as our child with strace beside it (`-D`), which follows its threads but lets go of the programs that it starts.
fn under_strace(world: &World, arguments: &[String], output: &Path) -> Command {
    let daemon = world.product(&["serve"]);
    let mut strace = command("strace", &world.root().join("home"));
    strace
        .args(["-D", "-f", "-qq", "--detach-on=execve", "-e", "signal=none", "-e"])
        .arg(format!("trace={CALLS}"));
    strace.args(arguments).arg("-o").arg(output).arg(daemon.get_program()).args(daemon.get_args());
    strace.envs(daemon.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(world.root());
    strace
}

#[test]
fn a_log_of_points_counts_each_of_them() {
    let shown: Vec<String> = points_in("a\nb\na\n").iter().map(Kill::to_string).collect();
    assert_eq!(shown, ["a:1", "b:1", "a:2"]);
}

#[test]
fn a_log_of_calls_counts_by_thread() {
    let log = "7  fsync(9) = 0\n8  fsync(9 <unfinished ...>\n8  write(1, \"a(\", 2) = 2\n8  <... fsync resumed>) = 0\n8 fsync(9) = 0\n";
    let shown: Vec<String> = calls_in(log).iter().map(Kill::to_string).collect();
    assert_eq!(shown, ["call-fsync:1", "call-fsync:2", "call-write:1"]);
}
