//! The host's nginx and its certificates, and which of a repository's sites a deployment serves.

use crate::config::keys::Default::{Derived, Value};
use crate::config::keys::KeyKind::{Boolean, Choice, Duration, Path, Text};
use crate::config::keys::{Key, Section};

/// The keys of `[nginx]`, in the order in which the reference has them.
pub static NGINX: Section = Section {
    meaning: "The host's nginx, for recipe `nginx-sites`. A host with Debian's, Ubuntu's or nginx.org's package needs none of this.",
    keys: &[
        Key::new("program", Path, Value(r#""/usr/sbin/nginx""#), r#""/usr/sbin/nginx""#, "The program."),
        Key::new(
            "directory",
            Path,
            Value(r#""/etc/nginx""#),
            r#""/etc/nginx""#,
            "Sites go to `conf.d` below it, snippets to `snippets`. With `privileges` `\"helper\"` or `\"sudo\"` root writes them, else the deployer must be able to.",
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
            "The only directory in which a site may have logs written.",
        ),
        Key::new(
            "reload",
            Choice(&["systemctl", "signal"]),
            Value(r#""systemctl""#),
            r#""signal""#,
            "How nginx is reloaded: `systemctl reload nginx`, or `nginx -s reload`.",
        ),
    ],
};

/// The keys of `[certificates]`, in the order in which the reference has them.
pub static CERTIFICATES: Section = Section {
    meaning: "How certbot is called, for recipe `nginx-sites`. certbot's own timer renews certificates between deploys.",
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
            Derived(
                "none: with `privileges = \"direct\"`, certbot's plugin for nginx answers the CA; else `/var/lib/letsencrypt/webroot`",
            ),
            r#""/var/www/acme""#,
            "The CA's questions are answered by files below it, which every site must serve at `/.well-known/acme-challenge/`. Unless `privileges` is `\"direct\"`, `[certbot]` of `privileged.toml` names it, and this only says where it is tried.",
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
