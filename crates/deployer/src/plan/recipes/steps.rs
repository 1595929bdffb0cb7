//! `steps`: the operator's own commands around what every deployment needs: a release, a switch, checks, and a way back.
//!
//! With no commands at all the release is the repository's content.

use super::{Facts, Target};
use crate::config::Steps;
use crate::plan::builder::Part;

/// The commands, for a release.
pub fn parts(facts: &Facts<'_>, recipe: &Steps, release: &Target) -> Vec<Part> {
    recipe.steps.iter().map(|command| Part::of_command(facts, command, release)).collect()
}
