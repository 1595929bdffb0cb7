//! The process's environment as a value, and files of `KEY=value` lines.
//!
//! [`Environment::of_process`] is the one place that asks the operating system; everything else gets the
//! value, so that a test can say what the environment is. `.env` files add to it and never win over it.
//! No variable is expanded inside a value: what stands in the file is what a program gets.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The variables and the working directory of a process.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    working_directory: PathBuf,
    is_root: bool,
}

impl Environment {
    /// Of these variables, for a process in this directory.
    pub fn new<Name: Into<String>, Value: Into<String>>(
        variables: impl IntoIterator<Item = (Name, Value)>,
        working_directory: impl Into<PathBuf>,
    ) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, working_directory: working_directory.into(), is_root: false }
    }

    /// Of this process. Variables that are not UTF-8 are left out: no key of ours can hold them. A working
    /// directory that is gone is taken as `/`, so that absolute paths still work.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let is_root = rustix::process::geteuid().is_root();
        Self {
            is_root,
            ..Self::new(variables, std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")))
        }
    }

    /// The variable's value; an empty one is a value too.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// All variables with their values, in the order of their names.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether this process may do everything.
    pub fn is_root(&self) -> bool {
        self.is_root
    }

    /// The same for a process that may, or may not, do everything.
    #[cfg(test)]
    pub(in crate::config) fn of_root(self, is_root: bool) -> Self {
        Self { is_root, ..self }
    }

    /// What relative paths are relative to.
    pub fn working_directory(&self) -> &Path {
        &self.working_directory
    }

    /// The same, with these variables where they are not set.
    #[must_use]
    pub fn with_defaults<const N: usize>(&self, defaults: [(&str, &str); N]) -> Self {
        let mut environment = self.clone();
        environment.add_missing(defaults.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        environment
    }

    /// Adds those variables that are not there yet.
    pub(in crate::config) fn add_missing(&mut self, variables: Vec<(String, String)>) {
        // Inside one file the last line wins, as in a shell.
        let of_file: BTreeMap<String, String> = variables.into_iter().collect();
        for (name, value) in of_file {
            self.variables.entry(name).or_insert(value);
        }
    }
}

/// Names only: values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("working_directory", &self.working_directory)
            .finish()
    }
}

/// Whether a program can have a variable of this name: letters, digits and `_`, not beginning with a digit.
pub fn is_variable_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What is wrong with a file of `KEY=value` lines. It never quotes the file, which holds secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct EnvFileError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// What a file of `KEY=value` lines says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct EnvFile {
    pub variables: Vec<(String, String)>,
    /// Numbers of the lines that say nothing, counted from 1: they have no `=`.
    pub ignored_lines: Vec<usize>,
}

/// Reads `KEY=value` lines, in order, as the tools do that such files are written for.
///
/// A line may begin with `export`; `#` begins a comment at the start of a line or after white space, `;` at the start of a line. A value is
/// bare, or in `'single quotes'` (taken as it is), or in `"double quotes"` (with `\n \r \t \" \\ \$`; before anything else a backslash is
/// itself), or several of these without a space between them; a quoted one may span lines. A line without `=` is ignored.
pub fn parse_env_file(text: &str) -> Result<EnvFile, EnvFileError> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    let mut found = EnvFile::default();
    while !rest.is_empty() {
        let fail = |reason| EnvFileError { line, reason };
        let statement = rest.trim_start_matches([' ', '\t']);
        let end_of_line = statement.find('\n').unwrap_or(statement.len());
        let whole_line = statement[..end_of_line].trim_end();
        let next = if whole_line.is_empty() || whole_line.starts_with(['#', ';']) {
            &statement[end_of_line..]
        } else if let Some((name, value)) = statement[..end_of_line].split_once('=') {
            let name = name.trim();
            let name =
                name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(name);
            let name = name.trim_start();
            if !is_name_in_a_file(name) {
                return Err(fail("the name before `=` may have only letters, digits, `_`, `-` and `.`"));
            }
            let value_start = end_of_line - value.len();
            let (value, next) = env_value(&statement[value_start..]).map_err(fail)?;
            if value.contains('\0') {
                return Err(fail("a value cannot hold a NUL byte"));
            }
            found.variables.push((name.to_owned(), value));
            next
        } else {
            found.ignored_lines.push(line);
            &statement[end_of_line..]
        };
        line += rest[..rest.len() - next.len()].matches('\n').count();
        rest = match next.strip_prefix('\n') {
            Some(after) => {
                line += 1;
                after
            }
            None => next,
        };
    }
    Ok(found)
}

/// Whether such files have variables of this name. A shell may have none of them (`my.var`), other programs do.
fn is_name_in_a_file(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// The value at the start of the text, and what follows it, which is empty or begins with a line break.
fn env_value(text: &str) -> Result<(String, &str), &'static str> {
    let text = text.trim_start_matches([' ', '\t']);
    let (mut value, mut rest) = match text.chars().next() {
        Some(quote @ ('\'' | '"')) => quoted(&text[1..], quote)?,
        _ => {
            let (bare, rest) = text.split_at(text.find('\n').unwrap_or(text.len()));
            let comment = bare
                .char_indices()
                .find(|&(at, character)| character == '#' && (at == 0 || bare[..at].ends_with([' ', '\t'])));
            return Ok((bare[..comment.map_or(bare.len(), |(at, _)| at)].trim().to_owned(), rest));
        }
    };
    // As in a shell, what follows without a space belongs to it.
    loop {
        let (more, after) = match rest.chars().next() {
            Some(quote @ ('\'' | '"')) => quoted(&rest[1..], quote)?,
            Some(bare) if !bare.is_whitespace() => {
                let end = rest.find(|next: char| next.is_whitespace() || next == '\'' || next == '"');
                let (more, after) = rest.split_at(end.unwrap_or(rest.len()));
                (more.to_owned(), after)
            }
            _ => break,
        };
        value.push_str(&more);
        rest = after;
    }
    let (after, rest) = rest.split_at(rest.find('\n').unwrap_or(rest.len()));
    let after = after.trim();
    if after.is_empty() || after.starts_with('#') {
        Ok((value, rest))
    } else {
        Err("something follows the closing quote")
    }
}

/// The value up to the closing quote, and what follows that.
fn quoted(text: &str, quote: char) -> Result<(String, &str), &'static str> {
    match quote {
        '"' => double_quoted(text),
        _ => {
            let (value, rest) = text.split_once(quote).ok_or("the quote ' is not closed")?;
            Ok((value.to_owned(), rest))
        }
    }
}

/// The value up to the closing `"`, and what follows that.
fn double_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some(escaped @ ('"' | '\\' | '$')) => value.push(escaped),
                Some(other) => value.extend(['\\', other]),
                None => value.push('\\'),
            },
            other => value.push(other),
        }
    }
    Err("the quote \" is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_files_are_read_as_a_shell_reads_assignments() {
        let text = "\u{feff}# comment\n\nA=1\nexport B = two words # comment\nC='a # $b \\n'\nD=\"x\\ny\\\"\\$\" # c\n\
                    E=\nF=a#b\r\nG=\"first\nsecond\"\nH=postgres://u:p@h/d?x=y\nA=2";
        let variables = parse_env_file(text).unwrap().variables;
        let shown: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(
            shown,
            [
                ("A", "1"),
                ("B", "two words"),
                ("C", "a # $b \\n"),
                ("D", "x\ny\"$"),
                ("E", ""),
                ("F", "a#b"),
                ("G", "first\nsecond"),
                ("H", "postgres://u:p@h/d?x=y"),
                ("A", "2"),
            ]
        );
    }

    /// What node's dotenv, `node --env-file`, python-dotenv, the docker client, bash or systemd read, we read as most of them do.
    #[test]
    fn forms_that_other_tools_read_are_read() {
        for (text, expected) in [
            (r#"A="C:\Users\web""#, r"C:\Users\web"),
            (r#"A="^\d+\.example$""#, r"^\d+\.example$"),
            (r#"A="p\!ss""#, r"p\!ss"),
            ("export\tA=1", "1"),
            ("export  A=1", "1"),
            (r#"A="a"'b'"#, "ab"),
            (r#"A="a"b # c"#, "ab"),
            ("; comment\nA=1", "1"),
            ("NOVALUE\nA=1", "1"),
            ("exported\nA=1", "1"),
            ("A=it's", "it's"),
            ("A='-----BEGIN\nx\n-----END'\r\n", "-----BEGIN\nx\n-----END"),
        ] {
            let found = parse_env_file(text).unwrap();
            assert_eq!(found.variables, [("A".to_owned(), expected.to_owned())], "{text:?}");
        }
        let names = parse_env_file("MY-VAR=1\nmy.var=2\n1A=3\nexport=4\nNOVALUE\n").unwrap();
        let shown: Vec<&str> = names.variables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(shown, ["MY-VAR", "my.var", "1A", "export"]);
        assert_eq!(names.ignored_lines, [5]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_without_the_value() {
        for (text, line) in [
            ("A='1\n\n2'\n1 B=hunter2", 4),
            ("A=\"hunter2", 1),
            ("\n\nA='hunter2' x", 3),
            ("A B=1", 1),
            ("=1", 1),
            ("A=\0", 1),
        ] {
            let error = parse_env_file(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn the_real_environment_wins_over_a_file_and_a_later_line_over_an_earlier_one() {
        let mut environment = Environment::new([("A", "real")], "/");
        environment.add_missing(parse_env_file("A=file\nB=1\nB=2").unwrap().variables);
        assert_eq!((environment.get("A"), environment.get("B")), (Some("real"), Some("2")));
        assert!(!format!("{environment:?}").contains("real"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[A-Z='\"\\\\\n #\u{e9}]{0,60}") {
            let _ = parse_env_file(&text);
        }
    }
}
