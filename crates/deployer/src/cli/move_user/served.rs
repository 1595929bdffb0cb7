//! Where a run asks `move-user` to end what still runs as the old user. The other side, and why, is in `deploy::processes::pm2::former`.

use super::plan::Account;
use crate::deploy::processes::pm2::former::{self, ENDED};
use crate::names::Slug;
use crate::record::run_log::rendering::plain;
use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};

/// The socket of a deployment that is being moved. It goes when this is dropped.
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

/// A run that waits for its answer.
pub struct Run(UnixStream);

/// Listens for runs of the deployment. Everybody may connect, and only the deployer is heard.
pub fn listen(deployment: &Slug) -> Result<Listener> {
    let path = former::socket(deployment);
    let directory = Path::new(former::DIRECTORY);
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
    Ok(Listener { socket, path })
}

impl Listener {
    /// The next one that asks. `None` for whoever is not the deployer: it gets no answer, and nothing is done.
    pub async fn asked(&self, deployer: &Account) -> Option<Run> {
        let (stream, _) = self.socket.accept().await.ok()?;
        let uid = stream.peer_cred().ok()?.uid();
        (uid == deployer.uid || uid == 0).then_some(Run(stream))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The next `move-user` removes what is left; nobody listens on it until then.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Run {
    /// Says what was ended, and lets the run go on; or why it must not.
    pub async fn answer(mut self, ended: Result<Vec<String>>) {
        let answer = match ended {
            Ok(lines) => {
                lines.iter().for_each(|line| println!("- {}", plain(line)));
                ENDED.to_owned()
            }
            Err(error) => format!("{error:#}"),
        };
        // Where the run has ended meanwhile, nobody waits for it.
        let _ = self.0.write_all(answer.as_bytes()).await;
    }
}
