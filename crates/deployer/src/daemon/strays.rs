//! What lies in a spool and is nothing of it: nobody works on it, and nobody removes it. It is told, since somebody meant something by it.

use crate::config::Config;
use crate::pipeline::context::Host;
use spool::EntryName;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often is looked.
const INTERVAL: Duration = Duration::from_secs(60);

/// So many are named in the log; a directory that was unpacked here by mistake has thousands.
const NAMED_MAX: usize = 20;

/// All of one spool, sorted. Nothing of it is opened or followed.
pub fn of_spool(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    const OURS: [&str; 5] = ["tmp", "claimed", "bad", "attempts", "lock"];
    let mut strays = Vec::new();
    for (below, ours) in [("", &OURS[..]), ("claimed", &[]), ("bad", &[])] {
        let place = if below.is_empty() { directory.to_owned() } else { directory.join(below) };
        let listing = match fs_err::read_dir(&place) {
            Ok(listing) => listing,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in listing.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let stem = name.strip_suffix(".reason").filter(|_| below == "bad").unwrap_or(&name);
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            let is_entry = stem.parse::<EntryName>().is_ok() && is_file;
            if !is_entry && !ours.contains(&name.as_str()) {
                strays.push(place.join(entry.file_name()));
            }
        }
    }
    strays.sort();
    Ok(strays)
}

/// Says once of each what lies there, until told to stop.
pub async fn tell(config: std::sync::Arc<Config>, stop: CancellationToken) {
    let mut told = BTreeSet::new();
    loop {
        let config = std::sync::Arc::clone(&config);
        let found = tokio::task::spawn_blocking(move || of_all(&config)).await.unwrap_or_default();
        for stray in found.difference(&told).take(NAMED_MAX) {
            tracing::warn!(
                "{} is no entry of the queue: nobody works on it, and it is left there; move it away",
                stray.display()
            );
        }
        told = found;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

fn of_all(config: &Config) -> BTreeSet<PathBuf> {
    let slugs = config.deployments.keys().map(crate::base::names::Slug::as_str);
    let spools = std::iter::once("main").chain(slugs);
    let directories = spools.map(|name| Host::spool_directory(&config.state_directory, name));
    directories.flat_map(|directory| of_spool(&directory).unwrap_or_default()).collect()
}
