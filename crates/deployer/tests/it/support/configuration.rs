//! The configuration of a test's world, written as an operator writes it: TOML text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Settings beside the deployments, by (dotted) key; the values are TOML.
#[derive(Debug, Clone, Default)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_owned(), value.into());
    }

    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// The whole file.
    pub fn file(&self, deployments: &[Deployment]) -> String {
        let mut text = String::new();
        for (key, value) in &self.0 {
            writeln!(text, "{key} = {value}").expect("a String takes everything");
        }
        for deployment in deployments {
            text.push_str(&deployment.table());
        }
        text
    }
}

/// One `[deployments.SLUG]`; made by `World::deployment`.
#[derive(Debug, Clone)]
pub struct Deployment {
    slug: String,
    keys: BTreeMap<String, String>,
    steps: Vec<String>,
}

impl Deployment {
    pub fn new(slug: &str) -> Self {
        Self { slug: slug.to_owned(), keys: BTreeMap::new(), steps: Vec::new() }
    }

    /// One more key, or another value for one; the value is TOML.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.keys.insert(key.to_owned(), value.into());
        self
    }

    /// One more step: a shell line in a phase, under a name.
    pub fn step(mut self, phase: &str, name: &str, shell: &str) -> Self {
        self.steps.push(format!("{{ phase = {phase:?}, name = {name:?}, shell = {} }}", text(shell)));
        self
    }

    /// One more step, as TOML: for what [`Deployment::step`] cannot write.
    pub fn step_of(mut self, table: &str) -> Self {
        self.steps.push(table.to_owned());
        self
    }

    fn table(&self) -> String {
        let mut table = format!("\n[deployments.{}]\n", self.slug);
        for (key, value) in &self.keys {
            writeln!(table, "{key} = {value}").expect("a String takes everything");
        }
        // Not every recipe has steps.
        if !self.steps.is_empty() {
            writeln!(table, "steps = [{}]", self.steps.join(", ")).expect("a String takes everything");
        }
        table
    }
}

/// A TOML string; JSON's escapes are a subset of TOML's.
pub fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

#[test]
fn what_is_written_is_toml() {
    let mut settings = Settings::default();
    settings.set("listen.port", "0");
    let shell = "printf '\\033[2J\\n' \"$A\" # \u{202e}\n\u{1b}";
    let deployment = Deployment::new("site").with("branch", text("a\"b")).step("build", "compile", shell);
    let file: toml::Table = settings.file(&[deployment]).parse().expect("it is TOML");
    assert_eq!(file["listen"]["port"].as_integer(), Some(0));
    let site = &file["deployments"]["site"];
    assert_eq!(site["branch"].as_str(), Some("a\"b"));
    assert_eq!(site["steps"][0]["shell"].as_str(), Some(shell));
}
