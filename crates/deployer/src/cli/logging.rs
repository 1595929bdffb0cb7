//! The log: to standard error, as JSON where that is wanted, with priorities for the journal.

use super::{Cli, CliCommand};
use crate::config::Environment;
use crate::terminal::failed::is_json;
use std::io::{IsTerminal, Write};
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The log: to standard error; as JSON where `DEPLOYER_LOG_FORMAT=json`; a daemon says more than a command.
pub fn start_logging(cli: &Cli, environment: &Environment) {
    let daemon = matches!(cli.command, CliCommand::Serve(_) | CliCommand::Listen | CliCommand::Work(_));
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
