//! From nothing to a service, and back: the package, installed by dpkg in a machine with a real systemd and a real nginx; `setup`; a push
//! that goes live behind nginx, over https, too; upgrades with a run in progress; removal.

mod doctor;
mod documents;
mod from_python;
mod https;
mod removal;

mod move_pm2;
mod move_user;
mod own_user;
mod own_user_runs;

use crate::recipes::systemd::SERVER;
use crate::support::machine::Machine;
use crate::support::package::Package;
use crate::support::push::{NO_COMMIT, push_payload};
use crate::support::pushes::{Pushes, wait_for_verdicts};
use crate::support::servers::testbed;
use crate::support::wait;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Instant;

const UNIT: &str = "[Service]
User=nobody
ExecStart=/usr/bin/python3 server.py
WorkingDirectory=/var/www/site/current
Restart=always
RestartSec=100ms
[Install]
WantedBy=multi-user.target
";

/// The application's site, which its administrator has written.
const SITE: &str = "server {
    listen 127.0.0.1:8000;
    location / { proxy_pass http://127.0.0.1:8080; }
}
";

/// What an operator writes for it. That webhooks come from GitHub's networks only is left as it is, but that GitHub cannot be asked for them
/// here. git as root believes a repository of the user who called sudo.
const DEPLOYMENT: &str = r#"
source_networks = ["140.82.112.0/20"]
runs = { environment_passed = ["SUDO_UID"], drain_timeout = "1s" }
[deployments.site]
repository = "acme/site"
clone_url = "file:///srv/git/site"
branch = "main"
path = "/var/www/site"
recipe = "systemd"
units = ["site.service"]
shared_dirs = ["signs"]
steps = [{ phase = "build", name = "wait", shell = "touch /var/www/site/shared/signs/building; while test -e wait -a ! -e /var/www/site/go; do sleep 0.1; done" }]
health = [{ http = "http://127.0.0.1:8080/", attempts = 50, interval = "200ms" }]
"#;

/// A deployment of nginx's sites, which is off.
const SITES: &str = r#"
[deployments.nginx]
repository = "acme/nginx"
clone_url = "file:///srv/git/site"
branch = "main"
path = "/var/www/nginx"
enabled = false
recipe = "nginx-sites"
sites = []
"#;

const PACKAGE: &str = "/root/durhack-deployer.deb";
const DEPLOYER: &str = "durhack-deployer";
const UNITS: [&str; 6] = [
    "durhack-deployer-intake.socket",
    "durhack-deployer-intake.service",
    "durhack-deployer-worker.service",
    "durhack-deployer-privileged.socket",
    "durhack-deployer-nginx-test.socket",
    "durhack-deployer-certbot.socket",
];

/// A machine on which nothing of ours is yet, but an application's unit, site and repository are.
struct Host {
    machine: Machine,
    /// What an operator has typed.
    commands: Cell<u32>,
}

impl Host {
    fn new(package: &std::path::Path) -> Self {
        Self::on(Machine::boot(), package)
    }

    fn on(machine: Machine, package: &std::path::Path) -> Self {
        // The tests of other things put it there.
        machine.run(&["rm", "-f", "/usr/local/bin/durhack-deployer"]);
        machine.install(package, PACKAGE);
        machine.unit("site.service", UNIT);
        machine.run(&["systemctl", "enable", "--quiet", "site.service"]);
        machine.write("/etc/nginx/conf.d/site.conf", SITE);
        machine.run(&["systemctl", "reload", "nginx"]);
        machine.write("/etc/hosts", "127.0.0.1 localhost deploy.test\n");
        machine.run(&["git", "init", "-q", "-b", "main", "/srv/git/site"]);
        let host = Self { machine, commands: Cell::new(0) };
        host.commit(&[("server.py", SERVER), ("page", "one")]);
        host
    }

    /// The package is installed, and `setup` has been run for the first time.
    #[track_caller]
    fn set_up(machine: Machine) -> Self {
        let host = Self::on(machine, &Package::new().file());
        host.types(&["dpkg", "-i", PACKAGE]);
        host.types(&["durhack-deployer", "setup", "--yes"]);
        host
    }

    /// What deployments share, as an operator puts it there: `SECRET=1`, closed to others.
    #[track_caller]
    fn share(&self, slug: &str, file: &str) {
        let machine = &self.machine;
        let (path, shared) = (format!("/var/www/{slug}"), format!("/var/www/{slug}/shared"));
        machine.run(&["install", "-d", "-o", DEPLOYER, "-g", DEPLOYER, &path, &shared]);
        machine.write(&format!("{shared}/{file}"), "SECRET=1\n");
        machine.run(&["chown", "durhack-deployer:", &format!("{shared}/{file}")]);
        machine.run(&["chmod", "600", &format!("{shared}/{file}")]);
    }

    /// PM2 and pnpm, for everybody.
    #[track_caller]
    fn install_pm2(&self) {
        self.machine.install_directory(&testbed("npm/node_modules"), "/opt/node_modules");
        for program in ["pm2", "pnpm"] {
            let installed = format!("/opt/node_modules/.bin/{program}");
            self.machine.run(&["ln", "-s", &installed, &format!("/usr/local/bin/{program}")]);
        }
        // At the next boot its port is for what PM2 runs.
        self.machine.run(&["systemctl", "disable", "--quiet", "site.service"]);
    }

    /// The id, state and log of the newest run that has ended, once there is one beside these.
    #[track_caller]
    fn ended(&self, known: &mut BTreeSet<String>) -> (String, String) {
        let (id, state) = wait::until_told("a run to end", || {
            let runs: serde_json::Value = serde_json::from_str(&self.operator(&["runs", "--json"])).ok()?;
            let text = |run: &serde_json::Value, key: &str| run[key].as_str().unwrap_or_default().to_owned();
            let runs = runs.as_array()?.iter().map(|run| (text(run, "id"), text(run, "state")));
            let is_over = |state: &str| !matches!(state, "queued" | "running");
            // The oldest of the new ones: each is looked at once.
            runs.rev().find(|(id, state)| is_over(state) && !known.contains(id))
        });
        known.insert(id.clone());
        let log = self.operator(&["logs", &id]);
        println!("{state}\n{log}");
        (state, log)
    }

    /// Something that an operator types, in a terminal such as people have: with a strict umask.
    #[track_caller]
    fn types(&self, words: &[&str]) -> String {
        self.commands.set(self.commands.get() + 1);
        let strictly = ["sh", "-c", "umask 077; exec \"$@\"", "sh"];
        let printed = self.machine.run(&[&strictly, words].concat());
        println!("# {}\n{printed}\n", words.join(" "));
        printed
    }

    #[track_caller]
    fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, content) in files {
            self.machine.write(&format!("/srv/git/site/{name}"), content);
        }
        let git = ["git", "-c", "safe.directory=*", "-C", "/srv/git/site"];
        self.machine.run(&[&git[..], &["add", "--all"]].concat());
        self.machine.run(&[&git[..], &["commit", "-q", "-m", "a commit"]].concat());
        // As a file: URL, git fetches only what is one's own.
        if self.machine.try_run(&["id", "durhack-deployer"]).status.success() {
            self.own_repository();
        }
        self.machine.run(&[&git[..], &["rev-parse", "HEAD"]].concat())
    }

    fn own_repository(&self) {
        self.machine.run(&["chown", "-R", "durhack-deployer:", "/srv/git/site"]);
    }

    /// `simulate push`, by root.
    #[track_caller]
    fn push(&self) -> String {
        let user = self.machine.run(&["id", "-u", "durhack-deployer"]);
        self.types(&["env", &format!("SUDO_UID={user}"), "durhack-deployer", "simulate", "push", "site"])
    }

    /// Writes the deployment, as one would with an editor.
    fn configure(&self) {
        self.configure_with(DEPLOYMENT);
    }

    fn configure_with(&self, deployments: &str) {
        self.own_repository();
        let layer = self.machine.path("/etc/durhack-deployer/default.toml");
        let before = fs_err::read_to_string(&layer).expect("setup wrote it");
        let before = before.replace("source_networks = \"github\"\n", "");
        // Keys at the top come before tables.
        fs_err::write(&layer, before + deployments).expect("it is writable");
        self.commands.set(self.commands.get() + 1);
    }

    /// Replaces something in the configuration, as one would with an editor.
    #[track_caller]
    fn edit(&self, before: &str, after: &str) {
        let layer = self.machine.path("/etc/durhack-deployer/default.toml");
        let text = fs_err::read_to_string(&layer).expect("setup wrote it");
        assert!(text.contains(before), "{text}");
        fs_err::write(&layer, text.replace(before, after)).expect("it is writable");
    }

    /// Waits until nothing waits or runs: whoever stops the deployer in a run has it undone.
    #[track_caller]
    fn rests(&self) {
        wait::until_told("the deployer to be at rest", || {
            // Its exit code is that of the host: an application may be down.
            let by_user = ["runuser", "-u", "durhack-deployer", "--", "durhack-deployer", "status", "--json"];
            let printed = self.machine.try_run(&by_user).stdout;
            let status: serde_json::Value = serde_json::from_slice(&printed).ok()?;
            let waits = |value: &serde_json::Value| value != &serde_json::json!(0);
            let queued =
                status["deployments"].as_array()?.iter().any(|deployment| waits(&deployment["queued"]));
            let is_over = |(state, _): &(String, String)| !matches!(state.as_str(), "queued" | "running");
            let rests = !waits(&status["deliveries_waiting"]) && !queued && self.runs().iter().all(is_over);
            rests.then_some(())
        });
    }

    #[track_caller]
    fn shows(&self, page: &str) {
        wait::until_told(&format!("the page {page:?} behind nginx"), || {
            self.machine.get("http://127.0.0.1:8000/").filter(|shown| shown == page)
        });
    }

    /// A command of the product's, by the deployer's user.
    #[track_caller]
    fn operator(&self, words: &[&str]) -> String {
        let by_user = ["runuser", "-u", "durhack-deployer", "--", "durhack-deployer"];
        self.machine.run(&[&by_user, words].concat())
    }

    /// The runs as the deployer's user sees them: state and commit, the newest first.
    #[track_caller]
    fn runs(&self) -> Vec<(String, String)> {
        let runs: serde_json::Value =
            serde_json::from_str(&self.operator(&["runs", "--json"])).expect("JSON");
        let text = |run: &serde_json::Value, key: &str| run[key].as_str().unwrap_or_default().to_owned();
        let runs = runs.as_array().expect("a list").iter();
        runs.map(|run| (text(run, "state"), text(run, "commit"))).collect()
    }

    /// Everything that `setup` could change: files with owner, mode and time, access lists, what is enabled.
    fn picture(&self) -> String {
        let find = "find /etc /var/lib/durhack-deployer /var/www -newermt @0 ! -name '*.sqlite*' ! -path '*/compared*' -printf '%p %u:%g %m %s %T@\\n' 2>/dev/null | sort; getfacl -pR /etc/nginx; systemctl list-unit-files --no-legend; cat /etc/passwd";
        self.machine.run(&["sh", "-c", find])
    }
}

#[test]
fn from_nothing_to_a_release_behind_nginx_in_five_commands_and_back() {
    let host = Host::new(&Package::new().file());
    let machine = &host.machine;
    let started = Instant::now();
    host.types(&["dpkg", "-i", PACKAGE]);
    let before = host.picture();
    let planned = machine.run(&["durhack-deployer", "setup", "--dry-run", "--origin", "http://deploy.test"]);
    assert!(planned.contains("make a webhook secret") && planned.contains("nothing was done"), "{planned}");
    assert_eq!(host.picture(), before, "--dry-run changed something");
    let refused = machine.try_run(&["durhack-deployer", "setup"]);
    assert!(!refused.status.success(), "nobody is there to be asked");
    assert_eq!(host.picture(), before);

    host.types(&["durhack-deployer", "setup", "--yes", "--origin", "http://deploy.test"]);
    host.configure();
    host.types(&["durhack-deployer", "setup", "--yes"]);
    host.push();
    host.shows("one");
    println!(
        "from nothing to a page behind nginx: {} commands, {:?}",
        host.commands.get(),
        started.elapsed()
    );
    assert!(host.commands.get() <= 5);
    println!("{}", machine.run(&["durhack-deployer", "doctor"]));

    lies_in_its_place(&host);
    is_reached_through_nginx(&host);
    https::gets_a_certificate_and_is_reached_by_github_alone(&host);
    asks_sudo_instead_and_not_any_more(&host);
    doctor::says_what_mends_it(&host);
    is_completed_where_half_is_undone(&host);
    removal::is_done_only_when_it_was_meant(&host);
    removal::keeps_state_configuration_and_what_is_live(&host, "two");
    removal::purges_the_rest(&host, "two");
}

/// What lies where, and whose it is.
#[track_caller]
fn lies_in_its_place(host: &Host) {
    let machine = &host.machine;
    let secret = "/etc/durhack-deployer/credentials/webhook-secret";
    for (path, expected) in [
        ("/var/lib/durhack-deployer", "durhack-deployer:durhack-deployer 700"),
        ("/etc/durhack-deployer", "root:durhack-deployer 750"),
        ("/etc/durhack-deployer/default.toml", "root:durhack-deployer 640"),
        ("/etc/durhack-deployer/privileged.toml", "root:root 644"),
        ("/etc/durhack-deployer/credentials", "root:root 700"),
        (secret, "root:root 600"),
        ("/etc/durhack-deployer/credentials/helper-key", "root:root 600"),
        ("/var/www/site", "durhack-deployer:durhack-deployer 755"),
    ] {
        assert_eq!(machine.run(&["stat", "-c", "%U:%G %a", path]), expected, "{path}");
    }
    assert_eq!(machine.run(&["cat", secret]).len(), 64);
    let shadow = machine.run(&["getent", "shadow", "durhack-deployer"]);
    assert!(shadow.starts_with("durhack-deployer:!"), "no password: {shadow}");
    let listed = machine.run(&["cat", "/etc/durhack-deployer/privileged.toml"]);
    assert!(listed.contains("\"site.service\""), "{listed}");
    // The user writes nothing that root's nginx reads; and sudo allows it nothing.
    for command in ["echo >> /etc/nginx/conf.d/site.conf", "touch /etc/nginx/conf.d/new.conf"] {
        let written = machine.try_run(&["runuser", "-u", "durhack-deployer", "--", "sh", "-c", command]);
        assert!(!written.status.success(), "{command}");
    }
    assert!(!machine.path("/etc/sudoers.d/durhack-deployer").exists());
}

/// The intake is reached through nginx, which says who called, whatever the caller says: from GitHub this is not.
#[track_caller]
fn is_reached_through_nginx(host: &Host) {
    let machine = &host.machine;
    assert!(machine.get("http://deploy.test/").is_some_and(|answer| answer.contains("deployer")));
    let user = machine.run(&["id", "-u", "durhack-deployer"]);
    let through = ["simulate", "push", "site", "--url", "http://deploy.test/github-webhook"];
    let as_sudo = format!("SUDO_UID={user}");
    let by_root = [&["env", &as_sudo, "durhack-deployer"][..], &through].concat();
    let answer = String::from_utf8_lossy(&machine.try_run(&by_root).stdout).into_owned();
    assert!(answer.starts_with("403"), "{answer}");

    host.rests();
    let before = host.picture();
    let again = machine.run(&["durhack-deployer", "setup", "--yes", "--origin", "http://deploy.test"]);
    assert!(again.contains("nothing to do"), "{again}");
    assert_eq!(host.picture(), before);
}

/// By sudo: the rules are what a deploy needs, and no more. And by the helper again.
#[track_caller]
fn asks_sudo_instead_and_not_any_more(host: &Host) {
    let machine = &host.machine;
    let asked = machine.run(&["durhack-deployer", "setup", "--yes", "--privileges", "sudo"]);
    assert!(asked.contains("does not say so yet: write `privileges = \"sudo\"`"), "{asked}");
    host.edit("privileges = \"helper\"", "privileges = \"sudo\"");
    machine.run(&["durhack-deployer", "setup", "--yes"]);
    let rules = machine.run(&["sudo", "-l", "-U", "durhack-deployer"]);
    assert!(rules.contains("restart -- site.service") && !rules.contains("bin/certbot"), "{rules}");
    assert_eq!(machine.property("durhack-deployer-privileged.socket", "ActiveState"), "inactive");
    host.commit(&[("page", "two")]);
    host.push();
    host.shows("two");
    host.rests();
    doctor::names_rules_that_are_too_wide(host);
    host.edit("privileges = \"sudo\"", "privileges = \"helper\"");
    machine.run(&["durhack-deployer", "setup", "--yes"]);
    assert!(!machine.path("/etc/sudoers.d/durhack-deployer").exists());
    assert_eq!(machine.property("durhack-deployer-privileged.socket", "ActiveState"), "active");
}

/// Half of it is undone by somebody, and some of it is as an earlier version left it: the rest of setup is what it takes.
#[track_caller]
fn is_completed_where_half_is_undone(host: &Host) {
    let machine = &host.machine;
    machine.run(&["systemctl", "disable", "--now", "durhack-deployer-worker.service"]);
    machine.run(&["chmod", "755", "/var/lib/durhack-deployer"]);
    let secret = "/etc/durhack-deployer/credentials/webhook-secret";
    machine.run(&["chmod", "644", secret]);
    let told = machine.try_run(&["durhack-deployer", "doctor"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("others than its owner have access to"), "{told}");
    // One fault hides no others.
    assert!(
        told.contains("anybody can enter") || !told.contains("the configuration cannot be used"),
        "{told}"
    );
    let access = "u:durhack-deployer:rwx,d:u:durhack-deployer:rwx";
    machine.run(&["setfacl", "-m", access, "/etc/nginx/conf.d"]);
    let wrote = "echo 'server { listen 8001; }' > /etc/nginx/conf.d/good.conf; echo 'user root;' > /etc/nginx/conf.d/bad.conf.off";
    machine.run(&["runuser", "-u", "durhack-deployer", "--", "sh", "-c", wrote]);
    // Where sites are deployed, nginx's unit gets walls.
    let layer = machine.path("/etc/durhack-deployer/default.toml");
    let text = fs_err::read_to_string(&layer).expect("setup wrote it");
    fs_err::write(&layer, text + SITES).expect("it is writable");
    let mended = machine.run(&["durhack-deployer", "setup", "--yes"]);
    for done in [
        "let the deployer write in /etc/nginx/conf.d no more",
        "let nobody but its owner read the secret /etc/durhack-deployer/credentials/webhook-secret",
        "make root's what the deployer wrote among nginx's files: conf.d/good.conf",
        "confine nginx's unit, tried by a reload",
        "conf.d/bad.conf.off is durhack-deployer's, and root would not write it so: line 1",
    ] {
        assert!(mended.contains(done), "{done}: {mended}");
    }
    assert_eq!(machine.run(&["stat", "-c", "%U", "/etc/nginx/conf.d/good.conf"]), "root");
    assert_eq!(machine.run(&["stat", "-c", "%a", secret]), "600");
    assert_eq!(machine.property("nginx.service", "NoNewPrivileges"), "yes");
    assert_eq!(machine.run(&["pgrep", "-c", "-f", "nginx: master"]), "1");
    machine.run(&["rm", "/etc/nginx/conf.d/bad.conf.off", "/etc/nginx/conf.d/good.conf"]);
    // What nginx cannot do inside of them leaves everything as it was, and is said.
    machine.run(&["rm", "-r", "/etc/systemd/system/nginx.service.d"]);
    machine.write(
        "/etc/nginx/conf.d/elsewhere.conf",
        "server { listen 8001; access_log /srv/elsewhere.log; }\n",
    );
    machine.run(&["systemctl", "daemon-reload"]);
    machine.run(&["systemctl", "restart", "nginx"]);
    let refused = machine.try_run(&["durhack-deployer", "setup", "--yes"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success()
            && why.contains("/srv/elsewhere.log")
            && why.contains("systemctl edit nginx"),
        "{why}"
    );
    assert!(!machine.path("/etc/systemd/system/nginx.service.d/durhack-deployer.conf").exists());
    machine.run(&["rm", "/etc/nginx/conf.d/elsewhere.conf"]);
    machine.run(&["systemctl", "reload", "nginx"]);
    machine.run(&["durhack-deployer", "setup", "--yes"]);
    assert!(machine.run(&["durhack-deployer", "setup", "--dry-run"]).contains("nothing to do"));
}

#[test]
fn an_upgrade_and_a_way_back_lose_no_run_and_a_removal_leaves_nothing_running() {
    let package = Package::new();
    let host = Host::new(&package.of_version("0.0.9"));
    let machine = &host.machine;
    machine.install(&package.file(), "/root/new.deb");
    host.types(&["dpkg", "-i", PACKAGE]);
    host.types(&["durhack-deployer", "setup", "--yes"]);
    host.configure();
    host.types(&["durhack-deployer", "setup", "--yes"]);
    host.push();
    host.shows("one");

    let secret = machine.run(&["cat", "/etc/durhack-deployer/credentials/webhook-secret"]);
    let elsewhere = push_payload("acme/site", "refs/heads/other", NO_COMMIT, &"1".repeat(40));
    let pushes = Pushes::start(machine, &secret, "140.82.112.1", &elsewhere);
    for (file, page) in [("/root/new.deb", "two"), (PACKAGE, "three")] {
        machine.run(&["rm", "-f", "/var/www/site/go", "/var/www/site/shared/signs/building"]);
        let commit = host.commit(&[("page", page), ("wait", "")]);
        host.push();
        wait::until("the build to be under way", || {
            machine.path("/var/www/site/shared/signs/building").exists().then_some(())
        });
        let before = ["durhack-deployer-worker.service", "durhack-deployer-intake.service"]
            .map(|unit| machine.property(unit, "MainPID"));
        host.types(&["dpkg", "-i", file]);
        let after = ["durhack-deployer-worker.service", "durhack-deployer-intake.service"]
            .map(|unit| machine.property(unit, "MainPID"));
        assert!(
            before.iter().zip(&after).all(|(before, after)| before != after && after != "0"),
            "{after:?}"
        );
        machine.write("/var/www/site/go", "");
        host.shows(page);
        wait::until_told("the run to succeed", || {
            host.runs().first().filter(|(state, of)| state == "succeeded" && *of == commit).map(|_| ())
        });
    }
    let guids = pushes.stop();
    println!("{} pushes at 100 a second, upgraded and back: all answered 202", guids.len());
    assert!(guids.len() > 50, "{}", guids.len());
    wait_for_verdicts(&guids, |limit| host.operator(&["deliveries", "--json", "-n", limit]));
    let commits = host.runs().into_iter().filter(|(state, _)| state == "succeeded").count();
    assert_eq!(commits, 3, "{:?}", host.runs());

    host.types(&["dpkg", "-r", "durhack-deployer"]);
    // pgrep says so by its exit code.
    let left = machine.try_run(&["pgrep", "-a", "-u", "durhack-deployer"]).stdout;
    assert!(left.is_empty(), "{}", String::from_utf8_lossy(&left));
    let units = ["systemctl", "list-units", "--all", "--no-legend", "durhack-deployer*"];
    assert_eq!(machine.run(&units), "");
    let files = ["systemctl", "list-unit-files", "--no-legend", "durhack-deployer*"];
    assert!(!machine.try_run(&files).status.success() || machine.run(&files).is_empty());
    assert!(machine.path("/var/lib/durhack-deployer/record.sqlite").exists(), "state stays");
    host.shows("three");

    // State on a file system of its own: emptied, and dpkg goes on.
    removal::state_on_a_mount(&host);
    host.types(&["dpkg", "-P", "durhack-deployer"]);
    removal::state_is_empty(&host);
    machine.run(&["umount", "/var/lib/durhack-deployer"]);
    assert!(!machine.path("/etc/durhack-deployer").exists());
    assert!(!machine.try_run(&["id", "durhack-deployer"]).status.success());
    host.shows("three");
}

#[test]
fn a_path_that_the_services_cannot_write_to_is_named_and_setup_lets_them() {
    let host = Host::set_up(Machine::boot());
    // A repository that only root can read is told by `init`, and so is what is to be done.
    host.machine.run(&["cp", "-r", "/srv/git/site", "/root/site"]);
    let init = host.machine.try_run(&["durhack-deployer", "init", "/root/site"]);
    let said = String::from_utf8_lossy(&init.stderr);
    assert!(
        init.status.success() && said.contains("/root/site lies in one: let it be durhack-deployer's"),
        "{said}"
    );
    host.machine.run(&[
        "sh",
        "-c",
        "cp -r /root/site /srv/ && mv /srv/site /srv/moved && chown -R durhack-deployer: /srv/moved",
    ]);
    let init = host.machine.try_run(&["durhack-deployer", "init", "/srv/moved"]);
    let said = String::from_utf8_lossy(&init.stderr);
    assert!(said.contains("`sudo -u durhack-deployer durhack-deployer init /srv/moved`"), "{said}");
    let init =
        host.machine.try_run(&["runuser", "-u", DEPLOYER, "--", "durhack-deployer", "init", "/srv/moved"]);
    assert!(init.status.success() && !String::from_utf8_lossy(&init.stderr).contains("warning"), "{init:?}");

    host.configure_with(&DEPLOYMENT.replace("/var/www/site", "/srv/site"));
    host.machine.unit("site.service", &UNIT.replace("/var/www/site", "/srv/site"));
    host.machine.run(&["install", "-d", "-o", DEPLOYER, "-g", DEPLOYER, "/srv/site"]);
    host.machine.run(&["systemctl", "reload-or-restart", "durhack-deployer-worker"]);
    let expected = "may only read /srv/site, where releases lie";
    let plan = host.operator(&["plan", "site"]);
    assert!(plan.contains("would fail before anything is done") && plan.contains(expected), "{plan}");
    let said = |words: &[&str]| {
        let output = host.machine.try_run(&[&["durhack-deployer"], words].concat());
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let doctor = said(&["doctor"]);
    assert!(doctor.contains(expected) && doctor.contains("`sudo durhack-deployer setup`"), "{doctor}");
    let deployed = said(&["deploy", "site"]);
    assert!(deployed.contains("/srv/site is read-only for this process"), "{deployed}");

    // As it says.
    host.types(&["durhack-deployer", "setup", "--yes"]);
    assert!(!host.operator(&["plan", "site"]).contains("would fail"));
    assert!(!said(&["doctor"]).contains(expected));
    let deployed = said(&["deploy", "site"]);
    assert!(host.machine.path("/srv/site/current").symlink_metadata().is_ok(), "{deployed}");
    // A repository of the service's own: root asks it for the head, and reads nothing of it.
    host.commit(&[("page", "two")]);
    let pushed = host.machine.try_run(&["durhack-deployer", "simulate", "push", "site"]);
    let pushed = String::from_utf8_lossy(&[pushed.stdout, pushed.stderr].concat()).into_owned();
    assert!(pushed.starts_with("202 "), "{pushed}");
}

#[test]
fn root_makes_no_state_directory_in_the_way_of_the_services() {
    let machine = Machine::boot();
    let configuration = "webhook_secret_token = \"a-secret-of-more-than-thirty-two-bytes-for-tests\"\nstate_directory = \"/var/lib/durhack-deployer\"\n";
    machine.write("/etc/durhack-deployer/default.toml", configuration);
    let state = machine.path("/var/lib/durhack-deployer");
    machine.unit(
        "durhack-deployer-worker.service",
        "[Service]\nExecStart=/usr/local/bin/durhack-deployer work\n",
    );
    let refused = machine.try_run(&["/usr/local/bin/durhack-deployer", "runs"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(
        said.contains("root would make it as its own") && said.contains("`sudo durhack-deployer setup`"),
        "{said}"
    );
    assert!(!state.exists());
    // Without services it is root's own deployer; and it says so.
    machine.run(&["rm", "/etc/systemd/system/durhack-deployer-worker.service"]);
    let made = machine.try_run(&["/usr/local/bin/durhack-deployer", "runs"]);
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success() && said.contains("is made now, as root's"), "{said}");
    assert!(state.exists());
}
