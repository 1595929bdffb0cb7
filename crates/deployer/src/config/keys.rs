//! The table itself: every key, in the order in which a person should read it. Here is the top of it; a table below
//! is in the file of what it is about, and the keys of a recipe are in its directory (`plan/recipes/`).

mod commands;
mod deployment;
mod github;
mod runs;
mod server;
mod sites;

use crate::base::names::nearest;
pub use commands::{HOOK_STEP, STEPS};
pub use deployment::DEPLOYMENT;
pub use deployment::INSTANCE_NAME;
use github::{GITHUB, RECONCILE, REPOSITORY};
use runs::{CONFINEMENT, GIT, RUNS};
use server::{LIMITS, LISTEN, PROXY_FIX};
use sites::{CERTIFICATES, NGINX};

use self::Default::{Derived, Value};
use self::KeyKind::{Choice, List, Named, Path, Secret, SourceNetworks, Table, Text};

/// A list of texts, or the words of a command.
pub const TEXTS: KeyKind = List(&Text);
const SECRETS: KeyKind = List(&Secret);
/// A list of paths.
pub const PATHS: KeyKind = List(&Path);

/// The top of the configuration; of deployments, what all recipes share.
pub static ROOT: Section = Section {
    meaning: "What holds for the whole instance.",
    keys: &[
        Key::new(
            "origin",
            Text,
            Derived("`http://`, the host and the port of `[listen]`"),
            r#""https://deploy.durhack.com""#,
            "The URL at which people reach this instance; links in commit statuses begin with it.",
        ),
        Key::new(
            "state_directory",
            Path,
            Derived(
                "`STATE_DIRECTORY` as systemd sets it, else `/var/lib/durhack-deployer` where the configuration is in `/etc/durhack-deployer`, else `./var`",
            ),
            r#""/var/lib/durhack-deployer""#,
            "The directory of spools, database, mirrors, locks and logs. A relative path is relative to the working directory, here as in every key.",
        ),
        Key::new(
            "executable_search_paths",
            PATHS,
            Value("[]"),
            r#"["/opt/node/bin"]"#,
            "Directories appended to the PATH of every step, so that the system's own tools win.",
        ),
        Key::new(
            "privileges",
            Choice(&["direct", "sudo", "helper"]),
            Derived("`\"direct\"` for root, else `\"sudo\"`"),
            r#""helper""#,
            "How root's work is done (restarting units, testing and reloading nginx, certificates). `direct`: as the user that the deployer runs as. `sudo`: by `sudo -n`, with the rules of `packaging/sudo/durhack-deployer`. `helper`: by `durhack-deployer-privileged.socket`, which does what `/etc/durhack-deployer/privileged.toml` allows, without sudo. See `docs/explanation/security.md`.",
        ),
        Key::new(
            "webhook_secret_token",
            Secret,
            Derived("none"),
            r#""what openssl rand -hex 32 printed""#,
            "The secret that GitHub signs with, at least 16 bytes. A file is better: see `webhook_secret_token_file`. The environment variable `DEPLOYER_WEBHOOK_SECRET`, then that file, then the systemd credential `webhook-secret` win over this key.",
        ),
        Key::new(
            "webhook_secret_token_file",
            Path,
            Derived(
                "the systemd credential `webhook-secret`, else `credentials/webhook-secret` beside this file, where there is one",
            ),
            r#""/etc/durhack-deployer/webhook-secret""#,
            "A file with the secret and nothing else. Only its owner may have access to it.",
        ),
        Key::new(
            "webhook_secrets",
            SECRETS,
            Value("[]"),
            r#"["the secret that is being replaced"]"#,
            "Further secrets that are accepted too, while one is being replaced.",
        ),
        Key::new(
            "webhook_secret_files",
            PATHS,
            Value("[]"),
            r#"["/etc/durhack-deployer/webhook-secret.old"]"#,
            "Files of further secrets that are accepted too.",
        ),
        Key::new(
            "source_networks",
            SourceNetworks,
            Derived("`\"any\"` in the environment `development`, else `\"github\"`"),
            r#"["192.0.2.0/24", "2001:db8::/32"]"#,
            "Addresses from which a webhook may come: any (the signature alone decides), the networks that GitHub publishes, or these.",
        ),
        Key::new(
            "page_networks",
            SourceNetworks,
            Value(r#""any""#),
            r#"["192.0.2.0/24", "2001:db8::/32"]"#,
            "Who may look at the pages of runs and deliveries, to which statuses at GitHub link: anybody who has the link, or these networks. Where it is a list, the pages also say why a run of a private repository failed.",
        ),
        Key::new(
            "database_url",
            Secret,
            Derived("`sqlite:` and `record.sqlite` in the state directory"),
            r#""postgres://deployer@localhost/deployer""#,
            "The database. The environment variable `DATABASE_URL` wins. `postgresql://` and `postgresql+psycopg://` mean `postgres://`.",
        ),
        Key::new("listen", Table(&LISTEN), Derived("see its keys"), "", "Where the HTTP server listens."),
        Key::new(
            "proxy_fix",
            Table(&PROXY_FIX),
            Derived("see its keys"),
            "",
            "Which reverse proxies stand in front.",
        ),
        Key::new("limits", Table(&LIMITS), Derived("see its keys"), "", "Limits of one caller."),
        Key::new("github", Table(&GITHUB), Derived("see its keys"), "", "GitHub's API."),
        Key::new(
            "reconcile",
            Table(&RECONCILE),
            Derived("see its keys"),
            "",
            "Comparing the branches' heads with what is live, so that a push that did not arrive is deployed too.",
        ),
        Key::new("runs", Table(&RUNS), Derived("see its keys"), "", "What holds for all runs."),
        Key::new(
            "nginx",
            Table(&NGINX),
            Derived("see its keys"),
            "",
            "The host's nginx, for recipe `nginx-sites`.",
        ),
        Key::new(
            "certificates",
            Table(&CERTIFICATES),
            Derived("see its keys"),
            "",
            "How certbot is called, for recipe `nginx-sites`.",
        ),
        Key::new("git", Table(&GIT), Derived("see its keys"), "", "Limits of a repository."),
        Key::new(
            "confinement",
            Table(&CONFINEMENT),
            Derived("see its keys"),
            "",
            "What the steps that make releases may read, write and use.",
        ),
        Key::new(
            "repositories",
            Named("\"OWNER/NAME\"", &REPOSITORY),
            Derived("none"),
            "",
            "What belongs to a repository whatever deploys it.",
        ),
        Key::new(
            "deployments",
            Named("SLUG", &DEPLOYMENT),
            Derived("none"),
            "",
            "What is deployed, and how. The slug names the deployment everywhere: a to z, 0 to 9 and `-`, at most 63 of them, not `main`.",
        ),
    ],
};

/// A table of the configuration.
#[derive(Debug)]
pub struct Section {
    /// What it is for.
    pub meaning: &'static str,
    /// What may stand in it, in the order in which a person should read it.
    pub keys: &'static [Key],
}

/// One key of a table.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What its value is.
    pub kind: KeyKind,
    /// What holds where it is not written.
    pub default: Default,
    /// A TOML value that could be written; empty for tables.
    pub example: &'static str,
    /// One or two sentences.
    pub meaning: &'static str,
    /// The recipes that know it; empty: it has nothing to do with the recipe. Filled where recipes and keys come together
    /// ([`super::recipe::Reference`]).
    pub recipes: &'static [&'static str],
}

/// What holds where a key is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// It must be written.
    Required,
    /// This TOML value.
    Value(&'static str),
    /// What these words say; the resolution computes it.
    Derived(&'static str),
}

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub enum KeyKind {
    /// `true` or `false`.
    Boolean,
    /// A whole number in this range.
    Integer {
        /// The smallest value that is allowed.
        min: i64,
        /// The largest value that is allowed.
        max: i64,
    },
    /// A text, whose form the meaning explains.
    Text,
    /// A text that is never shown.
    Secret,
    /// A path; the key's meaning says whether it may be relative, and to what.
    Path,
    /// `"1h 30m"`, or an integer of seconds.
    Duration,
    /// `"256MiB"`, or an integer of bytes.
    Size,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `any`, `github` or a list of networks.
    SourceNetworks,
    /// A list of values of one kind.
    List(&'static KeyKind),
    /// Names and texts; of environment variables.
    Variables,
    /// A table of headers of a request.
    Headers,
    /// A table with known keys.
    Table(&'static Section),
    /// A table of tables, whose names the operator chooses; the text is the placeholder for the name.
    Named(&'static str, &'static Section),
    /// A list of tables.
    Tables(&'static Section),
    /// Commands of a hook: a shell line, an argv, or a list of argvs and tables.
    Commands(&'static Section),
}

impl Section {
    /// The key of that name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The key of that name that may be written beside this recipe.
    pub fn key_of(&self, name: &str, recipe: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name && key.belongs_to(recipe))
    }

    /// A key of the root that was written below a table's header. Names of tables are not meant: their own header takes them to the root.
    fn key_of_root(&self, name: &str) -> Option<&'static Key> {
        ROOT.key(name).filter(|key| key.kind.section().is_none())
    }

    /// What was probably meant by a key that is not in it, or else what would be known.
    pub fn help_for_unknown(&self, name: &str) -> String {
        if let Some((_, advice)) = WORDS_OF_OTHERS.iter().find(|(word, _)| *word == name) {
            return (*advice).to_owned();
        }
        if self.key_of_root(name).is_some() {
            return format!(
                "`{name}` belongs above the first line with [...]: what stands below one is a part of that"
            );
        }
        // What to a step is `run` is to a check `command`.
        if name == "run" && self.key("command").is_some() {
            return "a check says `command` where a step says `run`: `command = [\"program\", \"argument\"]`"
                .to_owned();
        }
        // A deployment knows more than sixty keys: only where none is meant by it are all of them of use.
        match nearest(name, self.keys.iter().map(|key| key.name)) {
            Some(key) => format!("did you mean `{key}`?"),
            None => {
                let mut names: Vec<&str> = Vec::new();
                for key in self.keys {
                    if !names.contains(&key.name) {
                        names.push(key.name);
                    }
                }
                format!("known here are: {}", names.join(", "))
            }
        }
    }
}

/// Words that users of other tools know, where ours is too different to be guessed.
const WORDS_OF_OTHERS: [(&str, &str); 4] = [
    ("branches", "a deployment has one `branch`; write one deployment for each branch"),
    (
        "webhook_secret",
        "write `webhook_secret_token_file`, a file that holds the secret, or `webhook_secret_token`",
    ),
    ("working_directory", "write `directory`, relative to the release"),
    ("command", "write `run = [\"program\", \"argument\"]`, or `shell = \"a line\"`"),
];

impl Key {
    /// A key that every recipe knows, or that a recipe lists as its own.
    pub const fn new(
        name: &'static str,
        kind: KeyKind,
        default: Default,
        example: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self { name, kind, default, example, meaning, recipes: &[] }
    }

    /// Whether another recipe's key is the same in all that is said of it.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.name, self.default, self.example, self.meaning)
            == (other.name, other.default, other.example, other.meaning)
    }

    /// Whether its value must not be shown.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, KeyKind::Secret | KeyKind::List(KeyKind::Secret))
    }

    /// Whether it may be written beside this recipe.
    pub fn belongs_to(&self, recipe: &str) -> bool {
        self.recipes.is_empty() || self.recipes.contains(&recipe)
    }
}

impl KeyKind {
    /// The table below, if there is one.
    pub fn section(&self) -> Option<&'static Section> {
        match self {
            Self::Table(section)
            | Self::Named(_, section)
            | Self::Tables(section)
            | Self::Commands(section) => Some(section),
            _ => None,
        }
    }

    /// For people: `a duration`.
    pub fn in_words(&self) -> String {
        match self {
            Self::Boolean => "true or false".into(),
            Self::Integer { min, max: i64::MAX } => format!("an integer, at least {min}"),
            Self::Integer { min, max } => format!("an integer, {min} to {max}"),
            Self::Text => "a text".into(),
            Self::Secret => "a text, kept secret".into(),
            Self::Path => "a path".into(),
            Self::Duration => "a duration".into(),
            Self::Size => "a size".into(),
            Self::Choice(words) => {
                words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(" or ")
            }
            Self::SourceNetworks => "`\"any\"`, `\"github\"` or a list of networks".into(),
            Self::List(element) => format!("a list; each: {}", element.in_words()),
            Self::Variables | Self::Headers => "a table of texts".into(),
            Self::Table(_) => "a table".into(),
            Self::Named(name, _) => format!("a table of tables, one for each {name}"),
            Self::Tables(_) => "a list of tables".into(),
            Self::Commands(_) => "a shell line, an argv, or a list of argvs and tables".into(),
        }
    }
}

/// Whether a key that the table does not know probably names a secret: a misspelt one must not be shown either,
/// nor an environment variable of such a name.
pub fn looks_secret(name: &str) -> bool {
    const WORDS: [&str; 9] =
        ["secret", "token", "password", "passwd", "credential", "database_url", "_key", "apikey", "dsn"];
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// Calls `visit` with the path and the definition of every key of a table, parents before children.
pub fn each_key(root: &'static Section, visit: &mut impl FnMut(&str, &'static Key)) {
    each_key_below("", root, visit);
}

fn each_key_below(prefix: &str, section: &'static Section, visit: &mut impl FnMut(&str, &'static Key)) {
    for key in section.keys {
        let path = format!("{prefix}{}", key.name);
        visit(&path, key);
        match key.kind {
            KeyKind::Table(below) => each_key_below(&format!("{path}."), below, visit),
            KeyKind::Named(name, below) => each_key_below(&format!("{path}.{name}."), below, visit),
            KeyKind::Tables(below) => each_key_below(&format!("{path}[]."), below, visit),
            // The tables of hooks are those of `steps` without the phase; described once is enough.
            _ => {}
        }
    }
}
