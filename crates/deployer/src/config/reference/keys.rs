//! The table itself: every key, in the order in which a person should read it. Here is the top of it; a table below
//! is in the file of what it is about.

mod commands;
mod deployment;
mod github;
mod runs;
mod server;
mod sites;

pub use commands::HOOK_STEP;
use deployment::DEPLOYMENT;
use github::{GITHUB, RECONCILE, REPOSITORY};
use runs::{CONFINEMENT, GIT, RUNS};
use server::{LIMITS, LISTEN, PROXY_FIX};
use sites::{CERTIFICATES, NGINX};

use super::Default::{Derived, Value};
use super::Kind::{Choice, List, Named, Path, Secret, SourceNetworks, Table, Text};
use super::{Key, Kind, Section};

const TEXTS: Kind = List(&Text);
const SECRETS: Kind = List(&Secret);
const PATHS: Kind = List(&Path);

/// Recipes by the names an operator writes.
pub const STEPS: &str = "steps";
/// Site files for nginx, out of a repository.
pub const NGINX_SITES: &str = "nginx-sites";
/// Node applications that PM2 runs, whatever installs them.
pub const PM2: &str = "pm2";
/// Node applications that pnpm installs and PM2 runs.
pub const PNPM_PM2: &str = "pnpm-pm2";
/// A program that units of systemd run.
pub const SYSTEMD: &str = "systemd";
/// A Python application that uv installs and uWSGI runs.
pub const UV_UWSGI: &str = "uv-uwsgi";
/// A Go program beside static files.
pub const GO_STATIC: &str = "go-static";
/// The deployer itself, which replaces its own program.
pub const DEPLOYER: &str = "deployer";

/// All of them.
pub const RECIPES: [&str; 8] = [STEPS, SYSTEMD, NGINX_SITES, PM2, PNPM_PM2, UV_UWSGI, GO_STATIC, DEPLOYER];

/// The top of the configuration.
pub static ROOT: Section = Section {
    meaning: "What holds for the whole instance.",
    keys: &[
        Key::new(
            "origin",
            Text,
            Derived("`http://`, the host and the port of `[listen]`"),
            r#""https://deploy.durhack.com""#,
            "Where people reach this instance; links in commit statuses begin with it.",
        ),
        Key::new(
            "state_directory",
            Path,
            Derived(
                "`STATE_DIRECTORY` as systemd sets it, else `/var/lib/durhack-deployer` where the configuration is in `/etc/durhack-deployer`, else `./var`",
            ),
            r#""/var/lib/durhack-deployer""#,
            "Spools, record, mirrors, locks and logs. A relative path is relative to the working directory, here as in every key.",
        ),
        Key::new(
            "executable_search_paths",
            PATHS,
            Value("[]"),
            r#"["/opt/node/bin"]"#,
            "Directories appended to the PATH of every step, so that the system's own tools win.",
        ),
        Key::new(
            "privileges",
            Choice(&["direct", "sudo", "helper"]),
            Derived("`\"direct\"` for root, else `\"sudo\"`"),
            r#""helper""#,
            "How what needs root is done (restarting units, testing and reloading nginx, certificates): as the user that the deployer runs as; by `sudo -n`, for which `packaging/sudo/durhack-deployer` has the rules; or by asking `durhack-deployer-privileged.socket`, which does what `/etc/durhack-deployer/privileged.toml` allows and needs no sudo. See `docs/security.md`.",
        ),
        Key::new(
            "webhook_secret_token",
            Secret,
            Derived("none"),
            r#""what openssl rand -hex 32 printed""#,
            "The secret that GitHub signs with, at least 16 bytes. A file is better: see `webhook_secret_token_file`. The environment variable `DEPLOYER_WEBHOOK_SECRET`, then that file, then the systemd credential `webhook-secret` win over this key.",
        ),
        Key::new(
            "webhook_secret_token_file",
            Path,
            Derived(
                "the systemd credential `webhook-secret`, else `credentials/webhook-secret` beside this file, where there is one",
            ),
            r#""/etc/durhack-deployer/webhook-secret""#,
            "A file that holds the secret and nothing else. Only its owner may have access to it.",
        ),
        Key::new(
            "webhook_secrets",
            SECRETS,
            Value("[]"),
            r#"["the secret that is being replaced"]"#,
            "Further secrets that are accepted too, while one is being replaced.",
        ),
        Key::new(
            "webhook_secret_files",
            PATHS,
            Value("[]"),
            r#"["/etc/durhack-deployer/webhook-secret.old"]"#,
            "Files of further secrets that are accepted too.",
        ),
        Key::new(
            "source_networks",
            SourceNetworks,
            Derived("`\"any\"` in the environment `development`, else `\"github\"`"),
            r#"["192.0.2.0/24", "2001:db8::/32"]"#,
            "From where a webhook may come: anywhere (the signature alone decides), the networks that GitHub publishes, or these.",
        ),
        Key::new(
            "page_networks",
            SourceNetworks,
            Value(r#""any""#),
            r#"["192.0.2.0/24", "2001:db8::/32"]"#,
            "Who may look at the pages of runs and deliveries, to which statuses at GitHub link: anybody who has the link, or these networks. Where it is a list, the pages also say why a run of a private repository failed.",
        ),
        Key::new(
            "database_url",
            Secret,
            Derived("`sqlite:` and `record.sqlite` in the state directory"),
            r#""postgres://deployer@localhost/deployer""#,
            "The record. The environment variable `DATABASE_URL` wins. `postgresql://` and `postgresql+psycopg://` mean `postgres://`.",
        ),
        Key::new("listen", Table(&LISTEN), Derived("see its keys"), "", "Where the HTTP server listens."),
        Key::new(
            "proxy_fix",
            Table(&PROXY_FIX),
            Derived("see its keys"),
            "",
            "Which reverse proxies stand in front.",
        ),
        Key::new("limits", Table(&LIMITS), Derived("see its keys"), "", "What one caller may use up."),
        Key::new("github", Table(&GITHUB), Derived("see its keys"), "", "GitHub's API."),
        Key::new(
            "reconcile",
            Table(&RECONCILE),
            Derived("see its keys"),
            "",
            "Comparing what is live with the branches' heads, so that a push of which nothing was heard is deployed too.",
        ),
        Key::new("runs", Table(&RUNS), Derived("see its keys"), "", "What holds for all runs."),
        Key::new(
            "nginx",
            Table(&NGINX),
            Derived("see its keys"),
            "",
            "The host's nginx, for recipe `nginx-sites`.",
        ),
        Key::new(
            "certificates",
            Table(&CERTIFICATES),
            Derived("see its keys"),
            "",
            "How certbot is called, for recipe `nginx-sites`.",
        ),
        Key::new("git", Table(&GIT), Derived("see its keys"), "", "How much a repository may bring."),
        Key::new(
            "confinement",
            Table(&CONFINEMENT),
            Derived("see its keys"),
            "",
            "What the steps that make releases may touch and use up.",
        ),
        Key::new(
            "repositories",
            Named("\"OWNER/NAME\"", &REPOSITORY),
            Derived("none"),
            "",
            "What belongs to a repository whatever deploys it.",
        ),
        Key::new(
            "deployments",
            Named("SLUG", &DEPLOYMENT),
            Derived("none"),
            "",
            "What is deployed, and how. The slug names the deployment everywhere: a to z, 0 to 9 and `-`, at most 63 of them, not `main`.",
        ),
    ],
};
