//! The connections: who gets one, how many there are, how long each may take, how much memory it holds, and how they end.
//!
//! HTTP/1.1 only: in front of us stands nginx, which speaks it. Every wait has a limit: heads (which also bounds an
//! idle keep-alive connection) by hyper's timer, bodies in [`super::webhook`], the whole of a request and its answer by
//! [`super::exchange`], connections by a semaphore that leaves further callers in the kernel's backlog, and by [`super::callers`], which
//! says who makes room to the first of them.

use super::callers::{CallerSlot, Callers, CountedBody};
use super::exchange::{Exchange, WatchedStream};
use super::webhook::Webhook;
use anyhow::{Context, Result};
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long open requests may take once the service stops: longer than any healthy one, shorter than systemd's patience.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection that was accepted just before the service stops may take until its request has come: longer than a round trip
/// to GitHub. hyper would close it at once, and its caller was promised to be heard.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(2);

/// After a failed accept (out of file descriptors, most likely): long enough for some to come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What hyper may hold of one connection, each for what comes and what goes: a head of GitHub's has 1.5 KiB, with what proxies
/// add three; the longest page has 10 KiB. Its own limit, 400 KiB, is 100 MiB for all connections.
const BUFFER_BYTES_MAX: usize = 16 * 1024;

/// Header lines of one request. GitHub sends 12, proxies add six.
const HEADERS_MAX: usize = 64;

/// What the kernel may hold of answers that a caller does not read. It counts as ours, and would grow to megabytes.
const SEND_BUFFER_BYTES: usize = 32 * 1024;

/// How long the taking of an answer may take beside the times of `[limits]`: our longest is a page of 10 KiB.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Requests on one connection; nginx keeps connections, and opens another without loss. So nobody keeps one for ever by asking
/// now and then.
const EXCHANGES_MAX: usize = 1000;

/// Connections from the daemon to itself: see [`serve`].
pub type Knocks = mpsc::Receiver<UnixStream>;

/// Listens on the configured host and port; `localhost` tries each of its addresses.
pub async fn listen(host: &str, port: u16) -> Result<TcpListener> {
    TcpListener::bind((host, port)).await.with_context(|| {
        format!("cannot listen on {host}, port {port} (is another durhack-deployer running? `listen.port` sets another)")
    })
}

/// Serves until the token is cancelled, then lets open requests finish.
///
/// `knocks` are connections by which the daemon asks itself whether it still answers. They come this way, and not through the
/// port, because the packaged intake can open no connection, and because whoever floods the port must not have it restarted.
pub async fn serve(
    listener: TcpListener,
    webhook: Arc<Webhook>,
    mut knocks: Knocks,
    shutdown: CancellationToken,
) {
    let settings = webhook.settings();
    let connections = Arc::new(Semaphore::new(settings.connections_max));
    let callers =
        Callers::new(&settings.proxies, settings.connections_max, settings.connections_per_address_max);
    let tracker = TaskTracker::new();
    // Accepted, and without a place yet.
    let mut next: Option<(TcpStream, SocketAddr, CallerSlot)> = None;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(stream) = knocks.recv() => {
                tracker.spawn(converse(stream, None, Arc::clone(&webhook), shutdown.clone()));
            }
            permit = room(&connections, &callers), if next.is_some() => {
                let Some((stream, peer, place)) = next.take() else { continue };
                let held = (permit, place);
                tracker.spawn(connection(stream, peer, held, Arc::clone(&webhook), shutdown.clone()));
            }
            accepted = listener.accept(), if next.is_none() => {
                let (stream, peer) = match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                };
                match webhook.place(&callers, peer.ip()) {
                    Ok(place) => next = Some((stream, peer, place)),
                    Err(reason) => {
                        if callers.may_complain() {
                            tracing::warn!(%peer, reason = reason.as_str(), "turned a caller away (said once a minute at most)");
                        }
                    }
                }
            }
        }
    }
    drop(listener);
    // It was accepted, so its caller may have sent its request: closing it unread would reset it.
    if let Some((stream, peer, place)) = next {
        let (connections, webhook) = (Arc::clone(&connections), Arc::clone(&webhook));
        let shutdown = shutdown.clone();
        tracker.spawn(async move {
            if let Ok(permit) = tokio::time::timeout(FIRST_REQUEST_GRACE, room(&connections, &callers)).await
            {
                connection(stream, peer, (permit, place), webhook, shutdown).await;
            }
        });
    }
    tracker.close();
    if tokio::time::timeout(DRAIN_LIMIT, tracker.wait()).await.is_err() {
        tracing::warn!(open = tracker.len(), "closing connections whose requests did not end in time");
    }
}

/// Waits for room for one more connection: somebody ends, or is superseded.
async fn room(connections: &Arc<Semaphore>, callers: &Callers) -> OwnedSemaphorePermit {
    if let Ok(permit) = Arc::clone(connections).try_acquire_owned() {
        return permit;
    }
    let ended = Arc::clone(connections).acquire_owned();
    tokio::pin!(ended);
    let permit = tokio::select! {
        permit = &mut ended => permit,
        () = callers.close_oldest() => {
            if callers.may_complain() {
                tracing::warn!(
                    "closed the oldest connection of a proxy that was waited for: all `limits.connections_max` are taken (said once a minute at most)"
                );
            }
            ended.await
        }
    };
    permit.expect("the semaphore is never closed")
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    (permit, place): (OwnedSemaphorePermit, CallerSlot),
    webhook: Arc<Webhook>,
    shutdown: CancellationToken,
) {
    // What the kernel refuses costs comfort, not safety.
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES);
    // A caller that has vanished, or whose window stays shut.
    let unacknowledged = u32::try_from(webhook.settings().exchange_limit().as_millis()).unwrap_or(u32::MAX);
    let _ = sockopt::set_tcp_user_timeout(&stream, unacknowledged);
    place.waits_for_peer();
    let place = Arc::new(place);
    let caller = Some((peer, Arc::clone(&place)));
    if let Some(stream) = converse(stream, caller, webhook, shutdown).await {
        // What it did not read is thrown away at once: else the kernel would go on offering it.
        let _ = sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
    }
    drop((permit, place));
}

/// Answers requests until the connection ends. Gives the stream back where it is to be cut off.
async fn converse<S>(
    stream: S,
    caller: Option<(SocketAddr, Arc<CallerSlot>)>,
    webhook: Arc<Webhook>,
    shutdown: CancellationToken,
) -> Option<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let settings = webhook.settings();
    let place = caller.as_ref().map(|(_, place)| Arc::clone(place));
    let header_timeout = settings.header_timeout;
    let peer = caller.as_ref().map(|(peer, _)| *peer);
    let exchange = Exchange::new(settings.exchange_limit());
    let asked = CancellationToken::new();
    let (has_asked, begun) = (asked.clone(), Arc::clone(&exchange));
    let requests = Arc::new(AtomicUsize::new(0));
    let service = service_fn(move |request: Request<Incoming>| {
        has_asked.cancel();
        begun.begin();
        let is_last = requests.fetch_add(1, Ordering::Relaxed) + 1 >= EXCHANGES_MAX;
        let (webhook, begun) = (Arc::clone(&webhook), Arc::clone(&begun));
        let turned_away =
            caller.as_ref().and_then(|(peer, place)| webhook.count(place, peer.ip(), request.headers()));
        let place = caller.as_ref().map(|(_, place)| Arc::clone(place));
        async move {
            let request = request.map(|body| CountedBody::new(body, place.clone()));
            let mut answer = match turned_away {
                Some(answer) => answer,
                None => webhook.answer(peer, request).await,
            };
            if let Some(place) = place {
                place.waits_for_peer();
            }
            if is_last {
                answer.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
            }
            begun.answered();
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let mut connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(BUFFER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(WatchedStream::new(stream, Arc::clone(&exchange))), service);
    let mut is_ending = false;
    let result = loop {
        tokio::select! {
            result = &mut connection => break result,
            () = exchange.overdue() => {
                tracing::debug!(?peer, "cut off: the request and its answer took too long");
                return Some(connection.into_parts().io.into_inner().into_inner());
            }
            () = gives_way(place.as_deref()) => {
                tracing::debug!(?peer, "cut off: a proxy would have sent its request, and taken the answer");
                return Some(connection.into_parts().io.into_inner().into_inner());
            }
            () = told_to_end(&shutdown, &asked), if !is_ending => {
                is_ending = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(?peer, %error, "connection ended");
    }
    None
}

async fn gives_way(place: Option<&CallerSlot>) {
    match place {
        Some(place) => place.gives_way().await,
        None => std::future::pending().await,
    }
}

/// Waits until a connection is to end after what it is doing: at the end of the service, but not before its first request.
async fn told_to_end(shutdown: &CancellationToken, asked: &CancellationToken) {
    shutdown.cancelled().await;
    let _ = tokio::time::timeout(FIRST_REQUEST_GRACE, asked.cancelled()).await;
}

impl crate::config::Intake {
    /// From the first byte of a request to the last of its answer.
    fn exchange_limit(&self) -> Duration {
        self.header_timeout + self.body_timeout + ANSWER_LIMIT
    }
}
