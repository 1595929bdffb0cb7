//! GitHub's own example payloads, from npm's `@octokit/webhooks-examples`; `cargo xtask test` installs them.

use serde_json::Value;
use std::path::Path;
use std::sync::OnceLock;

/// Where `cargo xtask test` puts them.
const FILE: &str =
    "../../target/testbed/npm/node_modules/@octokit/webhooks-examples/api.github.com/index.json";

/// Every example, as (event, payload), in the order of the package.
pub fn examples() -> &'static [(String, Value)] {
    // Megabytes of JSON, and every push of a test asks.
    static EXAMPLES: OnceLock<Vec<(String, Value)>> = OnceLock::new();
    EXAMPLES.get_or_init(read)
}

fn read() -> Vec<(String, Value)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let text = fs_err::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{error}\nhint: `cargo xtask test` installs GitHub's example payloads")
    });
    let events: Vec<Value> = serde_json::from_str(&text).expect("the package holds a JSON list");
    let mut examples = Vec::new();
    for event in &events {
        let name = event["name"].as_str().expect("each event has a name");
        for payload in event["examples"].as_array().expect("each event has examples") {
            examples.push((name.to_owned(), payload.clone()));
        }
    }
    examples
}

/// The first example of `event` for which `fits` holds.
pub fn example(event: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let found = examples().iter().find(|(name, payload)| name == event && fits(payload));
    found.unwrap_or_else(|| panic!("the package has no such {event}")).1.clone()
}
