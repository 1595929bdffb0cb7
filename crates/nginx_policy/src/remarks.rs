//! What a site may say, and its author should hear of. Pure.

use crate::Objection;
use crate::configuration::{Directive, each};
use crate::list::{self, Rule};
use std::path::{Path, PathBuf};

/// What is worth a remark in a file that was accepted. `deployments`: the directories in which applications keep what is theirs.
pub fn remarks(directives: &[Directive], deployments: &[PathBuf]) -> Vec<Objection> {
    let mut found = Vec::new();
    each(directives, &mut |directive| {
        let message = two_addresses(directive).or_else(|| applications_port(directive));
        found.extend(message.map(|message| Objection { line: directive.line(), message }));
    });
    links(directives, deployments, &[], &mut found);
    found.sort_by_key(|remark| remark.line);
    found
}

/// `localhost` in front of a port is two addresses, which may be two users'.
fn two_addresses(directive: &Directive) -> Option<String> {
    let names_peer = match list::rule(directive.name()) {
        Some(Rule::Peer) => directive.argument().is_some_and(is_localhost),
        Some(Rule::Server) => directive.block.is_none() && directive.argument().is_some_and(is_localhost),
        // What is put into addresses later.
        Some(Rule::Data) if directive.name() == "map" => {
            let entries = directive.block.iter().flatten();
            entries.filter_map(Directive::argument).any(is_localhost)
        }
        _ if directive.name() == "set" => {
            directive.arguments().get(1).is_some_and(|word| is_localhost(&word.text))
        }
        _ => false,
    };
    names_peer.then(|| {
        format!(
            "{}: localhost is 127.0.0.1 and ::1, and whoever of this host's users listens at the one that the application leaves free is asked as well: write 127.0.0.1",
            directive.name()
        )
    })
}

fn is_localhost(address: &str) -> bool {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = rest.split([':', '/', '?', '$']).next().unwrap_or_default();
    host.trim_end_matches('.').eq_ignore_ascii_case("localhost")
}

/// A port that only this host reaches is an application's, as a rule: nginx has it first after a boot.
fn applications_port(directive: &Directive) -> Option<String> {
    if directive.name() != "listen" {
        return None;
    }
    let address = directive.argument()?;
    let (host, port) = address.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'))?;
    let is_own = host.starts_with("127.") || host == "[::1]" || is_localhost(host);
    (is_own && !matches!(port, "80" | "443")).then(|| {
        format!("listen {address}: if an application of this host is to listen there, whichever of the two starts first has the port")
    })
}

/// What is served out of a deployment, where nginx follows links: whoever is pushed there puts links to all that nginx's user can read.
fn links(
    directives: &[Directive],
    deployments: &[PathBuf],
    outer: &[&Directive],
    found: &mut Vec<Objection>,
) {
    let own = directives.iter().rfind(|directive| directive.name() == "disable_symlinks");
    let holds: Vec<&Directive> = own.map_or_else(|| outer.to_vec(), |own| vec![own]);
    for directive in directives {
        if matches!(directive.name(), "root" | "alias") {
            let path = Path::new(directive.argument().unwrap_or_default());
            let within = deployments.iter().find(|deployment| path.starts_with(deployment));
            let is_held =
                |deployment: &Path| holds.iter().any(|directive| refuses_links(directive, deployment));
            found.extend(within.filter(|deployment| !is_held(deployment)).map(|deployment| Objection {
                line: directive.line(),
                message: format!(
                    "{} {}: nginx follows links that are put there, to all that its user can read: write `disable_symlinks if_not_owner from={};` beside it",
                    directive.name(),
                    path.display(),
                    deployment.display()
                ),
            }));
        }
        if !directive.holds_data() {
            links(directive.block.as_deref().unwrap_or_default(), deployments, &holds, found);
        }
    }
}

/// Whether links within this directory lead nowhere, or to their owner's own files. What comes before `from=` is not looked at.
fn refuses_links(directive: &Directive, deployment: &Path) -> bool {
    let words: Vec<&str> = directive.arguments().iter().map(|word| word.text.as_str()).collect();
    let covers = |word: &&str| match word.strip_prefix("from=") {
        Some(from) => !from.contains('$') && deployment.starts_with(from),
        None => true,
    };
    matches!(words.first(), Some(&("on" | "if_not_owner"))) && words[1..].iter().all(covers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::parse;

    fn lines(text: &str) -> Vec<usize> {
        let deployments = [PathBuf::from("/var/www/app")];
        remarks(&parse(text).unwrap(), &deployments).iter().map(|remark| remark.line).collect()
    }

    #[test]
    fn a_name_that_is_two_addresses_is_remarked_on() {
        for text in [
            "proxy_pass http://localhost:9100;",
            "proxy_pass http://LOCALHOST.:9100/x;",
            "proxy_pass http://localhost$request_uri;",
            "fastcgi_pass localhost:9000;",
            "grpc_pass grpc://localhost:9000;",
            "upstream a { server localhost:9100 weight=2; }",
            "set $to localhost;",
            "map $host $to { default http://localhost:9100; }",
        ] {
            assert_eq!(lines(&format!("\n{text}")), [2], "{text}");
        }
        for text in [
            "proxy_pass http://127.0.0.1:9100;",
            "proxy_pass http://localhost.example.org;",
            "server { server_name localhost; }",
            "set $to local;",
        ] {
            assert!(lines(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_port_of_this_host_alone_is_remarked_on() {
        for text in [
            "listen 127.0.0.1:3000;",
            "listen [::1]:3000 http2;",
            "listen localhost:3000;",
            "listen 127.0.0.2:81;",
        ] {
            assert_eq!(lines(text), [1], "{text}");
        }
        for text in [
            "listen 127.0.0.1;",
            "listen 127.0.0.1:80;",
            "listen [::1]:443 ssl;",
            "listen 8080;",
            "listen [::]:80;",
        ] {
            assert!(lines(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn links_in_what_a_deployment_serves_are_remarked_on() {
        for text in [
            "server {\nroot /var/www/app/current/public; }",
            "server { location /x/ {\nalias /var/www/app/shared/; } }",
            "server { disable_symlinks off;\nroot /var/www/app; }",
            "server { disable_symlinks on; location / { disable_symlinks off;\nroot /var/www/app; } }",
            "server { location / { disable_symlinks on; }\nroot /var/www/app; }",
            "server { disable_symlinks on from=$document_root;\nroot /var/www/app; }",
            "server { disable_symlinks if_not_owner from=/var/www/app/current/public;\nroot /var/www/app/current/public; }",
        ] {
            assert_eq!(lines(text), [2], "{text}");
        }
        for text in [
            "server { disable_symlinks if_not_owner; root /var/www/app/current; }",
            "disable_symlinks on; server { location / { root /var/www/app/current; } }",
            "server { root /var/www/app; disable_symlinks if_not_owner from=/var/www/app; }",
            "server { root /var/www/apple; }",
        ] {
            assert!(lines(text).is_empty(), "{text}");
        }
    }
}
