//! `certbot`, as we call it. It is run as root where root owns the certificates, so nothing but checked names gets in: everything else
//! is the operator's or constant.

use super::privileged;
use crate::config::{Certificates, CommandLine, Privileges};
use crate::names::{DomainName, SiteName};
use std::path::Path;

/// Obtains a site's certificate for these names, or one with these instead of others. `renew`: also where the one that is there would do
/// by certbot's own judgement.
pub fn obtain(
    certificates: &Certificates,
    privileges: Privileges,
    site: &SiteName,
    names: &[DomainName],
    renew: bool,
) -> CommandLine {
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
    privileged(privileges, words)
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
        insta::assert_snapshot!(obtain(&usual, Privileges::Sudo, &site, &names, false).shown(), @"sudo -n certbot certonly --non-interactive --agree-tos --renew-with-new-domains --keep-until-expiring --register-unsafely-without-email --nginx --cert-name durhack.com -d durhack.com -d www.durhack.com");
        let own = Certificates {
            directory: "/x".into(),
            webroot: Some("/w".into()),
            email: Some("a@b.org".into()),
            acme_server: Some("https://ca/dir".into()),
            ..usual
        };
        insta::assert_snapshot!(obtain(&own, Privileges::Direct, &site, &names[..1], true).shown(), @"certbot certonly --non-interactive --agree-tos --renew-with-new-domains --force-renewal --email a@b.org --webroot --webroot-path /w --server https://ca/dir --config-dir /x --work-dir /x/work --logs-dir /x/logs --cert-name durhack.com -d durhack.com");
    }
}
