//! Processes that became ours because their parents ended.
//!
//! A daemon that is PID 1 of a container, or has called [`become_subreaper`], is given the orphans below it,
//! and they stay zombies until it waits for them. It cannot simply wait for *any* child, for that would take
//! the supervisor processes' ends from under tokio. So the supervisor processes are known by number, and only others are reaped.
//!
//! A command that kills its supervisor process (it can where the kernel does not scope signals, before Linux 6.12) makes us the parent of all that it has
//! started, whatever sessions and environments these have. [`kill_orphans_of`] ends them, and nobody else's: not what a process manager was
//! asked to leave running ([`spare`]), not other supervisor processes and what is below those, nothing that is older.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitOptions, getpid, pidfd_open, set_child_subreaper, waitpid};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::orphan_killer;
use crate::process_table::{self, Process};

/// The supervisor processes that tokio reaps. One whose `run` was dropped stays in here, for tokio reaps it still.
static OWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// What was spared, by number and start.
static SPARED: Mutex<BTreeSet<(i32, u64)>> = Mutex::new(BTreeSet::new());

/// Whether orphans come to us at all.
static IS_SUBREAPER: AtomicBool = AtomicBool::new(false);

/// How long a supervisor process that was killed may take to be gone. Its orphans are ours only then.
const SUPERVISOR_END_MAX: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Makes the calling process, instead of init, the parent of what is orphaned below it. Optional: the supervisor processes
/// do their work without. Whoever calls it calls [`reap_adopted`] now and then.
///
/// # Errors
/// The kernel is older than 3.4.
pub fn become_subreaper() -> io::Result<()> {
    set_child_subreaper(Some(getpid()))?;
    IS_SUBREAPER.store(true, Ordering::SeqCst);
    Ok(())
}

/// Remembers a process that a command has left running as it was meant to, and that is below us from now on.
pub(crate) fn spare(pid: i32) {
    let Some(process) = Pid::from_raw(pid).and_then(process_table::read) else { return };
    let mut spared = SPARED.lock().unwrap_or_else(PoisonError::into_inner);
    let is_there = |(pid, started): &(i32, u64)| {
        let found = Pid::from_raw(*pid).and_then(process_table::read);
        found.is_some_and(|found| found.identity() == (*pid, *started))
    };
    spared.retain(is_there);
    spared.insert(process.identity());
}

/// Kills what a supervisor process that was killed has left, as far as it has become ours. The supervisor process must not have been reaped.
///
/// # Errors
/// Some are still there after some seconds.
pub(crate) fn kill_orphans_of(supervisor: Pid) -> io::Result<usize> {
    if !IS_SUBREAPER.load(Ordering::SeqCst) {
        return Ok(0);
    }
    if let Ok(descriptor) = pidfd_open(supervisor, PidfdFlags::empty()) {
        let _ = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&SUPERVISOR_END_MAX));
    }
    let Some(supervisor) = process_table::read(supervisor) else { return Ok(0) };
    let killed = orphan_killer::kill_until_none(|| orphans_of(&supervisor));
    let _ = reap_adopted();
    killed
}

fn orphans_of(supervisor: &Process) -> io::Result<Vec<Process>> {
    // Held while the table is read, or a supervisor process that is being started would not be known as one.
    let own = own();
    let processes = process_table::all()?;
    let spared = SPARED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut children: BTreeMap<i32, Vec<&Process>> = BTreeMap::new();
    for process in &processes {
        children.entry(process.parent).or_default().push(process);
    }
    let below = |parent: i32| children.get(&parent).into_iter().flatten().copied();
    let is_orphan = |process: &&Process| {
        let is_supervisor = own.contains(&process.pid.as_raw_pid());
        !is_supervisor && !spared.contains(&process.identity()) && process.is_as_young_as(supervisor)
    };
    let mut open: Vec<&Process> = below(getpid().as_raw_pid()).filter(is_orphan).collect();
    let mut found: BTreeMap<i32, Process> = BTreeMap::new();
    while let Some(process) = open.pop() {
        let pid = process.pid.as_raw_pid();
        if found.insert(pid, process.clone()).is_none() {
            open.extend(below(pid));
        }
    }
    Ok(found.into_values().filter(Process::is_alive).collect())
}

/// Reaps adopted processes that have ended, without waiting; returns how many there were.
///
/// # Errors
/// `/proc` cannot be read.
pub fn reap_adopted() -> io::Result<usize> {
    let parent = getpid().as_raw_pid();
    let own = own();
    let mut reaped = 0;
    for process in process_table::all()? {
        let is_adopted =
            process.parent == parent && process.is_zombie() && !own.contains(&process.pid.as_raw_pid());
        if is_adopted && waitpid(Some(process.pid), WaitOptions::NOHANG).is_ok_and(|found| found.is_some()) {
            reaped += 1;
        }
    }
    Ok(reaped)
}

/// Starts a supervisor. The lock is held until its number is known, lest it be reaped as a stranger.
pub(crate) fn spawn_own(command: &mut Command) -> io::Result<Child> {
    let mut own = own();
    let child = command.spawn()?;
    own.extend(child.id().and_then(|id| i32::try_from(id).ok()));
    Ok(child)
}

/// Waits for a supervisor process that has said its last word; it ends at once, or is left to tokio (`None`).
pub(crate) async fn reap_own(mut supervisor: Child, limit: Duration) -> Option<ExitStatus> {
    let id = supervisor.id().and_then(|id| i32::try_from(id).ok());
    let status = timeout(limit, supervisor.wait()).await.ok()?.ok();
    if let Some(id) = id {
        own().remove(&id);
    }
    status
}

/// The set is whole after every single change, so a panic elsewhere has not spoiled it.
fn own() -> MutexGuard<'static, BTreeSet<i32>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

    use super::*;

    #[tokio::test]
    async fn the_end_of_a_leash_is_left_to_who_waits_for_it() {
        #[expect(clippy::disallowed_methods, reason = "stands in for a supervisor process")]
        let child = spawn_own(Command::new("sh").args(["-c", "exit 3"])).unwrap();
        let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
        // Until it is a zombie, which it stays.
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        assert_eq!(reap_adopted().unwrap(), 0);
        assert_eq!(reap_own(child, Duration::from_secs(60)).await.unwrap().code(), Some(3));
        assert!(!own().contains(&pid.as_raw_pid()));
    }
}
