//! The commands that a repository's manifests and lock files ask for: how what is in it is installed, built and migrated. Pure.
//!
//! A guess that a person reads and corrects: `init` proposes it, and no run does anything by it.

use crate::base::names::ScriptName;
use crate::config::Phase;
use crate::git::commit_tree::Tree;
use crate::plan::installer::{self, DetectedInstaller};
use crate::plan::proposal::{DetectedStep, is_plain, last, step};
use crate::plan::workspace;
use crate::process::tools::node_packages::Installer;
use std::collections::BTreeSet;

/// Directories with packages of their own that are looked at, at most.
const DIRECTORIES_MAX: usize = 10;

/// Commands by every lock file and manifest of the root; where it has none, by those of the directories in it.
pub fn install_and_build(tree: &Tree) -> Option<(String, Vec<DetectedStep>)> {
    const MANIFESTS: [&str; 6] =
        ["package.json", "composer.json", "Gemfile", "requirements.txt", "pyproject.toml", "Cargo.toml"];
    let mut all = of_directory(tree, "");
    if all.is_empty() {
        all = directories(tree, &MANIFESTS)
            .iter()
            .flat_map(|directory| of_directory(tree, directory))
            .collect();
    }
    let by = all.iter().map(|(by, _)| by.as_str()).collect::<Vec<_>>().join(" and ");
    let steps: Vec<DetectedStep> = all.into_iter().flat_map(|(_, steps)| steps).collect();
    (!steps.is_empty()).then_some((by, steps))
}

/// Directories of the root that hold one of these files.
pub fn directories(tree: &Tree, names: &[&str]) -> Vec<String> {
    let holders = tree.files().filter_map(|(path, _)| {
        let (directory, name) = path.split_once('/')?;
        (names.contains(&name) && is_plain(directory)).then(|| directory.to_owned())
    });
    holders.collect::<BTreeSet<_>>().into_iter().take(DIRECTORIES_MAX).collect()
}

/// What the files of one directory say, each with the file that says it.
fn of_directory(tree: &Tree, directory: &str) -> Vec<(String, Vec<DetectedStep>)> {
    let at = |name: &str| if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
    let has = |name: &str| tree.has(&at(name));
    let step = |phase, run: &[&str], why: &str| step(phase, directory, run, why);
    let mut all = Vec::new();
    let mut add = |by: &str, steps: Vec<DetectedStep>| all.push((at(by), steps));
    if has("composer.json") {
        let install = ["composer", "install", "--no-dev", "--no-interaction", "--optimize-autoloader"];
        let mut steps = vec![step(Phase::Install, &install, "what composer.lock says")];
        if has("artisan") {
            let migrate = ["php", "artisan", "migrate", "--force"];
            steps.push(step(Phase::Migrate, &migrate, "Laravel's migrations; it reads .env"));
        }
        add("composer.json", steps);
    }
    if has("Gemfile") {
        let mut steps =
            vec![step(Phase::Install, &["bundle", "install", "--jobs=2"], "what Gemfile.lock says")];
        if has("config/application.rb") || has("bin/rails") {
            let rails = |task| ["bundle", "exec", "rails", task];
            steps.push(step(
                Phase::Build,
                &rails("assets:precompile"),
                "Rails' assets; it needs RAILS_ENV=production in `environment`, and SECRET_KEY_BASE in a file of `env_files`",
            ));
            if tree.has_directory(&at("db/migrate")) || has("db/schema.rb") {
                steps.push(step(Phase::Migrate, &rails("db:migrate"), "its migrations"));
            }
        }
        add("Gemfile", steps);
    }
    if let Some((by, install)) = python_install(tree, &at) {
        let mut steps: Vec<DetectedStep> =
            install.iter().map(|(run, why)| step(Phase::Install, run, why)).collect();
        let python = ".venv/bin/python";
        let has_static_root = || {
            let mut settings = tree.files().filter(|(path, _)| last(path) == "settings.py");
            settings.any(|(path, _)| tree.text(path).is_some_and(|text| text.contains("STATIC_ROOT")))
        };
        if has("manage.py") {
            if has_static_root() {
                let collect = [python, "manage.py", "collectstatic", "--noinput"];
                steps.push(step(Phase::Build, &collect, "Django's static files, to STATIC_ROOT"));
            }
            let migrate = [python, "manage.py", "migrate", "--noinput"];
            steps.push(step(Phase::Migrate, &migrate, "Django's migrations"));
        } else if has("alembic.ini") {
            let migrate = [".venv/bin/alembic", "upgrade", "head"];
            steps.push(step(Phase::Migrate, &migrate, "its migrations, by Alembic"));
        } else if has("migrations/alembic.ini") {
            let migrate = [".venv/bin/flask", "db", "upgrade"];
            steps.push(step(Phase::Migrate, &migrate, "its migrations, by Flask-Migrate"));
        }
        add(by, steps);
    }
    if has("Cargo.toml") {
        let build = ["cargo", "build", "--release", "--locked"];
        add("Cargo.toml", vec![step(Phase::Build, &build, "the program lies in target/release/")]);
    }
    if let Some(found) = installer::found(tree, directory) {
        add(found.by.unwrap_or("package.json"), node_steps(tree, directory, &found));
    }
    let hugo = ["hugo.toml", "hugo.yaml", "hugo.json", "config.toml", "config.yaml"]
        .into_iter()
        .find(|name| has(name));
    let looks_like_hugo =
        ["themes", "layouts", "archetypes"].iter().any(|name| tree.has_directory(&at(name)))
            || tree.submodules().iter().any(|module| module.starts_with("themes/"));
    if let Some(by) =
        hugo.filter(|by| by.starts_with("hugo") || tree.has_directory(&at("content")) && looks_like_hugo)
    {
        add(
            by,
            vec![step(
                Phase::Build,
                &["hugo", "--minify"],
                "Hugo's site; it lies in public/, and nginx serves that",
            )],
        );
    }
    all
}

/// The words of a command, and why it is called.
type Call = (Vec<&'static str>, &'static str);

/// Who makes `.venv`, in which order, and by which file.
fn python_install(tree: &Tree, at: &dyn Fn(&str) -> String) -> Option<(&'static str, Vec<Call>)> {
    let has = |name: &str| tree.has(&at(name));
    let venv = || (vec!["python3", "-m", "venv", ".venv"], "an environment of the release's own");
    let is_project = || {
        let text = tree.text(&at("pyproject.toml")).unwrap_or_default();
        // Else it only tells formatters and linters what to do.
        ["[project]", "[build-system]", "[tool.poetry"].iter().any(|table| text.contains(table))
    };
    let itself = |why| (vec![".venv/bin/pip", "install", "."], why);
    if has("uv.lock") {
        return Some((
            "uv.lock",
            vec![(vec!["uv", "sync", "--frozen"], "makes .venv of uv.lock, without changing either")],
        ));
    }
    if has("requirements.txt") {
        let install = (vec![".venv/bin/pip", "install", "-r", "requirements.txt"], "its packages");
        return Some(("requirements.txt", vec![venv(), install]));
    }
    if is_project() {
        return Some((
            "pyproject.toml",
            vec![venv(), itself("itself and its packages, the newest that it allows: a uv.lock pins them")],
        ));
    }
    has("setup.py").then(|| ("setup.py", vec![venv(), itself("itself and its packages")]))
}

fn node_steps(tree: &Tree, directory: &str, found: &DetectedInstaller) -> Vec<DetectedStep> {
    let (install, why): (&[&str], &str) = match found.installer {
        Installer::Pnpm => {
            (&["pnpm", "install", "--frozen-lockfile"], "installs exactly what the lock file says")
        }
        Installer::Yarn => {
            (&["yarn", "install", "--frozen-lockfile"], "installs exactly what the lock file says")
        }
        Installer::YarnBerry => {
            (&["yarn", "install", "--immutable"], "installs exactly what the lock file says")
        }
        Installer::Bun => {
            (&["bun", "install", "--frozen-lockfile"], "installs exactly what the lock file says")
        }
        Installer::Npm => (&["npm", "ci"], "installs exactly what the lock file says"),
        Installer::NpmUnlocked => (
            &["npm", "install", "--no-audit", "--no-fund"],
            "without a lock file: commit one, and write `npm ci`",
        ),
    };
    let why = match (found.passed_over.is_empty(), found.is_named) {
        (true, _) => why.to_owned(),
        (false, true) => {
            format!("{why}; `packageManager` names it, and {} is stale", found.passed_over.join(" and "))
        }
        (false, false) => {
            format!(
                "{why} that was changed last; {} is probably stale: remove it",
                found.passed_over.join(" and ")
            )
        }
    };
    let mut steps = vec![step(Phase::Install, directory, install, &why)];
    let build = ScriptName::parse("build").expect("it is the name of a script");
    let run = |directory: &str, why| {
        step(Phase::Build, directory, &[found.installer.program(), "run", "build"], why)
    };
    if workspace::has_script(tree, directory, &build) {
        steps.push(run(directory, "the package's own script"));
    } else if directory.is_empty() && tree.has("pnpm-workspace.yaml") {
        let all = ["pnpm", "--recursive", "run", "--if-present", "build"];
        steps.push(step(Phase::Build, "", &all, "the script of each package of the workspace that has it"));
    } else if directory.is_empty() {
        let packages = workspace::with_script(tree, &[], &build);
        steps.extend(packages.iter().filter(|path| is_plain(path)).map(|path| run(path, "its script")));
    }
    steps
}
