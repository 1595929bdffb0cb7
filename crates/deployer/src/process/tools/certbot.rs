//! `certbot`, as we call it. It is run as root where root owns the certificates, so nothing but checked names gets in: everything else
//! is the operator's or constant. By sudo too it is `crates/privileged` that calls it: a rule for certbot itself is
//! root, whatever arguments it allows.

use super::{HELPER, preceded_by, sudo};
use crate::base::names::{DomainName, SiteName};
use crate::config::{Certificates, CommandLine, Privileges};
use anyhow::{Result, bail};
use std::path::Path;

/// How certbot begins, whatever comes.
const GREETING: &str = "Saving debug log to";

/// How it ends when it has failed, whatever the reason.
const GOODBYE: &str = "Ask for help or search for solutions";

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
        Privileges::Sudo => [&sudo::WAY[..], &[HELPER]].concat(),
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

/// Why it failed, in a line, by what it wrote to standard output and standard error: what the CA says of each name, or else its own last
/// word. None where it has not come to its end: then others know better why.
pub fn complaint(out: &[String], err: &[String]) -> Option<String> {
    let end = err.iter().position(|line| line.starts_with(GOODBYE))?;
    let named =
        |name: &'static str| out.iter().filter_map(move |line| line.trim().strip_prefix(name)).map(str::trim);
    let refused: Vec<String> =
        named("Domain:").zip(named("Detail:")).map(|(name, why)| format!("{name}: {why}")).collect();
    if !refused.is_empty() {
        return Some(refused.join("; "));
    }
    let last = err[..end].iter().rfind(|line| !line.trim().is_empty() && !line.starts_with(GREETING));
    last.map(|line| line.trim().to_owned())
}

/// Whether certbot was not called at all, as whoever should call it as root would not, or could not be asked.
pub fn was_not_called(privileges: Privileges, error: &anyhow::Error, err: &[String]) -> bool {
    /// How the helper ends where it refuses, and where it cannot be reached.
    const ENDS: [&str; 2] = ["exited with 77", "exited with 69"];
    let error = error.to_string();
    privileges != Privileges::Direct
        && (ENDS.iter().any(|end| error.contains(end)) || err.iter().any(|line| line.starts_with("sudo: ")))
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

    #[test]
    fn what_root_refuses_is_no_answer_of_the_ca() {
        let because = |text: &str| anyhow::anyhow!("{HELPER} {text}");
        let called = |privileges, text, err: &[&str]| {
            let err: Vec<String> = err.iter().map(|line| (*line).to_owned()).collect();
            !was_not_called(privileges, &because(text), &err)
        };
        for (privileges, text, err, expected) in [
            (Privileges::Helper, "exited with 77: refused: not in `domains`", &[][..], false),
            (Privileges::Helper, "exited with 69: /run/x.sock: Permission denied", &[], false),
            (Privileges::Sudo, "exited with 1: sudo", &["sudo: a password is required"], false),
            (Privileges::Helper, "exited with 1: certbot", &["Some challenges have failed."], true),
            (Privileges::Direct, "exited with 77", &[], true),
        ] {
            assert_eq!(called(privileges, text, err), expected, "{text}");
        }
    }
    use std::time::Duration;

    #[test]
    fn a_failure_is_what_the_ca_says_or_what_certbot_does() {
        const CHALLENGES: &str = "Requesting a certificate for a.test and b.test\n\nCertbot failed to authenticate some domains (authenticator: nginx). The Certificate Authority reported these problems:\n  Domain: a.test\n  Type:   dns\n  Detail: no such name\n\n  Domain: b.test\n  Type:   connection\n  Detail: Get \"http://b.test/\": refused\n\nHint: The Certificate Authority failed\n";
        const AMONG: &str = "Saving debug log to /x\nSome challenges have failed.\nAsk for help or search for solutions at https://x. See the logfile\n";
        const PLUGIN: &str = "Saving debug log to /x\nThe requested nginx plugin does not appear to be installed\nAsk for help or search for solutions at https://x.\n";
        const TRACE: &str = "Saving debug log to /x\nAn unexpected error occurred:\nAttributeError: can't set attribute\nAsk for help or search for solutions at\n";
        for (out, err, expected) in [
            (CHALLENGES, AMONG, Some("a.test: no such name; b.test: Get \"http://b.test/\": refused")),
            ("Requesting a certificate\n", AMONG, Some("Some challenges have failed.")),
            ("", PLUGIN, Some("The requested nginx plugin does not appear to be installed")),
            ("", TRACE, Some("AttributeError: can't set attribute")),
            ("", "Saving debug log to /x\nAsk for help or search for solutions\n", None),
            ("", "Saving debug log to /x\nExiting due to user request.\n", None),
            ("", "sudo: a password is required\n", None),
        ] {
            let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(complaint(&lines(out), &lines(err)).as_deref(), expected, "{err}");
        }
    }

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
