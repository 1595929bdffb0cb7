//! What daemon and leash say to each other over the socket that is the leash's standard input.
//!
//! To the leash: the byte [`STOP`], or the end of the stream, which says that the daemon is no more. From the
//! leash: lines, one [`Report`] each. Both ends are the same program, so there is no version.

use std::fmt;

/// The argument by which the product's `main` recognises that it is to be a leash.
pub const LEASH_ARGUMENT: &str = "__leash";

/// Stop the command and everything below it.
pub(crate) const STOP: u8 = b'T';

/// How a process ended, as wait(2) says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Exited(i32),
    Signalled(i32),
}

/// The last word of a leash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub status: Status,
    /// The leash had been told to stop it before it ended.
    pub ordered: bool,
    /// Processes that were still there a moment after the command had ended by itself.
    pub leftovers: u32,
    /// Processes that could not be killed.
    pub survivors: u32,
}

/// One line from the leash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// The command runs.
    Started,
    /// It could not be started: the number of the system's error (0 where it has none) and its text.
    Failed {
        errno: i32,
        text: String,
    },
    Ended(Ended),
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => write!(formatter, "started"),
            Self::Failed { errno, text } => write!(formatter, "failed {errno} {}", text.replace('\n', " ")),
            Self::Ended(Ended { status, ordered, leftovers, survivors }) => {
                let (how, number) = match status {
                    Status::Exited(code) => ("exited", code),
                    Status::Signalled(signal) => ("signalled", signal),
                };
                let why = if *ordered { "ordered" } else { "unasked" };
                write!(formatter, "{how} {number} {why} {leftovers} {survivors}")
            }
        }
    }
}

impl Report {
    /// `None` for what no leash of ours would say.
    pub fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "started" => Some(Self::Started),
            "failed" => {
                let (errno, text) = rest.split_once(' ')?;
                Some(Self::Failed { errno: errno.parse().ok()?, text: text.to_owned() })
            }
            "exited" | "signalled" => {
                let fields: Vec<&str> = rest.split(' ').collect();
                let [number, why, leftovers, survivors] = fields[..] else { return None };
                let number = number.parse().ok()?;
                Some(Self::Ended(Ended {
                    status: if word == "exited" { Status::Exited(number) } else { Status::Signalled(number) },
                    ordered: why == "ordered",
                    leftovers: leftovers.parse().ok()?,
                    survivors: survivors.parse().ok()?,
                }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_report_is_read_as_it_was_written() {
        for report in [
            Report::Started,
            Report::Failed { errno: 2, text: "No such file (os error 2)".into() },
            Report::Ended(Ended { status: Status::Exited(137), ordered: false, leftovers: 3, survivors: 0 }),
            Report::Ended(Ended { status: Status::Signalled(15), ordered: true, leftovers: 0, survivors: 1 }),
        ] {
            assert_eq!(Report::parse(&report.to_string()), Some(report));
        }
    }

    #[test]
    fn a_text_of_several_lines_stays_one_report() {
        assert!(!Report::Failed { errno: 0, text: "a\nexited 0".into() }.to_string().contains('\n'));
    }

    #[test]
    fn nonsense_is_not_a_report() {
        for line in ["", "exited", "exited x ordered 0 0", "exited 0 ordered 0", "failed 2", "hello world"] {
            assert_eq!(Report::parse(line), None, "{line:?}");
        }
    }
}
