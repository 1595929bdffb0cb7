//! What the links in a commit's status and in a webhook's answer lead to: one run, or one delivery, on a page.
//!
//! It says what the commit's status says, cut to the same length, and which steps there were and how long they took; never what they
//! printed, nor their commands. Whoever has the link sees it, so it shows nothing that is not on the commit already: of a repository
//! that not everybody may see, strangers are shown no sentence at all, for a sentence may quote what a build printed. Everything is
//! escaped by the template, and the page may neither run nor load anything.

use crate::base::clock::{duration, readable_utc};
use crate::base::names::DeliveryId;
use crate::notify::shortened;
use crate::run_log::rendering::plain;
use crate::store::{Delivery, Direction, Run, Step, Store, StoreError, Verdict, visibility};
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

/// Whether whoever looks is shown sentences.
#[derive(Clone, Copy)]
struct Sentences(bool);

impl Sentences {
    /// As the commit's status has it; nothing where it is none of the reader's business.
    fn show(self, text: &str) -> Option<String> {
        self.0.then(|| shortened(&plain(text)))
    }
}

/// The page at a path; `None` where there is none. A stranger is whoever may be anybody.
pub async fn page(store: &Store, path: &str, is_stranger: bool) -> Result<Option<String>, StoreError> {
    let page = match path.strip_prefix('/').and_then(|path| path.split_once('/')) {
        Some(("runs", id)) => run_page(store, id, is_stranger).await?,
        Some(("deliveries", id)) => delivery_page(store, id, is_stranger).await?,
        _ => None,
    };
    Ok(page.and_then(|page| page.render().ok()))
}

async fn run_page(store: &Store, id: &str, is_stranger: bool) -> Result<Option<Page>, StoreError> {
    // A whole id: its beginning would let one guess.
    let Some(run) = store.run(id).await? else { return Ok(None) };
    let steps = store.steps(&run.id).await?;
    let sentences = sentences(store, Some(&run.repository), is_stranger).await?;
    Ok(Some(Page {
        title: format!("{}: {}", run.deployment, run.state),
        heading: run.deployment.clone(),
        state: run.state.to_string(),
        sentence: run.cause.as_deref().and_then(|cause| sentences.show(cause)),
        facts: facts_of_run(&run, sentences),
        rows_heading: "Steps",
        rows: steps.iter().map(row_of_step).collect(),
        command: format!("durhack-deployer logs {}", run.id),
    }))
}

fn facts_of_run(run: &Run, sentences: Sentences) -> Vec<(&'static str, String)> {
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
    if let Some(summary) = run.summary.as_deref().and_then(|summary| sentences.show(summary)) {
        facts.push(("Note", summary));
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

async fn sentences(
    store: &Store,
    repository: Option<&str>,
    is_stranger: bool,
) -> Result<Sentences, StoreError> {
    Ok(Sentences(match repository {
        _ if !is_stranger => true,
        Some(repository) => visibility::is_public(store, repository).await?,
        None => false,
    }))
}

async fn delivery_page(store: &Store, id: &str, is_stranger: bool) -> Result<Option<Page>, StoreError> {
    let Ok(id) = DeliveryId::parse(id) else { return Ok(None) };
    let mut further = store.further_deliveries(id.as_str()).await?.into_iter();
    // A GUID that cannot be an id here stands for one that is.
    let Some(delivery) = store.delivery(id.as_str()).await?.or_else(|| further.next()) else {
        return Ok(None);
    };
    let mut rows = rows_of_delivery(store, &delivery, is_stranger).await?;
    let state = rows.first().map_or_else(|| "waiting".to_owned(), |row| row.state.clone());
    // Whoever was answered with this GUID does not know that it is another's, too.
    for further in further {
        rows.extend(rows_of_delivery(store, &further, is_stranger).await?);
    }
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
        rows,
        command: format!("durhack-deployer explain {id}"),
    }))
}

async fn rows_of_delivery(
    store: &Store,
    delivery: &Delivery,
    is_stranger: bool,
) -> Result<Vec<Row>, StoreError> {
    let sentences = sentences(store, delivery.repository.as_deref(), is_stranger).await?;
    let verdicts = store.verdicts(&delivery.id).await?;
    let row = |verdict: &Verdict| Row {
        what: verdict.deployment.clone(),
        state: verdict.code.to_string(),
        more: sentences.show(&verdict.sentence).unwrap_or_default(),
    };
    Ok(verdicts.iter().map(row).collect())
}
