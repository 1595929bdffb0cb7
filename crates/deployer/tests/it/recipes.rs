//! Recipes, end to end: real tools, real servers, and visitors who are asked what they saw.

mod deployer;
mod go_static;
mod nginx_sites;
mod pnpm_pm2;
mod reboot;
mod static_site;
mod sudo;
pub mod systemd;
mod uv_uwsgi;
