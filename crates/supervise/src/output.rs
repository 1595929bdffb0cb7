//! From the bytes that a command writes to the lines that are kept: redact, limit, split.

mod lines;

use crate::Redactor;
use crate::command::{Line, OutputLimits, Stream};
use crate::redactor::Redaction;
use lines::{Lines, Text};

/// Both streams of one command.
pub(crate) struct Output<'a, Sink> {
    out: Channel,
    err: Channel,
    limits: OutputLimits,
    kept_bytes: u64,
    /// Both streams together, as they came.
    pub total_bytes: u64,
    pub dropped_bytes: u64,
    now_ms: fn() -> i64,
    sink: &'a mut Sink,
}

/// One of the two.
struct Channel {
    redaction: Redaction,
    /// Redacted bytes on their way; kept for its memory.
    redacted: Vec<u8>,
    lines: Lines,
}

impl<'a, Sink: FnMut(Line)> Output<'a, Sink> {
    pub fn new(redactor: &Redactor, limits: OutputLimits, now_ms: fn() -> i64, sink: &'a mut Sink) -> Self {
        let channel = || Channel {
            redaction: redactor.begin(),
            redacted: Vec::new(),
            lines: Lines::new(limits.line_bytes_max),
        };
        Self {
            out: channel(),
            err: channel(),
            limits,
            kept_bytes: 0,
            total_bytes: 0,
            dropped_bytes: 0,
            now_ms,
            sink,
        }
    }

    /// Takes in what was read.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        self.total_bytes += bytes.len() as u64;
        if self.kept_bytes < self.limits.total_bytes_max {
            self.pass_on(stream, |channel| channel.redaction.push(bytes, &mut channel.redacted));
        } else {
            self.channel(stream).lines.cut();
            self.dropped_bytes += bytes.len() as u64;
        }
    }

    /// Passes on what was held back, ends the last lines, and says how much was dropped.
    pub fn finish(&mut self) {
        for stream in [Stream::Out, Stream::Err] {
            self.pass_on(stream, |channel| channel.redaction.finish(&mut channel.redacted));
            let line = self.channel(stream).lines.finish();
            self.emit(stream, line);
        }
        if self.dropped_bytes > 0 {
            let (dropped, limit) = (self.dropped_bytes, self.limits.total_bytes_max);
            let text = format!("{dropped} more bytes of output were dropped: the limit is {limit}");
            self.emit(Stream::Err, Some(Text { text, truncated: true }));
        }
    }

    /// Runs `step`, which leaves redacted bytes, and makes lines of as many of them as the limit leaves room.
    /// The limit comes after the redaction, or its edge could go through a secret.
    fn pass_on(&mut self, stream: Stream, step: impl FnOnce(&mut Channel)) {
        let room = self.limits.total_bytes_max - self.kept_bytes;
        let channel = self.channel(stream);
        channel.redacted.clear();
        step(channel);
        let redacted = std::mem::take(&mut channel.redacted);
        let keep = usize::try_from(room).map_or(redacted.len(), |room| room.min(redacted.len()));
        let mut rest = &redacted[..keep];
        while !rest.is_empty() {
            let (line, used) = self.channel(stream).lines.push(rest);
            self.emit(stream, line);
            rest = &rest[used..];
        }
        if keep < redacted.len() {
            self.channel(stream).lines.cut();
        }
        self.kept_bytes += keep as u64;
        self.dropped_bytes += (redacted.len() - keep) as u64;
        self.channel(stream).redacted = redacted;
    }

    fn emit(&mut self, stream: Stream, line: Option<Text>) {
        if let Some(Text { text, truncated }) = line {
            (self.sink)(Line { at_ms: (self.now_ms)(), stream, text, truncated });
        }
    }

    fn channel(&mut self, stream: Stream) -> &mut Channel {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }
}

#[cfg(test)]
mod tests;
