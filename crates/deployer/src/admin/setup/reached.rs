//! Names in directories that others than root may change, as root reaches them: nginx's files, uWSGI's, and those of the old tool's checkout.
//!
//! 1. The way is walked from `/` by descriptors, one name after the other. What was reached stays what it is, whoever renames meanwhile.
//! 2. Where all directories on the way are root's, root does the work. Behind the first one that is not, or behind a link that is not,
//!    its owner does it: who leads the way gets nothing that is not already open to him.
//! 3. A directory of root's inside of one that others may write is entered by nobody: they may have put it there.
//! 4. Read are plain files, up to a limit, without waiting. A file is written whole, beside its place, and then renamed into it.

use crate::admin::host::accounts::Account;
use anyhow::{Context, Result, anyhow};
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, Uid, chownat, fchmod, fchown, openat, readlinkat, renameat, symlinkat,
    unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

/// Files of a configuration are smaller.
pub const TEXT_BYTES_MAX: u64 = 1024 * 1024;

/// As the kernel has it.
const LINKS_MAX: usize = 40;

/// A user and its main group.
pub type Ids = (u32, u32);

/// The text of a file that is neither a link nor anything that lets one wait, and not longer than this.
pub fn read_plain(path: &Path, bytes_max: u64) -> std::io::Result<String> {
    let (bytes, _) = read_at(CWD, path.as_os_str(), path, bytes_max)?;
    String::from_utf8(bytes)
        .map_err(|_| Error::new(ErrorKind::InvalidData, format!("{} is no text", path.display())))
}

/// The same, of a path on which links may lie: nothing is read that who made them could not read. None where there is no such text.
pub fn text_behind(path: &Path) -> Option<String> {
    String::from_utf8(Reached::behind_links(path).ok()?.read(TEXT_BYTES_MAX).ok()?.bytes).ok()
}

fn read_at(
    directory: impl AsFd,
    name: &OsStr,
    shown: &Path,
    bytes_max: u64,
) -> std::io::Result<(Vec<u8>, Metadata)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(directory, name, flags, Mode::empty())?);
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(Error::other(format!("{} is not a plain file", shown.display())));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > bytes_max {
        true => Err(Error::other(format!("{} has more than {bytes_max} bytes", shown.display()))),
        false => Ok((bytes, found)),
    }
}

/// Does something as a user: a spool is opened by nobody but its owner, also not by root.
pub fn as_user<T: Send>((user, group): Ids, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    // These calls change the thread that makes them, and those that it starts.
    let become_it = move || -> Result<()> {
        set_thread_groups(&[])?;
        set_thread_res_gid(group, group, group)?;
        Ok(set_thread_res_uid(user, user, user)?)
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            become_it().with_context(|| format!("cannot act as the user {}", user.as_raw()))?;
            work()
        });
        thread.join().map_err(|_| anyhow!("what was done as the user {} has failed", user.as_raw()))?
    })
}

/// What was read, and what it is written back with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Whose it is.
    pub owner: Ids,
    pub mode: u32,
}

#[derive(Debug)]
pub struct Reached {
    directory: File,
    name: OsString,
    /// The path without links, as it was walked.
    pub path: PathBuf,
    /// Who does the work; None: root.
    user: Option<Ids>,
}

/// A directory on the way.
struct PathLevel {
    handle: File,
    name: OsString,
    owner: u32,
    /// Whether others than its owner may exchange what is in it.
    is_open: bool,
}

impl Reached {
    /// What a path names; the last name on it may be a link, and is then meant itself. No other link is followed, so that a path that was
    /// walked once leads to the same place, or nowhere.
    pub fn exactly(path: &Path) -> Result<Self> {
        walk(path, Links::None).with_context(|| format!("cannot go to {}", path.display()))
    }

    /// The same where directories on the way may be links.
    pub fn entry(path: &Path) -> Result<Self> {
        walk(path, Links::OnTheWay).with_context(|| format!("cannot go to {}", path.display()))
    }

    /// The file that a path leads to, over links if need be.
    pub fn behind_links(path: &Path) -> Result<Self> {
        walk(path, Links::All).with_context(|| format!("cannot go to {}", path.display()))
    }

    /// Reads a plain file.
    pub fn read(&self, bytes_max: u64) -> std::io::Result<Content> {
        let work = || Ok(read_at(&self.directory, &self.name, &self.path, bytes_max));
        let (bytes, found) = self.act(work).map_err(|error| Error::other(format!("{error:#}")))??;
        Ok(Content { bytes, owner: (found.uid(), found.gid()), mode: found.mode() & 0o777 })
    }

    /// Where a link leads, and whose it is; None: it is none, or nothing is there.
    pub fn link(&self) -> Option<(PathBuf, Ids)> {
        let (link, found) = self.link_at(&self.name)?;
        Some((target_of(&link).ok()?, (found.uid(), found.gid())))
    }

    fn link_at(&self, name: &OsStr) -> Option<(File, Metadata)> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(&self.directory, name, flags, Mode::empty()).ok()?);
        let found = file.metadata().ok()?;
        found.is_symlink().then_some((file, found))
    }

    /// What is there, held, where nobody but root can have put it there: a plain file of one name, or a directory.
    pub fn held(&self) -> Result<(File, Metadata)> {
        anyhow::ensure!(self.user.is_none(), "{}", self.shown());
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(&self.directory, &self.name, flags, Mode::empty())?);
        let found = file.metadata()?;
        let is_roots = found.uid() == 0 && (found.is_dir() || (found.is_file() && found.nlink() == 1));
        anyhow::ensure!(is_roots, "{} is not a file or directory of root's", self.path.display());
        Ok((file, found))
    }

    /// Writes a file whole, in place of what may be there. Root gives it its owner; of another user it is that user's.
    pub fn write(&self, content: &Content) -> Result<()> {
        self.replace(|new| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(openat(&self.directory, new, flags, Mode::from_raw_mode(0o600))?);
            file.write_all(&content.bytes)?;
            if self.user.is_none() {
                let (user, group) = content.owner;
                fchown(&file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
            }
            fchmod(&file, Mode::from_raw_mode(content.mode & 0o777))?;
            Ok(file.sync_all()?)
        })
    }

    /// The same with a link.
    pub fn make_link(&self, target: &Path, (user, group): Ids) -> Result<()> {
        self.replace(|new| {
            symlinkat(target, &self.directory, new)?;
            if self.user.is_none() {
                let (link, _) = self.link_at(new).context("the new link was exchanged")?;
                let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
                chownat(&link, "", user, group, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Ok(())
        })
    }

    /// Removes it; nothing may be there.
    pub fn remove(&self) -> Result<()> {
        let remove = || match unlinkat(&self.directory, &self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        };
        self.act(remove).with_context(|| format!("cannot remove {}", self.shown()))
    }

    fn replace(&self, make: impl FnOnce(&OsStr) -> Result<()> + Send) -> Result<()> {
        // A name that neither sudo, nginx, systemd nor uWSGI reads.
        let new = random_name();
        let work = || {
            let made =
                make(&new).and_then(|()| Ok(renameat(&self.directory, &new, &self.directory, &self.name)?));
            if made.is_err() {
                let _ = unlinkat(&self.directory, &new, AtFlags::empty());
            }
            made
        };
        self.act(work).with_context(|| format!("cannot write {}", self.shown()))
    }

    fn act<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        // Who is not root can do no more than they may.
        match self.user.filter(|_| geteuid().is_root()) {
            Some(user) => as_user(user, work),
            None => work(),
        }
    }

    fn shown(&self) -> String {
        match self.user {
            Some((user, _)) => {
                format!("{} as {}, who may change the way to it", self.path.display(), Account::of(user).name)
            }
            None => self.path.display().to_string(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    None,
    OnTheWay,
    All,
}

fn walk(path: &Path, follow: Links) -> Result<Reached> {
    let mut pending: VecDeque<OsString> = VecDeque::new();
    let mut levels = vec![level(openat(CWD, "/", directory_flags(), Mode::empty())?.into(), "/".into())?];
    let mut link_user = None;
    let mut links = 0;
    anyhow::ensure!(path.is_absolute(), "it is not an absolute path");
    prepend(&mut pending, path);
    while let Some(name) = pending.pop_front() {
        let Some(last) = levels.last() else { break };
        if name == ".." {
            // `/..` is `/`.
            levels.truncate(levels.len().saturating_sub(1).max(1));
            continue;
        }
        let is_last = pending.is_empty();
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = openat(&last.handle, &name, flags, Mode::empty()).map(File::from);
        let kind = match &found {
            Ok(found) => Some(found.metadata()?),
            Err(Errno::NOENT) if is_last => None,
            Err(error) => return Err(*error).with_context(|| shown(&levels, &name)),
        };
        if kind.as_ref().is_some_and(Metadata::is_symlink)
            && (follow == Links::All || (follow == Links::OnTheWay && !is_last))
        {
            links += 1;
            anyhow::ensure!(links <= LINKS_MAX, "too many links lie on the way");
            let found = found?;
            let owner = found.metadata()?.uid();
            link_user = link_user.or(user_of(&levels)?).or((owner != 0).then_some(owner));
            let target = target_of(&found)?;
            if target.is_absolute() {
                levels.truncate(1);
            }
            prepend(&mut pending, &target);
            continue;
        }
        if is_last {
            let user = link_user.or(user_of(&levels)?).map(|user| (user, Account::of(user).gid));
            let way: PathBuf = levels.iter().map(|level| &level.name).collect();
            let directory = levels.pop().context("it is in no directory")?.handle;
            return Ok(Reached { directory, path: way.join(&name), name, user });
        }
        if !kind.is_some_and(|kind| kind.is_dir()) {
            return Err(anyhow!("{} is no directory, or is a link", shown(&levels, &name)));
        }
        levels.push(level(found?, name)?);
    }
    Err(anyhow!("it names no file"))
}

fn target_of(link: &File) -> Result<PathBuf> {
    Ok(OsString::from_vec(readlinkat(link, "", Vec::new())?.into_bytes()).into())
}

fn random_name() -> OsString {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("Linux gives random numbers to every process");
    format!(".setup.{}~", hex::encode(bytes)).into()
}

fn prepend(pending: &mut VecDeque<OsString>, path: &Path) {
    for part in path.components().rev() {
        match part {
            Component::Normal(name) => pending.push_front(name.to_owned()),
            Component::ParentDir => pending.push_front("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

fn directory_flags() -> OFlags {
    OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// An access list that lets somebody write shows in the group's bits.
fn level(handle: File, name: OsString) -> Result<PathLevel> {
    let found = handle.metadata()?;
    let mode = found.permissions().mode();
    Ok(PathLevel { handle, name, owner: found.uid(), is_open: mode & 0o022 != 0 && mode & 0o1000 == 0 })
}

fn shown(levels: &[PathLevel], name: &OsStr) -> String {
    levels.iter().map(|level| &level.name).collect::<PathBuf>().join(name).display().to_string()
}

/// Who leads the way through these directories; None: root alone.
fn user_of(levels: &[PathLevel]) -> Result<Option<u32>> {
    let mut before: Option<&PathLevel> = None;
    for (number, level) in levels.iter().enumerate() {
        if level.owner != 0 {
            return Ok(Some(level.owner));
        }
        if let Some(before) = before.filter(|before| before.is_open) {
            let (inner, outer) =
                (shown(&levels[..number], &level.name), shown(&levels[..number - 1], &before.name));
            return Err(anyhow!(
                "{outer} can be written by others, and may not hold {inner}, which is root's: `chmod g-w,o-w {outer}` (with an access list: `setfacl --remove-all {outer}`), or give {inner} to its user"
            ));
        }
        before = Some(level);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{chown, lchown, symlink};

    const USER: u32 = 4711;

    /// Root's, in `/tmp`, with a directory of another user.
    fn scratch() -> tempfile::TempDir {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::create_dir(scratch.path().join("his")).unwrap();
        std::fs::create_dir(scratch.path().join("roots")).unwrap();
        chown(scratch.path().join("his"), Some(USER), Some(USER)).unwrap();
        scratch
    }

    fn content(text: &str) -> Content {
        Content { bytes: text.into(), owner: (0, 0), mode: 0o640 }
    }

    fn owner(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().uid()
    }

    #[test]
    fn only_plain_files_are_read_and_only_up_to_the_limit() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        std::fs::write(at("file"), "text").unwrap();
        symlink("file", at("link")).unwrap();
        rustix::fs::mknodat(CWD, at("fifo"), rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o666), 0)
            .unwrap();
        assert_eq!(read_plain(&at("file"), 4).unwrap(), "text");
        assert!(read_plain(&at("file"), 3).unwrap_err().to_string().contains("more than 3 bytes"));
        assert_eq!(read_plain(&at("none"), 3).unwrap_err().kind(), ErrorKind::NotFound);
        for name in ["link", "fifo"] {
            assert!(read_plain(&at(name), 4).is_err(), "{name}");
        }
        assert!(read_plain(Path::new("/dev/zero"), 4).is_err());
        assert_eq!(text_behind(&at("link")).as_deref(), Some("text"));
        assert_eq!(text_behind(&at("fifo")), None);
    }

    #[test]
    fn in_a_directory_of_another_user_nothing_is_done_as_root() {
        let scratch = scratch();
        let at = |name: &str| scratch.path().join(name);
        let reached = Reached::exactly(&at("his/file")).unwrap();
        reached.write(&content("new")).unwrap();
        assert_eq!(owner(&at("his/file")), USER);
        assert_eq!(reached.read(3).unwrap().mode, 0o640);
        let roots = Reached::exactly(&at("roots/file")).unwrap();
        roots.write(&Content { owner: (USER, USER), ..content("his") }).unwrap();
        assert_eq!(owner(&at("roots/file")), USER);
        // Below his directory one of root's: he may have brought it there.
        std::fs::create_dir(at("his/roots")).unwrap();
        assert!(Reached::exactly(&at("his/roots/file")).unwrap().write(&content("x")).is_err());
        // His link to what only root reads.
        std::fs::write(at("roots/secret"), "secret").unwrap();
        std::fs::set_permissions(at("roots/secret"), PermissionsExt::from_mode(0o600)).unwrap();
        symlink(at("roots/secret"), at("his/link")).unwrap();
        symlink(at("roots"), at("his/way")).unwrap();
        symlink(at("roots/secret"), at("link")).unwrap();
        lchown(at("link"), Some(USER), None).unwrap();
        for link in ["his/link", "his/way/secret", "link"] {
            assert_eq!(text_behind(&at(link)), None, "{link}");
            assert!(Reached::behind_links(&at(link)).unwrap().write(&content("x")).is_err(), "{link}");
        }
        assert_eq!(text_behind(&at("roots/secret")).as_deref(), Some("secret"));
        assert!(Reached::entry(&at("his/way/new")).unwrap().write(&content("x")).is_err());
        assert!(Reached::entry(&at("his/way/secret")).unwrap().remove().is_err());
        assert_eq!(std::fs::read_to_string(at("roots/secret")).unwrap(), "secret");
    }

    #[test]
    fn held_is_what_root_alone_has_put_there() {
        let scratch = scratch();
        let at = |name: &str| scratch.path().join(name);
        for name in ["roots/file", "roots/users", "roots/linked", "his/file"] {
            std::fs::write(at(name), "").unwrap();
        }
        chown(at("roots/users"), Some(USER), None).unwrap();
        std::fs::hard_link(at("roots/linked"), at("roots/again")).unwrap();
        symlink(at("roots/file"), at("roots/link")).unwrap();
        for (name, expected) in [
            ("roots", true),
            ("roots/file", true),
            ("roots/users", false),
            ("roots/linked", false),
            ("roots/link", false),
            ("his", false),
            ("his/file", false),
        ] {
            let held = Reached::exactly(&at(name)).unwrap().held();
            assert_eq!(held.is_ok(), expected, "{name}");
        }
    }

    #[test]
    fn what_was_reached_stays_what_it_is_and_a_link_in_its_place_is_refused() {
        let scratch = scratch();
        let at = |name: &str| scratch.path().join(name);
        let reached = Reached::exactly(&at("his/file")).unwrap();
        reached.write(&content("old")).unwrap();
        std::fs::rename(at("his"), at("moved")).unwrap();
        symlink(at("roots"), at("his")).unwrap();
        reached.write(&content("new")).unwrap();
        assert_eq!(std::fs::read_to_string(at("moved/file")).unwrap(), "new");
        assert!(!at("roots/file").exists());
        assert!(Reached::exactly(&at("his/file")).is_err());
        // A directory that he may write, and in it one of root's.
        std::fs::set_permissions(at("roots"), PermissionsExt::from_mode(0o775)).unwrap();
        std::fs::create_dir(at("roots/inner")).unwrap();
        Reached::exactly(&at("roots/file")).unwrap().write(&content("x")).unwrap();
        let error = format!("{:#}", Reached::exactly(&at("roots/inner/file")).unwrap_err());
        assert!(error.contains("chmod g-w,o-w"), "{error}");
    }
}
