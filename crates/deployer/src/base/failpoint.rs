//! Named points at which a test can make the daemon die as if its power were cut. Compiled only with the feature `failpoints`.
//!
//! `DEPLOYER_CRASH_AT=name:3` kills this process with SIGKILL when it reaches the point `name` for the third time.
//! `DEPLOYER_CRASH_LOG=file` makes it append the name of each point that it reaches, a line each: by that a test learns which
//! points a story has, and how often it passes each of them, before it kills at every one.

/// Marks a point; costs nothing without the feature.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::base::failpoint::reach($name);
    };
}

#[cfg(feature = "failpoints")]
pub use points::{landlock_max, plan_version, reach};

/// For tests: the version of Landlock's interface that steps are to find, at most. None: what the kernel has.
#[cfg(not(feature = "failpoints"))]
pub const fn landlock_max() -> Option<u32> {
    None
}

/// For tests: the version of plans that this program is to have, so that one program can stand for a later version of itself. None: its own.
#[cfg(not(feature = "failpoints"))]
pub const fn plan_version() -> Option<u32> {
    None
}

#[cfg(feature = "failpoints")]
mod points {
    use std::io::Write;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// The point at which to die, and the how-manieth time that it is reached.
    static WISH: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let point = variable("DEPLOYER_CRASH_AT")?;
        let (name, time) = point.split_once(':')?;
        Some((name.to_owned(), time.parse().ok()?))
    });

    /// Where to write down what is reached.
    static LOG: LazyLock<Option<std::fs::File>> = LazyLock::new(|| {
        let path = variable("DEPLOYER_CRASH_LOG")?;
        std::fs::OpenOptions::new().create(true).append(true).open(path).ok()
    });

    static REACHED: AtomicU32 = AtomicU32::new(0);

    #[expect(clippy::disallowed_methods, reason = "a test's setting, not configuration")]
    fn variable(name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    /// For tests: the version of Landlock's interface that steps are to find, at most. None: what the kernel has.
    pub fn landlock_max() -> Option<u32> {
        variable("DEPLOYER_TEST_LANDLOCK_MAX")?.parse().ok()
    }

    /// For tests: the version of plans that this program is to have, so that one program can stand for a later version of itself. None: its own.
    pub fn plan_version() -> Option<u32> {
        variable("DEPLOYER_TEST_PLAN_VERSION")?.parse().ok()
    }

    /// Dies here if this is the point and the time that the test asked for.
    pub fn reach(name: &str) {
        if let Some(mut log) = LOG.as_ref() {
            // One write each: lines of several threads do not mix.
            let _ = log.write_all(format!("{name}\n").as_bytes());
        }
        if let Some((wanted, time)) = &*WISH
            && wanted == name
            && REACHED.fetch_add(1, Ordering::SeqCst) + 1 == *time
        {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // The signal is on its way to every thread; nothing may happen before it arrives.
            loop {
                std::thread::park();
            }
        }
    }
}
