//! What a command ends with; documented in the help, below.

pub const OK: u8 = 0;
/// What was asked for did not succeed: a run failed, the configuration has errors; `status` and `doctor`: something is wrong.
pub const FAILED: u8 = 1;
/// The command line cannot be understood (clap's).
pub const USAGE: u8 = 2;
/// There is no such deployment, run, delivery, release or entry.
pub const NOT_FOUND: u8 = 3;
/// The database, the daemon or the disk cannot be used now; the same command may succeed later.
pub const UNAVAILABLE: u8 = 4;
