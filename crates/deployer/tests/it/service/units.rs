//! The two services as they are packaged, in a machine with a real systemd.

use crate::support::machine::{Machine, Sources};
use crate::support::process::{command, succeed};
use crate::support::push::push_payload;
use crate::support::pushes::{Pushes, wait_for_verdicts};
use crate::support::wait;
use crate::support::world::SECRET;
use std::path::Path;

const INTAKE: &str = "durhack-deployer-intake";
const WORKER: &str = "durhack-deployer-worker";
const STATE: &str = "/var/lib/durhack-deployer";
const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/systemd");

/// Writes down what a step of a deployment can do and should not.
const BUILD: &str = r#"cp page site.html
for target in /etc/written /usr/written /var/lib/written /etc/durhack-deployer/written; do
    if touch "$target" 2>/dev/null; then echo "$target" >> written; fi
done
find /run/credentials /etc/durhack-deployer -name webhook-secret >> written 2>/dev/null
grep NoNewPrivs /proc/self/status | grep -q 1 || echo privileges >> written
[ -z "$(ls -A /run/user 2>/dev/null)" ] || echo "the user's service manager" >> written
[ ! -e /dev/shm/of-the-host ] || echo "shared memory of the host" >> written
grep -q 'Seccomp:.*2' /proc/self/status || echo "no filter of system calls" >> written
grep -q '/step-[0-9]*$' /proc/self/cgroup || { echo "no control group:"; cat /proc/self/cgroup; } >> written
exit 0"#;

/// A machine with both services, as `setup` leaves a host, and the deployment `site`.
pub struct Host<'m> {
    machine: &'m Machine,
    sources: Sources<'m>,
    commit: String,
}

impl<'m> Host<'m> {
    pub fn set_up(machine: &'m Machine) -> Self {
        machine.run(&[
            "useradd",
            "--system",
            "--user-group",
            "--home-dir",
            STATE,
            "--shell",
            "/bin/sh",
            "durhack-deployer",
        ]);
        machine.install(Path::new(env!("CARGO_BIN_EXE_durhack-deployer")), "/usr/bin/durhack-deployer");
        machine.run(&["install", "-d", "-o", "durhack-deployer", "-g", "durhack-deployer", "/var/www"]);
        machine.write("/dev/shm/of-the-host", "x");
        machine.write("/etc/durhack-deployer/credentials/webhook-secret", &format!("{SECRET}\n"));
        machine.run(&["chmod", "-R", "go=", "/etc/durhack-deployer/credentials"]);
        let services = [INTAKE, WORKER, "durhack-deployer-state"].map(|unit| format!("{unit}.service"));
        for unit in services.into_iter().chain([format!("{INTAKE}.socket")]) {
            let text = fs_err::read_to_string(Path::new(UNITS).join(&unit)).expect("it is packaged");
            machine.write(&format!("/usr/lib/systemd/system/{unit}"), &text);
        }
        let sources = Sources::new(machine, "site");
        let commit = sources.commit(&[("page", "one"), ("build.sh", BUILD)]);
        machine.run(&["chown", "-R", "durhack-deployer:", "/srv/git"]);
        let host = Self { machine, sources, commit };
        host.configure("");
        machine.run(&["systemctl", "daemon-reload"]);
        host
    }

    fn configure(&self, further: &str) {
        let url = self.sources.url();
        let text = format!(
            r#"
source_networks = "any"
listen.port = 3400
reconcile.enabled = false
{further}
[deployments.site]
repository = "acme/site"
branch = "main"
clone_url = "{url}"
path = "/var/www/site"
enabled = true
recipe = "steps"
steps = [{{ phase = "build", name = "build", shell = "sh build.sh" }}]
"#
        );
        self.machine.write("/etc/durhack-deployer/default.toml", &text);
        self.machine.run(&["chown", "-R", "root:durhack-deployer", "/etc/durhack-deployer/default.toml"]);
        self.machine.run(&["chmod", "640", "/etc/durhack-deployer/default.toml"]);
    }

    pub fn start(&self) {
        // The service is started by its first caller.
        self.machine.run(&["systemctl", "enable", "--now", &format!("{INTAKE}.socket")]);
        self.machine.run(&["systemctl", "enable", "--now", WORKER]);
    }

    /// A command of the product's, as an operator gives it.
    fn operator(&self, words: &[&str]) -> String {
        let as_user =
            ["runuser", "-u", "durhack-deployer", "--", "env", "DEPLOYER_ENV=production", "durhack-deployer"];
        self.machine.run(&[&as_user, words].concat())
    }

    /// Pushes of the commit that is there.
    fn pushes(&self) -> Pushes<'m> {
        let payload = push_payload("acme/site", "refs/heads/main", &"0".repeat(40), &self.commit);
        Pushes::start(self.machine, SECRET, "127.0.0.1", &payload)
    }

    fn status_text(&self, unit: &str) -> String {
        self.machine.property(unit, "StatusText")
    }

    /// Whether a process in the service's own view of the host may do this.
    fn may(&self, unit: &str, shell: &str) -> bool {
        let pid = self.machine.property(unit, "MainPID");
        self.machine.try_run(&["nsenter", "-t", &pid, "-m", "--", "sh", "-c", shell]).status.success()
    }
}

#[test]
fn restarts_and_reloads_of_both_services_lose_and_refuse_nothing_under_systemd() {
    let machine = Machine::boot();
    let host = Host::set_up(&machine);
    host.start();
    let pushes = host.pushes();
    let live = machine.path("/var/www/site/current/site.html");
    wait::until("the first push to be live", || live.exists().then_some(()));
    for _ in 0..3 {
        for verb in ["restart", "reload"] {
            for unit in [INTAKE, WORKER] {
                machine.run(&["systemctl", verb, unit]);
                // After a reload the service says itself when it is done.
                wait::until_told("the service to be active", || {
                    (machine.property(unit, "ActiveState") == "active").then_some(())
                });
            }
        }
    }
    let guids = pushes.stop();
    println!(
        "{} pushes at 100 a second, 3 restarts and 3 reloads of each service: all answered 202",
        guids.len()
    );
    assert!(guids.len() > 50, "{}", guids.len());
    wait_for_verdicts(&guids, |limit| host.operator(&["deliveries", "--json", "-n", limit]));
    assert_eq!(fs_err::read_to_string(&live).expect("it is live"), "one");
    let written = machine.path("/var/www/site/current/written");
    assert_eq!(
        fs_err::read_to_string(written).unwrap_or_default(),
        "",
        "what a step could do that it should not"
    );
    // A page, whose record the intake may only read.
    let page = machine.get(&format!("http://127.0.0.1:3400/deliveries/{}", guids[0]));
    assert!(page.as_deref().is_some_and(|page| page.contains("What became of it")), "{page:?}");
    let bad = fs_err::read_dir(machine.path(&format!("{STATE}/spool/main/bad"))).expect("it is a spool");
    assert_eq!(bad.count(), 0, "nothing was set aside");
}

#[test]
fn each_service_may_do_its_own_work_and_no_more_under_systemd() {
    let machine = Machine::boot();
    let host = Host::set_up(&machine);
    host.start();
    machine.run(&["systemctl", "start", INTAKE]);
    machine.run(&["install", "-d", "-o", "durhack-deployer", &format!("{STATE}/.ssh")]);
    machine.write(&format!("{STATE}/.ssh/key"), "a key");
    machine.run(&["systemctl", "restart", INTAKE]);

    let write = |path: &str| format!("touch {path}/written && rm {path}/written");
    let state = |path: &str| format!("{STATE}/{path}");
    for (path, intake, worker) in [
        (state("spool/main"), true, true),
        (state("intake"), true, true),
        (state("logs"), false, true),
        (state("locks/daemon"), false, true),
        (STATE.to_owned(), false, true),
        ("/var/www".to_owned(), false, true),
        ("/etc/durhack-deployer".to_owned(), false, false),
        ("/usr/bin".to_owned(), false, false),
    ] {
        assert_eq!(host.may(INTAKE, &write(&path)), intake, "intake: {path}");
        assert_eq!(host.may(WORKER, &write(&path)), worker, "worker: {path}");
    }
    let network = |pid: &str| machine.run(&["readlink", &format!("/proc/{pid}/ns/net")]);
    assert_ne!(network(&machine.property(INTAKE, "MainPID")), network("1"), "it has a network of its own");
    assert_eq!(network(&machine.property(WORKER, "MainPID")), network("1"));
    let key = format!("test -e {STATE}/.ssh/key");
    assert_eq!((host.may(INTAKE, &key), host.may(WORKER, &key)), (false, true));
    for (unit, has, has_not) in
        [(INTAKE, "webhook-secret", "github-token"), (WORKER, "github-token", "webhook-secret")]
    {
        let credentials = format!("/run/credentials/{unit}.service");
        assert!(host.may(unit, &format!("test -e {credentials}/{has}")), "{unit} {has}");
        assert!(!host.may(unit, &format!("test -e {credentials}/{has_not}")), "{unit} {has_not}");
    }
}

#[test]
fn a_daemon_that_gives_no_sign_of_life_is_started_again_under_systemd() {
    let machine = Machine::boot();
    let host = Host::set_up(&machine);
    // Long enough for a healthy one on a busy machine, which is not to be started again.
    for unit in [INTAKE, WORKER] {
        machine
            .unit(&format!("{unit}.service.d/test.conf"), "[Service]\nWatchdogSec=15s\nTimeoutAbortSec=1s\n");
    }
    host.start();
    machine.run(&["systemctl", "start", INTAKE]);
    for unit in [INTAKE, WORKER] {
        let before = machine.property(unit, "MainPID");
        machine.run(&["systemctl", "kill", "--kill-whom=main", "--signal=STOP", unit]);
        wait::until_told("it to be started again", || {
            let is_active = machine.property(unit, "ActiveState") == "active";
            (is_active && machine.property(unit, "MainPID") != before).then_some(())
        });
        assert_eq!(machine.property(unit, "NRestarts"), "1", "{unit}");
        assert!(
            machine.run(&["journalctl", "--no-pager", "-u", unit]).contains("Watchdog timeout"),
            "{unit}"
        );
    }
    // Nothing but that: one that lives is left alone, also while it does nothing.
    let before = machine.property(INTAKE, "MainPID");
    let pushes = host.pushes();
    let live = machine.path("/var/www/site/current/site.html");
    wait::until("the push to be live", || live.exists().then_some(()));
    assert!(!pushes.stop().is_empty());
    assert_eq!(machine.property(INTAKE, "MainPID"), before);
}

#[test]
fn a_bad_configuration_fails_the_reload_and_changes_nothing_under_systemd() {
    let machine = Machine::boot();
    let host = Host::set_up(&machine);
    host.start();
    machine.run(&["systemctl", "start", INTAKE]);
    host.configure("limits.body_max = \"much\"");
    for unit in [INTAKE, WORKER] {
        let before = machine.property(unit, "MainPID");
        assert!(!machine.try_run(&["systemctl", "reload", unit]).status.success(), "{unit}");
        assert!(machine.run(&["journalctl", "--no-pager", "-u", unit]).contains("body_max"), "{unit}");
        assert_eq!(machine.property(unit, "ActiveState"), "active");
        // Whoever sends the signal by hand is told in the status.
        machine.run(&["systemctl", "kill", "--kill-whom=main", "--signal=HUP", unit]);
        wait::until("the status to say so", || host.status_text(unit).contains("NOT RELOADED").then_some(()));
        host.configure("limits.body_max = \"1MiB\"");
        machine.run(&["systemctl", "reload", unit]);
        wait::until("the status to be good again", || {
            (!host.status_text(unit).contains("RELOADED")).then_some(())
        });
        assert_eq!(machine.property(unit, "MainPID"), before, "{unit} was never restarted");
        host.configure("limits.body_max = \"much\"");
    }
}

#[test]
fn a_broken_configuration_fails_neither_the_socket_nor_a_push_and_a_mended_file_is_enough_under_systemd() {
    let machine = Machine::boot();
    let host = Host::set_up(&machine);
    // Nothing was good yet: nobody can receive, and nothing is given up.
    host.configure("limits.body_max = \"much\"");
    machine.unit("durhack-deployer-intake.service.d/test.conf", "[Service]\nRestartSec=50ms\n");
    machine.unit("durhack-deployer-worker.service.d/test.conf", "[Service]\nRestartSec=50ms\n");
    machine.run(&["systemctl", "enable", "--now", &format!("{INTAKE}.socket")]);
    machine.try_run(&["systemctl", "start", WORKER, INTAKE]);
    for unit in [INTAKE, WORKER] {
        wait::until_told("it to be tried often", || {
            machine.property(unit, "NRestarts").parse().is_ok_and(|count: u32| count > 12).then_some(())
        });
        assert_ne!(machine.property(unit, "Result"), "start-limit-hit", "{unit}");
    }
    let socket = format!("{INTAKE}.socket");
    assert_eq!(machine.property(&socket, "ActiveState"), "active");
    // Whoever calls waits, and is answered by a mended file alone.
    let pushes = host.pushes();
    host.configure("");
    let live = machine.path("/var/www/site/current/site.html");
    wait::until_told("the push to be live", || live.exists().then_some(()));
    assert!(!pushes.stop().is_empty());

    // Broken again, and everything is started anew: pushes are received.
    host.configure("limits.body_max = \"much\"");
    machine.run(&["systemctl", "restart", INTAKE]);
    machine.try_run(&["systemctl", "restart", WORKER]);
    assert!(
        host.status_text(INTAKE).contains("BY THE LAST GOOD CONFIGURATION"),
        "{}",
        host.status_text(INTAKE)
    );
    let journal = machine.run(&["journalctl", "--no-pager", "-p", "err", "-u", INTAKE]);
    assert!(journal.contains("pushes are received by the last good one"), "{journal}");
    let pushes = host.pushes();
    let spool = machine.path(&format!("{STATE}/spool/main"));
    wait::until_told("pushes to wait", || {
        fs_err::read_dir(&spool).is_ok_and(|entries| entries.count() > 20).then_some(())
    });
    let guids = pushes.stop();
    assert!(!guids.is_empty());
    for what in [&["status"][..], &["rollback", "site", "--to", "none"]] {
        let as_root = machine.try_run(&[&["durhack-deployer"], what].concat());
        let said = String::from_utf8_lossy(&as_root.stderr).into_owned();
        assert!(!as_root.status.success() && said.contains("by the last good one"), "{what:?}: {said}");
    }
    host.configure("");
    for unit in [INTAKE, WORKER] {
        wait::until_told("the service to be active", || {
            (machine.property(unit, "ActiveState") == "active").then_some(())
        });
    }
    wait::until_told("it to go by what is written", || {
        (!host.status_text(INTAKE).contains("LAST GOOD")).then_some(())
    });
    wait_for_verdicts(&guids, |limit| host.operator(&["deliveries", "--json", "-n", limit]));
}

#[test]
fn a_state_directory_that_the_units_do_not_know_is_told_for_what_it_is_under_systemd() {
    let machine = Machine::boot();
    let host = Host::set_up(&machine);
    host.start();
    machine.run(&["systemctl", "start", INTAKE]);
    machine.unit("durhack-deployer-intake.service.d/test.conf", "[Service]\nRestartSec=50ms\n");
    machine.run(&["systemctl", "daemon-reload"]);
    host.configure("state_directory = \"/srv/state\"");
    machine.try_run(&["systemctl", "restart", INTAKE]);
    machine.try_run(&["systemctl", "stop", WORKER]);
    let report = machine.try_run(&["env", "DEPLOYER_ENV=production", "durhack-deployer", "doctor"]);
    let said = String::from_utf8_lossy(&report.stdout).into_owned();
    assert!(!report.status.success(), "{said}");
    assert!(said.contains("systemd holds") && !said.contains("another program holds"), "{said}");
    let units = said.contains("the services' units let them write in /var/lib/durhack-deployer alone");
    assert!(units && said.contains("leave `state_directory` out"), "{said}");
    assert!(!machine.path("/srv/state").exists(), "nothing was made there");
    host.configure("");
    machine.try_run(&["systemctl", "start", INTAKE, WORKER]);
    for unit in [INTAKE, WORKER] {
        wait::until_told("the service to be active", || {
            (machine.property(unit, "ActiveState") == "active").then_some(())
        });
    }
}

/// systemd is root: what it makes, gives away or opens by name must not lie where another user can put a link or a pipe.
#[test]
fn systemd_itself_touches_nothing_that_lies_in_another_users_directory() {
    /// Settings by which systemd makes directories, and gives them to the unit's user.
    const GIVEN: [&str; 5] = [
        "StateDirectory=",
        "CacheDirectory=",
        "LogsDirectory=",
        "RuntimeDirectory=",
        "ConfigurationDirectory=",
    ];
    /// Settings by which systemd opens files.
    const OPENED: [&str; 6] = [
        "PIDFile=",
        "EnvironmentFile=",
        "LoadCredential=",
        "StandardInput=file:",
        "StandardOutput=",
        "StandardError=",
    ];
    /// Root's own directories, in which nobody else makes anything.
    const ROOTS: [&str; 3] = ["/etc/durhack-deployer/", "/etc/default/", "/run/nginx.pid"];
    let mut looked_at = 0;
    for entry in fs_err::read_dir(UNITS).expect("they are packaged") {
        let path = entry.expect("readable").path();
        let Some(unit) =
            path.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".service"))
        else {
            continue;
        };
        let text = fs_err::read_to_string(&path).expect("it is packaged");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let values = |key: &str| -> Vec<&str> {
            let of_key = lines.iter().filter_map(|line| line.strip_prefix(key));
            of_key.flat_map(str::split_ascii_whitespace).collect()
        };
        let is_others = !matches!(values("User=")[..], [] | ["root"]);
        for key in GIVEN {
            let given = values(key);
            for (inner, outer) in given.iter().flat_map(|one| given.iter().map(move |other| (one, other))) {
                let is_inside = Path::new(inner) != Path::new(outer) && Path::new(inner).starts_with(outer);
                assert!(!(is_others && is_inside), "{unit}: {key}{inner} lies in {outer}");
                looked_at += 1;
            }
        }
        for key in OPENED {
            for value in values(key) {
                let path = value.split(':').find(|part| part.trim_start_matches('-').starts_with('/'));
                let is_roots =
                    |path: &str| ROOTS.iter().any(|root| path.trim_start_matches('-').starts_with(root));
                assert!(path.is_none_or(is_roots), "{unit}: {key}{value}");
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 20, "{looked_at}");
}

#[test]
fn the_units_are_right_and_as_hard_as_they_are_said_to_be() {
    let root = Path::new("/");
    // nginx's own unit, as Debian has it, is 9.6; with the walls of earlier versions it was 7.6.
    let nginx = tempfile::Builder::new().suffix(".service").tempfile().expect("a file in /tmp");
    let walls = fs_err::read_to_string(format!("{UNITS}/nginx.service.d/durhack-deployer.conf"))
        .expect("it is packaged");
    let service = "[Service]\nType=forking\nPIDFile=/run/nginx.pid\nExecStart=/usr/sbin/nginx\n";
    fs_err::write(nginx.path(), service.to_owned() + &walls).expect("it is ours");
    let packaged = |unit: &str| format!("{UNITS}/{unit}.service");
    for (file, tenths_max) in [
        (packaged(INTAKE), 3),
        (packaged("durhack-deployer-state"), 3),
        (packaged(WORKER), 15),
        (packaged("durhack-deployer-steps@"), 13),
        (packaged("durhack-deployer-pm2@"), 15),
        (packaged("durhack-deployer-privileged"), 10),
        (packaged("durhack-deployer-nginx-test@"), 20),
        (packaged("durhack-deployer-certbot@"), 20),
        (nginx.path().to_string_lossy().into_owned(), 30),
    ] {
        let threshold = format!("--threshold={tenths_max}");
        let said = succeed(command("systemd-analyze", root).args([
            "security",
            "--offline=true",
            "--no-pager",
            &threshold,
            &file,
        ]));
        println!("{}", said.lines().last().unwrap_or_default());
    }
    // Before: as Debian has it.
    let bare = tempfile::Builder::new().suffix(".service").tempfile().expect("a file in /tmp");
    fs_err::write(bare.path(), service).expect("it is ours");
    let said = succeed(
        command("systemd-analyze", root).args(["security", "--offline=true", "--no-pager"]).arg(bare.path()),
    );
    println!("without the walls: {}", said.lines().last().unwrap_or_default());
    // What it does not understand it only mentions; that the programs are not installed here it mentions too.
    let units =
        fs_err::read_dir(UNITS).expect("they are packaged").map(|entry| entry.expect("readable").path());
    let ours = units.filter(|path| {
        ["intake", "state", "worker", "steps", "pm2", "privileged", "nginx-test", "certbot"]
            .iter()
            .any(|ours| path.to_string_lossy().contains(ours))
    });
    let verified = crate::support::process::output(command("systemd-analyze", root).arg("verify").args(ours));
    let said = String::from_utf8_lossy(&verified.stderr);
    let complaints: Vec<&str> = said
        .lines()
        .filter(|line| !line.contains("is not executable") && !line.contains("Command 'man"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}
