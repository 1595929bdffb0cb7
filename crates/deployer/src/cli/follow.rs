//! A run, watched: its steps and what they print, as they come.

use super::output::{BOLD, DIM, GREEN, RED, YELLOW};
use crate::clock::duration;
use crate::record::run_log::{RunLogReader, Stream, rendering};
use crate::record::store::{Run, RunState, Store};
use anyhow::Result;
use std::path::Path;
use std::time::Duration;

/// How often the log and the record are looked at.
const POLL: Duration = Duration::from_millis(150);

/// Shows a run's log until the run has ended, then its end. Returns the run as it ended.
pub async fn to_the_end(store: &Store, logs: &Path, id: &str) -> Result<Run> {
    let mut reader = RunLogReader::open(logs, id, 0)?;
    loop {
        let run = store.run(id).await?;
        let ended = run.filter(|run| run.state.is_final());
        show_new(&mut reader).await?;
        if let Some(run) = ended {
            show_end(&run);
            return Ok(run);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Shows what is in the log now.
pub async fn show_new(reader: &mut RunLogReader) -> Result<()> {
    while let Some(batch) = reader.read().await? {
        for line in batch.lines {
            // Where the output is no terminal, `anstream` takes the colours out.
            let text = rendering::for_terminal(&line.text);
            match line.stream {
                Stream::Cause => anstream::println!("{RED}why>{RED:#} {text}"),
                Stream::Context => anstream::println!("{DIM}   >{DIM:#} {text}"),
                Stream::Note => anstream::println!("{BOLD}> {text}{BOLD:#}"),
                Stream::Output => anstream::println!("{DIM}  |{DIM:#} {text}"),
                Stream::Error => anstream::println!("{YELLOW}  |{YELLOW:#} {text}"),
            }
        }
    }
    Ok(())
}

/// One line that says how a run ended.
pub fn show_end(run: &Run) {
    let took =
        run.ended_at_ms.zip(run.started_at_ms).map(|(end, start)| duration(end - start)).unwrap_or_default();
    let commit = run.commit_id.as_deref().map_or("-", |commit| commit.get(..7).unwrap_or(commit));
    let cause = rendering::plain(run.cause.as_deref().unwrap_or_default());
    match run.state {
        RunState::Succeeded => {
            anstream::println!("{GREEN}{} is live{GREEN:#}: {commit}, in {took}", run.deployment);
        }
        RunState::Skipped => anstream::println!("{} has nothing to do: {cause}", run.deployment),
        RunState::Waiting => {
            anstream::println!("{YELLOW}{} is not deployed{YELLOW:#}: {commit} is {cause}", run.deployment);
        }
        state => {
            anstream::println!("{RED}{} {}{RED:#} after {took}: {cause}", run.deployment, state.as_str());
        }
    }
    if let Some(summary) = &run.summary {
        anstream::println!("  {}", rendering::plain(summary));
    }
}
