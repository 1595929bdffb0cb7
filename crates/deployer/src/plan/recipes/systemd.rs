//! `systemd`: the operator's own commands make the release, and units run it.
//!
//! What a unit runs should be reached through `<path>/current`, so that a restart follows the switch. That the units run,
//! and go on running, is asked before the operator's health checks are.

mod proposal;

use super::steps;
use crate::base::names::UnitName;
use crate::config::Phase;
use crate::config::keys::Default::{Required, Value};
use crate::config::keys::KeyKind::Boolean;
use crate::config::keys::{Key, STEPS, TEXTS};
use crate::config::reading::reader::TableReader;
use crate::config::reading::values::boolean;
use crate::config::recipe::{Descriptor, Recipe, Sample, Source, Starts};
use crate::config::resolve::steps::steps;
use crate::config::resolve::units::units;
use crate::plan::Action;
use crate::plan::builder::{Part, UndoneBy};
use crate::plan::facts::{Facts, Target};
use crate::plan::proposal::{Proposal, Subject};
use crate::plan::recipe::Planner;
use crate::steps::process_manager::systemd::Units;
use crate::steps::process_manager::{Manager, ManagerAction};
use serde::Serialize;

/// Commands make the release, and units run it.
#[derive(Debug)]
pub struct Systemd;

/// For every recipe whose programs units run.
pub const UNITS: Key = Key::new(
    "units",
    TEXTS,
    Required,
    r#"["website.service"]"#,
    "The units that run the release. They are restarted, in this order, after the switch, and again when the run is rolled back; a unit that is not running is started. Required by `systemd`.",
);

/// For the same recipes: whose units these are.
pub const USER_UNITS: Key = Key::new(
    "user_units",
    Boolean,
    Value("false"),
    "true",
    "The units are those of the deployer's own user (`systemctl --user`).",
);

static DESCRIPTOR: Descriptor = Descriptor {
    name: "systemd",
    meaning: "A program that systemd units run.",
    keys: &[
        STEPS,
        UNITS,
        Key::new(
            "reload",
            Boolean,
            Value("false"),
            "true",
            "Reload the units instead of restarting them, where they can be reloaded.",
        ),
        USER_UNITS,
    ],
    read,
    sample: Sample { slug: "api", repository: "example/api", path: "/srv/api", required: &[] },
    presets: &[],
    needs_releases: None,
    runs_as_deployer_because: None,
    digest_name: "systemd",
};

/// The operator's own commands, and units that are restarted or reloaded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SystemdSettings {
    /// What makes the release.
    pub steps: steps::StepsSettings,
    /// What runs it; at least one.
    pub units: Vec<UnitName>,
    /// Reload instead of restart, where the unit can.
    pub reload: bool,
    /// Units of the deployer's own user manager (`systemctl --user`).
    pub user: bool,
}

fn read(table: &TableReader<'_>, source: &Source<'_>) -> Recipe {
    let settings = SystemdSettings {
        steps: steps::StepsSettings { steps: steps(table, source.path) },
        units: units(table),
        reload: table.value("reload", boolean).unwrap_or_default(),
        user: table.value("user_units", boolean).unwrap_or_default(),
    };
    let mut programs = steps::programs(&settings.steps.steps);
    programs.push("systemctl".to_owned());
    Recipe {
        programs,
        steps: settings.steps.steps.clone(),
        units: settings.units.clone(),
        has_user_units: settings.user,
        starts: Starts::Program,
        ..Recipe::new(&DESCRIPTOR, settings)
    }
}

impl Planner for Systemd {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn parts(&self, facts: &Facts<'_>, release: &Target) -> Vec<Part> {
        let settings: &SystemdSettings = facts.settings();
        let mut parts = steps::parts(facts, &settings.steps.steps, release);
        parts.extend(of_units(facts, settings.units.clone(), settings.reload));
        parts
    }

    fn reads_files(&self) -> bool {
        false
    }

    fn propose(&self, subject: &Subject<'_>) -> Option<Proposal> {
        proposal::of(subject)
    }
}

/// Has the units run the release, and looks whether they go on running.
pub fn of_units(facts: &Facts<'_>, names: Vec<UnitName>, reload: bool) -> [Part; 2] {
    let manager = Manager::Systemd(Units {
        names,
        reload,
        user: facts.deployment.recipe.has_user_units,
        privileges: facts.privileges,
        runs_as: facts.deployment.user.clone(),
        env_files: facts.deployment.env_files.clone(),
    });
    let manage = |action| Action::Processes { manager: manager.clone(), action };
    let stop = UndoneBy::Again(Some(manage(ManagerAction::Stop)));
    [
        Part::new(Phase::Switch, "units", manage(ManagerAction::Run)).undone_by(stop),
        Part::new(Phase::Verify, "running", manage(ManagerAction::Prove)),
    ]
}

#[cfg(test)]
mod tests {
    use crate::config::Layout;
    use crate::plan::recipes::sample;

    #[test]
    fn units_follow_the_switch_and_are_asked_afterwards() {
        let of = |keys: &str, layout| {
            let keys = format!(
                "recipe = \"systemd\"\nunits = [\"a.service\"]\nsteps = [{{ phase = \"build\", run = [\"make\"] }}]\n{keys}"
            );
            sample::steps(&keys, layout, &[])
        };
        insta::assert_snapshot!(of("", Layout::Releases), @r"
        fetch export: export 2222222 to releases/2
        build make: [/srv/app/releases/2] make
        switch activate: link current -> releases/2
          back: link current -> releases/1
          back: systemctl --no-ask-password restart -- a.service
        switch units: systemctl --no-ask-password restart -- a.service
        verify running: look whether a.service runs, and goes on running
        clean prune: remove releases that are no longer kept
        ");
        insta::assert_snapshot!(of("user_units = true\nreload = true", Layout::InPlace), @r"
        fetch update-tree: bring the work tree to 2222222
          back: bring the work tree to 1111111
          back: [/srv/app] make
          back: systemctl --user --no-ask-password reload-or-restart -- a.service
        build make: [/srv/app] make
        switch units: systemctl --user --no-ask-password reload-or-restart -- a.service
        verify running: look whether a.service runs, and goes on running
        ");
    }
}
