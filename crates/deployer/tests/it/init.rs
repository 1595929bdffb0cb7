//! `init`: what it writes is a configuration, and where its recipe is part of this program, it deploys.

use crate::support::configuration::text;
use crate::support::process::describe;
use crate::support::repository::Repository;
use crate::support::world::World;
use std::path::PathBuf;

/// One repository per kind: what it is called, its files, and what must be written of it.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const CASES: [Case; 24] = [
    ("acme/plain", &[("README.md", "hello")], "recipe = \"steps\""),
    (
        "acme/npm",
        &[
            ("package-lock.json", "{}"),
            ("package.json", "{\"scripts\": {\"build\": \"x\"}}"),
            (".env.example", "A=\n"),
        ],
        "run = [\"npm\", \"run\", \"build\"]",
    ),
    ("acme/yarn", &[("yarn.lock", ""), ("package.json", "{}")], "\"--frozen-lockfile\""),
    ("acme/pnpm", &[("pnpm-lock.yaml", ""), ("package.json", "{}")], "run = [\"pnpm\", \"install\""),
    (
        "acme/workspace",
        &[("pnpm-lock.yaml", ""), ("ecosystem.config.cjs", "process.env.INSTANCE_NAME")],
        "instance_name = \"workspace\"",
    ),
    ("acme/uwsgi", &[("uv.lock", ""), ("pyproject.toml", "uwsgi")], "uwsgi_config_path = "),
    ("acme/uv", &[("uv.lock", ""), ("pyproject.toml", "")], "units = [\"uv.service\"]"),
    ("acme/go", &[("go.mod", "module x")], "run = [\"go\", \"build\""),
    ("acme/jury", &[("server/go.mod", ""), ("client/package.json", "\"vite\"")], "recipe = \"go-static\""),
    (
        "acme/sites",
        &[("production/[a.org].nginxconf", ""), ("production/[b].conf", "")],
        "select = [\"a.org\", \"b\"]",
    ),
    (
        "acme/nginx",
        &[("production/[a.org].nginxconf", ""), ("production/catch-all.nginxconf", "")],
        "unbracketed = [\"catch-all.nginxconf\"]",
    ),
    (
        "acme/heroku",
        &[("Procfile", "web: ./x\nworker: y \u{1b}[2J\n")],
        "units = [\"heroku-web.service\", \"heroku-worker.service\"]",
    ),
    ("acme/rust", &[("Cargo.toml", "")], "\"--locked\""),
    ("acme/ruby", &[("Gemfile", "")], "\"bundle\""),
    ("acme/php", &[("composer.json", "{}")], "\"composer\""),
    ("acme/pip", &[("requirements.txt", "")], "\".venv/bin/pip\""),
    (
        "acme/bun",
        &[
            ("bun.lock", ""),
            ("package-lock.json", "{}"),
            ("package.json", "{}"),
            ("ecosystem.config.js", "env_production: {}"),
        ],
        "recipe = \"pm2\"",
    ),
    (
        "acme/pair",
        &[("process.json", "\"script\""), ("client/package.json", "{}"), ("server/package.json", "{}")],
        "packages = [\"client\", \"server\"]",
    ),
    (
        "acme/two",
        &[("client/package-lock.json", "{}"), ("client/package.json", "{}"), ("server/requirements.txt", "")],
        "run = [\"npm\", \"ci\"], directory = \"client\"",
    ),
    ("acme/django", &[("requirements.txt", ""), ("manage.py", "")], "\"manage.py\", \"migrate\""),
    ("acme/hugo", &[("hugo.toml", ""), ("content/a.md", "")], "run = [\"hugo\", \"--minify\"]"),
    (
        "acme/sources",
        &[("main.go", ""), ("Dockerfile", "")],
        "# Seen, and not understood: Dockerfile, main.go.",
    ),
    ("acme/lfs", &[("index.html", ""), (".gitattributes", "*.png filter=lfs\n")], "Git LFS"),
    ("ducompsoc/durhack-nginx", &[("production/[durhack.com].nginxconf", "")], "select = [\"durhack.com\"]"),
];

/// DurHack's own, that need nothing of their files.
const PRESETS: [&str; 5] = [
    "ducompsoc/durhack",
    "ducompsoc/durhack-guilds",
    "ducompsoc/durhack-live",
    "ducompsoc/durhack-jury",
    "ducompsoc/durhack-deployer",
];

/// What `init` of a repository on this machine adds to the configuration.
#[track_caller]
fn init(world: &World, repository: &Repository, slug: &str) -> String {
    let directory = repository.work_tree().to_string_lossy().into_owned();
    // As a clone of it has it.
    let url = format!("https://github.com/{}.git", repository.name);
    repository.git(&["remote", "add", "origin", &url]);
    let path = world.path_of(slug).to_string_lossy().into_owned();
    let file = layer(world).to_string_lossy().into_owned();
    let written = world.cli(&["init", &directory, "--slug", slug, "--path", &path, "--write", &file]);
    assert!(written.status.success(), "{}", describe(&written));
    fs_err::read_to_string(layer(world)).expect("it was written")
}

fn layer(world: &World) -> PathBuf {
    world.root().join("config/local.toml")
}

/// Whether the configuration is right, and has the deployment in it.
#[track_caller]
fn checks(world: &World, slug: &str, written: &str) {
    let checked = world.cli(&["config", "check"]);
    assert!(checked.status.success(), "{}\n{written}", describe(&checked));
    let shown = world.cli(&["config", "show"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(&format!("deployments.{slug}.")), "{slug} is not in effect:\n{shown}");
}

#[test]
fn what_is_written_of_each_kind_is_a_configuration() {
    World::run(|world| {
        world.configure(&[]);
        for (name, files, expected) in CASES {
            let repository = world.repository(name);
            repository.commit(files, "first");
            let slug = name.split_once('/').expect("owner/name").1;
            let written = init(world, &repository, slug);
            assert!(written.contains(expected), "{expected} in\n{written}");
            assert!(
                !written.contains('\u{1b}') && written.contains("TODO")
                    || slug.contains("nginx")
                    || slug == "sites",
                "{written}"
            );
            checks(world, slug, &written);
            fs_err::remove_file(layer(world)).expect("it is ours");
        }
        for name in PRESETS {
            let repository = world.repository(name);
            repository.commit(&[("README.md", "")], "first");
            let written = init(world, &repository, "known");
            assert!(!written.contains("\nrecipe"), "{written}");
            if name != "ducompsoc/durhack-deployer" {
                assert!(
                    written.contains("\n#   server/.env\n") && written.contains("localhost:3"),
                    "{written}"
                );
            }
            checks(world, "known", &written);
            fs_err::remove_file(layer(world)).expect("it is ours");
        }
    });
}

#[test]
fn what_is_written_deploys() {
    World::run(|world| {
        world.configure(&[]);
        let repository = world.repository("acme/site");
        repository
            .commit(&[("index.html", "hello"), (".env.example", "A=1\n"), (".gitignore", ".env\n")], "first");
        let url = repository.clone_url();
        let printed = world.cli(&["init", &url, "--path", &world.path_of("site").to_string_lossy()]);
        let printed = String::from_utf8(printed.stdout).expect("it is UTF-8");
        assert!(printed.contains(&format!("clone_url = {}", text(&url))), "{printed}");
        assert!(printed.contains("shared_files = [\".env\"]"), "{printed}");
        fs_err::write(layer(world), &printed).expect("the world is writable");
        // What `init` has said must be there.
        let shared = world.path_of("site").join("shared");
        fs_err::create_dir_all(&shared).expect("the world is writable");
        fs_err::write(shared.join(".env"), "A=2\n").expect("the world is writable");
        world.start();
        let second = repository.commit(&[("index.html", "two")], "second");
        world.deploy("site", &repository, &second);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("two"));
    });
}

#[test]
fn submodules_are_asked_for_with_their_hosts() {
    World::run(|world| {
        world.configure(&[]);
        let theme = world.repository("acme/theme");
        let commit = theme.commit(&[("theme.css", "")], "first");
        let repository = world.repository("acme/hugo");
        let modules =
            "[submodule \"theme\"]\n\tpath = themes/theme\n\turl = https://gitlab.org/acme/theme.git\n";
        fs_err::write(repository.work_tree().join(".gitmodules"), modules).expect("the world is writable");
        fs_err::write(repository.work_tree().join("config.toml"), "theme = \"theme\"")
            .expect("the world is writable");
        fs_err::create_dir(repository.work_tree().join("content")).expect("the world is writable");
        fs_err::write(repository.work_tree().join("content/a.md"), "a").expect("the world is writable");
        repository.git(&["add", "--all"]);
        repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},themes/theme")]);
        repository.commit_index("first");
        let written = init(world, &repository, "hugo");
        for expected in ["submodules = true", "submodule_hosts = [\"gitlab.org\"]", "\"hugo\", \"--minify\""]
        {
            assert!(written.contains(expected), "{expected} in\n{written}");
        }
        let checked = world.cli(&["config", "check"]);
        assert!(checked.status.success(), "{}\n{written}", describe(&checked));
    });
}

#[test]
fn a_deployment_that_is_there_stays() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        repository.commit(&[("index.html", "hello")], "first");
        world.configure(&[world.deployment("site", &repository)]);
        let file = world.root().join("config/local.toml").to_string_lossy().into_owned();
        let directory = repository.work_tree().to_string_lossy().into_owned();
        let again = world.cli(&["init", &directory, "--slug", "site", "--write", &file]);
        assert!(!again.status.success() && !layer(world).exists(), "{}", describe(&again));
        assert!(String::from_utf8_lossy(&again.stderr).contains("--slug"), "{}", describe(&again));

        fs_err::write(layer(world), "# mine\n[limits]\n# no line end").expect("the world is writable");
        let other = world.cli(&["init", &directory, "--slug", "other", "--write", &file]);
        assert!(other.status.success(), "{}", describe(&other));
        let written = fs_err::read_to_string(layer(world)).expect("it is there");
        assert!(written.starts_with("# mine\n[limits]\n# no line end\n\n[deployments.other]\n"), "{written}");

        let nothing = world.cli(&["init", &world.root().join("home").to_string_lossy()]);
        assert!(
            String::from_utf8_lossy(&nothing.stderr).contains("no git repository"),
            "{}",
            describe(&nothing)
        );
        let branch = world.cli(&["init", &directory, "--branch", "elsewhere"]);
        assert_eq!(branch.status.code(), Some(3), "{}", describe(&branch));
        // Before anything is configured.
        fs_err::remove_dir_all(world.root().join("config")).expect("it is ours");
        let first = world.cli(&["init", &directory]);
        assert!(first.status.success(), "{}", describe(&first));
    });
}
