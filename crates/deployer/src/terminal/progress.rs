//! Shows that a long step is still running: which one, for how long, and the last line it has printed.
//!
//! There are three readers. A terminal gets one line at its bottom that is redrawn. Anything else (a log of a CI system) gets a line now
//! and then, so that nobody takes silence for a hang. And root, who has another user do the work and gets what that one says through a pipe,
//! gets what it needs to draw the line itself.

use super::printing;
use crate::base::clock::duration;
use crate::base::words::step_title;
use crate::config::Environment;
use crate::run_log::rendering::plain;
use crate::store::Step;
use crate::terminal::printing::drawn;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;
use tokio::time::Instant;

/// Says to the process that does the work for root that root draws the line.
pub const PASSED_ON_VARIABLE: &str = "DEPLOYER_PROGRESS";

/// Begins a line that is drawn by root. What follows is shown, cleaned of whatever a terminal obeys; nothing removes the line.
pub const PASSED_ON: char = '\u{6}';

/// Seconds of silence after which a line says that the step is still running.
const HEARTBEAT_VARIABLE: &str = "DEPLOYER_HEARTBEAT";

const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(30);

/// How often the line on a terminal moves although nothing happens.
const TICK: Duration = Duration::from_millis(100);

/// Draws a text as the line at the bottom of the terminal; an empty one takes it away.
pub fn draw(text: &str) {
    let mut drawn = drawn();
    if text.is_empty() {
        if let Some(bar) = drawn.take() {
            bar.finish_and_clear();
        }
        return;
    }
    let bar = drawn.get_or_insert_with(|| {
        let style = ProgressStyle::with_template("{spinner:.dim} {wide_msg}");
        let bar =
            ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(TICK);
        bar
    });
    bar.set_message(text.to_owned());
}

enum Reader {
    Terminal,
    Root,
    Log { every: Duration },
}

/// What is shown of one run while it is waited for. Takes its line away when it is dropped.
pub struct ProgressLine {
    reader: Reader,
    said_at: Instant,
    shown: String,
}

impl ProgressLine {
    /// For whoever reads standard error.
    pub fn start() -> Self {
        let environment = Environment::of_process();
        let reader = if environment.get(PASSED_ON_VARIABLE).is_some() {
            Reader::Root
        } else if std::io::stderr().is_terminal() && environment.get("TERM") != Some("dumb") {
            Reader::Terminal
        } else {
            let every = environment.get(HEARTBEAT_VARIABLE).and_then(|seconds| seconds.parse().ok());
            Reader::Log { every: every.map_or(HEARTBEAT_DEFAULT, Duration::from_secs) }
        };
        Self { reader, said_at: Instant::now(), shown: String::new() }
    }

    /// Something was printed: nobody takes this for a hang.
    pub fn printed(&mut self) {
        self.said_at = Instant::now();
    }

    /// This step runs now, and has printed this last.
    pub fn show(&mut self, step: &Step, now_ms: i64, last_line: &str) {
        // Whole seconds, and none in the first: the line is not to flicker.
        let elapsed = match (now_ms - step.started_at_ms) / 1000 {
            ..1 => String::new(),
            seconds @ 1..60 => format!("{seconds} s"),
            seconds => duration(seconds * 1000),
        };
        let for_so_long = if elapsed.is_empty() { String::new() } else { format!(", for {elapsed}") };
        let elapsed = if elapsed.is_empty() { elapsed } else { format!("  {elapsed}") };
        let last = plain(last_line);
        let last = last.trim();
        let name = plain(&step_title(&step.phase, &step.name));
        let text = match (&self.reader, last.is_empty()) {
            (Reader::Log { .. }, true) => {
                format!("still running: {name}{for_so_long}, without a line so far")
            }
            (Reader::Log { .. }, false) => {
                format!("still running: {name}{for_so_long}; its last line: {last}")
            }
            (_, true) => format!("{name}{elapsed}"),
            (_, false) => format!("{name}{elapsed}  {last}"),
        };
        self.show_text(text);
    }

    /// No step runs yet.
    pub fn wait_for(&mut self, what: &str) {
        self.show_text(what.to_owned());
    }

    fn show_text(&mut self, text: String) {
        if let Reader::Log { every } = self.reader {
            if self.said_at.elapsed() >= every {
                print_error_line!("{text}");
                self.printed();
            }
            return;
        }
        if self.shown == text {
            return;
        }
        match self.reader {
            Reader::Root => printing::marked_error_line(PASSED_ON, &text),
            _ => draw(&text),
        }
        self.shown = text;
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        match self.reader {
            Reader::Root if !self.shown.is_empty() => printing::marked_error_line(PASSED_ON, ""),
            Reader::Terminal => draw(""),
            _ => {}
        }
        self.shown.clear();
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.clear();
    }
}
