//! The table itself: every key, in the order in which a person should read it.

use super::Default::{Derived, Required, Value};
use super::Kind::{
    Boolean, Choice, Commands, Duration, Integer, List, Named, Path, Secret, Size, SourceNetworks, Table,
    Tables, Text, Variables,
};
use super::{Key, Kind, Section};

const TEXTS: Kind = List(&Text);
const SECRETS: Kind = List(&Secret);
const PATHS: Kind = List(&Path);

/// Recipes by the names an operator writes.
pub const STEPS: &str = "steps";
/// See [`STEPS`].
pub const NGINX_SITES: &str = "nginx-sites";
/// See [`STEPS`].
pub const PNPM_PM2: &str = "pnpm-pm2";
/// See [`STEPS`].
pub const SYSTEMD: &str = "systemd";
/// See [`STEPS`].
pub const UV_UWSGI: &str = "uv-uwsgi";
/// See [`STEPS`].
pub const GO_STATIC: &str = "go-static";
/// See [`STEPS`].
pub const DEPLOYER: &str = "deployer";

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

static LISTEN: Section = Section {
    meaning: "Where the HTTP server listens.",
    keys: &[
        Key::new("host", Text, Value(r#""localhost""#), r#""::""#, "Host name or address."),
        Key::new(
            "port",
            Integer { min: 0, max: 65535 },
            Value("3400"),
            "3400",
            "TCP port; 0 takes a free one.",
        ),
    ],
};

static PROXY_FIX: Section = Section {
    meaning: "Which reverse proxies stand in front, and so which entries of `X-Forwarded-For` are believed.",
    keys: &[
        Key::new(
            "x_for",
            Integer { min: 0, max: 16 },
            Value("0"),
            "1",
            "How many proxies add an entry: the client is that many entries from the right. 0: the peer is the client.",
        ),
        Key::new(
            "x_proto",
            Integer { min: 0, max: 16 },
            Value("0"),
            "1",
            "Accepted for the sake of existing configurations; without effect, because `origin` says how we are reached.",
        ),
        Key::new(
            "trusted_proxies",
            TEXTS,
            Value("[]"),
            r#"["127.0.0.0/8", "::1/128"]"#,
            "Networks of the proxies: the client is the right-most entry that is in none of them. Instead of `x_for`.",
        ),
    ],
};

static LIMITS: Section = Section {
    meaning: "What one caller may use up.",
    keys: &[
        Key::new(
            "body_max",
            Size,
            Value(r#""25MiB""#),
            r#""25MiB""#,
            "Largest accepted body of a webhook. GitHub sends at most 25 MiB.",
        ),
        Key::new(
            "header_timeout",
            Duration,
            Value(r#""10s""#),
            r#""10s""#,
            "From accepting a connection, or its last answer, to the end of the request's headers.",
        ),
        Key::new(
            "body_timeout",
            Duration,
            Value(r#""30s""#),
            r#""30s""#,
            "From the end of the headers to the end of the body.",
        ),
        Key::new(
            "connections_max",
            Integer { min: 1, max: 65536 },
            Value("256"),
            "256",
            "Connections at once; further ones wait in the kernel's backlog.",
        ),
    ],
};

static GITHUB: Section = Section {
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

static RECONCILE: Section = Section {
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

static RUNS: Section = Section {
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
            "Environment variables of the daemon's that steps see, beside the few they always have.",
        ),
    ],
};

static NGINX: Section = Section {
    meaning: "The host's nginx, for recipe `nginx-sites`. A host with Debian's, Ubuntu's or nginx.org's package needs none of this.",
    keys: &[
        Key::new("program", Path, Value(r#""/usr/sbin/nginx""#), r#""/usr/sbin/nginx""#, "The program."),
        Key::new(
            "directory",
            Path,
            Value(r#""/etc/nginx""#),
            r#""/etc/nginx""#,
            "Sites go to `conf.d` below it, snippets to `snippets`. The deployer must be able to write to these two.",
        ),
        Key::new(
            "configuration",
            Path,
            Derived("`nginx.conf` in `directory`"),
            r#""/etc/nginx/nginx.conf""#,
            "The file that nginx reads first.",
        ),
        Key::new(
            "prefix",
            Path,
            Derived("the one that nginx was built with"),
            r#""/opt/nginx""#,
            "Given to nginx as `-p`.",
        ),
        Key::new(
            "log_directory",
            Path,
            Value(r#""/var/log/nginx""#),
            r#""/var/log/nginx""#,
            "The only place where a site may have logs written.",
        ),
        Key::new(
            "reload",
            Choice(&["systemctl", "signal"]),
            Value(r#""systemctl""#),
            r#""signal""#,
            "How nginx is told to read its configuration again: `systemctl reload nginx`, or `nginx -s reload`.",
        ),
    ],
};

static CERTIFICATES: Section = Section {
    meaning: "How certbot is called, for recipe `nginx-sites`. Renewing what nobody deploys is left to certbot's own timer.",
    keys: &[
        Key::new(
            "directory",
            Path,
            Value(r#""/etc/letsencrypt""#),
            r#""/etc/letsencrypt""#,
            "certbot's directory; with `privileges = \"direct\"`, another one than this default is given to it as `--config-dir`.",
        ),
        Key::new(
            "webroot",
            Path,
            Derived("none: certbot's plugin for nginx answers the CA"),
            r#""/var/www/acme""#,
            "The CA's questions are answered by files below it, which every site must serve at `/.well-known/acme-challenge/`. Unless `privileges` is `\"direct\"`, `privileged.toml` must name it too.",
        ),
        Key::new(
            "email",
            Text,
            Derived("none"),
            r#""webmaster@example.org""#,
            "For a new account at the CA. Deploying sites with certificates agrees to the CA's terms. Unless `privileges` is `\"direct\"`, write it in `privileged.toml` instead, and `acme_server` too.",
        ),
        Key::new(
            "acme_server",
            Text,
            Derived("certbot's own choice"),
            r#""https://acme-staging-v02.api.letsencrypt.org/directory""#,
            "The CA's directory.",
        ),
        Key::new(
            "renew_before",
            Duration,
            Value(r#""30d""#),
            r#""30d""#,
            "A certificate that is valid for less than this is renewed when its site is deployed.",
        ),
        Key::new(
            "self_test",
            Boolean,
            Value("true"),
            "false",
            "Before the CA is asked, find out whether each name resolves and, with `webroot`, whether port 80 answers from there.",
        ),
    ],
};

static CONFINEMENT: Section = Section {
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

static REPOSITORY: Section = Section {
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

static DEPLOYMENT: Section = Section {
    meaning: "One deployment: a branch of a repository, and how and where it is deployed.",
    keys: &[
        Key::new("repository", Text, Required, r#""ducompsoc/durhack""#, "`owner/name` on GitHub; what a push must name."),
        Key::new("branch", Text, Required, r#""main""#, "The branch whose head is deployed."),
        Key::new("path", Path, Required, r#""/var/www/api.durhack.com""#,
            "Where releases, or the work tree, lie. Absolute; no other deployment's path may contain it or lie inside."),
        Key::new("enabled", Boolean, Value("true"), "false", "A disabled deployment records a verdict and does nothing."),
        Key::new("recipe", Choice(&[STEPS, SYSTEMD, NGINX_SITES, PNPM_PM2, UV_UWSGI, GO_STATIC, DEPLOYER]),
            Derived("the preset of a repository of DurHack's, else `\"steps\"`"), r#""steps""#,
            "How this kind of package is deployed."),
        Key::new("clone_url", Text, Derived("`https://github.com/OWNER/NAME.git`"), r#""git@github.com:ducompsoc/durhack.git""#,
            "Where git fetches from: `https://`, `ssh://`, `user@host:path`, `file://` or an absolute path. Without a password."),
        Key::new("ssh_key_file", Path, Derived("what ssh finds: an agent, the user's own keys"), r#""/etc/durhack-deployer/durhack.deploy-key""#,
            "The private key (without a passphrase) with which an ssh `clone_url` is fetched: GitHub calls its other half a deploy key."),
        Key::new("github_token_file", Path, Derived("what `[github]` says"), r#""/etc/durhack-deployer/durhack.token""#,
            "A token of this deployment's own, for its statuses and for fetching over https."),
        Key::new("layout", Choice(&["releases", "in-place"]),
            Derived("`\"in-place\"` where `path` is a git work tree already (not with `nginx-sites` and `deployer`), else `\"releases\"`"), r#""releases""#,
            "`releases`: a directory for each release, and the link `current`. `in-place`: the work tree at `path` is changed. `nginx-sites` and `deployer` know `releases` only."),
        Key::new("queue", Choice(&["latest", "all"]), Value(r#""latest""#), r#""all""#,
            "Which of several waiting pushes are deployed: the newest, or each in turn."),
        Key::new("paths", TEXTS, Value("[]"), r#"["server/**", "common/**"]"#,
            "Only pushes that change one of these paths are deployed; empty: all."),
        Key::new("paths_ignore", TEXTS, Value("[]"), r#"["**/*.md"]"#, "Changes to these paths alone deploy nothing."),
        Key::new("require_checks", TEXTS, Value("[]"), r#"["test", "ci/lint"]"#,
            "A commit is deployed when these have succeeded on it: names of check runs (a job of a workflow is one) and contexts of commit statuses. Neutral and skipped ones count as succeeded, as they do for GitHub. Needs a credential, and checks: read and statuses: read on GitHub."),
        Key::new("require_signature", Path, Derived("none: signatures are not looked at"), r#""/etc/durhack-deployer/allowed-signers""#,
            "A file of ssh keys (`ssh-keygen(1)`, ALLOWED SIGNERS). A branch's head that none of them has signed is refused, whoever asks for it; so are OpenPGP signatures, also GitHub's own on merges made there. What the deployer runs as must not be able to write to it."),
        Key::new("approval", Boolean, Value("false"), "true",
            "Whether each commit waits for `durhack-deployer approve`."),
        Key::new("freeze", TEXTS, Value("[]"), r#"["Fri 16:00-Mon 08:00", "2026-12-20 00:00-2027-01-04 09:00"]"#,
            "When nothing is deployed: each week, or once. The first moment belongs to it, the last does not. What is pushed meanwhile is deployed when it ends, or at `durhack-deployer release`. Rollbacks pass."),
        Key::new("freeze_timezone", Text, Value(r#""UTC""#), r#""Europe/London""#,
            "The time zone of `freeze`, by its name in the IANA database."),
        Key::new("shared_files", PATHS, Derived("the preset's, else none"), r#"["server/.env"]"#,
            "Files that outlive releases: kept under `shared/` and linked into each release. Relative to it."),
        Key::new("shared_dirs", PATHS, Derived("the preset's, else none"), r#"["server/keys"]"#, "Directories, likewise."),
        Key::new("keep_releases", Integer { min: 1, max: 1000 }, Value("5"), "5",
            "Successful releases to keep, the live one included."),
        Key::new("submodules", Boolean, Value("false"), "true", "Whether submodules are fetched."),
        Key::new("timeout", Duration, Value(r#""30m""#), r#""1h 30m""#, "Deadline of a whole run."),
        Key::new("step_timeout", Duration, Value(r#""10m""#), r#""20m""#, "Deadline of a step that names none."),
        Key::new("env_file", Path, Derived("none"), r#""shared/server/.env""#,
            "A file of `KEY=value` lines for the environment of every step, read when the step starts. Its values are hidden in logs. Relative to `path`."),
        Key::new("env_files", PATHS, Value("[]"), r#"["shared/server/.env"]"#, "Several of them; a later one wins."),
        Key::new("environment", Variables, Value("{}"), r#"{ NODE_ENV = "production" }"#,
            "Environment of every step. Nothing secret: that belongs in `env_files`."),
        Key::new("confine", Boolean, Value("true"), "false",
            "Whether the commands that make the release (phases fetch, install, build and migrate) are kept to the system's files, this deployment's `path`, and a home and a TMPDIR of its own. `sudo` does nothing inside."),
        Key::new("readable", PATHS, Value("[]"), r#"["/srv/fonts"]"#, "What they may read and execute besides, as in `[confinement]`."),
        Key::new("writable", PATHS, Value("[]"), r#"["/var/cache/website"]"#, "Where they may do everything besides, likewise."),
        Key::new("environment_name", Text, Derived("the slug"), r#""production""#,
            "With `github.deployments`: the environment under which GitHub shows the deployment."),
        Key::new("url", Text, Derived("none"), r#""https://api.durhack.com""#,
            "Where people see what is deployed; with `github.deployments` GitHub links there."),
        Key::new("instance_name", Text, Derived("none; the presets of DurHack's applications require it"), r#""durhack-staging""#,
            "`INSTANCE_NAME` of every step: how an ecosystem file names its applications.").of(&[PNPM_PM2, GO_STATIC, STEPS]),
        Key::new("sites", Tables(&SITE), Required, "",
            "Which sites of the repository this host serves: rules, of which the last that matches wins; none matches: not served. `sites = []` serves none.")
            .of(&[NGINX_SITES]),
        Key::new("unbracketed", TEXTS, Value(r#"["*"]"#), r#"["catch-all.nginxconf", "status-codes.nginxconf"]"#,
            "Which of the files without `[site]` in their names this host gets: paths below `production/`, or `*` for all.")
            .of(&[NGINX_SITES]),
        Key::new("build", TEXTS, Value(r#"["cargo", "build", "--release", "--locked"]"#), r#"["tar", "-xf", "/srv/builds/durhack-deployer.tar"]"#,
            "What makes the deployer's new program in the release, or unpacks it there.").of(&[DEPLOYER]),
        Key::new("binary", Path, Value(r#""target/release/durhack-deployer""#), r#""bin/durhack-deployer""#,
            "Where the new program lies then; relative to the release, and inside it.").of(&[DEPLOYER]),
        Key::new("systemd_unit_name", Text, Value(r#""durhack-deployer.service""#), r#""durhack-deployer.service""#,
            "The unit that runs the deployer. It is named where somebody should look into its journal; nothing restarts it.").of(&[DEPLOYER]),
        Key::new("uwsgi_config_path", Path, Derived("none"), r#""/etc/uwsgi/vassals/deploy.durhack.com.ini""#,
            "The vassal's file in the directory that uWSGI's emperor watches: a file, or a link to one. Its time is set anew for each release. Required by `uv-uwsgi`; of `deployer`, the file of the Python tool, which nothing of ours needs.")
            .of(&[UV_UWSGI, DEPLOYER]),
        Key::new("uwsgi_config", Path, Derived("none: the vassal's file must exist"), r#""uwsgi.ini""#,
            "A file of the repository. Where `uwsgi_config_path` does not exist, it is made a link to it; and removed again where the first release fails.")
            .of(&[UV_UWSGI]),
        Key::new("migrate", TEXTS,
            Derived("what the repository shows: `[\"alembic\", \"upgrade\", \"head\"]` for `alembic.ini` and `[\"scripts/migrate.sh\"]` for that file (uv-uwsgi); `[\"prisma\", \"migrate\", \"deploy\"]` in each package with Prisma migrations (pnpm-pm2); else none"),
            r#"["alembic", "upgrade", "head"]"#,
            "What brings the database to the release's schema: program and arguments. With uv-uwsgi it runs in the release, whose virtual environment's programs come first; with pnpm-pm2 by `pnpm exec` in the first of `packages`. `[]`: nothing does.")
            .of(&[UV_UWSGI, PNPM_PM2]),
        Key::new("python", Text, Derived("what the project asks for, of the system's"), r#""/usr/bin/python3.11""#,
            "The Python of the virtual environment, as `uv --python` takes it. It must be the version that uWSGI's plugin was built for.")
            .of(&[UV_UWSGI]),
        Key::new("client", Path, Derived("`client`, where it has a `package.json`"), r#""web""#,
            "The directory of the client. Relative to the repository.").of(&[GO_STATIC]),
        Key::new("client_build", TEXTS, Derived("the script `build`, by pnpm or npm as the lock file says"),
            r#"["npm", "run", "build", "--", "--outDir", "{output}"]"#,
            "What builds the client: program and arguments, run in its directory. `{output}` is replaced by where it is to write; in place that is beside what is being served.")
            .of(&[GO_STATIC]),
        Key::new("client_output", Path, Derived("`build` in the client's directory"), r#""client/dist""#,
            "Where the build leaves what is served. Relative to the repository.").of(&[GO_STATIC]),
        Key::new("server", Path, Derived("`server`, where there is Go code in it"), r#""cmd/server""#,
            "The directory of the server's main package. Relative to the repository.").of(&[GO_STATIC]),
        Key::new("server_binary", Path, Derived("`bin/server` in the server's directory"), r#""server/jury""#,
            "Where the server's binary comes to lie. Relative to the repository.").of(&[GO_STATIC]),
        Key::new("restart", TEXTS, Derived("none"), r#"["supervisorctl", "restart", "jury"]"#,
            "What makes the new server run where no unit does: program and arguments, run in the release after the switch, and again when it is taken back.")
            .of(&[GO_STATIC]),
        Key::new("publish", PATHS, Derived("the preset's, else none"), r#"["client/build"]"#,
            "Paths of the release that are reached at the same place below `path` too, by a link into `current`: for an nginx whose `root` does not name `current`.")
            .of(&[GO_STATIC]),
        Key::new("health", Tables(&HEALTH), Value("[]"), "",
            "What must hold for a release to stay live. Exactly one of `http`, `tcp`, `command` and `shell` in each."),
        Key::new("steps", Tables(&STEP), Value("[]"), "",
            "The commands, run phase by phase, and inside a phase in the order written. None: the release is the repository's content.")
            .of(&[STEPS, SYSTEMD]),
        Key::new("units", TEXTS, Required, r#"["website.service"]"#,
            "The units that run the release. They are restarted, in this order, after the switch, and again when it is taken back; a unit that is not running is started. Required by `systemd`.")
            .of(&[SYSTEMD, GO_STATIC]),
        Key::new("reload", Boolean, Value("false"), "true", "Reload the units instead of restarting them, where they can be reloaded.")
            .of(&[SYSTEMD]),
        Key::new("user_units", Boolean, Value("false"), "true", "The units are those of the deployer's own user (`systemctl --user`).")
            .of(&[SYSTEMD, GO_STATIC]),
        Key::new("packages", TEXTS, Derived("the preset's, else all of the workspace"), r#"["server"]"#,
            "Directories of the workspace's packages that are deployed, each with the packages that it depends on. The others are neither installed nor built, and a change of them alone deploys nothing.")
            .of(&[PNPM_PM2]),
        Key::new("migrate_before", Choice(&["build", "switch"]), Derived("the preset's, else `\"switch\"`"), r#""build""#,
            "Whether the database is migrated before the scripts run, because they ask it, or after they have succeeded.")
            .of(&[PNPM_PM2]),
        Key::new("scripts", TEXTS, Value(r#"["generate", "build"]"#), r#"["build"]"#,
            "Scripts of the packages that make the release, in this order; a package without one is passed over.")
            .of(&[PNPM_PM2]),
        Key::new("ecosystem", Path, Derived("`ecosystem.config.js`, `.cjs` or `.mjs`, the first there is"), r#""ecosystem.config.cjs""#,
            "The file that names the applications, relative to the release.").of(&[PNPM_PM2]),
        Key::new("hooks", Table(&HOOKS), Derived("none"), "", "Commands before and after whole phases."),
    ],
};

static SITE: Section = Section {
    meaning: "One rule.",
    keys: &[
        Key::new(
            "rule",
            Choice(&["include", "exclude"]),
            Required,
            r#""include""#,
            "What happens to the selected sites.",
        ),
        Key::new(
            "select",
            TEXTS,
            Required,
            r#"["durhack.com"]"#,
            "Names of sites, or `*` for all. Nothing else is a pattern.",
        ),
    ],
};

static HEALTH: Section = Section {
    meaning: "One check. It is made after the switch, until it succeeds or `attempts` are used up; then the run is undone.",
    keys: &[
        Key::new(
            "http",
            Text,
            Derived("none"),
            r#""http://localhost:3001/health""#,
            "GET this URL; no redirect is followed.",
        ),
        Key::new(
            "tcp",
            Text,
            Derived("none"),
            r#""localhost:3001""#,
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
        Key::new("attempts", Integer { min: 1, max: 1000 }, Value("10"), "10", "How often, at most."),
        Key::new("interval", Duration, Value(r#""1s""#), r#""2s""#, "Between two attempts."),
        Key::new("timeout", Duration, Value(r#""5s""#), r#""10s""#, "Of one attempt."),
    ],
};

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
    "Program and arguments that take it back when the run fails later.",
);
const STEP_UNDO_SHELL: Key =
    Key::new("undo_shell", Text, Derived("none"), r#""make undo""#, "The same, as a line for `/bin/sh -c`.");

static STEP: Section = Section {
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

static HOOKS: Section = Section {
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
