//! What a delivery says. Pure: text in, [`Event`] out.
//!
//! Only the fields that decide something are read and everything else is ignored, since GitHub adds, removes and
//! empties fields without notice. Every field read becomes a checked type or stays text that is only shown.

use crate::names::{BranchName, CommitId, RepositoryName};
use serde::Deserialize;

/// A delivery's meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// GitHub's first call for a new hook.
    Ping,
    /// Something was pushed.
    Push(Push),
    /// Something was said about the checks of a commit.
    Checked(Checked),
    /// Any other event type, by name.
    Other(String),
}

/// Something about the checks of a commit; what, GitHub is asked itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Where.
    pub repository: RepositoryName,
    /// Of which commit.
    pub commit: CommitId,
}

/// A push, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Where to.
    pub repository: RepositoryName,
    /// What.
    pub target: Target,
    /// The whole ref, for people.
    pub git_ref: String,
    /// Its new commit; None where it was deleted.
    pub after: Option<CommitId>,
    /// Who pushed, for people.
    pub pusher: Option<String>,
}

/// What kind of ref was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A branch with a name that a deployment could have.
    Branch(BranchName),
    /// A branch whose name none could have, a tag, or anything else.
    Other,
}

/// The payload is JSON but not what its event type promises; the text says where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

#[derive(Deserialize)]
struct PushPayload<'a> {
    #[serde(rename = "ref")]
    git_ref: std::borrow::Cow<'a, str>,
    after: std::borrow::Cow<'a, str>,
    #[serde(default)]
    deleted: bool,
    repository: Repository,
    #[serde(default)]
    pusher: Option<Pusher>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

#[derive(Deserialize)]
struct Pusher {
    name: Option<String>,
}

impl Event {
    /// Reads a payload according to its event type.
    pub fn parse(event_type: &str, payload: &str) -> Result<Self, Malformed> {
        match event_type {
            "ping" => Ok(Self::Ping),
            "push" => push(payload).map(Self::Push),
            "check_run" | "check_suite" | "status" | "workflow_run" => {
                checked(event_type, payload).map(Self::Checked)
            }
            other => Ok(Self::Other(other.to_owned())),
        }
    }
}

#[derive(Deserialize)]
struct CheckedPayload {
    /// A `status` has it here; the others in what they are about.
    sha: Option<String>,
    check_run: Option<About>,
    check_suite: Option<About>,
    workflow_run: Option<About>,
    repository: Repository,
}

#[derive(Deserialize)]
struct About {
    head_sha: String,
}

fn checked(event: &str, payload: &str) -> Result<Checked, Malformed> {
    let wrong =
        |what: &str, error: &dyn std::fmt::Display| Malformed(format!("{event} payload{what}: {error}"));
    let payload: CheckedPayload = serde_json::from_str(payload).map_err(|error| wrong("", &error))?;
    let repository = RepositoryName::parse(&payload.repository.full_name)
        .map_err(|error| wrong(", repository.full_name", &error))?;
    let about = match event {
        "check_run" => payload.check_run,
        "check_suite" => payload.check_suite,
        _ => payload.workflow_run,
    };
    let commit = if event == "status" { payload.sha } else { about.map(|about| about.head_sha) };
    let commit = commit.ok_or_else(|| wrong("", &"it names no commit"))?;
    let commit = CommitId::parse(&commit).map_err(|error| wrong(", its commit", &error))?;
    Ok(Checked { repository, commit })
}

fn push(payload: &str) -> Result<Push, Malformed> {
    let payload: PushPayload =
        serde_json::from_str(payload).map_err(|error| Malformed(format!("push payload: {error}")))?;
    let repository = RepositoryName::parse(&payload.repository.full_name)
        .map_err(|error| Malformed(format!("push payload, repository.full_name: {error}")))?;
    let after = CommitId::parse(&payload.after)
        .map_err(|error| Malformed(format!("push payload, after: {error}")))?;
    let after = (!after.is_zero() && !payload.deleted).then_some(after);
    let target = payload
        .git_ref
        .strip_prefix("refs/heads/")
        .and_then(|branch| BranchName::parse(branch).ok())
        .map_or(Target::Other, Target::Branch);
    let pusher = payload.pusher.and_then(|pusher| pusher.name);
    Ok(Push { repository, target, git_ref: payload.git_ref.into_owned(), after, pusher })
}

/// `repository.full_name` of any payload, where it has one: which repository a signature must be valid for.
///
/// Also the check that the payload is JSON at all.
pub fn repository_of(payload: &[u8]) -> Result<Option<String>, serde_json::Error> {
    #[derive(Deserialize)]
    struct AnyPayload<'a> {
        #[serde(default, borrow)]
        repository: Option<&'a serde_json::value::RawValue>,
    }
    #[derive(Deserialize)]
    struct Named {
        full_name: String,
    }
    // Arrays, strings and numbers are JSON too, but no payload: they name no repository.
    if payload.first() != Some(&b'{') {
        return serde_json::from_slice::<serde::de::IgnoredAny>(payload).map(|_| None);
    }
    let payload: AnyPayload = serde_json::from_slice(payload)?;
    let named =
        payload.repository.and_then(|repository| serde_json::from_str::<Named>(repository.get()).ok());
    Ok(named.map(|repository| repository.full_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(git_ref: &str, after: &str, full_name: &str) -> String {
        serde_json::json!({ "ref": git_ref, "after": after, "head_commit": null,
            "repository": { "full_name": full_name, "id": 1 }, "pusher": { "name": "me", "email": null } })
        .to_string()
    }

    const SHA: &str = "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c";
    const ZERO: &str = "0000000000000000000000000000000000000000";

    #[test]
    fn pushes() {
        let Ok(Event::Push(push)) = Event::parse("push", &payload("refs/heads/main", SHA, "a/b")) else {
            panic!()
        };
        assert_eq!(push.target, Target::Branch(BranchName::parse("main").unwrap()));
        assert_eq!(push.after, Some(CommitId::parse(SHA).unwrap()));
        let Ok(Event::Push(push)) = Event::parse("push", &payload("refs/heads/main", ZERO, "a/b")) else {
            panic!()
        };
        assert_eq!(push.after, None, "a deletion");
        for other in ["refs/tags/v1", "refs/heads/--upload-pack=x", "main", "refs/heads/"] {
            let Ok(Event::Push(push)) = Event::parse("push", &payload(other, SHA, "a/b")) else { panic!() };
            assert_eq!(push.target, Target::Other, "{other}");
        }
    }

    #[test]
    fn events_of_checks_name_a_commit() {
        let repository = serde_json::json!({ "full_name": "a/b" });
        let parsed = |event: &str, payload: serde_json::Value| Event::parse(event, &payload.to_string());
        let expected = Checked {
            repository: RepositoryName::parse("a/b").unwrap(),
            commit: CommitId::parse(SHA).unwrap(),
        };
        for event in ["check_run", "check_suite", "workflow_run"] {
            let about = serde_json::json!({ "head_sha": SHA, "check_suite": { "head_sha": ZERO } });
            let payload = serde_json::json!({ event: about, "sha": ZERO, "repository": repository });
            assert_eq!(parsed(event, payload), Ok(Event::Checked(expected.clone())), "{event}");
            let nothing = serde_json::json!({ "sha": SHA, "repository": repository });
            assert!(parsed(event, nothing).is_err(), "{event}");
        }
        let status = serde_json::json!({ "sha": SHA, "repository": repository });
        assert_eq!(parsed("status", status), Ok(Event::Checked(expected)));
        for bad in ["main", "--all", ""] {
            let status = serde_json::json!({ "sha": bad, "repository": repository });
            assert!(parsed("status", status).is_err(), "{bad}");
        }
    }

    #[test]
    fn hostile_fields_are_refused_with_the_place() {
        for (git_ref, after, full_name, place) in [
            ("refs/heads/main", "x; touch FILE #", "a/b", "after"),
            ("refs/heads/main", SHA, "../../etc", "repository.full_name"),
            ("refs/heads/main", "", "a/b", "after"),
        ] {
            let error = Event::parse("push", &payload(git_ref, after, full_name)).unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
        }
        assert!(Event::parse("push", "{}").is_err());
        assert!(Event::parse("push", "[]").is_err());
    }

    #[test]
    fn other_events() {
        assert_eq!(Event::parse("ping", "{}"), Ok(Event::Ping));
        assert_eq!(Event::parse("star", "{}"), Ok(Event::Other("star".into())));
        assert_eq!(repository_of(br#"{"repository":{"full_name":"a/b"}}"#).unwrap(), Some("a/b".into()));
        assert_eq!(repository_of(br#"{"repository":null}"#).unwrap(), None);
        assert_eq!(repository_of(br#"{"repository":"x"}"#).unwrap(), None);
        assert_eq!(repository_of(b"3").unwrap(), None);
        assert!(repository_of(b"{\"a\":").is_err());
        assert!(repository_of(b"payload=%7B%7D").is_err());
    }
}
