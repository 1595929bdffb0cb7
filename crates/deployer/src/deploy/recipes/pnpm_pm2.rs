//! `pnpm-pm2`: a pnpm workspace, installed, generated, built and migrated in the order it needs, under PM2.
//!
//! `NODE_ENV` is empty while a release is made, whatever the deployment's environment says: with `production` pnpm leaves out the development
//! dependencies, and those build and migrate. The applications have it as it is written.

pub mod workspace;

use super::parts::{Back, INSTALL_RETRIES, MIGRATION_FIRST, ORDER, Part};
use super::{Facts, Target};
use crate::config::{CommandLine, Phase, PnpmPm2};
use crate::deploy::plan::{Action, Command};
use crate::deploy::processes::{Manager, Wish, pm2::Applications};
use crate::deploy::tools::pnpm::{self, Selection};
use crate::names::PackageDirectory;
use std::collections::BTreeMap;

/// What brings a database to the schema of a package with Prisma migrations.
const PRISMA: [&str; 3] = ["prisma", "migrate", "deploy"];

/// The order in which the phases come.
pub fn order(recipe: &PnpmPm2) -> [Phase; 7] {
    if recipe.migrates_before_build { MIGRATION_FIRST } else { ORDER }
}

/// For a release.
pub fn parts(facts: &Facts<'_>, recipe: &PnpmPm2, release: &Target) -> Vec<Part> {
    let selection = selection(facts, recipe);
    let at = release.directory.as_path();
    let command =
        |phase, name: &str, line| Part::new(phase, name, Action::Command(command(facts, release, line)));
    let install = command(Phase::Install, "install", pnpm::install(at, selection));
    let mut parts = vec![install.retried(INSTALL_RETRIES)];
    for (package, line) in migrations(facts, recipe) {
        let line = pnpm::exec(at, package.as_ref(), &line);
        parts.push(command(Phase::Migrate, "migrate", line).taken_back(Back::Nothing));
    }
    for script in &recipe.scripts {
        parts.push(command(Phase::Build, script.as_str(), pnpm::run(at, selection, script)));
    }
    let manager = Manager::Pm2(applications(facts, recipe, release));
    let wish = |wish| Action::Processes { manager: manager.clone(), wish };
    // With the build: before anything is switched, and, where it can be, migrated. A rollback needs it no less: it waits here for PM2,
    // and not while the link names one release and the other runs.
    parts.push(Part::beforehand(facts, "check", wish(Wish::Check)));
    let stop = Back::Again(Some(wish(Wish::Stop)));
    parts.push(Part::new(Phase::Switch, "applications", wish(Wish::Run)).taken_back(stop));
    parts.push(Part::new(Phase::Verify, "running", wish(Wish::Prove)).taken_back(Back::Nothing));
    parts
}

fn selection<'a>(facts: &Facts<'_>, recipe: &'a PnpmPm2) -> Selection<'a> {
    match (recipe.packages.is_empty(), facts.tree.has("pnpm-workspace.yaml")) {
        (false, _) => Selection::Closure(&recipe.packages),
        (true, true) => Selection::Workspace,
        (true, false) => Selection::Single,
    }
}

/// Where which command migrates; None: in the root.
fn migrations(facts: &Facts<'_>, recipe: &PnpmPm2) -> Vec<(Option<PackageDirectory>, Vec<String>)> {
    if let Some(line) = &recipe.migrate {
        let first = recipe.packages.first().cloned();
        return if line.is_empty() { Vec::new() } else { vec![(first, line.clone())] };
    }
    let prisma = || PRISMA.map(str::to_owned).to_vec();
    let packages = workspace::with_prisma_migrations(facts.tree, &recipe.packages);
    packages.into_iter().map(|package| (package, prisma())).collect()
}

fn command(facts: &Facts<'_>, release: &Target, line: CommandLine) -> Command {
    // Nobody is there to be asked.
    let environment =
        [("CI", "true"), ("NODE_ENV", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    Command {
        line,
        directory: release.directory.clone(),
        environment: BTreeMap::from(environment),
        env_files: facts.deployment.env_files.clone(),
    }
}

fn applications(facts: &Facts<'_>, recipe: &PnpmPm2, release: &Target) -> Applications {
    let deployment = facts.deployment;
    Applications {
        deployment: deployment.slug.clone(),
        path: deployment.path.clone(),
        release: release.directory.clone(),
        release_name: release.release.clone(),
        // By where it lies and not by the layout: a work tree that is being adopted is no release, and is gone back to where it stands.
        through: if release.directory.starts_with(deployment.path.join("releases")) {
            deployment.path.join("current")
        } else {
            release.directory.clone()
        },
        ecosystem: recipe.ecosystem.clone(),
        env_files: deployment.env_files.clone(),
        privileges: facts.privileges,
        user: deployment.user.clone(),
        locks: facts.host.state_directory.join("pm2"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Purpose;
    use super::super::sample::with_facts;
    use super::*;
    use crate::config::{Layout, Recipe};
    use std::path::{Path, PathBuf};

    fn through(layout: Layout, directory: &str) -> PathBuf {
        with_facts("recipe = \"pnpm-pm2\"", layout, &[], |facts| {
            let Recipe::PnpmPm2(recipe) = &facts.deployment.recipe else { panic!("it is configured") };
            let release = Target { directory: directory.into(), ..facts.target.clone() };
            applications(facts, recipe, &release).through
        })
    }

    #[test]
    fn an_installation_is_attempted_again() {
        with_facts("recipe = \"pnpm-pm2\"", Layout::Releases, &[], |facts| {
            let plan = super::super::plan(facts);
            let retried = |step: &crate::deploy::plan::Step| step.retries > 0;
            let retried: Vec<&str> =
                plan.steps.iter().filter(|step| retried(step)).map(|step| step.name.as_str()).collect();
            assert_eq!(retried, ["install"]);
        });
    }

    #[test]
    fn pm2_is_asked_and_waited_for_before_the_link_moves() {
        let steps = |purpose, layout| {
            with_facts("recipe = \"pnpm-pm2\"\nmigrate = []", layout, &[], |facts| {
                let steps = super::super::plan(&Facts { purpose, ..facts.clone() }).steps;
                steps
                    .into_iter()
                    .map(|step| format!("{} {}", step.phase.as_str(), step.name))
                    .collect::<Vec<_>>()
            })
        };
        let whole = ["fetch export", "install install", "build generate", "build build", "build check"];
        let switch = ["switch activate", "switch applications", "verify running"];
        let deployed = steps(Purpose::Deploy, Layout::Releases);
        assert_eq!(deployed, [&whole[..], &switch, &["clean prune"]].concat());
        let back = steps(Purpose::Rollback, Layout::Releases);
        assert_eq!(back, [&["switch check"][..], &switch].concat());
        // In place a rollback builds.
        let in_place = steps(Purpose::Rollback, Layout::InPlace);
        assert_eq!(in_place, [&["fetch update-tree"][..], &whole[1..], &switch[1..]].concat());
    }

    #[test]
    fn only_a_release_is_reached_through_the_link() {
        let [link, tree] = ["/srv/app/current", "/srv/app"].map(Path::new);
        assert_eq!(through(Layout::Releases, "/srv/app/releases/1"), link);
        assert_eq!(through(Layout::InPlace, "/srv/app"), tree);
        // The tree that an adoption goes back to.
        assert_eq!(through(Layout::Releases, "/srv/app"), tree);
    }
}
