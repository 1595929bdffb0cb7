//! What a process holds in memory.

use fs_err as fs;

/// The most that it has held since it started or since [`forget_peak`], in kilobytes; without the program's own text, of which a debug
/// build has many times what a release has.
#[track_caller]
pub fn peak_kilobytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it lives");
    let number = |name: &str| -> u64 {
        let found = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells");
        found.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    number("VmHWM:") - number("RssFile:")
}

/// From now on the peak is what it holds now.
#[track_caller]
pub fn forget_peak(process: u32) {
    fs::write(format!("/proc/{process}/clear_refs"), "5").expect("it is our child");
}
