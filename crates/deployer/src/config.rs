//! What an operator may write, and what the code needs.
//!
//! [`load`](mod@load) finds the layers; [`raw`] turns each into a tree that knows where every value stands, and merges
//! them; [`reader`] and [`values`] take typed values out of the tree; [`resolve`](mod@resolve) (pure) makes the types
//! below of them, once; [`diagnostics`] says what is wrong, with file, line, column and what to write instead; [`show`]
//! says what holds and from where; [`reference`] is the one definition of the keys. Nothing after this module
//! defaults a value or checks one again. It is also the only place that reads the environment.
//!
//! One bad deployment is reported and left out; everything else that is bad refuses to start.

pub mod gates;
pub mod reading;
pub mod reference;
pub mod resolve;
pub mod steering;
pub mod users;

pub mod keys;
pub mod load;
pub mod preset;
pub mod purpose;
pub mod recipe;
#[cfg(test)]
pub mod tests;

pub use crate::config::load::{
    Loaded, SYSTEM_ENVIRONMENT, WrittenConfig, load, load_making_secrets, load_written,
    state_directory_of_broken,
};
pub use crate::config::purpose::{Purpose, SYSTEM_DIRECTORY};
pub use crate::config::reading::diagnostics::{Diagnostics, Problem, Rendering, Severity};
pub use crate::config::reading::environment::{EnvFile, EnvFileError, Environment, parse_env_file};
pub use crate::config::reading::show::{Merged, ShownValue};
pub use crate::config::recipe::Recipe;
pub use gates::Gates;
pub use resolve::secrets::{CREDENTIALS_VARIABLE, GITHUB_TOKEN_VARIABLES, is_known as is_known_secret};
pub use steering::{steers, steers_starter};
pub use users::{UserSource, Users};

use crate::base::names::{BranchName, RepositoryName, Slug, UserName};
use crate::base::secret::Secret;
use crate::base::secret::signing_key::SigningKey;
use indexmap::IndexMap;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use supervise::ResourceLimits;

/// The environment's name where nothing says another. Only in it may a secret be short or known.
pub const DEVELOPMENT: &str = "development";

#[derive(Debug, Clone)]
pub struct Config {
    /// `DEPLOYER_INSTANCE` or `PYTHON_APP_INSTANCE`: this installation's name. None where neither is set.
    pub instance: Option<String>,
    /// `DEPLOYER_ENV` or `PYTHON_ENV`, `development` where neither is set.
    pub environment: String,
    /// Where its layers were read. Absolute.
    pub directory: PathBuf,
    /// Where people reach this instance: `https://deploy.durhack.com`, without a slash at the end.
    pub origin: String,
    /// Spools, record, mirrors, locks, run logs. Absolute.
    pub state_directory: PathBuf,
    /// Appended to the `PATH` of every step.
    pub executable_search_paths: Vec<PathBuf>,
    /// How a push gets in.
    pub intake: Intake,
    /// `sqlite:PATH` or `postgres://...`; the original's `postgresql+psycopg://` has become `postgres://`.
    pub database_url: Secret,
    pub github: GitHub,
    /// Comparing what should be live with what is.
    pub reconcile: Reconcile,
    /// What holds for all runs.
    pub runs: Runs,
    /// How what needs root is done.
    pub privileges: Privileges,
    /// The host's nginx.
    pub nginx: Nginx,
    /// How certificates are obtained.
    pub certificates: Certificates,
    /// Limits of a repository.
    pub git: GitLimits,
    /// What steps may touch and use up, whatever they deploy.
    pub confinement: SandboxSettings,
    /// The files that secrets were read from.
    pub secret_files: Vec<PathBuf>,
    /// By slug, in the order of the configuration. Only those without an error.
    pub deployments: IndexMap<Slug, Deployment>,
}

/// How a push gets in.
#[derive(Debug, Clone)]
pub struct Intake {
    /// Host name or address to listen on, as written: `localhost`, `::`, `127.0.0.1`.
    pub host: String,
    /// TCP port; 0 takes a free one.
    pub port: u16,
    /// Any of these signs for every repository that has no secret of its own. Never empty unless every
    /// configured repository has its own.
    pub secrets: Vec<Secret>,
    /// Repositories with secrets of their own: only these sign for them.
    pub repository_secrets: BTreeMap<RepositoryName, Vec<Secret>>,
    /// The files that `secrets` came from.
    pub secret_files: SecretFiles,
    /// The files that `repository_secrets` came from, for each of them.
    pub repository_secret_files: BTreeMap<RepositoryName, SecretFiles>,
    /// From where a webhook may come.
    pub source_networks: SourceNetworks,
    /// From where the pages of runs and deliveries may be asked for.
    pub page_networks: SourceNetworks,
    /// Which `X-Forwarded-For` entries are believed.
    pub proxies: Proxies,
    /// Largest accepted body, in bytes.
    pub body_bytes_max: usize,
    /// Longest time from accepting a connection, or from its last answer, to the end of the request's headers.
    pub header_timeout: Duration,
    /// Longest time from the end of the headers to the end of the body.
    pub body_timeout: Duration,
    /// Connections at once; further ones wait in the kernel's backlog.
    pub connections_max: usize,
    /// Connections of one address at once, where it is not a proxy's.
    pub connections_per_address_max: usize,
}

/// The files that webhook secrets came from, for the commands that make and replace them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretFiles {
    /// Of the first secret; None where that came from elsewhere.
    pub current: Option<PathBuf>,
    /// Of secrets that are accepted too.
    pub further: Vec<PathBuf>,
}

/// From where a webhook may come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceNetworks {
    /// Anywhere: the signature alone decides.
    Any,
    /// GitHub's published ranges, kept in the state directory.
    GitHub,
    List(Vec<IpNet>),
}

/// Which `X-Forwarded-For` entries are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proxies {
    /// This many proxies stand in front of us (`proxy_fix.x_for`): the client is that many entries from the right.
    /// 0: the peer is the client.
    Hops(usize),
    /// The client is the right-most entry that is not in one of these networks, if the peer is in one.
    Trusted(Vec<IpNet>),
}

/// GitHub's API as we are to ask it.
#[derive(Debug, Clone)]
pub struct GitHub {
    /// `https://api.github.com` unless a test or GitHub Enterprise says otherwise; no slash at the end.
    pub api_url: String,
    /// For every deployment without one of its own.
    pub token: Option<Secret>,
    /// Whether runs are told as deployments too, beside commit statuses.
    pub deployments: bool,
    /// Wins over the token.
    pub app: Option<GitHubApp>,
    /// Whether `gh` is asked where there is neither.
    pub use_gh: bool,
}

/// The GitHub App that we are.
#[derive(Debug, Clone)]
pub struct GitHubApp {
    /// As GitHub numbers it.
    pub id: u64,
    /// Its private key.
    pub key: SigningKey,
}

/// Comparing what should be live with what is.
#[derive(Debug, Clone)]
pub struct Reconcile {
    /// Whether at all.
    pub enabled: bool,
    /// Between two comparisons of a repository.
    pub interval: Duration,
    /// Whether GitHub is asked to repeat what it could not deliver.
    pub deliveries: bool,
}

/// What holds for all runs.
#[derive(Debug, Clone)]
pub struct Runs {
    /// Runs at once, over all deployments.
    pub parallel_max: usize,
    /// Free space that must be there before a run starts, on the file systems of state and path; in bytes.
    pub disk_free_bytes_min: u64,
    /// How long the end of a step, or the start of the next, may wait for a database that is down before the
    /// run is given up and undone.
    pub record_wait: Duration,
    /// How long finished runs, their steps and logs, and deliveries are kept.
    pub keep: Duration,
    /// How long a stopping daemon waits for running runs before it ends and undoes them.
    pub drain_timeout: Duration,
    /// Environment variables of the daemon's that steps may see, beside the ones they always have.
    pub environment_passed: Vec<String>,
}

/// How what needs root is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Privileges {
    /// As we are: root, or a user who may.
    Direct,
    /// By `sudo -n`, which asks nobody.
    Sudo,
    /// By asking the socket of `crates/privileged`.
    Helper,
}

/// The host's nginx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nginx {
    /// Its program. Absolute.
    pub program: PathBuf,
    /// Where its configuration lies: `conf.d/` and `snippets/` are below.
    pub directory: PathBuf,
    /// The file that it reads first.
    pub configuration: PathBuf,
    /// `-p`, where it is not the one it was built with.
    pub prefix: Option<PathBuf>,
    /// Where sites may write logs.
    pub log_directory: PathBuf,
    /// How it is told to read its configuration again.
    pub reload: NginxReload,
}

/// How nginx is told to read its configuration again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NginxReload {
    /// `systemctl reload nginx`
    Systemctl,
    /// `nginx -s reload`
    Signal,
}

/// How certificates are obtained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// certbot's directory: `live/<site>/` is below.
    pub directory: PathBuf,
    /// What answers the CA's questions is written below it. None: root's certbot has its own choice, and with `privileges = "direct"` certbot's
    /// plugin for nginx answers.
    pub webroot: Option<PathBuf>,
    /// For a new account.
    pub email: Option<String>,
    /// None: certbot's own choice.
    pub acme_server: Option<String>,
    /// A certificate that is valid for less than this is renewed by a deploy.
    pub renew_before: Duration,
    /// Whether DNS and port 80 are tried before the CA is asked.
    pub self_test: bool,
}

/// Limits of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitLimits {
    /// Files of a commit, with its submodules'.
    pub files_max: u64,
    /// Bytes of these files; also of one pack.
    pub bytes_max: u64,
    /// Directories on the way to a file.
    pub depth_max: usize,
    /// Bytes of a path.
    pub path_bytes_max: usize,
    /// Memory of one git process.
    pub memory_bytes_max: u64,
    /// Defects of objects that pass, as git calls them.
    pub fsck_ignored: Vec<&'static str>,
}

/// Defects of objects that an operator may let pass: they are not as git writes them, and lead nowhere.
pub const FSCK_ALLOWABLE: &[&str] = &[
    "duplicateEntries",
    "gitmodulesParse",
    "largePathname",
    "missingAuthor",
    "missingCommitter",
    "multipleAuthors",
    "nulInCommit",
    "nullSha1",
    "treeNotSorted",
];

impl Default for GitLimits {
    /// As where nothing is configured.
    fn default() -> Self {
        Self {
            files_max: 200_000,
            bytes_max: 10 << 30,
            depth_max: 100,
            path_bytes_max: 1024,
            memory_bytes_max: 1 << 30,
            fsck_ignored: Vec::new(),
        }
    }
}

/// What steps may touch and use up, whatever they deploy.
#[derive(Debug, Clone)]
pub struct SandboxSettings {
    /// Beside what every step may read. Absolute.
    pub readable: Vec<PathBuf>,
    /// Beside what every step may write. Absolute.
    pub writable: Vec<PathBuf>,
    /// Of each step that makes a release.
    pub limits: ResourceLimits,
}

/// One configured target.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub slug: Slug,
    /// `owner/name` on GitHub; what a push must name.
    pub repository: RepositoryName,
    /// Where git fetches from: `https://`, `ssh://`, `user@host:path`, `file://` or an absolute path.
    pub clone_url: String,
    /// The private key for an ssh `clone_url`. None: whatever ssh finds.
    pub ssh_key_file: Option<PathBuf>,
    /// Its own token for GitHub. None: what holds for all.
    pub github_token: Option<Secret>,
    /// Disabled ones record a verdict and do nothing.
    pub enabled: bool,
    /// The branch whose head is deployed.
    pub branch: BranchName,
    /// Where releases, or the work tree, lie. Absolute.
    pub path: PathBuf,
    /// How it is deployed.
    pub recipe: Recipe,
    /// None: `releases`, unless `path` is a git work tree already, which is then deployed in place.
    pub layout: Option<Layout>,
    /// Which of several waiting pushes are deployed.
    pub queue: Queue,
    /// What a commit must pass before it is deployed.
    pub gates: Gates,
    /// Only pushes that change one of these paths are deployed; empty: all. Globs as in GitHub Actions.
    pub paths: Vec<String>,
    /// Changes to these paths alone deploy nothing.
    pub paths_ignore: Vec<String>,
    /// Files under `shared/`, linked into each release (`releases`), or simply left alone (in place). Relative, normal paths.
    pub shared_files: Vec<PathBuf>,
    /// Whether the operator has named them, and not only a preset, whose list has files that not every host has.
    pub shared_files_written: bool,
    /// Directories under `shared/`, likewise.
    pub shared_dirs: Vec<PathBuf>,
    /// Successful releases to keep, the live one included; at least 1.
    pub keep_releases: usize,
    /// Whether submodules are fetched.
    pub submodules: bool,
    /// From which hosts they may come, beside that of the clone URL.
    pub submodule_hosts: Vec<String>,
    /// Of which repositories a push may have submodules that are fetched with the deployment's credential.
    pub submodule_repositories: Vec<RepositoryName>,
    /// Deadline of a whole run.
    pub timeout: Duration,
    /// Deadline of a step that names none.
    pub step_timeout: Duration,
    /// What the operator wants run around the recipe's own steps.
    pub hooks: Hooks,
    /// Environment of every step of this deployment.
    pub environment: BTreeMap<String, String>,
    /// Files of `KEY=value` lines, read when a step starts; their values count as secrets in the log.
    pub env_files: Vec<PathBuf>,
    /// Names of variables of those files that commands outside of the sandbox get.
    pub env_unsandboxed: Vec<String>,
    /// As whom the steps that make a release run. `None`: as the deployer.
    pub user: Option<UserName>,
    /// Who says so. With [`UserSource::Missing`] nothing of the deployment may run.
    pub user_source: UserSource,
    /// Since when nothing of it is deployed by itself before an operator has deployed it once, in milliseconds since 1970. `None`: it
    /// does not wait.
    pub waits_since_ms: Option<i64>,
    /// Whether the steps that make a release are kept to this deployment's own files.
    pub confine: bool,
    /// What they may read beside that. Absolute.
    pub readable: Vec<PathBuf>,
    /// What they may write beside that. Absolute.
    pub writable: Vec<PathBuf>,
    /// What must hold for a release to stay live.
    pub health: Vec<HealthCheck>,
    /// The environment of GitHub's page of deployments.
    pub environment_name: String,
    /// Where people see what is deployed; GitHub's page of deployments links there.
    pub url: Option<String>,
    /// The original's `instance_name`, where given: `INSTANCE_NAME` of every step.
    pub instance_name: Option<String>,
}

/// `releases/` and a link, or the work tree itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// A directory for each release, and `current`.
    Releases,
    /// The work tree at `path` is changed in place.
    InPlace,
}

/// Which of several waiting pushes are deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Queue {
    /// The newest; the others are superseded.
    Latest,
    /// Each in turn.
    All,
}

/// Around the phases of any recipe, and after a failure.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Hooks {
    /// Run before and after whole phases.
    pub around: Vec<Hook>,
    /// Run, in order, when a run fails, after everything has been undone.
    pub on_failure: Vec<StepCommand>,
}

/// `before_build = [...]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hook {
    /// The phase it belongs to.
    pub phase: Phase,
    /// Before or after it.
    pub moment: Moment,
    /// What is run.
    pub command: StepCommand,
}

/// Before or after a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Moment {
    Before,
    After,
}

/// The phases of a run, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The commit comes to this machine.
    Fetch,
    Install,
    /// The release is made.
    Build,
    /// Databases are brought to the release's schema.
    Migrate,
    /// The release becomes the live one.
    Switch,
    /// Is it healthy?
    Verify,
    /// What is no longer needed goes.
    Clean,
}

/// One command of the operator's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepCommand {
    /// Shown in the run; the program's name where the operator gave none.
    pub name: String,
    /// Its phase; ignored for hooks, which have theirs.
    pub phase: Phase,
    /// What is run.
    pub run: CommandLine,
    /// Relative to the release; None: the release itself.
    pub directory: Option<PathBuf>,
    /// In addition to the deployment's.
    pub environment: BTreeMap<String, String>,
    /// In addition to the deployment's.
    pub env_files: Vec<PathBuf>,
    /// None: the deployment's `step_timeout`.
    pub timeout: Option<Duration>,
    /// Further attempts after a failure.
    pub retries: u32,
    /// Takes it back. For a command of the switch phase without one, undoing means running it
    /// again once the old release is live again.
    pub undo: Option<CommandLine>,
}

/// An argv, or a line for `/bin/sh -c`, which only an operator may write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommandLine {
    /// Program and arguments; never empty.
    Argv(Vec<String>),
    Shell(String),
}

impl CommandLine {
    /// The program that it calls. A line for the shell may begin with anything.
    pub fn program(&self) -> Option<&str> {
        match self {
            Self::Argv(words) => words.first().map(String::as_str),
            Self::Shell(_) => None,
        }
    }
}

/// What must hold for a release to stay live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// How often, at most.
    pub attempts: u32,
    /// Between two attempts.
    pub interval: Duration,
    /// Of one attempt.
    pub timeout: Duration,
}

/// What a health check asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// GET this URL; no redirect is followed.
    Http {
        /// `http://` or `https://`.
        url: String,
        /// Any of these; empty: 200 to 299.
        status: Vec<u16>,
        /// The body must contain this.
        body: Option<String>,
        /// Sent with the request, as for the server that has this name.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// A TCP connection to `host:port` must be accepted.
    Tcp(String),
    /// A command must exit with 0.
    Command(CommandLine),
}

impl Config {
    /// The page of a run.
    pub fn run_url(&self, run: &str) -> String {
        format!("{}/runs/{run}", self.origin)
    }

    /// Where hooks deliver to.
    pub fn webhook_url(&self) -> String {
        format!("{}/github-webhook", self.origin)
    }

    /// Every secret, for the redaction of what programs print.
    pub fn secret_values(&self) -> Vec<String> {
        let intake = self.intake.secrets.iter().chain(self.intake.repository_secrets.values().flatten());
        let deployments = self.deployments.values().filter_map(|deployment| deployment.github_token.as_ref());
        let secrets = intake.chain(self.github.token.as_ref()).chain(deployments);
        secrets.chain([&self.database_url]).map(|secret| secret.expose().to_owned()).collect()
    }
}

impl GitHub {
    /// The host from which repositories are fetched: `github.com`, or the GitHub Enterprise server's own.
    pub fn host(&self) -> String {
        let host = self.api_url.parse::<http::Uri>().ok().and_then(|url| url.host().map(str::to_owned));
        match host.as_deref() {
            Some("api.github.com") | None => "github.com".to_owned(),
            Some(other) => other.to_owned(),
        }
    }
}
