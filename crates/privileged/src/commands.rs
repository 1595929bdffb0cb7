//! Which programs carry a request out: absolute paths, constant options, checked names. Pure.

use crate::allow_list::Certbot;
use crate::request::{DomainName, Request};
use std::time::Duration;

const NGINX: &str = "/usr/sbin/nginx";
const SYSTEMCTL: &str = "/usr/bin/systemctl";
const CERTBOT: &str = "/usr/bin/certbot";

/// nginx resolves names and reads keys, no more.
const NGINX_LIMIT: Duration = Duration::from_secs(60);

/// A unit may take 90 seconds to stop and as many to start, by systemd's defaults.
const UNIT_LIMIT: Duration = Duration::from_secs(300);

/// A CA asks about each name, and may take its time.
const CERTIFICATE_LIMIT: Duration = Duration::from_secs(600);

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its absolute path.
    pub program: &'static str,
    /// What follows it.
    pub arguments: Vec<String>,
    /// How long it may take.
    pub limit: Duration,
}

/// One after the other; the first that fails is the last.
pub fn commands(request: &Request, certbot: &Certbot) -> Vec<Command> {
    let test = || command(NGINX, &["-t"], NGINX_LIMIT);
    match request {
        Request::NginxTest => vec![test()],
        Request::NginxReload => vec![test(), systemctl("reload", "nginx.service")],
        Request::Unit(verb, unit) => vec![systemctl(verb.of_systemctl(), &unit.in_full())],
        Request::Certificate { names, renew } => vec![certificate(names, *renew, certbot)],
    }
}

fn systemctl(verb: &str, unit: &str) -> Command {
    command(SYSTEMCTL, &["--no-ask-password", verb, "--", unit], UNIT_LIMIT)
}

fn certificate(names: &[DomainName], renew: bool, certbot: &Certbot) -> Command {
    let keep = if renew { "--force-renewal" } else { "--keep-until-expiring" };
    let constant = ["certonly", "--non-interactive", "--agree-tos", "--renew-with-new-domains", keep];
    let mut command = command(CERTBOT, &constant, CERTIFICATE_LIMIT);
    let mut add =
        |option: &str, value: &dyn std::fmt::Display| command.arguments.push(format!("{option}={value}"));
    if let Some(server) = &certbot.server {
        add("--server", server);
    }
    if let Some(webroot) = &certbot.webroot {
        add("--webroot-path", &webroot.display());
    }
    if let Some(email) = &certbot.email {
        add("--email", email);
    }
    // Its directory below /etc/letsencrypt/live is named by the first.
    names.iter().take(1).for_each(|name| add("--cert-name", name));
    names.iter().for_each(|name| add("--domain", name));
    let way = if certbot.webroot.is_some() { "--webroot" } else { "--nginx" };
    command.arguments.push(way.into());
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

    fn shown(words: &[&str], certbot: &Certbot) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let commands = commands(&Request::parse(&words).unwrap(), certbot);
        commands
            .iter()
            .map(|command| format!("{} {}", command.program, command.arguments.join(" ")))
            .collect()
    }

    #[test]
    fn programs_are_constant() {
        let usual = Certbot::default();
        let own = Certbot {
            email: Some("a@b.org".into()),
            server: Some("https://ca/dir".into()),
            webroot: Some("/var/www/acme".into()),
        };
        assert_eq!(shown(&["nginx-test"], &usual), ["/usr/sbin/nginx -t"]);
        assert_eq!(
            shown(&["nginx-reload"], &usual),
            ["/usr/sbin/nginx -t", "/usr/bin/systemctl --no-ask-password reload -- nginx.service"]
        );
        assert_eq!(
            shown(&["unit-stop", "a"], &usual),
            ["/usr/bin/systemctl --no-ask-password stop -- a.service"]
        );
        assert_eq!(
            shown(&["certificate", "a.org", "b.org"], &usual),
            [
                "/usr/bin/certbot certonly --non-interactive --agree-tos --renew-with-new-domains --keep-until-expiring \
              --cert-name=a.org --domain=a.org --domain=b.org --nginx --register-unsafely-without-email"
            ]
        );
        assert_eq!(
            shown(&["certificate-renew", "a.org"], &own),
            [
                "/usr/bin/certbot certonly --non-interactive --agree-tos --renew-with-new-domains --force-renewal \
              --server=https://ca/dir --webroot-path=/var/www/acme --email=a@b.org --cert-name=a.org --domain=a.org --webroot"
            ]
        );
    }
}
