//! The access lists of what lies among nginx's files, as `getfacl` has listed them before setup took the old tool's entries away, given back.
//!
//! They are given to what is held open, and only where nobody but root can have put that there: by a path, whoever owns a directory on the way
//! could have the list of any file of the host changed. What lies with such a user is that user's to give.

use super::moving::words;
use super::reached::Reached;
use crate::admin::host::inspect::ask;
use crate::process::executor::Executor;
use anyhow::Result;
use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Held at once.
const HELD_MAX: usize = 200;

/// Of one file or directory.
#[derive(Debug, PartialEq, Eq)]
struct List {
    path: PathBuf,
    /// `setuid` and its kin, as `getfacl` shows them.
    flags: Option<String>,
    entries: String,
}

/// Gives them back; what could not be given, with the reason.
pub async fn give_back(printed: &str, executor: &Executor) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for lists in read(printed).chunks(HELD_MAX) {
        let mut held = Vec::new();
        let mut restore = tempfile::NamedTempFile::new()?;
        for list in lists {
            match Reached::exactly(&list.path).and_then(|reached| reached.held()) {
                Ok((file, found)) => {
                    // The kernel leads from there to what is held, whatever lies at its path by now.
                    writeln!(restore, "# file: /proc/{}/fd/{}", std::process::id(), file.as_raw_fd())?;
                    if let Some(flags) = list.flags.as_ref().filter(|_| found.is_dir()) {
                        writeln!(restore, "{flags}")?;
                    }
                    writeln!(restore, "{}", list.entries)?;
                    held.push(file);
                }
                Err(error) => left.push(format!("{}: {error:#}", list.path.display())),
            }
        }
        // Nobody is made an owner: no such line is in it.
        ask(executor, &words(&["setfacl", &format!("--restore={}", restore.path().display())])).await?;
    }
    Ok(left)
}

fn read(printed: &str) -> Vec<List> {
    let blocks = printed.split("\n\n").map(str::trim_start);
    blocks
        .filter_map(|block| {
            let path = unescaped(block.lines().next()?.strip_prefix("# file: ")?);
            let flags = block.lines().find(|line| line.starts_with("# flags: ")).map(str::to_owned);
            let entries = block.lines().filter(|line| !line.starts_with('#'));
            Some(List { path, flags, entries: entries.map(|line| format!("{line}\n")).collect() })
        })
        .collect()
}

/// A path as `getfacl` writes it: what is not plain stands there as `\ooo`.
fn unescaped(text: &str) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let octal = rest.get(1..4).filter(|_| *first == b'\\');
        let octal = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &rest[4..] } else { after };
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_nobody_is_made_an_owner() {
        let printed = "# file: /etc/nginx/snippets\n# owner: root\n# group: root\n# flags: -s-\nuser::rwx\nuser:d:rwx\ndefault:user:d:rwx\n\n\
             # file: /etc/nginx/snippets/a\\040b\\134c\n# owner: d\n# group: d\nuser::rw-\n\n";
        let list = |path: &str, flags: Option<&str>, entries: &str| List {
            path: path.into(),
            flags: flags.map(str::to_owned),
            entries: entries.into(),
        };
        let expected = [
            list("/etc/nginx/snippets", Some("# flags: -s-"), "user::rwx\nuser:d:rwx\ndefault:user:d:rwx\n"),
            list("/etc/nginx/snippets/a b\\c", None, "user::rw-\n"),
        ];
        assert_eq!(read(printed), expected);
    }
}
