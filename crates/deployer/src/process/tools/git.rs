//! git, called so that nothing that a repository, a build or a user's configuration says can make it run anything.
//!
//! - The mirror's directory is always named, so nothing is discovered; system and user configuration are off.
//! - Hooks and the file-system monitor point nowhere, whatever the mirror's own configuration says.
//! - The source is a URL from our configuration, never a named remote; refs are whole refspecs; behind `--end-of-options`
//!   nothing is an option. Commits are whole ids.
//! - Who we are comes through the environment ([`login`]), and what git complains of is data ([`complaints`]).
//! - Only the protocols that the clone URL itself uses may be spoken, also by submodules.
//!
//! The threats are rows 6 to 13 of our threat model (`docs/explanation/security.md`).

pub mod complaints;
pub mod fsck;
pub mod login;
pub mod signatures;

use super::Invocation;
use crate::base::names::{BranchName, CommitId};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

/// Settings that every call gets, in front of the subcommand.
const SETTINGS: [&str; 11] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "protocol.ext.allow=never",
    "advice.detachedHead=false",
    // What is larger is streamed instead of being held in memory, and never compared with something similar.
    "core.bigFileThreshold=16m",
    // One pack for each fetch, never loose objects: so a limit of the size of a file is a limit of what a fetch brings.
    "fetch.unpackLimit=1",
];

/// ssh, that never asks anybody.
const SSH: &str = "ssh -o BatchMode=yes -o ConnectTimeout=15";

/// A new, empty mirror.
pub fn init(mirror: &Path) -> Invocation {
    let mut argv = git();
    argv.extend(words([
        "init",
        "--quiet",
        "--bare",
        "--template=",
        "--initial-branch=main",
        "--end-of-options",
    ]));
    argv.push(mirror.into());
    Invocation { argv, environment: environment("") }
}

/// Brings one branch into the mirror, whatever was there.
pub fn fetch_branch(mirror: &Path, url: &str, branch: &BranchName, ignored: &[&'static str]) -> Invocation {
    fetch(mirror, url, &format!("+refs/heads/{branch}:{}", ref_of(branch)), ignored)
}

/// Where the mirror keeps a branch's head. Not under its name: `release` and `release/v2` cannot both be there, and a branch that is
/// gone at the source would be in the way for ever.
fn ref_of(branch: &BranchName) -> String {
    format!("refs/branches/{}", crate::base::digest::sha256_hex(branch.as_str().as_bytes()))
}

/// Brings one commit into the mirror; the server must allow that, as GitHub does. It is kept under a ref of its own.
pub fn fetch_commit(mirror: &Path, url: &str, commit: &CommitId, ignored: &[&'static str]) -> Invocation {
    fetch(mirror, url, &format!("+{commit}:refs/deployed/{commit}"), ignored)
}

/// `ignored` are defects of objects that pass ([`fsck`]).
fn fetch(mirror: &Path, url: &str, refspec: &str, ignored: &[&'static str]) -> Invocation {
    let mut argv = in_mirror(mirror);
    argv.extend(fsck::settings(ignored).flat_map(|setting| [OsString::from("-c"), setting.into()]));
    argv.extend(words([
        "-c",
        "transfer.bundleURI=false",
        "-c",
        "core.fsync=committed,reference",
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        "--no-recurse-submodules",
        "--force",
        "--end-of-options",
    ]));
    argv.push(url.into());
    argv.push(refspec.into());
    Invocation { argv, environment: environment(protocols(url)) }
}

/// What these branches' heads are at the source, in one question: lines of a commit id, a tab and `refs/heads/BRANCH`. Of a
/// branch that is not there, nothing. It needs no mirror.
pub fn heads<'a>(url: &str, branches: impl IntoIterator<Item = &'a BranchName>) -> Invocation {
    // A directory that is none: nothing is discovered, and no repository's settings are read.
    let mut argv = in_mirror(Path::new("/dev/null"));
    argv.extend(words([
        "-c",
        "transfer.bundleURI=false",
        "ls-remote",
        "--quiet",
        "--refs",
        "--end-of-options",
    ]));
    argv.push(url.into());
    argv.extend(branches.into_iter().map(|branch| format!("refs/heads/{branch}").into()));
    Invocation { argv, environment: environment(protocols(url)) }
}

/// The same of all branches.
pub fn all_heads(url: &str) -> Invocation {
    let mut invocation = heads(url, []);
    invocation.argv.push("refs/heads/*".into());
    invocation
}

/// The answer to [`heads`]. A pattern of git's also fits `refs/x/refs/heads/main`, so names are compared as a whole.
pub fn heads_in(output: &str) -> BTreeMap<BranchName, CommitId> {
    let head = |line: &str| {
        let (commit, name) = line.split_once('\t')?;
        let branch = BranchName::parse(name.strip_prefix("refs/heads/")?).ok()?;
        Some((branch, CommitId::parse(commit).ok()?))
    };
    output.lines().filter_map(head).collect()
}

/// Id and message of a branch's head as the mirror has it: the id, a newline, the message.
pub fn head(mirror: &Path, branch: &BranchName) -> Invocation {
    log(mirror, &ref_of(branch))
}

/// The ids of all objects that begin with these digits, which the caller has checked to be some.
pub fn objects_beginning_with(mirror: &Path, digits: &str) -> Invocation {
    let mut argv = in_mirror(mirror);
    argv.push("rev-parse".into());
    argv.push(format!("--disambiguate={digits}").into());
    Invocation { argv, environment: environment("") }
}

/// Id and message of a commit; fails where the mirror does not have it.
pub fn message(mirror: &Path, commit: &CommitId) -> Invocation {
    log(mirror, &format!("{commit}^{{commit}}"))
}

fn log(mirror: &Path, revision: &str) -> Invocation {
    let mut argv = in_mirror(mirror);
    argv.extend(words([
        "log",
        "--max-count=1",
        "--no-show-signature",
        "--format=%H%n%B",
        "--end-of-options",
    ]));
    argv.push(revision.into());
    argv.push("--".into());
    Invocation { argv, environment: environment("") }
}

/// The paths that differ between two commits, each ended by a NUL; a rename is a removal and an addition.
pub fn changed_paths(mirror: &Path, old: &CommitId, new: &CommitId) -> Invocation {
    let mut argv = in_mirror(mirror);
    argv.extend(words(["diff-tree", "-r", "-z", "--name-only", "--no-renames", "--end-of-options"]));
    argv.push(old.as_str().into());
    argv.push(new.as_str().into());
    argv.push("--".into());
    Invocation { argv, environment: environment("") }
}

/// Writes a commit's files into a directory, without a `.git`. `index` remembers what is there, so that a later call for the
/// same directory removes what the new commit no longer has and leaves alone what git never wrote.
pub fn check_out(mirror: &Path, tree: &Path, index: &Path, commit: &CommitId) -> Invocation {
    let mut argv =
        vec![OsString::from("git"), "--git-dir".into(), mirror.into(), "--work-tree".into(), tree.into()];
    argv.extend(settings());
    argv.extend(words(["-c", "core.bare=false", "read-tree", "--reset", "-u", "--no-recurse-submodules"]));
    argv.push(commit.as_str().into());
    with_index(argv, index)
}

/// Makes `index` say that the directory holds this commit, without touching the directory.
pub fn assume_checked_out(mirror: &Path, tree: &Path, index: &Path, commit: &CommitId) -> Invocation {
    let mut argv =
        vec![OsString::from("git"), "--git-dir".into(), mirror.into(), "--work-tree".into(), tree.into()];
    argv.extend(settings());
    argv.extend(words(["-c", "core.bare=false", "read-tree", "--reset"]));
    argv.push(commit.as_str().into());
    with_index(argv, index)
}

/// How a directory differs from what `index` says, as `status --porcelain=v1 -z` prints it: untracked and ignored too, whole
/// directories as one. Only its second letter means something: the first compares with a branch that is not of interest.
pub fn state_of_tree(mirror: &Path, tree: &Path, index: &Path) -> Invocation {
    let mut argv =
        vec![OsString::from("git"), "--git-dir".into(), mirror.into(), "--work-tree".into(), tree.into()];
    argv.extend(settings());
    // What is ignored on this machine only is ignored by its patterns; nothing else of the tree's own settings is read.
    let mut excludes = OsString::from("core.excludesFile=");
    excludes.push(tree.join(".git/info/exclude"));
    argv.extend(words(["-c", "core.bare=false", "-c"]));
    argv.push(excludes);
    argv.extend(words([
        "status",
        "--porcelain=v1",
        "-z",
        "--no-renames",
        "--untracked-files=normal",
        "--ignored=traditional",
        "--ignore-submodules=all",
    ]));
    with_index(argv, index)
}

/// All files of a commit with mode, kind, id, size and path, each ended by NUL.
pub fn listing(mirror: &Path, commit: &CommitId) -> Invocation {
    let mut argv = in_mirror(mirror);
    argv.extend(words(["ls-tree", "-r", "-z", "--long", "--full-tree", "--end-of-options"]));
    argv.push(commit.as_str().into());
    Invocation { argv, environment: environment("") }
}

/// The same in lines, for one who counts them as they come: names with strange bytes in them are quoted.
pub fn listing_in_lines(mirror: &Path, commit: &CommitId) -> Invocation {
    let mut argv = in_mirror(mirror);
    argv.extend(words(["ls-tree", "-r", "--long", "--full-tree", "--end-of-options"]));
    argv.push(commit.as_str().into());
    Invocation { argv, environment: environment("") }
}

/// When a file was last changed before a commit, or by it, in seconds.
pub fn changed_at(mirror: &Path, commit: &CommitId, path: &str) -> Invocation {
    let mut argv = in_mirror(mirror);
    argv.extend(words([
        "--literal-pathspecs",
        "log",
        "-1",
        "--format=%ct",
        "--no-show-signature",
        "--end-of-options",
    ]));
    argv.push(commit.as_str().into());
    argv.push("--".into());
    argv.push(path.into());
    Invocation { argv, environment: environment("") }
}

/// What is written in one file of a commit.
pub fn text(mirror: &Path, commit: &CommitId, path: &str) -> Invocation {
    let mut argv = in_mirror(mirror);
    argv.extend(words(["cat-file", "blob"]));
    // It begins with the commit, so it is never an option.
    argv.push(format!("{commit}:{path}").into());
    Invocation { argv, environment: environment("") }
}

/// Paths of the files of a commit that are pointers of Git LFS, each behind the commit's id and a colon and ended by NUL; fails where there
/// are none.
pub fn lfs_pointers(mirror: &Path, commit: &CommitId) -> Invocation {
    let mut argv = in_mirror(mirror);
    argv.extend(words([
        "grep",
        "--name-only",
        "-z",
        "-I",
        "--no-recurse-submodules",
        "--fixed-strings",
        "-e",
        "version https://git-lfs.github.com/spec/v1",
        "--end-of-options",
    ]));
    argv.push(commit.as_str().into());
    Invocation { argv, environment: environment("") }
}

/// The submodules of a commit: `ls-tree` lines ended by NUL, of which those with mode 160000 matter.
pub fn tree_entries(mirror: &Path, commit: &CommitId) -> Invocation {
    let mut argv = in_mirror(mirror);
    argv.extend(words(["ls-tree", "-r", "-z", "--full-tree", "--end-of-options"]));
    argv.push(commit.as_str().into());
    Invocation { argv, environment: environment("") }
}

/// The settings of a commit's `.gitmodules`, read as data: `key`, newline, value, NUL.
pub fn submodule_settings(mirror: &Path, commit: &CommitId) -> Invocation {
    let mut argv = in_mirror(mirror);
    argv.extend(words(["config", "--no-includes", "--null", "--list", "--blob"]));
    argv.push(format!("{commit}:.gitmodules").into());
    Invocation { argv, environment: environment("") }
}

fn with_index(argv: Vec<OsString>, index: &Path) -> Invocation {
    let mut environment = environment("");
    environment.insert("GIT_INDEX_FILE".into(), index.into());
    Invocation { argv, environment }
}

fn git() -> Vec<OsString> {
    let mut argv = vec![OsString::from("git")];
    argv.extend(settings());
    argv
}

fn in_mirror(mirror: &Path) -> Vec<OsString> {
    let mut argv = vec![OsString::from("git"), "--git-dir".into(), mirror.into()];
    argv.extend(settings());
    argv
}

fn settings() -> impl Iterator<Item = OsString> {
    SETTINGS.into_iter().flat_map(|setting| [OsString::from("-c"), OsString::from(setting)])
}

fn words<const N: usize>(words: [&str; N]) -> impl Iterator<Item = OsString> {
    words.map(OsString::from).into_iter()
}

/// Nothing of the user's or the system's configuration, no questions, English messages (they are classified).
fn environment(protocols: &str) -> BTreeMap<OsString, OsString> {
    let mut environment: BTreeMap<OsString, OsString> = [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_LFS_SKIP_SMUDGE", "1"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_SSH_COMMAND", SSH),
        ("LC_ALL", "C"),
    ]
    .into_iter()
    .map(|(name, value)| (name.into(), value.into()))
    .collect();
    environment.insert("GIT_ALLOW_PROTOCOL".into(), protocols.into());
    environment
}

/// What may be spoken to fetch from this URL: its own protocol only.
fn protocols(url: &str) -> &'static str {
    match url.split_once("://") {
        Some(("https", _)) => "https",
        Some(("http", _)) => "http:https",
        Some(("ssh" | "git+ssh", _)) => "ssh",
        Some(("git", _)) => "git",
        Some(("file", _)) => "file",
        Some(_) => "none",
        None if url.starts_with('/') => "file",
        None => "ssh",
    }
}

/// Succeeds where the first commit is the second one or one before it.
pub fn is_ancestor(mirror: &Path, old: &CommitId, new: &CommitId) -> Invocation {
    let mut argv = in_mirror(mirror);
    argv.extend(words(["merge-base", "--is-ancestor", "--end-of-options"]));
    argv.push(old.as_str().into());
    argv.push(new.as_str().into());
    Invocation { argv, environment: environment("") }
}

/// Packs a mirror anew.
pub fn repack(mirror: &Path) -> Invocation {
    let mut argv = in_mirror(mirror);
    argv.extend(words(["repack", "-a", "-d", "--quiet"]));
    Invocation { argv, environment: environment("") }
}

/// The entries of a `-z` listing. What follows the last NUL is the line end that the reading of lines added.
pub fn null_separated(output: &str) -> impl Iterator<Item = &str> {
    output.split_terminator('\0').filter(|path| !path.is_empty() && *path != "\n")
}

/// A commit's submodules: path and commit.
pub fn submodules(ls_tree: &str) -> Vec<(String, CommitId)> {
    let modules = null_separated(ls_tree).filter_map(|line| {
        let (meta, path) = line.split_once('\t')?;
        let mut words = meta.split(' ');
        (words.next() == Some("160000") && words.next() == Some("commit")).then_some(())?;
        Some((path.to_owned(), CommitId::parse(words.next()?).ok()?))
    });
    modules.collect()
}

/// The URL of the submodule at `path`, out of [`submodule_settings`]'s output.
pub fn submodule_url(settings: &str, path: &str) -> Option<String> {
    let entries: Vec<(&str, &str)> =
        null_separated(settings).filter_map(|entry| entry.split_once('\n')).collect();
    let (key, _) = entries.iter().find(|(key, value)| key.ends_with(".path") && *value == path)?;
    let url_key = format!("{}.url", key.strip_suffix(".path")?);
    entries.iter().find(|(key, _)| *key == url_key).map(|(_, url)| (*url).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(invocation: &Invocation) -> String {
        let settings: String = SETTINGS.iter().map(|setting| format!("-c {setting} ")).collect();
        let fsck: String = fsck::settings(&[]).map(|setting| format!("-c {setting} ")).collect();
        invocation.shown().replace(&settings, "").replace(&fsck, "")
    }

    #[test]
    fn nothing_from_outside_can_be_an_option() {
        let mirror = Path::new("/m");
        let branch = BranchName::parse("feature/$(id)").unwrap();
        let fetch = fetch_branch(mirror, "https://github.com/a/b.git", &branch, &[]);
        assert_eq!(
            shown(&fetch),
            "git --git-dir /m -c transfer.bundleURI=false -c core.fsync=committed,reference fetch --quiet --no-tags \
             --no-write-fetch-head --no-auto-maintenance --no-recurse-submodules --force --end-of-options \
             https://github.com/a/b.git +refs/heads/feature/$(id):refs/branches/3b968a8aab5e579d9f1222d402b495da46e34d8d3f5a6e91a2846b619d94c561"
        );
        let commit = CommitId::parse(&"a".repeat(40)).unwrap();
        let out = check_out(mirror, Path::new("/r"), Path::new("/i"), &commit);
        assert_eq!(
            shown(&out),
            format!(
                "git --git-dir /m --work-tree /r -c core.bare=false read-tree --reset -u --no-recurse-submodules {commit}"
            )
        );
        assert_eq!(out.environment[&OsString::from("GIT_INDEX_FILE")], OsString::from("/i"));
    }

    #[test]
    fn heads_are_asked_for_at_once_and_read_exactly() {
        let branches = ["main", "feature/$(id)"].map(|name| BranchName::parse(name).unwrap());
        assert_eq!(
            shown(&heads("https://github.com/a/b.git", &branches)),
            "git --git-dir /dev/null -c transfer.bundleURI=false ls-remote --quiet --refs --end-of-options \
             https://github.com/a/b.git refs/heads/main refs/heads/feature/$(id)"
        );
        let (one, two) = ("a".repeat(40), "b".repeat(40));
        let output = format!(
            "{one}\trefs/heads/main\n{two}\trefs/x/refs/heads/main\nwarning: x\n{two}\trefs/heads/-x\n"
        );
        let found = heads_in(&output);
        assert_eq!(found.len(), 1);
        assert_eq!(found[&branches[0]].as_str(), one);
    }

    #[test]
    fn only_the_url_s_own_protocol_is_spoken() {
        for (url, expected) in [
            ("https://github.com/a/b.git", "https"),
            ("ssh://git@github.com/a/b.git", "ssh"),
            ("git@github.com:a/b.git", "ssh"),
            ("file:///srv/b.git", "file"),
            ("/srv/b.git", "file"),
            ("ext::sh -c id", "ssh"),
            ("fd://3", "none"),
        ] {
            assert_eq!(protocols(url), expected, "{url}");
        }
    }

    #[test]
    fn submodules_are_read_as_data() {
        let commit = "b".repeat(40);
        let listing = format!("100644 blob {commit}\tREADME\0160000 commit {commit}\tlib/x\0");
        assert_eq!(submodules(&listing), [("lib/x".to_owned(), CommitId::parse(&commit).unwrap())]);
        let settings = "submodule.x.path\nlib/x\0submodule.x.url\nhttps://example.org/x.git\0";
        assert_eq!(submodule_url(settings, "lib/x").as_deref(), Some("https://example.org/x.git"));
        assert_eq!(submodule_url(settings, "lib/y"), None);
    }
}
