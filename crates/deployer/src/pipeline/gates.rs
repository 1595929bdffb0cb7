//! What stands between a commit and its deploy: a signature, checks, an approval, a freeze.
//!
//! A run asks after its fetch and before its plan. The decision is pure ([`decide`]); [`ask`] collects the facts for it. What has
//! to wait ends its run as `waiting`, with a sentence that says for what; nobody sits and waits. It is looked at again when
//! something may have changed (an event of its checks, an operator's word, the end of a freeze, reconcile's interval), and gets
//! another run only if the answer is another one ([`news`]): so no number of events leads to more runs than there is news.
//!
//! The sentence of the last run is thus part of the database's meaning: it is what `news` compares with. It holds nothing
//! that changes by itself.
//!
//! A deployment without a user waits for one, whoever asks (`config::users`). One that `setup --from` has brought along waits for an operator's
//! first deploy, as what is live there was made by another tool.
//!
//! Absent on purpose: any way around the signature. It says who may put code live, and whoever can use the command line must not
//! be able to say otherwise without editing the configuration.

use crate::base::clock;
use crate::base::names::{CommitId, DeliveryId, Slug};
use crate::config::{Deployment, Gates, UserSource, users};
use crate::git::signature::Signature;
use crate::github::checks::{CheckState, CommitCheck};
use crate::pipeline::context::Host;
use crate::process::tools::git::signatures::SignatureKind;
use crate::store::{Answers, Run, RunState, StoreError, VerdictCode};
use anyhow::Result;
use jiff::Timestamp;
use std::time::Duration;

/// Stands in the sentence where that is why a commit waits.
const UNSURE: &str = "(GitHub cannot be asked now)";

/// All pages of a commit's checks together: whoever asks has other things to do.
const CHECKS_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether a commit may be deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Open,
    /// Not yet; for what it waits.
    Waiting(String),
    /// Not as things stand; why.
    Refused(String),
}

/// A decision, and whether all that it needs was known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What it is.
    pub decision: Decision,
    /// False: GitHub could not be asked, which says nothing of the commit.
    pub is_certain: bool,
}

/// What a decision is made of.
struct Facts<'a> {
    gates: &'a Gates,
    commit: &'a CommitId,
    /// None: it is not required.
    signature: Option<Signature>,
    /// Why they are not known, where they are not.
    checks: Result<Vec<CommitCheck>, String>,
    answers: &'a Answers,
    now: Timestamp,
    /// An operator wants it whatever it would wait for.
    is_forced: bool,
}

/// Who wants a commit deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A push, or reconcile.
    Nobody,
    /// An operator: a deployment that waits for its first deploy has it.
    Operator,
    /// An operator who wants it whatever it would wait for.
    Force,
}

/// Whether a commit, which is in the mirror, may be deployed now.
pub async fn ask(
    host: &Host,
    deployment: &Deployment,
    commit: &CommitId,
    answers: &Answers,
    asker: Asker,
) -> Result<Asked> {
    let is_forced = asker == Asker::Force;
    // Also where it is forced: what it would run would run as the deployer.
    if deployment.user_source == UserSource::Missing {
        let decision = Decision::Waiting(users::missing(&deployment.slug));
        return Ok(Asked { decision, is_certain: true });
    }
    if asker == Asker::Nobody && is_first_after_the_move(host, deployment).await? {
        let decision = Decision::Waiting(users::awaits_first_deploy(&deployment.slug));
        return Ok(Asked { decision, is_certain: true });
    }
    let gates = &deployment.gates;
    if gates.are_none() {
        return Ok(Asked { decision: Decision::Open, is_certain: true });
    }
    let signature = match &gates.allowed_signers {
        Some(signers) => Some(host.mirror(deployment).signature(commit, signers).await?),
        None => None,
    };
    let checks = if gates.checks.is_empty() || is_forced {
        Ok(Vec::new())
    } else {
        let asked = host.github.checks(&deployment.slug, &deployment.repository, commit);
        match tokio::time::timeout(CHECKS_TIMEOUT, asked).await {
            Ok(asked) => asked.map_err(|error| error.reason),
            Err(_) => Err(format!("no answer within {CHECKS_TIMEOUT:?}")),
        }
    };
    if let Err(reason) = &checks {
        tracing::warn!(deployment = %deployment.slug, %commit, reason, "GitHub cannot be asked for the commit's checks");
    }
    let is_certain = checks.is_ok();
    let facts = Facts { gates, commit, signature, checks, answers, now: clock::now(), is_forced };
    Ok(Asked { decision: decide(&facts), is_certain })
}

/// Whether `setup --from` has brought it along, and no operator has deployed it since: what is live there was made by another tool, also where
/// it was made by this one once before.
pub async fn is_first_after_the_move(host: &Host, deployment: &Deployment) -> Result<bool, StoreError> {
    let Some(since_ms) = deployment.waits_since_ms else { return Ok(false) };
    Ok(!host.store.was_deployed_since(deployment.slug.as_str(), since_ms).await?)
}

/// What has changed for a commit that was blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    None,
    /// The decision is another one.
    Changed(Decision),
    /// GitHub cannot be asked now.
    Unknown,
}

/// What has changed for a commit that was blocked.
pub async fn news(host: &Host, deployment: &Deployment, held: &Held) -> Result<News> {
    let answers = host.store.answers(deployment.slug.as_str()).await?;
    let asked = ask(host, deployment, &held.commit, &answers, Asker::Nobody).await?;
    Ok(match asked.decision {
        _ if !asked.is_certain => News::Unknown,
        decision if decision.sentence() == held.sentence => News::None,
        decision => News::Changed(decision),
    })
}

/// A branch's head that the gates blocked when it was last tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub commit: CommitId,
    /// For what it waits, or why it was refused.
    pub sentence: String,
    /// Which of the two.
    pub verdict: VerdictCode,
    /// The run that says so.
    pub run: String,
    /// When that ended.
    pub at_ms: i64,
}

impl Held {
    /// What is held of a deployment. What an operator has put live since then has taken its place.
    pub async fn of(host: &Host, deployment: &Deployment) -> Result<Option<Self>> {
        Ok(host.store.held_run(deployment.slug.as_str()).await?.and_then(Self::by))
    }

    /// Whether it waits because GitHub could not be asked: that ends without an event.
    pub fn is_unsure(&self) -> bool {
        self.sentence.contains(UNSURE)
    }

    /// The id of the entry that gives it another run because of a decision: the same for the same news.
    pub fn next_id(&self, slug: &Slug, decision: &Decision) -> DeliveryId {
        DeliveryId::of_reconcile(&format!("{slug} {} {} {}", self.commit, self.run, decision.sentence()))
    }

    /// What such a run holds back.
    pub fn by(run: Run) -> Option<Self> {
        let verdict = match run.state {
            RunState::Waiting => VerdictCode::Waiting,
            _ => VerdictCode::Refused,
        };
        let commit = CommitId::parse(run.commit_id.as_deref()?).ok()?;
        let at_ms = run.ended_at_ms.unwrap_or(run.created_at_ms);
        Some(Self { commit, sentence: run.cause.unwrap_or_default(), verdict, run: run.id, at_ms })
    }
}

impl Decision {
    /// For people; empty where there is nothing to say.
    pub fn sentence(&self) -> &str {
        match self {
            Self::Open => "",
            Self::Waiting(sentence) | Self::Refused(sentence) => sentence,
        }
    }
}

/// See the module. A refusal comes before any waiting, and the signature before everything.
fn decide(facts: &Facts<'_>) -> Decision {
    if let Some(reason) = refused_signature(facts) {
        return Decision::Refused(reason);
    }
    if facts.is_forced {
        return Decision::Open;
    }
    let mut waits = Vec::new();
    match checks(facts) {
        Decision::Open => {}
        Decision::Waiting(what) => waits.push(what),
        refused @ Decision::Refused(_) => return refused,
    }
    if facts.gates.approval && facts.answers.approved.as_ref() != Some(facts.commit) {
        waits.push("approval".to_owned());
    }
    waits.extend(freeze(facts));
    if waits.is_empty() {
        Decision::Open
    } else {
        Decision::Waiting(format!("waiting for {}", waits.join(", ")))
    }
}

fn refused_signature(facts: &Facts<'_>) -> Option<String> {
    let short = facts.commit.short();
    Some(match facts.signature.as_ref()? {
        Signature::Allowed => return None,
        Signature::NotAllowed(word) => format!("{short} is not signed by an allowed signer: {word}"),
        Signature::Other(SignatureKind::OpenPgp) => {
            format!("{short} is signed with OpenPGP; only ssh signatures of allowed signers count")
        }
        Signature::Other(SignatureKind::None) => {
            format!("{short} is not signed; only signed commits are deployed")
        }
        Signature::Other(_) => {
            format!("{short} is signed in a way that is not known here; only ssh signatures count")
        }
    })
}

/// All of one name must have succeeded: two workflows may have a job of the same name.
fn checks(facts: &Facts<'_>) -> Decision {
    let known = match &facts.checks {
        Ok(known) => known,
        Err(_) => {
            let names = facts.gates.checks.join(", ");
            return Decision::Waiting(format!("{names} {UNSURE}"));
        }
    };
    let mut pending = Vec::new();
    for name in &facts.gates.checks {
        let of_name: Vec<&CheckState> =
            known.iter().filter(|check| check.name == *name).map(|check| &check.state).collect();
        let failed = of_name.iter().find_map(|state| match state {
            CheckState::Failed(word) => Some(word),
            _ => None,
        });
        if let Some(word) = failed {
            return Decision::Refused(format!("the check {name} did not succeed: {word}"));
        }
        if of_name.is_empty() || of_name.contains(&&CheckState::Pending) {
            pending.push(name.as_str());
        }
    }
    if pending.is_empty() { Decision::Open } else { Decision::Waiting(pending.join(", ")) }
}

fn freeze(facts: &Facts<'_>) -> Option<String> {
    let (freeze, answers) = (&facts.gates.freeze, facts.answers);
    let frozen = freeze.at(facts.now)?;
    let is_lifted =
        answers.freeze_lifted_until_ms.is_some_and(|until_ms| facts.now.as_millisecond() < until_ms);
    if is_lifted || answers.released.as_ref() == Some(facts.commit) {
        return None;
    }
    let until = match frozen.until {
        Some(until) => format!(", {}", freeze.words(until)),
        None => ", which has no end".to_owned(),
    };
    Some(format!("the end of the freeze \"{}\"{until}", frozen.window))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::gates::{Freeze, Window};
    use jiff::tz::TimeZone;

    fn commit(digit: &str) -> CommitId {
        CommitId::parse(&digit.repeat(40)).unwrap()
    }

    fn check(name: &str, state: CheckState) -> CommitCheck {
        CommitCheck { name: name.into(), state }
    }

    fn gates(checks: &[&str], approval: bool, windows: &[&str]) -> Gates {
        Gates {
            checks: checks.iter().map(|&name| name.to_owned()).collect(),
            allowed_signers: None,
            approval,
            freeze: Freeze {
                windows: windows.iter().map(|text| Window::parse(text).unwrap()).collect(),
                zone: TimeZone::UTC,
            },
        }
    }

    /// In a word: open, `waiting: ...`, `refused: ...`. It is Sunday.
    fn decided(
        gates: &Gates,
        signature: Option<Signature>,
        checks: Result<Vec<CommitCheck>, String>,
        answers: &Answers,
        is_forced: bool,
    ) -> String {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let facts = Facts { gates, commit: &commit("a"), signature, checks, answers, now, is_forced };
        match decide(&facts) {
            Decision::Open => "open".into(),
            Decision::Waiting(sentence) => sentence,
            Decision::Refused(sentence) => format!("refused: {sentence}"),
        }
    }

    #[test]
    fn what_checks_decide() {
        use CheckState::{Pending, Succeeded};
        let failed = || CheckState::Failed("failure".into());
        let gates = gates(&["ci", "lint"], false, &[]);
        for (checks, expected) in [
            (Ok(vec![]), "waiting for ci, lint"),
            (Ok(vec![check("ci", Succeeded)]), "waiting for lint"),
            (Ok(vec![check("ci", Succeeded), check("lint", Pending)]), "waiting for lint"),
            (Ok(vec![check("ci", Succeeded), check("lint", Succeeded)]), "open"),
            (
                Ok(vec![check("ci", Succeeded), check("ci", Pending), check("lint", Succeeded)]),
                "waiting for ci",
            ),
            (Ok(vec![check("ci", Succeeded), check("lint", Succeeded), check("other", failed())]), "open"),
            (Ok(vec![check("lint", failed())]), "refused: the check lint did not succeed: failure"),
            (
                Ok(vec![check("ci", Succeeded), check("ci", failed())]),
                "refused: the check ci did not succeed: failure",
            ),
            (Err("500".into()), "waiting for ci, lint (GitHub cannot be asked now)"),
        ] {
            let label = format!("{checks:?}");
            assert_eq!(decided(&gates, None, checks, &Answers::default(), false), expected, "{label}");
        }
        let all_failed = Ok(vec![check("ci", failed())]);
        assert_eq!(decided(&gates, None, all_failed, &Answers::default(), true), "open", "forced");
    }

    #[test]
    fn what_answers_decide() {
        const FREEZE: &str = "the end of the freeze \"Fri 16:00-Mon 08:00\", Mon 2026-11-23 08:00 UTC";
        let windows = ["Fri 16:00-Mon 08:00"];
        let both = format!("waiting for approval, {FREEZE}");
        let only_freeze = format!("waiting for {FREEZE}");
        let lifted_until = |text: &str| Some(text.parse::<Timestamp>().unwrap().as_millisecond());
        let answers = |approved: Option<&str>, released: Option<&str>, lifted: Option<i64>| Answers {
            approved: approved.map(commit),
            released: released.map(commit),
            freeze_lifted_until_ms: lifted,
        };
        let gates = gates(&[], true, &windows);
        for (answers, expected) in [
            (answers(None, None, None), both.as_str()),
            (answers(Some("b"), Some("b"), None), both.as_str()),
            (answers(Some("a"), None, None), only_freeze.as_str()),
            (answers(None, Some("a"), None), "waiting for approval"),
            (answers(Some("a"), Some("a"), None), "open"),
            (answers(Some("a"), None, lifted_until("2026-11-22T12:00:01Z")), "open"),
            (answers(Some("a"), None, lifted_until("2026-11-22T12:00:00Z")), only_freeze.as_str()),
        ] {
            let label = format!("{answers:?}");
            assert_eq!(decided(&gates, None, Ok(vec![]), &answers, false), expected, "{label}");
        }
        assert_eq!(decided(&gates, None, Ok(vec![]), &Answers::default(), true), "open", "forced");
    }

    #[test]
    fn a_signature_is_never_forced() {
        let gates = gates(&["ci"], true, &[]);
        for (signature, expected) in [
            (Signature::Allowed, "waiting for ci, approval"),
            (
                Signature::NotAllowed("no principal matched".into()),
                "refused: aaaaaaa is not signed by an allowed signer: no principal matched",
            ),
            (
                Signature::Other(SignatureKind::None),
                "refused: aaaaaaa is not signed; only signed commits are deployed",
            ),
            (
                Signature::Other(SignatureKind::OpenPgp),
                "refused: aaaaaaa is signed with OpenPGP; only ssh signatures of allowed signers count",
            ),
        ] {
            let is_refused = expected.starts_with("refused");
            let plain = decided(&gates, Some(signature.clone()), Ok(vec![]), &Answers::default(), false);
            assert_eq!(plain, expected);
            let forced = decided(&gates, Some(signature), Ok(vec![]), &Answers::default(), true);
            assert_eq!(forced, if is_refused { expected } else { "open" });
        }
    }
}
