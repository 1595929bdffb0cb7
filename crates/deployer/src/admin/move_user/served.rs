//! Where a run asks `move-user` to end what still runs as the old user. The other side, and why, is in `steps::process_manager::pm2::former`.

use super::plan::Account;
use crate::base::digest::sha256_hex;
use crate::base::names::Slug;
use crate::process::step_user;
use crate::run_log::rendering::plain;
use crate::steps::process_manager::pm2::former::{self, ENDED};
use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// Who has the key shows it at once.
const KEY_TIME_MAX: Duration = Duration::from_secs(1);

/// The socket of a deployment that is being moved. It goes when this is dropped.
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// What the worker shows. None: nobody can.
    key: Option<String>,
}

/// A run that waits for its answer.
pub struct ServedRun(UnixStream);

/// Listens for runs of the deployment. Everybody may connect, and only the deployer's worker is heard: whatever else runs as the deployer,
/// a program that is live among it, does not have the key.
pub fn listen(deployment: &Slug) -> Result<Listener> {
    listen_at(Path::new(former::DIRECTORY), former::socket(deployment), step_user::key_of_move(deployment))
}

fn listen_at(directory: &Path, path: PathBuf, key: Option<String>) -> Result<Listener> {
    match std::fs::DirBuilder::new().mode(0o755).create(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make {}", directory.display()));
        }
        _ => {}
    }
    let is_roots = directory
        .symlink_metadata()
        .is_ok_and(|found| found.is_dir() && found.uid() == 0 && found.mode() & 0o022 == 0);
    anyhow::ensure!(is_roots, "{} is not a directory in which root alone writes", directory.display());
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", path.display()));
        }
        _ => {}
    }
    let said = || format!("cannot listen on {}", path.display());
    let socket = UnixListener::bind(&path).with_context(said)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).with_context(said)?;
    Ok(Listener { socket, path, key })
}

impl Listener {
    /// The next one that asks. `None` for whoever is not the deployer's worker: it gets no answer, and nothing is done.
    pub async fn asked(&self, deployer: &Account) -> Option<ServedRun> {
        let (mut stream, _) = self.socket.accept().await.ok()?;
        let uid = stream.peer_cred().ok()?.uid();
        if uid != deployer.uid && uid != 0 {
            return None;
        }
        let expected = format!("{}\n", self.key.as_ref()?).into_bytes();
        let mut shown = vec![0; expected.len()];
        tokio::time::timeout(KEY_TIME_MAX, stream.read_exact(&mut shown)).await.ok()?.ok()?;
        // Of its hash, so that the time tells nothing of how much was right.
        (sha256_hex(&shown) == sha256_hex(&expected)).then_some(ServedRun(stream))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The next `move-user` removes what is left; nobody listens on it until then.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl ServedRun {
    /// Says what was ended, and lets the run go on; or why it must not.
    pub async fn answer(mut self, ended: Result<Vec<String>>) {
        let answer = match ended {
            Ok(lines) => {
                lines.iter().for_each(|line| print_line!("- {}", plain(line)));
                ENDED.to_owned()
            }
            Err(error) => format!("{error:#}"),
        };
        // Where the run has ended meanwhile, nobody waits for it.
        let _ = self.0.write_all(answer.as_bytes()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_of_the_deployers_own_user_without_the_workers_key_is_not_heard() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("move");
        let path = directory.join("site.sock");
        let listener = listen_at(&directory, path.clone(), Some("the-key".into())).unwrap();
        let us = rustix::process::geteuid().as_raw();
        let deployer = Account { name: "deployer".into(), uid: us, gid: us };
        for (shown, is_heard) in
            [("", false), ("the-kex\n", false), ("\n\n\n\n\n\n\n\n", false), ("the-key\n", true)]
        {
            let mut run = UnixStream::connect(&path).await.unwrap();
            run.write_all(shown.as_bytes()).await.unwrap();
            run.shutdown().await.unwrap();
            assert_eq!(listener.asked(&deployer).await.is_some(), is_heard, "{shown:?}");
        }
        drop(listener);
        // Where the host has no key, nobody is heard.
        let listener = listen_at(&directory, path.clone(), None).unwrap();
        let mut run = UnixStream::connect(&path).await.unwrap();
        run.write_all(b"\n").await.unwrap();
        assert!(listener.asked(&deployer).await.is_none());
    }
}
