//! Whose the files of a deployment are, changed by root, in trees that builds and programs of the old user may be changing meanwhile.
//!
//! 1. Nothing is reached by a path. Each entry is opened below its directory's descriptor (`safe_path::entry`: no links, no other file
//!    system), as a descriptor that can be asked and changed, and neither read nor waited for. What is judged is what is changed.
//! 2. Only what belongs to one of the old users changes. No user can give files away, so whatever a process renames or links while root
//!    walks, root's files and other people's stay theirs.
//! 3. A file with several names stays as it is: one of them may lie elsewhere, where it is the old user's database. Such files can be read
//!    and removed all the same (package managers link what they install to their stores).
//! 4. After a change it is asked whether the file still has that one name, in that place. Otherwise it is given back. By then its old owner
//!    cannot link it anew (`fs.protected_hardlinks`).
//! 5. Access lists go, also those of the deployer's own files where they lie open to the old user. They name users who no longer have a share
//!    in the files; the next deploy makes those anew that its user needs.
//!
//! Directories of other users are not entered. What is left as it is, is counted; the first entries of it are named.
//!
//! Deliberately absent: a defence of the old user's files against programs of the old user that run unconfined meanwhile. Those can move
//! their own files into a tree, as they could change their modes before.

use crate::admin::host::acl;
use crate::base::files::safe_path;
use anyhow::{Context, Result};
use rustix::fs::{AtFlags, CWD, Dir, Gid, Mode, OFlags, Uid, chownat, getxattr, openat, removexattr};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs::{File, Metadata};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Each level on the way down holds a descriptor. Deeper trees are hostile: their upper part changes, the rest is named.
const DEPTH_MAX: usize = 4096;

/// Why a file with hard links is left.
const SEVERAL_NAMES: &str = "it has several names (hard links), and one may lie elsewhere";

/// What else is open.
const OTHER_DESCRIPTORS: u64 = 256;

/// How many of those that are left are named.
const NAMED_MAX: usize = 20;

/// A list with many more entries than ours have.
const ACCESS_LIST_BYTES_MAX: usize = 4096;

/// Whose files become whose.
#[derive(Debug, Clone)]
pub struct Change {
    /// Users whose files change, with their groups.
    pub from: BTreeMap<u32, u32>,
    /// The new user, with its group.
    pub to: (u32, u32),
    /// Whose the directories are, whoever builds in them.
    pub deployer: u32,
}

/// What was done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TreeReport {
    /// Files, directories and links that changed hands.
    pub changed: u64,
    /// What stayed as it is.
    pub left: u64,
    /// The first of it, and why.
    pub named: Vec<(PathBuf, &'static str)>,
}

impl TreeReport {
    fn leave(&mut self, path: &Path, why: &'static str) {
        self.left += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push((path.to_owned(), why));
        }
    }
}

/// A tree below a deployment's path, or a file: of the deployer's own, and itself given to nobody. It loses its access list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Relative to the path.
    pub directory: PathBuf,
}

/// Gives what lies in the trees to the new user. Doing it again changes nothing.
pub fn give(path: &Path, trees: &[Tree], change: &Change) -> Result<TreeReport> {
    raise_descriptor_limit();
    let top = open_top(path)?;
    let mut report = TreeReport::default();
    for tree in trees {
        walk(&top, path, tree, change, &mut report)?;
    }
    Ok(report)
}

/// What may lie in it is looked at by descriptor; what leads to it an administrator has chosen.
fn open_top(path: &Path) -> Result<File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty())
        .map(File::from)
        .with_context(|| format!("cannot open {}, which must be a directory and no link", path.display()))
}

fn raise_descriptor_limit() {
    let now = getrlimit(Resource::Nofile);
    let wanted = DEPTH_MAX as u64 + OTHER_DESCRIPTORS;
    let current = now.maximum.map_or(wanted, |maximum| maximum.min(wanted)).max(now.current.unwrap_or(0));
    // Where it cannot be raised, a deep tree is an error, and nothing of it changes.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: now.maximum });
}

/// Something that was opened, and can be neither exchanged nor read.
struct TreeEntry<'a> {
    handle: &'a File,
    found: Metadata,
    path: &'a Path,
    /// The directory in which it was found, and its name there. `None` for the top of a tree, which does not change hands.
    place: Option<(&'a File, &'a Path)>,
}

impl TreeEntry<'_> {
    fn may_be_entered(&self, change: &Change) -> bool {
        let owner = self.found.uid();
        let is_theirs = self.place.is_none() || change.from.contains_key(&owner) || owner == change.to.0;
        self.found.is_dir() && is_theirs
    }

    /// Changes it, and says whether to go on below it.
    fn apply(&self, change: &Change, report: &mut TreeReport) -> Result<bool> {
        let (owner, group) = (self.found.uid(), self.found.gid());
        let Some((directory, name)) = self.place else {
            if owner == change.deployer {
                self.remove_access_lists()?;
            }
            return Ok(self.may_be_entered(change));
        };
        match change.from.get(&owner) {
            // On the way back: what git has exported lets the old user write.
            None if owner == change.to.0 && owner == change.deployer => {
                if !self.has_several_names(&self.found) {
                    self.remove_access_lists()?;
                }
            }
            None if owner == change.to.0 => {}
            None => report.leave(self.path, "it is neither the old user's nor the new one's"),
            Some(_) if self.has_several_names(&self.found) => report.leave(self.path, SEVERAL_NAMES),
            Some(own_group) => {
                self.remove_access_lists()?;
                // Whatever else the old user was in, an administrator has chosen.
                let new_group = if group == *own_group { change.to.1 } else { group };
                self.give_to((change.to.0, new_group))?;
                if !self.is_still_there(directory, name)? {
                    self.give_to((owner, group))?;
                    report.leave(self.path, "it was moved or linked while it was looked at");
                    return Ok(false);
                }
                report.changed += 1;
            }
        }
        Ok(self.may_be_entered(change))
    }

    fn has_several_names(&self, found: &Metadata) -> bool {
        !found.is_dir() && found.nlink() > 1
    }

    /// The kernel takes set-user-id bits and capabilities away with it.
    fn give_to(&self, (user, group): (u32, u32)) -> Result<()> {
        let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        chownat(self.handle, "", user, group, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)
            .with_context(|| format!("cannot change whose {} is", self.path.display()))
    }

    /// First how many names it has, and then whether this is one: in the other order, this one could be gone and another one be left.
    fn is_still_there(&self, directory: &File, name: &Path) -> Result<bool> {
        let said = || format!("cannot look at {}", self.path.display());
        let now = self.handle.metadata().with_context(said)?;
        if self.has_several_names(&now) || now.nlink() == 0 {
            return Ok(false);
        }
        let Ok(named) = safe_path::entry(directory, name) else { return Ok(false) };
        let named = File::from(named).metadata().with_context(said)?;
        Ok((named.dev(), named.ino()) == (now.dev(), now.ino()))
    }

    fn remove_access_lists(&self) -> Result<()> {
        if !(self.found.is_dir() || self.found.is_file()) {
            return Ok(());
        }
        // A descriptor like this one has no attributes; the name that the kernel has for it leads to what is open, and nowhere else.
        let by_handle = PathBuf::from(format!("/proc/self/fd/{}", self.handle.as_raw_fd()));
        let said = || format!("cannot remove the access list of {}", self.path.display());
        let mut list = [0; ACCESS_LIST_BYTES_MAX];
        match getxattr(&by_handle, acl::ACCESS, &mut list[..]) {
            Ok(length) => {
                // Without a list, the group's bits are the group's again, and not what the list leaves to those it names.
                let group = acl::of_group(&list[..length]).unwrap_or(0);
                removexattr(&by_handle, acl::ACCESS).with_context(said)?;
                let mode = (self.found.mode() & 0o1707) | (u32::from(group) << 3);
                std::fs::set_permissions(&by_handle, PermissionsExt::from_mode(mode)).with_context(said)?;
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error).with_context(said),
        }
        match removexattr(&by_handle, acl::DEFAULT) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error).with_context(said),
        }
    }
}

/// A directory on the way down, and what of it is still to be looked at.
struct TreeLevel {
    directory: File,
    names: Vec<CString>,
}

/// Changes everything in a tree, a directory before what is in it. What is gone meanwhile is passed over.
fn walk(top: &File, path: &Path, tree: &Tree, change: &Change, report: &mut TreeReport) -> Result<()> {
    let mut shown = path.join(&tree.directory);
    let root = match safe_path::entry(top, &tree.directory).map(File::from) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => {
            report.leave(&shown, why_not(error));
            return Ok(());
        }
    };
    let mut levels = Vec::new();
    if look(&root, &shown, None)?.apply(change, report)? {
        levels.push(level(&root, &shown)?);
    }
    while let Some(last) = levels.last_mut() {
        let Some(name) = last.names.pop() else {
            levels.pop();
            shown.pop();
            continue;
        };
        let name = Path::new(OsStr::from_bytes(name.as_bytes()));
        shown.push(name);
        let next = match safe_path::entry(&last.directory, name).map(File::from) {
            Ok(entry) if look(&entry, &shown, Some((&last.directory, name)))?.apply(change, report)? => {
                Some(entry)
            }
            Ok(_) | Err(Errno::NOENT) => None,
            Err(error) => {
                report.leave(&shown, why_not(error));
                None
            }
        };
        match next {
            Some(_) if levels.len() >= DEPTH_MAX => {
                report.leave(&shown, "it lies too deep: what is in it is as it was");
                shown.pop();
            }
            Some(next) => levels.push(level(&next, &shown)?),
            None => {
                shown.pop();
            }
        }
    }
    Ok(())
}

fn look<'a>(handle: &'a File, path: &'a Path, place: Option<(&'a File, &'a Path)>) -> Result<TreeEntry<'a>> {
    let found = handle.metadata().with_context(|| format!("cannot look at {}", path.display()))?;
    Ok(TreeEntry { handle, found, path, place })
}

fn why_not(error: Errno) -> &'static str {
    match error {
        Errno::XDEV => "another file system is mounted there",
        Errno::LOOP | Errno::NOTDIR => "the way to it leads through a link",
        Errno::MFILE => "it lies too deep: too many files would be open",
        _ => "it cannot be opened",
    }
}

fn level(handle: &File, path: &Path) -> Result<TreeLevel> {
    let said = || format!("cannot read {}", path.display());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // `.` of the directory that is open, whatever has its name by now.
    let directory = openat(handle, ".", flags, Mode::empty()).map(File::from).with_context(said)?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&directory).with_context(said)? {
        let entry = entry.with_context(said)?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(TreeLevel { directory, names })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{chown, symlink};

    const OLD: (u32, u32) = (4711, 4712);
    const NEW: (u32, u32) = (4713, 4714);
    const OTHER: u32 = 4715;

    /// A deployment of the old user's. None without root, who alone gives files away.
    fn deployment() -> Option<tempfile::TempDir> {
        if !rustix::process::geteuid().is_root() {
            print_error_line!("not tried: this needs root");
            let is_ci = crate::config::Environment::of_process().get("CI").is_some();
            assert!(!is_ci, "CI runs tests as root");
            return None;
        }
        let scratch = tempfile::tempdir().unwrap();
        for directory in
            ["path", "path/releases", "path/releases/a", "path/releases/a/inner", "path/shared", "outside"]
        {
            make_directory(&scratch.path().join(directory), OLD.0);
        }
        Some(scratch)
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own tools, which end by themselves")]
    fn program(name: &str) -> std::process::Command {
        std::process::Command::new(name)
    }

    fn make_directory(path: &Path, owner: u32) {
        std::fs::create_dir(path).unwrap();
        chown(path, Some(owner), Some(OLD.1)).unwrap();
    }

    fn make_file(path: &Path, owner: u32) {
        std::fs::write(path, "content").unwrap();
        chown(path, Some(owner), Some(OLD.1)).unwrap();
    }

    fn change() -> Change {
        Change { from: [OLD].into(), to: NEW, deployer: OLD.0 }
    }

    fn releases() -> Vec<Tree> {
        vec![Tree { directory: "releases/a".into() }]
    }

    fn owner(path: &Path) -> (u32, u32) {
        let found = std::fs::symlink_metadata(path).unwrap();
        (found.uid(), found.gid())
    }

    fn whys(report: &TreeReport) -> Vec<&str> {
        let mut whys: Vec<&str> = report.named.iter().map(|(_, why)| *why).collect();
        whys.sort_unstable();
        whys
    }

    #[test]
    fn what_the_old_user_made_becomes_the_new_ones_and_nothing_else() {
        let Some(scratch) = deployment() else { return };
        let at = |path: &str| scratch.path().join(path);
        make_file(&at("path/releases/a/inner/file"), OLD.0);
        make_file(&at("path/releases/a/roots"), 0);
        make_directory(&at("path/releases/a/others"), OTHER);
        make_file(&at("path/releases/a/others/file"), OLD.0);
        make_file(&at("path/shared/.env"), OLD.0);
        make_file(&at("path/releases/a/program"), OLD.0);
        std::fs::set_permissions(at("path/releases/a/program"), PermissionsExt::from_mode(0o6755)).unwrap();
        let group = std::fs::File::create(at("path/releases/a/group")).unwrap();
        chown(at("path/releases/a/group"), Some(OLD.0), Some(33)).unwrap();
        drop(group);
        let report = give(&at("path"), &releases(), &change()).unwrap();
        assert_eq!((report.changed, report.left), (4, 2), "{report:?}");
        for (path, expected) in [
            ("path", OLD),
            ("path/releases", OLD),
            ("path/releases/a", OLD),
            ("path/releases/a/inner", NEW),
            ("path/releases/a/inner/file", NEW),
            ("path/releases/a/program", NEW),
            ("path/releases/a/group", (NEW.0, 33)),
            ("path/releases/a/roots", (0, OLD.1)),
            ("path/releases/a/others", (OTHER, OLD.1)),
            ("path/releases/a/others/file", OLD),
            ("path/shared/.env", OLD),
        ] {
            assert_eq!(owner(&at(path)), expected, "{path}");
        }
        let mode = std::fs::metadata(at("path/releases/a/program")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o755, "nothing runs as the new user because the old one wanted that");
        // Once more: nothing is left to do. And back.
        let again = give(&at("path"), &releases(), &change()).unwrap();
        assert_eq!((again.changed, again.left), (0, 2), "{again:?}");
        let back = Change { from: [NEW].into(), to: OLD, deployer: OLD.0 };
        assert_eq!(give(&at("path"), &releases(), &back).unwrap().changed, 4);
        assert_eq!(owner(&at("path/releases/a/inner/file")), OLD);
    }

    #[test]
    fn no_link_leads_out_and_nothing_is_waited_for() {
        let Some(scratch) = deployment() else { return };
        let at = |path: &str| scratch.path().join(path);
        make_file(&at("outside/file"), OLD.0);
        symlink(at("outside"), at("path/releases/a/link")).unwrap();
        symlink(at("outside/file"), at("path/releases/a/inner/link")).unwrap();
        for link in ["path/releases/a/link", "path/releases/a/inner/link"] {
            std::os::unix::fs::lchown(at(link), Some(OLD.0), Some(OLD.1)).unwrap();
        }
        let fifo = at("path/releases/a/fifo");
        rustix::fs::mknodat(CWD, &fifo, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
        chown(&fifo, Some(OLD.0), Some(OLD.1)).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(at("path/releases/a/socket")).unwrap();
        chown(at("path/releases/a/socket"), Some(OLD.0), Some(OLD.1)).unwrap();
        let report = give(&at("path"), &releases(), &change()).unwrap();
        drop(socket);
        assert_eq!((report.changed, report.left), (5, 0), "{report:?}");
        assert_eq!([owner(&at("outside")), owner(&at("outside/file"))], [OLD, OLD]);
        assert_eq!(owner(&at("path/releases/a/link")), NEW, "the link itself");
        // A release, or a directory above it, that is a link.
        std::fs::rename(at("path/releases/a"), at("aside")).unwrap();
        symlink(at("outside"), at("path/releases/a")).unwrap();
        let report = give(&at("path"), &releases(), &change()).unwrap();
        assert_eq!((report.changed, owner(&at("outside/file"))), (0, OLD));
        std::fs::rename(at("path/releases"), at("releases")).unwrap();
        std::fs::create_dir_all(at("outside/a")).unwrap();
        make_file(&at("outside/a/file"), OLD.0);
        symlink(at("outside"), at("path/releases")).unwrap();
        let report = give(&at("path"), &releases(), &change()).unwrap();
        assert_eq!(whys(&report), ["the way to it leads through a link"]);
        assert_eq!(owner(&at("outside/a/file")), OLD);
        symlink(at("path"), at("path-link")).unwrap();
        assert!(give(&at("path-link"), &releases(), &change()).is_err());
    }

    #[test]
    fn a_file_with_several_names_stays_whose_it_is() {
        let Some(scratch) = deployment() else { return };
        let at = |path: &str| scratch.path().join(path);
        // As a package manager does it; and as a build does that wants the deployer's database.
        make_file(&at("path/releases/a/inside"), OLD.0);
        std::fs::hard_link(at("path/releases/a/inside"), at("path/releases/a/inner/inside")).unwrap();
        make_file(&at("outside/database"), OLD.0);
        std::fs::hard_link(at("outside/database"), at("path/releases/a/database")).unwrap();
        std::fs::hard_link(at("outside/database"), at("path/releases/a/inner/database")).unwrap();
        let report = give(&at("path"), &releases(), &change()).unwrap();
        assert_eq!([owner(&at("path/releases/a/inside")), owner(&at("outside/database"))], [OLD, OLD]);
        assert_eq!((report.changed, report.left), (1, 4), "{report:?}");
        assert!(whys(&report).iter().all(|why| *why == SEVERAL_NAMES), "{report:?}");
    }

    #[test]
    fn a_deep_tree_is_changed_as_far_as_it_may_go() {
        let Some(scratch) = deployment() else { return };
        let mut inner = std::fs::File::open(scratch.path().join("path/releases/a")).unwrap();
        for level in 0..DEPTH_MAX + 10 {
            let mode = Mode::from_raw_mode(0o755);
            rustix::fs::mkdirat(&inner, "d", mode).unwrap();
            rustix::fs::chownat(&inner, "d", Some(Uid::from_raw(OLD.0)), None, AtFlags::SYMLINK_NOFOLLOW)
                .unwrap();
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
            inner = rustix::fs::openat(&inner, "d", flags, Mode::empty())
                .unwrap_or_else(|error| panic!("{level}: {error}"))
                .into();
        }
        let report = give(&scratch.path().join("path"), &releases(), &change()).unwrap();
        assert_eq!((report.changed as usize, report.left), (DEPTH_MAX + 1, 1), "{:?}", report.named.len());
        assert_eq!(inner.metadata().unwrap().uid(), OLD.0);
        // The standard library's way to remove it would end this process.
        drop(inner);
        let removed = program("rm").arg("-rf").arg(scratch.path().join("path")).status();
        assert!(removed.unwrap().success());
    }

    #[test]
    fn access_lists_go_and_the_group_has_what_was_its_own() {
        let Some(scratch) = deployment() else { return };
        let at = |path: &str| scratch.path().join(path);
        make_file(&at("path/releases/a/inner/file"), OLD.0);
        let set = |entries: &str, path: &str| {
            let set = program("setfacl").args(["-m", entries, "--"]).arg(at(path)).status();
            assert!(set.expect("the package acl is installed").success(), "{entries} {path}");
        };
        set("user:4715:rwx,group::r-x,default:user:4715:rwx", "path/releases/a/inner");
        set("user:4715:rw,group::---", "path/releases/a/inner/file");
        assert_eq!(std::fs::metadata(at("path/releases/a/inner")).unwrap().mode() & 0o777, 0o775);
        give(&at("path"), &releases(), &change()).unwrap();
        let is_gone = |path: &str, mode: u32| {
            assert_eq!(std::fs::metadata(at(path)).unwrap().mode() & 0o777, mode, "{path}");
            let mut list = [0; 256];
            for attribute in [acl::ACCESS, acl::DEFAULT] {
                let found = getxattr(at(path), attribute, &mut list[..]);
                assert!(found.is_err(), "{path} {attribute}");
            }
        };
        is_gone("path/releases/a/inner", 0o755);
        is_gone("path/releases/a/inner/file", 0o604);
        // On the way back, those of the deployer's own files too: of the directory, of what git has exported, and of what is shared. But not where
        // a link stands in the place of such a file, nor of a file that has a name elsewhere.
        make_file(&at("path/releases/a/exported"), OLD.0);
        make_file(&at("path/shared/.env"), OLD.0);
        make_file(&at("outside/secret"), OLD.0);
        make_file(&at("outside/linked"), OLD.0);
        std::fs::hard_link(at("outside/linked"), at("path/releases/a/linked")).unwrap();
        symlink(at("outside/secret"), at("path/shared/other")).unwrap();
        set("user:4713:rwx,default:user:4713:rwx", "path/releases/a");
        for file in ["path/releases/a/exported", "path/shared/.env", "outside/secret", "outside/linked"] {
            set("user:4713:rw,group::---", file);
        }
        let files = ["shared/.env", "shared/other"].map(|file| Tree { directory: file.into() });
        let back = Change { from: [NEW].into(), to: OLD, deployer: OLD.0 };
        give(&at("path"), &[releases(), files.to_vec()].concat(), &back).unwrap();
        is_gone("path/releases/a", 0o755);
        is_gone("path/releases/a/exported", 0o604);
        is_gone("path/shared/.env", 0o604);
        for kept in ["outside/secret", "outside/linked"] {
            let mut list = [0; 256];
            assert!(getxattr(at(kept), acl::ACCESS, &mut list[..]).is_ok(), "{kept}");
        }
    }

    /// Puts links, hard links and other directories in the places of directories that are being walked through, as the old user.
    const RACE: &str = r#"
        cd "$1" || exit 1
        while test ! -e stop; do
            for number in 0 1 2 3 4 5 6 7 8 9; do
                victim=path/releases/a/$number
                mv -T $victim path/aside || continue
                ln -s ../../../outside $victim; rm $victim
                ln outside/old $victim; rm $victim
                ln outside/old $victim; mv $victim path/releases/a/moved; rm path/releases/a/moved
                mv -T outside/roots $victim; mv -T $victim outside/roots
                mv -T path/aside $victim
            done
        done 2>/dev/null
    "#;

    #[test]
    fn who_renames_and_links_meanwhile_has_nothing_of_anybody_elses_given_away() {
        let Some(scratch) = deployment() else { return };
        let at = |path: &str| scratch.path().join(path);
        std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).unwrap();
        chown(scratch.path(), Some(OLD.0), None).unwrap();
        for number in 0..10 {
            make_directory(&at(&format!("path/releases/a/{number}")), OLD.0);
            make_file(&at(&format!("path/releases/a/{number}/file")), OLD.0);
        }
        // The old user may move the directory, but owns nothing in it.
        make_directory(&at("outside/roots"), OLD.0);
        for number in 0..50 {
            make_file(&at(&format!("outside/roots/{number}")), if number % 2 == 0 { 0 } else { OTHER });
        }
        make_file(&at("outside/old"), OLD.0);
        let mut race = program("setpriv")
            .args([
                &format!("--reuid={}", OLD.0),
                &format!("--regid={}", OLD.1),
                "--clear-groups",
                "sh",
                "-c",
                RACE,
                "race",
            ])
            .arg(scratch.path())
            .spawn()
            .expect("util-linux is installed");
        let back = Change { from: [NEW].into(), to: OLD, deployer: OLD.0 };
        for _ in 0..400 {
            // What is exchanged in the middle may be an error; it is never a file of another user.
            let _ = give(&at("path"), &releases(), &change());
            let _ = give(&at("path"), &releases(), &back);
        }
        std::fs::write(at("stop"), "").unwrap();
        race.wait().unwrap();
        // Wherever the last exchange has left them.
        for user in [0, OTHER] {
            let words = ["-mindepth", "2", "-type", "f", "-user", &user.to_string()];
            let found = program("find").arg(scratch.path()).args(words).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&found.stdout).lines().count(), 25, "files of user {user}");
        }
        assert_eq!(owner(&at("outside")).0, OLD.0);
        if std::fs::read_to_string("/proc/sys/fs/protected_hardlinks").is_ok_and(|set| set.trim() == "1") {
            assert_eq!(owner(&at("outside/old")).0, OLD.0);
        }
    }
}
