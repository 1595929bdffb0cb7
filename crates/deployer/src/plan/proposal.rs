//! What `init` proposes for a repository: the part of a deployment that its recipe decides. Pure.
//!
//! A guess that a person reads and corrects: so each says by what it was made. Of several, the one with the strongest evidence is taken; of
//! equal ones, that of the recipe that comes first.

use crate::base::names::UnitName;
use crate::config::Phase;
use crate::git::commit_tree::Tree;
use std::path::Path;

/// As much of a repository's own text as a comment quotes.
const QUOTED_CHARS_MAX: usize = 100;

/// The repository that is looked at, and where it is to be deployed.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The files of the branch's head, and what the small ones say.
    pub tree: &'a Tree,
    /// What the deployment is called; units are named after it.
    pub slug: &'a str,
    /// Where it is deployed to.
    pub path: &'a Path,
    /// As whom it will run.
    pub user: &'a str,
}

/// How much the evidence says, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// Files that would do for something else, too. It counts only where nothing in the repository tells of a build.
    Content,
    /// Manifests that say how something is installed and built, and not what it is.
    Manifests,
    /// A manifest that names what the result is.
    Product,
    /// The language of a program that has to be kept running.
    Language,
    /// A language, and what runs it or what is served beside it.
    Stack,
    /// A list of the processes.
    Processes,
    /// A file that only this recipe reads.
    OwnFile,
}

/// A recipe's part of a deployment's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// How much speaks for it.
    pub evidence: Evidence,
    /// By what it was proposed, in sentences that stand above the key `recipe`.
    pub why: Vec<String>,
    /// The name of the recipe: recipes that do the same in different ways propose each other.
    pub recipe: &'static str,
    /// Behind the key `recipe`, in this order.
    pub lines: Vec<Line>,
    /// Whether nothing else in the repository can be meant to be built.
    pub is_whole: bool,
    /// A health check, as TOML, to begin with. `None`: the recipe needs none.
    pub health: Option<&'static str>,
}

impl Proposal {
    /// A proposal with the usual hint at a health check.
    pub fn new(recipe: &'static str, evidence: Evidence, why: impl Into<String>) -> Self {
        let health = Some("[{ http = \"http://127.0.0.1:3000/\" }]");
        Self { evidence, why: vec![why.into()], recipe, lines: Vec::new(), is_whole: false, health }
    }

    /// The same with this line behind its others.
    pub fn comment(mut self, line: impl Into<String>) -> Self {
        self.lines.push(Line::Comment(line.into()));
        self
    }

    /// The same with this key behind its others. The value is TOML: what comes from the repository goes through [`toml_text`].
    pub fn key(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.lines.push(Line::Key(name, value.into()));
        self
    }

    /// The same with these commands behind its lines.
    pub fn steps(mut self, steps: Vec<DetectedStep>) -> Self {
        self.lines.extend((!steps.is_empty()).then_some(Line::Steps(steps)));
        self
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// For whoever reads it.
    Comment(String),
    /// A key and its value.
    Key(&'static str, String),
    /// The key `steps`.
    Steps(Vec<DetectedStep>),
}

/// A command that makes the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectedStep {
    pub phase: Phase,
    /// Program and arguments: our own, or plain words of the repository's.
    pub run: Vec<String>,
    /// Where, if not in the root.
    pub directory: Option<String>,
    pub why: String,
}

/// A process that somebody has to keep running.
#[derive(Debug, Clone)]
pub struct Unit {
    /// What the unit could be called.
    pub name: UnitName,
    /// What it runs, as the repository says: untrusted text, for a comment.
    pub command: String,
}

/// A list of texts, as TOML writes it.
pub fn toml_list<T: AsRef<str>>(texts: &[T]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| toml_text(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// A text as TOML writes it: JSON's escapes, and one that JSON does not need.
pub fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A text of others', for a comment: as much as a reader needs, and nothing that ends the line.
pub fn quoted(text: &str) -> String {
    visible(text).chars().take(QUOTED_CHARS_MAX).collect()
}

/// A text without what would end a comment, or show as something else.
pub fn visible(text: &str) -> String {
    let visible = |c: char| {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}') { ' ' } else { c }
    };
    text.chars().map(visible).collect()
}

/// A command in a directory (empty: the root).
pub fn step(phase: Phase, directory: &str, run: &[&str], why: &str) -> DetectedStep {
    DetectedStep {
        phase,
        run: run.iter().map(|word| (*word).to_owned()).collect(),
        directory: (!directory.is_empty()).then(|| directory.to_owned()),
        why: why.to_owned(),
    }
}

/// The last name of a path.
pub fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Whether a path of a repository may be written into a configuration: a relative one of letters that mean nothing elsewhere.
pub fn is_plain(path: &str) -> bool {
    const PATH_BYTES_MAX: usize = 200;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/+@".contains(&byte);
    let named = |part: &str| !matches!(part, "" | "." | "..");
    path.len() <= PATH_BYTES_MAX && path.bytes().all(plain) && path.split('/').all(named)
}
