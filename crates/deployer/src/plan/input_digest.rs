//! On what a release depends, as a digest: where it is the same as the live release's, installing and building again would
//! make the same release again.
//!
//! It covers the files that the recipe names, what is written in the deployment's shared and environment files, and the settings that
//! make the plan (so that a change of the configuration counts), but neither the commit's id nor anything else that differs from run to
//! run. A recipe that cannot know on what its commands depend has none, and every push runs them.

use crate::plan::facts::Facts;
use crate::plan::recipe::Planner;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Stands before each digest. Raised when something else is covered: digests of different generations say nothing of each other, so that
/// an upgrade of the deployer deploys nothing.
const GENERATION: &str = "1:";

/// The digest; None where it cannot be known.
pub fn digest(facts: &Facts<'_>, planner: &dyn Planner) -> Option<String> {
    let deployment = facts.deployment;
    // What an operator's command reads, nobody knows.
    let has_commands = !deployment.recipe.steps.is_empty() || !deployment.hooks.around.is_empty();
    if !planner.reads_files() || has_commands {
        return None;
    }
    let mut hasher = Sha256::new();
    // Each part is preceded by its length, so that none can pass for the end of another.
    let mut add = |part: &[u8]| {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    add(deployment.recipe.written().as_bytes());
    if let Some(settings) = planner.host_settings(facts) {
        add(&settings);
    }
    add(&written(&(&deployment.environment, &deployment.health)));
    add(&written(&(&deployment.shared_files, &deployment.shared_dirs, deployment.submodules)));
    add(&written(&(&deployment.instance_name, facts.instance, facts.layout)));
    for (path, content) in facts.kept {
        add(path.as_bytes());
        add(content.as_bytes());
    }
    let concerned = planner.concerns(facts);
    for (path, file) in facts.tree.files().filter(|(path, _)| !is_for_people(path) && concerned(path)) {
        add(path.as_bytes());
        add(file.mode.as_bytes());
        add(file.content.as_bytes());
    }
    Some(format!("{GENERATION}{}", hex::encode(hasher.finalize())))
}

/// Whether two digests are of the same inputs; None where they cannot be compared.
pub fn same(one: &str, other: &str) -> Option<bool> {
    [one, other].iter().all(|digest| digest.starts_with(GENERATION)).then(|| one == other)
}

fn written(settings: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(settings).expect("settings serialise")
}

/// Files that only people, editors and GitHub read, whatever a recipe builds: those at the root of a repository, by their well-known
/// names. A file that a build could mean is not among them.
pub fn is_for_people(path: &str) -> bool {
    const DIRECTORIES: [&str; 4] = [".github", ".vscode", ".idea", ".zed"];
    const NAMES: [&str; 7] =
        ["readme", "license", "licence", "changelog", "contributing", "code_of_conduct", "security"];
    const KINDS: [&str; 5] = ["", "md", "rst", "txt", "adoc"];
    if let Some((directory, _)) = path.split_once('/') {
        return DIRECTORIES.contains(&directory);
    }
    let path = path.to_ascii_lowercase();
    let (name, kind) = path.split_once('.').unwrap_or((&path, ""));
    path == ".editorconfig" || (NAMES.contains(&name) && KINDS.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::{is_for_people, same};
    use crate::config::Layout;
    use crate::plan::facts::Facts;
    use crate::plan::recipes::planner;
    use crate::plan::recipes::sample::with_facts;

    fn digest(facts: &Facts<'_>) -> Option<String> {
        super::digest(facts, planner(&facts.deployment.recipe))
    }

    /// Whether another content of each of these files makes another release.
    fn depends(keys: &str, files: &[&str]) -> Vec<bool> {
        with_facts(keys, Layout::Releases, &[], |facts| {
            let concerned = planner(&facts.deployment.recipe).concerns(facts);
            files.iter().map(|path| !is_for_people(path) && concerned(path)).collect()
        })
    }

    #[test]
    fn what_a_build_could_mean_is_not_only_for_people() {
        const FOR_PEOPLE: [&str; 8] = [
            "README.md",
            "LICENSE",
            "Licence.txt",
            "CHANGELOG.rst",
            "SECURITY.md",
            ".github/workflows/ci.yml",
            ".editorconfig",
            ".vscode/settings.json",
        ];
        const FOR_BUILDS: [&str; 19] = [
            "html/README.md",
            "src/README.md",
            "changelog.json",
            "license.ts",
            "licenses/x",
            "html/robots.txt",
            ".well-known/security.txt",
            "security.py",
            "readme_page.py",
            "docs/a.md",
            ".npmrc",
            ".githubs",
            "app.py",
            "uv.lock",
            "go.work",
            "internal/store.go",
            "client/index.html",
            "server/main.go",
            "Makefile",
        ];
        for keys in [
            "recipe = \"uv-uwsgi\"\nuwsgi_config_path = \"/etc/app.ini\"",
            "recipe = \"go-static\"",
            "recipe = \"pnpm-pm2\"",
            "recipe = \"nginx-sites\"\nsites = []",
        ] {
            assert!(!depends(keys, &FOR_PEOPLE).contains(&true), "{keys}");
            assert!(!depends(keys, &FOR_BUILDS).contains(&false), "{keys}");
        }
    }

    #[test]
    fn of_sites_what_is_for_development_does_not_count() {
        let files = [
            "production/[a].conf",
            "production/README.md",
            "snippets/x",
            "html/index.html",
            "development/x.conf",
        ];
        let expected = [true, true, true, true, false];
        assert_eq!(depends("recipe = \"nginx-sites\"\nsites = []", &files), expected);
    }

    #[test]
    fn what_is_not_known_has_no_digest_and_generations_are_not_compared() {
        for (keys, is_known) in [
            ("recipe = \"steps\"", false),
            ("recipe = \"pnpm-pm2\"", true),
            ("recipe = \"pnpm-pm2\"\nhooks = { before_build = \"make\" }", false),
        ] {
            let digest = with_facts(keys, Layout::Releases, &["server/a.ts"], digest);
            assert_eq!(digest.is_some(), is_known, "{keys}");
        }
        for (one, other, expected) in [
            ("1:a", "1:a", Some(true)),
            ("1:a", "1:b", Some(false)),
            ("1:a", "a", None),
            ("0:a", "0:a", None),
        ] {
            assert_eq!(same(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn the_host_s_nginx_matters_to_its_sites_alone() {
        let digest = |keys: &str, nginx: &str| {
            with_facts(&format!("{keys}\n{nginx}"), Layout::Releases, &["a"], digest).expect("it is known")
        };
        let other = "[nginx]\ndirectory = \"/opt/nginx\"";
        let (sites, application) = ("recipe = \"nginx-sites\"\nsites = []", "recipe = \"pnpm-pm2\"");
        assert_ne!(digest(sites, ""), digest(sites, other));
        assert_eq!(digest(application, ""), digest(application, other));
    }
}
