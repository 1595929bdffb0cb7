//! Which line of a failed program's output says why it failed. Pure.
//!
//! Tools say it in many places: compilers in their first diagnostic, Python in the last line of its last traceback, npm between
//! lines about itself, a shell in the line of the one command that was not found. So each line gets a rank by what it looks like,
//! and the highest wins; of equals the first, because later errors tend to follow from it. The rules come from samples of what real
//! tools print (`cause/corpus`, with the line that a person picked), not from a list of words: a file called `fetch-error.d.ts` is no
//! error, and neither is "0 errors".
//!
//! Deliberately absent: knowledge of which tool runs. `make` calls npm, npm calls tsc, and each adds lines of its own.

use crate::run_log::rendering;
use regex::Regex;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::LazyLock;
use supervise::{Line, Stream};

/// As many of a program's last lines are kept to look for the cause in: the first error of a long build is among them.
const LINES_MAX: usize = 2_000;

/// As many bytes these lines may have together.
const BYTES_MAX: usize = 1024 * 1024;

/// So far before the line that says why may stand where it was: node prints the line of the program and marks the place in it.
const LINES_TO_PLACE: usize = 8;

/// Terminals that programs wrap their sentences for have so many columns, and a line that was wrapped has nearly as many.
const WRAPPED: RangeInclusive<usize> = 70..=80;

/// The last lines that a program printed.
#[derive(Debug, Default)]
pub struct Tail {
    lines: VecDeque<Line>,
    bytes: usize,
}

/// A kind of line.
struct Rule {
    rank: u8,
    pattern: Regex,
    /// The line only announces the one that says why.
    announces_next: bool,
}

/// What lines that say why look like, by rank. Texts are compared without colours and without the spaces around them.
const RULES: &[(u8, &str)] = &[
    // Whatever else is said is what follows from these.
    (100, r"No space left on device|ENOSPC|Disk quota exceeded"),
    (
        97,
        r"heap out of memory|Cannot allocate memory|^MemoryError|std::bad_alloc|^fatal error: runtime: out of memory",
    ),
    // Diagnostics with a place in a file.
    (92, r"^(=? ?note: )?rust-lld: error: |undefined reference to |cannot find -l"),
    (90, r"\([0-9]+,[0-9]+\): error TS[0-9]+: "),
    (90, r":[0-9]+:[0-9]+ - error TS[0-9]+: "),
    (90, r"^([^ ]+ [^ ]+: )?[^ ]+:[0-9]+(:[0-9]+)?: (fatal )?error: "),
    (90, r"^error\[E[0-9]+\]: "),
    (90, r"^[^ ]+\.go:[0-9]+(:[0-9]+)?: "),
    (90, r"^[0-9]+:[0-9]+ +error +"),
    (90, r"Module not found: |Module parse failed: |Can't resolve '"),
    (90, r#"Could not resolve "|failed to resolve import|\[vite:[a-z-]+\]|^\[!\] "#),
    (90, r"^✘ \[ERROR\] |^E   +[^ ]|\([a-z0-9_]+\.E[0-9]+\)"),
    (88, r"^[A-Z]{1,4}[0-9]{3,4} "),
    // What a program threw.
    (86, r"^PHP (Fatal|Parse) error: |^(Fatal|Parse) error: "),
    (
        85,
        r"^(npm error |npm ERR! |\[[a-z-]+\] )?\[?([A-Za-z_][A-Za-z0-9_]*\.)*[A-Za-z_]*(Error|Exception|Rejection)( \[[A-Z_]+\])?: ",
    ),
    (85, r"^([A-Za-z_][A-Za-z0-9_]*\.)*[A-Za-z_]+(Error|Exception|Exit|Interrupt)$"),
    (85, r"^Exception in thread |^panic: |\([A-Za-z:]+Error\)$|^expect\(|^Cannot find module "),
    (85, r"^assertion .* failed"),
    // What a tool says of itself.
    (84, r"^gyp ERR! stack [A-Za-z]*Error: "),
    (84, r"^error: Environment variable not found|^error: Type "),
    (
        83,
        r"^ssh: |\[emerg\] |Host key verification failed|HOST IDENTIFICATION HAS CHANGED|^No .* host key is known for ",
    ),
    (83, r"^Permissions [0-9]+ for .* are too open"),
    (82, r": command not found|^Killed$|: unbound variable|: syntax error|^make: [^ *]+: "),
    (82, r"^(bash|sh|/bin/sh): .*: "),
    (84, r"was not created successfully because"),
    (80, r"ERR_PNPM_[A-Z0-9_]+|^curl: \(|^psql: error: |No rule to make target"),
    (
        80,
        r"^Could not |does not contain valid JSON|^- Root composer.json |^You are trying to install in deployment mode",
    ),
    (79, r"^(cause: )?Because |^error: object [0-9a-f]+: |^remote: (ERROR|error|fatal|Repository not found)"),
    (78, r"^fatal: |^bundler: |^E: |^pg_dump: error: |^Job for .* failed"),
    (
        76,
        r"(?i)^error:? |^(cp|mv|tar|rm|ln|mkdir|install|cat|chmod|chown|touch|rsync|unzip|sed|find)( \(child\))?: ",
    ),
    (75, r"^bind\(\): |^Unknown command|couldn't find|Invalid configuration object"),
    (70, r"\[ERROR\] "),
    (60, r"^npm (error|ERR!) "),
    (55, r"(?i)(^|[\s(\[])(error|fatal)([:\s!)\]]|$)"),
    (
        50,
        r"(?i)\.service: start operation timed out|(^|\s)(cannot|can't|could not|couldn't|unable to|failed|denied|refused|missing|invalid|unknown|unsupported|must|no such|not found|does not exist|please install)(\s|[.:,;]|$)",
    ),
    // What systemd says of a unit's process, where the process itself has said nothing.
    (5, r"\.service: .*(code=(killed|dumped)|status=2[0-4][0-9]/)"),
];

/// Lines that announce the one behind them.
const ANNOUNCING: &[(u8, &str)] =
    &[(86, r"^thread '.*panicked at .*:$"), (84, r"^rake aborted!$"), (84, r"^error: \|-$")];

/// Lines that say nothing, though they may look like it: frames of a stack, sums, what a tool says when another has failed, advice.
const NOISE: &[&str] = &[
    r"^[^A-Za-z0-9]*$",
    r"^Node\.js v[0-9]|^\(Use `node |^\(node:[0-9]+\) ",
    r"^at |^from .*:[0-9]+:in |^File |^#[0-9]+ |^\.\.\. [0-9]+ ",
    r"^npm (warn|WARN|notice)|^warning|^WARN|^\[?WARN|^note: |^hint: |^help: |^Hint: ",
    r"(?i)(^|[^0-9])(0|no) errors?",
    r"(?i)^(found )?[0-9]+ errors?( in .*| generated)?\.?$|^✖ [0-9]+ problems|^Found [0-9]+ error",
    r"^Failing command: ",
    r"(?i)exited with (code|status)|exit (code|status)|command failed|^ELIFECYCLE|ERR_PNPM_RECURSIVE",
    r"(?i)^error during build|^(✗ )?build (error|failed)|errors? (occurred|originates from)|^> Build |^failed to load config",
    r"^npm (error|ERR!)( (code|errno|syscall|path|command|cwd|dest|signal|engine Unsupported)( .*)?)?$|A complete log of this run",
    r"^error: (subprocess-exited|metadata-generation|could not compile|aborting due|test failed|linking with)",
    r"^Error: (Prisma schema validation|error occurred)|^Error code: |^SystemCheckError: |^UserWarning: |UserWarning: ",
    r"^fatal: (early EOF|the remote end hung up|index-pack failed|fsck error in|fetch-pack: invalid|protocol error)|^fetch-pack: |^error: index-pack died",
    r"^(hint|warning): |^Please make sure you have the correct access|^and the repository exists",
    r"^fatal: Could not read from remote|^fatal: clone of |^make.*\*\*\* \[|^CMake Error at|^collect2: error",
    r"^sudo: (unable to resolve host|setrlimit|unable to send audit) ",
    // systemd, in the journal of a unit: that it was started, and that it failed, which is known.
    r"^(Started|Starting|Stopped|Stopping|Failed to start) .*\.(service|socket|timer|path|target)( - .*)?\.*$",
    r"^[^ ]+\.(service|socket|timer|path): (Failed with result|Failed to run 'start' task|Scheduled restart job|Deactivated|Consumed|Start request)",
    r"^[^ ]+\.service: (Main|Control) process exited, code=exited, status=1?[0-9]?[0-9]/",
    r"^An unexpected error occurred:$|^Unhandled|Unhandled 'error' event|^throw |^RollupError: \[plugin dts\]",
];

/// A status of HTTP with which a registry refuses something for good, with the words that installers have around it.
static REFUSAL: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"\b(?:ERR_PNPM_FETCH_|E)(4[0-9]{2})\b|\b(4[0-9]{2}) (?:Client Error|Not Found|Forbidden|Unauthorized|Gone|Bad Request)",
    )
});

/// Those of them that pass: a request that took too long, and too many.
const PASSING: [&str; 2] = ["408", "429"];

/// The same in words without a status, and what is not on this machine.
static LACK: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"\b[Nn]ot [Ff]ound - GET https?://|^(.*: )?error Couldn't find package |\bNo interpreter found for Python",
    )
});

/// Whether an installation would fail of this again: further attempts only take time.
pub fn is_final(cause: &str) -> bool {
    let refusal = REFUSAL.captures(cause).and_then(|found| found.get(1).or(found.get(2)));
    refusal.map_or_else(|| LACK.is_match(cause), |status| !PASSING.contains(&status.as_str()))
}

static RULE_SET: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let rule = |announces_next| {
        move |&(rank, pattern): &(u8, &str)| Rule { rank, pattern: compiled(pattern), announces_next }
    };
    RULES.iter().map(rule(false)).chain(ANNOUNCING.iter().map(rule(true))).collect()
});
static NOISE_SET: LazyLock<Vec<Regex>> = LazyLock::new(|| NOISE.iter().copied().map(compiled).collect());

/// `/srv/site/main.js:2` and `file:///srv/site/main.mjs:2` as node has it, `File "/srv/site/main.py", line 2` as Python has.
static PLACE: LazyLock<Regex> = LazyLock::new(|| {
    compiled(r#"^(file://)?(?P<f>/[^ :]+):(?P<n>[0-9]+)$|^File "(?P<g>[^"]+)", line (?P<m>[0-9]+)"#)
});

/// The rank of an exception.
const THROWN: u8 = 85;

fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the table is tested")
}

impl Tail {
    /// Takes a line; the oldest ones go.
    pub fn push(&mut self, line: Line) {
        self.bytes += line.text.len();
        self.lines.push_back(line);
        while self.lines.len() > LINES_MAX || self.bytes > BYTES_MAX {
            let Some(gone) = self.lines.pop_front() else { break };
            self.bytes -= gone.text.len();
        }
    }

    /// All that is kept.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter()
    }

    /// The line that says why, in words for people; none where nothing was printed.
    pub fn cause(&self) -> Option<String> {
        let texts = self.texts();
        let index = self.index_of_cause(&texts)?;
        let text = shown(&texts[index]);
        // "An unexpected error occurred:" and then what, or a sentence that was wrapped.
        let next = texts.get(index + 1).map(|next| shown(next)).filter(|next| !next.is_empty());
        let cause = match next.filter(|next| text.ends_with(':') || is_wrapped(text, next)) {
            Some(next) => format!("{text} {next}"),
            None => text.to_owned(),
        };
        Some(match place(&texts[..index], text) {
            Some(place) => format!("{place}: {cause}"),
            None => cause,
        })
    }

    /// The line that says why as it was printed, the lines around it, and which of these it is.
    pub fn around(&self) -> Option<(Vec<&str>, usize)> {
        let texts = self.texts();
        let index = self.index_of_cause(&texts)?;
        let says_something = |at: &usize| !texts[*at].is_empty();
        let before = (0..index).rev().find(says_something);
        let behind = (index + 1..texts.len()).find(says_something);
        let shown = [before, Some(index), behind].into_iter().flatten();
        let lines = shown.map(|at| self.lines[at].text.as_str()).collect();
        Some((lines, usize::from(before.is_some())))
    }

    fn texts(&self) -> Vec<String> {
        self.lines.iter().map(|line| rendering::plain(&line.text).trim().to_owned()).collect()
    }

    fn index_of_cause(&self, texts: &[String]) -> Option<usize> {
        let mut best: Option<(u8, usize)> = None;
        // How far the traceback that is being read is indented.
        let mut traceback: Option<usize> = None;
        for (index, text) in texts.iter().enumerate() {
            let indentation = indentation(&self.lines[index].text);
            if text.starts_with("Traceback (most recent call last)") {
                traceback = Some(indentation);
                continue;
            }
            // Its frames are indented further; the line after them is the exception, whatever it is called. Of chained ones the last
            // is what the program died of.
            if traceback == Some(indentation) && !text.is_empty() {
                traceback = None;
                if best.is_none_or(|(known, _)| known <= THROWN) {
                    best = Some((THROWN, index));
                }
                continue;
            }
            let (rank, at) = rank(texts, index);
            if rank > best.map_or(0, |(known, _)| known) {
                best = Some((rank, at));
            }
        }
        best.map(|(_, index)| index).or_else(|| self.last(texts))
    }

    /// Where no line looks like a cause: the last on standard error that says something, else the last.
    fn last(&self, texts: &[String]) -> Option<usize> {
        let says_something = |index: &usize| !is_noise(&texts[*index]);
        let on_error = |index: &usize| self.lines[*index].stream == Stream::Err;
        let all = || (0..texts.len()).rev();
        all()
            .filter(on_error)
            .find(says_something)
            .or_else(|| all().find(says_something))
            .or_else(|| all().find(|index| !texts[*index].is_empty()))
    }
}

/// Whether the next line goes on with this one's sentence.
fn is_wrapped(text: &str, next: &str) -> bool {
    WRAPPED.contains(&text.chars().count())
        && text.ends_with(char::is_alphanumeric)
        && next.starts_with(|first: char| first.is_ascii_lowercase())
}

/// Where in a program the mistake is that an interpreter could not read: it says so some lines before. Relative to the release, whose
/// directory has another name each time.
fn place(before: &[String], text: &str) -> Option<String> {
    if !text.starts_with("SyntaxError: ") {
        return None;
    }
    let (file, line) = before.iter().rev().take(LINES_TO_PLACE).find_map(|line| {
        let found = PLACE.captures(line)?;
        Some((found.name("f").or(found.name("g"))?, found.name("n").or(found.name("m"))?))
    })?;
    let file = file.as_str();
    let in_release = file.split_once("/releases/").and_then(|(_, rest)| Some(rest.split_once('/')?.1));
    Some(format!("{}:{}", in_release.unwrap_or(file), line.as_str()))
}

/// The characters of white space before a line.
fn indentation(text: &str) -> usize {
    text.chars().take_while(|char| char.is_whitespace()).count()
}

/// How much a line looks like the cause, and which line is meant; 0 for not at all.
fn rank(texts: &[String], index: usize) -> (u8, usize) {
    let text = &texts[index];
    if text.is_empty() || is_noise(text) {
        return (0, index);
    }
    // What stands above the first frame of a stack was thrown, whatever it is called.
    let is_thrown = texts.get(index + 1).is_some_and(|next| next.starts_with("at ") && next.contains(':'));
    let best = RULE_SET.iter().filter(|rule| rule.pattern.is_match(text)).max_by_key(|rule| rule.rank);
    let thrown = if is_thrown { THROWN } else { 0 };
    let Some(rule) = best.filter(|rule| rule.rank > thrown) else { return (thrown, index) };
    (rule.rank, if rule.announces_next && index + 1 < texts.len() { index + 1 } else { index })
}

fn is_noise(text: &str) -> bool {
    NOISE_SET.iter().any(|noise| noise.is_match(text))
}

/// Without what a tool puts in front of each of its lines.
fn shown(text: &str) -> &str {
    const TAGS: [&str; 8] =
        ["404 ", "notarget ", "notsup ", "nospc ", "network ", "enoent ", "JSON.parse ", "gyp ERR! "];
    for prefix in ["npm error ", "npm ERR! "] {
        if let Some(rest) = text.strip_prefix(prefix) {
            return TAGS.iter().find_map(|tag| rest.strip_prefix(tag)).unwrap_or(rest);
        }
    }
    text.strip_prefix("gyp ERR! stack ").or_else(|| text.strip_prefix("E   ")).unwrap_or(text).trim_start()
}

#[cfg(test)]
mod tests;
