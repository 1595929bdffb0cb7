//! A control group for each step, where the service manager has delegated one to this service (`Delegate=yes`).
//!
//! ```text
//!   <the service's group>          delegated: it belongs to the service's user
//!     supervisor/                  the daemon or the spawner, and its supervisor processes: [`settle`]
//!     step-<supervisor process's id>/           one command and all that it starts: [`StepGroup`]
//! ```
//!
//! Whatever a command does to its parents, sessions and environment, it stays in its group, and one write kills all of it. Where the
//! service manager has also handed down the controllers, the kernel holds the group to its limits, as the second wall behind what the
//! supervisor process counts itself (`supervisor process/usage.rs`). Where nothing is delegated, everything here does nothing: the other ways remain.
//!
//! Deliberately absent: making groups where nobody has delegated any. A group has one manager, and on most hosts that is systemd.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::getxattr;
use rustix::process::{Pid, getpid, getuid};

use crate::ResourceLimits;

/// Where the unified hierarchy is mounted: alone, or beside those of version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// The group of those who supervise: with controllers handed down, a group has either processes or groups in it.
const SUPERVISOR: &str = "supervisor";

/// How systemd marks what it has delegated; the second can be read by everybody, and is there from systemd 251 on.
const DELEGATED_MARKS: [&str; 2] = ["trusted.delegate", "user.delegate"];

/// How long those that were killed may take to be gone.
const EMPTY_MAX: Duration = Duration::from_secs(5);
const EMPTY_PAUSE: Duration = Duration::from_millis(5);

/// Moves the calling process out of the way of its steps' groups, and says whether these will have any. To be called once, before
/// anything is started.
pub fn settle() -> bool {
    let Some(own) = own() else { return false };
    if is_settled(&own) {
        return true;
    }
    if !is_delegated(&own) {
        return false;
    }
    let supervisor = own.join(SUPERVISOR);
    if fs::create_dir(&supervisor).is_err() && !supervisor.is_dir() {
        return false;
    }
    if fs::write(supervisor.join("cgroup.procs"), getpid().as_raw_pid().to_string()).is_err() {
        return false;
    }
    for controller in ["+memory", "+pids"] {
        // What the service manager has not handed down is counted by the supervisor process alone.
        let _ = fs::write(own.join("cgroup.subtree_control"), controller);
    }
    true
}

/// Whether the service manager has delegated a control group to this process's service.
pub fn is_available() -> bool {
    own().is_some_and(|own| is_settled(&own) || is_delegated(&own))
}

/// The control group of one command.
#[derive(Debug)]
pub(crate) struct StepGroup {
    directory: PathBuf,
}

impl StepGroup {
    /// For the command of the calling supervisor; `None` where none is to be had.
    pub fn create(limits: Option<&ResourceLimits>) -> Option<Self> {
        let directory = directory_of(getpid())?;
        // One of that name is left of a supervisor process that was killed and had this number.
        let _ = fs::remove_dir(&directory);
        fs::create_dir(&directory).ok()?;
        let group = Self { directory };
        if let Some(bytes) = limits.and_then(|limits| limits.memory_bytes_max) {
            group.set("memory.max", bytes);
            group.set("memory.swap.max", 0);
            group.set("memory.oom.group", 1);
        }
        if let Some(tasks) = limits.and_then(|limits| limits.tasks_max) {
            // Beyond the limit, as for `RLIMIT_NPROC`: so that the supervisor process sees it exceeded and can say so.
            group.set("pids.max", 2 * u64::from(tasks));
        }
        Some(group)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Best effort: the file is there where the controller is.
    fn set(&self, file: &str, value: u64) {
        let path = self.directory.join(file);
        if path.exists() {
            let _ = fs::write(path, value.to_string());
        }
    }

    pub fn kill(&self) {
        let _ = fs::write(self.directory.join("cgroup.kill"), "1");
    }

    pub fn ran_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.directory.join("memory.events")).unwrap_or_default();
        events.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0"))
    }

    fn is_empty(&self) -> bool {
        fs::read_to_string(self.directory.join("cgroup.events"))
            .map_or(true, |events| events.lines().any(|line| line == "populated 0"))
    }
}

impl Drop for StepGroup {
    fn drop(&mut self) {
        // Refused where somebody is left in it, whom no KILL ends.
        let _ = fs::remove_dir(&self.directory);
    }
}

/// Puts the calling process into a group that its supervisor process has made.
pub(crate) fn join(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), "0")
}

/// Kills all in the group of a supervisor process that is no more. Blocks for some seconds at most.
pub(crate) fn kill_step_of(supervisor: Pid) {
    let Some(directory) = directory_of(supervisor).filter(|directory| directory.is_dir()) else { return };
    let group = StepGroup { directory };
    let started = Instant::now();
    group.kill();
    while !group.is_empty() && started.elapsed() < EMPTY_MAX {
        std::thread::sleep(EMPTY_PAUSE);
    }
}

/// Where a supervisor process of this service makes its command's group.
fn directory_of(supervisor: Pid) -> Option<PathBuf> {
    let own = own().filter(|own| is_settled(own))?;
    Some(own.parent()?.join(format!("step-{}", supervisor.as_raw_pid())))
}

/// The group in the unified hierarchy that the calling process is in.
fn own() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mount = MOUNTS.into_iter().map(Path::new).find(|mount| mount.join("cgroup.procs").exists())?;
    Some(mount.join(path)).filter(|own| !path.is_empty() && own.is_dir())
}

fn is_settled(own: &Path) -> bool {
    own.file_name().is_some_and(|name| name == SUPERVISOR) && own.parent().is_some_and(is_delegated)
}

/// Whether it is ours to divide: its owner is this service's user, or systemd says so.
fn is_delegated(group: &Path) -> bool {
    let user = getuid();
    let is_owned = || group.metadata().is_ok_and(|found| !user.is_root() && found.uid() == user.as_raw());
    let is_marked = |mark| getxattr(group, mark, &mut [0_u8; 8][..]).is_ok();
    is_owned() || DELEGATED_MARKS.into_iter().any(is_marked)
}
