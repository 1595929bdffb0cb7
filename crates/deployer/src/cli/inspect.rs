//! `status`, `runs`, `run`, `logs`, `deliveries`, `explain`: questions to the record. Nothing here changes anything.

use super::output::{self, BOLD, DIM, Failed, RED, YELLOW, style_of, table};
use super::session::Session;
use super::{DeliveriesArguments, ExplainArguments, LogsArguments, RunArguments, RunsArguments, follow};
use crate::clock::{duration, now_ms, readable_utc};
use crate::config::Layout;
use crate::daemon;
use crate::deploy::situation;
use crate::names::DeliveryId;
use crate::record::comparison::Comparison;
use crate::record::run_log::rendering::plain;
use crate::record::run_log::{LogLine, RunLogReader, Stream};
use crate::record::store::{Delivery, DeliveryFilter, Direction, Run, RunFilter, Verdict};
use anyhow::Context;
use serde_json::{Value, json};
use std::time::Duration;

/// A refusal by GitHub is worth a look for so long; after that it is history.
const REFUSALS_SHOWN_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// A run as machines see it.
fn run_json(run: &Run) -> Value {
    json!({
        "id": run.id, "deployment": run.deployment, "repository": run.repository, "branch": run.branch,
        "commit": run.commit_id, "previous_commit": run.previous_commit, "attempt": run.attempt,
        "trigger": run.trigger, "requested_by": run.requested_by, "state": run.state, "cause": run.cause,
        "summary": run.summary, "release": run.release, "delivery": run.delivery_id,
        "created_at_ms": run.created_at_ms, "started_at_ms": run.started_at_ms, "ended_at_ms": run.ended_at_ms,
    })
}

/// Verdicts as machines see them.
fn verdicts_json(verdicts: &[Verdict]) -> Vec<Value> {
    let one = |verdict: &Verdict| {
        let deployment = Some(&verdict.deployment).filter(|deployment| !deployment.is_empty());
        json!({ "deployment": deployment, "code": verdict.code, "sentence": verdict.sentence, "run": verdict.run_id,
            "decided_at_ms": verdict.decided_at_ms })
    };
    verdicts.iter().map(one).collect()
}

/// The first digits of a commit id.
fn short(commit: Option<&str>) -> &str {
    commit.map_or("-", |commit| commit.get(..7).unwrap_or(commit))
}

/// `status`
pub async fn status(session: &Session, as_json: bool) -> Result<(), Failed> {
    let config = session.config();
    let running = daemon::is_working(&config.state_directory)?;
    let mut deployments = Vec::new();
    for deployment in config.deployments.values() {
        let slug = &deployment.slug;
        let live = session.store().live_release(slug.as_str()).await?;
        let last = session.store().last_run(slug.as_str()).await?;
        let layout = situation::layout(&session.host, deployment).await?;
        if layout == Layout::InPlace && deployment.layout.is_none() && !as_json {
            anstream::eprintln!("{YELLOW}warning{YELLOW:#}: {}", situation::in_place_warning(deployment));
        }
        let spool = daemon::open_spool(config, slug.as_str())?;
        let queued = spool.ready().map_or(0, |ready| ready.len());
        deployments.push(json!({
            "slug": slug, "enabled": deployment.enabled, "repository": deployment.repository, "branch": deployment.branch,
            "live": live.map(|live| json!({ "commit": live.commit_id, "release": live.name, "since_ms": live.live_at_ms })),
             "last_run": last.as_ref().map(run_json), "queued": queued, "layout": layout,
             "compared": Comparison::last(&config.state_directory, slug),
        }));
    }
    let main = daemon::open_spool(config, "main")?;
    let waiting = main.ready().map_or(0, |ready| ready.len());
    let set_aside = main.bad().map_or(0, |bad| bad.len());
    let refused_since = now_ms() - i64::try_from(REFUSALS_SHOWN_FOR.as_millis()).unwrap_or(i64::MAX / 2);
    let outbox = session.store().outbox_trouble(refused_since).await?;
    let foreign = session.store().foreign().await?;
    let status = json!({
        "foreign_rows": foreign,
        "instance": config.instance, "daemon": running, "deliveries_waiting": waiting, "deliveries_set_aside": set_aside,
        "statuses_unsent": outbox.unsent, "oldest_unsent": outbox.oldest_unsent, "refused_by_github": outbox.refused,
        "deployments": deployments,
    });
    if as_json {
        output::json(&status);
        return Ok(());
    }
    show_status(&status);
    Ok(())
}

fn show_status(status: &Value) {
    let daemon = if status["daemon"] == true { "running" } else { "not running" };
    println!("{}: daemon {daemon}", status["instance"].as_str().unwrap_or("durhack-deployer"));
    for (key, what) in [
        ("deliveries_waiting", "deliveries wait to be looked at"),
        ("deliveries_set_aside", "deliveries were set aside: `durhack-deployer queue`"),
        ("statuses_unsent", "statuses are not sent to GitHub yet"),
    ] {
        if status[key].as_u64().unwrap_or(0) > 0 {
            println!("{} {what}", status[key]);
        }
    }
    if let Some(foreign) = status["foreign_rows"].as_object()
        && foreign.values().any(|count| *count != 0)
    {
        anstream::println!(
            "{RED}the database holds rows that this deployer has not written{RED:#}; none of them is acted on: `durhack-deployer doctor` says what to do"
        );
    }
    show_outbox(status);
    if status["deployments"].as_array().is_none_or(Vec::is_empty) {
        println!(
            "no deployment can be shown: `durhack-deployer init OWNER/NAME` writes one; `config check` says what is wrong with what is written"
        );
        return;
    }
    let text =
        |value: &Value, length: usize| value.as_str().unwrap_or("-").chars().take(length).collect::<String>();
    let rows: Vec<Vec<String>> = status["deployments"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|deployment| {
            let last = &deployment["last_run"];
            let state =
                if deployment["enabled"] == false { "disabled".into() } else { text(&last["state"], 20) };
            vec![
                text(&deployment["slug"], 63),
                text(&deployment["live"]["commit"], 7),
                deployment["live"]["since_ms"].as_i64().map_or("-".into(), readable_utc),
                state,
                last["ended_at_ms"]
                    .as_i64()
                    .or(last["started_at_ms"].as_i64())
                    .map_or("-".into(), readable_utc),
                deployment["queued"].to_string(),
                deployment["compared"]["at_ms"].as_i64().map_or("-".into(), readable_utc),
                text(&last["cause"], 80),
            ]
        })
        .collect();
    let headings =
        ["DEPLOYMENT", "LIVE", "SINCE (UTC)", "LAST RUN", "AT (UTC)", "WAITING", "COMPARED (UTC)", "CAUSE"];
    table(&headings, &rows, Some(3));
    for deployment in status["deployments"].as_array().into_iter().flatten() {
        let compared = &deployment["compared"];
        if compared["is_error"] == true && deployment["enabled"] == true {
            let finding = compared["finding"].as_str().unwrap_or_default();
            let slug = deployment["slug"].as_str().unwrap_or_default();
            anstream::println!("{RED}{slug} cannot be compared with its branch{RED:#}: {}", plain(finding));
        }
    }
}

/// Why GitHub does not have what it is to be told.
fn show_outbox(status: &Value) {
    if let Some(error) = status["oldest_unsent"]["last_error"].as_str() {
        println!("  because of: {}", plain(error));
    }
    for refused in status["refused_by_github"].as_array().into_iter().flatten() {
        println!(
            "GitHub has not taken a {} of {} on {} ({} UTC): {}",
            refused["kind"].as_str().unwrap_or_default(),
            refused["deployment"].as_str().unwrap_or_default(),
            short(refused["commit_id"].as_str()),
            readable_utc(refused["created_at_ms"].as_i64().unwrap_or(0)),
            plain(refused["last_error"].as_str().unwrap_or_default()),
        );
    }
}

/// `runs`
pub async fn runs(session: &Session, arguments: &RunsArguments) -> Result<(), Failed> {
    let slug = match &arguments.slug {
        Some(slug) => Some(session.deployment(slug)?.slug.as_str()),
        None => None,
    };
    let runs = session.store().runs(arguments.limit, RunFilter { deployment: slug, state: None }).await?;
    if arguments.json {
        output::json(&runs.iter().map(run_json).collect::<Vec<_>>());
        return Ok(());
    }
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            vec![
                run.id.clone(),
                run.deployment.clone(),
                short(run.commit_id.as_deref()).to_owned(),
                run.state.as_str().to_owned(),
                readable_utc(run.created_at_ms),
                run.started_at_ms
                    .map_or("-".into(), |start| duration(run.ended_at_ms.unwrap_or_else(now_ms) - start)),
                run.cause
                    .as_ref()
                    .or(run.summary.as_ref())
                    .map_or("", String::as_str)
                    .chars()
                    .take(80)
                    .collect(),
            ]
        })
        .collect();
    table(&["RUN", "DEPLOYMENT", "COMMIT", "STATE", "AT (UTC)", "TOOK", "CAUSE OR NOTE"], &rows, Some(3));
    Ok(())
}

/// `run`
pub async fn run(session: &Session, arguments: &RunArguments) -> Result<(), Failed> {
    let run = session.run_of(&arguments.id).await?;
    let steps = session.store().steps(&run.id).await?;
    let around = lines_around_cause(session, &run.id).await;
    if arguments.json {
        output::json(&json!({ "run": run_json(&run), "steps": steps, "cause_lines": around }));
        return Ok(());
    }
    let state = run.state.as_str();
    let style = style_of(state);
    anstream::println!("{BOLD}{}{BOLD:#} run {} {style}{state}{style:#}", run.deployment, run.id);
    println!("  commit   {}", run.commit_id.as_deref().unwrap_or("-"));
    println!("  trigger  {} ({})", run.trigger.as_str(), run.requested_by);
    if let Some(delivery) = &run.delivery_id {
        println!("  delivery {delivery}");
    }
    if let Some(release) = &run.release {
        println!("  release  {release}");
    }
    if let Some(cause) = &run.cause {
        anstream::println!("  {RED}cause{RED:#}    {}", plain(cause));
    }
    for line in &around {
        let text = plain(&line.text);
        match line.stream {
            Stream::Cause => anstream::println!("         {RED}>{RED:#} {text}"),
            _ => anstream::println!("           {DIM}{text}{DIM:#}"),
        }
    }
    if let Some(summary) = &run.summary {
        println!("  note     {summary}");
    }
    let rows: Vec<Vec<String>> = steps
        .iter()
        .map(|step| {
            let undo = if step.direction == Direction::Undo { "undo " } else { "" };
            vec![
                step.number.to_string(),
                format!("{undo}{}", step.phase),
                step.name.clone(),
                step.state.as_str().to_owned(),
                step.ended_at_ms.map_or("-".into(), |end| duration(end - step.started_at_ms)),
                step.command.clone().unwrap_or_default().chars().take(100).collect(),
            ]
        })
        .collect();
    table(&["STEP", "PHASE", "NAME", "STATE", "TOOK", "WHAT"], &rows, Some(3));
    anstream::println!("{DIM}durhack-deployer logs {} shows what they printed{DIM:#}", run.id);
    Ok(())
}

/// The line that says why a run failed as its program printed it, and those around it: of the first step that failed, as what follows it takes
/// it back. Empty where there is none, or the log is gone.
async fn lines_around_cause(session: &Session, run: &str) -> Vec<LogLine> {
    let Ok(mut reader) = RunLogReader::open(&session.host.logs(), run, 0) else { return Vec::new() };
    let mut lines: Vec<LogLine> = Vec::new();
    while let Ok(Some(batch)) = reader.read().await {
        lines.extend(
            batch.lines.into_iter().filter(|line| matches!(line.stream, Stream::Cause | Stream::Context)),
        );
    }
    let first = lines.first().map(|line| line.step);
    lines.retain(|line| Some(line.step) == first);
    // Of several attempts the last.
    let last = lines.iter().rposition(|line| line.stream == Stream::Cause).unwrap_or_default();
    lines.drain(..last.saturating_sub(1));
    lines
}

/// `logs`
pub async fn logs(session: &Session, arguments: &LogsArguments) -> Result<(), Failed> {
    let run = session.run_of(&arguments.what).await?;
    let logs = session.host.logs();
    if arguments.follow && !run.state.is_final() {
        follow::to_the_end(session.store(), &logs, &run.id).await?;
        return Ok(());
    }
    let mut reader = RunLogReader::open(&logs, &run.id, 0).context("cannot read the log")?;
    follow::show_new(&mut reader).await?;
    if run.state.is_final() {
        follow::show_end(&run);
    }
    Ok(())
}

/// `deliveries`
pub async fn deliveries(session: &Session, arguments: &DeliveriesArguments) -> Result<(), Failed> {
    let deliveries = session.store().deliveries(arguments.limit, DeliveryFilter::default()).await?;
    let mut shown = Vec::new();
    for delivery in &deliveries {
        shown.push((delivery, session.store().verdicts(&delivery.id).await?));
    }
    if arguments.json {
        let all: Vec<Value> = shown
            .iter()
            .map(|(delivery, verdicts)| json!({ "delivery": delivery, "verdicts": verdicts_json(verdicts) }))
            .collect();
        output::json(&all);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = shown
        .iter()
        .flat_map(|(delivery, verdicts)| {
            verdicts.iter().map(|verdict| {
                vec![
                    delivery.id.to_string(),
                    readable_utc(delivery.received_at_ms),
                    delivery.event.clone(),
                    if verdict.deployment.is_empty() { "-".into() } else { verdict.deployment.clone() },
                    verdict.code.as_str().to_owned(),
                    verdict.sentence.chars().take(80).collect(),
                ]
            })
        })
        .collect();
    table(&["DELIVERY", "RECEIVED (UTC)", "EVENT", "DEPLOYMENT", "VERDICT", "WHY"], &rows, Some(4));
    Ok(())
}

/// `explain`
pub async fn explain(session: &Session, arguments: &ExplainArguments) -> Result<(), Failed> {
    let unknown = || {
        Failed::not_found(format!("no delivery {:?} has been dispatched", arguments.delivery)).hint(
            "`durhack-deployer deliveries` lists those that were; `durhack-deployer queue` those that wait",
        )
    };
    let id = DeliveryId::parse(&arguments.delivery.to_ascii_lowercase()).map_err(|_| unknown())?;
    let mut further = session.store().further_deliveries(id.as_str()).await?;
    let delivery = match session.store().delivery(id.as_str()).await? {
        Some(delivery) => delivery,
        // A GUID that cannot be an id here stands for one that is.
        None if !further.is_empty() => further.remove(0),
        None => return Err(unknown()),
    };
    if arguments.json {
        let mut page = explained(session, &delivery).await?;
        let mut others = Vec::new();
        for delivery in &further {
            others.push(explained(session, delivery).await?);
        }
        if !others.is_empty() {
            page["others"] = Value::Array(others);
        }
        output::json(&page);
        return Ok(());
    }
    explain_one(session, &delivery).await?;
    for delivery in &further {
        println!();
        println!("another delivery came under this GUID, with another body:");
        explain_one(session, delivery).await?;
    }
    Ok(())
}

async fn explained(session: &Session, delivery: &Delivery) -> Result<Value, Failed> {
    let verdicts = session.store().verdicts(&delivery.id).await?;
    Ok(json!({ "delivery": delivery, "verdicts": verdicts_json(&verdicts) }))
}

async fn explain_one(session: &Session, delivery: &Delivery) -> Result<(), Failed> {
    println!(
        "delivery {}: {} received {} UTC from {}",
        delivery.id,
        delivery.event,
        readable_utc(delivery.received_at_ms),
        delivery.remote_address
    );
    if let Some(repository) = &delivery.repository {
        let commit = short(delivery.commit_id.as_deref());
        println!("  {repository} {} {commit}", plain(delivery.git_ref.as_deref().unwrap_or_default()));
    }
    if delivery.redeliveries > 0 {
        println!("  delivered again {} times", delivery.redeliveries);
    }
    for verdict in session.store().verdicts(&delivery.id).await? {
        let code = verdict.code.as_str();
        let style = style_of(code);
        let deployment = if verdict.deployment.is_empty() { "no deployment" } else { &verdict.deployment };
        anstream::println!("  {deployment}: {style}{code}{style:#}: {}", plain(&verdict.sentence));
        if let Some(run) = &verdict.run_id {
            anstream::println!("    {DIM}durhack-deployer run {run}{DIM:#}");
        }
    }
    Ok(())
}
