//! `pm2`: Node packages, installed, generated, built and migrated in the order they need, under PM2. `pnpm-pm2` is the same, and pnpm installs.
//!
//! What is installed together has one lock file: the root, and each of `packages` that has a lock file of its own. pnpm is asked for a
//! whole workspace at once; of the others, which do not all know how to, each package's script is run in its directory, those first that
//! others depend on.
//!
//! `NODE_ENV` is empty while a release is made, whatever the deployment's environment says: with `production` the development
//! dependencies are left out, and those build and migrate. The applications have it as it is written.

mod proposal;
mod settings;

use crate::base::names::{PackageDirectory, ScriptName};
use crate::config::recipe::Descriptor;
use crate::config::{CommandLine, Deployment, Phase};
use crate::git::commit_tree::Tree;
use crate::plan::builder::{INSTALL_RETRIES, MIGRATION_FIRST, ORDER, Part, UndoneBy};
use crate::plan::facts::{Facts, Target};
use crate::plan::proposal::{Proposal, Subject};
use crate::plan::recipe::Planner;
use crate::plan::workspace::Selected;
use crate::plan::{Action, installer, workspace};
use crate::process::command::Command;
use crate::process::tools::node_packages::Installer;
use crate::process::tools::pnpm::{self, Selection};
use crate::steps::process_manager::pm2::Applications;
use crate::steps::process_manager::pm2::definition::Block;
use crate::steps::process_manager::pm2::ecosystem;
use crate::steps::process_manager::{Manager, ManagerAction};
pub use settings::{InstalledBy, Pm2Settings};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What brings a database to the schema of a package with Prisma migrations.
const PRISMA: [&str; 3] = ["prisma", "migrate", "deploy"];

/// `pm2`: whatever installs the packages.
#[derive(Debug)]
pub struct Pm2;

/// `pnpm-pm2`: pnpm does.
#[derive(Debug)]
pub struct PnpmPm2;

impl Planner for Pm2 {
    fn descriptor(&self) -> &'static Descriptor {
        &settings::PM2
    }

    fn parts(&self, facts: &Facts<'_>, release: &Target) -> Vec<Part> {
        parts(facts, facts.settings(), release)
    }

    fn order(&self, facts: &Facts<'_>) -> [Phase; 7] {
        let settings: &Pm2Settings = facts.settings();
        if settings.migrates_before_build { MIGRATION_FIRST } else { ORDER }
    }

    fn concerns<'a>(&self, facts: &'a Facts<'_>) -> Box<dyn Fn(&str) -> bool + 'a> {
        let settings: &Pm2Settings = facts.settings();
        let selected = Selected::new(facts.tree, &settings.packages);
        Box::new(move |path| selected.concerns(path))
    }

    fn remarks(&self, deployment: &Deployment, tree: &Tree) -> Vec<String> {
        let Some(settings) = deployment.recipe.settings() else { return Vec::new() };
        let mut remarks = remarks(tree, settings);
        remarks.extend(unused_blocks(tree, deployment, settings));
        remarks
    }

    /// Also where it is pnpm that installs.
    fn propose(&self, subject: &Subject<'_>) -> Option<Proposal> {
        proposal::of(subject)
    }
}

impl Planner for PnpmPm2 {
    fn descriptor(&self) -> &'static Descriptor {
        &settings::PNPM_PM2
    }

    fn parts(&self, facts: &Facts<'_>, release: &Target) -> Vec<Part> {
        Pm2.parts(facts, release)
    }

    fn order(&self, facts: &Facts<'_>) -> [Phase; 7] {
        Pm2.order(facts)
    }

    fn concerns<'a>(&self, facts: &'a Facts<'_>) -> Box<dyn Fn(&str) -> bool + 'a> {
        Pm2.concerns(facts)
    }

    fn remarks(&self, deployment: &Deployment, tree: &Tree) -> Vec<String> {
        Pm2.remarks(deployment, tree)
    }
}

fn parts(facts: &Facts<'_>, recipe: &Pm2Settings, release: &Target) -> Vec<Part> {
    let places = places(facts.tree, recipe);
    let part = |phase, name: &str, line: Line| Part::new(phase, name, Action::Command(command(facts, line)));
    let mut parts = Vec::new();
    for place in &places {
        let install = place.install(facts, &release.directory);
        parts.extend(
            install.map(|line| part(Phase::Install, &place.named("install"), line).retried(INSTALL_RETRIES)),
        );
    }
    for (package, line) in migrations(facts, recipe) {
        let place = places.iter().find(|place| place.directory.is_some() && place.directory == package);
        if let Some(place) = place.or_else(|| places.iter().find(|place| place.directory.is_none())) {
            let line = place.exec(&release.directory, package.as_ref(), &line);
            parts.push(part(Phase::Migrate, "migrate", line).undone_by(UndoneBy::Nothing));
        }
    }
    for script in &recipe.scripts {
        for place in &places {
            let lines = place.run(facts, &release.directory, script);
            parts.extend(lines.into_iter().map(|(name, line)| part(Phase::Build, &name, line)));
        }
    }
    let manager = Manager::Pm2(applications(facts, recipe, release));
    let manage = |action| Action::Processes { manager: manager.clone(), action };
    // With the build: before anything is switched, and, where it can be, migrated. A rollback needs it no less: it waits here for PM2,
    // and not while the link names one release and the other runs.
    parts.push(Part::beforehand(facts, "check", manage(ManagerAction::Check)));
    let stop = UndoneBy::Again(Some(manage(ManagerAction::Stop)));
    parts.push(Part::new(Phase::Switch, "applications", manage(ManagerAction::Run)).undone_by(stop));
    parts
        .push(Part::new(Phase::Verify, "running", manage(ManagerAction::Prove)).undone_by(UndoneBy::Nothing));
    parts
}

/// Packages with one lock file.
#[derive(Debug)]
struct Place {
    /// Where; None: the root.
    directory: Option<PackageDirectory>,
    /// Who installs; None: nobody.
    installer: Option<Installer>,
    /// Of the workspace in it, those that are deployed; empty: all.
    packages: Vec<PackageDirectory>,
}

/// A command of ours, where it is run, and who installs there.
struct Line {
    line: CommandLine,
    directory: PathBuf,
    installer: Option<Installer>,
}

/// In the order in which they are dealt with: the root, then the packages as they are written.
fn places(tree: &Tree, recipe: &Pm2Settings) -> Vec<Place> {
    let has_own = |package: &&PackageDirectory| {
        recipe.installer != InstalledBy::Pnpm
            && installer::found(tree, package.as_str()).is_some_and(|found| found.by.is_some())
    };
    let (own, of_root): (Vec<&PackageDirectory>, Vec<&PackageDirectory>) =
        recipe.packages.iter().partition(has_own);
    let root = (recipe.packages.is_empty() || !of_root.is_empty()).then(|| Place {
        directory: None,
        installer: installer(tree, recipe, ""),
        packages: of_root.into_iter().cloned().collect(),
    });
    let own = own.into_iter().map(|package| Place {
        directory: Some(package.clone()),
        installer: installer(tree, recipe, package.as_str()),
        packages: Vec::new(),
    });
    root.into_iter().chain(own).collect()
}

fn installer(tree: &Tree, recipe: &Pm2Settings, directory: &str) -> Option<Installer> {
    let found = installer::found(tree, directory);
    let is_berry = found.as_ref().is_some_and(|found| found.installer == Installer::YarnBerry);
    let has = |name: &str| match directory {
        "" => tree.has(name),
        directory => tree.has(&format!("{directory}/{name}")),
    };
    match recipe.installer {
        InstalledBy::LockFile => found.map(|found| found.installer),
        InstalledBy::Nothing => None,
        InstalledBy::Pnpm => Some(Installer::Pnpm),
        InstalledBy::Npm if has("package-lock.json") || has("npm-shrinkwrap.json") => Some(Installer::Npm),
        InstalledBy::Npm => Some(Installer::NpmUnlocked),
        InstalledBy::Yarn if is_berry || has(".yarnrc.yml") => Some(Installer::YarnBerry),
        InstalledBy::Yarn => Some(Installer::Yarn),
        InstalledBy::Bun => Some(Installer::Bun),
    }
}

/// What is to be known of who installs, before it does: where lock files of several lie side by side, and where there is none.
fn remarks(tree: &Tree, recipe: &Pm2Settings) -> Vec<String> {
    let mut remarks = Vec::new();
    for place in places(tree, recipe).iter().filter(|_| recipe.installer == InstalledBy::LockFile) {
        let directory = place.directory.as_ref().map_or("", PackageDirectory::as_str);
        let at = if directory.is_empty() { "the root" } else { directory };
        let Some(found) = installer::found(tree, directory) else {
            remarks.push(format!("there is no package.json in {at}: nothing is installed or built there"));
            continue;
        };
        match found.by {
            None => remarks.push(format!(
                "there is no lock file in {at}: npm installs what is newest at that moment. Commit a lock file"
            )),
            Some(by) if !found.passed_over.is_empty() => {
                let why = if found.is_named { "`packageManager` names it" } else { "it was changed last" };
                remarks.push(format!(
                    "{by} in {at} is used, as {why}, and {} is not: {} installs. Remove what is stale, or write `installer`",
                    found.passed_over.join(" and "),
                    found.installer.program()
                ));
            }
            Some(_) => {}
        }
    }
    remarks
}

impl Place {
    fn named(&self, what: &str) -> String {
        self.directory.as_ref().map_or_else(|| what.to_owned(), |directory| format!("{what} {directory}"))
    }

    fn path(&self, release: &Path) -> PathBuf {
        self.directory
            .as_ref()
            .map_or_else(|| release.to_owned(), |directory| release.join(directory.as_str()))
    }

    fn selection(&self, facts: &Facts<'_>) -> Selection<'_> {
        let is_workspace = self.directory.is_none() && facts.tree.has("pnpm-workspace.yaml");
        match (self.packages.is_empty(), is_workspace) {
            (false, _) => Selection::Closure(&self.packages),
            (true, true) => Selection::Workspace,
            (true, false) => Selection::Single,
        }
    }

    fn install(&self, facts: &Facts<'_>, release: &Path) -> Option<Line> {
        let installer = self.installer?;
        let path = self.path(release);
        Some(match installer {
            Installer::Pnpm => self.line(pnpm::install(&path, self.selection(facts)), release),
            installer => self.line(installer.install(), &path),
        })
    }

    /// The script of all packages that have it, each with a name for people.
    fn run(&self, facts: &Facts<'_>, release: &Path, script: &ScriptName) -> Vec<(String, Line)> {
        let path = self.path(release);
        let Some(installer) = self.installer else { return Vec::new() };
        if installer == Installer::Pnpm {
            let line = pnpm::run(&path, self.selection(facts), script);
            return vec![(self.named(script.as_str()), self.line(line, release))];
        }
        let directories = match &self.directory {
            Some(directory) => {
                let has_it = workspace::has_script(facts.tree, directory.as_str(), script);
                has_it.then(|| directory.to_string()).into_iter().collect()
            }
            None => workspace::with_script(facts.tree, &self.packages, script),
        };
        let run = |directory: String| {
            let name =
                if directory.is_empty() { script.to_string() } else { format!("{script} {directory}") };
            (name, self.line(installer.run(script.as_str(), &[]), &release.join(directory)))
        };
        directories.into_iter().map(run).collect()
    }

    /// Runs a program in one of the packages; None: in the root.
    fn exec(&self, release: &Path, package: Option<&PackageDirectory>, command: &[String]) -> Line {
        let at = package.map_or_else(|| release.to_owned(), |package| release.join(package.as_str()));
        match self.installer {
            Some(Installer::Pnpm) if self.directory.is_none() => {
                self.line(pnpm::exec(release, package, command), release)
            }
            Some(installer) => self.line(installer.exec(command), &at),
            None => self.line(CommandLine::Argv(command.to_vec()), &at),
        }
    }

    fn line(&self, line: CommandLine, directory: &Path) -> Line {
        Line { line, directory: directory.to_owned(), installer: self.installer }
    }
}

/// Where which command migrates; None: in the root.
fn migrations(facts: &Facts<'_>, recipe: &Pm2Settings) -> Vec<(Option<PackageDirectory>, Vec<String>)> {
    if let Some(line) = &recipe.migrate {
        let first = recipe.packages.first().cloned();
        return if line.is_empty() { Vec::new() } else { vec![(first, line.clone())] };
    }
    let prisma = || PRISMA.map(str::to_owned).to_vec();
    let packages = workspace::with_prisma_migrations(facts.tree, &recipe.packages);
    packages.into_iter().map(|package| (package, prisma())).collect()
}

fn command(facts: &Facts<'_>, line: Line) -> Command {
    // Nobody is there to be asked.
    let environment =
        [("CI", "true"), ("NODE_ENV", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut environment = BTreeMap::from(environment);
    // pnpm finds its store by itself, on the release's file system.
    if let Some(installer) = line.installer.filter(|installer| *installer != Installer::Pnpm) {
        let variable = installer.cache_variable();
        if !facts.deployment.environment.contains_key(variable) {
            environment.insert(variable.to_owned(), facts.cache(installer.program()));
        }
    }
    Command {
        line: line.line,
        directory: line.directory,
        environment,
        env_files: facts.deployment.env_files.clone(),
    }
}

fn applications(facts: &Facts<'_>, recipe: &Pm2Settings, release: &Target) -> Applications {
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
        block: block(facts.deployment, recipe),
        env_files: deployment.env_files.clone(),
        privileges: facts.privileges,
        user: deployment.user.clone(),
        locks: facts.host.state_directory.join("pm2"),
    }
}

/// Of blocks `env_*` that the ecosystem file seems to have, by its text: what it really says, the run knows.
fn unused_blocks(tree: &Tree, deployment: &Deployment, recipe: &Pm2Settings) -> Option<String> {
    let written = recipe.ecosystem.as_ref().map(|path| path.to_string_lossy().into_owned());
    let file = match &written {
        Some(path) => path.as_str(),
        None => ecosystem::NAMES.iter().copied().find(|name| tree.has(name))?,
    };
    let blocks = ecosystem::blocks_in_text(tree.text(file)?);
    ecosystem::unused(file, &blocks, block(deployment, recipe).as_ref())
}

/// What is written; else production's, where that is what the applications are told they are.
fn block(deployment: &Deployment, recipe: &Pm2Settings) -> Option<Block> {
    const PRODUCTION: &str = "production";
    let asked = recipe.block.as_ref().map(|name| Block { name: name.clone(), is_asked_for: true });
    let is_production = deployment.environment.get("NODE_ENV").is_some_and(|value| value == PRODUCTION);
    asked.or_else(|| is_production.then(|| Block { name: PRODUCTION.into(), is_asked_for: false }))
}

#[cfg(test)]
mod tests {
    use super::super::sample::with_facts;
    use super::*;
    use crate::config::Layout;
    use crate::git::commit_tree::File;
    use crate::plan::facts::PlanPurpose;
    use std::path::{Path, PathBuf};

    fn through(layout: Layout, directory: &str) -> PathBuf {
        with_facts("recipe = \"pnpm-pm2\"", layout, &[], |facts| {
            let release = Target { directory: directory.into(), ..facts.target.clone() };
            applications(facts, facts.settings(), &release).through
        })
    }

    #[test]
    fn an_installation_is_attempted_again() {
        with_facts("recipe = \"pnpm-pm2\"", Layout::Releases, &[], |facts| {
            let plan = super::super::plan(facts);
            let retried = |step: &crate::plan::Step| step.retries > 0;
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
        let deployed = steps(PlanPurpose::Deploy, Layout::Releases);
        assert_eq!(deployed, [&whole[..], &switch, &["clean prune"]].concat());
        let back = steps(PlanPurpose::Rollback, Layout::Releases);
        assert_eq!(back, [&["switch check"][..], &switch].concat());
        // In place a rollback builds.
        let in_place = steps(PlanPurpose::Rollback, Layout::InPlace);
        assert_eq!(in_place, [&["fetch update-tree"][..], &whole[1..], &switch[1..]].concat());
    }

    #[test]
    fn what_the_lock_file_says_installs_each_package() {
        let texts = [
            ("package.json", r#"{"workspaces": ["server", "common"]}"#),
            ("common/package.json", r#"{"name": "common", "scripts": {"build": "x"}}"#),
            (
                "server/package.json",
                r#"{"name": "server", "dependencies": {"common": "1"}, "scripts": {"generate": "x", "build": "x"}}"#,
            ),
            ("client/package.json", r#"{"name": "client", "scripts": {"build": "x"}}"#),
        ];
        let commands = |keys: &str, files: &[&str]| {
            with_facts(&format!("recipe = \"pm2\"\n{keys}"), Layout::Releases, &[], |facts| {
                let file = || File { mode: "100644".into(), content: "a".into(), bytes: Some(1) };
                let paths = texts.iter().map(|(path, _)| *path).chain(files.iter().copied());
                let tree = Tree::new(paths.map(|path| (path.to_owned(), file())))
                    .with_texts(texts.map(|(path, text)| (path.to_owned(), text.to_owned())));
                let steps = super::super::plan(&Facts { tree: &tree, ..facts.clone() }).steps;
                let lines = steps.into_iter().filter_map(|step| match step.action {
                    Action::Command(command) => Some(format!(
                        "{}: {}$ {}",
                        step.name,
                        command.directory.strip_prefix("/srv/app/releases/2").unwrap().display(),
                        command.line.shown()
                    )),
                    _ => None,
                });
                lines.collect::<Vec<_>>().join("\n")
            })
        };
        let expected = [
            "install: $ npm ci --include=dev --no-audit --no-fund",
            "generate server: server$ npm run generate",
            "build common: common$ npm run build",
            "build server: server$ npm run build",
        ];
        assert_eq!(commands("", &["package-lock.json"]), expected.join("\n"));
        let expected = [
            "install: $ yarn install --frozen-lockfile --production=false --non-interactive",
            "install client: client$ bun install --frozen-lockfile --backend=copyfile",
            "generate server: server$ yarn run generate",
            "build common: common$ yarn run build",
            "build server: server$ yarn run build",
            "build client: client$ bun run build",
            "migrate: server$ yarn exec -- migrate",
        ];
        let keys = "packages = [\"server\", \"client\"]\nmigrate = [\"migrate\"]";
        assert_eq!(commands(keys, &["yarn.lock", "client/bun.lock"]), expected.join("\n"));
        let expected = [
            "install: $ npm ci --include=dev --no-audit --no-fund",
            "generate server: server$ npm run generate",
            "build common: common$ npm run build",
            "build server: server$ npm run build",
            "migrate: server$ npm exec --no --call 'prisma migrate deploy'",
        ];
        let prisma = ["server/prisma/schema.prisma", "server/prisma/migrations/1/a.sql", "package-lock.json"];
        assert_eq!(commands("packages = [\"server\"]", &prisma), expected.join("\n"));
        let keys = "installer = \"none\"\nmigrate = [\"./migrate\"]";
        assert_eq!(commands(keys, &["package-lock.json"]), "migrate: $ ./migrate");
        // What `pnpm-pm2` does, word by word.
        let files = ["pnpm-lock.yaml", "pnpm-workspace.yaml"];
        let expected = [
            "install: $ pnpm --dir /srv/app/releases/2 '--filter={server}...' --fail-if-no-match install --frozen-lockfile --config.package-import-method=clone-or-copy",
            "generate: $ pnpm --dir /srv/app/releases/2 '--filter={server}...' --fail-if-no-match run --if-present generate",
            "build: $ pnpm --dir /srv/app/releases/2 '--filter={server}...' --fail-if-no-match run --if-present build",
        ];
        assert_eq!(commands("packages = [\"server\"]", &files), expected.join("\n"));
        let of = |keys: &str| super::super::sample::steps(keys, Layout::Releases, &files);
        assert_eq!(of("recipe = \"pm2\""), of("recipe = \"pnpm-pm2\""));
        // A digest of a release that pnpm has made is the one that it always was.
        let written =
            |keys: &str| with_facts(keys, Layout::Releases, &[], |facts| facts.deployment.recipe.written());
        let before = r#"{"pnpm-pm2":{"packages":[],"migrate":null,"scripts":["generate","build"],"migrates_before_build":false,"ecosystem":null}}"#;
        assert_eq!(written("recipe = \"pnpm-pm2\""), before);
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
