//! Why a command could not be started, and what to do about it.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Nothing was run. Only [`StartError::Exhausted`] may go away by trying again later.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "the program `{program}` was not found. Install it, or add its directory to executable_search_paths; if it \
         is a script that exists, its first line (#!) names an interpreter that does not"
    )]
    ProgramNotFound { program: String },
    #[error(
        "the program `{program}` cannot be executed. Its file needs execute permission (chmod +x) for this user, \
         every directory above it too, and a script needs a first line such as #!/bin/sh"
    )]
    NotExecutable { program: String },
    #[error("the directory {} does not exist or is not a directory. Was it removed, or never created?", .0.display())]
    DirectoryMissing(PathBuf),
    #[error(
        "the arguments and environment of `{program}` are too long for the system (one argument may have 128 KiB). \
         Pass long values in a file instead"
    )]
    ArgumentListTooLong { program: String },
    #[error(
        "the supervisor process {} could not be run ({reason}), and no command runs without one. Is the deployer's own program \
         in place?", .supervisor.display()
    )]
    Leash { supervisor: PathBuf, reason: String },
    #[error("nobody starts commands for another user at {} ({reason}). Is its service there, and may it be called?", .socket.display())]
    Spawner { socket: PathBuf, reason: String },
    /// Whatever is to blame, it is not the command.
    #[error(
        "`{program}` could not be started: {reason}. The machine, or what the deployer itself may have of it, is used \
         up: see what else runs there, and TasksMax=, LimitNPROC= and MemoryMax= of the deployer's unit"
    )]
    Exhausted { program: String, reason: String },
    #[error("`{program}` could not be started: {reason}")]
    Other { program: String, reason: String },
}

impl StartError {
    /// From what the supervisor process reported of the command.
    pub(crate) fn of_command(program: &OsStr, errno: i32, text: String) -> Self {
        let program = program.to_string_lossy().into_owned();
        // 0: it was not the system that said so.
        if errno <= 0 {
            return Self::Other { program, reason: text };
        }
        match Errno::from_raw_os_error(errno) {
            Errno::NOENT => Self::ProgramNotFound { program },
            Errno::ACCESS | Errno::NOEXEC | Errno::ISDIR | Errno::NOTDIR => Self::NotExecutable { program },
            Errno::TOOBIG => Self::ArgumentListTooLong { program },
            errno if is_exhaustion(errno) => Self::Exhausted { program, reason: text },
            _ => Self::Other { program, reason: text },
        }
    }

    /// From what the system said to starting the supervisor, which has the command's arguments and more.
    pub(crate) fn of_supervisor(program: &OsStr, supervisor: &Path, error: &io::Error) -> Self {
        let program = program.to_string_lossy().into_owned();
        match Errno::from_io_error(error) {
            Some(Errno::TOOBIG) => Self::ArgumentListTooLong { program },
            Some(errno) if is_exhaustion(errno) => Self::Exhausted { program, reason: error.to_string() },
            // Not from the system: an argument or a variable that no program can be given.
            None if error.kind() == io::ErrorKind::InvalidInput => {
                Self::Other { program, reason: error.to_string() }
            }
            _ => Self::Leash { supervisor: supervisor.to_owned(), reason: error.to_string() },
        }
    }
}

/// Whether there are no processes, no memory or no open files left.
fn is_exhaustion(errno: Errno) -> bool {
    matches!(errno, Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE)
}
