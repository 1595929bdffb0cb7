//! npm and pnpm, as a package of its own (no workspace) is installed and built with them.

use crate::config::CommandLine;

/// Who installs, as the lock file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installer {
    /// `pnpm-lock.yaml`
    Pnpm,
    /// `package-lock.json`
    Npm,
    /// No lock file, and so nothing that says which versions.
    NpmUnlocked,
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
        })
    }

    /// Runs a script, with further arguments for the last program in it.
    pub fn run(self, script: &str, arguments: &[&str]) -> CommandLine {
        let before: &[&str] = match self {
            _ if arguments.is_empty() => &[],
            // pnpm hands all that follows the script's name to it, a `--` too.
            Self::Pnpm => &[],
            Self::Npm | Self::NpmUnlocked => &["--"],
        };
        argv(&[&[self.program(), "run", script], before, arguments].concat())
    }

    fn program(self) -> &'static str {
        match self {
            Self::Pnpm => "pnpm",
            Self::Npm | Self::NpmUnlocked => "npm",
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
