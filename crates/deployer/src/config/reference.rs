//! The one definition of what may stand in a configuration file.
//!
//! A static table says of each key its kind, default, meaning, an example and the recipes it belongs to. From it
//! come the known keys and "did you mean" of the reader, the defaults, which values are secrets and must not be
//! shown, `docs/configuration.md`, the JSON Schema and `config/example.toml`; a test fails where one of those
//! files is stale. What a value must look like beyond its kind is said by [`super::values`], once.

pub mod example;
pub mod keys;
pub mod markdown;
pub mod schema;

pub use example::example_toml;
pub use keys::ROOT;
pub use markdown::{reference_file, reference_markdown};
pub use schema::json_schema;

use crate::base::names::nearest;

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
    pub kind: Kind,
    /// What holds where it is not written.
    pub default: Default,
    /// A TOML value that could be written; empty for tables.
    pub example: &'static str,
    /// One or two sentences.
    pub meaning: &'static str,
    /// The recipes that know it; empty: it has nothing to do with the recipe.
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
pub enum Kind {
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
    List(&'static Kind),
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
                format!(
                    "known here are: {}",
                    self.keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
                )
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
    const fn new(
        name: &'static str,
        kind: Kind,
        default: Default,
        example: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self { name, kind, default, example, meaning, recipes: &[] }
    }

    const fn of(mut self, recipes: &'static [&'static str]) -> Self {
        self.recipes = recipes;
        self
    }

    /// Whether its value must not be shown.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::List(Kind::Secret))
    }

    /// Whether it may be written beside this recipe.
    pub fn belongs_to(&self, recipe: &str) -> bool {
        self.recipes.is_empty() || self.recipes.contains(&recipe)
    }
}

impl Kind {
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

/// Calls `visit` with the path and the definition of every key, parents before children.
pub fn each_key(visit: &mut impl FnMut(&str, &'static Key)) {
    each_key_below("", &ROOT, visit);
}

fn each_key_below(prefix: &str, section: &'static Section, visit: &mut impl FnMut(&str, &'static Key)) {
    for key in section.keys {
        let path = format!("{prefix}{}", key.name);
        visit(&path, key);
        match key.kind {
            Kind::Table(below) => each_key_below(&format!("{path}."), below, visit),
            Kind::Named(name, below) => each_key_below(&format!("{path}.{name}."), below, visit),
            Kind::Tables(below) => each_key_below(&format!("{path}[]."), below, visit),
            // The tables of hooks are those of `steps` without the phase; described once is enough.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::reading::environment::Environment;

    /// `UPDATE_GENERATED=1 cargo test -p durhack-deployer generated` writes the files instead of comparing them.
    #[test]
    fn generated_files_are_fresh() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let schema = format!("{:#}\n", json_schema());
        for (file, fresh) in [
            ("docs/configuration.md", reference_file()),
            ("docs/configuration.schema.json", schema),
            ("config/example.toml", example_toml()),
        ] {
            let path = format!("{root}/{file}");
            if Environment::of_process().get("UPDATE_GENERATED").is_some() {
                fs_err::write(&path, &fresh).unwrap();
            }
            let committed = fs_err::read_to_string(&path).unwrap();
            assert!(committed == fresh, "{file} is stale: run the command above this test");
        }
    }

    #[test]
    fn every_key_is_explained_and_every_value_is_toml() {
        let mut keys = 0;
        each_key(&mut |path, key| {
            keys += 1;
            assert!(key.meaning.ends_with('.'), "{path}: the meaning is a sentence");
            if let Default::Value(text) = key.default {
                assert!(toml::from_str::<toml::Table>(&format!("x = {text}")).is_ok(), "{path}: {text}");
            }
            let has_own_page = matches!(key.kind, Kind::Table(_) | Kind::Named(..) | Kind::Tables(_));
            assert_eq!(key.example.is_empty(), has_own_page, "{path}");
            assert!(
                has_own_page || toml::from_str::<toml::Table>(&format!("x = {}", key.example)).is_ok(),
                "{path}: {}",
                key.example
            );
        });
        assert!(keys > 70);
    }

    #[test]
    fn what_looks_like_a_secret() {
        for name in ["webhook_secret_tokn", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "Password", "API_KEY"] {
            assert!(looks_secret(name), "{name}");
        }
        for name in ["branch", "keep_releases", "NODE_ENV"] {
            assert!(!looks_secret(name), "{name}");
        }
    }
}
