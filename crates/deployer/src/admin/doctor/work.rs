//! What is under way and what got stuck: queues, runs, the database, what GitHub is still to be told, and PM2's memory.
//!
//! Spools are read as directories here, not opened: opening one makes what is missing.

use super::context::DoctorContext;
use super::finding::{CheckResult, Finding, or_ok};
use crate::admin::owner;
use crate::base::clock::{ago, duration, now_ms, readable_utc};
use crate::base::files::private_file;
use crate::base::words::{cause_and_hint, counted};
use crate::config::Config;
use crate::daemon::{strays, work_lock};
use crate::dispatch::{BAD_BYTES_MAX, BAD_FILES_MAX};
use crate::pipeline::context::Host;
use crate::pipeline::observe;
use crate::process::tools::systemctl::{self, Installation};
use crate::process::{claim, lock, step_user};
use crate::run_log::rendering::plain;
use crate::steps::finding::Severity;
use crate::store::{Run, RunState, Store, StoreError};
use anyhow::Result;
use spool::EntryName;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What waits longer than a long run before it is stuck.
const WAITING_MAX: Duration = Duration::from_secs(3600);

/// GitHub's outages last hours; what is unsent for longer has another reason.
const UNSENT_MAX: Duration = Duration::from_secs(2 * 3600);

/// A refusal is worth a look for so long.
const REFUSED_SHOWN_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// What the longest delivery takes that cannot be read: 64 KiB, encoded, with its header.
const BAD_LONGEST: u64 = 100 * 1024;

/// Entries named one by one.
const SHOWN_MAX: usize = 5;

fn milliseconds(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

/// Whether anybody deploys what is received.
pub fn worker(context: &DoctorContext) -> CheckResult {
    worker_of(context.config()?)
}

/// The same, of a configuration.
pub fn worker_of(config: &Config) -> CheckResult {
    let worker = lock::holder(&config.state_directory, &work_lock(&config.state_directory))?;
    let enabled = config.deployments.values().filter(|deployment| deployment.enabled);
    let elsewhere = enabled.filter_map(|deployment| {
        let holder = claim::holder(deployment).filter(|holder| worker.is_some() && holder.pid != worker)?;
        Some(Finding::error(format!("{}: {holder}", deployment.slug), holder.mend()))
    });
    let elsewhere: Vec<Finding> = elsewhere.collect();
    if !elsewhere.is_empty() {
        return Ok(elsewhere);
    }
    Ok(vec![match worker {
        Some(pid) => Finding::ok(format!("process {pid} deploys what is received")),
        None => Finding::error(
            "nobody deploys: what is received waits",
            format!("start it: {}", owner::how_to_start()),
        ),
    }])
}

/// Entries that wait too long, and those that were dead-lettered.
pub fn queues(context: &DoctorContext) -> CheckResult {
    queues_of(context.config()?)
}

/// The same, of a configuration.
pub fn queues_of(config: &Config) -> CheckResult {
    let state = &config.state_directory;
    let Ok(spools) = fs_err::read_dir(state.join("spool")) else {
        return Ok(vec![Finding::not_checked(format!(
            "there are none yet in {}, or they are not ours to see",
            state.display()
        ))]);
    };
    let mut findings = Vec::new();
    let mut waiting = 0;
    for spool in spools.flatten() {
        let name = spool.file_name().to_string_lossy().into_owned();
        let directory = Host::spool_directory(state, &name);
        let ready = entries(&directory)?;
        waiting += ready.len();
        findings.extend(oldest_too_old(&name, &ready));
        findings.extend(strays(&name, &directory)?);
        let bad = entries(&directory.join("bad"))?;
        findings.extend(bad.iter().take(SHOWN_MAX).map(|entry| set_aside(&name, &directory, entry)));
        if name == "main" && is_full(&directory.join("bad"), &bad) {
            findings.push(Finding::warning(
                format!(
                    "{name}: {} dead-lettered, and no further delivery that cannot be read is kept",
                    counted(bad.len(), "entry was", "entries were")
                ),
                "`durhack-deployer queue` shows them; `durhack-deployer queue drop ENTRY` removes one",
            ));
        }
        if bad.len() > SHOWN_MAX {
            findings.push(Finding::warning(
                format!(
                    "{name}: {} dead-lettered",
                    counted(bad.len() - SHOWN_MAX, "further entry was", "further entries were")
                ),
                "`durhack-deployer queue` shows them",
            ));
        }
    }
    Ok(or_ok(findings, format!("waiting entries: {waiting}; none was dead-lettered")))
}

/// Whether nothing more is set aside there that others send without end.
fn is_full(directory: &Path, bad: &[EntryName]) -> bool {
    let size = |name: &EntryName| {
        fs_err::symlink_metadata(directory.join(name.as_str())).map_or(0, |found| found.len())
    };
    bad.len() >= BAD_FILES_MAX || bad.iter().map(size).sum::<u64>() + BAD_LONGEST > BAD_BYTES_MAX
}

fn entries(directory: &Path) -> Result<Vec<EntryName>> {
    let listing = match fs_err::read_dir(directory) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut names: Vec<EntryName> =
        listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    names.sort();
    Ok(names)
}

/// What lies in a spool and is nothing of it.
fn strays(spool: &str, directory: &Path) -> Result<Vec<Finding>> {
    let finding = |path: PathBuf| {
        Finding::warning(
            format!("{spool}: {} is no entry of the queue, and nobody works on it", path.display()),
            format!("`ls -ld {0}`, and move it away: somebody has put it there", path.display()),
        )
    };
    let mut findings: Vec<Finding> = strays::of_spool(directory)?.into_iter().map(finding).collect();
    if findings.len() > SHOWN_MAX {
        let further = findings.len() - SHOWN_MAX;
        findings.truncate(SHOWN_MAX);
        findings.push(Finding::warning(
            format!(
                "{spool}: {} of the queue",
                counted(further, "further file is no entry", "further files are no entries")
            ),
            format!("`ls -la {}`", directory.display()),
        ));
    }
    Ok(findings)
}

fn oldest_too_old(spool: &str, ready: &[EntryName]) -> Option<Finding> {
    let arrived_ms = i64::try_from(ready.first()?.nanos() / 1_000_000).unwrap_or(i64::MAX);
    let waited = now_ms().saturating_sub(arrived_ms);
    (waited > milliseconds(WAITING_MAX)).then(|| {
        Finding::warning(
            format!("{spool}: waiting entries: {}, the oldest for {}", ready.len(), duration(waited)),
            "`durhack-deployer status` says what is in the way; without a daemon nothing is worked off",
        )
    })
}

fn set_aside(spool: &str, directory: &Path, entry: &EntryName) -> Finding {
    let reason = directory.join("bad").join(format!("{}.reason", entry.as_str()));
    let reason = fs_err::read_to_string(reason).unwrap_or_default();
    let reason: String =
        plain(reason.lines().next().unwrap_or("no reason was written down")).chars().take(200).collect();
    Finding::warning(
        format!("{spool}: {} was dead-lettered: {reason}", entry.as_str()),
        format!("`durhack-deployer queue retry {0}`, or `durhack-deployer queue drop {0}`", entry.as_str()),
    )
}

/// Runs that are not ended by anybody.
pub async fn runs(context: &DoctorContext) -> CheckResult {
    let unfinished = context.store()?.unfinished_runs(None).await?;
    let config = context.config()?;
    let mut findings = Vec::new();
    findings.extend(unfinished.iter().filter(|run| run.state == RunState::Unknown).map(is_unknown));
    let running: Vec<&Run> = unfinished.iter().filter(|run| run.state == RunState::Running).collect();
    for run in &running {
        let timeout =
            config.deployments.values().find(|deployment| deployment.slug.as_str() == run.deployment);
        let timeout = timeout.map_or(Duration::ZERO, |deployment| deployment.timeout);
        // Whoever runs a deployment holds its lock.
        let lock = config.state_directory.join("locks").join(format!("{}.lock", run.deployment));
        findings.extend(stuck(
            run,
            timeout,
            lock::holder(&config.state_directory, &lock)?.is_some(),
            now_ms(),
        ));
    }
    Ok(or_ok(findings, format!("{} in progress, none stuck", running.len())))
}

/// A run that has left nobody knows what: its cause says what is known, and how to go on.
fn is_unknown(run: &Run) -> Finding {
    let (what, mend) = cause_and_hint(run.cause.as_deref().unwrap_or_default());
    Finding::error(
        format!("{}: {}", run.deployment, plain(what)),
        mend.map_or_else(|| format!("`durhack-deployer run {}`", run.id), str::to_owned),
    )
}

/// A run may take its time once to do and once to undo.
fn stuck(run: &Run, timeout: Duration, is_alive: bool, now_ms: i64) -> Option<Finding> {
    let what = format!("{}: run {}", run.deployment, run.id);
    if !is_alive {
        return Some(Finding::error(
            format!("{what} is recorded as running, and its process {} is gone", run.pid),
            "start the daemon: it finishes the run or rolls it back",
        ));
    }
    let took = now_ms - run.started_at_ms.unwrap_or(run.created_at_ms);
    (took > milliseconds(timeout.saturating_mul(2))).then(|| {
        Finding::warning(
            format!("{what} runs for {}, longer than its timeout allows", duration(took)),
            format!("`durhack-deployer cancel {}`; if it stays, restart the daemon", run.deployment),
        )
    })
}

/// Whether the database can be reached and written to, and has this program's schema.
pub async fn record(context: &DoctorContext) -> CheckResult {
    let (config, store) = (context.config()?, context.any_store()?);
    if claim::expect_no_database(config, store).is_ok() && !store.has_had_database() {
        // There was none before the first start.
        context.store()?;
    }
    Ok(record_of(config, store).await)
}

/// The same, of a record.
pub async fn record_of(config: &Config, store: &Store) -> Vec<Finding> {
    let looked = async {
        claim::expect_no_database(config, store)?;
        store.must_be_there().await?;
        let status = store.migration_status().await?;
        if store.file().is_none_or(|file| file.exists()) {
            store.can_write().await?;
        }
        Ok(status)
    };
    vec![match looked.await {
        Ok(status) => {
            let missing = status.iter().filter(|migration| !migration.applied).count();
            match missing {
                0 => closed_to_its_owner(store)
                    .unwrap_or_else(|| Finding::ok(format!("the database answers, schema {}", status.len()))),
                missing => Finding::warning(
                    format!(
                        "the database lacks {} of this program",
                        counted(missing, "migration", "migrations")
                    ),
                    "`durhack-deployer migrate up`, or restart the daemon, which does it",
                ),
            }
        }
        Err(error) => of_store_error(&error, store),
    }]
}

/// What root does not notice by trying: a SQLite database, or its directory, that its owner may not write to.
fn closed_to_its_owner(store: &Store) -> Option<Finding> {
    let file = store.file()?;
    let beside = ["-wal", "-shm"].map(|ending| private_file::beside(&file, ending));
    let directory = file.parent()?.to_owned();
    let is_closed = |path: &PathBuf| path.metadata().is_ok_and(|found| found.mode() & 0o200 == 0);
    let closed = [file.clone(), directory].into_iter().chain(beside).find(is_closed)?;
    Some(Finding::error(
        format!("the database cannot be written to: {} is read-only for its owner", closed.display()),
        format!("`sudo chmod u+w {}`; the worker goes on by itself then", closed.display()),
    ))
}

/// Whether a build can log in to PostgreSQL. It knows no password of ours; it may be the user that we are.
pub async fn database_login(context: &DoctorContext) -> CheckResult {
    let url = context.config()?.database_url.expose();
    if !url.starts_with("postgres") {
        return Ok(vec![Finding::ok("the database is a file of the state directory")]);
    }
    let shared: Vec<&str> = context
        .deployments()?
        .filter(|deployment| deployment.user.is_none())
        .map(|deployment| deployment.slug.as_str())
        .collect();
    let mend = "have PostgreSQL ask for a password (`scram-sha-256` in pg_hba.conf for this user, also for its sockets), and give each deployment its own `user`, which has no role there (docs/how-to/use-postgresql.md)";
    let name = &context.service.name;
    if !context.is_service() {
        // Somebody else's name proves nothing to `peer`; but what admits root without a password admits everybody.
        return Ok(vec![match Store::opens_without_password(url).await? {
            Some(way) => {
                Finding::error(format!("PostgreSQL lets anybody in at {way} who says that user's name"), mend)
            }
            None => Finding::not_checked(format!(
                "only {name} can find out: `sudo -u {name} durhack-deployer doctor`"
            )),
        }]);
    }
    Ok(vec![match (Store::opens_without_password(url).await?, shared.as_slice()) {
        (None, _) => Finding::ok("PostgreSQL asks for a password"),
        (Some(way), []) => Finding::warning(
            format!(
                "PostgreSQL lets {name} in at {way} without a password; every deployment has its own user, so no build is {name}"
            ),
            mend,
        ),
        (Some(way), shared) => Finding::error(
            format!(
                "PostgreSQL lets {name} in at {way} without a password, and the builds of {} run as {name}: they can change the database",
                shared.join(", ")
            ),
            mend,
        ),
    }])
}

/// Whether the database holds only what the service has written.
pub async fn authorship(context: &DoctorContext) -> CheckResult {
    if !context.is_service() && !context.us.is_root() {
        return Ok(vec![Finding::not_checked(format!(
            "only root and {} have the key that tells",
            context.service.name
        ))]);
    }
    let foreign = match context.store()?.foreign().await {
        Ok(foreign) => foreign,
        Err(error) => return Ok(vec![of_store_error(&error, context.store()?)]),
    };
    Ok(vec![match foreign.is_none() {
        true => Finding::ok("all rows that lead to an action were written by this deployer"),
        false => Finding::error(
            format!(
                "the database holds what this deployer has not written: {}; none of it is acted on",
                foreign.shown()
            ),
            FOREIGN_MEND,
        ),
    }])
}

const FOREIGN_MEND: &str = "find out who else can write to the database and keep them out (docs/how-to/recovery.md, \"The database has foreign rows\"); right after an upgrade from 0.1.0 with PostgreSQL: `durhack-deployer migrate trust`";

fn of_store_error(error: &StoreError, store: &Store) -> Finding {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        causes.push(source.to_string());
        cause = source.source();
    }
    let what = match causes.is_empty() {
        true => error.to_string(),
        false => format!("{error}: {}", causes.join(": ")),
    };
    if error.is_locked() {
        let who = store.lockers();
        let (by, end) = match who.is_empty() {
            true => {
                (String::new(), "find it (`sudo fuser -v` with the database's file), and end it".to_owned())
            }
            false => {
                (format!("; {} holds it", who.join(", ")), "end that process, or wait for it".to_owned())
            }
        };
        return Finding::error(format!("{what}{by}"), format!("{end}; meanwhile pushes wait, none is lost"));
    }
    if error.is_read_only()
        && let Some(file) = store.file()
    {
        let mend = format!(
            "`ls -l {0}*` and `findmnt -T {0}` say why: make them, and their directory, writable for the service's user; the worker goes on by itself then",
            file.display()
        );
        return Finding::error(what, mend);
    }
    let mend = match error {
        StoreError::Gone { .. } => StoreError::GONE_MEND,
        StoreError::Unavailable(_) if error.is_full() => {
            "make room on the disk of the database; the worker goes on by itself then"
        }
        StoreError::Unavailable(_) if store.file().is_some() => {
            "look at the database's file, its directory and its disk (`ls -l`, `df`, `dmesg`); meanwhile pushes wait, none is lost"
        }
        StoreError::Unavailable(_) => {
            "start the database, and look at `database_url`; meanwhile pushes wait, none is lost"
        }
        StoreError::Corrupt(_) => "put the last backup in its place (docs/how-to/back-up-and-restore.md)",
        StoreError::NotMigrated(_) => "`durhack-deployer migrate up`",
        StoreError::ForeignSchema(_) => "run the version of durhack-deployer that made it, or a newer one",
        StoreError::Foreign { .. } => FOREIGN_MEND,
        StoreError::Trust { .. } => {
            "give it back to the service's user, or put it back from a backup of the state directory"
        }
        StoreError::NotRecorded { .. } | StoreError::InvalidUrl(_) | StoreError::Defect(_) => {
            "report it with this message"
        }
    };
    Finding::error(what, mend)
}

/// What GitHub does not have yet, or would not take.
pub async fn outbox(context: &DoctorContext) -> CheckResult {
    let trouble = context.store()?.outbox_trouble(now_ms() - milliseconds(REFUSED_SHOWN_FOR)).await?;
    let mut findings = Vec::new();
    if let Some(oldest) = &trouble.oldest_unsent
        && now_ms() - oldest.created_at_ms > milliseconds(UNSENT_MAX)
    {
        let why = oldest.last_error.as_deref().unwrap_or("it was not tried");
        findings.push(Finding::warning(
            format!(
                "{} reports to GitHub are waiting, the oldest since {} UTC: {}",
                trouble.unsent,
                readable_utc(oldest.created_at_ms),
                plain(why)
            ),
            "mend the credential (above), and see that the daemon runs; they are sent by themselves then",
        ));
    }
    if let Some(refused) = trouble.refused.first() {
        let why = refused.last_error.as_deref().unwrap_or_default();
        findings.push(Finding::warning(
            format!("GitHub has refused the reports of {}: {}", refused.deployment, plain(why)),
            "give the credential the rights that are missing; the next run is told again",
        ));
    }
    Ok(or_ok(findings, format!("reports to GitHub waiting: {}, none for long", trouble.unsent)))
}

/// What the worker saw last of each deployment.
pub async fn deployments(context: &DoctorContext) -> CheckResult {
    if !context.is_service() && !context.us.is_root() {
        return Ok(vec![Finding::not_checked(format!(
            "only root and {} have the key that tells what the worker has written",
            context.service.name
        ))]);
    }
    let store = context.store()?;
    let (mut findings, mut number, mut oldest_ms) = (Vec::new(), 0, now_ms());
    let (mut enabled, mut live) = (0, 0);
    for deployment in context.deployments()? {
        let slug = &deployment.slug;
        enabled += 1;
        live += usize::from(store.live_release(slug.as_str()).await?.is_some());
        let Some(seen) = store.observation(slug.as_str()).await? else {
            findings
                .push(Finding::not_checked(format!("{slug} was not looked at yet: the worker does that")));
            continue;
        };
        (number, oldest_ms) = (number + 1, oldest_ms.min(seen.observed_at_ms));
        let seen_ago = ago(now_ms() - seen.observed_at_ms);
        for found in observe::stored(&seen.findings) {
            let what = format!("{slug}: {} (seen {seen_ago})", found.what());
            findings.push(match found.severity() {
                Severity::Error => Finding::error(what, found.mend(slug.as_str())),
                Severity::Warning => Finding::warning(what, found.mend(slug.as_str())),
                Severity::NotSeen => Finding::not_checked(what),
            });
        }
    }
    if enabled == 0 {
        return Ok(vec![Finding::not_checked("there is no deployment that is enabled")]);
    }
    if number == 0 && findings.is_empty() {
        return Ok(vec![Finding::not_checked("nothing is live yet")]);
    }
    let what = match live == enabled {
        true => format!("{} live as deployed", counted(live, "deployment is", "deployments are")),
        false => format!("live as deployed: {live} of {enabled}; nothing of the others is live yet"),
    };
    Ok(or_ok(findings, format!("{what} (seen {})", ago(now_ms() - oldest_ms))))
}

/// Whether PM2's applications come back after a boot.
pub async fn pm2(context: &DoctorContext) -> CheckResult {
    let mut homes: Vec<PathBuf> = Vec::new();
    let mut units: Vec<String> = Vec::new();
    for deployment in context.deployments()? {
        if deployment.recipe.is_under_pm2() {
            if let Some(user) = &deployment.user {
                units.push(step_user::pm2_unit(user));
                continue;
            }
            let own = deployment.environment.get("PM2_HOME").map(PathBuf::from);
            let home = own.or_else(|| Some(context.service.home.as_ref()?.join(".pm2")));
            homes.extend(home.filter(|home| !homes.contains(home)));
        }
    }
    if homes.is_empty() && units.is_empty() {
        return Ok(vec![Finding::not_checked("no deployment is run by PM2")]);
    }
    let mut findings = Vec::new();
    units.dedup();
    if !units.is_empty() {
        let names: Vec<&str> = units.iter().map(String::as_str).collect();
        let printed = context.ask_tool(&systemctl::installations(&names)).await?;
        findings.extend(systemctl::read_installations(&printed.output).iter().filter_map(of_pm2_unit));
    }
    for home in &homes {
        let has = |name: &str| home.join(name).exists();
        if !home.is_dir() || !has("dump.pm2") {
            findings.push(Finding::warning(
                format!("nothing is saved in {}: after a boot PM2 starts nothing", home.display()),
                format!(
                    "deploy once, which saves; `pm2 startup -u {}` makes the unit that starts PM2",
                    context.service.name
                ),
            ));
        } else if !listens(&home.join("rpc.sock")) {
            findings.push(Finding::warning(
                format!("no PM2 runs for {}", home.display()),
                format!("`sudo -u {} pm2 resurrect`", context.service.name),
            ));
        }
    }
    let number = homes.len() + units.len();
    Ok(or_ok(findings, format!("PM2 runs, and knows what to start after a boot ({number} homes)")))
}

/// Of the PM2 of a deployment's own user: its unit starts it, and what it has saved.
fn of_pm2_unit(unit: &Installation) -> Option<Finding> {
    let name = &unit.name;
    if !unit.is_enabled {
        return Some(Finding::warning(
            format!("{name} is not enabled: after a boot PM2 starts nothing"),
            format!("`durhack-deployer setup`, or systemctl enable {name}"),
        ));
    }
    (!unit.is_active).then(|| {
        Finding::warning(
            format!("{name} does not run: the applications that it keeps are down"),
            format!("deploy once, which starts it; or systemctl start {name}, and journalctl -u {name}"),
        )
    })
}

/// Whether somebody is behind this socket: its file outlives a PM2 that was killed, and the boot before. Nothing is asked, and so nothing
/// started.
fn listens(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}
