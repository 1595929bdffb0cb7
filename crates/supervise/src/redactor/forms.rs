//! The forms in which a secret appears in output.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::SECRET_BYTES_MIN;

/// A line, or an encoded piece, that is shorter stands in ordinary output too often.
const PIECE_BYTES_MIN: usize = 8;

/// Columns at which programs wrap base64: MIME and coreutils, PEM.
const BASE64_COLUMNS: [usize; 2] = [76, 64];

/// A part of a URL in the place of a user that is shorter is a name that stands in ordinary output too.
const TOKEN_BYTES_MIN: usize = 12;

/// Names of parameters whose values are secrets, in URLs and in the connection strings of databases.
const SECRET_PARAMETERS: [&str; 8] =
    ["password", "passwd", "pwd", "sslpassword", "token", "access_token", "secret", "api_key"];

/// Every form of one secret, and of what is secret within it; none where it is too short.
pub(super) fn of(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = of_value(secret);
    for part in parts(secret) {
        let decoded = percent_decoded(&part);
        forms.extend(of_value(&part));
        forms.extend(decoded.iter().flat_map(|decoded| of_value(decoded)));
    }
    forms
}

/// What is secret by itself in a URL or a connection string: programs print it without the rest.
fn parts(secret: &str) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some((scheme, rest)) = secret.trim().split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if let Some((userinfo, _host)) = authority.rsplit_once('@') {
            let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            parts.push(password.to_owned());
            // As GitHub takes them: a token in place of a user.
            if scheme.starts_with("http") && user.len() >= TOKEN_BYTES_MIN && user != "x-access-token" {
                parts.push(user.to_owned());
            }
        }
    }
    for parameter in secret.split(|char: char| matches!(char, '?' | '&' | ';' | '#') || char.is_whitespace())
    {
        if let Some((name, value)) = parameter.split_once('=')
            && SECRET_PARAMETERS.contains(&name.to_ascii_lowercase().as_str())
        {
            parts.push(value.trim_matches(['\'', '"']).to_owned());
        }
    }
    parts.retain(|part| part.len() >= SECRET_BYTES_MIN);
    parts
}

/// None where nothing was encoded.
fn percent_decoded(part: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| byte == b'%');
        let mut value = [0];
        match digits.map(|digits| hex::decode_to_slice(digits, &mut value)) {
            Some(Ok(())) => {
                decoded.push(value[0]);
                rest = &after[2..];
            }
            _ => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    let decoded = String::from_utf8_lossy(&decoded).into_owned();
    (decoded != part && decoded.len() >= SECRET_BYTES_MIN).then_some(decoded)
}

fn of_value(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    // What was read from a file ends in a line feed that a program may not print.
    for value in [secret, secret.trim()] {
        if value.len() >= SECRET_BYTES_MIN {
            forms.push(value.as_bytes().to_vec());
            forms.extend(lines(value));
            forms.extend(base64(value.as_bytes()));
            forms.extend([hex::encode(value).into_bytes(), hex::encode_upper(value).into_bytes()]);
            forms.extend(percent(value.as_bytes()));
            forms.extend(json(value));
            forms.extend(html(value));
            // As `sh -x` prints what stands in single quotes.
            forms.push(value.replace('\'', r"'\''").into_bytes());
            forms.push(with_backslashes(value));
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

/// As inside a JSON string; programming languages' own quoted forms are mostly the same. What is escaped beyond what must be differs:
/// the slash (PHP), what HTML would take for its own (Go, PHP, .NET), everything but ASCII (Python, PHP), or all.
fn json(value: &str) -> Vec<Vec<u8>> {
    let nothing = |_: char| false;
    let foreign = |char: char| !char.is_ascii();
    let markup = |char: char| matches!(char, '<' | '>' | '&');
    let markup_and_foreign = |char: char| matches!(char, '<' | '>' | '&') || !char.is_ascii();
    let quotes = |char: char| matches!(char, '<' | '>' | '&' | '\'' | '"');
    let quotes_and_foreign =
        |char: char| matches!(char, '<' | '>' | '&' | '\'' | '"' | '+') || !char.is_ascii();
    let all = |_: char| true;
    let escaped: [&dyn Fn(char) -> bool; 7] =
        [&nothing, &foreign, &markup, &markup_and_foreign, &quotes, &quotes_and_foreign, &all];
    let mut forms = Vec::new();
    for escaped in escaped {
        for slash in ["/", r"\/"] {
            for upper in [false, true] {
                forms.push(json_escaping(value, escaped, slash, upper));
            }
        }
    }
    // A document within a document, as logs have it.
    forms.push(json_escaping(&json_escaping(value, &nothing, "/", false), &nothing, "/", false));
    forms.into_iter().map(String::into_bytes).collect()
}

fn json_escaping(value: &str, escaped: &dyn Fn(char) -> bool, slash: &str, upper: bool) -> String {
    let mut text = String::with_capacity(value.len());
    for char in value.chars() {
        match char {
            char if escaped(char) => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    let digits = if upper { format!("{unit:04X}") } else { format!("{unit:04x}") };
                    text.push_str(r"\u");
                    text.push_str(&digits);
                }
            }
            '"' => text.push_str(r#"\""#),
            '\\' => text.push_str(r"\\"),
            '\n' => text.push_str(r"\n"),
            '\r' => text.push_str(r"\r"),
            '\t' => text.push_str(r"\t"),
            '/' => text.push_str(slash),
            other => text.push(other),
        }
    }
    text
}

/// Characters, and what stands for them.
type Entities = [(char, &'static str)];

/// As text of an HTML or XML document, or of an attribute. All write `&`, `<` and `>`; quotes and more are written in as many ways as
/// there are libraries.
fn html(value: &str) -> Vec<Vec<u8>> {
    const NAMED: &Entities = &[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;")];
    const NUMBERED: &Entities = &[('&', "&#38;"), ('<', "&#60;"), ('>', "&#62;")];
    const NUMBERED_QUOTES: &Entities = &[('"', "&#34;"), ('\'', "&#39;")];
    const WAYS: [(&Entities, &Entities); 10] = [
        (NAMED, &[]),
        (NAMED, &[('"', "&quot;")]),
        (NAMED, &[('"', "&quot;"), ('\'', "&#39;")]),
        (NAMED, &[('"', "&quot;"), ('\'', "&#039;")]),
        (NAMED, &[('"', "&quot;"), ('\'', "&#x27;")]),
        (NAMED, &[('"', "&quot;"), ('\'', "&apos;")]),
        (NAMED, &[('"', "&quot;"), ('\'', "&#39;"), ('/', "&#x2F;"), ('`', "&#x60;"), ('=', "&#x3D;")]),
        (NAMED, &[('"', "&#34;"), ('\'', "&#39;"), ('+', "&#43;")]),
        (NAMED, NUMBERED_QUOTES),
        (NUMBERED, NUMBERED_QUOTES),
    ];
    let written = |(basic, further): (&Entities, &Entities)| {
        let mut text = String::with_capacity(value.len());
        for char in value.chars() {
            match basic.iter().chain(further).find(|(of, _)| *of == char) {
                Some((_, entity)) => text.push_str(entity),
                None => text.push(char),
            }
        }
        text.into_bytes()
    };
    WAYS.into_iter().map(written).collect()
}

/// As bash's `printf %q` has it.
fn with_backslashes(value: &str) -> Vec<u8> {
    let is_plain =
        |char: char| !char.is_ascii() || char.is_ascii_alphanumeric() || "_-./:=@%+".contains(char);
    let mut text = String::with_capacity(2 * value.len());
    for char in value.chars() {
        if !is_plain(char) {
            text.push('\\');
        }
        text.push(char);
    }
    text.into_bytes()
}
