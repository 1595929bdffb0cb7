//! The command line as people and scripts meet it: what is printed where, ids and names that may be short, exit codes, completions.

mod completions;
mod ids;
mod machines;
mod newcomer;
mod outputs;
mod progress;
mod tables;
mod words;
