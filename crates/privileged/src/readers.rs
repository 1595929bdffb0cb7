//! What root's nginx would read, and whether anybody but root can change it. Looked at before nginx is tested, reloaded, or given to certbot.
//!
//! Site files are judged when root writes them ([`crate::sites`]); this is why nothing else comes in between: no file and no directory of nginx's
//! belongs to others, or can be written by them, and neither does what is linked or included from elsewhere. An access list that an
//! earlier version gave the deployer's user shows here too.
//!
//! What a file includes is known only if this program reads it as nginx does. One that nginx would read and that is not understood here is refused by
//! its name: taken for a file without includes, it could include what others write.
//!
//! Deliberately absent: any other check of what root wrote. What an administrator has nginx read, such as Lua files that a directive names, is
//! the administrator's.

use crate::allow_list::{AllowList, check_directories, check_owner};
use crate::request::Refusal;
use crate::sites::NGINX;
use nginx_policy::configuration;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Files, directories and links, at most: a host with thousands of sites has as many.
const ENTRIES_MAX: usize = 20_000;

/// A larger file is not read here.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What nginx reads first, and all else because of it.
const FIRST: &str = "nginx.conf";

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
    check_understood(list)
}

/// Follows nginx from its first file on: each that it reads is one that is understood here.
fn check_understood(list: &AllowList) -> Result<(), Refusal> {
    let mut pending = vec![Path::new(NGINX).join(FIRST)];
    let mut seen = BTreeSet::new();
    while let Some(path) = pending.pop() {
        let is_foreign =
            path.ancestors().any(|above| list.nginx_foreign.iter().any(|listed| listed == above));
        if is_foreign || !seen.insert(path.clone()) {
            continue;
        }
        if seen.len() > ENTRIES_MAX {
            return Err(Refusal(format!("nginx would read more than {ENTRIES_MAX} files")));
        }
        // What is not there nginx complains of.
        let Ok(found) = path.metadata() else { continue };
        let patterns = includes(&path, &found).map_err(|why| {
            let shown = path.display();
            Refusal(format!(
                "{shown} is not understood here ({why}), so what else it has root's nginx read is not known. Mend it; or, where nobody but root can \
                 change what it includes, add \"{shown}\" to `nginx_foreign` of {}",
                crate::allow_list::PATH
            ))
        })?;
        pending.extend(patterns.iter().flat_map(|pattern| matching(pattern)));
    }
    Ok(())
}

/// The patterns that a file includes. An error says why that is not known.
fn includes(path: &Path, found: &Metadata) -> Result<Vec<PathBuf>, String> {
    if !found.is_file() {
        return Ok(Vec::new());
    }
    if found.len() > FILE_BYTES_MAX {
        return Err(format!("it has {} bytes, and at most {FILE_BYTES_MAX} are read", found.len()));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    // nginx knows no encodings: each byte is a character here, and becomes that byte again.
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let directives = configuration::parse(&text).map_err(|error| error.to_string())?;
    let mut included = Vec::new();
    configuration::each(&directives, &mut |directive| {
        if directive.name() == "include" {
            included.extend(directive.argument().map(str::to_owned));
        }
    });
    let path = |pattern: String| {
        let bytes = pattern.chars().map(|character| u8::try_from(character).ok());
        bytes.collect::<Option<Vec<u8>>>().map(|bytes| Path::new(NGINX).join(OsString::from_vec(bytes)))
    };
    included.into_iter().map(path).collect::<Option<_>>().ok_or_else(|| "an include of it".into())
}

/// The files that a pattern of an `include` means to nginx, and perhaps more.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = part.as_os_str();
        if !part.as_bytes().iter().any(|byte| matches!(byte, b'*' | b'?' | b'[')) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let entries = |directory: &PathBuf| {
            let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
            let fitting = entries.filter(|entry| fits(part.as_bytes(), entry.file_name().as_bytes()));
            fitting.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        found = found.iter().flat_map(entries).collect();
    }
    found
}

/// Whether a name is what this part of a pattern means. What has brackets or a backslash in it is taken to mean any name from there on.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    // As glob(3) has it.
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    // Where to go on if the last `*` has to stand for one more.
    let mut again = None;
    let (mut at, mut of) = (0, 0);
    loop {
        match (pattern.get(at), name.get(of)) {
            (Some(b'[' | b'\\'), _) | (None, None) => return true,
            (Some(b'*'), _) => {
                again = Some((at, of + 1));
                at += 1;
            }
            (Some(b'?'), Some(_)) => (at, of) = (at + 1, of + 1),
            (Some(wanted), Some(has)) if wanted == has => (at, of) = (at + 1, of + 1),
            _ => match again {
                Some((star, next)) if next <= name.len() => {
                    again = Some((star, next + 1));
                    (at, of) = (star + 1, next);
                }
                _ => return false,
            },
        }
    }
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
    // Keys, pages and copies lie there too. What nginx reads of it must be understood: that is looked at after this.
    let included = includes(path, found).unwrap_or_default();
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

#[expect(clippy::needless_pass_by_value, reason = "as map_err wants it")]
fn hint(refusal: Refusal) -> Refusal {
    Refusal(format!(
        "root's nginx reads only what root alone can change: {}. `durhack-deployer setup` puts right what the deployer's user wrote; \
         what an administrator wants nginx to read all the same is listed in `nginx_foreign` of {}",
        refusal.0,
        crate::allow_list::PATH
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_where_glob_says_so_and_perhaps_elsewhere() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("*.conf", ".a.conf", false),
            ("*.conf", ".conf", false),
            (".*", ".a", true),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("?.x", "a.x", true),
            ("?.x", ".x", false),
            ("[ab].x", "c.x", true),
            ("a[", "b", false),
            ("\\.\\.", "x", true),
            ("a", "a", true),
            ("a", "ab", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
        let long = [b"a".repeat(200), b"b".to_vec()].concat();
        assert!(!fits(&b"*a".repeat(100), &long));
    }
}
