//! Making what a build printed harmless to show.
//!
//! Whoever can push decides what a build prints, and escape sequences can retitle, clear or paste into the terminal of
//! the person who reads it. For a terminal, only colour and weight pass ([`for_terminal`]); elsewhere, nothing
//! does ([`plain`]). Sequences are those of ECMA-48 (5.4 control sequences, 5.6 control strings).

use std::iter::Peekable;
use std::str::Chars;

/// Leaves the text and its colours; ends with all colours off, if there were any.
pub fn for_terminal(text: &str) -> String {
    render(text, true)
}

/// Leaves the text alone.
pub fn plain(text: &str) -> String {
    render(text, false)
}

fn render(text: &str, keep_colour: bool) -> String {
    let mut rendered = String::with_capacity(text.len());
    let mut is_coloured = false;
    // A carriage return at the end is half of a line's end; elsewhere it would hide what stands before it.
    let mut chars = text.trim_end_matches(['\r', '\n']).chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\x1b' => match chars.next_if(|next| ('\x30'..='\x7e').contains(next)) {
                Some('[') => copy_colour(&mut chars, keep_colour, &mut rendered, &mut is_coloured),
                Some('P' | 'X' | ']' | '^' | '_') => skip_control_string(&mut chars),
                Some(_) => {}
                None => skip_escape(&mut chars),
            },
            // The same as single characters of the C1 set.
            '\u{9b}' => copy_colour(&mut chars, keep_colour, &mut rendered, &mut is_coloured),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_control_string(&mut chars),
            '\t' => rendered.push('\t'),
            '\r' | '\n' => rendered.push(' '),
            _ if char.is_control() || reorders(char) => {}
            _ => rendered.push(char),
        }
    }
    if is_coloured {
        rendered.push_str("\x1b[0m");
    }
    rendered
}

/// Past `ESC [`: reads the control sequence to its end and copies it if it only sets colour or weight.
fn copy_colour(
    chars: &mut Peekable<Chars<'_>>,
    keep_colour: bool,
    rendered: &mut String,
    is_coloured: &mut bool,
) {
    let mut parameters = String::new();
    while let Some(char) = chars.next_if(|next| ('\x20'..='\x3f').contains(next)) {
        parameters.push(char);
    }
    let last = chars.next_if(|next| ('\x40'..='\x7e').contains(next));
    if keep_colour && last == Some('m') && is_colour(&parameters) {
        rendered.push_str("\x1b[");
        rendered.push_str(&parameters);
        rendered.push('m');
        *is_coloured = true;
    }
}

/// Whether the parameters of SGR (ECMA-48, 8.3.117) set nothing but colour and weight: not blinking (5, 6), not
/// concealed (8).
fn is_colour(parameters: &str) -> bool {
    let mut values =
        parameters.split(';').map(|value| if value.is_empty() { Some(0) } else { value.parse().ok() });
    while let Some(value) = values.next() {
        match value {
            Some(0..=4 | 7 | 22..=24 | 27 | 30..=37 | 39..=47 | 49 | 90..=97 | 100..=107_u16) => {}
            // A colour of 256 (5;n) or of 24 bits (2;r;g;b).
            Some(38 | 48) => {
                let count = match values.next() {
                    Some(Some(5)) => 1,
                    Some(Some(2)) => 3,
                    _ => return false,
                };
                if !(0..count).all(|_| matches!(values.next(), Some(Some(0..=255)))) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    true
}

/// Past `ESC ]` and the like: up to BEL, ST or, if neither comes, the text's end, as a terminal does.
fn skip_control_string(chars: &mut Peekable<Chars<'_>>) {
    while let Some(char) = chars.next() {
        if matches!(char, '\x07' | '\u{9c}') || (char == '\x1b' && chars.next_if_eq(&'\\').is_some()) {
            return;
        }
    }
}

/// Past an ESC that no final byte follows: intermediate bytes, then one.
fn skip_escape(chars: &mut Peekable<Chars<'_>>) {
    let mut has_intermediate = false;
    while chars.next_if(|next| ('\x20'..='\x2f').contains(next)).is_some() {
        has_intermediate = true;
    }
    if has_intermediate {
        chars.next_if(|next| ('\x30'..='\x7e').contains(next));
    }
}

/// Characters that make text look like other text: they reorder what follows (Unicode Standard Annex 9) or break
/// the line.
fn reorders(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn colours_pass_to_a_terminal_and_nothing_else_does() {
        for (text, terminal, without) in [
            ("plain é 漢\ttab", "plain é 漢\ttab", "plain é 漢\ttab"),
            ("\x1b[31mred\x1b[39m", "\x1b[31mred\x1b[39m\x1b[0m", "red"),
            ("\x1b[1;38;5;208mo\x1b[m", "\x1b[1;38;5;208mo\x1b[m\x1b[0m", "o"),
            ("\x1b[48;2;1;2;255mo", "\x1b[48;2;1;2;255mo\x1b[0m", "o"),
            ("\x1b[8mhidden", "hidden", "hidden"),
            ("\x1b[5;31mblink", "blink", "blink"),
            ("\x1b[38;5mx\x1b[38;2;1;2;999mx\x1b[>4mx", "xxx", "xxx"),
            ("\x1b[2J\x1b[1;1Hclear", "clear", "clear"),
            ("\x1b]0;title\x07after", "after", "after"),
            ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link", "link"),
            ("\x1b]52;c;cm0gLXJm", "", ""),
            ("\x1bPdevice\x1b\\after", "after", "after"),
            ("\x1bcreset\x1b(B\x1b7x", "resetx", "resetx"),
            ("\u{9b}2Jc1\u{9d}0;title\u{9c}x", "c1x", "c1x"),
            ("\u{9b}31mred", "\x1b[31mred\x1b[0m", "red"),
            ("50%\r100%\r\n", "50% 100%", "50% 100%"),
            ("bell\x07 back\x08 nul\0 del\x7f", "bell back nul del", "bell back nul del"),
            ("a\u{202e}b\u{2066}c\u{2028}d", "abcd", "abcd"),
            ("end\x1b", "end", "end"),
            ("end\x1b[3", "end", "end"),
            ("\x1b[31\x1b[2Jx", "x", "x"),
            ("\x1b\x1b[31mx", "\x1b[31mx\x1b[0m", "x"),
        ] {
            assert_eq!(for_terminal(text), terminal, "{text:?}");
            assert_eq!(plain(text), without, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_acts_is_left(text in "[\x1b\u{9b}\u{9d}\\[\\]0-9;mJP\\\\a\x07\r\n\t\u{202e} ]{0,40}") {
            let shown = plain(&text);
            prop_assert!(shown.chars().all(|char| char == '\t' || !char.is_control()), "{shown:?}");
            prop_assert_eq!(plain(&shown), shown.clone(), "it is stable");
            let terminal = for_terminal(&text);
            prop_assert_eq!(plain(&terminal), shown, "colours are all the difference");
            prop_assert_eq!(terminal.contains('\x1b'), terminal.ends_with("\x1b[0m"));
        }
    }
}
