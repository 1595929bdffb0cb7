//! `pnpm`, as we call it.
//!
//! Always with `--dir` *and* in that directory: pnpm has ignored one or the other, depending on the command (pnpm/pnpm#5270). Which
//! version answers is pnpm's own affair: it fetches the one that `packageManager` pins, and runs that.

use crate::base::names::{PackageDirectory, ScriptName};
use crate::config::CommandLine;
use std::path::Path;

/// Which packages of a workspace are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection<'a> {
    /// The one package that there is; it is no workspace.
    Single,
    Workspace,
    /// These, and the packages that they depend on.
    Closure(&'a [PackageDirectory]),
}

/// Installs exactly what the lockfile says.
///
/// The packages' files are copied (or cloned, where the file system can): pnpm would otherwise link them from its store, and a build that
/// writes to one (`prisma generate` does) would write to every release of every deployment.
pub fn install(release: &Path, selection: Selection<'_>) -> CommandLine {
    let mut words = pnpm(release);
    // A workspace is installed as a whole without being told.
    words.extend(filters(selection));
    words.extend(
        ["install", "--frozen-lockfile", "--config.package-import-method=clone-or-copy"].map(str::to_owned),
    );
    CommandLine::Argv(words)
}

/// Runs a script in each of the packages that has it, those that others depend on first.
pub fn run(release: &Path, selection: Selection<'_>, script: &ScriptName) -> CommandLine {
    let mut words = pnpm(release);
    if selection == Selection::Workspace {
        words.push("--recursive".into());
    }
    words.extend(filters(selection));
    words.extend(["run".into(), "--if-present".into(), script.to_string()]);
    CommandLine::Argv(words)
}

/// Runs a program of one package's dependencies in that package; None: in the root.
pub fn exec(release: &Path, package: Option<&PackageDirectory>, command: &[String]) -> CommandLine {
    let mut words = pnpm(release);
    if let Some(package) = package {
        words.extend([format!("--filter={{{package}}}"), "--fail-if-no-match".into()]);
    }
    words.push("exec".into());
    words.extend(command.iter().cloned());
    CommandLine::Argv(words)
}

fn pnpm(release: &Path) -> Vec<String> {
    vec!["pnpm".into(), "--dir".into(), release.to_string_lossy().into_owned()]
}

fn filters(selection: Selection<'_>) -> Vec<String> {
    let Selection::Closure(packages) = selection else { return Vec::new() };
    let filters = packages.iter().map(|package| format!("--filter={{{package}}}..."));
    filters.chain(["--fail-if-no-match".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_selected_by_their_directories() {
        let release = Path::new("/srv/x");
        let packages =
            [PackageDirectory::parse("server").unwrap(), PackageDirectory::parse("apps/client").unwrap()];
        let build = ScriptName::parse("build").unwrap();
        let migrate = ["prisma", "migrate", "deploy"].map(str::to_owned);
        for (line, expected) in [
            (
                install(release, Selection::Closure(&packages)),
                "pnpm --dir /srv/x '--filter={server}...' '--filter={apps/client}...' --fail-if-no-match install --frozen-lockfile --config.package-import-method=clone-or-copy",
            ),
            (
                install(release, Selection::Workspace),
                "pnpm --dir /srv/x install --frozen-lockfile --config.package-import-method=clone-or-copy",
            ),
            (
                run(release, Selection::Closure(&packages[..1]), &build),
                "pnpm --dir /srv/x '--filter={server}...' --fail-if-no-match run --if-present build",
            ),
            (
                run(release, Selection::Workspace, &build),
                "pnpm --dir /srv/x --recursive run --if-present build",
            ),
            (run(release, Selection::Single, &build), "pnpm --dir /srv/x run --if-present build"),
            (
                exec(release, Some(&packages[0]), &migrate),
                "pnpm --dir /srv/x '--filter={server}' --fail-if-no-match exec prisma migrate deploy",
            ),
            (exec(release, None, &migrate), "pnpm --dir /srv/x exec prisma migrate deploy"),
        ] {
            assert_eq!(line.shown(), expected);
        }
    }
}
