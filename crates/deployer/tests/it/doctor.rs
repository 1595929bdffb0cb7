//! `doctor`: a host as it should be is green; each fault that a test makes is named, with what mends it, and the exit code says so.

use crate::support::configuration::{Deployment, text};
use crate::support::gate::Gate;
use crate::support::github::{TOKEN, Weather};
use crate::support::http::Request;
use crate::support::nginx::Nginx;
use crate::support::process::{command, describe, output, succeed};
use crate::support::repository::Repository;
use crate::support::servers::free_port;
use crate::support::wait;
use crate::support::world::{SECRET, World, files_under};
use serde::Deserialize;
use serde_json::json;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What `doctor --json` printed.
#[derive(Debug, Deserialize)]
struct Report {
    ok: bool,
    errors: usize,
    findings: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
struct Finding {
    group: String,
    check: String,
    level: String,
    what: String,
    mend: Option<String>,
}

impl Report {
    #[track_caller]
    fn of(output: &Output) -> Self {
        let report: Self = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}\n{}", describe(output)));
        let expected = if report.errors > 0 { 1 } else { 0 };
        assert_eq!(output.status.code(), Some(expected), "{report:#?}");
        assert_eq!(report.ok, report.errors == 0);
        for finding in &report.findings {
            let is_wrong = matches!(finding.level.as_str(), "warning" | "error");
            assert!(finding.mend.is_some() == is_wrong, "what is wrong says how it is mended: {finding:?}");
        }
        report
    }

    /// A check says this, at this level, and how it is mended.
    #[track_caller]
    fn assert(&self, check: &str, level: &str, what: &str, mend: &str) {
        let fits = |finding: &&Finding| {
            let mended = finding.mend.as_deref().unwrap_or_default();
            finding.check == check
                && finding.level == level
                && finding.what.contains(what)
                && mended.contains(mend)
        };
        assert!(
            self.findings.iter().any(|finding| fits(&finding)),
            "{check} {level} {what:?}:\n{:#?}",
            self.findings
        );
    }

    /// All that is wrong beside what the machine of the test is to blame for.
    fn wrong(&self) -> Vec<&Finding> {
        let of_machine = |finding: &&Finding| finding.group == "host" || finding.check == "git's version";
        let is_wrong = |finding: &&Finding| matches!(finding.level.as_str(), "warning" | "error");
        self.findings.iter().filter(is_wrong).filter(|finding| !of_machine(finding)).collect()
    }
}

#[track_caller]
fn doctor(world: &World) -> Report {
    Report::of(&world.cli(&["doctor", "--json"]))
}

/// The command as root, whoever the service is.
fn as_root(world: &World) -> Command {
    let mut command = command(&world.binary, &world.root().join("home"));
    command.current_dir(world.root()).envs(world.environment.iter().cloned());
    command.arg("--config").arg(&world.configuration).args(["doctor", "--json"]);
    command
}

fn set_mode(path: &Path, mode: u32) {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// A world that nothing is wrong with, but that no daemon runs; with one deployment.
fn host(world: &mut World, change: impl FnOnce(&mut World, Deployment) -> Deployment) -> Repository {
    let repository = world.repository("acme/site");
    world.settings.set("origin", "\"https://localhost\"");
    world.drop_privileges();
    let deployment = world.deployment("site", &repository);
    let deployment = change(world, deployment);
    configure(world, &[deployment]);
    set_mode(&world.state(), 0o700);
    repository
}

fn configure(world: &World, deployments: &[Deployment]) {
    world.configure(deployments);
    // It holds secrets.
    set_mode(&world.configuration.join("default.toml"), 0o600);
}

/// Without those that SQLite keeps beside a database while somebody reads it, and sometimes until somebody does again.
fn state_files(world: &World) -> Vec<PathBuf> {
    let mut files = files_under(&world.state());
    files.retain(|path| {
        !path.to_string_lossy().ends_with("-wal") && !path.to_string_lossy().ends_with("-shm")
    });
    files
}

#[track_caller]
fn create_hook(world: &World) {
    world.github.reach("https://localhost", Some(world.address()));
    // `webhook create` would not: a name that leads to this machine is one that GitHub cannot reach.
    let hook = json!({ "name": "web", "active": true, "events": ["push"], "config": {
        "url": "https://localhost/github-webhook", "content_type": "json", "insecure_ssl": "0", "secret": SECRET } });
    let answer = Request::new("POST", "/repos/acme/site/hooks")
        .header("Authorization", format!("Bearer {TOKEN}"))
        .body(hook.to_string().as_bytes())
        .send(world.github.url().trim_start_matches("http://"));
    assert_eq!(answer.status, 201, "{answer:?}");
    wait::until("the ping to be answered", || {
        world.github.hooks("acme/site").iter().any(|hook| !hook.deliveries.is_empty()).then_some(())
    });
}

#[test]
fn a_host_as_it_should_be_is_green_as_the_service_and_as_root_and_nothing_is_changed() {
    World::run(|world| {
        let repository = host(world, |_, deployment| deployment.step("build", "compile", "true"));
        world.start();
        create_hook(world);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.deploy("site", &repository, &commit);
        world.reported(&repository, &commit);

        let before = state_files(world);
        for report in [doctor(world), Report::of(&output(&mut as_root(world)))] {
            assert!(report.wrong().is_empty(), "{report:#?}");
            for check in [
                "configuration",
                "state",
                "credentials",
                "hooks",
                "daemon",
                "worker",
                "record",
                "queues",
                "runs",
                "programs",
            ] {
                report.assert(check, "ok", "", "");
            }
        }
        assert_eq!(state_files(world), before, "it only looks");
        let unseen = doctor(world);
        unseen.assert("sudo's rules", "ok", "", "");

        let shown = world.cli(&["doctor"]);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(
            shown.contains("ok          daemon: the daemon answers") && !shown.contains('\u{1b}'),
            "{shown}"
        );
    });
}

#[test]
fn files_that_others_read_or_own_and_places_that_cannot_be_written_are_named() {
    World::run(|world| {
        host(world, |world, deployment| {
            let variables = world.root().join("site.env");
            fs_err::write(&variables, "PASSWORD=secret\n").expect("writable");
            set_mode(&variables, 0o644);
            let deployment = deployment.with("env_file", text(&variables.to_string_lossy()));
            deployment.step_of("{ phase = \"build\", run = [\"no-such-tool\", \"--now\"] }")
        });
        let path = world.path_of("site");
        fs_err::create_dir(&path).expect("writable");
        world.start();
        world.stop();
        let foreign = world.state().join("left-by-root");
        fs_err::write(&foreign, "").expect("writable");
        succeed(command("chown", world.root()).arg("root").arg(&path));
        set_mode(&world.configuration.join("default.toml"), 0o622);
        set_mode(&world.state(), 0o755);
        let before = state_files(world);
        // A small file system, on which little is free.
        world.mount_small(&path, 4 << 20);
        set_mode(&path, 0o755);

        for report in [doctor(world), Report::of(&output(&mut as_root(world)))] {
            report.assert("secrets", "error", "site.env", "chmod 600");
            report.assert("state", "warning", "mode 755", "chmod 700");
            report.assert("state", "error", "left-by-root", "chown -R nobody:");
            report.assert("configuration files", "error", "default.toml", "chmod go-w");
            report.assert("deployments' paths", "error", "nobody may not write", "chown nobody:");
            report.assert("programs", "error", "no-such-tool", "executable_search_paths");
            report.assert("disks", "error", "srv/site", "keep_releases");
            report.assert("daemon", "warning", "no daemon", "durhack-deployer serve");
            report.assert("worker", "warning", "nobody deploys", "durhack-deployer serve");
        }
        assert_eq!(state_files(world), before, "it only looks");
        for path in files_under(&world.state()).into_iter().filter(|path| *path != foreign) {
            let owner = path.symlink_metadata().expect("it was listed").uid();
            assert_ne!(owner, 0, "{} was left by root", path.display());
        }
    });
}

#[test]
fn a_secret_that_everybody_reads_keeps_the_service_from_starting_and_is_named() {
    World::run(|world| {
        let secret = world.root().join("webhook-secret");
        fs_err::write(&secret, "a-secret-of-more-than-thirty-two-bytes-in-a-file\n").expect("writable");
        set_mode(&secret, 0o644);
        world.settings.set("webhook_secret_token_file", text(&secret.to_string_lossy()));
        host(world, |_, deployment| deployment);
        let report = Report::of(&output(&mut as_root(world)));
        report.assert("configuration", "error", "mode 644", &format!("chmod 600 {}", secret.display()));
        report.assert("record", "not-checked", "the configuration cannot be used", "");
    });
}

#[test]
fn what_is_wrong_at_github_is_named() {
    World::run(|world| {
        host(world, |world, deployment| {
            world.settings.set("github.deployments", "true");
            deployment
        });
        world.start();
        doctor(world).assert("hooks", "error", "no hook delivers", "webhook create");
        create_hook(world);

        // The hook exists, and its delivery reaches nobody.
        world.github.reach("https://localhost", None);
        assert!(world.cli(&["webhook", "ping"]).status.success());
        wait::until("a delivery to fail", || {
            (world.github.hooks("acme/site")[0].deliveries.len() > 1).then_some(())
        });
        world.github.set_scopes("repo:status, admin:org");
        world.github.set_account(true, true);
        let soon = durhack_deployer::clock::now() + jiff::SignedDuration::from_hours(24);
        world.github.set_expiration(&soon.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
        world.github.set_date("Mon, 23 Nov 2020 18:50:00 GMT");
        world.github.set_quota(100, 3600);
        let report = doctor(world);
        report.assert("hooks", "error", "the last delivery failed", "webhook redeliver");
        report.assert("credentials", "error", "may not write deployments", "fine-grained");
        report.assert("credentials", "warning", "admin:org", "fine-grained");
        report.assert("credentials", "warning", "administers acme/site", "GITHUB_TOKEN");
        report.assert("credentials", "warning", "it ends at", "settings/tokens");
        report.assert("credentials", "warning", "requests of this hour", "GitHub App");
        report.assert("clock", "error", "ahead of GitHub's", "timedatectl set-ntp true");

        world.github.set_account(false, false);
        world.github.let_token_manage_hooks(false);
        let report = doctor(world);
        report.assert("credentials", "error", "may not write to acme/site", "role Write");
        report.assert("hooks", "not-checked", "may not see hooks", "");

        world.github.remove_token(TOKEN);
        let report = doctor(world);
        report.assert("credentials", "error", "has ended, or was revoked", "settings/tokens");

        world.github.set_weather(Weather::Fails);
        doctor(world).assert("credentials", "error", "GitHub does not answer", "githubstatus");
    });
}

#[test]
fn what_nobody_answers_for_is_named() {
    World::run(|world| {
        // Another program listens where the daemon should; the database and GitHub are away.
        let other = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let port = other.local_addr().expect("it is bound").port();
        let nobody = format!("127.0.0.1:{}", free_port());
        host(world, |world, deployment| {
            world.settings.set("origin", "\"https://deploy.invalid\"");
            world.settings.set("listen.port", port.to_string());
            world.settings.set("github.api_url", text(&format!("http://{nobody}")));
            world.settings.set("database_url", text(&format!("postgres://durhack@{nobody}/record")));
            world.settings.set("source_networks", "\"github\"");
            deployment
        });
        let report = Report::of(&output(&mut as_root(world)));
        report.assert("daemon", "error", "another program holds", "ss -ltnp");
        report.assert("record", "error", "the database is not available", "start the database");
        report.assert("credentials", "error", "GitHub does not answer", "githubstatus");
        report.assert("origin", "error", "deploy.invalid resolves to nothing", "A or AAAA record");
        report.assert("networks", "error", "answered 503", "source_networks");
        drop(other);
    });
}

#[test]
fn what_got_stuck_is_named() {
    World::run(|world| {
        let repository = host(world, |_, deployment| deployment);
        let gate = Gate::new(&world.root().join("srv"));
        let deployment = world.deployment("site", &repository).step("build", "compile", &gate.shell());
        configure(world, &[deployment]);
        world.start();
        let commit = repository.commit(&[("index.html", "one")], "first");
        let guid = world.push(&repository, &commit);
        gate.wait_for(&commit);
        doctor(world).assert("runs", "ok", "1 in progress", "");
        world.kill();

        let old = "00000000000000000001";
        let other = "01a2087b-a47d-7212-a449-6c1ef1f198c0";
        let bad = world.spool("main").join("bad");
        for (directory, name) in [(&bad, other), (&world.spool("main"), guid.as_str())] {
            fs_err::write(directory.join(format!("{old}-{name}.json")), "{}").expect("writable");
        }
        fs_err::write(bad.join(format!("{old}-{other}.json.reason")), "it is no entry\n").expect("writable");
        let report = doctor(world);
        report.assert("runs", "error", "is gone", "start the daemon");
        report.assert("queues", "warning", "it is no entry", &format!("queue drop {old}-{other}"));
        report.assert("queues", "warning", "waiting entries: 1", "status");
        report.assert("daemon", "warning", "no daemon", "");
        fs_err::remove_file(world.spool("main").join(format!("{old}-{guid}.json"))).expect("it is there");
    });
}

#[test]
fn nginx_that_refuses_and_certificates_that_end_are_named() {
    World::run(|world| {
        let repository = world.repository("acme/nginx");
        let mut nginx = Nginx::prepare(world);
        let deployment =
            world.deployment("nginx", &repository).with("recipe", "\"nginx-sites\"").with("sites", "[]");
        world.configure(&[deployment]);
        world.start();
        nginx.start();
        let report = doctor(world);
        report.assert("configuration of nginx", "ok", "accepts what is live", "");
        report.assert("site directories", "ok", "", "");

        let lineage = world.root().join("letsencrypt/live/example.org");
        fs_err::create_dir_all(&lineage).expect("writable");
        let certificate = lineage.join("fullchain.pem");
        let key = ["-keyout", "/dev/null", "-out", &certificate.to_string_lossy()].map(str::to_owned);
        let mut openssl = command("openssl", world.root());
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=example.org",
        ]);
        succeed(openssl.args(key));
        nginx.write("conf.d/[broken].conf", "server { listen 80; no_such_directive; }\n");
        succeed(command("chown", world.root()).arg("root").arg(nginx.path("snippets")));
        let report = doctor(world);
        report.assert("certificates", "error", "within three days", "certbot renew --cert-name example.org");
        report.assert("configuration of nginx", "error", "no_such_directive", "-t");
        report.assert("site directories", "error", "nobody may not write", "setfacl -m user:nobody:rwx");
        let text = fs_err::read_to_string(nginx.path("nginx.conf")).expect("readable");
        nginx.write("nginx.conf", &text.replace("include conf.d/*.nginxconf;", ""));
        doctor(world).assert("configuration of nginx", "error", "does not include", "conf.d/*.nginxconf");
    });
}

/// In a namespace of its own, so that the machine's rules stay as they are.
#[test]
fn rules_of_sudo_that_are_root_for_whoever_can_push_are_named() {
    World::run(|world| {
        host(world, |world, deployment| {
            world.settings.set("privileges", "\"sudo\"");
            world.settings.set("executable_search_paths", "[\"/etc/of-a-test\"]");
            deployment
        });
        world.start();
        let rules = world.root().join("etc");
        fs_err::create_dir_all(rules.join("sudoers.d")).expect("writable");
        let included = rules.join("sudoers.d");
        fs_err::write(
            rules.join("sudoers"),
            format!("root ALL=(ALL:ALL) ALL\n@includedir {}\n", included.display()),
        )
        .expect("writable");
        let original = "nobody ALL=(ALL) NOPASSWD: /usr/bin/certbot\nnobody ALL=(ALL) NOPASSWD: /usr/bin/systemctl reload nginx\n";
        fs_err::write(included.join("deployer"), original).expect("writable");
        // A sudo of a test: what it says of its version is all that it does. Root calls none that is not root's.
        let shims = rules.join("of-a-test");
        fs_err::create_dir(&shims).expect("writable");
        fs_err::write(shims.join("sudo"), "#!/bin/sh\necho 'Sudo version 1.9.16p2'\n").expect("writable");
        set_mode(&shims.join("sudo"), 0o755);

        let doctor = as_root(world);
        let mut inside = command("unshare", world.root());
        inside.envs(doctor.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let script = r#"touch "$1/target" && mount -t tmpfs tmpfs /mnt && cp -a /etc/. /mnt/ && cp "$1/sudoers" /mnt/sudoers && cp -r "$1/of-a-test" /mnt && mount --bind /mnt /etc && shift && exec "$@""#;
        inside.args(["--mount", "sh", "-ec", script, "sh"]).arg(&rules);
        inside.arg(doctor.get_program()).args(doctor.get_args());
        inside.current_dir(world.root());
        let report = Report::of(&output(&mut inside));
        report.assert("sudo's rules", "error", "nobody may run `/usr/bin/certbot` as root", "visudo -f");
        let of_rules = report.findings.iter().filter(|finding| finding.check == "sudo's rules");
        assert_eq!(of_rules.count(), 1, "an exact rule is none: {report:#?}");
        report.assert("sudo's version", "error", "CVE-2025-32463", "install a newer sudo");
    });
}
