//! Runs: one execution of a plan each, from the request to its end.

use super::authenticator::{Authenticator, Message, Signed};
use super::blocked::{Blocked, BlockedRow, write_blocked};
use super::outbox::push_telling;
use super::pools::{found, reading, transaction};
use super::text::{embedded_json, storable, words};
use super::verdicts::upsert_verdict;
use super::{NewNotification, StepState, Store, StoreError, Verdict};
use serde::Serialize;

words! {
    /// How far a run is, as it is stored. What a worker does next is not said here.
    RunState, "run state" {
        /// Its job was taken from the spool. It has done nothing yet: it waits for one of the `runs.parallel_max` slots, or its process died
        /// before it began.
        Queued = "queued",
        /// A process carries out its steps, and holds the deployment's lock. Where nobody holds that, the process has died, and whoever works
        /// on the deployment next recovers the run.
        Running = "running",
        /// Every step succeeded: its release is live, or was until a later run.
        Succeeded = "succeeded",
        /// It ended without success and is not tried again with the same job. Its steps were undone, or its cause names those that could not be;
        /// [`Run::fault`] says whether it speaks against its commit.
        Failed = "failed",
        /// An operator ended it. Its steps were undone, unless nobody knew which those were ([`RunState::Unknown`]).
        Cancelled = "cancelled",
        /// A gate keeps its commit from being deployed for now. Nothing was changed; another run follows when the gate opens.
        Waiting = "waiting",
        /// There was nothing to do: the commit is live, or nothing that concerns the deployment has changed. Nothing was changed.
        Skipped = "skipped" or "superseded",
        /// It was interrupted by the end of its process, and its steps were undone. Its job is still in the spool, and is tried again by another
        /// run. Stored as `undone`, the word that older versions know.
        Interrupted = "undone" or "interrupted" shown "interrupted",
        /// It was interrupted, and this program cannot read its plan: nobody knows what is live. Nothing of it is undone, and the deployment's
        /// other jobs wait, until an operator gives it up (`cancel`) or a program that can read the plan recovers it.
        Unknown = "unknown",
    }
}

impl RunState {
    /// Whether nothing more happens to the run.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::Unknown)
    }
}

words! {
    /// Who can do something about the end of a run. It decides whether the deployer tries the commit again by itself, and which status the
    /// commit has on GitHub.
    FaultClass, "fault class" {
        /// Nobody has to: it succeeded, had nothing to do, waits, or is tried again anyway.
        None = "none",
        /// Whoever writes the repository: a step failed with this commit, or a gate refused it. It is not tried again by itself.
        Commit = "commit",
        /// This machine, or what it depends on: nothing could be fetched, a program is missing, memory or the database was away. That says
        /// nothing of the commit, which is tried again by itself.
        Host = "host",
        /// A person who operates the deployer: they ended the run, asked for what is not there, or must look before anything else is done.
        Operator = "operator",
    }
}

words! {
    /// What led to a run.
    RunTrigger, "trigger" {
        Delivery = "delivery",
        /// What is live was found to be not what should be.
        Reconcile = "reconcile",
        /// A person asked.
        Operator = "operator",
        /// A person asked for an older release.
        Rollback = "rollback",
    }
}

/// One execution of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Run {
    /// A UUID of version 7: ids are in the order of their making ([`Store::new_run_id`]).
    pub id: String,
    /// The deployment's slug.
    pub deployment: String,
    /// `owner/name`.
    pub repository: String,
    /// The branch whose head is deployed.
    pub branch: String,
    /// What is deployed; unknown until the branch's head was resolved.
    pub commit_id: Option<String>,
    /// What was live before.
    pub previous_commit: Option<String>,
    /// 1 for the first run of this commit in this deployment.
    #[sqlx(try_from = "i64")]
    pub attempt: u32,
    /// What led to it.
    #[sqlx(rename = "trigger_kind")]
    pub trigger: RunTrigger,
    /// Who, for people.
    pub requested_by: String,
    /// The entry in the deployment's spool.
    pub entry: String,
    /// The delivery that it carries out.
    pub delivery_id: Option<String>,
    /// How far it is.
    pub state: RunState,
    /// Who can do something about its end; `None` until it has ended, or is [`RunState::Unknown`].
    pub fault: Option<FaultClass>,
    /// Why it failed, in one line.
    pub cause: Option<String>,
    /// What it did, in one line.
    pub summary: Option<String>,
    /// Its plan, as JSON.
    #[serde(serialize_with = "embedded_json")]
    pub plan: Option<String>,
    /// The release that it makes, or activates again.
    pub release: Option<String>,
    /// Unix milliseconds, as the following.
    pub created_at_ms: i64,
    /// When its first step began.
    pub started_at_ms: Option<i64>,
    /// When its last step had ended.
    pub ended_at_ms: Option<i64>,
    /// The process that carries it out.
    #[sqlx(try_from = "i64")]
    pub pid: u32,
    /// The boot of the machine in which that process id means something.
    pub boot_id: String,
    /// Proof that this deployer wrote it.
    #[serde(skip)]
    pub mac: Option<String>,
    /// The same of [`Run::fault`], which programs that sign nothing of it do not know.
    #[serde(skip)]
    pub fault_mac: Option<String>,
}

impl Run {
    /// Whether it failed without saying anything of its commit, which is tried again therefore.
    pub fn says_nothing_of_its_commit(&self) -> bool {
        self.state == RunState::Failed && self.fault == Some(FaultClass::Host)
    }
}

/// All but what is only shown: its number among others, and the process.
impl Signed for Run {
    fn message(&self) -> Message {
        Message::of("runs")
            .text(&self.id)
            .text(&self.deployment)
            .text(&self.repository)
            .text(&self.branch)
            .optional_text(self.commit_id.as_deref())
            .optional_text(self.previous_commit.as_deref())
            .text(self.trigger.as_str())
            .text(&self.requested_by)
            .text(&self.entry)
            .optional_text(self.delivery_id.as_deref())
            .text(self.state.as_str())
            .optional_text(self.cause.as_deref())
            .optional_text(self.summary.as_deref())
            .optional_text(self.plan.as_deref())
            .optional_text(self.release.as_deref())
            .number(self.created_at_ms)
            .optional_number(self.started_at_ms)
            .optional_number(self.ended_at_ms)
    }

    fn mac(&self) -> Option<&str> {
        self.mac.as_deref()
    }

    fn further(&self) -> Option<(Message, Option<&str>)> {
        Some((self.message_of_fault(), self.fault_mac.as_deref()))
    }
}

impl Run {
    /// What is signed of its fault class, which belongs to one state of one run.
    pub(super) fn message_of_fault(&self) -> Message {
        Message::of("runs.fault")
            .text(&self.id)
            .text(self.state.as_str())
            .optional_text(self.fault.map(FaultClass::as_str))
    }
}

/// Changes a run that we wrote, and signs it anew. One that somebody else has changed is left as it is.
macro_rules! change_run {
    ($self:ident, $transaction:ident, $id:expr, |$run:ident| $change:expr) => {{
        let id: &str = $id;
        let known: Option<$crate::store::Run> =
            sqlx::query_as(concat!("SELECT ", crate::store::columns!(runs), " FROM runs WHERE id = $1"))
                .bind(id)
                .fetch_optional(&mut *$transaction)
                .await?;
        let mut $run =
            known.ok_or_else(|| $crate::store::StoreError::NotRecorded { kind: "run", id: id.to_owned() })?;
        $self.require_ours(&$run, "run", || id.to_owned())?;
        $change;
        $crate::store::runs::write_run!($self, $transaction, &$run);
    }};
}
pub(super) use change_run;

/// Writes what may change of a run, signed.
macro_rules! write_run {
    ($self:ident, $transaction:ident, $run:expr) => {{
        let run: &$crate::store::Run = $run;
        let message = $crate::store::authenticator::Signed::message(run);
        let mac = $self.authenticator.sign(&message)?;
        let fault_mac = $self.authenticator.sign(&run.message_of_fault())?;
        sqlx::query(
            "UPDATE runs SET commit_id = $2, previous_commit = $3, state = $4, cause = $5, summary = $6, plan = $7,
                 release = $8, started_at_ms = $9, ended_at_ms = $10, pid = $11, boot_id = $12, mac = $13, fault = $14,
                 fault_mac = $15
             WHERE id = $1",
        )
        .bind(&run.id)
        .bind(&run.commit_id)
        .bind(&run.previous_commit)
        .bind(run.state)
        .bind(&run.cause)
        .bind(&run.summary)
        .bind(&run.plan)
        .bind(&run.release)
        .bind(run.started_at_ms)
        .bind(run.ended_at_ms)
        .bind(i64::from(run.pid))
        .bind(&run.boot_id)
        .bind(&mac)
        .bind(run.fault)
        .bind(&fault_mac)
        .execute(&mut *$transaction)
        .await?;
    }};
}
pub(super) use write_run;

/// A run to record; the fields are those of [`Run`].
#[derive(Debug, Clone, Copy)]
pub struct NewRun<'a> {
    /// See [`Store::new_run_id`]. Calling again with the same id changes nothing.
    pub id: &'a str,
    pub deployment: &'a str,
    pub repository: &'a str,
    pub branch: &'a str,
    pub commit_id: Option<&'a str>,
    pub previous_commit: Option<&'a str>,
    pub trigger: RunTrigger,
    pub requested_by: &'a str,
    pub entry: &'a str,
    pub delivery_id: Option<&'a str>,
    pub created_at_ms: i64,
    pub pid: u32,
    pub boot_id: &'a str,
}

/// How a run ended, and everything that follows from it.
#[derive(Debug, Clone, Copy)]
pub struct RunEnd<'a> {
    pub run_id: &'a str,
    /// A final state.
    pub state: RunState,
    /// Who can do something about it.
    pub fault: FaultClass,
    /// Why it failed, in one line.
    pub cause: Option<&'a str>,
    /// What it did, in one line.
    pub summary: Option<&'a str>,
    /// Unix milliseconds.
    pub ended_at_ms: i64,
    /// The gates that kept it from being carried out.
    pub blocked: &'a [Blocked],
    /// What became of the deliveries that it carried out or superseded.
    pub verdicts: &'a [Verdict],
    /// What GitHub is to be told.
    pub notifications: &'a [NewNotification<'a>],
}

/// Whether [`Store::end_run`] ended the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnded {
    Now,
    /// It had ended already; nothing was written.
    Before,
}

/// That nobody knows what a run has left behind.
#[derive(Debug, Clone, Copy)]
pub struct RunUnknown<'a> {
    pub run_id: &'a str,
    /// Why, what is known, and what an operator can do.
    pub cause: &'a str,
    /// Unix milliseconds.
    pub at_ms: i64,
    /// What GitHub is to be told.
    pub notifications: &'a [NewNotification<'a>],
}

/// Runs of a commit that failed without saying anything of it ([`FaultClass::Host`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostFailures {
    /// All of them.
    pub all: u32,
    /// Those that had begun to act.
    pub with_plan: u32,
}

/// Which runs to list: all that fit every field that is set.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunFilter<'a> {
    /// Of this deployment.
    pub deployment: Option<&'a str>,
    /// In this state.
    pub state: Option<RunState>,
}

/// What the beginning of a run id, as typed by a person, stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunMatch {
    One(Box<Run>),
    None,
    /// Several; the ids of some of them, the newest first.
    Several(Vec<String>),
}

/// How many ids an ambiguous beginning of a run id is answered with: enough to see what to type.
const MATCHES_MAX: i64 = 5;

/// Failures of one commit that are counted: what waits longer with each has long reached its longest pause.
const FAILURES_MAX: i64 = 100;

/// How many of the newest runs are looked at for one that this deployer wrote. Whoever puts more before it could delete it as well.
pub(super) const CANDIDATES_MAX: i64 = 50;

impl Store {
    /// A new id for a run, greater than that of every run before: which of two runs was made later is asked of their ids and never of the
    /// clock, which may be set back.
    pub async fn new_run_id(&self) -> Result<String, StoreError> {
        self.off_thread(Authenticator::next_run_id).await
    }

    /// Records a run as queued, as the next attempt of its spool entry, and returns it.
    pub async fn create_run(&self, run: &NewRun<'_>) -> Result<Run, StoreError> {
        let new = Run {
            id: run.id.to_owned(),
            deployment: run.deployment.to_owned(),
            repository: run.repository.to_owned(),
            branch: run.branch.to_owned(),
            commit_id: run.commit_id.map(str::to_owned),
            previous_commit: run.previous_commit.map(str::to_owned),
            attempt: 0,
            trigger: run.trigger,
            requested_by: storable(run.requested_by).into_owned(),
            entry: run.entry.to_owned(),
            delivery_id: run.delivery_id.map(str::to_owned),
            state: RunState::Queued,
            cause: None,
            summary: None,
            plan: None,
            release: None,
            created_at_ms: run.created_at_ms,
            started_at_ms: None,
            ended_at_ms: None,
            pid: run.pid,
            boot_id: run.boot_id.to_owned(),
            fault: None,
            mac: None,
            fault_mac: None,
        };
        let mac = self.authenticator.sign(&new.message())?;
        let fault_mac = self.authenticator.sign(&new.message_of_fault())?;
        // Before the row: one without the note is never recovered.
        let (id, deployment) = (new.id.clone(), new.deployment.clone());
        self.off_thread(move |authenticator| authenticator.begin(&id, &deployment)).await?;
        transaction!(self, |transaction| {
            sqlx::query(
                "INSERT INTO runs (id, deployment, repository, branch, commit_id, previous_commit, attempt,
                     trigger_kind, requested_by, entry, delivery_id, state, created_at_ms, pid, boot_id, mac,
                     fault_mac)
                 SELECT $1, $2, $3, $4, $5, $6, COALESCE(MAX(attempt), 0) + 1,
                     $7, $8, $9, $10, $11, $12, $13, $14, $15, $16
                 FROM runs WHERE deployment = $2 AND entry = $9
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(&new.id)
            .bind(&new.deployment)
            .bind(&new.repository)
            .bind(&new.branch)
            .bind(&new.commit_id)
            .bind(&new.previous_commit)
            .bind(new.trigger)
            .bind(&new.requested_by)
            .bind(&new.entry)
            .bind(&new.delivery_id)
            .bind(new.state)
            .bind(new.created_at_ms)
            .bind(i64::from(new.pid))
            .bind(&new.boot_id)
            .bind(&mac)
            .bind(&fault_mac)
            .execute(&mut *transaction)
            .await?;
            sqlx::query_as(concat!("SELECT ", crate::store::columns!(runs), " FROM runs WHERE id = $1"))
                .bind(run.id)
                .fetch_one(&mut *transaction)
                .await?
        })
    }

    /// Notes what the branch's head was resolved to, what it replaces, and the how-manieth attempt at it this is.
    pub async fn update_run_commit(
        &self,
        run_id: &str,
        commit_id: &str,
        previous_commit: Option<&str>,
    ) -> Result<(), StoreError> {
        transaction!(self, |transaction| {
            change_run!(self, transaction, run_id, |run| {
                run.commit_id = Some(commit_id.to_owned());
                run.previous_commit = previous_commit.map(str::to_owned);
            });
            let updated = sqlx::query("UPDATE runs SET attempt = 1 + (SELECT COUNT(*) FROM runs AS earlier
                     WHERE earlier.deployment = runs.deployment AND earlier.commit_id = $2 AND earlier.id < runs.id)
                 WHERE id = $1")
                .bind(run_id)
                .bind(commit_id)
                .execute(&mut *transaction)
                .await?;
            found(updated.rows_affected(), "run", run_id)?;
        })
    }

    /// Keeps a run's plan, as JSON text, so that a later process can finish or undo it.
    pub async fn save_plan(&self, run_id: &str, plan: &str) -> Result<(), StoreError> {
        transaction!(self, |transaction| {
            change_run!(self, transaction, run_id, |run| run.plan = Some(storable(plan).into_owned()));
        })
    }

    /// Notes which release a run activates that did not make it; [`Store::create_release`] notes the others.
    pub async fn set_run_release(&self, run_id: &str, release: &str) -> Result<(), StoreError> {
        transaction!(self, |transaction| {
            change_run!(self, transaction, run_id, |run| run.release = Some(release.to_owned()));
        })
    }

    /// Notes that a run is being carried out, and by which process: another one than created it, after a crash.
    pub async fn start_run(
        &self,
        run_id: &str,
        started_at_ms: i64,
        pid: u32,
        boot_id: &str,
    ) -> Result<(), StoreError> {
        transaction!(self, |transaction| {
            change_run!(self, transaction, run_id, |run| {
                if run.ended_at_ms.is_some() {
                    return Err(StoreError::NotRecorded { kind: "unfinished run", id: run_id.to_owned() });
                }
                run.state = RunState::Running;
                run.started_at_ms = run.started_at_ms.or(Some(started_at_ms));
                run.pid = pid;
                run.boot_id = boot_id.to_owned();
            });
        })
    }

    /// Ends a run: its state, the verdicts and what GitHub is to be told, all or nothing, once.
    pub async fn end_run(&self, end: &RunEnd<'_>) -> Result<RunEnded, StoreError> {
        debug_assert!(end.state.is_final(), "a run does not end as {}", end.state);
        let ended = transaction!(self, |transaction| {
            let known: Option<Run> =
                sqlx::query_as(concat!("SELECT ", crate::store::columns!(runs), " FROM runs WHERE id = $1"))
                    .bind(end.run_id)
                    .fetch_optional(&mut *transaction)
                    .await?;
            let mut run =
                known.ok_or_else(|| StoreError::NotRecorded { kind: "run", id: end.run_id.to_owned() })?;
            if run.ended_at_ms.is_some() {
                RunEnded::Before
            } else {
                let is_ours = self.authenticator.recognises(&run)?;
                run.state = end.state;
                run.fault = Some(end.fault);
                run.cause = end.cause.map(|cause| storable(cause).into_owned());
                run.summary = end.summary.map(|summary| storable(summary).into_owned());
                run.ended_at_ms = Some(end.ended_at_ms);
                match is_ours {
                    true => write_run!(self, transaction, &run),
                    // It ends all the same, and is never believed.
                    false => {
                        sqlx::query(
                            "UPDATE runs SET state = $2, cause = $3, summary = $4, ended_at_ms = $5, fault = $6, mac = NULL,
                                 fault_mac = NULL
                             WHERE id = $1",
                        )
                        .bind(end.run_id)
                        .bind(run.state)
                        .bind(&run.cause)
                        .bind(&run.summary)
                        .bind(run.ended_at_ms)
                        .bind(run.fault)
                        .execute(&mut *transaction)
                        .await?;
                    }
                }
                // What could not be recorded while it happened: its end is not known.
                sqlx::query("UPDATE steps SET state = $2, ended_at_ms = $3 WHERE run_id = $1 AND state = $4")
                    .bind(end.run_id)
                    .bind(StepState::Unknown)
                    .bind(end.ended_at_ms)
                    .bind(StepState::Started)
                    .execute(&mut *transaction)
                    .await?;
                for row in &BlockedRow::of(end.run_id, end.blocked) {
                    write_blocked!(self, transaction, row);
                }
                for verdict in end.verdicts {
                    upsert_verdict!(&mut *transaction, verdict);
                }
                for notification in end.notifications {
                    push_telling!(self, transaction, notification);
                }
                RunEnded::Now
            }
        })?;
        let id = end.run_id.to_owned();
        self.off_thread(move |authenticator| authenticator.end(&id)).await?;
        Ok(ended)
    }

    /// Notes that nobody knows what an interrupted run has left behind, and what GitHub is to be told of it, all or nothing. The run stays
    /// open.
    pub async fn run_is_unknown(&self, unknown: &RunUnknown<'_>) -> Result<(), StoreError> {
        transaction!(self, |transaction| {
            change_run!(self, transaction, unknown.run_id, |run| {
                if run.state.is_final() {
                    return Err(StoreError::NotRecorded {
                        kind: "unfinished run",
                        id: unknown.run_id.to_owned(),
                    });
                }
                run.state = RunState::Unknown;
                run.fault = Some(FaultClass::Operator);
                run.cause = Some(storable(unknown.cause).into_owned());
                run.started_at_ms = run.started_at_ms.or(Some(unknown.at_ms));
            });
            for notification in unknown.notifications {
                push_telling!(self, transaction, notification);
            }
        })
    }

    /// Whether a run that the database says is unfinished was begun by this deployer, has not ended, and is as this deployer wrote it.
    pub fn is_open_and_ours(&self, run: &Run) -> Result<bool, StoreError> {
        Ok(self.authenticator.recognises(run)? && self.authenticator.has_begun(&run.id, &run.deployment)?)
    }

    /// Nobody carries out a run of this deployment, and none is to be recovered: whatever the database says later.
    pub async fn no_run_is_open(&self, deployment: &str) -> Result<(), StoreError> {
        let deployment = deployment.to_owned();
        self.off_thread(move |authenticator| authenticator.end_all(&deployment)).await
    }

    /// A run's plan, if this deployer wrote it.
    pub fn own_plan<'r>(&self, run: &'r Run) -> Result<Option<&'r str>, StoreError> {
        Ok(if self.authenticator.recognises(run)? { run.plan.as_deref() } else { None })
    }

    /// The run with this id.
    pub async fn run(&self, id: &str) -> Result<Option<Run>, StoreError> {
        reading!(self, |pool| {
            sqlx::query_as(concat!("SELECT ", crate::store::columns!(runs), " FROM runs WHERE id = $1"))
                .bind(id)
                .fetch_optional(pool)
                .await?
        })
    }

    /// The run whose id begins so.
    pub async fn find_run(&self, id_beginning: &str) -> Result<RunMatch, StoreError> {
        if id_beginning.is_empty() {
            return Ok(RunMatch::None);
        }
        let mut runs: Vec<Run> = reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(runs),
                " FROM runs WHERE substr(id, 1, length($1)) = $1 ORDER BY id DESC LIMIT $2"
            ))
            .bind(storable(id_beginning))
            .bind(MATCHES_MAX)
            .fetch_all(pool)
            .await?
        })?;
        Ok(match runs.len() {
            0 => RunMatch::None,
            1 => RunMatch::One(Box::new(runs.remove(0))),
            _ => RunMatch::Several(runs.into_iter().map(|run| run.id).collect()),
        })
    }

    /// The runs of one entry of a deployment's spool, the first attempt first.
    pub async fn runs_for_entry(&self, deployment: &str, entry: &str) -> Result<Vec<Run>, StoreError> {
        reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(runs),
                " FROM runs WHERE deployment = $1 AND entry = $2 ORDER BY id"
            ))
            .bind(deployment)
            .bind(entry)
            .fetch_all(pool)
            .await?
        })
    }

    /// The runs that carried out a delivery for a deployment, the oldest first.
    pub async fn runs_of_delivery(
        &self,
        delivery_id: &str,
        deployment: &str,
    ) -> Result<Vec<Run>, StoreError> {
        reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(runs),
                " FROM runs WHERE delivery_id = $1 AND deployment = $2 ORDER BY id"
            ))
            .bind(delivery_id)
            .bind(deployment)
            .fetch_all(pool)
            .await?
        })
    }

    /// The runs that have not ended, of one deployment or of all, the oldest first.
    pub async fn unfinished_runs(&self, deployment: Option<&str>) -> Result<Vec<Run>, StoreError> {
        reading!(self, |pool| {
            sqlx::query_as(
                concat!("SELECT ", crate::store::columns!(runs), " FROM runs WHERE state IN ('queued', 'running', 'unknown') AND ($1 IS NULL OR deployment = $1)
                 ORDER BY id"),
            )
            .bind(deployment)
            .fetch_all(pool)
            .await?
        })
    }

    /// The newest runs first.
    pub async fn runs(&self, limit: u32, filter: RunFilter<'_>) -> Result<Vec<Run>, StoreError> {
        reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(runs),
                " FROM runs WHERE ($1 IS NULL OR deployment = $1) AND ($2 IS NULL OR state = $2)
                 ORDER BY id DESC LIMIT $3"
            ))
            .bind(filter.deployment)
            .bind(filter.state)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?
        })
    }

    /// A deployment's newest run.
    pub async fn last_run(&self, deployment: &str) -> Result<Option<Run>, StoreError> {
        let filter = RunFilter { deployment: Some(deployment), state: None };
        Ok(self.runs(1, filter).await?.pop())
    }

    /// The newest ended run that was about the branch's head: what was last tried of it. Not a rollback, nor the deploy of a
    /// commit that an operator named, nor that of what is live once more, as these say nothing of the branch; nor one for which the
    /// branch was not there.
    pub async fn last_tried(&self, deployment: &str) -> Result<Option<Run>, StoreError> {
        let found: Vec<Run> = reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(runs),
                " FROM runs WHERE deployment = $1 AND commit_id IS NOT NULL
                     AND ended_at_ms IS NOT NULL AND state <> 'superseded' AND trigger_kind <> 'rollback'
                     AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.id = runs.delivery_id
                         AND deliveries.source <> 'github'
                         AND (deliveries.event IN ('redeploy', 'adopt') OR (deliveries.event = 'deploy'
                             AND deliveries.commit_id IS NOT NULL AND runs.trigger_kind = 'operator')))
                     AND NOT EXISTS (SELECT 1 FROM verdicts
                         WHERE verdicts.run_id = runs.id AND verdicts.code = 'branch-deleted')
                 ORDER BY id DESC LIMIT $2"
            ))
            .bind(deployment)
            .bind(CANDIDATES_MAX)
            .fetch_all(pool)
            .await?
        })?;
        self.first_of_ours(found)
    }

    /// The newest run of this commit that came to something: it had a plan, and succeeded, failed or was cancelled.
    pub async fn last_outcome(&self, deployment: &str, commit_id: &str) -> Result<Option<Run>, StoreError> {
        let found: Vec<Run> = reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(runs),
                " FROM runs WHERE deployment = $1 AND commit_id = $2
                     AND plan IS NOT NULL AND state IN ('succeeded', 'failed', 'cancelled')
                 ORDER BY id DESC LIMIT $3"
            ))
            .bind(deployment)
            .bind(commit_id)
            .bind(CANDIDATES_MAX)
            .fetch_all(pool)
            .await?
        })?;
        self.first_of_ours(found)
    }

    /// Whether an order for this commit was superseded, not earlier than `since_ms`, to what an operator asked for: it was seen, and decided
    /// against.
    pub async fn was_overruled(
        &self,
        deployment: &str,
        commit_id: &str,
        since_ms: i64,
    ) -> Result<bool, StoreError> {
        let superseded_at_ms: Option<i64> = reading!(self, |pool| {
            sqlx::query_scalar(
                "SELECT MIN(verdicts.decided_at_ms) FROM verdicts JOIN deliveries ON deliveries.id = verdicts.delivery_id
                 WHERE verdicts.deployment = $1 AND deliveries.commit_id = $2
                     AND verdicts.code = 'superseded' AND verdicts.decided_at_ms >= $3",
            )
            .bind(deployment)
            .bind(commit_id)
            .bind(since_ms)
            .fetch_one(pool)
            .await?
        })?;
        let Some(superseded_at_ms) = superseded_at_ms else { return Ok(false) };
        let asked_for: Vec<Run> = reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(runs),
                " FROM runs WHERE deployment = $1 AND trigger_kind IN ('operator', 'rollback')
                     AND created_at_ms >= $2 ORDER BY id DESC LIMIT $3"
            ))
            .bind(deployment)
            .bind(superseded_at_ms)
            .bind(CANDIDATES_MAX)
            .fetch_all(pool)
            .await?
        })?;
        Ok(self.first_of_ours(asked_for)?.is_some())
    }

    /// How many runs of this commit failed without saying anything of it.
    pub async fn host_failures(&self, deployment: &str, commit_id: &str) -> Result<HostFailures, StoreError> {
        let found: Vec<Run> = reading!(self, |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                crate::store::columns!(runs),
                " FROM runs WHERE deployment = $1 AND commit_id = $2 AND state = 'failed' AND fault = 'host'
                 ORDER BY id DESC LIMIT $3"
            ))
            .bind(deployment)
            .bind(commit_id)
            .bind(FAILURES_MAX)
            .fetch_all(pool)
            .await?
        })?;
        let ours = self.only_ours(found)?;
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let with_plan = count(ours.iter().filter(|run| run.plan.is_some()).count());
        Ok(HostFailures { all: count(ours.len()), with_plan })
    }
}
