//! What a request comes to, and how whoever asked is told.

use serde::{Deserialize, Serialize};
use std::io::Write;
use std::process::ExitCode;

/// The client's exit code where nothing was done: sysexits' `EX_NOPERM`, which none of the programs uses.
pub const REFUSED: u8 = 77;

/// The client's exit code where nobody answered: sysexits' `EX_UNAVAILABLE`.
pub const UNAVAILABLE: u8 = 69;

/// One line of JSON on the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The programs were run.
    Done {
        /// Of the last one: its exit code, or what a shell would make of its end.
        code: u8,
        /// What they printed on standard output; its end, where it is long.
        out: String,
        /// On standard error, likewise.
        err: String,
    },
    /// Nothing was run. Why, and who can change that.
    Refused(String),
}

impl Answer {
    /// Prints what came back, and becomes the exit code.
    pub fn deliver(&self) -> ExitCode {
        match self {
            Self::Done { code, out, err } => {
                // Whoever closed these does not want to hear it.
                let _ = std::io::stdout().write_all(out.as_bytes());
                let _ = std::io::stderr().write_all(err.as_bytes());
                ExitCode::from(*code)
            }
            Self::Refused(why) => {
                let _ = writeln!(std::io::stderr(), "refused: {why}");
                ExitCode::from(REFUSED)
            }
        }
    }

    /// What two came to, one after the other; a refusal of the second counts alone.
    pub fn and(self, next: Self) -> Self {
        match (self, next) {
            (Self::Done { out, err, .. }, Self::Done { code, out: next_out, err: next_err }) => {
                Self::Done { code, out: out + &next_out, err: err + &next_err }
            }
            (_, next) => next,
        }
    }

    /// In one line for the journal, with the last thing that a failed program said.
    pub fn in_words(&self) -> String {
        match self {
            Self::Done { code: 0, .. } => "done".into(),
            Self::Done { code, err, out } => {
                let said = [err, out]
                    .into_iter()
                    .find_map(|text| text.lines().rfind(|line| !line.trim().is_empty()));
                format!("exit code {code}: {}", one_line(said.unwrap_or_default()))
            }
            Self::Refused(why) => format!("refused: {}", one_line(why)),
        }
    }
}

/// A text that cannot pretend to be more than one line, or anything but text.
pub fn one_line(text: &str) -> String {
    const CHARACTERS_MAX: usize = 400;
    let mut line: String = text.chars().take(CHARACTERS_MAX).map(escaped).collect();
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        line.push_str("...");
    }
    line
}

fn escaped(character: char) -> String {
    match character {
        ' '..='~' => character.to_string(),
        _ => character.escape_default().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_on_its_line() {
        assert_eq!(one_line("a\nb\x1b[2J\u{202e}\u{e9}\0"), "a\\nb\\u{1b}[2J\\u{202e}\\u{e9}\\u{0}");
        assert_eq!(one_line(&"x".repeat(1000)).len(), 403);
    }
}
