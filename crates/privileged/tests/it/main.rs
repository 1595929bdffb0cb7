//! The helper as its callers meet it: the real binary on real sockets, asked by a real other user, at its real paths. `house` says how.

#![expect(clippy::unwrap_used, reason = "in a test an error is a failure, also in its supporting functions")]

#[path = "../corpus.rs"]
mod corpus;
mod house;

mod allowed;
mod certificates;
mod refused;
mod sites;
