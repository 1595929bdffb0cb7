//! A recipe turns facts into a plan. Pure: no I/O, no clock, nothing remembered.
//!
//! To add one: a variant of [`Recipe`], a file here with `fn parts(&Facts, &Settings, &Target) -> Vec<Part>`, and a line in [`plan`].

pub mod deployer;
pub mod go_static;
pub mod nginx_sites;
pub mod pm2;
#[cfg(test)]
pub mod sample;
pub mod steps;
pub mod systemd;
pub mod uv_uwsgi;

use crate::config::Recipe;
use crate::plan::builder::{self, ORDER};
use crate::plan::facts::Facts;
use crate::plan::facts::Target;
use crate::plan::{Action, Plan, input_digest};

/// The plan of a deployment's recipe.
pub fn plan(facts: &Facts<'_>) -> Plan {
    let recipe = &facts.deployment.recipe;
    let order = match recipe {
        Recipe::Pm2(recipe) => pm2::order(recipe),
        _ => ORDER,
    };
    let parts = |release: &Target| match recipe {
        Recipe::Steps(recipe) => steps::parts(facts, recipe, release),
        Recipe::Systemd(recipe) => systemd::parts(facts, recipe, release),
        Recipe::UvUwsgi(recipe) => uv_uwsgi::parts(facts, recipe, release),
        Recipe::GoStatic(recipe) => go_static::parts(facts, recipe, release),
        Recipe::NginxSites(recipe) => nginx_sites::parts(facts, recipe, release),
        Recipe::Pm2(recipe) => pm2::parts(facts, recipe, release),
        Recipe::Deployer(recipe) => deployer::parts(facts, recipe, release),
    };
    Plan { inputs: input_digest::digest(facts), ..builder::plan(facts, order, switch(facts), &parts) }
}

/// The name of the step in which this deployer gives its place to a new one.
pub const SELF_UPDATE: &str = "hand-over";

/// What makes the new release the live one, and whether that includes the operator's health checks.
fn switch(facts: &Facts<'_>) -> (&'static str, Action) {
    match &facts.deployment.recipe {
        Recipe::Deployer(recipe) => (SELF_UPDATE, deployer::switch(facts, recipe)),
        _ => ("activate", Action::Activate { release: facts.target.release.clone() }),
    }
}
