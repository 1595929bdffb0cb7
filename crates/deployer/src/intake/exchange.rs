//! The time that one request and its answer may take, from its first byte to the last byte of the answer that the kernel has taken.
//!
//! Without such a limit a caller who asks and does not read keeps a connection for ever: hyper waits for the write, and its own timer
//! runs only while it reads a head. Here the stream itself notes when something begins ([`Exchange`]), and the connection's
//! task ends it when that has lasted too long. Between two exchanges hyper's timer for heads holds.
//!
//! Reading slowly is not excused by reading something: only an answer that was taken whole ends its exchange.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What is going on on one connection.
#[derive(Debug)]
pub struct Exchange {
    limit: Duration,
    state: Mutex<ExchangeState>,
}

#[derive(Debug, Clone, Copy)]
enum ExchangeState {
    /// Nothing of a request has come since the last answer was taken.
    Idle,
    /// It began then.
    Busy(Instant),
    /// It began then, and its answer is on its way.
    Answered(Instant),
}

impl Exchange {
    /// For a connection on which nothing has come yet.
    pub fn new(limit: Duration) -> Arc<Self> {
        Arc::new(Self { limit, state: Mutex::new(ExchangeState::Idle) })
    }

    /// Something of a request is there.
    pub fn begin(&self) {
        let mut state = self.state();
        if let ExchangeState::Idle = *state {
            *state = ExchangeState::Busy(Instant::now());
        }
    }

    /// The answer is known; it remains to be taken.
    pub fn answered(&self) {
        let mut state = self.state();
        if let ExchangeState::Busy(began) = *state {
            *state = ExchangeState::Answered(began);
        }
    }

    /// Everything that was written has been taken.
    fn flushed(&self) {
        let mut state = self.state();
        if let ExchangeState::Answered(_) = *state {
            *state = ExchangeState::Idle;
        }
    }

    /// Waits until an exchange has lasted too long.
    pub async fn overdue(&self) {
        loop {
            let now = Instant::now();
            match self.ends_at() {
                Some(ends_at) if ends_at <= now => return,
                Some(ends_at) => tokio::time::sleep_until(ends_at).await,
                // One that begins from now on ends later than this.
                None => tokio::time::sleep_until(now + self.limit).await,
            }
        }
    }

    /// Until when the exchange may last; None between two.
    fn ends_at(&self) -> Option<Instant> {
        match *self.state() {
            ExchangeState::Idle => None,
            ExchangeState::Busy(began) | ExchangeState::Answered(began) => Some(began + self.limit),
        }
    }

    fn state(&self) -> MutexGuard<'_, ExchangeState> {
        self.state.lock().expect("nothing that holds this lock can panic")
    }
}

/// A stream that tells its [`Exchange`] what passes.
#[derive(Debug)]
pub struct WatchedStream<S> {
    stream: S,
    exchange: Arc<Exchange>,
}

impl<S> WatchedStream<S> {
    /// Watches a stream.
    pub fn new(stream: S, exchange: Arc<Exchange>) -> Self {
        Self { stream, exchange }
    }

    /// The stream, which nobody watches any more.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.exchange.begin();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // hyper comes here only when nothing is left in its own buffer.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.exchange.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn an_exchange_ends_when_its_answer_was_taken_whole_and_not_before() {
        let (ours, mut theirs) = tokio::io::duplex(4);
        let exchange = Exchange::new(Duration::from_secs(3600));
        let mut ours = WatchedStream::new(ours, Arc::clone(&exchange));
        assert_eq!(exchange.ends_at(), None, "nothing has begun");

        theirs.write_all(b"ask").await.unwrap();
        ours.read_exact(&mut [0; 3]).await.unwrap();
        let ends_at = exchange.ends_at();
        assert!(ends_at.is_some(), "a request that never becomes whole");
        theirs.write_all(b"ask").await.unwrap();
        ours.read_exact(&mut [0; 3]).await.unwrap();
        assert_eq!(exchange.ends_at(), ends_at, "one byte now and then wins no time");

        ours.flush().await.unwrap();
        assert_eq!(exchange.ends_at(), ends_at, "an interim answer does not end it");
        exchange.answered();
        assert_eq!(exchange.ends_at(), ends_at, "nor does an answer that nobody reads");
        ours.write_all(b"yes").await.unwrap();
        ours.flush().await.unwrap();
        assert_eq!(exchange.ends_at(), None, "it was taken");
        exchange.begin();
        assert!(exchange.ends_at().is_some(), "one that was read ahead");
    }

    #[tokio::test]
    async fn what_lasts_too_long_is_overdue() {
        let exchange = Exchange::new(Duration::from_millis(1));
        exchange.begin();
        exchange.overdue().await;
    }
}
