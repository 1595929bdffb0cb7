//! A lint: the floors of `crates/deployer/src`. A folder imports only from lower floors; and modules that lie side by side, whether files or
//! folders, do not import one another in a circle. A parent and its children may.
//!
//! It reads paths that begin with `crate`, `super` or `self` out of the tokens of each file. What is compiled for tests alone is left out: a
//! test may set up whatever it likes.

use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// From the top down. What stands in one line does not import each other either.
const FLOORS: &[&[&str]] = &[
    &["cli"],
    &["admin"],
    &["daemon"],
    &["dispatch", "reconcile"],
    &["pipeline"],
    &["plan"],
    &["steps", "intake"],
    &["git", "queue", "notify"],
    &["github"],
    &["terminal"],
    &["process"],
    &["config", "store", "run_log"],
    &["base"],
];

const CRATE: &str = "crates/deployer/src";

/// A module, by the names on the way to it from the crate's root.
type Module = Vec<String>;

/// One place where a module names something of another one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    from: Module,
    to: Module,
    /// The path of the file and the line.
    place: String,
}

pub fn check() -> Result<()> {
    let mut files = Vec::new();
    collect(Path::new(CRATE), &mut files)?;
    let mut sources = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        sources.insert(module_of(&file), (file.display().to_string(), text));
    }
    let imports = imports(&sources);
    let mut problems: Vec<String> = imports.iter().filter_map(up).collect();
    problems.extend(circles(&imports));
    if !problems.is_empty() {
        bail!(
            "imports that go up, beside or round in a circle (the table is in xtask/src/floors.rs):\n{}",
            problems.join("\n")
        );
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn module_of(file: &Path) -> Module {
    let inner = file.strip_prefix(CRATE).unwrap_or(file).with_extension("");
    let names: Module = inner.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if names == ["lib"] { Module::new() } else { names }
}

/// All imports of one module from another one, but for what is compiled for tests alone.
fn imports(sources: &BTreeMap<Module, (String, String)>) -> BTreeSet<Import> {
    let mut found = Vec::new();
    let mut of_tests = BTreeSet::new();
    for (module, (file, text)) in sources {
        let (names, tests) = names_in(text);
        of_tests.extend(tests.into_iter().map(|name| [module.clone(), vec![name]].concat()));
        // The root lists its modules, and says nothing else.
        if module.is_empty() {
            continue;
        }
        for (line, path) in names {
            let Some(path) = absolute(&path, module) else { continue };
            let known = (0..=path.len()).rev().map(|length| path[..length].to_vec());
            let to = known.into_iter().find(|known| sources.contains_key(known)).unwrap_or_default();
            if to != *module && !to.is_empty() {
                found.push(Import { from: module.clone(), to, place: format!("{file}:{line}") });
            }
        }
    }
    let is_test = |module: &Module| of_tests.iter().any(|test| module.starts_with(test));
    found.retain(|import| !is_test(&import.from) && !is_test(&import.to));
    found.into_iter().collect()
}

fn absolute(path: &[String], module: &[String]) -> Option<Module> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        _ => {
            let ups = path.iter().take_while(|name| *name == "super").count();
            Some([&module[..module.len().checked_sub(ups)?], &path[ups..]].concat())
        }
    }
}

/// An import that goes up or sideways, in words.
fn up(import: &Import) -> Option<String> {
    let floor = |module: &Module| FLOORS.iter().position(|names| names.contains(&module[0].as_str()));
    let (from, to) = (&import.from[0], &import.to[0]);
    let relation = match (floor(&import.from), floor(&import.to)) {
        (None, _) => return Some(format!("{}: `{from}` stands on no floor", import.place)),
        // `main.rs`, and what is not there.
        (_, None) => return Some(format!("{}: `{to}` stands on no floor", import.place)),
        _ if from == to => return None,
        (Some(own), Some(other)) if other < own => "above",
        (Some(own), Some(other)) if other == own => "beside",
        _ => return None,
    };
    Some(format!("{}: `{from}` imports {}, and `{to}` is {relation} it", import.place, import.to.join("::")))
}

/// Modules that lie side by side and import each other in a circle, in words.
fn circles(imports: &BTreeSet<Import>) -> Vec<String> {
    // By the folder in which they lie: who imports whom, and an example of it.
    let mut folders: BTreeMap<&[String], BTreeMap<(&str, &str), &str>> = BTreeMap::new();
    for Import { from, to, place } in imports {
        let shared = from.iter().zip(to).take_while(|(from, to)| from == to).count();
        if let (Some(one), Some(other)) = (from.get(shared), to.get(shared)) {
            let folder = folders.entry(&from[..shared]).or_default();
            folder.entry((one.as_str(), other.as_str())).or_insert(place);
        }
    }
    let mut problems = Vec::new();
    for (folder, mut edges) in folders {
        // Who imports nobody is in no circle, nor is whom nobody imports. What remains when all those are gone is one.
        loop {
            let before = edges.len();
            let from: BTreeSet<&str> = edges.keys().map(|(from, _)| *from).collect();
            let to: BTreeSet<&str> = edges.keys().map(|(_, to)| *to).collect();
            edges.retain(|(one, other), _| to.contains(one) && from.contains(other));
            if edges.len() == before {
                break;
            }
        }
        let folder = if folder.is_empty() { CRATE.to_owned() } else { folder.join("/") };
        problems.extend(
            edges
                .iter()
                .map(|((from, to), place)| format!("{place}: a circle in {folder}: `{from}` imports `{to}`")),
        );
    }
    problems
}

/// The paths that a source names, with their lines, and the modules that it declares for tests alone. Trees are spread out.
fn names_in(text: &str) -> (Vec<(usize, Vec<String>)>, Vec<String>) {
    let tokens = tokens(text);
    let token = |at: usize| tokens.get(at).map_or("", |(_, token)| *token);
    let (mut names, mut tests) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        if (at..at + 7).map(token).eq(["#", "[", "cfg", "(", "test", ")", "]"]) {
            at += 7;
            let start = at;
            while !matches!(token(at), ";" | "{" | "") {
                at += 1;
            }
            if token(at) == ";" {
                let named = (start..at).find(|at| token(*at) == "mod").map(|at| token(at + 1).to_owned());
                tests.extend(named);
            } else {
                at = behind_block(&tokens, at);
            }
            continue;
        }
        let begins = matches!(token(at), "crate" | "super" | "self") && token(at + 1) == "::";
        if begins && (at == 0 || token(at - 1) != "::") {
            at = spread(&tokens, at, &mut Vec::new(), &mut names);
        } else {
            at += 1;
        }
    }
    (names, tests)
}

fn behind_block(tokens: &[(usize, &str)], mut at: usize) -> usize {
    let mut depth = 0;
    while let Some((_, token)) = tokens.get(at) {
        match *token {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

/// Reads one path, or one branch of a tree of paths, and gives where it ends.
fn spread(
    tokens: &[(usize, &str)],
    mut at: usize,
    above: &mut Vec<String>,
    names: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let depth = above.len();
    while let Some((line, token)) = tokens.get(at) {
        if *token == "{" {
            at += 1;
            while tokens.get(at).is_some_and(|(_, token)| *token != "}") {
                match tokens[at].1 {
                    "," => at += 1,
                    _ => at = spread(tokens, at, above, names),
                }
            }
            above.truncate(depth);
            return at + 1;
        }
        above.push((*token).to_owned());
        at += 1;
        if tokens.get(at).is_none_or(|(_, token)| *token != "::") {
            names.push((*line, above.clone()));
            // `as` and the other name.
            if tokens.get(at).is_some_and(|(_, token)| *token == "as") {
                at += 2;
            }
            break;
        }
        at += 1;
    }
    above.truncate(depth);
    at
}

/// Words and signs with their lines; comments, texts and characters are left out.
fn tokens(text: &str) -> Vec<(usize, &str)> {
    let (mut found, mut line, mut rest) = (Vec::new(), 1, text);
    while let Some(first) = rest.chars().next() {
        let is_word = |character: char| character.is_alphanumeric() || character == '_';
        let raw =
            rest.strip_prefix('r').or_else(|| rest.strip_prefix("br")).map(|raw| raw.trim_start_matches('#'));
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(inside) = raw.filter(|raw| raw.starts_with('"')) {
            let start = rest.len() - inside.len();
            let end = format!("\"{}", "#".repeat(rest[..start].matches('#').count()));
            rest[start + 1..].find(&end).map_or(rest.len(), |at| start + 1 + at + end.len())
        } else if first == '"' {
            text_length(rest)
        } else if first == '\'' {
            character_length(rest)
        } else if is_word(first) {
            rest.find(|character| !is_word(character)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (token, behind) = rest.split_at(length);
        if is_word(first) && !token.contains('"')
            || (!first.is_whitespace() && !"/\"'".contains(first)) && !token.contains('"')
        {
            found.push((line, token));
        }
        line += token.matches('\n').count();
        rest = behind;
    }
    found
}

/// Of a text in quotation marks.
fn text_length(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Of a character in quotation marks; of a lifetime, its mark alone.
fn character_length(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => rest[2..].find('\'').map_or(1, |at| at + 3).max(4).min(rest.len()),
        _ => match characters.next() {
            Some((at, '\'')) => at + 1,
            _ => 1,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let source = |(name, text): &(&str, &str)| {
            let file = format!("{CRATE}/{name}.rs");
            (module_of(Path::new(&file)), (format!("{name}.rs"), (*text).to_owned()))
        };
        let imports = imports(&files.iter().map(source).collect());
        imports.iter().filter_map(up).chain(circles(&imports)).collect()
    }

    #[test]
    fn an_import_from_above_or_beside_is_told_with_its_line() {
        let files = [
            (
                "git/mirror",
                "//! See [`crate::pipeline`].\nuse crate::{base, pipeline::{gates::{self, Held}, run as go}};\n",
            ),
            ("pipeline/gates", ""),
            ("pipeline/run", "fn f() { crate::base::x() }"),
            ("queue", "const TEXT: &str = \"crate::cli\";\nfn f() { let c = '\"'; super::notify::x(); }"),
            ("notify", "use crate::base::x;"),
            ("base", ""),
        ];
        assert_eq!(
            found(&files),
            [
                "git/mirror.rs:2: `git` imports pipeline::gates, and `pipeline` is above it",
                "git/mirror.rs:2: `git` imports pipeline::run, and `pipeline` is above it",
                "queue.rs:2: `queue` imports notify, and `notify` is beside it",
            ]
        );
    }

    #[test]
    fn neighbours_in_a_circle_are_told_and_parents_and_children_are_none() {
        let files = [
            ("cli", "use crate::cli::a::x;"),
            ("cli/a", "use super::b::inner::x;\nuse crate::cli::y;"),
            ("cli/b/inner", "use crate::cli::c::x;"),
            ("cli/b", ""),
            ("cli/c", "use super::a::x;"),
            ("cli/d", "use super::a::x;"),
        ];
        assert_eq!(
            found(&files),
            [
                "cli/a.rs:1: a circle in cli: `a` imports `b`",
                "cli/b/inner.rs:1: a circle in cli: `b` imports `c`",
                "cli/c.rs:1: a circle in cli: `c` imports `a`",
            ]
        );
    }

    #[test]
    fn what_is_compiled_for_tests_alone_may_import_what_it_likes() {
        let files = [
            (
                "base",
                "#[cfg(test)]\npub mod sample;\n#[cfg(test)]\nmod tests { use crate::cli::x; fn f() {} }\n",
            ),
            ("base/sample", "use crate::cli::x;"),
            ("cli", "#[cfg(test)]\nuse crate::nowhere::x;"),
        ];
        assert_eq!(found(&files), Vec::<String>::new());
        assert_eq!(
            found(&[("base", "#[cfg(test)]\nmod tests {}\nuse crate::cli::x;"), ("cli", "")]).len(),
            1
        );
    }

    #[test]
    fn a_folder_that_the_table_does_not_have_is_told() {
        assert_eq!(
            found(&[("new", "use crate::base::x;"), ("base", "")]),
            ["new.rs:1: `new` stands on no floor"]
        );
    }
}
