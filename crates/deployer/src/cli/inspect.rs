//! `runs`, `run`, `logs`, `deliveries`, `explain`: questions to the database. Nothing here changes anything.

use super::session::Session;
use super::{DeliveriesArguments, ExplainArguments, LogsArguments, RunArguments, RunsArguments, follow, ids};
use crate::base::clock::{ago, duration, now_ms, readable_utc};
use crate::base::names::DeliveryId;
use crate::base::words::cause_and_hint;
use crate::base::words::{counted, step_title};
use crate::run_log::rendering::plain;
use crate::run_log::{LogLine, RunLogReader, Stream};
use crate::store::{Delivery, DeliveryFilter, Direction, Run, RunFilter, RunState, Step, StepState, Verdict};
use crate::terminal::failed::Failed;
use crate::terminal::style::{BOLD, DIM, RED, YELLOW, style_of};
use crate::terminal::table::{self, Cell, Column};
use crate::terminal::{output, printing};
use anyhow::Context;
use serde_json::{Value, json};

/// A run as machines see it.
pub fn run_json(run: &Run) -> Value {
    json!({
        "id": run.id, "deployment": run.deployment, "repository": run.repository, "branch": run.branch,
        "commit": run.commit_id, "previous_commit": run.previous_commit, "attempt": run.attempt,
        "trigger": run.trigger, "requested_by": run.requested_by, "state": run.state, "status": run.state.shown(),
        "fault": run.fault, "cause": run.cause,
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
pub fn short(commit: Option<&str>) -> &str {
    commit.map_or("-", |commit| commit.get(..7).unwrap_or(commit))
}

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
    let short_ids = ids::short_runs(session).await?;
    let rows: Vec<Vec<Cell>> =
        runs.iter()
            .map(|run| {
                vec![
                    Cell::id(&run.id, &short_ids.of(&run.id)),
                    Cell::text(&run.deployment),
                    Cell::text(short(run.commit_id.as_deref())),
                    Cell::text(run.state.shown()),
                    Cell::time(Some(run.created_at_ms)),
                    Cell::text(run.started_at_ms.map_or("-".into(), |start| {
                        duration(run.ended_at_ms.unwrap_or_else(now_ms) - start)
                    })),
                    Cell::text(match &run.cause {
                        Some(cause) => cause_and_hint(cause).0,
                        None => run.summary.as_deref().unwrap_or_default(),
                    }),
                ]
            })
            .collect();
    const COLUMNS: [Column; 7] = [
        Column::new("RUN"),
        Column::new("DEPLOYMENT"),
        Column::new("COMMIT"),
        Column::new("STATE").state(),
        Column::time("AT (UTC)", "AT"),
        Column::new("TOOK").dispensable(1),
        Column::new("CAUSE OR NOTE").rest(),
    ];
    table::print(&COLUMNS, &rows);
    Ok(())
}

pub async fn run(session: &Session, arguments: &RunArguments) -> Result<(), Failed> {
    let run = ids::run_of(session, &arguments.id).await?;
    let mut steps = session.store().steps(&run.id).await?;
    // As it went: what has to be undone in an order of its own was undone in that.
    steps.sort_by_key(|step| match step.direction {
        Direction::Do => (0, i64::from(step.number)),
        Direction::Undo => (1, step.started_at_ms),
    });
    let around = lines_around_cause(session, &run.id, &steps).await;
    if arguments.json {
        output::json(&json!({
            "run": run_json(&run), "running_step": running_json(&run, &steps), "steps": steps, "cause_lines": around,
        }));
        return Ok(());
    }
    let short_id = ids::short_runs(session).await?.of(&run.id);
    let state = run.state.shown();
    let style = style_of(state);
    print_line!("{BOLD}{}{BOLD:#} run {} {style}{state}{style:#}", run.deployment, run.id);
    print_line!("  commit   {}", plain(run.commit_id.as_deref().unwrap_or("-")));
    let by = match run.requested_by == run.trigger.as_str() {
        true => String::new(),
        false => format!(" ({})", plain(&run.requested_by)),
    };
    print_line!("  trigger  {}{by}", run.trigger.as_str());
    print_line!("  asked at {} UTC ({})", readable_utc(run.created_at_ms), ago(now_ms() - run.created_at_ms));
    if let Some(delivery) = &run.delivery_id {
        print_line!("  delivery {}", plain(delivery));
    }
    if let Some(release) = &run.release {
        print_line!("  release  {}", plain(release));
    }
    if let Some(cause) = &run.cause {
        let (cause, hint) = cause_and_hint(cause);
        print_line!("  {RED}cause{RED:#}    {}", plain(cause));
        if let Some(hint) = hint {
            print_line!("  hint     {}", plain(hint));
        }
    }
    for line in &around {
        let text = plain(&line.text);
        match line.stream {
            Stream::Cause => print_line!("         {RED}>{RED:#} {text}"),
            _ => print_line!("           {DIM}{text}{DIM:#}"),
        }
    }
    if let Some(summary) = &run.summary {
        print_line!("  note     {}", plain(summary));
    }
    let rows: Vec<Vec<Cell>> = steps
        .iter()
        .map(|step| {
            let undo = if step.direction == Direction::Undo { "undo " } else { "" };
            let is_running = is_running(&run, step);
            vec![
                Cell::text(step.number.to_string()),
                Cell::text(format!("{undo}{}", step.phase)),
                Cell::text(step.name.as_str()),
                Cell::text(if is_running { "running" } else { step.state.as_str() }),
                Cell::text(match step.ended_at_ms {
                    Some(end) => duration(end - step.started_at_ms),
                    None if is_running => format!("{} so far", duration(now_ms() - step.started_at_ms)),
                    None => "-".to_owned(),
                }),
                Cell::text(step.command.as_deref().unwrap_or_default()),
            ]
        })
        .collect();
    const COLUMNS: [Column; 6] = [
        Column::new("STEP").dispensable(1),
        Column::new("PHASE"),
        Column::new("NAME"),
        Column::new("STATE").state(),
        Column::new("TOOK"),
        Column::new("WHAT").rest(),
    ];
    table::print(&COLUMNS, &rows);
    if let Some(step) = running_step(&run, &steps) {
        print_line!(
            "{YELLOW}running{YELLOW:#}: {} since {} UTC ({})",
            plain(&step_title(&step.phase, &step.name)),
            readable_utc(step.started_at_ms),
            duration(now_ms() - step.started_at_ms)
        );
    }
    print_line!("{DIM}durhack-deployer logs {} shows what they printed{DIM:#}", short_id);
    Ok(())
}

/// Whether a step runs now: one that began and did not end may also be one of a run that died.
fn is_running(run: &Run, step: &Step) -> bool {
    !run.state.is_final() && run.state != RunState::Unknown && step.state == StepState::Started
}

/// The step that a run is at.
pub fn running_step<'a>(run: &Run, steps: &'a [Step]) -> Option<&'a Step> {
    steps.iter().rev().find(|step| is_running(run, step))
}

/// A running step for machines.
pub fn running_json(run: &Run, steps: &[Step]) -> Option<Value> {
    let step = running_step(run, steps)?;
    Some(
        json!({ "number": step.number, "phase": step.phase, "name": step.name, "since_ms": step.started_at_ms }),
    )
}

/// The line that says why a run failed as its program printed it, and those around it: of the step that failed, not of one that undoes it, and
/// not of a program that failed in a step that went on. Empty where there is none, or the log is gone.
async fn lines_around_cause(session: &Session, run: &str, steps: &[Step]) -> Vec<LogLine> {
    let has_failed = |step: &&Step| step.direction == Direction::Do && step.state == StepState::Failed;
    let Some(failed) = steps.iter().find(has_failed) else { return Vec::new() };
    let Ok(mut reader) = RunLogReader::open(&session.host.logs(), run, 0) else { return Vec::new() };
    let mut lines: Vec<LogLine> = Vec::new();
    while let Ok(Some(batch)) = reader.read().await {
        lines.extend(
            batch.lines.into_iter().filter(|line| matches!(line.stream, Stream::Cause | Stream::Context)),
        );
    }
    lines.retain(|line| line.step == failed.number);
    // Of several attempts the last.
    let last = lines.iter().rposition(|line| line.stream == Stream::Cause).unwrap_or_default();
    lines.drain(..last.saturating_sub(1));
    lines
}

pub async fn logs(session: &Session, arguments: &LogsArguments) -> Result<(), Failed> {
    let run = ids::run_of(session, &arguments.what).await?;
    let logs = session.host.logs();
    if arguments.follow && !run.state.is_final() {
        let watched = follow::to_the_end(session.store(), &logs, &run.id);
        tokio::select! {
            run = watched => drop(run?),
            // Whoever has closed the output has seen enough; the run goes on without.
            () = printing::lost() => {}
        }
        return Ok(());
    }
    let mut reader = RunLogReader::open(&logs, &run.id, 0).context("cannot read the log")?;
    follow::show_new(&mut reader, &mut follow::Last::default()).await?;
    if run.state.is_final() {
        follow::show_end(&run);
    }
    Ok(())
}

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
    let short_ids = ids::short_deliveries(session).await?;
    let rows: Vec<Vec<Cell>> = shown
        .iter()
        .flat_map(|(delivery, verdicts)| {
            verdicts.iter().map(|verdict| {
                vec![
                    Cell::id(&delivery.id, &short_ids.of(&delivery.id)),
                    Cell::time(Some(delivery.received_at_ms)),
                    Cell::text(delivery.event.as_str()),
                    Cell::text(if verdict.deployment.is_empty() { "-" } else { &verdict.deployment }),
                    Cell::text(verdict.code.as_str()),
                    Cell::text(verdict.sentence.as_str()),
                ]
            })
        })
        .collect();
    const COLUMNS: [Column; 6] = [
        Column::new("DELIVERY"),
        Column::time("RECEIVED (UTC)", "RECEIVED"),
        Column::new("EVENT").dispensable(1),
        Column::new("DEPLOYMENT"),
        Column::new("VERDICT").state(),
        Column::new("WHY").rest(),
    ];
    table::print(&COLUMNS, &rows);
    Ok(())
}

pub async fn explain(session: &Session, arguments: &ExplainArguments) -> Result<(), Failed> {
    let typed = arguments.delivery.to_ascii_lowercase();
    // A GUID that cannot be an id here stands for one that is.
    let stands_for_another = match DeliveryId::parse(&typed) {
        Ok(id) if session.store().delivery(id.as_str()).await?.is_none() => {
            session.store().further_deliveries(id.as_str()).await?
        }
        _ => Vec::new(),
    };
    let (delivery, further) = match stands_for_another.split_first() {
        Some((first, others)) => (first.clone(), others.to_vec()),
        None => {
            let delivery = ids::delivery(session, &typed).await?;
            let further = session.store().further_deliveries(&delivery.id).await?;
            (delivery, further)
        }
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
        print_line!();
        print_line!("another delivery came under this GUID, with another body:");
        explain_one(session, delivery).await?;
    }
    Ok(())
}

async fn explained(session: &Session, delivery: &Delivery) -> Result<Value, Failed> {
    let verdicts = session.store().verdicts(&delivery.id).await?;
    Ok(json!({ "delivery": delivery, "verdicts": verdicts_json(&verdicts) }))
}

async fn explain_one(session: &Session, delivery: &Delivery) -> Result<(), Failed> {
    print_line!(
        "delivery {}: {} received {} UTC from {}",
        delivery.id,
        plain(&delivery.event),
        readable_utc(delivery.received_at_ms),
        plain(&delivery.remote_address)
    );
    if let Some(repository) = &delivery.repository {
        let commit = short(delivery.commit_id.as_deref());
        let git_ref = plain(delivery.git_ref.as_deref().unwrap_or_default());
        print_line!("  {} {git_ref} {}", plain(repository), plain(commit));
    }
    if delivery.redeliveries > 0 {
        print_line!("  delivered again {}", counted(delivery.redeliveries, "time", "times"));
    }
    for verdict in session.store().verdicts(&delivery.id).await? {
        let code = verdict.code.as_str();
        let style = style_of(code);
        let deployment = if verdict.deployment.is_empty() { "no deployment" } else { &verdict.deployment };
        print_line!("  {deployment}: {style}{code}{style:#}: {}", plain(&verdict.sentence));
        if let Some(run) = &verdict.run_id {
            print_line!("    {DIM}durhack-deployer run {run}{DIM:#}");
        }
    }
    Ok(())
}
