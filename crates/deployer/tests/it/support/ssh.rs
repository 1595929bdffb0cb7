//! A real sshd on the loopback, by which repositories are fetched with a deploy key.

use super::process::{command, succeed};
use super::wait;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;

/// Ends with its handle.
#[derive(Debug)]
pub struct SshServer {
    port: u16,
    directory: PathBuf,
    daemon: Child,
}

impl SshServer {
    /// Starts one that lets in whoever has the key [`SshServer::client_key`].
    pub fn start(root: &Path) -> Self {
        let directory = root.join("sshd");
        for directory in [directory.as_path(), Path::new("/run/sshd")] {
            fs_err::create_dir_all(directory).expect("writable");
        }
        for name in ["host", "client", "stranger"] {
            make_key(root, &directory.join(name));
        }
        let port =
            TcpListener::bind("127.0.0.1:0").expect("loopback has ports").local_addr().expect("bound").port();
        let shown = directory.display();
        let settings = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/client.pub\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        );
        fs_err::write(directory.join("config"), settings).expect("writable");
        let log = fs_err::File::create(directory.join("log")).expect("writable");
        let mut sshd = command("/usr/sbin/sshd", &root.join("home"));
        sshd.args(["-D", "-e", "-f"]).arg(directory.join("config")).stderr(log.into_parts().0);
        let daemon = sshd.spawn().unwrap_or_else(|error| panic!("no sshd: {error}; run `cargo xtask test`"));
        wait::until("sshd to listen", || TcpStream::connect(("127.0.0.1", port)).ok());
        Self { port, directory, daemon }
    }

    /// The address under which the server is reached by this name.
    pub fn url(&self, host: &str, path: &Path) -> String {
        format!("ssh://{}@{host}:{}{}", user(), self.port, path.display())
    }

    /// The private key that is let in.
    pub fn client_key(&self) -> PathBuf {
        self.directory.join("client")
    }

    /// A private key that is not.
    pub fn strangers_key(&self) -> PathBuf {
        self.directory.join("stranger")
    }

    /// The server's public key, `TYPE BASE64`.
    pub fn host_key(&self) -> String {
        public_key(&self.directory.join("host"))
    }

    /// A public key that is not the server's.
    pub fn other_host_key(&self) -> String {
        public_key(&self.directory.join("stranger"))
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn make_key(root: &Path, path: &Path) {
    let mut keygen = command("ssh-keygen", &root.join("home"));
    succeed(keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(path));
}

fn public_key(path: &Path) -> String {
    let text = fs_err::read_to_string(path.with_extension("pub")).expect("ssh-keygen wrote it");
    text.rsplit_once(' ').expect("it ends with a comment").0.to_owned()
}

/// Whoever runs the test: sshd lets in nobody else without being root, and root anybody.
fn user() -> String {
    succeed(command("id", Path::new("/")).arg("-un"))
}
