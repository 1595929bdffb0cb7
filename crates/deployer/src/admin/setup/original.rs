//! An installation of the Python tool on this host, as it is found: its checkout, who runs it, and how webhooks reach it. Read only.
//!
//! What its README and its own `uwsgi.ini` have people make is looked for in the places where they make it; what is not found is said, and is
//! then not there to be changed.

use super::layers;
use super::reached::{Reached, TEXT_BYTES_MAX, text_behind};
use super::uwsgi_pass::{self, Address};
use crate::admin::host::accounts::{account, home_of};
use crate::admin::host::ask::ask;
use crate::config::{CommandLine, parse_env_file};
use crate::process::executor::Executor;
use anyhow::{Context, Result, anyhow, bail, ensure};
use fs_err as fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where units of an administrator's, and of packages, lie.
const UNIT_DIRECTORIES: [&str; 3] =
    ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];

/// Where an emperor of uWSGI looks for vassals.
const VASSAL_DIRECTORIES: [&str; 4] =
    ["/etc/uwsgi/vassals", "/etc/uwsgi-emperor/vassals", "/etc/uwsgi/apps-enabled", "/etc/uwsgi"];

/// What nginx reads sites from.
const NGINX_DIRECTORIES: [&str; 3] = ["/etc/nginx/conf.d", "/etc/nginx/sites-enabled", "/etc/nginx/snippets"];

/// What its README has people write for sudo.
const SUDOERS: &str = "/etc/sudoers.d";

/// The module that its unit runs.
const SUPERVISOR: &str = "queue_worker_supervisor";

/// The port of its `uwsgi.ini`.
const PORT: u16 = 3400;

#[derive(Debug, Clone)]
pub struct Original {
    /// What `--from` names.
    pub checkout: PathBuf,
    /// What its `PYTHON_ENV` says, such as `production`.
    pub environment: String,
    /// What its `PYTHON_APP_INSTANCE` says, such as `deploy.durhack.com`.
    pub instance: Option<String>,
    /// Name and text of each layer.
    pub layers: Vec<(String, String)>,
    /// Of its `.env`.
    pub database_url: Option<String>,
    /// As whom it runs.
    pub user: String,
    /// Why that is thought.
    pub why_user: String,
    /// This user's home.
    pub home: PathBuf,
    /// The units that run its workers, or its listener.
    pub units: Vec<OldUnit>,
    /// The files by which the emperor of uWSGI runs its listener.
    pub vassals: Vec<PathBuf>,
    /// Where the listener is reached.
    pub address: Address,
    /// The files by which nginx sends webhooks to it.
    pub sites: Vec<OldSite>,
    /// Files that let its user become root.
    pub sudoers: Vec<PathBuf>,
    /// Events that wait in its queues, or have failed there.
    pub waiting: Vec<PathBuf>,
    /// What there is to be said beside it.
    pub remarks: Vec<String>,
}

/// One of its units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldUnit {
    /// With its ending.
    pub name: String,
    /// Whether it runs the workers, and not the listener.
    pub is_workers: bool,
    /// Whether it runs.
    pub is_active: bool,
    /// Whether it is started at boot.
    pub is_enabled: bool,
    user: String,
    environment: Vec<(String, String)>,
}

/// A file of nginx's that leads to the old listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldSite {
    /// As nginx reads it.
    pub path: PathBuf,
    /// Where that is a link to.
    pub target: Option<PathBuf>,
    /// Its text as it is to be; the port stands for the new one.
    pub text: String,
    pub names: Vec<String>,
}

/// Looks at what lies there.
pub async fn look(checkout: &Path, executor: &Executor) -> Result<Original> {
    let checkout = fs::canonicalize(checkout)?;
    if !checkout.join("config/default.toml").is_file() {
        bail!(
            "{} is no installation of the Python tool: there is no config/default.toml in it",
            checkout.display()
        );
    }
    let units = units(&checkout, executor).await?;
    let variable = |name: &str| {
        let mut all = units.iter().flat_map(|unit| &unit.environment);
        all.find(|(found, _)| found == name).map(|(_, value)| value.clone())
    };
    let environment = variable("PYTHON_ENV").unwrap_or_else(|| "production".into());
    let instance = variable("PYTHON_APP_INSTANCE");
    let names = layers::names(&environment, instance.as_deref());
    let (mut found, mut remarks) = (Vec::new(), Vec::new());
    for name in names {
        let path = checkout.join("config").join(&name);
        // A link on the way is followed in the right of who made it.
        match Reached::behind_links(&path)?.read(TEXT_BYTES_MAX) {
            Ok(content) => {
                let text = String::from_utf8(content.bytes);
                let text = text.map_err(|_| anyhow!("{} is no text", path.display()))?;
                if content.mode & 0o004 != 0 && text.contains("webhook_secret_token") {
                    remarks.push(format!("everybody on this host can read the webhook secret in {path}, which stays there: `chmod o-r {path}`", path = path.display()));
                }
                found.push((name, text));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
    let variables = text_behind(&checkout.join(".env"));
    let variables = variables.and_then(|text| parse_env_file(&text).ok()).unwrap_or_default().variables;
    let database_url = variables.into_iter().find(|(name, _)| name == "DATABASE_URL").map(|(_, value)| value);
    for value in [Some(&environment), instance.as_ref(), database_url.as_ref()].into_iter().flatten() {
        // It would be further lines of the services' environment.
        ensure!(
            !value.chars().any(char::is_control),
            "{} or its unit sets PYTHON_ENV, PYTHON_APP_INSTANCE or DATABASE_URL to something with control characters in it: write it without",
            checkout.join(".env").display()
        );
    }
    let (user, why_user) = match units.iter().find(|unit| unit.is_workers && !unit.user.is_empty()) {
        Some(unit) => (
            unit.user.clone(),
            format!("{} runs as it, and its deployments, keys and PM2 are its", unit.name),
        ),
        None => (owner_of(&checkout)?, format!("{} is its", checkout.display())),
    };
    if user == "root" || account(&user)?.is_none() {
        bail!("the Python tool runs as {user}, and the deployer does not: give it a user of its own first");
    }
    let home = home_of(&user)?.context("a user has a home")?;
    let (vassals, address) = vassals(&checkout, &found);
    let sites = sites(&address, &mut remarks);
    let sudoers = sudoers(&user, &mut remarks);
    let waiting = waiting(&checkout);
    Ok(Original {
        layers: found,
        checkout,
        environment,
        instance,
        database_url,
        user,
        why_user,
        home,
        units,
        vassals,
        address,
        sites,
        sudoers,
        waiting,
        remarks,
    })
}

impl Original {
    /// What was found, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let names: Vec<&str> = self.layers.iter().map(|(name, _)| name.as_str()).collect();
        let instance = self.instance.as_deref().unwrap_or("none");
        lines.push(format!(
            "configuration  {} of {}/config (environment {}, instance {instance})",
            names.join(", "),
            self.checkout.display(),
            self.environment
        ));
        lines.push(format!(
            "runs as        {}, whose home is {} ({})",
            self.user,
            self.home.display(),
            self.why_user
        ));
        for unit in &self.units {
            let what = if unit.is_workers { "workers" } else { "listener" };
            let state = if unit.is_active { "runs" } else { "does not run" };
            lines.push(format!("{what:14} {}: {state}", unit.name));
        }
        if !self.units.iter().any(|unit| unit.is_workers) {
            lines.push(format!("workers        no unit runs {SUPERVISOR}"));
        }
        for vassal in &self.vassals {
            lines.push(format!("listener       {}, a vassal of uWSGI", vassal.display()));
        }
        for site in &self.sites {
            let link = site
                .target
                .as_ref()
                .map_or(String::new(), |target| format!(", a link to {}", target.display()));
            lines.push(format!("nginx          {} ({}){link}", site.path.display(), site.names.join(", ")));
        }
        for file in &self.sudoers {
            lines.push(format!("sudo           {}", file.display()));
        }
        lines.push(match &self.database_url {
            Some(url) => format!("database       {}", without_password(url)),
            None => "database       none is named in .env: the new one is SQLite".to_owned(),
        });
        lines.push(format!(
            "queues         {} events wait, or have failed, in {}/queues",
            self.waiting.len(),
            self.checkout.display()
        ));
        lines
    }

    /// Anything that still works, or is started at boot.
    pub fn is_live(&self) -> bool {
        self.units.iter().any(|unit| unit.is_active || unit.is_enabled) || !self.vassals.is_empty()
    }
}

/// A database's URL for people.
fn without_password(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
        Some((scheme, (user, server))) => {
            format!("{scheme}://{}:...@{server}", user.split(':').next().unwrap_or_default())
        }
        None => url.to_owned(),
    }
}

fn owner_of(path: &Path) -> Result<String> {
    let number = fs::metadata(path)?.uid();
    let users = fs::read_to_string("/etc/passwd")?;
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let fields = lines.find(|fields| fields.get(2) == Some(&number.to_string().as_str()));
    Ok(fields
        .and_then(|fields| fields.first().map(|name| (*name).to_owned()))
        .unwrap_or_else(|| number.to_string()))
}

/// The units that name the checkout.
async fn units(checkout: &Path, executor: &Executor) -> Result<Vec<OldUnit>> {
    let shown = checkout.to_string_lossy();
    let mut found: Vec<OldUnit> = Vec::new();
    for directory in UNIT_DIRECTORIES {
        for path in files_in(Path::new(directory)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = text_behind(&path).unwrap_or_default();
            let names_it = names_path(&text, checkout) || text.contains(&format!("{shown}/"));
            let is_workers = text.contains(SUPERVISOR);
            let is_listener = text.contains("webhook_listener") || text.contains("uwsgi");
            let is_known =
                found.iter().any(|unit| unit.name == name) || name.starts_with("durhack-deployer-");
            if !name.ends_with(".service") || !names_it || !(is_workers || is_listener) || is_known {
                continue;
            }
            let properties = "--property=User,Environment,ActiveState,UnitFileState";
            let call = ["systemctl", "--no-ask-password", "show", properties, "--", &name];
            let printed = ask(executor, &CommandLine::Argv(call.map(str::to_owned).to_vec())).await?;
            let value = |key: &str| {
                let mut lines = printed.lines();
                lines
                    .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                    .unwrap_or_default()
                    .to_owned()
            };
            let environment = value("Environment");
            let environment = environment.split_whitespace().filter_map(|word| {
                let (name, value) = word.trim_matches('"').split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            });
            found.push(OldUnit {
                is_workers,
                is_active: ["active", "activating", "deactivating"].contains(&value("ActiveState").as_str()),
                is_enabled: value("UnitFileState").starts_with("enabled"),
                user: value("User"),
                environment: environment.collect(),
                name,
            });
        }
    }
    Ok(found)
}

/// Whether a text names a path as it is, or by a link.
fn names_path(text: &str, path: &Path) -> bool {
    let separates = |next: char| next.is_whitespace() || ";\"'=:,".contains(next);
    let mut words = text.split(separates).filter_map(|word| Some(&word[word.find('/')?..]));
    words.any(|word| {
        let word = Path::new(word);
        // A link such as `.venv/bin/python` leads out of it again.
        let parent = word.parent().and_then(|parent| fs::canonicalize(parent).ok());
        word.starts_with(path)
            || fs::canonicalize(word).is_ok_and(|word| word.starts_with(path))
            || parent.is_some_and(|parent| parent.starts_with(path))
    })
}

/// The files of the emperor's that run its listener, and where that listens.
fn vassals(checkout: &Path, layers: &[(String, String)]) -> (Vec<PathBuf>, Address) {
    let configured = layers::own_vassals(layers);
    let directories = configured.iter().filter_map(|path| path.parent()).map(Path::to_owned);
    let mut candidates: Vec<PathBuf> = VASSAL_DIRECTORIES
        .iter()
        .map(PathBuf::from)
        .chain(directories)
        .filter(|directory| !directory.starts_with(checkout))
        .flat_map(|directory| files_in(&directory))
        .collect();
    candidates.sort();
    candidates.dedup();
    let mut address = None;
    let mut found = Vec::new();
    for path in candidates {
        let is_read = [".ini", ".xml", ".yml", ".yaml", ".js", ".json"]
            .iter()
            .any(|ending| path.to_string_lossy().ends_with(ending));
        let target = fs::canonicalize(&path).unwrap_or_default();
        let text = text_behind(&path).unwrap_or_default();
        let is_its =
            target.starts_with(checkout) || names_path(&text, checkout) || configured.contains(&path);
        if is_read && is_its && text.contains("webhook_listener") {
            address = address.or_else(|| address_in(&text));
            found.push(path);
        }
    }
    (found, address.unwrap_or(Address::Port(PORT)))
}

/// Where a vassal listens.
fn address_in(text: &str) -> Option<Address> {
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        matches!(key.trim(), "socket" | "uwsgi-socket" | "http-socket" | "http")
            .then(|| value.trim().to_owned())
    })?;
    match value.rsplit_once(':').and_then(|(_, port)| port.parse().ok()) {
        Some(port) => Some(Address::Port(port)),
        None => Some(Address::Socket(value)),
    }
}

fn sites(address: &Address, remarks: &mut Vec<String>) -> Vec<OldSite> {
    let directories = NGINX_DIRECTORIES.iter().flat_map(|directory| files_below(Path::new(directory)));
    let mut found = Vec::new();
    for path in directories.chain([PathBuf::from("/etc/nginx/nginx.conf")]) {
        let is_read = path.starts_with("/etc/nginx/sites-enabled")
            || path.starts_with("/etc/nginx/snippets")
            || [".conf", ".nginxconf"].iter().any(|ending| path.to_string_lossy().ends_with(ending));
        if !is_read {
            continue;
        }
        let text = match Reached::behind_links(&path).and_then(|reached| Ok(reached.read(TEXT_BYTES_MAX)?)) {
            Ok(content) => String::from_utf8(content.bytes).unwrap_or_default(),
            // A link that leads nowhere is none that nginx reads.
            Err(_) if !path.exists() => continue,
            Err(error) => {
                remarks.push(format!("{} was not looked at: {error:#}", path.display()));
                continue;
            }
        };
        if let Some(text) = uwsgi_pass::changed(&text, address, 0) {
            let names = uwsgi_pass::server_names(&text);
            found.push(OldSite { target: fs::read_link(&path).ok(), path, text, names });
        }
    }
    found
}

/// Files that name its user and what the original's README has it do, and nobody else.
fn sudoers(user: &str, remarks: &mut Vec<String>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in files_in(Path::new(SUDOERS)) {
        let Some(text) = text_behind(&path).filter(|text| !super::aside::is_ours(text)) else { continue };
        match rules_of(&text, user) {
            Rules::None => {}
            Rules::Alone => found.push(path),
            Rules::AmongOthers => remarks.push(format!(
                "{path} has rules of {user}, which nothing needs any more, among others: it stays; take them out with `visudo -f {path}`",
                path = path.display()
            )),
        }
    }
    found
}

#[derive(Debug, PartialEq, Eq)]
enum Rules {
    None,
    Alone,
    AmongOthers,
}

fn rules_of(text: &str, user: &str) -> Rules {
    let text = text.replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    // `#include` and `#1000 ALL=...` are no comments.
    let is_comment = |line: &str| {
        line.starts_with('#') && !line[1..].starts_with(|next: char| next.is_ascii_digit() || next == 'i')
    };
    let lines: Vec<&str> = lines.filter(|line| !is_comment(line)).collect();
    let begins = |line: &str| line.split_whitespace().next() == Some(user);
    let defaults = format!("Defaults:{user}");
    let is_its = |line: &str| begins(line) || line.split_whitespace().next() == Some(&defaults);
    match lines.iter().any(|line| begins(line) && (line.contains("certbot") || line.contains("systemctl"))) {
        false => Rules::None,
        true if lines.iter().all(|line| is_its(line)) => Rules::Alone,
        true => Rules::AmongOthers,
    }
}

/// Its queues' items: of the events first, then of the deployments.
pub fn waiting(checkout: &Path) -> Vec<PathBuf> {
    let queues = checkout.join("queues");
    let entries = fs::read_dir(&queues).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut directories: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    directories.sort_by_key(|directory| (!directory.ends_with("main"), directory.clone()));
    let is_item = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.ends_with(".json") && !name.starts_with('.')
    };
    directories.iter().flat_map(|directory| files_in(directory)).filter(is_item).collect()
}

/// The files and links of a directory, by their names; none where there is no such directory.
fn files_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| !path.is_dir()).collect();
    files.sort();
    files
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    const DEPTH_MAX: usize = 4;
    let mut files = Vec::new();
    let mut pending = vec![(directory.to_owned(), 0)];
    while let Some((directory, depth)) = pending.pop() {
        files.extend(files_in(&directory));
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        let inner = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        pending.extend(inner.map(|entry| (entry.path(), depth + 1)).filter(|(_, depth)| *depth <= DEPTH_MAX));
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vassal_says_where_it_listens() {
        for (text, expected) in [
            ("[uwsgi]\nsocket = [::]:3400\n", Some(Address::Port(3400))),
            ("socket=127.0.0.1:3456", Some(Address::Port(3456))),
            ("socket = :3400", Some(Address::Port(3400))),
            ("http-socket = /run/d.sock", Some(Address::Socket("/run/d.sock".into()))),
            ("# socket: none\nmodule = x", None),
        ] {
            assert_eq!(address_in(text), expected, "{text}");
        }
    }

    #[test]
    fn a_vassal_is_the_listeners_only_if_it_runs_the_listener() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("vassals")).unwrap();
        fs::write(at("vassals/site.ini"), "[uwsgi]\nsocket = 127.0.0.1:9999\n").unwrap();
        fs::write(at("vassals/own.ini"), "[uwsgi]\nsocket = 127.0.0.1:3456\nmodule = webhook_listener\n")
            .unwrap();
        let deployment = |slug: &str, repository: &str| {
            let path = at("vassals").join(format!("{slug}.ini"));
            format!(
                "[deployments.{slug}]\nrepository = \"{repository}\"\nuwsgi_config_path = \"{}\"\n",
                path.display()
            )
        };
        let layer = |text: String| [("default.toml".to_owned(), text)];
        let both = deployment("site", "acme/site") + &deployment("own", "ducompsoc/durhack-deployer");
        let found = vassals(&at("checkout"), &layer(both));
        assert_eq!(found, (vec![at("vassals/own.ini")], Address::Port(3456)));
        let claims = layer(deployment("site", "ducompsoc/durhack-deployer"));
        assert_eq!(vassals(&at("checkout"), &claims), (vec![], Address::Port(PORT)));
    }

    #[test]
    fn only_a_file_for_its_user_alone_is_moved_aside() {
        let its = "d ALL=(root) NOPASSWD: /usr/bin/certbot\n";
        for (text, expected) in [
            (its.to_owned(), Rules::Alone),
            (format!("# alice\n\nDefaults:d !requiretty\n{its}"), Rules::Alone),
            ("d ALL=(root) NOPASSWD: \\\n  /usr/bin/systemctl\n".to_owned(), Rules::Alone),
            (format!("alice ALL=(ALL) ALL\n{its}"), Rules::AmongOthers),
            (format!("#1000 ALL=(ALL) ALL\n{its}"), Rules::AmongOthers),
            (format!("#includedir /etc/more\n{its}"), Rules::AmongOthers),
            (format!("Defaults env_reset\n{its}"), Rules::AmongOthers),
            ("alice ALL=(root) /usr/bin/certbot\n".to_owned(), Rules::None),
        ] {
            assert_eq!(rules_of(&text, "d"), expected, "{text}");
        }
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        let url = "postgresql+psycopg://deployer:p@ss@localhost:5432/deployer";
        assert_eq!(without_password(url), "postgresql+psycopg://deployer:...@localhost:5432/deployer");
        assert_eq!(without_password("sqlite:x"), "sqlite:x");
    }

    #[test]
    fn a_checkout_is_recognised_by_a_link_too() {
        let directory = tempfile::tempdir().unwrap();
        let (checkout, link) = (directory.path().join("checkout"), directory.path().join("link"));
        fs::create_dir_all(checkout.join("bin")).unwrap();
        std::os::unix::fs::symlink(&checkout, &link).unwrap();
        std::os::unix::fs::symlink("/bin/sh", checkout.join("bin/python")).unwrap();
        for (text, is_named) in [
            (format!("ExecStart={}/bin/python -m x", checkout.display()), true),
            (format!("ExecStart={}/bin/python -m x", link.display()), true),
            (format!("WorkingDirectory={}", link.display()), true),
            (format!("WorkingDirectory={}-other", checkout.display()), false),
            ("ExecStart=/bin/sh".to_owned(), false),
        ] {
            assert_eq!(names_path(&text, &checkout), is_named, "{text}");
        }
    }

    #[test]
    fn what_waits_is_what_the_old_tool_takes_for_an_item() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["nginx/2.json", "main/1.json", "main/.hidden.json", "main/half.json.tmp"] {
            let path = directory.path().join("queues").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "{}").unwrap();
        }
        let found = waiting(directory.path());
        let names: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(directory.path().join("queues")).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["main/1.json", "nginx/2.json"]);
    }
}
