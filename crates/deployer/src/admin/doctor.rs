//! `doctor`: everything the service needs, looked at, and how each point is mended.
//!
//! Theory of operation: [`CHECKS`] is a table of small, independent looks at what is [`examined`]. Each gets a thread of its own, and
//! all begin at once: one that hangs in the kernel (a network file system that is gone) or panics is reported as not checked, and
//! keeps none of the others. They change nothing, with and without a daemon, as root and as the service's user; what that user
//! may not see is said. Judgements are pure and have tables of tests: [`sudoers`], [`versions`], [`rights`], [`acl`].
//!
//! Deliberately absent: mending. What is wrong may be meant, and a program that runs as root on somebody's host asks first.

mod configuration;
mod context;
mod files;
pub mod finding;
mod github;
mod host;
pub mod network;
mod nginx;
pub mod parts;
mod privileges;
mod programs;
mod rights;
mod step_users;
mod sudoers;
mod work;

use super::owner;
use crate::admin::arguments::DoctorArguments;
use crate::base::words::counted;
use crate::config::{self, Environment, Purpose};
use crate::process::step_user;
use crate::run_log::rendering::plain;
use crate::terminal::failed::Failed;
use crate::terminal::style::{BOLD, DIM, GREEN, RED, YELLOW};
use crate::terminal::{output, printing};
use anyhow::anyhow;
use context::DoctorContext;
use finding::{CheckResult, Finding, FindingLevel};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

/// What one check may take: two of GitHub's slowest answers.
const CHECK_TIME_MAX: Duration = Duration::from_secs(20);

/// What a check that has given up by itself may take to say so; after that it hangs where nobody can end it.
const HANG_MARGIN: Duration = Duration::from_secs(1);

/// What a database may take to be left: SQLite's last reader makes durable what it takes away, and disks may be busy.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(10);

/// What the owner of the state may take to answer for it: its checks, and the database's end.
const STATE_TIME_MAX: Duration = Duration::from_secs(40);

struct DoctorCheck {
    group: &'static str,
    name: &'static str,
    run: RunsAs,
    /// It is about what lies in the state directory, or in the home of the service: as root, its owner looks.
    is_of_state: bool,
}

/// How it looks.
enum RunsAs {
    /// At files of this machine.
    Now(fn(&DoctorContext) -> CheckResult),
    /// By asking somebody.
    Asking(for<'a> fn(&'a DoctorContext) -> CheckFuture<'a>),
}

type CheckFuture<'a> = Pin<Box<dyn Future<Output = CheckResult> + 'a>>;

const fn now(group: &'static str, name: &'static str, run: fn(&DoctorContext) -> CheckResult) -> DoctorCheck {
    DoctorCheck { group, name, run: RunsAs::Now(run), is_of_state: false }
}

const fn asking(
    group: &'static str,
    name: &'static str,
    run: for<'a> fn(&'a DoctorContext) -> CheckFuture<'a>,
) -> DoctorCheck {
    DoctorCheck { group, name, run: RunsAs::Asking(run), is_of_state: false }
}

const fn of_state(check: DoctorCheck) -> DoctorCheck {
    DoctorCheck { is_of_state: true, ..check }
}

/// In the order of the report: what others depend on first.
const CHECKS: &[DoctorCheck] = &[
    now("configuration", "configuration", configuration::problems),
    of_state(now("files", "state", files::state)),
    now("files", "configuration files", files::configuration),
    now("files", "secrets", files::secrets),
    asking("files", "deployments' paths", |context| Box::pin(files::paths(context))),
    asking("files", "sandboxes", |context| Box::pin(files::sandboxes(context))),
    of_state(asking("files", "files of deployments", |context| Box::pin(files::of_deployments(context)))),
    asking("files", "site directories", |context| Box::pin(files::site_directories(context))),
    asking("privileges", "privileges", |context| Box::pin(async { privileges::way(context) })),
    asking("privileges", "sudo's rules", |context| Box::pin(privileges::sudo_rules(context))),
    now("privileges", "own users", step_users::all),
    asking("privileges", "users of units", |context| Box::pin(step_users::of_units(context))),
    asking("privileges", "sudo's version", |context| Box::pin(privileges::sudo_version(context))),
    asking("programs", "programs", |context| Box::pin(programs::all(context))),
    asking("programs", "units", |context| Box::pin(programs::units(context))),
    asking("programs", "git's version", |context| Box::pin(programs::git(context))),
    asking("nginx", "configuration of nginx", |context| Box::pin(nginx::configuration(context))),
    now("nginx", "certificates", nginx::certificates),
    now("host", "disks", host::disks),
    now("host", "memory", host::memory),
    now("host", "landlock", host::landlock),
    now("host", "system calls", host::system_calls),
    now("host", "control groups", host::control_groups),
    asking("host", "systemd", |context| Box::pin(host::walls_of_units(context))),
    asking("host", "time service", |context| Box::pin(host::synchronisation(context))),
    asking("network", "origin", |context| Box::pin(network::origin(context))),
    asking("network", "site names", |context| Box::pin(network::sites(context))),
    of_state(asking("network", "daemon", |context| Box::pin(network::door(context)))),
    of_state(now("network", "port", network::port)),
    asking("github", "credentials", |context| Box::pin(github::credentials(context))),
    asking("github", "hooks", |context| Box::pin(github::hooks(context))),
    asking("github", "clock", |context| Box::pin(github::clock(context))),
    of_state(asking("github", "networks", |context| Box::pin(github::networks(context)))),
    of_state(asking("work", "record", |context| Box::pin(work::record(context)))),
    of_state(asking("work", "database login", |context| Box::pin(work::database_login(context)))),
    of_state(asking("work", "deployments", |context| Box::pin(work::deployments(context)))),
    of_state(asking("work", "authorship", |context| Box::pin(work::authorship(context)))),
    of_state(now("work", "worker", work::worker)),
    of_state(now("work", "queues", work::queues)),
    of_state(asking("work", "runs", |context| Box::pin(work::runs(context)))),
    of_state(asking("work", "outbox", |context| Box::pin(work::outbox(context)))),
    of_state(asking("work", "pm2", |context| Box::pin(work::pm2(context)))),
];

/// A line of the report.
#[derive(Serialize)]
struct FindingLine {
    group: &'static str,
    check: &'static str,
    #[serde(flatten)]
    finding: Finding,
}

/// The same as the state's owner has it.
#[derive(Deserialize)]
struct OwnerFinding {
    check: String,
    #[serde(flatten)]
    finding: Finding,
}

/// All that the state's owner says.
#[derive(Deserialize)]
struct Answered {
    findings: Vec<OwnerFinding>,
}

/// Carries out `doctor`. An error: one of its checks has found an error, or there is nothing to check.
pub async fn run(
    directory: Option<&Path>,
    environment: &Environment,
    arguments: &DoctorArguments,
) -> Result<(), Failed> {
    // Whose state it is need not be able to read what is secret.
    let purpose = if arguments.of_state { Purpose::Ask } else { Purpose::Check };
    let context = Arc::new(DoctorContext::new(directory, environment, purpose)?);
    let as_json = arguments.json;
    let state = match context.config() {
        Ok(config) => config.state_directory.clone(),
        // Its owner may have kept what was good last.
        Err(_) => config::state_directory_of_broken(directory, environment),
    };
    let state = Some(state).filter(|state| state.exists() && step_user::is_anothers(state));
    let is_ours = |check: &&DoctorCheck| match arguments.of_state {
        true => check.is_of_state,
        false => state.is_none() || !check.is_of_state,
    };
    let checks: Vec<&'static DoctorCheck> = CHECKS.iter().filter(is_ours).collect();
    let shows_progress = !as_json && std::io::stderr().is_terminal();
    let (mut lines, told) = tokio::join!(examine(&context, &checks, CHECK_TIME_MAX, shows_progress), async {
        match &state {
            Some(state) => of_owner(state, directory, environment).await,
            None => Vec::new(),
        }
    });
    lines.extend(told);
    lines.sort_by_key(|line| CHECKS.iter().position(|check| check.name == line.check));
    // One that hangs has been reported as such.
    let _ = timeout(CLOSE_TIME_MAX, context.close()).await;
    let count = |level: FindingLevel| lines.iter().filter(|line| line.finding.level == level).count();
    let (errors, warnings) = (count(FindingLevel::Error), count(FindingLevel::Warning));
    if as_json {
        output::json(&json!({
            "ok": errors == 0, "errors": errors, "warnings": warnings, "not_checked": count(FindingLevel::NotChecked),
            "user": context.us.name, "service_user": context.service.name, "findings": lines,
        }));
    } else {
        show(&lines, &context, state.is_some());
        let unseen = count(FindingLevel::NotChecked);
        print_line!(
            "\n{BOLD}{}, {}{BOLD:#}, {unseen} not checked",
            counted(errors, "error", "errors"),
            counted(warnings, "warning", "warnings")
        );
    }
    if errors > 0 { Err(Failed::silent()) } else { Ok(()) }
}

/// What the state's owner says of it, in our place: root opens and follows nothing there.
async fn of_owner(state: &Path, directory: Option<&Path>, environment: &Environment) -> Vec<FindingLine> {
    let directory = directory.map(|directory| directory.to_string_lossy().into_owned());
    let named = directory.iter().flat_map(|directory| ["--config", directory]);
    let words: Vec<&str> = named.chain(["doctor", "--json", "--of-state"]).collect();
    let asked = owner::ask_owner_of(state, environment, &words, STATE_TIME_MAX).await;
    let told = asked.map_err(|failed| failed.said()).and_then(|told| {
        let answered = serde_json::from_str::<Answered>(&told.unwrap_or_default());
        answered.map_err(|error| format!("its owner does not say how it is: {error}"))
    });
    let answer_of = |check: &DoctorCheck| -> CheckResult {
        let answered = told.as_ref().map_err(|why| anyhow!(why.clone()))?;
        let of_check = answered.findings.iter().filter(|told| told.check == check.name);
        let findings: Vec<Finding> = of_check.map(|told| told.finding.clone()).collect();
        anyhow::ensure!(!findings.is_empty(), "its owner says nothing of it");
        Ok(findings)
    };
    let checks = CHECKS.iter().filter(|check| check.is_of_state);
    checks.flat_map(|check| lines_of(check, Some(answer_of(check)), STATE_TIME_MAX)).collect()
}

/// All of them at once; whoever does not answer is not waited for.
async fn examine(
    context: &Arc<DoctorContext>,
    checks: &[&'static DoctorCheck],
    time_max: Duration,
    shows_progress: bool,
) -> Vec<FindingLine> {
    let (answers, mut answered) = mpsc::channel(checks.len());
    for (number, check) in checks.iter().copied().enumerate() {
        let (of_thread, context, handle) = (answers.clone(), Arc::clone(context), Handle::current());
        let look = move || {
            let answer = catch_unwind(AssertUnwindSafe(|| check.look(&context, time_max, &handle)));
            let answer = answer.unwrap_or_else(|_| Err(anyhow!("the check has crashed: report it, please")));
            // Nobody waits any more where this comes too late.
            let _ = of_thread.try_send((number, answer));
        };
        if let Err(error) = std::thread::Builder::new().name(check.name.to_owned()).spawn(look) {
            let failed = Err(anyhow!(error).context("there is no thread for it"));
            answers.try_send((number, failed)).expect("there is room for an answer of each");
        }
    }
    let mut found: Vec<Option<CheckResult>> = checks.iter().map(|_| None).collect();
    let ends_at = Instant::now() + time_max + HANG_MARGIN;
    while found.iter().any(Option::is_none) {
        if shows_progress {
            progress(checks, &found);
        }
        let Ok(Some((number, answer))) = timeout_at(ends_at, answered.recv()).await else { break };
        found[number] = Some(answer);
    }
    if shows_progress {
        printing::error_text(format_args!("\r\x1b[2K"));
    }
    checks.iter().zip(found).flat_map(|(check, answer)| lines_of(check, answer, time_max)).collect()
}

impl DoctorCheck {
    fn look(&self, context: &DoctorContext, time_max: Duration, handle: &Handle) -> CheckResult {
        match self.run {
            RunsAs::Now(run) => run(context),
            RunsAs::Asking(run) => {
                let asked = handle.block_on(async { timeout(time_max, run(context)).await });
                asked.unwrap_or_else(|_| Err(no_answer(time_max)))
            }
        }
    }
}

fn no_answer(time_max: Duration) -> anyhow::Error {
    anyhow!("no answer within {} s", time_max.as_secs())
}

fn lines_of(check: &DoctorCheck, answer: Option<CheckResult>, time_max: Duration) -> Vec<FindingLine> {
    let findings = match answer.unwrap_or_else(|| Err(no_answer(time_max))) {
        Ok(findings) => findings,
        Err(error) => vec![Finding::not_checked(format!("{error:#}"))],
    };
    findings
        .into_iter()
        .map(|finding| FindingLine { group: check.group, check: check.name, finding })
        .collect()
}

fn progress(checks: &[&DoctorCheck], found: &[Option<CheckResult>]) {
    /// A terminal is at least as wide as these.
    const NAMES_MAX: usize = 3;
    let open = checks.iter().zip(found).filter(|(_, answer)| answer.is_none()).map(|(check, _)| check.name);
    let names: Vec<&str> = open.clone().take(NAMES_MAX).collect();
    let (done, all) = (checks.len() - open.count(), checks.len());
    printing::error_text(format_args!(
        "\r\x1b[2K{DIM}{done} of {all} checks; waiting for {}{DIM:#}",
        names.join(", ")
    ));
}

fn show(lines: &[FindingLine], context: &DoctorContext, owner_was_asked: bool) {
    let (us, service) = (&context.us.name, &context.service.name);
    let also = if owner_was_asked { format!(", and the state as {service}") } else { String::new() };
    print_line!("{DIM}looked at as {us}{also}; the service is {service}'s{DIM:#}");
    let mut group = "";
    for FindingLine { group: of_line, check, finding } in lines {
        if *of_line != group {
            group = of_line;
            print_line!("\n{BOLD}{group}{BOLD:#}");
        }
        let (style, word) = match finding.level {
            FindingLevel::Ok => (GREEN, "ok"),
            FindingLevel::NotChecked => (DIM, "not checked"),
            FindingLevel::Warning => (YELLOW, "warning"),
            FindingLevel::Error => (RED, "error"),
        };
        print_line!("  {style}{word:<11}{style:#} {check}: {}", plain(&finding.what));
        if let Some(mend) = &finding.mend {
            print_line!("              {DIM}->{DIM:#} {}", plain(mend));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_check_that_fails_panics_or_hangs_keeps_none_of_the_others() {
        const BROKEN: &[DoctorCheck] = &[
            now("a", "panics", |_| panic!("on purpose")),
            now("a", "fails", |_| Err(anyhow!("no such table"))),
            asking("a", "panics while asking", |_| Box::pin(async { panic!("on purpose") })),
            now("a", "hangs", |_| {
                loop {
                    std::thread::park();
                }
            }),
            asking("a", "hangs while asking", |_| Box::pin(std::future::pending())),
            now("a", "works", |_| Ok(vec![Finding::ok("fine")])),
        ];
        let nothing = Environment::new([("A", "b")], "/no/such/directory");
        let context =
            Arc::new(DoctorContext::new(Some(Path::new("none")), &nothing, Purpose::Check).unwrap());
        let broken: Vec<&DoctorCheck> = BROKEN.iter().collect();
        let lines = examine(&context, &broken, Duration::ZERO, false).await;
        let found: Vec<(FindingLevel, &str)> =
            lines.iter().map(|line| (line.finding.level, line.finding.what.as_str())).collect();
        let crashed = "the check has crashed: report it, please";
        assert_eq!(
            found,
            [
                (FindingLevel::NotChecked, crashed),
                (FindingLevel::NotChecked, "no such table"),
                (FindingLevel::NotChecked, crashed),
                (FindingLevel::NotChecked, "no answer within 0 s"),
                (FindingLevel::NotChecked, "no answer within 0 s"),
                (FindingLevel::Ok, "fine"),
            ]
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_a_configuration_what_does_not_need_it_is_looked_at() {
        let nothing = Environment::new([("A", "b")], "/no/such/directory");
        let context =
            Arc::new(DoctorContext::new(Some(Path::new("none")), &nothing, Purpose::Check).unwrap());
        let all: Vec<&DoctorCheck> = CHECKS.iter().collect();
        let lines = examine(&context, &all, CHECK_TIME_MAX, false).await;
        let looked: HashSet<&str> = lines.iter().map(|line| line.check).collect();
        assert_eq!(looked.len(), CHECKS.len(), "each says something, under a name of its own");
        let level =
            |check: &str| lines.iter().find(|line| line.check == check).map(|line| line.finding.level);
        assert_eq!(level("configuration"), Some(FindingLevel::Error));
        assert_eq!(level("disks"), Some(FindingLevel::NotChecked));
        assert_eq!(level("memory").map(|level| level == FindingLevel::NotChecked), Some(false));
    }
}
