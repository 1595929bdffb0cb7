//! Notices that the state directory or the database file is not the one any more that this daemon was started with.
//!
//! Whoever moves them away, replaces them or unmounts their file system leaves a daemon that holds descriptors of what nobody else sees:
//! what it accepted and recorded from then on would be lost. It stops instead, with an error that says so; the next start finds what lies
//! there by then.

use crate::store::Store;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Between two looks: two calls of the kernel each. What is accepted in between is in the directory that was moved.
const INTERVAL: Duration = Duration::from_secs(1);

/// Which file it is, whatever its name.
type Identity = (u64, u64);

pub struct StateWatch {
    looked: Looked,
    /// A look that has begun. A file system that hangs (a server that is gone) keeps it, and nothing else of the daemon.
    looking: Option<JoinHandle<(Looked, Option<String>)>>,
}

/// What is looked at, as it was seen last.
#[derive(Clone)]
struct Looked {
    directory: WatchedPath,
    /// Whose database file is watched, too; `None` where it is only read.
    store: Option<Arc<Mutex<Store>>>,
    database: Option<WatchedPath>,
    /// The database was gone already when the daemon started: it waits for it.
    is_awaited: bool,
}

#[derive(Clone)]
struct WatchedPath {
    path: PathBuf,
    /// `None` as long as it was not there.
    known: Option<Identity>,
}

impl StateWatch {
    /// Of a state directory as it is now.
    pub fn new(state_directory: &Path, store: Option<Arc<Mutex<Store>>>) -> Self {
        let directory = WatchedPath::new(state_directory.to_owned());
        let mut looked = Looked { directory, store, database: None, is_awaited: false };
        // A look at what was just made or opened: there is nothing yet that it could differ from.
        looked.is_awaited = looked.look().is_some();
        Self { looked, looking: None }
    }

    /// Waits until one of them is gone or replaced, and says which. May be dropped while it waits.
    pub async fn lost(&mut self) -> String {
        loop {
            let looking = self.looking.get_or_insert_with(|| {
                let mut looked = self.looked.clone();
                tokio::task::spawn_blocking(move || {
                    let trouble = looked.look();
                    (looked, trouble)
                })
            });
            let seen = looking.await;
            self.looking = None;
            if let Ok((looked, trouble)) = seen {
                self.looked = looked;
                if let Some(trouble) = trouble {
                    return trouble;
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

impl Looked {
    fn look(&mut self) -> Option<String> {
        if let Some(trouble) = self.directory.trouble() {
            return Some(format!("the state directory {trouble}"));
        }
        let store = self.store.as_ref()?.lock().expect("nothing that holds this lock can panic").clone();
        let file = store.file()?;
        // A reload may name another one.
        if self.database.as_ref().is_none_or(|known| known.path != file) {
            self.database = Some(WatchedPath::new(file));
        }
        let database = self.database.as_mut()?;
        let trouble = database.trouble().or_else(|| {
            // Made and taken away between two looks.
            let is_gone = database.known.is_none() && !self.is_awaited && store.has_had_database();
            let shown = database.path.display();
            (is_gone && !database.path.exists()).then(|| format!("{shown} is gone"))
        })?;
        Some(format!("the database {trouble}"))
    }
}

impl WatchedPath {
    fn new(path: PathBuf) -> Self {
        Self { path, known: None }
    }

    fn trouble(&mut self) -> Option<String> {
        let found = self.path.metadata();
        let is_empty = found.as_ref().is_ok_and(|found| found.is_file() && found.len() == 0);
        let found = found.map(|found| (found.dev(), found.ino()));
        let shown = self.path.display();
        match (self.known, found) {
            // Nothing is kept in it yet.
            (None, Ok(_)) if is_empty => None,
            (None, Ok(found)) => {
                self.known = Some(found);
                None
            }
            (Some(known), Ok(found)) if known != found => {
                Some(format!("{shown} was replaced by another one"))
            }
            (Some(_), Err(error)) if error.kind() == ErrorKind::NotFound => Some(format!("{shown} is gone")),
            // What cannot be seen now is no other one.
            _ => None,
        }
    }
}
