//! Tasks of the daemon, which it waits for, and whose death it does not outlive.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks, and how they are told to end.
pub struct Tasks {
    /// Those that run.
    pub tracker: TaskTracker,
    /// Take no further work.
    pub stop: CancellationToken,
    crashed: CancellationToken,
}

impl Tasks {
    pub fn new(crashed: &CancellationToken) -> Self {
        Self { tracker: TaskTracker::new(), stop: CancellationToken::new(), crashed: crashed.clone() }
    }

    /// Starts one of the parts. A daemon of which a part is dead would accept and do nothing: it ends instead, and whoever
    /// supervises it starts it again. An entry that does this time and again is set aside by its count of attempts.
    pub fn start(&self, what: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        let crashed = self.crashed.clone();
        let inner = self.tracker.spawn(part);
        self.tracker.spawn(async move {
            if inner.await.is_err() {
                tracing::error!(what, "has crashed");
                crashed.cancel();
            }
        });
    }
}
