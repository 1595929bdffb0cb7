//! `cargo xtask generate`: the files that the program itself knows best.
//!
//! The product's binary has a hidden subcommand, `__generate DIRECTORY`, that writes them; so they come from the
//! very definitions that the program runs with. They are committed, and `cargo xtask check` compares.

use crate::process::{cargo, root, run as run_command};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Directories in which everything is generated: what is not generated any more must go.
const WHOLLY_GENERATED: [&str; 2] = ["packaging/completions", "packaging/man"];

/// Files that must be among the generated ones; a generator that writes nothing would compare well.
const EXPECTED: [&str; 4] = [
    "docs/reference/configuration.md",
    "docs/reference/configuration.schema.json",
    "docs/reference/cli.md",
    "packaging/man/durhack-deployer.1",
];

/// Writes them into the work tree.
pub fn run() -> Result<()> {
    write_into(root())
}

/// Fails with the names of the files that are not what the program would generate.
pub fn check() -> Result<()> {
    let fresh = root().join("target/generated");
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh).with_context(|| format!("cannot clear {}", fresh.display()))?;
    }
    std::fs::create_dir_all(&fresh).with_context(|| format!("cannot make {}", fresh.display()))?;
    write_into(&fresh)?;
    let generated = files_under(&fresh)?;
    for expected in EXPECTED {
        if !generated.iter().any(|path| path == Path::new(expected)) {
            bail!("`durhack-deployer __generate` did not write {expected}");
        }
    }
    let stale = stale(&fresh, root(), &generated)?;
    if !stale.is_empty() {
        bail!("not what the program would generate:\n  {}\nhint: cargo xtask generate", stale.join("\n  "));
    }
    Ok(())
}

fn write_into(directory: &Path) -> Result<()> {
    let mut generate =
        cargo(["run", "--quiet", "--locked", "--package", "durhack-deployer", "--", "__generate"]);
    run_command(generate.arg(directory))
}

/// What differs, is missing, or is left over from earlier.
fn stale(fresh: &Path, committed: &Path, generated: &[PathBuf]) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    for path in generated {
        let wanted =
            std::fs::read(fresh.join(path)).with_context(|| format!("cannot read {}", path.display()))?;
        if !std::fs::read(committed.join(path)).is_ok_and(|found| found == wanted) {
            stale.push(path.display().to_string());
        }
    }
    for directory in WHOLLY_GENERATED {
        let directory = Path::new(directory);
        for path in files_under(&committed.join(directory))? {
            let path = directory.join(path);
            if !generated.contains(&path) {
                stale.push(format!("{} (left over)", path.display()));
            }
        }
    }
    Ok(stale)
}

/// Every file below a directory, relative to it, sorted; none where there is no such directory.
fn files_under(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        if !next.exists() {
            continue;
        }
        for entry in std::fs::read_dir(&next).with_context(|| format!("cannot list {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                files.push(path.strip_prefix(directory).expect("it lies below").to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_differs_is_missing_or_left_over() {
        let base = root().join(format!("target/generate-test-{}", std::process::id()));
        let (fresh, committed) = (base.join("fresh"), base.join("committed"));
        for (path, content) in [
            (fresh.join("docs/same.md"), "same"),
            (fresh.join("docs/changed.md"), "new"),
            (fresh.join("docs/missing.md"), "new"),
            (committed.join("docs/same.md"), "same"),
            (committed.join("docs/changed.md"), "old"),
            (committed.join("docs/by-hand.md"), "not generated"),
            (committed.join("packaging/man/old.1"), "left over"),
        ] {
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("target is writable");
            std::fs::write(path, content).expect("target is writable");
        }
        let generated = files_under(&fresh).expect("readable");
        let stale = stale(&fresh, &committed, &generated).expect("readable");
        std::fs::remove_dir_all(&base).expect("it is ours");
        assert_eq!(stale, ["docs/changed.md", "docs/missing.md", "packaging/man/old.1 (left over)"]);
    }
}
