//! Which of nginx's files are the deployer's.

use super::SitesStep;
use super::backup::{self, Original};
use super::manifest::Manifest;
use anyhow::Result;
use fs_err as fs;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The files that are there and ours: what is not wanted of them goes.
pub fn ours(step: &SitesStep) -> Result<BTreeSet<PathBuf>> {
    let manifest = Manifest::load(&step.state)?;
    let root = &step.nginx.directory;
    let mut ours = BTreeSet::new();
    for target in manifest.files.keys().cloned().chain(links_into(&step.checkout, root)?) {
        let path = root.join(&target);
        if is_ours(step, &target, &backup::look(&path)?, &manifest) {
            ours.insert(path);
        }
    }
    Ok(ours)
}

/// What may be replaced: nothing at all, a plain file that we wrote, or a link of the Python deployer's.
pub fn is_ours(step: &SitesStep, target: &str, found: &Original, manifest: &Manifest) -> bool {
    match found {
        Original::Missing => true,
        Original::File { .. } => manifest.files.contains_key(target),
        Original::Link(to) => to.starts_with(&step.checkout),
        Original::Other => false,
    }
}

/// Links into a directory that lie among nginx's files, also such as lead nowhere any more.
pub fn links_into(checkout: &Path, root: &Path) -> Result<Vec<String>> {
    let mut links = Vec::new();
    let mut pending: Vec<String> = DIRECTORIES.map(str::to_owned).to_vec();
    while let Some(directory) = pending.pop() {
        let Ok(entries) = fs::read_dir(root.join(&directory)) else { continue };
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = entry.file_type()?;
            let path = format!("{directory}/{name}");
            if kind.is_dir() {
                pending.push(path);
            } else if kind.is_symlink() && fs::read_link(entry.path())?.starts_with(checkout) {
                links.push(path);
            }
        }
    }
    Ok(links)
}

/// Where our files may lie.
const DIRECTORIES: [&str; 2] = ["conf.d", "snippets"];
