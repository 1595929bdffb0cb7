//! What stands between a commit and its deploy: a signature, checks, an approval, a freeze.
//!
//! A run asks after its fetch and before its plan. The decision is pure ([`decide`]); [`ask`] collects the facts for it. What has
//! to wait ends its run as `waiting`, and its row says by which gates it is blocked; nobody sits and waits. It is looked at again when
//! something may have changed (an event of its checks, an operator's word, the end of a freeze, reconcile's interval), and gets
//! another run only if the decision is another one ([`news`]): so no number of events leads to more runs than there is news.
//!
//! Only a deployment's worker asks the gates about what is to be deployed, and `plan`, which shows what would be. Everybody else tells the
//! worker to look again.
//!
//! A decision is a value: gates, what they are about, and whether that was known. It is stored with the run, compared, and part of the id of
//! the job that it leads to. [`Decision::sentence`] says it to people, and is only shown.
//!
//! A deployment without a user waits for one, whoever asks (`config::users`). One that `setup --from` has brought along waits for an operator's
//! first deploy, as what is live there was made by another tool.
//!
//! Absent on purpose: any way around the signature. It says who may put code live, and whoever can use the command line must not
//! be able to say otherwise without editing the configuration.

use crate::base::clock;
use crate::base::names::{CommitId, DeliveryId, Slug};
use crate::config::{Gates, UserSource, users};
use crate::git::signature::Signature;
use crate::github::checks::{CheckState, CommitCheck};
use crate::pipeline::context::HostedDeployment;
use crate::process::tools::git::signatures::SignatureKind;
use crate::store::{Answers, Blocked, Certainty, Gate, Run, RunState, StoreError, VerdictCode};
use anyhow::Result;
use jiff::Timestamp;
use std::time::Duration;

/// All pages of a commit's checks together: whoever asks has other things to do.
const CHECKS_TIMEOUT: Duration = Duration::from_secs(30);

/// What is found of a commit's signature ([`Blocked::finding`]).
mod signed {
    /// Not by an allowed signer.
    pub const NOT_ALLOWED: &str = "not-allowed";
    pub const OPENPGP: &str = "openpgp";
    /// Not at all.
    pub const NOT: &str = "none";
    /// In another way.
    pub const OTHER: &str = "other";
}

/// Whether a commit may be deployed.
#[derive(Debug, Clone)]
pub enum Decision {
    Open,
    /// Not yet; the gates that it has not passed, at least one.
    Waiting(Vec<Blocked>),
    /// Not as things stand.
    Refused {
        /// The gate that it cannot pass.
        by: Blocked,
        /// What git said about the signature. It is shown, and no part of the decision.
        complaint: Option<String>,
    },
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
    hosted: HostedDeployment<'_>,
    commit: &CommitId,
    answers: &Answers,
    asker: Asker,
) -> Result<Decision> {
    let HostedDeployment { host, deployment } = hosted;

    let is_forced = asker == Asker::Force;
    // Also where it is forced: what it would run would run as the deployer.
    if deployment.user_source == UserSource::Missing {
        return Ok(Decision::Waiting(vec![blocked(Gate::User)]));
    }
    if asker == Asker::Nobody && is_first_after_the_move(hosted).await? {
        return Ok(Decision::Waiting(vec![blocked(Gate::FirstDeploy)]));
    }
    let gates = &deployment.gates;
    if gates.are_none() {
        return Ok(Decision::Open);
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
    Ok(decide(&Facts { gates, commit, signature, checks, answers, now: clock::now(), is_forced }))
}

/// By a gate of which there is one only.
fn blocked(gate: Gate) -> Blocked {
    Blocked { gate, subject: String::new(), finding: String::new(), certainty: Certainty::Certain }
}

/// Whether `setup --from` has brought it along, and no operator has deployed it since: what is live there was made by another tool, also where
/// it was made by this one once before.
pub async fn is_first_after_the_move(hosted: HostedDeployment<'_>) -> Result<bool, StoreError> {
    let HostedDeployment { host, deployment } = hosted;

    let Some(since_ms) = deployment.waits_since_ms else { return Ok(false) };
    Ok(!host.store.was_deployed_since(deployment.slug.as_str(), since_ms).await?)
}

/// What has changed for a commit that was blocked.
#[derive(Debug, Clone)]
pub enum News {
    None,
    /// The decision is another one.
    Changed(Decision),
    /// GitHub cannot be asked now.
    Unknown,
}

/// What has changed for a commit that was blocked, now that the decision is this one.
pub fn news(held: &Held, decision: Decision) -> News {
    match decision {
        decision if !decision.is_certain() => News::Unknown,
        decision if held.is_by(&decision) => News::None,
        decision => News::Changed(decision),
    }
}

/// A branch's head that was blocked by gates when it was last tried.
#[derive(Debug, Clone)]
pub struct Held {
    pub commit: CommitId,
    /// The gates; empty where a program ended the run that did not say.
    pub blocked: Vec<Blocked>,
    /// What was said about that, to be shown.
    pub sentence: String,
    /// Whether it waits or was refused.
    pub verdict: VerdictCode,
    /// The run that was blocked.
    pub run: String,
    /// When that ended.
    pub at_ms: i64,
}

impl Held {
    /// What is blocked of a deployment. What an operator has put live since then has taken its place.
    pub async fn of(hosted: HostedDeployment<'_>) -> Result<Option<Self>, StoreError> {
        let HostedDeployment { host, deployment } = hosted;

        let Some(run) = host.store.held_run(deployment.slug.as_str()).await? else { return Ok(None) };
        let blocked = host.store.blocked(&run.id).await?;
        Ok(Self::by(run, blocked))
    }

    /// Whether it waits because GitHub could not be asked: that ends without an event. Of what a program left that did not say by which gates
    /// a commit waits, this is not known either.
    pub fn is_unsure(&self) -> bool {
        self.blocked.iter().any(|blocked| blocked.certainty == Certainty::Unknown)
            || self.blocked.is_empty() && self.verdict == VerdictCode::Waiting
    }

    /// The id of the job that gives it another run because of a decision: the same for the same news.
    pub fn next_id(&self, slug: &Slug, decision: &Decision) -> DeliveryId {
        DeliveryId::of_reconcile(&format!("{slug} {} {} {}", self.commit, self.run, decision.key()))
    }

    /// What such a run was blocked by.
    fn by(run: Run, blocked: Vec<Blocked>) -> Option<Self> {
        let verdict = match run.state {
            RunState::Waiting => VerdictCode::Waiting,
            _ => VerdictCode::Refused,
        };
        let commit = CommitId::parse(run.commit_id.as_deref()?).ok()?;
        let at_ms = run.ended_at_ms.unwrap_or(run.created_at_ms);
        Some(Self { commit, blocked, sentence: run.cause.unwrap_or_default(), verdict, run: run.id, at_ms })
    }

    /// Whether this is the decision by which it was blocked. Of what a program left that did not store its decision, only that it was
    /// refused is known: a refusal is the same then, so that an upgrade repeats none, and everything else is news, once.
    fn is_by(&self, decision: &Decision) -> bool {
        match decision {
            Decision::Open => false,
            Decision::Waiting(blocked) => self.verdict == VerdictCode::Waiting && self.blocked == *blocked,
            Decision::Refused { by, .. } => {
                self.verdict == VerdictCode::Refused
                    && (self.blocked.is_empty() || self.blocked == std::slice::from_ref(by))
            }
        }
    }
}

impl Decision {
    /// The gates that the commit has not passed.
    pub fn blocked(&self) -> &[Blocked] {
        match self {
            Self::Open => &[],
            Self::Waiting(blocked) => blocked,
            Self::Refused { by, .. } => std::slice::from_ref(by),
        }
    }

    /// Whether all that it needs was known.
    pub fn is_certain(&self) -> bool {
        self.blocked().iter().all(|blocked| blocked.certainty == Certainty::Certain)
    }

    /// The decision in one text: what is equal has the same.
    fn key(&self) -> String {
        let word = match self {
            Self::Open => "open",
            Self::Waiting(_) => "waiting",
            Self::Refused { .. } => "refused",
        };
        serde_json::to_string(&(word, self.blocked())).expect("words and texts serialise")
    }

    /// For people; None where there is nothing to say.
    pub fn sentence(&self, slug: &Slug, gates: &Gates, commit: &CommitId) -> Option<String> {
        match self {
            Self::Open => None,
            Self::Waiting(blocked) => Some(waiting(blocked, slug, gates)),
            Self::Refused { by, complaint } => Some(refused(by, complaint.as_deref(), slug, gates, commit)),
        }
    }
}

fn waiting(blocked: &[Blocked], slug: &Slug, gates: &Gates) -> String {
    let mut checks = Vec::new();
    let mut is_unsure = false;
    let mut others = Vec::new();
    for one in blocked {
        match one.gate {
            Gate::User => return users::missing(slug),
            Gate::FirstDeploy => return users::awaits_first_deploy(slug),
            Gate::Check => {
                checks.push(one.subject.as_str());
                is_unsure |= one.certainty == Certainty::Unknown;
            }
            Gate::Signature => others.push("a signature".to_owned()),
            Gate::Approval => others.push("approval".to_owned()),
            Gate::Freeze => {
                let until = match one.finding.parse::<Timestamp>() {
                    Ok(until) => format!(", {}", gates.freeze.words(until)),
                    Err(_) => ", which has no end".to_owned(),
                };
                others.push(format!("the end of the freeze \"{}\"{until}", one.subject));
            }
        }
    }
    let unsure = if is_unsure { " (GitHub cannot be asked now)" } else { "" };
    let checks = Some(format!("{}{unsure}", checks.join(", "))).filter(|_| !checks.is_empty());
    let all: Vec<String> = checks.into_iter().chain(others).collect();
    format!("waiting for {}", all.join(", "))
}

fn refused(by: &Blocked, complaint: Option<&str>, slug: &Slug, gates: &Gates, commit: &CommitId) -> String {
    let short = commit.short();
    match (by.gate, by.finding.as_str()) {
        (Gate::Check, conclusion) => format!("the check {} did not succeed: {conclusion}", by.subject),
        (Gate::Signature, signed::NOT_ALLOWED) => {
            let complaint = complaint.map(|complaint| format!(": {complaint}")).unwrap_or_default();
            format!("{short} is not signed by an allowed signer{complaint}")
        }
        (Gate::Signature, signed::OPENPGP) => {
            format!("{short} is signed with OpenPGP; only ssh signatures of allowed signers count")
        }
        (Gate::Signature, signed::NOT) => format!("{short} is not signed; only signed commits are deployed"),
        (Gate::Signature, _) => {
            format!("{short} is signed in a way that is not known here; only ssh signatures count")
        }
        // These are waited for.
        _ => waiting(std::slice::from_ref(by), slug, gates),
    }
}

/// See the module. A refusal comes before any waiting, and the signature before everything.
fn decide(facts: &Facts<'_>) -> Decision {
    if let Some((by, complaint)) = wrong_signature(facts) {
        return Decision::Refused { by, complaint };
    }
    if facts.is_forced {
        return Decision::Open;
    }
    let mut waits = match checks(facts) {
        Ok(waits) => waits,
        Err(by) => return Decision::Refused { by, complaint: None },
    };
    if facts.gates.approval && facts.answers.approved.as_ref() != Some(facts.commit) {
        waits.push(blocked(Gate::Approval));
    }
    waits.extend(freeze(facts));
    if waits.is_empty() { Decision::Open } else { Decision::Waiting(waits) }
}

fn wrong_signature(facts: &Facts<'_>) -> Option<(Blocked, Option<String>)> {
    let (finding, complaint) = match facts.signature.as_ref()? {
        Signature::Allowed => return None,
        Signature::NotAllowed(complaint) => (signed::NOT_ALLOWED, Some(complaint.clone())),
        Signature::Other(SignatureKind::OpenPgp) => (signed::OPENPGP, None),
        Signature::Other(SignatureKind::None) => (signed::NOT, None),
        Signature::Other(SignatureKind::Ssh | SignatureKind::Other) => (signed::OTHER, None),
    };
    Some((Blocked { finding: finding.to_owned(), ..blocked(Gate::Signature) }, complaint))
}

/// The checks that are waited for, or one that has failed. All of one name must have succeeded: two workflows may have a job of the same
/// name.
fn checks(facts: &Facts<'_>) -> Result<Vec<Blocked>, Blocked> {
    let of_check = |name: &str| Blocked { subject: name.to_owned(), ..blocked(Gate::Check) };
    let known = match &facts.checks {
        Ok(known) => known,
        Err(_) => {
            let unknown = |name: &String| Blocked { certainty: Certainty::Unknown, ..of_check(name) };
            return Ok(facts.gates.checks.iter().map(unknown).collect());
        }
    };
    let mut pending = Vec::new();
    for name in &facts.gates.checks {
        let of_name: Vec<&CheckState> =
            known.iter().filter(|check| check.name == *name).map(|check| &check.state).collect();
        let failed = of_name.iter().find_map(|state| match state {
            CheckState::Failed(conclusion) => Some(conclusion),
            _ => None,
        });
        if let Some(conclusion) = failed {
            return Err(Blocked { finding: conclusion.clone(), ..of_check(name) });
        }
        if of_name.is_empty() || of_name.contains(&&CheckState::Pending) {
            pending.push(of_check(name));
        }
    }
    Ok(pending)
}

fn freeze(facts: &Facts<'_>) -> Option<Blocked> {
    let (freeze, answers) = (&facts.gates.freeze, facts.answers);
    let frozen = freeze.at(facts.now)?;
    let is_lifted =
        answers.freeze_lifted_until_ms.is_some_and(|until_ms| facts.now.as_millisecond() < until_ms);
    if is_lifted || answers.released.as_ref() == Some(facts.commit) {
        return None;
    }
    let finding = frozen.until.map(|until| until.to_string()).unwrap_or_default();
    Some(Blocked { subject: frozen.window, finding, ..blocked(Gate::Freeze) })
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

    /// As it is said: open, `waiting for ...`, `refused: ...`. It is Sunday.
    fn decided(
        gates: &Gates,
        signature: Option<Signature>,
        checks: Result<Vec<CommitCheck>, String>,
        answers: &Answers,
        is_forced: bool,
    ) -> String {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let facts = Facts { gates, commit: &commit("a"), signature, checks, answers, now, is_forced };
        let decision = decide(&facts);
        let sentence = decision.sentence(&Slug::parse("site").unwrap(), gates, &commit("a"));
        match decision {
            Decision::Refused { .. } => format!("refused: {}", sentence.unwrap()),
            _ => sentence.unwrap_or("open".into()),
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
    fn check_gate(name: &str, finding: &str, certainty: Certainty) -> Blocked {
        Blocked { subject: name.into(), finding: finding.into(), certainty, ..blocked(Gate::Check) }
    }

    #[test]
    fn what_blocks_a_commit_is_told_by_values() {
        use Certainty::{Certain, Unknown};
        let windows = ["Fri 16:00-Mon 08:00"];
        let all = gates(&["ci", "lint"], true, &windows);
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let decided = |signature, checks| {
            let (commit, answers) = (&commit("a"), &Answers::default());
            decide(&Facts { gates: &all, commit, signature, checks, answers, now, is_forced: false })
        };
        let freeze = Blocked {
            subject: windows[0].into(),
            finding: "2026-11-23T08:00:00Z".into(),
            ..blocked(Gate::Freeze)
        };
        let others = || vec![blocked(Gate::Approval), freeze.clone()];
        let of_checks = |checks: Vec<Blocked>| checks.into_iter().chain(others()).collect::<Vec<_>>();
        let signature = |finding: &str| vec![Blocked { finding: finding.into(), ..blocked(Gate::Signature) }];
        let succeeded = |name| check(name, CheckState::Succeeded);
        for (found, expected, is_certain) in [
            (
                decided(None, Ok(vec![succeeded("ci")])),
                of_checks(vec![check_gate("lint", "", Certain)]),
                true,
            ),
            (decided(None, Ok(vec![succeeded("ci"), succeeded("lint")])), others(), true),
            (
                decided(None, Err("500".into())),
                of_checks(vec![check_gate("ci", "", Unknown), check_gate("lint", "", Unknown)]),
                false,
            ),
            (
                decided(None, Ok(vec![check("ci", CheckState::Failed("timed_out".into()))])),
                vec![check_gate("ci", "timed_out", Certain)],
                true,
            ),
            (
                decided(Some(Signature::Other(SignatureKind::None)), Err("500".into())),
                signature("none"),
                true,
            ),
            (
                decided(Some(Signature::NotAllowed("no principal matched".into())), Ok(vec![])),
                signature("not-allowed"),
                true,
            ),
        ] {
            assert_eq!(found.blocked(), expected);
            assert_eq!(found.is_certain(), is_certain, "{found:?}");
        }
    }

    #[test]
    fn what_is_news_of_a_blocked_commit() {
        use Certainty::{Certain, Unknown};
        let ci = || check_gate("ci", "", Certain);
        let unsure = || check_gate("ci", "", Unknown);
        let waiting = |blocked: &[Blocked]| Decision::Waiting(blocked.to_vec());
        let refused =
            |finding: &str| Decision::Refused { by: check_gate("ci", finding, Certain), complaint: None };
        let held = |verdict, blocked: &[Blocked]| Held {
            commit: commit("a"),
            blocked: blocked.to_vec(),
            // The same sentence each time: it says nothing to the deployer.
            sentence: "waiting for ci".into(),
            verdict,
            run: "r".into(),
            at_ms: 0,
        };
        let (waits, was_refused) = (VerdictCode::Waiting, VerdictCode::Refused);
        let failed = [check_gate("ci", "failure", Certain)];
        for (held, is_unsure, decision, expected) in [
            (held(waits, &[ci()]), false, waiting(&[ci()]), "none"),
            (held(waits, &[ci()]), false, Decision::Open, "changed"),
            (held(waits, &[ci()]), false, waiting(&[ci(), blocked(Gate::Approval)]), "changed"),
            (held(waits, &[ci()]), false, refused("failure"), "changed"),
            (held(waits, &[ci()]), false, waiting(&[unsure()]), "unknown"),
            (held(waits, &[unsure()]), true, waiting(&[unsure()]), "unknown"),
            (held(waits, &[unsure()]), true, waiting(&[ci()]), "changed"),
            (held(was_refused, &failed), false, refused("failure"), "none"),
            (held(was_refused, &failed), false, refused("cancelled"), "changed"),
            (held(was_refused, &failed), false, waiting(&failed), "changed"),
            // Left by 0.1.0, which stored only a sentence.
            (held(waits, &[]), true, waiting(&[ci()]), "changed"),
            (held(waits, &[]), true, Decision::Open, "changed"),
            (held(waits, &[]), true, waiting(&[unsure()]), "unknown"),
            (held(was_refused, &[]), false, refused("failure"), "none"),
            (held(was_refused, &[]), false, Decision::Open, "changed"),
        ] {
            assert_eq!(held.is_unsure(), is_unsure, "{held:?}");
            let found = match news(&held, decision.clone()) {
                News::None => "none",
                News::Changed(_) => "changed",
                News::Unknown => "unknown",
            };
            assert_eq!(found, expected, "{held:?} {decision:?}");
        }
    }

    #[test]
    fn the_same_news_has_the_same_id_whatever_is_said_about_it() {
        let slug = Slug::parse("site").unwrap();
        let held = Held {
            commit: commit("a"),
            blocked: vec![],
            sentence: "waiting for ci".into(),
            verdict: VerdictCode::Waiting,
            run: "r".into(),
            at_ms: 0,
        };
        let signature = Blocked { finding: signed::NOT_ALLOWED.into(), ..blocked(Gate::Signature) };
        let refused = |complaint: Option<&str>| Decision::Refused {
            by: signature.clone(),
            complaint: complaint.map(str::to_owned),
        };
        let id = |held: &Held, decision: &Decision| held.next_id(&slug, decision);
        let reworded = Held { sentence: "it waits for its checks".into(), ..held.clone() };
        assert_eq!(id(&held, &refused(Some("no key"))), id(&reworded, &refused(None)));
        let others = [Decision::Open, Decision::Waiting(vec![signature.clone()]), refused(None)];
        let ids: std::collections::HashSet<_> = others.iter().map(|other| id(&held, other)).collect();
        assert_eq!(ids.len(), others.len());
        let later = Held { run: "s".into(), ..held.clone() };
        assert_ne!(id(&held, &Decision::Open), id(&later, &Decision::Open));
    }
}
