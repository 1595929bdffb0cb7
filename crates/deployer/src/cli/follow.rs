//! A run, watched: its steps and what they print, as they come.

use crate::base::clock::{duration, now_ms};
use crate::base::words::cause_and_hint;
use crate::run_log::{RunLogReader, Stream, rendering};
use crate::store::{Run, RunState, StepState, Store};
use crate::terminal::printing;
use crate::terminal::progress::ProgressLine;
use crate::terminal::style::{BOLD, DIM, GREEN, RED, YELLOW};
use anyhow::Result;
use std::path::Path;
use std::time::Duration;

/// How often the log and the database are looked at.
const POLL: Duration = Duration::from_millis(150);

/// Shows a run's log until the run has ended, then its end. Returns the run as it ended.
pub async fn to_the_end(store: &Store, logs: &Path, id: &str) -> Result<Run> {
    let mut progress = ProgressLine::start();
    let mut reader = RunLogReader::open(logs, id, 0)?;
    // The last line of each step, by its number: steps may run side by side.
    let mut last = Last::default();
    loop {
        let run = store.run(id).await?;
        let ended = run.filter(|run| run.state.is_final() || run.state == RunState::Unknown);
        if show_new(&mut reader, &mut last).await? {
            progress.printed();
        }
        // Nothing more of it is done before an operator has looked.
        if let Some(run) = ended {
            progress.clear();
            show_end(&run);
            return Ok(run);
        }
        let steps = store.steps(id).await?;
        match steps.iter().rev().find(|step| step.state == StepState::Started) {
            Some(step) => progress.show(step, now_ms(), last.of(step.number)),
            None => progress.wait_for("between two steps"),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What a step has printed last.
#[derive(Debug, Default)]
pub struct Last {
    step: u32,
    text: String,
}

impl Last {
    fn of(&self, step: u32) -> &str {
        if self.step == step { &self.text } else { "" }
    }
}

/// Shows what is in the log now, and says whether that was anything.
pub async fn show_new(reader: &mut RunLogReader, last: &mut Last) -> Result<bool> {
    let mut has_shown = false;
    while let Some(batch) = reader.read().await? {
        for line in batch.lines {
            has_shown = true;
            // Where the output is no terminal, `anstream` takes the colours out.
            let text = rendering::for_terminal(&line.text);
            match line.stream {
                Stream::Cause => print_line!("{RED}why>{RED:#} {text}"),
                Stream::Context => print_line!("{DIM}   >{DIM:#} {text}"),
                Stream::Note => print_line!("{BOLD}> {text}{BOLD:#}"),
                Stream::Output => print_line!("{DIM}  |{DIM:#} {text}"),
                Stream::Error => print_line!("{YELLOW}  |{YELLOW:#} {text}"),
            }
            if matches!(line.stream, Stream::Output | Stream::Error) {
                *last = Last { step: line.step, text: line.text };
            }
        }
        if printing::is_lost() {
            break;
        }
    }
    Ok(has_shown)
}

/// One line that says how a run ended.
pub fn show_end(run: &Run) {
    let took =
        run.ended_at_ms.zip(run.started_at_ms).map(|(end, start)| duration(end - start)).unwrap_or_default();
    let commit = run.commit_id.as_deref().map_or("-", |commit| commit.get(..7).unwrap_or(commit));
    let (cause, hint) = cause_and_hint(run.cause.as_deref().unwrap_or_default());
    let cause = rendering::plain(cause);
    match run.state {
        RunState::Succeeded => {
            print_line!("{GREEN}{} is live{GREEN:#}: {commit}, in {took}", run.deployment);
        }
        RunState::Skipped => print_line!("{} has nothing to do: {cause}", run.deployment),
        RunState::Waiting => {
            print_line!("{YELLOW}{} is not deployed{YELLOW:#}: {commit} is {cause}", run.deployment);
        }
        state => {
            let after = if took.is_empty() { String::new() } else { format!(" after {took}") };
            print_line!("{RED}{} {state}{RED:#}{after}: {cause}", run.deployment);
        }
    }
    if let Some(hint) = hint {
        print_line!("  hint: {}", rendering::plain(hint));
    }
    if let Some(summary) = &run.summary {
        print_line!("  {}", rendering::plain(summary));
    }
}
