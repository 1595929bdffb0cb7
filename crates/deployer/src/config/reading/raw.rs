//! Configuration files as they were written: a tree of TOML values, each with the place it came from.
//!
//! serde would lose the places where values are tagged or merged, so the tree is walked by hand (see
//! [`super::reader`]). Merging keeps them: tables merge, anything else is replaced by the later layer. Nothing
//! here knows what a value means, except which ones are secret: those are masked in the text that is kept for
//! error messages, also where a key is misspelt or the file is not TOML.

use super::diagnostics::{Position, Problem, SourceText};
use crate::config::keys::{Key, KeyKind, ROOT, Section, looks_secret};
use indexmap::IndexMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and its place; None for a default.
#[derive(Debug, Clone)]
pub struct Node {
    /// What is written there.
    pub value: Value,
    /// Of the value; of the header, for a table that has one.
    pub position: Option<Position>,
}

/// A TOML value.
#[derive(Debug, Clone)]
pub enum Value {
    /// A string, without its quotes.
    Text(String),
    /// A whole number that fits.
    Integer(i64),
    /// `3.0`, or an integer that does not fit; as it was written.
    Float(String),
    /// `true` or `false`.
    Boolean(bool),
    /// A date or a time, as TOML writes it.
    Datetime(String),
    /// An array, each entry with its own place.
    List(Vec<Node>),
    /// `{...}` or `[header]`
    Table(Table),
}

/// The entries of a table, in the order written.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// The values by their keys; a key that is written twice is a problem of its own.
    pub entries: IndexMap<String, RawEntry>,
}

/// One entry of a table.
#[derive(Debug, Clone)]
pub struct RawEntry {
    /// Where the key stands.
    pub key: Option<Position>,
    /// What it holds.
    pub node: Node,
}

impl Value {
    /// For people: `a text`.
    pub fn in_words(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number that is not an integer of 64 bits",
            Self::Boolean(_) => "a boolean",
            Self::Datetime(_) => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    /// As JSON. Secrets are the caller's to leave out.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) | Self::Float(text) | Self::Datetime(text) => text.as_str().into(),
            Self::Integer(number) => (*number).into(),
            Self::Boolean(boolean) => (*boolean).into(),
            Self::List(nodes) => nodes.iter().map(|node| node.value.to_json()).collect(),
            Self::Table(table) => table
                .entries
                .iter()
                .map(|(key, entry)| (key.clone(), entry.node.value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

impl Table {
    /// The value of that key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(key).map(|entry| &entry.node)
    }

    /// Lays a later layer over this one.
    pub fn merge(&mut self, later: Table) {
        for (key, entry) in later.entries {
            match (self.entries.get_mut(&key), entry) {
                (
                    Some(RawEntry { key: key_position, node: Node { value: Value::Table(below), position } }),
                    RawEntry {
                        key: later_key,
                        node: Node { value: Value::Table(above), position: later_position },
                    },
                ) => {
                    below.merge(above);
                    // Where something is missing, the later file is where it would be added.
                    *key_position = later_key;
                    *position = later_position;
                }
                (_, entry) => {
                    self.entries.insert(key, entry);
                }
            }
        }
    }
}

/// Reads one file. On error every mistake that the parser found.
pub fn parse(path: PathBuf, text: &str, world_readable: bool) -> Result<Table, Vec<Problem>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let masked_text = mask_spans(text, &secret_spans(document.get_ref()));
        let source = Arc::new(SourceText { path, masked_text, world_readable });
        return Ok(to_table(document.into_inner(), &source));
    }
    let source = Arc::new(SourceText { path, masked_text: mask_lines(text), world_readable });
    let mut problems: Vec<Problem> = Vec::new();
    for error in errors {
        let position = Position { source: source.clone(), span: error.span().unwrap_or(0..0) };
        let problem = Problem::error(format!("this is not TOML: {}", error.message()))
            .help("see https://toml.io; texts stand in quotes, each key on a line of its own")
            .at(Some(position));
        problems.push(problem);
    }
    Err(problems)
}

/// A text at the root of a file that may have errors elsewhere; None where it is not there, or no text.
pub fn text_at_root(text: &str, key: &str) -> Option<String> {
    let of = |text: &str| match DeTable::parse_recoverable(text).0.get_ref().get(key)?.get_ref() {
        DeValue::String(text) => Some(text.clone().into_owned()),
        _ => None,
    };
    // The parser gives up what follows some errors; a line by itself can still be read.
    let mut lines = text.lines().take_while(|line| !line.starts_with('['));
    of(text).or_else(|| lines.find_map(of))
}

/// The TOML value of a default in the reference; None where it is not TOML, which a test forbids.
pub fn parse_default(text: &'static str) -> Option<Node> {
    let value = DeValue::parse(text).ok()?.into_inner();
    Some(Node { value: to_value(value, None), position: None })
}

fn to_table(table: DeTable<'_>, source: &Arc<SourceText>) -> Table {
    let entries = table.into_iter().map(|(key, value)| {
        let position = Position { source: source.clone(), span: key.span() };
        (key.into_inner().into_owned(), RawEntry { key: Some(position), node: to_node(value, Some(source)) })
    });
    Table { entries: entries.collect() }
}

fn to_node(value: Spanned<DeValue<'_>>, source: Option<&Arc<SourceText>>) -> Node {
    let position = source.map(|source| Position { source: source.clone(), span: value.span() });
    Node { position, value: to_value(value.into_inner(), source) }
}

fn to_value(value: DeValue<'_>, source: Option<&Arc<SourceText>>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Float(number.to_string()),
        },
        DeValue::Float(number) => Value::Float(number.to_string()),
        DeValue::Boolean(boolean) => Value::Boolean(boolean),
        DeValue::Datetime(datetime) => Value::Datetime(datetime.to_string()),
        DeValue::Array(nodes) => Value::List(nodes.into_iter().map(|node| to_node(node, source)).collect()),
        DeValue::Table(table) => match source {
            Some(source) => Value::Table(to_table(table, source)),
            // Defaults hold no tables but the empty one.
            None => Value::Table(Table::default()),
        },
    }
}

/// The places of all values that must not be shown.
fn secret_spans(root: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    secret_spans_in_table(root, Some(&ROOT), &mut spans);
    spans
}

fn secret_spans_in_table(table: &DeTable<'_>, section: Option<&Section>, spans: &mut Vec<Range<usize>>) {
    for (name, value) in table {
        match section.and_then(|section| section.key(name.get_ref())) {
            Some(key) if key.is_secret() => all_spans(value, spans),
            Some(key) => secret_spans_below(value, key, spans),
            None if looks_secret(name.get_ref()) => all_spans(value, spans),
            None => secret_spans_in_value(value, None, spans),
        }
    }
}

fn secret_spans_below(value: &Spanned<DeValue<'_>>, key: &Key, spans: &mut Vec<Range<usize>>) {
    match (key.kind, value.get_ref()) {
        (KeyKind::Named(_, section), DeValue::Table(table)) => {
            for (_, value) in table {
                secret_spans_in_value(value, Some(section), spans);
            }
        }
        (kind, _) => secret_spans_in_value(value, kind.section(), spans),
    }
}

fn secret_spans_in_value(
    value: &Spanned<DeValue<'_>>,
    section: Option<&Section>,
    spans: &mut Vec<Range<usize>>,
) {
    match value.get_ref() {
        DeValue::Table(table) => secret_spans_in_table(table, section, spans),
        DeValue::Array(nodes) => nodes.iter().for_each(|node| secret_spans_in_value(node, section, spans)),
        DeValue::String(text) if holds_password(text) => spans.push(value.span()),
        _ => {}
    }
}

/// Every leaf: the span of a table is only its header.
fn all_spans(value: &Spanned<DeValue<'_>>, spans: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => table.iter().for_each(|(_, value)| all_spans(value, spans)),
        DeValue::Array(nodes) => nodes.iter().for_each(|node| all_spans(node, spans)),
        _ => spans.push(value.span()),
    }
}

/// Whether a text is a URL with something before an `@`: a password, or a token in the place of a user.
pub fn holds_password(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':') || user.len() >= 16)
    })
}

/// The text with these places masked, and every byte where it was.
fn mask_spans(text: &str, spans: &[Range<usize>]) -> String {
    let masked = |at: usize| spans.iter().any(|span| span.contains(&at));
    text.char_indices().fold(String::with_capacity(text.len()), |mut shown, (at, character)| {
        push_masked(&mut shown, character, masked(at));
        shown
    })
}

fn push_masked(shown: &mut String, character: char, masked: bool) {
    if masked && !matches!(character, '\n' | '\r' | '"' | '\'') {
        shown.extend(std::iter::repeat_n('*', character.len_utf8()));
    } else {
        shown.push(character);
    }
}

/// The text of a file that is not TOML: everything from a name that looks secret up to the next line that
/// begins a key or a table, and every line with a URL that has a password.
fn mask_lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        if begins_something(line) {
            inside = false;
        }
        let mut masked_from = if inside || holds_password(line) { 0 } else { line.len() };
        if looks_secret(line) {
            // In inline tables and behind quotes the name may be anywhere on the line: then all of it goes.
            let key = line.split(['=', '"', '\'', '{']).next().unwrap_or_default();
            let is_plain = key.len() < line.len() && looks_secret(key);
            masked_from = masked_from.min(if is_plain { key.len() } else { 0 });
            inside = true;
        }
        for (at, character) in line.char_indices() {
            push_masked(&mut shown, character, at >= masked_from);
        }
    }
    shown
}

/// Whether a line begins with `[` or `key = value`, and so ends a value that spans lines. A line of base64, which
/// may end with `=`, does not.
fn begins_something(line: &str) -> bool {
    let line = line.trim_start();
    let key_end =
        line.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(0);
    let value = line[key_end..].trim_start().strip_prefix('=').map(str::trim_start);
    line.starts_with('[')
        || key_end > 0 && value.is_some_and(|value| value.starts_with(['"', '\'', '[', '{']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        parse("test.toml".into(), text, false).unwrap()
    }

    fn place(node: &Node) -> (usize, usize) {
        node.position.as_ref().unwrap().line_and_column()
    }

    #[test]
    fn values_know_their_places_and_tables_their_headers() {
        let table = table(
            "a = 1\n\n[deployments.\"é\"]\npath = \"x\"\n[[deployments.\"é\".steps]]\n run = ['x', 'y']\n",
        );
        let Value::Table(deployments) = &table.get("deployments").unwrap().value else { panic!() };
        let deployment = deployments.get("é").unwrap();
        assert_eq!(place(deployment), (3, 1));
        let Value::Table(deployment) = &deployment.value else { panic!() };
        assert_eq!(place(deployment.get("path").unwrap()), (4, 8));
        let Value::List(steps) = &deployment.get("steps").unwrap().value else { panic!() };
        assert_eq!(place(&steps[0]), (5, 1));
    }

    #[test]
    fn tables_merge_and_everything_else_is_replaced() {
        let mut merged = table("a = [1, 2]\nb = 1\nd = 1\n[t]\nx = 1\ny = 1\n[u]\nx = 1\n");
        merged.merge(table("a = [3]\nc = 1\nd = {}\n[t]\ny = 2\nz = 2\n"));
        merged.merge(table("u = 3\n"));
        let json: serde_json::Value = merged
            .entries
            .iter()
            .map(|(key, entry)| (key.clone(), entry.node.value.to_json()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        insta::assert_snapshot!(json, @r#"{"a":[3],"b":1,"d":{},"t":{"x":1,"y":2,"z":2},"u":3,"c":1}"#);
    }

    #[test]
    fn secrets_are_masked_and_nothing_moves() {
        let text = "webhook_secret_token = \"hünter2\"\nwebhook_secrets = [\n  'hunter2',\n]\nwebhook_secret_tokn = \"hunter2\"\n\
            [github]\ntoken = \"hunter2\"\ntoken_file = \"/shown\"\n[repositories.\"a/b\"]\nwebhook_secret_tokens = [\"hunter2\"]\n\
            [deployments.x]\nclone_url = \"https://me:hunter2@github.com/a/b\"\nbranch = \"main\"\n\
            [deployments.x.environment]\nAPI_KEY = \"hunter2\"\nNODE_ENV = \"shown\"\n[mysecrets]\na = \"hunter2\"";
        let source = table(text).entries["github"].key.clone().unwrap().source;
        assert_eq!(source.masked_text.len(), text.len());
        assert!(!source.masked_text.contains("nter2"), "{}", source.masked_text);
        for kept in ["\"/shown\"", "\"main\"", "\"shown\""] {
            assert!(source.masked_text.contains(kept), "{kept}");
        }
    }

    #[test]
    fn secrets_are_masked_in_what_is_not_toml() {
        for text in [
            "webhook_secret_token = \"hunter2\nport = 1",
            "webhook_secrets = [\n  \"hunter2\",\n  hunter2==\nport = \"1\"",
            "x = { token = \"hunter2\", ",
            "database_url = postgres://me:hunter2@db/x",
            "clone_url = \"https://me:hunter2@github.com/a/b\" x",
            "\"webhook_secret_token\" = hunter2",
            "webhook_secret_token \"hunter2\"",
            "webhook_secret_token hunter2",
        ] {
            for problem in parse("test.toml".into(), text, false).unwrap_err() {
                let source = &problem.position.unwrap().source;
                assert_eq!(source.masked_text.len(), text.len());
                assert!(!source.masked_text.contains("hunter2"), "{}", source.masked_text);
                assert!(!problem.message.contains("hunter2"), "{}", problem.message);
            }
        }
        let problems = parse("test.toml".into(), "branch = \"shown\"\nport = \n", false).unwrap_err();
        assert!(problems[0].position.as_ref().unwrap().source.masked_text.contains("shown"));
    }
}
