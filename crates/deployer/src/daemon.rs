//! The composition root: what is built, in which order it starts, and in which order it ends.
//!
//! Start: state directory, locks, spools, record, workers, dispatch, report, and the intake last, so that what is accepted finds
//! everything else there; but nothing waits for the database, which may come later. End: the intake first, then dispatch, then
//! the workers (the run in progress may finish within `drain_timeout`, after which it is taken back and its entry stays), then
//! what is still to be told.

use crate::clock;
use crate::config::{Config, Environment, SourceNetworks};
use crate::deploy::execute::Executor;
use crate::deploy::tools::git::login;
use crate::deploy::worker::Worker;
use crate::deploy::{Host, lock};
use crate::github::GitHub;
use crate::github::credentials::Credentials;
use crate::github::meta;
use crate::intake::dispatch::Dispatch;
use crate::intake::http;
use crate::intake::networks::Networks;
use crate::intake::reconcile::clock_watch::ClockWatch;
use crate::intake::reconcile::{self, Reconcile};
use crate::intake::webhook::Webhook;
use crate::names::Slug;
use crate::record::store::Store;
use crate::record::{report, run_log};
use anyhow::{Context, Result, bail};
use indexmap::IndexMap;
use spool::{ConsumerLock, Spool};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The file in the state directory that says where the intake listens.
pub const ADDRESS_FILE: &str = "listen.address";

/// How often what is older than `runs.keep` is looked for.
const RETENTION_INTERVAL: Duration = Duration::from_secs(6 * 3600);

/// How long the report may take with its last words.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(5);

/// How long a start waits for the locks: a command looks at them in passing, and of a daemon that has just died a program
/// that it was about to start holds them from its fork to its exec.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Between two attempts to become the consumer of a spool that a command works on.
const CONSUMER_RETRY: Duration = Duration::from_millis(500);

/// Between two attempts to bring the database's schema up while it is away.
const MIGRATE_PAUSE: Duration = Duration::from_secs(1);

/// Which part of the deployer this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Both, in one process.
    Serve,
    /// The intake only.
    Listen,
    /// Everything behind it.
    Work,
}

/// Runs until a signal says stop.
pub async fn run(config: Config, environment: &Environment, role: Role) -> Result<()> {
    let config = Arc::new(config);
    hide_from_own_children();
    prepare_state_directory(&config.state_directory)?;
    let _locks = take_locks(&config.state_directory, role).await?;
    let main = open_spool(&config, "main")?;
    let tasks = Tasks::default();
    let mut parts = Parts::default();
    let github_meta = keep_github_meta(&config, role, &tasks);
    if role != Role::Listen {
        let host = host(Arc::clone(&config), environment)?;
        start_work(host, main.clone(), &tasks, &mut parts)?;
    }
    let intake = match role {
        Role::Work => None,
        Role::Serve | Role::Listen => Some(start_intake(&config, main, github_meta, &tasks).await?),
    };
    let crashed = tokio::select! {
        signal = wait_for_signal() => { signal?; false }
        () = tasks.crashed.cancelled() => true,
    };
    tracing::info!("stopping");
    tasks.stop.cancel();
    if let Some(address_file) = intake {
        let _ = fs_err::remove_file(address_file);
    }
    tasks.tracker.close();
    drain(&tasks.tracker, &tasks.abort, config.runs.drain_timeout).await;
    // Only now is everything said that is to be told.
    tasks.told_all.cancel();
    tasks.telling.close();
    if tokio::time::timeout(LAST_WORDS_LIMIT, tasks.telling.wait()).await.is_err() {
        tracing::warn!("GitHub does not answer: the last statuses are told at the next start");
    }
    tracing::info!("stopped");
    if crashed {
        bail!(
            "a part of the deployer has crashed (see the log); restart it: nothing that was accepted is lost"
        );
    }
    Ok(())
}

/// Everything that runs, and how it is told to end.
#[derive(Default)]
struct Tasks {
    /// Intake, dispatch, workers.
    tracker: TaskTracker,
    /// Take no further work.
    stop: CancellationToken,
    /// Take back what is in progress.
    abort: CancellationToken,
    /// The report, which ends last.
    telling: TaskTracker,
    /// Nothing more will be put into the outbox.
    told_all: CancellationToken,
    /// A task that should never end has panicked.
    crashed: CancellationToken,
}

impl Tasks {
    /// Starts one of the parts. A daemon of which a part is dead would accept and do nothing: it ends instead, and whoever
    /// supervises it starts it again. An entry that does this time and again is set aside by its count of attempts.
    fn start(&self, what: &'static str, part: impl Future<Output = ()> + Send + 'static) {
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

/// What lives as long as the daemon.
#[derive(Default)]
struct Parts {
    watches: Vec<spool::Watch>,
    consumers: Vec<ConsumerLock>,
}

/// Steps run as our own user, where nothing else is configured: they may not look into our memory, environment and files.
fn hide_from_own_children() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "steps may be able to look into this process");
    }
}

/// Waits for everything that was started: first for its own end, then for its being taken back.
async fn drain(tracker: &TaskTracker, abort: &CancellationToken, limit: Duration) {
    tokio::select! {
        () = tracker.wait() => return,
        () = tokio::time::sleep(limit) => tracing::warn!("the run in progress takes too long: it is taken back"),
        _ = wait_for_signal() => tracing::warn!("told to stop again: the run in progress is taken back"),
    }
    abort.cancel();
    tracker.wait().await;
}

/// Everything that deployments stand on.
pub fn host(config: Arc<Config>, environment: &Environment) -> Result<Host> {
    let store = Store::open(config.database_url.expose())?;
    // This program itself, also after an upgrade has replaced its file.
    let executor = Executor::new("/proc/self/exe".into(), &config, environment);
    let credentials = Credentials::new(&config, &executor)?;
    let github = GitHub::new(&config.github, credentials.clone())?;
    let slots = Arc::new(Semaphore::new(config.runs.parallel_max));
    Ok(Host { config, store, executor, credentials, github, slots, told: Arc::new(Notify::new()) })
}

/// A spool of this instance.
pub fn open_spool(config: &Config, name: &str) -> Result<Spool> {
    let directory = Host::spool_directory(&config.state_directory, name);
    let now = || u64::try_from(clock::now().as_nanosecond()).unwrap_or(0);
    Spool::open(&directory, now).with_context(|| format!("cannot open the spool {}", directory.display()))
}

/// Makes the state directory, readable by nobody else: it holds private payloads and code.
pub fn prepare_state_directory(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    for directory in ["spool", "logs", "locks", "cancel", "compared"] {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path.join(directory)).with_context(
            || format!("cannot make the state directory {} (`state_directory` sets another)", path.display()),
        )?;
    }
    Ok(())
}

async fn take_locks(state_directory: &Path, role: Role) -> Result<Vec<lock::Lock>> {
    let names: &[&str] = match role {
        Role::Serve => &["listen", "work"],
        Role::Listen => &["listen"],
        Role::Work => &["work"],
    };
    let mut locks = Vec::new();
    for name in names {
        // A deployment may be called `work`; the daemon's own locks lie apart from the deployments'.
        let directory = state_directory.join("locks/daemon");
        match tokio::time::timeout(LOCK_PATIENCE, lock::acquire(&directory, name)).await {
            Ok(lock) => locks.push(lock?),
            Err(_) => bail!(
                "another durhack-deployer already does `{name}` for {}; stop it first, or set another `state_directory`",
                state_directory.display()
            ),
        }
    }
    Ok(locks)
}

/// Whether a daemon of this instance does the deployments.
pub fn is_working(state_directory: &Path) -> Result<bool> {
    Ok(lock::try_acquire(&state_directory.join("locks/daemon"), "work")?.is_none())
}

fn start_work(host: Host, main: Spool, tasks: &Tasks, parts: &mut Parts) -> Result<()> {
    let mut spools: IndexMap<Slug, Spool> = IndexMap::new();
    for slug in host.config.deployments.keys() {
        spools.insert(slug.clone(), open_spool(&host.config, slug.as_str())?);
    }
    parts.consumers.push(consume(&main)?);
    let wake_dispatch = watched(&main, parts);
    for (slug, spool) in &spools {
        let wake = watched(spool, parts);
        let worker = Worker {
            host: host.clone(),
            deployment: host.config.deployments[slug].clone(),
            spool: spool.clone(),
            stop: tasks.stop.clone(),
            abort: tasks.abort.clone(),
        };
        tasks.start("a worker", work(worker, wake));
    }
    if host.credentials.any() {
        let github = host.github.clone();
        let (store, told) = (host.store.clone(), Arc::clone(&host.told));
        tasks.telling.spawn(report::serve(store, github, told, tasks.told_all.clone()));
    }
    tasks.start("retention", retention(host.clone(), tasks.stop.clone()));
    start_reconcile(&host, &spools, tasks);
    let stop = tasks.stop.clone();
    tasks.start("dispatch", async move {
        if migrated(&host.store, &stop).await {
            Dispatch { host, main, spools }.serve(wake_dispatch, stop).await;
        }
    });
    Ok(())
}

/// One task for each repository: they sleep nearly always, and a server that does not answer keeps none of the others waiting.
fn start_reconcile(host: &Host, spools: &IndexMap<Slug, Spool>, tasks: &Tasks) {
    if !host.config.reconcile.enabled {
        return;
    }
    let (clock, jumps) = ClockWatch::new();
    tasks.start("the watch over the clock", clock.serve(tasks.stop.clone()));
    let slots = Arc::new(Semaphore::new(reconcile::PARALLEL_MAX));
    for deployments in reconcile::by_source(host.config.deployments.values()) {
        let spools = deployments.iter().map(|deployment| spools[&deployment.slug].clone()).collect();
        let source = Reconcile::new(host.clone(), deployments, spools, Arc::clone(&slots));
        let (stop, jumps) = (tasks.stop.clone(), jumps.clone());
        let store = host.store.clone();
        tasks.start("reconcile", async move {
            if migrated(&store, &stop).await {
                source.serve(jumps, stop).await;
            }
        });
    }
}

/// A worker's life: the schema is there, nobody else consumes the spool, what a crash left is put in order; then it works, if the
/// deployment is enabled.
async fn work(worker: Worker, wake: Arc<Notify>) {
    if !migrated(&worker.host.store, &worker.stop).await {
        return;
    }
    let _consumer = loop {
        match consume(&worker.spool) {
            Ok(lock) => break lock,
            Err(error) => tracing::warn!(error = format!("{error:#}"), "waiting"),
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

/// Keeps what GitHub says of itself up to date, if this process needs it: for who may call, or for whom ssh may talk to.
fn keep_github_meta(config: &Config, role: Role, tasks: &Tasks) -> meta::Known {
    let for_intake = role != Role::Work && config.intake.source_networks == SourceNetworks::GitHub;
    let host = config.github.host();
    let by_ssh = |url: &str| login::is_ssh(url) && login::is_on(url, &host);
    let for_ssh = config.deployments.values().any(|deployment| by_ssh(&deployment.clone_url));
    let keeper = meta::Keeper::open(config);
    let known = keeper.known();
    if for_intake || (role != Role::Listen && for_ssh) {
        tasks.start("the refresh of GitHub's networks", keeper.serve(tasks.stop.clone()));
    }
    known
}

/// Becomes a spool's only consumer, and puts back what a crash left claimed.
pub fn consume(spool: &Spool) -> Result<ConsumerLock> {
    let what = || format!("cannot recover the spool {}", spool.path().display());
    let lock = spool.consumer_lock().with_context(what)?;
    let lock = lock.with_context(|| format!("another process works on {}", spool.path().display()))?;
    lock.recover().with_context(what)?;
    Ok(lock)
}

/// Wakes whoever waits on it when something appears in the spool. Without inotify only the scan remains.
fn watched(spool: &Spool, parts: &mut Parts) -> Arc<Notify> {
    let wake = Arc::new(Notify::new());
    let notify = Arc::clone(&wake);
    match spool.watch(move || notify.notify_one()) {
        Ok(watch) => parts.watches.push(watch),
        Err(error) => tracing::warn!(%error, "cannot watch a spool: it is scanned every 30 s instead"),
    }
    wake
}

/// Brings the schema up, as soon as the database lets us. False: told to stop before that.
async fn migrated(store: &Store, stop: &CancellationToken) -> bool {
    let mut said = false;
    loop {
        // sqlx's migrator is not `Send`: it is waited for on a thread that may block.
        let (runtime, migrated) = (tokio::runtime::Handle::current(), store.clone());
        let attempt =
            tokio::task::spawn_blocking(move || runtime.block_on(migrated.migrate(clock::now_ms())));
        match attempt.await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) if !said => {
                tracing::error!(%error, "the database cannot be used yet: deliveries are accepted and wait");
                said = true;
            }
            _ => {}
        }
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(MIGRATE_PAUSE) => {}
        }
    }
}

async fn retention(host: Host, stop: CancellationToken) {
    loop {
        let before_ms =
            clock::now_ms() - i64::try_from(host.config.runs.keep.as_millis()).unwrap_or(i64::MAX / 2);
        match host.store.prune(before_ms).await {
            Ok(pruned) => tracing::debug!(?pruned, "removed old records"),
            Err(error) => tracing::warn!(%error, "cannot remove old records"),
        }
        if let Err(error) = run_log::prune(&host.logs(), before_ms) {
            tracing::warn!(%error, "cannot remove old run logs");
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

/// Starts listening and says where.
async fn start_intake(
    config: &Arc<Config>,
    main: Spool,
    github_meta: meta::Known,
    tasks: &Tasks,
) -> Result<PathBuf> {
    let listener: TcpListener = http::listen(&config.intake.host, config.intake.port).await?;
    let address = listener.local_addr()?;
    let networks = Networks::new(&config.intake.source_networks, github_meta);
    let webhook = Webhook::new(config, networks, main, Store::open(config.database_url.expose())?);
    tasks.start("the intake", http::serve(listener, Arc::new(webhook), tasks.stop.clone()));
    let file = config.state_directory.join(ADDRESS_FILE);
    let temporary = file.with_extension("new");
    fs_err::write(&temporary, format!("{address}\n"))?;
    fs_err::rename(&temporary, &file)?;
    tracing::info!("listening on http://{address}");
    Ok(file)
}

async fn wait_for_signal() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
