//! Being woken when something happens in the spool.
//!
//! A hint only. Events can be dropped by the kernel, and there may be no watch to be had (too many, or a file
//! system that reports nothing). The truth is [`Spool::ready`](crate::Spool::ready), which a consumer reads
//! after each wake, and every [`SCAN_INTERVAL`] in any case. Set up the watch first and scan then: an entry
//! that comes in between is then reported or seen, or both.

use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::spool::Spool;

/// How long an entry whose event was lost may lie unnoticed. Reading a directory that often costs nothing.
pub const SCAN_INTERVAL: Duration = Duration::from_secs(30);

/// Wakes as long as it lives.
#[must_use = "the watch ends when this is dropped"]
pub struct Watch {
    _watcher: RecommendedWatcher,
}

/// There is no watch; scanning every [`SCAN_INTERVAL`] still works.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {}; entries will be noticed by scanning", path.display())]
pub struct WatchError {
    path: std::path::PathBuf,
    source: notify::Error,
}

impl Spool {
    /// Calls `wake` from another thread whenever entries may have come, gone or changed; also when events
    /// were lost. It may be called without need, and should return at once.
    ///
    /// # Errors
    /// When the system grants no watch.
    pub fn watch(&self, wake: impl Fn() + Send + 'static) -> Result<Watch, WatchError> {
        let failed = |source| WatchError { path: self.path().to_owned(), source };
        let handle = move |event: notify::Result<Event>| {
            if is_worth_waking_for(&event) {
                wake();
            }
        };
        let mut watcher = notify::recommended_watcher(handle).map_err(failed)?;
        watcher.watch(self.path(), RecursiveMode::NonRecursive).map_err(failed)?;
        Ok(Watch { _watcher: watcher })
    }
}

/// Everything, errors and lost events included, except that somebody opened or read something: a scan does
/// that itself and would wake itself for ever.
fn is_worth_waking_for(event: &notify::Result<Event>) -> bool {
    !matches!(event, Ok(Event { kind: EventKind::Access(_), .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{AccessKind, CreateKind, Flag, ModifyKind};

    #[test]
    fn reading_does_not_wake_and_everything_else_does() {
        for (event, wakes) in [
            (Ok(Event::new(EventKind::Access(AccessKind::Any))), false),
            (Ok(Event::new(EventKind::Create(CreateKind::File))), true),
            (Ok(Event::new(EventKind::Modify(ModifyKind::Any))), true),
            (Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)), true),
            (Err(notify::Error::generic("the watch broke")), true),
        ] {
            assert_eq!(is_worth_waking_for(&event), wakes, "{event:?}");
        }
    }
}
