//! What a site file or snippet out of a repository may say.

use crate::Objection;
use crate::configuration::{self, Directive, Word};
use std::path::{Component, Path, PathBuf};

/// Where a file from a repository may lead nginx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// nginx's directory; relative paths begin here.
    pub directory: PathBuf,
    /// certbot's.
    pub certificates: PathBuf,
    /// Where logs may be written.
    pub logs: PathBuf,
    /// What the operator allows beside the list (`sites_allow`): names of directives, and directories that may be served.
    pub allowed: Vec<String>,
}

/// Where nginx's packages keep caches: the only place for them.
const CACHES: &str = "/var/cache/nginx";

/// Where certificates and keys lie beside certbot's.
const SYSTEM_CERTIFICATES: &str = "/etc/ssl";

/// The file with which certbot configures nginx; readable by everybody.
const CERTBOT_OPTIONS: &str = "options-ssl-nginx.conf";

/// Directives that belong to the whole server, not to a site.
const GLOBAL: [&str; 22] = [
    "daemon",
    "debug_points",
    "env",
    "events",
    "google_perftools_profiles",
    "group",
    "http",
    "load_module",
    "lock_file",
    "mail",
    "master_process",
    "pcre_jit",
    "pid",
    "ssl_engine",
    "stream",
    "thread_pool",
    "user",
    "working_directory",
    "worker_processes",
    "worker_rlimit_core",
    "worker_rlimit_nofile",
    "worker_priority",
];

/// Families of directives that run code.
const CODE: [&str; 9] =
    ["js_", "lua_", "passenger", "perl", "modsecurity", "mruby_", "quickjs_", "wasm", "rack_"];

/// Of `ssl_conf_command`: what names no file.
const HARMLESS_COMMANDS: [&str; 7] =
    ["Ciphersuites", "Curves", "Groups", "MaxProtocol", "MinProtocol", "Options", "SignatureAlgorithms"];

/// Everything in a file that it may not say: line and reason.
pub fn objections(directives: &[Directive], bounds: &Bounds) -> Vec<Objection> {
    let mut objections = Vec::new();
    configuration::each(directives, &mut |directive| {
        if let Some(reason) = objection(directive, bounds) {
            objections.push(Objection { line: directive.line(), message: reason });
        }
    });
    objections
}

fn objection(directive: &Directive, bounds: &Bounds) -> Option<String> {
    let name = directive.name();
    let quoted = |why: &str| Some(format!("{name:?} {why}"));
    if GLOBAL.contains(&name) {
        return quoted("belongs to the host's own nginx.conf, not to a site");
    }
    if CODE.iter().any(|family| name.starts_with(family))
        || name.contains("_by_lua")
        || name.contains("_by_njs")
    {
        return quoted("runs code in nginx; a site file may not");
    }
    if name.ends_with("_temp_path") {
        return quoted("belongs to the host's own nginx.conf, not to a site");
    }
    let reason = match name {
        "include" => includes(directive, bounds),
        "access_log" | "error_log" => log(directive.arguments().first()?, bounds),
        "listen" if directive.argument().is_some_and(|address| address.starts_with("unix:")) => {
            Some("a site may not listen on a socket file".into())
        }
        "ssl_conf_command" if !directive.argument().is_some_and(|word| HARMLESS_COMMANDS.contains(&word)) => {
            Some(format!("only {} are allowed in a site", HARMLESS_COMMANDS.join(", ")))
        }
        _ if name.ends_with("_cache_path") => {
            let path = directive.argument()?;
            (!is_below(path, &[Path::new(CACHES)])).then(|| format!("caches may only lie below {CACHES}"))
        }
        _ if names_key_file(name) => key_material(directive, bounds),
        _ => None,
    };
    reason.map(|reason| match directive.argument() {
        Some(argument) => format!("{name} {argument:?}: {reason}"),
        None => format!("{name}: {reason}"),
    })
}

fn includes(directive: &Directive, bounds: &Bounds) -> Option<String> {
    let path = bounds.directory.join(directive.argument()?);
    let allowed = is_below(&path.to_string_lossy(), &[&bounds.directory])
        || path == bounds.certificates.join(CERTBOT_OPTIONS);
    (!allowed).then(|| format!("a site may include nothing from outside {}", bounds.directory.display()))
}

fn log(target: &Word, bounds: &Bounds) -> Option<String> {
    let target = target.text.as_str();
    let elsewhere = ["syslog:", "memory:"].iter().any(|prefix| target.starts_with(prefix));
    if elsewhere || matches!(target, "off" | "stderr") {
        return None;
    }
    let allowed = is_below(target, &[&bounds.logs]) && !target.contains('$');
    (!allowed).then(|| format!("logs may only lie below {}", bounds.logs.display()))
}

/// Directives whose file is read by root when nginx starts.
pub fn names_key_file(name: &str) -> bool {
    const FILES: [&str; 10] = [
        "certificate",
        "certificate_key",
        "client_certificate",
        "crl",
        "dhparam",
        "ech_file",
        "password_file",
        "session_ticket_key",
        "stapling_file",
        "trusted_certificate",
    ];
    name.split_once("ssl_").is_some_and(|(_, rest)| FILES.contains(&rest))
}

fn key_material(directive: &Directive, bounds: &Bounds) -> Option<String> {
    let path = directive.argument()?;
    // `proxy_ssl_certificate ""` takes one away.
    if path.is_empty() {
        return None;
    }
    let path = bounds.directory.join(path);
    let roots = [bounds.certificates.as_path(), Path::new(SYSTEM_CERTIFICATES), bounds.directory.as_path()];
    let text = path.to_string_lossy();
    let allowed = is_below(&text, &roots) && !text.contains('$') && !text.contains(':');
    let [certificates, directory] = [&bounds.certificates, &bounds.directory].map(|path| path.display());
    (!allowed).then(|| format!("it must lie below {certificates}, {SYSTEM_CERTIFICATES} or {directory}"))
}

/// Whether a path lies below one of these directories, going down only.
fn is_below(path: &str, roots: &[&Path]) -> bool {
    let path = Path::new(path);
    let goes_down = !path.components().any(|part| matches!(part, Component::ParentDir | Component::CurDir));
    goes_down && roots.iter().any(|root| path.starts_with(root) && path != *root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Vec<Objection> {
        let bounds = Bounds {
            directory: "/etc/nginx".into(),
            certificates: "/etc/letsencrypt".into(),
            logs: "/var/log/nginx".into(),
            allowed: Vec::new(),
        };
        objections(&configuration::parse(text).unwrap(), &bounds)
    }

    #[test]
    fn sites_say_what_sites_say() {
        for text in [
            "server { listen 80; listen [::]:443 ssl http2; server_name a.org; root /var/www; ssi on; }",
            "include snippets/x; include /etc/nginx/conf.d/y.conf; include snippets/*.conf;",
            "include /etc/letsencrypt/options-ssl-nginx.conf; ssl_dhparam /etc/letsencrypt/ssl-dhparams.pem;",
            "ssl_certificate /etc/letsencrypt/live/a/fullchain.pem; ssl_certificate_key /etc/ssl/private/x.key;",
            "access_log off; error_log stderr; access_log /var/log/nginx/a.log main; access_log syslog:server=x;",
            "proxy_cache_path /var/cache/nginx/a keys_zone=a:1m; map $a $b { user 1; pid 2; load_module 3; }",
            "ssl_conf_command Ciphersuites X; proxy_ssl_certificate \"\"; upstream u { server unix:/run/x; }",
            "ssl_session_tickets off; ssl_session_cache shared:x:1m; ssl_stapling on;",
        ] {
            assert_eq!(judged(text), [], "{text}");
        }
    }

    #[test]
    fn what_only_a_host_may_say_is_refused_with_its_line() {
        for text in [
            "load_module modules/x.so;",
            "\"load_module\" x;",
            "user root;",
            "pid /etc/x;",
            "env X;",
            "daemon off;",
            "lua_package_path x;",
            "server { location / { content_by_lua_block { os.execute(x); } } }",
            "js_import x;",
            "perl_modules x;",
            "passenger_root /x;",
            "client_body_temp_path /etc/cron.d;",
            "include /etc/passwd;",
            "include ../passwd;",
            "include snippets/../../passwd;",
            "include /etc/nginx;",
            "map $a $b { include /etc/shadow; }",
            "types { include /etc/shadow; }",
            "access_log /etc/cron.d/x;",
            "error_log /root/.ssh/authorized_keys;",
            "access_log logs/x;",
            "access_log /var/log/nginx/../x;",
            "access_log /var/log/nginx/$host.log;",
            "ssl_certificate_key /etc/shadow;",
            "ssl_certificate_key engine:x:y;",
            "ssl_certificate data:$x;",
            "ssl_certificate /etc/letsencrypt/live/$host/x;",
            "proxy_ssl_certificate_key /root/x;",
            "ssl_password_file /etc/shadow;",
            "ssl_conf_command PrivateKey /etc/shadow;",
            "ssl_engine x;",
            "proxy_cache_path /etc/cron.d keys_zone=a:1m;",
            "listen unix:/run/docker.sock;",
        ] {
            let objections = judged(&format!("\n\n{text}"));
            assert_eq!(
                objections.iter().map(|objection| objection.line).collect::<Vec<_>>(),
                [3],
                "{text}: {objections:?}"
            );
        }
    }
}
