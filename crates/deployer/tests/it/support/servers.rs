//! Programs that a test runs beside the daemon, as a host would: nginx, uWSGI's emperor, a supervisor. Each ends with the test.

use super::configuration::text;
use super::process::command;
use super::wait;
use rustix::process::{Pid, Signal, kill_process};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// What `cargo xtask test` installs below, and where tests keep what they download.
pub fn testbed(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/testbed");
    fs_err::create_dir_all(&root).expect("target/ is ours");
    root.canonicalize().expect("it was just made").join(path)
}

/// A directory there in which tests keep what they download. It is there: a confined step cannot make it.
pub fn cache(name: &str) -> PathBuf {
    let directory = testbed(name);
    fs_err::create_dir_all(&directory).expect("target/ is ours");
    directory
}

/// The machine's certificate authorities: uv and npm trust their own lists, which a machine behind a proxy is not in.
pub const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// For the `environment` of a deployment whose steps download: `, HTTPS_PROXY = "..."` where this machine reaches registries by a proxy.
#[expect(clippy::disallowed_methods, reason = "what a test downloads goes the way of whoever runs it")]
pub fn way_out() -> String {
    let proxies = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let proxy = proxies.into_iter().find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()));
    proxy.map_or_else(String::new, |url| format!(", HTTPS_PROXY = {}", text(&url)))
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// A running program; dropping it ends it, and waits until it has gone.
#[derive(Debug)]
pub struct Server {
    child: Child,
    goodbye: Signal,
}

impl Server {
    /// Starts a program that ends in good order by this signal; what it prints goes to a file.
    #[track_caller]
    pub fn start(mut program: Command, goodbye: Signal, log: &Path) -> Self {
        let log = fs_err::File::options().create(true).append(true).open(log).expect("the world is writable");
        program.stdout(log.file().try_clone().expect("descriptors are left")).stderr(log.into_parts().0);
        let child = program
            .spawn()
            .unwrap_or_else(|error| panic!("{program:?}: {error}; `cargo xtask test` installs it"));
        Self { child, goodbye }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = kill_process(Pid::from_child(&self.child), self.goodbye).is_ok()
            && std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                wait::until("the server to end", || self.child.try_wait().ok()?);
            }))
            .is_ok();
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// nginx on a free port, with these `location`s.
#[derive(Debug)]
pub struct Nginx {
    pub address: String,
    _server: Server,
}

impl Nginx {
    #[track_caller]
    pub fn start(root: &Path, locations: &str) -> Self {
        let directory = root.join("nginx");
        fs_err::create_dir_all(&directory).expect("the world is writable");
        let address = format!("127.0.0.1:{}", free_port());
        let at = directory.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .concat();
        let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
        let text = format!(
            "daemon off;\n{user}pid {at}/pid;\nerror_log {at}/error.log;\nworker_processes 1;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; types {{ text/html html; text/javascript js; }}\n{temporary}\
             server {{ listen {address};\n{locations}\n}} }}\n"
        );
        let file = directory.join("nginx.conf");
        fs_err::write(&file, text).expect("the world is writable");
        let mut nginx = command("nginx", &directory);
        nginx.arg("-p").arg(&directory).arg("-c").arg(&file).arg("-e").arg(directory.join("error.log"));
        let server = Server::start(nginx, Signal::TERM, &directory.join("output.log"));
        wait::until("nginx to listen", || TcpStream::connect(&address).ok());
        Self { address, _server: server }
    }
}
