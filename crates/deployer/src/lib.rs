//! durhack-deployer: a push to a branch becomes a running release.
//!
//! The house is being built.

pub mod clock;
pub mod config;
pub mod names;
pub mod record;
pub mod secret;
