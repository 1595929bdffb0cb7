//! Asks a person before something is done.

use super::failed::Failed;
use super::printing;
use crate::config::Environment;
use anyhow::{Context, anyhow};
use std::io::{BufRead, IsTerminal};

/// Asks a person before something is done; `--yes` has agreed already.
pub fn agreed(yes: bool, question: &str) -> Result<(), Failed> {
    if yes {
        return Ok(());
    }
    if Environment::of_process().get(QUESTIONS_VARIABLE).is_some() {
        // Root has the terminal, and asks.
        printing::marked_line(QUESTION, question);
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
        return if answer.trim() == "y" { Ok(()) } else { Err(nothing_done()) };
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failed::because(anyhow!("nobody is there to be asked"))
            .hint("`--yes` does it without asking; `--dry-run` only says what would be done"));
    }
    if agrees(question)? { Ok(()) } else { Err(nothing_done()) }
}

/// Asks whoever sits at the terminal.
pub fn agrees(question: &str) -> anyhow::Result<bool> {
    printing::text(&format!("\n{question} [y/N] "));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

fn nothing_done() -> Failed {
    Failed::because(anyhow!("nothing was done"))
}

/// Says to the other one that root asks its questions. What root gets to see is its own question; the answer is yes or no, and no other line
/// that is typed leaves root.
pub const QUESTIONS_VARIABLE: &str = "DEPLOYER_QUESTIONS";

/// Begins a line that is a question.
pub const QUESTION: char = '\u{5}';
