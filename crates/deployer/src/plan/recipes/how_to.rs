//! The recipe of ARCHITECTURE.md's how-to. It is compiled and tested, and in no registry: `cargo xtask check` compares the document with what
//! stands between the two marks.

// how-to: begin
use crate::config::keys::{Default, Key, KeyKind};
use crate::config::reading::values::filled_text;
use crate::config::recipe::{Descriptor, Recipe, Sample};
use crate::config::{CommandLine, Phase};
use crate::plan::builder::Part;
use crate::plan::facts::{Facts, Target};
use crate::plan::recipe::Planner;
use serde::Serialize;

/// `make`: a release is what `make` leaves.
#[derive(Debug)]
pub struct Make;

static DESCRIPTOR: Descriptor = Descriptor {
    name: "make",
    meaning: "Whatever `make` leaves.",
    keys: &[Key::new("target", KeyKind::Text, Default::Value(r#""all""#), r#""site""#, "What is made.")],
    read: |table, _| {
        let target = table.value("target", filled_text).unwrap_or_default();
        Recipe { programs: vec!["make".into()], ..Recipe::new(&DESCRIPTOR, MakeSettings { target }) }
    },
    sample: Sample { slug: "made", repository: "example/made", path: "/srv/made", required: &[] },
    presets: &[],
    needs_releases: None,
    runs_as_deployer_because: None,
    digest_name: "make",
};

#[derive(Debug, Serialize)]
struct MakeSettings {
    target: String,
}

impl Planner for Make {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn parts(&self, facts: &Facts<'_>, release: &Target) -> Vec<Part> {
        let settings: &MakeSettings = facts.settings();
        let line = CommandLine::Argv(vec!["make".into(), settings.target.clone()]);
        let part = Part::of_program(facts, Phase::Build, "make", line, &release.directory, []);
        vec![part]
    }
}
// how-to: end

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layout;
    use crate::config::recipe::Reference;
    use crate::plan::recipes::{ALL, sample};

    #[test]
    fn the_recipe_of_the_how_to_reads_its_keys_and_plans() {
        let reference = Reference::new(vec![ALL[0].descriptor(), &DESCRIPTOR]);
        for (keys, expected) in [("", "make all"), ("target = \"site\"", "make site")] {
            let keys = format!("recipe = \"make\"\n{keys}");
            let parts = sample::with_facts_of(&reference, &keys, Layout::Releases, &[], |facts| {
                assert_eq!(facts.deployment.recipe.programs, ["make"]);
                Make.parts(facts, &facts.target)
            });
            assert_eq!(parts.iter().map(|part| part.action.shown()).collect::<Vec<_>>(), [expected]);
        }
    }
}
