//! `certbot`, as we call it. It is run as root where root owns the certificates, so nothing but checked names gets in: everything else
//! is the operator's or constant. By sudo too it is `crates/privileged` that calls it: a rule for certbot itself is
//! root, whatever arguments it allows.

use super::{HELPER, SUDO, preceded_by};
use crate::config::{Certificates, CommandLine, Privileges};
use crate::names::{DomainName, SiteName};
use anyhow::{Result, bail};
use std::path::Path;

/// Obtains a site's certificate for these names, or one with these instead of others. `renew`: also where the one that is there would do
/// by certbot's own judgement.
pub fn obtain(
    certificates: &Certificates,
    privileges: Privileges,
    site: &SiteName,
    names: &[DomainName],
    renew: bool,
) -> Result<CommandLine> {
    match privileges {
        Privileges::Direct => Ok(CommandLine::Argv(certonly(certificates, site, names, renew))),
        Privileges::Sudo | Privileges::Helper => {
            let verb = if renew { "certificate-renew" } else { "certificate" };
            let mut words = way(privileges);
            words.push(verb);
            words.extend(site_first(site, names)?);
            Ok(preceded_by(&words, Vec::new()))
        }
    }
}

/// How root is asked for a certificate.
fn way(privileges: Privileges) -> Vec<&'static str> {
    match privileges {
        Privileges::Direct => Vec::new(),
        Privileges::Sudo => [&SUDO[..], &[HELPER]].concat(),
        Privileges::Helper => vec![HELPER, "ask"],
    }
}

/// A certificate is called like the first of its names.
fn site_first<'a>(site: &SiteName, names: &'a [DomainName]) -> Result<Vec<&'a str>> {
    let (first, others): (Vec<&str>, Vec<&str>) =
        names.iter().map(DomainName::as_str).partition(|name| *name == site.as_str());
    if first.is_empty() {
        bail!(
            "its site must be called like one of its names ({}), or `privileges` be \"direct\"",
            others.join(", ")
        );
    }
    Ok([first, others].concat())
}

fn certonly(certificates: &Certificates, site: &SiteName, names: &[DomainName], renew: bool) -> Vec<String> {
    let mut words: Vec<String> =
        ["certbot", "certonly", "--non-interactive", "--agree-tos", "--renew-with-new-domains"]
            .map(str::to_owned)
            .to_vec();
    words.push(if renew { "--force-renewal" } else { "--keep-until-expiring" }.into());
    match &certificates.email {
        Some(email) => words.extend(["--email".into(), email.clone()]),
        None => words.push("--register-unsafely-without-email".into()),
    }
    match &certificates.webroot {
        Some(webroot) => words.extend(["--webroot".into(), "--webroot-path".into(), text(webroot)]),
        None => words.push("--nginx".into()),
    }
    if let Some(server) = &certificates.acme_server {
        words.extend(["--server".into(), server.clone()]);
    }
    words.extend(directories(&certificates.directory));
    words.extend(["--cert-name".to_owned(), site.to_string()]);
    for name in names {
        words.extend(["-d".to_owned(), name.to_string()]);
    }
    words
}

/// The same for a plan, without what is only known when it is carried out.
pub fn in_short(privileges: Privileges) -> String {
    let words = match privileges {
        Privileges::Direct => vec!["certbot", "certonly"],
        Privileges::Sudo | Privileges::Helper => [way(privileges), vec!["certificate"]].concat(),
    };
    preceded_by(&words, Vec::new()).shown()
}

/// Said only where they are not certbot's own.
fn directories(directory: &Path) -> Vec<String> {
    const USUAL: &str = "/etc/letsencrypt";
    if directory == Path::new(USUAL) {
        return Vec::new();
    }
    let options = [
        ("--config-dir", directory.to_owned()),
        ("--work-dir", directory.join("work")),
        ("--logs-dir", directory.join("logs")),
    ];
    options.into_iter().flat_map(|(option, path)| [option.to_owned(), text(&path)]).collect()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn certificates_are_asked_for_by_argv() {
        let site = SiteName::parse("durhack.com").unwrap();
        let names = ["durhack.com", "www.durhack.com"].map(|name| DomainName::parse(name).unwrap());
        let usual = Certificates {
            directory: "/etc/letsencrypt".into(),
            webroot: None,
            email: None,
            acme_server: None,
            renew_before: Duration::ZERO,
            self_test: true,
        };
        let obtain = |certificates: &Certificates, privileges, names: &[DomainName], renew| {
            obtain(certificates, privileges, &site, names, renew).map(|command| command.shown())
        };
        insta::assert_snapshot!(obtain(&usual, Privileges::Direct, &names, false).unwrap(), @"certbot certonly --non-interactive --agree-tos --renew-with-new-domains --keep-until-expiring --register-unsafely-without-email --nginx --cert-name durhack.com -d durhack.com -d www.durhack.com");
        let own = Certificates {
            directory: "/x".into(),
            webroot: Some("/w".into()),
            email: Some("a@b.org".into()),
            acme_server: Some("https://ca/dir".into()),
            ..usual
        };
        insta::assert_snapshot!(obtain(&own, Privileges::Direct, &names[..1], true).unwrap(), @"certbot certonly --non-interactive --agree-tos --renew-with-new-domains --force-renewal --email a@b.org --webroot --webroot-path /w --server https://ca/dir --config-dir /x --work-dir /x/work --logs-dir /x/logs --cert-name durhack.com -d durhack.com");
        // What else certbot is told is root's business then.
        for (privileges, way) in [(Privileges::Sudo, "sudo -n "), (Privileges::Helper, "")] {
            let ask = if way.is_empty() { " ask" } else { "" };
            let asked = obtain(&own, privileges, &[names[1].clone(), names[0].clone()], false).unwrap();
            assert_eq!(asked, format!("{way}{HELPER}{ask} certificate durhack.com www.durhack.com"));
            let renewed = obtain(&own, privileges, &names[..1], true).unwrap();
            assert_eq!(renewed, format!("{way}{HELPER}{ask} certificate-renew durhack.com"));
            assert!(obtain(&own, privileges, &names[1..], false).is_err(), "it would have another name");
        }
    }
}
