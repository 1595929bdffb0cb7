//! Splits a stream into lines of limited length.
//!
//! A line ends at a line feed, or at a carriage return: a progress bar draws itself over and over with
//! nothing else between. Both together are one end. A carriage return at the beginning of a line ends
//! nothing, because there is nothing to draw over.

pub(super) struct Lines {
    bytes_max: usize,
    current: Vec<u8>,
    /// Bytes of the current line were dropped.
    truncated: bool,
    /// The line was just ended by a carriage return: a line feed belongs to it.
    after_return: bool,
}

/// A finished line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub text: String,
    pub truncated: bool,
}

impl Lines {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, current: Vec::new(), truncated: false, after_return: false }
    }

    /// Takes in at most one line end; returns the line, if there is one, and how many of `bytes` it used (at
    /// least one, where there are any).
    pub fn push(&mut self, bytes: &[u8]) -> (Option<Text>, usize) {
        let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            self.append(bytes);
            return (None, bytes.len());
        };
        self.append(&bytes[..end]);
        let line = if bytes[end] == b'\n' {
            let belongs_to_return = std::mem::take(&mut self.after_return);
            (!belongs_to_return).then(|| self.take())
        } else {
            let line = self.finish();
            self.after_return = line.is_some();
            line
        };
        (line, end + 1)
    }

    /// The line without an end, if there is one.
    pub fn finish(&mut self) -> Option<Text> {
        (!self.current.is_empty() || self.truncated).then(|| self.take())
    }

    /// Something after this was dropped: if a line has begun, it is not whole.
    pub fn cut(&mut self) {
        self.truncated |= !self.current.is_empty();
    }

    fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.after_return = false;
        let keep = bytes.len().min(self.bytes_max - self.current.len());
        self.current.extend_from_slice(&bytes[..keep]);
        self.truncated |= keep < bytes.len();
    }

    fn take(&mut self) -> Text {
        let truncated = std::mem::take(&mut self.truncated);
        let whole = if truncated { without_half_character(&self.current) } else { &self.current };
        let text = String::from_utf8_lossy(whole).into_owned();
        self.current.clear();
        Text { text, truncated }
    }
}

/// The cut may have gone through a character of UTF-8; its beginning alone would be shown as U+FFFD.
fn without_half_character(bytes: &[u8]) -> &[u8] {
    let broken = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    // There is no length of the error exactly where more bytes could have completed the character.
    let is_half = std::str::from_utf8(broken).is_err_and(|error| error.error_len().is_none());
    if is_half { &bytes[..bytes.len() - broken.len()] } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(bytes_max: usize, pieces: &[&[u8]]) -> Vec<(String, bool)> {
        let mut lines = Lines::new(bytes_max);
        let mut found = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (line, used) = lines.push(rest);
                found.extend(line);
                rest = &rest[used..];
            }
        }
        found.extend(lines.finish());
        found.into_iter().map(|line| (line.text, line.truncated)).collect()
    }

    #[test]
    fn lines_end_in_every_customary_way() {
        for (input, expected) in [
            ("", &[][..]),
            ("a", &["a"]),
            ("a\nb\n", &["a", "b"]),
            ("a\r\nb\r\n", &["a", "b"]),
            ("\n\r\n\n", &["", "", ""]),
            ("10%\r20%\r30%\ndone", &["10%", "20%", "30%", "done"]),
            ("\r10%\r20%\n", &["10%", "20%"]),
            ("a\r\n\nb", &["a", "", "b"]),
            ("a\r\r\nb", &["a", "", "b"]),
        ] {
            let whole = split(100, &[input.as_bytes()]);
            assert_eq!(
                whole.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(),
                expected,
                "{input:?}"
            );
            let bytewise: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
            assert_eq!(split(100, &bytewise), whole, "{input:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_what_fits_is_not() {
        let lines = split(3, &[b"abc\nabcd\nab", b"cde", b"\n\nxyz"]);
        let expected = [("abc", false), ("abc", true), ("abc", true), ("", false), ("xyz", false)];
        assert_eq!(lines, expected.map(|(text, truncated)| (text.to_owned(), truncated)));
        assert_eq!(split(0, &[b"abc\n\n"]), [(String::new(), true), (String::new(), false)]);
    }

    #[test]
    fn no_cut_goes_through_a_character() {
        for (bytes_max, text) in [(1, ""), (2, "ü"), (3, "ü"), (4, "ü"), (5, "ü€"), (8, "ü€"), (9, "ü€🦀")]
        {
            assert_eq!(split(bytes_max, &["ü€🦀x".as_bytes()]), [(text.to_owned(), true)], "{bytes_max}");
        }
    }

    #[test]
    fn what_is_not_utf8_is_shown_as_such() {
        assert_eq!(
            split(9, &[b"a\xff\xfeb\n\xf0\x9f"]),
            [("a\u{fffd}\u{fffd}b".into(), false), ("\u{fffd}".into(), false)]
        );
        assert_eq!(split(2, &[b"a\xffbc"]), [("a\u{fffd}".to_owned(), true)]);
    }
}
