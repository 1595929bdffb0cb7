//! The connections: how many, how long each may take, and how they end.
//!
//! HTTP/1.1 only: in front of us stands nginx, which speaks it. Every wait has a limit: headers (which also bounds an
//! idle keep-alive connection) by hyper's timer, bodies in [`super::webhook`], connections by a semaphore
//! that leaves further callers in the kernel's backlog.

use super::webhook::Webhook;
use anyhow::{Context, Result};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long open requests may take once the service stops: longer than any healthy one, shorter than systemd's patience.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection that was accepted just before the service stops may take until its request has come: longer than a round trip
/// to GitHub. hyper would close it at once, and its caller was promised to be heard.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(2);

/// After a failed accept (out of file descriptors, most likely): long enough for some to come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on the configured host and port; `localhost` tries each of its addresses.
pub async fn listen(host: &str, port: u16) -> Result<TcpListener> {
    TcpListener::bind((host, port)).await.with_context(|| {
        format!("cannot listen on {host}, port {port} (is another durhack-deployer running? `listen.port` sets another)")
    })
}

/// Serves until the token is cancelled, then lets open requests finish.
pub async fn serve(listener: TcpListener, webhook: Arc<Webhook>, shutdown: CancellationToken) {
    let connections = Arc::new(Semaphore::new(webhook.settings().connections_max));
    let tracker = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        if let Some((stream, peer, permit)) = accepted {
            tracker.spawn(connection(stream, peer, permit, Arc::clone(&webhook), shutdown.clone()));
        }
    }
    drop(listener);
    tracker.close();
    if tokio::time::timeout(DRAIN_LIMIT, tracker.wait()).await.is_err() {
        tracing::warn!(open = tracker.len(), "closing connections whose requests did not end in time");
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.expect("the semaphore is never closed");
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
    webhook: Arc<Webhook>,
    shutdown: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let header_timeout = webhook.settings().header_timeout;
    let asked = CancellationToken::new();
    let has_asked = asked.clone();
    let service = service_fn(move |request| {
        has_asked.cancel();
        let webhook = Arc::clone(&webhook);
        async move { Ok::<_, std::convert::Infallible>(webhook.answer(peer, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = told_to_end(&shutdown, &asked) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "connection ended");
    }
    drop(permit);
}

/// Waits until a connection is to end after what it is doing: at the end of the service, but not before its first request.
async fn told_to_end(shutdown: &CancellationToken, asked: &CancellationToken) {
    shutdown.cancelled().await;
    let _ = tokio::time::timeout(FIRST_REQUEST_GRACE, asked.cancelled()).await;
}
