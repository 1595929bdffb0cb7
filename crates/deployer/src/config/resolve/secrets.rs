//! Where secrets come from, and which are refused.
//!
//! From the environment, a file, a systemd credential or the configuration itself; the first of these that
//! exists is used. Where systemd hands out none, they are looked for where it gets them from: so root's commands find what the
//! services are given. A secret that the purpose does not need is not looked for.
//!
//! Nothing in here says what a secret is, only where it stood and why it will not do.

use super::ResolveFacts;
use crate::base::names::RepositoryName;
use crate::base::secret::Secret;
use crate::base::secret::signing_key::SigningKey;
use crate::config::reading::diagnostics::{Problem, Severity};
use crate::config::reading::raw::{Node, Value, holds_password};
use crate::config::reading::reader::{HIDDEN, Parsed, Reading, TableReader, Wrong};
use crate::config::reading::values::{filled_text, list, path_in};
use crate::config::{Config, Purpose, SecretFiles};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The token for GitHub's API in the environment; the first that is set counts.
pub const GITHUB_TOKEN_VARIABLES: [&str; 2] = ["GITHUB_TOKEN", "GH_TOKEN"];

/// The webhook secret in the environment.
pub const WEBHOOK_SECRET_VARIABLE: &str = "DEPLOYER_WEBHOOK_SECRET";
/// Where systemd puts credentials.
pub const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// Shorter ones can be guessed by trying; GitHub's signatures give an attacker something to try against.
const SECRET_BYTES_MIN: usize = 16;

const HOW_TO_MAKE_ONE: &str = "make one with `openssl rand -hex 32`, and keep it out of files that a repository has: in `local.toml`, or in a file that `..._file` names";

/// Secrets that everybody knows: of the original's default.toml, of GitHub's documentation, of our examples.
const KNOWN_SECRETS: [&str; 4] = [
    "not-a-real-secret-token",
    "It's a Secret to Everybody",
    "what openssl rand -hex 32 printed",
    "the secret that is being replaced",
];

/// Where, in the configuration's directory, the units' credentials come from. Only root can look into it.
const CREDENTIALS_DIRECTORY: &str = "credentials";

/// What is wrong with a secret's text: message and help.
type SecretRefusal = (&'static str, &'static str);

fn webhook_secret(text: &str, facts: &ResolveFacts<'_>) -> Result<Secret, SecretRefusal> {
    if text.trim().is_empty() {
        return Err(("a secret must not be empty", HOW_TO_MAKE_ONE));
    }
    if text.contains(['\n', '\r', '\0']) {
        return Err(("a secret must be one line", "keep nothing else in its file"));
    }
    if !facts.is_development() && is_known(text) {
        return Err(("this secret is known to everybody", HOW_TO_MAKE_ONE));
    }
    if text.len() < SECRET_BYTES_MIN {
        return Err(("this secret is too short: at least 16 bytes", HOW_TO_MAKE_ONE));
    }
    Ok(Secret::new(text.to_owned()))
}

/// Whether it is one that everybody knows.
pub fn is_known(text: &str) -> bool {
    KNOWN_SECRETS.iter().any(|known| known.eq_ignore_ascii_case(text.trim()))
}

fn token(text: &str, _: &ResolveFacts<'_>) -> Result<Secret, SecretRefusal> {
    match text.trim() {
        "" => Err(("a token must not be empty", "leave it out where nothing is to be reported")),
        text if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Secret::new(text.to_owned())),
        _ => Err(("a token has only visible ASCII characters", "copy it again")),
    }
}

type SecretCheck = fn(&str, &ResolveFacts<'_>) -> Result<Secret, SecretRefusal>;

/// Makes what a file that is not there yet will hold.
type Absent<'a> = Option<&'a dyn Fn() -> Secret>;

/// A secret in the configuration itself.
fn written<'a>(check: SecretCheck, facts: &'a ResolveFacts<'a>) -> impl Fn(&Node) -> Parsed<Secret> + 'a {
    move |node| {
        let Value::Text(text) = &node.value else { return Wrong::kind(node, "a text in quotes") };
        check(text, facts).or_else(|(message, help)| Wrong::with_help(node, message, help))
    }
}

/// A secret in a file that the configuration names.
fn of_file<'a>(
    check: SecretCheck,
    facts: &'a ResolveFacts<'a>,
    absent: Absent<'a>,
) -> impl Fn(&Node) -> Parsed<Secret> + 'a {
    move |node| {
        let path = path_in(facts.environment.working_directory())(node)?;
        let file = match (facts.read_secret_file)(&path) {
            Ok(Some(file)) => file,
            Ok(None) if let Some(make) = absent => return Ok(make()),
            Ok(None) => {
                let path = path.display();
                let help = format!(
                    "put it there, for its owner alone; a new webhook secret: `(umask 077; openssl rand -hex 32 > {path})`, a token comes from GitHub"
                );
                return Wrong::with_help(node, format!("there is no file {path}"), help);
            }
            Err(error) => {
                return Wrong::with_help(
                    node,
                    error.message,
                    "the file must hold the secret and nothing else",
                );
            }
        };
        if file.mode & 0o077 != 0 {
            let message =
                format!("others than its owner have access to this file (mode {:03o})", file.mode & 0o777);
            return Wrong::with_help(node, message, format!("run `chmod 600 {}`", path.display()));
        }
        check(without_newline(&file.text), facts).or_else(|(message, help)| {
            Wrong::with_help(node, format!("in the file {}: {message}", path.display()), help)
        })
    }
}

/// An editor, `echo` and `openssl` all end a file with a line break.
fn without_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// One secret, and the places it may come from, in this order.
struct SecretPlaces<'a> {
    variables: &'static [&'static str],
    file_key: &'static str,
    credential: &'static str,
    key: &'static str,
    /// Whether what stands in the configuration itself may be used.
    key_counts: bool,
    check: SecretCheck,
    /// For the file.
    absent: Absent<'a>,
}

/// From the first of the places that has one.
fn first(
    table: &TableReader<'_>,
    places: &SecretPlaces<'_>,
    facts: &ResolveFacts<'_>,
    reading: &Reading,
) -> Option<Secret> {
    for variable in places.variables {
        if let Some(text) = facts.environment.get(variable) {
            return outside(table, places, text, &format!("environment {variable}"), facts, reading);
        }
    }
    if table.is_written(places.file_key) {
        return table.value(places.file_key, of_file(places.check, facts, places.absent));
    }
    match credential(places.credential, facts) {
        Ok(Some((text, origin))) => return outside(table, places, &text, &origin, facts, reading),
        Ok(None) => {}
        Err(problem) => {
            reading.report(Problem { key: Some(table.path(places.key)), ..*problem });
            // A note: nothing is known of it, and that is no reason to take another.
            return None;
        }
    }
    if places.key_counts && table.is_written(places.key) {
        warn_if_readable(table, places.key, facts);
        return table.value(places.key, written(places.check, facts));
    }
    None
}

/// A credential's text and where it came from. A blank one, as a unit has in place of one that is not there, is none.
fn credential(name: &str, facts: &ResolveFacts<'_>) -> Result<Option<(String, String)>, Box<Problem>> {
    if let Some(directory) = facts.environment.get(CREDENTIALS_VARIABLE) {
        // The directory is the unit's alone, whatever the file's mode.
        let origin = format!("credential {name}");
        let file = (facts.read_secret_file)(&Path::new(directory).join(name));
        let file = file.map_err(|error| Box::new(Problem::error(format!("{origin}: {}", error.message))))?;
        if let Some(file) = file.filter(|file| !file.text.trim().is_empty()) {
            return Ok(Some((without_newline(&file.text).to_owned(), origin)));
        }
    }
    let path = facts.configuration_directory.join(CREDENTIALS_DIRECTORY).join(name);
    match (facts.read_secret_file)(&path) {
        Ok(None) => Ok(None),
        Ok(Some(file)) if file.mode & 0o077 != 0 => {
            let message = format!("others than its owner have access to {}", path.display());
            Err(Box::new(Problem::error(message).help(format!("run `chmod 600 {}`", path.display()))))
        }
        Ok(Some(file)) => {
            Ok(Some((without_newline(&file.text).to_owned(), format!("file {}", path.display()))))
        }
        Err(error) if error.is_forbidden && facts.purpose != Purpose::Check => Ok(None),
        Err(error) if error.is_forbidden => {
            let help = "run this as root to have it checked too";
            let message = format!("whether there is a {name} for the services cannot be seen by this user");
            Err(Box::new(Problem { severity: Severity::Note, ..Problem::error(message) }.help(help)))
        }
        Err(error) => Err(Box::new(Problem::error(error.message))),
    }
}

fn outside(
    table: &TableReader<'_>,
    places: &SecretPlaces<'_>,
    text: &str,
    origin: &str,
    facts: &ResolveFacts<'_>,
    reading: &Reading,
) -> Option<Secret> {
    table.show_derived(places.key, HIDDEN, origin);
    match (places.check)(text, facts) {
        Ok(secret) => Some(secret),
        Err((message, help)) => {
            let problem = Problem::error(format!("{origin}: {message}")).help(help);
            reading.report(Problem { key: Some(table.path(places.key)), ..problem });
            None
        }
    }
}

/// Those that sign for every repository without secrets of its own.
pub fn webhook_secrets(root: &TableReader<'_>, facts: &ResolveFacts<'_>, reading: &Reading) -> Vec<Secret> {
    if !facts.purpose.needs_webhook_secrets() {
        return Vec::new();
    }
    warn_if_readable(root, "webhook_secrets", facts);
    let further = root.value("webhook_secrets", list(written(webhook_secret, facts))).unwrap_or_default();
    let of_files =
        root.value("webhook_secret_files", list(of_file(webhook_secret, facts, None))).unwrap_or_default();
    // The original's default.toml holds one that everybody knows; where a layer adds a real one, that is what counts.
    let is_placeholder = root
        .node("webhook_secret_token")
        .and_then(|node| filled_text(node).ok())
        .is_some_and(|text| is_known(&text));
    let real_ones = [further, of_files].concat();
    let places = SecretPlaces {
        variables: &[WEBHOOK_SECRET_VARIABLE],
        file_key: "webhook_secret_token_file",
        credential: "webhook-secret",
        key: "webhook_secret_token",
        key_counts: !is_placeholder || real_ones.is_empty() || facts.is_development(),
        check: webhook_secret,
        absent: facts.absent_webhook_secret,
    };
    first(root, &places, facts, reading).into_iter().chain(real_ones).collect()
}

/// The files of those, and which of them holds the first.
pub fn files(root: &TableReader<'_>, facts: &ResolveFacts<'_>) -> SecretFiles {
    let current = match facts.environment.get(WEBHOOK_SECRET_VARIABLE) {
        Some(_) => None,
        None => path(root, "webhook_secret_token_file", facts),
    };
    SecretFiles { current, further: paths(root, "webhook_secret_files", facts) }
}

/// The files of each repository that has secrets of its own.
pub fn files_of_repositories(
    root: &TableReader<'_>,
    facts: &ResolveFacts<'_>,
) -> BTreeMap<RepositoryName, SecretFiles> {
    let tables = root.named("repositories").into_iter();
    let tables = tables.filter_map(|(name, table)| Some((RepositoryName::parse(name).ok()?, table.ok()?)));
    let files = |table: &TableReader<'_>| SecretFiles {
        current: path(table, "webhook_secret_file", facts),
        further: paths(table, "webhook_secret_files", facts),
    };
    tables.map(|(name, table)| (name, files(&table))).collect()
}

/// A path as it was written. What is wrong with it is said where its file is read.
fn path(table: &TableReader<'_>, key: &str, facts: &ResolveFacts<'_>) -> Option<PathBuf> {
    path_in(facts.environment.working_directory())(table.node(key)?).ok()
}

fn paths(table: &TableReader<'_>, key: &str, facts: &ResolveFacts<'_>) -> Vec<PathBuf> {
    let paths = table.node(key).map(list(path_in(facts.environment.working_directory())));
    paths.and_then(Result::ok).unwrap_or_default()
}

/// The token for GitHub's API.
pub fn github_token(table: &TableReader<'_>, facts: &ResolveFacts<'_>, reading: &Reading) -> Option<Secret> {
    if !facts.purpose.needs_keys() {
        return None;
    }
    let places = SecretPlaces {
        variables: &GITHUB_TOKEN_VARIABLES,
        file_key: "token_file",
        credential: "github-token",
        key: "token",
        key_counts: true,
        check: token,
        absent: None,
    };
    first(table, &places, facts, reading)
}

/// A deployment's own token.
pub fn deployment_token(table: &TableReader<'_>, facts: &ResolveFacts<'_>) -> Option<Secret> {
    if !facts.purpose.needs_keys() {
        return None;
    }
    table.value("github_token_file", of_file(token, facts, None))
}

/// The private key of the GitHub App.
pub fn github_app_key(
    table: &TableReader<'_>,
    facts: &ResolveFacts<'_>,
    reading: &Reading,
) -> Option<SigningKey> {
    let places = SecretPlaces {
        variables: &[],
        file_key: "app_key_file",
        credential: "github-app-key",
        key: "app_key_file",
        key_counts: false,
        check: app_key,
        absent: None,
    };
    let text = first(table, &places, facts, reading)?;
    SigningKey::from_pem(text.expose()).ok()
}

fn app_key(text: &str, _: &ResolveFacts<'_>) -> Result<Secret, SecretRefusal> {
    match SigningKey::from_pem(text) {
        Ok(_) => Ok(Secret::new(text.to_owned())),
        Err(_) => {
            Err(("this is not an RSA private key in PEM", "download the App's private key from GitHub again"))
        }
    }
}

/// A file that ssh is to read a private key from. What it says is ssh's affair; its name goes into a setting of ssh's, where
/// some characters have a meaning.
pub fn private_key_file<'a>(facts: &'a ResolveFacts<'a>) -> impl Fn(&Node) -> Parsed<PathBuf> + 'a {
    move |node| {
        let path = path_in(facts.environment.working_directory())(node)?;
        if path.to_string_lossy().contains(|c: char| c.is_control() || matches!(c, '"' | '\\' | '$' | '%')) {
            return Wrong::value(node, "ssh gives a meaning to \", \\, $ and % in the name of a key file");
        }
        match facts.purpose.needs_keys() {
            true => of_file(private_key, facts, None)(node).map(|_| path),
            false => Ok(path),
        }
    }
}

fn private_key(text: &str, _: &ResolveFacts<'_>) -> Result<Secret, SecretRefusal> {
    match text.contains("PRIVATE KEY-----") {
        true => Ok(Secret::new(String::new())),
        false => Err(("this is not a private key", "name the file that `ssh-keygen` wrote without `.pub`")),
    }
}

/// A repository's own.
pub fn of_repository(table: &TableReader<'_>, facts: &ResolveFacts<'_>) -> Vec<Secret> {
    if !facts.purpose.needs_webhook_secrets() {
        return Vec::new();
    }
    warn_if_readable(table, "webhook_secret_token", facts);
    warn_if_readable(table, "webhook_secret_tokens", facts);
    let mut secrets = Vec::new();
    let absent = facts.absent_webhook_secret;
    secrets.extend(table.value("webhook_secret_file", of_file(webhook_secret, facts, absent)));
    secrets.extend(table.value("webhook_secret_token", written(webhook_secret, facts)));
    secrets.extend(
        table.value("webhook_secret_files", list(of_file(webhook_secret, facts, None))).into_iter().flatten(),
    );
    secrets.extend(
        table.value("webhook_secret_tokens", list(written(webhook_secret, facts))).into_iter().flatten(),
    );
    if secrets.is_empty() {
        let help = "write `webhook_secret_file`, or leave the table out";
        table.error_at_header("this repository's table has no usable secret", help);
    }
    secrets
}

/// A secret in a file that every user of the machine may read is not one.
pub fn warn_if_readable(table: &TableReader<'_>, name: &str, facts: &ResolveFacts<'_>) {
    let Some(node) = table.node(name) else { return };
    let readable = node.position.as_ref().is_some_and(|position| position.source.world_readable);
    let is_secret = match filled_text(node) {
        Ok(text) if name == "database_url" => holds_password(&text),
        Ok(text) => !is_known(&text),
        Err(_) => matches!(&node.value, Value::List(nodes) if !nodes.is_empty()),
    };
    if readable && is_secret && !facts.is_development() {
        let message = "every user of this machine can read this secret";
        table.report_at_key(
            name,
            Severity::Warning,
            message,
            "`chmod 600` this file, or keep the secret in a file of its own",
        );
    }
}

/// Every enabled deployment's repository must have somebody who can sign for it.
pub fn require_webhook_secrets(root: &TableReader<'_>, config: &Config, reading: &Reading) {
    let intake = &config.intake;
    // Where one is there and will not do, that has been said.
    if !intake.secrets.is_empty() || reading.has_said_why_not("webhook_secret") {
        return;
    }
    if intake.repository_secrets.is_empty() && !reading.has_said_why_not("repositories") {
        let help = format!(
            "put one into a file (`openssl rand -hex 32 > FILE; chmod 600 FILE`) and write `webhook_secret_token_file = \"FILE\"`, or set {WEBHOOK_SECRET_VARIABLE}"
        );
        root.report_at_key(
            "webhook_secret_token",
            Severity::Error,
            "there is no webhook secret, so nobody could sign",
            help,
        );
        return;
    }
    for (slug, table) in root.named("deployments") {
        let deployment = config.deployments.iter().find(|(known, _)| known.as_str() == slug);
        if let (Ok(table), Some((_, deployment))) = (table, deployment)
            && deployment.enabled
            && !intake.repository_secrets.contains_key(&deployment.repository)
        {
            let help =
                format!("write `webhook_secret_file` into [repositories.\"{}\"]", deployment.repository);
            let message =
                format!("nobody could sign for {}: there is no webhook secret", deployment.repository);
            table.for_deployment(slug).error_at_value("repository", message, help);
        }
    }
}

/// A table with secrets for a repository that nothing deploys is probably misspelt.
pub fn warn_of_unused_repositories(root: &TableReader<'_>, config: &Config) {
    for (name, table) in root.named("repositories") {
        let is_used = config.deployments.values().any(|deployment| deployment.repository.as_str() == name);
        // What is wrong with the table itself has been said.
        let is_whole = config
            .intake
            .repository_secrets
            .iter()
            .any(|(repository, secrets)| repository.as_str() == name && !secrets.is_empty());
        if let (Ok(table), false, true) = (table, is_used, is_whole) {
            let message = format!("no deployment has the repository {name}");
            table.report_at_header(
                Severity::Warning,
                message,
                "write it exactly as in the deployment, or leave the table out",
            );
        }
    }
}
