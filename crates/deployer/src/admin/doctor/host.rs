//! The machine: room on its disks, memory, the kernel, and whether its clock is kept right.

use super::context::DoctorContext;
use super::finding::{CheckResult, Finding, or_ok};
use crate::config::Config;
use crate::process::sandbox::missing_of_landlock;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Less than this share of a file system is worth a look, whatever `disk_free_min` says.
const FREE_PERCENT_MIN: u64 = 5;

/// Files that must be able to be made: some `node_modules`.
const FREE_INODES_MIN: u64 = 10_000;

/// A build of a web application takes about this; with less, the kernel ends it or its neighbours.
const MEMORY_AVAILABLE_KIB_MIN: u64 = 512 * 1024;

/// Bytes and inodes of every file system that is written to.
pub fn disks(context: &DoctorContext) -> CheckResult {
    disks_of(context.config()?)
}

/// The same, of a configuration.
pub fn disks_of(config: &Config) -> CheckResult {
    let mut places = vec![config.state_directory.as_path(), Path::new("/tmp")];
    places.extend(config.deployments.values().map(|deployment| deployment.path.as_path()));
    if config.deployments.values().any(|deployment| deployment.recipe.sites.is_some()) {
        places.push(&config.nginx.directory);
    }
    let mut file_systems = BTreeMap::new();
    for place in places {
        let existing = place.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
        if let Ok(found) = existing.metadata() {
            file_systems.entry(found.dev()).or_insert(existing);
        }
    }
    let mut findings = Vec::new();
    for place in file_systems.values() {
        let found = rustix::fs::statvfs(*place)?;
        let room = Room {
            bytes: found.f_blocks.saturating_mul(found.f_frsize),
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            inodes: found.f_files,
            free_inodes: found.f_favail,
        };
        findings.extend(judge_room(place, &room, config.runs.disk_free_bytes_min));
    }
    Ok(or_ok(findings, format!("file systems with room: {}", file_systems.len())))
}

struct Room {
    bytes: u64,
    free_bytes: u64,
    /// 0 where the file system does not count them.
    inodes: u64,
    free_inodes: u64,
}

fn judge_room(place: &Path, room: &Room, bytes_min: u64) -> Option<Finding> {
    let mend = format!(
        "`du -xh --max-depth=2 {} | sort -h | tail`; fewer `keep_releases` take less",
        place.display()
    );
    let mebibytes = room.free_bytes >> 20;
    if room.free_bytes < bytes_min {
        return Some(Finding::error(
            format!(
                "{mebibytes} MiB free at {}, and `runs.disk_free_min` wants {} MiB: no run starts",
                place.display(),
                bytes_min >> 20
            ),
            mend,
        ));
    }
    if room.inodes > 0 && room.free_inodes < FREE_INODES_MIN {
        let what =
            format!("{} inodes free at {}: soon no file can be made", room.free_inodes, place.display());
        return Some(Finding::error(
            what,
            format!("`du -x --inodes --max-depth=2 {} | sort -n | tail`", place.display()),
        ));
    }
    let is_low = room.free_bytes < room.bytes / 100 * FREE_PERCENT_MIN || room.free_bytes / 2 < bytes_min;
    is_low.then(|| Finding::warning(format!("{mebibytes} MiB free at {}", place.display()), mend))
}

/// Whether a build will find memory.
pub fn memory(_: &DoctorContext) -> CheckResult {
    let text = fs_err::read_to_string("/proc/meminfo")?;
    let kibibytes = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let available = kibibytes("MemAvailable").unwrap_or(0);
    let swap = kibibytes("SwapFree").unwrap_or(0);
    let what = format!("{} MiB available, {} MiB of swap free", available >> 10, swap >> 10);
    Ok(vec![match available + swap < MEMORY_AVAILABLE_KIB_MIN {
        true => Finding::warning(
            format!("{what}: a build may be ended by the kernel, or end its neighbours"),
            "`fallocate -l 2G /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile`",
        ),
        false => Finding::ok(what),
    }])
}

/// What the kernel has to keep builds from files and signals with, and what follows where that is not all of it.
pub fn landlock(context: &DoctorContext) -> CheckResult {
    // Users of their own keep deployments apart where the kernel does not; without either, nothing does.
    let is_shared = context.deployments().is_ok_and(|mut deployments| {
        deployments.any(|deployment| deployment.confine && deployment.user.is_none())
    });
    let unconfined = |what: String, mend: &str| match is_shared {
        true => Finding::error(
            format!("{what}: nothing keeps builds from each other's files and from the deployer's"),
            format!(
                "{mend}, or give each deployment a user of its own (`sudo durhack-deployer move-user SLUG`)"
            ),
        ),
        false => Finding::warning(format!("{what}: only their users keep builds apart"), mend),
    };
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let modules = fs_err::read_to_string("/sys/kernel/security/lsm");
    Ok(vec![match (modules, landlock_abi(&release)) {
        (_, None) => {
            unconfined(format!("Linux {release} has no Landlock"), "take a kernel from 6.12 on (Debian 13)")
        }
        (Ok(modules), Some(abi)) if modules.trim().split(',').any(|module| module == "landlock") => {
            let missing = missing_of_landlock(abi);
            if missing.is_empty() {
                Finding::ok(format!("Linux {release}: Landlock is on, ABI {abi} by the kernel's version"))
            } else {
                Finding::warning(
                    format!("Linux {release}: Landlock is on, ABI {abi} by the kernel's version: {missing}"),
                    "give each deployment a user of its own (`user`), or take a kernel from 6.12 on (Debian 13; Debian 12's backports)",
                )
            }
        }
        (Ok(_), Some(_)) => unconfined(
            format!("Linux {release} has Landlock, and it is switched off"),
            "add `landlock` to `lsm=` of the kernel's command line",
        ),
        (Err(_), Some(abi)) => Finding::not_checked(format!(
            "Linux {release} knows Landlock's ABI {abi}; whether it is on is not to be seen here"
        )),
    }])
}

/// Whether the system calls of builds can be filtered.
pub fn system_calls(_: &DoctorContext) -> CheckResult {
    let is_known = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
    let is_there = Path::new("/proc/sys/kernel/seccomp/actions_avail").exists();
    Ok(vec![match is_known && is_there {
        true => Finding::ok("the system calls of builds are filtered (seccomp)"),
        false => Finding::warning(
            "system calls cannot be filtered here (seccomp, on x86_64 or aarch64): a build can change limits and priorities of its \
             user's other programs, and reach what they share in memory",
            "give each deployment a user of its own (`user`)",
        ),
    }])
}

/// Whether each step can have a control group. Only reported: without one, its supervisor process ends and counts what it starts.
pub fn control_groups(_: &DoctorContext) -> CheckResult {
    const WITHOUT: &str =
        "a step is counted and ended by its supervisor process alone, a moment later than the kernel would";
    let controllers = fs_err::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    let has = |name: &str, all: &str| all.split_whitespace().any(|found| found == name);
    Ok(vec![match controllers {
        Ok(all) if has("memory", &all) && has("pids", &all) => {
            Finding::ok("unified control groups: in the packaged worker each step has its own")
        }
        Ok(_) => {
            Finding::not_checked(format!("control groups do not limit memory and processes here: {WITHOUT}"))
        }
        Err(_) => Finding::not_checked(format!(
            "no unified control groups (`systemd.unified_cgroup_hierarchy=1` on the kernel's command line): {WITHOUT}"
        )),
    }])
}

/// Whether systemd knows the walls of the packaged units.
pub async fn walls_of_units(context: &DoctorContext) -> CheckResult {
    /// `PrivateIPC=`; the others are older.
    const VERSION_MIN: u64 = 248;
    if context.find("systemctl")?.is_none() {
        return Ok(vec![Finding::not_checked(
            "there is no systemd: what its units keep from builds, nothing does",
        )]);
    }
    let answer = context.ask(&["systemctl", "--version"]).await?;
    let version = answer.output.split_whitespace().nth(1).and_then(|version| version.parse::<u64>().ok());
    Ok(vec![match version {
        Some(version) if version >= VERSION_MIN => {
            Finding::ok(format!("systemd {version} knows all walls of the units"))
        }
        Some(version) => Finding::warning(
            format!(
                "systemd {version} does not know PrivateIPC= (from {VERSION_MIN} on): message queues are shared by all programs of a user"
            ),
            "take a newer release of the system, or give each deployment a user of its own (`user`)",
        ),
        None => Finding::not_checked("systemd does not say its version"),
    }])
}

/// By the version in which each came.
fn landlock_abi(release: &str) -> Option<u32> {
    const SINCE: [((u64, u64), u32); 7] =
        [((6, 15), 7), ((6, 12), 6), ((6, 10), 5), ((6, 7), 4), ((6, 2), 3), ((5, 19), 2), ((5, 13), 1)];
    let ((major, minor, _), _) = crate::admin::host::versions::number(release)?;
    SINCE.iter().find(|(since, _)| (major, minor) >= *since).map(|(_, abi)| *abi)
}

/// Whether something keeps the clock right. [`super::github::clock`] says whether it is.
pub async fn synchronisation(context: &DoctorContext) -> CheckResult {
    if context.find("timedatectl")?.is_none() {
        return Ok(vec![Finding::not_checked("there is no timedatectl")]);
    }
    let answer = context.ask(&["timedatectl", "show", "--property=NTPSynchronized", "--value"]).await?;
    Ok(vec![match answer.output.trim() {
        "yes" => Finding::ok("the clock is synchronised"),
        "no" => Finding::warning("nothing keeps the clock right", "`timedatectl set-ntp true`"),
        _ => Finding::not_checked(format!("timedatectl does not say: {}", answer.complaint)),
    }])
}

#[cfg(test)]
mod tests {
    use super::super::finding::FindingLevel;
    use super::*;

    #[test]
    fn room_is_judged_by_bytes_inodes_and_share() {
        const GIB: u64 = 1 << 30;
        let room = |bytes, free_bytes, inodes, free_inodes| Room { bytes, free_bytes, inodes, free_inodes };
        for (room, expected) in [
            (room(100 * GIB, 50 * GIB, 1000, 100_000), None),
            (room(100 * GIB, 50 * GIB, 0, 0), None),
            (room(100 * GIB, 50 * GIB, 100_000, 9_999), Some(FindingLevel::Error)),
            (room(100 * GIB, GIB / 2, 0, 0), Some(FindingLevel::Error)),
            (room(100 * GIB, 4 * GIB, 0, 0), Some(FindingLevel::Warning)),
            (room(4 * GIB, GIB + GIB / 2, 0, 0), Some(FindingLevel::Warning)),
        ] {
            assert_eq!(judge_room(Path::new("/"), &room, GIB).map(|finding| finding.level), expected);
        }
    }

    #[test]
    fn the_abi_is_known_by_the_kernels_version() {
        for (release, expected) in [
            ("5.10.0-28-amd64", None),
            ("5.13.0", Some(1)),
            ("6.1.0-18-amd64", Some(2)),
            ("6.12.9", Some(6)),
            ("6.18.44-fc", Some(7)),
            ("7.0.0", Some(7)),
            ("unknown", None),
        ] {
            assert_eq!(landlock_abi(release), expected, "{release}");
        }
    }
}
