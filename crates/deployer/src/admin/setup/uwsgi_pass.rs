//! nginx's site of the Python tool's listener, as it has to be for the intake: `uwsgi_pass` becomes `proxy_pass`. Pure.
//!
//! Only the statements that lead to the old listener are changed, each in its place; everything else of an administrator's file stays byte
//! for byte. What nginx thinks of the result, nginx is asked.

use std::ops::Range;

/// Where the old listener is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP port of this machine.
    Port(u16),
    /// A unix socket.
    Socket(String),
}

/// A statement of a file: its words, and where it stands, with its semicolon.
struct Statement<'a> {
    words: Vec<&'a str>,
    range: Range<usize>,
    /// Counts the blocks, in the order in which they are opened.
    block: usize,
}

/// The file with every statement that leads to the old listener changed for the intake on this port. `None`: there is none.
pub fn changed(text: &str, old: &Address, port: u16) -> Option<String> {
    let statements = statements(text);
    let upstreams = upstreams(&statements, old);
    let leads = |target: &str| {
        let target = target.strip_prefix("http://").unwrap_or(target).trim_end_matches('/');
        is_at(target, old) || upstreams.iter().any(|name| name == target)
    };
    let mut changes: Vec<(Range<usize>, String)> = Vec::new();
    for statement in &statements {
        let ["uwsgi_pass" | "proxy_pass", target] = statement.words.as_slice() else { continue };
        if !leads(target) {
            continue;
        }
        if statement.words[0] == "proxy_pass" {
            changes.push((statement.range.clone(), format!("proxy_pass http://127.0.0.1:{port};")));
            continue;
        }
        let beside = |name: &str| {
            statements
                .iter()
                .find(|other| other.block == statement.block && other.words.first() == Some(&name))
        };
        let indent = indent_of(text, statement.range.start);
        let mut lines = vec![
            format!("proxy_pass http://127.0.0.1:{port};"),
            "proxy_http_version 1.1;".to_owned(),
            "proxy_set_header Connection \"\";".to_owned(),
            "proxy_set_header Host $host;".to_owned(),
            "# Overwritten: what the caller says of itself means nothing.".to_owned(),
            "proxy_set_header X-Real-IP $remote_addr;".to_owned(),
            "proxy_set_header X-Forwarded-For $remote_addr;".to_owned(),
            "proxy_set_header X-Forwarded-Proto $scheme;".to_owned(),
        ];
        // GitHub sends up to 25 MB.
        const SIZE: &str = "client_max_body_size 25m;";
        match beside("client_max_body_size") {
            Some(size) => changes.push((size.range.clone(), SIZE.to_owned())),
            None => lines.push(SIZE.to_owned()),
        }
        changes.push((statement.range.clone(), lines.join(&format!("\n{indent}"))));
    }
    if changes.is_empty() {
        return None;
    }
    changes.sort_by_key(|(range, _)| range.start);
    let mut result = String::new();
    let mut at = 0;
    for (range, new) in changes {
        if range.start < at {
            continue;
        }
        result.push_str(&text[at..range.start]);
        result.push_str(&new);
        at = range.end;
    }
    result.push_str(&text[at..]);
    Some(result)
}

/// The names of the sites whose file this is.
pub fn server_names(text: &str) -> Vec<String> {
    let mut names: Vec<String> = statements(text)
        .iter()
        .filter(|statement| statement.words.first() == Some(&"server_name"))
        .flat_map(|statement| statement.words[1..].iter().map(|name| (*name).to_owned()))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Names of upstreams that lead there.
fn upstreams(statements: &[Statement<'_>], old: &Address) -> Vec<String> {
    let opened = statements.iter().filter(|statement| statement.words.first() == Some(&"upstream"));
    opened
        .filter(|opened| {
            statements.iter().any(|server| {
                // What opens a block stands in the block around it; its number is that of its inside.
                server.block == opened.block
                    && server.range.start > opened.range.start
                    && server.words.first() == Some(&"server")
                    && server.words.get(1).is_some_and(|target| is_at(target, old))
            })
        })
        .filter_map(|opened| opened.words.get(1).map(|name| (*name).to_owned()))
        .collect()
}

fn is_at(target: &str, old: &Address) -> bool {
    match old {
        Address::Socket(path) => target.strip_prefix("unix:").is_some_and(|found| found == path),
        Address::Port(port) => {
            let Some((host, found)) = target.rsplit_once(':') else { return false };
            found.parse() == Ok(*port)
                && ["localhost", "127.0.0.1", "[::1]", "[::]", "0.0.0.0"].contains(&host)
        }
    }
}

/// All statements, and what opens blocks. What opens one has the number of the block that it opens.
fn statements(text: &str) -> Vec<Statement<'_>> {
    let bytes = text.as_bytes();
    let (mut found, mut open, mut blocks) = (Vec::new(), vec![0], 0);
    let (mut words, mut start, mut at): (Vec<&str>, Option<usize>, usize) = (Vec::new(), None, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'#' => at += text[at..].find('\n').unwrap_or(text.len() - at),
            b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            end @ (b';' | b'{' | b'}') => {
                at += 1;
                if end == b'{' {
                    blocks += 1;
                    open.push(blocks);
                }
                if let Some(start) = start.take() {
                    let block = open.last().copied().unwrap_or(0);
                    found.push(Statement { words: std::mem::take(&mut words), range: start..at, block });
                }
                if end == b'}' && open.len() > 1 {
                    open.pop();
                }
            }
            quote @ (b'"' | b'\'') => {
                let from = at;
                start.get_or_insert(from);
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at = (at + 1).min(bytes.len());
                words.push(text.get(from + 1..at.saturating_sub(1)).unwrap_or_default());
            }
            _ => {
                let from = at;
                start.get_or_insert(from);
                // `${name}` has braces of its own.
                while at < bytes.len()
                    && !matches!(bytes[at], b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b'}')
                {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                    if at < bytes.len() && bytes[at] == b'{' && bytes[at - 1] == b'$' {
                        at += text[at..].find('}').map_or(1, |end| end + 1);
                    }
                }
                at = at.min(bytes.len());
                words.push(text.get(from..at).unwrap_or_default());
            }
        }
    }
    found
}

/// The white space in front of something that begins a line.
fn indent_of(text: &str, at: usize) -> String {
    let line = &text[text[..at].rfind('\n').map_or(0, |end| end + 1)..at];
    line.chars().take_while(|next| next.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = r#"# deploy.durhack.com: uwsgi_pass localhost:3400;
server {
    listen 443 ssl;
    server_name deploy.durhack.com;
    client_max_body_size 1M;
    location / {
        include snippets/uwsgi-params;
        uwsgi_pass localhost:3400;
    }
    location /other { uwsgi_pass localhost:34000; }
}
server { listen 80; server_name deploy.durhack.com; return 301 https://$host${request_uri}; }
"#;

    #[test]
    fn what_leads_to_the_listener_is_changed_and_nothing_else() {
        let changed = changed(SITE, &Address::Port(3400), 3401).unwrap();
        insta::assert_snapshot!(changed, @r#"
        # deploy.durhack.com: uwsgi_pass localhost:3400;
        server {
            listen 443 ssl;
            server_name deploy.durhack.com;
            client_max_body_size 1M;
            location / {
                include snippets/uwsgi-params;
                proxy_pass http://127.0.0.1:3401;
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                proxy_set_header Host $host;
                # Overwritten: what the caller says of itself means nothing.
                proxy_set_header X-Real-IP $remote_addr;
                proxy_set_header X-Forwarded-For $remote_addr;
                proxy_set_header X-Forwarded-Proto $scheme;
                client_max_body_size 25m;
            }
            location /other { uwsgi_pass localhost:34000; }
        }
        server { listen 80; server_name deploy.durhack.com; return 301 https://$host${request_uri}; }
        "#);
        assert_eq!(server_names(SITE), ["deploy.durhack.com"]);
    }

    #[test]
    fn every_way_to_the_listener_is_known() {
        let port = Address::Port(3400);
        for (text, old, is_one) in [
            ("location / { uwsgi_pass 127.0.0.1:3400; }", &port, true),
            ("location / { uwsgi_pass\n[::1]:3400 ; }", &port, true),
            ("upstream d { server localhost:3400; }\nserver { location / { uwsgi_pass d; } }", &port, true),
            ("upstream d { server localhost:3500; }\nserver { location / { uwsgi_pass d; } }", &port, false),
            ("location / { proxy_pass http://localhost:3400/; }", &port, true),
            ("location / { proxy_pass http://localhost:3000; }", &port, false),
            ("location / { uwsgi_pass unix:/run/d.sock; }", &Address::Socket("/run/d.sock".into()), true),
            ("location / { uwsgi_pass unix:/run/e.sock; }", &Address::Socket("/run/d.sock".into()), false),
            ("# uwsgi_pass localhost:3400;", &port, false),
            ("set $x \"uwsgi_pass localhost:3400;\";", &port, false),
            ("", &port, false),
        ] {
            assert_eq!(changed(text, old, 3401).is_some(), is_one, "{text}");
        }
        let sized =
            changed("location / { client_max_body_size 1M; uwsgi_pass localhost:3400; }", &port, 3401)
                .unwrap();
        assert_eq!(sized.matches("client_max_body_size").count(), 1, "{sized}");
        // Twice is once.
        assert_eq!(changed(&sized, &port, 3401), None);
    }

    proptest::proptest! {
        #[test]
        fn nonsense_never_panics(text in "(uwsgi_pass |localhost:3400|[;{}\"'#\\\\$é\n ]){0,30}") {
            let _ = changed(&text, &Address::Port(3400), 3401);
        }
    }
}
