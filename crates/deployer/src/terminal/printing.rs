//! Writes to standard output and standard error without ever panicking.
//!
//! `println!` panics where the output is full or closed, in the middle of whatever the command is doing. A command that deploys must go on
//! then: what it does matters more than what it says. So the first failure is remembered, further output is dropped, and [`end`] decides
//! about the exit code. `clippy.toml` forbids the macros that panic.

use std::fmt::Arguments;
use std::io::{Error, Write};
use std::sync::OnceLock;
use std::time::Duration;

/// Why standard output does not take what is written to it any more.
static LOST: OnceLock<Error> = OnceLock::new();

/// How often a watching command looks whether anybody reads it.
const LOOK_INTERVAL: Duration = Duration::from_millis(150);

/// Prints a line to standard output.
macro_rules! print_line {
    () => { $crate::terminal::printing::line(format_args!("")) };
    ($($text:tt)+) => { $crate::terminal::printing::line(format_args!($($text)+)) };
}

/// Prints a line to standard error.
macro_rules! print_error_line {
    ($($text:tt)+) => { $crate::terminal::printing::error_line(format_args!($($text)+)) };
}

/// Prints a line to standard output, without colours where that is no terminal.
pub fn line(text: Arguments<'_>) {
    super::progress::suspended(|| out(format_args!("{text}\n")));
}

/// Prints a text to standard output as it is.
pub fn text(text: &str) {
    super::progress::suspended(|| out(format_args!("{text}")));
}

fn out(text: Arguments<'_>) {
    if is_lost() {
        return;
    }
    // One write for each line: the formatting itself may not fail, so that an error is one of the output.
    let text = text.to_string();
    let mut out = anstream::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        lose(error);
    }
}

/// Prints a line to standard output for the process that reads it, which knows it by its first character. That is one that a stream without
/// colours would take away.
pub fn marked_line(mark: char, text: &str) {
    if is_lost() {
        return;
    }
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(format!("{mark}{text}\n").as_bytes()).and_then(|()| out.flush()) {
        lose(error);
    }
}

/// The same to standard error.
pub fn marked_error_line(mark: char, text: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{mark}{text}\n").as_bytes());
}

/// Prints a line to standard error. Where that cannot be written there is nobody who could be told.
pub fn error_line(text: Arguments<'_>) {
    let text = format!("{text}\n");
    super::progress::suspended(|| drop(anstream::stderr().lock().write_all(text.as_bytes())));
}

/// Writes to standard error as it is, without a line's end.
pub fn error_text(text: Arguments<'_>) {
    let text = text.to_string();
    let mut error = anstream::stderr().lock();
    let _ = error.write_all(text.as_bytes()).and_then(|()| error.flush());
}

/// Remembers that standard output does not take any more.
pub fn lose(error: Error) {
    let _ = LOST.set(error);
}

/// Why standard output does not take any more, where it does not.
pub fn failure() -> Option<&'static Error> {
    LOST.get()
}

/// Whether nobody gets what is printed from now on: a command that only watches may end.
pub fn is_lost() -> bool {
    LOST.get().is_some()
}

/// Returns when nobody gets what is printed any more.
pub async fn lost() {
    while !is_lost() {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
