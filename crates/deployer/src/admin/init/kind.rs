//! What kind of package a repository holds, by the names of its files and what a few of them say. Pure.
//!
//! A guess that a person reads and corrects: so each says by what it was made, and where two are possible, the one that needs
//! less of a server is taken.

use crate::base::names::{ScriptName, UnitName};
use crate::config::Phase;
use crate::config::preset::Preset;
use crate::git::commit_tree::Tree;
use crate::plan::installer::{self, Found};
use crate::plan::proposal::{Evidence, Proposal, Subject};
use crate::plan::recipes;
use crate::plan::workspace;
use crate::process::tools::node_packages::Installer;
use crate::steps::process_manager::pm2::ecosystem;
use std::collections::BTreeSet;

/// Processes of a Procfile, at most: more than any package for one server has.
const PROCESSES_MAX: usize = 20;

/// Sites of a repository, at most.
const SITES_MAX: usize = 200;

/// Directories with packages of their own that are looked at, at most.
const DIRECTORIES_MAX: usize = 10;

/// Names of what nobody here understands that are quoted, at most.
const UNKNOWN_MAX: usize = 8;

/// See the module.
#[derive(Debug, Clone)]
pub enum Kind {
    /// One of DurHack's own repositories: everything is known of it.
    Preset(&'static Preset),
    /// nginx sites of these names.
    NginxSites(Vec<String>),
    /// Node packages with an ecosystem file for PM2.
    Pm2(UnderPm2),
    /// A Python project of uv's that uWSGI serves.
    UvUwsgi,
    /// A client of files and a Go server.
    GoStatic,
    /// Commands and units.
    Systemd { by: String, steps: Vec<Step>, units: Vec<Unit> },
    /// Commands.
    Steps { by: String, steps: Vec<Step> },
    /// What a recipe proposes itself.
    Proposed {
        /// Its name.
        recipe: &'static str,
        /// What it says.
        proposal: Proposal,
    },
    /// Files that are served as they are.
    Static,
}

/// Node packages with an ecosystem file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderPm2 {
    /// The file.
    pub ecosystem: &'static str,
    /// Whether it asks for an instance's name.
    pub named: bool,
    /// Whether it has a block `env_production`.
    pub for_production: bool,
    /// Who installs; None: nothing is installed.
    pub found: Option<Found>,
    /// Directories with a lock file of their own, where the root has no package.
    pub packages: Vec<String>,
}

/// A command that makes the release.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its phase.
    pub phase: Phase,
    /// Program and arguments: our own, or plain words of the repository's.
    pub run: Vec<String>,
    /// Where, if not in the root.
    pub directory: Option<String>,
    /// Why.
    pub why: String,
}

/// A process that somebody has to keep running.
#[derive(Debug, Clone)]
pub struct Unit {
    /// What the unit could be called.
    pub name: UnitName,
    /// What it runs, as the repository says: untrusted text, for a comment.
    pub command: String,
}

/// What kind of package this is; its slug names its units.
pub fn of(subject: &Subject<'_>, preset: Option<&'static Preset>) -> Kind {
    let Subject { tree, slug, .. } = *subject;
    // What tells of a build that nobody understands would be live unbuilt.
    let is_understood = || unknown(tree, &Kind::Static).is_empty();
    preset
        .map(Kind::Preset)
        .or_else(|| nginx_sites(tree))
        .or_else(|| pm2(tree))
        .or_else(|| procfile(tree, slug))
        .or_else(|| python(tree, slug))
        .or_else(|| go(tree, slug))
        .or_else(|| proposed(subject, Evidence::Product))
        .or_else(|| install_and_build(tree).map(|(by, steps)| Kind::Steps { by, steps }))
        .or_else(|| is_understood().then(|| proposed(subject, Evidence::Content)).flatten())
        .unwrap_or(Kind::Static)
}

/// The first proposal of a recipe for which this much speaks.
fn proposed(subject: &Subject<'_>, evidence: Evidence) -> Option<Kind> {
    let mut proposals = recipes::ALL.iter().filter_map(|planner| {
        let proposal = planner.propose(subject).filter(|proposal| proposal.evidence == evidence)?;
        Some(Kind::Proposed { recipe: planner.descriptor().name, proposal })
    });
    proposals.next()
}

/// What is there that tells of a build, or of a program, and that nothing here understands: names of files.
pub fn unknown(tree: &Tree, kind: &Kind) -> Vec<String> {
    const NAMES: [&str; 20] = [
        "Dockerfile",
        "docker-compose.yml",
        "docker-compose.yaml",
        "compose.yml",
        "compose.yaml",
        "Makefile",
        "CMakeLists.txt",
        "pom.xml",
        "build.gradle",
        "build.gradle.kts",
        "mix.exs",
        "deno.json",
        "flake.nix",
        "Pipfile",
        "environment.yml",
        "mkdocs.yml",
        "_config.yml",
        "pyproject.toml",
        "setup.py",
        "Procfile",
    ];
    const SOURCES: [&str; 12] =
        [".go", ".py", ".rb", ".php", ".ts", ".tsx", ".jsx", ".java", ".rs", ".ex", ".cs", ".c"];
    if matches!(kind, Kind::Preset(_) | Kind::NginxSites(_)) {
        return Vec::new();
    }
    let is_understood = !matches!(kind, Kind::Static);
    let is_near = |path: &&str| path.matches('/').count() <= 1 && is_plain(path);
    // Of what is understood, sources are what it is made of, and a Python project is its own.
    let tells = |path: &&str| {
        let name = last(path);
        match is_understood {
            true => NAMES[..NAMES.len() - 3].contains(&name),
            false => NAMES.contains(&name) || SOURCES.iter().any(|end| name.ends_with(end)),
        }
    };
    let near = tree.files().map(|(path, _)| path).filter(is_near).filter(tells);
    near.map(str::to_owned).take(UNKNOWN_MAX).collect()
}

/// Hosts from which submodules come, as `.gitmodules` says: those of plain letters.
pub fn submodule_hosts(tree: &Tree) -> BTreeSet<String> {
    let lines = tree.text(".gitmodules").unwrap_or_default().lines();
    let urls = lines.filter_map(|line| line.trim().strip_prefix("url")?.trim_start().strip_prefix('='));
    let plain = |host: &&str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
    };
    let hosts = urls.filter_map(|url| {
        let url = url.trim();
        let rest =
            url.split_once("://").map(|(_, rest)| rest).or_else(|| url.contains('@').then_some(url))?;
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        Some(host.rsplit('@').next().unwrap_or_default()).filter(plain)
    });
    hosts.map(str::to_owned).collect()
}

/// The names of the sites: `production/[example.org].nginxconf`.
pub fn site_names(tree: &Tree) -> Vec<String> {
    let plain = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    let names = tree.files().filter_map(|(path, _)| {
        let file = path.strip_prefix("production/")?.strip_prefix('[')?;
        let (name, rest) = file.split_once(']')?;
        (matches!(rest, ".conf" | ".nginxconf") && plain(name)).then(|| name.to_owned())
    });
    names.take(SITES_MAX).collect()
}

/// Files of sites without a site in their names, which are for every host where nobody says otherwise; none where there are more, or others,
/// than can be named one by one.
pub fn unbracketed_names(tree: &Tree) -> Vec<String> {
    let is_plain =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_/".contains(&byte));
    let is_of_sites = |name: &str| name.ends_with(".conf") || name.ends_with(".nginxconf");
    let names = tree.files().filter_map(|(path, _)| path.strip_prefix("production/"));
    let names = names.filter(|name| !name.contains('[') && !name.ends_with(".md") && !name.contains("/."));
    let names: Vec<String> = names.filter(|name| !name.starts_with('.')).map(str::to_owned).collect();
    let all_can_be_named =
        names.len() <= SITES_MAX && names.iter().all(|name| is_plain(name) && is_of_sites(name));
    if all_can_be_named { names } else { Vec::new() }
}

fn nginx_sites(tree: &Tree) -> Option<Kind> {
    let names = site_names(tree);
    (!names.is_empty()).then_some(Kind::NginxSites(names))
}

fn pm2(tree: &Tree) -> Option<Kind> {
    // Names that others have for other things must speak of a script.
    let speaks = |name: &str| {
        name.starts_with("ecosystem.") || tree.text(name).is_some_and(|text| text.contains("script"))
    };
    let ecosystem = ecosystem::NAMES.into_iter().find(|name| tree.has(name) && speaks(name))?;
    let text = tree.text(ecosystem).unwrap_or_default();
    let found = installer::found(tree, "");
    let packages = if found.is_some() { Vec::new() } else { directories(tree, &["package.json"]) };
    Some(Kind::Pm2(UnderPm2 {
        ecosystem,
        named: text.contains("INSTANCE_NAME"),
        for_production: ecosystem::blocks_in_text(text).contains("production"),
        found,
        packages,
    }))
}

fn procfile(tree: &Tree, slug: &str) -> Option<Kind> {
    let lines = tree.text("Procfile")?.lines().filter_map(|line| line.split_once(':'));
    let (_, mut steps) = install_and_build(tree).unwrap_or_default();
    let mut units = Vec::new();
    for (process, command) in lines {
        if matches!(process.trim(), "release" | "preflight") {
            steps.extend(release_step(&steps, command));
        } else {
            units.extend(unit(&format!("{slug}-{}", process.trim()), command));
        }
    }
    units.truncate(PROCESSES_MAX);
    (!units.is_empty()).then(|| Kind::Systemd { by: "Procfile".into(), steps, units })
}

/// What runs once, before a release, where it is of plain words and nothing does the same already.
fn release_step(steps: &[Step], command: &str) -> Option<Step> {
    let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    let plain =
        |word: &String| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:=@".contains(&byte));
    let is_there = steps.iter().any(|step| step.phase == Phase::Migrate);
    (!is_there && !words.is_empty() && words.len() <= 20 && words.iter().all(plain)).then(|| Step {
        phase: Phase::Migrate,
        run: words,
        directory: None,
        why: "the Procfile's `release`; look whether its programs are found".into(),
    })
}

fn unit(name: &str, command: &str) -> Option<Unit> {
    let name = UnitName::parse(&format!("{name}.service")).ok()?;
    Some(Unit { name, command: command.trim().to_owned() })
}

fn python(tree: &Tree, slug: &str) -> Option<Kind> {
    let project = tree.text("pyproject.toml").unwrap_or_default().to_ascii_lowercase();
    if !tree.has("uv.lock") {
        return None;
    }
    let uwsgi = |path: &str| path.to_ascii_lowercase().contains("uwsgi");
    let by_uwsgi = tree.files().any(|(path, _)| uwsgi(path)) || uwsgi(&project);
    if by_uwsgi {
        return Some(Kind::UvUwsgi);
    }
    let (by, steps) = install_and_build(tree)?;
    let units = unit(slug, "<path>/current/.venv/bin/python -m ...").into_iter().collect();
    Some(Kind::Systemd { by, steps, units })
}

fn go(tree: &Tree, slug: &str) -> Option<Kind> {
    let by = ["go.mod", "server/go.mod"].into_iter().find(|path| tree.has(path))?;
    let vite = tree.text("client/package.json").is_some_and(|text| text.contains("\"vite\""));
    if vite {
        return Some(Kind::GoStatic);
    }
    let run: &[&str] = match by {
        "go.mod" => &["go", "build", "-o", "bin/", "./..."],
        _ => &["go", "-C", "server", "build", "-o", "../bin/", "./..."],
    };
    let (others, mut steps) = install_and_build(tree).unwrap_or_default();
    steps.push(step(Phase::Build, "", run, "every main package becomes a program in bin/"));
    let units = unit(slug, "<path>/current/bin/...").into_iter().collect();
    let by =
        [by.to_owned(), others].into_iter().filter(|by| !by.is_empty()).collect::<Vec<_>>().join(" and ");
    Some(Kind::Systemd { by, steps, units })
}

/// Commands by every lock file and manifest of the root; where it has none, by those of the directories in it.
fn install_and_build(tree: &Tree) -> Option<(String, Vec<Step>)> {
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
    let steps: Vec<Step> = all.into_iter().flat_map(|(_, steps)| steps).collect();
    (!steps.is_empty()).then_some((by, steps))
}

/// Directories of the root that hold one of these files.
fn directories(tree: &Tree, names: &[&str]) -> Vec<String> {
    let holders = tree.files().filter_map(|(path, _)| {
        let (directory, name) = path.split_once('/')?;
        (names.contains(&name) && is_plain(directory)).then(|| directory.to_owned())
    });
    holders.collect::<BTreeSet<_>>().into_iter().take(DIRECTORIES_MAX).collect()
}

/// What the files of one directory say, each with the file that says it.
fn of_directory(tree: &Tree, directory: &str) -> Vec<(String, Vec<Step>)> {
    let at = |name: &str| if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
    let has = |name: &str| tree.has(&at(name));
    let step = |phase, run: &[&str], why: &str| step(phase, directory, run, why);
    let mut all = Vec::new();
    let mut add = |by: &str, steps: Vec<Step>| all.push((at(by), steps));
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
        let mut steps: Vec<Step> = install.iter().map(|(run, why)| step(Phase::Install, run, why)).collect();
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

fn node_steps(tree: &Tree, directory: &str, found: &Found) -> Vec<Step> {
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

fn step(phase: Phase, directory: &str, run: &[&str], why: &str) -> Step {
    Step {
        phase,
        run: run.iter().map(|word| (*word).to_owned()).collect(),
        directory: (!directory.is_empty()).then(|| directory.to_owned()),
        why: why.to_owned(),
    }
}

/// Files and directories that a release probably needs and the repository does not have: an `.env` beside each
/// `.env.example`, and what `.gitignore` names that is no product of a build.
pub fn kept(tree: &Tree) -> (Vec<String>, Vec<String>) {
    let mut files: Vec<String> = tree.files().filter_map(|(path, _)| beside_example(path)).collect();
    let mut directories = Vec::new();
    for (path, _) in tree.files().filter(|(path, _)| path.rsplit('/').next() == Some(".gitignore")) {
        let below = path.strip_suffix(".gitignore").unwrap_or_default();
        for line in tree.text(path).unwrap_or_default().lines() {
            let name = line.trim().trim_start_matches('/');
            match name.strip_suffix('/') {
                Some(name) if KEPT_DIRECTORIES.contains(&last(name)) => {
                    directories.push(format!("{below}{name}"));
                }
                // A bare name is ignored wherever it lies: where there is an example, that says where.
                None if line.trim() == last(name) && files.iter().any(|file| last(file) == name) => {}
                None if KEPT_FILES.contains(&last(name)) => files.push(format!("{below}{name}")),
                _ => {}
            }
        }
    }
    for list in [&mut files, &mut directories] {
        list.retain(|path| is_plain(path) && !tree.has(path) && !tree.has_directory(path));
        list.sort();
        list.dedup();
    }
    let outer = directories.clone();
    let within = |path: &String| {
        outer.iter().any(|outer| path.strip_prefix(outer.as_str()).is_some_and(|rest| rest.starts_with('/')))
    };
    directories.retain(|path| !within(path));
    files.retain(|path| !within(path) && !outer.contains(path));
    (files, directories)
}

/// Last names of what is ignored because it is a server's own, and not because a build makes it.
const KEPT_FILES: [&str; 8] = [
    ".env",
    ".env.local",
    ".env.production",
    "local.ts",
    "local.js",
    "local.toml",
    "local.json",
    "local.yaml",
];

/// Likewise.
const KEPT_DIRECTORIES: [&str; 6] = ["uploads", "storage", "keys", "media", "data", "state"];

fn beside_example(path: &str) -> Option<String> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let is_example = matches!(name, ".env.example" | ".env.sample" | ".env.template" | ".env.dist");
    let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
    is_example.then(|| format!("{prefix}.env"))
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Whether a path of a repository may be written into a configuration: a relative one of letters that mean nothing elsewhere.
fn is_plain(path: &str) -> bool {
    const PATH_BYTES_MAX: usize = 200;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/+@".contains(&byte);
    let named = |part: &str| !matches!(part, "" | "." | "..");
    path.len() <= PATH_BYTES_MAX && path.bytes().all(plain) && path.split('/').all(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::commit_tree::File;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let file = || File { mode: "100644".into(), content: String::new(), bytes: Some(1) };
        let texts = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Tree::new(files.iter().map(|(path, _)| ((*path).to_owned(), file()))).with_texts(texts)
    }

    fn subject(tree: &Tree) -> Subject<'_> {
        Subject { tree, slug: "app", path: "/srv/app".as_ref() }
    }

    fn shown(kind: &Kind) -> String {
        let shown = |step: &Step| match &step.directory {
            Some(directory) => format!("{directory}$ {}", step.run.join(" ")),
            None => step.run.join(" "),
        };
        let steps = |steps: &[Step]| steps.iter().map(shown).collect::<Vec<_>>().join("; ");
        match kind {
            Kind::Systemd { by, steps: commands, units } => {
                let units: Vec<String> =
                    units.iter().map(|unit| format!("{}={}", unit.name, unit.command)).collect();
                format!("systemd by {by}: {} [{}]", steps(commands), units.join(", "))
            }
            Kind::Steps { by, steps: commands } => format!("steps by {by}: {}", steps(commands)),
            Kind::Pm2(of) => format!(
                "{} by {:?}, named {}, production {}, {:?}",
                of.ecosystem,
                of.found.as_ref().and_then(|found| found.by),
                of.named,
                of.for_production,
                of.packages
            ),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn each_kind_is_known_by_its_files() {
        let built = r#"{"scripts": {"build": "tsc"}}"#;
        for (files, expected) in [
            (&[("README.md", "")][..], "Static"),
            (
                &[
                    ("production/[b.org].conf", ""),
                    ("production/[a.org].nginxconf", ""),
                    ("production/[c].conf.disabled", ""),
                ],
                r#"NginxSites(["a.org", "b.org"])"#,
            ),
            (
                &[("pnpm-lock.yaml", ""), ("ecosystem.config.cjs", "process.env.INSTANCE_NAME")],
                r#"ecosystem.config.cjs by Some("pnpm-lock.yaml"), named true, production false, []"#,
            ),
            (
                &[("package-lock.json", ""), ("package.json", built)],
                "steps by package-lock.json: npm ci; npm run build",
            ),
            (
                &[("yarn.lock", ""), ("package.json", "{}")],
                "steps by yarn.lock: yarn install --frozen-lockfile",
            ),
            (
                &[("pnpm-lock.yaml", ""), ("package.json", built)],
                "steps by pnpm-lock.yaml: pnpm install --frozen-lockfile; pnpm run build",
            ),
            (&[("package.json", "not json")], "steps by package.json: npm install --no-audit --no-fund"),
            (
                &[("Procfile", "web: node x.js\nrelease: migrate\nbad name: y\n"), ("package-lock.json", "")],
                "systemd by Procfile: npm ci; migrate [app-web.service=node x.js]",
            ),
            // Each row of what people's repositories are.
            (
                &[
                    ("Procfile", "web: gunicorn x\nrelease: python manage.py migrate\n"),
                    ("requirements.txt", ""),
                    ("manage.py", ""),
                    ("site/settings.py", "STATIC_ROOT = 1"),
                ],
                "systemd by Procfile: python3 -m venv .venv; .venv/bin/pip install -r requirements.txt; .venv/bin/python manage.py collectstatic --noinput; .venv/bin/python manage.py migrate --noinput [app-web.service=gunicorn x]",
            ),
            (
                &[("hugo.toml", ""), ("content/a.md", ""), (".gitmodules", "")],
                "steps by hugo.toml: hugo --minify",
            ),
            (
                &[("config.toml", ""), ("content/a.md", ""), ("layouts/a.html", "")],
                "steps by config.toml: hugo --minify",
            ),
            (
                &[("pyproject.toml", "[project]\nname = \"a\"")],
                "steps by pyproject.toml: python3 -m venv .venv; .venv/bin/pip install .",
            ),
            (&[("pyproject.toml", "[tool.black]"), ("a.py", "")], "Static"),
            (&[("setup.py", "")], "steps by setup.py: python3 -m venv .venv; .venv/bin/pip install ."),
            (
                &[
                    ("client/package.json", built),
                    ("client/package-lock.json", ""),
                    ("server/package.json", "{}"),
                    ("server/package-lock.json", ""),
                ],
                "steps by client/package-lock.json and server/package-lock.json: client$ npm ci; client$ npm run build; server$ npm ci",
            ),
            (&[("main.go", "")], "Static"),
            (
                &[("composer.json", ""), ("artisan", ""), ("package.json", built), ("package-lock.json", "")],
                "steps by composer.json and package-lock.json: composer install --no-dev --no-interaction --optimize-autoloader; php artisan migrate --force; npm ci; npm run build",
            ),
            (
                &[("Gemfile", ""), ("config/application.rb", ""), ("db/migrate/1_a.rb", "")],
                "steps by Gemfile: bundle install --jobs=2; bundle exec rails assets:precompile; bundle exec rails db:migrate",
            ),
            (
                &[
                    ("ecosystem.config.js", "env_production: {"),
                    ("bun.lock", ""),
                    ("package-lock.json", ""),
                    ("package.json", ""),
                ],
                r#"ecosystem.config.js by Some("bun.lock"), named false, production true, []"#,
            ),
            (
                &[
                    ("process.json", "{\"script\": 1}"),
                    ("client/package.json", ""),
                    ("server/package.json", ""),
                ],
                r#"process.json by None, named false, production false, ["client", "server"]"#,
            ),
            (
                &[("yarn.lock", ""), (".yarnrc.yml", ""), ("package.json", "{}")],
                "steps by yarn.lock: yarn install --immutable",
            ),
            (
                &[
                    ("pnpm-lock.yaml", ""),
                    ("pnpm-workspace.yaml", ""),
                    ("package.json", "{}"),
                    ("apps/a/package.json", built),
                ],
                "steps by pnpm-lock.yaml: pnpm install --frozen-lockfile; pnpm --recursive run --if-present build",
            ),
            (
                &[
                    ("package-lock.json", ""),
                    ("package.json", "{\"workspaces\": [\"apps/*\"]}"),
                    ("apps/a/package.json", built),
                ],
                "steps by package-lock.json: npm ci; apps/a$ npm run build",
            ),
            (
                &[("uv.lock", ""), ("manage.py", ""), ("package.json", built)],
                "systemd by uv.lock and package.json: uv sync --frozen; .venv/bin/python manage.py migrate --noinput; npm install --no-audit --no-fund; npm run build [app.service=<path>/current/.venv/bin/python -m ...]",
            ),
            (&[("uv.lock", ""), ("uwsgi.ini", "")], "UvUwsgi"),
            (&[("uv.lock", ""), ("pyproject.toml", "dependencies = [\"uWSGI\"]")], "UvUwsgi"),
            (
                &[("uv.lock", ""), ("pyproject.toml", "")],
                "systemd by uv.lock: uv sync --frozen [app.service=<path>/current/.venv/bin/python -m ...]",
            ),
            (
                &[("server/go.mod", ""), ("client/package.json", r#"{"devDependencies": {"vite": "5"}}"#)],
                "GoStatic",
            ),
            (
                &[("go.mod", "")],
                "systemd by go.mod: go build -o bin/ ./... [app.service=<path>/current/bin/...]",
            ),
            (&[("Cargo.toml", "")], "steps by Cargo.toml: cargo build --release --locked"),
            (&[("Gemfile", "")], "steps by Gemfile: bundle install --jobs=2"),
            (
                &[("composer.json", "")],
                "steps by composer.json: composer install --no-dev --no-interaction --optimize-autoloader",
            ),
            (
                &[("requirements.txt", "")],
                "steps by requirements.txt: python3 -m venv .venv; .venv/bin/pip install -r requirements.txt",
            ),
        ] {
            assert_eq!(shown(&of(&subject(&tree(files)), None)), expected, "{files:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (files, expected) in [
            (&[("index.html", "")][..], &[][..]),
            (&[("main.go", ""), ("cmd/x.go", ""), ("a/b/c.go", "")], &["cmd/x.go", "main.go"]),
            (&[("Dockerfile", ""), ("package.json", "{}"), ("a.py", "")], &["Dockerfile"]),
            (&[("pyproject.toml", "[tool.black]"), ("a\n.py", "")], &["pyproject.toml"]),
        ] {
            let tree = tree(files);
            assert_eq!(unknown(&tree, &of(&subject(&tree), None)), expected, "{files:?}");
        }
        let modules = "[submodule \"a\"]\n\tpath = a\n\turl = https://github.com/a/b\n[submodule]\nurl=git@gitlab.org:a/b.git\nurl = ../c\nurl = https://e\u{1b}vil/x\n";
        let hosts = submodule_hosts(&tree(&[(".gitmodules", modules)]));
        assert_eq!(hosts.iter().collect::<Vec<_>>(), ["github.com", "gitlab.org"]);
    }

    #[test]
    fn what_is_kept_is_found_by_examples_and_by_what_is_ignored() {
        let tree = tree(&[
            ("server/.env.example", ""),
            (".env.sample", ""),
            (".env", "tracked"),
            ("evil\n[x]/.env.example", ""),
            (".gitignore", "node_modules/\n/uploads/\nuploads/keys/\n../keys/\n!media/\n*.log\ndata/\n"),
            ("server/.gitignore", "config/local.ts\nkeys/\n.env\n"),
            ("data/tracked", ""),
            ("client/.gitignore", "/.env\n"),
        ]);
        let (files, directories) = kept(&tree);
        assert_eq!(files, ["client/.env", "server/.env", "server/config/local.ts"]);
        assert_eq!(directories, ["server/keys", "uploads"]);
    }
}
