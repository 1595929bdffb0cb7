//! The words of a line of sudoers. Pure.

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SudoersToken {
    /// A name, a path, an argument; without quotes, and without the backslashes before `,`, `:`, `=` and `\`.
    Word(String),
    /// What stands in parentheses before commands.
    Runas(String),
    /// `NOPASSWD:` and the like, without the colon.
    Tag(String),
    Comma,
    /// `:` between parts of a line.
    Colon,
    /// `=` between names and what they stand for.
    Equals,
    /// `!` before a word.
    Not,
}

impl SudoersToken {
    /// As it was written, more or less.
    pub fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Runas(text) | Self::Tag(text) => text,
            Self::Comma => ",",
            Self::Colon => ":",
            Self::Equals => "=",
            Self::Not => "!",
        }
    }
}

const TAGS: [&str; 16] = [
    "EXEC",
    "NOEXEC",
    "FOLLOW",
    "NOFOLLOW",
    "LOG_INPUT",
    "NOLOG_INPUT",
    "LOG_OUTPUT",
    "NOLOG_OUTPUT",
    "MAIL",
    "NOMAIL",
    "INTERCEPT",
    "NOINTERCEPT",
    "NOPASSWD",
    "SETENV",
    "NOSETENV",
    "PASSWD",
];

/// All of a line.
pub fn tokens(line: &str) -> Vec<SudoersToken> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            ',' => (SudoersToken::Comma, 1),
            '!' => (SudoersToken::Not, 1),
            ':' => (SudoersToken::Colon, 1),
            '=' => (SudoersToken::Equals, 1),
            '(' => {
                let end = rest.find(')').unwrap_or(rest.len());
                (SudoersToken::Runas(rest[1..end].trim().to_owned()), (end + 1).min(rest.len()))
            }
            // From `^` to `$` everything is a regular expression, with whatever commas and spaces it has.
            '^' => {
                let end = regex_end(rest);
                (SudoersToken::Word(rest[..end].to_owned()), end)
            }
            _ => word(rest, is_argument(&tokens)),
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// Whether what comes now follows a command, where `=` and `:` mean nothing.
fn is_argument(tokens: &[SudoersToken]) -> bool {
    let last = tokens
        .rsplit(|token| matches!(token, SudoersToken::Comma | SudoersToken::Colon | SudoersToken::Equals))
        .next();
    last.unwrap_or_default().iter().any(|token| match token {
        SudoersToken::Word(word) => word.starts_with('/') || word.starts_with('^') || word == "sudoedit",
        _ => false,
    })
}

/// The end of a regular expression: a `$` behind which the word is over.
fn regex_end(text: &str) -> usize {
    let is_end = |at: &usize| {
        let before = text[..*at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        let after = text[at + 1..].chars().next();
        before % 2 == 0 && after.is_none_or(|after| after.is_whitespace() || after == ',')
    };
    let dollars = text.match_indices('$').map(|(at, _)| at);
    dollars.filter(|at| is_end(at)).map(|at| at + 1).next().unwrap_or(text.len())
}

fn word(text: &str, is_argument: bool) -> (SudoersToken, usize) {
    let (mut word, mut length, mut quoted) = (String::new(), 0, false);
    let mut characters = text.char_indices().peekable();
    let is_path = text.starts_with('/');
    let is_digest = ["sha224:", "sha256:", "sha384:", "sha512:"].iter().any(|kind| text.starts_with(kind));
    while let Some((at, character)) = characters.next() {
        length = at + character.len_utf8();
        match character {
            '\\' => match characters.peek() {
                Some(&(next, escaped @ (',' | ':' | '=' | '\\' | ' ' | '"' | '#'))) => {
                    characters.next();
                    length = next + escaped.len_utf8();
                    word.push(escaped);
                }
                _ => word.push('\\'),
            },
            '"' => {
                quoted = !quoted;
                // `""` alone as an argument means: no arguments.
                if is_argument {
                    word.push('"');
                }
            }
            _ if quoted => word.push(character),
            ':' if TAGS.contains(&word.as_str()) => return (SudoersToken::Tag(word), length),
            ':' | '=' if is_argument || is_path || is_digest => word.push(character),
            _ if character.is_whitespace() || matches!(character, ',' | ':' | '=') => {
                // `NOPASSWD :` is a tag too.
                let behind = text[at..].trim_start();
                if TAGS.contains(&word.as_str()) && behind.starts_with(':') {
                    return (SudoersToken::Tag(word), text.len() - behind.len() + 1);
                }
                return (SudoersToken::Word(word), at);
            }
            _ => word.push(character),
        }
    }
    (SudoersToken::Word(word), length)
}
