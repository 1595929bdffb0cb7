//! nginx's configuration language, read as nginx reads it: words, directives, blocks, each with its line and place. Pure.
//!
//! What a site file may say is judged on what is read here, and nginx then reads the same file for itself. So this must never see less
//! than nginx does: the rules for where a word ends are nginx's own, with all their oddities (a `}` or `#` inside a word is
//! part of it, `${` opens no block, quotes count only at a word's beginning). It does not know what directives mean.

use std::ops::Range;

/// Blocks inside blocks, at most: real files have five. Each costs a frame of the stack.
const NESTING_MAX: usize = 32;

/// Words in a file, at most: a map of a hundred thousand entries. Each costs about a hundred bytes.
const WORDS_MAX: usize = 200_000;

/// A word, in bytes. A longer one does not fit into nginx's buffer: "too long parameter".
const WORD_BYTES_MAX: usize = 4_095;

/// A directive with its arguments, and what stands in its block if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Its name, then its arguments; never empty.
    pub words: Vec<Word>,
    /// None: it ends with a semicolon.
    pub block: Option<Vec<Directive>>,
}

/// A word, as nginx understands it, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Without quotes and escapes.
    pub text: String,
    /// Its bytes in the file, quotes included.
    pub place: Range<usize>,
    /// The line on which it begins; the first is 1.
    pub line: usize,
}

/// Why a text is not a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} in line {line}")]
pub struct SyntaxError {
    /// The line on which reading stopped; the first is 1.
    pub line: usize,
    /// What is wrong there, without the line.
    pub message: &'static str,
}

impl Directive {
    /// The first word, such as `server_name`.
    pub fn name(&self) -> &str {
        &self.words[0].text
    }

    /// What follows the name.
    pub fn arguments(&self) -> &[Word] {
        &self.words[1..]
    }

    /// The first argument's text.
    pub fn argument(&self) -> Option<&str> {
        self.arguments().first().map(|word| word.text.as_str())
    }

    /// Where it begins, from 1.
    pub fn line(&self) -> usize {
        self.words[0].line
    }

    /// Whether its block holds data (`map`, `geo`, `types`) in which only `include` is a directive.
    pub fn holds_data(&self) -> bool {
        const DATA: [&str; 7] = ["map", "geo", "geoip2", "types", "split_clients", "charset_map", "match"];
        self.block.is_some() && DATA.contains(&self.name())
    }
}

/// Calls `visit` with every directive that means something to nginx, outer ones first; entries of data blocks are left out.
pub fn each<'a>(directives: &'a [Directive], visit: &mut impl FnMut(&'a Directive)) {
    for directive in directives {
        visit(directive);
        let inner = directive.block.as_deref().unwrap_or_default();
        if directive.holds_data() {
            inner.iter().filter(|entry| entry.name() == "include").for_each(&mut *visit);
        } else {
            each(inner, visit);
        }
    }
}

/// Reads a whole file as nginx does. The body of a `*_by_lua_block`, which nginx's Lua module reads by Lua's rules, is an empty block here: nothing in
/// it is a directive.
pub fn parse(text: &str) -> Result<Vec<Directive>, SyntaxError> {
    read(text, false)
}

/// Reads a whole file that certbot's plugin for nginx reads in the same way.
pub fn parse_alike(text: &str) -> Result<Vec<Directive>, SyntaxError> {
    read(text, true)
}

fn read(text: &str, is_strict: bool) -> Result<Vec<Directive>, SyntaxError> {
    let mut reader =
        Reader { bytes: text.as_bytes(), at: 0, line: 1, words: 0, has_seen_comment: false, is_strict };
    block(&mut reader, 0)
}

/// What a word is followed by.
enum Token {
    Word(Word),
    Semicolon,
    Open,
    Close,
    End,
}

fn block(reader: &mut Reader<'_>, depth: usize) -> Result<Vec<Directive>, SyntaxError> {
    let mut directives = Vec::new();
    let mut words: Vec<Word> = Vec::new();
    loop {
        let token = reader.next()?;
        // certbot takes a comment inside a statement for words of it, and writes lines where it sees blocks and ends in it.
        if std::mem::take(&mut reader.has_seen_comment) && !words.is_empty() && reader.is_strict {
            return Err(reader.wrong("a comment inside a statement: put it on a line above the statement"));
        }
        match token {
            Token::Word(_) if reader.words == WORDS_MAX => {
                return Err(reader.wrong("too many words in one file"));
            }
            Token::Word(word) if reader.is_strict && word.place.len() > WORD_BYTES_MAX => {
                return Err(reader.wrong("a word that is too long for nginx"));
            }
            Token::Word(word) => {
                reader.words += 1;
                words.push(word);
            }
            Token::Semicolon if words.is_empty() => return Err(reader.wrong("unexpected \";\"")),
            Token::Semicolon => {
                directives.push(Directive { words: taken(&mut words), block: None });
            }
            Token::Open if words.is_empty() => return Err(reader.wrong("unexpected \"{\"")),
            Token::Open if depth == NESTING_MAX => return Err(reader.wrong("too many blocks inside blocks")),
            // certbot's plugin reads no Lua, and neither does it stand in a site.
            Token::Open if !reader.is_strict && words[0].text.ends_with("_by_lua_block") => {
                reader.skip_lua()?;
                directives.push(Directive { words: taken(&mut words), block: Some(Vec::new()) });
            }
            Token::Open => {
                let inner = block(reader, depth + 1)?;
                directives.push(Directive { words: taken(&mut words), block: Some(inner) });
            }
            Token::Close if !words.is_empty() || depth == 0 => return Err(reader.wrong("unexpected \"}\"")),
            Token::Close => return Ok(directives),
            Token::End if words.is_empty() && depth == 0 => return Ok(directives),
            Token::End => return Err(reader.wrong("unexpected end of file, expecting \";\" or \"}\"")),
        }
    }
}

/// The words of one directive, without room to spare: there may be many.
fn taken(words: &mut Vec<Word>) -> Vec<Word> {
    let mut taken = std::mem::take(words);
    taken.shrink_to_fit();
    taken
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
    words: usize,
    /// Since the last token was taken.
    has_seen_comment: bool,
    /// Refuses what certbot's plugin, which writes these files too, would read otherwise than nginx does.
    is_strict: bool,
}

impl Reader<'_> {
    fn wrong(&self, message: &'static str) -> SyntaxError {
        SyntaxError { line: self.line, message }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn step(&mut self) {
        if self.peek() == Some(b'\n') {
            self.line += 1;
        }
        self.at += 1;
    }

    fn next(&mut self) -> Result<Token, SyntaxError> {
        loop {
            let Some(byte) = self.peek() else { return Ok(Token::End) };
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.step(),
                b'#' => {
                    self.has_seen_comment = true;
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.step();
                    }
                }
                b';' | b'{' | b'}' => {
                    self.step();
                    return Ok(match byte {
                        b';' => Token::Semicolon,
                        b'{' => Token::Open,
                        _ => Token::Close,
                    });
                }
                b'"' | b'\'' => return self.quoted(byte).map(Token::Word),
                _ => return self.plain().map(Token::Word),
            }
        }
    }

    /// Goes behind the brace that ends a body of Lua, of which the first brace has been read. Braces in its strings and comments do not count.
    fn skip_lua(&mut self) -> Result<(), SyntaxError> {
        let line = self.line;
        let endless = SyntaxError { line, message: "a block of Lua is opened and never closed" };
        let mut depth = 1;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            match rest {
                [] => return Err(endless),
                [b'-', b'-', ..] => {
                    self.at += 2;
                    match self.lua_bracket() {
                        Some(level) => self.skip_lua_bracket(level).ok_or(endless.clone())?,
                        None => {
                            while self.peek().is_some_and(|byte| byte != b'\n') {
                                self.step();
                            }
                        }
                    }
                }
                [b'[', ..] => match self.lua_bracket() {
                    Some(level) => self.skip_lua_bracket(level).ok_or(endless.clone())?,
                    None => self.step(),
                },
                [quote @ (b'"' | b'\''), ..] => {
                    let quote = *quote;
                    self.step();
                    while let Some(byte) = self.peek().filter(|byte| *byte != quote) {
                        if byte == b'\\' {
                            self.step();
                        }
                        self.step();
                    }
                    self.step();
                }
                [b'{', ..] => {
                    depth += 1;
                    self.step();
                }
                [b'}', ..] => {
                    depth -= 1;
                    self.step();
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ => self.step(),
            }
        }
    }

    /// The number of `=` in Lua's `[==[`, if one begins here.
    fn lua_bracket(&self) -> Option<usize> {
        let inner = self.bytes.get(self.at..)?.strip_prefix(b"[")?;
        let level = inner.iter().take_while(|byte| **byte == b'=').count();
        (inner.get(level) == Some(&b'[')).then_some(level)
    }

    /// Goes behind its `]==]`.
    fn skip_lua_bracket(&mut self, level: usize) -> Option<()> {
        let end = [b"]".as_slice(), &vec![b'='; level], b"]"].concat();
        while !self.bytes.get(self.at..)?.starts_with(&end) {
            self.peek()?;
            self.step();
        }
        self.at += end.len();
        Some(())
    }

    fn quoted(&mut self, quote: u8) -> Result<Word, SyntaxError> {
        let (start, line) = (self.at, self.line);
        self.step();
        let inner = self.at;
        loop {
            match self.peek() {
                None => return Err(SyntaxError { line, message: "a quote is opened and never closed" }),
                Some(b'\\') => {
                    self.step();
                    self.step();
                }
                Some(byte) if byte == quote => break,
                Some(_) => self.step(),
            }
        }
        let text = self.unescaped(inner..self.at);
        self.step();
        // After a quote nginx wants the word to be over. A `)` begins the next one.
        match self.peek() {
            None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b')') => {}
            Some(_) => return Err(self.wrong("something follows a closing quote directly")),
        }
        Ok(Word { text, place: start..self.at, line })
    }

    fn plain(&mut self) -> Result<Word, SyntaxError> {
        let (start, line) = (self.at, self.line);
        let mut after_dollar = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'{' if after_dollar => after_dollar = true,
                b'\\' => {
                    after_dollar = false;
                    self.step();
                    match self.peek() {
                        None => break,
                        // certbot's unquoted words know no escapes: what nginx goes on with, it ends there.
                        Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b'}') if self.is_strict => {
                            return Err(
                                self.wrong("an escaped space or sign outside of quotes: quote the word")
                            );
                        }
                        Some(_) => {}
                    }
                }
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' => break,
                _ => after_dollar = byte == b'$',
            }
            self.step();
        }
        // nginx takes a word only with what follows it.
        if self.peek().is_none() {
            return Err(self.wrong("unexpected end of file, expecting \";\" or \"}\""));
        }
        Ok(Word { text: self.unescaped(start..self.at), place: start..self.at, line })
    }

    fn unescaped(&self, place: Range<usize>) -> String {
        let raw = &self.bytes[place];
        let mut bytes = Vec::with_capacity(raw.len());
        let mut at = 0;
        while at < raw.len() {
            let escaped = if raw[at] == b'\\' { raw.get(at + 1) } else { None };
            let meant = match escaped {
                Some(byte @ (b'"' | b'\'' | b'\\')) => Some(*byte),
                Some(b't') => Some(b'\t'),
                Some(b'r') => Some(b'\r'),
                Some(b'n') => Some(b'\n'),
                _ => None,
            };
            bytes.push(meant.unwrap_or(raw[at]));
            at += if meant.is_some() { 2 } else { 1 };
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A word as it must be written so that nginx reads this text.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `a "b c" { d; }` as `a|b c{d}`.
    fn brief(text: &str) -> String {
        fn all(directives: &[Directive]) -> String {
            let one = |directive: &Directive| {
                let words: Vec<&str> = directive.words.iter().map(|word| word.text.as_str()).collect();
                let block = directive.block.as_ref().map(|inner| format!("{{{}}}", all(inner)));
                format!("{}{}", words.join("|"), block.unwrap_or_else(|| ";".into()))
            };
            directives.iter().map(one).collect()
        }
        parse(text).map_or_else(|error| error.to_string(), |directives| all(&directives))
    }

    #[test]
    fn a_body_of_lua_ends_where_lua_ends_it() {
        for body in [
            "ngx.say('x')",
            "local s = 1 -- it is Bob's }",
            "local s = \"}\" .. '\\'}'",
            "local t = { a = { 1 } }",
            "local l = [[ }}' ]] .. [==[ ]] } ]==]",
            "--[[ } ' ]] local x = t[1] --[=[ ]] } ]=]",
            "if a then b[c[1]] = 'include /srv/x;' end",
            "local u = 'gr\u{fc}n'",
        ] {
            let text =
                format!("init_by_lua_block {{ {body}\n}} include x; set_by_lua_block $y {{ {body}\n}} a;");
            assert_eq!(brief(&text), "init_by_lua_block{}include|x;set_by_lua_block|$y{}a;", "{body}");
            assert!(parse_alike("a_by_lua_block { it's }").is_err());
        }
        for text in [
            "a_by_lua_block { ' }",
            "a_by_lua_block { --[[ }",
            "a_by_lua_block { {} ",
            "a_by_lua_block { -- }",
        ] {
            assert!(brief(text).contains("never closed"), "{text}");
        }
    }

    #[test]
    fn words_end_where_nginx_ends_them() {
        for (text, expected) in [
            ("", ""),
            ("a;", "a;"),
            ("a b;c d;", "a|b;c|d;"),
            ("server{listen 80;}", "server{listen|80;}"),
            ("a \"b c\" 'd;{}' ;", "a|b c|d;{};"),
            ("a b#c;", "a|b#c;"),
            ("a b}c;", "a|b}c;"),
            ("a b\"c;", "a|b\"c;"),
            ("a ${b}c;", "a|${b}c;"),
            ("a $b{c;}", "a|$b{c;}"),
            ("a \"x\\\"y\" 'z\\n' \\;q;", "a|x\"y|z\n|\\;q;"),
            ("# only\n a b; # x { \n", "a|b;"),
            ("\"incl\\ude\" x;", "incl\\ude|x;"),
            ("if ($a = \"b\") { c; }", "if|($a|=|b|){c;}"),
            ("a;}", "unexpected \"}\" in line 1"),
            ("a {\nb;\n", "unexpected end of file, expecting \";\" or \"}\" in line 3"),
            ("a", "unexpected end of file, expecting \";\" or \"}\" in line 1"),
            ("a \"b", "a quote is opened and never closed in line 1"),
            ("a \"b\"c;", "something follows a closing quote directly in line 1"),
            (";", "unexpected \";\" in line 1"),
            ("a\n}", "unexpected \"}\" in line 2"),
        ] {
            assert_eq!(brief(text), expected, "{text:?}");
        }
        assert!(brief(&"a{".repeat(1_000_000)).starts_with("too many blocks"));
    }

    #[test]
    fn lines_and_places_are_those_of_the_file() {
        let text = "a;\n\nserver {\n  listen\n    \"80\";\n}\n";
        let directives = parse(text).unwrap();
        let listen = &directives[1].block.as_ref().unwrap()[0];
        assert_eq!((directives[1].line(), listen.line(), listen.arguments()[0].line), (3, 4, 5));
        assert_eq!(&text[listen.arguments()[0].place.clone()], "\"80\"");
    }

    #[test]
    fn only_includes_mean_something_among_data() {
        let text = "map $a $b { user 1; include x; } server { user y; }";
        let mut names = Vec::new();
        each(&parse(text).unwrap(), &mut |directive| {
            names.push(directive.words.iter().map(|word| word.text.clone()).collect::<Vec<_>>().join(" "));
        });
        assert_eq!(names, ["map $a $b", "include x", "server", "user y"]);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_and_places_are_in_the_text(text in "[a-c $\\\\{}\"';#\n\u{e9}]{0,60}") {
            if let Ok(directives) = parse(&text) {
                each(&directives, &mut |directive| for word in &directive.words {
                    let found = text.get(word.place.clone()).expect("a place in the text");
                    let line = text[..word.place.start].matches('\n').count() + 1;
                    assert_eq!(word.line, line, "{found:?}");
                });
            }
        }

        #[test]
        fn no_body_of_lua_makes_it_panic(text in "[a-b $\\\\{}\"'=\\[\\]\n-]{0,40}") {
            let _ = parse(&format!("a_by_lua_block {{{text}"));
        }

        #[test]
        fn what_is_quoted_is_read_again(text in "[^\0]{0,30}") {
            let read = parse(&format!("a {};", quoted(&text))).expect("it is well formed");
            prop_assert_eq!(read[0].argument(), Some(text.as_str()));
        }
    }
}
