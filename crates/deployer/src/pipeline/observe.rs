//! What is live, seen on this host: the link and the release behind it, the processes, the page, nginx in front, room on the disks, and
//! the branch at its source.
//!
//! The database says what was deployed; a reboot, an operator's hand or a full disk change the host without it. So each deployment has an
//! [`Observer`] beside its worker, which looks at start, after each run and at an interval, and keeps what it found in the database, where `status` and
//! `doctor` read it. What is new goes to the log, once.
//!
//! Two differences are mended without asking, because nothing can be lost by it: a link that is gone is made again, and a release that is
//! gone is built again from its commit. Everything else is named with what to do about it: what somebody else has written there stays.
//!
//! Processes are looked at by the manager that the recipe plans for the verification of a run, so no recipe says anything twice. Health
//! checks that are commands are not asked: a program of the deployment's is started by runs only.

pub mod places;

use crate::base::clock;
use crate::base::names::CommitId;
use crate::config::{Deployment, HealthCheck, Layout, Phase, UserSource};
use crate::pipeline::context::{Host, HostedDeployment};
use crate::pipeline::live_state;
use crate::plan::facts::{PlanPurpose, Target};
use crate::plan::standing::{is_evaluated, standing};
use crate::plan::{Action, recipes};
use crate::process::env_files::EnvRules;
use crate::process::step_context::{LogEvent, StepContext};
use crate::process::{lock, sandbox_policy};
use crate::queue::job::{JobOptions, redeploy_job};
use crate::steps::finding::Finding;
use crate::steps::process_manager::{Manager, ManagerAction};
use crate::steps::{health, release};
use crate::store::StoreError;
use crate::store::comparison::Comparison;
use anyhow::{Context, Result, bail};
use spool::Spool;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two looks, where branches are compared less often than that: a site that is down is noticed within it.
const INTERVAL_MAX: Duration = Duration::from_secs(60);

/// How long the look at a deployment's processes may take: PM2 is a node program, and the host may be busy.
const PROCESSES_LOOK_MAX: Duration = Duration::from_secs(30);

/// How long the kernel may take to say what lies at a few paths. A network file system that is gone says nothing.
const PLACES_LOOK_MAX: Duration = Duration::from_secs(10);

/// Questions to a page before it counts as down: one lost connection is no outage.
const HEALTH_ATTEMPTS_MAX: u32 = 3;

/// Between two attempts to build a release again that is gone, at most. Doubled from the interval on.
const REBUILD_PAUSE_MAX: Duration = Duration::from_secs(30 * 60);

/// Who asks for a release that is made again.
const REQUESTED_BY: &str = "the look at this host, which found no release";

/// Looks at one deployment, and remembers what it has told already.
pub struct Observer {
    host: Host,
    deployment: Deployment,
    spool: Spool,
    due_at: Instant,
    interval: Duration,
    before: Option<Vec<Finding>>,
    managers: Option<Managers>,
    rebuilds: u32,
    rebuild_at: Instant,
}

/// The process managers of a live release, with the environment in which they are asked.
struct Managers {
    live: Target,
    managers: Vec<Manager>,
    environment: BTreeMap<String, String>,
}

impl Observer {
    /// Looks as often as branches are compared, and at least once a minute.
    pub fn new(host: Host, deployment: Deployment, spool: Spool) -> Self {
        let interval = host.config.reconcile.interval.min(INTERVAL_MAX);
        let now = Instant::now();
        Self {
            host,
            deployment,
            spool,
            due_at: now,
            interval,
            before: None,
            managers: None,
            rebuilds: 0,
            rebuild_at: now,
        }
    }

    /// Looks until told to stop: at once, at the interval, and when a run has ended.
    pub async fn serve(mut self, run_ended: Arc<Notify>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = run_ended.notified() => {}
                () = tokio::time::sleep_until(self.due_at) => {}
            }
        }
    }

    /// Looks once, keeps and tells what was found, and mends what can be mended. Does nothing while a run of the deployment is in progress.
    /// Dropping the future ends the look.
    pub async fn look(&mut self) {
        self.due_at = Instant::now() + self.interval;
        if let Err(error) = self.try_look().await {
            tracing::debug!(deployment = %self.deployment.slug, error = format!("{error:#}"), "cannot be looked at now");
        }
    }

    async fn try_look(&mut self) -> Result<()> {
        if self.is_in_a_run().await? {
            return Ok(());
        }
        let findings = self.findings().await?;
        // What a run was changing meanwhile is looked at when it has ended.
        if self.is_in_a_run().await? {
            return Ok(());
        }
        self.tell(&findings);
        let text = serde_json::to_string(&findings).context("paths, texts and numbers serialise")?;
        let kept =
            self.host.store.set_observation(self.deployment.slug.as_str(), clock::now_ms(), &text).await;
        let mended = self.mend(&findings).await;
        self.before = Some(findings);
        if let Err(error) = mended {
            tracing::error!(deployment = %self.deployment.slug, error = format!("{error:#}"), "cannot mend what is live");
        }
        Ok(kept?)
    }

    async fn is_in_a_run(&self) -> Result<bool, StoreError> {
        let unfinished = self.host.store.unfinished_runs(Some(self.deployment.slug.as_str())).await?;
        Ok(unfinished.iter().any(|run| run.started_at_ms.is_some()))
    }

    /// What was not there at the last look is said, and what is not there any more.
    fn tell(&self, findings: &[Finding]) {
        let slug = &self.deployment.slug;
        let before = self.before.as_deref().unwrap_or_default();
        for new in findings.iter().filter(|new| !before.iter().any(|old| old.is_same(new))) {
            tracing::warn!(deployment = %slug, "{}; {}", new.what(), new.mend(slug.as_str()));
        }
        for gone in before.iter().filter(|old| !findings.iter().any(|new| new.is_same(old))) {
            tracing::info!(deployment = %slug, "no longer so: {}", gone.what());
        }
    }

    async fn findings(&mut self) -> Result<Vec<Finding>> {
        let (host, deployment) = (self.host.clone(), self.deployment.clone());
        let (host, deployment) = (&host, &deployment);
        let slug = deployment.slug.as_str();
        let layout = live_state::layout(HostedDeployment::new(host, deployment)).await?;
        let recorded = host.store.live_release(slug).await?;
        let places = {
            let (host, deployment, recorded) = (host.clone(), deployment.clone(), recorded.clone());
            let look = move || {
                let mut findings = places::room(&host.config, &deployment);
                findings
                    .extend(recorded.and_then(|recorded| places::release(&deployment, layout, &recorded)));
                findings.extend(places::nginx(&host.config, &deployment));
                findings
            };
            tokio::time::timeout(PLACES_LOOK_MAX, tokio::task::spawn_blocking(look)).await
        };
        let mut findings = match places {
            Ok(found) => found?,
            // Whatever else lies there would hang as well.
            Err(_) => {
                return Ok(vec![Finding::NotSeen {
                    what: deployment.path.display().to_string(),
                    why: format!("its file system does not answer within {PLACES_LOOK_MAX:?}"),
                }]);
            }
        };
        findings.extend(source(HostedDeployment::new(host, deployment)));
        let live = match live_state::live(HostedDeployment::new(host, deployment), layout).await {
            Ok(live) => live,
            Err(error) if error.is::<StoreError>() => return Err(error),
            // Somebody has put something else there, which was found above.
            Err(_) => None,
        };
        if let Some(live) = &live
            && deployment.user_source != UserSource::Missing
        {
            findings.extend(self.processes(layout, live).await);
        }
        if live.is_some() || recorded.is_some() {
            for check in &deployment.health {
                findings.extend(page(check, HEALTH_ATTEMPTS_MAX).await);
            }
        }
        Ok(findings)
    }

    /// What the process managers of the live release say.
    async fn processes(&mut self, layout: Layout, live: &Target) -> Vec<Finding> {
        let (host, deployment) = (&self.host, &self.deployment);
        if self.managers.as_ref().is_none_or(|known| known.live != *live) {
            self.managers = Some(managers(HostedDeployment::new(host, deployment), layout, live).await);
        }
        let Some(Managers { managers, environment, .. }) = &self.managers else { return Vec::new() };
        let cancel = CancellationToken::new();
        // A program that is being asked is ended when this look is given up.
        let _ended = cancel.clone().drop_guard();
        let walls = sandbox_policy::looking(deployment);
        let step_context = StepContext {
            executor: &host.executor,
            environment,
            walls: &walls,
            env_rules: &EnvRules::of(&host.config, deployment, &live.directory),
            directory: &live.directory,
            ends_at: Instant::now() + PROCESSES_LOOK_MAX,
            cancel: &cancel,
            hear: &|_: LogEvent<'_>| {},
        };
        let mut findings = Vec::new();
        for manager in managers {
            match manager.look(&step_context).await {
                Ok(found) => findings.extend(found),
                Err(error) => findings
                    .push(Finding::NotSeen { what: "its processes".into(), why: format!("{error:#}") }),
            }
        }
        findings
    }

    async fn mend(&mut self, findings: &[Finding]) -> Result<()> {
        let (host, deployment, spool) = (&self.host, &self.deployment, &self.spool);
        let slug = deployment.slug.as_str();
        let is_release_gone = |finding: &Finding| {
            matches!(
                finding,
                Finding::PathGone { keeps_data: false, .. } | Finding::ReleaseGone { keeps_data: false, .. }
            )
        };
        let link_gone = findings.iter().find_map(|finding| match finding {
            Finding::LinkGone { release, .. } => Some(release),
            _ => None,
        });
        if let Some(release) = link_gone {
            let Some(_lock) = lock::try_acquire(&host.locks(), slug)? else { return Ok(()) };
            if release::current(deployment)?.is_none() {
                release::activate(deployment, release)?;
                tracing::warn!(deployment = %deployment.slug, release, "the link current is made again");
            }
            self.due_at = Instant::now();
        }
        if !findings.iter().any(is_release_gone) {
            self.rebuilds = 0;
            return Ok(());
        }
        if Instant::now() < self.rebuild_at || !spool.ready()?.is_empty() {
            return Ok(());
        }
        let Some(recorded) = host.store.live_release(slug).await? else { return Ok(()) };
        let commit = CommitId::parse(&recorded.commit_id)?;
        let pause = self.interval.saturating_mul(2u32.saturating_pow(self.rebuilds.min(16)));
        (self.rebuilds, self.rebuild_at) = (self.rebuilds + 1, Instant::now() + pause.min(REBUILD_PAUSE_MAX));
        tracing::warn!(deployment = %deployment.slug, %commit, "the live release is gone: it is made again");
        let options = JobOptions { commit: Some(commit), force: true, ..JobOptions::default() };
        let (header, bytes) = redeploy_job(REQUESTED_BY.into(), &options);
        let spool = spool.clone();
        tokio::task::spawn_blocking(move || spool.append(header.id.as_str(), &[&bytes]).map(drop)).await??;
        Ok(())
    }
}

/// Proves that a release runs and that its page answers, as thoroughly as a run does that makes it live: for the one that was gone back to.
pub async fn prove(
    hosted: HostedDeployment<'_>,
    layout: Layout,
    live: &Target,
    (hear, cancel): (&(dyn Fn(LogEvent<'_>) + Send + Sync), &CancellationToken),
) -> Result<()> {
    let HostedDeployment { host, deployment } = hosted;

    if deployment.user_source == UserSource::Missing {
        return Ok(());
    }
    let Managers { managers, environment, .. } = managers(hosted, layout, live).await;
    let directory = live.directory.as_path();
    let env_rules = EnvRules::of(&host.config, deployment, directory);
    for manager in managers {
        let action = Action::Processes { manager: manager.clone(), action: ManagerAction::Prove };
        let whose = (standing(Some(Phase::Verify), &action), is_evaluated(&action));
        let walls =
            sandbox_policy::walls((&host.config, &host.executor), deployment, whose, directory, &environment)
                .await?;
        let ends_at = Instant::now() + deployment.step_timeout;
        let (executor, environment) = (&host.executor, &environment);
        let step_context = StepContext {
            executor,
            environment,
            walls: &walls,
            env_rules: &env_rules,
            directory,
            ends_at,
            cancel,
            hear,
        };
        manager.grant(ManagerAction::Prove, &step_context).await?;
    }
    for check in &deployment.health {
        if let Some(finding) = page(check, check.attempts).await {
            bail!("{}", finding.what());
        }
    }
    Ok(())
}

/// Those that a run which made this release live would ask for a proof.
async fn managers(hosted: HostedDeployment<'_>, layout: Layout, live: &Target) -> Managers {
    let HostedDeployment { host, deployment } = hosted;

    let mirror = host.mirror(deployment);
    // Without the commit's files a recipe plans what its settings say.
    let known = live_state::known(&mirror, deployment, &live.commit).await.unwrap_or_default();
    let situation = (layout, Some(live.clone()));
    let facts = live_state::facts(hosted, &known, situation, ("look", live.clone(), PlanPurpose::Rollback));
    let plan = recipes::plan(&facts);
    let managers = plan.steps.into_iter().filter_map(|step| match step.action {
        Action::Processes { manager, action: ManagerAction::Prove } => Some(manager),
        _ => None,
    });
    let mut environment = deployment.environment.clone();
    environment.extend(plan.environment);
    Managers { live: live.clone(), managers: managers.collect(), environment }
}

/// What the last comparison with the branch says.
fn source(hosted: HostedDeployment<'_>) -> Option<Finding> {
    let HostedDeployment { host, deployment } = hosted;

    let last = Comparison::last(&host.config.state_directory, &deployment.slug)?;
    if last.is_branch_gone {
        return Some(Finding::BranchGone { branch: deployment.branch.to_string() });
    }
    last.is_error.then_some(Finding::SourceAway {
        why: last.finding,
        asked_at_ms: last.at_ms,
        next_at_ms: last.next_at_ms,
    })
}

/// Asks a page or a port; a check that is a command is not asked.
async fn page(check: &HealthCheck, attempts_max: u32) -> Option<Finding> {
    let unhealthy =
        |error: anyhow::Error| Finding::Unhealthy { check: check.shown(), why: format!("{error:#}") };
    let question = match health::Question::of(check) {
        Ok(question) => question?,
        Err(error) => return Some(unhealthy(error)),
    };
    let attempts = check.attempts.clamp(1, attempts_max.max(1));
    let mut attempt = 1;
    loop {
        let Err(error) = question.ask().await else { return None };
        if attempt >= attempts {
            return Some(unhealthy(error));
        }
        attempt += 1;
        tokio::time::sleep(check.interval).await;
    }
}

/// What was stored of a look.
pub fn stored(findings: &str) -> Vec<Finding> {
    // A later version may have found what this one does not know: that is left out, not everything.
    let values: Vec<serde_json::Value> = serde_json::from_str(findings).unwrap_or_default();
    values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect()
}
