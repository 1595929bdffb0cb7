//! Real processes on a real supervisor. One file per promise.
#![expect(clippy::unwrap_used, reason = "tests: clippy knows only the functions marked as such for tests")]

mod attacked;
mod ends;
mod killed;
mod leftovers;
mod memory;
mod output;
mod sandboxed;
mod spawner;
mod start;
mod support;
