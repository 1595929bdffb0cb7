//! PM2 where systemd keeps it: its daemon must not be the deployer's child in the eyes of systemd, or every application ends with the deployer.

use crate::support::machine::Machine;
use crate::support::servers::testbed;
use crate::support::service::{HOME, Service, USER};
use crate::support::wait;
use serde_json::Value;

const UNIT: &str = "pm2-durhack-deployer.service";

const APPLICATION: &str = r#"
const { readFileSync } = require("node:fs");
const version = readFileSync(`${__dirname}/version`, "utf8");
const server = require("node:http").createServer((request, response) => {
  response.setHeader("Connection", "close");
  response.end(version);
});
server.listen(8080, "127.0.0.1", () => process.send("ready"));
process.on("SIGINT", () => server.close(() => setTimeout(() => process.exit(0), 500)));
"#;

/// The application's files, but for its version. It has no dependencies: the machine has no network.
const FILES: [(&str, &str); 4] = [
    ("package.json", r#"{ "name": "site", "private": true }"#),
    (
        "pnpm-lock.yaml",
        "lockfileVersion: '9.0'\nsettings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: false\nimporters:\n  .: {}\n",
    ),
    (
        "ecosystem.config.js",
        "module.exports = { apps: [{ name: 'site', script: 'main.js', exec_mode: 'cluster', instances: 1, wait_ready: true }] };\n",
    ),
    ("main.js", APPLICATION),
];

const KEYS: &str = r#"
recipe = "pnpm-pm2"
scripts = []
migrate = []
health = [{ http = "http://127.0.0.1:8080/", attempts = 20, interval = "200ms" }]
"#;

/// A machine with pnpm and PM2, and a deployer (not started) that has this configuration of its host.
fn with_service(global: &str, test: impl FnOnce(&Service<'_>)) {
    let machine = Machine::boot();
    machine.install_directory(&testbed("npm/node_modules"), "/opt/node_modules");
    for program in ["pm2", "pnpm"] {
        let installed = format!("/opt/node_modules/.bin/{program}");
        machine.run(&["ln", "-s", &installed, &format!("/usr/local/bin/{program}")]);
    }
    let service = Service::install(&machine, global, KEYS);
    service.sources.commit(&FILES);
    commit(&service, "one");
    test(&service);
}

/// What lets the deployer start PM2's unit, and nothing else.
fn start_rule() -> String {
    format!("{USER} ALL=(root) NOPASSWD: /usr/bin/systemctl --no-ask-password start -- {UNIT}")
}

#[track_caller]
fn commit(service: &Service<'_>, version: &str) {
    service.sources.commit(&[("version", version)]);
}

fn answer(service: &Service<'_>) -> Option<String> {
    service.machine.get("http://127.0.0.1:8080/")
}

/// The process ids of PM2's daemon and of the application, which must both stand in the same unit; and that unit.
#[track_caller]
fn standing(service: &Service<'_>) -> (String, String, String) {
    let daemon = service.machine.run(&["cat", &format!("{HOME}/.pm2/pm2.pid")]);
    let (succeeded, printed) = service.as_user(&["pm2", "jlist"]);
    let list = printed.lines().rfind(|line| line.starts_with('[')).filter(|_| succeeded);
    let list: Vec<Value> = serde_json::from_str(list.expect("jlist prints a list")).expect("of JSON");
    let [process] = list.as_slice() else { panic!("one application: {printed}") };
    let application = process["pid"].to_string();
    let unit = service.unit_of(&daemon);
    assert_eq!(service.unit_of(&application), unit, "PM2's daemon and the application");
    (daemon, application, unit)
}

/// Restarts the deployer, which ends all that systemd counts as its own, and deploys again.
#[track_caller]
fn outlives_the_deployer_and_is_reloaded(service: &Service<'_>) {
    let before = standing(service);
    service.restart();
    assert_eq!((standing(service), answer(service).as_deref()), (before.clone(), Some("one")));
    commit(service, "two");
    service.deploys();
    let after = standing(service);
    assert_eq!(answer(service).as_deref(), Some("two"));
    assert_eq!((&after.0, &after.2), (&before.0, &before.2), "the daemon is the same, in the same place");
    assert_ne!(after.1, before.1, "the application was reloaded");
}

#[test]
fn the_unit_that_pm2_makes_is_started_and_holds_what_is_deployed() {
    with_service("privileges = \"sudo\"", |service| {
        let machine = service.machine;
        machine.write("/etc/sudoers.d/deployer", &format!("{}\n", start_rule()));
        machine.run(&["pm2", "startup", "systemd", "-u", USER, "--hp", HOME]);
        machine.run(&["systemctl", "daemon-reload"]);
        service.start();
        service.deploys();
        assert_eq!(answer(service).as_deref(), Some("one"));
        let (daemon, _, unit) = standing(service);
        assert_eq!((unit.as_str(), machine.property(UNIT, "MainPID")), (UNIT, daemon.clone()));
        assert_eq!(machine.property(UNIT, "ActiveState"), "active");
        outlives_the_deployer_and_is_reloaded(service);

        // As after a boot: what the deploy has saved comes back, as the release that is live.
        machine.run(&["systemctl", "restart", UNIT]);
        wait::until("what was saved to answer", || (answer(service)? == "two").then_some(()));
        let (again, _, unit) = standing(service);
        assert!(unit == UNIT && again != daemon, "{unit}, {again}");
        commit(service, "three");
        service.deploys();
        assert_eq!(answer(service).as_deref(), Some("three"));

        // A rollback finds no daemon, and waits for one before the link moves.
        machine.run(&["systemctl", "stop", UNIT]);
        let (succeeded, printed) = service.cli(&["rollback", "site"]);
        assert!(succeeded, "{printed}\n{}", service.log());
        assert_eq!((answer(service).as_deref(), standing(service).2.as_str()), (Some("two"), UNIT));
    });
}

#[test]
fn without_a_unit_the_users_own_service_manager_holds_it() {
    with_service("privileges = \"sudo\"", |service| {
        let machine = service.machine;
        service.start();
        // Nothing outside the deployer's service can be asked to start it, so nothing starts it there.
        let rule = format!("lacks the rule `{}`", start_rule());
        service.fails(&["cannot be started outside durhack-deployer.service", "enable-linger", &rule]);
        assert!(!machine.path(&format!("{HOME}/.pm2/pm2.pid")).exists());
        machine.run(&["loginctl", "enable-linger", USER]);
        service.deploys();
        let (_, _, unit) = standing(service);
        assert!(unit.starts_with("run-") && unit.ends_with(".service"), "{unit}");
        outlives_the_deployer_and_is_reloaded(service);
    });
}
