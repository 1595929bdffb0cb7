//! Everything behind the intake: the workers, dispatch, reconcile, retention, and last of all the report.

use super::schema::Schema;
use super::tasks::Tasks;
use super::{consume, open_spool};
use crate::base::clock;
use crate::base::names::Slug;
use crate::dispatch::Dispatch;
use crate::notify::sender::Sender;
use crate::pipeline::context::Host;
use crate::pipeline::observe::Observer;
use crate::pipeline::worker::Worker;
use crate::process::step_user_access;
use crate::reconcile::clock_watch::ClockWatch;
use crate::reconcile::deliveries::Deliveries;
use crate::reconcile::{self, Reconcile};
use crate::run_log;
use crate::steps::kept_files;
use crate::store::StoreError;
use anyhow::Result;
use indexmap::IndexMap;
use spool::{ConsumerLock, Spool};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often what is older than `runs.keep` is looked for.
const RETENTION_INTERVAL: Duration = Duration::from_secs(6 * 3600);

/// How often, and how long in between, old records are tried to be removed while the database is away.
const PRUNE_ATTEMPTS_MAX: u32 = 60;
const PRUNE_RETRY: Duration = Duration::from_secs(1);

/// How often processes are looked for that became our children and have ended.
const REAPING_INTERVAL: Duration = Duration::from_secs(60);

/// How long the report may take with its last words.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(5);

/// Between two attempts to become the consumer of a spool that a command works on.
const CONSUMER_RETRY: Duration = Duration::from_millis(500);

/// Everything behind the intake.
pub struct Workers {
    tasks: Tasks,
    /// Take back what is in progress.
    abort: CancellationToken,
    /// The report, which ends last.
    notification: TaskTracker,
    /// Nothing more will be put into the outbox.
    told_all: CancellationToken,
    /// What lives as long.
    watcher: Option<spool::Watcher>,
    consumers: Vec<ConsumerLock>,
}

impl Workers {
    /// Starts all of it.
    pub fn start(host: &Host, crashed: &CancellationToken) -> Result<Self> {
        let mut work = Self {
            tasks: Tasks::new(crashed),
            abort: CancellationToken::new(),
            notification: TaskTracker::new(),
            told_all: CancellationToken::new(),
            watcher: watcher(),
            consumers: Vec::new(),
        };
        let main = open_spool(&host.config, "main")?;
        work.consumers.push(consume(&main)?);
        let wake_dispatch = work.watched(&main);
        let schema = Schema::new(host.clone(), work.tasks.stop.clone());
        let mut spools: IndexMap<Slug, Spool> = IndexMap::new();
        let mut targets: IndexMap<Slug, reconcile::Target> = IndexMap::new();
        for (slug, deployment) in &host.config.deployments {
            let spool = open_spool(&host.config, slug.as_str())?;
            let wake = work.watched(&spool);
            let run_ended = Arc::new(Notify::new());
            let look_again = Arc::new(Notify::new());
            let target = reconcile::Target {
                deployment: deployment.clone(),
                spool: spool.clone(),
                look_again: Arc::clone(&look_again),
            };
            targets.insert(slug.clone(), target);
            if deployment.enabled {
                let observer = Observer::new(host.clone(), deployment.clone(), spool.clone());
                let (schema, stop) = (schema.clone(), work.tasks.stop.clone());
                let run_ended = Arc::clone(&run_ended);
                work.tasks.start("the look at what is live", async move {
                    if schema.up().await {
                        observer.serve(run_ended, stop).await;
                    }
                });
            }
            let worker = Worker {
                host: host.clone(),
                deployment: deployment.clone(),
                spool: spool.clone(),
                stop: work.tasks.stop.clone(),
                abort: work.abort.clone(),
                look_again,
                run_ended,
                claim: Mutex::default(),
            };
            spools.insert(slug.clone(), spool);
            work.tasks.start("a worker", self::work(worker, schema.clone(), wake));
        }
        if host.credentials.any() {
            let github = host.github.clone();
            let (store, told, told_all) =
                (host.store.clone(), Arc::clone(&host.notifier.wake), work.told_all.clone());
            let schema = schema.until(told_all.clone());
            work.notification.spawn(async move {
                if schema.up().await {
                    Sender::new(store, github).serve(told, told_all).await;
                }
            });
        }
        let apart = host.clone();
        work.tasks.start("keeping deployments apart", async move {
            for deployment in apart.config.deployments.values() {
                step_user_access::keep_others_out(&apart.config, &apart.executor, deployment).await;
            }
        });
        let strays = super::strays::tell(Arc::clone(&host.config), work.tasks.stop.clone());
        work.tasks.start("the look for what is no entry", strays);
        work.tasks.start("reaping", reaping(work.tasks.stop.clone()));
        work.tasks.start("retention", retention(host.clone(), schema.clone(), work.tasks.stop.clone()));
        start_reconcile(host, targets, &schema, &work.tasks);
        let (host, stop) = (host.clone(), work.tasks.stop.clone());
        work.tasks.start("dispatch", async move {
            if schema.up().await {
                Dispatch { host, main, spools }.serve(wake_dispatch, stop).await;
            }
        });
        Ok(work)
    }

    /// Wakes whoever waits on it when something appears in the spool. Without a watch only the scan remains.
    fn watched(&mut self, spool: &Spool) -> Arc<Notify> {
        let wake = Arc::new(Notify::new());
        let notify = Arc::clone(&wake);
        if let Some(watcher) = &mut self.watcher
            && let Err(error) = watcher.watch(spool, move || notify.notify_one())
        {
            tracing::warn!(%error, "a spool is scanned every 30 s instead");
        }
        wake
    }

    /// Takes no further work; what is in progress goes on.
    pub fn take_no_more(&self) {
        self.tasks.stop.cancel();
        self.tasks.tracker.close();
    }

    /// Waits until nothing is in progress any more, after [`Self::take_no_more`].
    pub async fn rest(&self) {
        self.tasks.tracker.wait().await;
    }

    /// Waits for everything that was started: first for its own end, then, when that takes too long or `hurry` says so, for its
    /// being undone; then for what is still to be told.
    pub async fn end(self, host: &Host, hurry: impl Future<Output = ()>) {
        self.take_no_more();
        tokio::select! {
            () = self.rest() => {}
            () = tokio::time::sleep(host.config.runs.drain_timeout) => {
                tracing::warn!("the run in progress takes too long: it is rolled back");
            }
            () = hurry => tracing::warn!("asked to stop again: the run in progress is rolled back"),
        }
        self.abort.cancel();
        self.rest().await;
        // Only now is everything said that is to be told.
        self.told_all.cancel();
        self.notification.close();
        if tokio::time::timeout(LAST_WORDS_LIMIT, self.notification.wait()).await.is_err() {
            tracing::warn!("GitHub does not answer: the last statuses are sent at the next start");
        }
    }
}

fn watcher() -> Option<spool::Watcher> {
    let made = spool::Watcher::new();
    made.inspect_err(|error| tracing::warn!(%error, "spools are scanned every 30 s instead")).ok()
}

/// One task for each repository: they sleep nearly always, and a server that does not answer keeps none of the others waiting.
fn start_reconcile(
    host: &Host,
    mut targets: IndexMap<Slug, reconcile::Target>,
    schema: &Schema,
    tasks: &Tasks,
) {
    if host.config.reconcile.deliveries && host.credentials.any() {
        tasks.start("deliveries", Deliveries::new(host.clone()).serve(tasks.stop.clone()));
    }
    if !host.config.reconcile.enabled {
        return;
    }
    let (clock, jumps) = ClockWatch::new();
    tasks.start("the watch over the clock", clock.serve(tasks.stop.clone()));
    let slots = Arc::new(Semaphore::new(reconcile::PARALLEL_MAX));
    for deployments in reconcile::by_source(host.config.deployments.values()) {
        let targets =
            deployments.iter().filter_map(|deployment| targets.swap_remove(&deployment.slug)).collect();
        let source = Reconcile::new(host.clone(), targets, Arc::clone(&slots));
        let (stop, jumps) = (tasks.stop.clone(), jumps.clone());
        let schema = schema.clone();
        tasks.start("reconcile", async move {
            if schema.up().await {
                source.serve(jumps, stop).await;
            }
        });
    }
}

/// A worker's life: the schema is there, nobody else consumes the spool, what a crash left is put in order; then it works, if the
/// deployment is enabled.
async fn work(worker: Worker, schema: Schema, wake: Arc<Notify>) {
    if !schema.up().await {
        return;
    }
    let mut told = String::new();
    let _consumer = loop {
        match consume(&worker.spool) {
            Ok(lock) => break lock,
            Err(error) => {
                let error = format!("{error:#}");
                // A command that works here may take long; once is enough.
                if error != told {
                    tracing::warn!(error, "waiting");
                    told = error;
                }
            }
        }
        tokio::select! {
            () = worker.stop.cancelled() => return,
            () = tokio::time::sleep(CONSUMER_RETRY) => {}
        }
    };
    match worker.deployment.enabled {
        true => worker.serve(wake).await,
        false => worker.recover_only().await,
    }
}

/// Waits for processes that a process manager's command left running, and that have ended since.
async fn reaping(stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(REAPING_INTERVAL) => {}
        }
        match tokio::task::spawn_blocking(supervise::reap_adopted).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "cannot look for processes that have ended"),
            Err(error) => tracing::debug!(%error, "cannot look for processes that have ended"),
        }
    }
}

async fn retention(host: Host, schema: Schema, stop: CancellationToken) {
    // Before the first start there is no database yet, of which nothing could be removed.
    if !schema.up().await {
        return;
    }
    loop {
        let before_ms =
            clock::now_ms() - i64::try_from(host.config.runs.keep.as_millis()).unwrap_or(i64::MAX / 2);
        // At a start the database is made ready meanwhile: that it is not there yet says nothing.
        let mut attempt = 1;
        loop {
            match host.store.prune(before_ms).await {
                Ok(pruned) => tracing::debug!(?pruned, "removed old records"),
                Err(error)
                    if attempt < PRUNE_ATTEMPTS_MAX
                        && (error.may_be_retried() || matches!(error, StoreError::NotMigrated(_))) =>
                {
                    attempt += 1;
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(PRUNE_RETRY) => {}
                    }
                    continue;
                }
                Err(error) => tracing::warn!(%error, "cannot remove old records"),
            }
            break;
        }
        if let Err(error) = run_log::prune(&host.logs(), before_ms) {
            tracing::warn!(%error, "cannot remove old run logs");
        }
        if let Err(error) = kept_files::prune(&host.config.state_directory, before_ms) {
            tracing::warn!(
                error = format!("{error:#}"),
                "cannot remove old copies of files that were changed by hand"
            );
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETENTION_INTERVAL) => {}
        }
        for deployment in host.config.deployments.values() {
            if let Err(error) = host.mirror(deployment).repack(&stop).await {
                tracing::warn!(deployment = %deployment.slug, error = format!("{error:#}"), "cannot repack the mirror");
            }
        }
    }
}
