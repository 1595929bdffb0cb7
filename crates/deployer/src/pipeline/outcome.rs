//! How a run, or an entry that got none, ends: what is written down and what GitHub is told, in one transaction.

use super::gates::Held;
use super::run::Failure;
use crate::base::names::{CommitId, DeliveryId};
use crate::notify::{self, DeploymentState, Notification};
use crate::pipeline::context::{Host, HostedDeployment};
use crate::pipeline::downtime::Downtime;
use crate::queue::job::ClaimedJob;
use crate::queue::recorded::verdict;
use crate::store::{
    Blocked, FaultClass, NewNotification, Run, RunEnd, RunState, RunTrigger, RunUnknown, StoreError, Verdict,
    VerdictCode,
};

/// How a run ends that somebody else has changed in the database.
pub const TAMPERED: &str = "somebody else has changed this run in the database: nothing of it was carried out or undone, and nobody knows what is live; look at the deployment, then deploy it again (docs/how-to/recovery.md, \"The database has foreign rows\")";

/// How a run ends whose release somebody else has changed in the database.
pub const RELEASE_TAMPERED: &str = "somebody else has changed its release in the database: all its steps succeeded, and it is not recorded as live; look at the deployment, then deploy it again (docs/how-to/recovery.md, \"The database has foreign rows\")";

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The state it ends in.
    pub state: RunState,
    /// One line; empty for a success.
    pub cause: String,
    /// Who can do something about it.
    pub fault: FaultClass,
    /// The gates that the commit has not passed.
    pub blocked: Vec<Blocked>,
    /// The delivery's verdict, where the state alone does not say it.
    pub verdict: Option<VerdictCode>,
    /// What else there is to say.
    pub summary: Option<String>,
    /// How long it did not answer while it was switched, if that was measured; a part of the summary.
    pub gap: Option<Downtime>,
    /// The release that is live because of it.
    pub live: Option<String>,
}

impl Outcome {
    /// An end of which nothing else is known: a failure is the commit's then, and who cancels is an operator.
    pub fn new(state: RunState, cause: impl Into<String>) -> Self {
        let fault = match state {
            RunState::Failed => FaultClass::Commit,
            RunState::Cancelled | RunState::Unknown => FaultClass::Operator,
            _ => FaultClass::None,
        };
        Self {
            state,
            cause: cause.into(),
            fault,
            blocked: Vec::new(),
            verdict: None,
            summary: None,
            gap: None,
            live: None,
        }
    }

    /// How a run ended, or stands, as it is stored.
    pub fn of_run(run: &Run) -> Self {
        let outcome = Self::new(run.state, run.cause.clone().unwrap_or_default());
        let is_error = run.says_nothing_of_its_commit() && run.plan.is_some();
        Self {
            fault: run.fault.unwrap_or(outcome.fault),
            verdict: is_error.then_some(VerdictCode::Error),
            ..outcome
        }
    }

    /// The end of a run that failed or was stopped.
    pub fn of_failure(failure: Failure) -> Self {
        if failure.branch_gone {
            return Self {
                verdict: Some(VerdictCode::BranchDeleted),
                ..Self::new(RunState::Skipped, failure.cause)
            };
        }
        let state = if failure.cancelled { RunState::Cancelled } else { RunState::Failed };
        let verdict = failure.exhausted.then_some(VerdictCode::Error);
        Self { fault: failure.fault, verdict, ..Self::new(state, failure.cause) }
    }

    /// The end of a run whose commit has to wait.
    pub fn waiting(sentence: String, blocked: &[Blocked]) -> Self {
        Self { blocked: blocked.to_vec(), ..Self::new(RunState::Waiting, sentence) }
    }

    /// The end of a run whose commit may not be deployed.
    pub fn refused(sentence: String, blocked: &[Blocked]) -> Self {
        let verdict = Some(VerdictCode::Refused);
        Self { verdict, blocked: blocked.to_vec(), ..Self::new(RunState::Failed, sentence) }
    }

    /// The end of a run of which the database does not say what this deployer has written.
    pub fn tampered(sentence: &str) -> Self {
        Self { fault: FaultClass::Operator, ..Self::new(RunState::Failed, sentence) }
    }

    /// Says how long the deployment did not answer.
    pub fn add(&mut self, gap: Option<Downtime>) {
        self.gap = gap;
        let said = self.summary.take().into_iter().chain(gap.map(|gap| gap.to_string()));
        self.summary = said.reduce(|summary, gap| format!("{summary}; {gap}"));
    }

    fn verdict(&self) -> Option<(VerdictCode, String)> {
        let sentence = |text: &str| if self.cause.is_empty() { text.to_owned() } else { self.cause.clone() };
        match (self.verdict, self.state) {
            (Some(code), _) => Some((code, self.cause.clone())),
            (None, RunState::Succeeded) => Some((VerdictCode::Deployed, sentence("it is live"))),
            (None, RunState::Failed) => Some((VerdictCode::Failed, sentence("failed"))),
            (None, RunState::Cancelled) => Some((VerdictCode::Cancelled, sentence("cancelled"))),
            (None, RunState::Waiting) => Some((VerdictCode::Waiting, sentence("waiting"))),
            (None, RunState::Skipped) => Some((VerdictCode::Skipped, sentence("skipped"))),
            // It will be tried again: the delivery is still queued.
            (None, _) => None,
        }
    }

    /// Whether there was no commit to deploy, or one that another run has the last word on.
    fn says_nothing_of_its_commit(&self) -> bool {
        matches!(self.verdict, Some(VerdictCode::BranchDeleted | VerdictCode::Duplicate))
    }

    fn status(&self) -> Option<(notify::Status, String)> {
        match self.state {
            RunState::Succeeded => {
                let gap = self.gap.map(|gap| format!(", {gap}")).unwrap_or_default();
                Some((notify::Status::Success, format!("deployed{gap}")))
            }
            RunState::Failed if self.fault == FaultClass::Commit => {
                Some((notify::Status::Failure, self.cause.clone()))
            }
            RunState::Failed | RunState::Unknown => Some((notify::Status::Error, self.cause.clone())),
            RunState::Cancelled => Some((notify::Status::Error, "cancelled by an operator".into())),
            RunState::Waiting => Some((notify::Status::Pending, self.cause.clone())),
            RunState::Skipped if self.says_nothing_of_its_commit() => None,
            RunState::Skipped => Some((notify::Status::Success, self.cause.clone())),
            _ => None,
        }
    }
}

impl Outcome {
    /// What GitHub's page of deployments is to show; nothing where the run had nothing to do.
    fn deployment(&self) -> Option<(DeploymentState, &str)> {
        match self.state {
            RunState::Succeeded => Some((DeploymentState::Success, "deployed")),
            RunState::Failed if self.fault == FaultClass::Commit => {
                Some((DeploymentState::Failure, &self.cause))
            }
            RunState::Failed | RunState::Unknown => Some((DeploymentState::Error, &self.cause)),
            RunState::Cancelled => Some((DeploymentState::Error, "cancelled by an operator")),
            RunState::Interrupted => Some((DeploymentState::Error, &self.cause)),
            RunState::Waiting => Some((DeploymentState::Queued, &self.cause)),
            _ => None,
        }
    }
}

/// Writes a run's end down: state, verdict, commit status, deployment.
pub async fn end_run(hosted: HostedDeployment<'_>, run: &str, outcome: &Outcome) -> Result<(), StoreError> {
    let HostedDeployment { host, deployment } = hosted;

    let Some(record) = host.store.run(run).await? else { return Ok(()) };
    // Of what somebody else has written nobody is told, and no delivery has its outcome from it.
    let is_ours = host.store.is_our_run(&record)?;
    let verdicts = match outcome.verdict() {
        Some((code, sentence)) if is_ours => {
            let of_delivery = |delivery: &DeliveryId| Verdict {
                run_id: Some(run.to_owned()),
                ..verdict(delivery, Some(&deployment.slug), code, &sentence)
            };
            settled_deliveries(host, &record).await?.iter().map(of_delivery).collect()
        }
        _ => Vec::new(),
    };
    let commit = record.commit_id.as_deref().filter(|_| is_ours).and_then(|id| CommitId::parse(id).ok());
    let mut told: Vec<Notification> = Vec::new();
    if let Some(commit) = &commit {
        told.extend(notifications(hosted, commit, run, outcome));
        let gives_way = outcome.says_nothing_of_its_commit()
            || outcome.state == RunState::Interrupted && !is_awaited(host, &record).await?;
        if gives_way {
            told.extend(parting(hosted, commit, &outcome.cause, Some(run)).await?);
        }
    }
    let notifications: Vec<NewNotification<'_>> = told.iter().map(Notification::row).collect();
    let end = RunEnd {
        run_id: run,
        state: outcome.state,
        fault: outcome.fault,
        cause: (!outcome.cause.is_empty()).then_some(outcome.cause.as_str()),
        summary: outcome.summary.as_deref(),
        ended_at_ms: crate::base::clock::now_ms(),
        blocked: &outcome.blocked,
        verdicts: &verdicts,
        notifications: &notifications,
    };
    host.store.end_run(&end).await?;
    host.notifier.wake.notify_one();
    Ok(())
}

/// Writes down that nobody knows what an interrupted run has left behind, and tells of it. The run stays open, and its delivery queued.
pub async fn is_unknown(hosted: HostedDeployment<'_>, run: &Run, cause: &str) -> Result<(), StoreError> {
    let HostedDeployment { host, .. } = hosted;

    let outcome = Outcome::new(RunState::Unknown, cause);
    let commit = run.commit_id.as_deref().and_then(|id| CommitId::parse(id).ok());
    let told: Vec<Notification> =
        commit.map(|commit| notifications(hosted, &commit, &run.id, &outcome)).unwrap_or_default();
    let notifications: Vec<NewNotification<'_>> = told.iter().map(Notification::row).collect();
    let unknown = RunUnknown {
        run_id: &run.id,
        cause,
        at_ms: crate::base::clock::now_ms(),
        notifications: &notifications,
    };
    host.store.run_is_unknown(&unknown).await?;
    host.notifier.wake.notify_one();
    Ok(())
}

/// Whether the job of an interrupted run names the run's commit, so that whatever becomes of the job tells of it. The branch's
/// head may be another one when the job is tried again: then nobody else would.
async fn is_awaited(host: &Host, run: &Run) -> Result<bool, StoreError> {
    let Some(delivery) = &run.delivery_id else { return Ok(false) };
    let delivery = host.store.delivery(delivery).await?;
    let names_it = |event: &str| matches!(event, "push" | "deploy");
    Ok(delivery.is_some_and(|delivery| names_it(&delivery.event) && delivery.commit_id == run.commit_id))
}

/// What GitHub is told of a run's end.
fn notifications(
    hosted: HostedDeployment<'_>,
    commit: &CommitId,
    run: &str,
    outcome: &Outcome,
) -> Vec<Notification> {
    let HostedDeployment { host, deployment } = hosted;

    let status = outcome.status().and_then(|(status, description)| {
        host.notifier.notification(deployment, commit, status, &description, Some(run))
    });
    let state = outcome.deployment().and_then(|(state, description)| {
        host.notifier.deployment_telling(deployment, commit, state, description, run)
    });
    status.into_iter().chain(state).collect()
}

/// Of which deliveries a run's end is the outcome: its own, and those that have waited for its commit to be let through.
async fn settled_deliveries(host: &Host, run: &Run) -> Result<Vec<DeliveryId>, StoreError> {
    let waiting = host.store.waiting_deliveries(&run.deployment).await?;
    let of_commit = waiting.into_iter().filter(|waiting| run.commit_id.as_ref() == Some(&waiting.commit_id));
    let ids = of_commit.map(|waiting| waiting.delivery_id).filter(|id| run.delivery_id.as_ref() != Some(id));
    Ok(run.delivery_id.clone().into_iter().chain(ids).filter_map(|id| DeliveryId::parse(&id).ok()).collect())
}

/// Another commit takes the place of whatever has waited to be let through.
pub async fn waiting_superseded(hosted: HostedDeployment<'_>, by: &CommitId) -> Result<(), StoreError> {
    let HostedDeployment { host, deployment } = hosted;

    let mut told: Option<CommitId> = None;
    for waiting in host.store.waiting_deliveries(deployment.slug.as_str()).await? {
        let (Ok(delivery), Ok(commit)) =
            (DeliveryId::parse(&waiting.delivery_id), CommitId::parse(&waiting.commit_id))
        else {
            continue;
        };
        if commit == *by {
            continue;
        }
        let sentence = format!("superseded by {} while it waited", by.short());
        // First what GitHub is told: after a crash this delivery is found again.
        if told.as_ref() != Some(&commit) {
            gave_way(hosted, &commit, &sentence, None).await?;
            told = Some(commit);
        }
        let verdict = verdict(&delivery, Some(&deployment.slug), VerdictCode::Superseded, &sentence);
        host.store.set_verdict(&verdict).await?;
    }
    Ok(())
}

/// A job whose commit is still blocked, as it was when it was last tried: no further run.
pub async fn still_held(
    hosted: HostedDeployment<'_>,
    claimed: &ClaimedJob,
    held: &Held,
) -> Result<(), StoreError> {
    let HostedDeployment { host, deployment } = hosted;

    let verdict = verdict(&claimed.header.id, Some(&deployment.slug), held.verdict, &held.sentence);
    host.store.set_verdict(&Verdict { run_id: Some(held.run.clone()), ..verdict }).await?;
    let status = match held.verdict {
        VerdictCode::Waiting => notify::Status::Pending,
        _ => notify::Status::Failure,
    };
    match claimed.is_look_again() {
        true => Ok(()),
        // It was told that this push is queued.
        false => host.notifier.tell(deployment, &held.commit, status, &held.sentence, Some(&held.run)).await,
    }
}

/// An event of checks for which nothing waits any more.
pub async fn not_waited_for(hosted: HostedDeployment<'_>, claimed: &ClaimedJob) -> Result<(), StoreError> {
    let HostedDeployment { host, deployment } = hosted;

    let sentence = format!("{} does not wait for this commit any more", deployment.slug);
    host.store
        .set_verdict(&verdict(
            &claimed.header.id,
            Some(&deployment.slug),
            VerdictCode::NotWaitedFor,
            &sentence,
        ))
        .await
}

/// The commit that a run is about has become known. If the entry named another, that one will not be deployed.
pub async fn resolved(
    hosted: HostedDeployment<'_>,
    claimed: &ClaimedJob,
    run: &str,
    commit: &CommitId,
    live: Option<&CommitId>,
) -> Result<(), StoreError> {
    let HostedDeployment { host, deployment } = hosted;

    if let Some(named) = &claimed.job.commit
        && named != commit
        && !claimed.is_look_again()
    {
        let sentence = format!("superseded by {}, the head of {} by now", commit.short(), deployment.branch);
        gave_way(hosted, named, &sentence, Some(run)).await?;
    }
    host.store.update_run_commit(run, commit.as_str(), live.map(CommitId::as_str)).await?;
    if claimed.job.options.commit.is_none() && claimed.job.trigger != RunTrigger::Rollback {
        waiting_superseded(hosted, commit).await?;
    }
    host.notifier.tell(deployment, commit, notify::Status::Pending, "deploying", Some(run)).await
}

/// A run has its plan and begins to act.
pub async fn planned(hosted: HostedDeployment<'_>, run: &str, commit: &CommitId) -> Result<(), StoreError> {
    let HostedDeployment { host, deployment } = hosted;

    host.notifier.tell_deployment(deployment, commit, DeploymentState::InProgress, "deploying", run).await
}

/// A push whose commit, or a later one, is live: a verdict and no run.
pub async fn already_live(
    hosted: HostedDeployment<'_>,
    claimed: &ClaimedJob,
    live: Option<&CommitId>,
    sentence: &str,
) -> Result<(), StoreError> {
    let HostedDeployment { host, deployment } = hosted;

    let verdict = verdict(&claimed.header.id, Some(&deployment.slug), VerdictCode::AlreadyLive, sentence);
    host.store.set_verdict(&verdict).await?;
    match &claimed.job.commit {
        Some(commit) if live == Some(commit) => {
            host.notifier.tell(deployment, commit, notify::Status::Success, sentence, None).await
        }
        Some(commit) => gave_way(hosted, commit, &format!("superseded: {sentence}"), None).await,
        None => Ok(()),
    }
}

/// A job whose commit another run has tried meanwhile: it has that run's outcome.
pub async fn settled_by(
    hosted: HostedDeployment<'_>,
    claimed: &ClaimedJob,
    run: &Run,
) -> Result<(), StoreError> {
    let HostedDeployment { host, deployment } = hosted;

    let outcome = Outcome::of_run(run);
    let (code, sentence) = match run.state {
        RunState::Succeeded => {
            (VerdictCode::AlreadyLive, format!("run {} has deployed it meanwhile", run.id))
        }
        _ => outcome
            .verdict()
            .unwrap_or((VerdictCode::Duplicate, format!("run {} has tried it meanwhile", run.id))),
    };
    let verdict = verdict(&claimed.header.id, Some(&deployment.slug), code, &sentence);
    host.store.set_verdict(&Verdict { run_id: Some(run.id.clone()), ..verdict }).await?;
    match (outcome.status(), &claimed.job.commit) {
        (Some((status, description)), Some(commit)) => {
            host.notifier.tell(deployment, commit, status, &description, Some(&run.id)).await
        }
        _ => Ok(()),
    }
}

/// A push that says nothing new: its body came before, as another delivery.
pub async fn replayed(
    hosted: HostedDeployment<'_>,
    claimed: &ClaimedJob,
    earlier: &str,
) -> Result<(), StoreError> {
    let sentence = format!("the same body came before, as delivery {earlier}");
    said_before(hosted, claimed, VerdictCode::Duplicate, &sentence).await
}

/// A push that leads to a head that was tried before, and not because of it.
pub async fn tried_before(
    hosted: HostedDeployment<'_>,
    claimed: &ClaimedJob,
    run: &Run,
) -> Result<(), StoreError> {
    let outcome = Outcome::of_run(run);
    let head = run.commit_id.as_deref().map_or("the head", |commit| commit.get(..7).unwrap_or(commit));
    let (code, sentence) = match (run.state, outcome.verdict()) {
        (RunState::Succeeded, _) | (_, None) => (
            VerdictCode::Duplicate,
            format!("{head} was tried by run {}, and something else was put live since", run.id),
        ),
        (_, Some((code, cause))) => (code, format!("run {} has tried {head} before: {cause}", run.id)),
    };
    said_before(hosted, claimed, code, &sentence).await
}

async fn said_before(
    hosted: HostedDeployment<'_>,
    claimed: &ClaimedJob,
    code: VerdictCode,
    sentence: &str,
) -> Result<(), StoreError> {
    let HostedDeployment { host, deployment } = hosted;

    host.store.set_verdict(&verdict(&claimed.header.id, Some(&deployment.slug), code, sentence)).await?;
    match &claimed.job.commit {
        // It was told that this push is queued.
        Some(commit) if !claimed.is_look_again() => gave_way(hosted, commit, sentence, None).await,
        _ => Ok(()),
    }
}

/// An older entry is superseded by a newer one.
pub async fn superseded(
    hosted: HostedDeployment<'_>,
    older: &ClaimedJob,
    newer: &ClaimedJob,
) -> Result<(), StoreError> {
    let HostedDeployment { host, deployment } = hosted;

    let by = newer
        .job
        .commit
        .as_ref()
        .map_or_else(|| "a newer request".to_owned(), |commit| commit.short().to_owned());
    let sentence = format!("superseded by {by}");
    host.store
        .set_verdict(&verdict(&older.header.id, Some(&deployment.slug), VerdictCode::Superseded, &sentence))
        .await?;
    match &older.job.commit {
        // A look at the gates is no push: what waits has its own status.
        Some(commit) if older.job.commit != newer.job.commit && !older.is_look_again() => {
            gave_way(hosted, commit, &sentence, None).await
        }
        _ => Ok(()),
    }
}

/// Tells of a commit to which nothing is done now.
async fn gave_way(
    hosted: HostedDeployment<'_>,
    commit: &CommitId,
    sentence: &str,
    run: Option<&str>,
) -> Result<(), StoreError> {
    let HostedDeployment { host, .. } = hosted;

    host.notifier.enqueue(parting(hosted, commit, sentence, run).await?.as_ref()).await
}

/// The last words on a commit to which nothing is done now. What its last run came to, if it had one, is still true of it: a late or
/// repeated push takes no success back.
async fn parting(
    hosted: HostedDeployment<'_>,
    commit: &CommitId,
    sentence: &str,
    run: Option<&str>,
) -> Result<Option<Notification>, StoreError> {
    let HostedDeployment { host, deployment } = hosted;

    let last = host.store.last_outcome(deployment.slug.as_str(), commit.as_str()).await?;
    let known = match &last {
        Some(last) => Outcome::of_run(last).status().zip(Some(last.id.as_str())),
        None => None,
    };
    let error = (notify::Status::Error, sentence.to_owned());
    let ((status, description), run) = known.map_or((error, run), |(said, run)| (said, Some(run)));
    Ok(host.notifier.notification(deployment, commit, status, &description, run))
}

/// An entry that is given up without a run of its own.
pub async fn given_up(
    hosted: HostedDeployment<'_>,
    claimed: &ClaimedJob,
    reason: &str,
) -> Result<(), StoreError> {
    let HostedDeployment { host, deployment } = hosted;

    host.store
        .set_verdict(&verdict(&claimed.header.id, Some(&deployment.slug), VerdictCode::Failed, reason))
        .await?;
    match &claimed.job.commit {
        Some(commit) => host.notifier.tell(deployment, commit, notify::Status::Error, reason, None).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FaultClass::{Commit, Host, Operator};
    use RunState::{Cancelled, Failed, Interrupted, Queued, Running, Skipped, Succeeded, Unknown, Waiting};
    use notify::Status;

    fn a_run(state: RunState, fault: Option<FaultClass>, plan: Option<&str>) -> Run {
        Run {
            id: "r".into(),
            deployment: "site".into(),
            repository: "acme/site".into(),
            branch: "main".into(),
            commit_id: None,
            previous_commit: None,
            attempt: 1,
            trigger: RunTrigger::Delivery,
            requested_by: String::new(),
            entry: String::new(),
            delivery_id: None,
            state,
            fault,
            cause: Some("because".into()),
            summary: None,
            plan: plan.map(str::to_owned),
            release: None,
            created_at_ms: 0,
            started_at_ms: None,
            ended_at_ms: None,
            pid: 1,
            boot_id: String::new(),
            mac: None,
            fault_mac: None,
        }
    }

    /// What a stored run says: to its delivery, to its commit, and to those who ask whether the commit has had its turn.
    #[test]
    fn what_a_stored_run_says() {
        use VerdictCode as Code;
        let none = Some(FaultClass::None);
        let plan = Some("{}");
        for (state, fault, plan, code, status, says_nothing) in [
            (Queued, None, None, None, None, false),
            (Running, None, plan, None, None, false),
            (Succeeded, none, plan, Some(Code::Deployed), Some(Status::Success), false),
            (Failed, Some(Commit), plan, Some(Code::Failed), Some(Status::Failure), false),
            // A gate refused it: there was no plan yet, and it is the commit's all the same.
            (Failed, Some(Commit), None, Some(Code::Failed), Some(Status::Failure), false),
            (Failed, Some(Host), None, Some(Code::Failed), Some(Status::Error), true),
            (Failed, Some(Host), plan, Some(Code::Error), Some(Status::Error), true),
            (Failed, Some(Operator), plan, Some(Code::Failed), Some(Status::Error), false),
            (Failed, Some(Operator), None, Some(Code::Failed), Some(Status::Error), false),
            (Cancelled, Some(Operator), plan, Some(Code::Cancelled), Some(Status::Error), false),
            (Waiting, none, None, Some(Code::Waiting), Some(Status::Pending), false),
            (Skipped, none, None, Some(Code::Skipped), Some(Status::Success), false),
            // It is tried again: its delivery waits, and its commit is told nothing new.
            (Interrupted, none, plan, None, None, false),
            // So does that of one of which nobody knows what it has left; its commit is told.
            (Unknown, Some(Operator), plan, None, Some(Status::Error), false),
        ] {
            let run = a_run(state, fault, plan);
            let outcome = Outcome::of_run(&run);
            let label = format!("{state} {fault:?} {plan:?}");
            assert_eq!(outcome.verdict().map(|(code, _)| code), code, "{label}");
            assert_eq!(outcome.status().map(|(status, _)| status), status, "{label}");
            assert_eq!(run.says_nothing_of_its_commit(), says_nothing, "{label}");
        }
    }

    #[test]
    fn how_a_failure_ends_its_run() {
        let gone = Failure { branch_gone: true, ..Failure::of_operator("there is no branch main") };
        let exhausted = Failure { exhausted: true, ..Failure::of_host("no memory") };
        for (failure, state, fault, verdict) in [
            (Failure::of_commit("exited with 1"), Failed, Commit, None),
            (Failure::of_host("cannot fetch"), Failed, Host, None),
            (Failure::of_operator("no such release"), Failed, Operator, None),
            (Failure::cancelled(), Cancelled, Operator, None),
            (exhausted, Failed, Host, Some(VerdictCode::Error)),
            (gone, Skipped, FaultClass::None, Some(VerdictCode::BranchDeleted)),
        ] {
            let label = format!("{failure:?}");
            let outcome = Outcome::of_failure(failure);
            assert_eq!((outcome.state, outcome.fault, outcome.verdict), (state, fault, verdict), "{label}");
        }
        assert_eq!(Outcome::refused("no".into(), &[]).fault, Commit);
        assert_eq!(Outcome::tampered(TAMPERED).fault, Operator);
        assert_eq!(Outcome::waiting("for ci".into(), &[]).fault, FaultClass::None);
    }
}
