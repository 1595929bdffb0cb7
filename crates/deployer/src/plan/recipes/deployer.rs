//! `deployer`: this program itself.
//!
//! The new program is made, or unpacked, in its release, and says there whether it would start: with this configuration, with
//! this database. The switch is a self-update ([`crate::deploy::hand_over`]): the new program comes up beside the old one, and
//! only when it is ready does `current` name it.

use crate::config::{Phase, SelfDeploy};
use crate::plan::Action;
use crate::plan::builder::Part;
use crate::plan::facts::{Facts, Target};
use crate::process::command::Command;
use crate::steps::release::CURRENT;
use crate::steps::self_update::{Program, SelfUpdate};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Making and examining the program, for a release.
pub fn parts(facts: &Facts<'_>, recipe: &SelfDeploy, release: &Target) -> Vec<Part> {
    let build = Command {
        line: recipe.build.clone(),
        directory: release.directory.clone(),
        environment: BTreeMap::new(),
        env_files: facts.deployment.env_files.clone(),
    };
    vec![
        Part::new(Phase::Build, "build", Action::Command(build)),
        Part::new(Phase::Build, "check", Action::Examine(program(facts, recipe, release))),
    ]
}

/// The switch to the new release.
pub fn switch(facts: &Facts<'_>, recipe: &SelfDeploy) -> Action {
    Action::SelfUpdate(SelfUpdate {
        release: facts.target.release.clone(),
        program: program(facts, recipe, &facts.target),
        health: facts.deployment.health.clone(),
    })
}

fn program(facts: &Facts<'_>, recipe: &SelfDeploy, release: &Target) -> Program {
    Program {
        release: release.directory.clone(),
        file: release.directory.join(&recipe.binary),
        configuration: of_release(facts, facts.configuration, release),
        working_directory: of_release(facts, facts.working_directory, release),
    }
}

/// A path as the program of a release is to see it: what lies in the release that is live now, lies in the new one then.
fn of_release(facts: &Facts<'_>, path: &Path, release: &Target) -> PathBuf {
    let current = facts.deployment.path.join(CURRENT);
    let live = facts.live.as_ref().map(|live| live.directory.as_path());
    let inner =
        [Some(current.as_path()), live].into_iter().flatten().find_map(|root| path.strip_prefix(root).ok());
    inner.map_or_else(|| path.to_owned(), |inner| release.directory.join(inner))
}
