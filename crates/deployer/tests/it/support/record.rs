//! What the CLI prints as JSON, as types: the contract that operators' scripts rely on.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// One entry of `runs --json`, and `run` of `run ID --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Run {
    #[serde(deserialize_with = "id")]
    pub id: String,
    pub deployment: String,
    pub repository: String,
    pub branch: String,
    /// Empty as long as the branch's head was not resolved.
    #[serde(deserialize_with = "text_or_nothing")]
    pub commit: String,
    pub previous_commit: Option<String>,
    pub attempt: u32,
    pub trigger: String,
    pub state: String,
    pub cause: Option<String>,
    pub summary: Option<String>,
    pub release: Option<String>,
    pub delivery: Option<String>,
    pub created_at_ms: i64,
    pub started_at_ms: Option<i64>,
    pub ended_at_ms: Option<i64>,
}

impl Run {
    /// Whether nothing more will become of it.
    pub fn is_final(&self) -> bool {
        !["queued", "running", "unknown"].contains(&self.state.as_str())
    }

    /// From its start to its end; for figures.
    pub fn took_ms(&self) -> Option<i64> {
        Some(self.ended_at_ms? - self.started_at_ms?)
    }
}

/// `run ID --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct RunPage {
    pub run: Run,
    pub steps: Vec<Step>,
}

/// One step of a run.
#[derive(Debug, Clone, Deserialize)]
pub struct Step {
    pub number: i64,
    /// `do` or `undo`.
    pub direction: String,
    pub phase: String,
    pub name: String,
    pub command: Option<String>,
    pub state: String,
    pub cause: Option<String>,
    pub started_at_ms: Option<i64>,
    pub ended_at_ms: Option<i64>,
}

/// One verdict of `explain GUID --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Verdict {
    pub deployment: Option<String>,
    pub code: String,
    pub sentence: String,
    pub run: Option<Value>,
}

/// One entry of `status --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct DeploymentStatus {
    pub slug: String,
    pub enabled: bool,
    pub live: Option<Live>,
    pub last_run: Option<Run>,
    pub queued: u64,
    pub compared: Option<Comparison>,
    pub observed: Option<Observation>,
}

/// What the worker saw of a deployment last.
#[derive(Debug, Clone, Deserialize)]
pub struct Observation {
    pub at_ms: i64,
    pub findings: Vec<Finding>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Finding {
    pub code: String,
    pub severity: String,
    pub what: String,
    pub mend: String,
}

/// How a deployment was last compared with its branch.
#[derive(Debug, Clone, Deserialize)]
pub struct Comparison {
    pub at_ms: i64,
    pub head: Option<String>,
    pub finding: String,
    pub is_error: bool,
}

/// What is live.
#[derive(Debug, Clone, Deserialize)]
pub struct Live {
    /// Empty: the link names a release that the database does not know.
    #[serde(deserialize_with = "text_or_nothing")]
    pub commit: String,
    pub release: String,
    pub since_ms: i64,
}

fn text_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// An id is shown as the CLI takes it, whether it is a number or a text.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        other => other.to_string(),
    })
}
