//! How git logs in, and which server it takes for the right one: additions to an invocation that talks to one. Pure.

use super::{Invocation, SSH, protocols};
use std::path::Path;

/// The variable from which [`with_password`] takes the password.
pub const PASSWORD_VARIABLE: &str = "DEPLOYER_GIT_PASSWORD";

/// Answers git when a server asks who it is, with the name under which GitHub expects tokens. A constant: the token itself comes
/// from the environment, so that it is in no argument, no file and no setting.
const CREDENTIAL_HELPER: &str = r#"!f() { test "$1" = get && printf 'username=x-access-token\npassword=%s\n' "$DEPLOYER_GIT_PASSWORD"; }; f"#;

/// Lets git log in to this URL's server, and to no other, if it is asked to. The password goes into [`PASSWORD_VARIABLE`].
pub fn with_password(mut invocation: Invocation, url: &str) -> Invocation {
    let Some(origin) = http_origin(url) else { return invocation };
    let settings = [
        ("GIT_CONFIG_COUNT", "1".to_owned()),
        ("GIT_CONFIG_KEY_0", format!("credential.{origin}.helper")),
        ("GIT_CONFIG_VALUE_0", CREDENTIAL_HELPER.to_owned()),
    ];
    invocation.environment.extend(settings.map(|(name, value)| (name.into(), value.into())));
    invocation
}

/// Scheme, host and port of an `http` or `https` URL.
fn http_origin(url: &str) -> Option<String> {
    let (scheme @ ("http" | "https"), rest) = url.split_once("://")? else { return None };
    let host = rest.split('/').next().filter(|host| !host.is_empty() && !host.contains('@'))?;
    Some(format!("{scheme}://{host}"))
}

/// The host of a URL that git can fetch from; None where there is none.
pub fn host_of(url: &str) -> Option<&str> {
    let authority = match url.split_once("://") {
        Some(("file", _)) => return None,
        Some((_, rest)) => rest.split('/').next()?,
        None if url.starts_with('/') => return None,
        None => url.split_once(':')?.0,
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(address) => address.split(']').next()?,
        None => host.split(':').next()?,
    };
    Some(host).filter(|host| !host.is_empty())
}

/// The directory of this machine that a URL names.
pub fn path_of(url: &str) -> Option<&str> {
    let path = url.strip_prefix("file://").unwrap_or(url);
    path.starts_with('/').then_some(path)
}

/// The port that a URL names; None where it names none.
pub fn port_of(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
    let behind = server.rsplit_once(']').map_or(server, |(_, behind)| behind);
    behind.split_once(':').map(|(_, port)| port)
}

/// `owner/name` of a URL, where its path has this form as GitHub's have.
pub fn repository_of(url: &str) -> Option<&str> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => url.split_once(':')?.1.trim_start_matches('/'),
    };
    let path = path.strip_suffix('/').unwrap_or(path);
    let path = path.strip_suffix(".git").unwrap_or(path);
    crate::base::names::RepositoryName::parse(path).is_ok().then_some(path)
}

/// Whether a URL's server is this host, or its `ssh.`, by which GitHub can be reached where port 22 is closed.
pub fn is_on(url: &str, host: &str) -> bool {
    let found = host_of(url).map(|found| found.strip_prefix("ssh.").unwrap_or(found));
    found.is_some_and(|found| found.eq_ignore_ascii_case(host))
}

/// Whether a URL is fetched by ssh.
pub fn is_ssh(url: &str) -> bool {
    protocols(url) == "ssh"
}

/// How ssh proves who we are, and knows whom it talks to.
#[derive(Debug, Default)]
pub struct Ssh<'a> {
    /// The private key; None: what ssh finds.
    pub key_file: Option<&'a Path>,
    /// Nobody is to be proved: no key is offered, neither this one nor what ssh finds.
    pub no_key: bool,
    /// Only the keys in this file, under this name, are the server's; None: what the user's own file says.
    pub pinned: Option<(&'a Path, &'a str)>,
}

/// Lets git use ssh in this way.
pub fn with_ssh(mut invocation: Invocation, ssh: &Ssh<'_>) -> Invocation {
    let mut command = format!("{SSH} -o StrictHostKeyChecking=yes");
    if ssh.no_key {
        command.push_str(" -o IdentityFile=none -o IdentitiesOnly=yes -o IdentityAgent=none");
    } else if let Some(key_file) = ssh.key_file {
        command.push_str(&format!(" -i {} -o IdentitiesOnly=yes", shell_quoted(&key_file.to_string_lossy())));
    }
    if let Some((file, name)) = ssh.pinned {
        // ssh reads a list of files, in which a % has a meaning.
        let file = format!("UserKnownHostsFile=\"{}\"", file.to_string_lossy().replace('%', "%%"));
        let alias = format!("HostKeyAlias={name}");
        command.push_str(&format!(
            " -o {} -o {} -o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no -o CheckHostIP=no",
            shell_quoted(&file),
            shell_quoted(&alias)
        ));
    }
    invocation.environment.insert("GIT_SSH_COMMAND".into(), command.into());
    invocation
}

/// One word for the shell by which git starts ssh.
fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::super::heads;
    use super::*;
    use std::ffi::OsString;

    #[test]
    fn a_password_is_for_one_server_and_in_no_argument() {
        let fetch = |url| with_password(heads(url, []), url);
        let shown = fetch("https://github.com/a/b.git");
        assert_eq!(
            shown.environment[&OsString::from("GIT_CONFIG_KEY_0")],
            "credential.https://github.com.helper"
        );
        let http = fetch("http://127.0.0.1:8080/a.git");
        assert_eq!(
            http.environment[&OsString::from("GIT_CONFIG_KEY_0")],
            "credential.http://127.0.0.1:8080.helper"
        );
        for other in ["ssh://git@github.com/a", "git@github.com:a/b", "/srv/a.git", "file:///srv/a.git"] {
            assert!(!fetch(other).environment.contains_key(&OsString::from("GIT_CONFIG_COUNT")), "{other}");
        }
    }

    #[test]
    fn ssh_is_told_whom_to_trust_in_words_that_no_shell_takes_apart() {
        let command = |ssh: &Ssh<'_>| {
            let invocation = with_ssh(heads("git@github.com:a/b.git", []), ssh);
            invocation.environment[&OsString::from("GIT_SSH_COMMAND")].to_string_lossy().into_owned()
        };
        let plain = "ssh -o BatchMode=yes -o ConnectTimeout=15 -o StrictHostKeyChecking=yes";
        assert_eq!(command(&Ssh::default()), plain);
        let nobody = command(&Ssh { key_file: Some(Path::new("/key")), no_key: true, pinned: None });
        assert_eq!(
            nobody,
            format!("{plain} -o IdentityFile=none -o IdentitiesOnly=yes -o IdentityAgent=none")
        );
        let pinned = Some((Path::new("/state of it/50%"), "github.com"));
        assert_eq!(
            command(&Ssh { key_file: Some(Path::new("/it's/key")), no_key: false, pinned }),
            format!(
                "{plain} -i '/it'\\''s/key' -o IdentitiesOnly=yes -o 'UserKnownHostsFile=\"/state of it/50%%\"' \
                 -o 'HostKeyAlias=github.com' -o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no -o CheckHostIP=no"
            )
        );
    }

    #[test]
    fn hosts_of_urls() {
        for (url, expected) in [
            ("https://github.com/a/b.git", Some("github.com")),
            ("ssh://git@127.0.0.1:2222/a", Some("127.0.0.1")),
            ("http://[::1]:80/a", Some("::1")),
            ("git@github.com:a/b.git", Some("github.com")),
            ("file:///srv/a", None),
            ("/srv/a:b", None),
        ] {
            assert_eq!(host_of(url), expected, "{url}");
        }
        for (url, expected) in [
            ("https://github.com/a/b.git", Some("a/b")),
            ("https://github.com/a/b/", Some("a/b")),
            ("ssh://git@github.com/a/b", Some("a/b")),
            ("git@github.com:a/b.git", Some("a/b")),
            ("https://github.com/a/b/c", None),
            ("https://github.com//a/b", None),
            ("https://github.com/a/b?x=c/d", None),
            ("https://github.com/x/../a/b", None),
            ("https://github.com/a/%62", None),
            ("/srv/a", None),
        ] {
            assert_eq!(repository_of(url), expected, "{url}");
        }
        assert!(is_on("ssh://git@ssh.github.com:443/a/b.git", "github.com"));
        assert!(!is_on("https://github.com.example.org/a/b.git", "github.com"));
    }
}
