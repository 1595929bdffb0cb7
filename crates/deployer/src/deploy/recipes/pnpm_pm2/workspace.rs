//! What the packages of a workspace are, and which of them depend on which: from the `package.json` files of the commit.
//!
//! `pnpm-workspace.yaml` is not read: a `package.json` in a directory of its own is taken for a package, which at worst makes one
//! file too many count.

use crate::deploy::tree::Tree;
use crate::names::PackageDirectory;
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
    let manifest = |directory: &str| -> Value {
        let text = tree.text(&format!("{directory}/package.json")).unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    };
    let all: Vec<(&str, Value)> = packages(tree).map(|directory| (directory, manifest(directory))).collect();
    let mut found = BTreeSet::new();
    let mut waiting: Vec<String> = selected.iter().map(ToString::to_string).collect();
    while let Some(directory) = waiting.pop() {
        let own = manifest(&directory);
        if !found.insert(directory) {
            continue;
        }
        let names = DEPENDENCIES.iter().filter_map(|kind| own[kind].as_object());
        let names: BTreeSet<&String> = names.flat_map(|of_kind| of_kind.keys()).collect();
        let is_named =
            |manifest: &Value| manifest["name"].as_str().is_some_and(|name| names.contains(&name.to_owned()));
        let needed = all.iter().filter(|(_, manifest)| is_named(manifest));
        waiting.extend(needed.map(|(directory, _)| (*directory).to_owned()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::tree::File;
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
    fn packages_with_migrations_are_found() {
        let tree = tree();
        let server = || vec![Some(PackageDirectory::parse("server").unwrap())];
        assert_eq!(with_prisma_migrations(&tree, &directories(&["server", "client"])), server());
        assert_eq!(with_prisma_migrations(&tree, &[]), server());
        assert_eq!(with_prisma_migrations(&tree, &directories(&["client"])), []);
    }
}
