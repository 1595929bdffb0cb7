//! Commit statuses.

use super::error::ApiError;
use super::{GitHub, Subject};
use crate::base::names::CommitId;
use reqwest::Method;

impl GitHub {
    /// `POST /repos/{owner}/{repo}/statuses/{sha}`, with a body that [`crate::notify`] made.
    pub async fn create_status(
        &self,
        subject: Subject<'_>,
        commit: &CommitId,
        body: &str,
    ) -> Result<(), ApiError> {
        let path = format!("/repos/{}/statuses/{commit}", subject.repository);
        self.ask(subject, Method::POST, &path, Some(body)).await
    }
}
