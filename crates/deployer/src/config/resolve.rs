//! From the merged tree to [`Config`]: pure, once, and complete.
//!
//! Reads every key through [`TableReader`], so that all errors are found in one go. A value that is wrong has
//! been reported; what stands in for it (an empty text, a zero) never leaves this module, because an error
//! takes its deployment, or everything, with it. Secret files are read through a function that the caller gives.

mod deployment;
mod gates;
mod opened;
pub mod secrets;
pub mod sites;
pub mod steps;
pub mod units;

use super::users::Users;
use super::{
    Config, Deployment, FSCK_ALLOWABLE, GitHub, GitHubApp, GitLimits, Intake, Privileges, Proxies, Reconcile,
    Runs, SandboxSettings, SourceNetworks, UserSource,
};
use crate::base::names::RepositoryName;
use crate::base::secret::{Secret, without_password};
use crate::config::purpose::{Purpose, SecretFile, Unreadable};
use crate::config::reading::diagnostics::{Diagnostics, Problem, Severity};
use crate::config::reading::environment::{Environment, is_variable_name};
use crate::config::reading::raw::Table;
use crate::config::reading::reader::{HIDDEN, Reading, TableReader, Wrong};
use crate::config::reading::show::Merged;
use crate::config::reading::values::addresses::{base_url, is_loopback, network, source_networks};
use crate::config::reading::values::{
    absolute_path, boolean, checked_text, choice, duration, filled_text, integer, list, path_in, size,
};
use crate::config::recipe::Reference;
pub use deployment::overlap;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use supervise::ResourceLimits;

/// What the resolution knows beside the tree.
pub struct ResolveFacts<'a> {
    /// What may be written, and the recipes.
    pub reference: &'a Reference,
    /// What `setup` has recorded as the deployments' users.
    pub users: Option<&'a Users>,
    /// With what `.env` files add.
    pub environment: &'a Environment,
    /// Which layers are read besides `default.toml`, such as `production`.
    pub environment_name: &'a str,
    /// Which instance of several this is, such as `deploy.durhack.com`.
    pub instance: Option<&'a str>,
    /// The absolute path of the directory with the layers.
    pub configuration_directory: &'a Path,
    /// Which secrets are read.
    pub purpose: Purpose,
    /// Reads a file that holds a secret; None where there is none; on error why it could not.
    pub read_secret_file: &'a dyn Fn(&Path) -> Result<Option<SecretFile>, Unreadable>,
    /// What a path is, whatever it is called.
    pub location: &'a dyn Fn(&Path) -> Location,
    /// For the command that makes webhook secrets: what a file of one that is not there yet will hold. None: such a file, and
    /// having no secret at all, is an error.
    pub absent_webhook_secret: Option<&'a dyn Fn() -> Secret>,
}

/// Where something lies or will lie: a path through links, bind mounts and file systems that take `A` for `a`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Location {
    /// Each directory above it that is there, and itself if it is: device and inode, and the rest of the path from there.
    pub seen_from: Vec<((u64, u64), PathBuf)>,
}

impl Location {
    /// Whether it is the other, or lies in it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.seen_from.iter().any(|(directory, rest)| {
            other.seen_from.iter().any(|(also, of_other)| directory == also && rest.starts_with(of_other))
        })
    }
}

impl ResolveFacts<'_> {
    /// Only there may a secret be short or known.
    pub fn is_development(&self) -> bool {
        self.environment_name == super::DEVELOPMENT
    }
}

/// What came of it.
pub struct Resolution {
    /// None: an error refuses the whole.
    pub config: Option<Config>,
    /// All that is wrong, and what is worth knowing.
    pub problems: Diagnostics,
    /// What holds, and from where.
    pub merged: Merged,
}

pub fn resolve(tree: &Table, facts: &ResolveFacts<'_>) -> Resolution {
    let reading = Reading::default();
    let secret_files = RefCell::new(Vec::new());
    let remember = |path: &Path| {
        secret_files.borrow_mut().push(path.to_owned());
        (facts.read_secret_file)(path)
    };
    let facts = ResolveFacts { read_secret_file: &remember, ..*facts };
    let root = TableReader::root(&reading, facts.reference.root, tree);
    let mut config = read(&root, &facts, &reading);
    config.secret_files = secret_files.take();
    opened::judge(&root, &config, &facts);
    drop(root);
    let (mut problems, shown) = reading.into_parts();
    problems.sort();
    config.deployments.retain(|slug, _| !problems.leaves_out(slug.as_str()));
    Resolution { config: Some(config).filter(|_| !problems.refuses()), problems, merged: Merged::new(shown) }
}

fn read(root: &TableReader<'_>, facts: &ResolveFacts<'_>, reading: &Reading) -> Config {
    let state_directory = state_directory(root, facts);
    let intake = intake(root, facts, reading);
    let origin = root.value("origin", base_url).unwrap_or_else(|| {
        let origin = origin_of(&intake.host, intake.port);
        root.show_derived("origin", origin.as_str(), "default");
        origin
    });
    let privileges = privileges(root, facts);
    let config = Config {
        instance: facts.instance.map(str::to_owned),
        environment: facts.environment_name.to_owned(),
        directory: facts.configuration_directory.to_owned(),
        origin,
        executable_search_paths: root
            .value("executable_search_paths", list(absolute_path))
            .unwrap_or_default(),
        database_url: database_url(root, facts, reading, &state_directory),
        github: github(root, facts, reading),
        reconcile: reconcile(&root.table("reconcile")),
        runs: runs(&root.table("runs")),
        privileges,
        nginx: sites::nginx(&root.table("nginx"), privileges),
        certificates: sites::certificates(&root.table("certificates"), privileges),
        git: git(&root.table("git")),
        confinement: confinement(&root.table("confinement")),
        secret_files: Vec::new(),
        deployments: deployment::deployments(root, &state_directory, facts),
        state_directory,
        intake,
    };
    if facts.purpose.needs_webhook_secrets() && facts.absent_webhook_secret.is_none() {
        secrets::require_webhook_secrets(root, &config, reading);
    }
    secrets::warn_of_unused_repositories(root, &config);
    warn_of_no_users(&config, reading);
    if facts.purpose.needs_keys() {
        gates::warn_of_checks_without_credential(root, &config);
    }
    config
}

/// On a host on which a service is installed, builds run as the deployer only until `setup` has been run.
fn warn_of_no_users(config: &Config, reading: &Reading) {
    let shares = |deployment: &Deployment| deployment.user_source == UserSource::NotSetUp;
    if config.directory == Path::new(crate::config::purpose::SYSTEM_DIRECTORY)
        && config.deployments.values().any(shares)
    {
        let message =
            "deployments without `user` are built and run as the deployer itself, and can reach each other";
        let help = "`sudo durhack-deployer setup` gives new deployments users of their own, and says how earlier ones get theirs";
        reading.report(Problem { severity: Severity::Warning, ..Problem::error(message) }.help(help));
    }
}

fn privileges(root: &TableReader<'_>, facts: &ResolveFacts<'_>) -> Privileges {
    const WAYS: [(&str, Privileges); 3] =
        [("direct", Privileges::Direct), ("sudo", Privileges::Sudo), ("helper", Privileges::Helper)];
    let written = root.value("privileges", choice(&WAYS));
    written.unwrap_or_else(|| {
        let (word, way) = if facts.environment.is_root() { WAYS[0] } else { WAYS[1] };
        if !root.is_written("privileges") {
            root.show_derived("privileges", word, "default");
        }
        way
    })
}

fn state_directory(root: &TableReader<'_>, facts: &ResolveFacts<'_>) -> PathBuf {
    let working_directory = facts.environment.working_directory();
    if root.is_written("state_directory") {
        return root.value("state_directory", path_in(working_directory)).unwrap_or_default();
    }
    let (directory, origin) = default_state_directory(facts.environment, facts.configuration_directory);
    root.show_derived("state_directory", directory.display().to_string(), origin);
    directory
}

/// Where the state lies if nothing says so, and what says it then.
pub fn default_state_directory(
    environment: &Environment,
    configuration_directory: &Path,
) -> (PathBuf, &'static str) {
    // systemd lists several directories with colons between; the first is the one the unit names first.
    let of_systemd = environment.get("STATE_DIRECTORY").and_then(|list| list.split(':').next());
    match of_systemd.filter(|directory| directory.starts_with('/')) {
        Some(directory) => (PathBuf::from(directory), "environment STATE_DIRECTORY"),
        None if configuration_directory == Path::new(crate::config::purpose::SYSTEM_DIRECTORY) => {
            (PathBuf::from("/var/lib/durhack-deployer"), "default")
        }
        None => (environment.working_directory().join("var"), "default"),
    }
}

fn intake(root: &TableReader<'_>, facts: &ResolveFacts<'_>, reading: &Reading) -> Intake {
    let listen = root.table("listen");
    let limits = root.table("limits");
    Intake {
        host: listen.value("host", |node| checked_text(node, host)).unwrap_or_default(),
        port: listen.value("port", integer(0, 65535)).unwrap_or_default(),
        secrets: secrets::webhook_secrets(root, facts, reading),
        repository_secrets: repository_secrets(root, facts),
        secret_files: secrets::files(root, facts),
        repository_secret_files: secrets::files_of_repositories(root, facts),
        source_networks: root.value("source_networks", source_networks).unwrap_or_else(|| {
            let (word, networks) = match facts.is_development() {
                true => ("any", SourceNetworks::Any),
                false => ("github", SourceNetworks::GitHub),
            };
            if !root.is_written("source_networks") {
                root.show_derived("source_networks", word, "default");
            }
            networks
        }),
        page_networks: root.value("page_networks", source_networks).unwrap_or(SourceNetworks::Any),
        proxies: proxies(&root.table("proxy_fix")),
        body_bytes_max: limits
            .value("body_max", size)
            .map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        header_timeout: limits.value("header_timeout", duration).unwrap_or_default(),
        body_timeout: limits.value("body_timeout", duration).unwrap_or_default(),
        connections_max: limits.value("connections_max", integer(1, 65536)).unwrap_or_default(),
        connections_per_address_max: limits
            .value("connections_per_address_max", integer(1, 65536))
            .unwrap_or_default(),
    }
}

fn host(text: &str) -> Result<String, String> {
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    match is_name || text.parse::<IpAddr>().is_ok() {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is neither a host name nor an address (without brackets and port)")),
    }
}

/// How this machine reaches itself at what it listens on.
fn origin_of(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => format!("http://localhost:{port}"),
        Ok(IpAddr::V6(address)) => format!("http://[{address}]:{port}"),
        _ => format!("http://{host}:{port}"),
    }
}

fn proxies(proxy_fix: &TableReader<'_>) -> Proxies {
    let hops = proxy_fix.value("x_for", integer(0, 16)).unwrap_or(0);
    let trusted = proxy_fix.value("trusted_proxies", list(network)).unwrap_or_default();
    if proxy_fix.value("x_proto", integer::<u8>(0, 16)).is_some_and(|hops| hops > 0) {
        let help = "`origin` says how people reach this instance; the line may go";
        proxy_fix.report_at_key("x_proto", Severity::Note, "`x_proto` has no effect", help);
    }
    match (hops, trusted.is_empty()) {
        (_, true) => Proxies::Hops(hops),
        (0, false) => Proxies::Trusted(trusted),
        (_, false) => {
            let help = "write `x_for = 0` beside `trusted_proxies`, or leave `trusted_proxies` out";
            let message = "`trusted_proxies` and `x_for` exclude each other";
            proxy_fix.report_at_key("trusted_proxies", Severity::Error, message, help);
            Proxies::Hops(0)
        }
    }
}

fn repository_secrets(
    root: &TableReader<'_>,
    facts: &ResolveFacts<'_>,
) -> BTreeMap<RepositoryName, Vec<Secret>> {
    let mut secrets = BTreeMap::new();
    for (name, table) in root.named("repositories") {
        let table = match table {
            Ok(table) => table.checked(),
            Err(node) => {
                root.error(
                    "repositories",
                    node,
                    format!("`{name}` must be a table, not {}", node.value.in_words()),
                );
                continue;
            }
        };
        match RepositoryName::parse(name) {
            Ok(repository) => drop(secrets.insert(repository, secrets::of_repository(&table, facts))),
            Err(error) => {
                table.error_at_header(
                    error.to_string(),
                    "write for example [repositories.\"ducompsoc/durhack\"]",
                );
            }
        }
    }
    secrets
}

fn database_url(
    root: &TableReader<'_>,
    facts: &ResolveFacts<'_>,
    reading: &Reading,
    state_directory: &Path,
) -> Secret {
    const KEY: &str = "database_url";
    if let Some(url) = facts.environment.get("DATABASE_URL") {
        match normalised_database_url(url) {
            Ok(url) => {
                reading.show(KEY, shown_database_url(&url), "environment DATABASE_URL");
                return Secret::new(url);
            }
            Err(message) => reading.report(Problem {
                key: Some(KEY.into()),
                ..Problem::error(format!("the environment variable DATABASE_URL: {message}"))
                    .help("write for example DATABASE_URL=postgres://deployer@localhost/deployer")
            }),
        }
    }
    if root.is_written(KEY) {
        let parse = |node: &_| match normalised_database_url(&filled_text(node)?) {
            Ok(url) => Ok(url),
            Err(message) => Wrong::value(node, message),
        };
        secrets::warn_if_readable(root, KEY, facts);
        return Secret::new(root.value(KEY, parse).unwrap_or_default());
    }
    let url = format!("sqlite:{}", state_directory.join("record.sqlite").display());
    root.show_derived(KEY, url.as_str(), "default");
    Secret::new(url)
}

/// `postgres://` for every way of writing it: SQLAlchemy's has its driver in the scheme.
fn normalised_database_url(url: &str) -> Result<String, String> {
    match url.split_once("://") {
        Some((scheme, rest))
            if scheme == "postgres" || scheme == "postgresql" || scheme.starts_with("postgresql+") =>
        {
            Ok(format!("postgres://{rest}"))
        }
        _ if url.strip_prefix("sqlite:").is_some_and(|path| !path.is_empty()) => Ok(url.to_owned()),
        _ => Err("this must begin with sqlite: or postgres://".into()),
    }
}

/// A database that needs no password from us needs none from a build of the same user. For `config check` alone: whoever has chosen
/// that need not be told at every command.
pub fn open_database(config: &Config) -> Option<Problem> {
    let url = config.database_url.expose();
    let is_open =
        url.starts_with("postgres://") && without_password(url) == url && !url.contains("password=");
    let shared: Vec<&str> = config
        .deployments
        .values()
        .filter(|deployment| deployment.enabled && deployment.user.is_none())
        .map(|deployment| deployment.slug.as_str())
        .collect();
    (is_open && !shared.is_empty()).then(|| {
        let message = format!(
            "PostgreSQL asks the deployer for no password, so it asks none of the builds that run as the same user: {}",
            shared.join(", ")
        );
        let help = "put a password into the URL and have PostgreSQL ask for it (docs/how-to/use-postgresql.md), or give these deployments a `user`";
        Problem {
            severity: Severity::Warning,
            key: Some("database_url".into()),
            ..Problem::error(message).help(help)
        }
    })
}

fn shown_database_url(url: &str) -> String {
    // A password may also stand among the parameters.
    if url.contains("password") { HIDDEN.to_owned() } else { without_password(url) }
}

fn github(root: &TableReader<'_>, facts: &ResolveFacts<'_>, reading: &Reading) -> GitHub {
    let table = root.table("github");
    let api_url = table.value("api_url", base_url).unwrap_or_default();
    let host =
        api_url.parse::<http::Uri>().ok().and_then(|url| url.host().map(str::to_owned)).unwrap_or_default();
    if api_url.starts_with("http://") && !is_loopback(&host) && !facts.is_development() {
        table.error_at_value("api_url", "a token may not be sent unencrypted", "write https://");
    }
    GitHub {
        api_url,
        token: secrets::github_token(&table, facts, reading),
        deployments: table.value("deployments", boolean).unwrap_or_default(),
        app: github_app(&table, facts, reading),
        use_gh: table.value("use_gh", boolean).unwrap_or_default(),
    }
}

/// Both or neither: a key says nothing of whose it is.
fn github_app(table: &TableReader<'_>, facts: &ResolveFacts<'_>, reading: &Reading) -> Option<GitHubApp> {
    let id = table.value("app_id", integer::<u64>(1, i64::MAX));
    if !facts.purpose.needs_keys() {
        return None;
    }
    let key = secrets::github_app_key(table, facts, reading);
    match (table.is_written("app_id"), table.is_written("app_key_file")) {
        (true, false) if key.is_none() && !reading.has_said_why_not("github.app_key_file") => {
            table.missing("app_key_file");
        }
        (false, true) => table.missing("app_id"),
        _ => {}
    }
    Some(GitHubApp { id: id?, key: key? })
}

fn reconcile(table: &TableReader<'_>) -> Reconcile {
    Reconcile {
        enabled: table.value("enabled", boolean).unwrap_or_default(),
        interval: table.value("interval", duration).unwrap_or_default(),
        deliveries: table.value("deliveries", boolean).unwrap_or_default(),
    }
}

fn runs(table: &TableReader<'_>) -> Runs {
    Runs {
        parallel_max: table.value("parallel", integer(1, 64)).unwrap_or_default(),
        disk_free_bytes_min: table.value("disk_free_min", size).unwrap_or_default(),
        record_wait: table.value("record_wait", duration).unwrap_or_default(),
        keep: table.value("keep", duration).unwrap_or_default(),
        drain_timeout: table.value("drain_timeout", duration).unwrap_or_default(),
        environment_passed: table
            .value("environment_passed", list(|node| checked_text(node, passed_variable)))
            .unwrap_or_default(),
    }
}

fn git(table: &TableReader<'_>) -> GitLimits {
    let default = GitLimits::default();
    GitLimits {
        files_max: table.value("files_max", integer(1, 1 << 32)).unwrap_or(default.files_max),
        bytes_max: table.value("size_max", size).unwrap_or(default.bytes_max),
        depth_max: table.value("depth_max", integer(1, 4096)).unwrap_or(default.depth_max),
        path_bytes_max: table.value("path_max", integer(64, 4096)).unwrap_or(default.path_bytes_max),
        memory_bytes_max: table.value("memory_max", size).unwrap_or(default.memory_bytes_max),
        fsck_ignored: table
            .value("fsck_ignored", list(|node| checked_text(node, fsck_kind)))
            .unwrap_or_default(),
    }
}

fn fsck_kind(text: &str) -> Result<&'static str, String> {
    let found = FSCK_ALLOWABLE.iter().find(|known| **known == text);
    found.copied().ok_or_else(|| format!("{text:?} is none of {}", FSCK_ALLOWABLE.join(", ")))
}

fn confinement(table: &TableReader<'_>) -> SandboxSettings {
    SandboxSettings {
        readable: table.value("readable", list(absolute_path)).unwrap_or_default(),
        writable: table.value("writable", list(absolute_path)).unwrap_or_default(),
        limits: ResourceLimits {
            memory_bytes_max: table.value("step_memory_max", size),
            tasks_max: table.value("step_tasks_max", integer(16, 1 << 22)),
            file_bytes_max: table.value("step_file_max", size),
            data_bytes_max: None,
        },
    }
}

/// A step must not see what the deployer itself is trusted with.
fn passed_variable(name: &str) -> Result<String, String> {
    const OWN: [&str; 5] = [
        secrets::WEBHOOK_SECRET_VARIABLE,
        "GITHUB_TOKEN",
        "GH_TOKEN",
        "DATABASE_URL",
        secrets::CREDENTIALS_VARIABLE,
    ];
    if OWN.contains(&name) {
        return Err(format!("{name} is the deployer's own secret and is never passed to a step"));
    }
    if is_variable_name(name) {
        Ok(name.to_owned())
    } else {
        Err(format!("{name:?} is not a name of an environment variable"))
    }
}
