//! What CI says of a commit: its check runs and its commit statuses, which GitHub keeps apart and people do not.
//!
//! Reference: `checks/list-for-ref` and `repos/get-combined-status-for-ref`. Both are asked for the newest of each name.

use super::error::ApiError;
use super::{GitHub, PAGE_ENTRIES, Subject};
use crate::base::names::{CommitId, RepositoryName, Slug};
use serde::Deserialize;

/// Pages of each list: a thousand checks on one commit are more than GitHub itself shows.
const PAGES_MAX: usize = 10;

/// One check run, or one commit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitCheck {
    /// A check run's name, a status's context.
    pub name: String,
    /// How it stands.
    pub state: CheckState,
}

/// How a check stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckState {
    /// Neutral and skipped ones too, as for the branch rules of GitHub.
    Succeeded,
    /// It waits or runs.
    Pending,
    /// It has ended otherwise; how, in GitHub's word.
    Failed(String),
}

#[derive(Deserialize)]
struct CheckRuns {
    check_runs: Vec<CheckRun>,
}

#[derive(Deserialize)]
struct CheckRun {
    name: String,
    status: String,
    conclusion: Option<String>,
}

#[derive(Deserialize)]
struct CombinedStatus {
    statuses: Vec<CommitStatus>,
}

#[derive(Deserialize)]
struct CommitStatus {
    context: String,
    state: String,
}

impl GitHub {
    /// All checks of a commit, with a deployment's credential.
    pub async fn checks(
        &self,
        deployment: &Slug,
        repository: &RepositoryName,
        commit: &CommitId,
    ) -> Result<Vec<CommitCheck>, ApiError> {
        let base = format!("/repos/{repository}/commits/{commit}");
        let subject = Subject { deployment: Some(deployment.as_str()), repository };
        let mut checks = Vec::new();
        for page in 1..=PAGES_MAX {
            let path = format!("{base}/check-runs?filter=latest&per_page={PAGE_ENTRIES}&page={page}");
            let runs: CheckRuns = self.get(subject, &path).await?;
            let is_last = runs.check_runs.len() < PAGE_ENTRIES as usize;
            checks.extend(runs.check_runs.into_iter().map(CommitCheck::of_run));
            if is_last {
                break;
            }
        }
        for page in 1..=PAGES_MAX {
            let path = format!("{base}/status?per_page={PAGE_ENTRIES}&page={page}");
            let combined: CombinedStatus = self.get(subject, &path).await?;
            let is_last = combined.statuses.len() < PAGE_ENTRIES as usize;
            checks.extend(combined.statuses.into_iter().map(CommitCheck::of_status));
            if is_last {
                break;
            }
        }
        Ok(checks)
    }
}

impl CommitCheck {
    fn of_run(run: CheckRun) -> Self {
        let conclusion = run.conclusion.unwrap_or_default();
        let state = match (run.status.as_str(), conclusion.as_str()) {
            ("completed", "success" | "neutral" | "skipped") => CheckState::Succeeded,
            ("completed", _) => CheckState::Failed(plain(conclusion)),
            _ => CheckState::Pending,
        };
        Self { name: run.name, state }
    }

    fn of_status(status: CommitStatus) -> Self {
        let state = match status.state.as_str() {
            "success" => CheckState::Succeeded,
            "pending" => CheckState::Pending,
            _ => CheckState::Failed(plain(status.state)),
        };
        Self { name: status.context, state }
    }
}

/// GitHub's words are of small letters and underscores; what is not is no word of its.
fn plain(word: String) -> String {
    let is_plain = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_plain { word } else { "unknown".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_github_s_words_mean() {
        for (status, conclusion, expected) in [
            ("queued", None, CheckState::Pending),
            ("in_progress", None, CheckState::Pending),
            ("waiting", None, CheckState::Pending),
            ("completed", Some("success"), CheckState::Succeeded),
            ("completed", Some("neutral"), CheckState::Succeeded),
            ("completed", Some("skipped"), CheckState::Succeeded),
            ("completed", Some("failure"), CheckState::Failed("failure".into())),
            ("completed", Some("timed_out"), CheckState::Failed("timed_out".into())),
            ("completed", Some("cancelled"), CheckState::Failed("cancelled".into())),
            ("completed", Some("action_required"), CheckState::Failed("action_required".into())),
            ("completed", Some("a_word_of_later_years"), CheckState::Failed("a_word_of_later_years".into())),
            ("completed", Some("\0 <b>"), CheckState::Failed("unknown".into())),
            ("completed", None, CheckState::Failed("unknown".into())),
        ] {
            let run = CheckRun {
                name: "ci".into(),
                status: status.into(),
                conclusion: conclusion.map(str::to_owned),
            };
            assert_eq!(CommitCheck::of_run(run).state, expected, "{status} {conclusion:?}");
        }
        for (state, expected) in [
            ("success", CheckState::Succeeded),
            ("pending", CheckState::Pending),
            ("failure", CheckState::Failed("failure".into())),
            ("error", CheckState::Failed("error".into())),
        ] {
            let status = CommitStatus { context: "ci".into(), state: state.into() };
            assert_eq!(CommitCheck::of_status(status).state, expected, "{state}");
        }
    }
}
