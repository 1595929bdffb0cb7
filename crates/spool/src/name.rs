//! The name of an entry: `<epoch nanoseconds, 20 digits>-<id>.json`.
//!
//! Twenty digits hold every `u64`, so that comparing names as text compares their times, and `ls` shows
//! entries in the order of their arrival. A name can only be had by parsing or by appending; holding an
//! [`EntryName`] therefore means that it is one plain path component and can name nothing outside the spool.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest id accepted, in bytes. A GUID needs 36; with time and suffix a name stays far below the 255 bytes
/// that file systems allow, also with `.reason` behind it.
pub const ID_BYTES_MAX: usize = 64;

const NANOS_DIGITS: usize = 20;
const SUFFIX: &str = ".json";

/// The checked name of an entry. Orders by arrival. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(Arc<str>);

impl EntryName {
    /// The caller has checked `id` with [`is_id`].
    pub(crate) fn new(nanos: u64, id: &str) -> EntryName {
        debug_assert!(is_id(id), "ids are checked where they enter");
        EntryName(format!("{nanos:020}-{id}{SUFFIX}").into())
    }

    /// The id that the entry was appended under.
    pub fn id(&self) -> &str {
        &self.0[NANOS_DIGITS + 1..self.0.len() - SUFFIX.len()]
    }

    /// When the entry arrived, in nanoseconds since the epoch; or a little later, where the clock had been
    /// set back and the order was kept instead.
    pub fn nanos(&self) -> u64 {
        self.0[..NANOS_DIGITS].parse().expect("the constructor and the parser admit only a u64 here")
    }

    /// The file name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not of the form `<20 digits>-<id>.json`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a spool entry: <epoch nanoseconds, 20 digits>-<id>.json")]
pub struct InvalidName(String);

impl FromStr for EntryName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if is_name(text) { Ok(EntryName(text.into())) } else { Err(InvalidName(text.to_owned())) }
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for EntryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

/// An id becomes part of a file name, therefore: 1 to 64 ASCII letters, digits and hyphens.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_name(text: &str) -> bool {
    let Some((nanos, rest)) = text.split_once('-') else { return false };
    let Some(id) = rest.strip_suffix(SUFFIX) else { return false };
    nanos.len() == NANOS_DIGITS
        && nanos.bytes().all(|byte| byte.is_ascii_digit())
        && nanos.parse::<u64>().is_ok()
        && is_id(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_gives_back_what_it_was_made_of() {
        let name = EntryName::new(1_700_000_000_000_000_001, "a-B-9");
        assert_eq!(name.as_str(), "01700000000000000001-a-B-9.json");
        assert_eq!((name.nanos(), name.id()), (1_700_000_000_000_000_001, "a-B-9"));
        assert_eq!(name.as_str().parse(), Ok(name));
    }

    #[test]
    fn foreign_names_are_refused() {
        for foreign in [
            "",
            "-",
            ".json",
            "tmp",
            "lock",
            "1700000000000000001-a.json",
            "001700000000000000001-a.json",
            "0170000000000000000x-a.json",
            "+1700000000000000001-a.json",
            "99999999999999999999-a.json",
            "01700000000000000001-.json",
            "01700000000000000001-a",
            "01700000000000000001-a.json.reason",
            "01700000000000000001-a.json~",
            "01700000000000000001-a/b.json",
            "01700000000000000001-a.b.json",
            "01700000000000000001-ä.json",
            "01700000000000000001_a.json",
            ".01700000000000000001-a.json",
        ] {
            assert!(foreign.parse::<EntryName>().is_err(), "{foreign:?}");
        }
        assert!(format!("{:020}-{}.json", 1, "a".repeat(65)).parse::<EntryName>().is_err());
    }

    proptest! {
        #[test]
        fn names_order_by_time(left: u64, right: u64, id in "[A-Za-z0-9-]{1,64}") {
            prop_assert_eq!(EntryName::new(left, &id).cmp(&EntryName::new(right, &id)), left.cmp(&right));
        }

        #[test]
        fn parsing_never_panics_and_what_parses_is_safe(text in "\\PC{0,90}|[0-9]{18,22}[-_][a-z/.-]{0,66}\\.json") {
            if let Ok(name) = text.parse::<EntryName>() {
                prop_assert!(!name.as_str().contains(['/', '\0']) && !name.as_str().starts_with('.'));
                prop_assert_eq!(EntryName::new(name.nanos(), name.id()), name);
            }
        }
    }
}
