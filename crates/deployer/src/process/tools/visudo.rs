//! `visudo`, as we call it: to have sudo's rules checked before sudo sees them. One wrong line locks everybody out of sudo.

use crate::config::CommandLine;
use std::path::Path;

/// Checks a file of rules by itself.
pub fn check(file: &Path) -> CommandLine {
    let words = ["visudo".to_owned(), "--check".into(), "--quiet".into()];
    let file = format!("--file={}", file.display());
    CommandLine::Argv(words.into_iter().chain([file]).collect())
}
