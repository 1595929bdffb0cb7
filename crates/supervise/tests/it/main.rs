//! Real processes on a real leash. One file per promise.

mod ends;
mod killed;
mod leftovers;
mod memory;
mod output;
mod start;
mod support;
