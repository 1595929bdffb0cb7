//! Takes secrets out of a stream of bytes, in the forms in which programs print them.
//!
//! The stream is redacted *before* it is split into lines and cut to size, so that no cut can go through a
//! secret and leave half of it. What comes out does not depend on how the stream was cut into writes: as many
//! bytes are held back as could be the beginning of a secret, and no more. Overlapping finds are taken out as
//! one, so that nothing of either stays.
//!
//! What a terminal does not show does not hide a secret: it is looked for in the text without colours, carriage returns and the like
//! ([`skeleton`]), and taken out of the text with all that stands in its middle.
//!
//! This is a net, not a wall. A command that wants to tell a secret can (reversed, encrypted, one character a
//! line); the net is for those that do not want to. Deliberately absent: guessing what looks like a secret.

mod forms;
mod skeleton;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use skeleton::Skeleton;

/// Stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// Shorter values are not redacted: they would take half of the output with them.
pub const SECRET_BYTES_MIN: usize = 4;

/// Knows the secrets. Cheap to clone; never prints them.
#[derive(Clone, Default)]
pub struct Redactor(Option<Arc<Patterns>>);

struct Patterns {
    /// Sorted, without duplicates.
    patterns: Vec<Vec<u8>>,
    automaton: AhoCorasick,
    /// Length of the longest.
    bytes_max: usize,
    /// Which bytes are the first of any.
    first: [bool; 256],
}

impl Redactor {
    /// Redacts `secrets`: each as it is, and as base64, hexadecimal, percent-encoded, JSON, HTML and shell-quoted
    /// text; of a secret of several lines also each line of at least eight bytes, and of a URL the password by itself.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let forms = secrets.into_iter().flat_map(forms::of);
        let shown = |form: Vec<u8>| Skeleton::of(&form, true).bytes.into_owned();
        let mut patterns: Vec<Vec<u8>> =
            forms.map(shown).filter(|form| form.len() >= SECRET_BYTES_MIN).collect();
        patterns.sort_unstable();
        patterns.dedup();
        let bytes_max = patterns.iter().map(Vec::len).max().unwrap_or(0);
        let mut first = [false; 256];
        patterns.iter().for_each(|pattern| first[usize::from(pattern[0])] = true);
        if patterns.is_empty() {
            return Self(None);
        }
        let automaton = AhoCorasick::builder()
            // The fast kind takes a kilobyte for each byte of each form.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&patterns)
            .expect("the forms of secrets are far fewer than 2^31 bytes");
        Self(Some(Arc::new(Patterns { patterns, automaton, bytes_max, first })))
    }

    /// A whole text at once.
    pub fn redact(&self, text: &str) -> String {
        let mut output = Vec::with_capacity(text.len());
        let mut redaction = self.begin();
        redaction.push(text.as_bytes(), &mut output);
        redaction.finish(&mut output);
        String::from_utf8_lossy(&output).into_owned()
    }

    /// For one stream.
    pub(crate) fn begin(&self) -> Redaction {
        Redaction { redactor: self.clone(), held: Vec::new(), covered_bytes: 0 }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Redactor(hidden)")
    }
}

/// A stream that is being redacted.
pub(crate) struct Redaction {
    redactor: Redactor,
    /// The end of what came: a proper beginning of some pattern, or of an escape sequence, or empty.
    held: Vec<u8>,
    /// So many bytes at the beginning of `held` belong to a find that [`REDACTED`] was already written for.
    covered_bytes: usize,
}

impl Redaction {
    /// Appends to `output` what is certain of the stream after `input`.
    pub fn push(&mut self, input: &[u8], output: &mut Vec<u8>) {
        let Some(patterns) = self.redactor.0.clone() else {
            output.extend_from_slice(input);
            return;
        };
        self.held.extend_from_slice(input);
        let mut held = std::mem::take(&mut self.held);
        let skeleton = Skeleton::of(&held, false);
        let certain = match patterns.unfinished_bytes(&skeleton.bytes) {
            0 => skeleton.unfinished.unwrap_or(held.len()),
            unfinished => skeleton.position(skeleton.bytes.len() - unfinished),
        };
        self.write(&patterns, &held, &skeleton, certain, output);
        drop(skeleton);
        held.drain(..certain);
        self.held = held;
    }

    /// Appends the rest: the stream has ended, and what was held back did not become a secret.
    pub fn finish(&mut self, output: &mut Vec<u8>) {
        if let Some(patterns) = self.redactor.0.clone() {
            let held = std::mem::take(&mut self.held);
            self.write(&patterns, &held, &Skeleton::of(&held, true), held.len(), output);
        }
    }

    /// Writes the first `certain` bytes of what is held. A find that begins there and reaches beyond is
    /// announced now, and the bytes of it that stay held are remembered as covered.
    fn write(
        &mut self,
        patterns: &Patterns,
        held: &[u8],
        skeleton: &Skeleton<'_>,
        certain: usize,
        output: &mut Vec<u8>,
    ) {
        let finds = patterns.find(&skeleton.bytes, skeleton.before(self.covered_bytes));
        let mut written = 0;
        let mut covered_end = 0;
        for find in finds.iter().map(|find| skeleton.range(find)) {
            let is_announced = find.start == 0 && self.covered_bytes > 0;
            if !is_announced {
                // One that begins among the held bytes may turn out to be part of a larger one: later.
                if find.start >= certain {
                    break;
                }
                output.extend_from_slice(&held[written..find.start]);
                output.extend_from_slice(REDACTED.as_bytes());
            }
            written = find.end;
            covered_end = find.end;
        }
        if written < certain {
            output.extend_from_slice(&held[written..certain]);
        }
        self.covered_bytes = covered_end.saturating_sub(certain);
    }
}

impl Patterns {
    /// Everything to take out, in order and without overlaps. `covered_bytes` is a find at the beginning that
    /// is known from before.
    fn find(&self, bytes: &[u8], covered_bytes: usize) -> Vec<Range<usize>> {
        let mut finds: Vec<Range<usize>> = Vec::new();
        if covered_bytes > 0 {
            finds.push(0..covered_bytes);
        }
        // They come ordered by their ends; one that begins earlier swallows those it overlaps.
        for found in self.automaton.find_overlapping_iter(bytes) {
            let mut find = found.range();
            while let Some(last) = finds.pop_if(|last| last.end > find.start) {
                find = last.start.min(find.start)..last.end.max(find.end);
            }
            finds.push(find);
        }
        finds
    }

    /// How many bytes at the end could be the beginning of a pattern that is not whole yet.
    fn unfinished_bytes(&self, bytes: &[u8]) -> usize {
        let longest = bytes.len().min(self.bytes_max.saturating_sub(1));
        let tail = &bytes[bytes.len() - longest..];
        let begins =
            |start: &usize| self.first[usize::from(tail[*start])] && self.is_beginning(&tail[*start..]);
        (0..longest).find(begins).map_or(0, |start| longest - start)
    }

    /// Whether a pattern is longer than `bytes` and begins so.
    fn is_beginning(&self, bytes: &[u8]) -> bool {
        let after = self.patterns.partition_point(|pattern| pattern.as_slice() <= bytes);
        self.patterns.get(after).is_some_and(|pattern| pattern.starts_with(bytes))
    }
}

#[cfg(test)]
mod tests;
