//! What the real GitHub says of a token in the headers of every answer, and what its account may: `rate-limit/get`, `repos/get`.

use super::{Answer, GitHub, Known, Request, not_found, now, user};
use serde_json::{Map, Value, json};

/// Of the token that is accepted from the beginning.
#[derive(Debug)]
pub struct Rights {
    /// `X-OAuth-Scopes`; None: it is a fine-grained one.
    scopes: Option<String>,
    expiration: Option<String>,
    /// `Date`, where it is not the machine's.
    date: Option<String>,
    push: bool,
    admin: bool,
    /// Of every repository.
    archived: bool,
    /// The name of every repository, where it is not the one that it is asked for by.
    full_name: Option<String>,
}

impl Default for Rights {
    fn default() -> Self {
        Self {
            scopes: None,
            expiration: None,
            date: None,
            push: true,
            admin: false,
            archived: false,
            full_name: None,
        }
    }
}

impl Rights {
    /// An answer to who asks with the token.
    pub fn told(&self, mut answer: Answer) -> Answer {
        for (name, value) in [
            ("x-oauth-scopes", &self.scopes),
            ("github-authentication-token-expiration", &self.expiration),
            ("date", &self.date),
        ] {
            if let Some(value) = value {
                answer = answer.header(name, value.clone());
            }
        }
        answer
    }
}

impl GitHub {
    /// The token is a classic one with these scopes.
    pub fn set_scopes(&self, scopes: &str) {
        self.known().rights.scopes = Some(scopes.to_owned());
    }

    /// The token ends then: `2026-12-24 18:00:00 UTC`.
    pub fn set_expiration(&self, at: &str) {
        self.known().rights.expiration = Some(at.to_owned());
    }

    /// GitHub's clock: `Mon, 23 Nov 2026 18:50:00 GMT`.
    pub fn set_date(&self, date: &str) {
        self.known().rights.date = Some(date.to_owned());
    }

    /// What the token's account may in every repository.
    pub fn set_account(&self, push: bool, admin: bool) {
        let mut known = self.known();
        (known.rights.push, known.rights.admin) = (push, admin);
    }
}

impl GitHub {
    /// Every repository is archived, and has this name now: GitHub leads on who asks by the old one.
    pub fn set_repositories(&self, archived: bool, full_name: Option<&str>) {
        let mut known = self.known();
        known.rights.archived = archived;
        known.rights.full_name = full_name.map(str::to_owned);
    }
}

pub fn route(known: &mut Known, request: &Request) -> Option<Answer> {
    match (request.method.as_str(), request.segments().as_slice()) {
        ("GET", ["rate_limit"]) => {
            let limit = json!({ "limit": 5000, "remaining": 5000, "reset": 2_000_000_000, "used": 0 });
            Some(Answer::new(200, json!({ "resources": { "core": limit, "search": limit }, "rate": limit })))
        }
        ("GET", ["repos", owner, name]) => {
            let full_name = format!("{owner}/{name}");
            let is_known = known.repositories.contains_key(&full_name);
            Some(if is_known { Answer::new(200, repository(known, owner, name)) } else { not_found() })
        }
        _ => None,
    }
}

/// As GitHub describes one, which is long.
fn repository(known: &Known, owner: &str, name: &str) -> Value {
    let url = format!("{}/repos/{owner}/{name}", known.url);
    let mut repository = addresses(&url);
    for kind in ["clone", "git", "ssh", "svn"] {
        repository.insert(format!("{kind}_url"), json!(format!("{url}/{kind}")));
    }
    for number in [
        "forks",
        "forks_count",
        "open_issues",
        "open_issues_count",
        "size",
        "stargazers_count",
        "watchers",
        "watchers_count",
        "network_count",
        "subscribers_count",
    ] {
        repository.insert(number.to_owned(), json!(0));
    }
    for no in [
        "fork",
        "private",
        "has_issues",
        "has_projects",
        "has_wiki",
        "has_pages",
        "has_discussions",
        "disabled",
    ] {
        repository.insert(no.to_owned(), json!(false));
    }
    for null in ["description", "homepage", "language", "mirror_url", "license"] {
        repository.insert(null.to_owned(), Value::Null);
    }
    for time in ["pushed_at", "created_at", "updated_at"] {
        repository.insert(time.to_owned(), json!(now()));
    }
    let Rights { push, admin, archived, .. } = known.rights;
    let full_name = known.rights.full_name.clone().unwrap_or_else(|| format!("{owner}/{name}"));
    let rest = json!({
        "url": url, "id": 1, "node_id": "R_1", "name": name, "full_name": full_name, "archived": archived,
        "owner": user(owner), "default_branch": "main",
        "permissions": { "admin": admin, "maintain": admin, "push": push, "triage": push, "pull": true },
    });
    repository.extend(rest.as_object().cloned().unwrap_or_default());
    Value::Object(repository)
}

/// The addresses that are in every description of a repository.
pub fn addresses(url: &str) -> Map<String, Value> {
    const KINDS: [&str; 37] = [
        "archive",
        "assignees",
        "blobs",
        "branches",
        "collaborators",
        "comments",
        "commits",
        "compare",
        "contents",
        "contributors",
        "deployments",
        "downloads",
        "events",
        "forks",
        "git_commits",
        "git_refs",
        "git_tags",
        "hooks",
        "html",
        "issue_comment",
        "issue_events",
        "issues",
        "keys",
        "labels",
        "languages",
        "merges",
        "milestones",
        "notifications",
        "pulls",
        "releases",
        "stargazers",
        "statuses",
        "subscribers",
        "subscription",
        "tags",
        "teams",
        "trees",
    ];
    KINDS.into_iter().map(|kind| (format!("{kind}_url"), json!(format!("{url}/{kind}")))).collect()
}
