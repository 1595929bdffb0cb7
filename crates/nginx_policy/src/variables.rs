//! Which values a variable can have when a request comes, as far as the file says. Pure.
//!
//! nginx puts addresses and paths together from variables at run time. Where all values of a variable are written in the file (`set`, `map`,
//! `split_clients`, `geo`), they are put in here and judged like any other text. Any other variable is open: a visitor, another server or a module
//! decides what it is. Names are compared in small letters, as nginx does.

use crate::configuration::Directive;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::LazyLock;

/// Variables that a file defines, at most. nginx's own table of them has as many places, if its administrator does not make it larger.
pub const VARIABLES_MAX: usize = 1_024;

/// Texts that one argument may become, at most.
const TEXTS_MAX: usize = 2_000;

/// What all arguments of a file may become together, in bytes. Real files come to some thousand.
const TEXTS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a text costs beside its bytes, and what each of its open variables costs.
const TEXT_COST: usize = 64;

/// Variables whose values hold further variables, at most.
const DEPTH_MAX: usize = 8;

/// Stands in a text for a variable that is open. Control characters are refused in files, so nothing else can be this.
pub const OPEN: char = '\u{1}';

/// nginx's own variables that no definition in a file changes for good, or whose name is a beginning for others.
const BUILT_IN: &str = "args query_string uri document_uri document_root realpath_root request request_uri request_filename request_method \
     request_body request_body_file request_completion request_id request_length request_time host hostname remote_addr remote_port remote_user \
     server_addr server_name server_port server_protocol scheme is_args https limit_rate status body_bytes_sent bytes_sent connection \
     connection_requests connection_time content_length content_type msec pid pipe nginx_version time_iso8601 time_local binary_remote_addr \
     proxy_host proxy_port proxy_add_x_forwarded_for upstream_addr upstream_status upstream_response_time upstream_connect_time \
     upstream_header_time upstream_response_length upstream_bytes_received upstream_bytes_sent upstream_cache_status proxy_protocol_addr \
     proxy_protocol_port realip_remote_addr realip_remote_port invalid_referer fastcgi_script_name fastcgi_path_info gzip_ratio uid_got uid_set \
     slice_range secure_link secure_link_expires date_local date_gmt";

/// Of those, what nginx has checked or makes itself: no visitor has it say `..`. All others may.
const CHECKED: &str = "uri document_uri document_root realpath_root request_filename request_method request_completion request_id request_length \
     request_time host hostname remote_addr remote_port server_addr server_name server_port server_protocol scheme is_args https limit_rate \
     status body_bytes_sent bytes_sent connection connection_requests connection_time content_length msec pid pipe nginx_version time_iso8601 \
     time_local binary_remote_addr proxy_host proxy_port upstream_addr upstream_status upstream_response_time upstream_connect_time \
     upstream_header_time upstream_response_length upstream_bytes_received upstream_bytes_sent upstream_cache_status realip_remote_addr \
     realip_remote_port invalid_referer fastcgi_script_name fastcgi_path_info gzip_ratio slice_range date_local date_gmt";

/// Beginnings of names that nginx makes variables of by itself.
const BUILT_IN_PREFIXES: [&str; 10] = [
    "arg_",
    "http_",
    "cookie_",
    "sent_http_",
    "sent_trailer_",
    "upstream_http_",
    "upstream_trailer_",
    "upstream_cookie_",
    "ssl_",
    "proxy_protocol_tlv_",
];

/// What a file, or several, say of variables.
#[derive(Debug, Default)]
pub struct Variables {
    /// By name: the texts that it may have; they may hold variables.
    values: BTreeMap<String, BTreeSet<String>>,
    /// Defined by a capture, a module, or an included file.
    open: BTreeSet<String>,
    /// Of those that are open: what visitors send, as they send it.
    raw: BTreeSet<String>,
    /// Something makes a request's URI begin with another sign than `/`.
    has_rootless_uri: bool,
    /// The line on which one more variable is defined than a file may define.
    one_too_many: Option<usize>,
    /// What arguments may become, as it was found before.
    known: RefCell<HashMap<String, Option<Rc<[Text]>>>>,
    /// What has been spent on that, in bytes.
    spent: Cell<usize>,
}

/// Where what visitors send goes: from variables by way of directives to variables. Followed once, when all of a file has been read, for it may
/// go through any number of variables, and these may be defined in any order.
#[derive(Default)]
struct Flow {
    numbers: HashMap<String, usize>,
    /// By number: the variable's name; None for a directive.
    names: Vec<Option<String>>,
    /// By number: what gets it from there.
    leads_to: Vec<Vec<usize>>,
    /// What is defined, wherever it comes from.
    defined: HashSet<String>,
}

/// In a [`Flow`]: what a directive's captures, or its result, are made of. None: of nothing that is known to be a visitor's.
type Source = Option<usize>;

impl Flow {
    fn variable(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.add(Some(name.to_owned()));
        self.numbers.insert(name.to_owned(), number);
        number
    }

    fn add(&mut self, name: Option<String>) -> usize {
        self.names.push(name);
        self.leads_to.push(Vec::new());
        self.names.len() - 1
    }

    /// A directive that is given these texts inside of another one.
    fn directive<'a>(&mut self, outer: Source, texts: impl Iterator<Item = &'a str>) -> Source {
        let mut sources: Vec<usize> = outer.into_iter().collect();
        for text in texts {
            for part in parts(text) {
                if let Part::Variable(name) = part {
                    sources.push(self.variable(&name));
                }
            }
        }
        match sources.as_slice() {
            [] => None,
            [only] => Some(*only),
            _ => {
                let number = self.add(None);
                sources.into_iter().for_each(|source| self.leads_to[source].push(number));
                Some(number)
            }
        }
    }

    fn lead(&mut self, from: Source, variable: &str) {
        if let Some(from) = from {
            let to = self.variable(variable);
            self.leads_to[from].push(to);
        }
    }

    /// The names of all that it comes to.
    fn raw(mut self) -> BTreeSet<String> {
        let is_sent = |name: &Option<String>| name.as_deref().is_some_and(is_sent_as_it_is);
        let mut pending: Vec<usize> = (0..self.names.len()).filter(|at| is_sent(&self.names[*at])).collect();
        let mut is_seen = vec![false; self.names.len()];
        let mut raw = BTreeSet::new();
        while let Some(number) = pending.pop() {
            if !std::mem::replace(&mut is_seen[number], true) {
                raw.extend(self.names[number].take());
                pending.append(&mut self.leads_to[number]);
            }
        }
        raw
    }
}

/// What an argument may become when a request comes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// With [`OPEN`] for each variable whose values are not known.
    pub text: String,
    /// The names of those.
    pub open: Vec<String>,
}

impl Variables {
    /// What these directives define.
    pub fn of(directives: &[Directive]) -> Self {
        Self::of_all(&[directives])
    }

    /// What several files define together.
    pub fn of_all(files: &[&[Directive]]) -> Self {
        let (mut variables, mut flow) = (Self::default(), Flow::default());
        files.iter().for_each(|directives| variables.collect(directives, None, &mut flow));
        variables.raw = flow.raw();
        variables
    }

    /// Makes ready for one of the files: what others do to URIs they do to those of their own servers, and what is spent is spent by each.
    pub fn turn_to(&mut self, file: &Self) {
        self.has_rootless_uri = file.has_rootless_uri;
        self.known.get_mut().clear();
        self.spent.set(0);
    }

    /// The line on which one more variable is defined than a file may define.
    pub fn one_too_many(&self) -> Option<usize> {
        self.one_too_many
    }

    /// `captured`: where what `$1` is comes from.
    fn collect(&mut self, directives: &[Directive], captured: Source, flow: &mut Flow) {
        for directive in directives {
            let arguments = directive.arguments();
            let argument = |at: usize| arguments.get(at).map(|word| word.text.as_str()).unwrap_or_default();
            let inner = directive.block.as_deref().unwrap_or_default();
            let all_words = || directive.words.iter().chain(inner.iter().flat_map(|entry| &entry.words));
            let source = flow.directive(captured, arguments.iter().map(|word| word.text.as_str()));
            if !matches!(directive.name(), "server" | "location") {
                for name in all_words().flat_map(|word| named_captures(&word.text)) {
                    flow.lead(source, &name);
                    self.open(name, flow);
                }
            } else {
                let names = arguments.iter().flat_map(|word| named_captures(&word.text));
                names.for_each(|name| self.open(name, flow));
            }
            match directive.name() {
                "set" => self.define(argument(0), argument(1), captured, flow),
                "map" | "split_clients" => {
                    for entry in inner {
                        match entry.words.as_slice() {
                            [key, value] if key.text != "include" => {
                                self.define(argument(1), &value.text, source, flow);
                            }
                            [_] => {}
                            _ => self.leave_open(argument(1), source, flow),
                        }
                    }
                    self.define(argument(1), "", None, flow);
                }
                "geo" => {
                    let name = arguments.last().map(|word| word.text.as_str()).unwrap_or_default();
                    for entry in inner {
                        match (entry.name(), entry.argument()) {
                            ("include", _) => self.leave_open(name, None, flow),
                            (_, Some(value)) => self.define(name, value, None, flow),
                            _ => {}
                        }
                    }
                    self.define(name, "", None, flow);
                }
                "rewrite" => self.has_rootless_uri |= !is_rooted(argument(1)),
                "try_files" => {
                    let rootless = |word: &crate::configuration::Word| !is_rooted(&word.text);
                    self.has_rootless_uri |= arguments.iter().any(rootless);
                }
                // Only where an operator has allowed it whatever it says; it is judged otherwise.
                "auth_request" | "mirror" | "post_action" | "add_before_body" | "add_after_body" => {
                    self.has_rootless_uri |= !matches!(argument(0), "off" | "") && !is_rooted(argument(0));
                }
                "error_page" => {
                    self.has_rootless_uri |= arguments.last().is_some_and(|word| word.text.starts_with('$'));
                }
                // Whatever else a variable is given to may define it: `auth_request_set`, `geoip2`, modules.
                "if" | "server" | "location" | "limit_except" | "upstream" => {}
                _ if directive.block.is_some() => {
                    all_words().for_each(|word| self.leave_open(&word.text, None, flow));
                }
                name if name.starts_with("set_")
                    || name.ends_with("_set")
                    || crate::list::rule(name).is_none() =>
                {
                    // The first is defined, the others say by what.
                    arguments.iter().enumerate().for_each(|(at, word)| {
                        self.leave_open(&word.text, source.filter(|_| at == 0), flow);
                    });
                }
                _ => {}
            }
            if flow.defined.len() > VARIABLES_MAX {
                self.one_too_many.get_or_insert(directive.line());
            }
            if !directive.holds_data() {
                let captured = match directive.name() {
                    "if" => source,
                    "location" => None,
                    _ => captured,
                };
                self.collect(inner, captured, flow);
            }
        }
    }

    fn define(&mut self, variable: &str, value: &str, captured: Source, flow: &mut Flow) {
        let Some(name) = variable.strip_prefix('$').map(str::to_ascii_lowercase) else { return };
        let captures = |part: &Part<'_>| matches!(part, Part::Variable(name) if is_capture(name));
        if parts(value).iter().any(captures) {
            flow.lead(captured, &name);
            return self.open(name, flow);
        }
        let source = flow.directive(None, std::iter::once(value));
        flow.lead(source, &name);
        flow.defined.insert(name.clone());
        self.values.entry(name).or_default().insert(value.to_owned());
    }

    fn leave_open(&mut self, variable: &str, source: Source, flow: &mut Flow) {
        if let [Part::Variable(name)] = parts(variable).as_slice() {
            flow.lead(source, name);
            self.open(name.clone(), flow);
        }
    }

    fn open(&mut self, name: String, flow: &mut Flow) {
        flow.defined.insert(name.clone());
        self.open.insert(name);
    }

    /// Whether a variable is what a visitor sends, as it is sent, so that it may hold `..` and anything else.
    pub fn is_raw(&self, name: &str) -> bool {
        is_sent_as_it_is(name) || self.raw.contains(name)
    }

    /// Whether a text in the place of this variable begins with `/` or `?`, or is empty.
    pub fn begins_a_path(&self, name: &str) -> bool {
        name == "request_uri" || matches!(name, "uri" | "document_uri") && !self.has_rootless_uri
    }

    /// All that this argument may become; None where that is too much to look at.
    pub fn texts(&self, argument: &str) -> Option<Rc<[Text]>> {
        let before = self.known.borrow().get(argument).cloned();
        let texts = before.unwrap_or_else(|| {
            let texts = self.expand(argument, 0).map(Rc::from);
            self.known.borrow_mut().insert(argument.to_owned(), texts.clone());
            texts
        })?;
        // They are looked at again.
        self.spend(cost(&texts))?;
        Some(texts)
    }

    /// None: all that may be spent is.
    fn spend(&self, bytes: usize) -> Option<()> {
        self.spent.set(self.spent.get().saturating_add(bytes));
        (self.spent.get() <= TEXTS_BYTES_MAX).then_some(())
    }

    fn expand(&self, argument: &str, depth: usize) -> Option<Vec<Text>> {
        let mut texts = vec![Text::default()];
        for part in parts(argument) {
            let further = match part {
                Part::Text(text) => vec![Text { text: text.to_owned(), open: Vec::new() }],
                Part::Variable(name) if name == "scheme" => {
                    ["http", "https"].map(|text| Text { text: text.to_owned(), open: Vec::new() }).to_vec()
                }
                Part::Variable(name) => match self.values.get(&name) {
                    Some(values)
                        if depth < DEPTH_MAX && !self.open.contains(&name) && !is_built_in(&name) =>
                    {
                        // One that is not set on the way of a request is empty.
                        let mut all = vec![Text::default()];
                        for value in values.iter().filter(|value| !value.is_empty()) {
                            all.extend(self.expand(value, depth + 1)?);
                            if all.len() > TEXTS_MAX {
                                return None;
                            }
                        }
                        all
                    }
                    _ => vec![Text { text: OPEN.to_string(), open: vec![name] }],
                },
            };
            if texts.len() * further.len() > TEXTS_MAX {
                return None;
            }
            if let [only] = further.as_slice() {
                self.spend(cost(&further) * texts.len())?;
                for text in &mut texts {
                    text.text.push_str(&only.text);
                    text.open.extend(only.open.iter().cloned());
                }
                continue;
            }
            self.spend(cost(&texts) * further.len() + cost(&further) * texts.len())?;
            texts = texts
                .iter()
                .flat_map(|text| {
                    further.iter().map(|more| Text {
                        text: format!("{}{}", text.text, more.text),
                        open: text.open.iter().chain(&more.open).cloned().collect(),
                    })
                })
                .collect();
        }
        Some(texts)
    }
}

/// What it costs to make these texts.
fn cost(texts: &[Text]) -> usize {
    texts.iter().map(|text| text.text.len() + (1 + text.open.len()) * TEXT_COST).sum()
}

/// A piece of an argument, as nginx's scripts see it.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    /// In small letters.
    Variable(String),
}

fn parts(argument: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = argument;
    while let Some(at) = rest.find('$') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let length = |text: &str| match text.as_bytes().first() {
            Some(b'0'..=b'9') => 1,
            _ => text.bytes().take_while(|byte| is_name(byte)).count(),
        };
        let (name, after) = match after.strip_prefix('{') {
            Some(braced) => {
                let (name, after) = braced.split_at(length(braced));
                (name, after.strip_prefix('}').unwrap_or(after))
            }
            None => after.split_at(length(after)),
        };
        if !before.is_empty() {
            parts.push(Part::Text(before));
        }
        // A lone `$` is nothing that nginx takes; it is open here.
        parts.push(Part::Variable(name.to_ascii_lowercase()));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    parts
}

fn is_capture(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether nginx gives this variable what a visitor sends, and has not checked it.
fn is_sent_as_it_is(name: &str) -> bool {
    static CHECKED_NAMES: LazyLock<HashSet<&str>> = LazyLock::new(|| CHECKED.split_whitespace().collect());
    let is_checked = matches!(name, "http_host" | "http_upgrade") || CHECKED_NAMES.contains(name);
    is_built_in(name) && !is_checked && !is_capture(name)
}

fn is_built_in(name: &str) -> bool {
    static NAMES: LazyLock<HashSet<&str>> = LazyLock::new(|| BUILT_IN.split_whitespace().collect());
    is_capture(name)
        || NAMES.contains(name)
        || BUILT_IN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether what nginx makes of this URI begins with a slash, or leads elsewhere.
fn is_rooted(uri: &str) -> bool {
    ["/", "@", "=", "http://", "https://", "$scheme://", "$uri", "$document_uri", "$request_uri"].iter().any(
        |beginning| {
            // `$uri_of_mine` is another variable.
            let is_name = |next: char| next.is_ascii_alphanumeric() || next == '_';
            let rest = uri.strip_prefix(beginning);
            rest.is_some_and(|rest| {
                !beginning.starts_with('$') || beginning.ends_with('/') || !rest.starts_with(is_name)
            })
        },
    )
}

/// The names in `(?<name>`, `(?P<name>` and `(?'name'`.
fn named_captures(pattern: &str) -> Vec<String> {
    let pieces = pattern.split("(?").skip(1);
    let name = |piece: &str| {
        let piece = piece.strip_prefix('P').unwrap_or(piece);
        let (name, _) = match piece.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'')?,
            None => piece.strip_prefix('<')?.split_once('>')?,
        };
        (!name.starts_with(['=', '!'])).then(|| name.to_ascii_lowercase())
    };
    pieces.filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::parse;

    fn texts(file: &str, argument: &str) -> Vec<String> {
        let variables = Variables::of(&parse(file).unwrap());
        let shown = |text: Text| match text.open.is_empty() {
            true => text.text,
            false => format!("{} {:?}", text.text.replace(OPEN, "$"), text.open),
        };
        variables.texts(argument).unwrap().iter().cloned().map(shown).collect()
    }

    #[test]
    fn what_is_written_in_the_file_is_put_in() {
        let file = "map $host $pool { default a; b.org b; } server { set $port 80; set $at $pool:${port}; }";
        assert_eq!(texts(file, "http://$pool"), ["http://", "http://a", "http://b"]);
        assert!(texts(file, "$at/x").contains(&"b:80/x".to_owned()));
        assert_eq!(texts(file, "$scheme://x"), ["http://x", "https://x"]);
        assert_eq!(texts(file, "/$other/$1"), ["/$/$ [\"other\", \"1\"]"]);
    }

    #[test]
    fn what_others_decide_is_open() {
        for file in [
            "server { set $x $arg_y; }",
            "server { location ~ ^/(?<x>.*)$ { set $x 1; } }",
            "server { location ~ ^/(?P<x>.*)$ { set $x 1; } }",
            "map $uri $y { ~^/(?<x>.*)$ 1; } server { set $x 1; }",
            "map $uri $x { include snippets/x; }",
            "map $uri $x { ~^/(.*)$ $1; }",
            "server { set $x 1; auth_request_set $x $upstream_http_x; }",
            "geoip2 /usr/share/GeoIP/x { $x country; } server { set $x 1; }",
            "server { set $x $x; }",
            "server { set $x 1; set_unescape_uri $x $arg_y; }",
        ] {
            assert!(
                texts(file, "$x").iter().any(|text| text.contains('$')),
                "{file}: {:?}",
                texts(file, "$x")
            );
        }
        assert!(texts("server { set $arg_x 1; set $host a; }", "$arg_x$host")[0].starts_with("$$"));
    }

    #[test]
    fn bombs_are_not_put_together() {
        let file = "map $a $b { 1 a; 2 b; 3 c; 4 d; 5 e; 6 f; }";
        assert_eq!(Variables::of(&parse(file).unwrap()).texts("$b$b$b$b$b"), None);
    }
}
