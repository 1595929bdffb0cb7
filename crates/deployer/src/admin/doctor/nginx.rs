//! nginx and the certificates of its sites.

use super::context::DoctorContext;
use super::finding::{CheckResult, Finding, or_ok};
use crate::admin::host::paths;
use crate::admin::setup::drop_in;
use crate::base::clock::{now_ms, readable_utc};
use crate::base::names::DomainName;
use crate::config::Privileges;
use crate::process::tools::{HELPER, nginx};
use crate::steps::nginx::certificates::x509;
use anyhow::{Context, Result};
use globset::Glob;
use nginx_policy::configuration::{Directive, each, parse};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use supervise::End;

/// Site files that are read: a host with more has another way to look after them.
const SITE_FILES_MAX: usize = 500;

/// Remarks that are shown.
const REMARKS_MAX: usize = 20;

/// A certificate that ends within this keeps nobody out yet, and will before the next working day is over.
const NEAR_END_MS: i64 = 3 * 24 * 3600 * 1000;

/// Whether nginx reads what is deployed, and accepts all it reads.
pub async fn configuration(context: &DoctorContext) -> CheckResult {
    if !has_sites(context)? {
        return Ok(vec![Finding::not_checked("no deployment has nginx sites")]);
    }
    let config = &context.config()?.nginx;
    if !config.configuration.exists() {
        return Ok(vec![Finding::error(
            format!("there is no {}", config.configuration.display()),
            "`apt-get install nginx`, or say in [nginx] where its configuration lies",
        )]);
    }
    let text = fs_err::read_to_string(&config.configuration)?;
    let directives = parse(&text).with_context(|| config.configuration.display().to_string())?;
    let base = config.configuration.parent().unwrap_or(&config.directory);
    let patterns =
        arguments(&directives, "include").into_iter().map(|pattern| base.join(pattern)).collect::<Vec<_>>();
    let mut findings = Vec::new();
    for (ending, level) in
        [("nginxconf", Finding::error as fn(_, _) -> _), ("conf", Finding::warning as fn(_, _) -> _)]
    {
        let site = config.directory.join("conf.d").join(format!("example.{ending}"));
        if !patterns.iter().any(|pattern| fits(pattern, &site)) {
            findings.push(level(
                format!("{} does not include conf.d/*.{ending}", config.configuration.display()),
                format!(
                    "put `include {}/conf.d/*.{ending};` into its http block",
                    config.directory.display()
                ),
            ));
        }
    }
    findings.extend(walls(context)?);
    findings.extend(remarks(context)?);
    findings.push(test(context).await.unwrap_or_else(|error| Finding::not_checked(format!("{error:#}"))));
    Ok(findings)
}

fn fits(pattern: &Path, path: &Path) -> bool {
    Glob::new(&pattern.to_string_lossy()).is_ok_and(|glob| glob.compile_matcher().is_match(path))
}

/// Whether nginx's own unit has the walls that setup gives it.
fn walls(context: &DoctorContext) -> Result<Option<Finding>> {
    let config = context.config()?;
    if !nginx::root_writes(&config.nginx, config.privileges) {
        return Ok(None);
    }
    let is_as_packaged =
        fs_err::read_to_string(paths::NGINX_DROP_IN).is_ok_and(|text| text == drop_in::NGINX);
    Ok((!is_as_packaged).then(|| {
        Finding::warning(
            format!("nginx's unit is not confined, or not as this version does it: {}", paths::NGINX_DROP_IN),
            "`durhack-deployer setup` writes it, and tries it before it restarts nginx",
        )
    }))
}

/// What nginx is told that gives one user of this host what is another's: also what administrators have told it.
fn remarks(context: &DoctorContext) -> Result<Vec<Finding>> {
    let deployments: Vec<PathBuf> =
        context.config()?.deployments.values().map(|deployment| deployment.path.clone()).collect();
    // What the http block says of links holds for all sites that say nothing of them.
    let main = fs_err::read_to_string(&context.config()?.nginx.configuration).unwrap_or_default();
    let main = parse(&main).unwrap_or_default();
    let http = main.into_iter().filter(|directive| directive.name() == "http");
    let inherited: Vec<Directive> = http
        .flat_map(|http| http.block.unwrap_or_default())
        .filter(|directive| directive.name() == "disable_symlinks")
        .collect();
    let mut findings = Vec::new();
    for (path, directives) in site_files(context)? {
        let directives: Vec<Directive> = inherited.iter().cloned().chain(directives).collect();
        let remarks = nginx_policy::remarks(&directives, &deployments);
        findings.extend(remarks.into_iter().map(|remark| {
            Finding::warning(
                format!("{}:{}: {}", path.display(), remark.line, remark.message),
                "docs/reference/recipes/nginx-sites.md says why; if the file is out of a repository, change it there",
            )
        }));
    }
    findings.truncate(REMARKS_MAX);
    Ok(findings)
}

/// `nginx -t`, as deploys do it.
async fn test(context: &DoctorContext) -> Result<Finding> {
    let config = context.config()?;
    let by_root = nginx::root_writes(&config.nginx, config.privileges);
    let command = match context.us.is_root() {
        true if by_root => nginx::test_by_root(),
        true => nginx::test(&config.nginx, Privileges::Direct),
        false => nginx::test(&config.nginx, config.privileges),
    };
    if !context.may_call(&config.nginx.program) {
        let what = format!("{} is not root's: it is not called as root", config.nginx.program.display());
        return Ok(Finding::not_checked(what));
    }
    let answer = context.ask_tool(&command).await?;
    if answer.end == End::Exited(0) {
        return Ok(Finding::ok(format!("`{}` accepts what is live", command.shown())));
    }
    let said = answer.said.lines().find(|line| line.contains("[emerg]")).unwrap_or(&answer.complaint);
    let is_ours = !context.us.is_root()
        && (said.contains("ermission denied")
            || said.contains("helper-key")
            || said.contains("password is required"));
    Ok(match is_ours {
        true => {
            Finding::not_checked(format!("{} may not test nginx's configuration: {said}", context.us.name))
        }
        false => Finding::error(
            format!("nginx refuses its configuration, and so would every deploy of sites: {said}"),
            format!("mend that file, until `{}` succeeds", command.shown()),
        ),
    })
}

fn has_sites(context: &DoctorContext) -> Result<bool> {
    Ok(context.deployments()?.any(|deployment| deployment.recipe.sites.is_some()))
}

/// Certificates near their end: certbot's, and those that site files name.
pub fn certificates(context: &DoctorContext) -> CheckResult {
    let config = context.config()?;
    let mut files = BTreeSet::new();
    for lineage in
        fs_err::read_dir(config.certificates.directory.join("live")).into_iter().flatten().flatten()
    {
        if lineage.path().is_dir() {
            files.insert(lineage.path().join("fullchain.pem"));
        }
    }
    files.extend(named_in_sites(context)?.into_iter().map(PathBuf::from));
    let mut findings = Vec::new();
    let mut number = 0;
    for file in files {
        match fs_err::read_to_string(&file) {
            Ok(text) => {
                number += 1;
                let renew_before =
                    i64::try_from(config.certificates.renew_before.as_millis()).unwrap_or(i64::MAX);
                findings.extend(judged(&file, &text, now_ms(), renew_before));
            }
            // certbot writes a README beside its lineages, and a site may name what nobody has obtained yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => findings.push(Finding::not_checked(format!("as {}: {error}", context.us.name))),
        }
    }
    findings.extend(renewals(context)?);
    if number == 0 && findings.is_empty() {
        let directory = config.certificates.directory.join("live");
        let why =
            format!("there are none in {}, or {} may not see them", directory.display(), context.us.name);
        return Ok(vec![Finding::not_checked(why)]);
    }
    Ok(or_ok(findings, format!("certificates: {number}, none near its end")))
}

/// Certificates that certbot's timer renews by its plugin for nginx, which rewrites nginx's files as root: also those that root has judged.
fn renewals(context: &DoctorContext) -> Result<Vec<Finding>> {
    let config = context.config()?;
    if !nginx::root_writes(&config.nginx, config.privileges) {
        return Ok(Vec::new());
    }
    let directory = &config.certificates.directory;
    let mut findings = Vec::new();
    for entry in fs_err::read_dir(directory.join("renewal")).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_renewal = path.extension().is_some_and(|ending| ending == "conf");
        let Some(text) = is_renewal.then(|| fs_err::read_to_string(&path).ok()).flatten() else { continue };
        if !is_renewed_by_plugin(&text) {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let lineage = directory.join("live").join(&name).join("fullchain.pem");
        let certificate = fs_err::read_to_string(lineage).ok().and_then(|text| x509::read(&text));
        let others = certificate.map(|certificate| certificate.names).unwrap_or_default();
        let others: Vec<String> = others.into_iter().filter(|other| *other != name).collect();
        findings.push(Finding::warning(
            format!("{} has certbot's plugin for nginx renew it, which rewrites nginx's files as root", path.display()),
            format!(
                "serve /.well-known/acme-challenge/ from the webroot (docs/reference/recipes/nginx-sites.md), then, with all names of the certificate: \
                 `sudo {HELPER} certificate-renew {}`",
                [vec![name], others].concat().join(" ")
            ),
        ));
    }
    Ok(findings)
}

/// Of a file in certbot's `renewal/`: whether its plugin for nginx answers the CA, or installs what it has obtained.
fn is_renewed_by_plugin(text: &str) -> bool {
    let is_plugins = |(key, value): (&str, &str)| {
        matches!(key.trim(), "authenticator" | "installer") && value.trim() == "nginx"
    };
    text.lines().filter_map(|line| line.split_once('=')).any(is_plugins)
}

fn judged(file: &Path, text: &str, now_ms: i64, renew_before_ms: i64) -> Option<Finding> {
    let shown = file.display();
    let Some(certificate) = x509::read(text) else {
        return Some(Finding::error(
            format!("{shown} is no certificate"),
            "obtain it again: `certbot certificates` lists what certbot has",
        ));
    };
    let left = certificate.not_after_ms.saturating_sub(now_ms);
    let name = file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let renew = format!(
        "`certbot renew --cert-name {name}`; `systemctl list-timers certbot.timer` says whether it is tried by itself"
    );
    let ends = readable_utc(certificate.not_after_ms);
    if left <= 0 {
        Some(Finding::error(format!("{shown} ended at {ends} UTC: browsers refuse its site"), renew))
    } else if left < NEAR_END_MS {
        Some(Finding::error(format!("{shown} ends at {ends} UTC, within three days"), renew))
    } else if left < renew_before_ms {
        Some(Finding::warning(format!("{shown} ends at {ends} UTC, and was not renewed"), renew))
    } else {
        None
    }
}

/// The certificate files that the sites in nginx's directory name.
fn named_in_sites(context: &DoctorContext) -> Result<Vec<String>> {
    let mut named = Vec::new();
    for (_, directives) in site_files(context)? {
        named.extend(
            arguments(&directives, "ssl_certificate").into_iter().filter(|path| path.starts_with('/')),
        );
    }
    Ok(named)
}

/// The public names of the sites in nginx's directory.
pub fn site_names(context: &DoctorContext) -> Result<BTreeSet<DomainName>> {
    let mut names = BTreeSet::new();
    for (_, directives) in site_files(context)? {
        each(&directives, &mut |directive| {
            if directive.name() == "server_name" {
                let words = directive.arguments().iter();
                names
                    .extend(words.filter_map(|word| DomainName::parse(&word.text.to_ascii_lowercase()).ok()));
            }
        });
    }
    Ok(names)
}

/// What can be read of `conf.d`, and where it lies.
fn site_files(context: &DoctorContext) -> Result<Vec<(PathBuf, Vec<Directive>)>> {
    let directory = context.config()?.nginx.directory.join("conf.d");
    let entries = fs_err::read_dir(directory).into_iter().flatten().flatten().take(SITE_FILES_MAX);
    let read = |path: PathBuf| {
        let directives = parse(&fs_err::read_to_string(&path).ok()?).ok()?;
        Some((path, directives))
    };
    Ok(entries.filter_map(|entry| read(entry.path())).collect())
}

/// The first argument of every directive of this name.
fn arguments(directives: &[Directive], name: &str) -> Vec<String> {
    let mut found = Vec::new();
    each(directives, &mut |directive| {
        if directive.name() == name {
            found.extend(directive.argument().map(str::to_owned));
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_worse_the_nearer_its_end() {
        const DAY: i64 = 24 * 3600 * 1000;
        let pem = include_str!("../../steps/nginx/certificates/sample.pem");
        let end = x509::read(pem).unwrap().not_after_ms;
        let file = Path::new("/etc/letsencrypt/live/example.org/fullchain.pem");
        let level = |days: i64| judged(file, pem, end - days * DAY, 30 * DAY).map(|finding| finding.level);
        use super::super::finding::FindingLevel;
        assert_eq!(
            [level(31), level(29), level(2), level(0)],
            [None, Some(FindingLevel::Warning), Some(FindingLevel::Error), Some(FindingLevel::Error)]
        );
        let finding = judged(file, "no", 0, 0).unwrap();
        assert_eq!(finding.level, FindingLevel::Error);
    }

    #[test]
    fn includes_are_patterns() {
        assert!(fits(Path::new("/etc/nginx/conf.d/*.conf"), Path::new("/etc/nginx/conf.d/example.conf")));
        assert!(!fits(
            Path::new("/etc/nginx/conf.d/*.conf"),
            Path::new("/etc/nginx/conf.d/example.nginxconf")
        ));
        assert!(!fits(Path::new("/etc/nginx/mime.types"), Path::new("/etc/nginx/conf.d/example.conf")));
    }

    #[test]
    fn renewals_by_the_plugin_are_told_from_others() {
        let certbots = "version = 2.1.0\n[renewalparams]\naccount = x\n";
        for (lines, expected) in [
            ("authenticator = nginx\ninstaller = nginx\n", true),
            ("authenticator = webroot\ninstaller = nginx\n", true),
            ("authenticator=nginx\n", true),
            ("authenticator = webroot\nwebroot_path = /var/www/nginx,\n", false),
            ("authenticator = standalone\n[[webroot_map]]\nnginx = /srv\n", false),
        ] {
            assert_eq!(is_renewed_by_plugin(&format!("{certbots}{lines}")), expected, "{lines}");
        }
    }
}
