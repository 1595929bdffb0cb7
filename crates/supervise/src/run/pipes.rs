//! Standard output and standard error of the command, read as they come.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use crate::Stream;

/// As much as a pipe holds.
const READ_BYTES: usize = 64 * 1024;

pub(super) struct Pipes {
    out: Pipe,
    err: Pipe,
}

struct Pipe {
    /// `None` once it has ended.
    source: Option<Receiver>,
    buffer: Vec<u8>,
}

impl Pipes {
    /// With the ends that are written to: standard output, standard error.
    pub fn new() -> io::Result<(Self, OwnedFd, OwnedFd)> {
        let ((out, written), (err, written_too)) = (Pipe::new()?, Pipe::new()?);
        Ok((Self { out, err }, written, written_too))
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

impl Pipe {
    fn new() -> io::Result<(Self, OwnedFd)> {
        let (read, written) = pipe_with(PipeFlags::CLOEXEC)?;
        let source = Some(Receiver::from_owned_fd(read)?);
        Ok((Self { source, buffer: vec![0; READ_BYTES] }, written))
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
