//! A work tree that is deployed in place becomes releases, without a moment in which it does not serve.
//!
//! Theory of operation: `releases/`, `shared/` and `current` come to lie beside the old tree's files, inside the same path, and
//! the old tree stays where it is: what runs in it, or serves from it, goes on until its operator has it look at `current`.
//! What must outlive deploys goes to `shared/` by [`share`]: one rename that exchanges it for a link, so its path always
//! leads to it, a program that has it open keeps it, and owner, mode, times and every byte are the same. The first release is
//! made of the live commit by an ordinary run, of which that exchange is the first step; if the run fails, it is undone like
//! any other. Which layout holds is never switched: it follows from what the database says is live. Last of all, when asked
//! to, [`finish`] moves what is left of the old tree aside, and deletes nothing.
//!
//! What git says of the tree is asked with the mirror's settings, not the tree's own: those are not ours to trust.

use crate::base::clock;
use crate::base::files::safe_path::{self, OpenDirectory};
use crate::config::{Deployment, Phase};
use crate::git::mirror::TreeState;
use crate::pipeline::context::HostedDeployment;
use crate::plan::facts::Target;
use crate::plan::{Action, Step, Undo};
use crate::process::process_table::{self, Process};
use crate::process::{claim, sandbox};
use crate::steps::{published_path, release};
use anyhow::{Context, Result, bail};
use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::path::{Component, Path, PathBuf};

/// What the deployer itself keeps in a path; a repository that has one of these cannot lie in the same directory.
const OWN_NAMES: [&str; 5] = ["releases", SHARED, release::CURRENT, ".current.new", claim::FILE];

/// Whether what has this name in a path is the deployer's, and nothing to be kept in `shared/`. Caches are made again.
fn is_own_name(name: &str) -> bool {
    OWN_NAMES.contains(&name) || name == sandbox::CACHES || name.starts_with(ASIDE)
}

/// What outlives releases.
const SHARED: &str = "shared";

/// Where the old tree goes at last; followed by a time.
const ASIDE: &str = "before-adopt-";

/// Files and directories that may be kept, at most: more are the output of a build that nobody has told git to ignore.
const KEPT_MAX: usize = 1000;

/// Files that are compared, at most: those that people copy by hand are settings and keys.
const COMPARED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Of a process's arguments, as much as is shown.
const ARGUMENTS_SHOWN_CHARS_MAX: usize = 60;

/// What was found in a work tree.
#[derive(Debug, Default)]
pub struct Survey {
    /// Files of the commit that were changed or removed.
    pub modified: Vec<PathBuf>,
    /// What goes to `shared/`: what is configured to, and what git neither tracks nor ignores.
    pub kept: Vec<PathBuf>,
    /// Of those, what no release will see as long as the configuration does not name it.
    pub not_configured: Vec<PathBuf>,
    /// What git ignores, and nothing keeps: it stays in the old tree.
    pub left: Vec<PathBuf>,
    /// Why it cannot be done; empty: it can.
    pub obstacles: Vec<String>,
}

/// Looks at the work tree of a deployment of which this is live.
pub async fn survey(hosted: HostedDeployment<'_>, live: &Target) -> Result<Survey> {
    let HostedDeployment { host, deployment } = hosted;

    let mirror = host.mirror(deployment);
    let trees = host.config.state_directory.join("trees");
    fs::create_dir_all(&trees)?;
    let index = trees.join(format!("{}-adopt.index", deployment.slug));
    let state = mirror.state_of_tree(&deployment.path, &index, &live.commit).await?;
    let tree = mirror.tree(&live.commit, false).await?;
    let mut survey = sort(deployment, state);
    for name in OWN_NAMES {
        if tree.has(name) || tree.has_directory(name) {
            survey
                .obstacles
                .push(format!("the repository itself has {name:?}, where the deployer would put its own"));
        }
    }
    if deployment.path.join(release::CURRENT).symlink_metadata().is_ok_and(|found| !found.is_symlink()) {
        survey.obstacles.push("`current` is there and is not a link: move it away".into());
    }
    survey.obstacles.extend(survey.kept.iter().filter_map(|path| obstacle(&deployment.path, path)));
    Ok(survey)
}

/// Sorts what git says into what is kept and what is left.
fn sort(deployment: &Deployment, state: TreeState) -> Survey {
    let own = |path: &PathBuf| {
        let first = path.components().next().map(|first| first.as_os_str().to_string_lossy().into_owned());
        first.is_some_and(|first| is_own_name(&first))
    };
    let named: Vec<&PathBuf> = deployment.shared_files.iter().chain(&deployment.shared_dirs).collect();
    let there = |path: &&&PathBuf| deployment.path.join(path).symlink_metadata().is_ok();
    let mut kept: Vec<PathBuf> = named.iter().filter(there).map(|path| (*path).clone()).collect();
    kept.extend(state.untracked.into_iter().filter(|path| !own(path)));
    kept.sort();
    // What lies in something that is kept is kept with it.
    kept.dedup_by(|inner, outer| inner.starts_with(&*outer));
    let not_configured = kept.iter().filter(|path| !named.iter().any(|named| path.starts_with(named)));
    let not_configured: Vec<PathBuf> = not_configured.cloned().collect();
    let is_kept = |path: &PathBuf| kept.iter().any(|kept| path.starts_with(kept));
    let left = state.ignored.into_iter().filter(|path| !own(path) && !is_kept(path)).collect();
    let mut obstacles = Vec::new();
    if kept.len() > KEPT_MAX {
        obstacles.push(format!(
            "{} files and directories are neither tracked nor ignored by git, more than {KEPT_MAX}: ignore what a build makes",
            kept.len()
        ));
    }
    Survey { modified: state.modified, kept, not_configured, left, obstacles }
}

/// Why something cannot be exchanged for a link, if so.
fn obstacle(root: &Path, path: &Path) -> Option<String> {
    let (place, kept) = (root.join(path), root.join(SHARED).join(path));
    let Ok(found) = place.symlink_metadata() else {
        return Some(format!("{} has a name that is not UTF-8, or is gone: rename it", place.display()));
    };
    if links_to(&place, &kept) || links_to(&kept, &kept) || is_copy(root, &place, &kept) {
        return None;
    }
    if kept.symlink_metadata().is_ok() {
        return Some(format!(
            "{} and {} are both there, and differ: keep one",
            place.display(),
            kept.display()
        ));
    }
    let plain = found.is_file() || found.is_dir() || found.is_symlink();
    (!plain).then(|| format!("{} is neither a file nor a directory", place.display()))
}

impl Survey {
    /// The first step of the run that adopts.
    pub fn step(&self, deployment: &Deployment) -> Step {
        let paths = || self.kept.clone();
        Step {
            phase: Phase::Fetch,
            name: "keep".into(),
            action: Action::Share { paths: paths() },
            undo: vec![Undo::always(Phase::Switch, Action::Unshare { paths: paths() })],
            timeout: deployment.step_timeout,
            retries: 0,
        }
    }

    /// Refuses where it cannot be done, or would leave behind what somebody changed and did not say so.
    pub fn check(&self, modified_too: bool) -> Result<()> {
        if !self.obstacles.is_empty() {
            bail!("{}", self.obstacles.join("; "));
        }
        if !modified_too && !self.modified.is_empty() {
            let shown: Vec<String> =
                self.modified.iter().map(|path| path.display().to_string()).take(10).collect();
            bail!(
                "{} changed by hand, and no release would have the changes: {}",
                crate::base::words::counted(
                    self.modified.len(),
                    "file that git tracks was",
                    "files that git tracks were"
                ),
                shown.join(", ")
            );
        }
        Ok(())
    }
}

/// Exchanges a file or directory of the tree at `root` for a link to it in `shared/`. What is so already is left so.
pub fn share(root: &Path, path: &Path) -> Result<()> {
    let (place, kept) = (root.join(path), root.join(SHARED).join(path));
    if links_to(&place, &kept) || is_copy(root, &place, &kept) {
        return Ok(());
    }
    make_directories_like(root, path)?;
    if let Ok(target) = fs::read_link(&place) {
        // A link is not moved: it may be relative to where it lies.
        let target = place.parent().unwrap_or(root).join(target);
        return if links_to(&kept, &target) { Ok(()) } else { Ok(symlink(target, &kept)?) };
    }
    if !links_to(&kept, &kept) {
        symlink(&kept, &kept)?;
    }
    exchange(&place, &kept)
}

/// Takes [`share`] back, also where it was only begun.
pub fn unshare(root: &Path, path: &Path) -> Result<()> {
    let (place, kept) = (root.join(path), root.join(SHARED).join(path));
    if links_to(&place, &kept) && !links_to(&kept, &kept) && kept.symlink_metadata().is_ok() {
        exchange(&place, &kept)?;
    }
    if links_to(&kept, &kept) {
        fs::remove_file(&kept)?;
    }
    Ok(())
}

fn exchange(one: &Path, other: &Path) -> Result<()> {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).with_context(|| {
        format!("cannot exchange {} for a link (it must be possible to rename it)", one.display())
    })?;
    for path in [one, other] {
        release::sync_directory(path.parent().unwrap_or(Path::new("/")))?;
    }
    Ok(())
}

/// The directories in which `shared/<path>` will lie, each as open to others as the one that it stands for.
fn make_directories_like(root: &Path, path: &Path) -> Result<()> {
    let parents = path.parent().into_iter().flat_map(Path::ancestors).collect::<Vec<_>>();
    for inner in parents.into_iter().rev() {
        if !inner.components().all(|component| matches!(component, Component::Normal(_))) {
            bail!("{} is not a plain relative path", path.display());
        }
        let model = OpenDirectory::open(root)?.below(inner, false).with_context(|| {
            format!("what lies behind {} is not ours to move", root.join(inner).display())
        })?;
        let place = Path::new(SHARED).join(inner);
        let name = place.file_name().expect("it lies in the deployment's path");
        let above = OpenDirectory::open(root)?.below(place.parent().unwrap_or(Path::new("")), false)?;
        let (copy, made) = above.make(name)?;
        if made {
            copy.become_like(&model)?;
        }
    }
    Ok(())
}

fn links_to(place: &Path, target: &Path) -> bool {
    fs::read_link(place).is_ok_and(|found| found == target)
}

/// Whether somebody has brought a file to `shared/` already.
fn is_copy(root: &Path, place: &Path, kept: &Path) -> bool {
    let content = |path: &Path| safe_path::read_now(root, path, COMPARED_BYTES_MAX).ok();
    content(place).is_some_and(|there| content(kept) == Some(there))
}

/// Where nginx's configuration lies.
const NGINX: &str = "/etc/nginx";

/// Where an administrator's own units lie.
const UNITS: &str = "/etc/systemd/system";

/// A directory of configuration files is looked at this far: deeper ones are somebody's sources.
const CONFIGURATION_DEPTH_MAX: usize = 6;

/// Larger files are not configurations that people write.
const CONFIGURATION_BYTES_MAX: u64 = 1024 * 1024;

/// What of the old tree the deployer itself works with, or nginx reads through a link. Such a tree is neither adopted nor moved.
pub fn in_use(hosted: HostedDeployment<'_>) -> Vec<String> {
    let HostedDeployment { host, deployment } = hosted;

    let config = &host.config;
    let mut used = vec![
        ("the deployer's configuration", config.directory.clone()),
        ("the deployer's state", config.state_directory.clone()),
    ];
    used.extend(config.directory.parent().map(|above| ("the deployer's environment", above.join(".env"))));
    let database = config.database_url.expose();
    if let Some(path) = database.strip_prefix("sqlite:") {
        let path = path.trim_start_matches("//").split('?').next().unwrap_or_default();
        used.push(("the deployer's database", config.state_directory.join(path)));
    }
    used.extend(config.secret_files.iter().map(|file| ("a secret of the deployer's", file.clone())));
    used.extend(std::env::current_exe().ok().map(|program| ("the deployer's program", program)));
    let there = used.iter().filter(|(_, path)| path.symlink_metadata().is_ok());
    let mut found: Vec<String> = there
        .filter(|(_, path)| lies_in_old_tree(deployment, path))
        .map(|(what, path)| format!("{what} lies in it: {}", path.display()))
        .collect();
    found.extend(links_from(Path::new(NGINX), deployment));
    found
}

/// What an administrator has written that names the old tree: units, and nginx's files.
pub fn named_by(deployment: &Deployment) -> Vec<String> {
    let mut found = Vec::new();
    for directory in [NGINX, UNITS] {
        walk(Path::new(directory), 0, &mut |path, kind| {
            let is_file = kind.is_file()
                && fs::metadata(path).is_ok_and(|found| found.len() <= CONFIGURATION_BYTES_MAX);
            let text = is_file.then(|| fs::read_to_string(path).ok()).flatten().unwrap_or_default();
            if let Some(number) = line_that_names(&text, deployment) {
                found.push(format!("{}:{number}", path.display()));
            }
        });
    }
    found.sort();
    found
}

/// The first line that is no comment and names a path in the old tree, also over a link; from 1.
fn line_that_names(text: &str, deployment: &Deployment) -> Option<usize> {
    let separates = |next: char| next.is_whitespace() || ";\"'{}=:,()".contains(next);
    let names = |line: &str| {
        let mut words = line.split(separates).filter_map(|word| Some(&word[word.find('/')?..]));
        words.any(|path| lies_in_old_tree(deployment, Path::new(path)))
    };
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#'));
    lines.find(|(_, line)| names(line)).map(|(number, _)| number + 1)
}

/// Links from a directory of configuration that lead into the old tree, directly or over others.
fn links_from(directory: &Path, deployment: &Deployment) -> Vec<String> {
    let mut found = Vec::new();
    walk(directory, 0, &mut |path, kind| {
        if !kind.is_symlink() {
            return;
        }
        let target = fs::read_link(path).unwrap_or_default();
        let target = path.parent().unwrap_or(Path::new("/")).join(target);
        let resolved = fs::canonicalize(path).unwrap_or_else(|_| target.clone());
        if lies_in_old_tree(deployment, &target) || lies_in_old_tree(deployment, &resolved) {
            found.push(format!("nginx reads {}, which leads to {}", path.display(), target.display()));
        }
    });
    found.sort();
    found
}

fn walk(directory: &Path, depth: usize, look: &mut dyn FnMut(&Path, std::fs::FileType)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        look(&entry.path(), kind);
        if kind.is_dir() && depth < CONFIGURATION_DEPTH_MAX {
            walk(&entry.path(), depth + 1, look);
        }
    }
}

/// Whether a path is the deployment's directory itself or something in it that is the old tree's. By where it is and by where it leads.
fn lies_in_old_tree(deployment: &Deployment, path: &Path) -> bool {
    let roots = [Some(deployment.path.clone()), fs::canonicalize(&deployment.path).ok()];
    let paths = [Some(path.to_owned()), fs::canonicalize(path).ok()];
    roots.iter().flatten().any(|root| {
        paths.iter().flatten().any(|path| {
            let Ok(inner) = path.strip_prefix(root) else { return false };
            let first =
                inner.components().next().map(|first| first.as_os_str().to_string_lossy().into_owned());
            let is_own =
                first.is_some_and(|first| OWN_NAMES.contains(&first.as_str()) || first.starts_with(ASIDE));
            !is_own && !published_path::leads_to_current(&deployment.recipe.published, root, inner)
        })
    })
}

/// What is left of the old tree, `.git` last: as long as that is there, it has not been moved aside whole.
pub fn old_tree(deployment: &Deployment) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(&deployment.path)? {
        let name = PathBuf::from(entry?.file_name());
        let text = name.to_string_lossy();
        let is_ours = OWN_NAMES.contains(&text.as_ref()) || text.starts_with(ASIDE);
        if !is_ours
            && !published_path::is_published_only(&deployment.recipe.published, &deployment.path, &name)
        {
            found.push(name.clone());
        }
    }
    found.sort_by_key(|name| (name.as_os_str() == ".git", name.clone()));
    Ok(found)
}

/// Where the old tree goes: to where a part of it went before, or to a new directory.
pub fn aside(deployment: &Deployment) -> Result<PathBuf> {
    for entry in fs::read_dir(&deployment.path)? {
        let entry = entry?;
        // A link would have the tree moved to where it leads.
        if entry.file_name().to_string_lossy().starts_with(ASIDE) && entry.file_type()?.is_dir() {
            return Ok(entry.path());
        }
    }
    Ok(deployment.path.join(format!("{ASIDE}{}", clock::compact_utc(clock::now()))))
}

/// Moves what is left of the old tree aside; of a directory with a published path, a directory with just that stays. Interrupted, it
/// goes on where it ended.
pub fn finish(deployment: &Deployment, aside: &Path) -> Result<()> {
    let name = aside.file_name().context("the directory for the old tree has no name")?;
    OpenDirectory::open(&deployment.path)?.make(name)?;
    for name in old_tree(deployment)? {
        let (from, to) = (deployment.path.join(&name), aside.join(&name));
        let flags = match published_path::keep_published(&deployment.recipe.published, &name, &to)? {
            true => RenameFlags::EXCHANGE,
            false => RenameFlags::NOREPLACE,
        };
        renameat_with(CWD, &from, CWD, &to, flags)
            .with_context(|| format!("cannot move {} to {}", from.display(), to.display()))?;
    }
    release::sync_directory(&deployment.path)
}

/// Processes that stand in the old tree, or run a program of it: as far as we may see, `PID: arguments`. We, and the shell that
/// asked, are none of them.
pub fn processes_in_old_tree(deployment: &Deployment) -> Vec<String> {
    let old = |path: PathBuf| {
        let Ok(inner) = path.strip_prefix(&deployment.path) else { return false };
        let first = inner.components().next().map(|first| first.as_os_str().to_string_lossy().into_owned());
        first.is_none_or(|first| !OWN_NAMES.contains(&first.as_str()) && !first.starts_with(ASIDE))
    };
    let own = [std::process::id(), std::os::unix::process::parent_id()];
    let is_own = |process: &Process| own.contains(&process.pid.unsigned_abs());
    let stands = |process: &Process| [process.directory(), process.program()].into_iter().flatten().any(old);
    let shown = |process: &Process| {
        let arguments: String = process.arguments.join(" ").chars().take(ARGUMENTS_SHOWN_CHARS_MAX).collect();
        format!("{}: {arguments}", process.pid)
    };
    let processes = process_table::all().unwrap_or_default();
    processes.iter().filter(|process| !is_own(process) && stands(process)).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_is_shared_is_the_same_file_and_comes_back_from_any_state() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("server/keys")).unwrap();
        fs::write(root.join("server/.env"), "secret").unwrap();
        symlink("server/.env", root.join("relative")).unwrap();
        let number = |path: &str| fs::metadata(root.join(path)).unwrap().ino();
        let before = (number("server/.env"), number("server/keys"));
        let paths = ["server/.env", "server/keys", "relative"].map(Path::new);
        for _ in 0..2 {
            paths.iter().for_each(|path| share(root, path).unwrap());
            assert_eq!((number("server/.env"), number("server/keys")), before);
            assert_eq!((number("shared/server/.env"), number("shared/server/keys")), before);
            assert!(root.join("server/keys").is_symlink() && !root.join("shared/server/keys").is_symlink());
            assert_eq!(fs::read_to_string(root.join("shared/relative")).unwrap(), "secret");
        }
        for _ in 0..2 {
            paths.iter().for_each(|path| unshare(root, path).unwrap());
            assert_eq!((number("server/.env"), number("server/keys")), before);
            assert!(!root.join("server/keys").is_symlink() && !root.join("shared/server/keys").exists());
        }
        // Begun, and interrupted before the exchange.
        symlink(root.join("shared/server/.env"), root.join("shared/server/.env")).unwrap();
        unshare(root, paths[0]).unwrap();
        assert!(root.join("shared/server/.env").symlink_metadata().is_err());
        symlink(root.join("shared/server/.env"), root.join("shared/server/.env")).unwrap();
        share(root, paths[0]).unwrap();
        assert_eq!(fs::read_to_string(root.join("shared/server/.env")).unwrap(), "secret");
    }

    #[test]
    fn nothing_behind_a_link_is_moved_and_nothing_that_lies_there_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (root, elsewhere) = (directory.path().join("root"), directory.path().join("elsewhere"));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&elsewhere).unwrap();
        fs::write(elsewhere.join(".env"), "not ours").unwrap();
        symlink(&elsewhere, root.join("server")).unwrap();
        assert!(share(&root, Path::new("server/.env")).is_err());
        assert!(share(&root, Path::new("../elsewhere/.env")).is_err());
        assert!(!elsewhere.join(".env").is_symlink());

        fs::create_dir_all(root.join("shared")).unwrap();
        fs::write(root.join("a"), "one").unwrap();
        fs::write(root.join("shared/a"), "another").unwrap();
        assert!(share(&root, Path::new("a")).is_err());
        assert_eq!(fs::read_to_string(root.join("shared/a")).unwrap(), "another");
        fs::write(root.join("shared/a"), "one").unwrap();
        share(&root, Path::new("a")).unwrap();
        assert!(!root.join("a").is_symlink(), "a copy of the same content is left alone");
    }

    #[test]
    fn what_nginx_and_units_name_of_the_old_tree_is_found_however_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let (root, nginx) = (directory.path().join("tree"), directory.path().join("nginx"));
        for made in ["local-live", "html", "current", "releases/1"] {
            fs::create_dir_all(root.join(made)).unwrap();
        }
        fs::create_dir_all(nginx.join("conf.d/deep")).unwrap();
        fs::write(root.join("local-live/[a].conf"), "").unwrap();
        let beside = directory.path().join("html");
        symlink(root.join("html"), &beside).unwrap();
        let mut deployment = crate::config::tests::deployment_of("");
        deployment.path = root.clone();
        let root = root.display();
        for (text, line) in [
            (format!("root {root}/html;"), Some(1)),
            (format!("\nroot \"{root}/html\";"), Some(2)),
            (format!("root {};", beside.display()), Some(1)),
            (format!("WorkingDirectory={root}"), Some(1)),
            (format!("Environment=PATH=/bin:{root}/bin"), Some(1)),
            (format!("ExecStart=-{root}/run.sh x"), Some(1)),
            (format!("# root {root}/html;\nroot {root}/current/html; root {root}/releases/1;"), None),
            (format!("root {root}-other/html; root {root}2;"), None),
        ] {
            assert_eq!(line_that_names(&text, &deployment), line, "{text}");
        }
        assert_eq!(links_from(&nginx, &deployment), Vec::<String>::new());
        symlink(format!("{root}/local-live/[a].conf"), nginx.join("conf.d/deep/[a].conf")).unwrap();
        symlink(nginx.join("conf.d/deep/[a].conf"), nginx.join("over-another")).unwrap();
        symlink(format!("{root}/gone"), nginx.join("to-nothing")).unwrap();
        symlink(format!("{root}/current/x"), nginx.join("to-what-is-live")).unwrap();
        assert_eq!(links_from(&nginx, &deployment).len(), 3, "{:?}", links_from(&nginx, &deployment));
    }
}
