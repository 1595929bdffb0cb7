//! What a deployment is to do: a job, as it waits in the deployment's spool.
//!
//! Dispatch reads a delivery and writes a job for each deployment that it concerns; an operator's command and reconcile write jobs of their
//! own. The payload stays with the delivery: nobody behind the spool reads what GitHub sent.
//!
//! A job lies in an [`Entry`] beside a small `payload`. The payload says the same as the job, in the form in which the versions before this one
//! read it: the few fields of GitHub's that count, or an operator's request. So an older package, and the Python tool after `setup --back`,
//! find nothing in a deployment's spool that they cannot do. This version never reads it where there is a job.
//!
//! An entry without a job was put there by 0.1.0, which copied the delivery. It is read once more, as 0.1.0 would have done it.

use crate::base::digest::sha256_hex;
use crate::base::names::{BranchName, CommitId, DeliveryId, RepositoryName};
use crate::github::webhook_event::{Event, Reading};
use crate::queue::entry::{Entry, EntrySource, Header, InvalidEntry, Payload};
use crate::store::RunTrigger;
use serde::{Deserialize, Serialize};
use serde_json::json;
use spool::Claim;
use std::path::PathBuf;

/// The version of a job that this program writes, and the newest that it does.
pub const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub version: u32,
    /// What is to be done.
    pub kind: JobKind,
    /// Why there will be a run.
    pub trigger: RunTrigger,
    /// The commit that it names: a hint, but for an operator's own choice (`options.commit`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
    /// What else was asked for; nothing, by a webhook.
    #[serde(default, skip_serializing_if = "JobOptions::are_none")]
    pub options: JobOptions,
    /// SHA-256 of the body of the webhook that led to it. A body that came before under another id is a replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_sha256: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// Deploy the branch's head: it was pushed to.
    Push,
    /// Ask the gates again about a commit whose checks have changed. It leads to a run of that commit or to nothing.
    LookAgain,
    /// Deploy the branch's head, or the commit that an operator has named.
    Deploy,
    /// As [`JobKind::Deploy`], since an operator has approved the head.
    Approve,
    /// As [`JobKind::Deploy`], since an operator has let the head through a freeze.
    Unfreeze,
    /// Make releases of a work tree in place.
    Adopt,
    /// Deploy the live commit once more, since the configuration has changed, or since its release is gone.
    Redeploy,
    /// Make an earlier release live.
    Rollback,
}

/// What in particular is asked for by an operator or by reconcile. The versions before this one read it as the payload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobOptions {
    /// Deploy this commit instead of the branch's head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
    /// What the branch's head was when reconcile looked, or when an operator approved it. What is deployed is what it is by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<CommitId>,
    /// Go back to this release; None in a rollback: the one before the live one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Deploy although the commit is live already, or waits for something.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Make releases of the work tree in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
}

/// How a work tree in place is to become releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adopt {
    /// What goes to `shared/`, as it was agreed upon: whoever does it may have another configuration.
    pub kept: Vec<PathBuf>,
    /// Also where files that git tracks were changed by hand: they stay in the old tree.
    pub modified_too: bool,
}

/// Why what lies in a deployment's spool is no job.
#[derive(Debug, thiserror::Error)]
pub enum InvalidJob {
    /// Not even an entry.
    #[error(transparent)]
    Entry(#[from] InvalidEntry),
    /// A later version of this program wrote it.
    #[error("the job has version {0}; this program does jobs up to version {VERSION}")]
    Version(u32),
    /// It lacks something, or says something that no job says.
    #[error("the job cannot be read: {0}")]
    Job(#[source] serde_json::Error),
    /// An entry of 0.1.0 whose payload is no request.
    #[error("the request cannot be read: {0}")]
    Request(#[source] serde_json::Error),
    /// An entry of 0.1.0 with a body that says nothing.
    #[error("{0}")]
    Malformed(String),
    /// An entry of 0.1.0 that belongs into the spool `main` at most.
    #[error("an entry of {from:?} with the event {event:?} is not for a deployment")]
    NotForADeployment {
        /// Who wrote it.
        from: EntrySource,
        event: String,
    },
}

/// A job that a worker has taken out of the spool.
pub struct ClaimedJob {
    pub claim: Claim,
    /// Who sent it, when, under which delivery id.
    pub header: Header,
    /// What is to be done.
    pub job: Job,
}

/// How much a job says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// That the checks of a commit have changed.
    LookAgain,
    /// What reconcile found.
    Found,
    Push,
    /// What an operator asks for.
    Request,
}

impl JobKind {
    /// The event by which it is known to the versions before this one, and in the database; a webhook has its own.
    fn event(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::LookAgain => "check_run",
            Self::Deploy => "deploy",
            Self::Approve => "approve",
            Self::Unfreeze => "release",
            Self::Adopt => "adopt",
            Self::Redeploy => "redeploy",
            Self::Rollback => "rollback",
        }
    }

    /// What an entry of 0.1.0 asks for that is no webhook.
    fn of_event(from: EntrySource, event: &str) -> Option<(Self, RunTrigger)> {
        Some(match (from, event) {
            (EntrySource::Operator | EntrySource::Reconcile, "rollback") => {
                (Self::Rollback, RunTrigger::Rollback)
            }
            (EntrySource::Operator, "deploy") => (Self::Deploy, RunTrigger::Operator),
            (EntrySource::Operator, "adopt") => (Self::Adopt, RunTrigger::Operator),
            (EntrySource::Operator, "approve") => (Self::Approve, RunTrigger::Operator),
            (EntrySource::Operator, "release") => (Self::Unfreeze, RunTrigger::Operator),
            (EntrySource::Reconcile, "deploy") => (Self::Deploy, RunTrigger::Reconcile),
            (EntrySource::Reconcile, "redeploy") => (Self::Redeploy, RunTrigger::Reconcile),
            _ => return None,
        })
    }
}

impl JobOptions {
    fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Job {
    /// What is to be done because of a webhook.
    pub fn of_webhook(kind: JobKind, commit: Option<CommitId>, body_sha256: &str) -> Self {
        Self {
            version: VERSION,
            kind,
            trigger: RunTrigger::Delivery,
            commit,
            options: JobOptions::default(),
            body_sha256: Some(body_sha256.to_owned()),
        }
    }

    fn of_request(kind: JobKind, trigger: RunTrigger, options: JobOptions) -> Self {
        let commit = options.commit.clone().or_else(|| options.head.clone());
        Self { version: VERSION, kind, trigger, commit, options, body_sha256: None }
    }

    /// What lies in a deployment's spool, and who sent it.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being one; the entry is to be dead-lettered with that as its reason.
    pub fn parse(bytes: &[u8]) -> Result<(Header, Self), InvalidJob> {
        let entry = Entry::parse(bytes)?;
        let Some(text) = entry.job else { return Self::of_entry(entry) };
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        // First: what a later version has written need not be readable as anything else.
        let Versioned { version } = serde_json::from_str(text).map_err(InvalidJob::Job)?;
        if version > VERSION {
            return Err(InvalidJob::Version(version));
        }
        Ok((entry.header, serde_json::from_str(text).map_err(InvalidJob::Job)?))
    }

    /// What an entry of 0.1.0 asks for: a copied delivery, or a request.
    fn of_entry(entry: Entry<'_>) -> Result<(Header, Self), InvalidJob> {
        let Entry { header, payload, .. } = entry;
        let Payload::Json(payload) = payload else {
            return Err(InvalidJob::Malformed("the payload is not JSON".to_owned()));
        };
        let not_for_a_deployment =
            |header: Header| InvalidJob::NotForADeployment { from: header.source, event: header.event };
        let job = match header.source {
            EntrySource::Github => {
                let reading = header.reading.clone();
                let (kind, commit) =
                    match reading.unwrap_or_else(|| Reading::of_entry(&header.event, payload)).event {
                        Event::Push(push) => (JobKind::Push, push.after),
                        Event::Checked(checked) => (JobKind::LookAgain, Some(checked.commit)),
                        Event::Malformed(reason) => return Err(InvalidJob::Malformed(reason)),
                        Event::Ping | Event::Other(_) => return Err(not_for_a_deployment(header)),
                    };
                Self::of_webhook(kind, commit, &header.payload_sha256)
            }
            EntrySource::Operator | EntrySource::Reconcile => {
                let Some((kind, trigger)) = JobKind::of_event(header.source, &header.event) else {
                    return Err(not_for_a_deployment(header));
                };
                let options = serde_json::from_str(payload).map_err(InvalidJob::Request)?;
                Self::of_request(kind, trigger, options)
            }
        };
        Ok((header, job))
    }

    fn entry(&self, header: &Header, payload: &str) -> Vec<u8> {
        let job = serde_json::to_string(self).expect("a job of strings and numbers serialises");
        header.with_job(&job, payload)
    }
}

/// The entry of a job that a webhook leads to. `delivery` is the delivery's header, with the id under which it is known here.
pub fn webhook_job(
    delivery: &Header,
    job: &Job,
    repository: &RepositoryName,
    branch: &BranchName,
) -> Vec<u8> {
    let (repository, commit) = (json!({ "full_name": repository.as_str() }), &job.commit);
    let payload = match (job.kind, delivery.event.as_str()) {
        (JobKind::LookAgain, "status") => json!({ "sha": commit, "repository": repository }),
        (JobKind::LookAgain, event) => json!({ event: { "head_sha": commit }, "repository": repository }),
        // The Python tool goes by `head_commit`.
        _ => json!({
            "ref": format!("refs/heads/{branch}"), "after": commit, "head_commit": { "id": commit },
            "repository": repository,
        }),
    };
    let payload = payload.to_string();
    let header = Header {
        payload_sha256: sha256_hex(payload.as_bytes()),
        reading: None,
        cut: None,
        ..delivery.clone()
    };
    job.entry(&header, &payload)
}

/// The entry of a job that an operator asks for, with its header.
pub fn operator_job(kind: JobKind, requested_by: String, options: &JobOptions) -> (Header, Vec<u8>) {
    let trigger = match kind {
        JobKind::Rollback => RunTrigger::Rollback,
        _ => RunTrigger::Operator,
    };
    requested_job((kind, trigger), DeliveryId::generate(), (EntrySource::Operator, requested_by), options)
}

/// The entry of a job that deploys the live commit once more, with its header.
pub fn redeploy_job(requested_by: String, options: &JobOptions) -> (Header, Vec<u8>) {
    let what = (JobKind::Redeploy, RunTrigger::Reconcile);
    requested_job(what, DeliveryId::generate(), (EntrySource::Reconcile, requested_by), options)
}

/// The entry of a job of reconcile's, which looked at `seen_at` and found this head.
pub fn reconcile_job(id: DeliveryId, seen_at: jiff::Timestamp, head: CommitId) -> Vec<u8> {
    let options = JobOptions { head: Some(head), ..JobOptions::default() };
    let job = Job::of_request(JobKind::Deploy, RunTrigger::Reconcile, options);
    let payload = serde_json::to_string(&job.options).expect("options of strings serialise");
    let event = job.kind.event();
    let header = Header::new(id, event, EntrySource::Reconcile, "reconcile".into(), payload.as_bytes());
    job.entry(&Header { received_at: seen_at, ..header }, &payload)
}

fn requested_job(
    (kind, trigger): (JobKind, RunTrigger),
    id: DeliveryId,
    (source, requested_by): (EntrySource, String),
    options: &JobOptions,
) -> (Header, Vec<u8>) {
    let payload = serde_json::to_string(options).expect("options of strings serialise");
    let header = Header::new(id, kind.event(), source, requested_by, payload.as_bytes());
    let bytes = Job::of_request(kind, trigger, options.clone()).entry(&header, &payload);
    (header, bytes)
}

impl ClaimedJob {
    /// Whether it says only that the checks of its commit have changed.
    pub fn is_look_again(&self) -> bool {
        self.job.kind == JobKind::LookAgain
    }

    /// Whether it deploys what is live once more. It says nothing of the branch, and takes no other commit's place.
    pub fn is_of_live(&self) -> bool {
        self.job.options.adopt.is_some() || self.job.kind == JobKind::Redeploy
    }

    fn weight(&self) -> Weight {
        weight(self.header.source, self.job.kind)
    }
}

fn weight(source: EntrySource, kind: JobKind) -> Weight {
    match (source, kind) {
        (EntrySource::Operator, _) => Weight::Request,
        (EntrySource::Reconcile, _) => Weight::Found,
        (EntrySource::Github, JobKind::LookAgain) => Weight::LookAgain,
        (EntrySource::Github, _) => Weight::Push,
    }
}

/// Which job is done, and which are superseded by it. The newest, as a rule; but what an operator asked for is done whatever arrives
/// meanwhile: it supersedes only what came before it, and what came after it waits its turn. A push goes before what reconcile found,
/// which is the same thing without a sender; and both before a look at the gates, which says less.
pub fn choose(mut jobs: Vec<ClaimedJob>) -> Option<(ClaimedJob, Vec<ClaimedJob>)> {
    let weights: Vec<Weight> = jobs.iter().map(ClaimedJob::weight).collect();
    let (chosen, considered) = choice(&weights)?;
    if jobs[chosen].job.options.adopt.is_some() {
        // It deploys what is live: no push is superseded by that. Those that came before it follow it.
        return Some((jobs.swap_remove(chosen), Vec::new()));
    }
    // The rest go back by being dropped.
    jobs.truncate(considered);
    let chosen = jobs.remove(chosen);
    Some((chosen, jobs))
}

/// Which of jobs of these weights is done, and how many are settled by that.
fn choice(weights: &[Weight]) -> Option<(usize, usize)> {
    let asked_for = weights.iter().position(|weight| *weight == Weight::Request);
    let last = asked_for.or(weights.len().checked_sub(1))?;
    // Of the weightiest, the last.
    let chosen = (0..=last).max_by_key(|at| weights[*at])?;
    Some((chosen, last + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Weight::{Found, LookAgain, Push, Request};

    const COMMIT: &str = "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c";

    fn commit() -> Option<CommitId> {
        Some(CommitId::parse(COMMIT).unwrap())
    }

    fn delivery(event: &str, body: &str) -> Header {
        let id = DeliveryId::generate();
        Header::new(id, event, EntrySource::Github, "192.0.2.1".into(), body.as_bytes())
    }

    fn written(delivery: &Header, job: &Job) -> Vec<u8> {
        let repository = RepositoryName::parse("acme/site").unwrap();
        webhook_job(delivery, job, &repository, &BranchName::parse("main").unwrap())
    }

    /// As a version reads it that knows of no jobs.
    fn read_by_the_version_before(bytes: &[u8]) -> (Header, Job) {
        let entry = Entry::parse(bytes).unwrap();
        Job::of_entry(Entry { job: None, ..entry }).unwrap()
    }

    #[test]
    fn which_job_is_done() {
        for (weights, expected) in [
            (&[][..], None),
            (&[Push, Push][..], Some((1, 2))),
            (&[Found][..], Some((0, 1))),
            (&[Push, Found][..], Some((0, 2))),
            (&[Push, Push, Found, Found][..], Some((1, 4))),
            (&[Found, Push][..], Some((1, 2))),
            (&[Push, Request, Push][..], Some((1, 2))),
            (&[Found, Request, Found][..], Some((1, 2))),
            (&[LookAgain, LookAgain][..], Some((1, 2))),
            (&[Push, LookAgain][..], Some((0, 2))),
            (&[Found, LookAgain][..], Some((0, 2))),
            (&[LookAgain, Request][..], Some((1, 2))),
        ] {
            assert_eq!(choice(weights), expected, "{weights:?}");
        }
        for (source, kind, expected) in [
            (EntrySource::Operator, JobKind::Deploy, Request),
            (EntrySource::Operator, JobKind::Rollback, Request),
            (EntrySource::Reconcile, JobKind::Deploy, Found),
            (EntrySource::Reconcile, JobKind::Redeploy, Found),
            (EntrySource::Github, JobKind::Push, Push),
            (EntrySource::Github, JobKind::LookAgain, LookAgain),
        ] {
            assert_eq!(weight(source, kind), expected, "{source:?} {kind:?}");
        }
    }

    #[test]
    fn a_webhook_s_job_is_read_as_it_was_written_and_by_the_version_before() {
        for (event, kind) in [
            ("push", JobKind::Push),
            ("status", JobKind::LookAgain),
            ("check_run", JobKind::LookAgain),
            ("check_suite", JobKind::LookAgain),
            ("workflow_run", JobKind::LookAgain),
        ] {
            let delivery = delivery(event, "what GitHub sent");
            let job = Job::of_webhook(kind, commit(), &delivery.payload_sha256);
            let bytes = written(&delivery, &job);
            let text = String::from_utf8(bytes.clone()).unwrap();
            let (header, read) = Job::parse(&bytes).unwrap();
            assert_eq!(read, job, "{text}");
            assert_eq!((&header.id, header.received_at), (&delivery.id, delivery.received_at));
            // Each field that decides something; the body's hash, which is another one, only tells replays.
            let (header, before) = read_by_the_version_before(&bytes);
            assert_eq!((header.id, header.event.as_str()), (delivery.id, event));
            assert_eq!(Job { body_sha256: job.body_sha256.clone(), ..before }, job, "{text}");
        }
    }

    #[test]
    fn a_request_s_job_is_read_as_it_was_written_and_by_the_version_before() {
        let adopt = Adopt { kept: vec!["uploads".into()], modified_too: true };
        let plain = JobOptions::default();
        let named = JobOptions { commit: commit(), force: true, ..plain.clone() };
        let head = JobOptions { head: commit(), ..plain.clone() };
        let of_operator = |kind, options| operator_job(kind, "root".into(), options).1;
        for (bytes, kind, trigger, options) in [
            (of_operator(JobKind::Deploy, &plain), JobKind::Deploy, RunTrigger::Operator, plain.clone()),
            (of_operator(JobKind::Deploy, &named), JobKind::Deploy, RunTrigger::Operator, named.clone()),
            (of_operator(JobKind::Approve, &head), JobKind::Approve, RunTrigger::Operator, head.clone()),
            (of_operator(JobKind::Unfreeze, &head), JobKind::Unfreeze, RunTrigger::Operator, head.clone()),
            (
                of_operator(JobKind::Adopt, &JobOptions { adopt: Some(adopt.clone()), ..named.clone() }),
                JobKind::Adopt,
                RunTrigger::Operator,
                JobOptions { adopt: Some(adopt), ..named.clone() },
            ),
            (
                of_operator(JobKind::Rollback, &JobOptions { release: Some("r1".into()), ..plain.clone() }),
                JobKind::Rollback,
                RunTrigger::Rollback,
                JobOptions { release: Some("r1".into()), ..plain },
            ),
            (redeploy_job("x".into(), &named).1, JobKind::Redeploy, RunTrigger::Reconcile, named),
            (
                reconcile_job(DeliveryId::of_reconcile("x"), crate::base::clock::now(), commit().unwrap()),
                JobKind::Deploy,
                RunTrigger::Reconcile,
                head,
            ),
        ] {
            let commit = options.commit.clone().or(options.head.clone());
            let expected = Job { version: VERSION, kind, trigger, commit, options, body_sha256: None };
            assert_eq!(Job::parse(&bytes).unwrap().1, expected);
            assert_eq!(read_by_the_version_before(&bytes).1, expected);
        }
    }

    #[test]
    fn an_entry_of_0_1_0_is_a_job() {
        let payload = format!(
            r#"{{"ref":"refs/heads/main","after":"{COMMIT}","repository":{{"full_name":"acme/site"}},"pusher":{{"name":"me"}}}}"#
        );
        let copied = delivery("push", &payload);
        let (_, job) = Job::parse(&copied.with_payload(payload.as_bytes())).unwrap();
        assert_eq!(job, Job::of_webhook(JobKind::Push, commit(), &copied.payload_sha256));
        // As the version after 0.1.0 left it: read when it came.
        let read = Header { reading: Some(Reading::of_entry("push", &payload)), ..copied };
        assert_eq!(Job::parse(&read.with_payload(payload.as_bytes())).unwrap().1, job);
    }

    #[test]
    fn what_is_no_job_is_refused_with_the_reason() {
        let refused = |bytes: &[u8]| Job::parse(bytes).unwrap_err().to_string();
        let job = Job::of_webhook(JobKind::Push, commit(), "0");
        let text = String::from_utf8(written(&delivery("push", ""), &job)).unwrap();
        let entry = |event: &str, source, payload: &str| {
            let id = DeliveryId::generate();
            Header::new(id, event, source, String::new(), payload.as_bytes()).with_payload(payload.as_bytes())
        };
        let later = Job { version: VERSION + 1, ..job };
        let unknown = delivery("push", "{}").with_job(r#"{"version":1,"kind":"paint"}"#, "{}");
        for (bytes, expected) in [
            (b"{}".to_vec(), "not a spool entry"),
            (
                text.replacen("\"kind\":\"push\"", "\"kind\":\"deploy\"", 1).into_bytes(),
                "the job is not what was written",
            ),
            (text.replacen("job_sha256", "job_sha257", 1).into_bytes(), "the job is not what was written"),
            (
                written(&delivery("push", ""), &later),
                "the job has version 2; this program does jobs up to version 1",
            ),
            (unknown, "the job cannot be read: unknown variant `paint`"),
            (entry("push", EntrySource::Github, "{}"), "push payload"),
            (
                entry("ping", EntrySource::Github, "{}"),
                "an entry of Github with the event \"ping\" is not for a deployment",
            ),
            (entry("push", EntrySource::Operator, "{}"), "an entry of Operator with the event \"push\""),
            (
                entry("redeploy", EntrySource::Operator, "{}"),
                "an entry of Operator with the event \"redeploy\"",
            ),
            (
                entry("deploy", EntrySource::Operator, r#"{"quickly":true}"#),
                "the request cannot be read: unknown field `quickly`",
            ),
            (delivery("push", "x").with_malformed_body(b"x"), "the payload is not JSON"),
        ] {
            let reason = refused(&bytes);
            assert!(reason.starts_with(expected), "{reason}");
        }
    }
}
