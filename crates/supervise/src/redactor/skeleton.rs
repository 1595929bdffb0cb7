//! A text without what a terminal does not show: colours and other escape sequences (ECMA-48), carriage returns, and the other control
//! characters but tab and line feed. A secret is looked for in that, so that a colour in its middle does not hide it.
//!
//! Which bytes belong to a sequence depends on nothing that stands before it, and a sequence has a limit: so the answer does not
//! depend on how the text was cut into writes, and never much is held back.

use std::borrow::Cow;
use std::ops::Range;

/// Longest control sequence, as in `ESC [ 38;2;255;255;255 m`, in bytes.
const SEQUENCE_BYTES_MAX: usize = 64;

/// Longest control string, as in a link: `ESC ] 8;;https://... ESC \`.
const STRING_BYTES_MAX: usize = 1024;

const ESCAPE: u8 = 0x1b;

pub(super) struct Skeleton<'a> {
    pub bytes: Cow<'a, [u8]>,
    /// Where each of them stood. None: all are there.
    positions: Option<Vec<usize>>,
    /// Where a sequence begins of which the end has not come yet.
    pub unfinished: Option<usize>,
}

/// What stands at an escape character.
enum Sequence {
    /// So many bytes.
    Whole(usize),
    /// More bytes decide.
    Unfinished,
    None,
}

impl<'a> Skeleton<'a> {
    /// Of a text that may go on; or of one that `ends` here.
    pub fn of(text: &'a [u8], ends: bool) -> Self {
        let Some(first) = text.iter().position(|byte| is_hidden(*byte)) else {
            return Self { bytes: Cow::Borrowed(text), positions: None, unfinished: None };
        };
        let mut bytes = text[..first].to_vec();
        let mut positions: Vec<usize> = (0..first).collect();
        let mut unfinished = None;
        let mut at = first;
        while at < text.len() {
            match text[at] {
                ESCAPE => match sequence(&text[at..]) {
                    Sequence::Whole(length) => at += length,
                    Sequence::Unfinished if ends => break,
                    Sequence::Unfinished => {
                        unfinished = Some(at);
                        break;
                    }
                    Sequence::None => at += 1,
                },
                byte if is_hidden(byte) => at += 1,
                byte => {
                    bytes.push(byte);
                    positions.push(at);
                    at += 1;
                }
            }
        }
        Self { bytes: Cow::Owned(bytes), positions: Some(positions), unfinished }
    }

    /// Where the byte of this number stood in the text.
    pub fn position(&self, number: usize) -> usize {
        self.positions.as_ref().map_or(number, |positions| positions[number])
    }

    /// Where a range, which is not empty, stood in the text.
    pub fn range(&self, range: &Range<usize>) -> Range<usize> {
        self.position(range.start)..self.position(range.end - 1) + 1
    }

    /// How many bytes stood before this position of the text.
    pub fn before(&self, position: usize) -> usize {
        self.positions.as_ref().map_or(position, |positions| positions.partition_point(|at| *at < position))
    }
}

/// Whether a byte begins something that is not shown.
fn is_hidden(byte: u8) -> bool {
    (byte < 0x20 && !matches!(byte, b'\t' | b'\n')) || byte == 0x7f
}

/// `text` begins with an escape character.
fn sequence(text: &[u8]) -> Sequence {
    let Some(&kind) = text.get(1) else { return Sequence::Unfinished };
    match kind {
        b'[' => ends_after(text, 0x20..=0x3f, 0x40..=0x7e),
        b']' | b'P' | b'X' | b'^' | b'_' => string(text),
        0x20..=0x2f => ends_after(text, 0x20..=0x2f, 0x30..=0x7e),
        0x30..=0x7e => Sequence::Whole(2),
        _ => Sequence::None,
    }
}

fn ends_after(
    text: &[u8],
    goes_on: std::ops::RangeInclusive<u8>,
    ends: std::ops::RangeInclusive<u8>,
) -> Sequence {
    for (at, byte) in text.iter().enumerate().take(SEQUENCE_BYTES_MAX).skip(2) {
        if ends.contains(byte) {
            return Sequence::Whole(at + 1);
        }
        if !goes_on.contains(byte) {
            return Sequence::None;
        }
    }
    if text.len() < SEQUENCE_BYTES_MAX { Sequence::Unfinished } else { Sequence::None }
}

/// A control string ends with BEL, or with an escape character and a backslash.
fn string(text: &[u8]) -> Sequence {
    for (at, &byte) in text.iter().enumerate().take(STRING_BYTES_MAX).skip(2) {
        match byte {
            0x07 => return Sequence::Whole(at + 1),
            ESCAPE => match text.get(at + 1) {
                Some(b'\\') => return Sequence::Whole(at + 2),
                Some(_) => return Sequence::None,
                None => return Sequence::Unfinished,
            },
            b'\n' => return Sequence::None,
            _ => {}
        }
    }
    if text.len() < STRING_BYTES_MAX { Sequence::Unfinished } else { Sequence::None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_remains_with_its_place() {
        for (text, expected, unfinished) in [
            (&b"plain\ttext\n"[..], &b"plain\ttext\n"[..], None),
            (b"a\rb\x08c\0d\x7fe", b"abcde", None),
            (b"a\x1b[31mb\x1b[0mc", b"abc", None),
            (b"a\x1b[38;2;1;2;3mb", b"ab", None),
            (b"a\x1b]8;;https://x\x1b\\b\x1b]0;t\x07c", b"abc", None),
            (b"a\x1b(Bb\x1bcc", b"abc", None),
            (b"a\x1b[3", b"a", Some(1)),
            (b"a\x1b", b"a", Some(1)),
            (b"a\x1b]8;;x", b"a", Some(1)),
            (b"a\x1b[3\nb", b"a[3\nb", None),
            (b"a\x1b\xffb", b"a\xffb", None),
        ] {
            let skeleton = Skeleton::of(text, false);
            assert_eq!((&*skeleton.bytes, skeleton.unfinished), (expected, unfinished), "{text:?}");
            for (number, byte) in skeleton.bytes.iter().enumerate() {
                assert_eq!(text[skeleton.position(number)], *byte, "{text:?}");
                assert_eq!(skeleton.before(skeleton.position(number)), number);
            }
        }
        let long = [b"\x1b[".as_slice(), &[b'1'; 100]].concat();
        assert_eq!(Skeleton::of(&long, false).unfinished, None, "nobody holds back for ever");
    }
}
