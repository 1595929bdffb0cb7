//! Real processes on a real leash. One file per promise.
#![expect(clippy::unwrap_used, reason = "tests: clippy knows only the functions marked as such for tests")]

mod attacked;
mod confined;
mod ends;
mod kept;
mod killed;
mod leftovers;
mod memory;
mod output;
mod start;
mod support;
