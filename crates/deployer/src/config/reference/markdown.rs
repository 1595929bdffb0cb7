//! docs/configuration.md.

use crate::config::keys::{Default, Key, KeyKind, Section};
use crate::config::recipe::Reference;
use std::fmt::Write;

/// Above the file, for whoever opens it to change it.
const MARK: &str =
    "<!-- Generated from crates/deployer/src/config/keys.rs and plan/recipes. Do not edit. -->\n\n";

const INTRODUCTION: &str = "\
# Configuration

TOML files in `/etc/durhack-deployer`, or, on a machine that has no such directory, in `./config`, or where `--config` says. (What a push \
has written is not a configuration: `./config` is not read in a release, by way of `sudo -u`, or where others can write it; by root only with \
`DEPLOYER_ENV=development`.) With E the environment \
(`DEPLOYER_ENV` or `PYTHON_ENV`, else `development`) and I the instance (`DEPLOYER_INSTANCE` or `PYTHON_APP_INSTANCE`), \
these are laid over each other, later ones winning: `default`, `E`, `I`, `E-I`, `local`, `local-E`, `local-I`, `local-E-I`, \
each with `.toml`. Tables are merged; anything else, lists too, is replaced. Files that are not there are skipped.

A file `.env` beside the configuration directory adds to the environment; a variable that \
is set already wins over it.

Unknown keys, wrong types and impossible values are errors. An error inside `[deployments.SLUG]` leaves that deployment \
out and serves the others; any other error refuses to start. `durhack-deployer config show` prints what holds and \
where each value came from.

Durations are written `\"30s\"`, `\"5m\"`, `\"1h 30m\"`, `\"250ms\"` (units: ms, s, m, h, d, w) or as an integer of seconds. Sizes \
are written `\"256MiB\"`, `\"1GB\"` or as an integer of bytes; KiB, MiB, GiB and TiB count by 1024, kB, MB, GB and TB by 1000.

Patterns of paths are globs: `*` matches anything up to the next slash, `**` any number of directories, `?` one character, \
`[ab]` one of these, `{a,b}` either. A name without any of these, like `server`, is a file of that name or everything in that directory.
";

/// docs/configuration.md.
pub fn reference_file(reference: &Reference) -> String {
    format!("{MARK}{}", reference_markdown(reference))
}

/// The reference for people, in Markdown.
pub fn reference_markdown(reference: &Reference) -> String {
    let mut page = INTRODUCTION.to_owned();
    section(&mut page, "Top level", reference.root);
    below(&mut page, "", reference.root);
    page
}

fn below(page: &mut String, prefix: &str, parent: &Section) {
    for key in parent.keys {
        let path = format!("{prefix}{}", key.name);
        let (heading, path, table) = match key.kind {
            KeyKind::Table(table) => (format!("`[{path}]`"), path, table),
            KeyKind::Named(name, table) => (format!("`[{path}.{name}]`"), format!("{path}.{name}"), table),
            KeyKind::Tables(table) => (format!("`[[{path}]]`"), path, table),
            _ => continue,
        };
        section(page, &heading, table);
        below(page, &format!("{path}."), table);
    }
}

fn section(page: &mut String, heading: &str, section: &Section) {
    write!(page, "\n## {heading}\n\n{}\n", section.meaning).expect("writing to a String does not fail");
    for key in section.keys {
        write!(page, "\n### `{}`\n\n{}\n\n", key.name, key.meaning)
            .expect("writing to a String does not fail");
        for line in facts(key) {
            writeln!(page, "- {line}").expect("writing to a String does not fail");
        }
    }
}

fn facts(key: &Key) -> Vec<String> {
    let mut facts = vec![format!("Value: {}.", key.kind.in_words())];
    match key.default {
        Default::Required => facts.push("Required.".into()),
        Default::Value(value) => facts.push(format!("Default: `{value}`.")),
        // Of a table: each of its keys has its own.
        Default::Derived(_) if key.example.is_empty() => {}
        Default::Derived(words) => facts.push(format!("Default: {words}.")),
    }
    if !key.recipes.is_empty() {
        let recipes: Vec<String> = key.recipes.iter().map(|recipe| format!("`{recipe}`")).collect();
        facts.push(format!("Only with recipe {}.", recipes.join(" or ")));
    }
    if !key.example.is_empty() {
        facts.push(format!("Example: `{} = {}`", key.name, key.example));
    }
    facts
}
