//! The files: `/etc/sudoers` and what it includes, in sudo's order, as lines.

use super::SudoersLine;
use anyhow::{Result, bail};
use fs_err as fs;
use std::path::{Path, PathBuf};

/// Files in files, at most; sudo's own limit is 128, and hosts have two.
const INCLUDE_DEPTH_MAX: usize = 16;

/// Reads a file and all that it includes. An error where one of them cannot be read.
pub fn read(file: &Path) -> Result<Vec<SudoersLine>> {
    let mut lines = Vec::new();
    read_into(file, 0, &mut lines)?;
    Ok(lines)
}

fn read_into(file: &Path, depth: usize, lines: &mut Vec<SudoersLine>) -> Result<()> {
    if depth > INCLUDE_DEPTH_MAX {
        bail!("{}: files are included in files {INCLUDE_DEPTH_MAX} deep", file.display());
    }
    let bytes = fs::read(file)?;
    let directory = file.parent().unwrap_or(Path::new("/"));
    for (number, text) in joined(&String::from_utf8_lossy(&bytes)) {
        match included(&text) {
            Some(Included::File(path)) => read_into(&directory.join(path), depth + 1, lines)?,
            Some(Included::Directory(path)) => {
                for file in files_of(&directory.join(path))? {
                    read_into(&file, depth + 1, lines)?;
                }
            }
            None => {
                let text = without_comment(&text).trim().to_owned();
                if !text.is_empty() {
                    lines.push(SudoersLine { place: format!("{}:{number}", file.display()), text });
                }
            }
        }
    }
    Ok(())
}

/// Lines, with those that end in a backslash joined to the next, and the number of their first.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut joined = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let (number, mut whole) = open.take().unwrap_or((index + 1, String::new()));
        match line.strip_suffix('\\') {
            Some(beginning) => {
                whole.push_str(beginning);
                open = Some((number, whole));
            }
            None => {
                whole.push_str(line);
                joined.push((number, whole));
            }
        }
    }
    joined.extend(open);
    joined
}

enum Included {
    File(PathBuf),
    Directory(PathBuf),
}

fn included(line: &str) -> Option<Included> {
    let rest = line.trim_start().strip_prefix(['@', '#'])?;
    let (word, path) = rest.split_once([' ', '\t'])?;
    let path = PathBuf::from(path.trim().trim_matches('"').replace("\\ ", " "));
    match word {
        "include" => Some(Included::File(path)),
        "includedir" => Some(Included::Directory(path)),
        _ => None,
    }
}

/// Those that sudo reads: names with a `.` or a `~` at the end are an editor's or a packager's.
fn files_of(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.contains('.') && !name.ends_with('~') && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// `#` begins a comment, unless a number follows it: then it is a user's or a group's.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, character) in line.char_indices() {
        let escaped = line[..at].ends_with('\\');
        match character {
            '"' if !escaped => quoted = !quoted,
            '#' if !quoted && !escaped => {
                let before = line[..at].chars().next_back();
                let is_word = before.is_none_or(|before| before.is_whitespace() || "%,!(".contains(before));
                let is_number = line[at + 1..].starts_with(|next: char| next.is_ascii_digit());
                if !(is_word && is_number) {
                    return &line[..at];
                }
            }
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_are_followed_in_order_and_editors_files_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        fs::create_dir(directory.path().join("sudoers.d")).unwrap();
        write(
            "sudoers",
            "# a comment\nroot ALL=(ALL) ALL # another\n@include more\n#includedir sudoers.d\n#1000 ALL= \\\n  /bin/a, \\\n  /bin/b\nDefaults secure_path=\"/bin#x\"\n@includedir /no/such\n",
        );
        write("more", "ada ALL=/bin/c\n");
        write("sudoers.d/20-b", "bob ALL=/bin/d");
        write("sudoers.d/10-a", "eve ALL=(#0) /bin/e\\\n");
        write("sudoers.d/old.conf", "mal ALL=ALL\n");
        write("sudoers.d/10-a~", "mal ALL=ALL\n");
        let lines = read(&directory.path().join("sudoers")).unwrap();
        let shown: Vec<String> = lines
            .iter()
            .map(|line| {
                let place = line.place.rsplit('/').next().unwrap();
                format!("{place} {}", line.text.split_whitespace().collect::<Vec<_>>().join(" "))
            })
            .collect();
        assert_eq!(
            shown,
            [
                "sudoers:2 root ALL=(ALL) ALL",
                "more:1 ada ALL=/bin/c",
                "10-a:1 eve ALL=(#0) /bin/e",
                "20-b:1 bob ALL=/bin/d",
                "sudoers:5 #1000 ALL= /bin/a, /bin/b",
                "sudoers:8 Defaults secure_path=\"/bin#x\"",
            ]
        );
        write("loop", "@include loop\n");
        assert!(read(&directory.path().join("loop")).is_err());
        assert!(read(&directory.path().join("none")).is_err());
    }
}
