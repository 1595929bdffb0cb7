//! Webhooks that deliver: `repos/*-webhook*`. A delivery goes to the daemon of the test, signed with the hook's secret, as
//! GitHub's would; what was answered is kept, as GitHub keeps it.

use super::{Answer, GitHub, Job, Known, Request, is_number, not_found, now, problem, validation_failed};
use crate::support::push::{Delivery, signature};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// GitHub's limit for one repository.
const HOOKS_MAX: usize = 20;

#[derive(Debug, Clone)]
pub struct Hook {
    pub id: u64,
    pub repository: String,
    pub url: String,
    /// What signs; GitHub tells nobody, a test may know.
    pub secret: String,
    pub content_type: String,
    pub events: Vec<String>,
    active: bool,
    created_at: String,
    /// Attempts, oldest first, as GitHub answers.
    pub deliveries: Vec<Value>,
}

impl Hook {
    fn body(&self, base: &str) -> Value {
        let url = format!("{base}/repos/{}/hooks/{}", self.repository, self.id);
        let last = self.deliveries.last();
        json!({
            "type": "Repository",
            "id": self.id,
            "name": "web",
            "active": self.active,
            "events": self.events,
            "config": self.config(),
            "updated_at": self.created_at,
            "created_at": self.created_at,
            "url": url,
            "test_url": format!("{url}/tests"),
            "ping_url": format!("{url}/pings"),
            "deliveries_url": format!("{url}/deliveries"),
            "last_response": {
                "code": last.map(|last| last["status_code"].clone()),
                "status": if last.is_some() { "active" } else { "unused" },
                "message": last.map(|last| last["status"].clone()),
            },
        })
    }

    fn config(&self) -> Value {
        let mut config = json!({ "url": self.url, "content_type": self.content_type, "insecure_ssl": "0" });
        if !self.secret.is_empty() {
            config["secret"] = json!("********");
        }
        config
    }
}

impl GitHub {
    /// Somebody ticks or unticks "Active" of every hook.
    pub fn switch_hooks(&self, active: bool) {
        self.known().hooks.iter_mut().for_each(|hook| hook.active = active);
    }
}

pub fn route(known: &mut Known, request: &Request) -> Option<Answer> {
    let segments = request.segments();
    let ["repos", owner, name, "hooks", rest @ ..] = segments.as_slice() else { return None };
    let repository = format!("{owner}/{name}");
    // GitHub does not say that a repository is there to whom it does not concern.
    if !known.repositories.contains_key(&repository) || !known.token_manages_hooks {
        return Some(not_found());
    }
    let method = request.method.as_str();
    match (method, rest) {
        ("GET", []) => {
            let url = known.url.clone();
            let ours = known.hooks.iter().filter(|hook| hook.repository == repository);
            Some(request.page(&url, &ours.map(|hook| hook.body(&url)).collect::<Vec<_>>()))
        }
        ("POST", []) => Some(create(known, &repository, &request.body)),
        (_, [id, rest @ ..]) => {
            let found = known
                .hooks
                .iter()
                .position(|hook| hook.repository == repository && hook.id.to_string() == *id);
            match found {
                Some(at) => of_hook(known, at, method, rest, request),
                None => Some(not_found()),
            }
        }
        _ => None,
    }
}

fn of_hook(known: &mut Known, at: usize, method: &str, rest: &[&str], request: &Request) -> Option<Answer> {
    let nothing = || Some(Answer::new(204, Value::Null));
    match (method, rest) {
        ("GET", []) => Some(Answer::new(200, known.hooks[at].body(&known.url))),
        ("DELETE", []) => {
            known.hooks.remove(at);
            nothing()
        }
        ("PATCH", ["config"]) => Some(change(&mut known.hooks[at], &request.body)),
        ("POST", ["pings"]) => {
            let hook = &known.hooks[at];
            let delivery = ping(hook);
            known.jobs.push(Job { hook: hook.id, delivery, redelivery: false });
            nothing()
        }
        ("POST", ["tests"]) => {
            let hook = &known.hooks[at];
            // Nothing was pushed yet: GitHub says yes, and delivers nothing.
            if let Some(last) = known.last_push.get(&hook.repository) {
                let delivery = last.replayed();
                known.jobs.push(Job { hook: hook.id, delivery, redelivery: false });
            }
            nothing()
        }
        ("GET", ["deliveries"]) => {
            let items: Vec<Value> = known.hooks[at].deliveries.iter().rev().map(without_detail).collect();
            Some(request.page_by_cursor(&known.url, &items))
        }
        ("GET", ["deliveries", id]) => {
            let found = known.hooks[at].deliveries.iter().find(|attempt| is_number(&attempt["id"], id));
            Some(found.map_or_else(not_found, |found| Answer::new(200, found.clone())))
        }
        ("POST", ["deliveries", id, "attempts"]) => Some(again(known, at, id)),
        _ => None,
    }
}

fn create(known: &mut Known, repository: &str, body: &[u8]) -> Answer {
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return problem(400, "Problems parsing JSON");
    };
    let url = asked["config"]["url"].as_str().unwrap_or_default().to_owned();
    let ours: Vec<&Hook> = known.hooks.iter().filter(|hook| hook.repository == repository).collect();
    if ours.iter().any(|hook| hook.url == url) {
        return validation_failed("Hook", "Hook already exists on this repository");
    }
    if ours.len() >= HOOKS_MAX {
        return validation_failed("Hook", "The \"push\" event cannot have more than 20 hooks");
    }
    let events = asked["events"].as_array().into_iter().flatten();
    let hook = Hook {
        id: known.next_id(),
        repository: repository.to_owned(),
        url,
        secret: asked["config"]["secret"].as_str().unwrap_or_default().to_owned(),
        content_type: asked["config"]["content_type"].as_str().unwrap_or("form").to_owned(),
        events: events.filter_map(|event| event.as_str().map(str::to_owned)).collect(),
        active: asked["active"] != false,
        created_at: now(),
        deliveries: Vec::new(),
    };
    known.jobs.push(Job { hook: hook.id, delivery: ping(&hook), redelivery: false });
    let answer = Answer::new(201, hook.body(&known.url));
    known.hooks.push(hook);
    answer
}

fn change(hook: &mut Hook, body: &[u8]) -> Answer {
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return problem(400, "Problems parsing JSON");
    };
    let changed =
        [("url", &mut hook.url), ("content_type", &mut hook.content_type), ("secret", &mut hook.secret)];
    for (key, value) in changed {
        if let Some(text) = asked[key].as_str() {
            *value = text.to_owned();
        }
    }
    Answer::new(200, hook.config())
}

fn again(known: &mut Known, at: usize, id: &str) -> Answer {
    let hook = &known.hooks[at];
    let Some(found) = hook.deliveries.iter().find(|attempt| is_number(&attempt["id"], id)) else {
        return not_found();
    };
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    let mut delivery = Delivery::of(&text("event"), &found["request"]["payload"]);
    delivery.guid = text("guid");
    known.jobs.push(Job { hook: hook.id, delivery, redelivery: true });
    Answer::new(202, json!({}))
}

fn ping(hook: &Hook) -> Delivery {
    let ping = Delivery::ping(&hook.repository);
    let mut payload: Value = serde_json::from_slice(&ping.body).expect("a payload is JSON");
    payload["hook_id"] = json!(hook.id);
    payload["hook"]["id"] = json!(hook.id);
    Delivery { body: payload.to_string().into_bytes(), ..ping }
}

/// Delivers, and keeps what came of it. Takes its time: not under the lock.
pub fn carry_out(known: &Arc<Mutex<Known>>, job: &Job) {
    let lock = || known.lock().expect("no request panics while it holds the lock");
    let (address, secret) = {
        let known = lock();
        let Some(hook) = known.hooks.iter().find(|hook| hook.id == job.hook) else { return };
        let address = known.reachable.iter().find(|(origin, _)| hook.url.starts_with(origin.as_str()));
        (address.map(|(_, address)| address.clone()), hook.secret.clone())
    };
    let answer = address.and_then(|address| {
        // Nobody's time is spent on a daemon that hangs: the test's own limits end it.
        job.delivery.signed(&secret).send_to_mortal(&address)
    });
    let code = answer.as_ref().map_or(0, |answer| answer.status);
    let status = match code {
        0 => "failed to connect to host".to_owned(),
        200..300 => "OK".to_owned(),
        code => format!("Invalid HTTP Response: {code}"),
    };
    let payload: Value = serde_json::from_slice(&job.delivery.body).expect("a payload is JSON");
    let mut known = lock();
    let wrong = super::openapi::Description::get().check_event(&job.delivery.event, &payload);
    known.violations.extend(wrong.into_iter().map(|wrong| format!("{}: {wrong}", job.delivery.event)));
    let attempt = json!({
        "id": known.next_id(),
        "guid": job.delivery.guid,
        "delivered_at": now(),
        "redelivery": job.redelivery,
        "duration": 0.02,
        "status": status,
        "status_code": code,
        "event": job.delivery.event,
        "action": null,
        "installation_id": null,
        "repository_id": payload["repository"]["id"],
        "throttled_at": null,
        "url": "",
        "request": {
            "headers": {
                "X-GitHub-Delivery": job.delivery.guid,
                "X-GitHub-Event": job.delivery.event,
                "X-Hub-Signature-256": signature(&secret, &job.delivery.body),
            },
            "payload": payload,
        },
        "response": { "headers": {}, "payload": answer.map(|answer| String::from_utf8_lossy(&answer.body).into_owned()) },
    });
    if let Some(hook) = known.hooks.iter_mut().find(|hook| hook.id == job.hook) {
        hook.deliveries.push(attempt);
    }
}

/// An attempt as the list shows it.
fn without_detail(attempt: &Value) -> Value {
    let mut item = attempt.clone();
    let fields = item.as_object_mut().expect("an attempt is an object");
    for detail in ["request", "response", "url"] {
        fields.remove(detail);
    }
    item
}
