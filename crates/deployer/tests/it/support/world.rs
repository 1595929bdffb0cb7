//! A world for one test: a directory that holds everything, a GitHub, repositories, and the real daemon.
//!
//! Theory of operation: [`World::run`] makes the world, lets the test act, and then asks what every test must
//! ask: has the daemon stopped when told to, is no process of it left, has nothing in it panicked? When
//! the test fails, it prints what a person would look at first: the daemon's log and what lies in the spools.
//! Processes are recognised by the world's directory in their environment, arguments or working directory,
//! so that worlds run side by side.

use super::configuration::{Deployment, Settings, text};
use super::github::{self, GitHub, Status};
use super::http::Answer;
use super::process::{self, command, describe, living_in, output};
use super::push::Delivery;
use super::record::{DeploymentStatus, Run, RunPage, Verdict};
use super::repository::Repository;
use super::wait;
use rustix::process::{Pid, Signal};
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};

/// The webhook secret of every world.
pub const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes-for-tests";

/// The instance name of every world.
pub const INSTANCE: &str = "deploy.test";

/// The system's user without any rights.
const NOBODY: u32 = 65534;

/// Lines of the daemon's log that a failing test prints.
const LOG_LINES_SHOWN: usize = 300;

#[derive(Debug)]
pub struct World {
    root: tempfile::TempDir,
    /// Everything beside the deployments, to be changed before [`World::configure`].
    pub settings: Settings,
    /// Added to the environment of the daemon and the CLI.
    pub environment: Vec<(String, String)>,
    /// Searched for programs before the machine's `PATH`.
    pub shims: Option<PathBuf>,
    pub github: GitHub,
    /// The product, as the daemon and as the CLI.
    pub binary: PathBuf,
    pub configuration: PathBuf,
    daemon: Option<Child>,
    address: String,
    unprivileged: bool,
    mounts: Vec<PathBuf>,
}

impl World {
    /// Runs a test in a world of its own.
    pub fn run(test: impl FnOnce(&mut World)) {
        let mut world = World::new();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            test(&mut world);
            world.finish();
        }));
        if let Err(panic) = outcome {
            eprintln!("{}", world.picture());
            resume_unwind(panic);
        }
    }

    fn new() -> Self {
        let root = tempfile::Builder::new().prefix("deployer-world-").tempdir().expect("a directory in /tmp");
        for directory in ["home", "config", "state", "srv"] {
            fs_err::create_dir(root.path().join(directory)).expect("the world is writable");
        }
        let github = GitHub::start();
        let mut settings = Settings::default();
        settings.set("origin", "\"https://deploy.test\"");
        settings.set("webhook_secret_token", text(SECRET));
        settings.set("source_networks", "\"any\"");
        settings.set("state_directory", text(&root.path().join("state").to_string_lossy()));
        settings.set("listen.host", "\"127.0.0.1\"");
        settings.set("listen.port", "0");
        settings.set("github.api_url", text(github.url()));
        settings.set("github.token", text(github::TOKEN));
        // A test that commits and then pushes means its own push; `reconcile.rs` switches it on.
        settings.set("reconcile.enabled", "false");
        // Steps of tests leave signs of what they saw wherever the test looks; `confine` is for those that are about that.
        settings.set("confinement.writable", format!("[{}]", text(&root.path().to_string_lossy())));
        Self {
            binary: process::product(),
            configuration: root.path().join("config"),
            root,
            settings,
            environment: vec![("DEPLOYER_INSTANCE".into(), INSTANCE.into())],
            shims: None,
            github,
            daemon: None,
            address: String::new(),
            unprivileged: false,
            mounts: Vec::new(),
        }
    }

    /// The directory that holds everything.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The product's `state_directory`.
    pub fn state(&self) -> PathBuf {
        self.root().join("state")
    }

    /// Where a deployment's releases lie.
    pub fn path_of(&self, slug: &str) -> PathBuf {
        self.root().join("srv").join(slug)
    }

    /// `host:port` of the daemon.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A new repository on the world's GitHub.
    pub fn repository(&self, name: &str) -> Repository {
        Repository::create(self.root(), name, self.github.clone())
    }

    /// The configuration of a deployment of its `main`, without steps.
    pub fn deployment(&self, slug: &str, repository: &Repository) -> Deployment {
        Deployment::new(slug)
            .with("repository", text(&repository.name))
            .with("branch", "\"main\"")
            .with("path", text(&self.path_of(slug).to_string_lossy()))
            .with("enabled", "true")
            .with("clone_url", text(&repository.clone_url()))
            .with("recipe", "\"steps\"")
    }

    /// Writes the configuration: the settings and these deployments.
    pub fn configure(&self, deployments: &[Deployment]) {
        let file = self.root().join("config/default.toml");
        fs_err::write(file, self.settings.file(deployments)).expect("the world is writable");
    }

    /// From now on the daemon runs as a user without rights (root sees everything, so that a test of what a
    /// step can see would pass or fail for the wrong reason).
    pub fn drop_privileges(&mut self) {
        let binary = self.root().join("durhack-deployer");
        fs_err::copy(process::product(), binary).expect("the world is writable");
        self.unprivileged = true;
    }

    /// From now on steps that make a release may write to nothing that they may not write to in an installation.
    pub fn confine(&mut self) {
        self.settings.remove("confinement.writable");
    }

    /// Mounts a small file system in memory, which is there as long as the world is.
    #[track_caller]
    pub fn mount_small(&mut self, at: &Path, bytes: u64) {
        self.mount(at, &format!("size={bytes}"));
    }

    /// Shows a directory in a second place, which is there as long as the world is.
    #[track_caller]
    pub fn bind(&mut self, directory: &Path, at: &Path) {
        fs_err::create_dir_all(at).expect("the world is writable");
        process::succeed(command("mount", at).arg("--bind").args([directory, at]));
        self.mounts.push(at.to_owned());
    }

    /// The same as [`World::mount_small`], by the options of tmpfs(5).
    #[track_caller]
    pub fn mount(&mut self, at: &Path, options: &str) {
        fs_err::create_dir_all(at).expect("the world is writable");
        process::succeed(command("mount", at).args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at));
        self.mounts.push(at.to_owned());
    }

    /// Starts the daemon and waits until it listens.
    #[track_caller]
    pub fn start(&mut self) {
        if self.unprivileged {
            let owner = format!("{NOBODY}:{NOBODY}");
            process::succeed(command("chown", self.root()).args(["-R", &owner]).arg(self.root()));
        }
        let serve = self.product(&["serve"]);
        if let Some(status) = self.launch(serve) {
            panic!("the daemon ended at start: {status}\n{}", self.log());
        }
    }

    /// Starts a daemon by this command and waits until it listens. Gives how it ended if it did so before.
    #[track_caller]
    pub fn launch(&mut self, mut serve: Command) -> Option<ExitStatus> {
        let listening = self.state().join("intake/listen.address");
        // The one of an earlier daemon would name its port.
        let _ = fs_err::remove_file(&listening);
        let log = fs_err::File::options().create(true).append(true).open(self.log_file()).expect("writable");
        let logged = self.log().len();
        serve.stdout(log.file().try_clone().expect("descriptors are left")).stderr(log.into_parts().0);
        let mut daemon = serve.spawn().expect("the product's binary was built");
        let (address, ended) = wait::until("the daemon to listen", || {
            if let Some(status) = daemon.try_wait().expect("it is our child") {
                return Some((String::new(), Some(status)));
            }
            let written = fs_err::read_to_string(&listening).ok().map(|text| text.trim().to_owned());
            // On a full disk only the log has it.
            let log = self.log().split_off(logged);
            let said =
                || log.lines().find_map(|line| Some(line.split_once("listening on http://")?.1.to_owned()));
            written.filter(|address| !address.is_empty()).or_else(said).map(|address| (address, None))
        });
        self.address = address;
        self.daemon = ended.is_none().then_some(daemon);
        ended
    }

    /// Whether the daemon has died. Then it is not there any more, and another one may be started.
    pub fn has_died(&mut self) -> bool {
        let ended = |daemon: &mut Child| daemon.try_wait().expect("it is our child").is_some();
        let died = self.daemon.as_mut().is_none_or(ended);
        if died {
            self.daemon = None;
        }
        died
    }

    /// Runs `serve` where it is expected to refuse, and gives what it said.
    #[track_caller]
    pub fn start_refused(&self) -> Output {
        let mut daemon = self
            .product(&["serve"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the product's binary was built");
        let ended = catch_unwind(AssertUnwindSafe(|| {
            wait::until("the daemon to refuse to start", || daemon.try_wait().expect("it is our child"));
        }));
        let _ = daemon.kill();
        let output = daemon.wait_with_output().expect("it is our child");
        assert!(ended.is_ok() && !output.status.success(), "it started:\n{}", describe(&output));
        output
    }

    /// The running daemon's process id.
    #[track_caller]
    pub fn daemon_id(&self) -> u32 {
        self.daemon.as_ref().expect("the daemon was started").id()
    }

    /// Sends the daemon a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let daemon = self.daemon.as_ref().expect("the daemon was started");
        rustix::process::kill_process(Pid::from_child(daemon), signal).expect("it is our child");
    }

    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait_for_exit();
    }

    /// `TERM`, and waits until it has gone.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_exit()
    }

    /// Waits until a daemon that was told to stop has gone.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let mut daemon = self.daemon.take().expect("the daemon was started");
        let gone = catch_unwind(AssertUnwindSafe(|| {
            wait::until("the daemon to end", || daemon.try_wait().expect("it is our child"))
        }));
        gone.unwrap_or_else(|panic| {
            self.daemon = Some(daemon);
            resume_unwind(panic)
        })
    }

    /// Sends a signed delivery.
    #[track_caller]
    pub fn deliver(&self, delivery: &Delivery) -> Answer {
        delivery.signed(SECRET).send(&self.address)
    }

    /// Sends a signed delivery that must be accepted, and gives its GUID.
    #[track_caller]
    pub fn accept(&self, delivery: &Delivery) -> String {
        let answer = self.deliver(delivery);
        assert_eq!(answer.status, 202, "{}: {answer:?}", delivery.event);
        delivery.guid.clone()
    }

    /// Tells the daemon that `commit` was pushed to `main`.
    #[track_caller]
    pub fn push(&self, repository: &Repository, commit: &str) -> String {
        self.accept(&repository.push_of(commit))
    }

    /// Pushes and waits until the commit is live.
    #[track_caller]
    pub fn deploy(&self, slug: &str, repository: &Repository, commit: &str) -> Run {
        self.push(repository, commit);
        let run = self.ended_run(slug, commit);
        assert_eq!(run.state, "succeeded", "{run:?}");
        run
    }

    /// The product's binary with the world's configuration and environment.
    pub fn product(&self, arguments: &[&str]) -> Command {
        let home = self.root().join("home");
        let mut command = if self.unprivileged {
            let identity =
                [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".into()];
            let mut command = command("setpriv", &home);
            command.args(identity).arg(self.root().join("durhack-deployer"));
            command
        } else {
            command(&self.binary, &home)
        };
        if let Some(shims) = &self.shims {
            let inherited = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value);
            let inherited = inherited.expect("set by `command`").to_string_lossy().into_owned();
            command.env("PATH", format!("{}:{inherited}", shims.display()));
        }
        command.current_dir(self.root()).env("RUST_BACKTRACE", "1").envs(self.environment.iter().cloned());
        command.arg("--config").arg(&self.configuration).args(arguments);
        command
    }

    /// Runs a subcommand to its end.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> Output {
        output(&mut self.product(arguments))
    }

    #[track_caller]
    fn json<T: for<'de> Deserialize<'de>>(&self, arguments: &[&str]) -> T {
        let printed = process::succeed(&mut self.product(arguments));
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{printed}"))
    }

    /// All runs of a deployment, oldest first.
    #[track_caller]
    pub fn runs(&self, slug: &str) -> Vec<Run> {
        let mut runs: Vec<Run> = self.json(&["runs", "--json"]);
        runs.retain(|run| run.deployment == slug);
        runs.sort_by_key(|run| run.created_at_ms);
        runs
    }

    /// One run with its steps.
    #[track_caller]
    pub fn run_page(&self, id: &str) -> RunPage {
        self.json(&["run", id, "--json"])
    }

    /// What `status --json` says. Its exit code says whether all is well.
    #[track_caller]
    pub fn status(&self) -> Value {
        let output = self.cli(&["status", "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", describe(&output)));
        let expected = if status["ok"] == true { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(expected), "{status:#}");
        status
    }

    /// What `status --json` says of a deployment.
    #[track_caller]
    pub fn status_of(&self, slug: &str) -> DeploymentStatus {
        let status = self.status();
        assert_eq!(status["instance"], INSTANCE);
        let deployments: Vec<DeploymentStatus> =
            serde_json::from_value(status["deployments"].clone()).expect("a list of deployments");
        let found = deployments.into_iter().find(|deployment| deployment.slug == slug);
        found.unwrap_or_else(|| panic!("{slug} is not served: {status}"))
    }

    /// The verdicts on a delivery; none as long as it is not known.
    #[track_caller]
    pub fn verdicts(&self, guid: &str) -> Vec<Verdict> {
        let output = self.cli(&["explain", guid, "--json"]);
        if !output.status.success() {
            return Vec::new();
        }
        let page: Value = serde_json::from_slice(&output.stdout).expect("explain --json prints JSON");
        assert_eq!(page["delivery"]["id"], guid);
        serde_json::from_value(page["verdicts"].clone()).expect("a list of verdicts")
    }

    /// Waits for a delivery's one verdict.
    #[track_caller]
    pub fn verdict(&self, guid: &str) -> Verdict {
        let verdicts = wait::until_told(&format!("a verdict on {guid}"), || {
            Some(self.verdicts(guid)).filter(|verdicts| !verdicts.is_empty())
        });
        assert_eq!(verdicts.len(), 1, "exactly one verdict: {verdicts:?}");
        assert!(!verdicts[0].sentence.is_empty(), "a verdict says why: {verdicts:?}");
        verdicts[0].clone()
    }

    /// Waits until a delivery's one verdict is this.
    #[track_caller]
    pub fn wait_for_verdict(&self, guid: &str, code: &str) -> Verdict {
        wait::until_told(&format!("the verdict {code} on {guid}"), || {
            Some(self.verdict(guid)).filter(|verdict| verdict.code == code)
        })
    }

    /// Waits until the newest run of a commit has ended.
    #[track_caller]
    pub fn ended_run(&self, slug: &str, commit: &str) -> Run {
        wait::until_told(&format!("the run of {commit} to end"), || {
            let newest = self.runs(slug).into_iter().rfind(|run| run.commit == commit);
            newest.filter(Run::is_final)
        })
    }

    /// Waits until nothing is waiting or running and there are at least so many runs.
    #[track_caller]
    pub fn settled(&self, slug: &str, runs_min: usize) -> Vec<Run> {
        wait::until_told(&format!("{slug} to settle after at least {runs_min} runs"), || {
            let runs = self.runs(slug);
            let settled = runs.len() >= runs_min && runs.iter().all(Run::is_final);
            (settled && self.status_of(slug).queued == 0).then_some(runs)
        })
    }

    /// Waits for what GitHub is told in the end about a commit.
    #[track_caller]
    pub fn reported(&self, repository: &Repository, commit: &str) -> Status {
        wait::until(&format!("the final status of {commit}"), || {
            self.github.statuses(&repository.name, commit).pop().filter(|status| status.state != "pending")
        })
    }

    /// A file of the live release.
    pub fn live(&self, slug: &str, file: &str) -> Option<String> {
        fs_err::read_to_string(self.path_of(slug).join("current").join(file)).ok()
    }

    /// The spool of this name; spools are directories of the state directory that have a `claimed`.
    #[track_caller]
    pub fn spool(&self, name: &str) -> PathBuf {
        let directories = files_under(&self.state()).into_iter();
        let found = directories
            .filter(|path| path.file_name().is_some_and(|last| last == name))
            .find(|path| path.join("claimed").is_dir());
        found.unwrap_or_else(|| panic!("there is no spool {name}"))
    }

    /// What the daemons of this world have printed.
    pub fn log(&self) -> String {
        let bytes = fs_err::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.root().join("daemon.log")
    }

    /// The questions that every test ends with.
    #[track_caller]
    fn finish(&mut self) {
        if self.daemon.is_some() {
            let status = self.stop();
            assert!(status.success(), "the daemon stopped with {status}");
        }
        wait::until("every process of this world to be gone", || {
            living_in(self.root()).is_empty().then_some(())
        });
        let log = self.log();
        let panics: Vec<&str> = log.lines().filter(|line| line.contains("panicked at")).collect();
        assert!(panics.is_empty(), "the daemon panicked: {panics:?}");
        let violations = self.github.violations();
        assert!(violations.is_empty(), "not what GitHub describes: {violations:#?}");
    }

    /// What a person would look at first.
    fn picture(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        let mut picture =
            format!("=== the daemon's log (last {} lines)\n{}\n", shown.len(), shown.join("\n"));
        picture.push_str("=== what lies in the state directory\n");
        for path in files_under(&self.state()) {
            let bytes = fs_err::symlink_metadata(&path).map_or(0, |metadata| metadata.len());
            writeln!(picture, "{bytes:>10} {}", path.display()).expect("a String takes everything");
        }
        picture.push_str("=== what GitHub was asked\n");
        picture.push_str(&self.github.requests().join("\n"));
        picture.push_str("\n=== processes\n");
        picture.push_str(&living_in(self.root()).join("\n"));
        picture
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        // A failed test may have left steps behind; they are this world's, by its directory.
        for line in living_in(self.root()) {
            let pid = line.split(':').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
            if let Some(pid) = pid {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        for mount in &self.mounts {
            output(command("umount", Path::new("/")).arg("--lazy").arg(mount));
        }
    }
}

/// The files of a state directory in which no secret may stand: all but the last good configuration, which is kept as it was written, for the
/// deployer alone.
#[track_caller]
pub fn files_without_secrets(state: &Path) -> Vec<PathBuf> {
    let is_copy =
        |file: &Path| file.ends_with("trust/configuration") || file.ends_with("intake/configuration");
    let (copies, others): (Vec<_>, Vec<_>) =
        files_under(state).into_iter().filter(|file| file.is_file()).partition(|file| is_copy(file));
    for copy in copies {
        let mode = copy.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", copy.display());
    }
    others
}

/// Every path below a directory, links not followed, sorted.
pub fn files_under(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs_err::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}
