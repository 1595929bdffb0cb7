//! How long a deploy takes that has nothing to do, from the push to the first step and to the end, beside a
//! shell script that runs the same git commands.

use super::http::{SignedPush, connect, push_body};
use super::load::median;
use super::machine::unix_ms;
use super::servers::{self, Configuration, REPOSITORY, SECRET, product, wait};
use crate::process::{capture, command};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

/// What a small site has.
const FILES: usize = 200;

/// Size of the push that starts each deploy.
const PUSH_BYTES: usize = 6_656;

/// Medians in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Deploys {
    /// From sending the push to the start of the run's first step.
    pub first_step_ms: f64,
    /// From sending the push to the end of the run.
    pub deploy_ms: f64,
    /// The shell script, as a whole.
    pub script_ms: f64,
}

/// Fetches into a bare mirror, exports the commit into a new directory, switches the link: no more than
/// what a deploy without steps does with git.
const SCRIPT: &str = r#"set -eu
url=$1 mirror=$2 site=$3
git --git-dir="$mirror" fetch --quiet --no-tags "$url" +refs/heads/main:refs/heads/main
commit=$(git --git-dir="$mirror" rev-parse --verify refs/heads/main)
release="$site/releases/$commit"
mkdir -p "$release"
git --git-dir="$mirror" archive --format=tar "$commit" | tar -x -C "$release"
ln -s "releases/$commit" "$site/current.new"
mv -T "$site/current.new" "$site/current"
"#;

/// Deploys so many commits, each both ways.
pub fn measure(directory: &Path, count: usize) -> Result<Deploys> {
    let (upstream, work_tree) = (directory.join("upstream.git"), directory.join("work"));
    std::fs::create_dir_all(&work_tree).with_context(|| format!("cannot make {}", work_tree.display()))?;
    let bare = |path: &Path| capture(command("git").args(["init", "-q", "--bare", "-b", "main"]).arg(path));
    bare(&upstream)?;
    let mirror = directory.join("script-mirror.git");
    bare(&mirror)?;
    git(&work_tree, &["init", "-q", "-b", "main"])?;
    for number in 0..FILES {
        let file = work_tree.join(format!("page-{number}.html"));
        std::fs::write(&file, format!("<p>{number}</p>\n").repeat(40)).context("cannot write a page")?;
    }
    let state = directory.join("state");
    let site = directory.join("site");
    let server =
        servers::deploying(directory, &Configuration { state: &state, clone_url: &upstream, path: &site })?;

    let (mut first_step, mut deploy, mut script) = (Vec::new(), Vec::new(), Vec::new());
    // The first deploy of each makes what the others find; it is not counted.
    for number in 0..=count {
        let commit = commit(&work_tree, &upstream, number)?;
        let sent_ms = unix_ms();
        let body = push_body(REPOSITORY, "refs/heads/main", &commit, PUSH_BYTES);
        let status =
            SignedPush::new(server.path, SECRET, body, false).send(&mut connect(&server.address)?)?;
        if status != server.accepted {
            bail!("the push was answered {status}");
        }
        let run = wait("the deploy to end", || ended_run(directory, &commit))?;
        let started = Instant::now();
        let arguments = [upstream.as_path(), &mirror, &directory.join("script-site")];
        capture(command("sh").args(["-c", SCRIPT, "sh"]).args(arguments))?;
        if number > 0 {
            script.push(started.elapsed().as_secs_f64() * 1000.0);
            first_step.push(run.first_step_ms - sent_ms);
            deploy.push(run.ended_ms - sent_ms);
        }
    }
    Ok(Deploys { first_step_ms: median(first_step), deploy_ms: median(deploy), script_ms: median(script) })
}

fn commit(work_tree: &Path, upstream: &Path, number: usize) -> Result<String> {
    std::fs::write(work_tree.join("index.html"), format!("<h1>{number}</h1>\n"))
        .context("cannot write a page")?;
    git(work_tree, &["add", "--all"])?;
    git(work_tree, &["commit", "-q", "-m", "Change the page"])?;
    git(work_tree, &["push", "-q", &upstream.to_string_lossy(), "HEAD:refs/heads/main"])?;
    git(work_tree, &["rev-parse", "HEAD"])
}

fn git(work_tree: &Path, arguments: &[&str]) -> Result<String> {
    let mut git = command("git");
    git.current_dir(work_tree).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), "Ada").env(format!("GIT_{role}_EMAIL"), "ada@example.org");
    }
    capture(git.args(arguments))
}

/// When what happened, in Unix milliseconds.
struct EndedRun {
    first_step_ms: f64,
    ended_ms: f64,
}

/// The run of a commit once it has ended; anything but success is an error.
fn ended_run(directory: &Path, commit: &str) -> Result<Option<EndedRun>> {
    let runs = json(directory, &["runs", "--json"])?;
    let found = runs.as_array().into_iter().flatten().find(|run| run["commit"] == commit);
    let Some(run) = found else { return Ok(None) };
    match run["state"].as_str() {
        Some("queued" | "running") => return Ok(None),
        Some("succeeded") => {}
        _ => bail!("the deploy did not succeed: {run}"),
    }
    let id = run["id"].as_str().map_or_else(|| run["id"].to_string(), str::to_owned);
    let page = json(directory, &["run", &id, "--json"])?;
    let steps = page["steps"].as_array().context("a run has steps")?;
    let first = steps.iter().filter_map(|step| step["started_at_ms"].as_f64()).min_by(f64::total_cmp);
    let first_step_ms = first.context("no step was started")?;
    let ended_ms = run["ended_at_ms"].as_f64().context("an ended run has an end")?;
    Ok(Some(EndedRun { first_step_ms, ended_ms }))
}

fn json(directory: &Path, arguments: &[&str]) -> Result<Value> {
    let printed = capture(&mut product(directory, arguments))?;
    serde_json::from_str(&printed).with_context(|| format!("{arguments:?} printed {printed}"))
}
