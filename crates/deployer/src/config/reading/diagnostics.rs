//! What is wrong with a configuration, and where.
//!
//! Every problem names the line it stands in and what to write instead; all of them are collected before
//! anything is said. Two forms: for people ([`Diagnostics::render`]: the lines of the file, with a mark) and for
//! programs (`Serialize`). The text of a file that is kept here has its secrets masked already (see
//! [`super::raw`]), so that neither form can show one.

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde::Serialize;
use serde::ser::SerializeStruct;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Everything that is wrong.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Diagnostics {
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// `deployments.api.branch`; None for what no key is to blame for.
    pub key: Option<String>,
    /// The deployment that is left out because of it.
    pub deployment: Option<String>,
    /// None for what is not in a file (the environment).
    pub position: Option<Position>,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing has to be done.
    Note,
    /// It works, and probably not as intended.
    Warning,
    /// A deployment is left out, or nothing starts at all.
    Error,
}

/// A place in a configuration file.
#[derive(Debug, Clone)]
pub struct Position {
    /// The file, with its text.
    pub source: Arc<SourceText>,
    /// In bytes of its text.
    pub span: Range<usize>,
}

/// A configuration file as it may be shown.
#[derive(PartialEq, Eq)]
pub struct SourceText {
    /// As the operator would name it.
    pub path: PathBuf,
    /// Its text, byte for byte as long as the real one, with the secrets masked.
    pub masked_text: String,
    /// Whether every user of the machine may read the file.
    pub world_readable: bool,
}

impl fmt::Debug for SourceText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SourceText").field(&self.path).finish()
    }
}

/// For whom a report is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rendering {
    /// A log or a pipe: no colour, ASCII only.
    Plain,
    /// A terminal: coloured, with lines drawn to the place.
    Terminal,
}

impl Diagnostics {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// All of them.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Adds a problem. All of them are shown at the end, so that one attempt finds every mistake.
    pub fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Into the order of the files, so that an operator can work through them from top to bottom.
    pub fn sort(&mut self) {
        self.problems.sort_by(|one, other| one.sort_key().cmp(&other.sort_key()));
    }

    /// Whether nothing may start: there is an error that does not belong to a deployment.
    pub fn refuses(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Error && problem.deployment.is_none())
    }

    /// Whether this deployment has to be left out.
    pub fn leaves_out(&self, deployment: &str) -> bool {
        self.problems.iter().any(|problem| {
            problem.severity == Severity::Error && problem.deployment.as_deref() == Some(deployment)
        })
    }

    /// What needs a hand: without advice.
    #[must_use]
    pub fn without_notes(&self) -> Self {
        let problems = self.problems.iter().filter(|problem| problem.severity != Severity::Note);
        Self { problems: problems.cloned().collect() }
    }

    /// What concerns the configuration as a whole, and this deployment.
    #[must_use]
    pub fn about(&self, slug: &str) -> Self {
        let is_about = |problem: &&Problem| {
            let key = problem.key.as_deref().and_then(|key| key.strip_prefix("deployments."));
            let of_key = key.map(|key| key.split_once('.').map_or(key, |(slug, _)| slug));
            problem.deployment.as_deref().or(of_key).is_none_or(|of| of == slug)
        };
        self.problems.iter().filter(is_about).cloned().collect()
    }

    /// The report that people read, with the lines of the files that it is about.
    pub fn render(&self, rendering: Rendering) -> String {
        let theme = match rendering {
            Rendering::Plain => GraphicalTheme::none(),
            Rendering::Terminal => GraphicalTheme::unicode(),
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_links(false)
            // A terminal wraps by itself; names, paths and commands must stay whole to be searched and copied.
            .with_wrap_lines(false)
            .without_syntax_highlighting();
        let mut report = String::new();
        for problem in &self.problems {
            let shown = ShownProblem { problem, source: problem.position.as_ref().map(named_source) };
            handler.render_report(&mut report, &shown).expect("writing to a String does not fail");
        }
        report
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(Rendering::Plain))
    }
}

impl std::error::Error for Diagnostics {}

impl FromIterator<Problem> for Diagnostics {
    fn from_iter<Problems: IntoIterator<Item = Problem>>(problems: Problems) -> Self {
        Self { problems: problems.into_iter().collect() }
    }
}

impl Problem {
    /// An error of the configuration as a whole.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            help: None,
            key: None,
            deployment: None,
            position: None,
        }
    }

    /// What is in no file comes first.
    fn sort_key(&self) -> Option<(&Path, usize)> {
        self.position.as_ref().map(|position| (position.file(), position.span.start))
    }

    /// With what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// At this place.
    #[must_use]
    pub fn at(mut self, position: Option<Position>) -> Self {
        self.position = position;
        self
    }
}

impl Position {
    /// Line and column, both counted from 1, the column in characters.
    pub fn line_and_column(&self) -> (usize, usize) {
        let text = &self.source.masked_text;
        let before = &text[..text.floor_char_boundary(self.span.start.min(text.len()))];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The path of the file that it lies in.
    pub fn file(&self) -> &Path {
        &self.source.path
    }

    /// The place in one word, such as `config/default.toml:12`.
    pub fn file_and_line(&self) -> String {
        format!("{}:{}", self.file().display(), self.line_and_column().0)
    }
}

/// `file`, `line` and `column` stand beside the other fields: easier to use from a shell than a nested one.
impl Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = self.position.as_ref().map(Position::line_and_column);
        let mut fields = serializer.serialize_struct("Problem", 8)?;
        fields.serialize_field("severity", &self.severity)?;
        fields.serialize_field(
            "file",
            &self.position.as_ref().map(|position| position.file().display().to_string()),
        )?;
        fields.serialize_field("line", &place.map(|(line, _)| line))?;
        fields.serialize_field("column", &place.map(|(_, column)| column))?;
        fields.serialize_field("key", &self.key)?;
        fields.serialize_field("deployment", &self.deployment)?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("help", &self.help)?;
        fields.end()
    }
}

fn named_source(position: &Position) -> NamedSource<String> {
    NamedSource::new(position.file().display().to_string(), position.source.masked_text.clone())
}

/// A problem in the form that miette draws.
#[derive(Debug)]
struct ShownProblem<'a> {
    problem: &'a Problem,
    source: Option<NamedSource<String>>,
}

impl fmt::Display for ShownProblem<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(deployment) = &self.problem.deployment {
            write!(formatter, "deployment {deployment}: ")?;
        }
        formatter.write_str(&self.problem.message)
    }
}

impl std::error::Error for ShownProblem<'_> {}

impl Diagnostic for ShownProblem<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Note => miette::Severity::Advice,
            Severity::Warning => miette::Severity::Warning,
            Severity::Error => miette::Severity::Error,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let position = self.problem.position.as_ref()?;
        let text_length = position.source.masked_text.len();
        // A span at the very end of a file has nothing to mark; miette wants it inside the text.
        let start = position.span.start.min(text_length);
        let end = position.span.end.clamp(start, text_length);
        Some(Box::new(std::iter::once(LabeledSpan::underline(start..end))))
    }
}
