//! Named points at which a test can make the daemon die as if its power were cut. Compiled only with the feature `crash-points`.
//!
//! `DEPLOYER_CRASH_AT=name:3` kills this process with SIGKILL when it reaches the point `name` for the third time.

/// Marks a point; costs nothing without the feature.
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        #[cfg(feature = "crash-points")]
        $crate::crash::reach($name);
    };
}

/// Dies here if this is the point and the time that the test asked for.
#[cfg(feature = "crash-points")]
#[expect(clippy::disallowed_methods, reason = "a test's wish, not configuration")]
pub fn reach(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    static WISH: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let wish = std::env::var("DEPLOYER_CRASH_AT").ok()?;
        let (name, time) = wish.split_once(':')?;
        Some((name.to_owned(), time.parse().ok()?))
    });
    static REACHED: AtomicU32 = AtomicU32::new(0);
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
