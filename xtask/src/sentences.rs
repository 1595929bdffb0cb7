//! A lint: no sentence is compared, searched or matched. What people read may be reworded at any time; what the program goes by is a type, a
//! word of a closed list, or a column.
//!
//! It finds two kinds of places in the sources, but for tests: a text of two words or more that is compared with `==`, searched for
//! (`contains`, `starts_with`, ...) or matched; and a value that is called after a message ([`MESSAGES`]) and is compared or searched,
//! whatever for. Programs of others say things only in sentences: those places stand in [`ALLOWED`], each with its reason.
//!
//! Not seen: a sentence under another name, and what is compared through a function of this project. It knows no types.

use crate::file_access::{function_name, sources, without_comment};
use anyhow::{Result, bail};
use std::collections::BTreeSet;
use std::path::Path;

/// Where the sources lie.
const CRATES: &str = "crates";

/// Modules of tests that are files of their own.
const TESTS: [&str; 2] = ["/tests/", "/store/contract"];

/// Names of values that are messages for people.
const MESSAGES: [&str; 4] = ["sentence", "cause", "summary", "complaint"];

/// Methods that compare or search.
const METHODS: [&str; 11] = [
    "contains",
    "starts_with",
    "ends_with",
    "find",
    "rfind",
    "matches",
    "eq",
    "strip_prefix",
    "strip_suffix",
    "split_once",
    "rsplit_once",
];

/// Steps on the way from a message to its comparison.
const VIEWS: [&str; 7] = [
    ".as_str()",
    ".as_deref()",
    ".as_ref()",
    ".trim()",
    ".trim_end()",
    ".to_lowercase()",
    ".to_ascii_lowercase()",
];

/// Which functions of which files may, and why.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("deployer/src/admin/doctor/network.rs", "of_fib_trie", "the kernel's /proc/net/fib_trie"),
    ("deployer/src/admin/doctor/nginx.rs", "test", "what nginx and sudo complain of"),
    ("deployer/src/admin/doctor/sudoers.rs", "parse_listing", "what `sudo -l` prints"),
    (
        "deployer/src/admin/setup/old_links.rs",
        "hand_over",
        "the report of the helper, a program of its own, to be shown",
    ),
    ("deployer/src/admin/setup/plan.rs", "site", "what certbot writes into a site file"),
    ("deployer/src/cli/webhook/report.rs", "hint", "GitHub's answer, which has no code for it"),
    ("deployer/src/config/resolve/secrets.rs", "private_key", "a line of the PEM format"),
    (
        "deployer/src/daemon/self_update.rs",
        "take_charge",
        "messages of a protocol between two deployers, not for people",
    ),
    ("deployer/src/github/error.rs", "kind_of", "GitHub's answers, which have no codes for it"),
    ("deployer/src/pipeline/observe/places.rs", "nginx_runs", "the title of nginx's process"),
    ("deployer/src/process/tools/git/complaints.rs", "is_damage", "what git complains of"),
    ("deployer/src/process/tools/git/complaints.rs", "is_missing_branch", "what git complains of"),
    ("deployer/src/process/tools/git/signatures.rs", "kind", "lines of the formats of signatures"),
    ("deployer/src/process/tools/sudo.rs", "has_refused", "what sudo complains of"),
    (
        "deployer/src/steps/health.rs",
        "in_words",
        "errors of the TLS library, whose types the HTTP client hides",
    ),
    ("deployer/src/steps/nginx/error_mapping.rs", "complaint", "what nginx complains of"),
    ("deployer/src/steps/nginx/error_mapping.rs", "speaker", "what nginx complains of"),
    ("deployer/src/steps/nginx/certificates/x509.rs", "read", "a line of the PEM format"),
    ("deployer/src/steps/nginx/reload.rs", "look", "the titles of nginx's processes"),
    ("deployer/src/steps/nginx/reload.rs", "workers", "the titles of nginx's processes"),
    ("deployer/src/steps/nginx/dry_run.rs", "file_read", "what `nginx -T` prints"),
    (
        "deployer/src/store/error.rs",
        "of_sqlite_code",
        "SQLite's message, whose code says only that there was an error",
    ),
];

#[derive(Debug, PartialEq, Eq)]
struct Found {
    line: usize,
    function: String,
    what: String,
}

/// See the module.
///
/// # Errors
///
/// The places that are not allowed, each with file and line.
pub fn check() -> Result<()> {
    let mut used = BTreeSet::new();
    let mut problems = Vec::new();
    for path in sources(Path::new(CRATES))? {
        let name = path.strip_prefix(CRATES).expect("it was found there").to_string_lossy().into_owned();
        if TESTS.iter().any(|tests| name.contains(tests)) {
            continue;
        }
        for found in compared(&std::fs::read_to_string(&path)?) {
            let entry =
                ALLOWED.iter().find(|(file, function, _)| *file == name && *function == found.function);
            match entry {
                Some(entry) => drop(used.insert(entry)),
                None => problems.push(format!(
                    "{}:{}: `{}` in `{}`: a sentence is compared. Go by a type or a word of a closed list; where another program says it only so, list the function in xtask/src/sentences.rs with the reason",
                    path.display(), found.line, found.what, found.function
                )),
            }
        }
    }
    for (file, function, reason) in ALLOWED.iter().filter(|entry| !used.contains(entry)) {
        problems.push(format!(
            "xtask/src/sentences.rs: `{function}` of {file} ({reason}) compares no sentence any more: remove it"
        ));
    }
    if !problems.is_empty() {
        bail!("sentences are for people:\n{}", problems.join("\n"));
    }
    Ok(())
}

/// The places of a source at which a sentence is compared, but for its tests.
fn compared(source: &str) -> Vec<Found> {
    let lines: Vec<&str> = source.lines().collect();
    let is_test = |at: &usize| {
        lines[*at].trim() == "#[cfg(test)]" && lines.get(at + 1).is_some_and(|next| next.contains("mod "))
    };
    let end = (0..lines.len()).find(is_test).unwrap_or(lines.len());
    // One text, so that a call may take several lines; comments become empty lines.
    let code: Vec<&str> = lines[..end].iter().map(|line| without_comment(line)).collect();
    let text = code.join("\n");
    let mut offset = 0;
    let mut functions = Vec::new();
    for line in &code {
        functions.extend(function_name(line).map(|name| (offset, name)));
        offset += line.len() + 1;
    }
    let mut found = Vec::new();
    let mut add = |at: usize, what: String| {
        let function = functions.iter().rev().find(|(begin, _)| *begin <= at).map_or("", |(_, name)| name);
        let line = text[..at].matches('\n').count() + 1;
        found.push(Found { line, function: function.to_owned(), what });
    };
    for (at, literal, length) in literals(&text) {
        if is_sentence(literal) && (is_searched(&text[..at]) || is_matched(&text[at + length..])) {
            add(at, format!("{literal:?}"));
        }
    }
    for name in MESSAGES {
        for (at, _) in text.match_indices(name) {
            let is_part = |of: char| of.is_alphanumeric() || of == '_';
            let rest = &text[at + name.len()..];
            if !text[..at].ends_with(is_part) && !rest.starts_with(is_part) && is_looked_into(rest) {
                add(at, name.to_owned());
            }
        }
    }
    found.sort_by_key(|found| found.line);
    found
}

/// The texts of a source: where each begins, what it says, and how long it is with its quotes.
fn literals(text: &str) -> Vec<(usize, &str, usize)> {
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            // A character, such as a quote; or a lifetime, which is none.
            b'\'' if bytes.get(at + 1) == Some(&b'\\') => {
                at += 3 + text[at + 3..].find('\'').unwrap_or_default();
            }
            b'\'' if bytes.get(at + 2) == Some(&b'\'') => at += 2,
            b'"' => {
                let hashes = text[..at].bytes().rev().take_while(|byte| *byte == b'#').count();
                let is_raw = text[..at - hashes].ends_with('r');
                let end = if is_raw {
                    text[at + 1..].find(&format!("\"{}", "#".repeat(hashes)))
                } else {
                    let mut is_escaped = false;
                    text[at + 1..].bytes().position(|byte| {
                        let is_end = byte == b'"' && !is_escaped;
                        is_escaped = byte == b'\\' && !is_escaped;
                        is_end
                    })
                };
                let Some(end) = end else { return found };
                found.push((at, &text[at + 1..at + 1 + end], end + 2));
                at += end + 1;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Whether two words follow each other.
fn is_sentence(literal: &str) -> bool {
    let words: Vec<&str> = literal.split(' ').collect();
    let is_letter = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphabetic());
    words.windows(2).any(|pair| {
        let (left, right) = (pair[0].as_bytes(), pair[1].as_bytes());
        left.len() > 1
            && right.len() > 1
            && is_letter(left.last().copied())
            && is_letter(right.first().copied())
            && is_letter(right.get(1).copied())
    })
}

/// Whether a text that follows is compared with something, or searched for.
fn is_searched(before: &str) -> bool {
    let before = before.trim_end_matches(|of: char| of.is_whitespace() || "&*r#".contains(of));
    let is_compared = before.ends_with("==") || before.ends_with("!=");
    is_compared || METHODS.iter().any(|method| before.ends_with(&format!(".{method}(")))
}

/// Whether the text before is a pattern.
fn is_matched(after: &str) -> bool {
    let after = after.trim_start().trim_start_matches([')', ']']).trim_start();
    after.starts_with("=>") || after.starts_with("| \"")
}

/// Whether the value before is compared or searched.
fn is_looked_into(rest: &str) -> bool {
    let mut rest = rest.strip_prefix("()").unwrap_or(rest);
    while let Some(further) = VIEWS.iter().find_map(|view| rest.trim_start().strip_prefix(view)) {
        rest = further;
    }
    let rest = rest.trim_start();
    let is_compared = rest.starts_with("== ") || rest.starts_with("!= ");
    is_compared || METHODS.iter().any(|method| rest.starts_with(&format!(".{method}(")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_that_are_compared_are_found() {
        for (code, expected) in [
            (r#"if text.contains("cannot be asked") {}"#, 1),
            ("text.starts_with(\n    \"it was not found\",\n)", 1),
            (r#"if word == "two words" {}"#, 1),
            (r#"text.lines().any(|line| *line != *"no such thing")"#, 1),
            (r##"text.find(r#"no such "thing""#)"##, 1),
            (r#"match text { "not at all" => 1, _ => 2 }"#, 1),
            (r#"match text { Some("not at all") => 1, _ => 2 }"#, 1),
            ("held.sentence.contains(UNSURE)", 1),
            ("decision.sentence() == held.sentence", 1),
            ("run.cause.as_deref().trim().starts_with(word)", 1),
            // Shown, or one word.
            (r#"format!("it was not found: {}", held.sentence)"#, 0),
            (r#"text.contains("warn: ")"#, 0),
            (r#"text == "waiting""#, 0),
            (r#"bail!("it was not found") // contains("two words")"#, 0),
            (r#"let quote = '"'; say("two words".to_owned())"#, 0),
            ("because.contains(word)", 0),
            ("#[cfg(test)]\nmod tests {\n    text.contains(\"two words\")\n}", 0),
        ] {
            let found = compared(&format!("fn named() {{\n{code}\n}}\n"));
            assert_eq!(found.len(), expected, "{code}: {found:?}");
            assert!(found.iter().all(|found| found.function == "named" && found.line >= 2), "{found:?}");
        }
    }
}
