//! What people see on a terminal: lines, tables, progress, colours.

#[macro_use]
pub mod printing;

pub mod exit;
pub mod failed;
pub mod output;
pub mod progress;
pub mod question;
pub mod style;
pub mod table;
