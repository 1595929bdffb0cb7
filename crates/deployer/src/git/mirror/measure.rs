//! How much there is in a commit, counted before anything of it is written or held in memory.
//!
//! A tree that holds the same tree ten times, eight times over, is a hundred million files in a few hundred bytes: neither the size of a
//! repository nor that of a pack says anything. So the files are counted as git lists them, one by one, and git is stopped at the first that
//! is too much. What git itself needs for that, and for everything else, is limited by the kernel.

use crate::config::GitLimits;
use crate::process::executor::CapturedOutput;
use anyhow::{Context, Result, anyhow, bail};
use std::path::Path;
use supervise::End;

/// Inodes that must be left over.
const FREE_INODES_MIN: u64 = 1_000;

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measure {
    files: u64,
    bytes: u64,
}

/// Why a commit is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    #[error("the commit has more than {max} files. `git.files_max` is the limit: raise it if that is right")]
    Files { max: u64 },
    #[error("the files of the commit have more than {} MiB. `git.size_max` is the limit: raise it if that is right", .max >> 20)]
    Bytes { max: u64 },
    #[error(
        "a file of the commit lies {found} directories deep ({path}...). `git.depth_max` is {max}: raise it if that is right"
    )]
    Depth { found: usize, max: usize, path: String },
    #[error(
        "a file of the commit has a path of {found} bytes ({path}...). `git.path_max` is {max}: raise it if that is right"
    )]
    Path { found: usize, max: usize, path: String },
}

impl Measure {
    pub fn and(self, other: Self) -> Self {
        Self { files: self.files.saturating_add(other.files), bytes: self.bytes.saturating_add(other.bytes) }
    }

    /// What is left of it.
    pub fn without(self, other: Self) -> Self {
        Self { files: self.files.saturating_sub(other.files), bytes: self.bytes.saturating_sub(other.bytes) }
    }

    /// Whether it is too much.
    pub fn excess(self, limits: &GitLimits) -> Option<Excess> {
        match self {
            _ if self.files > limits.files_max => Some(Excess::Files { max: limits.files_max }),
            _ if self.bytes > limits.bytes_max => Some(Excess::Bytes { max: limits.bytes_max }),
            _ => None,
        }
    }

    /// An error where a file system has not that much room.
    pub fn require_room(self, place: &Path) -> Result<()> {
        let existing = place.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
        let found = rustix::fs::statvfs(existing)
            .with_context(|| format!("cannot ask how full {} is", existing.display()))?;
        let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
        if free_bytes < self.bytes {
            bail!(
                "the disk is too full: the commit has {} MiB, {} MiB are free at {}",
                self.bytes >> 20,
                free_bytes >> 20,
                existing.display()
            );
        }
        // Some file systems count no inodes and say 0 of 0.
        if found.f_files > 0 && found.f_favail < self.files.saturating_add(FREE_INODES_MIN) {
            bail!(
                "the disk is too full: the commit has {} files, {} inodes are free at {}",
                self.files,
                found.f_favail,
                existing.display()
            );
        }
        Ok(())
    }
}

/// Counting in progress.
pub struct Counting<'a> {
    counted: Measure,
    limits: &'a GitLimits,
    excess: Option<Excess>,
}

impl<'a> Counting<'a> {
    /// Goes on from what is counted already.
    pub fn new(counted: Measure, limits: &'a GitLimits) -> Self {
        Self { counted, limits, excess: None }
    }

    /// Counts one line of `git ls-tree -r --long`; false where it is enough.
    pub fn count(&mut self, line: &str) -> bool {
        self.excess = self.try_count(line);
        self.excess.is_none()
    }

    fn try_count(&mut self, line: &str) -> Option<Excess> {
        let (meta, path) = line.split_once('\t')?;
        // "-" for a submodule.
        let bytes = meta.split_ascii_whitespace().nth(3).and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
        self.counted = self.counted.and(Measure { files: 1, bytes });
        let (length, depth) = (unquoted_length(path), path.matches('/').count());
        let shown = || path.chars().take(40).collect();
        if depth > self.limits.depth_max {
            return Some(Excess::Depth { found: depth, max: self.limits.depth_max, path: shown() });
        }
        if length > self.limits.path_bytes_max {
            return Some(Excess::Path { found: length, max: self.limits.path_bytes_max, path: shown() });
        }
        self.counted.excess(self.limits)
    }

    /// What came of it, when git has ended in this way.
    pub fn end(self, answer: &CapturedOutput) -> Result<Measure> {
        if let Some(excess) = self.excess {
            return Err(excess.into());
        }
        if answer.end == End::Exited(0) {
            return Ok(self.counted);
        }
        let ended = crate::process::executor::complaint_of(&answer.end).unwrap_or_default();
        let why =
            limit_of_git(answer, self.limits).unwrap_or_else(|| format!("{ended}: {}", answer.complaint));
        Err(anyhow!("cannot count the files of the commit: git ls-tree {why}"))
    }
}

/// In bytes; git quotes a path with strange bytes in it as C does.
fn unquoted_length(path: &str) -> usize {
    let Some(inner) = path.strip_prefix('"').and_then(|path| path.strip_suffix('"')) else {
        return path.len();
    };
    let (mut length, mut bytes) = (0, inner.bytes());
    while let Some(byte) = bytes.next() {
        length += 1;
        // A letter, or three digits.
        if byte == b'\\' && bytes.next().is_some_and(|next| next.is_ascii_digit()) {
            bytes.nth(1);
        }
    }
    length
}

/// Whether git failed because it came up against a limit of ours, and against which.
pub fn limit_of_git(answer: &CapturedOutput, limits: &GitLimits) -> Option<String> {
    const SIGNAL_FILE_SIZE: i32 = 25;
    // An index-pack that was killed for its file leaves its parent without an answer, and says nothing itself: of anything else it would.
    const UNANSWERED: &str = "fatal: fetch-pack: invalid index-pack output";
    let says = |signs: &[&str]| signs.iter().any(|sign| answer.said.contains(sign));
    let is_complaint = |line: &&str| ["fatal:", "error:"].iter().any(|sign| line.contains(sign));
    let mut complaints = answer.said.lines().filter(is_complaint);
    let is_unanswered = complaints.next() == Some(UNANSWERED) && complaints.next().is_none();
    if matches!(answer.end, End::Signalled(SIGNAL_FILE_SIZE))
        || is_unanswered
        || says(&["died of signal 25", "File too large"])
    {
        return Some(format!(
            "it brings a file of more than {} MiB. `git.size_max` is the limit: raise it if that is right",
            limits.bytes_max >> 20
        ));
    }
    let out_of_memory = matches!(answer.end, End::OutOfMemory | End::TooMuchMemory { .. });
    if out_of_memory || says(&["Out of memory", "Cannot allocate memory", "out of memory"]) {
        return Some(format!(
            "git needs more than {} MiB of memory. `git.memory_max` is the limit: raise it if the repository is right",
            limits.memory_bytes_max >> 20
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    static SMALL: GitLimits = GitLimits {
        files_max: 3,
        bytes_max: 100,
        depth_max: 2,
        path_bytes_max: 8,
        memory_bytes_max: 1 << 20,
        fsck_ignored: Vec::new(),
    };

    fn excess(lines: &[&str]) -> Option<Excess> {
        let mut counting = Counting::new(Measure::default(), &SMALL);
        lines.iter().find(|line| !counting.count(line));
        counting.excess
    }

    #[test]
    fn each_limit_holds_and_what_is_at_it_passes() {
        let fits = ["100644 blob a      50\ta/b/c", "100644 blob a 50\td", "160000 commit a       -\tm"];
        assert_eq!(excess(&fits), None);
        let more = |line| excess(&[&fits[..], &[line]].concat());
        assert_eq!(more("100644 blob a 0\te"), Some(Excess::Files { max: 3 }));
        assert_eq!(excess(&["100644 blob a 101\te"]), Some(Excess::Bytes { max: 100 }));
        let deep = excess(&["100644 blob a 1\ta/b/c/d"]);
        assert!(matches!(deep, Some(Excess::Depth { found: 3, max: 2, .. })), "{deep:?}");
        let long = excess(&["100644 blob a 1\tninebytes"]);
        assert!(matches!(long, Some(Excess::Path { found: 9, max: 8, .. })), "{long:?}");
        // Seven bytes, of which six are quoted with four each.
        assert_eq!(excess(&[r#"100644 blob a 1	"\303\266\303\266\t\n\"""#]), None);
    }

    #[test]
    fn it_is_told_against_which_limit_git_came_up() {
        let limit = |end, said: &str| {
            let answer =
                CapturedOutput { output: String::new(), complaint: String::new(), said: said.into(), end };
            limit_of_git(&answer, &SMALL).unwrap_or_default()
        };
        assert!(limit(End::Signalled(25), "").contains("`git.size_max`"));
        let unanswered = "fatal: fetch-pack: invalid index-pack output\n";
        assert!(limit(End::Exited(128), unanswered).contains("`git.size_max`"));
        let fsck = format!(
            "error: object abc: hasDotgit: contains '.git'\nfatal: fsck error in packed object\n{unanswered}"
        );
        assert_eq!(limit(End::Exited(128), &fsck), "");
        let memory = format!("fatal: Out of memory, malloc failed (tried to allocate 9 bytes)\n{unanswered}");
        assert!(limit(End::Exited(128), &memory).contains("`git.memory_max`"));
        assert_eq!(limit(End::Exited(1), "fatal: early EOF"), "");
    }

    #[test]
    fn what_was_counted_before_counts() {
        let one = Measure { files: 2, bytes: 90 };
        let mut counting = Counting::new(one, &SMALL);
        assert!(counting.count("100644 blob a 10\tx"));
        assert!(!counting.count("100644 blob a 0\ty"));
        assert_eq!(one.and(one).excess(&SMALL), Some(Excess::Files { max: 3 }));
        assert_eq!(one.and(one).without(one), one);
    }
}
