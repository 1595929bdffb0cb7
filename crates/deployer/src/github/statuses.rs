//! Commit statuses.

use super::GitHub;
use super::error::ApiError;
use crate::names::{CommitId, RepositoryName};
use reqwest::Method;

impl GitHub {
    /// `POST /repos/{owner}/{repo}/statuses/{sha}`, with a body that [`crate::record::report`] made.
    pub async fn create_status(
        &self,
        repository: &RepositoryName,
        commit: &CommitId,
        body: &str,
    ) -> Result<(), ApiError> {
        let path = format!("/repos/{repository}/statuses/{commit}");
        self.send(Method::POST, &path, Some(body)).await.map(drop)
    }
}
