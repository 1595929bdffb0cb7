//! Who holds a lock on a file, as the kernel says it in `/proc/locks`. To look there touches no lock: to open and close a file would drop the
//! POSIX locks that this process has on it.

/// The processes that hold a lock of this kind (`FLOCK` or `POSIX`) to write on one of these inodes, in the text of `/proc/locks`. A file of
/// another file system may have the same number.
///
/// `2: POSIX  ADVISORY  WRITE 1234 fe:00:10195282 120 120`
pub fn holders(table: &str, kind: &str, inodes: &[u64]) -> Vec<u32> {
    let read = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[_, found, _, "WRITE", pid, file, ..] = words.as_slice() else { return None };
        let inode = file.rsplit(':').next()?.parse().ok()?;
        (found == kind && inodes.contains(&inode)).then(|| pid.parse().ok())?
    };
    let mut found: Vec<u32> = table.lines().filter_map(read).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_writes_is_found_in_the_kernels_table() {
        let table = "1: POSIX  ADVISORY  WRITE 70 fe:00:12 120 120\n2: POSIX  ADVISORY  READ 71 fe:00:12 123 123\n\
                     2: -> POSIX  ADVISORY  WRITE 72 fe:00:12 120 120\n3: FLOCK  ADVISORY  WRITE 73 fe:00:12 0 EOF\n\
                     4: POSIX  ADVISORY  WRITE 74 fe:00:13 1 1\n5: POSIX  ADVISORY  WRITE 70 fe:00:12 121 121\n\
                     5: -> FLOCK ADVISORY WRITE 9 fe:00:3 0 EOF\n";
        assert_eq!(
            holders(table, "POSIX", &[12, 14]),
            [70],
            "whoever waits, reads or means another file is not"
        );
        assert_eq!([holders(table, "FLOCK", &[12]), holders(table, "FLOCK", &[3])], [vec![73], vec![]]);
    }
}
