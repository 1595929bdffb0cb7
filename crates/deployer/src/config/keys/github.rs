//! GitHub's API, what is compared with it, and the secrets that each repository signs with.

use super::{PATHS, SECRETS};
use crate::config::keys::Default::{Derived, Value};
use crate::config::keys::KeyKind::{Boolean, Duration, Integer, Path, Secret, Text};
use crate::config::keys::{Key, Section};

/// The keys of `[github]`, in the order in which the reference has them.
pub static GITHUB: Section = Section {
    meaning: "GitHub's API, and who we are to it: a GitHub App, else a token, else the account that `gh` is logged in with. Without any of them nothing is reported, and only public repositories can be fetched over https.",
    keys: &[
        Key::new(
            "api_url",
            Text,
            Value(r#""https://api.github.com""#),
            r#""https://github.example.com/api/v3""#,
            "Base of the API; another one for GitHub Enterprise.",
        ),
        Key::new(
            "token_file",
            Path,
            Derived(
                "the systemd credential `github-token`, else `credentials/github-token` beside this file, where there is one",
            ),
            r#""/etc/durhack-deployer/github-token""#,
            "A file that holds the token and nothing else. Only its owner may have access to it.",
        ),
        Key::new(
            "token",
            Secret,
            Derived("none"),
            r#""github_pat_...""#,
            "The token itself. `GITHUB_TOKEN` or `GH_TOKEN` in the environment, then `token_file`, then the credential win over this key.",
        ),
        Key::new(
            "deployments",
            Boolean,
            Value("false"),
            "true",
            "Whether runs are told as GitHub deployments too, beside commit statuses. The token, or App, needs the right to write deployments.",
        ),
        Key::new(
            "app_id",
            Integer { min: 1, max: i64::MAX },
            Derived("none"),
            "123456",
            "The id of a GitHub App, which wins over a token. Its installation is found for each repository, and what is asked for is a token for that repository alone.",
        ),
        Key::new(
            "app_key_file",
            Path,
            Derived(
                "the systemd credential `github-app-key`, else `credentials/github-app-key` beside this file, where there is one",
            ),
            r#""/etc/durhack-deployer/github-app.pem""#,
            "The App's private key as GitHub made it (PEM). Only its owner may have access to it.",
        ),
        Key::new(
            "use_gh",
            Boolean,
            Value("true"),
            "false",
            "Whether the program `gh` is asked for its token where nothing else is configured.",
        ),
    ],
};

/// The keys of `[reconcile]`, in the order in which the reference has them.
pub static RECONCILE: Section = Section {
    meaning: "Comparing what is live with the branches' heads: at start, at an interval, and after a sleep of the machine.",
    keys: &[
        Key::new(
            "enabled",
            Boolean,
            Value("true"),
            "false",
            "Whether to compare at all. Without it, a push whose webhook was lost waits for the next one.",
        ),
        Key::new(
            "interval",
            Duration,
            Value(r#""1m""#),
            r#""5m""#,
            "Between two comparisons of a repository, give or take a tenth. After errors it is longer, up to 30 minutes.",
        ),
        Key::new(
            "deliveries",
            Boolean,
            Value("false"),
            "true",
            "Every ten intervals, ask GitHub to deliver again what it could not, other than pushes (a branch's head is compared anyway). The credential needs the right to manage webhooks.",
        ),
    ],
};

/// The keys of `[repositories."OWNER/NAME"]`, in the order in which the reference has them.
pub static REPOSITORY: Section = Section {
    meaning: "Secrets of a repository's own: only these sign for it, so that who administers another repository cannot.",
    keys: &[
        Key::new(
            "webhook_secret_file",
            Path,
            Derived("none"),
            r#""/etc/durhack-deployer/durhack.secret""#,
            "A file that holds the repository's secret and nothing else.",
        ),
        Key::new(
            "webhook_secret_files",
            PATHS,
            Value("[]"),
            r#"["/etc/durhack-deployer/durhack.secret.old"]"#,
            "Files of further secrets of the repository's.",
        ),
        Key::new(
            "webhook_secret_token",
            Secret,
            Derived("none"),
            r#""what openssl rand -hex 32 printed""#,
            "The repository's secret itself.",
        ),
        Key::new(
            "webhook_secret_tokens",
            SECRETS,
            Value("[]"),
            r#"["the secret that is being replaced"]"#,
            "Further secrets of the repository's.",
        ),
    ],
};
