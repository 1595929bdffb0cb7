//! Programs: what to call, as whom, in which sandbox, and what they printed.

pub mod cause;
pub mod claim;
pub mod command;
pub mod env_files;
pub mod executor;
pub mod lock;
pub mod process_table;
pub mod remove_tree;
pub mod sandbox_policy;
pub mod step_context;
pub mod step_user;
pub mod tools;
