//! Short forms of ids, as tables show them and people type them.

use std::collections::HashSet;

/// Digits of a short form: as many as git shows.
pub const DIGITS_MIN: usize = 7;

/// What of an id is shortened: for a run what stands behind the time.
pub fn significant(id: &str, is_run: bool) -> String {
    let digits: String = id.chars().filter(|character| *character != '-').collect();
    match is_run && digits.len() > TIME_DIGITS + DIGITS_MIN && digits.is_ascii() {
        true => digits[TIME_DIGITS..].to_owned(),
        false => digits,
    }
}

/// Short forms that are unique among all ids of a kind.
#[derive(Debug)]
pub struct Short {
    digits: usize,
    is_run: bool,
}

impl Short {
    /// The short forms of these ids, each as long as it takes to tell them apart.
    pub fn among<'a>(ids: impl Iterator<Item = &'a str>, is_run: bool) -> Self {
        let ids: HashSet<String> = ids.map(|id| significant(id, is_run)).collect();
        let is_unique = |digits: &usize| {
            let short: HashSet<&str> = ids.iter().map(|id| id.get(..*digits).unwrap_or(id)).collect();
            short.len() == ids.len()
        };
        let longest = ids.iter().map(String::len).max().unwrap_or(DIGITS_MIN);
        Self { digits: (DIGITS_MIN..longest).find(is_unique).unwrap_or(longest), is_run }
    }

    /// The short form of an id.
    pub fn of(&self, id: &str) -> String {
        let significant = significant(id, self.is_run);
        significant.get(..self.digits).map_or(significant.clone(), str::to_owned)
    }
}

/// Whether somebody who types this may mean that id.
pub fn may_mean(id: &str, typed: &str, is_run: bool) -> bool {
    let typed = typed.to_ascii_lowercase();
    let digits: String = typed.chars().filter(|character| *character != '-').collect();
    id.starts_with(&typed) || (!digits.is_empty() && significant(id, is_run).starts_with(&digits))
}

/// Of the 32 digits of a run's id, the time and the version.
const TIME_DIGITS: usize = 13;
