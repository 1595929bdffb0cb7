//! What holds for the runs of all deployments: how many, how long, and what their steps may touch.

use super::{PATHS, TEXTS};
use crate::config::FSCK_ALLOWABLE;
use crate::config::keys::Default::{Derived, Value};
use crate::config::keys::KeyKind::{Choice, Duration, Integer, List, Size};
use crate::config::keys::{Key, Section};

/// The keys of `[runs]`, in the order in which the reference has them.
pub static RUNS: Section = Section {
    meaning: "What holds for all runs.",
    keys: &[
        Key::new(
            "parallel",
            Integer { min: 1, max: 64 },
            Value("2"),
            "2",
            "Runs at once, over all deployments. Builds are large and servers are small.",
        ),
        Key::new(
            "disk_free_min",
            Size,
            Value(r#""256MiB""#),
            r#""2GiB""#,
            "Free space that must be there before a run starts.",
        ),
        Key::new(
            "record_wait",
            Duration,
            Value(r#""1m""#),
            r#""5m""#,
            "How long a run waits for a database that is down before it is given up and undone.",
        ),
        Key::new(
            "keep",
            Duration,
            Value(r#""90d""#),
            r#""52w""#,
            "How long finished runs, their logs, and deliveries are kept.",
        ),
        Key::new(
            "drain_timeout",
            Duration,
            Value(r#""2m""#),
            r#""10m""#,
            "How long a stopping daemon waits for running runs before it ends and undoes them. Less than the unit's TimeoutStopSec.",
        ),
        Key::new(
            "environment_passed",
            TEXTS,
            Value("[]"),
            r#"["HTTPS_PROXY"]"#,
            "Environment variables of the daemon's that steps see, beside the few they always have: `PATH`, `HOME`, the user's name, language and time zone, and those that name certificates of a host's own authority, such as `NODE_EXTRA_CA_CERTS`.",
        ),
    ],
};

/// The keys of `[git]`, in the order in which the reference has them.
pub static GIT: Section = Section {
    meaning: "How much a repository may bring: a commit that exceeds one of these is refused before anything of it is written. A few hundred bytes of a repository can stand for a hundred million files.",
    keys: &[
        Key::new(
            "files_max",
            Integer { min: 1, max: 1 << 32 },
            Value("200000"),
            "500000",
            "Files of a commit, with those of its submodules.",
        ),
        Key::new(
            "size_max",
            Size,
            Value(r#""10GiB""#),
            r#""2GiB""#,
            "Bytes of all files of a commit, with those of its submodules; also the largest pack that one fetch may bring.",
        ),
        Key::new(
            "depth_max",
            Integer { min: 1, max: 4096 },
            Value("100"),
            "200",
            "Directories on the way to a file.",
        ),
        Key::new(
            "path_max",
            Integer { min: 64, max: 4096 },
            Value("1024"),
            "2048",
            "Bytes of a file's path.",
        ),
        Key::new(
            "memory_max",
            Size,
            Value(r#""1GiB""#),
            r#""4GiB""#,
            "Memory of a git that fetches, checks out or repacks. One that needs more fails; large repositories may need more.",
        ),
        Key::new(
            "fsck_ignored",
            List(&Choice(FSCK_ALLOWABLE)),
            Value("[]"),
            r#"["treeNotSorted"]"#,
            "Defects of objects, as `git help fsck` names them, with which a repository is still fetched. Those that only concern names of people and times never matter; those that could lead out of a release's directory cannot be allowed.",
        ),
    ],
};

/// The keys of `[confinement]`, in the order in which the reference has them.
pub static CONFINEMENT: Section = Section {
    meaning: "What the commands that make a release (phases fetch, install, build and migrate) may touch and use up, whatever they deploy. docs/security.md says what they may without any of this.",
    keys: &[
        Key::new(
            "readable",
            PATHS,
            Value("[]"),
            r#"["/srv/toolchains"]"#,
            "Files and directories that they may read and execute besides. What is the deployer's own or another deployment's inside of one stays hidden.",
        ),
        Key::new(
            "writable",
            PATHS,
            Value("[]"),
            r#"["/var/cache/builds"]"#,
            "Files and directories in which they may do everything besides; all that lies in one, whosever it is. They have to be there when a step starts: it cannot make them.",
        ),
        Key::new(
            "step_memory_max",
            Size,
            Derived("none: the kernel, and the unit's MemoryMax, end what is too much"),
            r#""2GiB""#,
            "Resident memory of one step with all its processes; what they share counts for each of them. One that uses more is ended.",
        ),
        Key::new(
            "step_tasks_max",
            Integer { min: 16, max: 1 << 22 },
            Value("4096"),
            "4096",
            "Processes and threads of one step. One that has more is ended.",
        ),
        Key::new(
            "step_file_max",
            Size,
            Value(r#""16GiB""#),
            r#""16GiB""#,
            "The largest file that a step may write.",
        ),
    ],
};
