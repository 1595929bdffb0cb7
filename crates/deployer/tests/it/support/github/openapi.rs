//! GitHub's own description of its API, which every request to the fake and every answer of it has to fit.
//!
//! `cargo xtask test` cuts the description down to the operations that we use (`xtask/src/openapi.rs` lists them). A request that
//! does not fit is a violation, which the world of the test fails on; so is one for an operation that is not listed.

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

/// Where `cargo xtask test` puts it.
const FILE: &str = "../../target/testbed/openapi/github.json";

/// See the module. Read once in each process; what is compiled is kept.
pub struct Description {
    document: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// One operation, by its place in the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation(usize);

impl Description {
    /// The one that was prepared.
    pub fn get() -> &'static Self {
        static DESCRIPTION: OnceLock<Description> = OnceLock::new();
        DESCRIPTION.get_or_init(|| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
            let text = fs_err::read_to_string(&path).unwrap_or_else(|error| {
                panic!(
                    "{error}\nhint: `cargo xtask test --prepare-only` fetches GitHub's description of its API"
                )
            });
            let document = serde_json::from_str(&text).expect("xtask writes JSON");
            Self { document, validators: Mutex::default() }
        })
    }

    /// The operation that a request asks for, and everything in which it does not fit the description.
    pub fn check_request(
        &self,
        method: &str,
        path: &str,
        query: &[(String, String)],
        body: &[u8],
    ) -> (Option<Operation>, Vec<String>) {
        let Some((operation, parameters)) = self.find(method, path) else {
            return (
                None,
                vec!["GitHub has no such operation, or xtask/src/openapi.rs does not list it".to_owned()],
            );
        };
        let mut wrong = Vec::new();
        let at = format!("/operations/{}", operation.0);
        for (name, text) in &parameters {
            wrong.extend(self.check_parameter(operation, "path", name, text));
        }
        for (name, text) in query {
            wrong.extend(self.check_parameter(operation, "query", name, text));
        }
        let described = &self.document["operations"][operation.0];
        match (serde_json::from_slice::<Value>(body), described["body"].is_null()) {
            _ if body.is_empty() && described["body_required"] == true => {
                wrong.push("the body is missing".to_owned());
            }
            _ if body.is_empty() => {}
            (_, true) => wrong.push("a body, where GitHub describes none".to_owned()),
            (Err(error), _) => wrong.push(format!("the body is not JSON: {error}")),
            (Ok(body), false) => {
                wrong.extend(self.check(&format!("{at}/body"), &body));
                wrong.extend(self.unknown_fields(&described["body"], &body));
            }
        }
        (Some(operation), wrong)
    }

    /// Everything in which an answer does not fit the description. Errors that any operation may give need no description.
    pub fn check_answer(&self, operation: Operation, status: u16, body: &Value) -> Vec<String> {
        let responses = &self.document["operations"][operation.0]["responses"];
        match responses.get(status.to_string()) {
            Some(Value::Null) if body.is_null() => Vec::new(),
            Some(Value::Null) if status < 400 => vec![format!("{status} has no body")],
            Some(Value::Null) => self.check("/components/schemas/basic-error", body),
            Some(_) => self.check(&format!("/operations/{}/responses/{status}", operation.0), body),
            None if matches!(status, 400 | 401 | 403 | 404 | 422 | 429 | 500..) => {
                self.check("/components/schemas/basic-error", body)
            }
            None => vec![format!("GitHub does not describe an answer {status}")],
        }
    }

    /// Everything in which a webhook's payload does not fit GitHub's schema of that event.
    pub fn check_event(&self, event: &str, payload: &Value) -> Vec<String> {
        self.check(&format!("/events/{event}"), payload)
    }

    /// The operation whose path has the most of this one's words, and its parameters.
    fn find(&self, method: &str, path: &str) -> Option<(Operation, Vec<(String, String)>)> {
        let operations =
            self.document["operations"].as_array().expect("xtask writes a list").iter().enumerate();
        let fitting = operations.filter(|(_, operation)| operation["method"] == method);
        let fitting = fitting.filter_map(|(at, operation)| {
            let parameters = parameters_of(operation["path"].as_str().expect("a path is text"), path)?;
            Some((Operation(at), parameters))
        });
        fitting.min_by_key(|(_, parameters)| parameters.len())
    }

    fn check_parameter(&self, operation: Operation, place: &str, name: &str, text: &str) -> Vec<String> {
        let parameters = self.document["operations"][operation.0]["parameters"].as_array();
        let mut parameters = parameters.into_iter().flatten().enumerate();
        let found = parameters.find(|(_, parameter)| parameter["in"] == place && parameter["name"] == name);
        let Some((at, parameter)) = found else {
            return vec![format!("GitHub knows no parameter {name:?} in the {place}")];
        };
        let number = parameter["schema"]["type"] == "integer";
        let value = match text.parse::<i64>() {
            Ok(value) if number => json!(value),
            _ => json!(text),
        };
        self.check(&format!("/operations/{}/parameters/{at}/schema", operation.0), &value)
    }

    /// GitHub passes over what it does not know, at any depth; we would believe to have said something.
    fn unknown_fields(&self, schema: &Value, value: &Value) -> Vec<String> {
        let known = self.properties(schema);
        let Some(fields) = value.as_object().filter(|_| !known.is_empty()) else { return Vec::new() };
        let wrong = fields.iter().map(|(name, value)| match known.iter().find(|(known, _)| *known == name) {
            Some((_, schema)) => self.unknown_fields(schema, value),
            None => vec![format!("GitHub knows no field {name:?}")],
        });
        wrong.flatten().collect()
    }

    /// An object's properties, through references and `anyOf`, as `nullable` has become one. None where any may be there.
    fn properties<'a>(&'a self, schema: &'a Value) -> Vec<(&'a String, &'a Value)> {
        let referred =
            schema["$ref"].as_str().and_then(|name| self.document.pointer(name.trim_start_matches('#')));
        let schema = referred.unwrap_or(schema);
        let own = schema["properties"].as_object().into_iter().flatten();
        let others =
            schema["anyOf"].as_array().into_iter().flatten().flat_map(|other| self.properties(other));
        own.chain(others).collect()
    }

    fn check(&self, pointer: &str, value: &Value) -> Vec<String> {
        let validator = self.validator(pointer);
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
    }

    fn validator(&self, pointer: &str) -> Arc<Validator> {
        let mut validators = self.validators.lock().expect("compiling a schema does not panic");
        let made = validators.entry(pointer.to_owned()).or_insert_with(|| {
            let schema = self.document.pointer(pointer).unwrap_or_else(|| panic!("no schema at {pointer}"));
            // References are to places in the whole document.
            let schema = json!({
                "allOf": [schema],
                "components": self.document["components"],
                "definitions": self.document["definitions"],
            });
            let options = jsonschema::options().with_draft(Draft::Draft7).should_validate_formats(true);
            // GitHub writes "" where there is no URL.
            let options = options.with_format("uri", |text: &str| {
                text.is_empty() || text.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some())
            });
            Arc::new(options.build(&schema).unwrap_or_else(|error| panic!("{pointer}: {error}")))
        });
        Arc::clone(made)
    }
}

/// What stands in place of the `{names}` of a template, if a path fits it.
fn parameters_of(template: &str, path: &str) -> Option<Vec<(String, String)>> {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    if template.len() != path.len() {
        return None;
    }
    let mut parameters = Vec::new();
    for (expected, found) in template.into_iter().zip(path) {
        match expected.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if !found.is_empty() => parameters.push((name.to_owned(), found.to_owned())),
            _ if expected == found => {}
            _ => return None,
        }
    }
    Some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(method: &str, path: &str, query: &[(&str, &str)], body: &Value) -> Vec<String> {
        let query: Vec<_> = query.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        Description::get().check_request(method, path, &query, &body).1
    }

    #[test]
    fn requests_that_github_does_not_describe_are_found() {
        let hook = json!({ "name": "web", "events": ["push"], "active": true,
            "config": { "url": "https://x", "content_type": "json", "insecure_ssl": "0", "secret": "s" } });
        for (method, path, query, body) in [
            ("POST", "/repos/o/r/hooks", &[][..], &hook),
            (
                "GET",
                "/repos/o/r/hooks/1/deliveries",
                &[("per_page", "100"), ("cursor", "v1_2")],
                &Value::Null,
            ),
            ("DELETE", "/repos/o/r/hooks/1", &[], &Value::Null),
            ("POST", "/repos/o/r/hooks/1/pings", &[], &Value::Null),
        ] {
            assert_eq!(wrong(method, path, query, body), Vec::<String>::new(), "{method} {path}");
        }
        let mut misspelt = hook.clone();
        misspelt["event"] = json!(["push"]);
        let mut misspelt_inside = hook.clone();
        misspelt_inside["config"]["insecure-ssl"] = json!("0");
        let mut mistyped = hook.clone();
        mistyped["active"] = json!("yes");
        for (method, path, query, body) in [
            ("POST", "/repos/o/r/hook", &[][..], &hook),
            ("PUT", "/repos/o/r/hooks", &[], &hook),
            ("POST", "/repos/o/r/hooks", &[], &misspelt),
            ("POST", "/repos/o/r/hooks", &[], &misspelt_inside),
            ("POST", "/repos/o/r/hooks", &[], &mistyped),
            ("POST", "/repos/o/r/statuses/abc", &[], &Value::Null),
            ("POST", "/repos/o/r/statuses/abc", &[], &json!({ "state": "done" })),
            ("POST", "/repos/o/r/statuses/abc", &[], &json!({ "context": "no state" })),
            ("GET", "/repos/o/r/hooks/one/deliveries", &[], &Value::Null),
            ("GET", "/repos/o/r/hooks/1/deliveries", &[("page", "2")], &Value::Null),
            ("GET", "/repos/o/r/hooks/1/deliveries", &[("per_page", "many")], &Value::Null),
        ] {
            assert_ne!(
                wrong(method, path, query, body),
                Vec::<String>::new(),
                "{method} {path} {query:?} {body}"
            );
        }
    }

    #[test]
    fn answers_that_github_does_not_describe_are_found() {
        let description = Description::get();
        let (operation, _) = description.check_request("POST", "/repos/o/r/hooks", &[], b"{}");
        let operation = operation.expect("it is listed");
        assert_ne!(description.check_answer(operation, 201, &json!({ "id": 1 })), Vec::<String>::new());
        assert_ne!(description.check_answer(operation, 200, &json!({})), Vec::<String>::new());
        assert_eq!(
            description.check_answer(operation, 404, &json!({ "message": "x" })),
            Vec::<String>::new()
        );
        assert_ne!(description.check_answer(operation, 404, &json!({ "message": 1 })), Vec::<String>::new());
    }

    #[test]
    fn the_payloads_that_tests_send_are_what_github_describes() {
        use crate::support::push::{Delivery, NO_COMMIT};
        let id = "a".repeat(40);
        for delivery in [
            Delivery::push("acme/site", "refs/heads/main", NO_COMMIT, &id),
            Delivery::deletion("acme/site", "refs/heads/main", &id),
            Delivery::ping("acme/site"),
        ] {
            let payload: Value = serde_json::from_slice(&delivery.body).expect("a payload is JSON");
            assert_eq!(Description::get().check_event(&delivery.event, &payload), Vec::<String>::new());
        }
        let nothing = Description::get().check_event("push", &json!({ "ref": "refs/heads/main" }));
        assert_ne!(nothing, Vec::<String>::new());
    }
}
