//! Reads typed values out of a merged tree, and collects everything that is wrong on the way.
//!
//! A [`TableReader`] knows its section of the reference: it reports keys that are not in it, takes the defaults
//! from it, and writes down each value with its origin for `config show`. After an error it goes on; what
//! it returns then is only good for finding further errors.

use super::diagnostics::{Diagnostics, Position, Problem, Severity};
use super::raw::{Node, Table, Value, holds_password, parse_default};
use super::show::ShownValue;
use crate::config::keys::{Default, Key, KeyKind, Section, looks_secret};
use std::cell::{Cell, RefCell};

/// What is wrong with a value.
#[derive(Debug)]
pub struct Wrong {
    /// Of the part of it that is wrong.
    pub position: Option<Position>,
    /// What is wrong with it.
    pub message: String,
    /// What to write; None: the key's example.
    pub help: Option<String>,
}

/// A value, or all that is wrong with it.
pub type Parsed<T> = Result<T, Vec<Wrong>>;

impl Wrong {
    /// Wrong is this value, and here is what to write.
    pub fn with_help<T>(node: &Node, message: impl Into<String>, help: impl Into<String>) -> Parsed<T> {
        let wrong =
            Self { position: node.position.clone(), message: message.into(), help: Some(help.into()) };
        Err(vec![wrong])
    }

    /// Wrong is this value; the key's example shows what to write.
    pub fn value<T>(node: &Node, message: impl Into<String>) -> Parsed<T> {
        Err(vec![Self { position: node.position.clone(), message: message.into(), help: None }])
    }

    /// It is of another type.
    pub fn kind<T>(node: &Node, expected: &str) -> Parsed<T> {
        Self::value(node, format!("this must be {expected}, not {}", node.value.in_words()))
    }
}

/// What one resolution has found so far.
#[derive(Debug, Default)]
pub struct Reading {
    problems: RefCell<Diagnostics>,
    shown: RefCell<Vec<ShownValue>>,
}

impl Reading {
    /// Adds a problem.
    pub fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Writes down a value that came from somewhere else than the tree.
    pub fn show(
        &self,
        key: impl Into<String>,
        value: impl Into<serde_json::Value>,
        origin: impl Into<String>,
    ) {
        let shown = ShownValue { key: key.into(), value: value.into(), origin: origin.into() };
        self.shown.borrow_mut().push(shown);
    }

    /// Whether it has been said why a key whose path begins so has no value: an error, or a note that it cannot be seen.
    pub fn has_said_why_not(&self, key_prefix: &str) -> bool {
        self.problems.borrow().problems().iter().any(|problem| {
            matches!(problem.severity, Severity::Error | Severity::Note)
                && problem.key.as_ref().is_some_and(|key| key.starts_with(key_prefix))
        })
    }

    /// The end of it.
    pub fn into_parts(self) -> (Diagnostics, Vec<ShownValue>) {
        (self.problems.into_inner(), self.shown.into_inner())
    }
}

/// One table, being read.
pub struct TableReader<'a> {
    reading: &'a Reading,
    section: &'static Section,
    /// `deployments.api.`, with the dot at the end; empty for the root.
    prefix: String,
    /// None: the table is not written at all.
    table: Option<&'a Table>,
    /// Of its header.
    position: Option<Position>,
    /// The deployment it belongs to.
    deployment: Option<String>,
    /// The recipe whose keys are meant, where several have one of a name.
    recipe: Cell<Option<&'static str>>,
}

impl<'a> TableReader<'a> {
    /// The whole tree.
    pub fn root(reading: &'a Reading, section: &'static Section, table: &'a Table) -> Self {
        let (prefix, recipe) = (String::new(), Cell::new(None));
        Self { reading, section, prefix, table: Some(table), position: None, deployment: None, recipe }
            .checked()
    }

    fn below(
        &self,
        section: &'static Section,
        path: &str,
        table: Option<&'a Table>,
        at: Option<&Position>,
    ) -> Self {
        Self {
            reading: self.reading,
            section,
            prefix: format!("{path}."),
            table,
            position: at.or(self.position.as_ref()).cloned(),
            deployment: self.deployment.clone(),
            recipe: Cell::new(None),
        }
    }

    /// What follows belongs to this deployment.
    #[must_use]
    pub fn for_deployment(mut self, slug: &str) -> Self {
        self.deployment = Some(slug.to_owned());
        self
    }

    /// Reports the keys that the section does not know.
    #[must_use]
    pub fn checked(self) -> Self {
        for (name, entry) in self.table.iter().flat_map(|table| &table.entries) {
            if self.section.key(name).is_none() {
                let problem = Problem::error(format!("`{name}` is not a key of {}", self.in_words()))
                    .help(self.section.help_for_unknown(name))
                    .at(entry.key.clone());
                self.report(name, problem);
            }
        }
        self
    }

    fn in_words(&self) -> String {
        match self.prefix.strip_suffix('.') {
            Some(path) => format!("`{path}`"),
            None => "the configuration".into(),
        }
    }

    /// A key with the tables around it, such as `deployments.api.branch`.
    pub fn path(&self, key: &str) -> String {
        format!("{}{}", self.prefix, quoted_if_needed(key))
    }

    /// Whether the key is written.
    pub fn is_written(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// Whether the key is one of the table's: some recipes' are read for what they say of every deployment.
    pub fn knows(&self, key: &str) -> bool {
        self.section.key(key).is_some()
    }

    /// The value as it was written.
    pub fn node(&self, key: &str) -> Option<&'a Node> {
        self.table?.get(key)
    }

    fn key(&self, name: &str) -> &'static Key {
        let of_recipe = self.recipe.get().and_then(|recipe| self.section.key_of(name, recipe));
        of_recipe
            .or_else(|| self.section.key(name))
            .expect("the resolution reads only keys of the reference; every test of it shows that")
    }

    /// The key's value, as written or by default; None where there is neither, or it is wrong.
    pub fn value<T>(&self, name: &str, parse: impl Fn(&Node) -> Parsed<T>) -> Option<T> {
        let key = self.key(name);
        if let Some(node) = self.node(name) {
            self.show_written(key, node);
            return match parse(node) {
                Ok(value) => Some(value),
                Err(wrongs) => {
                    wrongs.into_iter().for_each(|wrong| self.report_wrong(key, wrong));
                    None
                }
            };
        }
        match key.default {
            Default::Required => {
                self.missing(name);
                None
            }
            Default::Value(text) => {
                let node = parse_default(text)?;
                self.reading.show(self.path(name), node.value.to_json(), "default");
                parse(&node).ok()
            }
            Default::Derived(_) => None,
        }
    }

    /// A value that the resolution computed, because nothing was written.
    pub fn show_derived(&self, name: &str, value: impl Into<serde_json::Value>, origin: &str) {
        self.reading.show(self.path(name), value, origin);
    }

    fn show_written(&self, key: &Key, node: &Node) {
        let origin = node.position.as_ref().map_or_else(|| "default".to_owned(), Position::file_and_line);
        match &node.value {
            Value::Table(table) => {
                for (name, entry) in &table.entries {
                    let path = format!("{}.{}", self.path(key.name), quoted_if_needed(name));
                    let origin = entry.node.position.as_ref().map_or(origin.clone(), Position::file_and_line);
                    self.reading.show(
                        path,
                        shown(&entry.node, key.is_secret() || looks_secret(name)),
                        origin,
                    );
                }
            }
            _ => self.reading.show(self.path(key.name), shown(node, key.is_secret()), origin),
        }
    }

    /// The table below; all defaults where it is not written.
    pub fn table(&self, name: &str) -> TableReader<'a> {
        let Some(section) = self.key(name).kind.section() else {
            unreachable!("only keys of tables are read as tables; every test of the resolution shows that")
        };
        let path = self.path(name);
        match self.node(name) {
            Some(Node { value: Value::Table(table), position }) => {
                self.below(section, &path, Some(table), position.as_ref()).checked()
            }
            Some(node) => {
                self.error(name, node, format!("this must be a table, not {}", node.value.in_words()));
                self.below(section, &path, None, node.position.as_ref())
            }
            None => self.below(section, &path, None, None),
        }
    }

    /// A table that was read and checked before, to report more about it; None where it is not written.
    pub fn known_table(&self, name: &str) -> Option<TableReader<'a>> {
        let Some(Node { value: Value::Table(table), position }) = self.node(name) else { return None };
        let section = self.key(name).kind.section()?;
        Some(self.below(section, &self.path(name), Some(table), position.as_ref()))
    }

    /// The tables below, with the names the operator chose. Not yet [`TableReader::checked`].
    pub fn named(&self, name: &str) -> Vec<(&'a str, Result<TableReader<'a>, &'a Node>)> {
        let KeyKind::Named(_, section) = self.key(name).kind else { return Vec::new() };
        match self.node(name) {
            Some(Node { value: Value::Table(tables), .. }) => tables
                .entries
                .iter()
                .map(|(chosen, entry)| match &entry.node {
                    Node { value: Value::Table(table), position } => {
                        let path = format!("{}.{}", self.path(name), quoted_if_needed(chosen));
                        (chosen.as_str(), Ok(self.below(section, &path, Some(table), position.as_ref())))
                    }
                    node => (chosen.as_str(), Err(node)),
                })
                .collect(),
            Some(node) => {
                self.error(name, node, format!("this must be a table, not {}", node.value.in_words()));
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// The list of tables below.
    pub fn tables(&self, name: &str) -> Vec<TableReader<'a>> {
        let key = self.key(name);
        match self.node(name) {
            Some(Node { value: Value::List(nodes), .. }) => {
                if nodes.is_empty() {
                    self.show_written(key, self.node(name).expect("it was just matched"));
                }
                nodes.iter().enumerate().filter_map(|(at, node)| self.element(name, at, node)).collect()
            }
            Some(node) => {
                self.error(
                    name,
                    node,
                    format!("this must be a list of tables, not {}", node.value.in_words()),
                );
                Vec::new()
            }
            None => {
                match key.default {
                    Default::Required => self.missing(name),
                    _ => self.show_derived(name, Vec::<String>::new(), "default"),
                }
                Vec::new()
            }
        }
    }

    /// One table of a list.
    pub fn element(&self, name: &str, at: usize, node: &'a Node) -> Option<TableReader<'a>> {
        let section = self.key(name).kind.section()?;
        if let Value::Table(table) = &node.value {
            let path = format!("{}[{at}]", self.path(name));
            return Some(self.below(section, &path, Some(table), node.position.as_ref()).checked());
        }
        self.error(name, node, format!("this must be a table, not {}", node.value.in_words()));
        None
    }

    /// One value of a list whose elements are of several kinds.
    pub fn element_value<T>(
        &self,
        name: &str,
        at: usize,
        node: &Node,
        parse: impl Fn(&Node) -> Parsed<T>,
    ) -> Option<T> {
        let key = self.key(name);
        let origin = node.position.as_ref().map_or_else(|| "default".to_owned(), Position::file_and_line);
        self.reading.show(format!("{}[{at}]", self.path(name)), shown(node, key.is_secret()), origin);
        parse(node).map_err(|wrongs| wrongs.into_iter().for_each(|wrong| self.report_wrong(key, wrong))).ok()
    }

    /// What is read from here on are the keys of this recipe. Reports each written key that belongs to others alone.
    pub fn use_keys_of_recipe(&self, recipe: &'static str) {
        self.recipe.set(Some(recipe));
        let is_foreign = |name: &str| {
            let mut known = self.section.keys.iter().filter(|key| key.name == name);
            !known.any(|key| key.belongs_to(recipe))
        };
        let mut foreign: Vec<&'static str> = Vec::new();
        for key in self.section.keys {
            if self.is_written(key.name) && is_foreign(key.name) && !foreign.contains(&key.name) {
                foreign.push(key.name);
            }
        }
        for name in foreign {
            let named = self.section.keys.iter().filter(|key| key.name == name);
            let recipes = named.flat_map(|key| key.recipes).map(|recipe| format!("{recipe:?}"));
            let recipes = recipes.collect::<Vec<_>>().join(" and ");
            let message =
                format!("`{name}` belongs to recipe {recipes}, and this deployment has recipe {recipe:?}");
            let help = format!("leave `{name}` out, or write another `recipe`");
            self.report_at_key(name, Severity::Error, message, help);
        }
    }

    /// Reports an error of a deployment that is not even a table.
    pub fn error_in_deployment(&self, slug: &str, node: &Node, message: String) {
        let problem = Problem::error(message).help(format!("write [deployments.{slug}] and its keys below"));
        let key = Some(format!("{}deployments.{}", self.prefix, quoted_if_needed(slug)));
        let problem = problem.at(node.position.clone());
        self.reading.report(Problem { key, deployment: Some(slug.to_owned()), ..problem });
    }

    /// Reports an error of the table as a whole.
    pub fn error_at_header(&self, message: impl Into<String>, help: impl Into<String>) {
        self.report_at_header(Severity::Error, message, help);
    }

    /// Reports something about the table as a whole.
    pub fn report_at_header(&self, severity: Severity, message: impl Into<String>, help: impl Into<String>) {
        let key = Some(self.prefix.trim_end_matches('.').to_owned());
        let problem = Problem { severity, ..Problem::error(message) }.help(help).at(self.position.clone());
        self.reading.report(Problem { key, deployment: self.deployment.clone(), ..problem });
    }

    /// Reports a key that must be written and is not, at the header of its table.
    pub fn missing(&self, name: &str) {
        let key = self.key(name);
        let help = match key.example {
            "" => format!("{}; see docs/reference/configuration.md", key.meaning.trim_end_matches('.')),
            example => format!("write for example `{name} = {example}`: {}", key.meaning),
        };
        let problem = Problem::error(format!("`{name}` is missing in {}", self.in_words()));
        self.report(name, problem.help(help).at(self.position.clone()));
    }

    /// Reports an error at a value of this key; the key's example is the help.
    pub fn error(&self, name: &str, node: &Node, message: impl Into<String>) {
        let wrong = Wrong { position: node.position.clone(), message: message.into(), help: None };
        self.report_wrong(self.key(name), wrong);
    }

    /// Reports something at the place where a key is written, or else at the table's header.
    pub fn report_at_key(
        &self,
        name: &str,
        severity: Severity,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let entry = self.table.and_then(|table| table.entries.get(name));
        let position = entry.and_then(|entry| entry.key.clone()).or_else(|| self.position.clone());
        let problem = Problem { severity, ..Problem::error(message) };
        self.report(name, problem.help(help).at(position));
    }

    /// Reports an error at the place where a key's value is written, or else at the table's header.
    pub fn error_at_value(&self, name: &str, message: impl Into<String>, help: impl Into<String>) {
        let position = self.node(name).map_or(self.position.clone(), |node| node.position.clone());
        self.report(name, Problem::error(message).help(help).at(position));
    }

    fn report_wrong(&self, key: &Key, wrong: Wrong) {
        let help = wrong.help.unwrap_or_else(|| match key.example {
            "" => format!("{} is {}; see docs/reference/configuration.md", key.name, key.kind.in_words()),
            example => format!("write for example `{} = {example}`", key.name),
        });
        self.report(key.name, Problem::error(wrong.message).help(help).at(wrong.position));
    }

    fn report(&self, name: &str, problem: Problem) {
        let key = Some(self.path(name));
        self.reading.report(Problem { key, deployment: self.deployment.clone(), ..problem });
    }
}

/// What the shown value of a secret is.
pub const HIDDEN: &str = "(hidden)";

fn shown(node: &Node, secret: bool) -> serde_json::Value {
    match &node.value {
        Value::Text(text) if holds_password(text) => HIDDEN.into(),
        Value::List(nodes) if nodes.is_empty() => Vec::<String>::new().into(),
        _ if secret => HIDDEN.into(),
        value => value.to_json(),
    }
}

fn quoted_if_needed(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") }
}
