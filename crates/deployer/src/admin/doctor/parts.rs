//! The parts that the deployer consists of, each with how it is now: for the first lines of `status`. The same looks as `doctor`'s, without
//! those that take long or need root.

use super::finding::{Finding, FindingLevel};
use super::{host, network, privileges, work};
use crate::admin::host::paths as of_setup;
use crate::config::{Config, Privileges};
use crate::pipeline::observe::places;
use crate::store::Store;
use anyhow::Result;
use serde::Serialize;

/// One part of the deployer.
#[derive(Debug, Serialize)]
pub struct DoctorPart {
    /// `intake`, `worker`, ...
    pub name: &'static str,
    /// How it is.
    #[serde(flatten)]
    pub finding: Finding,
}

impl DoctorPart {
    /// Whether the deployer cannot do its work for it.
    pub fn is_broken(&self) -> bool {
        self.finding.level == FindingLevel::Error
    }
}

/// All of them, in the order in which a push meets them.
pub async fn all(config: &Config, store: &Store) -> Vec<DoctorPart> {
    let mut parts = Vec::new();
    let mut add = |name: &'static str, answer: Result<Vec<Finding>>| {
        let findings = answer.unwrap_or_else(|error| vec![Finding::not_checked(format!("{error:#}"))]);
        parts.extend(findings.into_iter().map(|finding| DoctorPart { name, finding }));
    };
    if let Some(state) = of_setup::state_elsewhere(config) {
        let (what, mend) = of_setup::said_of_state_elsewhere(state);
        add("state", Ok(vec![Finding::error(what, mend)]));
    }
    add("intake", network::door_of(config).await);
    add("queues", work::queues_of(config));
    add("worker", work::worker_of(config));
    if config.privileges == Privileges::Helper {
        add("helper", privileges::helper());
    }
    add("database", Ok(work::record_of(config, store).await));
    add("disk", host::disks_of(config));
    if let Some(finding) = nginx(config) {
        add("nginx", Ok(vec![finding]));
    }
    parts
}

/// nginx, where it serves one of the deployments.
fn nginx(config: &Config) -> Option<Finding> {
    let mut enabled = config.deployments.values().filter(|deployment| deployment.enabled);
    let is_needed =
        enabled.any(|deployment| deployment.recipe.sites.is_some() || places::is_behind(config, deployment));
    is_needed.then(|| match places::nginx_runs(&config.nginx) {
        true => Finding::ok("nginx runs"),
        false => Finding::error(
            "nginx does not run, and serves deployments of this deployer",
            "`sudo nginx -t` says what is wrong with its configuration; `sudo systemctl start nginx` starts it",
        ),
    })
}
