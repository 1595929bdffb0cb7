//! What the packages of a workspace are, and which of them depend on which: from the `package.json` files of the commit.
//!
//! `pnpm-workspace.yaml` is not read: a `package.json` in a directory of its own is taken for a package, which at worst makes one
//! file too many count.

use crate::base::names::{PackageDirectory, ScriptName};
use crate::git::commit_tree::Tree;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde_json::Value;
use std::collections::BTreeSet;

/// Where a package names what it depends on.
const DEPENDENCIES: [&str; 4] =
    ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];

/// Packages that are deployed, with all that they depend on.
pub struct Selected<'a> {
    tree: &'a Tree,
    /// Their directories; None: the whole workspace.
    directories: Option<BTreeSet<String>>,
}

impl<'a> Selected<'a> {
    /// These; all of the workspace where none is named.
    pub fn new(tree: &'a Tree, selected: &[PackageDirectory]) -> Self {
        Self { tree, directories: (!selected.is_empty()).then(|| closure(tree, selected)) }
    }

    /// Whether a file belongs to one of them, or to no package at all.
    pub fn concerns(&self, path: &str) -> bool {
        let (Some(directories), Some(package)) = (&self.directories, package_of(self.tree, path)) else {
            return true;
        };
        directories.contains(package)
    }
}

/// The packages of these that hold migrations of Prisma's; all of the workspace where none is selected. None: the root.
pub fn with_prisma_migrations(tree: &Tree, selected: &[PackageDirectory]) -> Vec<Option<PackageDirectory>> {
    let has_migrations = |directory: &str| {
        let prisma = if directory.is_empty() { "prisma".to_owned() } else { format!("{directory}/prisma") };
        let has_schema =
            tree.has(&format!("{prisma}/schema.prisma")) || tree.has_directory(&format!("{prisma}/schema"));
        has_schema && tree.has_directory(&format!("{prisma}/migrations"))
    };
    if !selected.is_empty() {
        return selected
            .iter()
            .filter(|package| has_migrations(package.as_str()))
            .cloned()
            .map(Some)
            .collect();
    }
    let root = tree.has("package.json").then_some("");
    let directories = root.into_iter().chain(packages(tree)).filter(|directory| has_migrations(directory));
    // One whose name is not fit to be an argument cannot be called by pnpm either.
    directories
        .filter_map(|directory| match directory {
            "" => Some(None),
            directory => PackageDirectory::parse(directory).ok().map(Some),
        })
        .collect()
}

/// Whether a package has a script.
pub fn has_script(tree: &Tree, directory: &str, script: &ScriptName) -> bool {
    manifest(tree, directory)["scripts"][script.as_str()].is_string()
}

/// The directories of the packages in which a script is run, those first that others depend on: of the selected ones and what they depend on.
/// Where none is selected, of the root alone, if it has the script: it calls the others'; else of all of the workspace.
pub fn with_script(tree: &Tree, selected: &[PackageDirectory], script: &ScriptName) -> Vec<String> {
    let root = "";
    let candidates: BTreeSet<String> = if !selected.is_empty() {
        closure(tree, selected)
    } else if has_script(tree, root, script) {
        return vec![root.to_owned()];
    } else {
        members(tree)
    };
    let mut ordered = Vec::new();
    for directory in &candidates {
        put_in_order(tree, &candidates, directory, &mut Vec::new(), &mut ordered);
    }
    ordered.retain(|directory| has_script(tree, directory, script));
    ordered
}

/// The directories of the workspace's packages, as `workspaces` of the root says: a list, or a table with one. Those with `!` in front are none.
fn members(tree: &Tree) -> BTreeSet<String> {
    let root = manifest(tree, "");
    let written = root["workspaces"].as_array().or_else(|| root["workspaces"]["packages"].as_array());
    let plain = |pattern: &str| pattern.trim_start_matches("./").trim_end_matches('/').to_owned();
    let patterns = written.into_iter().flatten().filter_map(Value::as_str);
    let (without, with): (Vec<&str>, Vec<&str>) = patterns.partition(|pattern| pattern.starts_with('!'));
    let without = exactly(without.iter().map(|pattern| plain(pattern.trim_start_matches('!'))));
    let with = exactly(with.into_iter().map(plain));
    let is_member = |directory: &&str| with.is_match(directory) && !without.is_match(directory);
    packages(tree).filter(is_member).map(str::to_owned).collect()
}

/// Patterns of directories: `*` stops at a slash. What is no pattern matches nothing.
fn exactly(patterns: impl Iterator<Item = String>) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in patterns.filter_map(|pattern| GlobBuilder::new(&pattern).literal_separator(true).build().ok())
    {
        set.add(glob);
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
}

/// Puts a package behind all that it depends on. Of a circle, the one that was come to first is last.
fn put_in_order<'a>(
    tree: &Tree,
    candidates: &'a BTreeSet<String>,
    directory: &'a str,
    on_the_way: &mut Vec<&'a str>,
    ordered: &mut Vec<String>,
) {
    if on_the_way.contains(&directory) || ordered.iter().any(|other| other == directory) {
        return;
    }
    on_the_way.push(directory);
    let needed = names_needed(&manifest(tree, directory));
    let is_needed =
        |other: &&String| manifest(tree, other)["name"].as_str().is_some_and(|name| needed.contains(name));
    for other in candidates.iter().filter(is_needed) {
        put_in_order(tree, candidates, other, on_the_way, ordered);
    }
    ordered.push(directory.to_owned());
}

fn manifest(tree: &Tree, directory: &str) -> Value {
    let path = if directory.is_empty() { "package.json".into() } else { format!("{directory}/package.json") };
    serde_json::from_str(tree.text(&path).unwrap_or_default()).unwrap_or_default()
}

fn names_needed(manifest: &Value) -> BTreeSet<String> {
    let kinds = DEPENDENCIES.iter().filter_map(|kind| manifest[kind].as_object());
    kinds.flat_map(|of_kind| of_kind.keys().cloned()).collect()
}

/// The directory of the package that a file lies in; none for the root's.
fn package_of<'a>(tree: &Tree, path: &'a str) -> Option<&'a str> {
    let mut parents =
        path.char_indices().rev().filter(|(_, character)| *character == '/').map(|(at, _)| &path[..at]);
    parents.find(|directory| tree.has(&format!("{directory}/package.json")))
}

fn packages(tree: &Tree) -> impl Iterator<Item = &str> {
    tree.files().filter_map(|(path, _)| path.strip_suffix("/package.json"))
}

/// The directories of these packages and of all that they depend on.
fn closure(tree: &Tree, selected: &[PackageDirectory]) -> BTreeSet<String> {
    let all: Vec<(&str, Value)> =
        packages(tree).map(|directory| (directory, manifest(tree, directory))).collect();
    let mut found = BTreeSet::new();
    let mut waiting: Vec<String> = selected.iter().map(ToString::to_string).collect();
    while let Some(directory) = waiting.pop() {
        let names = names_needed(&manifest(tree, &directory));
        if !found.insert(directory) {
            continue;
        }
        let is_named = |manifest: &Value| manifest["name"].as_str().is_some_and(|name| names.contains(name));
        let needed = all.iter().filter(|(_, manifest)| is_named(manifest));
        waiting.extend(needed.map(|(directory, _)| (*directory).to_owned()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::commit_tree::File;
    use serde_json::json;

    fn tree() -> Tree {
        let manifests = [
            ("package.json", json!({"name": "root"})),
            ("common/package.json", json!({"name": "@acme/common"})),
            (
                "server/package.json",
                json!({"name": "@acme/server", "dependencies": {"@acme/common": "workspace:*", "tsx": "4"}}),
            ),
            (
                "client/package.json",
                json!({"name": "@acme/client", "devDependencies": {"@acme/common": "workspace:*"}}),
            ),
            (
                "server/plugins/mail/package.json",
                json!({"name": "@acme/mail", "dependencies": {"@acme/server": "workspace:*"}}),
            ),
        ];
        let others = [
            "pnpm-lock.yaml",
            "common/a.ts",
            "server/a.ts",
            "server/prisma/schema/a.prisma",
            "server/prisma/migrations/1/migration.sql",
            "client/prisma/schema.prisma",
            "server/plugins/mail/a.ts",
            "assets/logo.svg",
        ];
        let paths = manifests.iter().map(|(path, _)| *path).chain(others);
        let file = || File { mode: "100644".into(), content: String::new(), bytes: Some(1) };
        let tree = Tree::new(paths.map(|path| (path.to_owned(), file())));
        tree.with_texts(manifests.map(|(path, manifest)| (path.to_owned(), manifest.to_string())))
    }

    fn directories(names: &[&str]) -> Vec<PackageDirectory> {
        names.iter().map(|name| PackageDirectory::parse(name).unwrap()).collect()
    }

    #[test]
    fn what_others_need_and_nobody_selected_does_not_concern() {
        let tree = tree();
        for (selected, path, expected) in [
            (&["server"][..], "server/a.ts", true),
            (&["server"], "common/a.ts", true),
            (&["server"], "client/a.ts", false),
            (&["server"], "client/package.json", false),
            (&["server"], "server/plugins/mail/a.ts", false),
            (&["server/plugins/mail"], "common/a.ts", true),
            (&["server"], "assets/logo.svg", true),
            (&["server"], "pnpm-lock.yaml", true),
            (&["client"], "server/a.ts", false),
            (&[], "client/a.ts", true),
        ] {
            let selected = Selected::new(&tree, &directories(selected));
            assert_eq!(selected.concerns(path), expected, "{:?} {path}", selected.directories);
        }
    }

    #[test]
    fn a_script_is_run_where_it_is_and_first_where_others_depend_on_it() {
        let manifests = [
            ("package.json", json!({"workspaces": {"packages": ["./*", "!zzy"]}, "scripts": {"all": "x"}})),
            (
                "api/package.json",
                json!({"name": "api", "dependencies": {"zoo": "1"}, "scripts": {"build": "x", "all": "x"}}),
            ),
            ("web/package.json", json!({"name": "web", "scripts": {"build": "x"}})),
            (
                "zoo/package.json",
                json!({"name": "zoo", "dependencies": {"api": "1"}, "scripts": {"build": "x"}}),
            ),
            ("zzz/package.json", json!({"name": "zzz"})),
            ("zzy/package.json", json!({"name": "zzy", "scripts": {"build": "x"}})),
            ("web/example/package.json", json!({"name": "example", "scripts": {"build": "x"}})),
        ];
        let file = || File { mode: "100644".into(), content: String::new(), bytes: Some(1) };
        let tree = Tree::new(manifests.iter().map(|(path, _)| ((*path).to_owned(), file())))
            .with_texts(manifests.iter().map(|(path, manifest)| ((*path).to_owned(), manifest.to_string())));
        let of = |selected: &[&str], script: &str| {
            with_script(&tree, &directories(selected), &ScriptName::parse(script).unwrap())
        };
        assert_eq!(of(&[], "build"), ["zoo", "api", "web"], "a circle ends");
        assert_eq!(of(&["api"], "build"), ["zoo", "api"]);
        assert_eq!(of(&[], "all"), [""]);
        assert_eq!(of(&["api"], "all"), ["api"]);
        assert!(of(&[], "nothing").is_empty());
    }

    #[test]
    fn packages_with_migrations_are_found() {
        let tree = tree();
        let server = || vec![Some(PackageDirectory::parse("server").unwrap())];
        assert_eq!(with_prisma_migrations(&tree, &directories(&["server", "client"])), server());
        assert_eq!(with_prisma_migrations(&tree, &[]), server());
        assert_eq!(with_prisma_migrations(&tree, &directories(&["client"])), []);
    }
}
