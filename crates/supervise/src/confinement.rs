//! What a command may read, write and use up.
//!
//! Paths are the kernel's work (Landlock), and so are system calls (seccomp): the command restricts itself before it becomes the program, and
//! everything below inherits that for ever. Deliberately absent: a list of what is forbidden. Landlock only knows what is allowed;
//! `hidden` is carved out of that by allowing the neighbours instead. System calls likewise: see `supervisor process/system_calls.rs`.

use std::ffi::OsString;
use std::path::PathBuf;

/// Where a command may read and write; nowhere else. What is not there is passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Files and trees that may be read and executed.
    pub readable: Vec<PathBuf>,
    /// Files and trees in which everything may be done, but for making devices.
    pub writable: Vec<PathBuf>,
    /// Not readable although something of `readable` contains it. It does not take away what `readable` or `writable` names inside it.
    pub hidden: Vec<PathBuf>,
    /// For tests: ask for no more of Landlock than a kernel with this version of its interface has. `None`: for all of it.
    pub landlock_max: Option<u32>,
}

/// How much a command, with all that it starts, may use up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Resident memory of all its processes together, in bytes; what they share is counted for each. Looked at several times a second,
    /// so that it may be exceeded for a moment.
    pub memory_bytes_max: Option<u64>,
    /// Processes and their threads, looked at likewise.
    pub tasks_max: Option<u32>,
    /// Of one file, in bytes. The kernel's own limit (`RLIMIT_FSIZE`).
    pub file_bytes_max: Option<u64>,
    /// Memory of its own (heap, stacks, not files that it maps) of each of its processes, in bytes. The kernel's own limit (`RLIMIT_DATA`):
    /// more is not given, not even for a moment.
    pub data_bytes_max: Option<u64>,
}

/// How far the kernel enforces a [`Confinement`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enforcement {
    /// Paths, and signals to processes outside.
    pub landlock: Landlock,
    /// Whether system calls are filtered (seccomp): limits and priorities of others, kernel keys, namespaces and the like.
    pub system_calls: bool,
    /// Whether the command has a control group of its own, with which everything it starts is killed at once. Only where a service
    /// manager has delegated one.
    pub control_group: bool,
}

/// How far the kernel enforces the paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landlock {
    /// All of it.
    Full,
    /// Its Landlock is older: this is the number of its interface (ABI).
    Partial(u32),
    /// It has no Landlock, or that is switched off.
    None,
}

/// What the supervisor process is to do about the command: as arguments, in which form it hears of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Restrictions {
    pub confinement: Option<Confinement>,
    pub resources: Option<ResourceLimits>,
}

const CONFINE: &str = "confine";
const READ: &str = "read";
const WRITE: &str = "write";
const HIDE: &str = "hide";
const LANDLOCK_MAX: &str = "landlock-max";
const LIMIT: &str = "limit";
const MEMORY: &str = "memory";
const TASKS: &str = "tasks";
const FILE: &str = "file";
const DATA: &str = "data";

impl Restrictions {
    pub fn are_none(&self) -> bool {
        self.confinement.is_none() && self.resources.is_none()
    }

    /// Words, of which none is `--` but behind another one that announces a path.
    pub fn into_arguments(self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        if let Some(Confinement { readable, writable, hidden, landlock_max }) = self.confinement {
            arguments.push(CONFINE.into());
            if let Some(interface) = landlock_max {
                arguments.extend([LANDLOCK_MAX.into(), interface.to_string().into()]);
            }
            for (word, paths) in [(READ, readable), (WRITE, writable), (HIDE, hidden)] {
                arguments.extend(paths.into_iter().flat_map(|path| [word.into(), path.into_os_string()]));
            }
        }
        if let Some(ResourceLimits { memory_bytes_max, tasks_max, file_bytes_max, data_bytes_max }) =
            self.resources
        {
            arguments.push(LIMIT.into());
            for (word, number) in [
                (MEMORY, memory_bytes_max),
                (TASKS, tasks_max.map(u64::from)),
                (FILE, file_bytes_max),
                (DATA, data_bytes_max),
            ] {
                arguments
                    .extend(number.into_iter().flat_map(|number| [word.into(), number.to_string().into()]));
            }
        }
        arguments
    }

    /// Reads up to and including `--`; `None` where that is not what was written.
    pub fn parse(arguments: &mut impl Iterator<Item = OsString>) -> Option<Self> {
        let mut found = Self::default();
        loop {
            let word = arguments.next()?;
            let word = word.to_str()?;
            match word {
                "--" => return Some(found),
                CONFINE => found.confinement = Some(Confinement::default()),
                LIMIT => found.resources = Some(ResourceLimits::default()),
                READ | WRITE | HIDE => {
                    let confinement = found.confinement.as_mut()?;
                    let paths = match word {
                        READ => &mut confinement.readable,
                        WRITE => &mut confinement.writable,
                        _ => &mut confinement.hidden,
                    };
                    paths.push(arguments.next()?.into());
                }
                LANDLOCK_MAX => {
                    let number = arguments.next()?.to_str()?.parse().ok()?;
                    found.confinement.as_mut()?.landlock_max = Some(number);
                }
                _ => {
                    let resources = found.resources.as_mut()?;
                    let number: u64 = arguments.next()?.to_str()?.parse().ok()?;
                    match word {
                        MEMORY => resources.memory_bytes_max = Some(number),
                        TASKS => resources.tasks_max = Some(number.try_into().ok()?),
                        FILE => resources.file_bytes_max = Some(number),
                        DATA => resources.data_bytes_max = Some(number),
                        _ => return None,
                    }
                }
            }
        }
    }
}
