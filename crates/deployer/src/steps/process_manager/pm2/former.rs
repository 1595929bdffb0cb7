//! What a deployment still runs under the PM2 of the user that it had before: ended when its new user's are about to start, and not before.
//!
//! Two PM2s cannot share a port, and a build takes minutes: whoever ended the old applications first would take the site down for as long.
//! Only root can speak for both users, so `move-user` listens here while it deploys. A run connects when everything is ready and only the
//! start is left, shows that it is the worker's, and goes on when it is told that the old ones have ended. Where nobody listens, there is nothing to be ended.

use crate::base::names::Slug;
use crate::process::step_context::StepContext;
use crate::process::step_user;
use anyhow::{Context, Result, bail};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Where root listens. It makes the directory, and nobody else writes there.
pub const DIRECTORY: &str = "/run/durhack-deployer-move";

/// The answer that lets the run go on. Any other is the reason why it must not.
pub const ENDED: &str = "ended";

/// An error in words is not longer.
const ANSWER_BYTES_MAX: u64 = 4096;

/// The socket of one deployment.
pub fn socket(deployment: &Slug) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{deployment}.sock"))
}

/// Has the old applications ended, if there are any. Waits for that as long as the step may last.
pub async fn end(socket: &Path, deployment: &Slug, step_context: &StepContext<'_>) -> Result<()> {
    let mut stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(());
        }
        Err(error) => return Err(error).context("cannot ask `move-user` to end what runs as the old user"),
    };
    step_context.note("asking `move-user` to end what still runs as the old user");
    // Other processes of our user can connect as well; they do not have this.
    let key = step_user::key_of_move(deployment).unwrap_or_default();
    // Where it does not listen any more, there is no answer either.
    let _ = stream.write_all(format!("{key}\n").as_bytes()).await;
    let mut stream = stream.take(ANSWER_BYTES_MAX);
    let mut answer = String::new();
    tokio::select! {
        read = stream.read_to_string(&mut answer) => { read.context("`move-user` does not answer")?; }
        waited = step_context.pause(step_context.left()) => { waited?; }
    }
    match answer.as_str() {
        ENDED => Ok(()),
        "" => bail!(
            "`move-user` has ended before the old applications did, or did not hear this run: it hears the worker alone\nhint: start the worker (`systemctl start durhack-deployer-worker`), and run the same `move-user` command again"
        ),
        reason => bail!("what runs as the old user could not be ended: {reason}"),
    }
}
