//! `user = "web"`: not only what makes a release runs as that user, but everything that a deployment runs, PM2 included.

use super::Host;
use crate::support::machine::Machine;
use crate::support::wait;
use std::collections::BTreeSet;

/// Every command of the deployment calls it, and says as whom it is run. The migration leaves a program behind, and the switch may be made to
/// last.
const SAY: &str = r#"
echo "says $1: $(id -un) $HOME $USER $LOGNAME run=${DEPLOYER_RUN:+known}"
if test "$1" = migrate; then setsid sleep 4321 > /dev/null 2>&1 & fi
if test "$1" = switch; then
    if test -e hang -a ! -e /var/www/site/shared/uploads/go; then
        touch /var/www/site/shared/uploads/hanging
        sleep 1234
    fi
fi
if test "$1" = health -a -e fail; then exit 1; fi
exit 0
"#;

/// What the operator's PATH finds first, and the deployer's own tools must not.
const HIJACKER: &str = r#"#!/bin/sh
id -un >> /var/www/site/shared/uploads/hijacked
exec /usr/bin/systemctl "$@"
"#;

const DEPLOYMENT: &str = r#"
source_networks = ["140.82.112.0/20"]
runs = { environment_passed = ["SUDO_UID"], drain_timeout = "1s" }
[deployments.site]
user = "web"
repository = "acme/site"
clone_url = "file:///srv/git/site"
branch = "main"
path = "/var/www/site"
recipe = "systemd"
units = ["site.service"]
shared_dirs = ["uploads"]
environment = { PATH = "/var/www/site/current/bin:/usr/bin:/bin" }
steps = [
    { phase = "install", name = "install", shell = "sh say.sh install" },
    { phase = "build", name = "build", shell = "sh say.sh build" },
    { phase = "migrate", name = "migrate", shell = "sh say.sh migrate", undo = ["sh", "say.sh", "migrate-undo"] },
    { phase = "switch", name = "switch", shell = "sh say.sh switch", undo = ["sh", "say.sh", "switch-undo"] },
    { phase = "verify", name = "verify", shell = "sh say.sh verify" },
    { phase = "clean", name = "clean", shell = "sh say.sh clean" },
]
health = [{ command = ["sh", "say.sh", "health"], attempts = 1 }]
[deployments.site.hooks]
on_failure = [{ shell = "sh say.sh on-failure" }]
after_fetch = [{ shell = "sh say.sh after-fetch" }]
before_build = [{ shell = "sh say.sh before-build" }]
before_switch = [{ shell = "sh say.sh before-switch" }]
after_switch = [{ shell = "sh say.sh after-switch" }]
after_verify = [{ shell = "sh say.sh after-verify" }]
"#;

/// What has said as whom it is run: all of it as `web`.
#[track_caller]
fn said(log: &str) -> BTreeSet<&str> {
    let said = log.lines().filter_map(|line| line.split_once("says ")?.1.split_once(": "));
    let said: Vec<(&str, &str)> = said.collect();
    for (who, as_whom) in &said {
        assert_eq!(*as_whom, "web /var/lib/durhack-deployer-steps/web web web run=known", "{who}\n{log}");
    }
    said.into_iter().map(|(who, _)| who).collect()
}

#[test]
fn everything_that_a_deployment_runs_runs_as_its_own_user() {
    let host = Host::set_up(Machine::boot());
    let machine = &host.machine;
    host.commit(&[("say.sh", SAY), ("bin/systemctl", HIJACKER)]);
    host.configure_with(DEPLOYMENT);
    host.types(&["durhack-deployer", "setup", "--yes"]);
    let doctor = machine.run(&["durhack-deployer", "doctor"]);
    assert!(doctor.contains("site.service runs as nobody, and not as web"), "{doctor}");

    let forward = [
        "after-fetch",
        "install",
        "before-build",
        "build",
        "migrate",
        "before-switch",
        "switch",
        "after-switch",
        "verify",
        "health",
        "after-verify",
        "clean",
    ];
    let mut known = BTreeSet::new();
    for page in ["one", "two"] {
        if page != "one" {
            host.commit(&[("page", page)]);
        }
        host.push();
        host.shows(page);
        let (state, log) = host.ended(&mut known);
        assert_eq!((state.as_str(), said(&log)), ("succeeded", BTreeSet::from(forward)), "{log}");
        assert!(log.contains("WARNING: site.service runs as nobody, and not as web"), "{log}");
        assert!(log.contains("1 process that the step left behind was ended (hint:"), "{log}");
    }
    assert!(!machine.try_run(&["pgrep", "-f", "sleep 4321"]).status.success(), "{}", machine.picture());

    // Root has said as whom the unit runs.
    machine.write("/etc/systemd/system/site.service.d/user.conf", "[Service]\nUser=web\n");
    machine.run(&["systemctl", "daemon-reload"]);
    let doctor = machine.run(&["durhack-deployer", "doctor"]);
    assert!(doctor.contains("units run as their deployments' users: 1"), "{doctor}");

    // What fails is undone, and told of, by the same user.
    host.commit(&[("page", "three"), ("fail", "")]);
    host.push();
    let (state, log) = host.ended(&mut known);
    assert_eq!(state, "failed", "{log}");
    let back = ["migrate-undo", "switch-undo", "on-failure"];
    assert!(said(&log).is_superset(&BTreeSet::from(back)), "{log}");
    assert!(!log.contains("WARNING"), "{log}");
    host.shows("two");

    // So is what a crash has interrupted.
    machine.run(&["rm", "/srv/git/site/fail"]);
    host.commit(&[("page", "four"), ("hang", "")]);
    host.push();
    let hanging = machine.path("/var/www/site/shared/uploads/hanging");
    wait::until("the switch to be under way", || hanging.exists().then_some(()));
    let worker = "durhack-deployer-worker.service";
    machine.write("/var/www/site/shared/uploads/go", "");
    machine.run(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", worker]);
    let (state, log) = host.ended(&mut known);
    assert_eq!(state, "undone", "{log}");
    assert!(said(&log).is_superset(&BTreeSet::from(["migrate-undo", "switch-undo"])), "{log}");
    host.shows("four");
    let (state, log) = host.ended(&mut known);
    assert_eq!((state.as_str(), said(&log)), ("succeeded", BTreeSet::from(forward)), "{log}");
    for left in ["sleep 1234", "sleep 4321"] {
        assert!(!machine.try_run(&["pgrep", "-f", left]).status.success(), "{}", machine.picture());
    }

    // A rollback too.
    host.operator(&["rollback", "site"]);
    let (state, log) = host.ended(&mut known);
    assert_eq!(state, "succeeded", "{log}");
    assert!(said(&log).is_superset(&BTreeSet::from(["switch", "verify", "health"])), "{log}");
    host.shows("two");

    let hijacked = machine.try_run(&["cat", "/var/www/site/shared/uploads/hijacked"]).stdout;
    assert!(!String::from_utf8_lossy(&hijacked).contains("durhack-deployer"), "a tool out of the release");
}

const PM2_DEPLOYMENT: &str = r#"
source_networks = ["140.82.112.0/20"]
runs = { environment_passed = ["SUDO_UID"], drain_timeout = "1s" }
[deployments.site]
user = "web"
repository = "acme/site"
clone_url = "file:///srv/git/site"
branch = "main"
path = "/var/www/site"
recipe = "pnpm-pm2"
scripts = []
migrate = []
env_file = "/etc/durhack-deployer/site.env"
health = [{ http = "http://127.0.0.1:8080/", attempts = 50, interval = "200ms" }]
"#;

const APPLICATION: &str = r#"
const { readFileSync } = require("node:fs");
const page = readFileSync(`${__dirname}/page`, "utf8");
if (page === "broken") {
  console.error(new Error("no such key"));
  setTimeout(() => process.exit(1), 100);
  return;
}
const { HOME, SECRET } = process.env;
const answer = `${page} ${require("node:os").userInfo().username} ${HOME} ${SECRET}`;
const server = require("node:http").createServer((request, response) => {
  response.setHeader("Connection", "close");
  response.end(answer);
});
server.listen(8080, "127.0.0.1", () => process.send("ready"));
process.on("SIGINT", () => server.close(() => setTimeout(() => process.exit(0), 500)));
"#;

/// Its dependencies are none: the machine has no network. The second application waits for its clock.
pub const PM2_FILES: [(&str, &str); 5] = [
    ("package.json", r#"{ "name": "site", "private": true }"#),
    (
        "pnpm-lock.yaml",
        "lockfileVersion: '9.0'\nsettings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: false\nimporters:\n  .: {}\n",
    ),
    (
        "ecosystem.config.js",
        "console.log(`evaluated by ${require('node:os').userInfo().username}`);\nmodule.exports = { apps: [{ name: 'site', script: 'main.js', exec_mode: 'cluster', instances: 1, wait_ready: true, env: { SECRET: process.env.SECRET } }, { name: 'job', script: 'job.js', cron_restart: '0 0 1 1 *', autorestart: false }] };\n",
    ),
    ("main.js", APPLICATION),
    ("job.js", "process.exit(0);\n"),
];

const PM2_UNIT: &str = "durhack-deployer-pm2@web.service";

fn page(version: &str) -> String {
    format!("{version} web /var/lib/durhack-deployer-steps/web a-secret-of-the-site")
}

/// Process ids of PM2's daemon and of the application, by name; all of them in PM2's unit, and `web`'s.
#[track_caller]
fn kept(host: &Host) -> (String, String, String) {
    let machine = &host.machine;
    let home = "/var/lib/durhack-deployer-steps/web";
    let list = ["runuser", "-u", "web", "--", "env", &format!("HOME={home}"), "pm2", "jlist"];
    let printed = machine.run(&list);
    let list = printed.lines().rfind(|line| line.starts_with('[')).expect("jlist prints a list");
    let list: Vec<serde_json::Value> = serde_json::from_str(list).expect("of JSON");
    let of = |name: &str| list.iter().find(|process| process["name"] == name).expect("it is registered");
    let daemon = machine.run(&["cat", &format!("{home}/.pm2/pm2.pid")]);
    let site = of("site")["pid"].to_string();
    let job = of("job")["pm2_env"]["status"].as_str().unwrap_or_default().to_owned();
    assert_eq!(machine.property(PM2_UNIT, "MainPID"), daemon);
    for pid in [&daemon, &site] {
        let cgroup = machine.run(&["cat", &format!("/proc/{pid}/cgroup")]);
        assert!(cgroup.contains(PM2_UNIT), "{cgroup}");
        assert_eq!(machine.run(&["ps", "-o", "user=", "-p", pid]), "web");
    }
    let deployers = machine.try_run(&["pgrep", "-a", "-u", "durhack-deployer", "-f", "node|pm2|PM2"]);
    assert!(!deployers.status.success(), "{}", String::from_utf8_lossy(&deployers.stdout));
    (daemon, site, job)
}

#[test]
fn pm2_and_what_it_keeps_are_the_deployments_own_users() {
    let host = Host::set_up(Machine::boot());
    let machine = &host.machine;
    host.install_pm2();
    host.commit(&PM2_FILES);
    machine.write("/etc/durhack-deployer/site.env", "SECRET=a-secret-of-the-site\n");
    machine.run(&["chown", "root:durhack-deployer", "/etc/durhack-deployer/site.env"]);
    machine.run(&["chmod", "640", "/etc/durhack-deployer/site.env"]);
    host.configure_with(PM2_DEPLOYMENT);
    let made = host.types(&["durhack-deployer", "setup", "--yes"]);
    for what in [format!("start {PM2_UNIT} at every boot"), format!("allow the privileged helper {PM2_UNIT}")]
    {
        assert!(made.contains(&what), "{made}");
    }
    assert!(machine.run(&["durhack-deployer", "setup", "--dry-run"]).contains("nothing to do"));

    let mut known = BTreeSet::new();
    host.push();
    let (state, log) = host.ended(&mut known);
    assert_eq!(state, "succeeded", "{log}");
    host.shows(&page("one"));
    assert!(log.contains("evaluated by web") && !log.contains("a-secret-of-the-site"), "{log}");
    let (daemon, site, job) = kept(&host);
    assert_eq!(job, "stopped", "registered, and not started");

    // It outlives the deployer and its steps.
    machine.run(&["systemctl", "restart", "durhack-deployer-worker.service"]);
    machine.run(&["systemctl", "stop", "durhack-deployer-steps@web.service"]);
    assert_eq!(kept(&host), (daemon.clone(), site.clone(), job.clone()));
    host.commit(&[("page", "two")]);
    host.push();
    host.shows(&page("two"));
    assert_eq!(host.ended(&mut known).0, "succeeded");
    let (same, other, _) = kept(&host);
    assert!(same == daemon && other != site, "reloaded, by the same daemon");

    // As at a boot: the release that is live comes back, without the deployer.
    machine.run(&["systemctl", "restart", PM2_UNIT]);
    host.shows(&page("two"));
    let (again, _, job) = kept(&host);
    assert!(again != daemon && job == "stopped", "{job}");

    // What does not stay up says why, and is undone.
    host.commit(&[("page", "broken")]);
    host.push();
    let (state, log) = host.ended(&mut known);
    assert!(state == "failed" && log.contains("no such key"), "{log}");
    host.shows(&page("two"));
    kept(&host);

    // A rollback finds no daemon, and has it started.
    machine.run(&["systemctl", "stop", PM2_UNIT]);
    host.operator(&["rollback", "site"]);
    assert_eq!(host.ended(&mut known).0, "succeeded");
    host.shows(&page("one"));
    kept(&host);
    let doctor = machine.run(&["durhack-deployer", "doctor"]);
    assert!(doctor.contains("PM2 runs, and knows what to start after a boot"), "{doctor}");
    assert_eq!(
        machine.run(&["stat", "-c", "%U %a", "/var/lib/durhack-deployer-steps/web"]),
        "web 700",
        "nobody else's"
    );

    // A pipe in the place of PM2's file stops this user's PM2, and nothing of systemd.
    let pm2_file = "/var/lib/durhack-deployer-steps/web/.pm2/pm2.pid";
    let pid = machine.property(PM2_UNIT, "MainPID");
    for words in [&["rm", pm2_file][..], &["mkfifo", pm2_file], &["kill", "-KILL", &pid]] {
        machine.run(&[&["runuser", "-u", "web", "--"], words].concat());
    }
    wait::until_told("systemd to see that", || (machine.property(PM2_UNIT, "MainPID") != pid).then_some(()));
    machine.run(&["systemctl", "restart", "ssh.service"]);
    machine.run(&["rm", pm2_file]);
    machine.run(&["systemctl", "restart", PM2_UNIT]);
    host.shows(&page("one"));
    kept(&host);
}
