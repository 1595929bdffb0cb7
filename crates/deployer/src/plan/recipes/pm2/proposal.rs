//! Node packages with an ecosystem file, as `init` proposes them.

use crate::git::commit_tree::Tree;
use crate::plan::installer::{self, DetectedInstaller};
use crate::plan::manifests::directories;
use crate::plan::proposal::{Evidence, Proposal, Subject, toml_list, toml_text};
use crate::steps::process_manager::pm2::ecosystem;

/// Node packages with an ecosystem file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderPm2 {
    pub ecosystem: &'static str,
    /// Whether it asks for an instance's name.
    pub named: bool,
    /// Whether it has a block `env_production`.
    pub for_production: bool,
    /// Who installs; None: nothing is installed.
    pub found: Option<DetectedInstaller>,
    /// Directories with a lock file of their own, where the root has no package.
    pub packages: Vec<String>,
}

/// Where there is a file that names applications for PM2.
pub fn of(subject: &Subject<'_>) -> Option<Proposal> {
    Some(proposal(subject, &look(subject.tree)?))
}

fn look(tree: &Tree) -> Option<UnderPm2> {
    // Names that others have for other things must speak of a script.
    let speaks = |name: &str| {
        name.starts_with("ecosystem.") || tree.text(name).is_some_and(|text| text.contains("script"))
    };
    let ecosystem = ecosystem::NAMES.into_iter().find(|name| tree.has(name) && speaks(name))?;
    let text = tree.text(ecosystem).unwrap_or_default();
    let found = installer::found(tree, "");
    let packages = if found.is_some() { Vec::new() } else { directories(tree, &["package.json"]) };
    Some(UnderPm2 {
        ecosystem,
        named: text.contains("INSTANCE_NAME"),
        for_production: ecosystem::blocks_in_text(text).contains("production"),
        found,
        packages,
    })
}

fn proposal(subject: &Subject<'_>, of: &UnderPm2) -> Proposal {
    let installer = of.found.as_ref().map(|found| (found.by, found.installer.program()));
    let what = match installer {
        Some((Some(lock), "pnpm")) => format!("{lock} and {}: a pnpm workspace under PM2.", of.ecosystem),
        Some((Some(lock), program)) => {
            format!("{lock} and {}: Node packages under PM2, installed by {program}.", of.ecosystem)
        }
        Some((None, _)) => format!("{}: Node packages under PM2. Commit a lock file.", of.ecosystem),
        None => format!("{}: applications under PM2.", of.ecosystem),
    };
    let is_pnpm = matches!(installer, Some((_, "pnpm")));
    let recipe = if is_pnpm { "pnpm-pm2" } else { "pm2" };
    let mut proposal = Proposal::new(recipe, Evidence::OwnFile, format!("It has {what}"));
    let stale = of.found.iter().flat_map(|found| &found.passed_over);
    proposal.why.extend(
        stale.map(|name| format!("{name} is there too, and is probably stale: `installer` says otherwise.")),
    );
    if !of.packages.is_empty() {
        proposal = proposal
            .comment("Each is installed and built by itself.")
            .key("packages", toml_list(&of.packages));
    }
    if of.for_production {
        proposal = proposal
            .comment("The ecosystem file's env_production is used because of this.")
            .key("environment", "{ NODE_ENV = \"production\" }");
    }
    if of.named {
        proposal = proposal
            .comment("The ecosystem file asks for INSTANCE_NAME: how its processes are called.")
            .key("instance_name", toml_text(subject.slug));
    }
    proposal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::commit_tree::File;

    #[test]
    fn what_an_ecosystem_file_and_lock_files_say() {
        for (files, expected) in [
            (
                &[("pnpm-lock.yaml", ""), ("ecosystem.config.cjs", "process.env.INSTANCE_NAME")][..],
                r#"ecosystem.config.cjs by Some("pnpm-lock.yaml"), named true, production false, []"#,
            ),
            (
                &[
                    ("ecosystem.config.js", "env_production: {"),
                    ("bun.lock", ""),
                    ("package-lock.json", ""),
                    ("package.json", ""),
                ],
                r#"ecosystem.config.js by Some("bun.lock"), named false, production true, []"#,
            ),
            (
                &[
                    ("process.json", "{\"script\": 1}"),
                    ("client/package.json", ""),
                    ("server/package.json", ""),
                ],
                r#"process.json by None, named false, production false, ["client", "server"]"#,
            ),
        ] {
            let file = || File { mode: "100644".into(), content: String::new(), bytes: Some(1) };
            let texts = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
            let tree =
                Tree::new(files.iter().map(|(path, _)| ((*path).to_owned(), file()))).with_texts(texts);
            let of = look(&tree).unwrap();
            let shown = format!(
                "{} by {:?}, named {}, production {}, {:?}",
                of.ecosystem,
                of.found.as_ref().and_then(|found| found.by),
                of.named,
                of.for_production,
                of.packages
            );
            assert_eq!(shown, expected, "{files:?}");
        }
    }
}
