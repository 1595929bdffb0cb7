//! The spool's behaviour as its users see it, on a real file system, and against everything that can be done
//! to it: threads, corruption, operators, kills, full disks, power cuts. One binary, one file per subject.

#![expect(clippy::unwrap_used, reason = "in a test an error is a failure, also in its supporting functions")]

mod append;
mod claim;
mod faults;
mod full_disk;
mod model;
mod open;
mod operator;
mod power_cut;
mod recover;
mod script;
mod support;
mod watch;
