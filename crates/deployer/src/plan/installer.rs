//! Which package manager installs a package, as its lock files and its package.json say.

use crate::git::commit_tree::Tree;
use crate::process::tools::node_packages::{Installer, LOCK_FILES};

/// What tells who installs a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectedInstaller {
    pub installer: Installer,
    /// The lock file; None: there is none.
    pub by: Option<&'static str>,
    /// Lock files of others beside it.
    pub passed_over: Vec<&'static str>,
    /// Whether the package names its package manager, and so decides between them.
    pub is_named: bool,
}

/// Who installs the package in a directory (empty: the root): whom its `packageManager` names, where there is a lock file of it; else whose lock
/// file was changed last. None where there is no package.
pub fn found(tree: &Tree, directory: &str) -> Option<DetectedInstaller> {
    let place =
        |name: &str| if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
    let locks: Vec<(&str, Installer)> =
        LOCK_FILES.iter().filter(|(name, _)| tree.has(&place(name))).copied().collect();
    let manager = tree.text(&place("package.json")).and_then(package_manager);
    let named = locks.iter().find(|(_, installer)| {
        manager.as_deref().and_then(|manager| manager.split('@').next()) == Some(installer.program())
    });
    // The last of equal ones is taken.
    let newest = locks.iter().rev().max_by_key(|(name, _)| tree.changed_at(&place(name)));
    let Some((by, installer)) = named.or(newest).copied() else {
        let is_package = tree.has(&place("package.json"));
        return is_package.then_some(DetectedInstaller {
            installer: Installer::NpmUnlocked,
            by: None,
            passed_over: Vec::new(),
            is_named: false,
        });
    };
    let is_berry = tree.has(&place(".yarnrc.yml"))
        || manager.is_some_and(|manager| manager.starts_with("yarn@") && !manager.starts_with("yarn@1"));
    let others = locks.iter().filter(|(_, other)| *other != installer);
    Some(DetectedInstaller {
        passed_over: others.map(|(name, _)| *name).collect(),
        installer: if installer == Installer::Yarn && is_berry { Installer::YarnBerry } else { installer },
        by: Some(by),
        is_named: named.is_some(),
    })
}

/// What `package.json` says of who installs it: `yarn@4.5.0`.
fn package_manager(package: &str) -> Option<String> {
    let package: serde_json::Value = serde_json::from_str(package).ok()?;
    package["packageManager"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::commit_tree::File;

    fn tree(files: &[&str], package: &str, changed: &[(&str, u64)]) -> Tree {
        let file = || File { mode: "100644".into(), content: String::new(), bytes: Some(1) };
        Tree::new(files.iter().map(|path| ((*path).to_owned(), file())))
            .with_texts([("package.json".to_owned(), package.to_owned())])
            .with_changes(changed.iter().map(|(path, at)| ((*path).to_owned(), *at)))
    }

    #[test]
    fn the_newest_lock_file_says_who_installs() {
        let both = &["package.json", "package-lock.json", "bun.lock"][..];
        for (files, package, changed, expected) in [
            (&["index.html"][..], "", &[][..], None),
            (&["package.json"], "", &[], Some((Installer::NpmUnlocked, None))),
            (
                both,
                "",
                &[("bun.lock", 2), ("package-lock.json", 1)],
                Some((Installer::Bun, Some("bun.lock"))),
            ),
            (
                both,
                "",
                &[("bun.lock", 1), ("package-lock.json", 2)],
                Some((Installer::Npm, Some("package-lock.json"))),
            ),
            // Of one commit.
            (both, "", &[], Some((Installer::Bun, Some("bun.lock")))),
            (
                both,
                r#"{"packageManager": "npm@11"}"#,
                &[("bun.lock", 2)],
                Some((Installer::Npm, Some("package-lock.json"))),
            ),
            (&["yarn.lock"], "", &[], Some((Installer::Yarn, Some("yarn.lock")))),
            (&["yarn.lock", ".yarnrc.yml"], "", &[], Some((Installer::YarnBerry, Some("yarn.lock")))),
            (
                &["yarn.lock"],
                r#"{"packageManager": "yarn@4.5.0"}"#,
                &[],
                Some((Installer::YarnBerry, Some("yarn.lock"))),
            ),
            (
                &["yarn.lock"],
                r#"{"packageManager": "yarn@1.22.22"}"#,
                &[],
                Some((Installer::Yarn, Some("yarn.lock"))),
            ),
        ] {
            let found = found(&tree(files, package, changed), "").map(|found| (found.installer, found.by));
            assert_eq!(found, expected, "{files:?} {package}");
        }
        assert_eq!(found(&tree(both, "", &[]), "").unwrap().passed_over, ["package-lock.json"]);
        assert_eq!(found(&tree(both, "", &[]), "server"), None);
    }
}
