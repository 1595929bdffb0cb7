//! On what a release depends, as a digest: where it is the same as the live release's, installing and building again would
//! make the same release again.
//!
//! It covers the files that the recipe names, what is written in the deployment's shared and environment files, and the plan itself (so that
//! a change of the configuration counts), but neither the commit's id nor anything else that differs from run to run. A recipe that
//! cannot know on what its commands depend has none, and every push runs them.

use super::{Facts, depends_on};
use sha2::{Digest, Sha256};

/// The digest; None where it cannot be known.
pub fn digest(facts: &Facts<'_>) -> Option<String> {
    let depends_on = depends_on(&facts.deployment.recipe)?;
    // What an operator's command reads, nobody knows.
    if !facts.deployment.hooks.around.is_empty() {
        return None;
    }
    let mut hasher = Sha256::new();
    // Whatever is added here later must change the digest: each part is preceded by its length.
    let mut add = |part: &[u8]| {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    let deployment = facts.deployment;
    add(format!("{:?}", deployment.environment).as_bytes());
    add(serde_json::to_string(&deployment.recipe).expect("settings serialise").as_bytes());
    add(serde_json::to_string(&facts.host.nginx).expect("settings serialise").as_bytes());
    add(serde_json::to_string(&facts.host.certificates).expect("settings serialise").as_bytes());
    add(serde_json::to_string(&deployment.health).expect("settings serialise").as_bytes());
    add(format!("{:?} {:?}", deployment.shared_files, deployment.shared_dirs).as_bytes());
    add(format!("{:?} {:?} {:?}", deployment.instance_name, facts.instance, facts.layout).as_bytes());
    add(format!("{:?}", deployment.submodules).as_bytes());
    for (path, content) in facts.kept {
        add(path.as_bytes());
        add(content.as_bytes());
    }
    for (path, file) in facts.tree.files().filter(|(path, _)| depends_on(facts, path)) {
        add(path.as_bytes());
        add(file.mode.as_bytes());
        add(file.content.as_bytes());
    }
    Some(hex::encode(hasher.finalize()))
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
    use super::is_for_people;

    #[test]
    fn what_a_build_could_mean_is_not_only_for_people() {
        for path in [
            "README.md",
            "LICENSE",
            "Licence.txt",
            ".github/workflows/ci.yml",
            ".editorconfig",
            "SECURITY.md",
        ] {
            assert!(is_for_people(path), "{path}");
        }
        for path in [
            "html/README.md",
            "changelog.json",
            "license.ts",
            "html/robots.txt",
            ".well-known/security.txt",
            "docs/a.md",
            ".npmrc",
        ] {
            assert!(!is_for_people(path), "{path}");
        }
    }
}
