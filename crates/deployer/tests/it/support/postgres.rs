//! A real PostgreSQL of a test's own, on a free port of the loopback, with durable writes.

use super::process::{command, output, succeed};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

/// As whom it runs when the tests run as root, which PostgreSQL refuses to do.
const USER: &str = "postgres";

/// A running (or stopped) server; it ends with this value.
#[derive(Debug)]
pub struct Postgres {
    directory: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
}

impl Postgres {
    /// Makes a cluster and starts it.
    #[track_caller]
    pub fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("postgres-").tempdir().expect("a directory in /tmp");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("loopback has a free port").port();
        let postgres = Self { directory, programs: programs(), port };
        if rustix::process::geteuid().is_root() {
            let (user, group) = (id_of("-u"), id_of("-g"));
            chown(postgres.directory.path(), Some(user), Some(group))
                .expect("root may give a directory away");
        }
        succeed(
            postgres
                .program("initdb")
                .args(["-A", "trust", "-U", USER, "-N", "-E", "UTF8", "-D"])
                .arg(postgres.data()),
        );
        postgres.start_again();
        postgres
    }

    /// For `database_url`.
    pub fn url(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends it at once, as a crash of its machine would: open connections break.
    #[track_caller]
    pub fn stop(&self) {
        succeed(self.program("pg_ctl").args(["-w", "-m", "immediate", "-D"]).arg(self.data()).arg("stop"));
    }

    /// Starts it with what it had, on the same port.
    #[track_caller]
    pub fn start_again(&self) {
        let options = format!("-k {} -h 127.0.0.1 -p {}", self.directory.path().display(), self.port);
        let log = self.directory.path().join("log");
        let mut start = self.program("pg_ctl");
        start.args(["-w", "-o", &options, "-D"]).arg(self.data()).arg("-l").arg(log).arg("start");
        succeed(&mut start);
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = command("setpriv", self.directory.path());
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
            command
        } else {
            command(program, self.directory.path())
        };
        command.current_dir(self.directory.path());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A test may have stopped it already; then this says so and nothing is lost.
        output(self.program("pg_ctl").args(["-w", "-m", "immediate", "-D"]).arg(self.data()).arg("stop"));
    }
}

/// Where the newest installed version keeps its programs.
#[track_caller]
fn programs() -> PathBuf {
    let versions = fs_err::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found =
        versions.map(|entry| entry.path().join("bin")).filter(|path| path.join("initdb").exists()).max();
    found.expect("PostgreSQL is installed: `cargo xtask test` does that")
}

/// A number of the system's `postgres` user: `-u` or `-g`.
fn id_of(which: &str) -> u32 {
    succeed(command("id", Path::new("/")).args([which, USER])).parse().expect("id prints a number")
}

#[test]
fn keeps_what_it_had() {
    let postgres = Postgres::start();
    let query = |text: &str| output(command("psql", Path::new("/")).args([&postgres.url(), "-Atc", text]));
    assert!(query("create table kept (number int); insert into kept values (7)").status.success());
    postgres.stop();
    assert!(!query("select 1").status.success(), "it was stopped");
    postgres.start_again();
    assert_eq!(query("select number from kept").stdout, b"7\n");
}
