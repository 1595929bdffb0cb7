//! The product as its operator and GitHub see it: the real binary, real git, real servers, one file per behaviour.
//!
//! Nothing here looks inside: a test writes a configuration, pushes to a repository, sends what GitHub would
//! send, and asks the CLI, the file system and a GitHub of its own what became of it. `support` holds the
//! world it does that in. Every test ends with the world's own questions: is a process left, did the
//! daemon panic?
//!
//! `cargo xtask test` installs what these tests need (git, PostgreSQL, GitHub's example payloads) and runs
//! them; a missing piece is a failure, never a skipped test.

mod support;

mod adopt;
mod command_line;
mod credentials;
mod daemon;
mod day;
mod doctor;
mod examples;
mod failures;
mod faults;
mod gap;
mod gates;
mod health;
mod hooks;
mod init;
mod intake;
mod jobs;
mod networks;
mod night;
mod notifications;
mod observe;
mod operator;
mod outages;
mod pages;
mod plan;
mod postgres;
mod preflight;
mod privileged;
mod queue;
mod recipes;
mod reconcile;
mod repositories;
mod security;
mod service;
mod setup;
#[cfg(feature = "failpoints")]
mod sweep;
mod tutorial;
#[cfg(feature = "failpoints")]
mod unknown;
#[cfg(feature = "failpoints")]
mod upgrade;
