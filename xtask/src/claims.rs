//! Every claim of `docs/security.md` names a test: that each of them exists.

use crate::process::root;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Fails with the names in the tables' last column that no test has.
pub fn check() -> Result<()> {
    let page = root().join("docs/security.md");
    let text = std::fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let mut sources = String::new();
    collect(&root().join("crates"), &mut sources)?;
    let missing: Vec<&str> =
        named(&text).into_iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    if !missing.is_empty() {
        bail!("docs/security.md names tests that do not exist: {}", missing.join(", "));
    }
    Ok(())
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
}
