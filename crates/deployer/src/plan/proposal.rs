//! What `init` proposes for a repository: the part of a deployment that its recipe decides.
//!
//! A guess that a person reads and corrects: so each says by what it was made. Of several, the one with the strongest evidence is taken.

use crate::git::commit_tree::Tree;
use std::path::Path;

/// The repository that is looked at, and where it is to be deployed.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The files of the branch's head, and what the small ones say.
    pub tree: &'a Tree,
    /// What the deployment is called.
    pub slug: &'a str,
    /// Where it is deployed to.
    pub path: &'a Path,
}

/// How much the evidence says, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// Files that would do for something else, too.
    Content,
    /// A manifest that says how something is installed and built, and not what runs it.
    Manifest,
    /// A manifest that names what the result is.
    Product,
}

/// Lines of a deployment's table, without those that every deployment has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// How much speaks for it.
    pub evidence: Evidence,
    /// In the order in which they are written, behind the key `recipe`.
    pub lines: Vec<Line>,
    /// By what it was proposed; stands above the key `recipe`.
    pub why: String,
    /// A health check, as TOML, for whoever has read it. `None`: the usual hint.
    pub health: Option<String>,
}

/// One line. Values are TOML that the recipe has written itself, or that went through [`toml_text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// For whoever reads it.
    Comment(String),
    /// A key and its value.
    Key(&'static str, String),
}

/// A text as TOML writes it: JSON's escapes, and one that JSON does not need.
pub fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
