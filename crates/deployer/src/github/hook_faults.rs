//! What is wrong with a webhook, as GitHub has it.

use crate::base::names::RepositoryName;
use crate::config::Config;
use crate::github::hooks::{self, Hook};
use serde_json::json;

/// What a hook of this repository has to deliver.
pub fn events(config: &Config, repository: &RepositoryName) -> Vec<&'static str> {
    let mut deployments = config.deployments.values();
    hooks::events(
        deployments
            .any(|deployment| deployment.repository == *repository && !deployment.gates.checks.is_empty()),
    )
}

pub fn events_missing(config: &Config, repository: &RepositoryName, hook: &Hook) -> Option<String> {
    let mut wanted = events(config, repository);
    wanted.retain(|event| !hook.events.iter().any(|known| known == event || known == "*"));
    let why = if wanted.contains(&"push") { "" } else { ", for which `require_checks` waits" };
    (!wanted.is_empty()).then(|| format!("it does not deliver {} events{why}", wanted.join(", ")))
}

/// What is wrong with a hook, however its deliveries go.
pub fn faults(config: &Config, repository: &RepositoryName, hook: &Hook) -> Vec<String> {
    let mut faults = Vec::new();
    if !hook.active {
        faults.push("it is switched off".to_owned());
    }
    faults.extend(events_missing(config, repository, hook));
    if hook.config.insecure_ssl != json!("0") && hook.config.insecure_ssl != json!(0) {
        faults.push("GitHub does not check this server's certificate".to_owned());
    }
    if !hook.config.url.starts_with("https://") {
        faults.push("payloads are sent unencrypted".to_owned());
    }
    faults
}
