//! `move-user` of a deployment that runs under PM2, on a host on which an earlier version deployed as the deployer: what is live serves while the
//! new user's release is built, and comes back after a boot, under the new user and, moved back, under the old one.

use super::Host;
use super::own_user_runs::PM2_FILES;
use crate::support::machine::Machine;
use crate::support::wait;
use std::collections::BTreeSet;

/// As `pm2 startup` makes it, but for a first start with nothing to be resurrected.
const UNIT: &str = r#"[Unit]
Description=PM2 process manager
After=network.target

[Service]
Type=forking
User=durhack-deployer
Environment=PM2_HOME=/var/lib/durhack-deployer/.pm2
PIDFile=/var/lib/durhack-deployer/.pm2/pm2.pid
Restart=on-failure
ExecStart=/bin/sh -c 'if test -f "$PM2_HOME/dump.pm2"; then exec pm2 resurrect; else exec pm2 ping; fi'
ExecStop=/usr/local/bin/pm2 kill

[Install]
WantedBy=multi-user.target
"#;

const DEPLOYMENT: &str = r#"
source_networks = ["140.82.112.0/20"]
runs = { environment_passed = ["SUDO_UID"], drain_timeout = "1s" }
[deployments.site]
repository = "acme/site"
clone_url = "file:///srv/git/site"
branch = "main"
path = "/var/www/site"
recipe = "pnpm-pm2"
scripts = []
migrate = []
shared_dirs = ["gate"]
health = [{ http = "http://127.0.0.1:8080/", attempts = 50, interval = "200ms" }]
[deployments.site.hooks]
before_build = [{ shell = "sh gate.sh" }]
"#;

/// A build that waits, where it is asked to.
const GATE: &str = r#"
test -e gate/closed || exit 0
id -un > gate/building
while test -e gate/closed; do sleep 0.1; done
"#;

const OLD_HOME: &str = "/var/lib/durhack-deployer";
const NEW_HOME: &str = "/var/lib/durhack-deployer-steps/app-site";
const NEW_UNIT: &str = "durhack-deployer-pm2@app-site.service";

/// What the application answers: its page, as whom it runs, and that one's home.
fn page(version: &str, user: &str, home: &str) -> String {
    format!("{version} {user} {home} undefined")
}

/// The names of what a user's PM2 keeps now, and of what it has saved for the next boot.
fn kept(host: &Host, user: &str, home: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let names = |printed: &str| -> BTreeSet<String> {
        let list: serde_json::Value = serde_json::from_str(printed).expect("a list of JSON");
        let name = |process: &serde_json::Value| process["name"].as_str().expect("a name").to_owned();
        list.as_array().expect("a list").iter().map(name).collect()
    };
    let list = ["runuser", "-u", user, "--", "env", &format!("HOME={home}"), "pm2", "jlist"];
    let printed = host.machine.run(&list);
    let now = names(printed.lines().rfind(|line| line.starts_with('[')).expect("jlist prints a list"));
    (now, names(&host.machine.run(&["cat", &format!("{home}/.pm2/dump.pm2")])))
}

fn both() -> BTreeSet<String> {
    ["site", "job"].map(str::to_owned).into()
}

/// `move-user`, while the build is held up: the old user's application serves until that is over.
#[track_caller]
fn moves(host: &Host, more: &[&str], before: &str, builder: &str) {
    let machine = &host.machine;
    machine.run(&["sh", "-c", "rm -f /var/www/site/shared/gate/building"]);
    machine.write("/var/www/site/shared/gate/closed", "");
    let unit = format!("move-to-{builder}");
    let started = ["systemd-run", "--quiet", "--unit", &unit, "--property=RemainAfterExit=yes", "--"];
    let command = ["durhack-deployer", "move-user", "site", "--yes"];
    machine.run(&[&started[..], &command, more].concat());
    let state = || machine.property(&format!("{unit}.service"), "SubState");
    let said = || machine.run(&["journalctl", "--no-pager", "-o", "cat", "-u", &unit]);
    let building = wait::until_told("the build to be under way", || {
        assert_eq!(state(), "running", "{}", said());
        let building = fs_err::read_to_string(machine.path("/var/www/site/shared/gate/building")).ok()?;
        Some(building).filter(|building| !building.is_empty())
    });
    assert_eq!(building.trim(), builder);
    host.shows(before);
    machine.run(&["rm", "/var/www/site/shared/gate/closed"]);
    wait::until_told("move-user to end", || (state() != "running").then_some(()));
    println!("{}", said());
    assert_eq!(state(), "exited", "{}", said());
}

#[test]
fn a_running_pm2_application_is_moved_to_its_own_users_pm2_and_back() {
    let mut host = Host::set_up(Machine::boot_lasting());
    host.install_pm2();
    host.commit(&PM2_FILES);
    host.commit(&[("gate.sh", GATE)]);
    // As an earlier version left it.
    host.machine.run(&["rm", "/etc/durhack-deployer/users.toml"]);
    host.machine.unit("pm2-durhack-deployer.service", UNIT);
    host.machine.run(&["systemctl", "enable", "--now", "pm2-durhack-deployer.service"]);
    host.configure_with(DEPLOYMENT);
    host.machine.run(&["install", "-d", "-o", "durhack-deployer", "-g", "durhack-deployer", "/var/www/site"]);
    host.machine.run(&["systemctl", "restart", "durhack-deployer-worker", "durhack-deployer-intake"]);
    let mut known = BTreeSet::new();
    host.push();
    assert_eq!(host.ended(&mut known).0, "succeeded");
    let old = page("one", "durhack-deployer", OLD_HOME);
    host.shows(&old);
    assert_eq!(kept(&host, "durhack-deployer", OLD_HOME), (both(), both()));
    host.types(&["durhack-deployer", "setup", "--yes"]);

    let new = page("one", "app-site", NEW_HOME);
    moves(&host, &[], &old, "app-site");
    host.shows(&new);
    assert_eq!(kept(&host, "app-site", NEW_HOME), (both(), both()));
    assert_eq!(kept(&host, "durhack-deployer", OLD_HOME), (BTreeSet::new(), BTreeSet::new()));
    assert_eq!(host.machine.property(NEW_UNIT, "UnitFileState"), "enabled");
    assert!(host.machine.run(&["durhack-deployer", "setup", "--dry-run"]).contains("nothing to do"));

    host.machine.reboot();
    host.shows(&new);
    assert_eq!(kept(&host, "app-site", NEW_HOME).0, both());
    assert_eq!(kept(&host, "durhack-deployer", OLD_HOME).0, BTreeSet::new());
    let pid = host.machine.property(NEW_UNIT, "MainPID");
    assert_eq!(host.machine.run(&["ps", "-o", "user=", "-p", &pid]), "app-site");

    // The next push finds everything in its place.
    host.commit(&[("page", "two")]);
    host.push();
    let new = page("two", "app-site", NEW_HOME);
    host.shows(&new);
    host.rests();

    moves(&host, &["--to", "durhack-deployer"], &new, "durhack-deployer");
    let old = page("two", "durhack-deployer", OLD_HOME);
    host.shows(&old);
    assert_eq!(kept(&host, "durhack-deployer", OLD_HOME), (both(), both()));
    let state = |property: &str| host.machine.property(NEW_UNIT, property);
    assert_eq!((state("ActiveState").as_str(), state("UnitFileState").as_str()), ("inactive", "disabled"));
    assert!(host.machine.run(&["durhack-deployer", "setup", "--dry-run"]).contains("nothing to do"));
    host.machine.reboot();
    host.shows(&old);
}
