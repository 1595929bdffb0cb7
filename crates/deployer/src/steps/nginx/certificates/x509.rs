//! Of a certificate file, what decides whether another one is needed: its names and its end. Pure.
//!
//! A few elements of DER are stepped over and two are read (RFC 5280, 4.1). Nothing is verified: that is for who visits the site.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::collections::BTreeSet;

/// The extension that holds the names: 2.5.29.17.
const SUBJECT_ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 0x11];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// DNS names, lower case.
    pub names: BTreeSet<String>,
    /// In Unix milliseconds.
    pub not_after_ms: i64,
}

/// Reads the first certificate of a PEM file.
pub fn read(pem: &str) -> Option<Certificate> {
    let body = pem.split_once("-----BEGIN CERTIFICATE-----")?.1.split_once("-----END")?.0;
    let text: String = body.split_ascii_whitespace().collect();
    of_der(&BASE64.decode(text).ok()?)
}

fn of_der(der: &[u8]) -> Option<Certificate> {
    let whole = Elements(der).expect(0x30)?;
    let mut fields = Elements(Elements(whole).expect(0x30)?);
    if fields.peek() == Some(0xa0) {
        fields.next()?;
    }
    // Serial number, signature algorithm, issuer.
    fields.expect(0x02)?;
    fields.expect(0x30)?;
    fields.expect(0x30)?;
    let mut validity = Elements(fields.expect(0x30)?);
    validity.next()?;
    let (kind, end) = validity.next()?;
    let mut names = BTreeSet::new();
    while let Some((tag, value)) = fields.next() {
        if tag == 0xa3 {
            names = names_of(Elements(value).expect(0x30)?)?;
        }
    }
    Some(Certificate { names, not_after_ms: time(kind, end)? })
}

fn names_of(extensions: &[u8]) -> Option<BTreeSet<String>> {
    let mut extensions = Elements(extensions);
    while let Some((_, extension)) = extensions.next() {
        let mut parts = Elements(extension);
        if parts.expect(0x06)? != SUBJECT_ALTERNATIVE_NAMES {
            continue;
        }
        if parts.peek() == Some(0x01) {
            parts.next()?;
        }
        let mut names = Elements(Elements(parts.expect(0x04)?).expect(0x30)?);
        let mut found = BTreeSet::new();
        while let Some((tag, name)) = names.next() {
            if tag == 0x82 {
                found.insert(std::str::from_utf8(name).ok()?.to_ascii_lowercase());
            }
        }
        return Some(found);
    }
    Some(BTreeSet::new())
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(kind: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let text = match kind {
        // RFC 5280, 4.1.2.5.1: two digits from 50 on are of the last century.
        0x17 if text.get(..2)?.parse::<u8>().ok()? >= 50 => format!("19{text}"),
        0x17 => format!("20{text}"),
        0x18 => text.to_owned(),
        _ => return None,
    };
    let at = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// DER elements, one after the other.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next one's tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            // More than four bytes of length would be more than any file.
            let digits = usize::from(first & 0x7f);
            let bytes = rest.get(..digits).filter(|_| (1..=4).contains(&digits))?;
            let length = bytes.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
            (length, rest.get(digits..)?)
        };
        let content = rest.get(..length)?;
        self.0 = rest.get(length..)?;
        Some((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made by openssl: example.org, *.Example.net and an address, until 2053-12-31 23:59:59.
    const SAMPLE: &str = include_str!("sample.pem");

    #[test]
    fn names_and_end_are_read() {
        let found = read(SAMPLE).unwrap();
        assert_eq!(
            found.names.iter().map(String::as_str).collect::<Vec<_>>(),
            ["*.example.net", "example.org"]
        );
        assert_eq!(crate::base::clock::readable_utc(found.not_after_ms), "2053-12-31 23:59:59");
        // Without any extension that names something.
        let bare = read(include_str!("../dry_run/certificate.pem")).unwrap();
        assert!(bare.names.is_empty() && bare.not_after_ms > 0);
    }

    proptest! {
        #[test]
        fn damage_is_no_certificate_and_no_panic(at in 0_usize..400, byte: u8, cut in 0_usize..400) {
            let body = SAMPLE.lines().filter(|line| !line.starts_with('-')).collect::<String>();
            let mut der = BASE64.decode(body).unwrap();
            let end = der.len();
            der[at % end] = byte;
            let _ = of_der(&der);
            let _ = of_der(&der[..cut % end]);
        }
    }
}
