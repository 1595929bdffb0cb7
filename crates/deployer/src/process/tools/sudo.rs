//! `sudo`, as we call it, and what an administrator must write into sudoers so that it lets us.
//!
//! A rule is for one call with just its arguments: with free ones, most programs are root for whoever runs as the deployer.

use crate::config::CommandLine;
use std::path::Path;

/// Before a command that needs root. Where a password would be asked for, it fails at once instead of waiting for somebody.
pub const WAY: [&str; 2] = ["sudo", "-n"];

/// What sudo says where no rule allows a call.
const REFUSALS: [&str; 4] =
    ["a password is required", "is not allowed to", "is not in the sudoers file", "may not run sudo"];

/// What a call by sudo runs: the program and its arguments.
pub fn called(line: &CommandLine) -> Option<(String, Vec<String>)> {
    let words = line.argv();
    // A shell may open its standard input for it: `sh -c SCRIPT sh FILE sudo -n ...`.
    let words = match words.as_slice() {
        [shell, option, _, _, _, called @ ..] if shell == "sh" && option == "-c" => called,
        words => words,
    };
    let (program, arguments) = words.strip_prefix(&WAY.map(str::to_owned)[..])?.split_first()?;
    Some((program.clone(), arguments.to_vec()))
}

/// Whether a failed call by sudo has failed for want of a rule.
pub fn has_refused(complaint: &str) -> bool {
    REFUSALS.iter().any(|refusal| complaint.contains(refusal))
}

/// The rule that allows a call: for a user, a program by its whole path, and its arguments.
pub fn rule(user: &str, program: &Path, arguments: &[String]) -> String {
    let words = std::iter::once(program.to_string_lossy().into_owned()).chain(arguments.iter().cloned());
    let command: Vec<String> = words.map(|word| escaped(&word)).collect();
    format!("{user} ALL=(root) NOPASSWD: {}", command.join(" "))
}

/// A word as sudoers takes it literally.
fn escaped(word: &str) -> String {
    let mut escaped = String::new();
    for character in word.chars() {
        if "\\,:=#*?[]!".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(words: &[&str]) -> CommandLine {
        CommandLine::Argv(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn a_rule_is_for_one_call_as_it_is_made() {
        let restart = argv(&["sudo", "-n", "systemctl", "restart", "--", "a@b.service"]);
        let (program, arguments) = called(&restart).unwrap();
        assert_eq!(program, "systemctl");
        let rule_of = |arguments: &[String]| rule("deployer", Path::new("/usr/bin/systemctl"), arguments);
        assert_eq!(
            rule_of(&arguments),
            "deployer ALL=(root) NOPASSWD: /usr/bin/systemctl restart -- a@b.service"
        );
        assert_eq!(
            rule_of(&["https://ca.example/dir,x=*".to_owned()]),
            r"deployer ALL=(root) NOPASSWD: /usr/bin/systemctl https\://ca.example/dir\,x\=\*"
        );
        for line in [argv(&["systemctl", "restart"]), argv(&["sudo", "-n"]), argv(&["sudo", "-u", "x", "id"])]
        {
            assert_eq!(called(&line), None, "{}", line.shown());
        }
    }

    #[test]
    fn a_refusal_is_told_from_a_failure_of_what_was_called() {
        for (complaint, expected) in [
            ("exited with 1: sudo: a password is required", true),
            (
                "exited with 1: Sorry, user deployer is not allowed to execute '/usr/bin/id' as root on host.",
                true,
            ),
            ("exited with 1: Job for site.service failed", false),
            ("exited with 1: sudo: unable to resolve host machine", false),
        ] {
            assert_eq!(has_refused(complaint), expected, "{complaint}");
        }
    }
}
