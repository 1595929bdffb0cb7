//! `status`: the parts of the deployer, what is live as this host has it, and what is wrong.
//!
//! What is live is what the link names; whether it serves, the worker has looked at last (`deploy/observe`), which is shown with its age.
//! Exit code 1 says that something is not as it should be, so that a monitor needs no more than this command.

use super::inspect::{run_json, running_json, short};
use super::session::{self, Session};
use crate::admin::doctor::finding::{Finding, FindingLevel};
use crate::admin::doctor::parts::{self, DoctorPart};
use crate::base::clock::{ago, duration, now_ms, readable_utc};
use crate::base::words::cause_and_hint;
use crate::base::words::{counted, step_title};
use crate::cli::StatusArguments;
use crate::config::{Deployment, Environment, Layout, Purpose};
use crate::daemon;
use crate::pipeline::context::{Host, HostedDeployment};
use crate::pipeline::{live_state, observe, unknown};
use crate::run_log::rendering::plain;
use crate::steps::finding::Severity;
use crate::steps::release;
use crate::store::comparison::Comparison;
use crate::store::{Run, StoreError};
use crate::terminal::failed::Failed;
use crate::terminal::output;
use crate::terminal::style::{DIM, GREEN, RED, YELLOW};
use crate::terminal::table::{self, Cell, Column};
use anyhow::Result;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// A refusal by GitHub is worth a look for so long; after that it is history.
const REFUSALS_SHOWN_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// A look that is older than this was not repeated: the worker looks once a minute, but not during a run.
const LOOK_AGE_MAX_MS: i64 = 10 * 60_000;

pub async fn run(
    directory: Option<&Path>,
    environment: &Environment,
    arguments: &StatusArguments,
) -> Result<(), Failed> {
    let as_json = arguments.json;
    let session = match Session::open_by_last_good(directory, environment, Purpose::Ask).await {
        Ok(session) => session,
        Err(failed) => {
            // What can be said without the database is said all the same.
            if let Some(host) = session::host_without_record(directory, environment) {
                show_parts_alone(&parts::all(&host.config, &host.store).await, as_json);
            }
            return Err(failed);
        }
    };
    let mut parts = parts::all(session.config(), session.store()).await;
    if let Some(broken) = &session.broken {
        let finding = Finding::error(broken.what(), broken.mend());
        parts.insert(0, DoctorPart { name: "config", finding });
    }
    if let Some((what, mend)) = session.unread() {
        parts.insert(0, DoctorPart { name: "config", finding: Finding::warning(what, mend) });
    }
    if let Some(slug) = &arguments.slug {
        session.deployment(slug)?;
        // Of what is well nobody has asked.
        parts.retain(|part| matches!(part.finding.level, FindingLevel::Warning | FindingLevel::Error));
    }
    status(&session, &parts, arguments).await
}

/// Where the database does not answer.
fn show_parts_alone(parts: &[DoctorPart], as_json: bool) {
    match as_json {
        true => output::json(&json!({ "ok": false, "parts": parts })),
        false => show_parts(parts),
    }
}

async fn status(session: &Session, parts: &[DoctorPart], arguments: &StatusArguments) -> Result<(), Failed> {
    let as_json = arguments.json;
    let config = session.config();
    let running = daemon::is_working(&config.state_directory)?;
    let mut deployments = Vec::new();
    let mut is_well = !parts.iter().any(DoctorPart::is_broken);
    let is_asked = |deployment: &&Deployment| {
        arguments.slug.as_ref().is_none_or(|slug| *slug == *deployment.slug.as_str())
    };
    for deployment in config.deployments.values().filter(is_asked) {
        let layout = live_state::layout(session.hosted(deployment)).await?;
        if layout == Layout::InPlace && deployment.layout.is_none() && !as_json {
            print_error_line!("{YELLOW}warning{YELLOW:#}: {}", live_state::in_place_warning(deployment));
        }
        let (shown, is_wrong) = of_deployment(session.hosted(deployment), layout, running).await?;
        is_well &= !is_wrong;
        deployments.push(shown);
    }
    let main = daemon::open_spool(config, "main")?;
    let waiting = main.ready().map_or(0, |ready| ready.len());
    let set_aside = main.bad().map_or(0, |bad| bad.len());
    let refused_since = now_ms() - i64::try_from(REFUSALS_SHOWN_FOR.as_millis()).unwrap_or(i64::MAX / 2);
    let outbox = session.store().outbox_trouble(refused_since).await?;
    let foreign = session.store().foreign().await?;
    is_well &= foreign.is_none();
    let status = json!({
        "ok": is_well, "parts": parts, "foreign_rows": foreign,
        "instance": config.instance, "daemon": running, "deliveries_waiting": waiting, "deliveries_set_aside": set_aside,
        "statuses_unsent": outbox.unsent, "oldest_unsent": outbox.oldest_unsent, "refused_by_github": outbox.refused,
        "deployments": deployments,
    });
    match as_json {
        true => output::json(&status),
        false => show_status(&status, parts),
    }
    // Everything has been said.
    if is_well { Ok(()) } else { Err(Failed::silent()) }
}

/// A deployment for machines, and whether anything of it is wrong.
async fn of_deployment(
    hosted: HostedDeployment<'_>,
    layout: Layout,
    is_working: bool,
) -> Result<(Value, bool), Failed> {
    let HostedDeployment { host, deployment } = hosted;

    let (slug, config) = (&deployment.slug, &host.config);
    let last = host.store.last_run(slug.as_str()).await?;
    let queued = daemon::open_spool(config, slug.as_str())?.ready().map_or(0, |ready| ready.len());
    let unfinished = host.store.unfinished_runs(Some(slug.as_str())).await?;
    let unknown = unknown::of_runs(&unfinished);
    let is_running = unknown.is_none() && unfinished.iter().any(|run| run.started_at_ms.is_some());
    let mut running_step = None;
    for run in &unfinished {
        running_step = running_step.or(running_json(run, &host.store.steps(&run.id).await?));
    }
    let (observed, is_wrong) = observed(hosted, is_working && !is_running && unknown.is_none()).await?;
    let shown = json!({
        "slug": slug, "enabled": deployment.enabled, "repository": deployment.repository, "branch": deployment.branch,
        "live": match unknown {
            // What the link names need not be what runs.
            Some(_) => {
                let linked = live(hosted, layout, false).await?;
                linked.map(
                    |live| json!({ "commit": null, "release": live["release"], "since_ms": live["since_ms"] }),
                )
            }
            None => live(hosted, layout, is_running).await?,
        },
        "unknown": unknown.map(unknown_json),
        "last_run": last.as_ref().map(run_json), "running_step": running_step, "queued": queued, "layout": layout,
        "compared": Comparison::last(&config.state_directory, slug), "observed": observed,
    });
    Ok((shown, is_wrong || unknown.is_some()))
}

/// What an operator is asked of a run that has left nobody knows what.
fn unknown_json(run: &Run) -> Value {
    let (what, mend) = cause_and_hint(run.cause.as_deref().unwrap_or_default());
    json!({ "run": run.id, "what": what, "mend": mend })
}

/// The release that the link names, or the commit of the work tree. While a run is in progress it is what was live before: the new release is
/// not verified yet.
async fn live(
    hosted: HostedDeployment<'_>,
    layout: Layout,
    is_running: bool,
) -> Result<Option<Value>, Failed> {
    let HostedDeployment { host, deployment } = hosted;

    let slug = deployment.slug.as_str();
    if is_running {
        let live = host.store.live_release(slug).await?;
        return Ok(live.map(
            |live| json!({ "commit": live.commit_id, "release": live.name, "since_ms": live.live_at_ms }),
        ));
    }
    let live = match live_state::live(hosted, layout).await {
        Ok(live) => live,
        Err(error) if error.is::<StoreError>() => return Err(error.into()),
        // Something that is no link: what it is, the last look says.
        Err(_) => None,
    };
    let Some(live) = live else { return Ok(None) };
    let releases = host.store.releases(slug).await?;
    let recorded = releases.iter().find(|release| release.name == live.release);
    let since_ms = recorded.and_then(|release| release.live_at_ms).or_else(|| made_at_ms(deployment, layout));
    // A release that the database does not know has a commit that nobody knows.
    let commit = Some(&live.commit).filter(|commit| commit.as_str().bytes().any(|digit| digit != b'0'));
    Ok(Some(json!({ "commit": commit, "release": live.release, "since_ms": since_ms })))
}

/// When the link, or the work tree, was made what it is, as its file system has it.
fn made_at_ms(deployment: &Deployment, layout: Layout) -> Option<i64> {
    let path = match layout {
        Layout::Releases => deployment.path.join(release::CURRENT),
        Layout::InPlace => deployment.path.join(".git/HEAD"),
    };
    let found = path.symlink_metadata().ok()?;
    Some(found.mtime() * 1_000 + found.mtime_nsec() / 1_000_000)
}

/// Since when there is a worker, by its lock.
fn works_since_ms(host: &Host) -> Option<i64> {
    let found = host.locks().join("daemon/work.lock").symlink_metadata().ok()?;
    Some(found.mtime() * 1_000)
}

/// What the worker saw last. A deployment that is disabled is not looked at.
async fn observed(hosted: HostedDeployment<'_>, is_looked_at: bool) -> Result<(Option<Value>, bool), Failed> {
    let HostedDeployment { host, deployment } = hosted;

    let slug = deployment.slug.as_str();
    if !deployment.enabled {
        return Ok((None, false));
    }
    let is_compared_badly = Comparison::last(&host.config.state_directory, &deployment.slug)
        .is_some_and(|compared| compared.is_error || compared.is_branch_gone);
    let Some(seen) = host.store.observation(slug).await? else {
        // Right in the first minutes of a worker. Later somebody keeps what it sees from being stored.
        let is_old = is_looked_at && works_since_ms(host).is_some_and(|at| now_ms() - at > LOOK_AGE_MAX_MS);
        let finding = json!({
            "code": "not-looked-at", "severity": Severity::Warning,
            "what": "nothing is stored of what the worker sees of it",
            "mend": "`durhack-deployer doctor` says whether the worker and the database are well",
        });
        let shown = is_old.then(|| json!({ "at_ms": null, "findings": [finding] }));
        return Ok((shown, is_old || is_compared_badly));
    };
    let mut findings: Vec<Value> = Vec::new();
    let mut is_wrong = false;
    for found in observe::stored(&seen.findings) {
        is_wrong |= found.severity() >= Severity::Warning;
        let data = serde_json::to_value(&found).expect("paths, texts and numbers serialise");
        findings.push(json!({
            "code": data["code"], "severity": found.severity(), "what": found.what(), "mend": found.mend(slug),
        }));
    }
    let age_ms = now_ms() - seen.observed_at_ms;
    is_wrong |= is_compared_badly;
    let is_old = is_looked_at && age_ms > LOOK_AGE_MAX_MS;
    if is_old {
        findings.push(json!({
            "code": "not-looked-at", "severity": Severity::Warning, "what": format!("nobody has looked at it since {} UTC", readable_utc(seen.observed_at_ms)),
            "mend": "the worker looks every minute: `journalctl -u durhack-deployer-worker` says what keeps it",
        }));
    }
    Ok((Some(json!({ "at_ms": seen.observed_at_ms, "findings": findings })), is_wrong || is_old))
}

fn show_parts(parts: &[DoctorPart]) {
    for DoctorPart { name, finding } in parts {
        let (style, word) = match finding.level {
            FindingLevel::Ok => (GREEN, "ok"),
            FindingLevel::NotChecked => (DIM, "not seen"),
            FindingLevel::Warning => (YELLOW, "warning"),
            FindingLevel::Error => (RED, "error"),
        };
        print_line!("  {name:<9} {style}{word:<8}{style:#} {}", plain(&finding.what));
        if let Some(mend) = &finding.mend {
            print_line!("                     {DIM}->{DIM:#} {}", plain(mend));
        }
    }
}

fn show_status(status: &Value, parts: &[DoctorPart]) {
    let daemon = if status["daemon"] == true { "running" } else { "not running" };
    print_line!("{}: daemon {daemon}", status["instance"].as_str().unwrap_or("durhack-deployer"));
    show_parts(parts);
    for (key, [one, many]) in [
        ("deliveries_waiting", ["delivery waits to be looked at", "deliveries wait to be looked at"]),
        (
            "deliveries_set_aside",
            [
                "delivery was dead-lettered: `durhack-deployer queue`",
                "deliveries were dead-lettered: `durhack-deployer queue`",
            ],
        ),
        ("statuses_unsent", ["status is not sent to GitHub yet", "statuses are not sent to GitHub yet"]),
    ] {
        if status[key].as_u64().unwrap_or(0) > 0 {
            print_line!("{}", counted(&status[key], one, many));
        }
    }
    if let Some(foreign) = status["foreign_rows"].as_object()
        && foreign.values().any(|count| *count != 0)
    {
        print_line!(
            "{RED}the database holds rows that this deployer has not written{RED:#}; none of them is acted on: `durhack-deployer doctor` says what to do"
        );
    }
    show_outbox(status);
    if status["deployments"].as_array().is_none_or(Vec::is_empty) {
        print_line!(
            "no deployment can be shown: `durhack-deployer init OWNER/NAME` writes one; `config check` says what is wrong with what is written"
        );
        return;
    }
    const COLUMNS: [Column; 9] = [
        Column::new("DEPLOYMENT"),
        Column::new("LIVE"),
        Column::time("SINCE (UTC)", "SINCE"),
        Column::new("LAST RUN").state(),
        Column::time("AT (UTC)", "AT"),
        Column::new("WAITING").dispensable(1),
        Column::time("COMPARED (UTC)", "COMPARED").dispensable(3),
        Column::time("SEEN", "SEEN").dispensable(2),
        Column::new("CAUSE").rest(),
    ];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let rows: Vec<Vec<Cell>> = status["deployments"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|deployment| {
            let last = &deployment["last_run"];
            let state =
                if deployment["enabled"] == false { "disabled".into() } else { text(&last["status"]) };
            vec![
                Cell::text(text(&deployment["slug"])),
                Cell::text(match &deployment["live"] {
                    live if live.is_object() && live["commit"].is_null() => "unknown",
                    live => short(live["commit"].as_str()),
                }),
                Cell::time(deployment["live"]["since_ms"].as_i64()),
                Cell::text(state),
                Cell::time(last["ended_at_ms"].as_i64().or(last["started_at_ms"].as_i64())),
                Cell::text(deployment["queued"].to_string()),
                Cell::time(deployment["compared"]["at_ms"].as_i64()),
                Cell::text(
                    deployment["observed"]["at_ms"]
                        .as_i64()
                        .map_or("-".into(), |at_ms| ago(now_ms() - at_ms)),
                ),
                Cell::text(match deployment["unknown"].is_object() {
                    true => "nobody knows what is live: see below",
                    false => cause_and_hint(last["cause"].as_str().unwrap_or_default()).0,
                }),
            ]
        })
        .collect();
    table::print(&COLUMNS, &rows);
    for deployment in status["deployments"].as_array().into_iter().flatten() {
        show_running(deployment);
    }
    for deployment in status["deployments"].as_array().into_iter().flatten() {
        show_unknown(deployment);
        show_findings(deployment);
    }
}

/// What an operator is asked before anything else is done to a deployment.
fn show_unknown(deployment: &Value) {
    let unknown = &deployment["unknown"];
    if let (Some(slug), Some(what)) = (deployment["slug"].as_str(), unknown["what"].as_str()) {
        print_line!("{RED}{slug}{RED:#}: {}", plain(what));
        if let Some(mend) = unknown["mend"].as_str() {
            print_line!("  {DIM}->{DIM:#} {}", plain(mend));
        }
    }
}

/// Since when the step runs that a run is at.
fn show_running(deployment: &Value) {
    let step = &deployment["running_step"];
    let Some(since_ms) = step["since_ms"].as_i64() else { return };
    let part = |key: &str| plain(step[key].as_str().unwrap_or_default());
    print_line!(
        "{YELLOW}running{YELLOW:#} {}: {} since {} UTC ({})",
        deployment["slug"].as_str().unwrap_or_default(),
        step_title(&part("phase"), &part("name")),
        readable_utc(since_ms),
        duration(now_ms() - since_ms)
    );
}

/// What was seen of a deployment that is not as it should be; one line each, and what to do about it below.
fn show_findings(deployment: &Value) {
    let slug = deployment["slug"].as_str().unwrap_or_default();
    let observed = &deployment["observed"];
    let findings = observed["findings"].as_array().map_or(&[][..], Vec::as_slice);
    // What is said of its source below is newer.
    for finding in findings.iter().filter(|finding| finding["code"] != "source-away") {
        let (style, word) = match finding["severity"].as_str() {
            Some("error") => (RED, "error"),
            Some("warning") => (YELLOW, "warning"),
            _ => (DIM, "not seen"),
        };
        let seen = observed["at_ms"].as_i64().map_or(String::new(), |at_ms| ago(now_ms() - at_ms));
        let what = plain(finding["what"].as_str().unwrap_or_default());
        print_line!("{style}{word}{style:#} {slug}: {what} {DIM}(seen {seen}){DIM:#}");
        print_line!("  -> {}", plain(finding["mend"].as_str().unwrap_or_default()));
    }
    let compared = &deployment["compared"];
    if compared["is_error"] == true && deployment["enabled"] == true {
        let finding = plain(compared["finding"].as_str().unwrap_or_default());
        let at = |key: &str| compared[key].as_i64().map(readable_utc);
        let asked = at("at_ms").map_or(String::new(), |at| format!(" (asked at {at} UTC"));
        let next = at("next_at_ms").map_or(")".to_owned(), |next| format!(", next at {next} UTC)"));
        print_line!("{RED}{slug} cannot be compared with its branch{RED:#}: {finding}{asked}{next}");
    }
}

/// Why GitHub does not have what it is to be told.
fn show_outbox(status: &Value) {
    if let Some(error) = status["oldest_unsent"]["last_error"].as_str() {
        print_line!("  because of: {}", plain(error));
    }
    for refused in status["refused_by_github"].as_array().into_iter().flatten() {
        print_line!(
            "GitHub has not taken a {} of {} on {} ({} UTC): {}",
            refused["kind"].as_str().unwrap_or_default(),
            refused["deployment"].as_str().unwrap_or_default(),
            short(refused["commit_id"].as_str()),
            readable_utc(refused["created_at_ms"].as_i64().unwrap_or(0)),
            plain(refused["last_error"].as_str().unwrap_or_default()),
        );
    }
}
