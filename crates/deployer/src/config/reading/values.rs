//! What a single value must look like: from a node of the tree to a type, with what is wrong where it is not.
//!
//! Pure, and without knowledge of where the value stands. URLs and networks are in [`addresses`].

pub mod addresses;

use super::raw::{Node, Value};
use super::reader::{Parsed, Wrong};
use crate::base::names::InvalidName;
use crate::config::CommandLine;
use crate::config::reading::environment::is_variable_name;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Any text that a program or a file system can be given.
pub fn text(node: &Node) -> Parsed<String> {
    match &node.value {
        Value::Text(text) if text.contains('\0') => Wrong::value(node, "a text cannot hold a NUL byte"),
        Value::Text(text) => Ok(text.clone()),
        _ => Wrong::kind(node, "a text in quotes"),
    }
}

/// A text that is not empty.
pub fn filled_text(node: &Node) -> Parsed<String> {
    match text(node)? {
        text if text.trim().is_empty() => Wrong::value(node, "this must not be empty"),
        text => Ok(text),
    }
}

/// A text with a further rule; what is wrong is quoted to the operator.
pub fn checked_text<T>(node: &Node, check: impl Fn(&str) -> Result<T, String>) -> Parsed<T> {
    let text = filled_text(node)?;
    check(&text).or_else(|wrong| Wrong::value(node, wrong))
}

/// A name of ours.
pub fn name<T: std::str::FromStr<Err = InvalidName>>(node: &Node) -> Parsed<T> {
    checked_text(node, |text| text.parse().map_err(|error: InvalidName| error.to_string()))
}

/// `true` or `false`.
pub fn boolean(node: &Node) -> Parsed<bool> {
    match node.value {
        Value::Boolean(boolean) => Ok(boolean),
        _ => Wrong::kind(node, "true or false, without quotes"),
    }
}

/// A whole number in this range.
pub fn integer<T: TryFrom<i64>>(min: i64, max: i64) -> impl Fn(&Node) -> Parsed<T> {
    move |node| {
        let Value::Integer(number) = node.value else {
            return Wrong::kind(node, "an integer, without quotes");
        };
        let in_range = Some(number).filter(|number| (min..=max).contains(number));
        in_range.and_then(|number| T::try_from(number).ok()).map_or_else(
            || Wrong::value(node, format!("{number} is not possible here: it must be {min} to {max}")),
            Ok,
        )
    }
}

/// One of these words; what the function knows no word for is refused.
pub fn choice<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(&Node) -> Parsed<T> {
    move |node| {
        let found = text(node)?;
        let known = words.iter().find(|(word, _)| *word == found);
        known.map(|(_, value)| *value).map_or_else(
            || {
                let words: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
                Wrong::with_help(
                    node,
                    format!("{found:?} is not possible here"),
                    format!("write {}", words.join(" or ")),
                )
            },
            Ok,
        )
    }
}

/// A list; all that is wrong in it, not only the first.
pub fn list<T>(element: impl Fn(&Node) -> Parsed<T>) -> impl Fn(&Node) -> Parsed<Vec<T>> {
    move |node| {
        let Value::List(nodes) = &node.value else { return Wrong::kind(node, "a list in [ ]") };
        let mut values = Vec::new();
        let mut wrongs = Vec::new();
        for node in nodes {
            match element(node) {
                Ok(value) => values.push(value),
                Err(wrong) => wrongs.extend(wrong),
            }
        }
        if wrongs.is_empty() { Ok(values) } else { Err(wrongs) }
    }
}

/// `"1h 30m"`, or an integer of seconds; more than nothing, at most ten years.
pub fn duration(node: &Node) -> Parsed<Duration> {
    let help = "write for example \"30s\", \"5m\", \"1h 30m\", \"250ms\", or seconds as an integer";
    let duration = match &node.value {
        Value::Integer(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        Value::Text(text) => parse_duration(text),
        _ => return Wrong::kind(node, "a duration"),
    };
    match duration {
        Some(duration) if !duration.is_zero() && duration <= DURATION_MAX => Ok(duration),
        Some(_) => Wrong::with_help(node, "a duration must be more than 0 and at most 520w", help),
        None => Wrong::with_help(node, "this is not a duration", help),
    }
}

/// Ten years, so that a deadline can always be computed.
const DURATION_MAX: Duration = Duration::from_secs(520 * 7 * 24 * 3600);

fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = leading_integer(rest)?;
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let milliseconds: u64 = match &after[..unit_end] {
            "ms" => 1,
            "s" => 1000,
            "m" | "min" => 60 * 1000,
            "h" => 3600 * 1000,
            "d" => 24 * 3600 * 1000,
            "w" => 7 * 24 * 3600 * 1000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
        rest = after[unit_end..].trim_start();
    }
    Some(total)
}

/// `"256MiB"`, or an integer of bytes; more than nothing.
pub fn size(node: &Node) -> Parsed<u64> {
    let bytes = match &node.value {
        Value::Integer(bytes) => u64::try_from(*bytes).ok(),
        Value::Text(text) => parse_size(text),
        _ => return Wrong::kind(node, "a size"),
    };
    match bytes {
        Some(0) => Wrong::value(node, "a size must be more than 0"),
        Some(bytes) => Ok(bytes),
        None => Wrong::with_help(
            node,
            "this is not a size",
            "write for example \"256MiB\", \"1GB\", or bytes as an integer; KiB, MiB, GiB, TiB count by 1024, kB, MB, GB, TB by 1000",
        ),
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = leading_integer(text.trim())?;
    let bytes: u64 = match unit.trim() {
        "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1000 * 1000,
        "GB" => 1000 * 1000 * 1000,
        "TB" => 1000 * 1000 * 1000 * 1000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(bytes)
}

fn leading_integer(text: &str) -> Option<(u64, &str)> {
    let (digits, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    Some((digits.parse().ok()?, rest))
}

/// A path without `~` and `..`; `.` and doubled slashes are removed.
fn plain_path(node: &Node) -> Parsed<PathBuf> {
    let text = filled_text(node)?;
    if text.starts_with('~') {
        return Wrong::with_help(node, "`~` has no meaning here", "write the home directory out");
    }
    let path = Path::new(&text);
    if path.components().any(|part| part == Component::ParentDir) {
        return Wrong::with_help(node, "a path may not contain `..`", "write where it really leads");
    }
    Ok(path.components().filter(|part| *part != Component::CurDir).collect())
}

/// An absolute path.
pub fn absolute_path(node: &Node) -> Parsed<PathBuf> {
    match plain_path(node)? {
        path if path.is_absolute() => Ok(path),
        _ => Wrong::with_help(node, "this path must be absolute", "write it from / on"),
    }
}

/// A path below something else.
pub fn inner_path(node: &Node) -> Parsed<PathBuf> {
    match plain_path(node)? {
        path if path.is_absolute() => Wrong::value(node, "this path must be relative"),
        path if path.as_os_str().is_empty() => Wrong::value(node, "this path must name something"),
        path => Ok(path),
    }
}

/// A path that is relative to this directory, unless it is absolute.
pub fn path_in(directory: &Path) -> impl Fn(&Node) -> Parsed<PathBuf> + '_ {
    move |node| Ok(directory.join(plain_path(node)?))
}

/// Program and arguments.
pub fn argv(node: &Node) -> Parsed<CommandLine> {
    let words = list(text)(node)?;
    match words.first() {
        None => Wrong::value(node, "a command needs a program"),
        Some(program) if program.trim().is_empty() => {
            Wrong::value(node, "the program of a command must not be empty")
        }
        Some(_) => Ok(CommandLine::Argv(words)),
    }
}

/// A line for the shell.
pub fn shell_line(node: &Node) -> Parsed<CommandLine> {
    filled_text(node).map(CommandLine::Shell)
}

/// Names and values of environment variables.
pub fn variables(node: &Node) -> Parsed<BTreeMap<String, String>> {
    named_texts(node, "a name of an environment variable", |name, _| is_variable_name(name))
}

/// Names and values of headers of a request. What frames a request is not for the operator to say.
pub fn headers(node: &Node) -> Parsed<BTreeMap<String, String>> {
    const FRAMING: [&str; 4] = ["connection", "content-length", "transfer-encoding", "upgrade"];
    named_texts(node, "a header that a check can send", |name, value| {
        let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_name = !name.is_empty() && name.bytes().all(of_name);
        is_name && !FRAMING.contains(&name.to_ascii_lowercase().as_str()) && !value.contains(char::is_control)
    })
}

fn named_texts(
    node: &Node,
    what: &str,
    is_right: impl Fn(&str, &str) -> bool,
) -> Parsed<BTreeMap<String, String>> {
    let Value::Table(table) = &node.value else { return Wrong::kind(node, "a table") };
    let mut texts = BTreeMap::new();
    let mut wrongs = Vec::new();
    for (name, entry) in &table.entries {
        let value = match text(&entry.node) {
            Ok(value) if !is_right(name, &value) => {
                Wrong::value(&entry.node, format!("{name:?} is not {what}"))
            }
            value => value,
        };
        match value {
            Ok(value) => drop(texts.insert(name.clone(), value)),
            Err(wrong) => wrongs.extend(wrong),
        }
    }
    if wrongs.is_empty() { Ok(texts) } else { Err(wrongs) }
}

/// A pattern of paths.
pub fn glob(node: &Node) -> Parsed<String> {
    checked_text(node, |pattern| {
        if pattern.starts_with('!') {
            return Err("a pattern cannot be negated: use `paths_ignore`".into());
        }
        if pattern.starts_with('/') {
            return Err("paths are relative to the repository: leave the first / out".into());
        }
        if pattern.split('/').any(|part| part == "." || part == "..") {
            return Err(
                "paths are as git names them, without . and ..: `server/**`, not `./server/**`".into()
            );
        }
        if pattern.trim() != pattern || pattern.is_empty() {
            return Err("no path begins or ends with a space: this pattern matches nothing".into());
        }
        if pattern.contains(',') && !pattern.contains('{') {
            return Err("one pattern each: [\"server/**\", \"web/**\"]".into());
        }
        match globset::Glob::new(pattern) {
            Ok(_) => Ok(pattern.to_owned()),
            Err(error) => Err(format!("this is not a pattern: {}", error.kind())),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(value: Value) -> Node {
        Node { value, position: None }
    }

    fn of_text(text: &str) -> Node {
        node(Value::Text(text.into()))
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h 30m", 5_400_000),
            ("250ms", 250),
            ("1d12h", 129_600_000),
            ("2w", 1_209_600_000),
        ] {
            assert_eq!(duration(&of_text(text)).unwrap(), Duration::from_millis(milliseconds), "{text}");
        }
        assert_eq!(duration(&node(Value::Integer(90))).unwrap(), Duration::from_secs(90));
        for bad in [
            "",
            "30",
            "s",
            "0s",
            "1.5h",
            "-1s",
            "5 m x",
            "5y",
            "99999999999999999999s",
            "18446744073709551615w",
        ] {
            assert!(duration(&of_text(bad)).is_err(), "{bad}");
        }
        assert!(
            duration(&node(Value::Integer(-1))).is_err()
                && duration(&node(Value::Integer(i64::MAX))).is_err()
        );
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("256MiB", 256 << 20), ("1GB", 1_000_000_000), ("5 kB", 5000), ("1B", 1)] {
            assert_eq!(size(&of_text(text)).unwrap(), bytes, "{text}");
        }
        assert_eq!(size(&node(Value::Integer(1024))).unwrap(), 1024);
        for bad in ["", "256", "MiB", "0B", "1.5GB", "99999999TiB", "1XB"] {
            assert!(size(&of_text(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths() {
        assert_eq!(absolute_path(&of_text("/a//b/./c/")).unwrap(), Path::new("/a/b/c"));
        assert_eq!(inner_path(&of_text("./a/b")).unwrap(), Path::new("a/b"));
        assert_eq!(path_in(Path::new("/w"))(&of_text("./var")).unwrap(), Path::new("/w/var"));
        for bad in ["", "a", "~/a", "/a/../b", "/a\0"] {
            assert!(absolute_path(&of_text(bad)).is_err(), "{bad}");
        }
        for bad in ["", ".", "/a", "../a", "a/../b", "~"] {
            assert!(inner_path(&of_text(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns() {
        assert!(glob(&of_text("server/**")).is_ok());
        // A directory's name means what is in it; a set of names in braces has commas.
        for good in ["server", "server/", "{server,web}/**"] {
            assert!(glob(&of_text(good)).is_ok(), "{good}");
        }
        for bad in ["", "!a", "/a", "a[", "{a", "./server/**", "a/../b", " server", "server/**,web/**"] {
            assert!(glob(&of_text(bad)).is_err(), "{bad}");
        }
    }
}
