//! What a spawner is asked, and how that crosses the socket: the key and a length of four bytes, with the descriptors; then words, each
//! followed by a zero byte. No path, argument or variable of a process can have one in it.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::time::timeout;

use super::address::{self, KEY_BYTES, Spawner};
use crate::run::Conversation;

/// The system gives a process no more than 2 MiB of arguments and environment, if nobody has raised that.
const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// For sending a request, and for the service manager to start the spawner before that.
const SEND_MAX: Duration = Duration::from_secs(30);

/// What comes first: key and length.
const HEAD_BYTES: usize = KEY_BYTES + 4;

/// For the first bytes: who cannot show the key holds a spawner's thread for no longer.
const KEY_MAX: Duration = Duration::from_secs(1);

/// A spawner's part of it: who connects sends at once.
const RECEIVE_MAX: Duration = Duration::from_secs(10);

/// With a number, for spawner and caller may be of different versions.
const START: &[u8] = b"start-1";
const KILL_MARKED: &[u8] = b"kill-marked-1";

/// The supervisor process's program, its control socket, standard output, standard error.
pub(crate) type Descriptors = [OwnedFd; 4];

#[derive(Debug)]
pub(crate) enum Request {
    /// Start a supervisor, and tell when it has ended.
    Start(Start, Descriptors),
    /// Kill whom [`crate::kill_marked`] kills.
    KillMarked { variable: String, value: String },
}

/// A supervisor process to be started.
#[derive(Debug, PartialEq)]
pub(crate) struct Start {
    pub directory: OsString,
    pub arguments: Vec<OsString>,
    pub variables: Vec<(OsString, OsString)>,
}

impl Request {
    /// Sends it to this spawner; what comes back are reports.
    pub async fn send(self, spawner: &Spawner) -> io::Result<Conversation> {
        let sent = timeout(SEND_MAX, self.send_at_leisure(spawner)).await;
        sent.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "nobody took the request")))
    }

    async fn send_at_leisure(self, spawner: &Spawner) -> io::Result<Conversation> {
        let mut socket = tokio::net::UnixStream::connect(&spawner.socket).await?;
        let key = address::checked(&spawner.key).ok_or_else(no_key)?;
        let (words, descriptors) = self.into_words();
        let bytes: Vec<u8> =
            words.iter().flat_map(|word| word.as_bytes().iter().chain(&[0])).copied().collect();
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length as usize <= REQUEST_BYTES_MAX);
        let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::ArgumentListTooLong))?.to_be_bytes();
        let head = [key.as_bytes(), &length].concat();
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !borrowed.is_empty() {
                ancillary.push(SendAncillaryMessage::ScmRights(&borrowed));
            }
            Ok(sendmsg(&socket, &[IoSlice::new(&head)], &mut ancillary, SendFlags::NOSIGNAL)?)
        };
        // So few bytes are sent whole or not at all.
        socket.async_io(Interest::WRITABLE, send).await?;
        match socket.write_all(&bytes).await {
            // It did not listen to the end, and what it has answered says why.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {}
            written => written?,
        }
        Ok(Conversation::new(socket))
    }

    /// The spawner's end of it. Who does not show the key is not listened to.
    pub fn receive(connection: &UnixStream, key: &str) -> io::Result<Self> {
        connection.set_read_timeout(Some(KEY_MAX))?;
        let mut head = [0; HEAD_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(connection, &mut [IoSliceMut::new(&mut head)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let mut descriptors: Vec<OwnedFd> = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(sent) = message {
                descriptors.extend(sent);
            }
        }
        let (shown, length) = head.split_at(KEY_BYTES);
        if received.bytes != HEAD_BYTES || !address::is_right(shown, key) {
            return Err(wrong_key(key));
        }
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        if length > REQUEST_BYTES_MAX {
            return Err(nonsense());
        }
        connection.set_read_timeout(Some(RECEIVE_MAX))?;
        let mut bytes = vec![0; length];
        let mut source = connection;
        source.read_exact(&mut bytes)?;
        Self::parse(&bytes, descriptors).ok_or_else(nonsense)
    }

    fn into_words(self) -> (Vec<OsString>, Vec<OwnedFd>) {
        match self {
            Self::Start(start, descriptors) => (start.into_words(), descriptors.into()),
            Self::KillMarked { variable, value } => {
                (vec![OsStr::from_bytes(KILL_MARKED).into(), variable.into(), value.into()], Vec::new())
            }
        }
    }

    fn parse(bytes: &[u8], descriptors: Vec<OwnedFd>) -> Option<Self> {
        let mut words = bytes.strip_suffix(&[0])?.split(|byte| *byte == 0);
        let text = |word: Option<&[u8]>| Some(str::from_utf8(word?).ok()?.to_owned());
        match words.next()? {
            START => Some(Self::Start(Start::parse(words)?, descriptors.try_into().ok()?)),
            KILL_MARKED => {
                let (variable, value) = (text(words.next())?, text(words.next())?);
                (words.next().is_none() && !variable.is_empty())
                    .then_some(Self::KillMarked { variable, value })
            }
            _ => None,
        }
    }
}

impl Start {
    fn into_words(self) -> Vec<OsString> {
        let mut words = vec![
            OsStr::from_bytes(START).to_owned(),
            self.directory,
            self.arguments.len().to_string().into(),
        ];
        words.extend(self.arguments);
        words.extend(self.variables.into_iter().map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name
        }));
        words
    }

    fn parse<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let owned = |word: &[u8]| OsString::from_vec(word.to_vec());
        let directory = owned(words.next()?);
        let count: usize = str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let arguments: Vec<OsString> = words.by_ref().take(count).map(owned).collect();
        let variable = |word: &[u8]| {
            // The first may begin with it: a shell's own variables do.
            let name = word.iter().skip(1).position(|byte| *byte == b'=')? + 1;
            Some((owned(&word[..name]), owned(&word[name + 1..])))
        };
        let variables = words.map(variable).collect::<Option<_>>()?;
        (arguments.len() == count).then_some(Self { directory, arguments, variables })
    }
}

fn no_key() -> io::Error {
    let text = "only durhack-deployer-worker.service has the key by which it is asked: is it running? `durhack-deployer setup`, as root, makes the key";
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

fn wrong_key(key: &str) -> io::Error {
    let text = match key {
        "" => "the unit of this user's steps has no key; `durhack-deployer setup`, as root, makes one",
        _ => {
            "the key is not the one of this user's steps; `durhack-deployer setup`, as root, puts that right"
        }
    };
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "this is not a request of ours")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(words: &[&str]) -> Vec<u8> {
        words.iter().flat_map(|word| word.bytes().chain([0])).collect()
    }

    fn descriptors(count: usize) -> Vec<OwnedFd> {
        (0..count).map(|_| std::fs::File::open("/dev/null").unwrap().into()).collect()
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let start = || Start {
            directory: "/srv/a b".into(),
            arguments: ["", "start", "a=b", "\n"].map(OsString::from).into(),
            variables: vec![("A".into(), "=1=".into()), ("=x".into(), "".into())],
        };
        let words = start().into_words();
        let written: Vec<u8> =
            words.iter().flat_map(|word| word.as_bytes().iter().chain(&[0])).copied().collect();
        match Request::parse(&written, descriptors(4)) {
            Some(Request::Start(read, _)) => assert_eq!(read, start()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for (words, count) in [
            (&[][..], 0),
            (&[""], 0),
            (&["start", "/", "0"], 4),
            (&["start-1", "/", "0"], 3),
            (&["start-1", "/", "1"], 4),
            (&["start-1", "/", "-1"], 4),
            (&["start-1", "/", "0", "NAME"], 4),
            (&["start-1", "/"], 4),
            (&["kill-marked-1", "A"], 0),
            (&["kill-marked-1", "", "x"], 0),
            (&["kill-marked-1", "A", "x", "y"], 0),
        ] {
            assert!(Request::parse(&bytes(words), descriptors(count)).is_none(), "{words:?}");
        }
        assert!(Request::parse(b"kill-marked-1\0A\0x", Vec::new()).is_none(), "no zero byte at its end");
    }
}
