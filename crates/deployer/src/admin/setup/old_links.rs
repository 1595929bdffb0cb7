//! The links that the Python tool has made among nginx's files, into the checkouts of deployments of sites. The helper makes files of them, or
//! lets the first deploy replace them; each is kept before, and comes back on the way back.
//!
//! nginx reads the same before and after, so it need not hear of it.

use super::aside;
use super::journal::{Journal, MovedAside, remember};
use super::reached::{Reached, as_user};
use crate::admin::host::accounts::account;
use crate::admin::host::ask::ask;
use crate::admin::host::paths;
use crate::base::digest::sha256_hex;
use crate::base::names::Slug;
use crate::config::Config;
use crate::process::executor::Executor;
use crate::process::tools::nginx;
use crate::steps::nginx::manifest::Manifest;
use anyhow::{Context, Result};
use fs_err as fs;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The paths of the deployments of sites, as a link may name them.
pub fn trees(config: &Config) -> BTreeMap<Slug, BTreeSet<PathBuf>> {
    let deployments = config.deployments.values();
    let sites = deployments.filter(|deployment| deployment.recipe.sites.is_some());
    sites.map(|deployment| (deployment.slug.clone(), names_of(&deployment.path))).collect()
}

/// A path as it is written, and without the links on it.
pub fn names_of(path: &Path) -> BTreeSet<PathBuf> {
    [Some(path.to_owned()), fs::canonicalize(path).ok()].into_iter().flatten().collect()
}

/// The links into these directories that lie among nginx's files.
pub fn find(trees: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mut links = Vec::new();
    let mut pending = paths::NGINX_SITES.map(|name| Path::new(paths::NGINX).join(name)).to_vec();
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type());
            if kind.as_ref().is_ok_and(std::fs::FileType::is_dir) {
                pending.push(path);
            } else if fs::read_link(&path).is_ok_and(|to| trees.iter().any(|tree| to.starts_with(tree))) {
                links.push(path);
            }
        }
    }
    links.sort();
    links
}

/// Keeps the links, and has the helper take them over. What there is to be said of it.
pub async fn hand_over(
    config: &Config,
    journal: &mut Journal,
    date: &str,
    executor: &Executor,
) -> Result<Vec<String>> {
    let trees = trees(config);
    let all: BTreeSet<PathBuf> = trees.values().flatten().cloned().collect();
    for link in find(&all) {
        remember(&mut journal.links, date, &Reached::entry(&link)?)?;
    }
    journal.save()?;
    if journal.links.is_empty() || !nginx::root_writes(&config.nginx, config.privileges) {
        return Ok(Vec::new());
    }
    let printed = ask(executor, &nginx::adopt_links(&all)).await?;
    for (slug, trees) in &trees {
        note_ours(slug, trees, &journal.links)?;
    }
    let mut said: Vec<String> =
        printed.lines().filter(|line| !line.ends_with(": root's now")).map(str::to_owned).collect();
    let taken = journal.links.iter().filter(|kept| !kept.path.is_symlink()).count();
    said.push(format!("{taken} links of the old tool's among nginx's files are files of root's now, and their deployments may replace them"));
    Ok(said)
}

/// The deployment knows as its own what was a link into its path.
fn note_ours(slug: &Slug, trees: &BTreeSet<PathBuf>, links: &[MovedAside]) -> Result<()> {
    let mut files = BTreeMap::new();
    for link in links.iter().filter(|link| leads_into(link, trees)) {
        let reached = Reached::exactly(&link.path)?;
        if let (Ok(target), Ok(content)) =
            (link.path.strip_prefix(paths::NGINX), reached.read(nginx_policy::FILE_BYTES_MAX as u64))
        {
            files.insert(target.to_string_lossy().into_owned(), sha256_hex(&content.bytes));
        }
    }
    if files.is_empty() {
        return Ok(());
    }
    let account = account(&paths::user())?.context("the deployer's user is there")?;
    let state = Path::new(paths::STATE).join("nginx").join(slug.as_str());
    as_user(account, || {
        let mut manifest = Manifest::load(&state)?;
        manifest.files.extend(files);
        manifest.save(&state)
    })
}

fn leads_into(link: &MovedAside, trees: &BTreeSet<PathBuf>) -> bool {
    fs::read_link(&link.kept).is_ok_and(|to| trees.iter().any(|tree| to.starts_with(tree)))
}

/// What root has written among nginx's files for the deployer, and the old tool had no link for: it stays, and the old tool cannot put a link
/// into its place.
pub fn come_since(journal: &Journal) -> Vec<PathBuf> {
    #[derive(Deserialize)]
    struct Owned {
        files: BTreeSet<String>,
    }
    let list = fs::read(Path::new(paths::STATE_OF_ROOT).join("sites.json")).unwrap_or_default();
    let owned = serde_json::from_slice::<Owned>(&list).map(|owned| owned.files).unwrap_or_default();
    let paths = owned.iter().map(|target| Path::new(paths::NGINX).join(target));
    let is_new = |path: &PathBuf| !journal.links.iter().any(|link| link.path == *path);
    paths.filter(|path| is_new(path) && path.symlink_metadata().is_ok_and(|found| found.is_file())).collect()
}

/// What is in a place that something is to be brought back to.
#[derive(Debug)]
pub struct Present {
    reached: Reached,
    what: What,
}

#[derive(Debug)]
enum What {
    Nothing,
    Link(PathBuf, super::reached::Ids),
    File(super::reached::Content),
}

impl Present {
    /// Looks, and keeps what is there: an administrator may have changed it since.
    pub fn keep(kept: &MovedAside, date: &str) -> Result<Self> {
        let reached = aside::way_back(&kept.kept, &kept.path)?;
        let what = match reached.link() {
            Some((to, owner)) => What::Link(to, owner),
            None => match reached.read(super::reached::TEXT_BYTES_MAX) {
                Ok(content) => What::File(content),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => What::Nothing,
                Err(error) => return Err(error.into()),
            },
        };
        if let What::File(content) = &what {
            aside::keep_content(content, &aside::place_of(date, &kept.path))?;
        }
        Ok(Self { reached, what })
    }

    /// Puts it back.
    pub fn put_back(self) -> Result<()> {
        match self.what {
            What::Nothing => self.reached.remove(),
            What::Link(to, owner) => self.reached.make_link(&to, owner),
            What::File(content) => self.reached.write(&content),
        }
    }
}
