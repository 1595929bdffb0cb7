//! Takes jobs out of a deployment's spool.
//!
//! An entry that cannot be parsed, or that has ended the deployer time and again, is dead-lettered with its reason, so that it is never in the
//! way of the next; one whose outcome the database has already (a crash came between the two) is acknowledged.

use crate::base::names::CommitId;
use crate::pipeline::context::HostedDeployment;
use crate::pipeline::outcome;
use crate::queue::entry::EntrySource;
use crate::queue::job::{ClaimedJob, Job};
use crate::queue::recorded::{delivery_of, verdict};
use crate::store::{Recorded, RunState, VerdictCode};
use anyhow::{Context, Result};
use spool::{Claim, ClaimError, Spool};

/// Claims of one entry after which it is given up: it has ended the deployer that often.
const CLAIMS_MAX: u32 = 20;

/// Takes what waits, oldest first; only the first where they are to be done one by one.
pub async fn take(hosted: HostedDeployment<'_>, spool: &Spool, one_by_one: bool) -> Result<Vec<ClaimedJob>> {
    let HostedDeployment { deployment, .. } = hosted;

    let mut jobs = Vec::new();
    for claim in claims(spool, one_by_one).await? {
        let attempts = claim.attempts();
        let (header, job) = match Job::parse(claim.contents()) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(deployment = %deployment.slug, entry = claim.name().as_str(), %error, "dead-lettered an entry");
                bury(claim, error.to_string()).await?;
                continue;
            }
        };
        let claimed = ClaimedJob { claim, header, job };
        if known(hosted, &claimed).await? {
            finish([claimed]).await?;
        } else if attempts > CLAIMS_MAX {
            let reason = format!("given up: work on it ended the deployer {CLAIMS_MAX} times");
            outcome::given_up(hosted, &claimed, &reason).await?;
            bury(claimed.claim, reason).await?;
        } else {
            jobs.push(claimed);
        }
    }
    Ok(jobs)
}

/// Whether the database has the outcome of this entry already. An operator's entry becomes known here.
async fn known(hosted: HostedDeployment<'_>, claimed: &ClaimedJob) -> Result<bool> {
    let HostedDeployment { host, deployment } = hosted;

    let store = &host.store;
    let runs = store.runs_for_entry(deployment.slug.as_str(), claimed.claim.name().as_str()).await?;
    for run in runs.iter().filter(|run| run.state.is_final() && run.state != RunState::Interrupted) {
        // What somebody else has written says nothing of this entry.
        if store.is_our_run(run)? {
            return Ok(true);
        }
    }
    if claimed.header.source != EntrySource::Github {
        let mut delivery = delivery_of(&claimed.header, claimed.claim.name().as_str());
        delivery.repository = Some(deployment.repository.as_str());
        delivery.commit_id = claimed.job.commit.as_ref().map(CommitId::as_str);
        let sentence = match claimed.header.source {
            EntrySource::Operator => "queued by an operator".to_owned(),
            _ if claimed.job.options.head.is_some() => {
                "queued: the branch's head is not what is live, and no push said so".to_owned()
            }
            _ => format!("queued by {}", claimed.header.remote_address),
        };
        let verdict = verdict(&claimed.header.id, Some(&deployment.slug), VerdictCode::Queued, &sentence);
        if store.record_delivery(&delivery, &[verdict]).await? == Recorded::New {
            store.mark_dispatched(claimed.header.id.as_str(), crate::base::clock::now_ms()).await?;
        }
    }
    let verdicts = store.verdicts(claimed.header.id.as_str()).await?;
    let ours = verdicts.iter().find(|verdict| verdict.deployment == deployment.slug.as_str());
    // A failure without a final run is one of the spool's (the entry was set aside): an operator wants it tried again.
    let settled = |code: VerdictCode| code.is_final() && !code.may_be_retried();
    Ok(ours.is_some_and(|verdict| settled(verdict.code)))
}

/// Lets go of jobs whose outcome is recorded.
pub async fn finish(jobs: impl IntoIterator<Item = ClaimedJob>) -> Result<()> {
    let claims: Vec<Claim> = jobs.into_iter().map(|claimed| claimed.claim).collect();
    let finished = tokio::task::spawn_blocking(move || claims.into_iter().try_for_each(Claim::finish));
    finished.await?.context("cannot tidy up the spool")
}

async fn bury(claim: Claim, reason: String) -> Result<()> {
    tokio::task::spawn_blocking(move || claim.bury(&reason))
        .await?
        .map(drop)
        .context("cannot dead-letter an entry")
}

async fn claims(spool: &Spool, only_first: bool) -> Result<Vec<Claim>> {
    let spool = spool.clone();
    let claims = tokio::task::spawn_blocking(move || {
        let mut claims = Vec::new();
        for name in spool.ready()? {
            match spool.claim(&name) {
                Ok(Some(claim)) => claims.push(claim),
                Ok(None) => continue,
                Err(ClaimError::Operation(error)) => return Err(error.into()),
                // Set aside already, or a copy that somebody made of what is being worked on.
                Err(error) => tracing::error!(%error, "passed over an entry"),
            }
            if only_first && !claims.is_empty() {
                break;
            }
        }
        Ok::<_, anyhow::Error>(claims)
    });
    claims.await?.context("cannot read the spool")
}
