//! Being woken when something happens in the spool.
//!
//! A hint only. Events can be dropped by the kernel, and there may be no watch to be had (too many, or a file
//! system that reports nothing). The truth is [`Spool::ready`](crate::Spool::ready), which a consumer reads
//! after each wake, and every [`SCAN_INTERVAL`] in any case. Set up the watch first and scan then: an entry
//! that comes in between is then reported or seen, or both.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::spool::Spool;

/// How long an entry whose event was lost may lie unnoticed. Reading a directory that often costs nothing.
pub const SCAN_INTERVAL: Duration = Duration::from_secs(30);

type Wakes = Arc<Mutex<Vec<(PathBuf, Box<dyn Fn() + Send>)>>>;

/// Wakes as long as it lives. One watches many spools: the kernel gives each user a hundred or so of what is behind it.
#[must_use = "the watch ends when this is dropped"]
pub struct Watcher {
    inner: RecommendedWatcher,
    wakes: Wakes,
}

/// There is no watch; scanning every [`SCAN_INTERVAL`] still works.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {what}; entries will be noticed by scanning")]
pub struct WatchError {
    what: String,
    source: notify::Error,
}

impl Watcher {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When the system grants no watch.
    pub fn new() -> Result<Self, WatchError> {
        let wakes = Wakes::default();
        let known = Arc::clone(&wakes);
        let inner = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if is_worth_waking_for(&event) {
                let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                known.iter().filter(|(path, _)| concerns(&event, path)).for_each(|(_, wake)| wake());
            }
        });
        let inner = inner.map_err(|source| WatchError { what: "spools".to_owned(), source })?;
        Ok(Self { inner, wakes })
    }

    /// Calls `wake` from another thread whenever entries may have come, gone or changed; also when events
    /// were lost. It may be called without need, and should return at once.
    ///
    /// # Errors
    /// When the system grants no watch.
    pub fn watch(&mut self, spool: &Spool, wake: impl Fn() + Send + 'static) -> Result<(), WatchError> {
        let path = spool.path();
        let mut wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        wakes.push((path.to_owned(), Box::new(wake)));
        // Events of other spools wait for the lock meanwhile; the watch itself does not need it.
        drop(wakes);
        let watched = self.inner.watch(path, RecursiveMode::NonRecursive);
        watched.map_err(|source| WatchError { what: path.display().to_string(), source })
    }
}

/// Whether an event is about the spool at `path`; one that does not say about what is about all of them.
fn concerns(event: &notify::Result<Event>, path: &std::path::Path) -> bool {
    let Ok(event) = event else { return true };
    let is_of_spool = |at: &PathBuf| at == path || at.parent() == Some(path);
    event.paths.is_empty() || event.need_rescan() || event.paths.iter().any(is_of_spool)
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
    fn an_event_concerns_the_spool_that_it_names_and_one_without_a_name_all() {
        let of = |path: &str| Ok(Event::new(EventKind::Create(CreateKind::File)).add_path(path.into()));
        let main = std::path::Path::new("/spool/main");
        for (event, expected) in [
            (of("/spool/main/1-a.json"), true),
            (of("/spool/main"), true),
            (of("/spool/other/1-a.json"), false),
            (of("/spool/main/bad/1-a.json"), false),
            (Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)), true),
            (Err(notify::Error::generic("the watch broke")), true),
        ] {
            assert_eq!(concerns(&event, main), expected, "{event:?}");
        }
    }

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
