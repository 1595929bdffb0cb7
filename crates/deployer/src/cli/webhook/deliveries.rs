//! `webhook deliveries` and `webhook redeliver`: what GitHub has sent, or tried to, in the last three days.
//!
//! GitHub never tries again by itself. What it has not delivered is asked for here; a push that was superseded meanwhile does
//! no harm, since what is deployed is the head of the branch.

use super::arguments::{DeliveriesArguments, RedeliverArguments, WhichArguments};
use super::{Webhooks, table};
use crate::base::names::{DeliveryId, RepositoryName};
use crate::github::error::ApiError;
use crate::github::hooks::{Delivery, Hook, undelivered};
use crate::terminal::failed::Failed;
use serde_json::json;
use std::collections::HashSet;

pub async fn list(webhooks: &Webhooks, arguments: &DeliveriesArguments) -> Result<(), Failed> {
    let mut rows = Vec::new();
    let report = webhooks.each_hook(&arguments.which, async |repository, hook, report| {
        let mut attempts = if arguments.failed {
            undelivered(&all(webhooks, repository, &hook).await?)
        } else {
            let enough = |attempts: &[Delivery]| attempts.len() >= arguments.limit;
            webhooks.github.hook_deliveries(repository, hook.id, enough).await?
        };
        attempts.truncate(arguments.limit);
        for attempt in attempts {
            rows.push(row(repository, &attempt));
            report.entry(json!({ "repository": repository, "hook": hook.id, "delivery": attempt }));
        }
        Ok(())
    });
    let report = report.await?;
    if !arguments.which.json && !rows.is_empty() {
        table(&["REPOSITORY", "DELIVERY", "AT", "EVENT", "ANSWERED", "STATUS", "AGAIN"], &rows, None);
    }
    report.end()
}

fn row(repository: &RepositoryName, attempt: &Delivery) -> Vec<String> {
    vec![
        repository.to_string(),
        attempt.guid.clone(),
        attempt.delivered_at.chars().take("2026-11-23T12:00:00".len()).collect(),
        attempt.event.clone(),
        if attempt.status_code == 0 { "-".to_owned() } else { attempt.status_code.to_string() },
        attempt.status.chars().take(60).collect(),
        if attempt.redelivery { "yes" } else { "no" }.to_owned(),
    ]
}

pub async fn redeliver(webhooks: &Webhooks, arguments: &RedeliverArguments) -> Result<(), Failed> {
    let mut wanted = HashSet::new();
    for guid in &arguments.deliveries {
        let guid = DeliveryId::parse(&guid.to_ascii_lowercase()).map_err(Failed::because)?;
        wanted.insert(guid.to_string());
    }
    let which = WhichArguments {
        repository: arguments.repository.clone(),
        hook: None,
        url: arguments.url.clone(),
        json: arguments.json,
    };
    let report = webhooks.each_hook(&which, async |repository, hook, report| {
        let chosen = if arguments.failed {
            undelivered(&all(webhooks, repository, &hook).await?)
        } else if wanted.is_empty() {
            return Ok(());
        } else {
            let found = |attempts: &[Delivery]| newest_of(attempts, &wanted).len() == wanted.len();
            let attempts = webhooks.github.hook_deliveries(repository, hook.id, found).await?;
            newest_of(&attempts, &wanted)
        };
        for attempt in chosen {
            webhooks.github.redeliver(repository, hook.id, attempt.id).await?;
            wanted.remove(&attempt.guid);
            report.done(
                repository,
                hook.id,
                &format!("GitHub delivers {} {} again", attempt.event, attempt.guid),
            );
        }
        Ok(())
    });
    let mut report = report.await?;
    for guid in wanted {
        report.unknown(&guid, "GitHub has no such delivery of our hooks; it forgets them after three days");
    }
    report.end()
}

/// As far back as GitHub has them.
async fn all(
    webhooks: &Webhooks,
    repository: &RepositoryName,
    hook: &Hook,
) -> Result<Vec<Delivery>, ApiError> {
    webhooks.github.hook_deliveries(repository, hook.id, |_| false).await
}

/// The newest attempt of each of these deliveries.
fn newest_of(attempts: &[Delivery], wanted: &HashSet<String>) -> Vec<Delivery> {
    let mut seen = HashSet::new();
    let fits = |attempt: &&Delivery| wanted.contains(&attempt.guid) && seen.insert(attempt.guid.clone());
    attempts.iter().filter(fits).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(id: i64, guid: &str, status_code: i64) -> Delivery {
        Delivery {
            id,
            guid: guid.to_owned(),
            delivered_at: String::new(),
            redelivery: false,
            status: String::new(),
            status_code,
            event: "push".to_owned(),
        }
    }

    #[test]
    fn a_delivery_is_undelivered_if_no_attempt_of_it_succeeded() {
        let newest_first = [
            attempt(6, "late", 0),
            attempt(5, "again", 202),
            attempt(4, "never", 503),
            attempt(3, "never", 0),
            attempt(2, "again", 500),
            attempt(1, "at once", 200),
        ];
        let ids = |chosen: Vec<Delivery>| chosen.into_iter().map(|attempt| attempt.id).collect::<Vec<_>>();
        assert_eq!(ids(undelivered(&newest_first)), [4, 6]);
        let wanted = HashSet::from(["again".to_owned(), "never".to_owned(), "unknown".to_owned()]);
        assert_eq!(ids(newest_of(&newest_first, &wanted)), [5, 4]);
    }
}
