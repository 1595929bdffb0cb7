//! Colours, and how wide the terminal is.

use crate::config::Environment;
use anstyle::{AnsiColor, Style};
use std::io::IsTerminal;

/// What went wrong.
pub const RED: Style = AnsiColor::Red.on_default().bold();

/// What went well.
pub const GREEN: Style = AnsiColor::Green.on_default();

/// What is under way, or deserves a look.
pub const YELLOW: Style = AnsiColor::Yellow.on_default();

/// What matters less.
pub const DIM: Style = Style::new().dimmed();

/// What matters more.
pub const BOLD: Style = Style::new().bold();

/// The colour of a state or a verdict.
pub fn style_of(state: &str) -> Style {
    match state {
        "succeeded" | "deployed" | "already-live" | "live" => GREEN,
        "failed" | "malformed" | "refused" => RED,
        "running" | "queued" | "waiting" | "started" | "undone" | "interrupted" | "unknown" => YELLOW,
        _ => DIM,
    }
}

/// How many columns there are for a line, where that matters: on a terminal, or where `COLUMNS` says so. None: a program reads this.
pub fn terminal_width() -> Option<usize> {
    let out = std::io::stdout();
    if out.is_terminal()
        && let Ok(size) = rustix::termios::tcgetwinsize(&out)
        && size.ws_col > 0
    {
        return Some(usize::from(size.ws_col));
    }
    let set = Environment::of_process().get("COLUMNS").and_then(|columns| columns.parse().ok());
    set.filter(|columns| *columns > 0)
}
