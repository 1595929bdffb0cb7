//! Pushes that come to a machine without a pause, whatever is done to its deployer meanwhile; every one must be accepted.

use super::machine::Machine;
use super::wait;
use serde_json::{Value, json};
use std::collections::HashSet;

/// A hundred signed pushes a second, each over a connection of its own and with a GUID of its own, until /run/pushes.stop is there. Then
/// what became of them is in /run/pushes.result.
const PUSHES: &str = r#"
const { createHmac, randomUUID } = require("crypto"), fs = require("fs"), http = require("http");
const { secret, payload, from } = JSON.parse(fs.readFileSync("/srv/pushes.json"));
const guids = [], answers = {}, errors = [];
let open = 0;
function push() {
    const guid = randomUUID(), body = JSON.stringify({ ...payload, delivered: guid });
    const headers = {
        "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body), "Connection": "close",
        "X-GitHub-Event": "push", "X-GitHub-Delivery": guid, "X-Forwarded-For": from,
        "X-Hub-Signature-256": "sha256=" + createHmac("sha256", secret).update(body).digest("hex"),
    };
    open++;
    const request = http.request({ host: "127.0.0.1", port: 3400, path: "/github-webhook", method: "POST", agent: false, headers });
    request.on("response", answer => {
        answers[answer.statusCode] = (answers[answer.statusCode] ?? 0) + 1;
        guids.push(guid);
        answer.resume().on("end", () => open--);
    });
    request.on("error", error => { errors.push(`${guid}: ${error.message}`); open--; });
    request.end(body);
}
const timer = setInterval(() => {
    if (!fs.existsSync("/run/pushes.stop")) return push();
    if (open > 0) return;
    clearInterval(timer);
    fs.writeFileSync("/run/pushes.new", JSON.stringify({ guids, answers, errors }));
    fs.renameSync("/run/pushes.new", "/run/pushes.result");
}, 10);
"#;

pub struct Pushes<'m> {
    machine: &'m Machine,
}

impl<'m> Pushes<'m> {
    /// Begins. Each has this payload and something of its own, and comes over a proxy from this address.
    pub fn start(machine: &'m Machine, secret: &str, from: &str, payload: &Value) -> Self {
        let what = json!({ "secret": secret, "from": from, "payload": payload });
        machine.write("/srv/pushes.json", &what.to_string());
        machine.write("/srv/pushes.js", PUSHES);
        // Of earlier ones.
        machine.run(&["rm", "-f", "/run/pushes.stop", "/run/pushes.result"]);
        machine.run(&["systemd-run", "--quiet", "--unit=pushes", "node", "/srv/pushes.js"]);
        Self { machine }
    }

    /// Ends. The GUIDs of all that were sent; every one was accepted.
    #[track_caller]
    pub fn stop(self) -> Vec<String> {
        self.machine.write("/run/pushes.stop", "");
        let file = self.machine.path("/run/pushes.result");
        let text = wait::until("every push to be answered", || fs_err::read_to_string(&file).ok());
        let result: Value = serde_json::from_str(&text).expect("it is JSON");
        let guids: Vec<String> = serde_json::from_value(result["guids"].clone()).expect("a list");
        assert_eq!(result["errors"], json!([]), "of {}: {}", guids.len(), self.machine.picture());
        assert_eq!(result["answers"], json!({ "202": guids.len() }));
        guids
    }
}

/// Waits until each of these deliveries has its verdict in what `deliveries --json -n LIMIT` prints.
#[track_caller]
pub fn wait_for_verdicts(guids: &[String], deliveries: impl Fn(&str) -> String) {
    let limit = (guids.len() * 2).to_string();
    wait::until("every push to have its verdict", || {
        let all: Vec<Value> = serde_json::from_str(&deliveries(&limit)).ok()?;
        let is_settled = |entry: &&Value| {
            let verdicts = entry["verdicts"].as_array().expect("a list");
            !verdicts.is_empty() && verdicts.iter().all(|verdict| verdict["code"] != "queued")
        };
        let settled = all.iter().filter(is_settled);
        let settled: HashSet<&str> = settled.filter_map(|entry| entry["delivery"]["id"].as_str()).collect();
        guids.iter().all(|guid| settled.contains(guid.as_str())).then_some(())
    });
}
