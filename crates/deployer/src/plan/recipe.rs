//! What a recipe does: from facts to the parts of a plan, and what else depends on the files of a commit.
//!
//! Whatever else is asked of a recipe is data ([`crate::config::recipe`]), and lies beside this in the recipe's directory.

use crate::config::recipe::Descriptor;
use crate::config::{Deployment, Phase};
use crate::git::commit_tree::Tree;
use crate::plan::Action;
use crate::plan::builder::{ORDER, Part};
use crate::plan::facts::{Facts, Target};
use crate::plan::proposal::{Line, Proposal, Subject};
use std::fmt::Debug;

/// One recipe. Pure: no I/O, no clock, nothing remembered.
pub trait Planner: Debug + Sync {
    /// What it says of itself, and how its keys are read.
    fn descriptor(&self) -> &'static Descriptor;

    /// What it does for a release, and how each part of that is undone.
    fn parts(&self, facts: &Facts<'_>, release: &Target) -> Vec<Part>;

    /// The order in which the phases come.
    fn order(&self, _facts: &Facts<'_>) -> [Phase; 7] {
        ORDER
    }

    /// The step that makes the new release the live one.
    fn switch(&self, facts: &Facts<'_>) -> (&'static str, Action) {
        ("activate", Action::Activate { release: facts.target.release.clone() })
    }

    /// Whether it asks for the files of the commit, and can say on which of them a release depends. A command of the operator's may read
    /// whatever it likes, the commit's id included.
    fn reads_files(&self) -> bool {
        true
    }

    /// On which files a release depends, of those that are not only for people. Any file may be imported, opened, or served.
    fn concerns<'a>(&self, _facts: &'a Facts<'_>) -> Box<dyn Fn(&str) -> bool + 'a> {
        Box::new(|_| true)
    }

    /// Settings of the host on which a release depends, as JSON.
    fn host_settings(&self, _facts: &Facts<'_>) -> Option<Vec<u8>> {
        None
    }

    /// What is worth knowing of a commit before it is deployed, in sentences.
    fn remarks(&self, _deployment: &Deployment, _tree: &Tree) -> Vec<String> {
        Vec::new()
    }

    /// What an operator has to decide of a repository with a preset: further lines for `init`.
    fn lines_of_preset(&self, _subject: &Subject<'_>) -> Vec<Line> {
        Vec::new()
    }

    /// The deployment that `init` proposes for a repository, if this is the recipe for it.
    fn propose(&self, _subject: &Subject<'_>) -> Option<Proposal> {
        None
    }
}
