//! A reboot of a machine with one deployment per recipe: what is not started at boot is named before and after, with what mends it; and when that
//! was done, everything answers again without a hand.

use super::systemd::SERVER;
use crate::support::machine::{Machine, Sources};
use crate::support::servers::testbed;
use crate::support::wait;
use serde_json::Value;

const DEPLOYER: &str = "[Service]
Type=notify
User=root
ExecStart=/usr/local/bin/durhack-deployer serve
[Install]
WantedBy=multi-user.target
";

const CONFIGURATION: &str = r#"
webhook_secret_token = "a-secret-of-more-than-thirty-two-bytes-for-tests"
source_networks = "any"
state_directory = "/var/lib/durhack-deployer"
listen.port = 3400
privileges = "direct"
reconcile.interval = "1s"
[deployments.site]
repository = "acme/site"
branch = "main"
clone_url = "file:///srv/git/site"
path = "/srv/site"
enabled = true
recipe = "systemd"
units = ["site.service"]
health = [{ http = "http://127.0.0.1:8080/", attempts = 20, interval = "200ms" }]
[deployments.app]
repository = "acme/app"
branch = "main"
clone_url = "file:///srv/git/app"
path = "/srv/app"
enabled = true
recipe = "pnpm-pm2"
scripts = []
migrate = []
health = [{ http = "http://127.0.0.1:8081/", attempts = 20, interval = "200ms" }]
[deployments.tickets]
repository = "acme/tickets"
branch = "main"
clone_url = "file:///srv/git/tickets"
path = "/srv/tickets"
enabled = true
recipe = "uv-uwsgi"
uwsgi_config_path = "/etc/uwsgi/vassals/tickets.ini"
python = "/usr/bin/python3"
health = [{ http = "http://127.0.0.1:8082/", attempts = 20, interval = "200ms" }]
[deployments.files]
repository = "acme/files"
branch = "main"
clone_url = "file:///srv/git/files"
path = "/srv/files"
enabled = true
recipe = "go-static"
client_build = ["cp", "-r", "pages", "{output}"]
health = [{ http = "http://127.0.0.1:8083/", attempts = 20, interval = "200ms" }]
[deployments.sites]
repository = "acme/sites"
branch = "main"
clone_url = "file:///srv/git/sites"
path = "/srv/sites"
enabled = true
recipe = "nginx-sites"
sites = [{ rule = "include", select = ["*"] }]
"#;

const SITE: &str =
    "server { listen 127.0.0.1:8083; server_name files.test; root /srv/files/current/client/build; }\n";

const VASSAL: &str = "[uwsgi]
plugin = python3
master = true
processes = 1
need-app = true
chdir = /srv/tickets/current
virtualenv = /srv/tickets/current/.venv
module = app
http-socket = 127.0.0.1:8082
";

const EMPEROR: &str = "[Service]
ExecStart=/usr/bin/uwsgi --emperor-freq 1 --emperor /etc/uwsgi/vassals
KillSignal=SIGINT
[Install]
WantedBy=multi-user.target
";

const APPLICATION: &str = r#"
const server = require("node:http").createServer((request, response) => {
  response.setHeader("Connection", "close");
  response.end("app");
});
server.listen(8081, "127.0.0.1", () => process.send("ready"));
process.on("SIGINT", () => server.close(() => process.exit(0)));
"#;

const PNPM_LOCK: &str = "lockfileVersion: '9.0'\nsettings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: false\nimporters:\n  .: {}\n";

const PROJECT: &str = "[project]\nname = \"tickets\"\nversion = \"0\"\nrequires-python = \">=3.11\"\ndependencies = []\n[tool.uv]\npackage = false\n";

const UV_LOCK: &str = "version = 1\nrequires-python = \">=3.11\"\n\n[[package]]\nname = \"tickets\"\nversion = \"0\"\nsource = { virtual = \".\" }\n";

/// What each deployment answers, and where.
const PAGES: [(&str, &str, &str); 4] = [
    ("site", "http://127.0.0.1:8080/", "site"),
    ("app", "http://127.0.0.1:8081/", "app"),
    ("tickets", "http://127.0.0.1:8082/", "tickets"),
    ("files", "http://127.0.0.1:8083/", "files"),
];

#[track_caller]
fn set_up(machine: &Machine) {
    machine.install(&testbed("pip/bin/uv"), "/usr/local/bin/uv");
    machine.install_directory(&testbed("npm/node_modules"), "/opt/node_modules");
    for program in ["pm2", "pnpm"] {
        let installed = format!("/opt/node_modules/.bin/{program}");
        machine.run(&["ln", "-s", &installed, &format!("/usr/local/bin/{program}")]);
    }
    machine.write("/etc/durhack-deployer/default.toml", CONFIGURATION);
    machine.run(&["chmod", "600", "/etc/durhack-deployer/default.toml"]);
    machine.run(&[
        "sed",
        "-i",
        "s|include /etc/nginx/conf.d/|include /etc/nginx/conf.d/*.nginxconf; &|",
        "/etc/nginx/nginx.conf",
    ]);
    machine.unit("durhack-deployer.service", DEPLOYER);
    machine.unit("emperor.service", EMPEROR);
    // As people write it who have never rebooted.
    machine.unit(
        "site.service",
        "[Service]\nExecStart=/usr/bin/python3 server.py\nWorkingDirectory=/srv/site/current\n",
    );
    machine.write("/etc/uwsgi/vassals/tickets.ini", VASSAL);
    Sources::new(machine, "site").commit(&[("server.py", SERVER), ("page", "site")]);
    Sources::new(machine, "app").commit(&[
        ("package.json", r#"{ "name": "app", "private": true }"#),
        ("pnpm-lock.yaml", PNPM_LOCK),
        (
            "ecosystem.config.js",
            "module.exports = { apps: [{ name: 'app', script: 'main.js', exec_mode: 'cluster', instances: 1, wait_ready: true }] };\n",
        ),
        ("main.js", APPLICATION),
    ]);
    Sources::new(machine, "tickets").commit(&[
        ("pyproject.toml", PROJECT),
        ("uv.lock", UV_LOCK),
        (
            "app.py",
            "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'tickets']\n",
        ),
    ]);
    Sources::new(machine, "files").commit(&[
        ("client/package.json", r#"{ "name": "client", "private": true }"#),
        ("client/pnpm-lock.yaml", PNPM_LOCK),
        ("client/pages/index.html", "files"),
    ]);
    Sources::new(machine, "sites").commit(&[("production/[files.test].conf", SITE)]);
    machine.run(&["systemctl", "enable", "--now", "durhack-deployer", "emperor", "nginx"]);
    for slug in ["sites", "site", "app", "tickets", "files"] {
        // Reconcile may have been first.
        machine.run(&["durhack-deployer", "deploy", slug]);
    }
}

/// What `status --json` says, and whether its exit code says that all is well.
#[track_caller]
fn status(machine: &Machine) -> (Value, bool) {
    let output = machine.try_run(&["durhack-deployer", "status", "--json"]);
    let status = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}\n{}", String::from_utf8_lossy(&output.stderr), machine.picture())
    });
    (status, output.status.success())
}

/// The codes and hints of what was seen of a deployment.
fn seen(status: &Value, slug: &str) -> Vec<(String, String)> {
    let deployments = status["deployments"].as_array().expect("a list");
    let deployment =
        deployments.iter().find(|deployment| deployment["slug"] == slug).expect("it is configured");
    let findings = deployment["observed"]["findings"].as_array().cloned().unwrap_or_default();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    findings.iter().map(|finding| (text(finding, "code"), text(finding, "mend"))).collect()
}

/// Waits until this is seen of a deployment, and gives what mends it.
#[track_caller]
fn mend_of(machine: &Machine, slug: &str, code: &str) -> String {
    wait::until_told(&format!("{code} of {slug} to be seen"), || {
        let (status, is_well) = status(machine);
        let found = seen(&status, slug).into_iter().find(|(found, _)| found == code)?;
        assert!(!is_well, "the exit code says so: {status:#}");
        Some(found.1)
    })
}

#[track_caller]
fn is_well(machine: &Machine) {
    wait::until_told("status to say that all is well", || {
        let (status, is_well) = status(machine);
        let deployments = status["deployments"].as_array().expect("a list");
        // Looked at since the start, and nothing found.
        let looked =
            deployments.iter().all(|deployment| deployment["observed"]["findings"] == Value::Array(vec![]));
        (is_well && looked).then_some(())
    });
    for (slug, url, page) in PAGES {
        assert_eq!(machine.get(url).as_deref(), Some(page), "{slug}\n{}", machine.picture());
    }
}

#[test]
fn what_is_not_started_at_boot_is_named_and_what_is_answers_again_without_a_hand() {
    let mut machine = Machine::boot_lasting();
    set_up(&machine);
    for (slug, url, page) in PAGES {
        assert_eq!(machine.get(url).as_deref(), Some(page), "{slug}");
    }
    // Before: it runs, and is named with its command.
    let mend = mend_of(&machine, "site", "unit-not-enabled");
    assert!(
        mend.contains("`WantedBy=multi-user.target`") && mend.contains("systemctl enable site.service"),
        "{mend}"
    );
    let mend = mend_of(&machine, "app", "not-at-boot");
    assert!(mend.contains("pm2 startup systemd -u root --hp /root"), "{mend}");

    machine.reboot();
    // After: it is down, and status, doctor and the journal say so.
    mend_of(&machine, "site", "unit-down");
    mend_of(&machine, "app", "processes-down");
    let report = machine.try_run(&["durhack-deployer", "doctor"]);
    assert!(!report.status.success());
    assert!(String::from_utf8_lossy(&report.stdout).contains("site.service does not run"));
    let journal = ["journalctl", "--no-pager", "-b", "-p", "warning", "-u", "durhack-deployer", "-o", "cat"];
    let warned = machine.run(&journal);
    assert!(warned.contains("site.service does not run") && !warned.contains("INFO"), "{warned}");

    // As they say.
    machine.unit(
        "site.service",
        "[Service]\nExecStart=/usr/bin/python3 server.py\nWorkingDirectory=/srv/site/current\n[Install]\nWantedBy=multi-user.target\n",
    );
    machine.run(&["systemctl", "enable", "site.service"]);
    machine.run(&["systemctl", "restart", "site.service"]);
    machine.run(&["pm2", "startup", "systemd", "-u", "root", "--hp", "/root"]);
    machine.run(&["durhack-deployer", "deploy", "app", "--force"]);
    is_well(&machine);

    machine.reboot();
    for (_, url, page) in PAGES {
        wait::until_told("all of it to answer", || machine.get(url).filter(|answered| answered == page));
    }
    is_well(&machine);

    machine.run(&["systemctl", "stop", "nginx"]);
    for slug in ["files", "sites"] {
        let mend = mend_of(&machine, slug, "nginx-down");
        assert!(mend.contains("systemctl start nginx"), "{mend}");
    }
    machine.run(&["systemctl", "start", "nginx"]);
    is_well(&machine);
}
