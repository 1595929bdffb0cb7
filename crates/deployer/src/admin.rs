//! Looks at a host and arranges it: doctor, setup, init, the change of users.

pub mod arguments;
pub mod completion;
pub mod doctor;
pub mod host;
pub mod init;
pub mod move_user;
pub mod owner;
pub mod setup;
