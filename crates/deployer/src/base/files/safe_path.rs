//! The one way to files that a build, or what it has made live, may have made or can exchange.
//!
//! Whoever opens such a file by its name opens what somebody else has decided on: a link to another deployment's secrets, a named pipe that
//! blocks for ever, `/dev/zero`. So every one is opened from a directory's descriptor by openat2(2) without following any link, looked at
//! before it is opened for reading, and read up to a limit. Where that may not be called (some containers), the parts of the path are opened
//! one by one. Nothing else in this crate calls it: what would then not work in a container is found by `cargo xtask check`.
//!
//! Directories are gone through, and things in them made and removed, in the same run_mode: [`OpenDirectory`].
//!
//! A network file system can hang in any of these calls. [`off_thread`] leaves such a call behind on a thread of its own when its time is over;
//! threads of tokio's would be waited for when the daemon ends.
//!
//! Deliberately absent: files that only the deployer and the operator can write (the state directory, the configuration).

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, StatxFlags, Timestamps, chmodat, fstat,
    openat2, statx, utimensat,
};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use thiserror::Error;

/// What an environment file may hold: some thousand variables.
pub const ENV_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Calls that hang at once, at most: each is a thread. Who hits it has a file system that is gone.
const HANGING_MAX: usize = 64;

/// Below this, Debian's accounts are those of services; above the second, those without a person behind them.
const PEOPLE: std::ops::RangeInclusive<u32> = 1000..=59_999;

static HANGING: AtomicUsize = AtomicUsize::new(0);

/// Why a file is not read, or a directory not gone through.
#[derive(Debug, Error)]
pub enum Refused {
    /// It is not there.
    #[error("there is no {}", .0.display())]
    Missing(PathBuf),
    /// A link, in its place or on the way to it.
    #[error(
        "{} is a link, or a link is on the way to it; links are not followed where a build may have put them\nhint: name the file itself, or put it there in the link's place", .0.display()
    )]
    Link(PathBuf),
    /// Something else than what is wanted.
    #[error("{} is a {found}, not a {wanted}\nhint: look who has put it there, and remove it", path.display())]
    Kind {
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// More than is read.
    #[error("{} has {bytes} bytes, and at most {max} are read", path.display())]
    TooLarge { path: PathBuf, bytes: u64, max: u64 },
    #[error("{} is not UTF-8 text", .0.display())]
    NotText(PathBuf),
    /// Somebody could have written it who must not.
    #[error("{} is not to be relied on: {reason}\nhint: {mend}", path.display())]
    Untrusted {
        path: PathBuf,
        /// Who could, and where.
        reason: String,
        /// What mends it.
        mend: String,
    },
    /// The file system does not answer.
    #[error("{} did not answer within {after:?}\nhint: does its file system hang?", path.display())]
    Hangs {
        path: PathBuf,
        /// So long was waited.
        after: Duration,
    },
    /// What the system says.
    #[error("cannot use {}: {error}", path.display())]
    System {
        path: PathBuf,
        /// What it says.
        error: std::io::Error,
    },
}

impl Refused {
    /// Whether there is just nothing.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }

    fn of(path: &Path, errno: Errno) -> Self {
        let path = path.to_owned();
        match errno {
            Errno::NOENT => Self::Missing(path),
            // XDEV: a link, or `..`, led out of the directory.
            Errno::LOOP | Errno::XDEV => Self::Link(path),
            Errno::NOTDIR => Self::Kind { path, found: "file on the way", wanted: "directory" },
            _ => Self::System { path, error: errno.into() },
        }
    }
}

/// Reads a file that lies below `root`, or anywhere. Links above `root` are the operator's; behind it, and on the way to a file that
/// lies elsewhere, none is followed.
pub fn read_now(root: &Path, file: &Path, bytes_max: u64) -> Result<Vec<u8>, Refused> {
    read_of(&open(root, file)?, file, bytes_max)
}

/// The same, as text.
pub fn read_text_now(root: &Path, file: &Path, bytes_max: u64) -> Result<String, Refused> {
    text(read_now(root, file, bytes_max)?, file)
}

/// Reads a text off the async threads; given up when the time is over. With `trust`, only a file that nobody else can have written.
pub async fn read_text(
    root: &Path,
    file: &Path,
    bytes_max: u64,
    trust: Option<Trust>,
    limit: Duration,
) -> Result<String, Refused> {
    let (root, name) = (root.to_owned(), file.to_owned());
    off_thread(file, limit, move || {
        let opened = open(&root, &name)?;
        if let Some(trust) = trust {
            trust.judge(&opened, &name)?;
        }
        text(read_of(&opened, &name, bytes_max)?, &name)
    })
    .await
}

/// Does something with files on a thread of its own. `path` is what it is about.
pub async fn off_thread<T: Send + 'static>(
    path: &Path,
    limit: Duration,
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let hangs = || Refused::Hangs { path: path.to_owned(), after: limit };
    if HANGING.fetch_add(1, Ordering::Relaxed) >= HANGING_MAX {
        HANGING.fetch_sub(1, Ordering::Relaxed);
        return Err(hangs());
    }
    let (answer, answered) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("files".into()).spawn(move || {
        let done = work();
        HANGING.fetch_sub(1, Ordering::Relaxed);
        // Who does not wait any more does not need it.
        let _ = answer.send(done);
    });
    if let Err(error) = thread {
        HANGING.fetch_sub(1, Ordering::Relaxed);
        return Err(Refused::System { path: path.to_owned(), error });
    }
    match tokio::time::timeout(limit, answered).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) | Err(_) => Err(hangs()),
    }
}

/// A regular file that was found, not yet opened for reading. What is done to it is done to that file, whatever has its name by then.
#[derive(Debug)]
pub struct FoundFile {
    file: OwnedFd,
    directory: OwnedFd,
    stat: Stat,
}

impl FoundFile {
    /// When it was changed last, in seconds.
    pub fn modified_at(&self) -> i64 {
        self.stat.st_mtime
    }

    /// Its number on its file system.
    pub fn inode(&self) -> u64 {
        self.stat.st_ino
    }

    /// Whose it is.
    pub fn owner(&self) -> u32 {
        self.stat.st_uid
    }

    /// Whether it has another name too, which may lie anywhere on its file system.
    pub fn has_several_names(&self) -> bool {
        self.stat.st_nlink > 1
    }

    pub fn mode(&self) -> u32 {
        self.stat.st_mode & 0o7777
    }

    /// What is written in it, up to a limit. `path` is what an error calls it.
    pub fn read_text(&self, path: &Path, bytes_max: u64) -> Result<String, Refused> {
        text(read_of(self, path, bytes_max)?, path)
    }

    /// Sets its permissions. It is not opened for that: to close a file drops every POSIX lock that this process has on it, those of SQLite
    /// among them.
    pub fn set_mode(&self, mode: u32) -> rustix::io::Result<()> {
        set_mode(&self.file, mode)
    }

    /// Sets its times.
    pub fn set_times(&self, times: &Timestamps) -> rustix::io::Result<()> {
        // The kernel's name for what is open leads to that, and nowhere else.
        let through = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        utimensat(CWD, through, times, AtFlags::empty())
    }
}

/// Sets the permissions of what a descriptor leads to, which may be one that cannot be read from.
pub fn set_mode(file: impl AsFd, mode: u32) -> rustix::io::Result<()> {
    // The kernel's name for what is open leads to that, and nowhere else.
    let through = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    chmodat(CWD, through, Mode::from_raw_mode(mode), AtFlags::empty())
}

/// Finds a regular file as [`read_now`] does, for who wants something else than what is written in it.
pub fn find_now(root: &Path, file: &Path) -> Result<FoundFile, Refused> {
    open(root, file)
}

fn open(root: &Path, file: &Path) -> Result<FoundFile, Refused> {
    let (root, inner) = match file.strip_prefix(root) {
        Ok(inner) => (root, inner),
        Err(_) => (Path::new("/"), file.strip_prefix("/").unwrap_or(file)),
    };
    let name = inner.file_name().ok_or_else(|| Refused::of(file, Errno::INVAL))?;
    let directory = OpenDirectory::open(root)?;
    let parent = inner.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = match parent {
        // One call, so that nothing can be exchanged between two.
        Some(parent) => beneath(&directory.descriptor, parent, OFlags::DIRECTORY)
            .map_err(|errno| Refused::of(file, errno))?,
        None => directory.descriptor,
    };
    // Looked at before it is opened: to open a pipe or a device is to do something with it.
    let found =
        beneath(&directory, Path::new(name), OFlags::NOFOLLOW).map_err(|errno| Refused::of(file, errno))?;
    let stat = fstat(&found).map_err(|errno| Refused::of(file, errno))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(FoundFile { file: found, directory, stat }),
        FileType::Symlink => Err(Refused::Link(file.to_owned())),
        other => Err(Refused::Kind { path: file.to_owned(), found: word(other), wanted: "file" }),
    }
}

/// Whether the way may lead into another mounted file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mounts {
    /// Operators mount things below `shared/`.
    Entered,
    Refused,
}

/// A descriptor of what a name means in a directory, which may be a link: one that can be asked and changed, and neither read nor waited
/// for. A path is gone through without following links. Refuses with `EXDEV` what is mounted there.
pub fn entry(directory: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    resolve(directory.as_fd(), path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mounts::Refused)
}

/// A descriptor of what lies at `path`, without following links: of nothing but its place.
fn beneath(directory: &OwnedFd, path: &Path, more: OFlags) -> rustix::io::Result<OwnedFd> {
    resolve(directory.as_fd(), path, OFlags::PATH | OFlags::CLOEXEC | more, Mounts::Entered)
}

fn resolve(
    directory: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mounts: Mounts,
) -> rustix::io::Result<OwnedFd> {
    const ATTEMPTS_MAX: usize = 64;
    let mut how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    if mounts == Mounts::Refused {
        how |= ResolveFlags::NO_XDEV;
    }
    for _ in 0..ATTEMPTS_MAX {
        match openat2(directory, path, flags, Mode::empty(), how) {
            // Something was renamed meanwhile.
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Not the kernel: what a container is allowed to call. systemd-nspawn and older Dockers answer so.
            Err(Errno::NOSYS | Errno::PERM) => return step_by_step(directory, path, flags, mounts),
            done => return done,
        }
    }
    Err(Errno::AGAIN)
}

/// The same where openat2 may not be called: each part of the path from the one before it. Another process may move a directory elsewhere
/// between two of the parts. What is opened is then still what lay in the directory that it moved.
fn step_by_step(
    directory: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mounts: Mounts,
) -> rustix::io::Result<OwnedFd> {
    let step = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let kind = |at: &OwnedFd| fstat(at).map(|found| FileType::from_raw_mode(found.st_mode));
    let mut at = rustix::fs::openat(directory, ".", step | OFlags::DIRECTORY, Mode::empty())?;
    let mount = mount_of(&at)?;
    let mut parts = path.components().peekable();
    if parts.peek().is_none() {
        return Err(Errno::NOENT);
    }
    while let Some(part) = parts.next() {
        let name = match part {
            Component::CurDir => continue,
            Component::Normal(name) => name,
            // The kernel refuses `..` that leads out. We refuse every one: no caller needs it.
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV),
        };
        at = rustix::fs::openat(&at, name, step, Mode::empty())?;
        if mounts == Mounts::Refused && mount_of(&at)? != mount {
            return Err(Errno::XDEV);
        }
        let may_be_link = parts.peek().is_none() && flags.contains(OFlags::NOFOLLOW);
        if kind(&at)? == FileType::Symlink && !may_be_link {
            return Err(Errno::LOOP);
        }
    }
    match flags.contains(OFlags::DIRECTORY) && kind(&at)? != FileType::Directory {
        true => Err(Errno::NOTDIR),
        false => Ok(at),
    }
}

/// The mounted file system that something lies in: its device, and the number of the mount where the kernel tells it (Linux 5.8), since a
/// directory may be mounted elsewhere on its own device.
fn mount_of(at: &OwnedFd) -> rustix::io::Result<(u64, u64)> {
    let device = fstat(at)?.st_dev;
    match statx(at, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID) {
        Ok(found) => Ok((device, found.stx_mnt_id)),
        Err(Errno::NOSYS | Errno::PERM) => Ok((device, 0)),
        Err(errno) => Err(errno),
    }
}

fn read_of(found: &FoundFile, path: &Path, bytes_max: u64) -> Result<Vec<u8>, Refused> {
    let system = |error| Refused::System { path: path.to_owned(), error };
    let too_large = |bytes| Refused::TooLarge { path: path.to_owned(), bytes, max: bytes_max };
    let bytes = u64::try_from(found.stat.st_size).unwrap_or_default();
    if bytes > bytes_max {
        return Err(too_large(bytes));
    }
    let mut content = Vec::new();
    // It may grow while it is read.
    reopened(found).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut content)).map_err(system)?;
    match content.len() as u64 {
        read if read > bytes_max => Err(too_large(read)),
        _ => Ok(content),
    }
}

/// What is written in a small file that somebody else may have made, and to which links may lead: `None` where it is no regular file, or
/// not small. Whoever calls must neither pass on nor show what it says: nobody knows whose it is.
pub fn read_small(path: &Path) -> Option<String> {
    const BYTES_MAX: u64 = 64 * 1024;
    let file = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let stat = fstat(&file).ok()?;
    let directory = file.try_clone().ok()?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let found = is_file.then_some(FoundFile { file, directory, stat })?;
    text(read_of(&found, path, BYTES_MAX).ok()?, path).ok()
}

/// The very file that was looked at, for reading.
fn reopened(found: &FoundFile) -> std::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let through = format!("/proc/self/fd/{}", found.file.as_raw_fd());
    Ok(File::from(rustix::fs::open(through, flags, Mode::empty())?))
}

/// A regular file, opened for reading, and its length, for who does not read all of it.
pub fn open_now(root: &Path, file: &Path) -> Result<(File, u64), Refused> {
    let found = open(root, file)?;
    let opened = reopened(&found).map_err(|error| Refused::System { path: file.to_owned(), error })?;
    Ok((opened, u64::try_from(found.stat.st_size).unwrap_or_default()))
}

fn text(content: Vec<u8>, path: &Path) -> Result<String, Refused> {
    String::from_utf8(content).map_err(|_| Refused::NotText(path.to_owned()))
}

fn word(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "link",
        FileType::Fifo => "named pipe",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        FileType::Unknown => "file of an unknown kind",
    }
}

/// Who may have written a file that is relied on, and who not.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Names of users that builds and applications run as.
    pub users_of_deployments: Vec<String>,
    /// Where builds may write although the files' modes do not say so: the sandbox of the deployer's own user.
    pub writable: Vec<PathBuf>,
}

impl Trust {
    /// Whether neither the file nor a directory on its way is another's to write: of root's, of ours, or of a person's; closed to group and
    /// others (an access list shows in the group's bits); and not where builds may write.
    fn judge(&self, found: &FoundFile, path: &Path) -> Result<(), Refused> {
        let shown = path.display();
        let refuse =
            |reason: String, mend: String| Err(Refused::Untrusted { path: path.to_owned(), reason, mend });
        let owner = uid_of_self();
        let by_builds = |writable: &Path| {
            refuse(
                format!("it lies in {}, where this deployment's build steps may write", writable.display()),
                format!(
                    "move it out of there, and name its new place in `env_file`: install -m 640 -o root -g \"$(id -g -n {owner})\" '{shown}' /etc/NAME.env"
                ),
            )
        };
        if let Some(writable) = self.writable.iter().find(|writable| path.starts_with(writable)) {
            return by_builds(writable);
        }
        // The same directories under other names.
        let places: Vec<(&Path, Stat)> = self
            .writable
            .iter()
            .filter_map(|path| Some((path.as_path(), rustix::fs::stat(path).ok()?)))
            .collect();
        let place_of = |stat: &Stat| {
            places.iter().find(|(_, place)| (place.st_dev, place.st_ino) == (stat.st_dev, stat.st_ino))
        };
        if let Some((writable, _)) = place_of(&found.stat) {
            return by_builds(writable);
        }
        if found.stat.st_nlink != 1 {
            return refuse(
                "it has a second name (a hard link), under which it may be written".into(),
                format!("cp --preserve '{shown}' '{shown}.new' && mv '{shown}.new' '{shown}'"),
            );
        }
        if let Some(reason) = self.complaint(&found.stat) {
            return refuse(
                reason,
                format!("as root: chown \"root:$(id -g -n {owner})\" '{shown}' && chmod 640 '{shown}'"),
            );
        }
        let system = |errno: Errno| Refused::of(path, errno);
        let mut directory =
            found.directory.try_clone().map_err(|error| Refused::System { path: path.to_owned(), error })?;
        loop {
            let stat = fstat(&directory).map_err(system)?;
            if let Some((writable, _)) = place_of(&stat) {
                return by_builds(writable);
            }
            if let Some(reason) = self.complaint(&stat) {
                let through = format!("/proc/self/fd/{}", directory.as_raw_fd());
                let named = rustix::fs::readlink(through, Vec::new()).map_err(system)?;
                let named = named.to_string_lossy();
                return refuse(
                    format!("its directory {named}: {reason}"),
                    format!(
                        "as root: chmod go-w '{named}', and chown {owner} '{named}' where it is another's"
                    ),
                );
            }
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let above = rustix::fs::openat(&directory, "..", flags, Mode::empty()).map_err(system)?;
            let found = fstat(&above).map_err(system)?;
            if (found.st_dev, found.st_ino) == (stat.st_dev, stat.st_ino) {
                return Ok(());
            }
            directory = above;
        }
    }

    fn complaint(&self, stat: &Stat) -> Option<String> {
        let mode = stat.st_mode;
        let is_directory = FileType::from_raw_mode(mode) == FileType::Directory;
        // In a directory like /tmp nobody exchanges what is another's.
        let is_sticky = is_directory && mode & 0o1000 != 0;
        if mode & 0o022 != 0 && !is_sticky {
            return Some(format!("its mode {:04o} lets others than its owner write", mode & 0o7777));
        }
        let owner = stat.st_uid;
        let is_of_person = || {
            PEOPLE.contains(&owner)
                && name_of(owner).is_none_or(|name| !self.users_of_deployments.contains(&name))
        };
        let is_trusted = owner == 0 || owner == rustix::process::geteuid().as_raw() || is_of_person();
        (!is_trusted).then(|| {
            let name = name_of(owner).unwrap_or_else(|| owner.to_string());
            format!("it belongs to {name}, as whom a service or a deployment runs")
        })
    }
}

fn uid_of_self() -> String {
    let uid = rustix::process::geteuid().as_raw();
    name_of(uid).unwrap_or_else(|| uid.to_string())
}

/// The user's name, by the host's own list.
fn name_of(uid: u32) -> Option<String> {
    const BYTES_MAX: u64 = 16 * 1024 * 1024;
    let users = read_text_now(Path::new("/etc"), Path::new("/etc/passwd"), BYTES_MAX).ok()?;
    let of_user = |line: &str| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    };
    users.lines().find_map(of_user)
}

/// A directory, by descriptor: what lies in it is what lies in it, whatever its name comes to mean.
#[derive(Debug)]
pub struct OpenDirectory {
    descriptor: OwnedFd,
    path: PathBuf,
}

/// What lies under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    Directory,
    /// A link, wherever it leads.
    Link,
    /// A pipe, a socket or a device.
    Other,
}

impl OpenDirectory {
    /// A directory of the operator's. Links on its way are his.
    pub fn open(path: &Path) -> Result<Self, Refused> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = rustix::fs::openat(CWD, path, flags, Mode::empty());
        let descriptor = descriptor.map_err(|errno| Refused::of(path, errno))?;
        Ok(Self { descriptor, path: path.to_owned() })
    }

    /// Where it lay.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One that lies below it; made, with what is missing on the way, where `make` says so.
    pub fn below(self, path: &Path, make: bool) -> Result<Self, Refused> {
        let mut directory = self;
        for component in path.components() {
            let Component::Normal(name) = component else {
                return Err(Refused::of(&directory.path.join(path), Errno::INVAL));
            };
            directory = if make { directory.make(name)?.0 } else { directory.enter(name)? };
        }
        Ok(directory)
    }

    /// The directory of this name in it, made if there is none; and whether it was made.
    pub fn make(self, name: &OsStr) -> Result<(Self, bool), Refused> {
        let made = match rustix::fs::mkdirat(&self.descriptor, name, Mode::from_raw_mode(0o777)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(Refused::of(&self.path.join(name), errno)),
        };
        Ok((self.enter(name)?, made))
    }

    fn enter(self, name: &OsStr) -> Result<Self, Refused> {
        let path = self.path.join(name);
        match beneath(&self.descriptor, Path::new(name), OFlags::DIRECTORY | OFlags::NOFOLLOW) {
            Ok(descriptor) => Ok(Self { descriptor, path }),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(match self.kind(name)? {
                Some(FileKind::Link) => Refused::Link(path),
                _ => Refused::Kind { path, found: "file", wanted: "directory" },
            }),
            Err(errno) => Err(Refused::of(&path, errno)),
        }
    }

    /// The same directory seen again, for one that is still needed.
    pub fn child(&self, name: &OsStr) -> Result<Self, Refused> {
        self.again()?.enter(name)
    }

    fn again(&self) -> Result<Self, Refused> {
        let descriptor = rustix::io::fcntl_dupfd_cloexec(&self.descriptor, 0)
            .map_err(|errno| Refused::of(&self.path, errno))?;
        Ok(Self { descriptor, path: self.path.clone() })
    }

    /// The names of what lies in it, sorted.
    pub fn names(&self) -> Result<Vec<OsString>, Refused> {
        let system = |errno: Errno| Refused::of(&self.path, errno);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(self.opened()?).map_err(system)? {
            let name = OsStr::from_bytes(entry.map_err(system)?.file_name().to_bytes()).to_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Writes a file in it in the place of whatever file or link lies there; there is no moment without one.
    pub fn write(&self, name: &OsStr, from: &mut impl Read, mode: u32) -> Result<(), Refused> {
        let system = |error: std::io::Error| Refused::System { path: self.path.join(name), error };
        let mut aside = OsString::from(".");
        aside.push(name);
        aside.push(".new");
        match rustix::fs::unlinkat(&self.descriptor, &aside, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(system(errno.into())),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.descriptor, &aside, flags, Mode::from_raw_mode(mode));
        let mut file = File::from(file.map_err(|errno| system(errno.into()))?);
        std::io::copy(from, &mut file).and_then(|_| file.sync_all()).map_err(system)?;
        rustix::fs::renameat(&self.descriptor, &aside, &self.descriptor, name)
            .map_err(|errno| system(errno.into()))
    }

    /// Moves what lies under a name into another directory, where nothing of that name may be.
    pub fn move_to(&self, name: &OsStr, other: &Self) -> Result<(), Refused> {
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(&self.descriptor, name, &other.descriptor, name, flags)
            .map_err(|errno| Refused::of(&self.path.join(name), errno))
    }

    /// What lies under a name; `None`: nothing.
    pub fn kind(&self, name: &OsStr) -> Result<Option<FileKind>, Refused> {
        match rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => FileKind::File,
                FileType::Directory => FileKind::Directory,
                FileType::Symlink => FileKind::Link,
                _ => FileKind::Other,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Refused::of(&self.path.join(name), errno)),
        }
    }

    /// Opens a file of this name in it, for a lock: it can be read and written, and a pipe is not waited for. `create`, with this mode, fails
    /// where there is anything of that name. Whoever calls asks whether it is a regular file.
    pub fn lock_file(&self, name: &OsStr, create: Option<u32>) -> Result<File, Refused> {
        let mut flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        if create.is_some() {
            flags |= OFlags::CREATE | OFlags::EXCL;
        }
        let mode = Mode::from_raw_mode(create.unwrap_or(0));
        rustix::fs::openat(&self.descriptor, name, flags, mode)
            .map(File::from)
            .map_err(|errno| Refused::of(&self.path.join(name), errno))
    }

    /// Removes a link from it; anything else stays.
    pub fn remove_link(&self, name: &OsStr) -> Result<(), Refused> {
        if self.kind(name)? != Some(FileKind::Link) {
            return Ok(());
        }
        rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty())
            .map_err(|errno| Refused::of(&self.path.join(name), errno))
    }

    /// Gives it the owner, where we may, and the mode that another one has.
    pub fn become_like(&self, model: &Self) -> Result<(), Refused> {
        let system = |errno: Errno| Refused::of(&self.path, errno);
        let model = fstat(&model.descriptor).map_err(|errno| Refused::of(&model.path, errno))?;
        let opened = self.opened()?;
        let (user, group) =
            (rustix::fs::Uid::from_raw(model.st_uid), rustix::fs::Gid::from_raw(model.st_gid));
        // Only root may give things away; whoever else deploys owns them already.
        let _ = rustix::fs::fchown(&opened, Some(user), Some(group));
        rustix::fs::fchmod(&opened, Mode::from_raw_mode(model.st_mode & 0o7777)).map_err(system)
    }

    /// Takes the right to write in it away from everybody else, where it is ours; and whether they had it. Not from the group: there an
    /// access list shows, too.
    pub fn close_to_others(&self) -> Result<bool, Refused> {
        let system = |errno: Errno| Refused::of(&self.path, errno);
        let stat = fstat(&self.descriptor).map_err(system)?;
        let is_open = stat.st_mode & 0o002 != 0 && stat.st_uid == rustix::process::geteuid().as_raw();
        if is_open {
            let mode = Mode::from_raw_mode(stat.st_mode & 0o7775);
            rustix::fs::fchmod(self.opened()?, mode).map_err(system)?;
        }
        Ok(is_open)
    }

    /// A descriptor that is of the directory itself, not of its place.
    fn opened(&self) -> Result<OwnedFd, Refused> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.descriptor, ".", flags, Mode::empty())
            .map_err(|errno| Refused::of(&self.path, errno))
    }

    /// Makes a link in it, where there is nothing.
    pub fn link(&self, name: &OsStr, target: &Path) -> Result<(), Refused> {
        rustix::fs::symlinkat(target, self.descriptor.as_fd(), name)
            .map_err(|errno| Refused::of(&self.path.join(name), errno))
    }
}

/// The directory `path` below `root`, made where it is missing; a link on the way is an error, not a way.
pub fn directory_below(root: &Path, path: &Path) -> anyhow::Result<PathBuf> {
    Ok(OpenDirectory::open(root).and_then(|root| root.below(path, true))?.path().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A directory that a build has filled with everything but honest files.
    fn planted() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir_all(at("shared/directory")).unwrap();
        std::fs::create_dir(at("outside")).unwrap();
        std::fs::write(at("outside/secret"), "secret").unwrap();
        std::fs::write(at("shared/plain"), "plain").unwrap();
        std::fs::write(at("shared/binary"), b"\xff").unwrap();
        for (link, target) in [
            ("link", "plain"),
            ("out", "../outside/secret"),
            ("way", "../outside"),
            ("zero", "/dev/zero"),
            ("magic", "/proc/self/fd/0"),
            ("environ", "/proc/self/environ"),
            ("loop", "loop"),
            ("nowhere", "nothing"),
        ] {
            symlink(target, at("shared").join(link)).unwrap();
        }
        for (name, kind) in [("pipe", FileType::Fifo), ("socket", FileType::Socket)] {
            rustix::fs::mknodat(CWD, at("shared").join(name), kind, Mode::RWXU, 0).unwrap();
        }
        let sparse = File::create(at("shared/sparse")).unwrap();
        sparse.set_len(3 << 30).unwrap();
        root
    }

    #[test]
    fn only_regular_files_within_the_limit_are_read_and_no_link_is_followed() {
        let root = planted();
        let read = |name: &str| {
            let file = root.path().join("shared").join(name);
            read_text_now(root.path(), &file, 1024).map_err(|refused| refused.to_string())
        };
        assert_eq!(read("plain"), Ok("plain".into()));
        for (name, said) in [
            ("link", "is a link"),
            ("out", "is a link"),
            ("way/secret", "a link is on the way"),
            ("zero", "is a link"),
            ("magic", "is a link"),
            ("environ", "is a link"),
            ("loop", "is a link"),
            ("nowhere", "is a link"),
            ("../outside/../../etc/passwd", "is a link"),
            ("pipe", "is a named pipe, not a file"),
            ("socket", "is a socket, not a file"),
            ("directory", "is a directory, not a file"),
            ("plain/inner", "is a file on the way"),
            ("sparse", "has 3221225472 bytes, and at most 1024 are read"),
            ("binary", "is not UTF-8"),
            ("nothing", "there is no "),
        ] {
            let error = read(name).expect_err(name);
            assert!(error.contains(said), "{name}: {error}");
        }
    }

    /// Such a file says that it is empty, like one that somebody appends to.
    #[test]
    fn a_file_that_grows_is_read_up_to_the_limit() {
        let refused = read_now(Path::new("/proc"), Path::new("/proc/kallsyms"), 4096).unwrap_err();
        assert!(matches!(refused, Refused::TooLarge { bytes: 4097, .. }), "{refused}");
    }

    #[test]
    fn links_above_the_root_are_the_operators() {
        let root = planted();
        let link = root.path().join("link-to-shared");
        symlink(root.path().join("shared"), &link).unwrap();
        assert_eq!(read_text_now(&link, &link.join("plain"), 1024).unwrap(), "plain");
        // Elsewhere, none is.
        let refused = read_text_now(Path::new("/srv/other"), &link.join("plain"), 1024).unwrap_err();
        assert!(matches!(refused, Refused::Link(_)), "{refused}");
    }

    #[test]
    fn directories_are_gone_through_and_made_without_following_links() {
        let root = planted();
        let below = |path: &str| {
            let directory = OpenDirectory::open(root.path()).unwrap().below(Path::new(path), true);
            directory.map(|directory| directory.path().to_owned()).map_err(|refused| refused.to_string())
        };
        assert_eq!(below("shared/directory/a/b"), Ok(root.path().join("shared/directory/a/b")));
        for (path, said) in [
            ("shared/way/made", "is a link"),
            ("shared/way", "is a link"),
            ("shared/nowhere", "is a link"),
            ("shared/plain/x", "is a file"),
            ("shared/pipe", "is a file"),
            ("../made", "cannot use"),
            ("/etc", "cannot use"),
        ] {
            let error = below(path).expect_err(path);
            assert!(error.contains(said), "{path}: {error}");
        }
        assert_eq!(
            std::fs::read_dir(root.path().join("outside")).unwrap().count(),
            1,
            "nothing was made there"
        );
    }

    /// Machines in containers may not call openat2: what is opened without it is the same, and so is what is refused.
    #[test]
    fn what_is_opened_part_by_part_is_what_the_kernel_opens_in_one_call() {
        let root = planted();
        let above = OwnedFd::from(File::open(root.path()).unwrap());
        let top = OwnedFd::from(File::open("/").unwrap());
        let flags =
            [OFlags::empty(), OFlags::NOFOLLOW, OFlags::DIRECTORY, OFlags::DIRECTORY | OFlags::NOFOLLOW];
        let of_root = [
            "shared/plain",
            "shared/link",
            "shared/out",
            "shared/way",
            "shared/way/secret",
            "shared/nowhere",
            "shared/loop",
            "shared/pipe",
            "shared/socket",
            "shared/directory",
            "shared/directory/",
            "shared/nothing",
            "shared/nothing/inner",
            "shared/plain/inner",
            "shared/pipe/inner",
            "shared",
            ".",
            "./shared",
            "../etc",
            "/etc/passwd",
            "",
        ];
        // Other file systems are mounted there.
        let of_top = ["proc", "proc/self/status", "proc/self/fd/0", "proc/version", "dev/null", "etc/passwd"];
        let of_root = of_root.iter().map(|path| (&above, path));
        for (directory, path) in of_root.chain(of_top.iter().map(|path| (&top, path))) {
            for more in flags {
                for mounts in [Mounts::Entered, Mounts::Refused] {
                    let flags = OFlags::PATH | OFlags::CLOEXEC | more;
                    let opened = [resolve, step_by_step].map(|open| {
                        let found = open(directory.as_fd(), Path::new(path), flags, mounts).and_then(fstat);
                        found.map(|found| (found.st_dev, found.st_ino, found.st_mode))
                    });
                    assert_eq!(opened[0], opened[1], "{path:?} {flags:?} {mounts:?}");
                }
            }
        }
    }

    #[test]
    fn a_directory_is_closed_to_others_and_a_link_in_its_place_is_not() {
        use std::os::unix::fs::PermissionsExt;
        let root = planted();
        let shared = root.path().join("shared");
        let mode = |mode| std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o777);
        let directory = OpenDirectory::open(&shared).unwrap();
        assert!(directory.close_to_others().unwrap());
        assert_eq!(shared.metadata().unwrap().permissions().mode() & 0o777, 0o775);
        assert!(!directory.close_to_others().unwrap());
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_left_behind() {
        let (_hold, held) = std::sync::mpsc::sync_channel::<()>(0);
        let work = move || {
            let _ = held.recv();
            Ok(())
        };
        let refused = off_thread(Path::new("/srv/x"), Duration::from_millis(20), work).await.unwrap_err();
        assert!(refused.to_string().contains("/srv/x did not answer within 20ms"), "{refused}");
    }
}
