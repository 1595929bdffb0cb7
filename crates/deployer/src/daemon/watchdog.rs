//! Signs of life for systemd (`WatchdogSec=`): where they end, it ends us and starts us again.
//!
//! A sign is given only by a daemon that has just done what its work needs:
//!
//! 1. No part of it has crashed, its tasks are run, and there are threads for what blocks, without which no delivery could be written
//!    down.
//! 2. It gets descriptors and opens a file: a process whose limit was set to none (prlimit(2) needs no more than the same user) lives
//!    on and can do nothing.
//! 3. Its intake answers a request. It asks through a socket pair that is handed to those who accept ([`SelfProbe`]), not through the
//!    port: the packaged intake may open no connection, and whoever floods the port must not be able to have it restarted.
//! 4. Its pool of connections to the database is not stuck: it has given nothing several times in a row while the database
//!    answered somebody else.
//!
//! Deliberately no sign of GitHub, the database itself or a step: that those are away or slow is no reason to start again. Nor is a
//! directory that is away: that needs a person.

use super::listener::SelfProbe;
use super::service_manager::ServiceManager;
use crate::store::Store;
use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the daemon asks itself. HTTP/1.0: the connection ends with the answer.
const QUESTION: &[u8] = b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n";

/// With what the answer begins.
const ANSWER: [u8; 13] = *b"HTTP/1.0 200 ";

/// Looks at the pool of connections in a row that must find it stuck. A call of the database may take 12 s, and a burst of them more;
/// none takes a minute.
const STUCK_LOOKS: u32 = 4;

/// How long the database may take to answer a look.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// What is looked at; it may change while the daemon lives.
#[derive(Clone)]
pub struct Vitals {
    /// A directory that it writes to.
    pub directory: PathBuf,
    /// None where there is no intake.
    pub self_probe: Option<SelfProbe>,
    /// Whose pool is looked at; None where the work does not need it.
    pub store: Option<Arc<Mutex<Store>>>,
}

/// Gives signs of life, twice in each interval, until a part of the daemon has crashed or this is dropped.
pub async fn serve(
    service_manager: Arc<ServiceManager>,
    interval: Duration,
    vitals: Vitals,
    crashed: CancellationToken,
) {
    let is_stuck = Arc::new(AtomicBool::new(false));
    // Beside the signs: a database that is away takes its time to say nothing.
    let mut looks = JoinSet::new();
    if let Some(store) = vitals.store.clone() {
        looks.spawn(look_at_pool(store, interval / 2, Arc::clone(&is_stuck)));
    }
    let mut ticks = tokio::time::interval(interval / 2);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = crashed.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let works = match is_stuck.load(Ordering::Relaxed) {
            true => Err(anyhow::anyhow!("the connections to the database are stuck")),
            false => match tokio::time::timeout(interval / 2, works(&vitals)).await {
                Ok(works) => works,
                Err(_) => Err(anyhow::anyhow!("it takes too long")),
            },
        };
        match works {
            Ok(()) => service_manager.alive(),
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "no sign of life for systemd: the daemon cannot do its work"
                );
            }
        }
    }
}

async fn works(vitals: &Vitals) -> Result<()> {
    let directory = vitals.directory.clone();
    let opened = tokio::task::spawn_blocking(move || {
        rustix::fs::open(&directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    });
    match opened.await? {
        // What a new process would not meet.
        Err(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => {
            return Err(errno).context("no file can be opened");
        }
        Err(errno) => {
            tracing::warn!(error = %errno, directory = %vitals.directory.display(), "cannot be opened");
        }
        Ok(_) => {}
    }
    match vitals.self_probe.as_ref().and_then(SelfProbe::sender) {
        Some(sender) => answers(&sender).await,
        // Closed while another deployer is tried out.
        None => Ok(()),
    }
}

async fn answers(intake: &tokio::sync::mpsc::Sender<UnixStream>) -> Result<()> {
    let (mut ours, theirs) = UnixStream::pair().context("there is no descriptor for a connection")?;
    intake.send(theirs).await.context("nobody accepts connections")?;
    ours.write_all(QUESTION).await.context("the intake does not listen")?;
    let mut answer = [0; ANSWER.len()];
    ours.read_exact(&mut answer).await.context("the intake does not answer")?;
    if answer != ANSWER {
        bail!("the intake answers {:?}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

/// Looks at the pool for as long as it is not dropped.
async fn look_at_pool(store: Arc<Mutex<Store>>, pause: Duration, is_stuck: Arc<AtomicBool>) {
    let mut stuck = 0;
    loop {
        tokio::time::sleep(pause).await;
        let store = store.lock().expect("nothing that holds this lock can panic").clone();
        stuck = if store.is_stuck(LOOK_LIMIT).await { stuck + 1 } else { 0 };
        is_stuck.store(stuck >= STUCK_LOOKS, Ordering::Relaxed);
    }
}
