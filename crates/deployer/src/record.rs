//! What is remembered and told.
//!
//! [`store`] keeps deliveries, verdicts, runs, steps, releases and the outbox in SQLite or PostgreSQL;
//! [`run_log`] keeps what a run's commands printed, in files; [`report`] tells GitHub, from the outbox.
//! Nothing here decides anything about a deploy.

pub mod report;
pub mod run_log;
pub mod store;
