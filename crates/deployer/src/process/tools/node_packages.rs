//! npm, pnpm, yarn and bun, as a package is installed and built with them. What pnpm does with a workspace is in [`super::pnpm`].

use crate::config::CommandLine;

/// Who installs, as the lock file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installer {
    Pnpm,
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
pub const LOCK_FILES: [(&str, Installer); 6] = [
    ("pnpm-lock.yaml", Installer::Pnpm),
    ("yarn.lock", Installer::Yarn),
    ("bun.lock", Installer::Bun),
    ("bun.lockb", Installer::Bun),
    ("package-lock.json", Installer::Npm),
    ("npm-shrinkwrap.json", Installer::Npm),
];

/// Whether a file of this name is a lock file.
pub fn is_lock_file(name: &str) -> bool {
    LOCK_FILES.iter().any(|(lock, _)| *lock == name)
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
}
