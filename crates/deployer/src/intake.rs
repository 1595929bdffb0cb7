//! How a push gets in: from a connection to an entry in the spool `main`.
//!
//! [`http`] owns the connections and [`webhook`] the one request that matters: verify, write, answer. From there the
//! entry waits in the spool `main` until [`dispatch`] has given it its verdicts and written a job for each
//! deployment that it concerns. Nothing here runs anything, and nothing that answers a request
//! waits for the database, for GitHub or for a build.

pub mod body;
pub mod callers;
pub mod client_address;
pub mod exchange;
pub mod http;
pub mod networks;
pub mod pages;
pub mod signature;
pub mod webhook;
