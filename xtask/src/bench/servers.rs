//! The two servers that are measured: the product as it is released, and Debian's `webhook`.

use super::machine::{self, Memory};
use crate::process::{command, find, root};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// Signs on both sides.
pub const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes-for-measuring";

/// The repository that is configured on both sides.
pub const REPOSITORY: &str = "acme/site";

/// Between two looks at a server that is starting or coming to rest.
const PAUSE: Duration = Duration::from_millis(50);

/// A minute of them.
const PAUSES_MAX: u32 = 1200;

/// A server that runs until this value ends.
#[derive(Debug)]
pub struct Server {
    pub name: &'static str,
    pub address: String,
    /// Where webhooks go.
    pub path: &'static str,
    /// The status of an accepted one.
    pub accepted: u16,
    process: Child,
    /// A spool that must be empty before the next measurement.
    spool: Option<PathBuf>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing that it should end in good order.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Memory once it has not changed for a while.
    pub fn idle_memory(&self) -> Result<Memory> {
        let mut last = machine::memory_of(self.process.id())?;
        let mut unchanged = 0;
        for _ in 0..PAUSES_MAX {
            std::thread::sleep(PAUSE);
            let now = machine::memory_of(self.process.id())?;
            unchanged = if now.rss == last.rss { unchanged + 1 } else { 0 };
            last = now;
            if unchanged == 40 {
                break;
            }
        }
        Ok(last)
    }

    /// Waits until what it has accepted is done with, so that one measurement does not pay for another.
    pub fn settle(&self) -> Result<()> {
        let Some(spool) = &self.spool else { return Ok(()) };
        wait(&format!("{} to work off its spool", self.name), || {
            Ok((entries(spool)? == 0 && entries(&spool.join("claimed"))? == 0).then_some(()))
        })
    }
}

fn entries(directory: &Path) -> Result<usize> {
    let list =
        std::fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    Ok(list.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "json")).count())
}

/// The product, released, with one deployment that the pushes do not concern: each is stored, judged, recorded.
pub fn ours(directory: &Path) -> Result<Server> {
    let state = directory.join("state");
    let upstream = directory.join("upstream.git");
    let configuration = Configuration { state: &state, clone_url: &upstream, path: &directory.join("site") };
    let process = serve(directory, &configuration.text())?;
    let server = Server {
        name: "durhack-deployer",
        address: listening(&state)?,
        path: "/github-webhook",
        accepted: 202,
        process,
        spool: Some(main_spool(&state)?),
    };
    Ok(server)
}

/// Writes the configuration and starts the daemon.
fn serve(directory: &Path, configuration: &str) -> Result<Child> {
    let layers = directory.join("config");
    std::fs::create_dir_all(&layers).with_context(|| format!("cannot make {}", layers.display()))?;
    let file = layers.join("default.toml");
    std::fs::write(&file, configuration).with_context(|| format!("cannot write {}", file.display()))?;
    let log = directory.join("log");
    let log = std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut daemon = product(directory, &["serve"]);
    daemon.stdout(log.try_clone().context("no descriptor left")?).stderr(log);
    daemon.spawn().context("cannot start the product")
}

/// The released binary with the configuration in `directory/config`.
pub fn product(directory: &Path, arguments: &[&str]) -> Command {
    let mut product = command(root().join("target/dist/durhack-deployer"));
    product.current_dir(directory).env("HOME", directory).env("DEPLOYER_INSTANCE", "bench");
    product.env_remove("DATABASE_URL").env_remove("DEPLOYER_ENV").env_remove("RUST_LOG");
    product.arg("--config").arg(directory.join("config")).args(arguments);
    product
}

/// What is configured: everything else is as delivered, but that only pushes count, and that nobody at GitHub hears of them.
pub struct Configuration<'a> {
    pub state: &'a Path,
    pub clone_url: &'a Path,
    pub path: &'a Path,
}

impl Configuration<'_> {
    pub fn text(&self) -> String {
        let quoted = |path: &Path| json!(path.to_string_lossy()).to_string();
        format!(
            "webhook_secret_token = \"{SECRET}\"\nsource_networks = \"any\"\nstate_directory = {}\n\
             listen.host = \"127.0.0.1\"\nlisten.port = 0\nreconcile.enabled = false\ngithub.use_gh = false\n\n[deployments.site]\nrepository = \"{REPOSITORY}\"\n\
             branch = \"main\"\nenabled = true\nrecipe = \"steps\"\nsteps = []\nclone_url = {}\npath = {}\n",
            quoted(self.state),
            json!(format!("file://{}", self.clone_url.display())),
            quoted(self.path),
        )
    }
}

/// Starts a daemon for deploys, which knows no load.
pub fn deploying(directory: &Path, configuration: &Configuration<'_>) -> Result<Server> {
    let process = serve(directory, &configuration.text())?;
    let address = listening(configuration.state)?;
    Ok(Server {
        name: "durhack-deployer",
        address,
        path: "/github-webhook",
        accepted: 202,
        process,
        spool: None,
    })
}

/// Where a daemon listens, as soon as it does.
fn listening(state: &Path) -> Result<String> {
    let file = state.join("intake/listen.address");
    wait("the product to listen", || {
        Ok(std::fs::read_to_string(&file)
            .ok()
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty()))
    })
}

/// The directory `main` that is a spool.
fn main_spool(state: &Path) -> Result<PathBuf> {
    let mut waiting = vec![state.to_owned()];
    while let Some(directory) = waiting.pop() {
        if directory.ends_with("main") && directory.join("claimed").is_dir() {
            return Ok(directory);
        }
        let list =
            std::fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))?;
        waiting.extend(list.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    bail!("there is no spool `main` in {}", state.display())
}

/// Debian's `webhook` with a rule that asks for the same signature, and runs `/bin/true`.
pub fn webhook(directory: &Path) -> Result<Server> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let hooks = json!([{
        "id": "github-webhook",
        "execute-command": "/bin/true",
        "http-methods": ["POST"],
        "trigger-rule": { "match": {
            "type": "payload-hmac-sha256",
            "secret": SECRET,
            "parameter": { "source": "header", "name": "X-Hub-Signature-256" },
        } },
    }]);
    let file = directory.join("hooks.json");
    std::fs::write(&file, hooks.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    let listener = TcpListener::bind("127.0.0.1:0").context("loopback has no free port")?;
    let port = listener.local_addr().context("a bound socket has an address")?.port();
    drop(listener);
    let program = find("webhook").context("webhook is not installed: `cargo xtask test --prepare-only`")?;
    let mut webhook = command(program);
    webhook.current_dir(directory).arg("-hooks").arg(&file).args([
        "-ip",
        "127.0.0.1",
        "-port",
        &port.to_string(),
    ]);
    webhook.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let process = webhook.spawn().context("cannot start webhook")?;
    let address = format!("127.0.0.1:{port}");
    let server = Server {
        name: "webhook",
        address,
        path: "/hooks/github-webhook",
        accepted: 200,
        process,
        spool: None,
    };
    wait("webhook to listen", || Ok(TcpStream::connect(&server.address).ok().map(drop)))?;
    Ok(server)
}

/// Asks until there is an answer, for a minute.
pub fn wait<T>(what: &str, mut question: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    for _ in 0..PAUSES_MAX {
        if let Some(answer) = question()? {
            return Ok(answer);
        }
        std::thread::sleep(PAUSE);
    }
    bail!("waited in vain for {what}")
}

#[cfg(test)]
mod tests {
    use super::super::http::{SignedPush, connect, push_body};
    use super::super::load::{Connections, Load, run};
    use super::*;

    /// The comparison is worth something only if `webhook` really checks the signature.
    #[test]
    fn webhook_takes_what_is_signed_and_nothing_else() {
        let directory = root().join(format!("target/bench-test-{}", std::process::id()));
        let server = webhook(&directory).expect("`cargo xtask test` installs it");
        for connections in [Connections::KeptAlive, Connections::NewForEach] {
            let load = Load { clients: 8, connections, body_bytes: 6_656, requests: 40 };
            let outcome = run(&server, &load).expect("every signed push is accepted");
            assert!(outcome.per_second > 0.0 && outcome.p50_ms <= outcome.p99_ms);
        }
        let forged = SignedPush::new(
            server.path,
            "another secret",
            push_body(REPOSITORY, "refs/heads/main", "0", 6_656),
            false,
        );
        let status = forged.send(&mut connect(&server.address).expect("it listens")).expect("it answers");
        std::fs::remove_dir_all(&directory).expect("it is ours");
        assert_ne!(status, server.accepted, "webhook accepted a forged push");
    }
}
