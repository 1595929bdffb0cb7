//! Where deliveries come in: one listening socket, for as long as the daemon is there, and the tasks that accept from it, which may be ended and
//! started again. Whoever knocks while they are ended waits in the kernel's backlog.

use super::tasks::Tasks;
use crate::github::meta;
use crate::intake::http;
use crate::intake::networks::Networks;
use crate::intake::webhook::Webhook;
use crate::pipeline::context::Host;
use anyhow::Result;
use spool::Spool;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The file in the state directory that says where the intake listens. It lies in the one directory, beside the spool, that a `listen` by
/// itself may write to.
pub const ADDRESS_FILE: &str = "intake/listen.address";

/// By which the daemon asks its own intake something, as a caller would. See [`http::serve`].
#[derive(Clone, Default)]
pub struct SelfProbe(Arc<Mutex<Option<mpsc::Sender<UnixStream>>>>);

impl SelfProbe {
    /// To whoever accepts at present; None where nobody does, because the door is closed.
    pub fn sender(&self) -> Option<mpsc::Sender<UnixStream>> {
        self.0.lock().expect("nothing that holds this lock can panic").clone()
    }

    fn probe(&self, sender: Option<mpsc::Sender<UnixStream>>) {
        *self.0.lock().expect("nothing that holds this lock can panic") = sender;
    }
}

pub struct IntakeListener {
    pub listener: TcpListener,
    pub listening: Listening,
    pub self_probe: SelfProbe,
    address_file: PathBuf,
    spool: Spool,
    webhook: Arc<Webhook>,
    /// None while it is closed.
    tasks: Option<Tasks>,
    /// Those of before a change, which still answer.
    leaving: Vec<Tasks>,
}

/// Whose socket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listening {
    /// Ours, opened where the configuration says, or inherited from the deployer before us.
    Own,
    /// The service manager's, which keeps it.
    Passed,
}

/// A socket that is there already.
pub struct Given {
    pub listener: TcpListener,
    pub listening: Listening,
}

impl IntakeListener {
    /// Listens, on the socket that is given where one is. Nothing is accepted yet.
    pub async fn new(host: &Host, github: meta::KnownMeta, given: Option<Given>) -> Result<Self> {
        let config = &host.config;
        let Given { listener, listening } = match given {
            Some(given) => given,
            None => {
                let listener = http::listen(&config.intake.host, config.intake.port).await?.into_std()?;
                Given { listener, listening: Listening::Own }
            }
        };
        let spool = super::open_spool(config, "main")?;
        let webhook = webhook(host, github, &spool);
        let address_file = config.state_directory.join(ADDRESS_FILE);
        let self_probe = SelfProbe::default();
        Ok(Self {
            listener,
            listening,
            self_probe,
            address_file,
            spool,
            webhook,
            tasks: None,
            leaving: Vec::new(),
        })
    }

    /// Whoever comes from now on is answered by this host, and on this socket if one is given; who is being answered is answered as before.
    pub fn change(
        &mut self,
        host: &Host,
        github: meta::KnownMeta,
        listener: Option<TcpListener>,
        crashed: &CancellationToken,
    ) -> Result<()> {
        let webhook = webhook(host, github, &self.spool);
        let listener = listener.map_or_else(|| self.listener.try_clone(), Ok)?;
        self.leaving.retain(|tasks| !tasks.tracker.is_empty());
        if let Some(before) = &self.tasks {
            // First the new, then the old: there is always somebody who accepts.
            self.say_where(&listener)?;
            let tasks = accept(&listener, &webhook, &self.self_probe, crashed)?;
            before.stop.cancel();
            before.tracker.close();
            self.leaving.extend(self.tasks.replace(tasks));
        }
        (self.webhook, self.listener) = (webhook, listener);
        Ok(())
    }

    /// Accepts from now on, and says where. Nothing changes where it is open.
    pub fn open(&mut self, crashed: &CancellationToken) -> Result<()> {
        if self.tasks.is_some() {
            return Ok(());
        }
        self.tasks = Some(accept(&self.listener, &self.webhook, &self.self_probe, crashed)?);
        self.say_where(&self.listener)
    }

    /// For commands of this host, which can be told by hand where it listens: a full disk keeps nobody from listening.
    fn say_where(&self, listener: &TcpListener) -> Result<()> {
        let address = listener.local_addr()?;
        let text = format!("{address}\n");
        let temporary = self.address_file.with_extension("new");
        if !fs_err::read_to_string(&self.address_file).is_ok_and(|found| found == text) {
            let written = fs_err::write(&temporary, text);
            if let Err(error) = written.and_then(|()| fs_err::rename(&temporary, &self.address_file)) {
                tracing::warn!(%error, "cannot write down where the intake listens: name it with --url where a command asks for it");
            }
        }
        tracing::info!("listening on http://{address}");
        Ok(())
    }

    /// Accepts nobody any more, and waits until open requests are answered.
    pub async fn close(&mut self) {
        self.self_probe.probe(None);
        self.leaving.extend(self.tasks.take());
        for tasks in self.leaving.drain(..) {
            tasks.stop.cancel();
            tasks.tracker.close();
            tasks.tracker.wait().await;
        }
    }

    /// Stops listening for good. What remains are the open requests.
    pub fn leave(mut self) -> Vec<Tasks> {
        let _ = fs_err::remove_file(&self.address_file);
        self.self_probe.probe(None);
        self.leaving.extend(self.tasks.take());
        for tasks in &self.leaving {
            tasks.stop.cancel();
            tasks.tracker.close();
        }
        self.leaving
    }
}

fn accept(
    listener: &TcpListener,
    webhook: &Arc<Webhook>,
    self_probe: &SelfProbe,
    crashed: &CancellationToken,
) -> Result<Tasks> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
    let tasks = Tasks::new(crashed);
    let (sender, knocks) = mpsc::channel(1);
    tasks.start("the intake", http::serve(listener, Arc::clone(webhook), knocks, tasks.stop.clone()));
    self_probe.probe(Some(sender));
    Ok(tasks)
}

/// The spool stays the same: it knows which deliveries it has.
fn webhook(host: &Host, github: meta::KnownMeta, spool: &Spool) -> Arc<Webhook> {
    let config = &host.config;
    let networks = Networks::new(&config.intake.source_networks, github.clone());
    let page_networks = Networks::new(&config.intake.page_networks, github);
    Arc::new(Webhook::new(config, networks, page_networks, spool.clone(), host.store.clone()))
}
