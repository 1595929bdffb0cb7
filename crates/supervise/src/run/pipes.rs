//! Standard output and standard error of the command, read as they come.

use std::future::pending;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};

use crate::Stream;

/// As much as a pipe holds.
const READ_BYTES: usize = 64 * 1024;

/// See the module.
pub(super) struct Pipes {
    out: Pipe<ChildStdout>,
    err: Pipe<ChildStderr>,
}

struct Pipe<Source> {
    /// `None` once it has ended.
    source: Option<Source>,
    buffer: Vec<u8>,
}

impl Pipes {
    pub fn new(out: Option<ChildStdout>, err: Option<ChildStderr>) -> Self {
        Self { out: Pipe::new(out), err: Pipe::new(err) }
    }

    /// What was written next to one of them; `None` when both have ended. May be dropped while it waits
    /// without losing anything.
    pub async fn read(&mut self) -> Option<(Stream, &[u8])> {
        loop {
            if self.out.source.is_none() && self.err.source.is_none() {
                return None;
            }
            let (stream, count) = tokio::select! {
                count = self.out.fill() => (Stream::Out, count),
                count = self.err.fill() => (Stream::Err, count),
            };
            match (stream, count) {
                (Stream::Out, 0) => self.out.source = None,
                (Stream::Err, 0) => self.err.source = None,
                (Stream::Out, _) => return Some((stream, &self.out.buffer[..count])),
                (Stream::Err, _) => return Some((stream, &self.err.buffer[..count])),
            }
        }
    }
}

impl<Source: AsyncRead + Unpin> Pipe<Source> {
    fn new(source: Option<Source>) -> Self {
        Self { source, buffer: vec![0; READ_BYTES] }
    }

    /// How many bytes have come; 0 at the end. Waits for ever where the end was already seen.
    async fn fill(&mut self) -> usize {
        match &mut self.source {
            // A pipe that cannot be read will not become readable again.
            Some(source) => source.read(&mut self.buffer).await.unwrap_or(0),
            None => pending().await,
        }
    }
}
