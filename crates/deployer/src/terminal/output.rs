//! What people see: errors with their causes and what to do, tables, colour only on a terminal, and the log.

use super::printing;
use super::table::{self, Cell, Column};
use crate::admin::owner::{QUESTION, QUESTIONS_VARIABLE};
use crate::cli::{Cli, Command, exit};
use crate::config::Environment;
use crate::pipeline::claim::Holder;
use crate::run_log::rendering::plain;
use crate::store::StoreError;
use anstyle::{AnsiColor, Style};
use anyhow::{Context, anyhow};
use serde_json::json;
use std::io::{BufRead, IsTerminal, Write};
use std::sync::OnceLock;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Why a command did not succeed, and with which exit code it ends.
#[derive(Debug)]
pub struct Failed {
    /// See [`exit`].
    pub code: u8,
    error: Option<anyhow::Error>,
    hint: Option<String>,
}

impl Failed {
    /// What was asked for did not succeed.
    pub fn because(error: impl Into<anyhow::Error>) -> Self {
        Self { code: exit::FAILED, error: Some(error.into()), hint: None }
    }

    /// Something cannot be used now.
    pub fn unavailable(error: impl Into<anyhow::Error>) -> Self {
        Self { code: exit::UNAVAILABLE, error: Some(error.into()), hint: None }
    }

    /// There is no such thing.
    pub fn not_found(message: String) -> Self {
        Self { code: exit::NOT_FOUND, error: Some(anyhow::anyhow!(message)), hint: None }
    }

    /// Everything has been said already.
    pub fn silent() -> Self {
        Self { code: exit::FAILED, error: None, hint: None }
    }

    /// The same with another exit code.
    #[must_use]
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// All of it in one line.
    pub fn said(&self) -> String {
        let said = self.error.as_ref().map(|error| format!("{error:#}")).unwrap_or_default();
        match &self.hint {
            Some(hint) => format!("{said}; {hint}"),
            None => said,
        }
    }

    fn json(&self, error: &anyhow::Error) -> serde_json::Value {
        let causes: Vec<String> = error.chain().skip(1).map(|cause| harmless(&cause.to_string())).collect();
        json!({ "error": {
            "message": harmless(&error.to_string()), "causes": causes,
            "hint": self.hint.as_deref().map(harmless), "exit_code": self.code,
        } })
    }

    /// error, caused by, hint; with `--json` one JSON document.
    pub fn print(&self) {
        let Some(error) = &self.error else { return };
        if is_json() {
            return json_error_line(&self.json(error));
        }
        print_error_line!("{RED}error{RED:#}: {}", harmless(&error.to_string()));
        let mut said = error.to_string();
        for cause in error.chain().skip(1).map(ToString::to_string) {
            // Some errors hold their cause's words already.
            if !said.ends_with(&cause) {
                print_error_line!("  caused by: {}", harmless(&cause));
                said = cause;
            }
        }
        if let Some(hint) = &self.hint {
            print_error_line!("  hint: {}", harmless(hint));
        }
    }
}

/// A message may quote foreign names and texts, so escape sequences are removed; line breaks stay.
fn harmless(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        if let Some(holder) = error.downcast_ref::<Holder>() {
            let mend = holder.mend();
            return Self::unavailable(error).hint(mend);
        }
        if let Some(StoreError::Gone { .. }) = error.downcast_ref() {
            return Self::unavailable(error).hint(StoreError::GONE_MEND);
        }
        let away = crate::pipeline::worker::is_database_away(&error);
        if away { Self::unavailable(error) } else { Self::because(error) }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::from(anyhow::Error::from(error))
    }
}

/// What went wrong.
pub const RED: Style = AnsiColor::Red.on_default().bold();
/// What went well.
pub const GREEN: Style = AnsiColor::Green.on_default();
/// What is under way, or deserves a look.
pub const YELLOW: Style = AnsiColor::Yellow.on_default();
/// What matters less.
pub const DIM: Style = Style::new().dimmed();
/// What matters more.
pub const BOLD: Style = Style::new().bold();

/// The colour of a state or a verdict.
pub fn style_of(state: &str) -> Style {
    match state {
        "succeeded" | "deployed" | "already-live" | "live" => GREEN,
        "failed" | "malformed" | "refused" => RED,
        "running" | "queued" | "waiting" | "started" | "undone" | "unknown" => YELLOW,
        _ => DIM,
    }
}

/// Whether the command was called with `--json`: then all that it says is JSON, also what it says to standard error.
static IS_JSON: OnceLock<bool> = OnceLock::new();

/// Asked of the arguments as they were typed: those that cannot be understood are answered in the same form.
pub fn is_json() -> bool {
    *IS_JSON.get_or_init(|| {
        std::env::args_os()
            .skip(1)
            .take_while(|argument| argument != "--")
            .any(|argument| argument == "--json")
    })
}

/// One JSON document in one line to standard error.
pub fn json_error_line(value: &impl serde::Serialize) {
    let text = serde_json::to_string(value).expect("our own types serialise");
    print_error_line!("{text}");
}

/// Shows what clap answers instead of a command line: help, the version, or what is wrong with it. Gives the exit code.
pub fn show_unparsed(error: &clap::Error) -> u8 {
    if !error.use_stderr() {
        if let Err(error) = error.print() {
            printing::lose(error);
        }
        return exit::OK;
    }
    if is_json() {
        let text = error.to_string();
        let mut parts = text.trim().splitn(2, "\n\n");
        let message = parts.next().unwrap_or_default();
        let message = message.strip_prefix("error: ").unwrap_or(message);
        Failed {
            code: exit::USAGE,
            error: Some(anyhow!("{message}")),
            hint: parts.next().map(str::to_owned),
        }
        .print();
    } else {
        // There is nobody to be told where this fails.
        let _ = error.print();
    }
    exit::USAGE
}

/// Prints a value for machines.
pub fn json(value: &impl serde::Serialize) {
    let text = serde_json::to_string_pretty(value).expect("our own types serialise");
    print_line!("{text}");
}

/// How many columns there are for a line, where that matters: on a terminal, or where `COLUMNS` says so. None: a program reads this.
pub fn terminal_width() -> Option<usize> {
    let out = std::io::stdout();
    if out.is_terminal()
        && let Ok(size) = rustix::termios::tcgetwinsize(&out)
        && size.ws_col > 0
    {
        return Some(usize::from(size.ws_col));
    }
    let set = Environment::of_process().get("COLUMNS").and_then(|columns| columns.parse().ok());
    set.filter(|columns| *columns > 0)
}

/// Prints rows under a heading. `styled` is the column whose text names a state; the last column is cut first where the line is too short.
pub fn table(heading: &[&'static str], rows: &[Vec<String>], styled: Option<usize>) {
    let column = |(number, title): (usize, &&'static str)| {
        let column = Column::new(title);
        let column = if Some(number) == styled { column.state() } else { column };
        if number + 1 == heading.len() { column.rest() } else { column }
    };
    let columns: Vec<Column> = heading.iter().enumerate().map(column).collect();
    let rows: Vec<Vec<Cell>> =
        rows.iter().map(|row| row.iter().map(|cell| Cell::text(cell.as_str())).collect()).collect();
    table::print(&columns, &rows);
}

/// The log: to standard error; as JSON where `DEPLOYER_LOG_FORMAT=json`; a daemon says more than a command.
pub fn start_logging(cli: &Cli, environment: &Environment) {
    let daemon = matches!(cli.command, Command::Serve(_) | Command::Listen | Command::Work(_));
    let level = cli.log.clone().unwrap_or_else(|| if daemon { "info".into() } else { "warn".into() });
    let filter = EnvFilter::try_new(format!("{level},sqlx=warn,hyper=warn,reqwest=warn"))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let writer = LogWriter { is_journal: is_journal(environment) };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    // Said with a macro that panics, where standard error cannot be written.
    let builder = builder.log_internal_errors(false);
    if environment.get("DEPLOYER_LOG_FORMAT").is_some_and(|format| format == "json") || is_json() {
        builder.json().init();
    } else if terminal {
        builder.init();
    } else {
        builder.with_ansi(false).init();
    }
}

/// Whether standard error is the journal's: systemd names the file that it has given to a service.
fn is_journal(environment: &Environment) -> bool {
    let Some((device, inode)) = environment.get("JOURNAL_STREAM").and_then(|stream| stream.split_once(':'))
    else {
        return false;
    };
    let found = rustix::fs::fstat(std::io::stderr());
    found.is_ok_and(|found| device.parse() == Ok(found.st_dev) && inode.parse() == Ok(found.st_ino))
}

/// Writes the log to standard error; for the journal each line begins with its priority, as sd-daemon(3) has it, which the journal takes off.
/// Without it every line would have the same, and `journalctl -p warning` would show none.
#[derive(Debug, Clone, Copy)]
struct LogWriter {
    is_journal: bool,
}

/// One event's lines.
struct Lines<W> {
    priority: Option<u8>,
    to: W,
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Lines<std::io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        Lines { priority: self.is_journal.then_some(priority(Level::INFO)), to: std::io::stderr() }
    }

    fn make_writer_for(&'a self, event: &tracing::Metadata<'_>) -> Self::Writer {
        Lines { priority: self.is_journal.then_some(priority(*event.level())), to: std::io::stderr() }
    }
}

/// As syslog(3) numbers them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let Some(priority) = self.priority else { return self.to.write(text) };
        let mut lines = Vec::with_capacity(text.len() + 8);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            lines.extend(format!("<{priority}>").bytes());
            lines.extend(line);
        }
        self.to.write_all(&lines)?;
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

/// Asks a person before something is done; `--yes` has agreed already.
pub fn agreed(yes: bool, question: &str) -> Result<(), Failed> {
    if yes {
        return Ok(());
    }
    if Environment::of_process().get(QUESTIONS_VARIABLE).is_some() {
        // Root has the terminal, and asks.
        printing::marked_line(QUESTION, question);
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
        return if answer.trim() == "y" { Ok(()) } else { Err(nothing_done()) };
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failed::because(anyhow!("nobody is there to be asked"))
            .hint("`--yes` does it without asking; `--dry-run` only says what would be done"));
    }
    if agrees(question)? { Ok(()) } else { Err(nothing_done()) }
}

/// Asks whoever sits at the terminal.
pub fn agrees(question: &str) -> anyhow::Result<bool> {
    printing::text(&format!("\n{question} [y/N] "));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

fn nothing_done() -> Failed {
    Failed::because(anyhow!("nothing was done"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_for_the_journal_begins_with_its_priority() {
        let written = |priority| {
            let mut lines = Lines { priority, to: Vec::new() };
            lines.write_all(b"WARN one\ntwo\n").unwrap();
            String::from_utf8(lines.to).unwrap()
        };
        assert_eq!(written(Some(priority(Level::WARN))), "<4>WARN one\n<4>two\n");
        assert_eq!(written(None), "WARN one\ntwo\n");
    }
}
