//! One deployment, and the checks that a release of it must pass.

use super::commands::HOOKS;
use super::{PATHS, TEXTS};
use crate::config::keys::Default::{Derived, Required, Value};
use crate::config::keys::KeyKind::{
    Boolean, Choice, Duration, Headers, Integer, List, Path, Table, Tables, Text, Variables,
};
use crate::config::keys::{Key, Section};

/// How an ecosystem file, or a command, calls what it starts: for the recipes that have such.
pub const INSTANCE_NAME: Key = Key::new(
    "instance_name",
    Text,
    Derived("none; the presets of DurHack's applications require it"),
    r#""durhack-staging""#,
    "`INSTANCE_NAME` of every step: how an ecosystem file names its applications.",
);

/// The keys of `[deployments.SLUG]` that have nothing to do with the recipe, in the order in which the reference has them. Behind them come
/// those of the recipes.
pub static DEPLOYMENT: Section = Section {
    meaning: "One deployment: a branch of a repository, and how and where it is deployed.",
    keys: &[
        Key::new(
            "repository",
            Text,
            Required,
            r#""ducompsoc/durhack""#,
            "`owner/name` on GitHub; what a push must name.",
        ),
        Key::new("branch", Text, Required, r#""main""#, "The branch whose head is deployed."),
        Key::new(
            "path",
            Path,
            Required,
            r#""/var/www/api.durhack.com""#,
            "Where releases, or the work tree, lie. Absolute; no other deployment's path may contain it or lie inside.",
        ),
        Key::new(
            "enabled",
            Boolean,
            Value("true"),
            "false",
            "A disabled deployment records a verdict and does nothing.",
        ),
        Key::new(
            "recipe",
            Choice(&[]),
            Derived("the preset of a repository of DurHack's, else `\"steps\"`"),
            r#""steps""#,
            "How this kind of package is deployed.",
        ),
        Key::new(
            "clone_url",
            Text,
            Derived("`https://github.com/OWNER/NAME.git`"),
            r#""git@github.com:ducompsoc/durhack.git""#,
            "Where git fetches from: `https://`, `ssh://`, `user@host:path`, `file://` or an absolute path. Without a password. A directory of this machine must be the deployer's user's (`chown -R durhack-deployer: DIR`), outside of people's homes: git reads no repository of another user's. Others who push there say once that they trust it: `git config --global --add safe.directory DIR`.",
        ),
        Key::new(
            "ssh_key_file",
            Path,
            Derived("what ssh finds: an agent, the user's own keys"),
            r#""/etc/durhack-deployer/durhack.deploy-key""#,
            "The private key (without a passphrase) with which an ssh `clone_url` is fetched: GitHub calls its other half a deploy key.",
        ),
        Key::new(
            "github_token_file",
            Path,
            Derived("what `[github]` says"),
            r#""/etc/durhack-deployer/durhack.token""#,
            "A token of this deployment's own, for its statuses and for fetching over https.",
        ),
        Key::new(
            "layout",
            Choice(&["releases", "in-place"]),
            Derived(
                "`\"in-place\"` where `path` is a git work tree already (not with `nginx-sites` and `deployer`), else `\"releases\"`",
            ),
            r#""releases""#,
            "`releases`: a directory for each release, and the link `current`. `in-place`: the work tree at `path` is changed. `nginx-sites` and `deployer` know `releases` only.",
        ),
        Key::new(
            "queue",
            Choice(&["latest", "all"]),
            Value(r#""latest""#),
            r#""all""#,
            "Which of several queued pushes are deployed: the newest, or each in turn.",
        ),
        Key::new(
            "paths",
            TEXTS,
            Value("[]"),
            r#"["server/**", "common/**"]"#,
            "Only pushes that change one of these paths are deployed; empty: all.",
        ),
        Key::new(
            "paths_ignore",
            TEXTS,
            Value("[]"),
            r#"["**/*.md"]"#,
            "Changes to these paths alone deploy nothing.",
        ),
        Key::new(
            "require_checks",
            TEXTS,
            Value("[]"),
            r#"["test", "ci/lint"]"#,
            "A commit is deployed when these have succeeded on it: names of check runs (a job of a workflow is one) and contexts of commit statuses. Neutral and skipped ones count as succeeded, as they do for GitHub. Needs a credential, and checks: read and statuses: read on GitHub.",
        ),
        Key::new(
            "require_signature",
            Path,
            Derived("none: signatures are not checked"),
            r#""/etc/durhack-deployer/allowed-signers""#,
            "A file of ssh keys (`ssh-keygen(1)`, ALLOWED SIGNERS). A branch's head that none of them has signed is refused, also with `--force`. OpenPGP signatures do not count, so merges made at GitHub are refused. The deployer's user must not be able to write to the file.",
        ),
        Key::new(
            "approval",
            Boolean,
            Value("false"),
            "true",
            "Whether each commit is blocked until `durhack-deployer approve`.",
        ),
        Key::new(
            "freeze",
            TEXTS,
            Value("[]"),
            r#"["Fri 16:00-Mon 08:00", "2026-12-20 00:00-2027-01-04 09:00"]"#,
            "Times in which nothing is deployed: each week, or once. The first moment belongs to it, the last does not. A blocked push is deployed when the freeze ends, or at `durhack-deployer unfreeze`. Rollbacks pass.",
        ),
        Key::new(
            "freeze_timezone",
            Text,
            Value(r#""UTC""#),
            r#""Europe/London""#,
            "The time zone of `freeze`, by its name in the IANA database.",
        ),
        Key::new(
            "shared_files",
            PATHS,
            Derived("the preset's, else none"),
            r#"["server/.env"]"#,
            "Files that outlive releases: they lie in `shared/` and are linked into each release, at the same relative path. Builds read them and do not write to them; `writable` allows it.",
        ),
        Key::new(
            "shared_dirs",
            PATHS,
            Derived("the preset's, else none"),
            r#"["server/keys"]"#,
            "Directories that outlive releases, in the same way. Builds write to them.",
        ),
        Key::new(
            "keep_releases",
            Integer { min: 1, max: 1000 },
            Value("5"),
            "5",
            "Successful releases to keep, the live one included.",
        ),
        Key::new(
            "submodules",
            Boolean,
            Value("false"),
            "true",
            "Whether submodules are fetched: from the host of the clone URL, and from `submodule_hosts`. Private ones have to be named in `submodule_repositories`.",
        ),
        Key::new(
            "submodule_hosts",
            TEXTS,
            Value("[]"),
            r#"["gitlab.com"]"#,
            "Further hosts from which submodules may be fetched. The deployer connects to whatever host a push names among these.",
        ),
        Key::new(
            "submodule_repositories",
            TEXTS,
            Value("[]"),
            r#"["ducompsoc/theme"]"#,
            "Private repositories that may be submodules. They are fetched with the deployment's token or key, so whoever can push here can read them. All others are fetched without a credential.",
        ),
        Key::new("timeout", Duration, Value(r#""30m""#), r#""1h 30m""#, "Deadline of a whole run."),
        Key::new(
            "step_timeout",
            Duration,
            Value(r#""10m""#),
            r#""20m""#,
            "Deadline of a step that names none.",
        ),
        Key::new(
            "env_file",
            Path,
            Derived("none"),
            r#""shared/server/.env""#,
            "A file of `KEY=value` lines for the environment of every step, read when the step starts. Its values are hidden in logs. Relative to `path`.",
        ),
        Key::new(
            "env_files",
            PATHS,
            Value("[]"),
            r#"["shared/server/.env"]"#,
            "Several of them; a later one wins.",
        ),
        Key::new(
            "env_unsandboxed",
            TEXTS,
            Value("[]"),
            r#"["CHAT_HOOK_URL"]"#,
            "Variables of `env_files` that commands outside of the sandbox get, where they run as the deployer: those of the phases switch, verify and clean, and `on_failure`. The application and what makes the release get all. The file must not be writable for builds, nor for anybody but its owner; names that steer a loader, a shell or an interpreter (`PATH`, `LD_PRELOAD`, `NODE_OPTIONS`, ...) are refused.",
        ),
        Key::new(
            "environment",
            Variables,
            Value("{}"),
            r#"{ NODE_ENV = "production" }"#,
            "Environment of every step. Nothing secret: that belongs in `env_files`.",
        ),
        Key::new(
            "user",
            Text,
            Derived("a user of its own, app-SLUG, which `setup` makes"),
            r#""web""#,
            "The user of every command of this deployment (steps, hooks, undos, health checks, `on_failure`), and of its PM2. Root decides the user of units and vassals, in their files. Leave it out: `setup` makes a user for each deployment and records it in `users.toml` beside the configuration; a deployment that is not recorded there runs nothing. Another name is a user of this deployment's own too; `setup` makes it, where it is missing. Deployments with the same `user` can reach each other, and `\"durhack-deployer\"` is the deployer's own user, with which a push can do what the deployer can. `durhack-deployer move-user SLUG` changes the user of a deployment that is live. Releases are writable for the user and for the deployer; HOME is `/var/lib/durhack-deployer-steps/USER`. Needs `setfacl`, and `layout = \"releases\"`. Without `setup` (`serve` by hand) everything runs as the deployer.",
        ),
        Key::new(
            "confine",
            Boolean,
            Value("true"),
            "false",
            "Whether the commands that make the release (phases fetch, install, build and migrate) read the system's files and this deployment's `path`, and write the release that they make, the directories of `shared_dirs` and `.cache/` beside it, and a home and a TMPDIR of its own; nothing else. In place they write all of `path`. `sudo` does nothing inside.",
        ),
        Key::new(
            "readable",
            PATHS,
            Value("[]"),
            r#"["/srv/fonts"]"#,
            "Further files and directories that they may read and execute, as in `[confinement]`.",
        ),
        Key::new(
            "writable",
            PATHS,
            Value("[]"),
            r#"["/var/cache/website"]"#,
            "Further files and directories that they may read, write and execute, as in `[confinement]`.",
        ),
        Key::new(
            "environment_name",
            Text,
            Derived("the slug"),
            r#""production""#,
            "With `github.deployments`: the environment under which GitHub shows the deployment.",
        ),
        Key::new(
            "url",
            Text,
            Derived("none"),
            r#""https://api.durhack.com""#,
            "The URL of the deployed application; with `github.deployments` GitHub links there.",
        ),
        Key::new(
            "health",
            Tables(&HEALTH),
            Value("[]"),
            "",
            "What must hold for a release to stay live. Exactly one of `http`, `tcp`, `command` and `shell` in each. Of a repository with a preset that is deployed once, and has no `PORT` in `environment`: that its known ports accept connections, unless this is written.",
        ),
        Key::new("hooks", Table(&HOOKS), Derived("none"), "", "Commands before and after whole phases."),
    ],
};

/// The keys of `[[deployments.SLUG.health]]`, in the order in which the reference has them.
pub static HEALTH: Section = Section {
    meaning: "One check. It is made after the switch, until it succeeds or `attempts` are used up; then the run is undone.",
    keys: &[
        Key::new(
            "http",
            Text,
            Derived("none"),
            r#""http://127.0.0.1:3001/health""#,
            "GET this URL; no redirect is followed.",
        ),
        Key::new(
            "tcp",
            Text,
            Derived("none"),
            r#""127.0.0.1:3001""#,
            "A connection to this `host:port` must be accepted.",
        ),
        Key::new(
            "command",
            TEXTS,
            Derived("none"),
            r#"["pm2", "pid", "durhack-server"]"#,
            "This program must exit with 0.",
        ),
        Key::new(
            "shell",
            Text,
            Derived("none"),
            r#""test -s current/index.html""#,
            "This line for `/bin/sh -c` must exit with 0.",
        ),
        Key::new(
            "status",
            List(&Integer { min: 100, max: 599 }),
            Value("[]"),
            "[200, 204]",
            "With `http`: any of these statuses; empty: 200 to 299.",
        ),
        Key::new("body", Text, Derived("none"), r#""OK""#, "With `http`: the body must contain this."),
        Key::new(
            "headers",
            Headers,
            Value("{}"),
            r#"{ Host = "shop.example.org" }"#,
            "With `http`: sent with the request. `Host` is for applications that answer their own name only, `X-Forwarded-Proto` for those that lead everything else to https. Nothing secret: it is shown.",
        ),
        Key::new("attempts", Integer { min: 1, max: 1000 }, Value("10"), "10", "How often, at most."),
        Key::new("interval", Duration, Value(r#""1s""#), r#""2s""#, "Between two attempts."),
        Key::new("timeout", Duration, Value(r#""5s""#), r#""10s""#, "Of one attempt."),
    ],
};
