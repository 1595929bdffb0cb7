//! Plan and step: the vocabulary of a run. Data, so that it can be printed, tested, stored and carried out.
//!
//! A plan is stored before its first step starts, so that a daemon that finds the run after a crash can take
//! back exactly what was planned, whatever the configuration says by then. No secret is in it: environment
//! files are named, not read.

pub mod builder;
pub mod facts;
pub mod input_digest;
pub mod installer;
pub mod manifests;
pub mod proposal;
pub mod recipe;
pub mod recipes;
pub mod standing;
pub mod workspace;

use crate::base::failpoint;
use crate::base::names::{CommitId, UserName};
use crate::base::words::counted;
use crate::config::{CommandLine, HealthCheck, Phase};
use crate::process::command::Command;
use crate::steps::nginx::SitesStep;
use crate::steps::process_manager::{Manager, ManagerAction};
use crate::steps::published_path::Placement;
use crate::steps::self_update::{self, Program};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

const VERSION: u32 = 2;

/// The version of the plans that this program makes, and the newest that it reads. It grows with every change that a program before it would
/// misread: a step that it would leave out, or undo in another way. A new optional field that may be ignored needs no new version.
pub fn version() -> u32 {
    failpoint::plan_version().unwrap_or(VERSION)
}

/// An ordered list of steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// See [`version`]. Plans of 0.1.0 do not say theirs, which is 1.
    #[serde(default = "first_version")]
    pub version: u32,
    pub steps: Vec<Step>,
    /// How many steps the run had recorded before the first of these. Only for older programs, which find the steps by it that were begun; this
    /// one reads the index that is stored with each step.
    #[serde(default)]
    pub steps_before: Option<u32>,
    /// Run, in order, after a failed run has been undone.
    pub on_failure: Vec<Command>,
    /// The environment of every command but those that take something back.
    pub environment: BTreeMap<String, String>,
    /// The environment of those: it names the release that is gone back to.
    pub environment_before: BTreeMap<String, String>,
    /// A digest of everything that the release depends on: two plans with the same make the same release. None: it is
    /// not known on what it depends.
    #[serde(default)]
    pub inputs: Option<String>,
    /// As whom its commands run: who has made the release undoes what it has done, whatever the configuration says by then. None: as whom the
    /// configuration says.
    #[serde(default)]
    pub user: Option<UserName>,
}

/// Why a stored plan cannot be carried out or undone.
#[derive(Debug, thiserror::Error)]
pub enum UnreadablePlan {
    /// A newer program has made it.
    #[error("it is of version {found}, and this program reads plans up to version {known}")]
    Newer {
        /// The plan's version.
        found: u32,
        known: u32,
    },
    /// It is no plan.
    #[error("it cannot be parsed: {0}")]
    Malformed(#[from] serde_json::Error),
}

fn first_version() -> u32 {
    1
}

impl Plan {
    /// The plan in the text that is stored with a run. An error says that it is of a later version, or no plan: what the run has done is then
    /// unknown, which is something else than nothing.
    pub fn read(text: &str) -> Result<Self, UnreadablePlan> {
        #[derive(Deserialize)]
        struct Versioned {
            #[serde(default = "first_version")]
            version: u32,
        }
        // First: a later version may have other fields.
        let Versioned { version } = serde_json::from_str(text)?;
        match self::version() {
            known if (1..=known).contains(&version) => Ok(serde_json::from_str(text)?),
            known => Err(UnreadablePlan::Newer { found: version, known }),
        }
    }

    /// The text that is stored with a run.
    pub fn stored(&self) -> String {
        serde_json::to_string(self).expect("a plan of strings, numbers and lists serialises")
    }
}

/// One command or one built-in action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its place in a run.
    pub phase: Phase,
    /// Shown to people.
    pub name: String,
    /// What is done.
    pub action: Action,
    /// What undoes it, in order; empty: nothing has to be.
    pub undo: Vec<Undo>,
    pub timeout: Duration,
    /// Further attempts after a failure.
    pub retries: u32,
}

/// One part of taking a step back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    /// What is done.
    pub action: Action,
    /// Only if a step of this phase had been started.
    pub if_started: Option<Phase>,
    /// To which phase the action belongs: the step that it undoes may be another's. None: an older deployer's plan does not say.
    #[serde(default)]
    pub phase: Option<Phase>,
    /// Its deadline; None: the deployment's `step_timeout`.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// Further attempts after a failure.
    #[serde(default)]
    pub retries: u32,
}

impl Undo {
    /// Done in any case, once.
    pub fn always(phase: Phase, action: Action) -> Self {
        Self { action, if_started: None, phase: Some(phase), timeout: None, retries: 0 }
    }

    /// The same, only if a step of this phase had been started.
    pub fn if_started(self, phase: Option<Phase>) -> Self {
        Self { if_started: phase, ..self }
    }
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Look whether what the run needs is there, before anything is done.
    Preflight,
    /// Bring the branch's head (or the one commit asked for) into the mirror.
    Fetch,
    /// Make the release's directory out of the commit, and link what is shared.
    Export {
        release: String,
        /// What it is made of.
        commit: CommitId,
    },
    /// Bring the work tree in place to this commit.
    UpdateTree {
        /// What it is brought to.
        commit: CommitId,
    },
    /// Make `current` name this release.
    Activate { release: String },
    /// Remove `current`: there was none before.
    Deactivate,
    /// Run a program.
    Command(Command),
    /// Ask until it is healthy, or give up.
    Health(HealthCheck),
    /// Have a process manager run the release, prove that it does, or stop it.
    Processes {
        /// Who, and what.
        manager: Manager,
        /// What is asked of it.
        #[serde(rename = "wish")]
        action: ManagerAction,
    },
    /// Bring files to where they are served, or back.
    Place(Placement),
    /// Test, certify, install or restore the host's nginx sites.
    Sites(Box<SitesStep>),
    /// Have a new deployer say whether it would start.
    Examine(Program),
    /// Give this deployer's place to a new one, and make `current` name its release.
    #[serde(rename = "hand-over")]
    SelfUpdate(self_update::SelfUpdate),
    /// Remove releases that are no longer kept.
    Prune,
    /// Exchange files and directories of a work tree for links to them in `shared/`.
    Share {
        /// Relative to the deployment's path.
        paths: Vec<PathBuf>,
    },
    /// Take that back.
    Unshare { paths: Vec<PathBuf> },
}

impl Action {
    /// One line that says what is done: the command itself, or the built-in action in words.
    pub fn shown(&self) -> String {
        match self {
            Self::Preflight => "look whether what the run needs is there".into(),
            Self::Fetch => "fetch the commit into the mirror".into(),
            Self::Export { release, commit } => format!("export {} to releases/{release}", commit.short()),
            Self::UpdateTree { commit } => format!("bring the work tree to {}", commit.short()),
            Self::Activate { release } => format!("link current -> releases/{release}"),
            Self::Deactivate => "remove the link current".into(),
            Self::Command(command) => command.line.shown(),
            Self::Health(check) => check.shown(),
            Self::Processes { manager, action } => manager.shown(*action),
            Self::Place(placement) => placement.shown(),
            Self::Sites(step) => step.shown(),
            Self::Examine(program) => program.shown(),
            Self::SelfUpdate(update) => update.shown(),
            Self::Prune => "remove releases that are no longer kept".into(),
            Self::Share { paths } => {
                format!(
                    "move {} to shared/, behind links",
                    counted(paths.len(), "file or directory", "files and directories")
                )
            }
            Self::Unshare { paths } => {
                format!(
                    "move {} back from shared/",
                    counted(paths.len(), "file or directory", "files and directories")
                )
            }
        }
    }
}

impl CommandLine {
    /// As one would type it.
    pub fn shown(&self) -> String {
        match self {
            Self::Shell(line) => line.clone(),
            Self::Argv(argv) => argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
        }
    }

    /// Program and arguments.
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Argv(argv) => argv.clone(),
            Self::Shell(line) => vec!["/bin/sh".into(), "-c".into(), line.clone()],
        }
    }
}

/// A word as a shell would need it, for people who copy it.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

impl HealthCheck {
    /// One line that says what is asked.
    pub fn shown(&self) -> String {
        use crate::config::Probe;
        match &self.probe {
            Probe::Http { url, .. } => format!("GET {url}"),
            Probe::Tcp(address) => format!("connect to {address}"),
            Probe::Command(line) => line.shown(),
        }
    }
}

impl Phase {
    /// All, in order.
    pub const ALL: [Self; 7] =
        [Self::Fetch, Self::Install, Self::Build, Self::Migrate, Self::Switch, Self::Verify, Self::Clean];

    /// As written in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Install => "install",
            Self::Build => "build",
            Self::Migrate => "migrate",
            Self::Switch => "switch",
            Self::Verify => "verify",
            Self::Clean => "clean",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_by_its_version() {
        let empty = r#""steps": [], "on_failure": [], "environment": {}, "environment_before": {}"#;
        let of_0_1_0 = Plan::read(&format!("{{{empty}}}")).unwrap();
        assert_eq!((of_0_1_0.version, of_0_1_0.steps_before, of_0_1_0.user.as_ref()), (1, None, None));
        let plan = Plan { version: VERSION, steps_before: Some(2), ..of_0_1_0 };
        assert_eq!(Plan::read(&plan.stored()).unwrap(), plan);
        let next = VERSION + 1;
        let refused = |text: &str| Plan::read(text).unwrap_err().to_string();
        assert_eq!(
            refused(&format!(r#"{{"version": {next}, "stages": 7}}"#)),
            format!("it is of version {next}, and this program reads plans up to version {VERSION}")
        );
        // No version is 0, and no text but an object is a plan: none of these is "no plan".
        assert!(refused(&format!(r#"{{"version": 0, {empty}}}"#)).starts_with("it is of version 0"));
        for text in ["", "{", "{}", "[]", "null", r#"{"version": "2"}"#, r#"{"version": -1}"#, "\0"] {
            assert!(refused(text).starts_with("it cannot be parsed: "), "{text:?}");
        }
    }

    #[test]
    fn commands_are_shown_as_one_would_type_them() {
        let argv = |words: &[&str]| CommandLine::Argv(words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(argv(&["npm", "run", "build"]).shown(), "npm run build");
        assert_eq!(argv(&["echo", "it's", "", "a b"]).shown(), r"echo 'it'\''s' '' 'a b'");
        assert_eq!(CommandLine::Shell("a && b".into()).shown(), "a && b");
        assert_eq!(CommandLine::Shell("a && b".into()).argv(), ["/bin/sh", "-c", "a && b"]);
    }
}
