//! A run's output: one file per run, which is written while the run goes on and can be followed meanwhile.
//!
//! A line is `<RFC 3339 time, UTC, ms> <step number> <o|e|i|c|a> <text>`: standard output, standard error, a note of ours; or, behind what a
//! failed command has printed, the line of it that says why once more, and those around it. It is a text file, so that `tail -f` and `grep` work where the deployer does not. Text is kept as
//! the programs printed it; what could harm a terminal is taken out when it is shown (see [`rendering`]).
//!
//! A log that cannot be written never changes the outcome of a run: the writer remembers the error, drops what it
//! could not write, and tries again with what comes next. For the same reason nothing is synced to the disk: the
//! record says what happened, and after a power cut the last lines may be missing here.

mod reader;
pub mod rendering;
mod writer;

pub use reader::{LogBatch, RunLogReader};
pub use writer::RunLogWriter;

use jiff::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What a run may log, in bytes. A verbose build prints one or two megabytes; whoever prints more than this prints the
/// same thing for ever, and a hundred kept runs must fit on a small disk.
pub const RUN_LOG_BYTES_MAX: u64 = 16 << 20;

/// What one line may hold, in bytes: minified source in a compiler's message exceeds it, nothing one would read does.
pub const LINE_BYTES_MAX: usize = 16 << 10;

/// What stands in the place of what was cut off a line.
const LINE_CUT: &str = " [line cut]";

/// The last line of a log that reached its limit.
const LOG_CUT: &str = "[log cut: it reached its limit; the run goes on]";

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output of a command.
    Output,
    /// Standard error of a command.
    Error,
    Note,
    /// The line of a failed command that says why, once more.
    Cause,
    /// A line around it.
    Context,
}

/// All of them.
const STREAMS: [Stream; 5] = [Stream::Output, Stream::Error, Stream::Note, Stream::Cause, Stream::Context];

impl Stream {
    fn letter(self) -> char {
        match self {
            Self::Output => 'o',
            Self::Error => 'e',
            Self::Note => 'i',
            Self::Cause => 'c',
            Self::Context => 'a',
        }
    }

    fn of_letter(letter: &str) -> Option<Self> {
        STREAMS.into_iter().find(|stream| {
            let mut buffer = [0; 1];
            stream.letter().encode_utf8(&mut buffer) == letter
        })
    }
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LogLine {
    /// When it was printed: Unix milliseconds.
    pub at_ms: i64,
    /// The step that printed it; 0 for what concerns none.
    pub step: u32,
    /// Where it comes from.
    pub stream: Stream,
    /// What was printed, without the line's end, and otherwise as it was: see [`rendering`] before showing it.
    pub text: String,
}

impl LogLine {
    /// Reads a line back; none if it is not one, as half a line is not.
    pub fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(4, ' ');
        let at: Timestamp = parts.next()?.parse().ok()?;
        let step = parts.next()?.parse().ok()?;
        let stream = Stream::of_letter(parts.next()?)?;
        Some(Self { at_ms: at.as_millisecond(), step, stream, text: parts.next()?.to_owned() })
    }
}

/// Where a run's log lies. The id may come from a URL: anything but a UUID is refused.
pub fn path_of(directory: &Path, run_id: &str) -> io::Result<PathBuf> {
    match uuid::Uuid::try_parse(run_id) {
        Ok(id) if id.to_string() == run_id => Ok(directory.join(format!("{run_id}.log"))),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{run_id:?} is not the id of a run"))),
    }
}

/// Removes the logs that were last written before `before_ms` (Unix milliseconds) and returns how many. Whatever else
/// lies in the directory stays. One log that cannot be removed does not save the others; the first error is returned.
pub fn prune(directory: &Path, before_ms: i64) -> io::Result<usize> {
    let before = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(before_ms).unwrap_or(0));
    let mut removed = 0;
    let mut first_error = None;
    for entry in fs_err::read_dir(directory)? {
        let path = entry?.path();
        let run_id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if path_of(directory, run_id).is_ok_and(|log| log == path) {
            match remove_if_older(&path, before) {
                Ok(true) => removed += 1,
                Ok(false) => {}
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
    }
    first_error.map_or(Ok(removed), Err)
}

fn remove_if_older(path: &Path, before: SystemTime) -> io::Result<bool> {
    let is_older = fs_err::symlink_metadata(path)?.modified()? < before;
    if is_older {
        fs_err::remove_file(path)?;
    }
    Ok(is_older)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const RUN: &str = "0193572a-0000-7000-8000-000000000001";

    #[test]
    fn lines_are_read_back_and_others_are_not_lines() {
        let line = LogLine::parse("2026-11-23T11:54:00.123Z 7 e  two  spaces ").unwrap();
        assert_eq!((line.at_ms, line.step, line.stream), (1_795_434_840_123, 7, Stream::Error));
        assert_eq!(line.text, " two  spaces ");
        assert_eq!(LogLine::parse("2026-11-23T11:54:00.123Z 0 i ").unwrap().text, "");
        for not_one in [
            "",
            "2026-11-23T11:54:00.123Z",
            "2026-11-23T11:54:00.123Z 7 e",
            "2026-11-23T11:54:00.123Z 7 x text",
            "2026-11-23T11:54:00.123Z -1 o text",
            "yesterday 1 o text",
        ] {
            assert_eq!(LogLine::parse(not_one), None, "{not_one:?}");
        }
    }

    #[test]
    fn only_a_run_has_a_log() {
        assert!(path_of(Path::new("/logs"), RUN).unwrap().ends_with(format!("{RUN}.log")));
        for bad in ["", "../../etc/passwd", "0193572a00007000800000000000000001", &RUN.to_uppercase(), "{x}"]
        {
            assert!(path_of(Path::new("/logs"), bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn old_logs_are_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let other = RUN.replace('1', "2");
        for name in
            [format!("{RUN}.log"), format!("{other}.log"), "notes.log".to_owned(), format!("{RUN}.txt")]
        {
            let file = std::fs::File::create(directory.path().join(&name)).unwrap();
            let written = if name.starts_with(&other) { 2_000 } else { 1_000 };
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_millis(written)).unwrap();
        }
        assert_eq!(prune(directory.path(), 1_000).unwrap(), 0);
        assert_eq!(prune(directory.path(), 2_000).unwrap(), 1);
        assert!(!directory.path().join(format!("{RUN}.log")).exists());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
        assert!(prune(&directory.path().join("nothing"), 1).is_err());
    }
}
