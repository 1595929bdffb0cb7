//! What an operator may write into `sites_allow`, and what that gives away.

use crate::list::{self, Refusal, Rule};
use std::path::{Component, Path};

/// Directories that hold the host's own things, or everything.
const NEVER_SERVED: [&str; 11] =
    ["/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/root", "/run", "/sbin", "/sys", "/var/run"];

/// Judges one entry of `sites_allow`. Gives a warning that says what it gives away, or an error that says why it cannot
/// be allowed.
pub fn judge_allowance(entry: &str) -> Result<String, String> {
    if entry.starts_with('/') {
        return directory(entry);
    }
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if entry.is_empty() || !entry.bytes().all(is_word) {
        return Err(format!("{entry:?} is neither the name of a directive nor an absolute path"));
    }
    match list::refusal(entry) {
        Refusal::Never => Err(format!(
            "{entry:?} belongs to nginx.conf, where an operator may write it; no site may say it"
        )),
        Refusal::Unless(_) if matches!(list::rule(entry), Some(Rule::Plain | Rule::Data | Rule::Geo)) => {
            Err(format!("every site may say {entry:?}: remove it"))
        }
        Refusal::Unless(_) if matches!(list::rule(entry), Some(Rule::Block | Rule::Server)) => {
            Err(format!("{entry:?} is a block, and what stands in it is judged: allow what stands in it"))
        }
        Refusal::Unless(follows) => {
            Ok(format!("{entry:?} is allowed in every site, whatever its arguments: {follows}"))
        }
    }
}

fn directory(entry: &str) -> Result<String, String> {
    let path = Path::new(entry);
    let goes_down = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let is_hosts = path == Path::new("/") || NEVER_SERVED.iter().any(|never| path.starts_with(never));
    if !goes_down || is_hosts || entry.contains('$') {
        return Err(format!(
            "{entry:?} holds the host's own files, or is no plain path: sites cannot be allowed to serve it"
        ));
    }
    Ok(format!("{entry:?}: sites may serve what lies there, as far as nginx's user can read it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_says_what_it_gives_away() {
        for (entry, says) in [
            ("xslt_stylesheet", "becomes root"),
            ("perl_set", "becomes root"),
            ("content_by_lua_file", "becomes root"),
            ("access_log", "becomes root"),
            ("include", "reads root's files"),
            ("dav_methods", "writes files as its user"),
            ("something_new", "code that runs as root"),
            ("/data2/www", "may serve"),
        ] {
            let warning = judge_allowance(entry).expect(entry);
            assert!(warning.contains(says), "{entry}: {warning}");
        }
    }

    #[test]
    fn some_things_cannot_be_allowed() {
        for entry in [
            "load_module",
            "user",
            "daemon",
            "gzip",
            "server",
            "map",
            "geo",
            "",
            "a b",
            "../x",
            "/",
            "/etc",
            "/etc/nginx",
            "/srv/../etc",
            "/proc",
            "/root/x",
            "*",
        ] {
            assert!(judge_allowance(entry).is_err(), "{entry}");
        }
    }
}
