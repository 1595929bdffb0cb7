//! The forms in which a secret appears in output.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::SECRET_BYTES_MIN;

/// A line, or an encoded piece, that is shorter stands in ordinary output too often.
const PIECE_BYTES_MIN: usize = 8;

/// Columns at which programs wrap base64: MIME and coreutils, PEM.
const BASE64_COLUMNS: [usize; 2] = [76, 64];

/// Every form of one secret; none where it is too short.
pub(super) fn of(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    // What was read from a file ends in a line feed that a program may not print.
    for value in [secret, secret.trim()] {
        if value.len() >= SECRET_BYTES_MIN {
            forms.push(value.as_bytes().to_vec());
            forms.extend(lines(value));
            forms.extend(base64(value.as_bytes()));
            forms.extend([hex::encode(value).into_bytes(), hex::encode_upper(value).into_bytes()]);
            forms.extend(percent(value.as_bytes()));
            forms.push(json(value));
            // As `sh -x` prints what stands in single quotes.
            forms.push(value.replace('\'', r"'\''").into_bytes());
        }
    }
    forms
}

fn lines(value: &str) -> impl Iterator<Item = Vec<u8>> {
    value
        .lines()
        .map(str::trim)
        .filter(|line| line.len() >= PIECE_BYTES_MIN)
        .map(|line| line.as_bytes().to_vec())
}

fn base64(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
        let encoded = engine.encode(value).into_bytes();
        for columns in BASE64_COLUMNS {
            forms.extend(
                encoded.chunks(columns).filter(|piece| piece.len() >= PIECE_BYTES_MIN).map(<[u8]>::to_vec),
            );
        }
        forms.push(encoded);
    }
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        forms.extend((0..3).map(|shift| within_base64(&engine, value, shift)));
    }
    // The pieces of a short secret may be too short to be told from ordinary text.
    forms.retain(|form| form.len() >= PIECE_BYTES_MIN || form.len() > value.len());
    forms
}

/// Those characters of a larger text's base64 that depend on the value alone, where it begins `shift` bytes
/// after a multiple of three. A character stands for six bits; the first and the last may be shared with the
/// neighbours.
fn within_base64(engine: &impl Engine, value: &[u8], shift: usize) -> Vec<u8> {
    let mut shifted = vec![0; shift];
    shifted.extend_from_slice(value);
    let encoded = engine.encode(&shifted).into_bytes();
    let first_own = (8 * shift).div_ceil(6);
    let after_own = 8 * shifted.len() / 6;
    encoded[first_own..after_own].to_vec()
}

/// RFC 3986 leaves open what is encoded beyond the reserved characters, and programs differ.
fn percent(value: &[u8]) -> Vec<Vec<u8>> {
    let strict = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let component = |byte: u8| strict(byte) || b"!'()*".contains(&byte);
    let path = |byte: u8| strict(byte) || byte == b'/';
    let whole = |byte: u8| component(byte) || b";,/?:@&=+$#".contains(&byte);
    let form = |byte: u8| byte.is_ascii_alphanumeric() || b"*-._ ".contains(&byte);
    let nothing = |_: u8| false;
    let keeps: [&dyn Fn(u8) -> bool; 6] = [&strict, &component, &path, &whole, &form, &nothing];
    let mut forms = Vec::new();
    for keep in keeps {
        for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
            forms.push(percent_keeping(value, keep, digits));
        }
    }
    forms
}

fn percent_keeping(value: &[u8], keep: &dyn Fn(u8) -> bool, digits: &[u8; 16]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(3 * value.len());
    for &byte in value {
        match byte {
            // Only HTML forms keep the space, as a plus.
            b' ' if keep(byte) => encoded.push(b'+'),
            _ if keep(byte) => encoded.push(byte),
            _ => encoded.extend([b'%', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]),
        }
    }
    encoded
}

/// As inside a JSON string; programming languages' own quoted forms are mostly the same.
fn json(value: &str) -> Vec<u8> {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '"' => escaped.push_str(r#"\""#),
            '\\' => escaped.push_str(r"\\"),
            '\n' => escaped.push_str(r"\n"),
            '\r' => escaped.push_str(r"\r"),
            '\t' => escaped.push_str(r"\t"),
            other => escaped.push(other),
        }
    }
    escaped.into_bytes()
}
