//! Which programs carry a request out: absolute paths, constant options, checked names. Pure.

use crate::allow_list::Certbot;
use crate::request::{DomainName, UnitName, UnitVerb};
use std::time::Duration;

const NGINX: &str = "/usr/sbin/nginx";
const SYSTEMCTL: &str = "/usr/bin/systemctl";
const JOURNALCTL: &str = "/usr/bin/journalctl";
const CERTBOT: &str = "/usr/bin/certbot";

/// nginx resolves names and reads keys, no more.
const NGINX_LIMIT: Duration = Duration::from_secs(60);

/// A unit may take 90 seconds to stop and as many to start, by systemd's defaults.
const UNIT_LIMIT: Duration = Duration::from_secs(300);

/// A large journal on a slow disk takes seconds.
const JOURNAL_LIMIT: Duration = Duration::from_secs(20);

/// A CA asks about each name, and may take its time.
const CERTIFICATE_LIMIT: Duration = Duration::from_secs(600);

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// An absolute path: no search in directories that somebody else could fill.
    pub program: &'static str,
    /// Constant options, and words of a request that were checked.
    pub arguments: Vec<String>,
    /// How long it may take.
    pub limit: Duration,
}

/// Whether what lies in nginx's directories is a configuration.
pub fn nginx_test() -> Command {
    command(NGINX, &["-t"], NGINX_LIMIT)
}

/// nginx reads it again.
pub fn nginx_reload() -> Command {
    systemctl("reload", "nginx.service")
}

/// Something is done to a unit.
pub fn unit(verb: UnitVerb, unit: &UnitName) -> Command {
    systemctl(verb.of_systemctl(), &unit.in_full())
}

/// The last lines of a unit's journal, systemd's own words about it among them.
pub fn unit_journal(unit: &UnitName) -> Command {
    let unit = format!("--unit={}", unit.in_full());
    let words = ["--no-pager", "--quiet", "--output=cat", "--lines=30", unit.as_str()];
    command(JOURNALCTL, &words, JOURNAL_LIMIT)
}

fn systemctl(verb: &str, unit: &str) -> Command {
    command(SYSTEMCTL, &["--no-ask-password", verb, "--", unit], UNIT_LIMIT)
}

/// A certificate for these names.
pub fn certificate(names: &[DomainName], renew: bool, certbot: &Certbot) -> Command {
    let keep = if renew { "--force-renewal" } else { "--keep-until-expiring" };
    let constant = ["certonly", "--non-interactive", "--agree-tos", "--renew-with-new-domains", keep];
    let mut command = command(CERTBOT, &constant, CERTIFICATE_LIMIT);
    let mut add =
        |option: &str, value: &dyn std::fmt::Display| command.arguments.push(format!("{option}={value}"));
    if let Some(server) = &certbot.server {
        add("--server", server);
    }
    add("--webroot-path", &certbot.webroot().display());
    if let Some(email) = &certbot.email {
        add("--email", email);
    }
    // Its directory below /etc/letsencrypt/live is named by the first.
    names.iter().take(1).for_each(|name| add("--cert-name", name));
    names.iter().for_each(|name| add("--domain", name));
    // Never `--nginx`: that plugin rewrites files that root has judged.
    command.arguments.push("--webroot".into());
    if certbot.email.is_none() {
        command.arguments.push("--register-unsafely-without-email".into());
    }
    command
}

fn command(program: &'static str, arguments: &[&str], limit: Duration) -> Command {
    Command { program, arguments: arguments.iter().map(|word| (*word).to_owned()).collect(), limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(command: &Command) -> String {
        format!("{} {}", command.program, command.arguments.join(" "))
    }

    #[test]
    fn programs_are_constant() {
        let usual = Certbot::default();
        let own = Certbot {
            email: Some("a@b.org".into()),
            server: Some("https://ca/dir".into()),
            webroot: Some("/var/www/acme".into()),
        };
        let names = ["a.org", "b.org"].map(|name| DomainName::parse(name).unwrap());
        assert_eq!(shown(&nginx_test()), "/usr/sbin/nginx -t");
        assert_eq!(shown(&nginx_reload()), "/usr/bin/systemctl --no-ask-password reload -- nginx.service");
        assert_eq!(
            shown(&unit(UnitVerb::Stop, &UnitName::parse("a").unwrap())),
            "/usr/bin/systemctl --no-ask-password stop -- a.service"
        );
        assert_eq!(
            shown(&certificate(&names, false, &usual)),
            "/usr/bin/certbot certonly --non-interactive --agree-tos --renew-with-new-domains --keep-until-expiring \
             --webroot-path=/var/lib/letsencrypt/webroot --cert-name=a.org --domain=a.org --domain=b.org --webroot --register-unsafely-without-email"
        );
        assert_eq!(
            shown(&certificate(&names[..1], true, &own)),
            "/usr/bin/certbot certonly --non-interactive --agree-tos --renew-with-new-domains --force-renewal \
             --server=https://ca/dir --webroot-path=/var/www/acme --email=a@b.org --cert-name=a.org --domain=a.org --webroot"
        );
    }
}
