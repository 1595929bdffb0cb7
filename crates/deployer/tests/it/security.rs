//! The ways in which deployers were broken (`SECURITY.md`), tried on this one. The numbers in the comments are
//! those of the project's list of threats; what concerns signatures, slow clients and names in headers is
//! in `intake`.

mod believed;
mod build_files;
mod confinement;
mod leaks;
mod replays;
mod repositories;
mod repository_limits;
mod roots_commands;
mod sandbox;
mod senders;
mod strangers;
mod trust;
