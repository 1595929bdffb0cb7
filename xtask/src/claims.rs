//! Every claim of `docs/explanation/security.md`, and every line of `docs/explanation/threats.md`, names a test: that each of them exists, and each file that is named.

use crate::process::root;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Where a file that a page names may lie.
const DIRECTORIES: [&str; 3] = ["", "crates/deployer/src", "crates/deployer/tests/it"];

/// A name of so many words is a test's: nothing else is called by a sentence.
const WORDS_OF_A_TEST: usize = 4;

/// Fails with the tests and files that are named and do not exist.
pub fn check() -> Result<()> {
    let mut sources = String::new();
    collect(&root().join("crates"), &mut sources)?;
    let mut missing = Vec::new();
    let is_test = |name: &str| sources.contains(&format!("fn {name}("));
    let page = read(&root().join("docs/explanation/security.md"))?;
    missing.extend(
        named(&page).into_iter().filter(|name| !is_test(name)).map(|name| format!("security.md: {name}")),
    );
    let page = read(&root().join("docs/explanation/threats.md"))?;
    for word in quoted(&page) {
        let is_there = match kind(word) {
            Kind::Test => is_test(word),
            Kind::File => DIRECTORIES.iter().any(|directory| root().join(directory).join(word).exists()),
            Kind::Other => true,
        };
        if !is_there {
            missing.push(format!("threats.md: {word}"));
        }
    }
    if !missing.is_empty() {
        bail!("the pages in docs/ name tests or files that do not exist: {}", missing.join(", "));
    }
    Ok(())
}

fn read(page: &Path) -> Result<String> {
    std::fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))
}

/// What a word in code quotes is.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Test,
    File,
    Other,
}

fn kind(word: &str) -> Kind {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if word.bytes().all(is_name) && word.split('_').count() >= WORDS_OF_A_TEST {
        return Kind::Test;
    }
    let is_path = word.starts_with(|first: char| first.is_ascii_lowercase()) && !word.contains(' ');
    let is_ours =
        word.ends_with(".rs") || ["crates/", "packaging/"].iter().any(|start| word.starts_with(start));
    if is_path && is_ours { Kind::File } else { Kind::Other }
}

/// The words in code quotes, but for those of blocks.
fn quoted(page: &str) -> Vec<&str> {
    page.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The names in the last column of each table that is headed `test`.
fn named(page: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_tests = false;
    for line in page.lines() {
        match line.strip_suffix(" |").and_then(|row| row.rsplit_once(" | ")) {
            Some((_, "test")) => is_tests = true,
            Some((_, last)) if is_tests => {
                names.extend(last.split('`').skip(1).step_by(2));
            }
            _ => is_tests = false,
        }
    }
    names
}

fn collect(directory: &Path, sources: &mut String) -> Result<()> {
    let entries =
        std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, sources)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            sources.push_str(&text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_tests_column() {
        let page = "| who | may |\n| --- | --- |\n| `a` | `b` |\n\n| claim | test |\n| --- | --- |\n| `x` holds | `one`, `two` |\ntext `no`\n| y | `no` |\n";
        assert_eq!(named(page), ["one", "two"]);
    }

    #[test]
    fn a_test_and_a_file_are_told_from_other_words() {
        for (word, expected) in [
            ("a_test_has_words", Kind::Test),
            ("webhook_secret", Kind::Other),
            ("intake.rs", Kind::File),
            ("security/leaks.rs", Kind::File),
            ("crates/privileged", Kind::File),
            ("packaging/sudo/durhack-deployer", Kind::File),
            ("GET /meta", Kind::Other),
            ("bad/", Kind::Other),
        ] {
            assert_eq!(kind(word), expected, "{word}");
        }
        assert_eq!(quoted("a `b` c `d`\ne"), ["b", "d"]);
    }
}
