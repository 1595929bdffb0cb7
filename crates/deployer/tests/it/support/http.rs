//! HTTP/1.1 by hand, one request per connection: tests must be able to send what no client library would.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

/// No answer within this is a failure of the server's: longer than any of its own limits.
const READ_TIMEOUT: Duration = Duration::from_secs(90);

/// A request, byte for byte as it will be sent.
#[derive(Debug, Clone)]
pub struct Request {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    /// `GET /` and the like, with `Host` and `Connection: close`.
    pub fn new(method: &str, path: &str) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        Self { head: head.into_bytes(), body: Vec::new() }
    }

    /// The same request of another path.
    pub fn to(mut self, from: &str, to: &str) -> Self {
        let head = String::from_utf8(self.head).expect("a request is text");
        self.head = head.replacen(&format!(" {from} HTTP"), &format!(" {to} HTTP"), 1).into_bytes();
        self
    }

    /// One more header; the value may be any bytes.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.head.extend_from_slice(name.as_bytes());
        self.head.extend_from_slice(b": ");
        self.head.extend_from_slice(value.as_ref());
        self.head.extend_from_slice(b"\r\n");
        self
    }

    /// The body, with its `Content-Length`.
    pub fn body(self, body: &[u8]) -> Self {
        let mut request = self.header("Content-Length", body.len().to_string());
        request.body = body.to_vec();
        request
    }

    /// All that goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        [&self.head[..], b"\r\n", &self.body[..]].concat()
    }

    /// Sends it to a server that may die meanwhile.
    pub fn send_to_mortal(&self, address: &str) -> Option<Answer> {
        let mut connection = TcpStream::connect(address).ok()?;
        connection.set_read_timeout(Some(READ_TIMEOUT)).expect("a positive timeout is accepted");
        connection.write_all(&self.bytes()).ok()?;
        Answer::read(&mut connection)
    }

    /// Sends it and reads the answer.
    #[track_caller]
    pub fn send(&self, address: &str) -> Answer {
        let mut connection = connect(address);
        connection.write_all(&self.bytes()).expect("the server reads the request");
        Answer::read(&mut connection).expect("the server answers")
    }
}

/// A connection with a limit on every read.
#[track_caller]
pub fn connect(address: &str) -> TcpStream {
    let connection =
        TcpStream::connect(address).unwrap_or_else(|error| panic!("cannot reach {address}: {error}"));
    connection.set_read_timeout(Some(READ_TIMEOUT)).expect("a positive timeout is accepted");
    connection
}

/// A connection from one of this machine's addresses, as if it were another machine's; without any limit.
#[track_caller]
pub fn connect_from(source: Ipv4Addr, address: &str) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("descriptors are left");
    bind(&socket, &SocketAddrV4::new(source, 0)).expect("loopback has many addresses");
    let address: SocketAddr = address.parse().expect("an address");
    connect(&socket, &address).unwrap_or_else(|error| panic!("cannot reach {address}: {error}"));
    socket.into()
}

/// Whether the other side has ended a connection of which nothing is read: it takes no more bytes.
pub fn is_cut_off(mut connection: &TcpStream) -> bool {
    use std::io::ErrorKind::{Interrupted, WouldBlock};
    connection.set_nonblocking(true).expect("sockets can");
    match connection.write_all(b"x") {
        Ok(()) => false,
        Err(error) => !matches!(error.kind(), WouldBlock | Interrupted),
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case, in the order sent.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads up to the end of the connection. None where it ended without a whole head.
    pub fn read(connection: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        // A reset after the answer (the server refused to read on) does not make the answer less of one.
        let _ = connection.read_to_end(&mut bytes);
        let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let header = |line: &str| {
            line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let headers: Vec<_> = lines.filter_map(header).collect();
        Some(Self { status, headers, body: bytes[head_end + 4..].to_vec() })
    }

    /// The first header of this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON, which its `Content-Type` must say it is.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let content_type = self.header("content-type").unwrap_or_default();
        assert!(content_type.starts_with("application/json"), "not JSON: {self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
