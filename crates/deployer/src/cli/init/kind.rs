//! What kind of package a repository holds, by the names of its files and what a few of them say. Pure.
//!
//! A guess that a person reads and corrects: so each says by what it was made, and where two are possible, the one that needs
//! less of a server is taken.

use crate::config::Phase;
use crate::config::resolve::preset::Preset;
use crate::deploy::tree::Tree;
use crate::names::UnitName;

/// Processes of a Procfile, at most: more than any package for one server has.
const PROCESSES_MAX: usize = 20;

/// Sites of a repository, at most.
const SITES_MAX: usize = 200;

/// See the module.
#[derive(Debug, Clone)]
pub enum Kind {
    /// One of DurHack's own repositories: everything is known of it.
    Preset(&'static Preset),
    /// nginx sites of these names.
    NginxSites(Vec<String>),
    /// A pnpm workspace with an ecosystem file for PM2; whether that asks for an instance's name.
    PnpmPm2 { ecosystem: String, named: bool },
    /// A Python project of uv's that uWSGI serves.
    UvUwsgi,
    /// A client of files and a Go server.
    GoStatic,
    /// Commands and units.
    Systemd { by: String, steps: Vec<Step>, units: Vec<Unit> },
    /// Commands.
    Steps { by: String, steps: Vec<Step> },
    /// Files that are served as they are.
    Static,
}

/// A command that makes the release.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its phase.
    pub phase: Phase,
    /// Program and arguments; ours, never the repository's.
    pub run: Vec<&'static str>,
    /// Why.
    pub why: &'static str,
}

/// A process that somebody has to keep running.
#[derive(Debug, Clone)]
pub struct Unit {
    /// What the unit could be called.
    pub name: UnitName,
    /// What it runs, as the repository says: untrusted text, for a comment.
    pub command: String,
}

/// What kind of package this is; `slug` names its units.
pub fn of(tree: &Tree, preset: Option<&'static Preset>, slug: &str) -> Kind {
    preset
        .map(Kind::Preset)
        .or_else(|| nginx_sites(tree))
        .or_else(|| pnpm_pm2(tree))
        .or_else(|| procfile(tree, slug))
        .or_else(|| python(tree, slug))
        .or_else(|| go(tree, slug))
        .or_else(|| install_and_build(tree).map(|(by, steps)| Kind::Steps { by, steps }))
        .unwrap_or(Kind::Static)
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

fn nginx_sites(tree: &Tree) -> Option<Kind> {
    let names = site_names(tree);
    (!names.is_empty()).then_some(Kind::NginxSites(names))
}

fn pnpm_pm2(tree: &Tree) -> Option<Kind> {
    let names = ["ecosystem.config.js", "ecosystem.config.cjs", "ecosystem.config.mjs"];
    let ecosystem = names.into_iter().find(|name| tree.has(name))?;
    let named = tree.text(ecosystem).is_some_and(|text| text.contains("INSTANCE_NAME"));
    tree.has("pnpm-lock.yaml").then(|| Kind::PnpmPm2 { ecosystem: ecosystem.to_owned(), named })
}

fn procfile(tree: &Tree, slug: &str) -> Option<Kind> {
    let processes = tree.text("Procfile")?.lines().filter_map(|line| line.split_once(':'));
    let units = processes.filter_map(|(process, command)| {
        // What runs once, before a release, is a step and no unit.
        let lasting = !matches!(process.trim(), "release" | "preflight");
        lasting.then(|| unit(&format!("{slug}-{}", process.trim()), command)).flatten()
    });
    let units: Vec<Unit> = units.take(PROCESSES_MAX).collect();
    let (_, steps) = install_and_build(tree).unwrap_or_default();
    (!units.is_empty()).then(|| Kind::Systemd { by: "Procfile".into(), steps, units })
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
    let sync = Step {
        phase: Phase::Install,
        run: vec!["uv", "sync", "--frozen"],
        why: "makes .venv of uv.lock, without changing either",
    };
    let units = unit(slug, "<path>/current/.venv/bin/python -m ...").into_iter().collect();
    Some(Kind::Systemd { by: "uv.lock".into(), steps: vec![sync], units })
}

fn go(tree: &Tree, slug: &str) -> Option<Kind> {
    let by = ["go.mod", "server/go.mod"].into_iter().find(|path| tree.has(path))?;
    let vite = tree.text("client/package.json").is_some_and(|text| text.contains("\"vite\""));
    if vite {
        return Some(Kind::GoStatic);
    }
    let run = match by {
        "go.mod" => vec!["go", "build", "-o", "bin/", "./..."],
        _ => vec!["go", "-C", "server", "build", "-o", "../bin/", "./..."],
    };
    let build = Step { phase: Phase::Build, run, why: "every main package becomes a program in bin/" };
    let units = unit(slug, "<path>/current/bin/...").into_iter().collect();
    Some(Kind::Systemd { by: by.into(), steps: vec![build], units })
}

/// Commands by a lock file or a manifest, the most telling one first.
fn install_and_build(tree: &Tree) -> Option<(String, Vec<Step>)> {
    let install = |run: &[&'static str], why| Step { phase: Phase::Install, run: run.to_vec(), why };
    let build = |run: &[&'static str], why| Step { phase: Phase::Build, run: run.to_vec(), why };
    let found = |by: &str, steps: Vec<Step>| Some((by.to_owned(), steps));
    let exactly = "installs exactly what the lock file says";
    let node = |by: &str, first: Step, run: &[&'static str]| {
        let builds = tree.text("package.json").is_some_and(|text| has_script(text, "build"));
        found(by, [first].into_iter().chain(builds.then(|| build(run, "the package's own script"))).collect())
    };
    if tree.has("pnpm-lock.yaml") {
        return node(
            "pnpm-lock.yaml",
            install(&["pnpm", "install", "--frozen-lockfile"], exactly),
            &["pnpm", "run", "build"],
        );
    }
    if tree.has("yarn.lock") {
        return node(
            "yarn.lock",
            install(&["yarn", "install", "--frozen-lockfile"], exactly),
            &["yarn", "run", "build"],
        );
    }
    if tree.has("package-lock.json") || tree.has("npm-shrinkwrap.json") {
        return node("package-lock.json", install(&["npm", "ci"], exactly), &["npm", "run", "build"]);
    }
    if tree.has("package.json") {
        let first = install(
            &["npm", "install", "--no-audit", "--no-fund"],
            "without a lock file: commit one, and write `npm ci`",
        );
        return node("package.json", first, &["npm", "run", "build"]);
    }
    if tree.has("Cargo.toml") {
        return found(
            "Cargo.toml",
            vec![build(&["cargo", "build", "--release", "--locked"], "the program lies in target/release/")],
        );
    }
    if tree.has("Gemfile") {
        return found("Gemfile", vec![install(&["bundle", "install", "--jobs=2"], "what Gemfile.lock says")]);
    }
    if tree.has("composer.json") {
        let run = ["composer", "install", "--no-dev", "--no-interaction", "--optimize-autoloader"];
        return found("composer.json", vec![install(&run, "what composer.lock says")]);
    }
    if tree.has("requirements.txt") {
        return found(
            "requirements.txt",
            vec![
                install(&["python3", "-m", "venv", ".venv"], "an environment of the release's own"),
                install(&[".venv/bin/pip", "install", "-r", "requirements.txt"], "its packages"),
            ],
        );
    }
    None
}

fn has_script(package: &str, script: &str) -> bool {
    let package: serde_json::Value = serde_json::from_str(package).unwrap_or_default();
    package["scripts"][script].is_string()
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
    use crate::deploy::tree::File;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let file = || File { mode: "100644".into(), content: String::new(), bytes: Some(1) };
        let texts = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Tree::new(files.iter().map(|(path, _)| ((*path).to_owned(), file()))).with_texts(texts)
    }

    fn shown(kind: &Kind) -> String {
        let steps =
            |steps: &[Step]| steps.iter().map(|step| step.run.join(" ")).collect::<Vec<_>>().join("; ");
        match kind {
            Kind::Systemd { by, steps: commands, units } => {
                let units: Vec<String> =
                    units.iter().map(|unit| format!("{}={}", unit.name, unit.command)).collect();
                format!("systemd by {by}: {} [{}]", steps(commands), units.join(", "))
            }
            Kind::Steps { by, steps: commands } => format!("steps by {by}: {}", steps(commands)),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn each_kind_is_known_by_its_files() {
        let built = r#"{"scripts": {"build": "tsc"}}"#;
        for (files, expected) in [
            (&[("index.html", "")][..], "Static"),
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
                r#"PnpmPm2 { ecosystem: "ecosystem.config.cjs", named: true }"#,
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
                "systemd by Procfile: npm ci [app-web.service=node x.js]",
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
            assert_eq!(shown(&of(&tree(files), None, "app")), expected, "{files:?}");
        }
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
