//! The only place that takes the time.
//!
//! Wall-clock time is for people and for file names; it never orders anything (the spool's names do) and
//! never times anything out (tokio's monotonic clock does).

use jiff::Timestamp;

/// Now, by the wall clock.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Now, in Unix milliseconds: the form in which the database keeps times.
pub fn now_ms() -> i64 {
    now().as_millisecond()
}

/// Microseconds by the kernel's monotonic clock: systemd orders by it what it is told of a reload.
pub fn monotonic_us() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

/// The boot of this machine: what makes a process id mean something.
pub fn boot_id() -> String {
    fs_err::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// `20261123T115400Z`: how releases are named.
pub fn compact_utc(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// `2026-11-23 11:54:00`, in UTC, of Unix milliseconds: how people are shown a time.
pub fn readable_utc(at_ms: i64) -> String {
    match Timestamp::from_millisecond(at_ms) {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => at_ms.to_string(),
    }
}

/// `12 s ago`: how long ago something was, of milliseconds. What lies ahead of a clock that was set back was just now.
pub fn ago(milliseconds: i64) -> String {
    match milliseconds {
        ..1_000 => "just now".to_owned(),
        1_000..60_000 => format!("{} s ago", milliseconds / 1_000),
        60_000..3_600_000 => format!("{} min ago", milliseconds / 60_000),
        3_600_000..172_800_000 => format!("{} h ago", milliseconds / 3_600_000),
        _ => format!("{} days ago", milliseconds / 86_400_000),
    }
}

/// A duration, in milliseconds, for people.
pub fn duration(milliseconds: i64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..60_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        60_000..3_600_000 => format!("{} min {} s", milliseconds / 60_000, milliseconds / 1000 % 60),
        _ => format!("{} h {} min", milliseconds / 3_600_000, milliseconds / 60_000 % 60),
    }
}
