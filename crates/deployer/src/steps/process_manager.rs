//! Process managers: who keeps the programs of a release running. One small interface, an adapter for each manager.
//!
//! An adapter is data (it is part of a plan, and survives a crash in it) that knows how to bring the manager to run a release,
//! to stop, and to prove that what runs is that release. Each may be repeated at any time: what is so
//! already is left so. Programs are called through a [`StepContext`].

pub mod pm2;
pub mod systemd;
pub mod uwsgi;

use crate::process::step_context::StepContext;
use crate::steps::finding::Finding;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// A process manager, with what it is to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    Systemd(systemd::Units),
    /// A vassal of uWSGI's emperor.
    Uwsgi(uwsgi::Vassal),
    Pm2(pm2::Applications),
}

/// What a process manager is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManagerAction {
    /// See whether it could run the release, wait until it can, and change nothing that is live.
    Check,
    /// Run the release: start what does not run, reload or restart what does.
    Run,
    /// Prove that it runs, and is the release.
    Prove,
    /// Stop it: nothing was live before.
    Stop,
}

impl Manager {
    pub async fn grant(&self, action: ManagerAction, step_context: &StepContext<'_>) -> Result<()> {
        match self {
            Self::Systemd(units) => units.grant(action, step_context).await,
            Self::Uwsgi(vassal) => vassal.grant(action, step_context).await,
            Self::Pm2(applications) => applications.grant(action, step_context).await,
        }
    }

    /// Looks whether the live release runs, and will run after a boot. Changes nothing.
    pub async fn look(&self, step_context: &StepContext<'_>) -> Result<Vec<Finding>> {
        match self {
            Self::Systemd(units) => units.look(step_context).await,
            Self::Uwsgi(vassal) => vassal.look(step_context).await,
            Self::Pm2(applications) => applications.look(step_context).await,
        }
    }

    /// One line for people: the commands, or what they depend on.
    pub fn shown(&self, action: ManagerAction) -> String {
        match self {
            Self::Systemd(units) => units.shown(action),
            Self::Uwsgi(vassal) => vassal.shown(action),
            Self::Pm2(applications) => applications.shown(action),
        }
    }
}
