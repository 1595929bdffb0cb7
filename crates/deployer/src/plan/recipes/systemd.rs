//! `systemd`: the operator's own commands make the release, and units run it.
//!
//! What a unit runs should be reached through `<path>/current`, so that a restart follows the switch. That the units run,
//! and go on running, is asked before the operator's health checks are.

use super::steps;
use crate::config::{Phase, Systemd};
use crate::plan::Action;
use crate::plan::builder::{Back, Part};
use crate::plan::facts::{Facts, Target};
use crate::steps::process_manager::systemd::Units;
use crate::steps::process_manager::{Manager, ManagerAction};

/// The commands and the units, for a release.
pub fn parts(facts: &Facts<'_>, recipe: &Systemd, release: &Target) -> Vec<Part> {
    let manager = Manager::Systemd(Units {
        names: recipe.units.clone(),
        reload: recipe.reload,
        user: recipe.user,
        privileges: facts.privileges,
        runs_as: facts.deployment.user.clone(),
        env_files: facts.deployment.env_files.clone(),
    });
    let wish = |wish| Action::Processes { manager: manager.clone(), wish };
    let mut parts = steps::parts(facts, &recipe.steps, release);
    let stop = Back::Again(Some(wish(ManagerAction::Stop)));
    parts.push(Part::new(Phase::Switch, "units", wish(ManagerAction::Run)).taken_back(stop));
    parts.push(Part::new(Phase::Verify, "running", wish(ManagerAction::Prove)));
    parts
}
