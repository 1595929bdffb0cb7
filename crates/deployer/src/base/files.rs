//! Files: opened without following links, written whole or not at all, locked.

pub mod atomic;
pub mod kernel_locks;
pub mod private_file;
pub mod safe_path;
