//! Deployments: what GitHub shows under a repository's environments.

use super::error::ApiError;
use super::{GitHub, Subject, in_query};
use crate::base::names::CommitId;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

/// GitHub's number of a deployment.
#[derive(Debug, Deserialize)]
struct GithubDeployment {
    id: i64,
    /// What we gave it; GitHub stores text as text and objects as objects.
    #[serde(default)]
    payload: Value,
}

/// What a deployment is about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// Of which repository, and for which deployment of ours.
    pub subject: Subject<'a>,
    pub commit: &'a CommitId,
    pub environment: &'a str,
    /// By which run: how we know it again.
    pub run: &'a str,
}

impl GitHub {
    /// The deployment of a run, made if GitHub has none. Asked first, because an answer may have been lost.
    pub async fn ensure_deployment(&self, about: About<'_>) -> Result<i64, ApiError> {
        match self.find_deployment(about).await? {
            Some(id) => Ok(id),
            None => self.create_deployment(about).await,
        }
    }

    async fn find_deployment(&self, about: About<'_>) -> Result<Option<i64>, ApiError> {
        let About { subject, commit, environment, run } = about;
        let environment = in_query(environment);
        let path =
            format!("/repos/{}/deployments?sha={commit}&environment={environment}", subject.repository);
        let is_ours = |deployment: &GithubDeployment| deployment.payload["run"] == run;
        let found: Vec<GithubDeployment> =
            self.list(subject, &path, |page: &[GithubDeployment]| page.iter().any(is_ours)).await?;
        Ok(found.iter().find(|deployment| is_ours(deployment)).map(|deployment| deployment.id))
    }

    async fn create_deployment(&self, about: About<'_>) -> Result<i64, ApiError> {
        let body = json!({
            "ref": about.commit,
            "environment": about.environment,
            // Exactly this commit, whatever else GitHub knows of it: the push has been decided upon.
            "auto_merge": false,
            "required_contexts": [],
            "payload": { "run": about.run },
        });
        let path = format!("/repos/{}/deployments", about.subject.repository);
        let made: Value = self.write(about.subject, Method::POST, &path, &body).await?;
        made["id"]
            .as_i64()
            .ok_or_else(|| ApiError::unreadable("GitHub gave the deployment no number".to_owned()))
    }

    pub async fn create_deployment_status(
        &self,
        subject: Subject<'_>,
        deployment: i64,
        body: &Value,
    ) -> Result<(), ApiError> {
        let path = format!("/repos/{}/deployments/{deployment}/statuses", subject.repository);
        self.ask(subject, Method::POST, &path, Some(&body.to_string())).await
    }
}
