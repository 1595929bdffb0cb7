//! Asks a program of this machine.

use crate::config::CommandLine;
use crate::process::executor::{Executor, complaint_of};
use crate::process::tools::Invocation;
use anyhow::{Context, Result, bail};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What one program may take: stopping a worker waits for the run in progress, then rolls it back.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(600);

/// Calls a program that must succeed, and gives what it printed.
pub async fn ask(executor: &Executor, call: &CommandLine) -> Result<String> {
    let answer = executor.ask(&Invocation::of(call), CALL_TIMEOUT, &CancellationToken::new()).await;
    let answer = answer.with_context(|| format!("cannot run `{}`", call.shown()))?;
    match complaint_of(&answer.end) {
        None => Ok(answer.output),
        Some(end) => bail!("`{}` {end}: {}", call.shown(), answer.complaint),
    }
}
