//! What a worker does about commits that the gates ([`gates`]) hold back.
//!
//! A run that finds its gates closed ends; a job for what is still blocked gets a verdict and no run; and what is blocked
//! is looked at again where no job would come: at start, at the end of a freeze, and when
//! GitHub could not be asked.

use crate::base::clock;
use crate::base::names::CommitId;
use crate::git::mirror::Commit;
use crate::pipeline::gates::{self, Asker, Decision, Held, News};
use crate::pipeline::outcome::{self, Outcome};
use crate::pipeline::run::{Failure, Run};
use crate::pipeline::worker::Worker;
use crate::plan::facts::Target;
use crate::queue::job::{ClaimedJob, reconcile_job};
use crate::store::{Answers, RunTrigger, is_database_away};
use anyhow::{Context, Result};
use spool::Appended;
use std::time::Duration;

impl Worker {
    /// How the run ends without a step, where the commit may not be deployed, or not yet.
    pub(super) async fn held_back(
        &self,
        claimed: &ClaimedJob,
        run: &Run,
        head: &Commit,
        live: Option<&Target>,
    ) -> Result<Option<Outcome>, Failure> {
        let (host, deployment) = (&self.host, &self.deployment);
        let slug = deployment.slug.as_str();
        let answers = self.patiently("answers", || host.store.answers(slug)).await?;
        // What is adopted serves already, and an operator was asked.
        let asker = match claimed.job.trigger {
            _ if claimed.job.options.force || claimed.job.options.adopt.is_some() => Asker::Force,
            RunTrigger::Delivery | RunTrigger::Reconcile => Asker::Nobody,
            _ => Asker::Operator,
        };
        let decision = tokio::select! {
            () = run.cancel.cancelled() => return Err(Failure::cancelled()),
            decision = self.ask_gates(&head.id, &answers, asker) => decision?,
        };
        let Some(sentence) = self.sentence(&decision, &head.id) else { return Ok(None) };
        let blocked = decision.blocked();
        let mut outcome = match &decision {
            Decision::Open => return Ok(None),
            Decision::Refused { .. } => Outcome::refused(sentence, blocked),
            Decision::Waiting(_) if claimed.job.options.commit.is_none() => {
                Outcome::waiting(sentence, blocked)
            }
            // A commit that an operator has named is not looked at again, unless it is what waits anyway.
            Decision::Waiting(_) => match self.patiently("what waits", || Held::of(self.hosted())).await? {
                Some(held) if held.commit == head.id => Outcome::waiting(sentence, blocked),
                _ => Outcome::refused(format!("{sentence}; `deploy --force` does not wait"), blocked),
            },
        };
        outcome.summary =
            Some(live.map_or("nothing is live".into(), |live| format!("{} is live", live.commit.short())));
        Ok(Some(outcome))
    }

    /// The one place in which the gates are asked about what is to be deployed.
    async fn ask_gates(&self, commit: &CommitId, answers: &Answers, asker: Asker) -> Result<Decision> {
        gates::ask(self.hosted(), commit, answers, asker).await
    }

    fn sentence(&self, decision: &Decision, commit: &CommitId) -> Option<String> {
        decision.sentence(&self.deployment.slug, &self.deployment.gates, commit)
    }

    /// What keeps the live commit from being deployed once more, if anything does; to be shown.
    pub(super) async fn holds_back(&self, live: &CommitId) -> Result<Option<String>> {
        let answers = self.host.store.answers(self.deployment.slug.as_str()).await?;
        match self.ask_gates(live, &answers, Asker::Nobody).await {
            Ok(decision) => Ok(self.sentence(&decision, live)),
            Err(error) if is_database_away(&error) => Err(error),
            Err(error) => Ok(Some(format!("{error:#}"))),
        }
    }

    /// Whether a job is about a commit that was blocked and still is, for the same reason: it gets a verdict and no run. An
    /// event of checks can lead to nothing else than the run of what is held.
    pub(super) async fn is_held_still(&self, claimed: &ClaimedJob) -> Result<bool> {
        if !matches!(claimed.job.trigger, RunTrigger::Delivery | RunTrigger::Reconcile) {
            return Ok(false);
        }
        let held = Held::of(self.hosted()).await?;
        let Some(held) = held.filter(|held| claimed.job.commit.as_ref() == Some(&held.commit)) else {
            if claimed.is_look_again() {
                outcome::not_waited_for(self.hosted(), claimed).await?;
            }
            return Ok(claimed.is_look_again());
        };
        match self.news(&held).await? {
            News::Changed(_) => return Ok(false),
            // Its run says so, and is looked at again when GitHub is back.
            News::Unknown if !held.is_unsure() => return Ok(false),
            News::None | News::Unknown => {}
        }
        outcome::still_held(self.hosted(), claimed, &held).await?;
        Ok(true)
    }

    /// Looks at what is blocked, where no job says so: at start (its event may have come while we were down), when reconcile says that
    /// the branch's head is still the one that waits, when a freeze has ended, and while GitHub could not be asked. `must_look` is one of the
    /// first two, until it has been found out. Gives the time until there may be something to look at again.
    pub(super) async fn look_at_held(&self, must_look: &mut bool) -> Result<Duration> {
        let Some(held) = Held::of(self.hosted()).await? else {
            *must_look = false;
            return Ok(spool::SCAN_INTERVAL);
        };
        let (freeze, now) = (&self.deployment.gates.freeze, clock::now());
        let frozen = freeze.at(now);
        let held_at = jiff::Timestamp::from_millisecond(held.at_ms).unwrap_or(now);
        let has_thawed = frozen.is_none() && freeze.at(held_at).is_some();
        if *must_look || has_thawed || held.is_unsure() {
            match self.news(&held).await? {
                News::Changed(decision) => {
                    *must_look = false;
                    self.enqueue_held(&held, &decision).await?;
                    // The entry itself wakes us.
                    return Ok(spool::SCAN_INTERVAL);
                }
                News::None => *must_look = false,
                // The next look is as good.
                News::Unknown => {}
            }
        }
        let thaws_in = frozen
            .and_then(|frozen| frozen.until)
            .and_then(|until| Duration::try_from(until.duration_since(now)).ok());
        Ok(thaws_in.map_or(spool::SCAN_INTERVAL, |thaws_in| thaws_in.min(spool::SCAN_INTERVAL)))
    }

    /// What cannot be found out now is unknown; only the database is waited for.
    async fn news(&self, held: &Held) -> Result<News> {
        let answers = self.host.store.answers(self.deployment.slug.as_str()).await?;
        match self.ask_gates(&held.commit, &answers, Asker::Nobody).await {
            Ok(decision) => Ok(gates::news(held, decision)),
            Err(error) if is_database_away(&error) => Err(error),
            Err(error) => {
                tracing::warn!(deployment = %self.deployment.slug, error = format!("{error:#}"), "blocked commits cannot be looked at");
                Ok(News::Unknown)
            }
        }
    }

    /// Queues another run of what was blocked. The id is the same for the same news, so that two looks lead to one run.
    async fn enqueue_held(&self, held: &Held, decision: &Decision) -> Result<()> {
        let id = held.next_id(&self.deployment.slug, decision);
        let bytes = reconcile_job(id.clone(), clock::now(), held.commit.clone());
        let spool = self.spool.clone();
        // There already is as good as new.
        let appended = tokio::task::spawn_blocking(move || spool.append(id.as_str(), &[&bytes])).await?;
        appended.map(|_: Appended| ()).context("cannot queue what is held back no longer")
    }
}
