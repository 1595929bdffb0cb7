//! `[nginx]` and `[certificates]`: what the host has, for recipe `nginx-sites`.

use crate::config::reader::TableReader;
use crate::config::values::addresses::http_url;
use crate::config::values::{absolute_path, boolean, checked_text, choice, duration};
use crate::config::{Certificates, Nginx, NginxReload};

/// `[nginx]`
pub fn nginx(table: &TableReader<'_>) -> Nginx {
    let directory = table.value("directory", absolute_path).unwrap_or_default();
    let configuration = table.value("configuration", absolute_path).unwrap_or_else(|| {
        let derived = directory.join("nginx.conf");
        if !table.is_written("configuration") {
            table.show_derived("configuration", derived.display().to_string(), "default");
        }
        derived
    });
    Nginx {
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
    }
}

/// `[certificates]`
pub fn certificates(table: &TableReader<'_>) -> Certificates {
    let url = |text: &str| http_url(text).map(|_| text.to_owned());
    Certificates {
        directory: table.value("directory", absolute_path).unwrap_or_default(),
        webroot: table.value("webroot", absolute_path),
        email: table.value("email", |node| checked_text(node, email)),
        acme_server: table.value("acme_server", |node| checked_text(node, url)),
        renew_before: table.value("renew_before", duration).unwrap_or_default(),
        self_test: table.value("self_test", boolean).unwrap_or_default(),
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
