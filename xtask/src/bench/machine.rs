//! What Linux says about this machine and about a process on it.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Memory of a process in kibibytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// All resident pages.
    pub rss: u64,
    /// Shared pages divided among those who share them.
    pub pss: u64,
}

/// Of a process and, as its children may be the ones that count, not of them: both servers are one process at rest.
pub fn memory_of(process: u32) -> Result<Memory> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let kibibytes = |name: &str| -> Result<u64> {
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        line.trim().trim_end_matches(" kB").parse().with_context(|| format!("{name} is no number"))
    };
    Ok(Memory { rss: kibibytes("Rss:")?, pss: kibibytes("Pss:")? })
}

/// Unix milliseconds: the clock of the product's record.
#[expect(clippy::disallowed_methods, reason = "compared with times that another process recorded")]
pub fn unix_ms() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    since.as_secs_f64() * 1000.0
}

/// The machine, and the file system under `directory`.
pub fn describe(directory: &Path) -> Result<Value> {
    let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
    let processors = read("/proc/cpuinfo")?;
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let memory = read("/proc/meminfo")?;
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or("unknown").trim();
    let cores = std::thread::available_parallelism().context("the cores cannot be counted")?.get();
    Ok(json!({
        "processor": model.trim_start_matches(['\t', ' ', ':']),
        "cores": cores,
        "memory": total,
        "kernel": read("/proc/sys/kernel/osrelease")?.trim(),
        "file_system": file_system(&read("/proc/mounts")?, directory),
    }))
}

/// The type of the mount with the longest path above `directory`. An ext4 without a journal is told from one with it: it looks, for
/// each new file, at every one that was deleted a moment ago, and a queue deletes as many as it makes.
fn file_system(mounts: &str, directory: &Path) -> String {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let above = fields.filter(|fields| fields.len() > 2 && directory.starts_with(fields[1]));
    let Some(mount) = above.max_by_key(|fields| fields[1].len()) else { return "unknown".into() };
    match mount[2] {
        "ext4" if !has_journal(mount[0]) => "ext4 without a journal".into(),
        other => other.into(),
    }
}

/// Whether the journal's thread has an entry for this device.
fn has_journal(device: &str) -> bool {
    let device = device.trim_start_matches("/dev/");
    let journals = std::fs::read_dir("/proc/fs/jbd2").into_iter().flatten().flatten();
    journals.into_iter().any(|journal| {
        journal
            .file_name()
            .to_str()
            .and_then(|name| name.rsplit_once('-'))
            .is_some_and(|(of, _)| of == device)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_counts() {
        let mounts = "/dev/none / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/tmp/x")), "tmpfs");
        assert_eq!(file_system(mounts, Path::new("/tmpfoo")), "ext4 without a journal");
    }

    #[test]
    fn this_process_has_memory() {
        let memory = memory_of(std::process::id()).expect("Linux tells");
        assert!(memory.rss > 0 && memory.pss <= memory.rss);
    }
}
