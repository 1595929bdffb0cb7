//! The deployer's own site, where a repository has it: it must lead to the deployer, or no push is received any more, also not the one that
//! would mend it.
//!
//! The sites of the Python tool say `uwsgi_pass`, which this program does not speak.

use super::SitesStep;
use super::files::SiteFile;
use nginx_policy::configuration::{self, Directive};

/// A fault for each server of the deployer's own name that would send its visitors to uWSGI alone.
pub fn faults(step: &SitesStep, files: &[SiteFile]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|_| !step.own_host.is_empty()) {
        configuration::each(&file.directives, &mut |directive| {
            if directive.name() == "server"
                && let Some(line) =
                    leads_to_uwsgi(directive.block.as_deref().unwrap_or_default(), &step.own_host)
            {
                faults.push(format!(
                    "{}:{line}: {} is this deployer's own name, and it does not speak uwsgi: no push would be received any more. Write \
                     `proxy_pass http://127.0.0.1:PORT;`, as the file in {}/conf.d has it that nginx reads now",
                    file.wanted.source,
                    step.own_host,
                    step.nginx.directory.display()
                ));
            }
        });
    }
    faults
}

/// The line of the `uwsgi_pass` of a server that has this name and passes nothing on in another way.
fn leads_to_uwsgi(server: &[Directive], host: &str) -> Option<usize> {
    let is_named = server.iter().any(|directive| {
        directive.name() == "server_name"
            && directive.arguments().iter().any(|name| name.text.eq_ignore_ascii_case(host))
    });
    let (mut uwsgi, mut is_proxied) = (None, false);
    configuration::each(server, &mut |directive| match directive.name() {
        "uwsgi_pass" => uwsgi = uwsgi.or(Some(directive.line())),
        "proxy_pass" => is_proxied = true,
        _ => {}
    });
    uwsgi.filter(|_| is_named && !is_proxied)
}

/// The host of an origin, without its port; empty where there is none.
pub fn host_of(origin: &str) -> &str {
    let rest = origin.split_once("://").map_or(origin, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_that_would_cut_the_deployer_off_is_seen() {
        let host = host_of("https://deploy.test:8443/");
        assert_eq!(host, "deploy.test");
        for (text, line) in [
            (
                "server { server_name a.test deploy.test;\n location / { uwsgi_pass localhost:3400; } }",
                Some(2),
            ),
            ("server { server_name Deploy.test; uwsgi_pass unix:/run/x; }", Some(1)),
            ("server { server_name deploy.test; location / { proxy_pass http://127.0.0.1:3401; } }", None),
            (
                "server { server_name deploy.test; location / { proxy_pass http://x; } location /a { uwsgi_pass x; } }",
                None,
            ),
            ("server { server_name deploy.test; return 301 https://$host$request_uri; }", None),
            ("server { server_name other.test; location / { uwsgi_pass localhost:3400; } }", None),
        ] {
            let directives = configuration::parse(text).unwrap();
            let found = directives.iter().find_map(|server| leads_to_uwsgi(server.block.as_deref()?, host));
            assert_eq!(found, line, "{text}");
        }
    }
}
