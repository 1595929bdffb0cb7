//! `privileges = "sudo"` with a real sudo: a user without rights, and rules for single calls with exact arguments.
//!
//! The rules are not written here: they are what a refused run says is lacking. So the test fails where a call and its rule differ, and
//! where a refusal does not say what to do.

use super::systemd::{SERVER, UNIT};
use crate::support::machine::{Machine, PRIVILEGED};
use crate::support::service::{Service, USER};
use std::collections::BTreeSet;

const GLOBAL: &str = "privileges = \"sudo\"";

/// The rules that the last run has said are lacking.
fn lacking(service: &Service<'_>) -> BTreeSet<String> {
    let log = service.log();
    let rules = log.split("sudoers lacks the rule `").skip(1);
    rules.map(|rest| rest.split('`').next().expect("a part").to_owned()).collect()
}

/// Lets the user make these calls.
#[track_caller]
fn allow(service: &Service<'_>, rules: &BTreeSet<String>) {
    assert!(!rules.is_empty(), "{}", service.log());
    let file = "/etc/sudoers.d/deployer";
    let path = service.machine.path(file);
    let before = fs_err::read_to_string(&path).unwrap_or_default();
    let after = rules.iter().fold(before, |text, rule| text + rule + "\n");
    service.machine.write(file, &after);
    service.machine.run(&["visudo", "--check", "--file", file]);
}

fn rule(command: &str) -> String {
    format!("{USER} ALL=(root) NOPASSWD: {command}")
}

fn rules<const NUMBER: usize>(commands: [impl AsRef<str>; NUMBER]) -> BTreeSet<String> {
    commands.map(|command| rule(command.as_ref())).into()
}

#[track_caller]
fn answers(service: &Service<'_>, url: &str, page: &str) {
    assert_eq!(service.machine.get(url).as_deref(), Some(page), "{}", service.machine.picture());
}

#[test]
fn a_unit_is_restarted_by_rules_for_just_that() {
    let machine = Machine::boot();
    let keys = r#"
recipe = "systemd"
units = ["site.service"]
health = [{ http = "http://127.0.0.1:8080/", attempts = 20, interval = "200ms" }]
"#;
    let service = Service::install(&machine, GLOBAL, keys);
    let answers = |page: &str| answers(&service, "http://127.0.0.1:8080/", page);
    let systemctl = |verb: &str| format!("/usr/bin/systemctl --no-ask-password {verb} -- site.service");
    machine.unit("site.service", UNIT);
    service.sources.commit(&[("server.py", SERVER), ("page", "one")]);
    service.start();
    service.fails(&["a password is required", &rule(&systemctl("restart"))]);
    // Nothing was live before, so the unit was to be stopped again; and before that, to be forgiven.
    assert_eq!(lacking(&service), rules(["restart", "reset-failed", "stop"].map(&systemctl)));
    allow(&service, &rules([systemctl("restart")]));
    service.deploys();
    answers("one");

    // One that dies too often is forgiven by a call of its own; without it the old release cannot be started either.
    service.sources.commit(&[("crash", "")]);
    service.fails(&["undoing it failed too", &rule(&systemctl("reset-failed"))]);
    allow(&service, &lacking(&service));
    machine.run(&["rm", "/srv/git/site/crash"]);
    service.sources.commit(&[("page", "two")]);
    service.deploys();
    answers("two");
    service.sources.commit(&[("crash", "")]);
    service.fails(&["site.service"]);
    answers("two");

    // Nothing else is allowed by that.
    for more in [&["restart", "--", "ssh.service"][..], &["restart", "--", "site.service", "ssh.service"]] {
        let (succeeded, printed) =
            service.as_user(&[&["sudo", "-n", "systemctl", "--no-ask-password"], more].concat());
        assert!(!succeeded && printed.contains("a password is required"), "{printed}");
    }
}

#[test]
fn sites_are_written_tested_and_reloaded_by_the_packages_rules() {
    let machine = Machine::boot();
    let keys = "recipe = \"nginx-sites\"\nsites = [{ rule = \"include\", select = [\"*\"] }]\n";
    let service = Service::install(&machine, GLOBAL, keys);
    machine.install_privileged(&format!("user = \"{USER}\"\n"));
    let site = |page: &str| {
        let text = format!("server {{ listen 127.0.0.1:8080; server_name a.test; return 200 {page}; }}\n");
        service.sources.commit(&[("production/[a.test].conf", &text)]);
    };
    let answers = |page: &str| answers(&service, "http://127.0.0.1:8080/", page);
    let installed = machine.path("/etc/nginx/conf.d/[a.test].conf");
    site("one");
    service.start();

    // A refusal leaves nginx, and its files, as they were.
    let master = machine.run(&["cat", "/run/nginx.pid"]);
    service.fails(&[
        "a password is required",
        &rule(&format!("{PRIVILEGED} site-write conf.d/\\[a.test\\].conf")),
    ]);
    assert!(!installed.exists());
    let packaged = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/sudo/durhack-deployer");
    let packaged = fs_err::read_to_string(packaged).expect("it is in the repository");
    let of_user = packaged.lines().filter_map(|line| line.strip_prefix("durhack-deployer ALL="));
    allow(&service, &of_user.map(|rule| format!("{USER} ALL={rule}")).collect());
    service.deploys();
    answers("one");
    assert_eq!(machine.run(&["stat", "-c", "%U %a", "/etc/nginx/conf.d/[a.test].conf"]), "root 644");
    site("two");
    service.deploys();
    answers("two");
    site("refused; no_such_directive");
    service.fails(&["production/[a.test].conf:1", "no_such_directive"]);
    answers("two");
    let (succeeded, printed) = service.cli(&["rollback", "site"]);
    assert!(succeeded, "{printed}");
    answers("one");
    assert_eq!(machine.run(&["cat", "/run/nginx.pid"]), master, "it was only reloaded");
}
