//! What can be known before anything changes: what stands in the way of a run, and what a release would lack without a word.
//!
//! A run looks before it fetches, and `plan` shows the same; so a file that is missing is told before a build, a migration or a switch, not
//! after. What only may be wrong is a note: the run goes on, and its log and the plan say it.

pub mod ports;
pub mod programs;
pub mod units;
pub mod walls;

use crate::base::files::safe_path::{self, OpenDirectory};
use crate::base::names::CommitId;
use crate::base::words::counted;
use crate::config::recipe::Starts;
use crate::config::{Config, Deployment, Layout};
use crate::git::commit_tree::Tree;
use crate::git::mirror::Mirror;
use crate::plan::Plan;
use crate::plan::recipes;
use crate::process::env_files::{EnvRules, Reach};
use crate::process::executor::Executor;
use crate::process::step_user;
use crate::steps::release::CURRENT;
use crate::steps::shared_directory::{hides, is_placeholder, listed};
use anyhow::Result;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A local file is read at once, or something is wrong with where it lies.
const READ_MAX: Duration = Duration::from_secs(30);

/// What is seen on this host, in sentences.
#[derive(Debug, Default)]
pub struct Seen {
    /// Why a run cannot succeed as the host is now.
    pub obstacles: Vec<String>,
    /// What has no effect.
    pub remarks: Vec<String>,
}

impl Seen {
    /// The same with what else was seen; nothing is said twice.
    fn add(&mut self, more: Self) {
        for (sentences, more) in [(&mut self.obstacles, more.obstacles), (&mut self.remarks, more.remarks)] {
            for sentence in more {
                if !sentences.contains(&sentence) {
                    sentences.push(sentence);
                }
            }
        }
    }
}

/// Looks at what a run of this deployment needs on this host, for as long as that may take, or until somebody cancels.
pub async fn look(
    executor: &Executor,
    config: &Config,
    deployment: &Deployment,
    layout: Layout,
    cancel: &CancellationToken,
) -> Seen {
    let (mut seen, is_path_of_file) = files(config, deployment, layout, cancel).await;
    seen.obstacles.extend(walls::here(deployment, layout));
    let commands = programs::commands(deployment);
    if !(commands.is_empty() && deployment.recipe.starts == Starts::WhatCommandsStart) {
        seen.obstacles.extend(deployment.user.as_ref().and_then(step_user::missing));
    }
    seen.add(programs::look(executor, config, deployment, is_path_of_file, &commands));
    seen.add(units_and_ports(executor, deployment, layout, cancel).await);
    seen
}

/// The units that it names, and who else listens at its ports.
pub async fn units_and_ports(
    executor: &Executor,
    deployment: &Deployment,
    layout: Layout,
    cancel: &CancellationToken,
) -> Seen {
    let (mut seen, runs) = units::look(executor, deployment, cancel).await;
    let is_live = layout == Layout::InPlace || deployment.path.join(CURRENT).symlink_metadata().is_ok();
    if !runs.unwrap_or(is_live) {
        seen.remarks.extend(ports::taken(deployment));
    }
    seen
}

/// The programs that the commands of a plan call, its recipe's among them.
pub async fn programs_of_plan(
    executor: &Executor,
    config: &Config,
    deployment: &Deployment,
    plan: &Plan,
    cancel: &CancellationToken,
) -> Seen {
    let rules = EnvRules::of(config, deployment, &deployment.path);
    let limit = deployment.step_timeout;
    let read = rules.read(&deployment.env_files, Reach::Application, limit, cancel).await;
    // What cannot be read yet may say anything.
    let is_path_of_file = read.map_or(true, |found| has_path(&found.variables));
    programs::look(executor, config, deployment, is_path_of_file, &programs::commands_of_plan(plan))
}

fn has_path(variables: &[(String, String)]) -> bool {
    variables.iter().any(|(name, _)| name == "PATH")
}

/// The files that it names. Gives also whether one of the environment files that can be read has a `PATH`.
pub async fn files(
    config: &Config,
    deployment: &Deployment,
    layout: Layout,
    cancel: &CancellationToken,
) -> (Seen, bool) {
    let mut seen = Seen::default();
    let mut is_path_of_file = false;
    let rules = EnvRules::of(config, deployment, &deployment.path);
    for file in &deployment.env_files {
        if !is_the_hosts(deployment, layout, file) {
            is_path_of_file = true;
            continue;
        }
        let limit = deployment.step_timeout;
        let read = rules.read(std::slice::from_ref(file), Reach::Application, limit, cancel).await;
        match read {
            Ok(found) => {
                is_path_of_file |= has_path(&found.variables);
                seen.remarks.extend(found.ignored);
            }
            Err(error) => {
                let (said, name) = (format!("{error:#}"), file.display().to_string());
                // Where a directory on the way is missing, that is all that is said.
                let name = if said.contains(&name) { "it".to_owned() } else { name };
                seen.obstacles.push(format!("{said} ({name} is named in `env_files`)"));
            }
        }
    }
    if layout == Layout::Releases {
        let shared = deployment.path.join("shared");
        for file in missing(deployment).await {
            let file = file.display();
            match deployment.shared_files_written {
                true => seen.obstacles.push(format!(
                    "shared/{file} does not exist, and `shared_files` names it: put it into {}, or take it out of `shared_files`",
                    shared.display()
                )),
                false => seen.remarks.push(format!(
                    "shared/{file} does not exist, and the preset names it: put it into {} if the application needs it",
                    shared.display()
                )),
            }
        }
    }
    (seen, is_path_of_file)
}

/// Files that it names and that are not there, by the key that names them. It opens none: whoever checks a configuration may not be who reads
/// them.
pub fn missing_files(deployment: &Deployment, layout: Layout) -> Vec<(&'static str, PathBuf)> {
    let is_gone = |file: &Path| {
        file.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    let env_files = deployment.env_files.iter().filter(|file| is_the_hosts(deployment, layout, file));
    let env_files = env_files.map(|file| ("env_files", file.clone()));
    let shared = deployment.shared_files.iter().map(|file| deployment.path.join("shared").join(file));
    let shared = shared.map(|file| ("shared_files", file));
    let shared = shared.filter(|_| layout == Layout::Releases && deployment.shared_files_written);
    env_files.chain(shared).filter(|(_, file)| is_gone(file)).collect()
}

/// Whether a file is there before a release is: not one that a release brings.
fn is_the_hosts(deployment: &Deployment, layout: Layout, file: &Path) -> bool {
    let Ok(inner) = file.strip_prefix(&deployment.path) else { return true };
    let first = inner.components().next();
    layout == Layout::Releases && first == Some(Component::Normal("shared".as_ref()))
}

/// The shared files that are not there. What else may be wrong with them, a file system that hangs among it, is told where they are used.
async fn missing(deployment: &Deployment) -> Vec<PathBuf> {
    let (path, files) = (deployment.path.clone(), deployment.shared_files.clone());
    let look = move || Ok(files.into_iter().filter(|file| is_missing(&path, file)).collect());
    safe_path::off_thread(&deployment.path, READ_MAX, look).await.unwrap_or_default()
}

fn is_missing(path: &Path, file: &Path) -> bool {
    let Some(name) = file.file_name() else { return false };
    let inner = Path::new("shared").join(file.parent().unwrap_or(Path::new("")));
    match OpenDirectory::open(path).and_then(|path| path.below(&inner, false)) {
        Ok(directory) => matches!(directory.kind(name), Ok(None)),
        // What else may be wrong with it is told where it is used.
        Err(refused) => refused.is_missing(),
    }
}

/// What a release of this commit lacks, or what of the configuration has no effect on it; in sentences.
pub async fn remarks(
    mirror: &Mirror,
    deployment: &Deployment,
    tree: &Tree,
    commit: &CommitId,
) -> Result<Vec<String>> {
    let mut remarks = Vec::new();
    let modules = tree.submodules();
    if !deployment.submodules && !modules.is_empty() {
        remarks.push(format!(
            "{} not fetched: {}. `submodules = true` fetches them",
            counted(modules.len(), "submodule is", "submodules are"),
            listed(&modules)
        ));
    }
    if tree.uses_lfs() {
        let pointers = mirror.lfs_pointers(commit).await?;
        if !pointers.is_empty() {
            let pointers: Vec<&str> = pointers.iter().map(String::as_str).collect();
            remarks.push(format!(
                "{} of Git LFS, not the files themselves, which are not fetched: {}. A step of phase `fetch` can fetch them \
                 (git lfs needs the repository's own clone), or keep such files outside of the repository",
                counted(pointers.len(), "file is a pointer", "files are pointers"),
                listed(&pointers)
            ));
        }
    }
    remarks.extend(recipes::planner(&deployment.recipe).remarks(deployment, tree));
    for (key, patterns) in [("paths", &deployment.paths), ("paths_ignore", &deployment.paths_ignore)] {
        for pattern in patterns.iter().filter(|pattern| !tree.matches(pattern)) {
            remarks.push(format!("`{key}`: {pattern:?} matches no file of this commit"));
        }
    }
    Ok(remarks)
}

/// Files of a commit that the directories which releases share would hide, as they are now; in sentences.
pub async fn hidden_by_shared(deployment: &Deployment, tree: &Tree) -> Vec<String> {
    let (root, shared_dirs) = (deployment.path.clone(), deployment.shared_dirs.clone());
    let files: Vec<PathBuf> = tree.files().map(|(path, _)| PathBuf::from(path)).collect();
    let look = move || {
        let mut sentences = Vec::new();
        for path in &shared_dirs {
            let inner = Path::new("shared").join(path);
            let Ok(shared) = OpenDirectory::open(&root).and_then(|root| root.below(&inner, false)) else {
                continue;
            };
            // A new one begins with what the repository has.
            if shared.names()?.is_empty() {
                continue;
            }
            let of_path = files.iter().filter_map(|file| file.strip_prefix(path).ok());
            let hidden: Vec<&Path> = of_path
                .filter(|file| !is_placeholder(file.file_name()) && is_missing(&root, &path.join(file)))
                .collect();
            sentences.extend(hides(path, &hidden));
        }
        Ok(sentences)
    };
    safe_path::off_thread(&deployment.path, READ_MAX, look).await.unwrap_or_default()
}
