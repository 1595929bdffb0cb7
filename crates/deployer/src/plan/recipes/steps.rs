//! `steps`: the operator's own commands around what every deployment needs: a release, a switch, checks, and a way back.
//!
//! With no commands at all the release is the repository's content.

use crate::config::StepCommand;
use crate::config::keys::{INSTANCE_NAME, STEPS};
use crate::config::reading::reader::TableReader;
use crate::config::recipe::{Descriptor, Recipe, Sample, Source, Starts};
use crate::config::resolve::steps::steps;
use crate::plan::builder::Part;
use crate::plan::facts::{Facts, Target};
use crate::plan::manifests::install_and_build;
use crate::plan::proposal::{Evidence, Proposal, Subject};
use crate::plan::recipe::Planner;
use serde::Serialize;

/// The commands of the operator, and nothing else.
#[derive(Debug)]
pub struct Steps;

static DESCRIPTOR: Descriptor = Descriptor {
    name: "steps",
    meaning: "A deployment of one's own, with all keys that every deployment may have.",
    keys: &[INSTANCE_NAME, STEPS],
    read,
    sample: Sample {
        slug: "website",
        repository: "example/website",
        path: "/var/www/website",
        required: &[],
    },
    presets: &[],
    needs_releases: None,
    runs_as_deployer_because: None,
    digest_name: "steps",
};

/// The operator's own commands, in the order written inside each phase.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StepsSettings {
    /// None at all: the release is the repository's content.
    pub steps: Vec<StepCommand>,
}

fn read(table: &TableReader<'_>, source: &Source<'_>) -> Recipe {
    let steps = steps(table, source.path);
    Recipe {
        programs: programs(&steps),
        steps: steps.clone(),
        starts: Starts::WhatCommandsStart,
        ..Recipe::new(&DESCRIPTOR, StepsSettings { steps })
    }
}

/// The programs that commands call. A line for the shell may begin with anything.
pub fn programs(steps: &[StepCommand]) -> Vec<String> {
    steps.iter().filter_map(|step| step.run.program()).map(str::to_owned).collect()
}

impl Planner for Steps {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn parts(&self, facts: &Facts<'_>, release: &Target) -> Vec<Part> {
        parts(facts, &facts.deployment.recipe.steps, release)
    }

    fn reads_files(&self) -> bool {
        false
    }

    fn propose(&self, subject: &Subject<'_>) -> Option<Proposal> {
        let (by, steps) = install_and_build(subject.tree)?;
        let why = format!("By {by}: these commands make a release, in its own directory.");
        let mut proposal = Proposal::new(DESCRIPTOR.name, Evidence::Manifests, why).steps(steps);
        let other = "Does a program run in it? Then write `recipe = \"systemd\"` and `units = [...]`.";
        proposal.why.push(other.to_owned());
        Some(proposal)
    }
}

/// The commands, for a release.
pub fn parts(facts: &Facts<'_>, steps: &[StepCommand], release: &Target) -> Vec<Part> {
    steps.iter().map(|command| Part::of_command(facts, command, release)).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::Layout;
    use crate::plan::recipes::sample;

    #[test]
    fn the_operators_commands_stand_around_the_switch_and_are_undone_as_they_say() {
        let keys = r#"recipe = "steps"
steps = [
  { phase = "build", run = ["make"] },
  { phase = "switch", run = ["restart-it"] },
  { phase = "switch", name = "cache", run = ["warm"], undo = ["cool"] },
]"#;
        insta::assert_snapshot!(sample::steps(keys, Layout::Releases, &[]), @r"
        fetch export: export 2222222 to releases/2
        build make: [/srv/app/releases/2] make
        switch activate: link current -> releases/2
          back: link current -> releases/1
          back: [/srv/app/releases/1] restart-it
        switch restart-it: [/srv/app/releases/2] restart-it
        switch cache: [/srv/app/releases/2] warm
          back: [/srv/app/releases/2] cool
        clean prune: remove releases that are no longer kept
        ");
        insta::assert_snapshot!(sample::steps("recipe = \"steps\"", Layout::InPlace, &[]), @r"
        fetch update-tree: bring the work tree to 2222222
          back: bring the work tree to 1111111
        ");
    }
}
