//! docs/reference/configuration.schema.json: JSON Schema (draft 2020-12) for editors.
//!
//! Strict about names and types. It asks for no key: a layer need not be whole, only all of them together.

use crate::config::keys::{Default, Key, KeyKind, Section};
use crate::config::recipe::Reference;
use serde_json::{Map, Value, json};

/// The schema of one layer.
pub fn json_schema(reference: &Reference) -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "durhack-deployer",
    });
    merge(&mut schema, of_section(reference.root));
    schema
}

fn merge(schema: &mut Value, further: Value) {
    if let (Value::Object(schema), Value::Object(further)) = (schema, further) {
        schema.extend(further);
    }
}

fn of_section(section: &Section) -> Value {
    let mut properties: Map<String, Value> = Map::new();
    for key in section.keys {
        let own = of_key(key);
        match properties.get_mut(key.name) {
            // Which of several recipes' keys of one name is meant, the recipe decides.
            Some(first) => *first = json!({ "anyOf": [first.take(), own] }),
            None => drop(properties.insert(key.name.to_owned(), own)),
        }
    }
    json!({
        "type": "object",
        "description": section.meaning,
        "additionalProperties": false,
        "properties": properties,
    })
}

fn of_key(key: &Key) -> Value {
    let mut schema = of_kind(&key.kind);
    let mut description = key.meaning.to_owned();
    if let Default::Derived(words) = key.default {
        description = format!("{description} Default: {words}.");
    }
    merge(&mut schema, json!({ "description": description }));
    if let Default::Value(text) = key.default
        && let Some(node) = crate::config::reading::raw::parse_default(text)
    {
        merge(&mut schema, json!({ "default": node.value.to_json() }));
    }
    schema
}

fn of_kind(kind: &KeyKind) -> Value {
    match kind {
        KeyKind::Boolean => json!({ "type": "boolean" }),
        KeyKind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        KeyKind::Text => json!({ "type": "string" }),
        KeyKind::Secret | KeyKind::Path => json!({ "type": "string", "minLength": 1 }),
        KeyKind::Duration => json!({ "anyOf": [
            { "type": "string", "pattern": "^\\s*([0-9]+(ms|s|m|min|h|d|w)\\s*)+$" },
            { "type": "integer", "minimum": 1 },
        ]}),
        KeyKind::Size => json!({ "anyOf": [
            { "type": "string", "pattern": "^\\s*[0-9]+\\s*([kKMGT]?B|[KMGT]iB)\\s*$" },
            { "type": "integer", "minimum": 1 },
        ]}),
        KeyKind::Choice(words) => json!({ "enum": words }),
        KeyKind::SourceNetworks => json!({ "anyOf": [
            { "enum": ["any", "github"] },
            { "type": "array", "minItems": 1, "items": { "type": "string" } },
        ]}),
        KeyKind::List(element) => json!({ "type": "array", "items": of_kind(element) }),
        KeyKind::Variables => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
            "additionalProperties": { "type": "string" },
        }),
        KeyKind::Headers => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" },
            "additionalProperties": { "type": "string" },
        }),
        KeyKind::Table(section) => of_section(section),
        KeyKind::Named(_, section) => {
            json!({ "type": "object", "additionalProperties": of_section(section) })
        }
        KeyKind::Tables(section) => json!({ "type": "array", "items": of_section(section) }),
        KeyKind::Commands(section) => json!({ "anyOf": [
            { "type": "string", "minLength": 1 },
            { "type": "array", "items": { "type": "string" } },
            { "type": "array", "items": { "anyOf": [
                { "type": "array", "minItems": 1, "items": { "type": "string" } },
                of_section(section),
            ]}},
        ]}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_closed_and_every_key_is_in_it() {
        let schema = json_schema(&crate::plan::recipes::REFERENCE);
        assert_eq!(schema["additionalProperties"], false);
        let deployment = &schema["properties"]["deployments"]["additionalProperties"];
        assert_eq!(deployment["additionalProperties"], false);
        assert_eq!(deployment["properties"]["keep_releases"]["default"], 5);
        assert_eq!(deployment["properties"]["queue"]["enum"], json!(["latest", "all"]));
        assert_eq!(schema["properties"]["listen"]["properties"]["port"]["maximum"], 65535);
    }
}
