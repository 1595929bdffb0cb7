//! What GitHub could not deliver, asked for again: events other than pushes, which no comparison of heads finds.
//!
//! GitHub delivers once, and keeps for three days what it has tried. A push that was lost needs no delivery: its branch's head is
//! compared. The events of checks say things that are asked for at GitHub too, but only where something is known to wait for them.
//! Off by default (`reconcile.deliveries`): it needs the right to manage webhooks, which the daemon otherwise does without.
//!
//! Each delivery is asked for once by each start of the daemon: what GitHub cannot deliver twice, somebody must look at
//! (`webhook deliveries --failed`).

use crate::base::names::RepositoryName;
use crate::github::error::ApiError;
use crate::github::hooks::{Delivery, undelivered};
use crate::pipeline::context::Host;
use std::collections::HashSet;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two looks, in intervals of reconcile: a look costs two requests for each repository, of GitHub's 5,000 an hour.
const INTERVALS: u32 = 10;

/// Deliveries remembered as asked for. GitHub forgets them after three days; so may we, and ask once more.
const REMEMBERED_MAX: usize = 10_000;

/// Deliveries of one hook asked for at one look; those that are left have their turn at the next.
const ASKED_MAX: usize = 20;

pub struct Deliveries {
    host: Host,
    repositories: Vec<RepositoryName>,
    asked_for: HashSet<String>,
}

impl Deliveries {
    /// Of the hooks of all configured repositories that deliver here.
    pub fn new(host: Host) -> Self {
        let mut repositories: Vec<RepositoryName> = Vec::new();
        for deployment in host.config.deployments.values().filter(|deployment| deployment.enabled) {
            if !repositories.contains(&deployment.repository) {
                repositories.push(deployment.repository.clone());
            }
        }
        Self { host, repositories, asked_for: HashSet::new() }
    }

    /// Looks until told to stop; for the first time after an interval, when what is asked for will be let in.
    pub async fn serve(mut self, stop: CancellationToken) {
        let mut pause: Duration = self.host.config.reconcile.interval;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            for repository in self.repositories.clone() {
                let looked = tokio::select! {
                    () = stop.cancelled() => return,
                    looked = self.look_at(&repository) => looked,
                };
                if let Err(error) = looked {
                    let reason = error.reason;
                    tracing::warn!(%repository, reason, "GitHub cannot be asked what it could not deliver");
                }
            }
            pause = self.host.config.reconcile.interval.saturating_mul(INTERVALS);
        }
    }

    async fn look_at(&mut self, repository: &RepositoryName) -> Result<(), ApiError> {
        let github = self.host.github.clone();
        let url = self.host.config.webhook_url();
        for hook in github.hooks(repository).await?.into_iter().filter(|hook| hook.delivers_to(&url)) {
            let attempts = github.hook_deliveries(repository, hook.id, |_| false).await?;
            for missed in self.worth_asking_for(&attempts) {
                match github.redeliver(repository, hook.id, missed.id).await {
                    Ok(()) => {
                        tracing::info!(%repository, delivery = missed.guid, event = missed.event, "GitHub could not deliver this, and tries again");
                    }
                    Err(error) if error.kind.passes() => return Err(error),
                    Err(error) => {
                        tracing::warn!(%repository, delivery = missed.guid, reason = error.reason, "GitHub does not deliver this again");
                    }
                }
                self.asked_for.insert(missed.guid);
            }
        }
        Ok(())
    }

    fn worth_asking_for(&mut self, attempts: &[Delivery]) -> Vec<Delivery> {
        if self.asked_for.len() > REMEMBERED_MAX {
            self.asked_for.clear();
        }
        let mut missed = undelivered(attempts);
        missed.retain(|missed| {
            !matches!(missed.event.as_str(), "push" | "ping") && !self.asked_for.contains(&missed.guid)
        });
        missed.truncate(ASKED_MAX);
        missed
    }
}
