//! What the command and all below it use up.
//!
//! The kernel's own limits do not fit: address space (`RLIMIT_AS`) says nothing of programs that map far more than they use, as
//! node does; processes (`RLIMIT_NPROC`) are counted for the whole user, with everything that it runs in production, and not at all for
//! root; and control groups need somebody who hands them down. So the supervisor process looks, several times a second. What is
//! hard about that, that everything is found and ended, it can do anyway.
//!
//! A fork bomb does not wait to be looked at, and leaves the supervisor process no processor to look with. So the kernel has a wall behind the
//! limit: as many processes as the user has at the start, and twice the limit. For root there is no wall.

use std::fs;
use std::time::Duration;

use rustix::param::page_size;
use rustix::process::{Resource, Rlimit, getpid, getrlimit, getuid, setrlimit};

use crate::ResourceLimits;
use crate::process_table::{all, living_below};
use crate::protocol::EndedBy;

/// Between two looks: short enough to be told from a deadline, long enough to cost nothing in an hour's build.
pub(super) const INTERVAL: Duration = Duration::from_millis(250);

/// What the kernel adds, out of 1000, when it looks for a process to kill for want of memory: what is being built goes before what
/// is live.
const OUT_OF_MEMORY_SCORE: &str = "500";

/// What can be said once, before the command is started; inherited by all below.
pub(super) fn limit_self(limits: &ResourceLimits) {
    // Both are best effort: a container may refuse the one, and a lower limit that is there already is as good.
    let _ = fs::write("/proc/self/oom_score_adj", OUT_OF_MEMORY_SCORE);
    let wall = limits.tasks_max.map(wall_of_tasks);
    for (resource, limit) in [
        (Resource::Core, Some(0)),
        (Resource::Fsize, limits.file_bytes_max),
        (Resource::Data, limits.data_bytes_max),
        (Resource::Nproc, wall),
    ] {
        if let Some(limit) = limit {
            let limit = getrlimit(resource).maximum.map_or(limit, |maximum| maximum.min(limit));
            let _ = setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) });
        }
    }
}

/// Beyond the limit, or the command would run into the wall and never over the limit, and nobody could say why it fails.
fn wall_of_tasks(tasks_max: u32) -> u64 {
    let user = getuid().as_raw();
    let processes = all().unwrap_or_default();
    let own = processes.iter().filter(|process| process.user() == Some(user));
    own.map(|process| u64::from(process.threads)).sum::<u64>() + 2 * u64::from(tasks_max)
}

/// Whether somebody has to look at all.
pub(super) fn is_watched(limits: &ResourceLimits) -> bool {
    limits.memory_bytes_max.is_some() || limits.tasks_max.is_some()
}

/// Which limit is exceeded now.
pub(super) fn excess(limits: &ResourceLimits) -> Option<EndedBy> {
    let processes = living_below(getpid()).ok()?;
    let tasks: u64 = processes.iter().map(|process| u64::from(process.threads)).sum();
    let resident_pages: u64 = processes.iter().map(|process| process.resident_pages).sum();
    let bytes = resident_pages.saturating_mul(page_size() as u64);
    if limits.tasks_max.is_some_and(|max| tasks > u64::from(max)) {
        return Some(EndedBy::Tasks);
    }
    limits.memory_bytes_max.is_some_and(|max| bytes > max).then_some(EndedBy::Memory)
}
