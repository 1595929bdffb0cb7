//! The processes of this host as `/proc` shows them, and signals that cannot hit the wrong one.
//!
//! A process id is only a number that is given again to the next process, and a fork bomb makes the numbers
//! go round in seconds. So a process is remembered by (id, start time), and a signal goes through a pidfd that
//! was opened first and compared with the start time afterwards (Linux 5.3 or newer).

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub pid: Pid,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    pub threads: u32,
    /// Pages of memory that it holds, with those that it shares.
    pub resident_pages: u64,
    /// Clock ticks between boot and its start: with the pid, its identity.
    started_ticks: u64,
    state: u8,
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Delivered,
    /// It had ended already.
    Gone,
    /// It belongs to somebody else: a set-uid program, for instance.
    Refused,
}

impl Process {
    /// A zombie holds no memory, runs no code and cannot come back: it counts as gone.
    pub fn is_alive(&self) -> bool {
        !self.is_zombie() && !matches!(self.state, b'X' | b'x')
    }

    pub fn is_zombie(&self) -> bool {
        self.state == b'Z'
    }

    pub fn identity(&self) -> (i32, u64) {
        (self.pid.as_raw_pid(), self.started_ticks)
    }

    /// Whether this started in the same clock tick or later.
    pub fn is_as_young_as(&self, other: &Self) -> bool {
        self.started_ticks >= other.started_ticks
    }

    /// The user it runs as; `None` where it has ended.
    pub fn user(&self) -> Option<u32> {
        fs::metadata(format!("/proc/{}", self.pid.as_raw_pid())).ok().map(|metadata| metadata.uid())
    }

    /// Whether the environment that it was started with has this `name=value`.
    pub fn has_in_environment(&self, entry: &[u8]) -> bool {
        fs::read(format!("/proc/{}/environ", self.pid.as_raw_pid()))
            .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|found| found == entry))
    }

    pub fn signal(&self, signal: Signal) -> Sent {
        let Ok(descriptor) = pidfd_open(self.pid, PidfdFlags::empty()) else { return Sent::Gone };
        match read(self.pid) {
            Some(now) if now.started_ticks == self.started_ticks => {}
            _ => return Sent::Gone,
        }
        match pidfd_send_signal(&descriptor, signal) {
            Ok(()) => Sent::Delivered,
            Err(rustix::io::Errno::PERM) => Sent::Refused,
            Err(_) => Sent::Gone,
        }
    }
}

/// Every process that can be seen now.
pub(crate) fn all() -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        // An entry that cannot be read is a process that ended while we looked.
        let Ok(entry) = entry else { continue };
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        processes.extend(pid.and_then(read));
    }
    Ok(processes)
}

/// Every living process whose chain of parents leads to `root`, without `root` itself.
pub(crate) fn living_below(root: Pid) -> io::Result<Vec<Process>> {
    let processes = all()?;
    let mut children: HashMap<i32, Vec<&Process>> = HashMap::new();
    for process in &processes {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut visited = HashSet::new();
    let mut open = vec![root.as_raw_pid()];
    while let Some(parent) = open.pop() {
        // The table is not one snapshot: with ids given anew while it was read, parents could form a ring.
        if !visited.insert(parent) {
            continue;
        }
        for child in children.get(&parent).into_iter().flatten() {
            open.push(child.pid.as_raw_pid());
            found.push(*child);
        }
    }
    Ok(found.into_iter().filter(|process| process.is_alive()).cloned().collect())
}

/// One process; `None` where there is none of that number.
pub(crate) fn read(pid: Pid) -> Option<Process> {
    parse(pid, &fs::read(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?)
}

/// `pid (name) state parent group session ... started ...`, see proc_pid_stat(5). The name is whatever the
/// process likes, brackets and line feeds included: the fields begin after the *last* bracket.
fn parse(pid: Pid, stat: &[u8]) -> Option<Process> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields: Vec<&str> =
        std::str::from_utf8(&stat[name_end + 1..]).ok()?.split_ascii_whitespace().collect();
    Some(Process {
        pid,
        state: *fields.first()?.as_bytes().first()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        resident_pages: fields.get(21)?.parse().ok()?,
        started_ticks: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number).unwrap()
    }

    #[test]
    fn a_name_full_of_brackets_and_line_feeds_does_not_confuse() {
        let stat =
            b"77 (a) R 1 1 (\n) Z 5 6 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0 18446744073709551615";
        let process = parse(pid(77), stat).unwrap();
        assert_eq!((process.parent, process.group, process.session, process.started_ticks), (5, 6, 7, 4242));
        assert!(process.is_zombie());
        assert!(!process.is_alive());
    }

    #[test]
    fn what_is_cut_short_is_no_process() {
        for stat in [&b""[..], b"77 (sh", b"77 (sh)", b"77 (sh) S 1 2 3"] {
            assert_eq!(parse(pid(77), stat), None);
        }
    }

    #[test]
    fn a_process_of_another_start_time_is_not_signalled() {
        let mut this = read(rustix::process::getpid()).unwrap();
        this.started_ticks += 1;
        assert_eq!(this.signal(Signal::KILL), Sent::Gone);
    }

    #[test]
    fn finds_this_process_below_its_parent() {
        let own = rustix::process::getpid();
        let parent = rustix::process::getppid().unwrap();
        let below = living_below(parent).unwrap();
        assert!(below.iter().any(|process| process.pid == own));
        assert!(below.iter().all(|process| process.pid != parent));
    }
}
