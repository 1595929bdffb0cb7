//! From the spool `main` to the deployments' spools: what a delivery concerns, and one verdict for each.
//!
//! The order of things makes a crash harmless: first the verdicts are recorded, then the entry is copied (its id keeps it
//! from lying in a spool twice), then the delivery is marked as dispatched, then it leaves the main spool. Whatever was
//! not done is done again, and changes nothing where it had been done.
//!
//! While the database is away, deliveries wait here, in order.

use super::event::{Event, Push, Target};
use crate::clock;
use crate::config::Deployment;
use crate::deploy::Host;
use crate::deploy::worker::is_database_away;
use crate::entry::{Entry, Payload};
use crate::names::{CommitId, Slug};
use crate::record::report;
use crate::record::store::{NewDelivery, Recorded, RunState, Verdict, VerdictCode};
use anyhow::{Context, Result};
use indexmap::IndexMap;
use spool::{Claim, Spool};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Before the next attempt while the database is away.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);

/// Claims of one entry after which it is set aside: it has ended the deployer that often.
const CLAIMS_MAX: u32 = 20;

/// Gives deliveries their verdicts.
pub struct Dispatch {
    /// Configuration and record.
    pub host: Host,
    /// Where deliveries wait.
    pub main: Spool,
    /// Where they go.
    pub spools: IndexMap<Slug, Spool>,
}

/// What is to be done with one delivery.
struct Decision {
    delivery: NewDelivery,
    verdicts: Vec<Verdict>,
}

impl Dispatch {
    /// Works until told to stop. `wake` is only a hint.
    pub async fn serve(self, wake: Arc<Notify>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.drain(&stop).await {
                Ok(()) => spool::SCAN_INTERVAL,
                Err(error) if is_database_away(&error) => {
                    tracing::warn!(error = format!("{error:#}"), "deliveries wait for the database");
                    TROUBLE_PAUSE
                }
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "dispatch is in trouble");
                    TROUBLE_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn drain(&self, stop: &CancellationToken) -> Result<()> {
        loop {
            let spool = self.main.clone();
            let waiting = tokio::task::spawn_blocking(move || spool.ready()).await?.context("cannot read the main spool")?;
            if waiting.is_empty() {
                return Ok(());
            }
            for name in waiting {
                if stop.is_cancelled() {
                    return Ok(());
                }
                let spool = self.main.clone();
                let claimed = tokio::task::spawn_blocking(move || spool.claim(&name)).await?.context("cannot claim a delivery")?;
                if let Some(claim) = claimed {
                    self.one(claim).await?;
                }
            }
        }
    }

    async fn one(&self, claim: Claim) -> Result<()> {
        crate::crash_point!("dispatch-claimed");
        let parsed = match Entry::parse(claim.contents()) {
            Ok(_) if claim.attempts() > CLAIMS_MAX => Err(format!("reading it ended the deployer {CLAIMS_MAX} times")),
            Ok(entry) => Ok(entry),
            Err(error) => Err(error.to_string()),
        };
        let entry = match parsed {
            Ok(entry) => entry,
            Err(reason) => {
                tracing::error!(entry = claim.name().as_str(), reason, "set an entry aside");
                return bury(claim, reason).await;
            }
        };
        match self.dispatch(&entry, &claim).await {
            Ok(None) => {
                crate::crash_point!("dispatched");
                tokio::task::spawn_blocking(move || claim.finish()).await?.context("cannot tidy up the main spool")
            }
            Ok(Some(reason)) => bury(claim, reason).await,
            Err(error) => {
                tokio::task::spawn_blocking(move || claim.release()).await??;
                Err(error)
            }
        }
    }

    /// Records and copies. Returns a reason where the entry is to be set aside.
    async fn dispatch(&self, entry: &Entry<'_>, claim: &Claim) -> Result<Option<String>> {
        let store = &self.host.store;
        let mut decision = self.decide(entry, claim.name().as_str());
        self.refuse_replay(&mut decision).await?;
        let recorded = store.record_delivery(&decision.delivery, &decision.verdicts).await?;
        crate::crash_point!("verdict-recorded");
        let again = matches!(&recorded, Recorded::Known { entry, dispatched: true } if entry != claim.name().as_str());
        for verdict in &decision.verdicts {
            tracing::info!(delivery = %entry.header.id, deployment = verdict.deployment.as_deref(), code = verdict.code.as_str(), verdict.sentence);
            if verdict.code == VerdictCode::Queued {
                self.queue(claim, &decision.delivery, verdict, again).await?;
            }
        }
        crate::crash_point!("copied");
        store.mark_dispatched(&entry.header.id, claim.name().as_str(), clock::now_ms()).await?;
        let malformed = decision.verdicts.iter().find(|verdict| verdict.code == VerdictCode::Malformed);
        Ok(malformed.map(|verdict| verdict.sentence.clone()))
    }

    /// A body that came before under another id is a replay (ids are not signed): it leads to nothing.
    async fn refuse_replay(&self, decision: &mut Decision) -> Result<()> {
        if !decision.verdicts.iter().any(|verdict| verdict.code == VerdictCode::Queued) {
            return Ok(());
        }
        let earlier = self.host.store.delivery_by_payload(&decision.delivery.payload_sha256, &decision.delivery.entry).await?;
        if let Some(earlier) = earlier.filter(|earlier| earlier.id != decision.delivery.id) {
            for verdict in decision.verdicts.iter_mut().filter(|verdict| verdict.code == VerdictCode::Queued) {
                verdict.code = VerdictCode::Duplicate;
                verdict.sentence = format!("the same body came before, as delivery {}", earlier.id);
            }
        }
        Ok(())
    }

    /// Copies the entry to a deployment, unless that is done with it. `again`: it is a redelivery.
    async fn queue(&self, claim: &Claim, delivery: &NewDelivery, verdict: &Verdict, again: bool) -> Result<()> {
        let id = &delivery.id;
        let Some((deployment, spool)) = self.target(verdict) else { return Ok(()) };
        let runs = self.host.store.runs_of_delivery(id, &deployment.slug).await?;
        if let Some(last) = runs.last() {
            match (again, last.state) {
                // A redelivery is a retry of what failed, and only of that.
                (true, RunState::Failed | RunState::Cancelled) => {}
                _ => return Ok(()),
            }
        }
        if again {
            let known = self.host.store.verdicts(id).await?;
            let ours = known.iter().find(|verdict| verdict.deployment.as_deref() == Some(deployment.slug.as_str()));
            if ours.is_some_and(|verdict| verdict.code == VerdictCode::Superseded) {
                return Ok(());
            }
            let sentence = "queued again: it was delivered again after a failure";
            self.host.store.set_verdict(id, &deployment.slug, VerdictCode::Queued, sentence, None).await?;
        }
        let (spool, bytes, id) = (spool.clone(), claim.contents().to_vec(), id.clone());
        tokio::task::spawn_blocking(move || spool.append(id.as_str(), &[&bytes]))
            .await?
            .with_context(|| format!("cannot queue the delivery for {}", deployment.slug))?;
        self.tell_queued(deployment, delivery.commit_id.as_ref()).await
    }

    /// The commit's status says at once that it waits; a run in progress may take long.
    async fn tell_queued(&self, deployment: &Deployment, commit: Option<&CommitId>) -> Result<()> {
        let Some(commit) = commit else { return Ok(()) };
        let live = self.host.store.live_release(&deployment.slug).await?;
        if live.is_some_and(|live| live.commit_id == *commit) {
            return Ok(());
        }
        if let Some(row) = report::row(&self.host, deployment, commit, report::Status::Pending, "queued", None) {
            self.host.store.enqueue_status(&row).await?;
        }
        Ok(())
    }

    fn target(&self, verdict: &Verdict) -> Option<(&Deployment, &Spool)> {
        let slug = verdict.deployment.as_deref()?;
        let (slug, spool) = self.spools.iter().find(|(known, _)| known.as_str() == slug)?;
        Some((self.host.config.deployments.get(slug)?, spool))
    }

    /// What the delivery means for each deployment. Reads nothing but the configuration.
    fn decide(&self, entry: &Entry<'_>, name: &str) -> Decision {
        let mut delivery = NewDelivery::of(&entry.header, name);
        let none = |code, sentence: String| vec![Verdict::new(None, code, sentence)];
        let payload = match &entry.payload {
            Payload::Json(payload) => *payload,
            Payload::Malformed(_) => {
                return Decision { delivery, verdicts: none(VerdictCode::Malformed, "the body is not JSON".into()) };
            }
        };
        let verdicts = match Event::parse(&entry.header.event, payload) {
            Err(error) => none(VerdictCode::Malformed, error.to_string()),
            Ok(Event::Ping) => none(VerdictCode::Ping, "GitHub says hello".into()),
            Ok(Event::Other(event)) if event.is_empty() => {
                none(VerdictCode::EventNotHandled, "there was no X-GitHub-Event header".into())
            }
            Ok(Event::Other(event)) => none(VerdictCode::EventNotHandled, format!("{event} events are not handled")),
            Ok(Event::Push(push)) => {
                delivery.repository = Some(push.repository.clone());
                delivery.git_ref = Some(push.git_ref.clone());
                delivery.commit_id.clone_from(&push.after);
                delivery.sender.clone_from(&push.pusher);
                verdicts_of_push(&self.host.config.deployments, &push)
            }
        };
        Decision { delivery, verdicts }
    }
}

/// One verdict for each deployment of the repository; one for none where there is none.
fn verdicts_of_push(deployments: &IndexMap<Slug, Deployment>, push: &Push) -> Vec<Verdict> {
    let same = |deployment: &&Deployment| {
        deployment.repository.as_str().eq_ignore_ascii_case(push.repository.as_str())
    };
    let verdicts: Vec<Verdict> =
        deployments.values().filter(same).map(|deployment| verdict_of_push(deployment, push)).collect();
    if verdicts.is_empty() {
        let sentence = format!("no deployment is configured for {}", push.repository);
        return vec![Verdict::new(None, VerdictCode::NotAConfiguredRepository, sentence)];
    }
    verdicts
}

fn verdict_of_push(deployment: &Deployment, push: &Push) -> Verdict {
    let (code, sentence) = match &push.target {
        Target::Branch(branch) if *branch != deployment.branch => {
            (VerdictCode::NotAConfiguredBranch, format!("{} deploys {}, not {branch}", deployment.slug, deployment.branch))
        }
        Target::Other => {
            (VerdictCode::NotAConfiguredBranch, format!("{} deploys the branch {} only", deployment.slug, deployment.branch))
        }
        Target::Branch(branch) if push.after.is_none() => {
            (VerdictCode::BranchDeleted, format!("{branch} was deleted; what is live stays live"))
        }
        Target::Branch(_) if !deployment.enabled => {
            (VerdictCode::DeploymentDisabled, format!("{} is disabled in the configuration", deployment.slug))
        }
        Target::Branch(_) => (VerdictCode::Queued, "queued".to_owned()),
    };
    Verdict::new(Some(&deployment.slug), code, sentence)
}

async fn bury(claim: Claim, reason: String) -> Result<()> {
    tokio::task::spawn_blocking(move || claim.bury(&reason)).await?.context("cannot set an entry aside")
}
