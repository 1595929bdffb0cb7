//! What is too wide in what a user may do with sudo. Pure.
//!
//! Whoever can push runs code as the service's user, so every rule of that user's is a rule of everybody's who can push.
//! certbot's hooks, nginx's configuration and systemctl's units are each a way to root: their arguments must be fixed. Arguments are
//! matched as one text, in which `*` crosses spaces: `certbot certonly -d *` lets `-d x --pre-hook id` through.

use super::Grant;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Width {
    /// Nothing to say.
    Narrow,
    /// It may be more than was meant.
    Doubtful(&'static str),
    /// It is root for whoever can push.
    Open(&'static str),
}

/// Programs of which a free argument is root's shell.
const DANGEROUS: [&str; 3] = ["certbot", "nginx", "systemctl"];

/// Programs that run what they are told.
const INTERPRETERS: [&str; 24] = [
    "sh", "bash", "dash", "zsh", "env", "python", "python3", "perl", "ruby", "node", "npm", "pnpm", "pm2",
    "vi", "vim", "nano", "less", "find", "tee", "cp", "mv", "chmod", "chown", "setpriv",
];

/// The rules that count, each with its width: what a later `!` takes away is gone.
pub fn judge(grants: &[Grant]) -> Vec<(&Grant, Width)> {
    let mut standing: Vec<&Grant> = Vec::new();
    for grant in grants {
        match grant.negated {
            false => standing.push(grant),
            true if grant.command == "ALL" => standing.clear(),
            true => standing.retain(|earlier| earlier.command != grant.command),
        }
    }
    standing.into_iter().map(|grant| (grant, width(grant))).collect()
}

fn width(grant: &Grant) -> Width {
    let width = match grant.with_variables {
        true => Width::Open("SETENV lets LD_PRELOAD through"),
        false => width_of_command(&grant.command),
    };
    match width {
        Width::Open(why) if !grant.as_root => Width::Doubtful(why),
        Width::Open(why) if !grant.without_password => Width::Doubtful(why),
        width => width,
    }
}

fn width_of_command(command: &str) -> Width {
    let (program, arguments) = match command.strip_prefix('^') {
        // A regular expression ends with the first `$` before a space.
        Some(_) => command.split_once("$ ").map_or((command, None), |(program, rest)| (program, Some(rest))),
        None => command.split_once(' ').map_or((command, None), |(program, rest)| (program, Some(rest))),
    };
    let arguments = arguments.map(str::trim);
    match program {
        "ALL" => return Width::Open("every command"),
        "sudoedit" => return of_edited(arguments),
        "list" => return Width::Narrow,
        _ if program.ends_with('/') => return Width::Open("every program of a directory"),
        _ if program.starts_with('^') => {
            return match regex_is_narrow(program.trim_start_matches('^').trim_end_matches('$')) {
                true => of_arguments(program, arguments),
                false => Width::Open("a regular expression that fits many programs"),
            };
        }
        _ if has_wildcard(program) => return Width::Open("a wildcard in the program's path"),
        _ => {}
    }
    of_arguments(program, arguments)
}

fn of_arguments(program: &str, arguments: Option<&str>) -> Width {
    let name = program.trim_end_matches('$').rsplit('/').next().unwrap_or_default();
    let name = name.replace('\\', "");
    let is_dangerous = DANGEROUS.iter().any(|known| name.starts_with(known));
    let is_interpreter = INTERPRETERS.contains(&name.as_str());
    let open = |why| if is_dangerous || is_interpreter { Width::Open(why) } else { Width::Doubtful(why) };
    match arguments {
        None => open("any arguments"),
        Some("\"\"") if is_interpreter => Width::Open("it runs what it is told"),
        Some("\"\"") => Width::Narrow,
        Some(arguments) if arguments.starts_with('^') => {
            let regex = arguments.trim_start_matches('^').trim_end_matches('$');
            match regex_is_narrow(regex) {
                true => Width::Narrow,
                false => open("a regular expression through which further arguments fit"),
            }
        }
        Some(arguments) if has_wildcard(arguments) => {
            open("a wildcard in its arguments, which crosses spaces: further options fit")
        }
        Some(arguments) if name == "systemctl" && shows_pages(arguments) => {
            Width::Doubtful("it shows its output in a pager, which gives a shell; add --no-pager")
        }
        Some(_) => Width::Narrow,
    }
}

fn shows_pages(arguments: &str) -> bool {
    let mut words = arguments.split_whitespace();
    let is_shown = words.clone().find(|word| !word.starts_with('-'));
    let is_shown =
        is_shown.is_none_or(|verb| ["status", "show", "cat", "list-units", "help"].contains(&verb));
    is_shown && words.all(|word| word != "--no-pager")
}

fn of_edited(files: Option<&str>) -> Width {
    match files {
        None => Width::Open("every file may be edited"),
        Some(files) if has_wildcard(files) => Width::Open("a wildcard in the files that may be edited"),
        Some(_) => Width::Narrow,
    }
}

/// fnmatch(3)'s, unless escaped.
fn has_wildcard(text: &str) -> bool {
    let mut escaped = false;
    text.chars().any(|character| {
        let is_wild = !escaped && matches!(character, '*' | '?' | '[');
        escaped = !escaped && character == '\\';
        is_wild
    })
}

/// Whether nothing that this expression (POSIX, extended) fits can hold one more argument, or begin one with `-` by choice: no
/// atom fits a space but a space, and none that begins an argument fits `-` but `-`. What is not understood is not narrow.
fn regex_is_narrow(regex: &str) -> bool {
    let mut rest = regex;
    let mut begins = true;
    while let Some(first) = rest.chars().next() {
        let (length, fits_space, fits_dash) = match first {
            '.' => (1, true, true),
            '[' => {
                let Some(class) = bracket(rest) else { return false };
                (class.len(), class_fits(class, ' '), class_fits(class, '-'))
            }
            '\\' => match rest.chars().nth(1) {
                Some(escaped) if escaped.is_ascii_punctuation() => (2, false, false),
                Some('w' | 'd') => (2, false, false),
                _ => return false,
            },
            // What was optional leaves the next atom at the beginning, too; so does what may be repeated.
            '(' | '|' | ')' | '?' | '*' | '+' => {
                begins |= matches!(first, '(' | '|' | '?' | '*');
                rest = &rest[1..];
                continue;
            }
            '{' => {
                let Some(end) = rest.find('}') else { return false };
                begins |= rest[1..].starts_with(['0', ',']);
                rest = &rest[end + 1..];
                continue;
            }
            other => (other.len_utf8(), false, false),
        };
        if fits_space || (begins && fits_dash) {
            return false;
        }
        begins = first == ' ';
        rest = &rest[length..];
    }
    true
}

/// `[...]` at the beginning of a text, in which a `]` that comes first is a member.
fn bracket(text: &str) -> Option<&str> {
    let inner = text[1..].strip_prefix('^').unwrap_or(&text[1..]);
    let offset = text.len() - inner.len();
    let mut at = usize::from(inner.starts_with(']'));
    while let Some(character) = inner[at..].chars().next() {
        match character {
            ']' => return Some(&text[..=offset + at]),
            '[' if inner[at + 1..].starts_with(':') => at += inner[at..].find(":]")? + 2,
            _ => at += character.len_utf8(),
        }
    }
    None
}

fn class_fits(class: &str, wanted: char) -> bool {
    let inner = &class[1..class.len() - 1];
    let (negated, inner) = inner.strip_prefix('^').map_or((false, inner), |inner| (true, inner));
    let mut found = false;
    let mut rest: Vec<char> = inner.chars().collect();
    for (name, space, dash) in [
        ("[:alnum:]", false, false),
        ("[:alpha:]", false, false),
        ("[:digit:]", false, false),
        ("[:lower:]", false, false),
        ("[:upper:]", false, false),
        ("[:xdigit:]", false, false),
        ("[:punct:]", false, true),
        ("[:graph:]", false, true),
        ("[:print:]", true, true),
        ("[:space:]", true, false),
        ("[:blank:]", true, false),
    ] {
        if let Some(at) = rest.iter().collect::<String>().find(name) {
            found |= if wanted == ' ' { space } else { dash };
            rest.drain(at..at + name.len());
        }
    }
    let mut at = 0;
    while at < rest.len() {
        if at + 2 < rest.len() && rest[at + 1] == '-' {
            found |= (rest[at]..=rest[at + 2]).contains(&wanted);
            at += 3;
        } else {
            found |= rest[at] == wanted;
            at += 1;
        }
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_that_fit_one_argument_alone_are_narrow() {
        for (regex, expected) in [
            ("", true),
            ("reload nginx", true),
            ("[a-z0-9][a-z0-9.-]{1,252}", true),
            ("restart app-[a-z]+\\.service", true),
            ("(start|stop|restart) web@[0-9]+", true),
            ("[a-z.-]+", false),
            ("-d [a-z0-9-]+", false),
            ("x?[-a]", false),
            (".*", false),
            ("[^;]+", false),
            ("[^ -]x", true),
            ("[[:alnum:]][[:alnum:].-]*", true),
            ("[[:print:]]+", false),
            ("[[:graph:]]+", false),
            ("\\S+", false),
            ("\\w+", true),
            ("a\\.b", true),
            ("[ -~]+", false),
            ("[a-z", false),
            ("[]a]x", true),
            ("a{0,1}[a-z-]", false),
        ] {
            assert_eq!(regex_is_narrow(regex), expected, "{regex}");
        }
    }
}
