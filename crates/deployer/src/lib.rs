//! durhack-deployer: a push to a branch becomes a running release.
//!
//! The life of a push, by module: [`intake`] accepts a connection, proves who called and writes the delivery, as an entry
//! ([`queue::entry`]), into the spool `main` before it answers; [`dispatch`] gives it a verdict for each deployment and writes a
//! job ([`queue::job`]) into the spools of those that have something to do; [`pipeline::worker`] claims it, fetches the branch's head ([`git::mirror`]) and asks a recipe ([`plan::recipes`])
//! for a plan ([`plan`]); [`pipeline::run`] executes the plan by what [`steps`] can do, records each step in the [`store`], and undoes every
//! completed step if one fails; [`pipeline::outcome`] writes the end down; [`notify`] tells GitHub. [`pipeline::recovery`] does the same for
//! what a crash interrupted. [`daemon`] puts it together; [`admin`] looks at a host and arranges it; [`cli`] is how people ask.
//!
//! A module imports only from floors below its own: `xtask/src/floors.rs` has the table, and `cargo xtask check` holds it.

// Its macros are used by what follows.
#[macro_use]
pub mod terminal;

pub mod admin;
pub mod base;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod dispatch;
pub mod git;
pub mod github;
pub mod intake;
pub mod notify;
pub mod pipeline;
pub mod plan;
pub mod process;
pub mod queue;
pub mod reconcile;
pub mod run_log;
pub mod steps;
pub mod store;
