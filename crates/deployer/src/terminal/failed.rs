//! Why a command did not succeed: an error with its causes, what to do about it, and the exit code.

use super::style::RED;
use super::{exit, printing};
use crate::process::claim::Holder;
use crate::run_log::rendering::plain;
use crate::store::StoreError;
use anyhow::anyhow;
use serde_json::json;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

/// Why a command did not succeed, and with which exit code it ends.
#[derive(Debug)]
pub struct Failed {
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
        let away = crate::store::is_database_away(&error);
        if away { Self::unavailable(error) } else { Self::because(error) }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::from(anyhow::Error::from(error))
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

/// The exit code of a command that would end with `code`. Whoever has closed the output (`| head`) has read enough, and that changes
/// nothing; an output that could not be written is said, and is never a success.
pub fn end(code: u8) -> u8 {
    let _ = std::io::stdout().flush().map_err(printing::lose);
    match printing::failure() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            crate::terminal::failed::Failed::unavailable(anyhow::anyhow!(
                "cannot write to standard output: {error}"
            ))
            .print();
            if code == exit::OK { exit::UNAVAILABLE } else { code }
        }
        _ => code,
    }
}

/// [`end`] for `main`.
pub fn exit_code(code: u8) -> ExitCode {
    ExitCode::from(end(code))
}
