//! Where deliveries come in: one listening socket, for as long as the daemon is there, and the tasks that accept from it, which may be ended and
//! started again. Whoever knocks while they are ended waits in the kernel's backlog.

use super::Tasks;
use crate::deploy::Host;
use crate::github::meta;
use crate::intake::http;
use crate::intake::networks::Networks;
use crate::intake::webhook::Webhook;
use crate::record::store::Store;
use anyhow::Result;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The file in the state directory that says where the intake listens. It lies in the one directory, beside the spool, that a `listen` by
/// itself may write to.
pub const ADDRESS_FILE: &str = "intake/listen.address";

/// See the module.
pub struct Door {
    pub listener: TcpListener,
    address_file: PathBuf,
    webhook: Arc<Webhook>,
    /// None while it is closed.
    tasks: Option<Tasks>,
}

impl Door {
    /// Listens, on the socket of the daemon before us where there is one. Nothing is accepted yet.
    pub async fn new(host: &Host, github: meta::Known, inherited: Option<TcpListener>) -> Result<Self> {
        let config = &host.config;
        let listener = match inherited {
            Some(listener) => listener,
            None => http::listen(&config.intake.host, config.intake.port).await?.into_std()?,
        };
        let networks = Networks::new(&config.intake.source_networks, github);
        let main = super::open_spool(config, "main")?;
        let webhook = Webhook::new(config, networks, main, Store::open(config.database_url.expose())?);
        let address_file = config.state_directory.join(ADDRESS_FILE);
        Ok(Self { listener, address_file, webhook: Arc::new(webhook), tasks: None })
    }

    /// Accepts from now on, and says where. Nothing changes where it is open.
    pub fn open(&mut self, crashed: &CancellationToken) -> Result<()> {
        if self.tasks.is_some() {
            return Ok(());
        }
        let address = self.listener.local_addr()?;
        self.listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(self.listener.try_clone()?)?;
        let tasks = Tasks::new(crashed);
        tasks.start("the intake", http::serve(listener, Arc::clone(&self.webhook), tasks.stop.clone()));
        self.tasks = Some(tasks);
        let temporary = self.address_file.with_extension("new");
        fs_err::write(&temporary, format!("{address}\n"))?;
        fs_err::rename(&temporary, &self.address_file)?;
        tracing::info!("listening on http://{address}");
        Ok(())
    }

    /// Accepts nobody any more, and waits until open requests are answered.
    pub async fn close(&mut self) {
        if let Some(tasks) = self.tasks.take() {
            tasks.stop.cancel();
            tasks.tracker.close();
            tasks.tracker.wait().await;
        }
    }

    /// Stops listening for good. What remains are the open requests.
    pub fn leave(self) -> Option<Tasks> {
        let _ = fs_err::remove_file(&self.address_file);
        if let Some(tasks) = &self.tasks {
            tasks.stop.cancel();
            tasks.tracker.close();
        }
        self.tasks
    }
}
