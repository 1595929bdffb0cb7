//! `static`: files that a web server reads from the live release, built by a command or as they lie in the repository.
//!
//! What is built is decided by `build`; without it, by the repository: a `package.json` with a script `build` is installed as its lock file
//! says and built by that script. The files go live with the link `current`, and `publish` makes them appear at a path beside it.
//! Nothing is restarted: whoever serves the directory reads it anew for each request.

mod proposal;
mod settings;
#[cfg(test)]
mod tests;

use crate::base::names::ScriptName;
use crate::config::Phase;
use crate::config::recipe::Descriptor;
use crate::plan::builder::{INSTALL_RETRIES, Part, UndoneBy};
use crate::plan::facts::{Facts, Target};
use crate::plan::proposal::{Proposal, Subject};
use crate::plan::recipe::Planner;
use crate::plan::recipes::go_static;
use crate::plan::{Action, installer, workspace};
use crate::process::tools::node_packages::Installer;
use crate::steps::published_path::Placement;
use settings::StaticSettings;
use std::path::Path;

/// Files that a web server reads from the live release.
#[derive(Debug)]
pub struct StaticSite;

impl Planner for StaticSite {
    fn descriptor(&self) -> &'static Descriptor {
        &settings::DESCRIPTOR
    }

    fn parts(&self, facts: &Facts<'_>, release: &Target) -> Vec<Part> {
        let settings: &StaticSettings = facts.settings();
        let installer = script_of_package(facts, settings);
        let mut parts: Vec<Part> = settings
            .build
            .iter()
            .flatten()
            .map(|command| Part::of_command(facts, command, release))
            .collect();
        if let Some(installer) = installer {
            parts.extend(of_package(facts, installer, release));
        }
        // A build may succeed and have written somewhere else.
        let is_built = installer.is_some() || settings.build.as_ref().is_some_and(|build| !build.is_empty());
        let built = is_built.then(|| Path::new(StaticSettings::BUILT));
        parts.extend(settings.output.as_deref().or(built).map(|output| require(output, release)));
        parts.extend(settings.publish.iter().map(|path| go_static::published(facts, path)));
        parts
    }

    fn propose(&self, subject: &Subject<'_>) -> Option<Proposal> {
        proposal::of(subject)
    }
}

/// Who installs the package and runs its script `build`, where nothing is said of how to build and it has one.
fn script_of_package(facts: &Facts<'_>, settings: &StaticSettings) -> Option<Installer> {
    let build = ScriptName::parse("build").expect("it is the name of a script");
    let is_asked = settings.build.is_none() && workspace::has_script(facts.tree, "", &build);
    installer::found(facts.tree, "").filter(|_| is_asked).map(|found| found.installer)
}

/// Going back needs neither: what was built lies in the release that is gone back to.
fn of_package(facts: &Facts<'_>, installer: Installer, release: &Target) -> [Part; 2] {
    let program = |phase, name, line| {
        let cache = (installer.cache_variable(), facts.cache(installer.program()));
        let environment = [cache, ("npm_config_update_notifier", "false".into())];
        Part::of_program(facts, phase, name, line, &release.directory, environment)
            .undone_by(UndoneBy::Nothing)
    };
    [
        program(Phase::Install, "install", installer.install()).retried(INSTALL_RETRIES),
        program(Phase::Build, "build", installer.run("build", &[])),
    ]
}

fn require(output: &Path, release: &Target) -> Part {
    let hint = "say in `output` in which directory the files are that are to be served";
    let require = Placement::Require { path: release.directory.join(output), hint: hint.to_owned() };
    Part::new(Phase::Build, "output", Action::Place(require)).undone_by(UndoneBy::Nothing)
}
