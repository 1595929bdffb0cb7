//! The deployer as a host has it: a service of systemd's, run by a user without rights, in a booted machine.

use super::machine::{Machine, Sources};

/// As whom it runs.
pub const USER: &str = "durhack-deployer";

/// Its home and its state.
pub const HOME: &str = "/var/lib/durhack-deployer";

/// As `packaging/` has it, in what matters here: what is in its control group ends with it.
const UNIT: &str = "[Service]
Type=notify
User=durhack-deployer
ExecStart=/usr/local/bin/durhack-deployer serve
KillMode=control-group
";

const PROGRAM: &str = "/usr/local/bin/durhack-deployer";

/// See the module. It has one deployment, `site`, of the branch `main` of [`Service::sources`].
pub struct Service<'m> {
    pub machine: &'m Machine,
    pub sources: Sources<'m>,
}

impl<'m> Service<'m> {
    /// Makes the user, the service (not started) and the repository. `global` and `keys` are configuration: of the host, and of the deployment.
    #[track_caller]
    pub fn install(machine: &'m Machine, global: &str, keys: &str) -> Self {
        machine.run(&[
            "useradd",
            "--system",
            "--create-home",
            "--home-dir",
            HOME,
            "--shell",
            "/bin/sh",
            USER,
        ]);
        machine.run(&["install", "-d", "-o", USER, "/srv/site"]);
        machine.unit("durhack-deployer.service", UNIT);
        let sources = Sources::of_user(machine, "site", USER);
        let url = sources.url();
        machine.write(
            "/etc/durhack-deployer/default.toml",
            &format!(
                r#"
webhook_secret_token = "a-secret-of-more-than-thirty-two-bytes-for-tests"
source_networks = "any"
state_directory = "{HOME}/state"
listen.port = 3400
{global}
[deployments.site]
repository = "acme/site"
branch = "main"
clone_url = "{url}"
path = "/srv/site"
enabled = true
{keys}
"#
            ),
        );
        Self { machine, sources }
    }

    #[track_caller]
    pub fn start(&self) {
        self.machine.run(&["systemctl", "start", "durhack-deployer"]);
    }

    /// Ends it and everything in its control group, and starts it again.
    #[track_caller]
    pub fn restart(&self) {
        self.machine.run(&["systemctl", "restart", "durhack-deployer"]);
    }

    /// Runs a command as its user; whether it succeeded, and what was printed.
    pub fn as_user(&self, words: &[&str]) -> (bool, String) {
        let login = ["runuser", "-u", USER, "--", "env", &format!("HOME={HOME}")];
        let output = self.machine.try_run(&[&login, words].concat());
        let printed = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
    }

    /// The command line, as its user; likewise.
    pub fn cli(&self, words: &[&str]) -> (bool, String) {
        self.as_user(&[&[PROGRAM], words].concat())
    }

    /// Has the service deploy the head, which must succeed.
    #[track_caller]
    pub fn deploys(&self) {
        let (succeeded, printed) = self.cli(&["deploy", "site"]);
        assert!(succeeded, "{printed}\n{}\n{}", self.log(), self.machine.picture());
    }

    /// Has the service deploy the head, which must fail with all of this in what is printed.
    #[track_caller]
    pub fn fails(&self, because: &[&str]) {
        let (succeeded, printed) = self.cli(&["deploy", "site"]);
        let said = because.iter().all(|because| printed.contains(because));
        assert!(!succeeded && said, "{because:?} in {printed}\n{}", self.log());
    }

    /// The log of the last run.
    pub fn log(&self) -> String {
        self.cli(&["logs", "site"]).1
    }

    /// The service or scope that a process belongs to.
    #[track_caller]
    pub fn unit_of(&self, pid: &str) -> String {
        let cgroup = self.machine.run(&["cat", &format!("/proc/{pid}/cgroup")]);
        let path =
            cgroup.lines().find_map(|line| line.split_once(":name=systemd:").or(line.split_once("0::")));
        let path = path.expect("systemd has put it somewhere").1;
        let unit = path.split('/').rfind(|part| part.ends_with(".service") || part.ends_with(".scope"));
        unit.unwrap_or(path).to_owned()
    }
}
