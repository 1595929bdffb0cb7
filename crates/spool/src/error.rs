//! The error that most operations share: what was attempted on which path, and the system's answer.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

/// A call to the file system failed. The cause is the error's `source`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct OperationError {
    action: &'static str,
    path: PathBuf,
    /// Shared, because all who wait for one fsync are told of its failure.
    source: Arc<io::Error>,
}

impl OperationError {
    pub(crate) fn new(action: &'static str, path: &Path, source: impl Into<io::Error>) -> OperationError {
        OperationError { action, path: path.to_owned(), source: Arc::new(source.into()) }
    }

    /// The system's answer.
    pub fn io_error(&self) -> &io::Error {
        &self.source
    }

    /// The disk, or our share of it, is full. Freeing space makes the operation possible again.
    pub fn is_full(&self) -> bool {
        matches!(self.errno(), Some(Errno::NOSPC | Errno::DQUOT))
    }

    pub(crate) fn errno(&self) -> Option<Errno> {
        Errno::from_io_error(&self.source)
    }
}
