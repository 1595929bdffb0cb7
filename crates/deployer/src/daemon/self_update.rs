//! The two ends of a self-update: the daemon that is to be succeeded, and its replacement.
//!
//! ```text
//!   old                                            new
//!    |  starts it; a socket pair is its standard input
//!    |-- "listener link" with the descriptors ------>|  takes the locks, brings the database's schema up, listens
//!    |<-------------------------------- "ready" -----|  ... or "refused: why"
//!    |  closes its door, asks the health checks (only the new one answers now), moves `current`,
//!    |  tells systemd who the main process is
//!    |-- "yours ..." ------------------------------->|  starts its workers: the first thing they do is to settle the run
//!    |  ends, or becomes the PID proxy
//! ```
//!
//! Until "yours" the replacement has answered deliveries, which are as safe in the spool as ours, and has done nothing else: it may be
//! ended at any time, and ends by itself when the socket closes. After it the old one has nothing any more that would have to
//! be given back. There is no moment in which both work, or in which nobody listens.

use crate::steps::self_update::Program;
use anyhow::{Context, Result, anyhow, bail};
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use rustix::process::Pid;
use std::ffi::OsString;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use supervise::Replacement;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

/// How long a replacement may take until it is ready: longer than the database's migrations may (two minutes).
const READY_MAX: Duration = Duration::from_secs(180);

/// How long one that will not do may take to end: it has open requests to answer.
const END_GRACE: Duration = Duration::from_secs(15);

/// No message of ours is longer.
const MESSAGE_BYTES_MAX: usize = 4096;

/// The flag by which a program knows that it is a replacement.
pub const TAKE_OVER: &str = "--take-over";

/// One end of the conversation.
struct Conversation {
    socket: tokio::net::UnixStream,
    received: Vec<u8>,
}

impl Conversation {
    fn new(socket: UnixStream) -> Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket: tokio::net::UnixStream::from_std(socket)?, received: Vec::new() })
    }

    async fn say(&mut self, line: &str) -> Result<()> {
        let line: String = line.chars().map(|c| if c == '\n' { ' ' } else { c }).collect();
        Ok(self.socket.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// The next line; None where the other is no more. May be dropped while it waits.
    async fn hear(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let count = self.socket.read_buf(&mut self.received).await.unwrap_or(0);
            if count == 0 || self.received.len() > MESSAGE_BYTES_MAX {
                return None;
            }
        }
    }
}

/// A replacement that has been started and is not in charge yet.
pub struct Candidate {
    process: Replacement,
    conversation: Conversation,
}

/// How a replacement notices that whoever stands in for it is no more.
pub struct Link(tokio::net::UnixStream);

/// How the old one is to end.
pub enum ExitMode {
    /// The service manager knows the replacement, or the PID proxy that we had does.
    Leave,
    /// Whoever supervises us knows only us.
    PidProxy(Pid, UnixStream),
}

impl Candidate {
    /// Starts the new program as a replacement of this one, which runs with these arguments.
    pub async fn start(
        program: &Program,
        role: &str,
        listener: Option<&TcpListener>,
        link: Option<&Link>,
    ) -> Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let arguments: [OsString; 4] =
            ["--config".into(), program.configuration.clone().into(), role.into(), TAKE_OVER.into()];
        let process = Replacement::start(&program.file, &arguments, &program.working_directory, theirs)
            .with_context(|| format!("cannot start {}", program.file.display()))?;
        let candidate = Self { process, conversation: Conversation::new(ours)? };
        if let Err(error) = candidate.give(listener, link) {
            candidate.dismiss().await;
            return Err(error);
        }
        Ok(candidate)
    }

    fn give(&self, listener: Option<&TcpListener>, link: Option<&Link>) -> Result<()> {
        let listener = listener.map(|listener| ("listener", listener.as_fd()));
        let link = link.map(|link| ("link", link.0.as_fd()));
        let (names, descriptors): (Vec<&str>, Vec<_>) = listener.into_iter().chain(link).unzip();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        let line = format!("{}\n", names.join(" "));
        let socket = self.conversation.socket.as_fd();
        sendmsg(socket, &[IoSlice::new(line.as_bytes())], &mut control, SendFlags::NOSIGNAL)
            .map(drop)
            .context("the new program does not listen to us")
    }

    /// Waits until it is ready. The error says why it will not be.
    pub async fn ready(&mut self, ends_at: Instant) -> Result<()> {
        let ends_at = ends_at.min(Instant::now() + READY_MAX);
        let (process, conversation) = (&mut self.process, &mut self.conversation);
        let said = tokio::select! {
            said = conversation.hear() => said,
            () = tokio::time::sleep_until(ends_at) => bail!("the new program was not ready in time"),
        };
        match said.as_deref() {
            Some("ready") => Ok(()),
            Some(said) => bail!("the new program says: {}", said.strip_prefix("refused: ").unwrap_or(said)),
            None => match tokio::time::timeout_at(ends_at, process.ended()).await {
                Ok(Ok(status)) => bail!("the new program ended before it was ready ({status})"),
                _ => bail!("the new program was not ready in time"),
            },
        }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Ends it: it will not be the replacement. All that it has done is in the spools.
    pub async fn dismiss(self) {
        let Self { mut process, conversation } = self;
        // A deployer hears this, and answers its open requests before it ends; TERM is for what is none.
        drop(conversation);
        match process.end(END_GRACE).await {
            Ok(status) => tracing::warn!(%status, "the new program was not taken"),
            Err(error) => tracing::error!(%error, "cannot see the new program's end"),
        }
    }

    /// Puts it in charge. `alone`: whoever supervises us knows it already.
    pub async fn put_in_charge(
        mut self,
        alone: bool,
        link: Option<&Link>,
    ) -> Result<ExitMode, (Self, anyhow::Error)> {
        let said = match (alone, link) {
            (true, _) => "yours alone",
            (false, Some(_)) => "yours linked",
            (false, None) => "yours here",
        };
        if let Err(error) = self.conversation.say(said).await {
            return Err((self, error.context("the new program ended when it was to take over")));
        }
        let pid = self.pid();
        if alone {
            return Ok(ExitMode::Leave);
        }
        let Some(link) = link else {
            let socket = self.conversation.socket.as_fd().try_clone_to_owned();
            return match socket {
                Ok(socket) => Ok(ExitMode::PidProxy(pid, socket.into())),
                Err(error) => Err((self, error.into())),
            };
        };
        link.name_replacement(pid);
        Ok(ExitMode::Leave)
    }
}

impl Link {
    /// Waits until the PID proxy is no more: whoever supervises it has given it up, and means us.
    pub async fn lost(&mut self) {
        // It never says anything: what can be read is the end.
        let _ = self.0.read_u8().await;
    }

    fn name_replacement(&self, pid: Pid) {
        let named = self.0.as_fd().try_clone_to_owned().map(UnixStream::from);
        if let Err(error) = named.and_then(|socket| supervise::name_replacement(&socket, pid)) {
            tracing::error!(%error, "the PID proxy cannot be told of the new deployer");
        }
    }
}

/// What a replacement is given, and the way to say that it is ready.
pub struct Handshake {
    conversation: Conversation,
    listener: Option<TcpListener>,
    link: Option<UnixStream>,
}

impl Handshake {
    /// Takes it from the standard input, which is empty afterwards.
    pub fn receive() -> Result<Self> {
        let what = "`--take-over` is for a deployer that deploys itself: start it without";
        let socket = UnixStream::from(rustix::stdio::stdin().try_clone_to_owned()?);
        rustix::stdio::dup2_stdin(fs_err::File::open("/dev/null")?.file())?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let received =
            recvmsg(&socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC);
        let count = received.context(what)?.bytes;
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        let line =
            str::from_utf8(&bytes[..count]).ok().and_then(|line| line.strip_suffix('\n')).context(what)?;
        let mut handshake = Self { conversation: Conversation::new(socket)?, listener: None, link: None };
        for (name, descriptor) in line.split_whitespace().zip(descriptors) {
            handshake.keep(name, descriptor);
        }
        Ok(handshake)
    }

    fn keep(&mut self, name: &str, descriptor: OwnedFd) {
        match name {
            "listener" => self.listener = Some(descriptor.into()),
            "link" => self.link = Some(descriptor.into()),
            // A later version's; not knowing it, we have no use for it.
            _ => {}
        }
    }

    /// The socket that listens.
    pub fn listener(&mut self) -> Option<TcpListener> {
        self.listener.take()
    }

    /// Says why we shall not be ready.
    pub async fn refuse(mut self, error: &anyhow::Error) {
        // Where nobody hears it, our exit code says as much.
        let _ = self.conversation.say(&format!("refused: {error:#}")).await;
    }

    /// Says that we are ready, and waits to be put in charge. An error: somebody else serves on.
    pub async fn take_charge(mut self) -> Result<Option<Link>> {
        self.conversation.say("ready").await.context("the deployer before us is no more")?;
        let link = match self.conversation.hear().await.as_deref() {
            Some("yours here") => Some(self.conversation.socket),
            Some("yours linked") => {
                let link = self.link.take().ok_or_else(|| anyhow!("there is no link to the PID proxy"))?;
                link.set_nonblocking(true)?;
                Some(tokio::net::UnixStream::from_std(link)?)
            }
            Some("yours alone") => None,
            _ => bail!("the deployer before us did not put us in charge"),
        };
        Ok(link.map(Link))
    }
}
