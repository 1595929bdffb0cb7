//! A lint: links between the documents lead to files that are there, and to headings that those have.

use crate::process::{capture, command};
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

pub fn check() -> Result<()> {
    let listed =
        capture(command("git").args(["ls-files", "--cached", "--others", "--exclude-standard", "*.md"]))?;
    let mut pages = BTreeMap::new();
    for name in listed.lines() {
        pages.insert(PathBuf::from(name), std::fs::read_to_string(name)?);
    }
    let problems = broken(&pages, &|path| path.exists());
    if !problems.is_empty() {
        bail!("links that lead nowhere:\n{}", problems.join("\n"));
    }
    Ok(())
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
fn normal(path: &Path) -> PathBuf {
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
fn links(text: &str) -> Vec<(usize, &str)> {
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
