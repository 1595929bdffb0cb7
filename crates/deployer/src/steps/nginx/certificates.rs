//! Which certificates the wanted sites need, and obtaining those that are missing.
//!
//! A site's certificate has the site's name, and is for all names of all its servers. The CA is asked only where there is none, where its
//! names are others, or where it is near its end; and only after we have found out for ourselves what the CA would. What
//! certbot prints is for people: its exit code counts. A certificate that is refused stops the run, after the others have been
//! tried, and before anything that is live has changed. Renewing what nobody deploys is left to certbot's own timer.

mod backoff;
mod obtained;
mod self_test;
pub mod x509;

use super::{SitesStep, files, install};
use crate::base::clock;
use crate::base::names::{DomainName, SiteName};
use crate::process::step_context::StepContext;
use crate::process::tools::certbot;
use crate::steps::nginx::site_file::SiteFile;
use anyhow::{Result, anyhow, bail};
use fs_err as fs;
use nginx_policy::configuration::{self, Directive};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use x509::Certificate;

/// What there is to be done about a file for a certificate that only other hosts have.
const OF_EVERY_HOST: &str = " (its name has no brackets, so it is for every host: `unbracketed = [...]` of the deployment names those that are for this one)";

/// A certificate that a site refers to.
#[derive(Debug, PartialEq, Eq)]
struct Need {
    site: SiteName,
    names: Vec<DomainName>,
}

/// What there is of a certificate.
enum Present {
    Missing,
    /// certbot, which can read it, decides.
    Unreadable,
    /// Likewise; and it has decided, not long ago.
    Remembered,
    There(Certificate),
}

/// Obtains what is missing. All that go wrong are in the error.
pub async fn obtain_all(step: &SitesStep, files: &[SiteFile], step_context: &StepContext<'_>) -> Result<()> {
    let mut failures = Vec::new();
    for need in needs(step, files) {
        let present = present(step, &need);
        let Some((why, renew)) = reason(&need.names, &present, clock::now_ms(), step) else { continue };
        step_context.note(format!("{}: {why}", need.site));
        // What certbot may have already needs no CA, and so nothing that the CA would see.
        let self_test = step.certificates.self_test && !matches!(present, Present::Unreadable);
        if let Err(error) = obtain(step, &need, (renew, self_test), step_context).await {
            failures.push(format!("no certificate for {}: {error:#}", need.site));
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!(files::in_one_line(&failures)) }
}

async fn obtain(
    step: &SitesStep,
    need: &Need,
    (renew, self_test): (bool, bool),
    step_context: &StepContext<'_>,
) -> Result<()> {
    let failures = backoff::Failures::load(&step.state, &need.site, &need.names);
    if let Some(until) = failures.wait_until_ms(clock::now_ms()).filter(|_| !step.forced) {
        bail!(
            "certbot could not obtain it {}, and the CA is not asked again before {} UTC; `deploy --force` asks at once",
            if failures.number == 1 { "once".to_owned() } else { format!("{} times", failures.number) },
            clock::readable_utc(until)
        );
    }
    if self_test {
        for name in &need.names {
            self_test::test(name, step.certificates.webroot.as_deref()).await?;
        }
    }
    let command = certbot::obtain(&step.certificates, step.privileges, &need.site, &need.names, renew)?;
    let (said, called) = step_context.capture(&command).await;
    if let Err(error) = called {
        // Where root's helper would not have certbot called, or could not be asked, nothing was asked of the CA.
        if !step_context.cancel.is_cancelled() && !certbot::was_not_called(step.privileges, &error, &said.err)
        {
            failures.add(&step.state, &need.site, &need.names, clock::now_ms())?;
        }
        return Err(certbot::complaint(&said.out, &said.err).map_or(error, |said| anyhow!("certbot: {said}")));
    }
    backoff::forget(&step.state, &need.site)?;
    // nginx has read the old one, and the site's file may be the same. Noted first: what is remembered is not asked for again.
    install::want_reload(step)?;
    obtained::remember(&step.state, &need.site, &need.names, clock::now_ms())
}

/// An error where a file names a certificate that is not there and that nobody obtains.
pub fn check_references(step: &SitesStep, files: &[SiteFile]) -> Result<()> {
    let obtained: Vec<PathBuf> =
        needs(step, files).iter().map(|need| directory_of(step, &need.site)).collect();
    let mut faults = Vec::new();
    let is_missing =
        |path: &Path| matches!(path.metadata(), Err(error) if error.kind() == ErrorKind::NotFound);
    for file in files {
        let source = &file.wanted.source;
        for (directive, path) in key_files(step, file) {
            if is_missing(&path) && !obtained.iter().any(|directory| path.starts_with(directory)) {
                faults.push(match made_by_certbot(&path) {
                    Some(how) => {
                        format!("{source}:{}: {} does not exist: {how}", directive.line(), path.display())
                    }
                    None => format!(
                        "{source}:{}: {} does not exist, and no certificate is obtained for this file{}",
                        directive.line(),
                        path.display(),
                        if file.wanted.site.is_some() { "" } else { OF_EVERY_HOST }
                    ),
                });
            }
        }
        configuration::each(&file.directives, &mut |directive| {
            let path = directive.argument().map(|path| step.nginx.directory.join(path));
            if directive.name() == "include"
                && let Some(path) = path.filter(|path| is_missing(path))
                && let Some(how) = made_by_certbot(&path)
            {
                faults.push(format!(
                    "{source}:{}: {} does not exist: {how}",
                    directive.line(),
                    path.display()
                ));
            }
        });
    }
    if faults.is_empty() { Ok(()) } else { bail!(files::in_one_line(&faults)) }
}

/// How a file comes to be that certbot's plugin for nginx makes at its first certificate, and that sites name since.
fn made_by_certbot(path: &Path) -> Option<String> {
    let (from, package) = match path.file_name()?.to_str()? {
        "ssl-dhparams.pem" => ("certbot/ssl-dhparams.pem", "certbot"),
        "options-ssl-nginx.conf" => {
            ("certbot_nginx/_internal/tls_configs/options-ssl-nginx.conf", "python3-certbot-nginx")
        }
        _ => return None,
    };
    Some(format!(
        "certbot's plugin for nginx makes it; so does `sudo cp /usr/lib/python3/dist-packages/{from} {}` (package {package})",
        path.display()
    ))
}

/// One for each site that names hosts and whose certificate some file refers to.
fn needs(step: &SitesStep, files: &[SiteFile]) -> Vec<Need> {
    let referred: BTreeSet<PathBuf> =
        files.iter().flat_map(|file| key_files(step, file)).map(|(_, path)| path).collect();
    let mut by_site: BTreeMap<&SiteName, BTreeSet<DomainName>> = BTreeMap::new();
    for file in files {
        if let Some(site) = &file.wanted.site {
            by_site.entry(site).or_default().extend(names(&file.directives));
        }
    }
    by_site.retain(|site, names| {
        let directory = directory_of(step, site);
        !names.is_empty() && referred.iter().any(|path| path.starts_with(&directory))
    });
    let needs = by_site.into_iter();
    needs.map(|(site, names)| Need { site: site.clone(), names: names.into_iter().collect() }).collect()
}

/// The public names of all servers of a file. `_`, wildcards, patterns and local names are no names for a certificate.
fn names(directives: &[Directive]) -> BTreeSet<DomainName> {
    let mut names = BTreeSet::new();
    configuration::each(directives, &mut |directive| {
        if directive.name() == "server_name" {
            let words = directive.arguments().iter();
            names.extend(words.filter_map(|word| DomainName::parse(&word.text.to_ascii_lowercase()).ok()));
        }
    });
    names
}

/// The directives of a file that name keys or certificates, and what they name.
fn key_files<'a>(step: &SitesStep, file: &'a SiteFile) -> Vec<(&'a Directive, PathBuf)> {
    let base = step.nginx.configuration.parent().unwrap_or(&step.nginx.directory);
    let mut found = Vec::new();
    configuration::each(&file.directives, &mut |directive| {
        if let Some(path) = directive.argument().filter(|path| !path.is_empty())
            && nginx_policy::names_key_file(directive.name())
        {
            found.push((directive, base.join(path)));
        }
    });
    found
}

fn directory_of(step: &SitesStep, site: &SiteName) -> PathBuf {
    step.certificates.directory.join("live").join(site.as_str())
}

fn present(step: &SitesStep, need: &Need) -> Present {
    let remembered =
        || obtained::is_remembered(&step.state, &need.site, &need.names, clock::now_ms()) && !step.forced;
    match fs::read_to_string(directory_of(step, &need.site).join("fullchain.pem")) {
        Ok(text) => x509::read(&text).map_or(Present::Missing, Present::There),
        Err(error) if error.kind() == ErrorKind::NotFound => Present::Missing,
        Err(_) if remembered() => Present::Remembered,
        Err(_) => Present::Unreadable,
    }
}

/// Why certbot is called, and whether it must renew; None: what is there will do.
fn reason(
    names: &[DomainName],
    present: &Present,
    now_ms: i64,
    step: &SitesStep,
) -> Option<(&'static str, bool)> {
    let found = match present {
        Present::Missing => return Some(("there is no certificate", false)),
        Present::Unreadable => return Some(("certbot knows whether its certificate will do", false)),
        Present::Remembered => return None,
        Present::There(found) => found,
    };
    if !will_do(names, &found.names) {
        return Some(("its certificate is for other names", false));
    }
    let margin = i64::try_from(step.certificates.renew_before.as_millis()).unwrap_or(i64::MAX);
    (found.not_after_ms.saturating_sub(now_ms) < margin).then_some(("its certificate is near its end", true))
}

/// A certificate is for the names of its site and no others; one with wildcards, which certbot cannot get by itself, is not replaced
/// as long as it covers them.
fn will_do(names: &[DomainName], of_certificate: &BTreeSet<String>) -> bool {
    let parent = |name: &str| name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    let covered = |name: &DomainName| {
        of_certificate.contains(name.as_str())
            || parent(name.as_str()).is_some_and(|wild| of_certificate.contains(&wild))
    };
    let has_wildcard = of_certificate.iter().any(|name| name.starts_with("*."));
    names.iter().all(covered) && (has_wildcard || names.len() == of_certificate.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_servers_count_and_patterns_do_not() {
        let text = "server { server_name b.org www.B.org; } server { listen 80; server_name b.org a.org; \
                    server_name _ *.c.org .d.org ~^e\\.org$ localhost \"\" caf\u{e9}.org $hostname 10.0.0.1; }";
        let found = names(&configuration::parse(text).unwrap());
        assert_eq!(found.iter().map(DomainName::as_str).collect::<Vec<_>>(), ["a.org", "b.org", "www.b.org"]);
    }

    #[test]
    fn a_certificate_does_as_long_as_its_names_are_the_sites() {
        let domain = |name: &str| DomainName::parse(name).unwrap();
        for (names, of_certificate, expected) in [
            (&["a.org", "www.a.org"][..], &["a.org", "www.a.org"][..], true),
            (&["a.org", "www.a.org"], &["a.org"], false),
            (&["a.org"], &["a.org", "www.a.org"], false),
            (&["a.org", "www.a.org"], &["a.org", "*.a.org"], true),
            (&["www.a.org"], &["a.org", "*.a.org"], true),
            (&["x.www.a.org"], &["a.org", "*.a.org"], false),
            (&["b.org"], &["a.org"], false),
        ] {
            let names: Vec<DomainName> = names.iter().map(|name| domain(name)).collect();
            let of_certificate = of_certificate.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(will_do(&names, &of_certificate), expected, "{names:?} {of_certificate:?}");
        }
    }
}
