//! `uv-uwsgi`: a Python project that uv installs and a vassal of uWSGI's emperor runs.
//!
//! Each release has its own `.venv`, so that neither an install nor a going back changes what is running; uv's cache lies on the same
//! file system, which makes that a matter of hard links. Migrators and other programs of the project run through `uv run --no-sync`: the
//! way that sets PATH and VIRTUAL_ENV without the plan having to know the daemon's PATH.
//!
//! In place there is one `.venv`, changed under the workers that run from it; they are replaced some moments later.

use crate::config::keys::Default::Derived;
use crate::config::keys::KeyKind::{Path, Text};
use crate::config::keys::{Key, TEXTS};
use crate::config::reading::reader::TableReader;
use crate::config::reading::values::{absolute_path, filled_text, inner_path, list, text};
use crate::config::recipe::{Descriptor, ProcessKeeper, Recipe, Sample, Source, Starts};
use crate::config::{Layout, Phase};
use crate::plan::Action;
use crate::plan::builder::{INSTALL_RETRIES, Part, UndoneBy};
use crate::plan::facts::{Facts, Target};
use crate::plan::proposal::{Evidence, Proposal, Subject, toml_text};
use crate::plan::recipe::Planner;
use crate::process::tools::uv;
use crate::steps::process_manager::uwsgi::Vassal;
use crate::steps::process_manager::{Manager, ManagerAction};
use crate::steps::published_path::Placement;
use crate::steps::release::CURRENT;
use serde::Serialize;
use std::path::PathBuf;

/// uv installs the project, and a vassal of uWSGI's emperor runs it.
#[derive(Debug)]
pub struct UvUwsgi;

/// Also of the deployer, whose Python tool ran under uWSGI.
pub const UWSGI_CONFIG_PATH: Key = Key::new(
    "uwsgi_config_path",
    Path,
    Derived("none"),
    r#""/etc/uwsgi/vassals/deploy.durhack.com.ini""#,
    "The vassal's file in the directory that uWSGI's emperor watches: a file, or a link to one. Its time is set anew for each release. Required by `uv-uwsgi`; of `deployer`, the file of the Python tool, which is ignored.",
);

/// What migrates, also for packages under PM2.
pub const MIGRATE: Key = Key::new(
    "migrate",
    TEXTS,
    Derived(
        "what the repository shows: `[\"alembic\", \"upgrade\", \"head\"]` for `alembic.ini` and `[\"scripts/migrate.sh\"]` for that file (uv-uwsgi); `[\"prisma\", \"migrate\", \"deploy\"]` in each package with Prisma migrations (pm2, pnpm-pm2); else none",
    ),
    r#"["alembic", "upgrade", "head"]"#,
    "What brings the database to the release's schema: program and arguments. With uv-uwsgi it runs in the release, whose virtual environment's programs come first; with pm2 and pnpm-pm2 in the first of `packages`, whose dependencies' programs come first. `[]`: nothing does.",
);

static DESCRIPTOR: Descriptor = Descriptor {
    name: "uv-uwsgi",
    meaning: "A Python project of uv's, run by a vassal of uWSGI's emperor.",
    keys: &[
        UWSGI_CONFIG_PATH,
        Key::new(
            "uwsgi_config",
            Path,
            Derived("none: the vassal's file must exist"),
            r#""uwsgi.ini""#,
            "A file of the repository. Where `uwsgi_config_path` does not exist, it is made a link to it; and removed again where the first release fails.",
        ),
        MIGRATE,
        Key::new(
            "python",
            Text,
            Derived("what the project asks for, of the system's"),
            r#""/usr/bin/python3.11""#,
            "The Python of the virtual environment, as `uv --python` takes it. It must be the version that uWSGI's plugin was built for.",
        ),
    ],
    read,
    sample: Sample {
        slug: "tickets",
        repository: "example/tickets",
        path: "/srv/tickets",
        // Another recipe has the key too, and does not require it.
        required: &[("uwsgi_config_path", "/etc/uwsgi-emperor/vassals/tickets.ini")],
    },
    presets: &[],
    needs_releases: None,
    runs_as_deployer_because: None,
    digest_name: "uv-uwsgi",
};

/// A Python project of uv's, run by a vassal of uWSGI's emperor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UvUwsgiSettings {
    /// The vassal's file, as the emperor sees it. Absolute.
    pub uwsgi_config_path: PathBuf,
    /// The file of the repository that a vassal's file that does not exist yet becomes a link to.
    pub uwsgi_config: Option<PathBuf>,
    /// What migrates; None: what the repository has; empty: nothing.
    pub migrate: Option<Vec<String>>,
    /// The Python that the virtual environment is made of; None: what the project asks for.
    pub python: Option<String>,
}

fn read(table: &TableReader<'_>, _source: &Source<'_>) -> Recipe {
    if !table.is_written("uwsgi_config_path") {
        table.missing("uwsgi_config_path");
    }
    let settings = UvUwsgiSettings {
        uwsgi_config_path: table.value("uwsgi_config_path", absolute_path).unwrap_or_default(),
        uwsgi_config: table.value("uwsgi_config", inner_path),
        // An empty list is an answer here: there is nothing to migrate.
        migrate: table.value("migrate", list(text)),
        python: table.value("python", filled_text),
    };
    Recipe {
        programs: ["uv", "uwsgi"].map(str::to_owned).into(),
        kept_by: Some(ProcessKeeper::UwsgiEmperor),
        starts: Starts::Program,
        ..Recipe::new(&DESCRIPTOR, settings)
    }
}

impl Planner for UvUwsgi {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn parts(&self, facts: &Facts<'_>, release: &Target) -> Vec<Part> {
        parts(facts, facts.settings(), release)
    }

    fn propose(&self, subject: &Subject<'_>) -> Option<Proposal> {
        let tree = subject.tree;
        let uwsgi = |text: &str| text.to_ascii_lowercase().contains("uwsgi");
        let is_named =
            tree.files().any(|(path, _)| uwsgi(path)) || tree.text("pyproject.toml").is_some_and(uwsgi);
        (tree.has("uv.lock") && is_named).then(|| {
            let why = "It has uv.lock and speaks of uWSGI: a Python project under uWSGI's emperor.";
            Proposal::new(DESCRIPTOR.name, Evidence::Stack, why)
                .comment("TODO: the vassal's file; the emperor reloads it when it is touched.")
                .key("uwsgi_config_path", toml_text(&format!("/etc/uwsgi/vassals/{}.ini", subject.slug)))
        })
    }
}

fn parts(facts: &Facts<'_>, recipe: &UvUwsgiSettings, release: &Target) -> Vec<Part> {
    let vassal = Manager::Uwsgi(vassal(facts, recipe));
    let manage = |action| Action::Processes { manager: vassal.clone(), action };
    let program = |phase, name, line| {
        let environment = [
            ("UV_CACHE_DIR", facts.cache("uv")),
            ("UV_PROJECT_ENVIRONMENT", ".venv".into()),
            // uWSGI's plugin is the system's Python: a virtual environment of another one would not fit it.
            ("UV_PYTHON_PREFERENCE", "only-system".into()),
            ("UV_NO_PROGRESS", "1".into()),
        ];
        Part::of_program(facts, phase, name, line, &release.directory, environment)
    };
    let install = program(Phase::Install, "uv-sync", uv::sync(recipe.python.as_deref()));
    let mut parts = vec![vassal_file(facts, recipe, release), install.retried(INSTALL_RETRIES)];
    if let Some(migrate) = migration(facts, recipe) {
        parts.push(program(Phase::Migrate, "migrate", uv::run(&migrate)).undone_by(UndoneBy::Nothing));
    }
    let stop = UndoneBy::Again(Some(manage(ManagerAction::Stop)));
    parts.push(Part::new(Phase::Switch, "uwsgi", manage(ManagerAction::Run)).undone_by(stop));
    parts.push(Part::new(Phase::Verify, "running", manage(ManagerAction::Prove)));
    parts
}

/// What migrates: what the operator says, or what the repository has.
fn migration(facts: &Facts<'_>, recipe: &UvUwsgiSettings) -> Option<Vec<String>> {
    let found = || {
        let words: &[&str] = if facts.tree.has("alembic.ini") {
            &["alembic", "upgrade", "head"]
        } else if facts.tree.has("scripts/migrate.sh") {
            &["scripts/migrate.sh"]
        } else {
            &[]
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    };
    let words: Vec<String> = recipe.migrate.clone().unwrap_or_else(found);
    Some(words).filter(|words| !words.is_empty())
}

fn vassal(facts: &Facts<'_>, recipe: &UvUwsgiSettings) -> Vassal {
    let directory = served(facts);
    Vassal {
        config: recipe.uwsgi_config_path.clone(),
        source: recipe.uwsgi_config.as_ref().map(|file| directory.join(file)),
        releases: (facts.layout == Layout::Releases).then(|| facts.deployment.path.join("releases")),
        runs_as: facts.deployment.user.clone(),
    }
}

/// What the vassal's file should name as its `chdir`.
fn served(facts: &Facts<'_>) -> PathBuf {
    let path = &facts.deployment.path;
    if facts.layout == Layout::Releases { path.join(CURRENT) } else { path.clone() }
}

/// Asked before anything is migrated: an emperor ends a vassal whose file is gone.
fn vassal_file(facts: &Facts<'_>, recipe: &UvUwsgiSettings, release: &Target) -> Part {
    let (path, hint) = match &recipe.uwsgi_config {
        Some(file) => (
            release.directory.join(file),
            "the vassal's file must be in the repository, where `uwsgi_config` says".to_owned(),
        ),
        None => (
            recipe.uwsgi_config_path.clone(),
            format!(
                "write this vassal's file, with `master = true`, `chdir = {}` and `virtualenv = .venv`, or name one of the repository in `uwsgi_config`",
                served(facts).display()
            ),
        ),
    };
    let require = Action::Place(Placement::Require { path, hint });
    Part::new(Phase::Install, "vassal", require).undone_by(UndoneBy::Nothing)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    const KEYS: &str = "recipe = \"uv-uwsgi\"\nuwsgi_config_path = \"/etc/vassals/app.ini\"\n";

    #[test]
    fn a_release_is_installed_migrated_reloaded_and_proved() {
        let steps = sample::steps(KEYS, Layout::Releases, &["alembic.ini", "scripts/migrate.sh"]);
        insta::assert_snapshot!(steps, @r"
        fetch export: export 2222222 to releases/2
        install vassal: require /etc/vassals/app.ini
        install uv-sync: [/srv/app/releases/2] uv sync --frozen
        migrate migrate: [/srv/app/releases/2] uv run --frozen --no-sync -- alembic upgrade head
        switch activate: link current -> releases/2
          back: link current -> releases/1
          back: touch /etc/vassals/app.ini and wait for new workers
        switch uwsgi: touch /etc/vassals/app.ini and wait for new workers
        verify running: look whether the workers of /etc/vassals/app.ini stay
        clean prune: remove releases that are no longer kept
        ");
    }

    #[test]
    fn in_place_the_old_commit_is_installed_again() {
        let steps = sample::steps(KEYS, Layout::InPlace, &["scripts/migrate.sh"]);
        insta::assert_snapshot!(steps, @r"
        fetch update-tree: bring the work tree to 2222222
          back: bring the work tree to 1111111
          back: [/srv/app] uv sync --frozen
          back: touch /etc/vassals/app.ini and wait for new workers
        install vassal: require /etc/vassals/app.ini
        install uv-sync: [/srv/app] uv sync --frozen
        migrate migrate: [/srv/app] uv run --frozen --no-sync -- scripts/migrate.sh
        switch uwsgi: touch /etc/vassals/app.ini and wait for new workers
        verify running: look whether the workers of /etc/vassals/app.ini stay
        ");
    }

    #[test]
    fn a_vassals_file_of_the_repository_must_be_in_the_release() {
        let keys = format!("{KEYS}uwsgi_config = \"etc/uwsgi.ini\"");
        let steps = sample::steps(&keys, Layout::Releases, &[]);
        assert!(steps.contains("install vassal: require /srv/app/releases/2/etc/uwsgi.ini\n"), "{steps}");
        sample::with_facts(&keys, Layout::Releases, &[], |facts| {
            assert_eq!(vassal(facts, facts.settings()).source, Some("/srv/app/current/etc/uwsgi.ini".into()));
        });
    }

    #[test]
    fn the_operators_migration_wins_also_where_it_is_none() {
        let migrate = |keys: &str| {
            let steps = sample::steps(&format!("{KEYS}{keys}"), Layout::Releases, &["alembic.ini"]);
            steps.lines().find(|line| line.starts_with("migrate")).map(str::to_owned)
        };
        assert_eq!(migrate("migrate = []"), None);
        let expected =
            "migrate migrate: [/srv/app/releases/2] uv run --frozen --no-sync -- python manage.py migrate";
        assert_eq!(migrate("migrate = [\"python\", \"manage.py\", \"migrate\"]").as_deref(), Some(expected));
    }

    #[test]
    fn what_the_operator_says_of_a_variable_wins() {
        let keys = format!("{KEYS}environment = {{ UV_CACHE_DIR = \"/var/cache/uv\" }}\nenv_file = \".env\"");
        sample::with_facts(&keys, Layout::Releases, &[], |facts| {
            let plan = super::super::plan(facts);
            let install = plan.steps.iter().find(|step| step.name == "uv-sync").unwrap();
            let Action::Command(command) = &install.action else { panic!("{install:?}") };
            assert!(!command.environment.contains_key("UV_CACHE_DIR"), "{command:?}");
            assert_eq!(command.environment["UV_PROJECT_ENVIRONMENT"], ".venv");
            assert_eq!(command.env_files, [std::path::PathBuf::from("/srv/app/.env")]);
        });
    }
}
