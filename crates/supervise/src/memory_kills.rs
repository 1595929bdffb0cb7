//! How often the kernel has killed a process for want of memory since it booted.

/// The counter; 0 where it cannot be read, so that nothing is ever blamed on memory without evidence.
pub(crate) fn count() -> u64 {
    std::fs::read_to_string("/proc/vmstat").map_or(0, |vmstat| parse(&vmstat))
}

fn parse(vmstat: &str) -> u64 {
    vmstat.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_counter_and_no_other() {
        assert_eq!(parse("pgfault 9\noom_kill_other 4\noom_kill 7\nswap_ra 1\n"), 7);
        assert_eq!(parse(""), 0);
    }
}
