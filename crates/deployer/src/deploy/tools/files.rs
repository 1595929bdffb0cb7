//! `rm` and `chmod`, as we call them: on trees that builds have made.

use super::Invocation;
use std::ffi::OsString;
use std::path::Path;

/// Removes a tree. What somebody has mounted in it stays, and is an error.
pub fn remove(path: &Path) -> Invocation {
    on(path, &["rm", "--recursive", "--force", "--one-file-system", "--"])
}

/// Gives the caller, who owns it, back the right to change a tree. Where somebody else can put a link in the place of a file at the right moment,
/// it follows that.
pub fn make_writable(path: &Path) -> Invocation {
    on(path, &["chmod", "--recursive", "--quiet", "u+rwX", "--"])
}

fn on(path: &Path, words: &[&str]) -> Invocation {
    let words = words.iter().map(OsString::from);
    Invocation { argv: words.chain([path.into()]).collect(), environment: std::collections::BTreeMap::new() }
}
