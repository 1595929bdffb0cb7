//! What people see on a terminal: lines, tables, progress, colours.

#[macro_use]
pub mod printing;

pub mod output;
pub mod progress;
pub mod table;
