//! What systemd is told, where it has asked to be told (`Type=notify`): datagrams to the socket that it names; see sd_notify(3).
//!
//! Whoever does not listen is not waited for: a daemon serves whether its service manager hears of it or not.

use crate::base::clock;
use crate::steps::self_update::ThisProcess;
use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr};
use rustix::process::Pid;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// How long systemd may take to have read what it was sent.
const BARRIER_MAX: Duration = Duration::from_secs(5);

/// A service manager that wants to be told.
pub struct ServiceManager {
    socket: UnixDatagram,
    address: SocketAddrUnix,
    /// How long it waits for a sign of life; None: it wants none.
    pub watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Ours, if we have one. A replacement has the variables of the one before it, with that one's number, and is the main process by now.
    pub fn of(this_process: &ThisProcess, is_successor: bool) -> Option<Self> {
        let get = |name: &str| this_process.environment.get(name).filter(|value| !value.is_empty());
        let name = get("NOTIFY_SOCKET")?;
        let for_us = is_successor
            || get("WATCHDOG_PID").is_none_or(|pid| pid.parse::<u32>() == Ok(std::process::id()));
        let microseconds = get("WATCHDOG_USEC").and_then(|text| text.parse::<u64>().ok());
        let watchdog = microseconds.filter(|&microseconds| for_us && microseconds > 0);
        let address = match name.strip_prefix('@') {
            Some(abstract_name) => SocketAddrUnix::new_abstract_name(abstract_name.as_bytes()).ok()?,
            None => SocketAddrUnix::new(name.as_str()).ok()?,
        };
        let watchdog = watchdog.map(Duration::from_micros);
        Some(Self { socket: UnixDatagram::unbound().ok()?, address, watchdog })
    }

    /// We do our work; the status says more.
    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    /// We do our work as before; the status says more.
    pub fn status(&self, status: &str) {
        self.say(&format!("STATUS={status}"));
    }

    /// We read our configuration anew. [`ready`](Self::ready) says that we have.
    pub fn reloading(&self) {
        self.say(&format!(
            "RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reading the configuration anew",
            clock::monotonic_us()
        ));
    }

    /// A sign of life.
    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    /// We are about to end.
    pub fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=stopping: a run in progress may end");
    }

    fn say(&self, text: &str) {
        if let Err(error) = self.send(text, &mut SendAncillaryBuffer::default()) {
            tracing::warn!(error = format!("{error:#}"), "the service manager does not hear us");
        }
    }

    /// From now on `pid` is the unit's main process; when this returns, systemd knows. It believes only the main process, so the
    /// caller may not end before.
    pub async fn name_main_process(&self, pid: Pid) -> Result<()> {
        self.send(&format!("MAINPID={}", pid.as_raw_pid()), &mut SendAncillaryBuffer::default())?;
        let (read, written) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let descriptors = [written.as_fd()];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        // It closes its copy when it has come to this message, and so has read those before.
        self.send("BARRIER=1", &mut control)?;
        drop(written);
        let closed = tokio::task::spawn_blocking(move || {
            let limit = Timespec { tv_sec: BARRIER_MAX.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: 0 };
            poll(&mut [PollFd::new(&read, PollFlags::IN)], Some(&limit))
        });
        match closed.await?? {
            0 => Err(anyhow::anyhow!("systemd does not answer")),
            _ => Ok(()),
        }
    }

    fn send(&self, text: &str, control: &mut SendAncillaryBuffer<'_, '_, '_>) -> Result<()> {
        let sent = sendmsg_addr(
            &self.socket,
            &self.address,
            &[IoSlice::new(text.as_bytes())],
            control,
            SendFlags::NOSIGNAL,
        );
        sent.map(drop).context("cannot write to NOTIFY_SOCKET")
    }
}
