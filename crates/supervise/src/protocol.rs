//! What daemon and leash say to each other over the socket that is the leash's standard input.
//!
//! To the leash: the byte [`STOP`], or the end of the stream, which says that the daemon is no more. From the
//! leash: lines, one [`Report`] each. Both ends are the same program, so there is no version. A keeper answers in the same words.

use std::fmt;

use crate::Enforcement;

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

/// Who ended the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// It did itself, or somebody who has nothing to do with us.
    Itself,
    /// The leash, which had been told to.
    Order,
    /// The leash, because it used more memory than it may.
    Memory,
    /// The leash, because there were more processes and threads than it may have.
    Tasks,
}

impl EndedBy {
    const ALL: [Self; 4] = [Self::Itself, Self::Order, Self::Memory, Self::Tasks];

    fn word(self) -> &'static str {
        match self {
            Self::Itself => "itself",
            Self::Order => "order",
            Self::Memory => "memory",
            Self::Tasks => "tasks",
        }
    }
}

/// The last word of a leash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub status: Status,
    pub by: EndedBy,
    /// Processes that were still there a moment after the command had ended by itself.
    pub leftovers: u32,
    /// Processes that could not be killed.
    pub survivors: u32,
}

/// One line from the leash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// The command runs; so far is its confinement enforced, if one was asked for.
    Started(Option<Enforcement>),
    /// It could not be started: the number of the system's error (0 where it has none) and its text.
    Failed {
        errno: i32,
        text: String,
    },
    Ended(Ended),
    /// So many were killed.
    Killed(usize),
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(None) => write!(formatter, "started"),
            Self::Started(Some(Enforcement::Full)) => write!(formatter, "started full"),
            Self::Started(Some(Enforcement::Partial(interface))) => {
                write!(formatter, "started partial-{interface}")
            }
            Self::Started(Some(Enforcement::None)) => write!(formatter, "started none"),
            Self::Failed { errno, text } => {
                write!(formatter, "failed {errno} {}", text.replace(char::is_control, " "))
            }
            Self::Killed(number) => write!(formatter, "killed {number}"),
            Self::Ended(Ended { status, by, leftovers, survivors }) => {
                let (how, number) = match status {
                    Status::Exited(code) => ("exited", code),
                    Status::Signalled(signal) => ("signalled", signal),
                };
                write!(formatter, "{how} {number} {} {leftovers} {survivors}", by.word())
            }
        }
    }
}

impl Report {
    /// `None` for what no leash of ours would say.
    pub fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "started" => Some(Self::Started(match rest {
                "" => None,
                "full" => Some(Enforcement::Full),
                "none" => Some(Enforcement::None),
                partial => Some(Enforcement::Partial(partial.strip_prefix("partial-")?.parse().ok()?)),
            })),
            "failed" => {
                let (errno, text) = rest.split_once(' ')?;
                // It may come from somebody who wants to command a terminal.
                Some(Self::Failed { errno: errno.parse().ok()?, text: text.replace(char::is_control, " ") })
            }
            "killed" => Some(Self::Killed(rest.parse().ok()?)),
            "exited" | "signalled" => {
                let fields: Vec<&str> = rest.split(' ').collect();
                let [number, by, leftovers, survivors] = fields[..] else { return None };
                let number = number.parse().ok()?;
                Some(Self::Ended(Ended {
                    status: if word == "exited" { Status::Exited(number) } else { Status::Signalled(number) },
                    by: EndedBy::ALL.into_iter().find(|known| known.word() == by)?,
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
            Report::Started(None),
            Report::Started(Some(Enforcement::Full)),
            Report::Started(Some(Enforcement::Partial(2))),
            Report::Started(Some(Enforcement::None)),
            Report::Killed(7),
            Report::Failed { errno: 2, text: "No such file (os error 2)".into() },
            Report::Ended(Ended {
                status: Status::Exited(137),
                by: EndedBy::Itself,
                leftovers: 3,
                survivors: 0,
            }),
            Report::Ended(Ended {
                status: Status::Signalled(15),
                by: EndedBy::Memory,
                leftovers: 0,
                survivors: 1,
            }),
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
        for line in [
            "",
            "exited",
            "exited x order 0 0",
            "exited 0 order 0",
            "exited 0 nobody 0 0",
            "started half",
            "failed 2",
            "hello world",
        ] {
            assert_eq!(Report::parse(line), None, "{line:?}");
        }
    }
}
