//! A command that the kernel killed for want of memory is told from one that somebody killed.

use std::path::{Path, PathBuf};

use supervise::End;

use crate::support::{finish, sh, unique};

const LIMIT_BYTES: &str = "33554432";

/// A control group of our own with little memory, removed at the end.
struct SmallMemory(PathBuf);

impl SmallMemory {
    /// `None` where this machine does not let us have one.
    fn new() -> Option<Self> {
        [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
            .iter()
            .find_map(|(root, limit)| {
                let group = Path::new(root).join(format!("supervise-test-{}", unique()));
                std::fs::create_dir(&group).ok()?;
                let group = Self(group);
                std::fs::write(group.0.join(limit), LIMIT_BYTES).ok()?;
                Some(group)
            })
    }
}

impl Drop for SmallMemory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn want_of_memory_has_its_own_name() {
    let Some(group) = SmallMemory::new() else {
        #[expect(clippy::disallowed_methods, reason = "CI says so in the environment")]
        let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!is_ci, "this machine has no memory control group for us, and CI must not skip this test");
        eprintln!("SKIPPED: no memory control group can be made here (needs root)");
        return;
    };
    let enter = format!("echo $$ > {}/cgroup.procs || exit 99", group.0.display());
    let devour = "perl -e '$x = q(x) x 200_000_000; print length $x'";
    for script in [format!("{enter}; exec {devour}"), format!("{enter}; {devour}; exit $?")] {
        let (outcome, _) = finish(sh(&script)).await;
        assert_eq!(outcome.end, End::OutOfMemory, "{script}");
        assert!(outcome.memory_kills_on_host > 0);
    }
}
