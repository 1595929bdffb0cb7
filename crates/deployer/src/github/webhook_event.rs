//! What a delivery says. Pure: text in, [`Reading`] out.
//!
//! A delivery is read once, where it is received and after its signature was found right; what was read is spooled with it, and nobody
//! reads the payload again. So which secret was asked for, and what is done, cannot be two readings of one text.
//!
//! A payload is an object, and so is everything in it that is read as one: what serde derives for a struct would read an array too.
//! A name that stands twice in an object is refused where the value is one that is read.
//!
//! Only the fields that decide something are read and everything else is ignored, since GitHub adds, removes and
//! empties fields without notice. Every field read becomes a checked type or stays text that is only shown.

use crate::base::names::{BranchName, CommitId, RepositoryName};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// What is kept of a text that is only shown, in characters. GitHub's names and refs are far shorter. No name of a repository is as long, so
/// that a name that was cut is nobody's.
const SHOWN_CHARS_MAX: usize = 300;

/// A delivery, read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// `repository.full_name`, where it has one: of which a secret had to sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// What it means.
    pub event: Event,
}

/// A delivery's meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// GitHub's first call for a new hook.
    Ping,
    /// Something was pushed.
    Push(Push),
    /// Something was said about the checks of a commit.
    Checked(Checked),
    /// Any other event type, by name.
    Other(String),
    /// It is not what its type promises; why.
    Malformed(String),
}

/// Something about the checks of a commit; what, GitHub is asked itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    pub repository: RepositoryName,
    /// Of which commit.
    pub commit: CommitId,
}

/// A push, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    pub repository: RepositoryName,
    /// Whether only some may see the repository. None: it does not say.
    pub private: Option<bool>,
    /// When GitHub took it, in seconds since the epoch. None: it does not say, or an older deployer has read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_at: Option<i64>,
    pub target: EventTarget,
    /// The whole ref, for people.
    pub git_ref: String,
    /// Its new commit; None where it was deleted.
    pub after: Option<CommitId>,
    /// Who pushed, for people.
    pub pusher: Option<String>,
}

/// What kind of ref was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventTarget {
    /// A branch with a name that a deployment could have.
    Branch(BranchName),
    /// A branch whose name none could have, a tag, or anything else.
    Other,
}

/// The body is not a payload at all, or not one of its event type: a field is missing, twice there, or of another kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unreadable {
    /// Where, and what was expected.
    pub reason: String,
    /// `repository.full_name`, if as much could be read.
    pub repository: Option<String>,
    /// Whether it is an object of JSON at all.
    pub is_object: bool,
}

/// A JSON object and nothing else.
#[derive(Debug)]
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = T;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

#[derive(Deserialize)]
struct AnyPayload {
    #[serde(default)]
    repository: Option<Object<Repository>>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

#[derive(Deserialize)]
struct PushPayload<'a> {
    #[serde(rename = "ref", borrow)]
    git_ref: Cow<'a, str>,
    #[serde(borrow)]
    after: Cow<'a, str>,
    #[serde(default)]
    deleted: bool,
    repository: Object<PushedRepository>,
    #[serde(default)]
    pusher: Option<Object<Pusher>>,
}

#[derive(Deserialize)]
struct PushedRepository {
    full_name: String,
    #[serde(default)]
    private: Option<bool>,
    /// In seconds. Anything else than a number is none.
    #[serde(default)]
    pushed_at: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Pusher {
    name: Option<String>,
}

#[derive(Deserialize)]
struct CheckedPayload {
    /// A `status` has it here; the others in what they are about.
    sha: Option<String>,
    check_run: Option<Object<About>>,
    check_suite: Option<Object<About>>,
    workflow_run: Option<Object<About>>,
    repository: Object<Repository>,
}

#[derive(Deserialize)]
struct About {
    head_sha: String,
}

impl Reading {
    /// Reads a payload according to its event type.
    pub fn of(event_type: &str, payload: &[u8]) -> Result<Self, Unreadable> {
        // The parser's words can hold the whole of a value that it did not expect.
        let unreadable =
            |reason: String| Unreadable { reason: shown(&reason), repository: None, is_object: false };
        let text = std::str::from_utf8(payload).map_err(|error| unreadable(error.to_string()))?;
        let read = match event_type {
            "push" => push(text),
            "check_run" | "check_suite" | "status" | "workflow_run" => checked(event_type, text),
            _ => other(event_type, text),
        };
        read.map_err(|error| match object::<AnyPayload>(text) {
            // As far as it goes it can be read: it speaks for this repository, and says nothing.
            Ok(any) => Unreadable {
                reason: shown(&format!("{event_type} payload: {error}")),
                repository: any.repository.map(|repository| shown(&repository.0.full_name)),
                is_object: true,
            },
            Err(error) => unreadable(error.to_string()),
        })
    }

    /// What an entry says whose payload was not read when it came: the deployer was an older one then.
    pub fn of_entry(event_type: &str, payload: &str) -> Self {
        Self::of(event_type, payload.as_bytes()).unwrap_or_else(|unreadable| unreadable.reading())
    }
}

impl Unreadable {
    /// As it is spooled: so that it is kept, with its reason.
    pub fn reading(self) -> Reading {
        Reading { repository: self.repository, event: Event::Malformed(self.reason) }
    }
}

fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    serde_json::from_str::<Object<T>>(text).map(|object| object.0)
}

fn other(event_type: &str, text: &str) -> Result<Reading, serde_json::Error> {
    let payload: AnyPayload = object(text)?;
    let event = if event_type == "ping" { Event::Ping } else { Event::Other(event_type.to_owned()) };
    Ok(Reading { repository: payload.repository.map(|repository| shown(&repository.0.full_name)), event })
}

fn checked(event: &str, text: &str) -> Result<Reading, serde_json::Error> {
    let payload: CheckedPayload = object(text)?;
    let name = payload.repository.0.full_name;
    let about = match event {
        "check_run" => payload.check_run,
        "check_suite" => payload.check_suite,
        _ => payload.workflow_run,
    };
    let commit = if event == "status" { payload.sha } else { about.map(|about| about.0.head_sha) };
    let wrong = |what: &str, error: &dyn fmt::Display| format!("{event} payload{what}: {error}");
    let read = || -> Result<Checked, String> {
        let repository =
            RepositoryName::parse(&name).map_err(|error| wrong(", repository.full_name", &error))?;
        let commit = commit.ok_or_else(|| wrong("", &"it names no commit"))?;
        let commit = CommitId::parse(&commit).map_err(|error| wrong(", its commit", &error))?;
        Ok(Checked { repository, commit })
    };
    let event = read().map_or_else(Event::Malformed, Event::Checked);
    Ok(Reading { repository: Some(shown(&name)), event })
}

fn push(text: &str) -> Result<Reading, serde_json::Error> {
    let payload: PushPayload = object(text)?;
    let PushedRepository { full_name, private, pushed_at } = payload.repository.0;
    let pushed_at = pushed_at.and_then(|at| at.as_i64());
    let wrong = |what: &str, error: &dyn fmt::Display| format!("push payload, {what}: {error}");
    let read = || -> Result<Push, String> {
        let repository =
            RepositoryName::parse(&full_name).map_err(|error| wrong("repository.full_name", &error))?;
        let after = CommitId::parse(&payload.after).map_err(|error| wrong("after", &error))?;
        let after = (!after.is_zero() && !payload.deleted).then_some(after);
        let target = payload
            .git_ref
            .strip_prefix("refs/heads/")
            .and_then(|branch| BranchName::parse(branch).ok())
            .map_or(EventTarget::Other, EventTarget::Branch);
        let pusher = payload.pusher.and_then(|pusher| pusher.0.name);
        let pusher = pusher.as_deref().map(shown);
        Ok(Push { repository, private, pushed_at, target, git_ref: shown(&payload.git_ref), after, pusher })
    };
    let event = read().map_or_else(Event::Malformed, Event::Push);
    Ok(Reading { repository: Some(shown(&full_name)), event })
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn payload(git_ref: &str, after: &str, full_name: &str) -> Value {
        json!({ "ref": git_ref, "after": after, "head_commit": null,
            "repository": { "full_name": full_name, "id": 1, "private": false },
            "pusher": { "name": "me", "email": null } })
    }

    fn read(event: &str, payload: &Value) -> Result<Reading, Unreadable> {
        Reading::of(event, payload.to_string().as_bytes())
    }

    fn push_of(git_ref: &str, after: &str, full_name: &str) -> Push {
        match read("push", &payload(git_ref, after, full_name)) {
            Ok(Reading { event: Event::Push(push), repository })
                if repository.as_deref() == Some(full_name) =>
            {
                push
            }
            other => panic!("{other:?}"),
        }
    }

    const SHA: &str = "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c";
    const ZERO: &str = "0000000000000000000000000000000000000000";

    #[test]
    fn pushes() {
        let push = push_of("refs/heads/main", SHA, "a/b");
        assert_eq!(push.target, EventTarget::Branch(BranchName::parse("main").unwrap()));
        assert_eq!(push.after, Some(CommitId::parse(SHA).unwrap()));
        assert_eq!((push.private, push.pusher.as_deref()), (Some(false), Some("me")));
        assert_eq!(push_of("refs/heads/main", ZERO, "a/b").after, None, "a deletion");
        for other in ["refs/tags/v1", "refs/heads/--upload-pack=x", "main", "refs/heads/"] {
            assert_eq!(push_of(other, SHA, "a/b").target, EventTarget::Other, "{other}");
        }
    }

    #[test]
    fn events_of_checks_name_a_commit() {
        let repository = json!({ "full_name": "a/b" });
        let expected = Checked {
            repository: RepositoryName::parse("a/b").unwrap(),
            commit: CommitId::parse(SHA).unwrap(),
        };
        let expected = Reading { repository: Some("a/b".into()), event: Event::Checked(expected) };
        let is_malformed = |event: &str, payload: Value| {
            matches!(read(event, &payload), Ok(Reading { event: Event::Malformed(_), .. }))
        };
        for event in ["check_run", "check_suite", "workflow_run"] {
            let about = json!({ "head_sha": SHA, "check_suite": { "head_sha": ZERO } });
            let payload = json!({ event: about, "sha": ZERO, "repository": repository });
            assert_eq!(read(event, &payload), Ok(expected.clone()), "{event}");
            assert!(is_malformed(event, json!({ "sha": SHA, "repository": repository })), "{event}");
        }
        let status = json!({ "sha": SHA, "repository": repository });
        assert_eq!(read("status", &status), Ok(expected));
        for bad in ["main", "--all", ""] {
            assert!(is_malformed("status", json!({ "sha": bad, "repository": repository })), "{bad}");
        }
    }

    #[test]
    fn hostile_fields_are_refused_with_the_place() {
        for (git_ref, after, full_name, place) in [
            ("refs/heads/main", "x; touch FILE #", "a/b", "after"),
            ("refs/heads/main", SHA, "../../etc", "repository.full_name"),
            ("refs/heads/main", "", "a/b", "after"),
        ] {
            let reading = read("push", &payload(git_ref, after, full_name)).unwrap();
            assert!(
                matches!(&reading.event, Event::Malformed(reason) if reason.contains(place)),
                "{reading:?}"
            );
            assert_eq!(reading.repository.as_deref(), Some(full_name));
        }
    }

    #[test]
    fn other_events() {
        let of = |text: &str| Reading::of("star", text.as_bytes()).unwrap();
        assert_eq!(of("{}"), Reading { repository: None, event: Event::Other("star".into()) });
        assert_eq!(of(r#"{"repository":{"full_name":"a/b"}}"#).repository, Some("a/b".into()));
        assert_eq!(of(r#"{"repository":null}"#).repository, None);
        assert_eq!(Reading::of("ping", b"{}").unwrap().event, Event::Ping);
    }

    /// Serde's derived structs would read each of these arrays, and take the last or first of what is there twice.
    #[test]
    fn nothing_but_objects_is_read_and_nothing_that_is_there_twice() {
        let in_place = |find: &str, replacement: &str| {
            let text = payload("refs/heads/main", SHA, "a/b").to_string();
            assert!(text.contains(find), "{find} in {text}");
            text.replacen(find, replacement, 1)
        };
        let array = format!(r#"["refs/heads/main","{SHA}",false,{{"full_name":"acme/b"}},null]"#);
        for (event, text, is_object) in [
            ("push", array.clone(), false),
            ("star", array, false),
            ("ping", "[]".into(), false),
            ("ping", "3".into(), false),
            ("ping", "null".into(), false),
            ("ping", r#""{}""#.into(), false),
            ("ping", "{}{}".into(), false),
            ("ping", r#"{"a":"#.into(), false),
            ("ping", "payload=%7B%7D".into(), false),
            ("push", "{}".into(), true),
            ("push", in_place(r#""pusher":{"#, r#""pusher":["me"],"x":{"#), true),
            ("push", in_place(r#""ref":"#, r#""ref":"refs/heads/main","ref":"#), true),
            ("push", in_place(r#""after":"#, r#""after":"","after":"#), true),
            ("push", in_place(r#""after":""#, r#""after":["x"],"b":""#), true),
            ("push", in_place(r#""repository":{"#, r#""repository":["a/b"],"x":{"#), false),
            ("star", in_place(r#""repository":{"#, r#""repository":["a/b"],"x":{"#), false),
            ("star", in_place(r#""repository":{"#, r#""repository":"a/b","x":{"#), false),
            ("star", in_place(r#""repository":{"#, r#""repository":{},"x":{"#), false),
            (
                "push",
                in_place(r#""repository":{"#, r#""repository":{"full_name":"a/c"},"repository":{"#),
                false,
            ),
            ("push", in_place(r#""full_name":"#, r#""full_name":"a/c","full_name":"#), false),
            ("push", in_place(r#""full_name":"#, r#""full\u005fname":"a/c","full_name":"#), false),
        ] {
            let read = Reading::of(event, text.as_bytes());
            assert_eq!(
                read.as_ref().map_err(|unreadable| unreadable.is_object),
                Err(is_object),
                "{event} {text}"
            );
            // An older deployer has spooled it: it leads to nothing now.
            assert!(matches!(Reading::of_entry(event, &text).event, Event::Malformed(_)), "{text}");
        }
        let about = format!(r#"{{"check_run":["{SHA}"],"repository":{{"full_name":"a/b"}}}}"#);
        let unreadable = Reading::of("check_run", about.as_bytes()).unwrap_err();
        assert_eq!((unreadable.is_object, unreadable.repository.as_deref()), (true, Some("a/b")));
    }

    #[test]
    fn what_is_spooled_is_what_was_read() {
        for (event, payload) in [
            ("push", payload("refs/heads/main", SHA, "a/b")),
            ("push", payload("refs/tags/v1", ZERO, "a/b")),
            ("push", payload("refs/heads/main", "", "a/b")),
            ("status", json!({ "sha": SHA, "repository": { "full_name": "a/b" } })),
            ("ping", json!({})),
            ("star", json!({ "repository": { "full_name": "a/b" } })),
        ] {
            let reading = read(event, &payload).unwrap();
            let spooled = serde_json::to_string(&reading).unwrap();
            assert_eq!(serde_json::from_str::<Reading>(&spooled).unwrap(), reading, "{spooled}");
        }
    }

    #[test]
    fn texts_that_are_only_shown_are_cut() {
        let long = "x".repeat(10_000);
        let push = push_of(&format!("refs/heads/{long}"), SHA, "a/b");
        assert_eq!((push.target, push.git_ref.chars().count()), (EventTarget::Other, SHOWN_CHARS_MAX));
        let repository = json!({ "full_name": long });
        for (event, payload) in [
            ("push", payload("refs/heads/main", SHA, &long)),
            ("push", json!({ "ref": 1, "repository": repository })),
            ("push", json!({ "ref": "", "after": "", "deleted": long, "repository": repository })),
            ("status", json!({ "sha": long, "repository": repository })),
            ("status", json!({ "sha": [long], "repository": repository })),
            ("ping", json!({ "repository": repository })),
            ("watch", json!({ "repository": repository })),
            ("watch", json!({ "repository": long })),
        ] {
            let reading = Reading::of_entry(event, &payload.to_string());
            let spooled = serde_json::to_string(&reading).unwrap();
            assert!(spooled.len() < 3 * SHOWN_CHARS_MAX, "{event}: {} bytes", spooled.len());
            assert!(RepositoryName::parse(reading.repository.as_deref().unwrap_or_default()).is_err());
        }
    }
}
