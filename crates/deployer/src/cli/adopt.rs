//! `adopt`: a work tree that is deployed in place becomes releases. Looks, says what it found, asks, and has an ordinary run
//! do it; `--finish` moves the old tree aside once nothing needs it. How it is done, and why so: `pipeline::adopt`.

use super::AdoptArguments;
use super::deploy::{ask, show_steps};
use super::session::Session;
use crate::config::{Deployment, Layout};
use crate::pipeline::adopt::{self, Survey};
use crate::pipeline::live_state;
use crate::pipeline::preview::{self, Preview};
use crate::pipeline::recovery::recover;
use crate::plan::facts::Target;
use crate::process::lock::{self, Lock};
use crate::queue::job::{Adopt, JobKind, JobOptions};
use crate::run_log::rendering::plain;
use crate::steps::release;
use crate::store;
use crate::terminal::failed::Failed;
use crate::terminal::question::agreed;
use crate::terminal::style::{BOLD, DIM, YELLOW};
use anyhow::{Context, Result, anyhow};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a run may take to end that is said to be going on.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Names of what builds make: left in the old tree without a word to the operator about each.
const BUILD_PRODUCTS: [&str; 16] = [
    "node_modules",
    "dist",
    "build",
    "out",
    "target",
    "vendor",
    "coverage",
    ".next",
    ".nuxt",
    ".cache",
    ".turbo",
    ".venv",
    "venv",
    "__pycache__",
    ".pnpm-store",
    ".parcel-cache",
];

pub async fn run(session: &Session, arguments: &AdoptArguments) -> Result<(), Failed> {
    let deployment = session.deployment(&arguments.slug)?;
    let lock = lock_of(session, deployment).await?;
    let layout = live_state::layout(session.hosted(deployment)).await?;
    match (arguments.finish, layout) {
        (true, Layout::Releases) => finish(session, deployment, arguments).await,
        (true, Layout::InPlace) => {
            Err(Failed::because(anyhow!("{} is still deployed in place", deployment.slug))
                .hint(format!("first `durhack-deployer adopt {}`", deployment.slug)))
        }
        (false, Layout::Releases) => {
            require_live(session, deployment).await?;
            print_line!("{} is deployed as releases already", deployment.slug);
            say_what_remains(deployment)?;
            Ok(())
        }
        (false, Layout::InPlace) => Box::pin(begin(session, deployment, arguments, lock)).await,
    }
}

/// The deployment, to ourselves, with what a crash may have left of it put in order.
async fn lock_of(session: &Session, deployment: &Deployment) -> Result<Lock, Failed> {
    let (locks, slug) = (session.host.locks(), deployment.slug.as_str());
    // A worker that finds nothing to do has it for a moment.
    let lock = tokio::time::timeout(LOCK_PATIENCE, lock::acquire(&locks, slug)).await;
    let lock = lock.map_err(|_| {
        Failed::unavailable(anyhow!("a run of {slug} is going on"))
            .hint(format!("wait for it: `durhack-deployer logs {slug} -f`"))
    })??;
    recover(session.hosted(deployment)).await?;
    Ok(lock)
}

async fn begin(
    session: &Session,
    deployment: &Deployment,
    arguments: &AdoptArguments,
    lock: Lock,
) -> Result<(), Failed> {
    let slug = &deployment.slug;
    if deployment.layout.is_some() {
        return Err(Failed::because(anyhow!("the configuration of {slug} says `layout = \"in-place\"`"))
            .hint("take that line out, restart the daemon, and ask again"));
    }
    let live = live_state::live(session.hosted(deployment), Layout::InPlace).await?;
    let live = live.ok_or_else(|| {
        Failed::because(anyhow!("{} is not a git work tree with a commit", deployment.path.display()))
    })?;
    let head = session
        .host
        .mirror(deployment)
        .fetch(&deployment.branch, Some(&live.commit), deployment.step_timeout, &CancellationToken::new())
        .await
        .with_context(|| format!("cannot fetch {}, on which the work tree stands", live.commit.short()))?;
    let mut survey = adopt::survey(session.hosted(deployment), &live).await?;
    survey.obstacles.extend(adopt::in_use(session.hosted(deployment)));
    let releases = (Layout::Releases, Some(live.clone()));
    let mut preview = preview::of(session.hosted(deployment), head, releases).await?;
    preview.steps.insert(2, survey.step(deployment).into());
    show(deployment, &live, &survey, &preview);
    survey.check(arguments.force).map_err(|error| {
        let hint = match survey.obstacles.is_empty() {
            true => {
                "commit and push them; or `--force`: they stay in the old tree, and are moved aside with it"
            }
            false => "nothing was changed; what the deployer or nginx works with must lie elsewhere first",
        };
        Failed::because(error).hint(hint)
    })?;
    if arguments.dry_run {
        print_line!("\nnothing was done (--dry-run)");
        return Ok(());
    }
    agreed(arguments.yes, "Adopt it?")?;
    // The run takes it.
    drop(lock);
    let adopt = Some(Adopt { modified_too: arguments.force, kept: survey.kept });
    let options = JobOptions { commit: Some(live.commit), force: true, adopt, ..JobOptions::default() };
    ask(session, deployment, JobKind::Adopt, &options, false).await?;
    say_what_remains(deployment)
}

fn show(deployment: &Deployment, live: &Target, survey: &Survey, preview: &Preview) {
    let path = deployment.path.display();
    print_line!("{}: {} is live, in place at {path}", deployment.slug, live.commit.short());
    print_line!(
        "
One run does this:"
    );
    show_steps(preview);
    print_line!(
        "
What lies in {path} now stays there, and goes on working."
    );
    list("Moved to shared/, a link in its place", &survey.kept);
    if !survey.not_configured.is_empty() {
        print_line!("\n{YELLOW}No release sees these before the configuration names them:{YELLOW:#}");
        print_line!("  {}", shared_keys(deployment, &survey.not_configured));
    }
    let is_product = |path: &&PathBuf| {
        path.file_name().is_some_and(|name| BUILD_PRODUCTS.contains(&name.to_string_lossy().as_ref()))
    };
    let products = survey.left.iter().filter(is_product).count();
    let others: Vec<PathBuf> = survey.left.iter().filter(|path| !is_product(path)).cloned().collect();
    list(
        "Ignored by git, and left: does a release need one of these? Then name it in `shared_files`",
        &others,
    );
    if products > 0 {
        print_line!("{DIM}  and {products} that builds make{DIM:#}");
    }
    list("Changed by hand, and left: a release has what git has", &survey.modified);
}

fn list(what: &str, paths: &[PathBuf]) {
    const SHOWN_MAX: usize = 50;
    if paths.is_empty() {
        return;
    }
    print_line!("\n{BOLD}{what}:{BOLD:#}");
    for path in paths.iter().take(SHOWN_MAX) {
        print_line!("  {}", plain(&path.to_string_lossy()));
    }
    if paths.len() > SHOWN_MAX {
        print_line!("  and {} more", paths.len() - SHOWN_MAX);
    }
}

/// The lines for the configuration: what is named there now, and what is not.
fn shared_keys(deployment: &Deployment, missing: &[PathBuf]) -> String {
    let is_directory = |path: &&PathBuf| deployment.path.join(path).is_dir();
    let line = |key: &str, now: &[PathBuf], more: Vec<&PathBuf>| {
        let all: Vec<String> =
            now.iter().chain(more).map(|path| path.to_string_lossy().into_owned()).collect();
        format!("{key} = {}", serde_json::Value::from(all))
    };
    let (directories, files): (Vec<&PathBuf>, Vec<&PathBuf>) = missing.iter().partition(is_directory);
    let files = line("shared_files", &deployment.shared_files, files);
    format!("{files}\n  {}", line("shared_dirs", &deployment.shared_dirs, directories))
}

/// What an operator has to do after the run.
fn say_what_remains(deployment: &Deployment) -> Result<(), Failed> {
    let path = deployment.path.display();
    if adopt::old_tree(deployment)?.is_empty() {
        return Ok(());
    }
    print_line!("\nThe old tree still lies in {path}. What is left to do:");
    print_line!("  1. Have everything that names {path} name {path}/current: units, nginx sites, cron.");
    print_line!("  2. durhack-deployer adopt {} --finish    moves the old tree aside", deployment.slug);
    Ok(())
}

/// What is live by the database; refuses where nothing ever was, or the link to it is gone.
async fn require_live(session: &Session, deployment: &Deployment) -> Result<store::Release, Failed> {
    let slug = &deployment.slug;
    let live = session.store().live_release(slug.as_str()).await?;
    live.ok_or_else(|| {
        Failed::because(anyhow!("nothing of {slug} is live yet: deploy it first"))
            .hint(format!("durhack-deployer deploy {slug}"))
    })
}

async fn finish(
    session: &Session,
    deployment: &Deployment,
    arguments: &AdoptArguments,
) -> Result<(), Failed> {
    let slug = &deployment.slug;
    let live = Some(require_live(session, deployment).await?);
    if live.map(|live| live.name) != release::current(deployment)? {
        return Err(Failed::because(anyhow!("{}/current is not what is live", deployment.path.display()))
            .hint(format!("deploy it: `durhack-deployer deploy {slug} --force`")));
    }
    let old = adopt::old_tree(deployment)?;
    let used = if old.is_empty() { Vec::new() } else { adopt::in_use(session.hosted(deployment)) };
    if !used.is_empty() {
        return Err(Failed::because(anyhow!(
            "the old tree of {slug} is in use: {}",
            plain(&used.join("; "))
        ))
        .hint("nothing was moved; have what uses it lie elsewhere first (docs/how-to/adopt.md)"));
    }
    let aside = adopt::aside(deployment)?;
    if old.is_empty() {
        print_line!("nothing is left of the old tree of {slug}");
        return Ok(());
    }
    for name in &old {
        print_line!("mv {} {}/", shown(&deployment.path.join(name)), shown(&aside));
    }
    let processes = adopt::processes_in_old_tree(deployment);
    if !processes.is_empty() && !arguments.force {
        let hint = "have them run in current; --force moves it all the same (what they have open stays open)";
        return Err(Failed::because(anyhow!(
            "in the old tree there still run {}",
            plain(&processes.join("; "))
        ))
        .hint(hint));
    }
    let named_by = adopt::named_by(deployment);
    if !named_by.is_empty() && !arguments.force {
        let hint = format!(
            "have them name {}/current, and reload what reads them; --force moves the old tree all the same",
            deployment.path.display()
        );
        return Err(
            Failed::because(anyhow!("the old tree is named by {}", plain(&named_by.join(", ")))).hint(hint)
        );
    }
    if arguments.dry_run {
        print_line!("\nnothing was done (--dry-run)");
        return Ok(());
    }
    agreed(arguments.yes, "Does nothing name these any more? Move them?")?;
    adopt::finish(deployment, &aside)?;
    print_line!("\nthe old tree of {slug} lies in {}; remove it when you are sure", aside.display());
    Ok(())
}

fn shown(path: &Path) -> String {
    crate::config::CommandLine::Argv(vec![path.to_string_lossy().into_owned()]).shown()
}
