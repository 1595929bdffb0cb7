//! `rm` and `chmod`, as we call them, on trees that builds have made; and small programs that read and write files as another user, in a
//! directory that this user can change at any moment.

use super::Invocation;
use crate::config::CommandLine;
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The kernel takes no variable of 128 KiB.
const CHUNK_BYTES_MAX: usize = 96 * 1024;

/// It takes about 2 MiB of arguments and environment altogether.
const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// Where a text stands that a program is to write: an argument could be read by everybody.
const TEXT: &str = "DEPLOYER_TEXT";

/// Writes a file that only its owner can read, in a directory that is made where it is missing. With the variables that it needs.
pub fn write(path: &Path, text: &str) -> Result<(CommandLine, BTreeMap<String, String>)> {
    if text.len() > TEXT_BYTES_MAX {
        bail!("{} bytes are too many for {}: at most {TEXT_BYTES_MAX}", text.len(), path.display());
    }
    let chunks = chunks(text).into_iter().enumerate();
    let variables: BTreeMap<String, String> =
        chunks.map(|(number, chunk)| (format!("{TEXT}_{number}"), chunk.to_owned())).collect();
    let words: Vec<String> = (0..variables.len()).map(|number| format!("\"${TEXT}_{number}\"")).collect();
    let program = format!(
        "umask 077; mkdir -p -- \"${{1%/*}}\" && rm -f -- \"$1\" && printf %s {} > \"$1\"",
        words.join(" ")
    );
    Ok((shell(&program, &[path]), variables))
}

fn chunks(mut text: &str) -> Vec<&str> {
    let mut chunks = Vec::new();
    while !text.is_empty() {
        let (chunk, rest) = text.split_at(text.floor_char_boundary(CHUNK_BYTES_MAX));
        chunks.push(chunk);
        text = rest;
    }
    chunks
}

/// Prints a file, if it is one.
pub fn read(path: &Path) -> CommandLine {
    shell("test -f \"$1\" && exec cat -- \"$1\"", &[path])
}

/// Prints the last bytes of a file, if it is one.
pub fn read_end(path: &Path, bytes: u64) -> CommandLine {
    shell(&format!("test -f \"$1\" && exec tail -c {bytes} -- \"$1\""), &[path])
}

/// Prints `yes` where one file was changed after another.
pub fn is_newer(path: &Path, than: &Path) -> CommandLine {
    shell("if test \"$1\" -nt \"$2\"; then echo yes; fi", &[path, than])
}

/// Removes files; what is not there is removed already.
pub fn remove_files(paths: &[PathBuf]) -> CommandLine {
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    shell("exec rm -f -- \"$@\"", &paths)
}

/// Makes a directory with links of the same names to these, and an empty file `touch`.
pub fn make_beside(directory: &Path, linked: &[PathBuf]) -> CommandLine {
    let paths: Vec<&Path> = std::iter::once(directory).chain(linked.iter().map(PathBuf::as_path)).collect();
    shell(
        "umask 077; d=$1; shift; mkdir -p -- \"$d\" && for f; do ln -sfn -- \"$f\" \"$d/${f##*/}\" || exit 1; done; : > \"$d/touch\"",
        &paths,
    )
}

/// Prints a line for each link: its path, a tab, and where it leads.
pub fn read_links(links: &[PathBuf]) -> CommandLine {
    let links: Vec<&Path> = links.iter().map(PathBuf::as_path).collect();
    shell("for l; do t=$(readlink -- \"$l\") && printf '%s\\t%s\\n' \"$l\" \"$t\"; done; :", &links)
}

/// Reads what [`read_links`] printed.
pub fn links(printed: &str) -> BTreeMap<PathBuf, PathBuf> {
    let lines = printed.lines().filter_map(|line| line.split_once('\t'));
    lines.map(|(link, target)| (link.into(), target.into())).collect()
}

/// Gives a file, or the link by which it is named, a time.
pub fn touch(path: &Path, seconds: i64, is_link: bool) -> CommandLine {
    let link = if is_link { "--no-dereference " } else { "" };
    shell(&format!("exec touch --no-create {link}--date=@{seconds} -- \"$1\""), &[path])
}

fn shell(program: &str, paths: &[&Path]) -> CommandLine {
    let words = ["/bin/sh", "-c", program, "sh"].map(str::to_owned);
    let paths = paths.iter().map(|path| path.to_string_lossy().into_owned());
    CommandLine::Argv(words.into_iter().chain(paths).collect())
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs it with these variables, and gives what it prints.
    #[expect(clippy::disallowed_methods, reason = "the programs are tried by the shell that they are for")]
    fn run(line: &CommandLine, environment: &BTreeMap<String, String>) -> String {
        let argv = line.argv();
        let output =
            std::process::Command::new(&argv[0]).args(&argv[1..]).envs(environment).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn what_is_written_is_what_is_read_whatever_it_holds() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a b/-file");
        let long = format!("{}\u{e9}{}", "x".repeat(CHUNK_BYTES_MAX - 1), "y".repeat(CHUNK_BYTES_MAX));
        let nothing = BTreeMap::new();
        for text in ["", "$HOME `id` \\n %s 'a' \"b\"\n", long.as_str()] {
            let (line, variables) = write(&path, text).unwrap();
            run(&line, &variables);
            assert_eq!(run(&read(&path), &nothing), text);
            assert!(!line.shown().contains("`id`"), "no text in an argument");
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(run(&read_end(&path, 3), &nothing), "yyy");
        assert_eq!(run(&read(scratch.path()), &nothing), "", "a directory");
        run(&remove_files(&[path.clone(), scratch.path().join("absent")]), &nothing);
        assert!(!path.exists());
        assert!(write(&path, &"x".repeat(TEXT_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn links_are_made_and_read() {
        let scratch = tempfile::tempdir().unwrap();
        let (beside, nothing) = (scratch.path().join("beside"), BTreeMap::new());
        for _ in 0..2 {
            run(&make_beside(&beside, &["/home/x/rpc.sock".into()]), &nothing);
        }
        let (link, absent) = (beside.join("rpc.sock"), beside.join("absent"));
        let found = links(&run(&read_links(&[link.clone(), absent]), &nothing));
        assert_eq!(found, [(link, PathBuf::from("/home/x/rpc.sock"))].into());
        assert!(beside.join("touch").exists());
    }

    #[test]
    fn times_are_compared_and_set() {
        let scratch = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| scratch.path().join(name));
        for (path, seconds) in [(&old, 1_000), (&new, 2_000)] {
            std::fs::write(path, "").unwrap();
            run(&touch(path, seconds, false), &BTreeMap::new());
        }
        assert_eq!(run(&is_newer(&new, &old), &BTreeMap::new()), "yes\n");
        assert_eq!(run(&is_newer(&old, &new), &BTreeMap::new()), "");
    }
}
