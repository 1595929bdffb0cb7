//! What a commit must pass before it is deployed, as an operator writes it; and when a freeze holds.
//!
//! A window holds from its first moment to the one before its last: `Fri 16:00-Mon 08:00` at 16:00 already and at 08:00 no more.
//! Borders are civil times of one zone, made into moments one by one, so that a window ends once even where a clock is set
//! back. What a clock that is set forward leaves out counts as the moment after the gap. Pure; time zones come from `jiff`.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use std::path::PathBuf;

/// Windows that follow one upon the other are one freeze; after so many it has no end that would be worth naming.
const WINDOWS_IN_A_ROW_MAX: usize = 100;

/// What a deployment's commits must pass.
#[derive(Debug, Clone)]
pub struct Gates {
    /// Names of check runs and contexts of statuses that must have succeeded.
    pub checks: Vec<String>,
    /// The ssh keys of which one must have signed the commit (`ssh-keygen(1)`, ALLOWED SIGNERS).
    pub allowed_signers: Option<PathBuf>,
    /// Whether somebody must approve each commit.
    pub approval: bool,
    /// When nothing is deployed.
    pub freeze: Freeze,
}

/// When nothing is deployed.
#[derive(Debug, Clone)]
pub struct Freeze {
    /// In any of these.
    pub windows: Vec<Window>,
    /// In which their times are.
    pub zone: TimeZone,
}

/// A time of the week in which deploys are allowed, or are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// As the configuration has it, for messages.
    pub text: String,
    span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    Weekly { start: (Weekday, Time), end: (Weekday, Time) },
    Once { start: DateTime, end: DateTime },
}

/// A freeze that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// By which window, as written.
    pub window: String,
    /// Until when; None: its windows follow one upon the other without an end.
    pub until: Option<Timestamp>,
}

impl Gates {
    /// Whether every commit passes.
    pub fn are_none(&self) -> bool {
        self.checks.is_empty()
            && self.allowed_signers.is_none()
            && !self.approval
            && self.freeze.windows.is_empty()
    }
}

impl Freeze {
    /// The freeze that holds at a moment.
    pub fn at(&self, now: Timestamp) -> Option<Frozen> {
        let (window, mut until) = self.longest(now)?;
        for _ in 0..WINDOWS_IN_A_ROW_MAX {
            match self.longest(until) {
                Some((_, later)) => until = later,
                None => return Some(Frozen { window: window.text.clone(), until: Some(until) }),
            }
        }
        Some(Frozen { window: window.text.clone(), until: None })
    }

    /// A moment in words, in the freeze's own zone.
    pub fn words(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%a %Y-%m-%d %H:%M %Z").to_string()
    }

    fn longest(&self, now: Timestamp) -> Option<(&Window, Timestamp)> {
        let ends = self.windows.iter().filter_map(|window| Some((window, window.end(now, &self.zone)?)));
        ends.max_by_key(|(_, end)| *end)
    }
}

impl Window {
    /// `Fri 16:00-Mon 08:00`, each week; or `2026-12-20 00:00-2027-01-04 09:00`, once.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = || {
            "a window is written \"Fri 16:00-Mon 08:00\" or \"2026-12-20 00:00-2027-01-04 09:00\"".to_owned()
        };
        // A date has dashes of its own: the one between the borders is the first after a time.
        let (start_day, rest) = text.trim().split_once(' ').ok_or_else(form)?;
        let (start_time, end) = rest.split_once('-').ok_or_else(form)?;
        let (end_day, end_time) = end.trim().split_once(' ').ok_or_else(form)?;
        let start_time = time(start_time).ok_or_else(form)?;
        let end_time = time(end_time).ok_or_else(form)?;
        let span = match (weekday(start_day), weekday(end_day)) {
            (Some(start), Some(end)) => Span::Weekly { start: (start, start_time), end: (end, end_time) },
            (None, None) => Span::Once {
                start: date(start_day).ok_or_else(form)?.to_datetime(start_time),
                end: date(end_day).ok_or_else(form)?.to_datetime(end_time),
            },
            _ => return Err("a window has two days of the week or two dates, not one of each".into()),
        };
        match span {
            Span::Weekly { start, end } if start == end => Err("this window begins where it ends".into()),
            Span::Once { start, end } if start >= end => Err("this window ends before it begins".into()),
            _ => Ok(Self { text: text.trim().to_owned(), span }),
        }
    }

    /// When the window ends in which a moment lies; None: it lies in none.
    fn end(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let within = |start: DateTime, end: DateTime| {
            let moment = |civil: DateTime| civil.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp());
            let (start, end) = (moment(start)?, moment(end)?);
            (start <= now && now < end).then_some(end)
        };
        match self.span {
            Span::Once { start, end } => within(start, end),
            Span::Weekly { start: (start_day, start_time), end: (end_day, end_time) } => {
                let today = now.to_zoned(zone.clone()).date();
                let mut days = i64::from(start_day.until(end_day));
                if days == 0 && end_time <= start_time {
                    days = 7;
                }
                // It began today, or on one of the seven days before.
                (0..=7).find_map(|back| {
                    let first = today.checked_sub(jiff::Span::new().days(back)).ok()?;
                    let last = first.checked_add(jiff::Span::new().days(days)).ok()?;
                    (first.weekday() == start_day)
                        .then(|| within(first.to_datetime(start_time), last.to_datetime(end_time)))?
                })
            }
        }
    }
}

fn weekday(text: &str) -> Option<Weekday> {
    let days = [
        ("mon", Weekday::Monday),
        ("tue", Weekday::Tuesday),
        ("wed", Weekday::Wednesday),
        ("thu", Weekday::Thursday),
        ("fri", Weekday::Friday),
        ("sat", Weekday::Saturday),
        ("sun", Weekday::Sunday),
    ];
    days.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, day)| *day)
}

fn date(text: &str) -> Option<Date> {
    text.parse().ok()
}

fn time(text: &str) -> Option<Time> {
    let shape = text.trim();
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = shape.split(':').collect();
    (matches!(parts.len(), 2 | 3) && parts.iter().all(|part| digits(part))).then(|| shape.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freeze(windows: &[&str], zone: &str) -> Freeze {
        let windows = windows.iter().map(|text| Window::parse(text).unwrap()).collect();
        Freeze { windows, zone: TimeZone::get(zone).unwrap() }
    }

    fn until(freeze: &Freeze, now: &str) -> Option<String> {
        freeze.at(now.parse().unwrap()).map(|frozen| match frozen.until {
            Some(until) => until.to_string(),
            None => "never".into(),
        })
    }

    #[test]
    fn what_a_window_means_at_its_borders() {
        const WEEKEND: &str = "Fri 16:00-Mon 08:00";
        const CHRISTMAS: &str = "2026-12-20 00:00-2027-01-04 09:00";
        let monday = Some("2026-11-23T08:00:00Z");
        // The 23rd of November 2026 is a Monday.
        for (windows, zone, now, expected) in [
            (&[WEEKEND][..], "UTC", "2026-11-20T15:59:59Z", None),
            (&[WEEKEND], "UTC", "2026-11-20T16:00:00Z", monday),
            (&[WEEKEND], "UTC", "2026-11-22T00:00:00Z", monday),
            (&[WEEKEND], "UTC", "2026-11-23T07:59:59.999Z", monday),
            (&[WEEKEND], "UTC", "2026-11-23T08:00:00Z", None),
            (&[CHRISTMAS], "UTC", "2026-12-19T23:59:59Z", None),
            (&[CHRISTMAS], "UTC", "2026-12-20T00:00:00Z", Some("2027-01-04T09:00:00Z")),
            (&[CHRISTMAS], "UTC", "2027-01-04T09:00:00Z", None),
            // One day's hours, and all hours of a week but one.
            (&["Wed 12:00-Wed 13:00"], "UTC", "2026-11-25T12:30:00Z", Some("2026-11-25T13:00:00Z")),
            (&["Wed 12:00-Wed 13:00"], "UTC", "2026-11-25T13:00:00Z", None),
            (&["Wed 13:00-Wed 12:00"], "UTC", "2026-11-25T11:59:59Z", Some("2026-11-25T12:00:00Z")),
            (&["Wed 13:00-Wed 12:00"], "UTC", "2026-11-25T12:00:00Z", None),
            (&["Wed 13:00-Wed 12:00"], "UTC", "2026-11-25T13:00:00Z", Some("2026-12-02T12:00:00Z")),
            // Those that meet are one; those that fill the week have no end.
            (&[WEEKEND, "Mon 08:00-Mon 09:00"], "UTC", "2026-11-21T00:00:00Z", Some("2026-11-23T09:00:00Z")),
            (&["Mon 00:00-Thu 00:00", "Thu 00:00-Mon 00:00"], "UTC", "2026-11-21T00:00:00Z", Some("never")),
            // In another zone, and over the days on which its clocks are set: forward at 01:00 on the 29th of March 2026,
            // back at 02:00 on the 25th of October.
            (&[WEEKEND], "America/New_York", "2026-11-20T20:59:59Z", None),
            (&[WEEKEND], "America/New_York", "2026-11-20T21:00:00Z", Some("2026-11-23T13:00:00Z")),
            (&["Sun 01:30-Sun 03:00"], "Europe/London", "2026-03-29T01:30:00Z", Some("2026-03-29T02:00:00Z")),
            (&["Sun 01:30-Sun 03:00"], "Europe/London", "2026-03-29T01:29:59Z", None),
            (&["Sun 00:00-Sun 01:30"], "Europe/London", "2026-10-25T00:29:59Z", Some("2026-10-25T00:30:00Z")),
            (&["Sun 00:00-Sun 01:30"], "Europe/London", "2026-10-25T01:15:00Z", None),
        ] {
            let found = until(&freeze(windows, zone), now);
            assert_eq!(found.as_deref(), expected, "{windows:?} {zone} {now}");
        }
    }

    #[test]
    fn what_is_a_window() {
        for good in
            ["Fri 16:00-Mon 08:00", "fri 16:00 - mon 08:00", "2026-12-20 00:00:30-2026-12-20 00:00:31"]
        {
            assert!(Window::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Fri",
            "Fri 16:00",
            "Fri-Mon",
            "Fri 16:00-08:00",
            "Fri 24:00-Mon 08:00",
            "Fri 16-Mon 08",
            "Fri 16:00-Fri 16:00",
            "Fri 16:00-2026-12-20 00:00",
            "2026-12-20 00:00-2026-12-20 00:00",
            "2026-12-21 00:00-2026-12-20 00:00",
            "2026-02-30 00:00-2026-12-20 00:00",
            "Freitag 16:00-Montag 08:00",
            "Fri 16:00-Mon 08:00-Tue 09:00",
        ] {
            assert!(Window::parse(bad).is_err(), "{bad}");
        }
    }
}
