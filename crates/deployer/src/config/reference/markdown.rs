//! docs/reference/configuration.md.

use crate::config::keys::{Default, Key, KeyKind, Section};
use crate::config::recipe::Reference;
use std::fmt::Write;

/// Above the file, for whoever opens it to change it.
const MARK: &str =
    "<!-- Generated from crates/deployer/src/config/keys.rs and plan/recipes. Do not edit. -->\n\n";

const INTRODUCTION: &str = "\
# Configuration

Every key. For example:

```toml
origin = \"https://deploy.example.org\"

[deployments.website]
repository = \"example/website\"
path = \"/srv/website\"
```

Words are in the [glossary](../glossary.md). `durhack-deployer config show` prints every key in force and where its value comes from; \
`durhack-deployer config check` finds errors.

## Files

TOML files in `/etc/durhack-deployer`; if that does not exist, in `./config`; or where `--config` says \
([which is read](environment.md#which-configuration-is-read)). Files are laid over each other, later ones win: `default`, `E`, `I`, `E-I`, `local`, \
`local-E`, `local-I`, `local-E-I`, each with `.toml`. Missing files are skipped.

- E is the environment: `DEPLOYER_ENV` or `PYTHON_ENV`, else `development`.
- I is the instance: `DEPLOYER_INSTANCE` or `PYTHON_APP_INSTANCE`.
- Tables are merged. Anything else, lists too, is replaced.
- A file `.env` beside the configuration directory adds variables to the environment. A variable that is set already wins.

## Errors

Unknown keys, wrong types and impossible values are errors. A deployment with an error is left out, and the others are served. With any other error \
the deployer refuses to start.

## Values

- Durations are `\"30s\"`, `\"5m\"`, `\"1h 30m\"`, `\"250ms\"` (units: ms, s, m, h, d, w) or an integer of seconds.
- Sizes are `\"256MiB\"`, `\"1GB\"` or an integer of bytes. KiB, MiB, GiB and TiB count by 1024, kB, MB, GB and TB by 1000.
- Patterns of paths are globs: `*` matches anything up to the next slash, `**` any number of directories, `?` one character, `[ab]` one of these, \
`{a,b}` either. A name without any of these, like `server`, is a file of that name or everything in that directory.
";

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
