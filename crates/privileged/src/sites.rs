//! Site files: root judges them, writes them, and remembers which ones are the deployer's.
//!
//! What root's nginx reads was judged by root and cannot be exchanged after that, because nobody but root can write there. Every step goes by
//! descriptors of directories, and through no link. A file that is not the deployer's by root's own list is neither overwritten nor removed.
//!
//! A file appears whole or not at all, also after a power cut: written aside, synced, renamed; then its directory is synced. The list is
//! written before the file, so that a file of ours is never taken for foreign.

use crate::allow_list::AllowList;
use crate::request::Refusal;
use nginx_policy::{Directive, Objection, configuration};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Where Debian's nginx has its configuration. Targets are relative to it.
pub const NGINX: &str = "/etc/nginx";

/// Where site files may lie in it.
pub const DIRECTORIES: [&str; 2] = ["conf.d", "snippets"];

/// Of root alone; systemd makes it for the helper's unit (`StateDirectory=`).
const STATE: &str = "/var/lib/durhack-deployer-privileged";

/// Where nginx keeps caches. Its unit's drop-in, or a package of nginx's, makes it as root's.
const CACHES: &str = "/var/cache/nginx";

/// In it: which files are the deployer's.
const LIST: &str = "sites.json";

/// Files of the deployer's, at most.
const FILES_MAX: usize = 2_000;

/// Objections that one refusal names.
const OBJECTIONS_SHOWN: usize = 4;

/// Written aside under this name: no `include` of nginx's matches what begins with a dot.
const ASIDE: &str = ".durhack-deployer.new";

/// What may be read of a file that is to become root's.
const BYTES_MAX: u64 = nginx_policy::FILE_BYTES_MAX as u64 + 1;

/// Which of nginx's files are the deployer's. Paths are relative to nginx's directory.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Owned {
    files: BTreeSet<String>,
    /// Directories that were made for them.
    directories: BTreeSet<String>,
    /// Links of the Python tool's, and where they lead. As long as one does, a file may come into its place, or nothing.
    #[serde(default)]
    links: BTreeMap<String, PathBuf>,
}

/// Why something is not done: refused, or an error of the system.
type Done = Result<(), Refusal>;

/// Judges a file, and puts it where nginx reads it. Refuses to replace one that is not the deployer's.
pub fn write(target: &str, text: &str, list: &AllowList) -> Done {
    check_caches(&judge(target, text.as_bytes(), list)?)?;
    let state = State::lock()?;
    let mut owned = state.load()?;
    if owned.files.len() >= FILES_MAX && !owned.files.contains(target) {
        return Err(Refusal(format!("{FILES_MAX} site files are there already; no more are written")));
    }
    let place = Place::find(target, Some(&mut owned))?;
    if place.holds_foreign(&owned, target)? {
        return Err(Refusal(format!(
            "{NGINX}/{target} is not the deployer's: root can move it away, then deploy again"
        )));
    }
    owned.files.insert(target.to_owned());
    state.save(&owned)?;
    place.put(text.as_bytes())?;
    // A file from here on; the same link, made once more, would be a foreign one.
    match owned.links.remove(target) {
        Some(_) => state.save(&owned),
        None => Ok(()),
    }
}

/// Removes a file; one that is not there is gone already.
pub fn remove(target: &str) -> Done {
    let state = State::lock()?;
    let mut owned = state.load()?;
    let place = match Place::find(target, None) {
        Ok(place) if place.is_taken()? => place,
        Err(refusal) if Path::new(NGINX).join(target).symlink_metadata().is_ok() => return Err(refusal),
        _ => {
            owned.files.remove(target);
            return state.save(&owned);
        }
    };
    if place.holds_foreign(&owned, target)? {
        return Err(Refusal(format!("{NGINX}/{target} is not the deployer's, and is left alone")));
    }
    place.take_away()?;
    owned.files.remove(target);
    owned.links.remove(target);
    for parent in Path::new(target).ancestors().skip(1) {
        let name = parent.to_string_lossy().into_owned();
        // One in which somebody has put something else stays.
        if owned.directories.contains(&name) && std::fs::remove_dir(Path::new(NGINX).join(parent)).is_ok() {
            owned.directories.remove(&name);
        }
    }
    state.save(&owned)
}

/// Makes root's what the deployer's user has written among nginx's files, where it is such as root would write itself; likewise what links into
/// these directories lead to, whoever made the links. One line for each file: what became of it.
///
/// A link of the latter kind that stays, because root would not write so or because it leads to nothing, is remembered: what the deployer
/// writes instead is judged then.
pub fn adopt(trees: &[PathBuf], list: &AllowList) -> Result<String, Refusal> {
    let user = list.uid()?;
    let state = State::lock()?;
    let mut owned = state.load()?;
    let mut report = String::new();
    for target in below_directories() {
        let link = link_into(&target, trees);
        let Some(text) = read_users(&target, user, link.is_some()) else { continue };
        let adopted = text
            .map_err(|why| Refusal(why.to_string()))
            .and_then(|text| {
                nginx_policy::judge_name(&target).map_err(Refusal)?;
                check_caches(&judge(&target, &text, list)?)?;
                Ok((Place::find(&target, None)?, text))
            })
            .and_then(|(place, text)| {
                owned.files.insert(target.clone());
                state.save(&owned)?;
                place.put(&text)
            });
        match (adopted, link) {
            (Ok(()), _) => report.push_str(&format!("{target}: root's now\n")),
            (Err(Refusal(why)), None) => report.push_str(&format!("{target}: left as it is: {why}\n")),
            (Err(Refusal(why)), Some(to)) => {
                report.push_str(&format!("{target}: stays a link until it is deployed: {why}\n"));
                owned.links.insert(target, to);
                state.save(&owned)?;
            }
        }
    }
    Ok(report)
}

/// Judges a file as the deployer has done before: its objections have the same words.
fn judge(target: &str, text: &[u8], list: &AllowList) -> Result<Vec<Directive>, Refusal> {
    let objections = match nginx_policy::judge(text, &list.bounds()) {
        Ok(directives) => return Ok(directives),
        Err(objections) => objections,
    };
    let shown = objections.iter().take(OBJECTIONS_SHOWN).map(Objection::to_string).collect::<Vec<_>>();
    let more = objections.len().saturating_sub(OBJECTIONS_SHOWN);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    Err(Refusal(format!("{target}: {}{more}", shown.join("; "))))
}

/// Where a file has nginx keep a cache, nobody but root may decide what its directory is: nginx's master gives it to nginx's user by its name, and
/// through links.
fn check_caches(directives: &[Directive]) -> Done {
    let caches = Path::new(CACHES);
    let mut named = Vec::new();
    configuration::each(directives, &mut |directive| {
        if directive.name().ends_with("_cache_path") {
            named.extend(directive.argument().map(Path::new).filter(|path| path.starts_with(caches)));
        }
    });
    if named.is_empty() || caches.symlink_metadata().is_err() {
        return Ok(());
    }
    crate::allow_list::check_directories(caches)?;
    match named.into_iter().find(|path| path.symlink_metadata().is_ok_and(|found| !found.is_dir())) {
        Some(path) => Err(Refusal(format!(
            "{} is a link or a file, and nginx would give what is there to its user: remove it, then deploy again",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// Judges all files of the deployer's together: each was judged when it was written, and what a variable is in one may be decided in another.
pub fn check_together(list: &AllowList) -> Done {
    let owned = State::lock()?.load()?;
    let mut files = Vec::new();
    for target in &owned.files {
        let path = Path::new(NGINX).join(target);
        // What is gone, nginx does not read.
        if path.symlink_metadata().is_err() || list.nginx_foreign.contains(&path) {
            continue;
        }
        let not_understood = |why: &dyn std::fmt::Display| {
            Refusal(format!(
                "{} is the deployer's and cannot be judged: {why}. Deploy it anew; or, if it is an administrator's now, add it to `nginx_foreign` of {}",
                path.display(),
                crate::allow_list::PATH
            ))
        };
        let text = crate::allow_list::read(&path).map_err(|refusal| not_understood(&refusal))?;
        let directives = configuration::parse_alike(&text).map_err(|error| not_understood(&error))?;
        check_caches(&directives)?;
        files.push((target, directives));
    }
    let together: Vec<_> = files.iter().map(|(_, directives)| directives.as_slice()).collect();
    match nginx_policy::judge_together(&together, &list.bounds()).first() {
        None => Ok(()),
        Some((number, objection)) => {
            Err(Refusal(format!("{NGINX}/{}: with the other sites' files: {objection}", files[*number].0)))
        }
    }
}

/// The files and links below the two directories, relative to nginx's; no link is followed.
fn below_directories() -> Vec<String> {
    let mut found = Vec::new();
    let mut pending: Vec<String> = DIRECTORIES.map(str::to_owned).to_vec();
    while let Some(directory) = pending.pop() {
        let entries = std::fs::read_dir(Path::new(NGINX).join(&directory)).into_iter().flatten().flatten();
        for entry in entries {
            let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else { continue };
            let path = format!("{directory}/{name}");
            if kind.is_dir() { pending.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Where a link leads, if that is into one of these directories.
fn link_into(target: &str, trees: &[PathBuf]) -> Option<PathBuf> {
    let to = std::fs::read_link(Path::new(NGINX).join(target)).ok()?;
    let is_plain = to.components().all(|part| part != Component::ParentDir);
    (is_plain && trees.iter().any(|tree| to.starts_with(tree))).then_some(to)
}

/// What is in a file of this user's; None where it is not one. A link of the user's, or one that is to be taken over whosever it is, counts
/// where the file that it leads to is the user's.
fn read_users(target: &str, user: u32, is_taken_over: bool) -> Option<std::io::Result<Vec<u8>>> {
    use std::os::unix::fs::MetadataExt;
    let path = Path::new(NGINX).join(target);
    if path.symlink_metadata().ok()?.uid() != user && !is_taken_over {
        return None;
    }
    // Looked at before it is opened: the user may have it lead to a device, which an opening would set going.
    let looked_at = match rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(looked_at) => looked_at,
        Err(error) => return Some(Err(error.into())),
    };
    let found = rustix::fs::fstat(&looked_at);
    let is_users = found.is_ok_and(|found| {
        FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_uid == user
    });
    if !is_users {
        return Some(Err(std::io::Error::other("it is not a plain file of the deployer's user")));
    }
    let file = match File::open(format!("/proc/self/fd/{}", looked_at.as_raw_fd())) {
        Ok(file) => file,
        Err(error) => return Some(Err(error)),
    };
    let mut bytes = Vec::new();
    Some(file.take(BYTES_MAX).read_to_end(&mut bytes).map(|_| bytes))
}

/// The list of what is the deployer's, while nobody else changes it.
struct State {
    directory: OwnedFd,
}

impl State {
    /// Waits until nobody else has it.
    fn lock() -> Result<Self, Refusal> {
        let path = Path::new(STATE);
        match std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Refusal(format!("cannot make {STATE}: {error}")));
            }
            _ => {}
        }
        crate::allow_list::check_directories(path)?;
        let directory =
            open_directory(rustix::fs::CWD, path).map_err(|error| cannot("open", STATE, error))?;
        rustix::fs::flock(&directory, FlockOperation::LockExclusive)
            .map_err(|error| cannot("lock", STATE, error))?;
        Ok(Self { directory })
    }

    fn load(&self) -> Result<Owned, Refusal> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut text = String::new();
        match rustix::fs::openat(&self.directory, LIST, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Owned::default()),
            Err(error) => return Err(cannot("read", &format!("{STATE}/{LIST}"), error)),
            Ok(file) => File::from(file).read_to_string(&mut text),
        }
        .map_err(|error| Refusal(format!("cannot read {STATE}/{LIST}: {error}")))?;
        serde_json::from_str(&text).map_err(|error| {
            Refusal(format!(
                "{STATE}/{LIST} is damaged ({error}); it says which of nginx's files are the deployer's"
            ))
        })
    }

    fn save(&self, owned: &Owned) -> Done {
        let text = serde_json::to_vec_pretty(owned).map_err(|error| Refusal(error.to_string()))?;
        put(&self.directory, LIST, &text, 0o600)
            .map_err(|error| Refusal(format!("cannot write {STATE}/{LIST}: {error}")))
    }
}

/// Where a file is, or will be: its directory, open, and its name.
struct Place<'a> {
    directory: OwnedFd,
    name: &'a str,
    shown: &'a str,
}

impl<'a> Place<'a> {
    /// Goes there step by step. With a list, directories that are missing are made, and noted.
    fn find(target: &'a str, mut owned: Option<&mut Owned>) -> Result<Self, Refusal> {
        let (way, name) = target.rsplit_once('/').unwrap_or(("", target));
        let mut shown = String::new();
        let at = |shown: &str| format!("{NGINX}/{shown}");
        crate::allow_list::check_directories(Path::new(NGINX))?;
        let mut directory = open_directory(rustix::fs::CWD, Path::new(NGINX))
            .map_err(|error| cannot("open", NGINX, error))?;
        for part in way.split('/') {
            shown = if shown.is_empty() { part.to_owned() } else { format!("{shown}/{part}") };
            let opened = match (open_directory(&directory, Path::new(part)), owned.as_deref_mut()) {
                (Err(Errno::NOENT), Some(owned)) => {
                    let made = rustix::fs::mkdirat(&directory, part, Mode::from_raw_mode(0o755));
                    made.map_err(|error| cannot("make", &at(&shown), error))?;
                    owned.directories.insert(shown.clone());
                    open_directory(&directory, Path::new(part))
                }
                (opened, _) => opened,
            };
            directory = opened.map_err(|error| cannot("open", &at(&shown), error))?;
            let found = rustix::fs::fstat(&directory).map_err(|error| cannot("read", &at(&shown), error))?;
            if found.st_uid != 0 || found.st_mode & 0o022 != 0 {
                return Err(Refusal(format!(
                    "{} can be changed by others than root; `durhack-deployer setup` puts that right",
                    at(&shown)
                )));
            }
        }
        Ok(Self { directory, name, shown: target })
    }

    fn kind(&self) -> Result<Option<FileType>, Refusal> {
        match rustix::fs::statat(&self.directory, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(FileType::from_raw_mode(found.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(cannot("look at", self.shown, error)),
        }
    }

    fn is_taken(&self) -> Result<bool, Refusal> {
        self.kind().map(|kind| kind.is_some())
    }

    /// Whether what is there must be left alone.
    fn holds_foreign(&self, owned: &Owned, target: &str) -> Result<bool, Refusal> {
        Ok(match self.kind()? {
            None => false,
            Some(FileType::RegularFile) => !owned.files.contains(target),
            Some(FileType::Symlink) => {
                let to = rustix::fs::readlinkat(&self.directory, self.name, Vec::new());
                let to = to.map_err(|error| cannot("read", self.shown, error))?;
                owned.links.get(target).is_none_or(|known| known.as_os_str().as_bytes() != to.as_bytes())
            }
            Some(_) => true,
        })
    }

    fn put(&self, bytes: &[u8]) -> Done {
        put(&self.directory, self.name, bytes, 0o644)
            .map_err(|error| Refusal(format!("cannot write {}: {error}", self.shown)))
    }

    fn take_away(&self) -> Done {
        rustix::fs::unlinkat(&self.directory, self.name, AtFlags::empty())
            .and_then(|()| rustix::fs::fsync(&self.directory))
            .map_err(|error| cannot("remove", self.shown, error))
    }
}

/// Whole or not at all.
fn put(directory: &OwnedFd, name: &str, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    match rustix::fs::unlinkat(directory, ASIDE, AtFlags::empty()) {
        Err(error) if error != Errno::NOENT => return Err(error.into()),
        _ => {}
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(directory, ASIDE, flags, Mode::from_raw_mode(0o600))?);
    file.write_all(bytes)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    file.sync_all()?;
    rustix::fs::renameat(directory, ASIDE, directory, name)?;
    Ok(rustix::fs::fsync(directory)?)
}

fn open_directory(at: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, path, flags, Mode::empty())
}

fn cannot(what: &str, path: &str, error: Errno) -> Refusal {
    Refusal(format!("cannot {what} {path}: {error}"))
}
