//! The daemon as a service: a port that is passed to it, and a configuration that is read anew while it serves.

mod life;
mod reload;
mod sockets;
mod units;
mod writable;
