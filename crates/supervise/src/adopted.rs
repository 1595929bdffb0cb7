//! Processes that became ours because their parents ended.
//!
//! A daemon that is PID 1 of a container, or has called [`become_subreaper`], is given the orphans below it,
//! and they stay zombies until it waits for them. It cannot simply wait for *any* child, for that would take
//! the leashes' ends from under tokio. So the leashes are known by number, and only others are reaped.

use std::collections::BTreeSet;
use std::io;
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{WaitOptions, getpid, set_child_subreaper, waitpid};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::process_table;

/// The leashes that tokio reaps. One whose `run` was dropped stays in here, for tokio reaps it still.
static OWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Makes the calling process, instead of init, the parent of what is orphaned below it. Optional: the leashes
/// do their work without. Whoever calls it calls [`reap_adopted`] now and then.
///
/// # Errors
/// The kernel is older than 3.4.
pub fn become_subreaper() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
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

/// Starts a leash. The lock is held until its number is known, lest it be reaped as a stranger.
pub(crate) fn spawn_own(command: &mut Command) -> io::Result<Child> {
    let mut own = own();
    let child = command.spawn()?;
    own.extend(child.id().and_then(|id| i32::try_from(id).ok()));
    Ok(child)
}

/// Waits for a leash that has said its last word; it ends at once, or is left to tokio (`None`).
pub(crate) async fn reap_own(mut leash: Child, limit: Duration) -> Option<ExitStatus> {
    let id = leash.id().and_then(|id| i32::try_from(id).ok());
    let status = timeout(limit, leash.wait()).await.ok()?.ok();
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
        #[expect(clippy::disallowed_methods, reason = "stands in for a leash")]
        let child = spawn_own(Command::new("sh").args(["-c", "exit 3"])).unwrap();
        let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
        // Until it is a zombie, which it stays.
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        assert_eq!(reap_adopted().unwrap(), 0);
        assert_eq!(reap_own(child, Duration::from_secs(60)).await.unwrap().code(), Some(3));
        assert!(!own().contains(&pid.as_raw_pid()));
    }
}
