//! Lines for the journal. The processes that answer requests share one stream to it, and `eprintln!` writes a line in
//! pieces: two requests at once would each end the other's line in the middle.

use std::io::Write as _;

/// Writes one line, whole. A journal that cannot be written to keeps no request from its answer.
pub fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
