//! `doctor`: a host as it should be is green; each fault that a test makes is named, with what mends it, and the exit code says so.

mod github;
mod machine;
mod work;

use crate::support::configuration::{Deployment, text};
use crate::support::nginx::Nginx;
use crate::support::process::{command, describe, output, succeed};
use crate::support::repository::Repository;
use crate::support::wait;
use crate::support::world::{World, files_under};
use github::create_hook;
use serde::Deserialize;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What `doctor --json` printed.
#[derive(Debug, Deserialize)]
pub struct Report {
    ok: bool,
    errors: usize,
    findings: Vec<Finding>,
}

/// One of its lines.
#[derive(Debug, Deserialize)]
pub struct Finding {
    group: String,
    check: String,
    level: String,
    what: String,
    pub mend: Option<String>,
}

impl Report {
    #[track_caller]
    pub fn of(output: &Output) -> Self {
        let report: Self = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}\n{}", describe(output)));
        let expected = if report.errors > 0 { 1 } else { 0 };
        assert_eq!(output.status.code(), Some(expected), "{report:#?}");
        assert_eq!(report.ok, report.errors == 0);
        for finding in &report.findings {
            assert!(
                finding.mend.is_some() == finding.is_wrong(),
                "what is wrong says how it is mended: {finding:?}"
            );
        }
        report
    }

    /// A check says this, at this level, and how it is mended.
    #[track_caller]
    pub fn assert(&self, check: &str, level: &str, what: &str, mend: &str) {
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

    /// All that is wrong beside what the machine of the test is to blame for, and what these checks say.
    pub fn wrong_beside(&self, checks: &[&str]) -> Vec<&Finding> {
        let of_machine = |finding: &Finding| finding.group == "host" || finding.check == "git's version";
        let counts = |finding: &&Finding| {
            finding.is_wrong() && !of_machine(finding) && !checks.contains(&finding.check.as_str())
        };
        self.findings.iter().filter(counts).collect()
    }

    /// All that a check says.
    fn of_check(&self, check: &str) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| finding.check == check).collect()
    }

    /// A check finds nothing wrong: one line, which says what is right.
    #[track_caller]
    fn assert_well(&self, check: &str, what: &str) {
        let found = self.of_check(check);
        assert!(found.len() == 1 && found[0].level == "ok" && found[0].what.contains(what), "{found:#?}");
    }
}

impl Finding {
    fn is_wrong(&self) -> bool {
        matches!(self.level.as_str(), "warning" | "error")
    }
}

#[track_caller]
fn doctor(world: &World) -> Report {
    Report::of(&world.cli(&["doctor", "--json"]))
}

/// The command as root, whoever the service is. As where it is installed, root alone can have put the state where it is.
fn as_root(world: &World) -> Command {
    succeed(command("chown", world.root()).arg("root").arg(world.root()));
    set_mode(world.root(), 0o755);
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

/// Each file with its owner, mode and content; of the database, which a reader may tidy, without the content.
fn state_as_it_is(world: &World) -> Vec<(PathBuf, u32, u32, Option<Vec<u8>>)> {
    let described = |path: PathBuf| {
        let metadata = fs_err::symlink_metadata(&path).expect("nobody removes it");
        let is_read = metadata.is_file() && !path.to_string_lossy().contains(".sqlite");
        let content = is_read.then(|| fs_err::read(&path).expect("root reads everything"));
        (path, metadata.uid(), metadata.mode(), content)
    };
    state_files(world).into_iter().map(described).collect()
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
        wait::until("what was told to be crossed off", || {
            let is_note = |file: &PathBuf| file.to_string_lossy().contains("/trust/telling-");
            (!state_files(world).iter().any(is_note)).then_some(())
        });

        let before = state_as_it_is(world);
        for report in [doctor(world), Report::of(&output(&mut as_root(world)))] {
            // No `setup` has been here, which doctor says of every host with a service.
            assert!(report.wrong_beside(&["own users"]).is_empty(), "{report:#?}");
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
        assert_eq!(state_as_it_is(world), before, "it only looks");
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
            report.assert("deployments' paths", "error", "nobody may not write", "sudo -u nobody mv");
            report.assert("programs", "error", "no-such-tool", "executable_search_paths");
            report.assert("disks", "error", "srv/site", "keep_releases");
            report.assert("daemon", "error", "no daemon", "durhack-deployer serve");
            report.assert("worker", "error", "nobody deploys", "durhack-deployer serve");
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
        // One fault hides no others.
        report.assert("record", "not-checked", "there is no record yet", "");
        report.assert("deployments' paths", "ok", "may write where its deployments lie: 1", "");
    });
}

/// As one that was built, or downloaded, under umask 077.
#[test]
fn a_program_that_the_service_may_not_start_is_named() {
    World::run(|world| {
        host(world, |_, deployment| deployment);
        world.start();
        world.stop();
        let closed = world.root().join("closed");
        fs_err::copy(&world.binary, &closed).expect("writable");
        set_mode(&closed, 0o700);
        world.binary = closed.clone();
        let report = Report::of(&output(&mut as_root(world)));
        report.assert("state", "not-checked", &format!("`chmod 755 {}`", closed.display()), "");
    });
}

#[test]
fn files_of_strangers_and_what_is_not_there_yet_are_named() {
    World::run(|world| {
        let variables = world.root().join("site.env");
        fs_err::write(&variables, "PASSWORD=secret\n").expect("writable");
        set_mode(&variables, 0o600);
        host(world, |world, deployment| {
            let there = world.root().join("foreign/site");
            let deployment = deployment.with("env_file", text(&variables.to_string_lossy()));
            deployment.with("path", text(&there.to_string_lossy()))
        });
        world.start();
        world.stop();
        doctor(world).assert_well("secrets", "nobody else reads");
        // Somebody who is neither root nor the service's user.
        let layer = world.configuration.join("default.toml");
        let foreign = world.root().join("foreign");
        fs_err::create_dir(&foreign).expect("writable");
        set_mode(&layer, 0o644);
        set_mode(&world.state(), 0o777);
        succeed(command("chown", world.root()).arg("1234").args([&variables, &layer, &foreign]));
        let report = Report::of(&output(&mut as_root(world)));
        report.assert("secrets", "warning", "belongs to user 1234", "chown nobody:");
        report.assert("configuration files", "warning", "belongs to user 1234", "chown root:");
        report.assert("state", "error", "others may put files in it", "chmod 700");
        report.assert("deployments' paths", "error", "nobody may not make it", "install -d -o nobody");

        set_mode(&world.state(), 0o700);
        fs_err::rename(world.state(), world.root().join("elsewhere")).expect("writable");
        let report = Report::of(&output(&mut as_root(world)));
        report.assert("state", "warning", "yet", "the first start makes it");
        report.assert("record", "not-checked", "there is no record yet", "");
        assert!(!world.state().exists(), "it only looks");
        fs_err::rename(world.root().join("elsewhere"), world.state()).expect("writable");
    });
}

#[test]
fn root_asks_from_a_home_that_the_service_may_not_enter() {
    World::run(|world| {
        let repository = host(world, |_, deployment| deployment);
        repository.commit(&[("index.html", "one")], "first");
        world.start();
        let home = world.root().join("roots");
        fs_err::create_dir(&home).expect("writable");
        fs_err::write(home.join(".env"), "DEPLOYER_ENV=\n").expect("writable");
        set_mode(&home, 0o700);
        let by_root = |words: &[&str]| {
            let mut command = command(world.root().join("durhack-deployer"), &home);
            command.envs(world.environment.iter().cloned()).arg("--config").arg(&world.configuration);
            command.current_dir(&home).args(words);
            command
        };
        // As long as another user could have put the state there, root is not led to become that one.
        let refused = output(&mut by_root(&["status"]));
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(
            said.contains("others than root could have put it there") && said.contains("sudo -u"),
            "{said}"
        );
        succeed(command("chown", world.root()).arg("root").arg(world.root()));
        set_mode(world.root(), 0o755);
        for words in [&["status"][..], &["plan", "site"], &["deploy", "site"]] {
            succeed(&mut by_root(words));
        }
    });
}

#[test]
fn nginx_that_refuses_and_certificates_that_end_are_named() {
    World::run(|world| {
        let repository = world.repository("acme/nginx");
        let mut nginx = Nginx::prepare(world);
        // DNS is not asked for this one.
        world.settings.set("origin", "\"https://localhost\"");
        let deployment =
            world.deployment("nginx", &repository).with("recipe", "\"nginx-sites\"").with("sites", "[]");
        world.configure(&[deployment]);
        world.start();
        nginx.start();
        let report = doctor(world);
        report.assert_well("configuration of nginx", "accepts what is live");
        report.assert_well("site directories", "nobody may write conf.d and snippets");

        let lineage = world.root().join("letsencrypt/live/example.org");
        fs_err::create_dir_all(&lineage).expect("writable");
        let certificate = lineage.join("fullchain.pem");
        self_signed(world, &certificate, 2);
        nginx.write("conf.d/[broken].conf", "server { listen 80; no_such_directive; }\n");
        succeed(command("chown", world.root()).arg("root").arg(nginx.path("snippets")));
        let report = doctor(world);
        report.assert("certificates", "error", "within three days", "certbot renew --cert-name example.org");
        report.assert("configuration of nginx", "error", "no_such_directive", "-t");
        report.assert("site directories", "error", "nobody may not write", "setfacl -m user:nobody:rwx");
        let text = fs_err::read_to_string(nginx.path("nginx.conf")).expect("readable");
        nginx.write("nginx.conf", &text.replace("include conf.d/*.nginxconf;", ""));
        doctor(world).assert("configuration of nginx", "error", "does not include", "conf.d/*.nginxconf");

        // It may write there by a list, in which new files are not.
        let snippets = nginx.path("snippets");
        succeed(command("setfacl", world.root()).args(["-m", "user:nobody:rwx"]).arg(&snippets));
        doctor(world).assert(
            "site directories",
            "warning",
            "no default ACL",
            "setfacl -m default:user:nobody:rw",
        );
        let list = "default:user:nobody:rw";
        succeed(command("setfacl", world.root()).args(["-m", list]).arg(&snippets));
        doctor(world).assert_well("site directories", "nobody may write conf.d and snippets");
        fs_err::remove_dir_all(&snippets).expect("writable");
        fs_err::write(&certificate, "no certificate").expect("writable");
        fs_err::remove_file(nginx.path("nginx.conf")).expect("writable");
        let report = doctor(world);
        report.assert("site directories", "error", "there is no", "install -d");
        report.assert("certificates", "error", "is no certificate", "certbot certificates");
        report.assert("configuration of nginx", "error", "there is no", "[nginx]");
        self_signed(world, &certificate, 20);
        doctor(world).assert(
            "certificates",
            "warning",
            "was not renewed",
            "certbot renew --cert-name example.org",
        );
        self_signed(world, &certificate, 90);
        doctor(world).assert_well("certificates", "none near its end");
    });
}

/// A certificate that ends in so many days.
#[track_caller]
fn self_signed(world: &World, file: &Path, days: u32) {
    let mut openssl = command("openssl", world.root());
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=example.org"]);
    openssl.args(["-days", &days.to_string(), "-keyout", "/dev/null", "-out"]);
    succeed(openssl.arg(file));
}
