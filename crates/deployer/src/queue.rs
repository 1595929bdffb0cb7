//! What waits: entries of the spools, and the jobs that the entries of a deployment stand for.

pub mod entry;
pub mod job;
pub mod recorded;
