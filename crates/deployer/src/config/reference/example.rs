//! config/example.toml: every key with its default and meaning.
//!
//! A key that cannot be written with its default (it has none, or another key excludes it) is commented out with
//! `#` and no space, in front of an example. One deployment for each recipe, so that each key stands where it may.

use crate::config::keys::{
    DEPLOYER, Default, GO_STATIC, Key, KeyKind, NGINX_SITES, PM2, PNPM_PM2, ROOT, STEPS, SYSTEMD, Section,
    UV_UWSGI,
};
use std::fmt::Write;

const INTRODUCTION: &str = "\
# Every key, with its default and meaning. Generated from crates/deployer/src/config/keys.rs.
#
# Copy what you need into default.toml; what you leave out has the default shown. `#key = value` shows an example
# of a key that has no default to show. docs/reference/configuration.md says how files are laid over each other.
";

/// One deployment of the example.
struct ExampleDeployment {
    slug: &'static str,
    recipe: &'static str,
    meaning: &'static str,
    repository: &'static str,
    path: &'static str,
}

const DEPLOYMENTS: [ExampleDeployment; 8] = [
    ExampleDeployment {
        slug: "website",
        recipe: STEPS,
        meaning: "A deployment of one's own, with all keys that every deployment may have.",
        repository: "example/website",
        path: "/var/www/website",
    },
    ExampleDeployment {
        slug: "api",
        recipe: SYSTEMD,
        meaning: "A program that systemd units run.",
        repository: "example/api",
        path: "/srv/api",
    },
    ExampleDeployment {
        slug: "nginx",
        recipe: NGINX_SITES,
        meaning: "nginx sites out of a repository, with certificates.",
        repository: "ducompsoc/durhack-nginx",
        path: "/srv/durhack-nginx",
    },
    ExampleDeployment {
        slug: "shop",
        recipe: PM2,
        meaning: "Node packages under PM2, installed by npm, yarn, bun or pnpm.",
        repository: "example/shop",
        path: "/var/www/shop",
    },
    ExampleDeployment {
        slug: "durhack-api",
        recipe: PNPM_PM2,
        meaning: "A pnpm workspace under PM2.",
        repository: "ducompsoc/durhack",
        path: "/var/www/api.durhack.com",
    },
    ExampleDeployment {
        slug: "tickets",
        recipe: UV_UWSGI,
        meaning: "A Python project of uv's, run by a vassal of uWSGI's emperor.",
        repository: "example/tickets",
        path: "/srv/tickets",
    },
    ExampleDeployment {
        slug: "jury",
        recipe: GO_STATIC,
        meaning: "A client that is built to files, a Go server, or both.",
        repository: "ducompsoc/durhack-jury",
        path: "/var/www/jury.durhack.com",
    },
    ExampleDeployment {
        slug: "deployer",
        recipe: DEPLOYER,
        meaning: "The deployer itself.",
        repository: "ducompsoc/durhack-deployer",
        path: "/var/www/deploy.durhack.com",
    },
];

/// The text of config/example.toml.
pub fn example_toml() -> String {
    let mut page = INTRODUCTION.to_owned();
    keys(&mut page, ROOT.keys.iter());
    for key in ROOT.keys {
        match key.kind {
            KeyKind::Table(section) => table(&mut page, &format!("[{}]", key.name), section),
            // Commented out: a table that is written must hold a secret.
            KeyKind::Named(_, section) if key.name == "repositories" => {
                heading(&mut page, section.meaning, "#[repositories.\"example/website\"]");
                section.keys.iter().for_each(|key| commented(&mut page, key));
            }
            KeyKind::Named(_, section) => {
                DEPLOYMENTS.iter().for_each(|of| deployment(&mut page, of, section))
            }
            _ => {}
        }
    }
    page
}

fn deployment(page: &mut String, deployment: &ExampleDeployment, section: &Section) {
    let ExampleDeployment { slug, recipe, meaning, repository, path } = deployment;
    heading(page, meaning, &format!("[deployments.{slug}]"));
    let is_own =
        |key: &&Key| if *recipe == STEPS { key.belongs_to(STEPS) } else { key.recipes.contains(recipe) };
    let mut required =
        vec![("repository", *repository), ("branch", "main"), ("path", *path), ("recipe", *recipe)];
    if *recipe == UV_UWSGI {
        // Another recipe has the key too, and does not require it.
        required.push(("uwsgi_config_path", "/etc/uwsgi-emperor/vassals/tickets.ini"));
    }
    let own: Vec<&Key> = section.keys.iter().filter(is_own).collect();
    for (name, value) in &required {
        if let Some(key) = section.key(name) {
            comment(page, key.meaning);
            line(page, &format!("{name} = {value:?}"));
        }
    }
    keys(page, own.iter().copied().filter(|key| required.iter().all(|(name, _)| *name != key.name)));
    for key in own {
        match key.kind {
            KeyKind::Table(below) => table(page, &format!("[deployments.{slug}.{}]", key.name), below),
            KeyKind::Tables(below) => list(page, &format!("[[deployments.{slug}.{}]]", key.name), below),
            _ => {}
        }
    }
}

fn table(page: &mut String, header: &str, section: &Section) {
    heading(page, section.meaning, header);
    keys(page, section.keys.iter());
}

/// One element of a list of tables: as short as it may be, and the other keys commented out.
fn list(page: &mut String, header: &str, section: &Section) {
    // A check and a command need one key of several; these are the ones shown as written.
    const SHOWN: [&str; 2] = ["http", "run"];
    heading(page, section.meaning, header);
    for key in section.keys {
        match key.default {
            Default::Required => example(page, key),
            _ if SHOWN.contains(&key.name) => example(page, key),
            Default::Value(_) => written(page, key),
            Default::Derived(_) => commented(page, key),
        }
    }
}

fn keys<'a>(page: &mut String, keys: impl Iterator<Item = &'a Key>) {
    for key in keys.filter(|key| !key.example.is_empty()) {
        match key.default {
            Default::Required => example(page, key),
            Default::Value(_) => written(page, key),
            Default::Derived(_) => commented(page, key),
        }
    }
}

fn written(page: &mut String, key: &Key) {
    if let Default::Value(value) = key.default {
        comment(page, key.meaning);
        line(page, &format!("{} = {value}", key.name));
    }
}

fn example(page: &mut String, key: &Key) {
    comment(page, key.meaning);
    line(page, &format!("{} = {}", key.name, key.example));
}

fn commented(page: &mut String, key: &Key) {
    match key.default {
        Default::Derived(words) => comment(page, &format!("{} Default: {words}.", key.meaning)),
        _ => comment(page, key.meaning),
    }
    line(page, &format!("#{} = {}", key.name, key.example));
}

fn heading(page: &mut String, meaning: &str, header: &str) {
    page.push('\n');
    comment(page, meaning);
    line(page, header);
}

fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("writing to a String does not fail");
}

/// Columns of a comment.
const WIDTH: usize = 110;

fn comment(page: &mut String, text: &str) {
    let mut columns = WIDTH;
    page.push('\n');
    for word in text.split_whitespace() {
        if columns + 1 + word.chars().count() > WIDTH {
            page.push_str(if page.ends_with('\n') { "#" } else { "\n#" });
            columns = 1;
        }
        page.push(' ');
        page.push_str(word);
        columns += 1 + word.chars().count();
    }
    page.push('\n');
}
