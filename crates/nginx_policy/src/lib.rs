//! What a site file out of a repository may say to nginx, judged before any nginx reads it. Pure: reads no files, calls nothing.
//!
//! nginx's master process reads its configuration as root: `nginx -t` alone opens log files for writing, reads keys and parses
//! stylesheets. Whoever can push may decide what is served and where requests go; not what runs, what root writes, or which
//! of root's files are read. The deployer judges each file before it installs it, and the helper that is root judges it
//! again before root's nginx reads it.

#![forbid(unsafe_code)]

mod allowance;
mod arguments;
pub mod configuration;
mod list;
mod names;
mod remarks;
mod variables;

pub use allowance::judge_allowance;
pub use arguments::{Bounds, names_key_file};
pub use configuration::Directive;
pub use names::judge_name;
pub use remarks::remarks;

use std::collections::BTreeSet;

/// The largest file that is judged, in bytes. The largest site files have some hundred lines.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Objections that one judgement lists; further ones are not looked for.
const OBJECTIONS_MAX: usize = 100;

/// Why a file may not be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// The line in the file, from 1.
    pub line: usize,
    /// What is wrong there, why, and how an operator may allow it.
    pub message: String,
}

impl std::fmt::Display for Objection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.message)
    }
}

/// Judges one file: its size, its characters, its syntax, and each of its directives. Time and memory are bounded by
/// [`FILE_BYTES_MAX`], and by what its variables may become together: nothing is looked at again and again.
pub fn judge(text: &[u8], bounds: &Bounds) -> Result<Vec<Directive>, Vec<Objection>> {
    let one = |line, message: String| vec![Objection { line, message }];
    let text = readable(text).map_err(|(line, message)| one(line, message))?;
    let directives =
        configuration::parse_alike(text).map_err(|error| one(error.line, error.message.to_owned()))?;
    let variables = variables::Variables::of(&directives);
    if let Some(line) = variables.one_too_many() {
        let most = variables::VARIABLES_MAX;
        return Err(one(line, format!("too many variables for a site file: at most {most}")));
    }
    let objections = arguments::objections(&directives, &variables, bounds, OBJECTIONS_MAX);
    if objections.is_empty() { Ok(directives) } else { Err(objections) }
}

/// Judges files that were accepted one by one again, together: what a variable is in one file may be decided in another. Gives what is wrong with
/// that, with the number of the file in which it is wrong.
pub fn judge_together(files: &[&[Directive]], bounds: &Bounds) -> Vec<(usize, Objection)> {
    let mut all = variables::Variables::of_all(files);
    let mut found = Vec::new();
    for (number, directives) in files.iter().enumerate() {
        let alone = variables::Variables::of(directives);
        all.turn_to(&alone);
        let together = arguments::objections(directives, &all, bounds, OBJECTIONS_MAX);
        if together.is_empty() {
            continue;
        }
        let alone = arguments::objections(directives, &alone, bounds, OBJECTIONS_MAX);
        let lines: BTreeSet<usize> = alone.iter().map(|objection| objection.line).collect();
        found.extend(
            together
                .into_iter()
                .filter(|objection| !lines.contains(&objection.line))
                .map(|objection| (number, objection)),
        );
    }
    found
}

/// The file as text, or the line and the reason why it is none.
fn readable(bytes: &[u8]) -> Result<&str, (usize, String)> {
    if bytes.len() > FILE_BYTES_MAX {
        let length = bytes.len();
        return Err((1, format!("{length} bytes are too many for a site file: at most {FILE_BYTES_MAX}")));
    }
    let line_of = |at: usize| bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    let text = std::str::from_utf8(bytes)
        .map_err(|error| (line_of(error.valid_up_to()), "its text is not UTF-8".to_owned()))?;
    let mut after = text.chars().skip(1);
    let forbidden = |(_, character): &(usize, char)| {
        let next = after.next();
        is_forbidden(*character, next)
    };
    match text.char_indices().find(forbidden) {
        Some((at, character)) => Err((
            line_of(at),
            format!(
                "character U+{:04X}: a site file is plain text, without control and invisible characters",
                u32::from(character)
            ),
        )),
        None => Ok(text),
    }
}

/// Control characters, and characters that show people another text than nginx reads: a carriage return alone begins no line for nginx,
/// and marks of direction reorder what is shown.
fn is_forbidden(character: char, next: Option<char>) -> bool {
    match character {
        '\n' | '\t' => false,
        '\r' => next != Some('\n'),
        '\u{200b}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => true,
        _ => character.is_control(),
    }
}
