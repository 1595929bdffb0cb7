//! `deployer`: this program itself.
//!
//! The new program is made, or unpacked, in its release, and says there whether it would start: with this configuration, with
//! this database. The switch is a self-update ([`crate::steps::self_update`]): the new program comes up beside the old one, and
//! only when it is ready does `current` name it.

use super::uv_uwsgi::UWSGI_CONFIG_PATH;
use crate::base::names::UnitName;
use crate::config::keys::Default::Value;
use crate::config::keys::KeyKind::{self, Text};
use crate::config::keys::{Key, TEXTS};
use crate::config::preset::Preset;
use crate::config::reading::reader::TableReader;
use crate::config::reading::values::{absolute_path, argv, inner_path, name};
use crate::config::recipe::{Descriptor, Recipe, Sample, Source};
use crate::config::{CommandLine, Phase};
use crate::plan::Action;
use crate::plan::builder::Part;
use crate::plan::facts::{Facts, Target};
use crate::plan::recipe::Planner;
use crate::process::command::Command;
use crate::steps::release::CURRENT;
use crate::steps::self_update::{Program, SelfUpdate};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// This program makes and starts its own replacement.
#[derive(Debug)]
pub struct Deployer;

static DESCRIPTOR: Descriptor = Descriptor {
    name: "deployer",
    meaning: "The deployer itself.",
    keys: &[
        Key::new(
            "build",
            TEXTS,
            Value(OWN_BUILD),
            r#"["tar", "-xf", "/srv/builds/durhack-deployer.tar"]"#,
            "What makes the deployer's new program in the release, or unpacks it there.",
        ),
        Key::new(
            "binary",
            KeyKind::Path,
            Value(r#""target/release/durhack-deployer""#),
            r#""bin/durhack-deployer""#,
            "Where the new program lies then; relative to the release, and inside it.",
        ),
        Key::new(
            "systemd_unit_name",
            Text,
            Value(r#""durhack-deployer.service""#),
            r#""durhack-deployer.service""#,
            "The unit that runs the deployer. Messages name it when its journal is worth reading; nothing restarts it.",
        ),
        UWSGI_CONFIG_PATH,
    ],
    read,
    sample: Sample {
        slug: "deployer",
        repository: "ducompsoc/durhack-deployer",
        path: "/var/www/deploy.durhack.com",
        required: &[],
    },
    presets: &[Preset {
        repository: "ducompsoc/durhack-deployer",
        recipe: "deployer",
        shared_files: &[".env", "config/local.toml"],
        shared_dirs: &["queues", "var"],
        packages: &[],
        migrates_before_build: false,
        requires_instance_name: false,
        ports: &[],
    }],
    // It replaces itself by a release beside the one that it runs from.
    needs_releases: Some(
        "the deployer cannot deploy itself in place: the program that runs would be overwritten",
    ),
    // What the deployer builds of itself it runs as itself.
    runs_as_deployer_because: Some((
        "the deployer runs what this builds as itself: another user's release would be the deployer's program",
        "leave `user` out: whoever can push to this repository is the deployer",
    )),
    digest_name: "deployer",
};

/// The deployer itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeployerSettings {
    /// What makes the new program, or unpacks it; run in the release.
    pub build: CommandLine,
    /// Where the new program lies then, in the release. A relative, normal path.
    pub binary: PathBuf,
    /// The unit that runs it; only for hints.
    pub systemd_unit_name: UnitName,
    /// The original's vassal ini; nothing of ours needs it.
    pub uwsgi_config_path: Option<PathBuf>,
}

/// Small, as the package is: the profile `release` alone is quick to build, for who tries it. By flags, so that the program lies where it always
/// did, and an older commit can be built too.
const OWN_BUILD: &str = r#"["cargo", "build", "--release", "--locked", "--config", "profile.release.opt-level='s'", "--config", "profile.release.lto='fat'", "--config", "profile.release.codegen-units=1"]"#;

/// Where cargo leaves our program.
const OWN_BINARY: &str = "target/release/durhack-deployer";

/// The name of the step in which this deployer gives its place to a new one.
pub const SELF_UPDATE: &str = "hand-over";

fn read(table: &TableReader<'_>, _source: &Source<'_>) -> Recipe {
    let own_build = || CommandLine::Argv(serde_json::from_str(OWN_BUILD).expect("it is a list of words"));
    let own_unit = || UnitName::parse("durhack-deployer.service").expect("it is the name of a unit");
    let settings = DeployerSettings {
        build: table.value("build", argv).unwrap_or_else(own_build),
        binary: table.value("binary", inner_path).unwrap_or_else(|| OWN_BINARY.into()),
        systemd_unit_name: table.value("systemd_unit_name", name).unwrap_or_else(own_unit),
        uwsgi_config_path: table.value("uwsgi_config_path", absolute_path),
    };
    let programs = settings.build.program().map(str::to_owned).into_iter().collect();
    Recipe { programs, ..Recipe::new(&DESCRIPTOR, settings) }
}

impl Planner for Deployer {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    /// Making and examining the program.
    fn parts(&self, facts: &Facts<'_>, release: &Target) -> Vec<Part> {
        let recipe: &DeployerSettings = facts.settings();
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

    fn switch(&self, facts: &Facts<'_>) -> (&'static str, Action) {
        let replacement = Action::SelfUpdate(SelfUpdate {
            release: facts.target.release.clone(),
            program: program(facts, facts.settings(), &facts.target),
            health: facts.deployment.health.clone(),
        });
        (SELF_UPDATE, replacement)
    }

    fn reads_files(&self) -> bool {
        false
    }
}

fn program(facts: &Facts<'_>, recipe: &DeployerSettings, release: &Target) -> Program {
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

#[cfg(test)]
mod tests {
    use crate::config::Layout;
    use crate::plan::recipes::sample;

    #[test]
    fn the_new_program_is_made_and_examined_before_it_takes_over() {
        let keys = "recipe = \"deployer\"\nbuild = [\"make\", \"it\"]\nbinary = \"bin/it\"\nhealth = [{ tcp = \"localhost:1\" }]";
        let steps = sample::steps(keys, Layout::Releases, &[]);
        let steps: Vec<&str> =
            steps.lines().map(|line| line.split(" && ").next().unwrap_or_default()).collect();
        insta::assert_snapshot!(steps.join("\n"), @r"
        fetch export: export 2222222 to releases/2
        build build: [/srv/app/releases/2] make it
        build check: /srv/app/releases/2/bin/it --config /srv/config config check
        switch hand-over: hand over to /srv/app/releases/2/bin/it, and link current -> releases/2
          back: link current -> releases/1
        clean prune: remove releases that are no longer kept
        ");
    }
}
