//! A lint: code in ARCHITECTURE.md is a part of a file that is compiled and tested. Above each block of Rust stands
//! `<!-- from FILE: NAME -->`; the block is what stands in that file between `// NAME: begin` and `// NAME: end`.

use anyhow::{Context, Result, bail};
use std::path::Path;

const PAGE: &str = "ARCHITECTURE.md";

pub fn check() -> Result<()> {
    let page = std::fs::read_to_string(PAGE).with_context(|| format!("cannot read {PAGE}"))?;
    let read =
        |file: &str| std::fs::read_to_string(Path::new(file)).with_context(|| format!("cannot read {file}"));
    let problems = stale(&page, &read)?;
    if !problems.is_empty() {
        bail!("{PAGE} differs from the code:\n{}", problems.join("\n"));
    }
    Ok(())
}

/// Blocks of Rust that are not as their file has them, in words.
fn stale(page: &str, read: &dyn Fn(&str) -> Result<String>) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut source = None;
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let number = at + 1;
        if let Some(mark) = line.strip_prefix("<!-- from ").and_then(|rest| rest.strip_suffix(" -->")) {
            source = mark.split_once(": ");
        } else if line == "```rust" {
            let block: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            let Some((file, name)) = source.take() else {
                problems.push(format!("line {number}: no `<!-- from FILE: NAME -->` above it"));
                continue;
            };
            match region(&read(file)?, name) {
                None => problems.push(format!("line {number}: {file} has no region `{name}`")),
                Some(code) if code != block => {
                    problems.push(format!("line {number}: it is not what {file} has as `{name}`; copy it"));
                }
                Some(_) => {}
            }
        }
    }
    Ok(problems)
}

fn region<'a>(text: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let (_, rest) = text.split_once(&format!("// {name}: begin\n"))?;
    let (code, _) = rest.split_once(&format!("// {name}: end\n"))?;
    Some(code.lines().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(page: &str) -> Vec<String> {
        let read = |_: &str| Ok("x\n// how-to: begin\nfn f() {}\n// how-to: end\ny\n".to_owned());
        stale(page, &read).unwrap()
    }

    #[test]
    fn a_block_is_compared_with_its_region() {
        let block = |code: &str| format!("a\n<!-- from a.rs: how-to -->\n\n```rust\n{code}\n```\nb\n");
        assert_eq!(found(&block("fn f() {}")), Vec::<String>::new());
        assert_eq!(found(&block("fn g() {}")), ["line 4: it is not what a.rs has as `how-to`; copy it"]);
        assert_eq!(found("```rust\nfn f() {}\n```\n"), ["line 1: no `<!-- from FILE: NAME -->` above it"]);
        assert_eq!(found("```text\nanything\n```\n"), Vec::<String>::new());
        let other = "<!-- from a.rs: other -->\n```rust\n```\n";
        assert_eq!(found(other), ["line 2: a.rs has no region `other`"]);
    }
}
