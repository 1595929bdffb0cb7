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
    let mut hasher = Sha256::new();
    // Whatever is added here later must change the digest: each part is preceded by its length.
    let mut add = |part: &[u8]| {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    let deployment = facts.deployment;
    add(format!("{:?}", deployment.environment).as_bytes());
    add(serde_json::to_string(&deployment.recipe).expect("settings serialise").as_bytes());
    add(serde_json::to_string(&deployment.hooks).expect("settings serialise").as_bytes());
    add(serde_json::to_string(&deployment.health).expect("settings serialise").as_bytes());
    add(format!("{:?} {:?}", deployment.shared_files, deployment.shared_dirs).as_bytes());
    add(format!("{:?} {:?}", deployment.instance_name, facts.layout).as_bytes());
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
