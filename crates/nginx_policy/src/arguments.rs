//! Judges the directives of a file: each name by the list, each argument by its rule.

use crate::Objection;
use crate::configuration::{Directive, Word};
use crate::list::{self, Refusal, Rule};
use crate::variables::{OPEN, Text, Variables};
use std::path::{Component, Path, PathBuf};

/// Where a file from a repository may lead nginx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// nginx's directory; relative paths of includes and keys begin here.
    pub directory: PathBuf,
    /// Where certbot keeps certificates; files of TLS may lie below it.
    pub certificates: PathBuf,
    /// The directory below which logs may be written.
    pub logs: PathBuf,
    /// What the operator allows beside the list (`sites_allow`): names of directives, whatever their arguments are, and
    /// directories (absolute) whose files may be served.
    pub allowed: Vec<String>,
}

/// Where nginx's packages keep caches: the only place for them.
const CACHES: &str = "/var/cache/nginx";

/// Where certificates and keys lie beside certbot's.
const SYSTEM_CERTIFICATES: &str = "/etc/ssl";

/// The file with which certbot configures nginx; readable by everybody.
const CERTBOT_OPTIONS: &str = "options-ssl-nginx.conf";

/// Where content lies that nginx may serve, by the file system's standard and by custom.
const CONTENT: [&str; 11] = [
    "/var/www",
    "/srv",
    "/home",
    "/opt",
    "/usr/share",
    "/usr/lib",
    "/usr/local/share",
    "/usr/local/lib",
    "/data",
    "/mnt",
    "/var/lib/letsencrypt",
];

/// Hidden directories that are content all the same: the CA's questions, and what site generators write.
const HIDDEN_CONTENT: [&str; 8] =
    [".well-known", ".next", ".nuxt", ".output", ".svelte-kit", ".vitepress", ".vuepress", ".docusaurus"];

/// Where Apache's and nginx's files of passwords lie, beside nginx's directory and the content.
const PASSWORDS: &str = "/etc/apache2";

/// Where packages keep MaxMind's databases.
const GEOIP: [&str; 3] = ["/usr/share/GeoIP", "/usr/local/share/GeoIP", "/var/lib/GeoIP"];

/// Ends of names of configuration files directly in nginx's directory, or in directories of the operator's there.
const CONFIGURATION_ENDINGS: [&str; 6] = [".conf", ".nginxconf", ".inc", ".map", ".types", "_params"];

/// Configuration files of Debian's package that end otherwise.
const CONFIGURATION_FILES: [&str; 4] = ["mime.types", "koi-utf", "koi-win", "win-utf"];

/// Of OpenSSL's configuration commands: what names no file.
const TLS_COMMANDS: [&str; 12] = [
    "CipherString",
    "Ciphersuites",
    "ClientSignatureAlgorithms",
    "Curves",
    "Groups",
    "MaxProtocol",
    "MinProtocol",
    "NumTickets",
    "Options",
    "Protocol",
    "RecordPadding",
    "SignatureAlgorithms",
];

/// Where sockets of applications may lie, beside the content: nowhere else, and so not in `/proc`, `/dev` and `/sys`, by whose names any
/// socket of the host can be reached.
const SOCKETS: [&str; 6] = ["/run", "/var/run", "/tmp", "/var/lib", "/var/opt", "/var/discourse"];

/// In the directories that applications share with the host: sockets of the host's own services, and of this deployer. Their modes keep nginx's
/// user out; this is the second lock.
const HOST_SOCKETS: &str = "NetworkManager acpid.socket apt avahi-daemon buildkit cockpit containerd containers credentials cri-dockerd.sock crio \
     crun cups dbus dkms dmeventd-client dmeventd-server docker docker.sock dpkg durhack-deployer fail2ban incus initctl initramfs k3s kubelet \
     kubernetes libvirt lock log lvm lxc lxd machines mount multipathd.sock netns nscd openvswitch podman polkit-1 portables private rpcbind.sock \
     runc samba snapd sshd sssd sudo supervisor supervisor.sock supervisord.sock systemd tailscale tailscaled.socket udev udisks2 user \
     utmp wpa_supplicant";

/// Words of data blocks that no directive is called; they may stand in a file of data that a `map` includes.
const DATA_WORDS: [&str; 3] = ["default", "hostnames", "volatile"];

/// Variables with many values, several of them in one argument.
const TOO_MANY: &str = "its variables can have too many values together to look at each";

/// An argument in a message is cut after so many characters.
const SHOWN_MAX: usize = 80;

/// Everything in a file that it may not say; at most `limit` objections.
pub fn objections(
    directives: &[Directive],
    variables: &Variables,
    bounds: &Bounds,
    limit: usize,
) -> Vec<Objection> {
    let mut judge = Judge { bounds, variables, limit, objections: Vec::new() };
    judge.directives(directives, true);
    judge.objections
}

/// Directives whose file nginx's master reads as root when it starts: certificates, keys and the like.
pub fn names_key_file(name: &str) -> bool {
    list::rule(name) == Some(Rule::KeyFile)
}

struct Judge<'a> {
    bounds: &'a Bounds,
    variables: &'a Variables,
    limit: usize,
    objections: Vec<Objection>,
}

impl Judge<'_> {
    fn directives(&mut self, directives: &[Directive], is_top: bool) {
        for directive in directives {
            // A file of data that a `map` includes is judged as any other: what no module can have called a directive is data.
            if !(is_top && directive.block.is_none() && is_data(directive.name())) {
                self.directive(directive);
            }
        }
    }

    fn object(&mut self, directive: &Directive, message: String) {
        if self.objections.len() < self.limit {
            self.objections.push(Objection { line: directive.line(), message });
        }
    }

    fn directive(&mut self, directive: &Directive) {
        let name = directive.name();
        let refusal = list::refusal(name);
        if refusal == Refusal::Never {
            let message =
                format!("{} belongs to the host's own nginx.conf, and no site may say it", shown(name));
            return self.object(directive, message);
        }
        if self.bounds.allowed.iter().any(|allowed| allowed == name) {
            return;
        }
        let Some(rule) = list::rule(name) else {
            let message = format!(
                "{} is not on the list of what a site may say{}",
                shown(name),
                permission(name, refusal)
            );
            return self.object(directive, message);
        };
        let takes_block = match rule {
            Rule::Block | Rule::Data | Rule::Geo | Rule::GeoIpData => true,
            Rule::Server => directive.block.is_some(),
            _ => false,
        };
        if takes_block != directive.block.is_some() {
            let message = if takes_block {
                "has a block, and here it has none"
            } else {
                "has no block, and here it has one"
            };
            return self.object(directive, format!("{} {message}", shown(name)));
        }
        if let Some(reason) = argument_objection(rule, directive, self.variables, self.bounds) {
            let with =
                directive.argument().map(|argument| format!(" {}", shown(argument))).unwrap_or_default();
            let permission = permission(name, refusal);
            self.object(directive, format!("{}{with}: {reason}{permission}", plain(name)));
        }
        let inner = directive.block.as_deref().unwrap_or_default();
        match rule {
            Rule::Data | Rule::Geo | Rule::GeoIpData => self.data(inner, rule),
            _ => self.directives(inner, false),
        }
    }

    fn data(&mut self, entries: &[Directive], rule: Rule) {
        let has = |name: &str| entries.iter().any(|entry| entry.name() == name);
        let both = rule == Rule::Geo && has("ranges") && has("include");
        for entry in entries {
            match entry.name() {
                _ if entry.block.is_some() => self.object(entry, "a block in a block of data".into()),
                // An operator cannot allow this either: FILE.bin is taken as an image of nginx's memory.
                "include" if both => self.object(
                    entry,
                    "geo with `ranges` may not include: nginx would load FILE.bin as an image of its memory; write the ranges into the block".into(),
                ),
                "include" => self.directive(entry),
                _ => {}
            }
        }
    }
}

/// Whether a name is none that a directive can have: then the statement is an entry of a `map` or `geo`, or nginx refuses it.
fn is_data(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    DATA_WORDS.contains(&name)
        || !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
        || !name.bytes().all(is_word)
}

fn argument_objection(
    rule: Rule,
    directive: &Directive,
    variables: &Variables,
    bounds: &Bounds,
) -> Option<String> {
    let arguments = directive.arguments();
    let first = arguments.first().map(|word| word.text.as_str());
    match rule {
        Rule::Plain | Rule::Block | Rule::Data | Rule::Geo => None,
        Rule::Server if directive.block.is_some() => None,
        Rule::Server => peer(first?, bounds),
        Rule::Peer => address(first?, variables, bounds),
        Rule::Bind => (arguments.len() != 1).then(|| {
            "one address and no more: with `transparent` nginx's workers want a right that its unit does not have, and all of them end".into()
        }),
        Rule::Resolver => arguments
            .iter()
            .any(|word| socket_path(&word.text).is_some())
            .then(|| "a server of the DNS has an address, and is no socket".into()),
        Rule::Subrequested(at) => arguments.get(at).and_then(|word| subrequested(word, variables)),
        Rule::Include => include(first?, bounds),
        Rule::Log => log(first?, bounds),
        Rule::Cache => {
            // nginx's master gives it to nginx's user, by its name: who could change that name one level further down would have it give away
            // any file.
            let inner = first?.strip_prefix(CACHES).and_then(|rest| rest.strip_prefix('/'));
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
            let is_name = |name: &str| {
                !name.is_empty() && !name.starts_with(['.', '-']) && name.bytes().all(is_plain)
            };
            let allowed = inner.is_some_and(|inner| is_name(inner.strip_suffix('/').unwrap_or(inner)));
            (!allowed).then(|| format!("a cache may only be a directory directly in {CACHES}, such as {CACHES}/NAME"))
        }
        Rule::KeyFile => key_file(first?, bounds),
        Rule::GeoIpFile | Rule::GeoIpData => {
            let roots = GEOIP.map(Path::new);
            (!is_below(Path::new(first?), &roots))
                .then(|| format!("such databases may only lie below {}", GEOIP.join(", ")))
        }
        Rule::PasswordFile => each_path(first?, variables, |path| password_file(path, bounds)),
        Rule::Served => each_path(first?, variables, |path| served(path, bounds)),
        Rule::Uris(from) => uris(directive.name(), arguments.get(from..).unwrap_or_default(), variables),
        Rule::Listen => listen(first?),
        Rule::TlsCommand => (!TLS_COMMANDS.contains(&first?))
            .then(|| format!("only these commands name no file: {}", TLS_COMMANDS.join(", "))),
        Rule::OneOf(words) => {
            (!words.contains(&first?)).then(|| format!("only {} is allowed", words.join(", ")))
        }
        Rule::FastCgiParameter => {
            let name = first?.to_ascii_uppercase();
            matches!(name.as_str(), "PHP_VALUE" | "PHP_ADMIN_VALUE").then(|| {
                "it changes PHP's settings, and some of them run code; write it into the pool's configuration".into()
            })
        }
        Rule::UwsgiParameter => {
            let name = first?.to_ascii_uppercase();
            (name.starts_with("UWSGI_") && name != "UWSGI_SCHEME").then(|| {
                "it tells uWSGI what to load and run; write it into the application's configuration".into()
            })
        }
        Rule::IndexPart => {
            let is_subrequest = arguments.get(1).is_none_or(|word| word.text == "subrequest");
            if is_subrequest {
                subrequested(arguments.first()?, variables)
            } else {
                Some("with `local`, nginx's master reads the file as root; use `subrequest`".into())
            }
        }
        Rule::Subrequest => {
            let names_file = arguments.iter().any(|word| word.text == "-f");
            if names_file {
                Some("-f reads a file; use -b".into())
            } else {
                arguments
                    .get(1)
                    .and_then(|word| subrequested(word, variables))
                    .or_else(|| uris(directive.name(), arguments, variables))
            }
        }
    }
}

fn include(path: &str, bounds: &Bounds) -> Option<String> {
    let directory = &bounds.directory;
    let full = directory.join(path);
    if full == bounds.certificates.join(CERTBOT_OPTIONS) && is_literal(path) {
        return None;
    }
    let outside = || Some(format!("a site may include nothing from outside {}", directory.display()));
    let Ok(inner) = full.strip_prefix(directory) else { return outside() };
    if !is_below(&full, &[directory]) {
        return outside();
    }
    let inner = inner.to_string_lossy();
    if inner.to_ascii_lowercase().ends_with(".bin") {
        return Some("files that end in .bin are images of nginx's memory to `geo`, and not included".into());
    }
    // To glob(3), `.*` and `\.\.` are `..`.
    let (parents, name) = inner.rsplit_once('/').unwrap_or(("", &inner));
    let is_hidden = inner.split('/').any(|part| part.starts_with('.'));
    if parents.contains(['*', '?', '[']) || inner.contains(['\\', '$']) || is_hidden {
        return Some(
            "only the file's name may be a pattern, and no part of the path may begin with a dot or hold \\ or $".into(),
        );
    }
    let is_ours = ["conf.d", "snippets"].iter().any(|ours| Path::new(parents).starts_with(ours));
    let is_configuration = is_ours
        || CONFIGURATION_FILES.contains(&&*inner)
        || CONFIGURATION_ENDINGS.iter().any(|ending| name.ends_with(ending));
    (!is_configuration).then(|| {
        format!(
            "a site may include what lies in conf.d and snippets, and of the rest of {} what ends in {}",
            directory.display(),
            CONFIGURATION_ENDINGS.join(", ")
        )
    })
}

fn log(target: &str, bounds: &Bounds) -> Option<String> {
    // `error_log off` is a common mistake: it writes a file of that name where nginx was built to be.
    if matches!(target, "off" | "stderr" | "/dev/null" | "/dev/stdout" | "/dev/stderr") {
        return None;
    }
    if let Some(options) = target.strip_prefix("syslog:") {
        let socket = options.split(',').find_map(|option| socket_path(option.strip_prefix("server=")?));
        return socket
            .filter(|socket| *socket != "/dev/log")
            .map(|_| "of sockets, logs may only be sent to unix:/dev/log".into());
    }
    let allowed = is_below(Path::new(target), &[&bounds.logs]) && !target.contains('$');
    (!allowed).then(|| format!("logs may only lie below {}", bounds.logs.display()))
}

fn key_file(path: &str, bounds: &Bounds) -> Option<String> {
    // `proxy_ssl_certificate ""` takes one away.
    if path.is_empty() {
        return None;
    }
    let roots = [bounds.certificates.as_path(), Path::new(SYSTEM_CERTIFICATES), bounds.directory.as_path()];
    // `engine:`, `store:` and `data:` are no paths.
    let allowed = is_below(&bounds.directory.join(path), &roots) && !path.contains(['$', ':']);
    let [certificates, directory] = [&bounds.certificates, &bounds.directory].map(|path| path.display());
    (!allowed).then(|| format!("it must lie below {certificates}, {SYSTEM_CERTIFICATES} or {directory}"))
}

/// Read by nginx's user for each request, and never shown. Not where content lies: nginx waits while it opens it, and a pipe that an application
/// puts there would stop its workers, for all sites.
fn password_file(path: &str, bounds: &Bounds) -> Option<String> {
    let full = bounds.directory.join(path).to_string_lossy().into_owned();
    let mut roots = vec![bounds.directory.as_path(), Path::new(PASSWORDS)];
    roots.extend(allowed_paths(bounds));
    (!is_below(literal_part(&full), &roots) && path != "off").then(|| {
        format!(
            "it must lie below {} or {PASSWORDS}, where only root writes: a pipe in its place would stop nginx",
            bounds.directory.display()
        )
    })
}

fn content(bounds: &Bounds) -> impl Iterator<Item = &Path> {
    CONTENT.iter().map(Path::new).chain(allowed_paths(bounds))
}

/// What an operator lets sites name beside the usual places.
fn allowed_paths(bounds: &Bounds) -> impl Iterator<Item = &Path> {
    bounds.allowed.iter().filter(|allowed| allowed.starts_with('/')).map(Path::new)
}

/// What comes before the first variable, up to its last slash.
fn literal_part(path: &str) -> &Path {
    match path.split_once('$') {
        None => Path::new(path),
        Some((before, _)) => Path::new(before.rsplit_once('/').map_or("", |(directory, _)| directory)),
    }
}

fn served(path: &str, bounds: &Bounds) -> Option<String> {
    let literal = literal_part(path);
    // Relative to where nginx was built to be.
    let is_default = path == "html" || path.starts_with("html/") && goes_down(Path::new(path));
    // What a build makes may be called `.next`; what lies below `.git` or `.ssh` is no content.
    let shows_hidden = |inner: &Path| {
        let mut parts = inner.components().map(|part| part.as_os_str().to_string_lossy());
        parts.any(|part| part.starts_with('.') && !HIDDEN_CONTENT.contains(&&*part))
    };
    let is_content = goes_down(Path::new(path))
        && content(bounds).any(|root| {
            let inner = Path::new(path).strip_prefix(root);
            literal.starts_with(root) && inner.is_ok_and(|inner| !shows_hidden(inner))
        });
    (!is_default && !is_content).then(|| {
        format!(
            "only what lies below {} may be served, and no hidden directories; a further directory is allowed by its path, sites_allow = [\"/DIRECTORY\"]",
            CONTENT.join(", ")
        )
    })
}

/// Judges a path for each value that its variables can have. `judge` gets open ones as `$`.
fn each_path(path: &str, variables: &Variables, judge: impl Fn(&str) -> Option<String>) -> Option<String> {
    let Some(texts) = variables.texts(path) else { return Some(TOO_MANY.into()) };
    texts.iter().filter(|text| !text.text.is_empty() || path.is_empty()).find_map(|text| {
        judge(&text.text.replace(OPEN, "$")).or_else(|| raw(text, text.text.len(), variables, true))
    })
}

/// Why a path may not be put together from what visitors send, in its first bytes.
fn raw(text: &Text, length: usize, variables: &Variables, is_file: bool) -> Option<String> {
    let path = &text.text[..length];
    let mut open = text.open.iter();
    path.match_indices(OPEN).find_map(|(at, _)| {
        let name = open.next()?;
        // A URI as it was sent leads up no further than it has led down. What may come after it in a query is no file's name where more follows.
        let is_whole = is_file && path[at + OPEN.len_utf8()..].is_empty();
        let is_raw = variables.is_raw(name) && (is_whole || name != "request_uri");
        is_raw.then(|| {
            format!(
                "${name} is what visitors send, and may hold \"..\"; `map` it to the values that it may have"
            )
        })
    })
}

/// How much of a URI names a file: what comes before its query.
fn before_query(text: &Text) -> usize {
    let mark = text.text.match_indices(OPEN).zip(&text.open).find(|(_, name)| *name == "is_args");
    let literal = text.text.find('?').unwrap_or(text.text.len());
    mark.map_or(literal, |((at, _), _)| at.min(literal))
}

fn uris(directive: &str, words: &[Word], variables: &Variables) -> Option<String> {
    // What is sent to visitors names no file here.
    let is_redirect = directive == "rewrite"
        && words.iter().skip(1).any(|word| matches!(word.text.as_str(), "redirect" | "permanent"));
    if is_redirect {
        return None;
    }
    words.iter().enumerate().find_map(|(number, word)| {
        let Some(texts) = variables.texts(&word.text) else { return Some(TOO_MANY.into()) };
        // Of `try_files`, all but the last are looked for as files.
        let is_file = match directive {
            "index" => !word.text.starts_with('/'),
            "try_files" => number + 1 < words.len(),
            _ => false,
        };
        texts.iter().find_map(|text| {
            let is_elsewhere = ["http://", "https://"].iter().any(|scheme| text.text.starts_with(scheme));
            if is_elsewhere {
                return None;
            }
            let length = if is_file { text.text.len() } else { before_query(text) };
            let leads_up = text.text[..length].split(['/', '?']).any(|part| part == "..");
            let leads_up = leads_up.then(|| {
                format!("{} leads up; write where it leads to", shown(&text.text.replace(OPEN, "$")))
            });
            leads_up.or_else(|| raw(text, length, variables, is_file))
        })
    })
}

/// The URI of a subrequest. nginx takes it as it is, so that `$uri` begins there with whatever it begins with.
fn subrequested(word: &Word, variables: &Variables) -> Option<String> {
    if matches!(word.text.as_str(), "off" | "") {
        return None;
    }
    let Some(texts) = variables.texts(&word.text) else { return Some(TOO_MANY.into()) };
    let is_rooted = |text: &Text| match text.text.chars().next() {
        Some('/' | '@') => true,
        Some(OPEN) => text.open.first().is_some_and(|name| variables.begins_a_path(name)),
        _ => false,
    };
    // A variable that is not set on the way of a request is empty, and then there is none.
    let rootless = texts.iter().find(|text| !text.text.is_empty() && !is_rooted(text));
    let objection = rootless.map(|_| "a subrequest's URI begins with a slash: write it first".to_owned());
    objection.or_else(|| uris("", std::slice::from_ref(word), variables))
}

/// The address of a server that nginx asks. Its host must be written in the file.
fn address(address: &str, variables: &Variables, bounds: &Bounds) -> Option<String> {
    let Some(texts) = variables.texts(address) else { return Some(TOO_MANY.into()) };
    texts.iter().find_map(|text| open_host(text, variables).or_else(|| peer(&text.text, bounds)))
}

fn open_host(text: &Text, variables: &Variables) -> Option<String> {
    let whole = text.text.as_str();
    let start = whole.find("://").map_or(0, |at| at + "://".len());
    let rest = &whole[start..];
    let end = match socket_path(rest) {
        Some(path) => "unix:".len() + path.find(':').unwrap_or(path.len()),
        None => rest.find(['/', '?']).unwrap_or(rest.len()),
    };
    let mut number = 0;
    let mut at = whole[..start + end].find(OPEN)?;
    number += whole[..at].matches(OPEN).count();
    loop {
        let name = text.open.get(number)?;
        // `http://host$request_uri`: what follows the host begins with a slash.
        let follows_host = at > 0 && socket_path(rest).is_none();
        if follows_host && variables.begins_a_path(name) {
            return None;
        }
        let is_query = name == "is_args"
            && matches!(text.open.get(number + 1).map(String::as_str), Some("args" | "query_string"))
            && whole[at + OPEN.len_utf8()..].starts_with(OPEN);
        if !(follows_host && is_query) {
            return Some(format!(
                "whom nginx asks is decided by ${name}, whose values are not all written in this file; `set` or `map` it here to plain values, or put a / before it"
            ));
        }
        // A request without a query has neither a `?` nor what follows it: then the host goes on.
        let after = at + 2 * OPEN.len_utf8();
        let next = after + whole[after..].find([OPEN, '/', '?'])?;
        if !whole[next..].starts_with(OPEN) {
            return None;
        }
        number += 2;
        at = next;
    }
}

fn peer(address: &str, bounds: &Bounds) -> Option<String> {
    let after_scheme = address.split_once("://").map_or("", |(_, rest)| rest);
    let path = socket_path(address).or_else(|| socket_path(after_scheme))?;
    let path = path.split_once(':').map_or(path, |(path, _)| path);
    if !goes_down(Path::new(path)) {
        return Some("a socket's path goes down only".into());
    }
    let places = || SOCKETS.iter().map(Path::new).chain(content(bounds));
    if !places().any(|place| Path::new(path).starts_with(place)) {
        return Some(format!(
            "sockets may only lie below {}, or where content may lie: {}; a further directory is allowed by its path, sites_allow = [\"/DIRECTORY\"]",
            SOCKETS.join(", "),
            CONTENT.join(", ")
        ));
    }
    let shared = ["/run", "/var/run", "/var/lib"];
    let inner = shared.iter().find_map(|shared| Path::new(path).strip_prefix(shared).ok())?;
    let service = inner.components().next()?.as_os_str().to_string_lossy();
    let is_hosts = HOST_SOCKETS.split_whitespace().any(|host| host == service)
        || service.starts_with("durhack-deployer");
    is_hosts.then(|| "this socket is one of the host's own services, not of an application".into())
}

fn listen(address: &str) -> Option<String> {
    if socket_path(address).is_some() {
        return Some("a site may not listen on a socket file, which nginx's master makes as root".into());
    }
    let port = match address.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port,
        _ if address.starts_with(|first: char| first.is_ascii_digit()) && !address.contains('.') => address,
        // Without a port it is 80.
        _ => return None,
    };
    let allowed =
        |port: &str| port.parse::<u32>().is_ok_and(|port| matches!(port, 80..=87 | 443 | 444 | 1024..));
    let is_range_allowed = |(from, to): (&str, &str)| {
        [from, to].iter().all(|port| port.parse::<u32>().is_ok_and(|port| port >= 1024))
    };
    let is_allowed = port.split_once('-').map_or_else(|| allowed(port), is_range_allowed);
    (!is_allowed).then(|| "of the ports below 1024, a site may listen on 80 to 87, 443 and 444 only".into())
}

/// The path of `unix:PATH`; nginx reads `UNIX:` likewise.
fn socket_path(address: &str) -> Option<&str> {
    let (scheme, path) = address.split_at_checked("unix:".len())?;
    scheme.eq_ignore_ascii_case("unix:").then_some(path)
}

/// No part is `.` or `..`.
fn goes_down(path: &Path) -> bool {
    !path.components().any(|part| matches!(part, Component::ParentDir | Component::CurDir))
}

fn is_literal(path: &str) -> bool {
    !path.contains(['*', '?', '[', '\\', '$'])
}

/// Whether a path lies below one of these directories, going down only.
fn is_below(path: &Path, roots: &[&Path]) -> bool {
    goes_down(path) && roots.iter().any(|root| path.starts_with(root) && path != *root)
}

fn permission(name: &str, refusal: Refusal) -> String {
    match refusal {
        Refusal::Never => String::new(),
        Refusal::Unless(follows) => {
            format!("; an operator may allow it by sites_allow = [{}]: {follows}", shown(name))
        }
    }
}

/// A name or argument as it may stand in a message: cut, quoted, without control characters.
fn shown(text: &str) -> String {
    format!("{:?}", plain(text))
}

fn plain(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
