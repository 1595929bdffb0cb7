//! `go`, as we call it.

use crate::config::CommandLine;
use std::path::Path;

/// Builds the package in the directory it is called in, to this file.
pub fn build(output: &Path) -> CommandLine {
    let words = [
        "go",
        "build",
        // Packages compiled for one release are found in the cache for the next, whose directory is another.
        "-trimpath",
        // A release has no `.git`; and in place, git may refuse one that is not its user's.
        "-buildvcs=false",
        "-o",
        &output.to_string_lossy(),
        ".",
    ];
    CommandLine::Argv(words.map(str::to_owned).to_vec())
}
