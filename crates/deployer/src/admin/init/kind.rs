//! What kind of package a repository holds, by the names of its files and what a few of them say. Pure.
//!
//! A guess that a person reads and corrects: so each says by what it was made, and where two are possible, the one that needs
//! less of a server is taken.

use crate::config::preset::Preset;
use crate::git::commit_tree::Tree;
use crate::plan::proposal::{Evidence, Proposal, Subject, is_plain, last};
use crate::plan::recipes;
use std::collections::BTreeSet;

/// Names of what nobody here understands that are quoted, at most.
const UNKNOWN_MAX: usize = 8;

#[derive(Debug, Clone)]
pub enum RepositoryKind {
    /// One of DurHack's own repositories: everything is known of it.
    Preset(&'static Preset),
    /// What a recipe proposes.
    Proposed(Proposal),
    /// Files that are served as they are.
    Static,
}

/// What kind of package this is: what the recipe proposes for which most speaks.
pub fn of(subject: &Subject<'_>, preset: Option<&'static Preset>) -> RepositoryKind {
    if let Some(preset) = preset {
        return RepositoryKind::Preset(preset);
    }
    // What tells of a build that nobody understands would be live unbuilt.
    let is_understood = unknown(subject.tree, &RepositoryKind::Static).is_empty();
    let proposals = recipes::ALL.iter().filter_map(|planner| planner.propose(subject));
    let proposals = proposals.filter(|found| is_understood || found.evidence > Evidence::Content);
    // Of equal ones the last would be taken.
    let strongest = proposals.collect::<Vec<_>>().into_iter().rev().max_by_key(|found| found.evidence);
    strongest.map_or(RepositoryKind::Static, RepositoryKind::Proposed)
}

/// What is there that tells of a build, or of a program, and that nothing here understands: names of files.
pub fn unknown(tree: &Tree, kind: &RepositoryKind) -> Vec<String> {
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
    let is_whole = match kind {
        RepositoryKind::Preset(_) => true,
        RepositoryKind::Proposed(proposal) => proposal.is_whole,
        RepositoryKind::Static => false,
    };
    if is_whole {
        return Vec::new();
    }
    let is_understood = !matches!(kind, RepositoryKind::Static);
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

const KEPT_DIRECTORIES: [&str; 6] = ["uploads", "storage", "keys", "media", "data", "state"];

fn beside_example(path: &str) -> Option<String> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let is_example = matches!(name, ".env.example" | ".env.sample" | ".env.template" | ".env.dist");
    let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
    is_example.then(|| format!("{prefix}.env"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::commit_tree::File;
    use crate::plan::proposal::{DetectedStep, Line};

    fn tree(files: &[(&str, &str)]) -> Tree {
        let file = || File { mode: "100644".into(), content: String::new(), bytes: Some(1) };
        let texts = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Tree::new(files.iter().map(|(path, _)| ((*path).to_owned(), file()))).with_texts(texts)
    }

    fn subject(tree: &Tree) -> Subject<'_> {
        Subject { tree, slug: "app", path: "/srv/app".as_ref(), user: "app-app" }
    }

    /// The recipe, by what it was found, its commands, and its units.
    fn shown(kind: &RepositoryKind) -> String {
        let proposal = match kind {
            RepositoryKind::Proposed(proposal) => proposal,
            other => return format!("{other:?}"),
        };
        let shown = |step: &DetectedStep| match &step.directory {
            Some(directory) => format!("{directory}$ {}", step.run.join(" ")),
            None => step.run.join(" "),
        };
        let by = proposal.why[0].strip_prefix("By ").and_then(|why| why.split_once(": these commands"));
        let mut said =
            proposal.recipe.to_owned() + &by.map(|(by, _)| format!(" by {by}:")).unwrap_or_default();
        for line in &proposal.lines {
            match line {
                Line::Steps(steps) => {
                    said += &format!(" {}", steps.iter().map(shown).collect::<Vec<_>>().join("; "));
                }
                Line::Key(name, value) => said += &format!(" {name}={value}"),
                Line::Comment(line) => {
                    said += &line.strip_prefix("  ").map(|unit| format!(" [{unit}]")).unwrap_or_default();
                }
            }
        }
        said
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
                r#"nginx-sites sites=[{ rule = "include", select = ["a.org", "b.org"] }]"#,
            ),
            (
                &[("pnpm-lock.yaml", ""), ("ecosystem.config.cjs", "process.env.INSTANCE_NAME")],
                r#"pnpm-pm2 instance_name="app""#,
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
                r#"systemd by Procfile: [app-web.service: node x.js] units=["app-web.service"] npm ci; migrate"#,
            ),
            // Each row of what people's repositories are.
            (
                &[
                    ("Procfile", "web: gunicorn x\nrelease: python manage.py migrate\n"),
                    ("requirements.txt", ""),
                    ("manage.py", ""),
                    ("site/settings.py", "STATIC_ROOT = 1"),
                ],
                r#"systemd by Procfile: [app-web.service: gunicorn x] units=["app-web.service"] python3 -m venv .venv; .venv/bin/pip install -r requirements.txt; .venv/bin/python manage.py collectstatic --noinput; .venv/bin/python manage.py migrate --noinput"#,
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
                r#"pm2 environment={ NODE_ENV = "production" }"#,
            ),
            (
                &[
                    ("process.json", "{\"script\": 1}"),
                    ("client/package.json", ""),
                    ("server/package.json", ""),
                ],
                r#"pm2 packages=["client", "server"]"#,
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
                r#"systemd by uv.lock and package.json: [app.service: <path>/current/.venv/bin/python -m ...] units=["app.service"] uv sync --frozen; .venv/bin/python manage.py migrate --noinput; npm install --no-audit --no-fund; npm run build"#,
            ),
            (
                &[("uv.lock", ""), ("uwsgi.ini", "")],
                r#"uv-uwsgi uwsgi_config_path="/etc/uwsgi/vassals/app.ini""#,
            ),
            (
                &[("uv.lock", ""), ("pyproject.toml", "dependencies = [\"uWSGI\"]")],
                r#"uv-uwsgi uwsgi_config_path="/etc/uwsgi/vassals/app.ini""#,
            ),
            (
                &[("uv.lock", ""), ("pyproject.toml", "")],
                r#"systemd by uv.lock: [app.service: <path>/current/.venv/bin/python -m ...] units=["app.service"] uv sync --frozen"#,
            ),
            (
                &[("server/go.mod", ""), ("client/package.json", r#"{"devDependencies": {"vite": "5"}}"#)],
                r#"go-static # units=["app.service"]"#,
            ),
            (
                &[("go.mod", "")],
                r#"systemd by go.mod: [app.service: <path>/current/bin/...] units=["app.service"] go build -o bin/ ./..."#,
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
