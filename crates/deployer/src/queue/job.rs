//! What waits in a deployment's spool, understood: an entry, who asked, and for what.
//!
//! An entry that is none, or that has ended the deployer time and again, is dead-lettered with its reason, so that it is never in the
//! way of the next; one whose outcome the database has already (a crash came between the two) is let go of.

use crate::base::names::CommitId;
use crate::github::webhook_event::{Event, Reading};
use crate::queue::entry::{ADOPT, Entry, EntrySource, Header, Payload, REDEPLOY, Request};
use crate::store::RunTrigger;
use anyhow::{Context, Result, anyhow};
use spool::Claim;

/// An entry, understood.
pub struct Order {
    pub claim: Claim,
    /// Who sent it, when.
    pub header: Header,
    /// What in particular is asked for.
    pub request: Request,
    /// The commit it names.
    pub commit: Option<CommitId>,
    /// Why there will be a run.
    pub trigger: RunTrigger,
}

/// How much an order says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// That the checks of a commit have changed.
    WakeUp,
    /// What reconcile found.
    Found,
    Push,
    /// What an operator asks for.
    Wish,
}

impl Order {
    /// Whether it says only that the checks of its commit have changed: it can lead to a run of that commit or to nothing.
    pub fn is_wake_up(&self) -> bool {
        self.weight() == Weight::WakeUp
    }

    /// Whether it deploys what is live once more. It says nothing of the branch, and takes no other commit's place.
    pub fn is_of_live(&self) -> bool {
        self.request.adopt.is_some() || self.header.event == REDEPLOY
    }

    fn weight(&self) -> Weight {
        match self.header.source {
            EntrySource::Operator => Weight::Wish,
            EntrySource::Reconcile => Weight::Found,
            EntrySource::Github if self.header.event == "push" => Weight::Push,
            EntrySource::Github => Weight::WakeUp,
        }
    }
}

/// Which order is carried out, and which are superseded by it. The newest, as a rule; but what an operator asked for is done
/// whatever arrives meanwhile: it supersedes only what came before it, and what came after it waits its turn. A push goes before
/// what reconcile found, which is the same thing without a sender; and both before a wake-up, which says less.
pub fn choose(mut orders: Vec<Order>) -> Option<(Order, Vec<Order>)> {
    let weights: Vec<Weight> = orders.iter().map(Order::weight).collect();
    let (chosen, considered) = choice(&weights)?;
    if orders[chosen].request.adopt.is_some() {
        // It deploys what is live: no push is superseded by that. Those that came before it follow it.
        return Some((orders.swap_remove(chosen), Vec::new()));
    }
    // The rest go back by being dropped.
    orders.truncate(considered);
    let chosen = orders.remove(chosen);
    Some((chosen, orders))
}

/// Which of orders of these weights is carried out, and how many are settled by that.
fn choice(weights: &[Weight]) -> Option<(usize, usize)> {
    let asked_for = weights.iter().position(|weight| *weight == Weight::Wish);
    let last = asked_for.or(weights.len().checked_sub(1))?;
    // Of the weightiest, the last.
    let chosen = (0..=last).max_by_key(|at| weights[*at])?;
    Some((chosen, last + 1))
}

/// An entry's meaning for a deployment.
pub fn understood(bytes: &[u8]) -> Result<(Header, Request, Option<CommitId>, RunTrigger)> {
    let entry = Entry::parse(bytes)?;
    let Payload::Json(payload) = entry.payload else { return Err(anyhow!("the payload is not JSON")) };
    let trigger = match (entry.header.source, entry.header.event.as_str()) {
        (EntrySource::Github, event) => {
            let reading = entry.header.reading.clone();
            let commit = match reading.unwrap_or_else(|| Reading::of_entry(event, payload)).event {
                Event::Push(push) => push.after,
                Event::Checked(checked) => Some(checked.commit),
                Event::Ping | Event::Other(_) => {
                    return Err(anyhow!("an event {event:?} is not for a deployment"));
                }
                Event::Malformed(reason) => return Err(anyhow!(reason)),
            };
            return Ok((entry.header, Request::default(), commit, RunTrigger::Delivery));
        }
        (EntrySource::Operator | EntrySource::Reconcile, "rollback") => RunTrigger::Rollback,
        (EntrySource::Operator, "deploy" | ADOPT | "approve" | "release") => RunTrigger::Operator,
        (EntrySource::Reconcile, "deploy" | REDEPLOY) => RunTrigger::Reconcile,
        (source, event) => {
            return Err(anyhow!("an entry of {source:?} with the event {event:?} is not for a deployment"));
        }
    };
    let request: Request = serde_json::from_str(payload).context("the request cannot be read")?;
    let commit = request.commit.clone().or_else(|| request.head.clone());
    Ok((entry.header, request, commit, trigger))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Weight::{Found, Push, WakeUp, Wish};

    #[test]
    fn which_order_is_carried_out() {
        for (weights, expected) in [
            (&[][..], None),
            (&[Push, Push][..], Some((1, 2))),
            (&[Found][..], Some((0, 1))),
            (&[Push, Found][..], Some((0, 2))),
            (&[Push, Push, Found, Found][..], Some((1, 4))),
            (&[Found, Push][..], Some((1, 2))),
            (&[Push, Wish, Push][..], Some((1, 2))),
            (&[Found, Wish, Found][..], Some((1, 2))),
            (&[WakeUp, WakeUp][..], Some((1, 2))),
            (&[Push, WakeUp][..], Some((0, 2))),
            (&[Found, WakeUp][..], Some((0, 2))),
            (&[WakeUp, Wish][..], Some((1, 2))),
        ] {
            assert_eq!(choice(weights), expected, "{weights:?}");
        }
    }
}
