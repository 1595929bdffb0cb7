//! What a `webhook` command says: lines for people or one list for machines, and errors with what to do about them.

use crate::base::names::RepositoryName;
use crate::github::error::{ApiError, ErrorKind};
use crate::run_log::rendering::plain;
use crate::terminal::failed::Failed;
use crate::terminal::{exit, output};
use anyhow::anyhow;
use serde_json::{Value, json};

pub struct WebhookReport {
    as_json: bool,
    entries: Vec<Value>,
    /// The exit code, once something has failed.
    failed: Option<u8>,
}

impl WebhookReport {
    pub fn new(as_json: bool) -> Self {
        Self { as_json, entries: Vec::new(), failed: None }
    }

    pub fn say(&self, line: &str) {
        if !self.as_json {
            // URLs and messages are foreign text.
            line.lines().for_each(|line| print_line!("{}", plain(line)));
        }
    }

    pub fn entry(&mut self, entry: Value) {
        self.entries.push(entry);
    }

    /// Something was done to a hook.
    pub fn done(&mut self, repository: &RepositoryName, hook: i64, what: &str) {
        self.say(&format!("{repository}: hook {hook}: {what}"));
        self.entry(json!({ "repository": repository, "hook": hook, "done": what }));
    }

    /// There is no such hook.
    pub fn missing(&mut self, repository: &RepositoryName, message: &str) {
        self.fail(repository.as_str(), message, None, exit::NOT_FOUND);
    }

    /// There is no such delivery.
    pub fn unknown(&mut self, guid: &str, message: &str) {
        self.fail(guid, message, None, exit::NOT_FOUND);
    }

    /// One repository's work failed.
    pub fn failed(&mut self, repository: &RepositoryName, message: &str, hint: Option<&str>) {
        self.fail(repository.as_str(), message, hint, exit::FAILED);
    }

    /// It cannot be done now; the same command may succeed later.
    pub fn not_now(&mut self, subject: &str, message: &str, hint: &str) {
        self.fail(subject, message, Some(hint), exit::UNAVAILABLE);
    }

    /// GitHub said no.
    pub fn api_error(&mut self, repository: &RepositoryName, error: &ApiError) {
        let code = if error.kind.passes() { exit::UNAVAILABLE } else { exit::FAILED };
        self.fail(repository.as_str(), &error.reason, hint(error).as_deref(), code);
    }

    fn fail(&mut self, subject: &str, message: &str, hint: Option<&str>, code: u8) {
        let error = Failed::because(anyhow!("{}: {}", plain(subject), plain(message))).with_code(code);
        match hint {
            Some(hint) => error.hint(hint).print(),
            None => error.print(),
        }
        self.entries.push(json!({ "repository": subject, "error": message, "hint": hint }));
        self.failed.get_or_insert(code);
    }

    /// The same, with what to do next, if anything was done.
    pub fn end_with(self, next: &str) -> Result<(), Failed> {
        if self.entries.iter().any(|entry| entry.get("done").is_some()) {
            self.say(next);
        }
        self.end()
    }

    /// Prints what machines get, and ends with the code of the first failure.
    pub fn end(self) -> Result<(), Failed> {
        if self.as_json {
            output::json(&self.entries);
        }
        match self.failed {
            None => Ok(()),
            Some(code) => Err(Failed::silent().with_code(code)),
        }
    }
}

/// What to do about GitHub's answer to a request about hooks.
pub fn hint(error: &ApiError) -> Option<String> {
    let hint = match error.kind {
        ErrorKind::NotFound => {
            "the repository has another name, or the token may not manage its webhooks: a classic token needs \
             admin:repo_hook, a fine-grained one and an App \"Webhooks: write\" for this repository"
        }
        ErrorKind::Forbidden => {
            "the token may not do this: a fine-grained token and an App need \"Webhooks: write\" for this repository, and \
             an organisation may have to approve the token"
        }
        ErrorKind::Unauthorised => {
            "GitHub does not know who asks: there is no token, or it has expired or was revoked; make another, and write it into \
             `github.token_file` or set GITHUB_TOKEN"
        }
        ErrorKind::Limited => {
            let seconds = error.after.unwrap_or_default().as_secs();
            return Some(format!("the rate limit is used up: try again in {seconds} seconds"));
        }
        ErrorKind::Refused if error.reason.contains("already exists") => {
            "there is such a hook already: `durhack-deployer webhook list` shows it"
        }
        ErrorKind::Unreachable | ErrorKind::Failing => {
            "GitHub cannot be asked now; try again later (https://www.githubstatus.com says how it is)"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}
