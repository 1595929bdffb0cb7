//! GitHub's own description of its API and of its webhooks, cut down to what we use, for the fake GitHub of the tests.
//!
//! npm's `@octokit/openapi` is 385 MB unpacked, and the one description in it that we need is 13 MB: too much to read in each
//! test. So the package is fetched as an archive, the description is taken out of it, and of that only the operations
//! below and the schemas that they lead to are kept, as `target/testbed/openapi/github.json`. OpenAPI 3.0's `nullable`, which
//! no JSON Schema validator knows, becomes a `null` among the types. Nothing of it is committed: it is GitHub's.

use crate::process::{capture, command, root, run};
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use std::path::Path;

/// GitHub's description (a new version may say something new: raise it on purpose).
const PACKAGE: &str = "@octokit/openapi@23.0.2";

/// SHA-512 of its archive.
const PACKAGE_SHA512: &str = "a55f0cecbf46636dc0c9b36f4e6a369f28e6a669edebedac444fedaabd192d070f4b8967c3bbb979918d9b044d9010b70fb8195db171e401f32d455105718386";

/// The file in the archive.
const DESCRIPTION: &str = "package/generated/api.github.com.json";

/// The schemas of webhooks, which [`crate::prepare`] has installed.
const WEBHOOKS: &str = "target/testbed/npm/node_modules/@octokit/webhooks-schemas/schema.json";

/// Every operation that the deployer asks for, and what tests ask the fake itself.
const OPERATIONS: &[(&str, &str)] = &[
    ("get", "/meta"),
    ("get", "/app"),
    ("get", "/rate_limit"),
    ("get", "/repos/{owner}/{repo}"),
    ("get", "/repos/{owner}/{repo}/installation"),
    ("post", "/app/installations/{installation_id}/access_tokens"),
    ("post", "/repos/{owner}/{repo}/statuses/{sha}"),
    ("get", "/repos/{owner}/{repo}/commits/{ref}/statuses"),
    ("get", "/repos/{owner}/{repo}/commits/{ref}/status"),
    ("get", "/repos/{owner}/{repo}/commits/{ref}/check-runs"),
    ("get", "/repos/{owner}/{repo}/deployments"),
    ("post", "/repos/{owner}/{repo}/deployments"),
    ("get", "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses"),
    ("post", "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses"),
    ("get", "/repos/{owner}/{repo}/hooks"),
    ("post", "/repos/{owner}/{repo}/hooks"),
    ("get", "/repos/{owner}/{repo}/hooks/{hook_id}"),
    ("delete", "/repos/{owner}/{repo}/hooks/{hook_id}"),
    ("patch", "/repos/{owner}/{repo}/hooks/{hook_id}/config"),
    ("post", "/repos/{owner}/{repo}/hooks/{hook_id}/pings"),
    ("post", "/repos/{owner}/{repo}/hooks/{hook_id}/tests"),
    ("get", "/repos/{owner}/{repo}/hooks/{hook_id}/deliveries"),
    ("get", "/repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}"),
    ("post", "/repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}/attempts"),
];

/// Every event whose payloads the tests make.
const EVENTS: &[(&str, &str)] =
    &[("push", "push$event"), ("ping", "ping$event"), ("check_suite", "check_suite$completed")];

/// Fetches the description where it is missing or of another version, and writes what is kept of it.
pub fn prepare() -> Result<()> {
    let directory = root().join("target/testbed/openapi");
    let marker = directory.join("installed");
    // The marker is written last, and holds everything that decides what is kept.
    let wanted = format!("{PACKAGE}\n{OPERATIONS:?}\n{EVENTS:?}\n");
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let description = directory.join(DESCRIPTION);
    fetch(&directory)?;
    let kept = extract(&read(&description)?, &read(&root().join(WEBHOOKS))?)?;
    let file = directory.join("github.json");
    std::fs::write(&file, kept.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    std::fs::remove_dir_all(directory.join("package"))?;
    std::fs::write(&marker, wanted).with_context(|| format!("cannot write {}", marker.display()))
}

/// Fetches the archive and takes the one file out of it.
fn fetch(directory: &Path) -> Result<()> {
    let mut pack = command("npm");
    run(pack.args(["pack", "--silent", "--pack-destination"]).arg(directory).arg(PACKAGE))?;
    let (_, version) = PACKAGE.rsplit_once('@').expect("the package is named with its version");
    let archive = directory.join(format!("octokit-openapi-{version}.tgz"));
    let digest = capture(command("sha512sum").arg(&archive))?;
    if !digest.starts_with(PACKAGE_SHA512) {
        bail!("{} is not the archive that was expected: {digest}", archive.display());
    }
    run(command("tar").arg("-xzf").arg(&archive).arg("-C").arg(directory).arg(DESCRIPTION))?;
    std::fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))
}

fn read(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))
}

/// What the fake needs: operations, with parameters and answers in place, and the schemas that they refer to.
fn extract(description: &Value, webhooks: &Value) -> Result<Value> {
    let mut operations = Vec::new();
    for &(method, path) in OPERATIONS {
        let found = &description["paths"][path][method];
        let operation = found.as_object().with_context(|| format!("GitHub describes no {method} {path}"))?;
        operations.push(reduced(description, method, path, operation));
    }
    let mut operations = Value::Array(operations);
    without_nullable(&mut operations);
    let mut schemas = Map::new();
    collect(description, "#/components/schemas/", &operations, &mut schemas);
    let events: Map<String, Value> = EVENTS
        .iter()
        .map(|&(event, definition)| {
            (event.to_owned(), json!({ "$ref": format!("#/definitions/{definition}") }))
        })
        .collect();
    let events = Value::Object(events);
    let mut definitions = Map::new();
    collect(webhooks, "#/definitions/", &events, &mut definitions);
    Ok(json!({
        "operations": operations,
        "events": events,
        "components": { "schemas": schemas },
        "definitions": definitions,
    }))
}

/// An operation as the fake asks: parameters, the body's schema, the schema of each answer.
fn reduced(description: &Value, method: &str, path: &str, operation: &Map<String, Value>) -> Value {
    let empty = Vec::new();
    let parameters = operation.get("parameters").and_then(Value::as_array).unwrap_or(&empty);
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|parameter| {
            let parameter = resolved(description, parameter);
            json!({ "name": parameter["name"], "in": parameter["in"],
                "required": parameter["required"] == true, "schema": parameter["schema"] })
        })
        .collect();
    let body = operation.get("requestBody").map(|body| resolved(description, body));
    let responses = operation.get("responses").and_then(Value::as_object).into_iter().flatten();
    let responses: Map<String, Value> = responses
        .map(|(status, response)| (status.clone(), schema_of(resolved(description, response))))
        .collect();
    json!({
        "method": method.to_uppercase(),
        "path": path,
        "parameters": parameters,
        "body_required": body.is_some_and(|body| body["required"] == true),
        "body": body.map_or(Value::Null, schema_of),
        "responses": responses,
    })
}

/// The schema of a body in JSON; null where it has none.
fn schema_of(body: &Value) -> Value {
    body["content"]["application/json"]["schema"].clone()
}

/// What a reference refers to.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let reference = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    reference.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

/// Everything below `prefix` that `value` refers to, and what that refers to.
fn collect(document: &Value, prefix: &str, value: &Value, found: &mut Map<String, Value>) {
    match value {
        Value::Object(fields) => {
            let reference = fields.get("$ref").and_then(Value::as_str);
            if let Some(name) = reference.and_then(|reference| reference.strip_prefix(prefix))
                && !found.contains_key(name)
            {
                let mut schema = resolved(document, value).clone();
                without_nullable(&mut schema);
                // Before what it refers to, which may be itself.
                found.insert(name.to_owned(), schema.clone());
                collect(document, prefix, &schema, found);
            }
            fields.values().for_each(|field| collect(document, prefix, field, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(document, prefix, value, found)),
        _ => {}
    }
}

/// `nullable: true` becomes a `null` that is allowed too. What only explains is left out.
fn without_nullable(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for explanation in ["examples", "example", "description"] {
                // A property may have such a name: then it is a schema, or has one.
                if fields.get(explanation).is_some_and(|found| !is_schema(found)) {
                    fields.remove(explanation);
                }
            }
            fields.values_mut().for_each(without_nullable);
            if fields.remove("nullable") == Some(Value::Bool(true)) {
                let schema = std::mem::take(fields);
                fields.insert("anyOf".into(), json!([schema, { "type": "null" }]));
            }
        }
        Value::Array(values) => values.iter_mut().for_each(without_nullable),
        _ => {}
    }
}

fn is_schema(value: &Value) -> bool {
    ["type", "$ref", "anyOf", "oneOf", "allOf", "nullable"].iter().any(|key| value.get(key).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_null_is_said_as_json_schema_says_it() {
        let mut schema = json!({ "type": "object", "description": "text", "properties": {
            "description": { "type": "string", "nullable": true, "example": { "a": 1 } },
            "nested": { "nullable": false, "$ref": "#/x" },
        } });
        without_nullable(&mut schema);
        let expected = json!({ "type": "object", "properties": {
            "description": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
            "nested": { "$ref": "#/x" },
        } });
        assert_eq!(schema, expected);
    }

    #[test]
    fn references_are_followed_also_in_circles() {
        let document = json!({ "definitions": {
            "a": { "items": { "$ref": "#/definitions/b" } }, "b": { "not": { "$ref": "#/definitions/a" } }, "c": {},
        } });
        let mut found = Map::new();
        collect(&document, "#/definitions/", &json!({ "$ref": "#/definitions/a" }), &mut found);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b"]);
    }
}
