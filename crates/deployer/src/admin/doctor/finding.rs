//! What a check says: how bad it is, what was seen, and what mends it.

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingLevel {
    /// As it should be.
    Ok,
    /// It could not be seen, or does not concern this host.
    NotChecked,
    /// It works, and may not for long, or not as safely as it could.
    Warning,
    /// Something the service needs does not work, or lets others in.
    Error,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub level: FindingLevel,
    /// What was seen.
    pub what: String,
    /// A command line or a sentence; None where nothing is to be done.
    pub mend: Option<String>,
}

/// What a check gives. An error says why nothing could be seen.
pub type CheckResult = anyhow::Result<Vec<Finding>>;

impl Finding {
    /// As it should be.
    pub fn ok(what: impl Into<String>) -> Self {
        Self { level: FindingLevel::Ok, what: what.into(), mend: None }
    }

    /// It could not be seen, or does not concern this host.
    pub fn not_checked(why: impl Into<String>) -> Self {
        Self { level: FindingLevel::NotChecked, what: why.into(), mend: None }
    }

    /// It may not work for long, or not as safely as it could.
    pub fn warning(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: FindingLevel::Warning, what: what.into(), mend: Some(mend.into()) }
    }

    /// It does not work, or lets others in.
    pub fn error(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: FindingLevel::Error, what: what.into(), mend: Some(mend.into()) }
    }
}

/// These findings, or where there are none, that all is well.
pub fn or_ok(findings: Vec<Finding>, what: impl Into<String>) -> Vec<Finding> {
    if findings.is_empty() { vec![Finding::ok(what)] } else { findings }
}
