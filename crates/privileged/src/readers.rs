//! What root's nginx would read, and whether anybody but root can change it. Looked at before nginx is tested, reloaded, or given to certbot.
//!
//! Site files are judged when root writes them ([`crate::sites`]); this is why nothing else comes in between: no file and no directory of nginx's
//! belongs to others, or can be written by them, and neither does what is linked or included from elsewhere. An access list that an
//! earlier version gave the deployer's user shows here too.
//!
//! Deliberately absent: any other check of what root wrote. What an administrator has nginx read, such as Lua files that a directive names, is
//! the administrator's.

use crate::allow_list::{AllowList, check_directories, check_owner};
use crate::request::Refusal;
use crate::sites::NGINX;
use nginx_policy::configuration;
use std::collections::BTreeSet;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

/// Files, directories and links, at most: a host with thousands of sites has as many.
const ENTRIES_MAX: usize = 20_000;

/// A larger file is no configuration.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// An error names the first thing that others than root can change.
pub fn check(list: &AllowList) -> Result<(), Refusal> {
    check_directories(Path::new(NGINX))?;
    let mut pending = vec![PathBuf::from(NGINX)];
    let mut seen = BTreeSet::new();
    while let Some(path) = pending.pop() {
        if list.nginx_foreign.contains(&path) || !seen.insert(path.clone()) {
            continue;
        }
        if seen.len() > ENTRIES_MAX {
            return Err(Refusal(format!("nginx would read more than {ENTRIES_MAX} files")));
        }
        let found = match path.symlink_metadata() {
            Ok(found) => found,
            // Gone meanwhile, or named and not there: then nobody but root may be able to make it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                check_way(&path).map_err(hint)?;
                continue;
            }
            Err(error) => return Err(Refusal(format!("cannot look at {}: {error}", path.display()))),
        };
        pending.extend(check_one(&path, &found).map_err(hint)?);
    }
    Ok(())
}

/// Looks at one thing, and gives what it leads to.
fn check_one(path: &Path, found: &Metadata) -> Result<Vec<PathBuf>, Refusal> {
    let cannot = |error: std::io::Error| Refusal(format!("cannot read {}: {error}", path.display()));
    if found.is_symlink() {
        // What a link is called by its owner does not matter: its directory is root's.
        let to = std::fs::read_link(path).map_err(cannot)?;
        let to = path.parent().unwrap_or(path).join(to);
        let real = to.canonicalize().unwrap_or(to);
        check_way(&real)?;
        return Ok(vec![real]);
    }
    check_owner(path, found)?;
    if found.is_dir() {
        let entries = std::fs::read_dir(path).map_err(cannot)?;
        return entries.map(|entry| entry.map(|entry| entry.path()).map_err(cannot)).collect();
    }
    if !found.is_file() || found.len() > FILE_BYTES_MAX {
        return Ok(Vec::new());
    }
    // What root cannot read here (a key of another owner's) is no configuration.
    let text = std::fs::read(path).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let directives = configuration::parse(&text).unwrap_or_default();
    let mut included = Vec::new();
    configuration::each(&directives, &mut |directive| {
        if directive.name() == "include" {
            included.extend(directive.argument().map(|pattern| Path::new(NGINX).join(pattern)));
        }
    });
    let outside = included.into_iter().filter(|pattern| !pattern.starts_with(NGINX));
    outside.map(|pattern| from_pattern(&pattern)).collect()
}

/// What an `include` from outside of nginx's directory reads: the file, or all that lies in the last directory before its first wildcard.
fn from_pattern(pattern: &Path) -> Result<PathBuf, Refusal> {
    let is_wild =
        |part: &std::path::Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let plain: PathBuf = pattern.components().take_while(|part| !is_wild(part)).collect();
    let real = plain.canonicalize().unwrap_or(plain);
    check_way(&real)?;
    Ok(real)
}

/// The directories on the way to something, as far as they are there.
fn check_way(path: &Path) -> Result<(), Refusal> {
    let there = path.ancestors().skip(1).find(|directory| directory.exists());
    there.map_or(Ok(()), check_directories)
}

fn hint(refusal: Refusal) -> Refusal {
    Refusal(format!(
        "root's nginx reads only what root alone can change: {}. `durhack-deployer setup` puts right what the deployer's user wrote; \
         what an administrator wants nginx to read all the same is listed in `nginx_foreign` of {}",
        refusal.0,
        crate::allow_list::PATH
    ))
}
