//! `demo`: the whole way of a push, with nothing to configure.
//!
//! In a directory of its own: a git repository with a small web site, a configuration, the real daemon on a free port. Three pushes
//! are sent to it as GitHub would send them: one that goes live, one that replaces it, and one whose build is broken. The
//! site is served by a small file server of the demonstration's own, standing where nginx would. Nothing else is
//! simulated, except that no GitHub is called.

use super::{DemoArguments, follow, simulate};
use crate::base::names::{CommitId, Slug};
use crate::config::{self, Environment};
use crate::daemon::{self, ADDRESS_FILE};
use crate::pipeline::context::Host;
use crate::plan::recipes::REFERENCE;
use crate::process::tools::Invocation;
use crate::store::{Run, RunState};
use crate::terminal::failed::Failed;
use crate::terminal::style::{BOLD, DIM, GREEN, RED};
use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the demonstration waits for any one thing: many times what it takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The deployment's name.
const SLUG: &str = "website";

const BUILD: &str = "#!/bin/sh
# Fills the page's template in: a small replacement for a site generator.
set -e
mkdir -p public
echo \"building commit $DEPLOYER_COMMIT\"
sed \"s/COMMIT/$(echo \"$DEPLOYER_COMMIT\" | cut -c1-7)/\" page.html > public/index.html
echo \"wrote public/index.html\"
";

const BROKEN_BUILD: &str = "#!/bin/sh
echo \"building commit $DEPLOYER_COMMIT\"
echo \"error: page.html:3: tag <h1> is never closed\" >&2
exit 1
";

/// Where everything of the demonstration lies.
struct DemoHost {
    root: PathBuf,
    host: Host,
    site: String,
    daemon: String,
}

pub async fn run(arguments: &DemoArguments, environment: &Environment) -> Result<(), Failed> {
    let root = tempfile::Builder::new()
        .prefix("durhack-deployer-demo-")
        .tempdir()
        .context("cannot make a directory")?;
    let root = root.keep();
    let tracker = TaskTracker::new();
    let stop = CancellationToken::new();
    let acts = async {
        let stage = prepare(&root, environment, &tracker, &stop).await?;
        three_acts(&stage).await?;
        Ok::<_, anyhow::Error>(stage)
    };
    let result = tokio::select! {
        result = acts => result,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    if let Ok(stage) = &result {
        epilogue(stage, arguments.keep);
        if arguments.keep {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    match result {
        Ok(_) => Ok(()),
        Err(error) => {
            let log = fs::read_to_string(root.join("daemon.log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(10).collect();
            last.into_iter().rev().for_each(|line| print_error_line!("  {line}"));
            Err(Failed::because(error).hint(format!("everything lies in {}", root.display())))
        }
    }
}

/// Repository, configuration, file server, daemon.
async fn prepare(
    root: &Path,
    environment: &Environment,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) -> Result<DemoHost> {
    heading("A repository, a configuration, a daemon");
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let site = format!("http://{}/", listener.local_addr()?);
    tracker.spawn(serve_site(listener, root.join("srv/current/public"), stop.clone(), tracker.clone()));
    fs::create_dir_all(root.join("config"))?;
    // What the answers link to is known before the daemon listens.
    let port = TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port();
    fs::write(root.join("config/default.toml"), configuration(root, &site, port))?;
    let loaded = config::load(
        &REFERENCE,
        Some(&root.join("config")),
        &quiet(environment, root),
        config::Purpose::Serve,
    )
    .map_err(|problems| {
        anyhow::anyhow!(
            "the demonstration's own configuration is wrong: {}",
            problems.render(config::Rendering::Plain)
        )
    })?;
    daemon::prepare_state_directory(&loaded.config.state_directory)?;
    let host = daemon::host(Arc::new(loaded.config), environment)?;
    let stage_host = host.clone();
    make_repository(&stage_host, root).await?;
    say("repository", &root.join("upstream").display().to_string());
    say("configuration", &root.join("config/default.toml").display().to_string());
    tracker.spawn(run_daemon(host.clone(), root.to_owned(), stop.clone()));
    let address_file = host.config.state_directory.join(ADDRESS_FILE);
    let address = wait_for("the daemon to listen", async || fs::read_to_string(&address_file).ok()).await?;
    let daemon = format!("http://{}/github-webhook", address.trim());
    say("daemon", &daemon);
    say("site", &site);
    host.store.migrate(crate::base::clock::now_ms()).await?;
    Ok(DemoHost { root: root.to_owned(), host, site, daemon })
}

async fn three_acts(stage: &DemoHost) -> Result<()> {
    heading("Act 1: a push goes live");
    let first = push(stage, "Hello, DurHack!", BUILD).await?;
    ensure!(first.state == RunState::Succeeded, "the first push did not go live");
    expect_page(stage, "Hello, DurHack!").await?;

    heading("Act 2: another push, another release");
    let second = push(stage, "Hello again, DurHack!", BUILD).await?;
    ensure!(second.state == RunState::Succeeded, "the second push did not go live");
    expect_page(stage, "Hello again, DurHack!").await?;

    heading("Act 3: a broken build");
    let third = push(stage, "<h1>Oh no", BROKEN_BUILD).await?;
    ensure!(third.state == RunState::Failed, "the broken build should have failed, and {}", third.state);
    print_line!("{RED}why it failed{RED:#}: {}", third.cause.as_deref().unwrap_or_default());
    print_line!("{GREEN}the old release still serves{GREEN:#}:");
    expect_page(stage, "Hello again, DurHack!").await
}

/// Commits, sends the push as GitHub would, and shows what becomes of it.
async fn push(stage: &DemoHost, greeting: &str, build: &str) -> Result<Run> {
    let upstream = stage.root.join("upstream");
    fs::write(
        upstream.join("page.html"),
        format!("<!doctype html>\n<title>DurHack</title>\n<h1>{greeting}</h1>\n<p>commit COMMIT\n"),
    )?;
    fs::write(upstream.join("build.sh"), build)?;
    git(&stage.host, &upstream, &["add", "--all"]).await?;
    git(&stage.host, &upstream, &["commit", "--quiet", "--message", greeting]).await?;
    let commit = CommitId::parse(git(&stage.host, &upstream, &["rev-parse", "HEAD"]).await?.trim())?;
    let deployment = &stage.host.config.deployments[&Slug::parse(SLUG)?];
    let answer = simulate::send(&stage.host.config, deployment, &commit, &stage.daemon).await?;
    ensure!(answer.status == 202, "the daemon answered {}: {}", answer.status, answer.body);
    say("pushed", &format!("{} {greeting:?}", commit.short()));
    say("answer", &format!("{} {}", answer.status, answer.body));
    let store = &stage.host.store;
    let run = wait_for("the run to begin", async || {
        store.runs_of_delivery(answer.delivery.as_str(), SLUG).await.ok()?.pop()
    })
    .await?;
    follow::to_the_end(store, &stage.host.logs(), &run.id).await
}

async fn expect_page(stage: &DemoHost, wanted: &str) -> Result<()> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let page = client.get(&stage.site).send().await?.error_for_status()?.text().await?;
    print_line!("{DIM}GET {}{DIM:#}", stage.site);
    page.lines().for_each(|line| print_line!("  {line}"));
    ensure!(page.contains(wanted), "the page does not say {wanted:?}");
    Ok(())
}

fn epilogue(stage: &DemoHost, keep: bool) {
    let root = &stage.root;
    // As it was called: after `cargo run` it is not on the PATH.
    let program = std::env::args_os().next().unwrap_or_else(|| "durhack-deployer".into());
    let ours = format!("{} --config {}", program.to_string_lossy(), root.join("config").display());
    heading("Where everything lies");
    say("all of it", &root.display().to_string());
    say("releases", &root.join("srv/releases").display().to_string());
    say("live", &root.join("srv/current").display().to_string());
    say("state", &root.join("state").display().to_string());
    say("daemon's log", &root.join("daemon.log").display().to_string());
    print_line!("\nLook around, then remove it:");
    for command in ["status", "runs", "deliveries", "logs website", "plan website"] {
        print_line!("  {ours} {command}");
    }
    print_line!("  rm -r {}", root.display());
    if keep {
        print_line!("\n{BOLD}serving {} until Ctrl-C{BOLD:#}; push to it with", stage.site);
        print_line!(
            "  git -C {} commit --all --message 'a change' && {ours} simulate push {SLUG}",
            root.join("upstream").display()
        );
    }
}

fn configuration(root: &Path, site: &str, port: u16) -> String {
    let root = root.display();
    format!(
        r#"# The configuration of the demonstration.
origin = "http://127.0.0.1:{port}"
state_directory = "{root}/state"
webhook_secret_token = "a-secret-of-the-demonstration"
source_networks = "any"
listen = {{ host = "127.0.0.1", port = {port} }}
proxy_fix = {{ x_for = 0, x_proto = 0 }}
# Its pushes are what is shown, and nobody at GitHub is to hear of them.
reconcile = {{ enabled = false }}
github = {{ use_gh = false }}

[deployments.{SLUG}]
repository = "durhack/website"
clone_url = "{root}/upstream"
enabled = true
branch = "main"
path = "{root}/srv"
recipe = "steps"
steps = [{{ phase = "build", name = "page", run = ["sh", "build.sh"] }}]
health = [{{ http = "{site}", body = "DurHack", attempts = 5, interval = "200ms" }}]
"#
    )
}

/// The demonstration is the same whatever the shell that starts it has set.
fn quiet(environment: &Environment, root: &Path) -> Environment {
    let kept = environment.variables().filter(|(name, _)| ["PATH", "HOME", "LANG", "TMPDIR"].contains(name));
    let kept: BTreeMap<String, String> =
        kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Environment::new(kept, root)
}

async fn make_repository(host: &Host, root: &Path) -> Result<()> {
    let upstream = root.join("upstream");
    fs::create_dir_all(&upstream)?;
    git(host, &upstream, &["init", "--quiet", "--initial-branch=main", "--template="]).await?;
    Ok(())
}

async fn git(host: &Host, directory: &Path, arguments: &[&str]) -> Result<String> {
    let identity =
        ["-c", "user.name=DurHack", "-c", "user.email=hello@example.org", "-c", "commit.gpgSign=false"];
    let mut argv = vec!["git".into(), "-C".into(), directory.as_os_str().to_owned()];
    argv.extend(identity.iter().chain(arguments).map(Into::into));
    let environment = [("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")];
    let environment = environment.map(|(name, value)| (name.into(), value.into())).into();
    let answer =
        host.executor.ask(&Invocation { argv, environment }, PATIENCE, &CancellationToken::new()).await?;
    match crate::process::executor::complaint_of(&answer.end) {
        None => Ok(answer.output),
        Some(ended) => bail!("git {} {ended}: {}", arguments.join(" "), answer.complaint),
    }
}

/// The real daemon, as a process of its own, until told to stop.
async fn run_daemon(host: Host, root: PathBuf, stop: CancellationToken) {
    let config = root.join("config");
    let argv = ["/proc/self/exe".into(), "--config".into(), config.into_os_string(), "serve".into()].to_vec();
    let mut log = String::new();
    let file = root.join("daemon.log");
    let never_ends = Duration::from_secs(24 * 3600);
    let invocation = Invocation { argv, environment: BTreeMap::new() };
    let sink = |line: supervise::Line| {
        log.push_str(&crate::run_log::rendering::plain(&line.text));
        log.push('\n');
        let _ = fs::write(&file, &log);
    };
    if let Err(error) = host.executor.watch(&invocation, &root, never_ends, sink, &stop).await {
        print_error_line!("the daemon could not be started: {error:#}");
    }
}

/// Serves one page out of `directory` as it is at each request.
async fn serve_site(
    listener: TcpListener,
    directory: PathBuf,
    stop: CancellationToken,
    tracker: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let page = directory.join("index.html");
        let stop = stop.clone();
        tracker.spawn(async move {
            let service = service_fn(move |_request: hyper::Request<hyper::body::Incoming>| {
                let answer = match fs::read(&page) {
                    Ok(page) => hyper::Response::new(http_body_util::Full::new(bytes::Bytes::from(page))),
                    Err(_) => {
                        let mut answer = hyper::Response::new(http_body_util::Full::new(bytes::Bytes::from(
                            "nothing here yet\n",
                        )));
                        *answer.status_mut() = hyper::StatusCode::NOT_FOUND;
                        answer
                    }
                };
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = stop.cancelled() => {}
                _ = connection => {}
            }
        });
    }
}

async fn wait_for<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let patience = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < patience {
        if let Some(found) = ask().await {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("waited {PATIENCE:?} for {what}, in vain")
}

fn heading(text: &str) {
    print_line!("\n{BOLD}== {text}{BOLD:#}");
}

fn say(what: &str, text: &str) {
    print_line!("{DIM}{what:>14}{DIM:#}  {text}");
}
