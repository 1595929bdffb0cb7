//! What `nginx -t` says, in terms of who is to blame: the repository's file and line, not a path on this host or in the stage.

use super::{SitesStep, files};
use crate::config::CommandLine;
use crate::process::step_context::{LogEvent, StepContext};
use crate::steps::nginx::site_file::SiteFile;
use anyhow::{Result, anyhow};
use nginx_policy::configuration;
use std::path::Path;
use std::sync::Mutex;

/// Lines of a refusal that are looked at: nginx stops at the first error, and may warn some hundred times before.
const LINES_MAX: usize = 1_000;

/// Runs a test of nginx's and gives what it printed. An error is its first complaint, with the file to blame.
pub async fn judged(
    step: &SitesStep,
    command: &CommandLine,
    stage: Option<&Path>,
    step_context: &StepContext<'_>,
) -> Result<String> {
    let lines = Mutex::new(Vec::new());
    let hear = |heard: LogEvent<'_>| {
        if let LogEvent::Line(line) = heard {
            let mut lines = lines.lock().expect("no holder panics");
            if lines.len() < LINES_MAX {
                lines.push(line.text.clone());
            }
        }
        (step_context.hear)(heard);
    };
    let result = StepContext { hear: &hear, ..*step_context }.call(command).await;
    let error = match result {
        Ok(printed) => return Ok(printed),
        Err(error) => error,
    };
    let lines = lines.into_inner().expect("no holder panics");
    match lines.iter().find_map(|line| complaint(line)) {
        Some(complaint) => {
            Err(anyhow!("nginx refuses it: {}", in_their_words(step, complaint, stage, step_context).await))
        }
        None => Err(error),
    }
}

/// `unknown directive "x" in /etc/nginx/a:3` of a line that says so.
pub fn complaint(line: &str) -> Option<&str> {
    const LEVELS: [&str; 3] = ["[emerg]", "[alert]", "[crit]"];
    let level = LEVELS.iter().find_map(|level| line.split_once(level));
    // An alert alone ends nothing: without rights, that a log cannot be opened is one.
    let rest = level.map(|(_, rest)| rest.trim()).map(|rest| match rest.split_once(": ") {
        // In a log, the process and the thread come first.
        Some((process, rest)) if process.bytes().all(|byte| byte.is_ascii_digit() || byte == b'#') => rest,
        _ => rest,
    });
    rest.filter(|rest| !rest.starts_with("could not open error log file"))
}

/// Paths become those of the repository, where the file is from there.
async fn in_their_words(
    step: &SitesStep,
    complaint: &str,
    stage: Option<&Path>,
    step_context: &StepContext<'_>,
) -> String {
    let mut text = complaint.to_owned();
    if let Some(stage) = stage {
        text = text.replace(&*stage.to_string_lossy(), "");
    }
    for wanted in &step.selection.files {
        let live = step.nginx.directory.join(&wanted.target);
        text = replaced_path(&text, &live.to_string_lossy(), &wanted.source);
    }
    if step.selection.files.iter().any(|wanted| text.contains(&wanted.source)) {
        return text;
    }
    // nginx names no place (keys, variables and zones are looked for after all files have been read), or the second of two that
    // contradict each other: then it is the file that speaks of the same thing.
    let files = files::read(step, step_context).await.unwrap_or_default();
    match subjects(complaint).into_iter().find_map(|subject| speaker(&files, subject, complaint)) {
        Some(place) => format!("{text} ({place})"),
        None => text,
    }
}

/// What a complaint is about: what it quotes, and addresses.
fn subjects(complaint: &str) -> Vec<&str> {
    let quoted = complaint.split('"').skip(1).step_by(2).filter(|text| !text.is_empty());
    let is_address = |word: &&str| word.contains(':') && !word.starts_with('/') && !word.ends_with(':');
    quoted.chain(complaint.split_ascii_whitespace().filter(is_address)).collect()
}

/// Replaces a path where it ends there, and not in the middle of a longer one.
fn replaced_path(text: &str, path: &str, by: &str) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(path) {
        let ends = after.chars().next().is_none_or(|next| matches!(next, ':' | '"' | ' ' | ','));
        replaced.push_str(before);
        replaced.push_str(if ends { by } else { path });
        rest = after;
    }
    replaced + rest
}

/// `production/[x].conf:12`, where an argument has this in it.
fn speaker(files: &[SiteFile], subject: &str, complaint: &str) -> Option<String> {
    // Of all that listen at an address, those that want to be its default.
    let wanted = if complaint.contains("default server") { "default" } else { "" };
    files.iter().find_map(|file| {
        let mut found = None;
        configuration::each(&file.directives, &mut |directive| {
            let speaks = directive.arguments().iter().any(|word| word.text.contains(subject));
            if speaks && directive.arguments().iter().any(|word| word.text.starts_with(wanted)) {
                found.get_or_insert(directive.line());
            }
        });
        found.map(|line| format!("{}:{line}", file.wanted.source))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_found_among_warnings() {
        for (line, expected) in [
            ("nginx: [emerg] unknown directive \"x\" in /a:3", Some("unknown directive \"x\" in /a:3")),
            ("nginx: [warn] the \"user\" directive makes sense only if", None),
            ("nginx: [alert] could not open error log file: open() \"/var/log\" failed", None),
            ("2026/11/23 10:00:00 [emerg] 12#12: bind() failed", Some("bind() failed")),
            ("nginx: configuration file /x test failed", None),
        ] {
            assert_eq!(complaint(line), expected, "{line}");
        }
    }

    #[test]
    fn a_complaint_without_a_place_is_about_something() {
        let duplicate = "a duplicate default server for 127.0.0.1:80 in /etc/nginx/nginx.conf:15";
        assert_eq!(subjects(duplicate), ["127.0.0.1:80"]);
        assert_eq!(subjects("unknown \"x\" variable"), ["x"]);
    }

    #[test]
    fn a_path_is_replaced_as_a_whole() {
        assert_eq!(replaced_path("x in /e/a:3", "/e/a", "p/a"), "x in p/a:3");
        assert_eq!(replaced_path("x in /e/ab:3", "/e/a", "p/a"), "x in /e/ab:3");
        assert_eq!(replaced_path("\"/e/a\" failed", "/e/a", "p/a"), "\"p/a\" failed");
    }
}
