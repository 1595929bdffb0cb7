//! The commands that an operator writes: the steps of a deployment, and the hooks between phases.

use super::{PATHS, TEXTS};
use crate::config::keys::Default::{Derived, Required, Value};
use crate::config::keys::KeyKind::{Choice, Commands, Duration, Integer, Path, Tables, Text, Variables};
use crate::config::keys::{Key, Section};

const PHASE: Key = Key::new(
    "phase",
    Choice(&["fetch", "install", "build", "migrate", "switch", "verify", "clean"]),
    Required,
    r#""build""#,
    "When it is run.",
);

const STEP_NAME: Key =
    Key::new("name", Text, Derived("the program's name"), r#""bundle""#, "How the run shows it.");
const STEP_RUN: Key = Key::new(
    "run",
    TEXTS,
    Derived("none; exactly one of `run` and `shell`"),
    r#"["make", "-j2"]"#,
    "Program and arguments; no shell sees them.",
);
const STEP_SHELL: Key =
    Key::new("shell", Text, Derived("none"), r#""make 2>&1 | tee build.log""#, "A line for `/bin/sh -c`.");
const STEP_DIRECTORY: Key = Key::new(
    "directory",
    Path,
    Derived("the release"),
    r#""server""#,
    "Where it runs, relative to the release.",
);
const STEP_ENVIRONMENT: Key =
    Key::new("environment", Variables, Value("{}"), r#"{ CI = "true" }"#, "In addition to the deployment's.");
const STEP_ENV_FILES: Key =
    Key::new("env_files", PATHS, Value("[]"), r#"["shared/build.env"]"#, "In addition to the deployment's.");
const STEP_TIMEOUT: Key =
    Key::new("timeout", Duration, Derived("the deployment's `step_timeout`"), r#""5m""#, "Its deadline.");
const STEP_RETRIES: Key =
    Key::new("retries", Integer { min: 0, max: 100 }, Value("0"), "2", "Further attempts after a failure.");
const STEP_UNDO: Key = Key::new(
    "undo",
    TEXTS,
    Derived("none"),
    r#"["make", "undo"]"#,
    "Program and arguments that undo it when the run fails later.",
);
const STEP_UNDO_SHELL: Key =
    Key::new("undo_shell", Text, Derived("none"), r#""make undo""#, "The same, as a line for `/bin/sh -c`.");

/// The operator's own commands, for the recipes that have them.
pub const STEPS: Key = Key::new(
    "steps",
    Tables(&STEP),
    Value("[]"),
    "",
    "The commands, run phase by phase, and inside a phase in the order written. None: the release is the repository's content.",
);

/// The keys of `[[deployments.SLUG.steps]]`, in the order in which the reference has them.
pub static STEP: Section = Section {
    meaning: "One command.",
    keys: &[
        PHASE,
        STEP_NAME,
        STEP_RUN,
        STEP_SHELL,
        STEP_DIRECTORY,
        STEP_ENVIRONMENT,
        STEP_ENV_FILES,
        STEP_TIMEOUT,
        STEP_RETRIES,
        STEP_UNDO,
        STEP_UNDO_SHELL,
    ],
};

/// A command whose phase is said by the hook it stands in.
pub static HOOK_STEP: Section = Section {
    meaning: "One command.",
    keys: &[
        STEP_NAME,
        STEP_RUN,
        STEP_SHELL,
        STEP_DIRECTORY,
        STEP_ENVIRONMENT,
        STEP_ENV_FILES,
        STEP_TIMEOUT,
        STEP_RETRIES,
        STEP_UNDO,
        STEP_UNDO_SHELL,
    ],
};

const fn hook(name: &'static str, meaning: &'static str) -> Key {
    Key::new(
        name,
        Commands(&HOOK_STEP),
        Value("[]"),
        r#"[["make", "notes"], { shell = "date > built", timeout = "10s" }]"#,
        meaning,
    )
}

/// The keys of `[deployments.SLUG.hooks]`, in the order in which the reference has them.
pub static HOOKS: Section = Section {
    meaning: "Commands before and after whole phases. Each is a shell line (`\"make notes\"`), an argv (`[\"make\", \"notes\"]`), or a list of argvs and of tables like those of `steps` without `phase`.",
    keys: &[
        hook("after_fetch", "After the commit has come to this machine."),
        hook("before_install", "Before dependencies are installed."),
        hook("after_install", "After that."),
        hook("before_build", "Before the release is built."),
        hook("after_build", "After that."),
        hook("before_migrate", "Before databases are brought to the release's schema."),
        hook("after_migrate", "After that."),
        hook("before_switch", "Before the release becomes the live one."),
        hook("after_switch", "After that."),
        hook("before_verify", "Before the health checks."),
        hook("after_verify", "After that."),
        hook("before_clean", "Before what is no longer needed goes."),
        hook("after_clean", "After that."),
        hook("on_failure", "When a run fails, after everything has been undone."),
    ],
};
