//! npm, pnpm, yarn and bun, as a package is installed and built with them. What pnpm does with a workspace is in [`super::pnpm`].

use crate::config::CommandLine;
use crate::git::commit_tree::Tree;

/// Who installs, as the lock file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installer {
    /// `pnpm-lock.yaml`
    Pnpm,
    /// `package-lock.json`
    Npm,
    /// No lock file, and so nothing that says which versions.
    NpmUnlocked,
    /// `yarn.lock`, by yarn 1.
    Yarn,
    /// `yarn.lock`, by yarn 2 and later.
    YarnBerry,
    /// `bun.lock`, or `bun.lockb`.
    Bun,
}

/// Lock files, and whose they are. The first wins where nothing tells several apart: npm's is what is left behind most often, as npm writes it
/// where somebody calls it once.
const LOCK_FILES: [(&str, Installer); 6] = [
    ("pnpm-lock.yaml", Installer::Pnpm),
    ("yarn.lock", Installer::Yarn),
    ("bun.lock", Installer::Bun),
    ("bun.lockb", Installer::Bun),
    ("package-lock.json", Installer::Npm),
    ("npm-shrinkwrap.json", Installer::Npm),
];

/// What tells who installs a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Who.
    pub installer: Installer,
    /// The lock file; None: there is none.
    pub by: Option<&'static str>,
    /// Lock files of others beside it.
    pub passed_over: Vec<&'static str>,
    /// Whether the package names its package manager, and so decides between them.
    pub is_named: bool,
}

/// Whether a file of this name is a lock file.
pub fn is_lock_file(name: &str) -> bool {
    LOCK_FILES.iter().any(|(lock, _)| *lock == name)
}

/// Who installs the package in a directory (empty: the root): whom its `packageManager` names, where there is a lock file of it; else whose lock
/// file was changed last. None where there is no package.
pub fn found(tree: &Tree, directory: &str) -> Option<Found> {
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
        return is_package.then_some(Found {
            installer: Installer::NpmUnlocked,
            by: None,
            passed_over: Vec::new(),
            is_named: false,
        });
    };
    let is_berry = tree.has(&place(".yarnrc.yml"))
        || manager.is_some_and(|manager| manager.starts_with("yarn@") && !manager.starts_with("yarn@1"));
    let others = locks.iter().filter(|(_, other)| *other != installer);
    Some(Found {
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

impl Installer {
    /// Installs exactly what the lock file says, with what is needed to build, whatever NODE_ENV is.
    pub fn install(self) -> CommandLine {
        argv(match self {
            // In place, modules of another store may lie there, about which pnpm would ask somebody.
            Self::Pnpm => &[
                "pnpm",
                "install",
                "--frozen-lockfile",
                "--prod=false",
                "--config.confirmModulesPurge=false",
            ],
            Self::Npm => &["npm", "ci", "--include=dev", "--no-audit", "--no-fund"],
            Self::NpmUnlocked => {
                &["npm", "install", "--include=dev", "--no-package-lock", "--no-audit", "--no-fund"]
            }
            Self::Yarn => {
                &["yarn", "install", "--frozen-lockfile", "--production=false", "--non-interactive"]
            }
            Self::YarnBerry => &["yarn", "install", "--immutable"],
            // Linked from its cache, as bun does by itself, one release could write into the files of all others.
            Self::Bun => &["bun", "install", "--frozen-lockfile", "--backend=copyfile"],
        })
    }

    /// Runs a script, with further arguments for the last program in it.
    pub fn run(self, script: &str, arguments: &[&str]) -> CommandLine {
        let before: &[&str] = match self {
            Self::Npm | Self::NpmUnlocked if !arguments.is_empty() => &["--"],
            // The others hand all that follows the script's name to it, a `--` too.
            _ => &[],
        };
        argv(&[&[self.program(), "run", script], before, arguments].concat())
    }

    /// Runs a program: the package's own ones, of its dependencies, come first.
    pub fn exec(self, command: &[String]) -> CommandLine {
        let line;
        let before: &[&str] = match self {
            Self::Pnpm => &["pnpm", "exec"],
            // `npm exec NODE` would look for a package of that name.
            Self::Npm | Self::NpmUnlocked => {
                line = CommandLine::Argv(command.to_vec()).shown();
                return argv(&["npm", "exec", "--no", "--call", &line]);
            }
            Self::Yarn => &["yarn", "exec", "--"],
            Self::YarnBerry => &["yarn", "exec"],
            Self::Bun => &["bun", "run"],
        };
        let before = before.iter().map(|word| (*word).to_owned());
        CommandLine::Argv(before.chain(command.iter().cloned()).collect())
    }

    /// The program's name.
    pub fn program(self) -> &'static str {
        match self {
            Self::Pnpm => "pnpm",
            Self::Npm | Self::NpmUnlocked => "npm",
            Self::Yarn | Self::YarnBerry => "yarn",
            Self::Bun => "bun",
        }
    }

    /// The variable that says where it keeps what it has downloaded.
    pub fn cache_variable(self) -> &'static str {
        match self {
            Self::Pnpm => "npm_config_store_dir",
            Self::Npm | Self::NpmUnlocked => "npm_config_cache",
            Self::Yarn => "YARN_CACHE_FOLDER",
            Self::YarnBerry => "YARN_GLOBAL_FOLDER",
            Self::Bun => "BUN_INSTALL_CACHE_DIR",
        }
    }
}

fn argv(words: &[&str]) -> CommandLine {
    CommandLine::Argv(words.iter().map(|word| (*word).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::commit_tree::File;

    #[test]
    fn arguments_reach_the_script() {
        assert_eq!(Installer::Npm.run("build", &["--x"]).shown(), "npm run build -- --x");
        assert_eq!(Installer::Npm.run("build", &[]).shown(), "npm run build");
        assert_eq!(Installer::Pnpm.run("build", &["--x"]).shown(), "pnpm run build --x");
        let command = ["node", "a b.js"].map(str::to_owned);
        assert_eq!(Installer::Npm.exec(&command).argv()[4], "node 'a b.js'");
        assert_eq!(Installer::Yarn.exec(&command).shown(), "yarn exec -- node 'a b.js'");
        assert_eq!(Installer::Bun.exec(&command).shown(), "bun run node 'a b.js'");
    }

    #[test]
    fn a_lock_file_is_obeyed_and_builders_are_installed() {
        assert_eq!(Installer::Npm.install().shown(), "npm ci --include=dev --no-audit --no-fund");
        assert_eq!(
            Installer::Pnpm.install().shown(),
            "pnpm install --frozen-lockfile --prod=false --config.confirmModulesPurge=false"
        );
    }

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
