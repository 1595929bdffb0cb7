//! The composition root: what is built, in which order it starts, and in which order it ends.
//!
//! Start: state directory, locks, spools, record, workers, dispatch, report, and the intake last, so that what is accepted finds
//! everything else there; but nothing waits for the database, which may come later. End: the intake first, then dispatch, then
//! the workers (the run in progress may finish within `drain_timeout`, after which it is taken back and its entry stays), then
//! what is still to be told.

use crate::clock;
use crate::config::{Config, Environment};
use crate::deploy::execute::Executor;
use crate::deploy::worker::Worker;
use crate::deploy::{Host, lock};
use crate::github::GitHub;
use crate::intake::dispatch::Dispatch;
use crate::intake::networks::Networks;
use crate::intake::webhook::Webhook;
use crate::intake::http;
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

/// Between two attempts to bring the database's schema up while it is away.
const MIGRATE_PAUSE: Duration = Duration::from_secs(1);

/// How long a start waits for the locks of a daemon that has just died: a program that it was about to start holds them
/// from its fork to its exec.
const LOCKS_WAIT: Duration = Duration::from_secs(2);

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
    prepare_state_directory(&config.state_directory)?;
    let _locks = take_locks(&config.state_directory, role).await?;
    let main = open_spool(&config, "main")?;
    let (stop, abort, tracker) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
    let mut watches = Vec::new();

    let work_stop = CancellationToken::new();
    let _consumers = match role {
        Role::Listen => Vec::new(),
        Role::Serve | Role::Work => {
            let host = host(Arc::clone(&config), environment)?;
            start_work(host, main.clone(), &work_stop, &abort, &tracker, &mut watches)?
        }
    };
    let intake = match role {
        Role::Work => None,
        Role::Serve | Role::Listen => Some(start_intake(&config, main, &stop, &tracker).await?),
    };
    wait_for_signal().await?;
    tracing::info!("stopping");
    stop.cancel();
    if let Some(address_file) = intake {
        let _ = fs_err::remove_file(address_file);
    }
    work_stop.cancel();
    tracker.close();
    drain(&tracker, &abort, config.runs.drain_timeout).await;
    tracing::info!("stopped");
    Ok(())
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
    let slots = Arc::new(Semaphore::new(config.runs.parallel_max));
    Ok(Host { config, store, executor, slots, told: Arc::new(Notify::new()) })
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
    for directory in ["spool", "logs", "locks", "cancel"] {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path.join(directory)).with_context(|| {
            format!("cannot make the state directory {} (`state_directory` sets another)", path.display())
        })?;
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
        match tokio::time::timeout(LOCKS_WAIT, lock::acquire(&directory, name)).await {
            Ok(lock) => locks.push(lock?),
            Err(_) => bail!(
                "another durhack-deployer already does `{name}` for {}; stop it first, or set another `state_directory`",
                state_directory.display()
            ),
        }
    }
    Ok(locks)
}

/// Whether a daemon of this instance does the deployments. Holds the right to do so itself where there is none.
pub fn try_work_lock(state_directory: &Path) -> Result<Option<lock::Lock>> {
    lock::try_acquire(&state_directory.join("locks/daemon"), "work")
}

fn start_work(
    host: Host,
    main: Spool,
    stop: &CancellationToken,
    abort: &CancellationToken,
    tracker: &TaskTracker,
    watches: &mut Vec<spool::Watch>,
) -> Result<Vec<ConsumerLock>> {
    let mut consumers = Vec::new();
    let mut spools: IndexMap<Slug, Spool> = IndexMap::new();
    for slug in host.config.deployments.keys() {
        let spool = open_spool(&host.config, slug.as_str())?;
        consumers.push(consume(&spool)?);
        spools.insert(slug.clone(), spool);
    }
    consumers.push(consume(&main)?);
    let wake_dispatch = watched(&main, watches);
    let mut wakes = Vec::new();
    for spool in spools.values() {
        wakes.push(watched(spool, watches));
    }
    let (stop, abort, inner) = (stop.clone(), abort.clone(), tracker.clone());
    let github = GitHub::new(&host.config.github)?;
    tracker.spawn(async move {
        if !migrated(&host.store, &stop).await {
            return;
        }
        for ((slug, spool), wake) in spools.iter().zip(wakes) {
            let deployment = host.config.deployments[slug].clone();
            if !deployment.enabled {
                continue;
            }
            let worker = Worker { host: host.clone(), deployment, spool: spool.clone(), stop: stop.clone(), abort: abort.clone() };
            inner.spawn(worker.serve(wake));
        }
        if let Some(github) = github {
            inner.spawn(report::serve(host.store.clone(), github, Arc::clone(&host.told), stop.clone()));
        }
        inner.spawn(retention(host.clone(), stop.clone()));
        Dispatch { host, main, spools }.serve(wake_dispatch, stop).await;
    });
    Ok(consumers)
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
fn watched(spool: &Spool, watches: &mut Vec<spool::Watch>) -> Arc<Notify> {
    let wake = Arc::new(Notify::new());
    let notify = Arc::clone(&wake);
    match spool.watch(move || notify.notify_one()) {
        Ok(watch) => watches.push(watch),
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
        let attempt = tokio::task::spawn_blocking(move || runtime.block_on(migrated.migrate(clock::now_ms())));
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
        let before_ms = clock::now_ms() - i64::try_from(host.config.runs.keep.as_millis()).unwrap_or(i64::MAX / 2);
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
    }
}

/// Starts listening and says where.
async fn start_intake(
    config: &Arc<Config>,
    main: Spool,
    stop: &CancellationToken,
    tracker: &TaskTracker,
) -> Result<PathBuf> {
    let listener: TcpListener = http::listen(&config.intake.host, config.intake.port).await?;
    let address = listener.local_addr()?;
    let networks = Networks::load(&config.intake.source_networks, &config.state_directory);
    let webhook =
        Webhook::new(config.intake.clone(), networks, config.origin.clone(), config.instance.clone(), main);
    tracker.spawn(http::serve(listener, Arc::new(webhook), stop.clone()));
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
