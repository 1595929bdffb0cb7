//! Words that depend on a number.

use std::fmt::Display;

/// "1 run", "2 runs": a number with what it counts, in the form that the number asks for.
pub fn counted(number: impl Display, one: &str, many: &str) -> String {
    let number = number.to_string();
    let what = if number == "1" { one } else { many };
    format!("{number} {what}")
}

/// A cause, and what to do about it, which follows it on a line of its own.
pub fn cause_and_hint(text: &str) -> (&str, Option<&str>) {
    match text.split_once("\nhint: ") {
        Some((cause, hint)) => (cause, Some(hint)),
        None => (text, None),
    }
}

/// The title of a step for people: a step that is called as its phase is named once.
pub fn step_title(phase: &str, name: &str) -> String {
    match name.is_empty() || name == phase {
        true => phase.to_owned(),
        false => format!("{phase} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_everything_else_is_many() {
        let said = |number: u64| counted(number, "entry", "entries");
        assert_eq!(
            [said(0), said(1), said(2), said(11)],
            ["0 entries", "1 entry", "2 entries", "11 entries"]
        );
    }

    #[test]
    fn a_hint_stands_behind_its_cause() {
        assert_eq!(cause_and_hint("it is down\nhint: start it"), ("it is down", Some("start it")));
        assert_eq!(cause_and_hint("it is down"), ("it is down", None));
    }

    #[test]
    fn a_step_that_is_called_as_its_phase_is_named_once() {
        assert_eq!([step_title("fetch", "fetch"), step_title("fetch", "export")], ["fetch", "fetch export"]);
    }
}
