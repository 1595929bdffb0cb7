//! Reading a run's log, also while it grows.
//!
//! The file is asked again every [`POLL_INTERVAL`]; nobody is told by the writer, since a follower may be another
//! process.

use super::{LINE_BYTES_MAX, LogLine, path_of};
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::sync::CancellationToken;

/// How often a log that grows is looked at: what a person takes for at once.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// How much is read at a time, in bytes: several of the longest lines.
const BATCH_BYTES_MAX: usize = 4 * LINE_BYTES_MAX;

/// Some consecutive lines of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBatch {
    /// In their order; what is not a line, as half of one after a crash, is left out.
    pub lines: Vec<LogLine>,
    /// Where to go on: see [`RunLogReader::open`].
    pub next_offset: u64,
}

/// Reads a run's log from an offset on.
#[derive(Debug)]
pub struct RunLogReader {
    path: PathBuf,
    offset: u64,
}

impl RunLogReader {
    /// Reads from the beginning (0) or from a [`LogBatch::next_offset`] on. The log need not exist yet. From an
    /// offset that is none of those, the first line that is found may be missing, nothing worse.
    pub fn open(directory: &Path, run_id: &str, offset: u64) -> io::Result<Self> {
        Ok(Self { path: path_of(directory, run_id)?, offset })
    }

    /// The next lines that are there; none at the end of what is there. What stands behind the last line feed waits.
    pub async fn read(&mut self) -> io::Result<Option<LogBatch>> {
        self.read_batch(false).await
    }

    /// The next lines, waiting for them; none once `ended` says that the run has ended and all was read.
    ///
    /// May be dropped while it waits: the next call goes on where this one was.
    pub async fn follow(&mut self, ended: &CancellationToken) -> io::Result<Option<LogBatch>> {
        loop {
            // Asked before reading: what is written last is written before the run has ended.
            let has_ended = ended.is_cancelled();
            let batch = self.read_batch(has_ended).await?;
            if batch.is_some() || has_ended {
                return Ok(batch);
            }
            tokio::select! {
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                () = ended.cancelled() => {}
            }
        }
    }

    async fn read_batch(&mut self, has_ended: bool) -> io::Result<Option<LogBatch>> {
        let mut bytes = Vec::new();
        match fs_err::tokio::File::open(&self.path).await {
            Ok(mut file) => {
                file.seek(SeekFrom::Start(self.offset)).await?;
                file.take(BATCH_BYTES_MAX as u64).read_to_end(&mut bytes).await?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let whole = match bytes.iter().rposition(|&byte| byte == b'\n') {
            Some(last) => last + 1,
            // Not a line of ours, if it is that long; and at the end nothing more comes.
            None if bytes.len() == BATCH_BYTES_MAX || has_ended => bytes.len(),
            None => 0,
        };
        if whole == 0 {
            return Ok(None);
        }
        self.offset += whole as u64;
        let text = String::from_utf8_lossy(&bytes[..whole]);
        Ok(Some(LogBatch {
            lines: text.split('\n').filter_map(LogLine::parse).collect(),
            next_offset: self.offset,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::RUN;
    use super::super::{RunLogWriter, Stream};
    use super::*;

    fn texts(batch: Option<LogBatch>) -> Vec<String> {
        batch.expect("a batch").lines.into_iter().map(|line| line.text).collect()
    }

    #[tokio::test]
    async fn a_growing_log_is_followed_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let mut reader = RunLogReader::open(directory.path(), RUN, 0).unwrap();
        assert_eq!(reader.read().await.unwrap(), None, "there is no file yet");
        let ended = CancellationToken::new();
        let (follower, writer) = tokio::join!(
            async {
                let first = texts(reader.follow(&ended).await.unwrap());
                (first, reader)
            },
            async {
                tokio::task::yield_now().await;
                let mut writer = RunLogWriter::open(directory.path(), RUN);
                writer.write(1, Stream::Output, "first");
                writer.flush();
                writer
            }
        );
        let (first, mut reader) = follower;
        assert_eq!(first, ["first"]);

        let mut writer = writer;
        writer.write(1, Stream::Output, "last");
        drop(writer);
        ended.cancel();
        assert_eq!(
            texts(reader.follow(&ended).await.unwrap()),
            ["last"],
            "what came before the end is not missed"
        );
        assert_eq!(reader.follow(&ended).await.unwrap(), None);
    }

    #[tokio::test]
    async fn reading_resumes_at_an_offset() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = RunLogWriter::open(directory.path(), RUN);
        writer.write(1, Stream::Output, "one");
        writer.flush();
        let mut reader = RunLogReader::open(directory.path(), RUN, 0).unwrap();
        let batch = reader.read().await.unwrap().unwrap();
        writer.write(1, Stream::Output, "two");
        writer.flush();
        let mut resumed = RunLogReader::open(directory.path(), RUN, batch.next_offset).unwrap();
        assert_eq!(texts(resumed.read().await.unwrap()), ["two"]);
        assert_eq!(resumed.read().await.unwrap(), None);
        let mut beyond = RunLogReader::open(directory.path(), RUN, 1 << 40).unwrap();
        assert_eq!(beyond.read().await.unwrap(), None);
        let mut within = RunLogReader::open(directory.path(), RUN, 3).unwrap();
        assert_eq!(texts(within.read().await.unwrap()), ["two"]);
        assert!(RunLogReader::open(directory.path(), "../../etc/passwd", 0).is_err());
    }

    #[tokio::test]
    async fn half_a_line_waits_for_its_other_half() {
        let directory = tempfile::tempdir().unwrap();
        let path = path_of(directory.path(), RUN).unwrap();
        let whole = "2026-11-23T11:54:00.123Z 1 o whole\n";
        fs_err::write(&path, format!("{whole}{}", &whole[..30])).unwrap();
        let mut reader = RunLogReader::open(directory.path(), RUN, 0).unwrap();
        assert_eq!(texts(reader.read().await.unwrap()), ["whole"]);
        assert_eq!(reader.read().await.unwrap(), None);
        fs_err::write(&path, format!("{whole}{whole}{}", &whole[..32])).unwrap();
        assert_eq!(texts(reader.read().await.unwrap()), ["whole"]);
        // The process died: what it had written is shown.
        let ended = CancellationToken::new();
        ended.cancel();
        assert_eq!(texts(reader.follow(&ended).await.unwrap()), ["who"]);
        assert_eq!(reader.follow(&ended).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_long_log_comes_in_batches_and_is_never_stuck() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = RunLogWriter::open(directory.path(), RUN);
        for number in 0..20 {
            writer.write(1, Stream::Output, &format!("{number} {}", "x".repeat(LINE_BYTES_MAX)));
        }
        drop(writer);
        let path = path_of(directory.path(), RUN).unwrap();
        let mut bytes = fs_err::read(&path).unwrap();
        bytes.extend(std::iter::repeat_n(b'?', 2 * BATCH_BYTES_MAX));
        bytes.extend(b"\n2026-11-23T11:54:00.123Z 1 o after\n");
        fs_err::write(&path, bytes).unwrap();

        let mut reader = RunLogReader::open(directory.path(), RUN, 0).unwrap();
        let mut lines = Vec::new();
        while let Some(batch) = reader.read().await.unwrap() {
            assert!(batch.lines.len() < 20);
            lines.extend(batch.lines);
        }
        assert_eq!(lines.len(), 21);
        assert_eq!(lines[20].text, "after");
    }
}
