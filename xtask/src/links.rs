//! A lint: links between the documents lead to files that are there, and to headings that those have.

use crate::process::{capture, command, root};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Where texts name documents that are not this repository's: what other programs print, and tests.
const WITHOUT_PAGES: [&str; 5] = [
    "crates/deployer/src/plan/input_digest.rs",
    "crates/deployer/src/process/cause/corpus/",
    "xtask/src/generate.rs",
    "xtask/src/links.rs",
    "xtask/src/packed.rs",
];

/// The list of all pages.
const INDEX: &str = "docs/README.md";

/// The directories of pages by their kind; decisions are for developers.
const KINDS: [&str; 4] = ["tutorials", "how-to", "reference", "explanation"];

/// Fails with the page and line of each link that leads nowhere.
pub fn check() -> Result<()> {
    let pages = pages()?;
    let problems = broken(&pages, &|path| path.exists());
    if !problems.is_empty() {
        bail!("links that lead nowhere:\n{}", problems.join("\n"));
    }
    let unexplained = without_glossary(&pages);
    if !unexplained.is_empty() {
        bail!(
            "pages that do not link to docs/glossary.md where they first use one of its words: {}",
            unexplained.join(", ")
        );
    }
    let unlisted = unlisted(&pages);
    if !unlisted.is_empty() {
        bail!("pages that docs/README.md does not list: {}", unlisted.join(", "));
    }
    Ok(())
}

/// Pages for users to which the index does not lead.
fn unlisted(pages: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let index = pages.get(Path::new(INDEX)).map_or("", String::as_str);
    let listed: Vec<PathBuf> =
        links(index).into_iter().map(|(_, target)| Path::new("docs").join(target)).collect();
    let missing = pages.keys().filter(|page| is_for_users(page) && !listed.contains(page));
    missing.map(|page| page.display().to_string()).collect()
}

fn is_for_users(page: &Path) -> bool {
    KINDS.iter().any(|kind| page.starts_with(Path::new("docs").join(kind)))
}

/// Pages for users that use the glossary's words and do not lead to it.
fn without_glossary(pages: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let missing = pages.iter().filter(|(page, text)| is_for_users(page) && !text.contains("glossary.md)"));
    missing.map(|(page, _)| page.display().to_string()).collect()
}

/// Fails with the file and line of each `docs/....md` that a message, a comment, a unit or a page names and that is not there.
pub fn check_mentions() -> Result<()> {
    let mut problems = Vec::new();
    let is_ours = |name: &String| !WITHOUT_PAGES.iter().any(|start| name.starts_with(start));
    for name in listed(&[])?.into_iter().filter(is_ours) {
        // What is no text names no page.
        let Ok(text) = std::fs::read_to_string(root().join(&name)) else { continue };
        for (line, page) in mentions(&text) {
            if !root().join(page).exists() {
                problems.push(format!("{name}:{line}: {page}"));
            }
        }
    }
    if !problems.is_empty() {
        bail!("documents that are named and not there:\n{}", problems.join("\n"));
    }
    Ok(())
}

/// Every document of the repository, with its text.
pub fn pages() -> Result<BTreeMap<PathBuf, String>> {
    let mut pages = BTreeMap::new();
    for name in listed(&["*.md"])? {
        let text =
            std::fs::read_to_string(root().join(&name)).with_context(|| format!("cannot read {name}"))?;
        pages.insert(PathBuf::from(name), text);
    }
    Ok(pages)
}

/// The repository's files that fit these patterns and are there, by their paths in it.
fn listed(patterns: &[&str]) -> Result<Vec<String>> {
    let mut list = command("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard", "--"]).args(patterns);
    let listed = capture(&mut list)?;
    Ok(listed.lines().filter(|name| root().join(name).exists()).map(str::to_owned).collect())
}

/// Documents of ours that a text names by their path, with their lines.
fn mentions(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (at, _) in line.match_indices("docs/") {
            let is_path = |letter: char| letter.is_ascii_alphanumeric() || "/-_.".contains(letter);
            // A longer path is another repository's or the web's, unless it is where the package puts ours.
            let is_ours =
                line[..at].ends_with("/usr/share/doc/durhack-deployer/") || !line[..at].ends_with(is_path);
            if !is_ours {
                continue;
            }
            let end = line[at..].find(|letter| !is_path(letter)).map_or(line.len(), |length| at + length);
            let page = line[at..end].trim_end_matches('.');
            if page.ends_with(".md") {
                found.push((index + 1, page));
            }
        }
    }
    found
}

fn broken(pages: &BTreeMap<PathBuf, String>, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    for (page, text) in pages {
        for (line, target) in links(text) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => page.clone(),
                _ => normal(&page.parent().unwrap_or(Path::new("")).join(file)),
            };
            let is_there = pages.get(&path).map_or_else(
                || heading.is_empty() && exists(&path),
                |text| heading.is_empty() || headings(text).iter().any(|slug| slug == heading),
            );
            if !is_there {
                problems.push(format!("{}:{line}: {target}", page.display()));
            }
        }
    }
    problems
}

/// Without `.` and `..`.
pub fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

/// Links to other places than the web, with their lines.
pub fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in outside_of_code(text) {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        let inner = targets
            .map(|(target, _)| target)
            .filter(|target| !target.contains("://") && !target.contains(' '));
        found.extend(inner.filter(|target| !target.starts_with("mailto:")).map(|target| (number, target)));
    }
    found
}

/// Headings as GitHub names them in addresses.
fn headings(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (_, line) in outside_of_code(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = title
            .trim()
            .chars()
            .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        let slug: String = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let same = found.iter().filter(|known| **known == slug).count();
        found.push(if same == 0 { slug } else { format!("{slug}-{same}") });
    }
    found
}

fn outside_of_code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        (!in_code && !is_fence).then_some((number + 1, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_for_users_leads_to_the_glossary() {
        let pages = [
            ("docs/how-to/a.md", "a [run](../glossary.md)"),
            ("docs/reference/recipes/b.md", "no word of it"),
            ("docs/decisions/c.md", ""),
            ("README.md", ""),
        ];
        let pages = pages.map(|(name, text)| (PathBuf::from(name), text.to_owned())).into();
        assert_eq!(without_glossary(&pages), ["docs/reference/recipes/b.md"]);
    }

    #[test]
    fn a_page_that_the_index_does_not_list_is_found() {
        let pages = [
            (INDEX, "[a](how-to/a.md) [glossary](glossary.md)"),
            ("docs/how-to/a.md", ""),
            ("docs/how-to/b.md", ""),
            ("docs/decisions/c.md", ""),
        ];
        let pages = pages.map(|(name, text)| (PathBuf::from(name), text.to_owned())).into();
        assert_eq!(unlisted(&pages), ["docs/how-to/b.md"]);
    }

    #[test]
    fn documents_are_found_where_a_text_names_them() {
        let text = "see docs/a.md.\n\"(docs/how-to/b.md, \\\"C\\\")\" https://x.org/docs/c.md ../docs/d.md\n\
                    Documentation=file:///usr/share/doc/durhack-deployer/docs/e.md docs/f.toml";
        assert_eq!(mentions(text), [(1, "docs/a.md"), (2, "docs/how-to/b.md"), (3, "docs/e.md")]);
    }

    #[test]
    fn a_link_without_its_file_or_its_heading_is_told() {
        let page = "# One\n[a](docs/b.md#two-words) [b](docs/b.md#none) [c](gone.md) [d](https://x.org/y.md)\n\
                    [e](#one) [f](#two) [g](code.rs)\n```sh\n[h](gone.md)\n```\n";
        let pages = [("a.md", page), ("docs/b.md", "# Two `words`\n[a](../a.md#one) [b](../c.md)\n")];
        let pages = pages.map(|(name, text)| (PathBuf::from(name), text.to_owned())).into();
        let found = broken(&pages, &|path| path == Path::new("code.rs"));
        assert_eq!(
            found,
            ["a.md:2: docs/b.md#none", "a.md:2: gone.md", "a.md:3: #two", "docs/b.md:2: ../c.md"]
        );
    }
}
