//! Signs of life for systemd (`WatchdogSec=`): where they end, it ends us and starts us again.
//!
//! A sign is given only by a daemon that could do its work: no part of it has crashed, its tasks are run, and there are threads for
//! what blocks, without which no delivery could be written down. Deliberately no sign of GitHub, the database or a step: that those are
//! away or slow is no reason to start again.

use super::service_manager::ServiceManager;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Gives signs of life, twice in each interval, until a part of the daemon has crashed or this is dropped.
pub async fn serve(service_manager: Arc<ServiceManager>, interval: Duration, crashed: CancellationToken) {
    let mut ticks = tokio::time::interval(interval / 2);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = crashed.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if tokio::task::spawn_blocking(|| ()).await.is_ok() {
            service_manager.alive();
        }
    }
}
