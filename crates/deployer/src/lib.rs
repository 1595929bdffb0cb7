//! durhack-deployer: a push to a branch becomes a running release.
//!
//! The life of a push, by module: [`intake::http`] accepts a connection; [`intake::webhook`] proves who called and writes the
//! delivery, as an [`entry`], into the spool `main` before it answers; [`intake::dispatch`] gives it a verdict for each deployment
//! and copies it into theirs; [`deploy::worker`] claims it, brings the branch's head here ([`deploy::mirror`]) and asks a recipe
//! ([`deploy::recipes`]) for a plan ([`deploy::plan`]); [`deploy::run`] carries the plan out, records each step in the store
//! ([`record::store`]), and takes everything back if one fails; [`deploy::outcome`] writes the end down; [`record::report`] tells
//! GitHub. [`deploy::recovery`] does the same for what a crash interrupted. [`daemon`] puts it together, [`cli`] is how people ask.

pub mod cli;
pub mod clock;
pub mod config;
pub mod crash;
pub mod daemon;
pub mod deploy;
pub mod entry;
pub mod github;
pub mod intake;
pub mod kernel_locks;
pub mod names;
pub mod private_file;
pub mod record;
pub mod safe_path;
pub mod secret;
pub mod words;
