//! A real PostgreSQL server for one test: its own data directory, its own port, ended with the test.
//!
//! Where PostgreSQL is not installed, the test that wants it says so and is skipped, except under `CI=true`,
//! where that is a failure. As root, the server runs as the user `postgres`, since it refuses to run as root.

#![expect(
    clippy::disallowed_methods,
    reason = "tests start servers, ask whether they run in CI, and end where anything fails"
)]

use std::ops::Range;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below those that the kernel gives to whoever asks for any (`ip_local_port_range` begins at 32768): while a server is
/// stopped, a connection or a listener of another test cannot take its port.
const PORTS: Range<u32> = 12_000..32_000;

/// A running, or stopped, server. Dropping it ends it and removes its data.
pub struct Postgres {
    directory: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
}

impl Postgres {
    /// Makes an empty server and starts it; none where PostgreSQL is not installed and that is allowed.
    pub fn start() -> Option<Self> {
        let Some(programs) = find_programs() else {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "no PostgreSQL: apt-get install postgresql"
            );
            eprintln!("SKIPPED: no PostgreSQL here (apt-get install postgresql)");
            return None;
        };
        let directory = tempfile::tempdir().expect("the test-bed works");
        let mut server = Self { directory, programs, port: 0 };
        server.initialise();
        // Another server may have it.
        for _ in 0..5 {
            server.port = next_port();
            if server.try_start() {
                return Some(server);
            }
        }
        panic!("PostgreSQL does not start:\n{}", server.log());
    }

    /// Where to reach one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Where to reach one of its databases over its socket, which every user of the machine may connect to.
    pub fn socket_url(&self, user: &str, database: &str) -> String {
        let socket = self.directory.path();
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o711)).expect("the test-bed works");
        // A URL that names a user needs a host, which the socket takes the place of.
        let server = if user.is_empty() { String::new() } else { format!("{user}@localhost") };
        format!("postgres://{server}/{database}?host={}&port={}", socket.display(), self.port)
    }

    /// From now on these lines of `pg_hba.conf` say how users prove who they are.
    pub fn demand(&self, lines: &str) {
        std::fs::write(self.data().join("pg_hba.conf"), lines).expect("the test-bed works");
        assert!(self.control(&["reload"]), "PostgreSQL does not reload:\n{}", self.log());
    }

    /// Starts it again after [`Postgres::stop`], on the same port.
    pub fn start_again(&self) {
        assert!(self.try_start(), "PostgreSQL does not start again:\n{}", self.log());
    }

    /// Stops it as a crash would: at once, all connections broken.
    pub fn stop(&self) {
        assert!(
            self.control(&["-m", "immediate", "-w", "stop"]),
            "PostgreSQL does not stop:\n{}",
            self.log()
        );
    }

    /// Makes a database whose locale does not sort by bytes, as those of many servers do not.
    pub fn create_database(&self, name: &str) -> String {
        let statement = format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C.UTF-8'"
        );
        self.execute("postgres", &statement);
        self.url(name)
    }

    /// Has one of its databases execute SQL.
    pub fn execute(&self, database: &str, statement: &str) {
        let output = Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, &self.url(database)])
            .output()
            .expect("the test-bed works");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn initialise(&self) {
        if rustix::process::geteuid().is_root() {
            let passwd = std::fs::read_to_string("/etc/passwd").expect("the test-bed works");
            let postgres = passwd.lines().find(|line| line.starts_with("postgres:")).expect("user postgres");
            let ids: Vec<u32> = postgres
                .split(':')
                .skip(2)
                .take(2)
                .map(|id| id.parse().expect("numbers in /etc/passwd"))
                .collect();
            chown(self.directory.path(), Some(ids[0]), Some(ids[1])).expect("the test-bed works");
        }
        std::fs::set_permissions(self.directory.path(), std::fs::Permissions::from_mode(0o700))
            .expect("the test-bed works");
        let output = self
            .as_its_user("initdb")
            .arg("-D")
            .arg(self.data())
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync"])
            .output()
            .expect("the test-bed works");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn try_start(&self) -> bool {
        let socket = self.directory.path().display();
        let options = format!("-k {socket} -h 127.0.0.1 -p {} -c fsync=off -c max_connections=30", self.port);
        self.control(&["-w", "-o", &options, "start"])
    }

    fn control(&self, arguments: &[&str]) -> bool {
        self.as_its_user("pg_ctl")
            .arg("-D")
            .arg(self.data())
            .arg("-l")
            .arg(self.directory.path().join("log"))
            .args(arguments)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .expect("the test-bed works")
            .success()
    }

    fn as_its_user(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        // Ours may be a directory that the server's user cannot enter.
        command.current_dir("/");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // It may be stopped already.
        self.control(&["-m", "immediate", "-w", "stop"]);
    }
}

/// A port of this process's own, as far as processes have different numbers.
fn next_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let ports = PORTS.end - PORTS.start;
    // Ten servers in one process come before the first of the next.
    let place = (std::process::id() % ports * 10 + NEXT.fetch_add(1, Ordering::Relaxed)) % ports;
    u16::try_from(PORTS.start + place).expect("ports are below 65536")
}

/// The directory of PostgreSQL's programs: Debian's, the newest version, or else one in PATH.
fn find_programs() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, programs)| programs.join("initdb").exists())
        .collect();
    found.sort();
    if let Some((_, programs)) = found.pop() {
        return Some(programs);
    }
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .map(|directory| Path::new(directory).to_owned())
        .find(|directory| ["initdb", "pg_ctl", "psql"].iter().all(|program| directory.join(program).exists()))
}
