//! config/example.toml: every key with its default and meaning.
//!
//! A key that cannot be written with its default (it has none, or another key excludes it) is commented out with
//! `#` and no space, in front of an example. One deployment for each recipe, so that each key stands where it may.

use crate::config::keys::{Default, Key, KeyKind, Section};
use crate::config::recipe::{Descriptor, Reference};
use std::fmt::Write;

const INTRODUCTION: &str = "\
# Every key, with its default and meaning. Generated from crates/deployer/src/config/keys.rs and plan/recipes.
#
# Copy what you need into default.toml; what you leave out has the default shown. `#key = value` shows an example
# of a key that has no default to show. docs/reference/configuration.md says how files are laid over each other.
";

/// The text of config/example.toml.
pub fn example_toml(reference: &Reference) -> String {
    let mut page = INTRODUCTION.to_owned();
    keys(&mut page, reference.root.keys.iter());
    for key in reference.root.keys {
        match key.kind {
            KeyKind::Table(section) => table(&mut page, &format!("[{}]", key.name), section),
            // Commented out: a table that is written must hold a secret.
            KeyKind::Named(_, section) if key.name == "repositories" => {
                heading(&mut page, section.meaning, "#[repositories.\"example/website\"]");
                section.keys.iter().for_each(|key| commented(&mut page, key));
            }
            KeyKind::Named(_, section) => {
                for recipe in &reference.recipes {
                    let is_default = recipe.name == reference.default_recipe().name;
                    deployment(&mut page, recipe, is_default, section);
                }
            }
            _ => {}
        }
    }
    page
}

/// What every deployment may have is shown with the default recipe alone.
fn deployment(page: &mut String, recipe: &Descriptor, is_default: bool, section: &Section) {
    let Descriptor { name: recipe, meaning, sample, .. } = recipe;
    let slug = sample.slug;
    heading(page, meaning, &format!("[deployments.{slug}]"));
    let is_own = |key: &&Key| if is_default { key.belongs_to(recipe) } else { key.recipes.contains(recipe) };
    let mut required = vec![
        ("repository", sample.repository),
        ("branch", "main"),
        ("path", sample.path),
        ("recipe", *recipe),
    ];
    required.extend(sample.required);
    let own: Vec<&Key> = section.keys.iter().filter(is_own).collect();
    for (name, value) in &required {
        if let Some(key) = section.key_of(name, recipe) {
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
