//! What one step does: release directories, nginx sites, process managers, health checks, the replacement of the deployer itself.

pub mod finding;
pub mod health;
pub mod kept_files;
pub mod live_modes;
pub mod nginx;
pub mod process_manager;
pub mod published_path;
pub mod release;
pub mod self_update;
pub mod shared_directory;
pub mod tree_in_place;
