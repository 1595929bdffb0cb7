//! `user = "web"`: releases are made by a user of the deployment's own, whom systemd starts.

use super::Host;
use crate::support::machine::Machine;
use crate::support::wait;

/// What the user may and may not do is tried by the build itself. `connect` is how a socket is knocked at.
const BUILD: &str = r#"
id -un > who; echo "$HOME $USER" > home; echo own > "$HOME/kept"; echo shared > uploads/built
mkdir -m 700 private; echo x > private/file; chmod 500 private
connect() { python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$1"; }
tries() { if "$@" 2>/dev/null; then echo "$*" >> reached; fi; }
worker=$(systemctl show --property=MainPID --value durhack-deployer-worker.service)
tries cat /etc/durhack-deployer/credentials/webhook-secret
tries cat /etc/durhack-deployer/default.toml
tries ls /var/lib/durhack-deployer
tries cat /var/www/other/shared/secret
tries cat /var/www/other/shared/data/open
tries ls /var/www/other
tries touch /var/www/site/planted
tries ln -sfn /etc /var/www/site/current
tries touch /etc/planted
tries kill -9 "$worker"
tries cat "/proc/$worker/environ"
tries connect /run/durhack-deployer-privileged.sock
tries connect /run/durhack-deployer-steps/web.sock
tries connect /run/durhack-deployer-steps/other.sock
tries sudo -n true
if test -e suicide; then kill -9 $(ps -o ppid= -p $PPID) || exit 1; sleep 1000; fi
touch /var/www/site/shared/uploads/building; while test -e wait -a ! -e /var/www/site/go; do sleep 0.1; done
exit 0
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
shared_files = [".env"]
keep_releases = 1
steps = [{ phase = "build", name = "build", shell = "sh build.sh && cat .env > said" }]
health = [{ http = "http://127.0.0.1:8080/", attempts = 50, interval = "200ms" }]
[deployments.other]
user = "other"
repository = "acme/other"
clone_url = "file:///srv/git/site"
branch = "main"
path = "/var/www/other"
enabled = false
steps = []
"#;

/// Asks for a step of the user web, as a build could that runs as the deployer: the key is not the right one.
const STRANGER: &str = r#"
import socket, struct
words = b"start-1\0/\0" + b"0\0"
connection = socket.socket(socket.AF_UNIX)
connection.connect("/run/durhack-deployer-steps/web.sock")
connection.sendall(b"0" * 64 + struct.pack(">I", len(words)) + words)
print(connection.recv(4096).decode())
"#;

/// Nobody but the worker has steps of another user run; and the package makes the keys where an earlier version has set up the users.
fn only_the_worker_is_heard(host: &Host) {
    let machine = &host.machine;
    let answer = machine.run(&["runuser", "-u", "durhack-deployer", "--", "python3", "-c", STRANGER]);
    assert!(answer.starts_with("failed 0 the key is not the one"), "{answer}");
    let (file, postinst) =
        ("/etc/durhack-deployer/credentials/steps-key-web", "/var/lib/dpkg/info/durhack-deployer.postinst");
    let key = || machine.run(&["cat", file]);
    let made = key();
    assert_eq!(machine.run(&["stat", "-c", "%U %a", file]), "root 600");
    machine.run(&["rm", file]);
    let doctor = machine.try_run(&["durhack-deployer", "doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(!doctor.status.success() && said.contains("steps-key-web is not the key"), "{said}");
    machine.run(&["sh", postinst, "configure", "0.1.0-1"]);
    assert_eq!((key(), machine.run(&["stat", "-c", "%U %a", file])), (made, "root 600".to_owned()));
}

fn live(host: &Host, file: &str) -> String {
    // As nginx does.
    host.machine.run(&["runuser", "-u", "www-data", "--", "cat", &format!("/var/www/site/current/{file}")])
}

fn releases(host: &Host) -> usize {
    host.machine.run(&["ls", "/var/www/site/releases"]).lines().count()
}

/// The state and cause of the newest run.
fn newest(host: &Host) -> (String, String) {
    let runs: serde_json::Value = serde_json::from_str(&host.operator(&["runs", "--json"])).expect("JSON");
    let text = |key: &str| runs[0][key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("cause"))
}

#[test]
fn a_release_is_made_by_its_own_user_who_reaches_nothing_else() {
    let host = Host::set_up(Machine::boot());
    let machine = &host.machine;
    host.commit(&[("build.sh", BUILD)]);
    // What is shared is closed to others, but not to the deployment's own user.
    for (slug, file) in [("site", ".env"), ("other", "secret")] {
        host.share(slug, file);
    }
    // As an application of the other deployment makes its files: for everybody to read, and nginx does.
    machine.run(&["install", "-d", "-m", "755", "/var/www/other/shared/data"]);
    machine.write("/var/www/other/shared/data/open", "data");
    host.configure_with(DEPLOYMENT);
    let refused = machine.try_run(&["durhack-deployer", "doctor"]);
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(said.contains("there is no user web, as whom site is built"), "{said}");
    let made = host.types(&["durhack-deployer", "setup", "--yes"]);
    assert!(made.contains("make the user and group web") && made.contains("steps@web.socket"), "{made}");
    assert!(machine.run(&["durhack-deployer", "setup", "--dry-run"]).contains("nothing to do"));
    let said = host.types(&["durhack-deployer", "doctor"]);
    assert!(said.contains("releases of site are made as web"), "{said}");

    host.push();
    host.shows("one");
    host.rests();
    // Root asks as the deployer's user, and leaves nothing of its own in the state.
    let (by_root, by_user) = (host.types(&["durhack-deployer", "runs"]), host.operator(&["runs"]));
    assert!(by_root == by_user && by_root.contains("succeeded"), "{by_root}");
    machine.run(&["durhack-deployer", "status"]);
    assert_eq!(machine.run(&["find", "/var/lib/durhack-deployer", "!", "-user", "durhack-deployer"]), "");
    let by_stranger = machine.try_run(&[
        "runuser",
        "-u",
        "www-data",
        "--",
        "durhack-deployer",
        "--config",
        "/etc/durhack-deployer",
        "status",
    ]);
    assert!(!by_stranger.status.success());
    println!("{}", host.operator(&["logs", "site"]));
    assert_eq!(live(&host, "who"), "web");
    assert_eq!(live(&host, "home"), "/var/lib/durhack-deployer-steps/web web");
    assert_eq!(live(&host, "said"), "SECRET=1");
    let reached = machine.try_run(&["cat", "/var/www/site/current/reached"]);
    assert!(!reached.status.success(), "reached: {}", String::from_utf8_lossy(&reached.stdout));
    assert_eq!(machine.run(&["cat", "/var/www/site/shared/uploads/built"]), "shared");
    let owner = |path: &str| machine.run(&["stat", "-c", "%U %a", path]);
    assert_eq!(owner("/var/lib/durhack-deployer-steps/web"), "web 700");
    assert_eq!(owner("/run/durhack-deployer-steps/web.sock"), "durhack-deployer 600");
    assert_eq!(owner("/var/www/site/current"), "durhack-deployer 777", "a link of the deployer's");

    only_the_worker_is_heard(&host);
    machine.run(&["runuser", "-u", "www-data", "--", "cat", "/var/www/other/shared/data/open"]);

    // The user's own files, closed to us, go with their release.
    for page in ["two", "three", "four"] {
        host.commit(&[("page", page)]);
        host.push();
        host.shows(page);
        host.rests();
    }
    assert_eq!(releases(&host), 2, "the live one and the one before");

    // A worker that is killed: the step ends with it, the run is undone, and the push tried again.
    machine.run(&["rm", "-f", "/var/www/site/shared/uploads/building"]);
    let commit = host.commit(&[("page", "five"), ("wait", "")]);
    host.push();
    let building = machine.path("/var/www/site/shared/uploads/building");
    wait::until("the build to be under way", || building.exists().then_some(()));
    fs_err::remove_file(&building).expect("it is there");
    let builds = machine.run(&["pgrep", "-u", "web", "-f", "build.sh"]);
    machine.run(&[
        "systemctl",
        "kill",
        "--signal=KILL",
        "--kill-whom=main",
        "durhack-deployer-worker.service",
    ]);
    wait::until("the second attempt to be under way", || building.exists().then_some(()));
    let again = machine.run(&["pgrep", "-u", "web", "-f", "build.sh"]);
    assert!(builds.lines().all(|pid| again.lines().all(|other| other != pid)), "{builds}\n{again}");
    machine.write("/var/www/site/go", "");
    host.shows("five");
    wait::until("the run to succeed", || {
        host.runs().first().filter(|(state, of)| state == "succeeded" && *of == commit).map(|_| ())
    });

    // A build that kills its own supervisor process fails, and leaves nothing. It cannot where the machine has Landlock: the systemd-nspawn of
    // Debian 12 keeps that from its machines, the one of Debian 13 does not.
    host.commit(&[("page", "six"), ("suicide", "")]);
    host.push();
    wait::until("that run to fail", || (newest(&host).0 == "failed").then_some(()));
    let (_, cause) = newest(&host);
    let expected = ["ended from outside", "kill: Operation not permitted"];
    assert!(expected.iter().any(|expected| cause.contains(expected)), "{cause}");
    wait::until("nothing of it to be left", || {
        (!machine.try_run(&["pgrep", "-u", "web", "sleep"]).status.success()).then_some(())
    });
    host.shows("five");
    machine.run(&["rm", "/srv/git/site/suicide"]);
    host.commit(&[("page", "seven")]);
    host.push();
    host.shows("seven");

    // Whose name is taken out of the configuration, is not called any more.
    host.rests();
    let layer = machine.path("/etc/durhack-deployer/default.toml");
    let text = fs_err::read_to_string(&layer).expect("it is there");
    fs_err::write(&layer, text.replace("user = \"web\"\n", "")).expect("it is writable");
    let told = host.types(&["durhack-deployer", "setup", "--yes"]);
    assert!(told.contains("stop durhack-deployer-steps@web.socket"), "{told}");
    host.types(&["dpkg", "-r", "durhack-deployer"]);
    let left = machine.try_run(&["pgrep", "-a", "-u", "durhack-deployer,web,other"]).stdout;
    assert!(left.is_empty(), "{}", String::from_utf8_lossy(&left));
    let units = ["systemctl", "list-units", "--all", "--no-legend", "durhack-deployer*"];
    assert_eq!(machine.run(&units), "");
    host.shows("seven");
}
