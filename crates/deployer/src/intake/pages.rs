//! What the links in a commit's status and in a webhook's answer lead to: one run, or one delivery, on a page.
//!
//! It says what the commit's status says, and which steps there were and how long they took; never what they printed, nor
//! their commands: whoever has the link sees it, so it shows nothing that is not on the commit already. Everything is escaped by
//! the template, and the page may neither run nor load anything.

use crate::clock::{duration, readable_utc};
use crate::names::DeliveryId;
use crate::record::run_log::rendering::plain;
use crate::record::store::{Direction, Run, Step, Store, StoreError};
use askama::Template;

/// What may be done by the page: nothing but its own style.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

#[derive(Template)]
#[template(path = "page.html")]
struct Page {
    title: String,
    heading: String,
    state: String,
    sentence: Option<String>,
    facts: Vec<(&'static str, String)>,
    rows_heading: &'static str,
    rows: Vec<Row>,
    command: String,
}

struct Row {
    what: String,
    state: String,
    more: String,
}

/// The page at a path; `None` where there is none.
pub async fn page(store: &Store, path: &str) -> Result<Option<String>, StoreError> {
    let page = match path.strip_prefix('/').and_then(|path| path.split_once('/')) {
        Some(("runs", id)) => run_page(store, id).await?,
        Some(("deliveries", id)) => delivery_page(store, id).await?,
        _ => None,
    };
    Ok(page.and_then(|page| page.render().ok()))
}

async fn run_page(store: &Store, id: &str) -> Result<Option<Page>, StoreError> {
    // A whole id: its beginning would let one guess.
    let Some(run) = store.run(id).await? else { return Ok(None) };
    let steps = store.steps(&run.id).await?;
    Ok(Some(Page {
        title: format!("{}: {}", run.deployment, run.state),
        heading: run.deployment.clone(),
        state: run.state.to_string(),
        sentence: run.cause.as_deref().map(plain),
        facts: facts_of_run(&run),
        rows_heading: "Steps",
        rows: steps.iter().map(row_of_step).collect(),
        command: format!("durhack-deployer logs {}", run.id),
    }))
}

fn facts_of_run(run: &Run) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Commit", run.commit_id.clone().unwrap_or_default()),
        ("Branch", plain(&run.branch)),
        ("Trigger", run.trigger.to_string()),
        ("Attempt", run.attempt.to_string()),
        ("Started (UTC)", run.started_at_ms.map(readable_utc).unwrap_or_default()),
    ];
    if let (Some(start), Some(end)) = (run.started_at_ms, run.ended_at_ms) {
        facts.push(("Took", duration(end - start)));
    }
    if let Some(summary) = &run.summary {
        facts.push(("Note", plain(summary)));
    }
    facts
}

fn row_of_step(step: &Step) -> Row {
    let undo = if step.direction == Direction::Undo { "undo " } else { "" };
    Row {
        what: format!("{undo}{} {}", step.phase, plain(&step.name)),
        state: step.state.to_string(),
        more: step.ended_at_ms.map(|end| duration(end - step.started_at_ms)).unwrap_or_default(),
    }
}

async fn delivery_page(store: &Store, id: &str) -> Result<Option<Page>, StoreError> {
    let Ok(id) = DeliveryId::parse(id) else { return Ok(None) };
    let Some(delivery) = store.delivery(id.as_str()).await? else { return Ok(None) };
    let verdicts = store.verdicts(id.as_str()).await?;
    let state = verdicts.first().map_or_else(|| "waiting".to_owned(), |verdict| verdict.code.to_string());
    Ok(Some(Page {
        title: format!("Delivery {id}"),
        heading: "Delivery".into(),
        state,
        sentence: None,
        facts: vec![
            ("Id", id.to_string()),
            ("Event", plain(&delivery.event)),
            ("Received (UTC)", readable_utc(delivery.received_at_ms)),
        ],
        rows_heading: "What became of it",
        rows: verdicts
            .iter()
            .map(|verdict| Row {
                what: verdict.deployment.clone(),
                state: verdict.code.to_string(),
                more: plain(&verdict.sentence),
            })
            .collect(),
        command: format!("durhack-deployer explain {id}"),
    }))
}
