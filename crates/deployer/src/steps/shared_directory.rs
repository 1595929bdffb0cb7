//! What a shared directory hides of a release, or takes from it.

use crate::base::files::safe_path::{FileKind, OpenDirectory};
use crate::base::words::counted;
use anyhow::Result;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// As many paths as a person reads.
const NAMED_MAX: usize = 5;

/// Files that only keep a directory in git.
pub fn is_placeholder(name: Option<&OsStr>) -> bool {
    const PLACEHOLDERS: [&str; 3] = [".gitkeep", ".keep", ".gitignore"];
    name.is_some_and(|name| PLACEHOLDERS.iter().any(|placeholder| name == *placeholder))
}

pub fn hides(path: &Path, hidden: &[&Path]) -> Option<String> {
    let names: Vec<String> = hidden.iter().map(|file| path.join(file).display().to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let shown = path.display();
    (!names.is_empty()).then(|| {
        format!(
            "shared/{shown} hides {} that it does not have itself: {}. Copy what is needed there, or take {shown} out of `shared_dirs`",
            counted(names.len(), "file of the repository", "files of the repository"),
            listed(&names)
        )
    })
}

/// What a shared directory hides of a release, or takes from it: a new one begins with what the repository has in its place, as the files of
/// a framework's skeleton are needed; one that has something already stays as it is.
pub fn take_over(release: &Path, shared: &OpenDirectory, path: &Path) -> Result<Option<String>> {
    let of_release = match OpenDirectory::open(release).and_then(|release| release.below(path, false)) {
        Ok(directory) => directory,
        // A link, a file or nothing: the link to the shared directory takes its place.
        Err(_) => return Ok(None),
    };
    let shown = path.display();
    if shared.names()?.is_empty() {
        let names = of_release.names()?;
        let moved = names.iter().try_for_each(|name| of_release.move_to(name, shared));
        return match moved {
            Ok(()) if names.is_empty() => Ok(None),
            Ok(()) => {
                Ok(Some(format!("shared/{shown} is new, and begins with what the repository has in {shown}")))
            }
            Err(refused) => Ok(Some(format!(
                "shared/{shown} stays without what the repository has in {shown}: {refused}"
            ))),
        };
    }
    let mut hidden = Vec::new();
    hidden_files(&of_release, shared, Path::new(""), &mut hidden)?;
    let hidden: Vec<&Path> = hidden.iter().map(PathBuf::as_path).collect();
    Ok(hides(path, &hidden))
}

/// Files that one directory has and the other lacks.
fn hidden_files(
    of_release: &OpenDirectory,
    shared: &OpenDirectory,
    inner: &Path,
    hidden: &mut Vec<PathBuf>,
) -> Result<()> {
    for name in of_release.names()? {
        let path = inner.join(&name);
        match (of_release.kind(&name)?, shared.kind(&name)?) {
            (Some(FileKind::Directory), Some(FileKind::Directory)) => {
                hidden_files(&of_release.child(&name)?, &shared.child(&name)?, &path, hidden)?;
            }
            (Some(_), None) if !is_placeholder(Some(&name)) => {
                hidden.push(path);
            }
            _ => {}
        }
    }
    Ok(())
}

pub fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(NAMED_MAX) {
        Some(more @ 1..) => format!("{shown} and {more} more"),
        _ => shown,
    }
}
