//! `systemd`: real units, in a machine with a real systemd.
//!
//! The site is a few lines of Python, run by a unit from `<path>/current`, that read their page when they start: so what is answered says
//! which release runs, not which is linked.

use crate::support::machine::{Machine, Sources};
use crate::support::wait;

pub const SERVER: &str = r#"
import os, signal, socket, sys
page = open("page").read()
def reload(*_):
    global page
    os.chdir("/srv/site/current")
    page = open("page").read()
signal.signal(signal.SIGHUP, reload)
if os.path.exists("crash"):
    sys.exit("this release does not stay up")
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", 8080))
server.listen(64)
while True:
    connection, _ = server.accept()
    connection.recv(65536)
    status = "500 Broken" if os.path.exists("sick") else "200 OK"
    body = page.encode()
    connection.sendall(("HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body))).encode() + body)
    connection.close()
"#;

pub const UNIT: &str = "[Service]
ExecStart=/usr/bin/python3 server.py
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory=/srv/site/current
Restart=always
RestartSec=100ms
";

/// A machine with the deployment `site`, and these keys more.
struct Site<'m> {
    machine: &'m Machine,
    sources: Sources<'m>,
}

impl<'m> Site<'m> {
    fn set_up(machine: &'m Machine, keys: &str) -> Self {
        let sources = Sources::new(machine, "site");
        machine.unit("site.service", UNIT);
        let url = sources.url();
        machine.write(
            "/etc/durhack-deployer/default.toml",
            &format!(
                r#"
webhook_secret_token = "a-secret-of-more-than-thirty-two-bytes-for-tests"
state_directory = "/var/lib/durhack-deployer"
listen.port = 3400
[deployments.site]
repository = "acme/site"
branch = "main"
clone_url = "{url}"
path = "/srv/site"
enabled = true
recipe = "systemd"
units = ["site.service"]
steps = [{{ phase = "build", name = "check", shell = "test ! -e unbuildable" }}]
health = [{{ http = "http://127.0.0.1:8080/", attempts = 20, interval = "200ms" }}]
{keys}
"#
            ),
        );
        let site = Self { machine, sources };
        site.sources.commit(&[("server.py", SERVER), ("page", "one")]);
        site
    }

    /// Deploys the head; whether it succeeded, and what was printed.
    fn deploy(&self) -> (bool, String) {
        self.cli(&["deploy", "site"])
    }

    fn cli(&self, words: &[&str]) -> (bool, String) {
        let output = self.machine.try_run(&[&["/usr/local/bin/durhack-deployer"], words].concat());
        let printed = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
    }

    #[track_caller]
    fn shows(&self, page: &str) {
        assert_eq!(
            self.machine.get("http://127.0.0.1:8080/").as_deref(),
            Some(page),
            "{}",
            self.machine.picture()
        );
    }

    fn main_process(&self) -> String {
        self.machine.property("site.service", "MainPID")
    }
}

#[track_caller]
fn succeeds((succeeded, printed): (bool, String)) {
    assert!(succeeded, "{printed}");
}

#[track_caller]
fn fails((succeeded, printed): (bool, String), because: &str) {
    assert!(!succeeded && printed.contains(because), "{printed}");
}

#[test]
fn a_unit_runs_what_is_live_and_the_old_release_again_where_the_new_one_fails() {
    let machine = Machine::boot();
    let site = Site::set_up(&machine, "");
    succeeds(site.deploy());
    site.shows("one");
    assert_eq!(machine.property("site.service", "ActiveState"), "active");

    site.sources.commit(&[("page", "two")]);
    let before = site.main_process();
    succeeds(site.deploy());
    site.shows("two");
    assert_ne!(site.main_process(), before, "it was restarted");

    // A build that fails touches nothing that runs.
    let before = site.main_process();
    site.sources.commit(&[("unbuildable", ""), ("page", "three")]);
    fails(site.deploy(), "build");
    site.shows("two");
    assert_eq!(site.main_process(), before);

    // One that is started again and again does not count as running. By then systemd refuses to start the unit once more, whatever it runs.
    machine.run(&["rm", "/srv/git/site/unbuildable"]);
    site.sources.commit(&[("crash", "")]);
    fails(site.deploy(), "site.service");
    wait::until_told("the old release to answer", || machine.get("http://127.0.0.1:8080/"));
    site.shows("two");
    assert_eq!(machine.property("site.service", "SubState"), "running");

    // One that runs, and does not do its work.
    machine.run(&["rm", "/srv/git/site/crash"]);
    site.sources.commit(&[("sick", "")]);
    fails(site.deploy(), "health");
    site.shows("two");

    machine.run(&["rm", "/srv/git/site/sick"]);
    site.sources.commit(&[("page", "four")]);
    succeeds(site.deploy());
    site.shows("four");
    succeeds(site.cli(&["rollback", "site"]));
    site.shows("two");

    // systemd runs what it has read: whoever changes a unit's file hears what is missing, until it is done.
    machine.write("/etc/systemd/system/site.service", &UNIT.replace("server.py", "-u server.py"));
    site.sources.commit(&[("page", "five")]);
    let (succeeded, printed) = site.deploy();
    assert!(
        succeeded && printed.contains("the files of site.service have changed since systemd read them"),
        "{printed}"
    );
    let hint = "sudo systemctl daemon-reload && sudo systemctl restart site.service";
    assert!(printed.contains(hint), "{printed}");
    machine.run(&["sh", "-c", &hint.replace("sudo ", "")]);
    site.sources.commit(&[("page", "six")]);
    let (succeeded, printed) = site.deploy();
    assert!(succeeded && !printed.contains("have changed since systemd read them"), "{printed}");
    let arguments = machine.run(&["cat", &format!("/proc/{}/cmdline", site.main_process())]);
    assert!(arguments.contains("-u"), "{arguments:?}");
}

#[test]
fn the_first_release_of_a_unit_that_fails_leaves_it_stopped() {
    let machine = Machine::boot();
    let site = Site::set_up(&machine, "");
    site.sources.commit(&[("crash", "")]);
    fails(site.deploy(), "site.service");
    let state = machine.property("site.service", "ActiveState");
    assert!(["inactive", "failed"].contains(&state.as_str()), "it is {state}");
    assert_eq!(site.main_process(), "0");
    assert!(!machine.path("/srv/site/current").exists());
    machine.run(&["rm", "/srv/git/site/crash"]);
    site.sources.commit(&[]);
    succeeds(site.deploy());
    site.shows("one");
}

#[test]
fn a_unit_that_can_is_reloaded_and_goes_on_running() {
    let machine = Machine::boot();
    let site = Site::set_up(&machine, "reload = true");
    succeeds(site.deploy());
    let before = site.main_process();
    site.sources.commit(&[("page", "two")]);
    succeeds(site.deploy());
    site.shows("two");
    assert_eq!(site.main_process(), before, "it was only reloaded");
    site.sources.commit(&[("sick", ""), ("page", "three")]);
    fails(site.deploy(), "health");
    site.shows("two");
    assert_eq!(site.main_process(), before);
}

#[test]
fn a_daemon_killed_during_the_switch_leaves_one_release_running_and_goes_on() {
    let machine = Machine::boot();
    let site = Site::set_up(
        &machine,
        "hooks = { after_switch = \"if [ -e wait ]; then touch /run/there; sleep 1000; fi\" }",
    );
    machine.unit(
        "durhack-deployer.service",
        "[Service]\nType=notify\nExecStart=/usr/local/bin/durhack-deployer serve\nRestart=on-failure\nRestartSec=100ms\nKillMode=mixed\n",
    );
    succeeds(site.deploy());
    machine.run(&["systemctl", "start", "durhack-deployer"]);
    site.sources.commit(&[("wait", ""), ("page", "two")]);
    succeeds(site.cli(&["deploy", "site", "--no-wait"]));
    let there = machine.path("/run/there");
    wait::until("the run to be behind its switch", || there.exists().then_some(()));
    site.shows("two");
    // Before the one that is started again tries the same.
    machine.run(&["rm", "/srv/git/site/wait"]);
    site.sources.commit(&[("page", "three")]);
    machine.run(&["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "durhack-deployer"]);
    wait::until_told("the head to be live", || {
        (machine.get("http://127.0.0.1:8080/").as_deref() == Some("three")).then_some(())
    });
    wait::until_told("no run to be in progress", || {
        let (_, printed) = site.cli(&["runs", "--json"]);
        (!printed.contains("\"running\"") && printed.contains("\"undone\"")).then_some(())
    });
    site.shows("three");
}

#[test]
fn a_port_that_another_process_has_taken_is_told_of_the_new_release_and_of_the_old_one() {
    let machine = Machine::boot();
    let site = Site::set_up(&machine, "");
    succeeds(site.deploy());
    site.shows("one");
    let log = |site: &Site<'_>| site.cli(&["logs", "site"]).1;
    assert!(
        log(&site).contains("site.service runs now, and is not started at the next boot"),
        "{}",
        log(&site)
    );

    // As a debugging session leaves it.
    machine.run(&["systemctl", "stop", "site"]);
    machine.unit(
        "thief.service",
        "[Service]\nExecStart=/usr/bin/python3 -c \"import socket, time; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('127.0.0.1', 8080)); s.listen(); time.sleep(9999)\"\n",
    );
    machine.run(&["systemctl", "start", "thief"]);
    site.sources.commit(&[("page", "two")]);
    let (succeeded, printed) = site.deploy();
    let says = |text: &str| text.contains("Address already in use") && text.contains("does not run either");
    assert!(!succeeded && says(&printed), "{printed}");
    let run =
        &serde_json::from_str::<serde_json::Value>(&machine.run(&["durhack-deployer", "runs", "--json"]))
            .expect("JSON")[0];
    assert!(run["cause"].as_str().is_some_and(says), "{run:#}");
    assert!(
        run["summary"].as_str().is_some_and(|summary| summary.contains("is linked, and does not run")),
        "{run:#}"
    );
    let log = log(&site);
    assert!(log.contains("site.service: OSError: [Errno 98] Address already in use"), "the journal: {log}");
    // The look after the run has seen it too.
    let (succeeded, status) = site.cli(&["status"]);
    assert!(!succeeded && status.contains("site.service"), "{status}");

    machine.run(&["systemctl", "stop", "thief"]);
    succeeds(site.deploy());
    site.shows("two");
}

#[test]
fn units_that_cannot_be_started_are_named_before_the_switch() {
    let machine = Machine::boot();
    let site = Site::set_up(&machine, "");
    succeeds(site.deploy());
    site.shows("one");
    let configuration = "/etc/durhack-deployer/default.toml";
    let written = fs_err::read_to_string(machine.path(configuration)).expect("it was written");
    let before = site.main_process();
    machine.write("/etc/systemd/system/broken.service", "[Service]\nType=simple\n");
    machine.run(&["systemctl", "mask", "--quiet", "asleep.service"]);
    for (number, (unit, expected)) in [
        ("sitte.service", "there is no unit sitte.service, and the deployment's `units` name it: did you mean site.service?"),
        ("asleep.service", "asleep.service is masked, so it cannot be started: `sudo systemctl unmask asleep.service`"),
        ("broken.service", "broken.service cannot be started: Unit broken.service has a bad unit file setting"),
    ]
    .into_iter()
    .enumerate()
    {
        let units = format!("units = [\"site.service\", \"{unit}\"]");
        machine.write(configuration, &written.replace("units = [\"site.service\"]", &units));
        site.sources.commit(&[("page", &format!("next {number}"))]);
        let (_, plan) = site.cli(&["plan", "site"]);
        assert!(plan.contains(&format!("would fail before anything is done: {expected}")), "{plan}");
        let (_, doctor) = site.cli(&["doctor"]);
        assert!(doctor.contains(&format!("units: site: {expected}")), "{doctor}");
        fails(site.deploy(), expected);
        assert_eq!(site.main_process(), before, "nothing was switched");
        site.shows("one");
    }
    // One that can be started, and fails by itself: systemctl says that it did, the unit's own words why.
    let job = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo \"cannot reach 10.0.0.5:5432\" >&2; exit 1'\n";
    machine.write("/etc/systemd/system/job.service", job);
    let units = "units = [\"site.service\", \"job.service\"]";
    machine.write(configuration, &written.replace("units = [\"site.service\"]", units));
    site.sources.commit(&[("page", "last")]);
    fails(site.deploy(), "cannot reach 10.0.0.5:5432 (systemctl exited with 1: Job for job.service failed");
    site.shows("one");

    // A template has no process of its own.
    machine.write(configuration, &written.replace("site.service", "site@.service"));
    fails(site.cli(&["config", "check"]), "name an instance, as in app@8101.service");
}

#[test]
fn a_release_may_bring_its_units_file() {
    let machine = Machine::boot();
    let site = Site::set_up(&machine, "");
    // As an administrator does once, before the first deploy: the link leads nowhere yet.
    machine.run(&["rm", "/etc/systemd/system/site.service"]);
    machine.run(&["ln", "-s", "/srv/site/current/site.service", "/etc/systemd/system/site.service"]);
    machine.run(&["systemctl", "daemon-reload"]);
    site.sources.commit(&[("site.service", UNIT)]);
    let (_, plan) = site.cli(&["plan", "site"]);
    assert!(plan.contains("is a link that leads nowhere yet") && !plan.contains("would fail"), "{plan}");
    succeeds(site.deploy());
    site.shows("one");

    // Root's systemd reads nothing anew because of a push; whoever deploys hears what is missing, and it is all there is to do.
    let changed = UNIT.replace("server.py", "-u server.py");
    site.sources.commit(&[("site.service", &changed), ("page", "two")]);
    let (succeeded, printed) = site.deploy();
    assert!(
        succeeded && printed.contains("the files of site.service have changed since systemd read them"),
        "{printed}"
    );
    let arguments =
        |site: &Site<'_>| machine.run(&["cat", &format!("/proc/{}/cmdline", site.main_process())]);
    assert!(!arguments(&site).contains("-u"));
    machine.run(&["sh", "-c", "systemctl daemon-reload && systemctl restart site.service"]);
    assert!(arguments(&site).contains("-u"));

    // The older file of a rollback is as much another one.
    let (succeeded, printed) = site.cli(&["rollback", "site"]);
    assert!(
        succeeded && printed.contains("the files of site.service have changed since systemd read them"),
        "{printed}"
    );
    machine.run(&["sh", "-c", "systemctl daemon-reload && systemctl restart site.service"]);
    assert!(!arguments(&site).contains("-u"));
    site.shows("one");
}
