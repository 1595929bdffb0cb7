//! A web server that serves what is live, so that a health check has something to ask and a test can see
//! what a visitor would.

use super::http::Request;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Serves the files under a link; answers 500 to everything while the release holds a file called `broken`.
#[derive(Debug)]
pub struct Site {
    address: String,
    ended: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Site {
    /// Serves `current` on a free port.
    pub fn serve(current: PathBuf) -> Self {
        Self::serve_at(current, "127.0.0.1:0")
    }

    /// The same at an address that was given up before.
    pub fn serve_at(current: PathBuf, address: &str) -> Self {
        let listener = TcpListener::bind(address).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let server = std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                // A client that went away is its own affair.
                let _ = answer(connection, &current);
            }
        });
        Self { address, ended, server: Some(server) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What a visitor of `/index.html` sees.
    #[track_caller]
    pub fn page(&self) -> String {
        let answer = Request::new("GET", "/index.html").send(&self.address);
        String::from_utf8_lossy(&answer.body).into_owned()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes it from its wait for a connection.
        let _ = TcpStream::connect(&self.address);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

fn answer(mut connection: TcpStream, current: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let request_line = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let file = request_line.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
    let (status, body) = if current.join("broken").exists() {
        ("500 Internal Server Error", b"broken".to_vec())
    } else {
        match fs_err::read(current.join(file)) {
            Ok(content) => ("200 OK", content),
            Err(_) => ("404 Not Found", Vec::new()),
        }
    };
    write!(connection, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    connection.write_all(&body)
}
