//! `[nginx]` and `[certificates]`: what the host has, for recipe `nginx-sites`.

use crate::config::reading::diagnostics::Severity;
use crate::config::reading::reader::TableReader;
use crate::config::reading::values::addresses::http_url;
use crate::config::reading::values::{absolute_path, boolean, checked_text, choice, duration};
use crate::config::{Certificates, Nginx, NginxReload, Privileges};
use std::path::Path;

/// Reads the table `[nginx]`.
pub fn nginx(table: &TableReader<'_>, privileges: Privileges) -> Nginx {
    let directory = table.value("directory", absolute_path).unwrap_or_default();
    let configuration = table.value("configuration", absolute_path).unwrap_or_else(|| {
        let derived = directory.join("nginx.conf");
        if !table.is_written("configuration") {
            table.show_derived("configuration", derived.display().to_string(), "default");
        }
        derived
    });
    let nginx = Nginx {
        program: table.value("program", absolute_path).unwrap_or_default(),
        prefix: table.value("prefix", absolute_path),
        log_directory: table.value("log_directory", absolute_path).unwrap_or_default(),
        reload: table
            .value(
                "reload",
                choice(&[("systemctl", NginxReload::Systemctl), ("signal", NginxReload::Signal)]),
            )
            .unwrap_or(NginxReload::Systemctl),
        directory,
        configuration,
    };
    if privileges == Privileges::Helper {
        require_the_usual(table, &nginx);
    }
    nginx
}

/// The helper takes no program and no path from us.
fn require_the_usual(table: &TableReader<'_>, nginx: &Nginx) {
    for (key, usual) in [
        ("program", nginx.program == Path::new("/usr/sbin/nginx")),
        ("configuration", nginx.configuration == Path::new("/etc/nginx/nginx.conf")),
        ("directory", nginx.directory == Path::new("/etc/nginx")),
        ("prefix", nginx.prefix.is_none()),
        ("reload", nginx.reload == NginxReload::Systemctl),
    ] {
        if !usual {
            let message = format!("`{key}` cannot be another one with `privileges = \"helper\"`");
            let help = "the helper calls /usr/sbin/nginx with its own configuration, and `systemctl reload nginx`: remove the key, or write `privileges = \"direct\"`";
            table.report_at_key(key, Severity::Error, message, help);
        }
    }
}

/// Reads the table `[certificates]`.
pub fn certificates(table: &TableReader<'_>, privileges: Privileges) -> Certificates {
    let url = |text: &str| http_url(text).map(|_| text.to_owned());
    let certificates = Certificates {
        directory: table.value("directory", absolute_path).unwrap_or_default(),
        webroot: table.value("webroot", absolute_path),
        email: table.value("email", |node| checked_text(node, email)),
        acme_server: table.value("acme_server", |node| checked_text(node, url)),
        renew_before: table.value("renew_before", duration).unwrap_or_default(),
        self_test: table.value("self_test", boolean).unwrap_or_default(),
    };
    if privileges != Privileges::Direct {
        warn_of_what_root_decides(table, &certificates);
    }
    certificates
}

/// Root's certbot is told what root has written.
fn warn_of_what_root_decides(table: &TableReader<'_>, certificates: &Certificates) {
    for (key, untold) in [
        ("directory", certificates.directory != Path::new("/etc/letsencrypt")),
        ("email", certificates.email.is_some()),
        ("acme_server", certificates.acme_server.is_some()),
    ] {
        if untold {
            let message = format!("`{key}` is not told to certbot unless `privileges` is \"direct\"");
            let help = "what certbot is told when it runs as root stands in [certbot] of /etc/durhack-deployer/privileged.toml: see docs/explanation/security.md";
            table.report_at_key(key, Severity::Warning, message, help);
        }
    }
}

/// Enough of a check that it is an address, and no option of certbot's.
fn email(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.starts_with('-');
    let parts = text.split_once('@').filter(|(name, host)| !name.is_empty() && host.contains('.'));
    match parts.filter(|_| plain) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!("{text:?} is not an e-mail address")),
    }
}
