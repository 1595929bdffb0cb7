//! Each recipe's whole story, end to end.

mod deployer;
mod systemd;
