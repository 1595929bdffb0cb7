//! A lint: each command line that a document shows can be typed.
//!
//! Looked at are the lines of fenced blocks (`sh`: all; others: those behind a prompt, `$ `), and command lines in code quotes
//! within a sentence. The program's own parser judges its lines, by its hidden subcommand `__parse`; ours judges those of `cargo xtask`. So
//! a flag that is renamed is found in every page that still shows the old name.
//!
//! Deliberately absent: whether values are right. Pages write `SLUG` and `OWNER/NAME` where people put their own.

use crate::links;
use crate::process::{capture, cargo, root};
use anyhow::{Context, Result, bail};
use serde::Deserialize;

const PROGRAM: &str = "durhack-deployer";

/// Programs in front of a command line that run what follows them.
const WRAPPERS: [&str; 3] = ["sudo", "exec", "env"];

/// A command line of a page.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    /// Where it stands, counted from 1.
    line: usize,
    words: Vec<String>,
    form: Form,
}

/// How a page shows a command line.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Form {
    /// In a block: people type it as it stands.
    Typed,
    /// Within a sentence, which may name a command without what it requires.
    Quoted,
    /// Within a sentence and without the program's name, as in `setup --uninstall`; it may be another program's.
    Bare,
}

/// What a parser has against a command line.
#[derive(Debug, Deserialize)]
struct Complaint {
    /// The name of clap's `ErrorKind`.
    kind: String,
    text: String,
}

/// Fails with the page, line and error of each command line that cannot be typed, or where the program cannot be asked.
pub fn check() -> Result<()> {
    let mut shown = Vec::new();
    for (page, text) in links::pages()? {
        shown.extend(commands(&text).into_iter().map(|command| (page.clone(), command)));
    }
    let (ours, programs): (Vec<_>, Vec<_>) =
        shown.into_iter().partition(|(_, command)| command.words[0] == "cargo");
    let judged = judged_by_program(&programs.iter().map(|(_, command)| &command.words).collect::<Vec<_>>())?;
    let judged = programs.into_iter().zip(judged).chain(ours.into_iter().map(|(page, command)| {
        let complaint = judged_by_xtask(&command.words);
        ((page, command), complaint)
    }));
    let mut problems: Vec<String> = judged
        .filter_map(|((page, command), complaint)| {
            let complaint = complaint.filter(|complaint| is_wrong(complaint, &command))?;
            Some(format!(
                "{}:{}: `{}`: {}",
                page.display(),
                command.line,
                command.words.join(" "),
                complaint.text
            ))
        })
        .collect();
    problems.sort();
    if !problems.is_empty() {
        bail!("commands that cannot be typed:\n{}", problems.join("\n"));
    }
    Ok(())
}

fn judged_by_program(lines: &[&Vec<String>]) -> Result<Vec<Option<Complaint>>> {
    let file = root().join("target/shown-commands.json");
    std::fs::write(&file, serde_json::to_vec(lines)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    let mut parse = cargo(["run", "--quiet", "--locked", "--package", PROGRAM, "--", "__parse"]);
    let judged: Vec<Option<Complaint>> = serde_json::from_str(&capture(parse.arg(&file))?)
        .with_context(|| format!("`{PROGRAM} __parse` printed something else than a list"))?;
    if judged.len() != lines.len() {
        bail!("`{PROGRAM} __parse` judged {} of {} command lines", judged.len(), lines.len());
    }
    Ok(judged)
}

fn judged_by_xtask(words: &[String]) -> Option<Complaint> {
    // clap wants one name in front, and the alias has two words.
    let error = crate::command_line().try_get_matches_from(&words[1..]).err()?;
    error.use_stderr().then(|| Complaint {
        kind: format!("{:?}", error.kind()),
        text: error.to_string().lines().next().unwrap_or_default().replace("error: ", ""),
    })
}

fn is_wrong(complaint: &Complaint, command: &Shown) -> bool {
    match complaint.kind.as_str() {
        // A page shows places for values, and not values.
        "ValueValidation" => false,
        "MissingRequiredArgument" | "MissingSubcommand" | "DisplayHelpOnMissingArgumentOrSubcommand" => {
            command.form == Form::Typed
        }
        "InvalidValue" => command.form == Form::Typed && !command.words.iter().any(|word| is_place(word)),
        "InvalidSubcommand" => command.form != Form::Bare && !command.words.iter().any(|word| is_place(word)),
        _ => true,
    }
}

/// `COMMAND`: a place where the reader puts something.
fn is_place(word: &str) -> bool {
    word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// The command lines of the program and of `cargo xtask` that a page shows.
fn commands(page: &str) -> Vec<Shown> {
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    let mut continued: Option<(usize, String)> = None;
    for (index, text) in page.lines().enumerate() {
        let line = index + 1;
        if let Some(language) = text.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(language.trim().to_owned()) };
            continued = None;
            continue;
        }
        match block.as_deref() {
            Some(language) => {
                let is_shell = matches!(language, "sh" | "bash" | "shell");
                let typed = text.trim_start().strip_prefix("$ ").or(is_shell.then_some(text));
                let Some(typed) = typed else { continue };
                let (first, typed) = match continued.take() {
                    Some((first, begun)) => (first, format!("{begun} {typed}")),
                    None => (line, typed.to_owned()),
                };
                if let Some(begun) = typed.strip_suffix('\\') {
                    continued = Some((first, begun.to_owned()));
                    continue;
                }
                let lines = simple_commands(&typed).into_iter().filter_map(ours);
                found.extend(lines.map(|words| Shown { line: first, words, form: Form::Typed }));
            }
            None => {
                for quoted in text.split('`').skip(1).step_by(2) {
                    let lines = simple_commands(quoted).into_iter().filter_map(ours);
                    found.extend(lines.map(|words| Shown { line, words, form: Form::Quoted }));
                    found.extend(bare(quoted).map(|words| Shown { line, words, form: Form::Bare }));
                }
            }
        }
    }
    found
}

/// `setup --uninstall`: what may be the program's without its name, as it has a flag.
fn bare(quoted: &str) -> Option<Vec<String>> {
    let mut words = quoted.split_whitespace();
    let is_name = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let first =
        words.next().filter(|first| is_name(first) && !first.starts_with('-') && *first != PROGRAM)?;
    let has_flag = words.any(|word| word.starts_with("--") && is_name(word));
    let is_plain = !quoted.contains([',', '=', '{', '[', '"', '|', '<', ':']);
    let is_known = !["cargo", "sudo", "exec", "env"].contains(&first);
    (has_flag && is_plain && is_known).then(|| {
        let words = quoted.split_whitespace().filter(|word| *word != "...").map(str::to_owned);
        std::iter::once(PROGRAM.to_owned()).chain(words).collect()
    })
}

/// From `sudo -u USER NAME=value durhack-deployer ...` what is the program's; `None` where it is another program.
fn ours(words: Vec<String>) -> Option<Vec<String>> {
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.peek() {
        let is_variable = word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        });
        if word == "-u" {
            words.next();
        } else if !is_variable && !WRAPPERS.contains(&word.as_str()) && !word.starts_with('-') {
            break;
        }
        words.next();
    }
    let program = words.next()?;
    // What a page leaves out.
    let rest: Vec<String> = words.filter(|word| word != "..." && word != "…").collect();
    let with = |program: &[&str], rest: &[String]| {
        Some(program.iter().map(|word| (*word).to_owned()).chain(rest.iter().cloned()).collect())
    };
    if program.rsplit('/').next() == Some(PROGRAM) {
        return with(&[PROGRAM], &rest);
    }
    if program != "cargo" {
        return None;
    }
    let behind = rest.iter().position(|word| word == "--").map(|at| &rest[at + 1..]);
    match rest.first().map(String::as_str) {
        Some("xtask") => with(&["cargo"], &rest),
        Some("run") if rest.iter().any(|word| word == "xtask") => with(&["cargo", "xtask"], behind?),
        Some("run") => with(&[PROGRAM], behind?),
        _ => None,
    }
}

/// The commands of a shell line, as words; without comments, and without what redirections name.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars().peekable();
    let mut is_target = false;
    let end = |word: &mut Option<String>, is_target: &mut bool, commands: &mut Vec<Vec<String>>| {
        if let Some(word) = word.take() {
            match is_target {
                true => *is_target = false,
                false => commands.last_mut().expect("there is always one").push(word),
            }
        }
    };
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            (letter, Some(_)) => word.get_or_insert_default().push(letter),
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            ('\\', None) => word.get_or_insert_default().extend(letters.next()),
            ('#', None) if word.is_none() => break,
            ('|' | ';' | '&' | '(' | ')', None) => {
                end(&mut word, &mut is_target, &mut commands);
                commands.push(Vec::new());
            }
            ('>' | '<', None) => {
                // The number of a descriptor belongs to the redirection.
                if word.as_ref().is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit())) {
                    word = None;
                }
                end(&mut word, &mut is_target, &mut commands);
                is_target = true;
            }
            (letter, None) if letter.is_whitespace() => end(&mut word, &mut is_target, &mut commands),
            (letter, None) => word.get_or_insert_default().push(letter),
        }
    }
    end(&mut word, &mut is_target, &mut commands);
    commands.retain(|words| !words.is_empty());
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(page: &str) -> Vec<(usize, String, Form)> {
        let found = commands(page).into_iter();
        found.map(|command| (command.line, command.words.join(" "), command.form)).collect()
    }

    #[test]
    fn commands_of_blocks_and_sentences_are_found_with_their_lines() {
        let page = "Say `durhack-deployer status` and `deploy`.\n```sh\n# durhack-deployer no\n\
                    sudo -u web A=1 durhack-deployer deploy web --force  # why\n\
                    curl -s x | durhack-deployer queue && cargo xtask check > out\n\
                    durhack-deployer init a/b \\\n  --write x.toml\n```\n\
                    ```text\ndurhack-deployer: daemon running\ndurhack-deployer logs shows it\n$ durhack-deployer runs\n```\n\
                    ```toml\nrun = [\"durhack-deployer\"]\n```\n\
                    `cargo run --release -- demo` `cargo run -p xtask -- check` `cargo build` `/usr/bin/durhack-deployer webhook ...`\n\
                    `setup --uninstall` `setup --from, --back` `queue retry ENTRY` `--force` `x = \"a --b\"`\n";
        let expected = [
            (1, "durhack-deployer status", Form::Quoted),
            (4, "durhack-deployer deploy web --force", Form::Typed),
            (5, "durhack-deployer queue", Form::Typed),
            (5, "cargo xtask check", Form::Typed),
            (6, "durhack-deployer init a/b --write x.toml", Form::Typed),
            (12, "durhack-deployer runs", Form::Typed),
            (17, "durhack-deployer demo", Form::Quoted),
            (17, "cargo xtask check", Form::Quoted),
            (17, "durhack-deployer webhook", Form::Quoted),
            (18, "durhack-deployer setup --uninstall", Form::Bare),
        ];
        assert_eq!(shown(page), expected.map(|(line, words, form)| (line, words.to_owned(), form)));
    }

    #[test]
    fn words_are_those_of_a_shell() {
        for (line, expected) in [
            ("a 'b c' \"d # e\" f#g # h", vec![vec!["a", "b c", "d # e", "f#g"]]),
            ("a 2>/dev/null >> b c; (d) & e", vec![vec!["a", "c"], vec!["d"], vec!["e"]]),
            (r"a b\ c", vec![vec!["a", "b c"]]),
            ("# nothing", vec![]),
        ] {
            assert_eq!(simple_commands(line), expected, "{line}");
        }
    }

    #[test]
    fn an_unknown_task_or_flag_of_ours_is_wrong() {
        let judge = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            judged_by_xtask(&words).map(|complaint| complaint.kind)
        };
        assert_eq!(judge("cargo xtask check"), None);
        assert_eq!(judge("cargo xtask test -- queue::"), None);
        assert_eq!(judge("cargo xtask cheque").as_deref(), Some("InvalidSubcommand"));
        assert_eq!(judge("cargo xtask deb --fast").as_deref(), Some("UnknownArgument"));
    }

    #[test]
    fn places_for_values_are_no_mistakes_and_what_is_required_only_within_sentences() {
        let complaint = |kind: &str| Complaint { kind: kind.to_owned(), text: String::new() };
        let command = |words: &[&str], form| Shown {
            line: 1,
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            form,
        };
        for (kind, words, form, expected) in [
            ("InvalidSubcommand", &["durhack-deployer", "help", "COMMAND"][..], Form::Typed, false),
            ("UnknownArgument", &["durhack-deployer", "help", "COMMAND"], Form::Typed, true),
            ("ValueValidation", &["durhack-deployer", "plan", "SLUG"], Form::Typed, false),
            ("InvalidSubcommand", &["durhack-deployer", "launch"], Form::Quoted, true),
            ("InvalidSubcommand", &["durhack-deployer", "certbot", "--force"], Form::Bare, false),
            ("UnknownArgument", &["durhack-deployer", "setup", "--hard"], Form::Bare, true),
            ("InvalidValue", &["durhack-deployer", "setup", "--from"], Form::Quoted, false),
            ("InvalidValue", &["durhack-deployer", "setup", "--from"], Form::Typed, true),
            ("MissingRequiredArgument", &["durhack-deployer", "plan"], Form::Typed, true),
            ("MissingRequiredArgument", &["durhack-deployer", "plan"], Form::Quoted, false),
        ] {
            assert_eq!(is_wrong(&complaint(kind), &command(words, form)), expected, "{kind} {words:?}");
        }
    }
}
