//! URLs, hosts and networks: what may be listened on, asked, fetched from and believed.

use super::{checked_text, filled_text, list};
use crate::config::SourceNetworks;
use crate::config::reading::raw::{Node, Value, holds_password};
use crate::config::reading::reader::{Parsed, Wrong};
use ipnet::IpNet;
use std::net::IpAddr;

/// A network, or an address as a network of one.
pub fn network(node: &Node) -> Parsed<IpNet> {
    checked_text(node, |text| {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| format!("{text:?} is not a network such as 192.0.2.0/24 or 2001:db8::/32"))
    })
}

/// From where webhooks may come.
pub fn source_networks(node: &Node) -> Parsed<SourceNetworks> {
    match &node.value {
        Value::Text(word) if word == "any" => Ok(SourceNetworks::Any),
        Value::Text(word) if word == "github" => Ok(SourceNetworks::GitHub),
        Value::List(networks) if networks.is_empty() => Wrong::with_help(
            node,
            "no webhook could ever come from nowhere",
            "write \"any\", \"github\" or networks",
        ),
        Value::List(_) => list(network)(node).map(SourceNetworks::List),
        _ => Wrong::value(node, "this must be \"any\", \"github\" or a list of networks"),
    }
}

/// A base URL: `http` or `https`, a host, perhaps a port and a path; without the slash at the end.
pub fn base_url(node: &Node) -> Parsed<String> {
    checked_text(node, |text| {
        let uri = http_url(text)?;
        match uri.query() {
            Some(_) => Err("this URL must end before the `?`".into()),
            None => Ok(text.trim_end_matches('/').to_owned()),
        }
    })
}

/// An `http://` or `https://` URL without user and password.
pub fn http_url(text: &str) -> Result<http::Uri, String> {
    let uri: http::Uri = text.parse().map_err(|_| "this is not a URL".to_owned())?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
            Err("a URL may hold no user and no password here".into())
        }
        (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => Ok(uri),
        _ => Err("this URL must begin with http:// or https:// and a host".into()),
    }
}

/// Whether only this machine can answer for a host.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Reads an address with a port, `host:port`; a name is not looked up.
pub fn host_and_port(node: &Node) -> Parsed<String> {
    checked_text(node, |text| {
        let valid = text.parse::<http::uri::Authority>().is_ok_and(|authority| {
            !text.contains('@')
                && !authority.host().is_empty()
                && authority.port_u16().is_some_and(|port| port > 0)
        });
        if valid { Ok(text.to_owned()) } else { Err(format!("{text:?} is not host:port")) }
    })
}

/// The same check for a text that stands in no file.
pub fn checked_clone_url(text: &str) -> Result<String, String> {
    let node = Node { value: Value::Text(text.to_owned()), position: None };
    let messages = |wrongs: Vec<Wrong>| wrongs.into_iter().map(|wrong| wrong.message).collect::<Vec<_>>();
    clone_url(&node).map_err(|wrongs| messages(wrongs).join("; "))
}

/// Where git may fetch from. Everything that git would take for an option or hand to a shell is refused.
pub fn clone_url(node: &Node) -> Parsed<String> {
    let help = "write https://HOST/OWNER/NAME.git, ssh://USER@HOST/PATH, USER@HOST:PATH, file:///PATH or an absolute path";
    let text = filled_text(node)?;
    let refused = |message: &str| Wrong::with_help(node, message, help);
    // git hands `transport::address` to a program of that name; `ext::` is a shell.
    let is_transport =
        |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let names_transport = text.split_once("::").is_some_and(|(name, _)| is_transport(name));
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) || names_transport {
        return refused("this is not a URL that git can fetch from safely");
    }
    if holds_password(&text) {
        return Wrong::with_help(
            node,
            "a password or token may not stand in `clone_url`: every process of the machine could read it",
            "use a deploy key with an ssh URL, or git's credential store",
        );
    }
    let is_safe_host = |host: &str| !host.is_empty() && !host.starts_with('-') && !host.contains("@-");
    let is_usable = match text.split_once("://") {
        Some(("https", rest)) => is_safe_host(rest) && http_url(&text).is_ok(),
        Some(("ssh", rest)) => is_safe_host(rest.split('/').next().unwrap_or_default()) && rest.contains('/'),
        Some(("file", rest)) => rest.starts_with('/'),
        // Unencrypted: whoever stands between could put any code in.
        Some(("http", _)) => http_url(&text).is_ok_and(|uri| uri.host().is_some_and(is_loopback)),
        Some(_) => false,
        None if text.starts_with('/') => true,
        None => text.split_once(':').is_some_and(|(host, path)| {
            is_safe_host(host)
                && host.contains('@')
                && !path.is_empty()
                && !path.starts_with('-')
                && !host.contains('/')
        }),
    };
    if is_usable { Ok(text) } else { refused("this is not a URL that git can fetch from safely") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_text(text: &str) -> Node {
        Node { value: Value::Text(text.into()), position: None }
    }

    #[test]
    fn where_git_may_fetch_from() {
        for good in [
            "https://github.com/a/b.git",
            "ssh://git@github.com/a/b",
            "git@github.com:a/b.git",
            "file:///srv/git/a",
            "/srv/git/a",
            "http://127.0.0.1:8080/a.git",
            "http://[::1]/a",
            "ssh://git@host:2222/a",
        ] {
            assert!(clone_url(&of_text(good)).is_ok(), "{good}");
        }
        for bad in [
            "",
            "--upload-pack=x",
            "-oProxyCommand=x",
            "ext::sh -c id",
            "ext::id",
            "https://me:pw@github.com/a/b",
            "https://ghp_0123456789abcdef0123@github.com/a",
            "http://github.com/a/b",
            "ssh://-oProxyCommand=x/a",
            "ssh://git@-oProxyCommand=x/a",
            "-x@host:a",
            "git@-x:a",
            "git@host:-x",
            "host:path",
            "relative/path",
            "file://host/x",
            "https://",
            "https:///a",
            "a b",
            "https://x/\n",
        ] {
            assert!(clone_url(&of_text(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn urls_and_networks() {
        assert_eq!(base_url(&of_text("https://deploy.durhack.com/")).unwrap(), "https://deploy.durhack.com");
        for bad in ["deploy.durhack.com", "ftp://x", "https://", "https://a@b", "https://x?y", "https://x y"]
        {
            assert!(base_url(&of_text(bad)).is_err(), "{bad}");
        }
        for good in ["localhost:3001", "[::1]:80", "127.0.0.1:1"] {
            assert!(host_and_port(&of_text(good)).is_ok(), "{good}");
        }
        for bad in ["localhost", ":80", "x:0", "x:99999", "a@b:1", "x:y"] {
            assert!(host_and_port(&of_text(bad)).is_err(), "{bad}");
        }
        assert_eq!(network(&of_text("::1")).unwrap(), "::1/128".parse::<IpNet>().unwrap());
        assert!(network(&of_text("192.0.2.0/33")).is_err());
    }
}
