//! One child process on a leash: everything it starts ends with it, in time, and its output is limited and
//! free of secrets.
mod adopted;
mod belt;
mod command;
mod environment;
mod leash;
mod memory_kills;
mod output;
mod process_table;
mod protocol;
mod redactor;
mod run;
mod start_error;

pub use adopted::{become_subreaper, reap_adopted};
pub use belt::kill_marked;
pub use command::{Command, End, Leftovers, Line, Mark, Outcome, OutputLimits, Stream};
pub use environment::Environment;
pub use leash::leash_main;
pub use protocol::LEASH_ARGUMENT;
pub use redactor::{REDACTED, Redactor, SECRET_BYTES_MIN};
pub use run::run;
pub use start_error::StartError;
