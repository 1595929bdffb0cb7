//! A lint: a link of a document that the package brings leads to a file that the package brings too.
//!
//! A test looks at the built package itself; this says the same without building one.

use crate::links::{links, normal, pages};
use crate::process::{capture, cargo, root};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where the package's documents lie.
const DOCUMENTS: &str = "usr/share/doc/durhack-deployer/";

/// Fails with the page and line of each link that leads nowhere in the package.
pub fn check() -> Result<()> {
    let installed = installed()?;
    let pages = pages()?;
    let known: BTreeSet<&PathBuf> = installed.values().collect();
    let packed = pages.iter().filter_map(|(page, text)| Some((page, installed.get(page)?, text.as_str())));
    let problems = broken(packed, &known);
    if !problems.is_empty() {
        bail!(
            "links that lead nowhere in the package (its assets are in crates/deployer/Cargo.toml):\n{}",
            problems.join("\n")
        );
    }
    Ok(())
}

/// Of pages, with where the package puts them and their text, the links to what it does not bring.
fn broken<'a>(
    pages: impl Iterator<Item = (&'a PathBuf, &'a PathBuf, &'a str)>,
    known: &BTreeSet<&PathBuf>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (page, place, text) in pages {
        for (line, target) in links(text) {
            let file = target.split('#').next().unwrap_or_default();
            let path = normal(&place.parent().unwrap_or(Path::new("")).join(file));
            // A link to a directory leads to what is in it.
            if !file.is_empty() && !known.iter().any(|installed| installed.starts_with(&path)) {
                problems.push(format!("{}:{line}: {target}", page.display()));
            }
        }
    }
    problems
}

/// Files of the repository that the package puts among its documents, with their paths there.
fn installed() -> Result<BTreeMap<PathBuf, PathBuf>> {
    let printed = capture(&mut cargo(["metadata", "--no-deps", "--locked", "--format-version", "1"]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&printed).context("`cargo metadata` prints JSON")?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let assets = packages.filter_map(|package| package["metadata"]["deb"]["assets"].as_array()).flatten();
    let mut installed = BTreeMap::new();
    for asset in assets {
        let (Some(pattern), Some(place)) = (asset[0].as_str(), asset[1].as_str()) else { continue };
        if !place.starts_with(DOCUMENTS) {
            continue;
        }
        let pattern = normal(&Path::new("crates/deployer").join(pattern));
        for file in matching(&pattern)? {
            let name = file.file_name().context("an asset is a file")?;
            let place = if place.ends_with('/') { Path::new(place).join(name) } else { PathBuf::from(place) };
            installed.insert(file, place);
        }
    }
    if installed.is_empty() {
        bail!("crates/deployer/Cargo.toml names no documents for the package");
    }
    Ok(installed)
}

/// Files that fit a pattern with one `*` in its last part, or none; relative to the repository.
fn matching(pattern: &Path) -> Result<Vec<PathBuf>> {
    let directory = pattern.parent().unwrap_or(Path::new(""));
    let name = pattern.file_name().and_then(|name| name.to_str()).context("a pattern is text")?;
    let Some((start, end)) = name.split_once('*') else { return Ok(vec![pattern.to_owned()]) };
    let full = root().join(directory);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&full).with_context(|| format!("cannot list {}", full.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file() && name.starts_with(start) && name.ends_with(end) {
            found.push(directory.join(name));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_what_is_not_packed_is_found() {
        let (page, place) = (PathBuf::from("docs/a.md"), PathBuf::from("usr/share/doc/x/docs/a.md"));
        let beside = PathBuf::from("usr/share/doc/x/docs/b.md");
        let known = BTreeSet::from([&place, &beside]);
        let text = "[b](b.md#c) [self](#d)\n[code](../crates/e.rs) [all](../docs/) [web](https://x.org)";
        assert_eq!(broken([(&page, &place, text)].into_iter(), &known), ["docs/a.md:2: ../crates/e.rs"]);
    }

    #[test]
    fn the_package_brings_every_page_of_docs() {
        let installed = installed().expect("cargo knows its packages");
        for (page, _) in pages().expect("git lists them") {
            assert!(!page.starts_with("docs") || installed.contains_key(&page), "{}", page.display());
        }
    }
}
