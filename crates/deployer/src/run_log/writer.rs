//! Writing a run's log: cheap, buffered, and never the reason why a run fails.

use super::{LINE_BYTES_MAX, LINE_CUT, LOG_CUT, RUN_LOG_BYTES_MAX, Stream, path_of};
use crate::base::clock;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use jiff::Timestamp;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// How much is gathered before it is written, in bytes: a page or two of output per system call.
const BUFFER_BYTES: usize = 8 << 10;

/// Appends to a run's log. Flushes when it has gathered enough, when it is told to, and when it is dropped.
///
/// None of its methods fails; [`RunLogWriter::error`] says whether something was lost.
#[derive(Debug)]
pub struct RunLogWriter {
    /// None where it could not be opened.
    file: Option<fs_err::File>,
    buffer: Vec<u8>,
    /// What the file holds and will hold once the buffer is written.
    bytes: u64,
    bytes_max: u64,
    /// The limit was reached; nothing more is taken.
    is_cut: bool,
    /// The file may end in the middle of a line.
    is_torn: bool,
    error: Option<io::Error>,
}

impl RunLogWriter {
    /// Opens a run's log, or goes on with the one that is there (after a crash). The directory is created if need be.
    pub fn open(directory: &Path, run_id: &str) -> Self {
        Self::open_limited(directory, run_id, RUN_LOG_BYTES_MAX)
    }

    fn open_limited(directory: &Path, run_id: &str, bytes_max: u64) -> Self {
        let mut writer = Self {
            file: None,
            buffer: Vec::new(),
            bytes: 0,
            bytes_max,
            is_cut: false,
            is_torn: false,
            error: None,
        };
        if let Err(error) = writer.open_file(directory, run_id) {
            writer.error = Some(error);
        }
        writer
    }

    fn open_file(&mut self, directory: &Path, run_id: &str) -> io::Result<()> {
        let path = path_of(directory, run_id)?;
        fs_err::create_dir_all(directory)?;
        let mut file =
            fs_err::OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
        self.bytes = file.metadata()?.len();
        let mut end = Vec::new();
        let end_bytes_max = LOG_CUT.len() as u64 + 1;
        file.seek(SeekFrom::Start(self.bytes.saturating_sub(end_bytes_max)))?;
        (&mut file).take(end_bytes_max).read_to_end(&mut end)?;
        self.is_torn = end.last().is_some_and(|&last| last != b'\n');
        self.is_cut = end.strip_suffix(b"\n").is_some_and(|end| end == LOG_CUT.as_bytes());
        self.file = Some(file);
        Ok(())
    }

    /// Takes what a step printed, or a note on it: one line, or several with line feeds between.
    pub fn write(&mut self, step: u32, stream: Stream, text: &str) {
        let at = clock::now();
        let text = text.strip_suffix('\n').unwrap_or(text);
        for line in text.split('\n') {
            self.write_line(at, step, stream, line);
        }
    }

    fn write_line(&mut self, at: Timestamp, step: u32, stream: Stream, text: &str) {
        if self.is_cut || self.file.is_none() {
            return;
        }
        let line = format_line(at, step, stream, text);
        // Room is kept for the line that says it was cut.
        let room_for_cut = (LOG_CUT.len() + 64) as u64;
        if self.bytes + line.len() as u64 + room_for_cut > self.bytes_max {
            self.is_cut = true;
            self.gather(&format_line(at, step, Stream::Note, LOG_CUT));
            self.flush();
        } else {
            self.gather(&line);
        }
    }

    fn gather(&mut self, line: &str) {
        self.bytes += line.len() as u64;
        self.buffer.extend_from_slice(line.as_bytes());
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush();
        }
    }

    /// Writes what was gathered, so that followers see it. What cannot be written is dropped.
    pub fn flush(&mut self) {
        let Some(file) = &mut self.file else { return };
        if self.buffer.is_empty() {
            return;
        }
        if self.is_torn {
            self.buffer.insert(0, b'\n');
            self.bytes += 1;
        }
        let written = file.write_all(&self.buffer);
        self.buffer.clear();
        self.is_torn = written.is_err();
        if let Err(error) = written {
            // How much of it was written only the file knows. What was lost must not count towards the limit.
            self.bytes = file.metadata().map_or(self.bytes, |metadata| metadata.len());
            self.error.get_or_insert(error);
        }
    }

    /// Why something is missing in the log: the first error.
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }
}

impl Drop for RunLogWriter {
    fn drop(&mut self) {
        self.flush();
    }
}

fn format_line(at: Timestamp, step: u32, stream: Stream, text: &str) -> String {
    let cut = text.floor_char_boundary(LINE_BYTES_MAX);
    let note = if cut < text.len() { LINE_CUT } else { "" };
    format!("{at:.3} {step} {} {}{note}\n", stream.letter(), &text[..cut])
}

#[cfg(test)]
mod tests {
    use super::super::tests::RUN;
    use super::super::{LogLine, path_of};
    use super::*;

    fn lines(directory: &Path) -> Vec<LogLine> {
        let text = fs_err::read_to_string(path_of(directory, RUN).unwrap()).unwrap();
        text.lines().filter_map(LogLine::parse).collect()
    }

    #[test]
    fn what_is_written_can_be_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let logs = directory.path().join("logs");
        let mut writer = RunLogWriter::open(&logs, RUN);
        writer.write(1, Stream::Output, "one\n\n  three \x1b[31mred\n");
        writer.write(2, Stream::Error, "é");
        assert!(lines(&logs).is_empty(), "it is gathered");
        writer.flush();
        writer.write(0, Stream::Note, "");
        drop(writer);
        let read: Vec<_> = lines(&logs).into_iter().map(|line| (line.step, line.stream, line.text)).collect();
        let expected = [
            (1, Stream::Output, "one"),
            (1, Stream::Output, ""),
            (1, Stream::Output, "  three \x1b[31mred"),
            (2, Stream::Error, "é"),
            (0, Stream::Note, ""),
        ];
        assert_eq!(read, expected.map(|(step, stream, text)| (step, stream, text.to_owned())));
    }

    #[test]
    fn a_full_buffer_is_written_unasked() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = RunLogWriter::open(directory.path(), RUN);
        writer.write(1, Stream::Output, &"x".repeat(BUFFER_BYTES));
        assert_eq!(lines(directory.path()).len(), 1);
        assert!(writer.error().is_none());
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = RunLogWriter::open(directory.path(), RUN);
        writer.write(1, Stream::Output, &format!("x{}", "é".repeat(LINE_BYTES_MAX)));
        drop(writer);
        let text = &lines(directory.path())[0].text;
        assert_eq!(text.len(), LINE_BYTES_MAX - 1 + LINE_CUT.len());
        assert!(text.ends_with(&format!("é{LINE_CUT}")));
    }

    #[test]
    fn a_log_ends_at_its_limit_and_says_so_once() {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let mut writer = RunLogWriter::open_limited(directory.path(), RUN, 1_000);
            for number in 0..100 {
                writer.write(1, Stream::Output, &format!("line {number}"));
            }
        }
        let lines = lines(directory.path());
        assert!(lines.len() > 10);
        assert_eq!(lines.iter().filter(|line| line.text == LOG_CUT).count(), 1);
        assert_eq!(lines.last().unwrap().text, LOG_CUT);
        let length = fs_err::metadata(path_of(directory.path(), RUN).unwrap()).unwrap().len();
        assert!(length <= 1_000, "{length}");
    }

    #[test]
    fn after_a_crash_it_goes_on_behind_the_torn_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = path_of(directory.path(), RUN).unwrap();
        fs_err::write(&path, "2026-11-23T11:54:00.123Z 1 o whole\n2026-11-23T11:5").unwrap();
        let mut writer = RunLogWriter::open(directory.path(), RUN);
        writer.write(1, Stream::Note, "resumed");
        drop(writer);
        let texts: Vec<_> = lines(directory.path()).into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["whole", "resumed"]);
    }

    #[test]
    fn what_cannot_be_written_is_lost_and_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let in_the_way = directory.path().join("file");
        fs_err::write(&in_the_way, "").unwrap();
        let mut writer = RunLogWriter::open(&in_the_way, RUN);
        writer.write(1, Stream::Output, &"x".repeat(2 * BUFFER_BYTES));
        writer.flush();
        assert!(writer.error().is_some());
        assert!(RunLogWriter::open(directory.path(), "../x").error().is_some());
    }

    #[test]
    fn a_full_disk_loses_lines_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        // Every write to it fails with "no space left on device".
        std::os::unix::fs::symlink("/dev/full", path_of(directory.path(), RUN).unwrap()).unwrap();
        let mut writer = RunLogWriter::open(directory.path(), RUN);
        writer.write(1, Stream::Output, "lost");
        assert!(writer.error().is_none());
        writer.flush();
        assert_eq!(writer.error().unwrap().kind(), io::ErrorKind::StorageFull);
        // The disk has room again.
        let path = directory.path().join("roomy");
        writer.file = Some(fs_err::OpenOptions::new().append(true).create(true).open(&path).unwrap());
        writer.write(1, Stream::Output, "kept");
        writer.flush();
        assert!(fs_err::read_to_string(&path).unwrap().starts_with('\n'), "the torn line is ended");
        assert!(fs_err::read_to_string(&path).unwrap().ends_with("1 o kept\n"));
        assert!(writer.error().is_some(), "it does not forget");
    }
}
