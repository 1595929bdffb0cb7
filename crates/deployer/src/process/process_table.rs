//! The processes of this host, as far as anybody may see them: number, parent, start, arguments.
//!
//! A number is given again to a later process, so a process is told from others by number and start together. Deliberately
//! without names: a program chooses its own.

use anyhow::{Context, Result};
use fs_err as fs;
use std::path::PathBuf;

/// A process that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    /// Clock ticks between boot and its start.
    pub started_ticks: u64,
    /// The program and its arguments.
    pub arguments: Vec<String>,
}

impl Process {
    /// What no other process has.
    pub fn identity(&self) -> (i32, u64) {
        (self.pid, self.started_ticks)
    }

    /// The directory in which it stands; None where it is foreign, and not for us to know.
    pub fn directory(&self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()
    }

    /// As whom it runs. Not by the owner of its directory: that of one which has become another user is root's.
    pub fn user(&self) -> Option<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        // Real, effective, saved, file system.
        users.split_ascii_whitespace().nth(1)?.parse().ok()
    }

    /// The file that it runs; likewise.
    pub fn program(&self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/exe", self.pid)).ok()
    }
}

/// All that can be seen now.
pub fn all() -> Result<Vec<Process>> {
    let entries = fs::read_dir("/proc").context("cannot look at the processes")?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // One that cannot be read ended while we looked.
    Ok(pids.filter_map(read).collect())
}

/// One of them; None where there is none.
pub fn read(pid: i32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    parse(pid, &String::from_utf8_lossy(&stat), &String::from_utf8_lossy(&arguments))
}

/// Of `pid (name) state parent ...`; the name may hold anything, brackets too. None of a zombie: it runs nothing.
fn parse(pid: i32, stat: &str, arguments: &str) -> Option<Process> {
    const STATE: usize = 0;
    const PARENT: usize = 1;
    const STARTED: usize = 19;
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    if matches!(*fields.get(STATE)?, "Z" | "X" | "x") {
        return None;
    }
    Some(Process {
        pid,
        parent: fields.get(PARENT)?.parse().ok()?,
        started_ticks: fields.get(STARTED)?.parse().ok()?,
        arguments: arguments.split_terminator('\0').map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_it_calls_itself() {
        let stat = "7 (a) Z (b) S 3 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1";
        let process = parse(7, stat, "uwsgi\0--ini\0x.ini\0").unwrap();
        assert_eq!((process.parent, process.identity()), (3, (7, 4242)));
        assert_eq!(process.arguments, ["uwsgi", "--ini", "x.ini"]);
        assert_eq!(parse(7, &stat.replace(") S", ") Z"), ""), None, "a zombie runs nothing");
        assert_eq!(parse(7, "7 (a", ""), None);
    }

    #[test]
    fn this_very_process_is_among_all() {
        let own = i32::try_from(std::process::id()).unwrap();
        let found = all().unwrap().into_iter().find(|process| process.pid == own).unwrap();
        assert_eq!(found.directory(), std::env::current_dir().ok());
        assert_eq!(found.user(), Some(rustix::process::geteuid().as_raw()));
        assert_eq!(read(own).map(|again| again.identity()), Some(found.identity()));
    }
}
