//! A user for every deployment without anybody writing `user`; and a host on which an earlier version deployed as the deployer: it goes on, is
//! warned, is moved to a user of its own, and back.

use super::Host;
use crate::support::machine::Machine;
use crate::support::wait;

const UNIT: &str = "[Service]
User=durhack-deployer
ExecStart=/usr/bin/python3 server.py
WorkingDirectory=/var/www/site/current
Restart=always
RestartSec=100ms
";

const DEPLOYMENTS: &str = r#"
source_networks = ["140.82.112.0/20"]
runs = { environment_passed = ["SUDO_UID"], drain_timeout = "1s" }
[deployments.site]
repository = "acme/site"
clone_url = "file:///srv/git/site"
branch = "main"
path = "/var/www/site"
recipe = "systemd"
units = ["site.service"]
shared_dirs = ["uploads"]
shared_files = [".env"]
env_file = "shared/.env"
steps = [{ phase = "build", name = "build", shell = "sh build.sh" }]
health = [{ http = "http://127.0.0.1:8080/", attempts = 50, interval = "200ms" }]
"#;

/// As whom it is built, what it reaches of others, and a file that only its owner can write.
const BUILD: &str = r#"
id -un > who; echo built >> uploads/built; chmod 600 uploads/built; cat .env > said
# The deployer itself reaches all of it where the kernel has no Landlock, and would spoil what the next build needs.
if test "$(id -un)" = durhack-deployer; then exit 0; fi
tries() { if "$@" 2>/dev/null; then echo "$*" >> reached; fi; }
tries cat /etc/durhack-deployer/default.toml
tries ls /var/lib/durhack-deployer
tries cat /var/www/other/shared/secret
tries touch /var/www/other/planted
tries sh -c 'echo x >> ../../shared/.env'
tries touch /var/www/site/planted
exit 0
"#;

/// A second deployment, that is added later.
const OTHER: &str = r#"
[deployments.a-deployment-with-a-name-that-is-longer-than-a-user-may-have]
repository = "acme/other"
clone_url = "file:///srv/git/site"
branch = "main"
path = "/srv/other"
steps = [{ phase = "build", name = "build", shell = "id -un > who" }]
"#;
const OTHER_SLUG: &str = "a-deployment-with-a-name-that-is-longer-than-a-user-may-have";

fn owner(host: &Host, path: &str) -> String {
    host.machine.run(&["stat", "-c", "%U", path])
}

/// Whose each file of a release, or of a shared directory, is.
fn owners(host: &Host, directory: &str) -> String {
    host.machine.run(&[
        "sh",
        "-c",
        &format!("find -P {directory} -mindepth 1 -printf '%u\n' | sort -u | tr '\n' ' '"),
    ])
}

fn runs_as(host: &Host) -> String {
    let pid = host.machine.property("site.service", "MainPID");
    host.machine.run(&["ps", "-o", "user:32=", "-p", &pid])
}

fn live(host: &Host, file: &str) -> String {
    host.machine.run(&["cat", &format!("/var/www/site/current/{file}")])
}

/// The state of the newest run of a deployment.
fn newest(host: &Host, slug: &str) -> String {
    let runs = host.operator(&["runs", slug, "--json"]);
    let runs: serde_json::Value = serde_json::from_str(&runs).expect("JSON");
    runs[0]["state"].as_str().unwrap_or_default().to_owned()
}

/// The package, a first configuration, and shared files as an operator puts them.
fn host() -> Host {
    let host = Host::set_up(Machine::boot());
    host.machine.unit("site.service", UNIT);
    host.commit(&[("build.sh", BUILD)]);
    for (slug, file) in [("site", ".env"), ("other", "secret")] {
        host.share(slug, file);
    }
    host
}

#[test]
fn a_deployment_has_a_user_of_its_own_without_anybody_asking() {
    let host = host();
    let machine = &host.machine;
    assert_eq!(machine.run(&["stat", "-c", "%U:%G %a", "/etc/durhack-deployer/users.toml"]), "root:root 644");
    machine.unit("site.service", &UNIT.replace("durhack-deployer", "app-site"));
    host.configure_with(DEPLOYMENTS);
    // Before `setup` knows of it, nothing of it runs.
    machine.run(&["systemctl", "reload", "durhack-deployer-worker", "durhack-deployer-intake"]);
    let said = machine.try_run(&["durhack-deployer", "config", "check"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("site has no user yet") && said.contains("sudo durhack-deployer setup"), "{said}");
    host.push();
    wait::until_told("the push to wait", || (newest(&host, "site") == "waiting").then_some(()));
    let forced = machine.try_run(&["durhack-deployer", "deploy", "site", "--force"]);
    assert!(!forced.status.success(), "{}", String::from_utf8_lossy(&forced.stdout));
    assert_eq!(machine.run(&["find", "/var/www/site", "-name", "who"]), "");

    let made = host.types(&["durhack-deployer", "setup", "--yes"]);
    assert!(made.contains("make the user and group app-site") && made.contains("(site: app-site)"), "{made}");
    assert!(machine.run(&["durhack-deployer", "setup", "--dry-run"]).contains("nothing to do"));
    let account = machine.run(&["getent", "passwd", "app-site"]);
    assert!(account.ends_with(":/var/lib/durhack-deployer-steps/app-site:/usr/sbin/nologin"), "{account}");
    // What waited for it is deployed by itself.
    host.shows("one");
    host.rests();
    assert_eq!((live(&host, "who"), runs_as(&host)), ("app-site".into(), "app-site".into()));
    assert_eq!(live(&host, "said"), "SECRET=1");
    let reached = machine.try_run(&["cat", "/var/www/site/current/reached"]);
    assert!(!reached.status.success(), "reached: {}", String::from_utf8_lossy(&reached.stdout));
    let said = host.types(&["durhack-deployer", "doctor"]);
    assert!(said.contains("releases of site are made as app-site"), "{said}");

    // One that is added later, with a name too long for a user, elsewhere than below /var/www.
    let layer = machine.path("/etc/durhack-deployer/default.toml");
    let text = fs_err::read_to_string(&layer).expect("it is there");
    fs_err::write(&layer, text + OTHER).expect("it is writable");
    machine.run(&["install", "-d", "-o", "durhack-deployer", "-g", "durhack-deployer", "/srv/other"]);
    host.types(&["durhack-deployer", "setup", "--yes"]);
    host.types(&["durhack-deployer", "deploy", OTHER_SLUG]);
    let who = machine.run(&["cat", "/srv/other/current/who"]);
    assert!(who.starts_with("app-a-deployment-with-") && who.len() <= 31, "{who}");
    host.shows("one");
}

/// What a build left that wants root to give files away. `$1` is the release.
const TRAPS: &str = r#"
cd "$1"
ln -s /etc traps-link; ln -s /etc/shadow traps-file; ln -s ../../../other traps-other; mkfifo traps-fifo
ln /var/lib/durhack-deployer/record.sqlite traps-record
cp /bin/true traps-program; chmod 6755 traps-program
python3 - <<'END'
import os
for _ in range(1500):
    os.mkdir("d"); os.chdir("d")
END
ln -s /etc ../../shared/uploads/traps-link
"#;

#[test]
fn what_ran_as_the_deployer_goes_on_and_is_moved_to_a_user_of_its_own_and_back() {
    let host = host();
    let machine = &host.machine;
    // As an earlier version left it: deployed as the deployer, and nobody has recorded anything.
    machine.run(&["rm", "/etc/durhack-deployer/users.toml"]);
    host.configure_with(DEPLOYMENTS);
    machine.run(&["install", "-d", "-o", "durhack-deployer", "-g", "durhack-deployer", "/var/www/site"]);
    let restart = ["systemctl", "restart", "durhack-deployer-worker", "durhack-deployer-intake"];
    machine.run(&restart);
    let list = "user = \"durhack-deployer\"\nunits = [\"site.service\"]\n";
    machine.write("/etc/durhack-deployer/privileged.toml", list);
    machine.run(&["systemctl", "enable", "--now", "durhack-deployer-privileged.socket"]);
    host.push();
    host.shows("one");
    host.rests();
    assert_eq!((live(&host, "who"), runs_as(&host)), ("durhack-deployer".into(), "durhack-deployer".into()));
    let said = String::from_utf8_lossy(&machine.try_run(&["durhack-deployer", "status"]).stderr).into_owned();
    assert!(said.contains("deployments without `user` are built and run as the deployer itself"), "{said}");
    let early = machine.try_run(&["durhack-deployer", "move-user", "site", "--yes"]);
    assert!(String::from_utf8_lossy(&early.stderr).contains("sudo durhack-deployer setup"));

    // `setup` of this version changes nothing of it, and names the command that does.
    let told = host.types(&["durhack-deployer", "setup", "--yes"]);
    assert!(told.contains("site: durhack-deployer"), "{told}");
    assert!(told.contains("sudo durhack-deployer move-user site"), "{told}");
    host.commit(&[("page", "two")]);
    host.push();
    host.shows("two");
    host.rests();
    assert_eq!(live(&host, "who"), "durhack-deployer");

    // A build, or the program itself, has prepared what root is to walk over.
    let release = machine.run(&["readlink", "-f", "/var/www/site/current"]);
    machine.run(&["runuser", "-u", "durhack-deployer", "--", "sh", "-c", TRAPS, "traps", &release]);
    machine.write(&format!("{release}/administrators"), "mine\n");
    let etc = "stat -c '%n %U:%G %a' /etc /etc/shadow /etc/passwd /var/lib/durhack-deployer /var/lib/durhack-deployer/record.sqlite /var/www/other /var/www/other/shared/secret; stat -c '%n %U' /var/www/site /var/www/site/releases /var/www/site/shared /var/www/site/shared/.env";
    let before = machine.run(&["sh", "-c", etc]);
    let planned = machine.run(&["durhack-deployer", "move-user", "site", "--dry-run"]);
    assert!(
        planned.contains("make the user and group app-site") && planned.contains("nothing was done"),
        "{planned}"
    );
    assert!(!machine.try_run(&["id", "app-site"]).status.success());
    // Interrupted where it is worst: the files are given, and nothing else is done. The same command does the rest.
    machine.run(&[
        "useradd",
        "--system",
        "--user-group",
        "--no-create-home",
        "--home-dir",
        "/var/lib/durhack-deployer-steps/app-site",
        "--shell",
        "/usr/sbin/nologin",
        "app-site",
    ]);
    machine.run(&["chown", "app-site:", &format!("{release}/page")]);
    let moved = host.types(&["durhack-deployer", "move-user", "site", "--yes"]);
    assert!(moved.contains("administrators: it is neither the old user's nor the new one's"), "{moved}");
    assert!(moved.contains("traps-record: it has several names"), "{moved}");
    host.shows("two");
    host.rests();
    assert_eq!((live(&host, "who"), runs_as(&host)), ("app-site".into(), "app-site".into()));
    assert_eq!(machine.run(&["sh", "-c", etc]), before, "nothing else changed hands");
    assert_eq!(owner(&host, &format!("{release}/traps-program")), "app-site");
    assert_eq!(machine.run(&["stat", "-c", "%a", &format!("{release}/traps-program")]), "755");
    assert_eq!(owner(&host, "/var/www/site/shared/uploads/built"), "app-site");
    assert_eq!(
        machine.run(&["cat", "/var/www/site/shared/uploads/built"]).lines().count(),
        3,
        "it could write it"
    );
    let reached = machine.try_run(&["cat", "/var/www/site/current/reached"]);
    assert!(!reached.status.success(), "reached: {}", String::from_utf8_lossy(&reached.stdout));
    assert!(machine.run(&["durhack-deployer", "setup", "--dry-run"]).contains("nothing to do"));

    // Back to a release that the deployer had made, as the new user.
    host.types(&["durhack-deployer", "rollback", "site"]);
    host.rests();
    assert_eq!((newest(&host, "site").as_str(), runs_as(&host).as_str()), ("succeeded", "app-site"));
    host.commit(&[("page", "three")]);
    host.push();
    host.shows("three");
    host.rests();

    // And the way back, for whoever needs it.
    let back = host.types(&["durhack-deployer", "move-user", "site", "--to", "durhack-deployer", "--yes"]);
    assert!(back.contains("can then do what the deployer can"), "{back}");
    host.shows("three");
    host.rests();
    assert_eq!((live(&host, "who"), runs_as(&host)), ("durhack-deployer".into(), "durhack-deployer".into()));
    assert_eq!(owners(&host, "/var/www/site/shared/uploads"), "durhack-deployer");
    let left = machine.run(&["sh", "-c", "find -P /var/www/site -user app-site | head"]);
    assert_eq!(left, "");
    let lists =
        machine.run(&["sh", "-c", "getfacl -pRs --skip-base /var/www/site/releases | grep app-site || true"]);
    assert_eq!(lists, "", "nobody who is gone is let in");
    assert!(machine.run(&["durhack-deployer", "setup", "--dry-run"]).contains("nothing to do"));
    let sockets = machine.run(&["systemctl", "list-units", "--no-legend", "durhack-deployer-steps@*.socket"]);
    assert_eq!(sockets, "");
}
