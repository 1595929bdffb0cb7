//! The daemon's end of a socket from which reports come: a supervisor process's control socket, or a spawner's.

use std::io;
use std::os::unix::net::UnixStream;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::protocol::{Report, STOP};

/// No report of ours is longer.
const REPORT_BYTES_MAX: usize = 64 * 1024;

/// See the module. Dropping it is the order to stop.
pub(crate) struct Conversation {
    socket: tokio::net::UnixStream,
    received: Vec<u8>,
}

impl Conversation {
    pub fn new(socket: tokio::net::UnixStream) -> Self {
        Self { socket, received: Vec::new() }
    }

    pub fn of(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::new(tokio::net::UnixStream::from_std(socket)?))
    }

    /// The next report; `None` where no sensible one will come. May be dropped while it waits without losing
    /// anything.
    pub async fn hear(&mut self) -> Option<Report> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Report::parse(str::from_utf8(&line[..end]).ok()?);
            }
            let count = self.socket.read_buf(&mut self.received).await.unwrap_or(0);
            if count == 0 || self.received.len() > REPORT_BYTES_MAX {
                return None;
            }
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await
    }

    pub async fn order_stop(&mut self) {
        // Where it fails the supervisor process is gone, and `hear` will say so.
        let _ = self.send(&[STOP]).await;
    }
}
