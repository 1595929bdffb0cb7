//! The world in which a test runs the product: see [`world`].

pub mod configuration;
pub mod gate;
pub mod github;
pub mod http;
pub mod machine;
pub mod memory;
pub mod nginx;
pub mod node_app;
pub mod octokit;
pub mod package;
pub mod pm2;
pub mod postgres;
pub mod process;
pub mod push;
pub mod pushes;
pub mod record;
pub mod repository;
pub mod sender;
pub mod servers;
pub mod service;
pub mod site;
pub mod ssh;
pub mod visitors;
pub mod wait;
pub mod world;
