//! What daemon and supervisor process say to each other over the socket that is the supervisor process's standard input.
//!
//! To the supervisor: first the command's variables ([`write_variables`]), then the byte [`STOP`], or the end of the stream, which says that
//! the daemon is no more. From the supervisor: lines, one [`Report`] each. Both ends are the same program, so there is no version. A spawner
//! answers in the same words.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::{Enforcement, Landlock};

/// The argument by which the product's `main` recognises that it is to be a supervisor.
pub const SUPERVISOR_ARGUMENT: &str = "__leash";

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
    /// The supervisor, which had been told to.
    Order,
    /// The supervisor, because it used more memory than it may.
    Memory,
    /// The supervisor, because there were more processes and threads than it may have.
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

/// The last word of a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub status: Status,
    pub by: EndedBy,
    /// Processes that were still there a moment after the command had ended by itself.
    pub leftovers: u32,
    /// Processes that could not be killed.
    pub survivors: u32,
}

/// One line from the supervisor.
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
    /// This process was left alone, as the caller wanted it.
    Spared(i32),
}

/// The system gives a process no more than 2 MiB of arguments and environment, if nobody has raised that.
const VARIABLES_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A command's environment as it goes to the supervisor: a length of four bytes, then `NAME=VALUE` with a zero byte behind each. It is not the
/// supervisor process's own environment, because `LD_PRELOAD` and the like in it would be obeyed by a program that is not restricted yet.
pub(crate) fn write_variables(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    for (name, value) in variables {
        if name.as_bytes().contains(&0) || value.as_bytes().contains(&0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a variable contains a zero byte"));
        }
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b'=');
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
    }
    let length = bytes.len() - 4;
    if length > VARIABLES_BYTES_MAX {
        return Err(io::Error::from_raw_os_error(rustix::io::Errno::TOOBIG.raw_os_error()));
    }
    let length = u32::try_from(length).expect("the limit is far below");
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

/// Reads what [`write_variables`] wrote.
pub(crate) fn read_variables(mut source: impl Read) -> io::Result<Vec<(OsString, OsString)>> {
    let nonsense = || io::Error::new(io::ErrorKind::InvalidData, "these are not the variables of a command");
    let mut length = [0; 4];
    source.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > VARIABLES_BYTES_MAX {
        return Err(nonsense());
    }
    let mut bytes = vec![0; length];
    source.read_exact(&mut bytes)?;
    let variable = |word: &[u8]| {
        // The first byte of a name may be the sign itself: a shell's own variables are so.
        let end = word.iter().skip(1).position(|byte| *byte == b'=')? + 1;
        let owned = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        Some((owned(&word[..end]), owned(&word[end + 1..])))
    };
    let words = bytes.split_inclusive(|byte| *byte == 0).map(|word| word.strip_suffix(&[0]));
    words.map(|word| word.and_then(variable)).collect::<Option<_>>().ok_or_else(nonsense)
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(None) => write!(formatter, "started"),
            Self::Started(Some(enforcement)) => write!(formatter, "started {enforcement}"),
            Self::Spared(pid) => write!(formatter, "spared {pid}"),
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

impl fmt::Display for Enforcement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.landlock {
            Landlock::Full => write!(formatter, "full")?,
            Landlock::Partial(interface) => write!(formatter, "partial-{interface}")?,
            Landlock::None => write!(formatter, "none")?,
        }
        let filter = if self.system_calls { FILTERED } else { UNFILTERED };
        let group = if self.control_group { GROUPED } else { UNGROUPED };
        write!(formatter, " {filter} {group}")
    }
}

impl Enforcement {
    /// Reads what it is written as.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let [landlock, filter, group] = words[..] else { return None };
        let which = |word, yes, no| (word == yes || word == no).then_some(word == yes);
        Some(Self {
            landlock: match landlock {
                "full" => Landlock::Full,
                "none" => Landlock::None,
                partial => Landlock::Partial(partial.strip_prefix("partial-")?.parse().ok()?),
            },
            system_calls: which(filter, FILTERED, UNFILTERED)?,
            control_group: which(group, GROUPED, UNGROUPED)?,
        })
    }
}

const FILTERED: &str = "filtered";
const UNFILTERED: &str = "unfiltered";
const GROUPED: &str = "grouped";
const UNGROUPED: &str = "ungrouped";

impl Report {
    pub fn failed(error: &io::Error) -> Self {
        Self::Failed { errno: error.raw_os_error().unwrap_or(0), text: error.to_string() }
    }

    /// `None` for what no supervisor process of ours would say.
    pub fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "started" => Some(Self::Started(match rest {
                "" => None,
                enforcement => Some(Enforcement::parse(enforcement)?),
            })),
            "spared" => Some(Self::Spared(rest.parse().ok()?)),
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
            Report::Started(Some(Enforcement {
                landlock: Landlock::Full,
                system_calls: true,
                control_group: true,
            })),
            Report::Started(Some(Enforcement {
                landlock: Landlock::Partial(2),
                system_calls: true,
                control_group: false,
            })),
            Report::Started(Some(Enforcement {
                landlock: Landlock::None,
                system_calls: false,
                control_group: false,
            })),
            Report::Spared(77),
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
    fn variables_are_read_as_they_were_written() {
        let variables =
            || [("A", "=1="), ("=x", ""), ("B", "line\nfeed"), ("", "x")].map(|(n, v)| (n.into(), v.into()));
        let bytes = write_variables(variables()).unwrap();
        let (last, others) =
            variables().split_last().map(|(last, others)| (last.clone(), others.to_vec())).unwrap();
        assert_eq!(last.0, "");
        // The nameless one cannot be told from `=x=`: no program can be given it either.
        assert!(read_variables(&bytes[..]).is_err());
        let bytes = write_variables(others.clone()).unwrap();
        assert_eq!(read_variables(&bytes[..]).unwrap(), others);
        assert_eq!(read_variables(&write_variables([]).unwrap()[..]).unwrap(), []);
        assert!(write_variables([("A".into(), "a\0B=b".into())]).is_err());
        for nonsense in [&b""[..], b"\0\0\0\x02A=", b"\0\0\0\x02A\0", b"\xff\xff\xff\xff"] {
            assert!(read_variables(nonsense).is_err(), "{nonsense:?}");
        }
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
            "started full",
            "started full filtered maybe",
            "spared everybody",
            "failed 2",
            "hello world",
        ] {
            assert_eq!(Report::parse(line), None, "{line:?}");
        }
    }
}
