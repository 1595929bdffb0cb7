//! A durable first-in, first-out queue of files in one directory.
//!
//! # Theory of operation
//!
//! A spool is a directory, an entry is a file in it. There is no other state: no journal, no database, no
//! header. `ls` shows the queue, `cat` an entry, `mv bad/x .` retries one and `rm` drops one, all while it is
//! in use. What makes that safe is that each change is a single rename or unlink, which happens or does not.
//!
//! ```text
//! <spool>/                <20 digits of epoch nanoseconds>-<id>.json    ready, in order of arrival
//! <spool>/tmp/            <process>.<counter>.<label>                   being written, and locked by the writer
//! <spool>/claimed/        as above                                      being worked on
//! <spool>/bad/            as above, and <name>.reason                   dead-lettered
//! <spool>/attempts/       as above; the size is the number of claims
//! <spool>/lock                                                          held by the one consumer
//!
//!   append ──> tmp/ ──> ready <══════> claimed/ ──finish──> gone
//!                         ^   claim, release │
//!                         └── retry ── bad/ <┘ dead-letter
//! ```
//!
//! **Appending** writes a file in `tmp/`, fsyncs it, renames it to its place without replacing anything, and
//! fsyncs the directory. Each of the four is needed: without the first fsync a power cut leaves a name with
//! nothing in it, without the second not even the name. When [`Spool::append`] has returned, the entry
//! survives anything that the disk does. When it failed, the entry is not there, and was not promised.
//!
//! Threads that append at the same time share the fsyncs of the directory (*group commit*).
//!
//! **A failed fsync is believed, and never repeated.** Linux may drop what it failed to write and report
//! success the next time. A file whose fsync failed is thrown away; after a directory's has, nothing is
//! accepted until the directory has been opened anew, by [`Spool::reopen`] or, a second later and then at growing
//! intervals up to a minute, by the next operation. [`AppendError`] says which it was.
//!
//! **Order** is that of the names. A name bears the time, or one more than the last name where the clock does
//! not say so much; a clock that is set back therefore reorders nothing. Appends that overlap have no order
//! among them.
//!
//! **An id is in the spool once**, as long as it is ready or claimed; a second append of it is answered
//! [`Appended::Duplicate`], when the first one is durable and not earlier. The index behind that lives in
//! memory and is checked against the directory. It knows what this process appended and what it saw when it
//! opened or scanned: two *processes* that append the same id at the same time both succeed.
//!
//! **Claiming** renames to `claimed/`, counts the attempt, and reads. What cannot be an entry (a directory, a
//! link, a FIFO, a device, a file that is foreign or too large) is dead-lettered instead: it is neither
//! followed nor waited for, and does not come back. [`Claim::finish`] removes the entry *after* its effect
//! has been recorded elsewhere, so that a crash in between repeats the work rather than losing it: at least
//! once, never at most once.
//!
//! **After a crash** [`ConsumerLock::recover`] makes claimed entries ready and removes what was half written.
//! Work that kills the process every time would be repeated for ever, were it not for the attempts, which are
//! counted before it starts. [`Backoff`] says how long to wait, and when to [`bury`](Claim::bury).
//!
//! **The watch is a hint, the scan is the truth.** See [`Watcher`] and [`SCAN_INTERVAL`].
//!
//! # Deliberately absent
//!
//! What an entry says (it is bytes; `.json` is the suffix because an operator's tools like it). Threads,
//! timers and async. More than one consumer. A size limit for the whole spool: the disk's is reported as
//! [`AppendError::Full`]. Checksums: the file system has them, or does not, for everything else too. Systems
//! other than Linux.

mod append;
mod attempts;
mod bad;
mod claim;
mod consumer;
mod directories;
mod directory;
mod error;
mod group_commit;
mod index;
mod name;
mod pause;
mod sequence;
mod spool;
mod temporary;
mod watch;

pub use append::{AppendError, Appended};
pub use bad::{BadEntry, REASON_BYTES_MAX};
pub use claim::{Claim, ClaimError, ENTRY_BYTES_MAX};
pub use consumer::{ConsumerLock, Recovered};
pub use directories::OpenError;
pub use error::OperationError;
pub use name::{EntryName, ID_BYTES_MAX, InvalidName};
pub use spool::Spool;
pub use watch::{SCAN_INTERVAL, WatchError, Watcher};
