//! What a worker does about commits that the gates ([`gates`]) hold back.
//!
//! A run that finds its gates closed ends; an order for what is still blocked gets a verdict and no run; and what is blocked
//! is looked at again where no order would come: at start, at the end of a freeze, and when
//! GitHub could not be asked.

use crate::base::clock;
use crate::base::names::CommitId;
use crate::git::mirror::Commit;
use crate::pipeline::gates::{self, Asker, Decision, Held, News};
use crate::pipeline::outcome::{self, Outcome};
use crate::pipeline::run::{Failure, Run};
use crate::pipeline::worker::Worker;
use crate::queue::entry::reconcile_entry;
use crate::queue::job::Order;
use crate::store::RunTrigger;
use crate::store::is_database_away;
use anyhow::{Context, Result};
use spool::Appended;
use std::time::Duration;

impl Worker {
    /// How the run ends without a step, where the commit may not be deployed, or not yet.
    pub(super) async fn held_back(
        &self,
        order: &Order,
        run: &Run,
        head: &Commit,
    ) -> Result<Option<Outcome>, Failure> {
        let (host, deployment) = (&self.host, &self.deployment);
        let slug = deployment.slug.as_str();
        let answers = self.patiently("answers", || host.store.answers(slug)).await?;
        // What is adopted serves already, and an operator was asked.
        let asker = match order.trigger {
            _ if order.request.force || order.request.adopt.is_some() => Asker::Force,
            RunTrigger::Delivery | RunTrigger::Reconcile => Asker::Nobody,
            _ => Asker::Operator,
        };
        let asked = tokio::select! {
            () = run.cancel.cancelled() => return Err(Failure::cancelled()),
            asked = gates::ask(host, deployment, &head.id, &answers, asker) => asked?,
        };
        let mut outcome = match &asked.decision {
            Decision::Open => return Ok(None),
            Decision::Refused(sentence) => Outcome::refused(sentence),
            Decision::Waiting(sentence) if order.request.commit.is_none() => Outcome::waiting(sentence),
            // A commit that an operator has named is not looked at again, unless it is what waits anyway.
            Decision::Waiting(sentence) => {
                match self.patiently("what waits", || host.store.held_run(slug)).await?.and_then(Held::by) {
                    Some(held) if held.commit == head.id => Outcome::waiting(sentence),
                    _ => Outcome::refused(&format!("{sentence}; `deploy --force` does not wait")),
                }
            }
        };
        let live = self.live().await.ok().flatten();
        outcome.summary =
            Some(live.map_or("nothing is live".into(), |live| format!("{} is live", live.commit.short())));
        Ok(Some(outcome))
    }

    /// What keeps the live commit from being deployed once more, if anything does.
    pub(super) async fn holds_back(&self, live: &CommitId) -> Result<Option<String>> {
        let (host, deployment) = (&self.host, &self.deployment);
        let answers = host.store.answers(deployment.slug.as_str()).await?;
        match gates::ask(host, deployment, live, &answers, Asker::Nobody).await {
            Ok(asked) => Ok(match asked.decision {
                Decision::Open => None,
                Decision::Waiting(sentence) | Decision::Refused(sentence) => Some(sentence),
            }),
            Err(error) if is_database_away(&error) => Err(error),
            Err(error) => Ok(Some(format!("{error:#}"))),
        }
    }

    /// Whether an order is about a commit that was blocked and still is, for the same reason: it gets a verdict and no run. An
    /// event of checks can lead to nothing else than the run of what is held.
    pub(super) async fn is_held_still(&self, order: &Order) -> Result<bool> {
        if !matches!(order.trigger, RunTrigger::Delivery | RunTrigger::Reconcile) {
            return Ok(false);
        }
        let held = Held::of(&self.host, &self.deployment).await?;
        let Some(held) = held.filter(|held| order.commit.as_ref() == Some(&held.commit)) else {
            if order.is_wake_up() {
                outcome::not_waited_for(&self.host, &self.deployment, order).await?;
            }
            return Ok(order.is_wake_up());
        };
        match self.news(&held).await? {
            News::Changed(_) => return Ok(false),
            // Its run says so, and is looked at again when GitHub is back.
            News::Unknown if !held.is_unsure() => return Ok(false),
            News::None | News::Unknown => {}
        }
        outcome::still_held(&self.host, &self.deployment, order, &held).await?;
        Ok(true)
    }

    /// Looks at what is blocked, where nobody else would: at start (its event may have come while we were down), when a freeze has
    /// ended, and while GitHub could not be asked. Gives the time until there may be something to look at again.
    pub(super) async fn look_at_held(&self, is_first: &mut bool) -> Result<Duration> {
        let Some(held) = Held::of(&self.host, &self.deployment).await? else {
            *is_first = false;
            return Ok(spool::SCAN_INTERVAL);
        };
        let (freeze, now) = (&self.deployment.gates.freeze, clock::now());
        let frozen = freeze.at(now);
        let held_at = jiff::Timestamp::from_millisecond(held.at_ms).unwrap_or(now);
        let has_thawed = frozen.is_none() && freeze.at(held_at).is_some();
        if *is_first || has_thawed || held.is_unsure() {
            match self.news(&held).await? {
                News::Changed(decision) => {
                    *is_first = false;
                    self.enqueue_held(&held, &decision).await?;
                    // The entry itself wakes us.
                    return Ok(spool::SCAN_INTERVAL);
                }
                News::None => *is_first = false,
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
        match gates::news(&self.host, &self.deployment, held).await {
            Err(error) if !is_database_away(&error) => {
                tracing::warn!(deployment = %self.deployment.slug, error = format!("{error:#}"), "blocked commits cannot be looked at");
                Ok(News::Unknown)
            }
            result => result,
        }
    }

    /// The same that reconcile would enqueue.
    async fn enqueue_held(&self, held: &Held, decision: &Decision) -> Result<()> {
        let id = held.next_id(&self.deployment.slug, decision);
        let bytes = reconcile_entry(id.clone(), clock::now(), held.commit.clone());
        let spool = self.spool.clone();
        // There already is as good as new.
        let appended = tokio::task::spawn_blocking(move || spool.append(id.as_str(), &[&bytes])).await?;
        appended.map(|_: Appended| ()).context("cannot queue what is held back no longer")
    }
}
