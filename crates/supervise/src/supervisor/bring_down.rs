//! How what runs below the supervisor process is ended: asked first (TERM), then stopped and killed.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid};

use super::children::Children;
use crate::process_table::{Process, living_below};

/// How long processes may take to end by themselves after the command has ended, before they count as left
/// over: the `tee` of a shell's `> >(tee log)` has its last line to write, and what `systemctl` starts to ask for a password ends when there
/// is nothing to be asked.
const SETTLE_MAX: Duration = Duration::from_millis(1500);

/// Leftovers were not asked to outlive their command; they get less time than a command that is stopped.
const LEFTOVERS_GRACE_MAX: Duration = Duration::from_secs(2);

/// After this the rest cannot be killed: it hangs in the kernel (a dead network file system) or is somebody
/// else's (set-uid root). Waiting longer would not help, and every wait has an end.
pub(crate) const KILL_MAX: Duration = Duration::from_secs(10);

/// How long the killed may take to vanish before the table is read again.
const KILL_ROUND: Duration = Duration::from_millis(100);

/// Rounds of STOP before KILL all the same.
const FREEZE_ROUNDS_MAX: usize = 100;

/// The longest that [`everything`] and [`leftovers`] take, beyond the grace.
pub(crate) const BEYOND_GRACE_MAX: Duration = SETTLE_MAX.saturating_add(KILL_MAX);

/// Ends the command and all below it; returns how many processes could not be ended.
pub(super) fn everything(children: &mut Children, grace: Duration) -> u32 {
    if children.wait_until_none(Duration::ZERO) {
        return 0;
    }
    // TERM only once: for many programs a second one means "at once, and leave everything as it is".
    let processes = below();
    children.signal(&processes, Signal::TERM);
    // One who is stopped would hear the TERM only after a CONT.
    children.signal(&processes, Signal::CONT);
    if children.wait_until_none(grace) { 0 } else { kill(children) }
}

/// Ends them without asking; returns how many processes could not be ended.
pub(super) fn at_once(children: &mut Children) -> u32 {
    kill(children)
}

/// Ends what the command left behind; returns how many there were and how many could not be ended.
pub(super) fn leftovers(children: &mut Children, grace: Duration) -> (u32, u32) {
    if children.wait_until_none(SETTLE_MAX) {
        return (0, 0);
    }
    let count = count(&below());
    (count, everything(children, grace.min(LEFTOVERS_GRACE_MAX)))
}

/// Those that the command leaves behind on purpose.
pub(super) fn spared() -> impl Iterator<Item = i32> {
    below().into_iter().map(|process| process.pid.as_raw_pid())
}

fn kill(children: &mut Children) -> u32 {
    let started = Instant::now();
    loop {
        children.kill_group();
        freeze(children);
        children.signal(&below(), Signal::KILL);
        if children.wait_until_none(KILL_ROUND) {
            return 0;
        }
        if started.elapsed() > KILL_MAX {
            return count(&below());
        }
    }
}

/// Stops all before any is killed: while one half of a fork bomb is being killed, the other half would refill
/// the table. Who is stopped cannot fork, so round by round fewer are left who can.
fn freeze(children: &Children) {
    children.signal(&[], Signal::STOP);
    let mut stopped = HashSet::new();
    for _ in 0..FREEZE_ROUNDS_MAX {
        let processes = below();
        let known = stopped.len();
        stopped.extend(processes.iter().map(Process::identity));
        if stopped.len() == known {
            return;
        }
        children.signal(&processes, Signal::STOP);
    }
}

/// That `/proc` can be read was tried before the command was started. Should it fail now (too many open
/// files), the next round tries again.
fn below() -> Vec<Process> {
    living_below(getpid()).unwrap_or_default()
}

fn count(processes: &[Process]) -> u32 {
    u32::try_from(processes.len()).unwrap_or(u32::MAX)
}
