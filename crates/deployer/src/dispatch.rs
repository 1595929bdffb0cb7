//! From the spool `main` to the deployments' spools: which deployments a delivery concerns, one verdict for each, and a job for those that
//! have something to do. Nobody behind dispatch reads the delivery's payload.
//!
//! The order of things makes a crash harmless: first the verdicts are recorded, then the jobs are written (the delivery's id keeps one
//! from lying in a spool twice), then the delivery is marked as dispatched, then it leaves the main spool. Whatever was
//! not done is done again, and changes nothing where it had been done.
//!
//! While the database is away, deliveries wait here, in order.
//!
//! A delivery is the same as an earlier one where both its id and its body are: ids are not signed. A body that came before under
//! another id is a replay and leads to nothing; another body under an id that is known is a delivery of its own.

use crate::base::clock;
use crate::base::names::{CommitId, DeliveryId, Slug};
use crate::config::Deployment;
use crate::github::webhook_event::{Checked, Event, EventTarget, Push, Reading};
use crate::notify;
use crate::pipeline::context::{Host, HostedDeployment};
use crate::pipeline::gates::Held;
use crate::queue::entry::{Entry, EntrySource, Header, Payload};
use crate::queue::job::{Job, JobKind, webhook_job};
use crate::queue::recorded::{delivery_of, verdict};
use crate::store::is_database_away;
use crate::store::{NewDelivery, Recorded, Verdict, VerdictCode, visibility};
use anyhow::{Context, Result};
use indexmap::IndexMap;
use spool::{Appended, Claim, ClaimError, Spool};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Before the next attempt while the database is away.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);

/// How often a delivery that led to nothing is tried again because it is delivered again.
const RETRIES_MAX: u32 = 3;

/// Claims of one entry after which it is set aside: it has ended the deployer that often.
const CLAIMS_MAX: u32 = 20;

/// Entries set aside beyond which no delivery that cannot be read is kept.
pub const BAD_FILES_MAX: usize = 1000;

/// Bytes of entries set aside beyond which no delivery that cannot be read is kept: some hundreds of the longest.
pub const BAD_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Gives deliveries their verdicts.
pub struct Dispatch {
    /// Configuration and record.
    pub host: Host,
    /// Where deliveries wait.
    pub main: Spool,
    /// Where they go.
    pub spools: IndexMap<Slug, Spool>,
}

/// What one delivery says, as far as it could be read.
enum Meaning {
    Push(Push),
    Checked(Checked),
    /// Nothing that a deployment could be concerned by.
    Nothing(VerdictCode, String),
}

impl Dispatch {
    /// Works until told to stop. `wake` is only a hint.
    pub async fn serve(self, wake: Arc<Notify>, stop: CancellationToken) {
        let mut told = String::new();
        while !stop.is_cancelled() {
            let Err(error) = self.drain(&stop).await else {
                told.clear();
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = wake.notified() => {}
                    () = tokio::time::sleep(spool::SCAN_INTERVAL) => {}
                }
                continue;
            };
            let text = format!("{error:#}");
            match is_database_away(&error) {
                // What goes on for hours is one line.
                _ if text == told => {}
                true => {
                    let who = self.host.store.who_locks(&error);
                    tracing::warn!(error = text, who, "deliveries wait for the database");
                }
                false => tracing::error!(error = text, "dispatch is in trouble"),
            }
            told = text;
            // Putting an entry back wakes us too: only time may.
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(TROUBLE_PAUSE) => {}
            }
        }
    }

    async fn drain(&self, stop: &CancellationToken) -> Result<()> {
        loop {
            let spool = self.main.clone();
            let waiting = tokio::task::spawn_blocking(move || spool.ready())
                .await?
                .context("cannot read the main spool")?;
            if waiting.is_empty() {
                return Ok(());
            }
            for name in waiting {
                if stop.is_cancelled() {
                    return Ok(());
                }
                let spool = self.main.clone();
                match tokio::task::spawn_blocking(move || spool.claim(&name)).await? {
                    Ok(Some(claim)) => self.one(claim).await?,
                    Ok(None) => {}
                    Err(ClaimError::Operation(error)) => {
                        return Err(error).context("cannot claim a delivery");
                    }
                    // Set aside already, or a copy that somebody made of what is being worked on.
                    Err(error) => tracing::error!(%error, "passed over an entry"),
                }
            }
        }
    }

    async fn one(&self, claim: Claim) -> Result<()> {
        crate::failpoint!("dispatch-claimed");
        let parsed = match Entry::parse(claim.contents()) {
            Ok(_) if claim.attempts() > CLAIMS_MAX => {
                Err(format!("reading it ended the deployer {CLAIMS_MAX} times"))
            }
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
                crate::failpoint!("dispatched");
                tokio::task::spawn_blocking(move || claim.finish())
                    .await?
                    .context("cannot tidy up the main spool")?;
                crate::failpoint!("dispatch-finished");
                Ok(())
            }
            Ok(Some(reason)) => {
                let (id, hash) = (entry.header.id.clone(), entry.header.hash_in_spool_id().to_owned());
                bury_malformed(&self.main, claim, &id, &hash, reason).await
            }
            Err(error) => {
                tokio::task::spawn_blocking(move || claim.release()).await??;
                Err(error)
            }
        }
    }

    /// Records the verdicts and writes the jobs. Returns a reason where the entry is to be set aside.
    async fn dispatch(&self, entry: &Entry<'_>, claim: &Claim) -> Result<Option<String>> {
        let store = &self.host.store;
        let header = &self.identified(entry).await?;
        let id = &header.id;
        let (repository, meaning) = meaning(entry);
        let mut delivery = delivery_of(header, claim.name().as_str());
        delivery.repository = repository.as_deref();
        let verdicts = match &meaning {
            Meaning::Nothing(code, sentence) => vec![verdict(id, None, *code, sentence)],
            Meaning::Checked(checked) => {
                delivery.repository = Some(checked.repository.as_str());
                delivery.commit_id = Some(checked.commit.as_str());
                let verdicts = self.verdicts_of_checked(id, &header.event, checked).await?;
                self.without_replay(&delivery, verdicts).await?
            }
            Meaning::Push(push) => {
                delivery.repository = Some(push.repository.as_str());
                delivery.git_ref = Some(&push.git_ref);
                delivery.commit_id = push.after.as_ref().map(CommitId::as_str);
                delivery.sender = push.pusher.as_deref();
                let verdicts = verdicts_of_push(id, &self.host.config.deployments, push);
                let verdicts = self.without_replay(&delivery, verdicts).await?;
                // What a replay says of the repository was so once.
                if !verdicts.iter().any(|verdict| verdict.code == VerdictCode::Duplicate) {
                    self.note_visibility(push).await?;
                }
                verdicts
            }
        };
        let recorded = store.record_delivery(&delivery, &verdicts).await?;
        crate::failpoint!("verdict-recorded");
        let again = matches!(&recorded, Recorded::Known { entry, dispatched: true } if entry != claim.name().as_str());
        for verdict in &verdicts {
            tracing::info!(delivery = %id, deployment = verdict.deployment, code = verdict.code.as_str(), again, "{}", verdict.sentence);
            if verdict.code == VerdictCode::Queued {
                self.queue(header, &meaning, verdict, again).await?;
            }
        }
        crate::failpoint!("jobs-written");
        if verdicts.iter().any(|verdict| verdict.code == VerdictCode::Queued) {
            store.mark_dispatched(id.as_str(), clock::now_ms()).await?;
        }
        let malformed = verdicts.into_iter().find(|verdict| verdict.code == VerdictCode::Malformed);
        Ok(malformed.map(|verdict| verdict.sentence))
    }

    /// The entry's header with the id under which the delivery is known here. GitHub's GUID, as a rule; where that came with another
    /// body before, or has the form of an id that only this deployer gives, an id that stands for GUID and body together.
    async fn identified(&self, entry: &Entry<'_>) -> Result<Header> {
        let header = &entry.header;
        let store = &self.host.store;
        let known = store.delivery(header.id.as_str()).await?;
        // One that the deployer before this one left has no hash.
        let is_other = known.is_some_and(|known| {
            !known.payload_sha256.is_empty() && known.payload_sha256 != header.payload_sha256
        });
        let is_of_ours = header.source == EntrySource::Github && header.id.is_derived();
        if !is_other && !is_of_ours {
            return Ok(header.clone());
        }
        let id = header.id.with_body(&header.payload_sha256);
        tracing::warn!(guid = %header.id, delivery = %id, is_of_ours, "another delivery came, or could come, under this GUID: this one is known by an id of its own");
        store.note_guid(id.as_str(), header.id.as_str()).await?;
        Ok(Header { id, ..header.clone() })
    }

    /// Remembers whether a repository may be seen by everybody, for the pages of its runs.
    async fn note_visibility(&self, push: &Push) -> Result<()> {
        let is_ours = |deployment: &Deployment| {
            deployment.repository.as_str().eq_ignore_ascii_case(push.repository.as_str())
        };
        let Some(private) = push.private else { return Ok(()) };
        if !self.host.config.deployments.values().any(is_ours) {
            return Ok(());
        }
        let visibility = if private { visibility::PRIVATE } else { visibility::PUBLIC };
        visibility::note(&self.host.store, push.repository.as_str(), visibility, push.pushed_at).await?;
        Ok(())
    }

    /// A body that came before under another id is a replay (ids are not signed), and so is one whose delivery was forgotten since: it
    /// leads to nothing.
    async fn without_replay(
        &self,
        delivery: &NewDelivery<'_>,
        mut verdicts: Vec<Verdict>,
    ) -> Result<Vec<Verdict>> {
        if !verdicts.iter().any(|verdict| verdict.code == VerdictCode::Queued) {
            return Ok(verdicts);
        }
        let Some(earlier) = self.host.store.first_seen(delivery.payload_sha256).await? else {
            return Ok(verdicts);
        };
        let is_replay = match earlier == delivery.id {
            // Under its own id it is a redelivery as long as that delivery is known. It was forgotten long after it was dealt with.
            true => self.host.store.delivery(delivery.id).await?.is_none(),
            // Of what was deployed the worker says better whether it is live still; it deploys no replay.
            false => !self.was_deployed(&earlier).await?,
        };
        if is_replay {
            for verdict in verdicts.iter_mut().filter(|verdict| verdict.code == VerdictCode::Queued) {
                verdict.code = VerdictCode::Duplicate;
                verdict.sentence = format!("the same body came before, as delivery {earlier}");
            }
        }
        Ok(verdicts)
    }

    async fn was_deployed(&self, delivery: &str) -> Result<bool> {
        let verdicts = self.host.store.verdicts(delivery).await?;
        let done = [VerdictCode::Deployed, VerdictCode::AlreadyLive];
        Ok(verdicts.iter().any(|verdict| done.contains(&verdict.code)))
    }

    /// Writes a job for a deployment, unless that is done with the delivery. `again`: it is a redelivery.
    async fn queue(&self, header: &Header, meaning: &Meaning, queued: &Verdict, again: bool) -> Result<()> {
        let Some((deployment, spool)) = self.target(queued) else { return Ok(()) };
        let id = &header.id;
        let store = &self.host.store;
        let recorded = store.verdicts(id.as_str()).await?;
        let recorded = recorded.iter().find(|known| known.deployment == queued.deployment);
        let code = recorded.map(|known| known.code);
        if again && let Some(sentence) = self.why_not_again(id, recorded).await? {
            if let Some(recorded) = recorded {
                store.set_verdict(&Verdict { sentence, ..recorded.clone() }).await?;
            }
            return Ok(());
        }
        match code {
            // A redelivery is a retry of what failed, and only of that.
            Some(code) if again && code.may_be_retried() => {
                let sentence = "queued again: it was delivered again after it led to nothing";
                store
                    .set_verdict(&verdict(id, Some(&deployment.slug), VerdictCode::Queued, sentence))
                    .await?;
            }
            Some(code) if code.is_final() => return Ok(()),
            // It waits already, or its run is under way; after a crash it may have to be queued once more.
            _ if again => return Ok(()),
            _ => {}
        }
        if let Meaning::Push(push) = meaning {
            self.tell_queued(deployment, push.after.as_ref()).await?;
        }
        let body_sha256 = &header.payload_sha256;
        let job = match meaning {
            Meaning::Push(push) => Job::of_webhook(JobKind::Push, push.after.clone(), body_sha256),
            Meaning::Checked(checked) => {
                Job::of_webhook(JobKind::LookAgain, Some(checked.commit.clone()), body_sha256)
            }
            Meaning::Nothing(..) => return Ok(()),
        };
        let bytes = webhook_job(header, &job, &deployment.repository, &deployment.branch);
        let (spool, entry_id) = (spool.clone(), id.clone());
        // New or there already: both are what is wanted.
        let _: Appended = tokio::task::spawn_blocking(move || spool.append(entry_id.as_str(), &[&bytes]))
            .await?
            .with_context(|| format!("cannot queue the delivery for {}", deployment.slug))?;
        crate::failpoint!("job-written");
        Ok(())
    }

    /// Why a delivery that led to nothing, and comes again, is not tried again; None where it is, or never would be. Whoever has captured
    /// it can send it as GitHub does, so it undoes nothing that an operator decided, and is built a few times at most.
    async fn why_not_again(&self, id: &DeliveryId, recorded: Option<&Verdict>) -> Result<Option<String>> {
        let Some(recorded) = recorded else { return Ok(None) };
        let instead = format!("`durhack-deployer deploy {}` tries it again", recorded.deployment);
        if recorded.code == VerdictCode::Cancelled {
            return Ok(Some(format!("cancelled; that it was delivered again changes nothing: {instead}")));
        }
        let delivery = self.host.store.delivery(id.as_str()).await?;
        let times = delivery.map_or(0, |delivery| delivery.redeliveries);
        if !recorded.code.may_be_retried() || times <= RETRIES_MAX {
            return Ok(None);
        }
        // The reason stays, and the rest is said once.
        let is_first = times == RETRIES_MAX + 1;
        let said = &recorded.sentence;
        Ok(Some(match is_first {
            true => {
                format!("{said}; it was tried again {RETRIES_MAX} times for the same delivery: {instead}")
            }
            false => said.clone(),
        }))
    }

    /// The commit's status says at once that it waits; a run in progress may take long.
    async fn tell_queued(&self, deployment: &Deployment, commit: Option<&CommitId>) -> Result<()> {
        let Some(commit) = commit else { return Ok(()) };
        let live = self.host.store.live_release(deployment.slug.as_str()).await?;
        if live.is_none_or(|live| live.commit_id != commit.as_str()) {
            self.host.notifier.tell(deployment, commit, notify::Status::Pending, "queued", None).await?;
        }
        Ok(())
    }

    /// Which deployments an event of checks concerns: those that require checks, and hold its commit back or are about to decide
    /// on it. Whoever waits in the spool asks GitHub itself later and needs no waking.
    async fn verdicts_of_checked(
        &self,
        id: &DeliveryId,
        event: &str,
        checked: &Checked,
    ) -> Result<Vec<Verdict>> {
        let deployments = self.host.config.deployments.values();
        let requiring = deployments.filter(|deployment| {
            deployment.repository.as_str().eq_ignore_ascii_case(checked.repository.as_str())
                && deployment.enabled
                && !deployment.gates.checks.is_empty()
        });
        let short = checked.commit.short();
        let mut verdicts = Vec::new();
        for deployment in requiring {
            let (code, sentence) = match self.may_wait_for(deployment, checked).await? {
                true => (VerdictCode::Queued, format!("queued: the checks of {short} are looked at again")),
                false => (
                    VerdictCode::NotWaitedFor,
                    format!("{} does not wait for checks of {short}", deployment.slug),
                ),
            };
            verdicts.push(verdict(id, Some(&deployment.slug), code, &sentence));
        }
        if verdicts.is_empty() {
            let sentence = format!(
                "{event} events are not handled: no deployment of {} requires checks",
                checked.repository
            );
            verdicts.push(verdict(id, None, VerdictCode::EventNotHandled, &sentence));
        }
        Ok(verdicts)
    }

    async fn may_wait_for(&self, deployment: &Deployment, checked: &Checked) -> Result<bool> {
        // In this order: a run that ends in between is found by the second question.
        let running = self.host.store.unfinished_runs(Some(deployment.slug.as_str())).await?;
        let is_deciding = running.iter().any(|run| {
            run.commit_id.as_deref().is_none_or(|commit| commit == checked.commit.as_str())
                && run.plan.is_none()
        });
        let held = Held::of(HostedDeployment::new(&self.host, deployment)).await?;
        Ok(is_deciding || held.is_some_and(|held| held.commit == checked.commit))
    }

    fn target(&self, verdict: &Verdict) -> Option<(&Deployment, &Spool)> {
        let (slug, spool) = self.spools.iter().find(|(known, _)| known.as_str() == verdict.deployment)?;
        Some((self.host.config.deployments.get(slug)?, spool))
    }
}

/// Of which repository a delivery speaks, and what it says: as it was read when it came.
fn meaning(entry: &Entry<'_>) -> (Option<String>, Meaning) {
    let reading = match (&entry.header.reading, &entry.payload) {
        (Some(reading), _) => reading.clone(),
        (None, Payload::Json(payload)) => Reading::of_entry(&entry.header.event, payload),
        (None, Payload::Malformed(_)) => {
            Reading { repository: None, event: Event::Malformed("the body is not JSON".into()) }
        }
    };
    let meaning = match reading.event {
        Event::Push(push) => Meaning::Push(push),
        Event::Checked(checked) => Meaning::Checked(checked),
        Event::Ping => Meaning::Nothing(VerdictCode::Ping, "GitHub says hello".into()),
        Event::Other(event) if event.is_empty() => {
            Meaning::Nothing(VerdictCode::EventNotHandled, "there was no X-GitHub-Event header".into())
        }
        Event::Other(event) => {
            Meaning::Nothing(VerdictCode::EventNotHandled, format!("{event} events are not handled"))
        }
        Event::Malformed(reason) => Meaning::Nothing(VerdictCode::Malformed, reason),
    };
    (reading.repository, meaning)
}

/// One verdict for each deployment of the repository; one for none where there is none.
fn verdicts_of_push(id: &DeliveryId, deployments: &IndexMap<Slug, Deployment>, push: &Push) -> Vec<Verdict> {
    let same = |deployment: &&Deployment| {
        deployment.repository.as_str().eq_ignore_ascii_case(push.repository.as_str())
    };
    let verdicts: Vec<Verdict> =
        deployments.values().filter(same).map(|deployment| verdict_of_push(id, deployment, push)).collect();
    if verdicts.is_empty() {
        let sentence = format!("no deployment is configured for {}", push.repository);
        return vec![verdict(id, None, VerdictCode::NotAConfiguredRepository, &sentence)];
    }
    verdicts
}

fn verdict_of_push(id: &DeliveryId, deployment: &Deployment, push: &Push) -> Verdict {
    let (code, sentence) = match &push.target {
        EventTarget::Branch(branch) if *branch != deployment.branch => (
            VerdictCode::NotAConfiguredBranch,
            format!("{} deploys {}, not {branch}", deployment.slug, deployment.branch),
        ),
        EventTarget::Other => (
            VerdictCode::NotAConfiguredBranch,
            format!("{} deploys the branch {} only", deployment.slug, deployment.branch),
        ),
        EventTarget::Branch(branch) if push.after.is_none() => {
            (VerdictCode::BranchDeleted, format!("{branch} was deleted; what is live stays live"))
        }
        EventTarget::Branch(_) if !deployment.enabled => {
            (VerdictCode::DeploymentDisabled, format!("{} is disabled in the configuration", deployment.slug))
        }
        EventTarget::Branch(_) => (VerdictCode::Queued, "queued".to_owned()),
    };
    verdict(id, Some(&deployment.slug), code, &sentence)
}

/// Keeps what was signed and says nothing, for whoever wants to find out what it was: once for each body, and only so much of it. Whoever has
/// a secret could fill the disk with it otherwise. Nothing that was set aside is removed for it.
async fn bury_malformed(
    main: &Spool,
    claim: Claim,
    id: &DeliveryId,
    hash: &str,
    reason: String,
) -> Result<()> {
    let spool = main.clone();
    let sizes = tokio::task::spawn_blocking(move || spool.bad_sizes())
        .await?
        .context("cannot read what was dead-lettered")?;
    let is_there = sizes.iter().any(|(name, _)| name.id().ends_with(hash));
    let bytes = sizes.iter().map(|(_, bytes)| bytes).sum::<u64>() + claim.contents().len() as u64;
    let reason = match (is_there, sizes.len() < BAD_FILES_MAX && bytes <= BAD_BYTES_MAX) {
        (false, true) => {
            tracing::warn!(delivery = %id, reason, "dead-lettered a delivery that cannot be read");
            return bury(claim, reason).await;
        }
        (true, _) => "the same body was dead-lettered before",
        (false, false) => "too much was dead-lettered already: `durhack-deployer queue` shows it",
    };
    tracing::warn!(delivery = %id, reason, "dropped a delivery that cannot be read");
    tokio::task::spawn_blocking(move || claim.finish()).await?.context("cannot tidy up the main spool")
}

async fn bury(claim: Claim, reason: String) -> Result<()> {
    tokio::task::spawn_blocking(move || claim.bury(&reason))
        .await?
        .map(drop)
        .context("cannot set an entry aside")
}
