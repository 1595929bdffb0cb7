//! GitHub and visitors, without a pause, whatever is done to a machine meanwhile: twenty signed pushes a second and fifty visits, all through
//! nginx, each over a connection of its own. None may fail.

use super::machine::Machine;
use super::wait;
use serde_json::{Value, json};

const TRAFFIC: &str = r#"
const { createHmac, randomUUID } = require("crypto"), fs = require("fs"), http = require("http");
const { secret, payload, host, page } = JSON.parse(fs.readFileSync("/srv/traffic.json"));
const guids = [], answers = {}, pages = {}, errors = [];
let open = 0;
function ask(options, body, done) {
    open++;
    const request = http.request({ agent: false, ...options });
    request.on("response", answer => {
        let text = "";
        answer.on("data", part => text += part).on("end", () => { open--; done(answer.statusCode, text); });
    });
    request.on("error", error => { errors.push(`${options.path} ${new Date().toISOString()}: ${error.message}`); open--; });
    request.end(body);
}
function push(payload, done) {
    const guid = randomUUID(), body = JSON.stringify({ ...payload, delivered: guid });
    const headers = {
        "Host": host, "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body), "Connection": "close",
        "X-GitHub-Event": "push", "X-GitHub-Delivery": guid,
        "X-Hub-Signature-256": "sha256=" + createHmac("sha256", secret).update(body).digest("hex"),
    };
    ask({ host: "127.0.0.1", port: 80, path: "/github-webhook", method: "POST", headers }, body, status => {
        answers[status] = (answers[status] ?? 0) + 1;
        guids.push(guid);
        done?.();
    });
}
const pushes = setInterval(() => push(payload), 50);
const visits = setInterval(() => ask({ host: "127.0.0.1", port: page, path: "/", headers: { Connection: "close" } }, "", (status, text) => {
    const seen = `${status} ${text}`;
    pages[seen] = (pages[seen] ?? 0) + 1;
}), 20);
setInterval(() => {
    if (fs.existsSync("/run/traffic.push")) {
        const payload = JSON.parse(fs.readFileSync("/run/traffic.push"));
        fs.renameSync("/run/traffic.push", "/run/traffic.pushing");
        push(payload, () => fs.rmSync("/run/traffic.pushing"));
    }
    if (!fs.existsSync("/run/traffic.stop")) return;
    clearInterval(pushes);
    clearInterval(visits);
    if (open > 0) return;
    fs.writeFileSync("/run/traffic.new", JSON.stringify({ guids, answers, pages, errors }));
    fs.renameSync("/run/traffic.new", "/run/traffic.result");
    process.exit(0);
}, 10);
"#;

pub struct Traffic<'m> {
    machine: &'m Machine,
}

/// What became of it.
#[derive(Debug)]
pub struct Seen {
    /// Of all pushes that were sent.
    pub guids: Vec<String>,
    /// How often each status was answered to a push.
    pub answers: Value,
    /// How often each page was seen.
    pub pages: Value,
    /// What was not answered.
    pub errors: Value,
}

impl<'m> Traffic<'m> {
    /// Begins: pushes with this payload for this name, and visits of the page on this port.
    pub fn start(machine: &'m Machine, secret: &str, host: &str, payload: &Value, page: u16) -> Self {
        let what = json!({ "secret": secret, "payload": payload, "host": host, "page": page });
        machine.write("/srv/traffic.json", &what.to_string());
        machine.write("/srv/traffic.js", TRAFFIC);
        machine.run(&["systemd-run", "--quiet", "--unit=traffic", "node", "/srv/traffic.js"]);
        Self { machine }
    }

    /// One push of something else among them; it has been answered when this returns.
    #[track_caller]
    pub fn push(&self, payload: &Value) {
        self.machine.write("/run/traffic.tmp", &payload.to_string());
        self.machine.run(&["mv", "/run/traffic.tmp", "/run/traffic.push"]);
        let is_there = |name: &str| self.machine.path(name).exists();
        wait::until("the push to be answered", || {
            (!is_there("/run/traffic.push") && !is_there("/run/traffic.pushing")).then_some(())
        });
    }

    #[track_caller]
    pub fn stop(self) -> Seen {
        self.machine.write("/run/traffic.stop", "");
        let file = self.machine.path("/run/traffic.result");
        let text = wait::until("everybody to be answered", || fs_err::read_to_string(&file).ok());
        let mut result: Value = serde_json::from_str(&text).expect("it is JSON");
        Seen {
            guids: serde_json::from_value(result["guids"].take()).expect("a list"),
            answers: result["answers"].take(),
            pages: result["pages"].take(),
            errors: result["errors"].take(),
        }
    }
}
