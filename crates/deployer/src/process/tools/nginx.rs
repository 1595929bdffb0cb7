//! `nginx`, as we call it.

use super::{HELPER, privileged, sudo};
use crate::config::{CommandLine, Nginx, NginxReload, Privileges};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What nginx reads first.
const CONFIGURATION: &str = "/etc/nginx/nginx.conf";

/// nginx's directory, in which root writes for others.
const DIRECTORY: &str = "/etc/nginx";

/// Whether root writes site files, tests and reloads: the helper, or the same program by sudo. Otherwise nginx is this process's own, or the
/// process is root itself.
pub fn root_writes(nginx: &Nginx, privileges: Privileges) -> bool {
    match privileges {
        Privileges::Direct => false,
        Privileges::Helper => true,
        Privileges::Sudo => is_usual(nginx),
    }
}

/// Whether nginx is the host's, at its usual paths.
fn is_usual(nginx: &Nginx) -> bool {
    nginx.directory == Path::new(DIRECTORY)
        && nginx.configuration == Path::new(CONFIGURATION)
        && nginx.prefix.is_none()
        && nginx.reload == NginxReload::Systemctl
}

/// Asks root to write a site file; what is to be in it lies in another file.
pub fn write_site(privileges: Privileges, target: &str, content: &Path) -> CommandLine {
    // The program reads it from its standard input, opened by whoever asks.
    const FROM: [&str; 4] = ["sh", "-c", "content=$1; shift; exec \"$@\" < \"$content\"", "sh"];
    let words = FROM.map(str::to_owned).into_iter().chain([content.to_string_lossy().into_owned()]);
    CommandLine::Argv(words.chain(by_root(privileges, &["site-write", target]).argv()).collect())
}

/// Asks root to remove a site file.
pub fn remove_site(privileges: Privileges, target: &str) -> CommandLine {
    by_root(privileges, &["site-remove", target])
}

/// Has root take over what this user has written among nginx's files, by root.
pub fn adopt_sites() -> CommandLine {
    by_root(Privileges::Direct, &["sites-adopt"])
}

/// The same, and of what links into these directories lead to.
pub fn adopt_links(trees: &BTreeSet<PathBuf>) -> CommandLine {
    let trees = trees.iter().map(|tree| tree.to_string_lossy().into_owned());
    CommandLine::Argv(adopt_sites().argv().into_iter().chain(trees).collect())
}

/// A verb of the helper's: by its socket, by sudo, or at once by root.
fn by_root(privileges: Privileges, verb: &[&str]) -> CommandLine {
    let way = match privileges {
        Privileges::Helper => vec![HELPER, "ask"],
        Privileges::Sudo => [&sudo::WAY[..], &[HELPER]].concat(),
        Privileges::Direct => vec![HELPER],
    };
    CommandLine::Argv(way.iter().chain(verb).map(|word| (*word).to_owned()).collect())
}

/// Tests what is live. As whoever nginx's master runs as: it opens keys and logs.
pub fn test(nginx: &Nginx, privileges: Privileges) -> CommandLine {
    if root_writes(nginx, privileges) {
        return by_root(privileges, &["nginx-test"]);
    }
    let mut words = program(nginx, &["-t"]);
    words.extend(configuration(nginx));
    privileged(privileges, words, vec!["nginx-test".into()])
}

/// The same, asked for by root: in the unit that has walls for it.
pub fn test_by_root() -> CommandLine {
    by_root(Privileges::Direct, &["nginx-test"])
}

/// The same, by root, before anything is configured: without walls where there is no such unit.
pub fn test_host() -> CommandLine {
    const SOCKET: &str = "/run/durhack-deployer-nginx-test.sock";
    match Path::new(SOCKET).exists() {
        true => test_by_root(),
        false => CommandLine::Argv(["nginx", "-t"].map(str::to_owned).to_vec()),
    }
}

/// Tests a staged configuration, as ourselves, and has nginx say which files it has read.
pub fn test_staged(nginx: &Nginx, staged: &Path) -> CommandLine {
    let mut words = program(nginx, &["-T"]);
    words.extend(["-c".to_owned(), staged.to_string_lossy().into_owned()]);
    CommandLine::Argv(words)
}

/// The same for a plan, without what is only known when it is carried out.
pub fn staged_in_short(nginx: &Nginx) -> String {
    CommandLine::Argv(vec![nginx.program.to_string_lossy().into_owned(), "-T".into()]).shown()
}

/// Has nginx read its configuration again.
pub fn reload(nginx: &Nginx, privileges: Privileges) -> CommandLine {
    if root_writes(nginx, privileges) {
        return by_root(privileges, &["nginx-reload"]);
    }
    let words = match nginx.reload {
        NginxReload::Systemctl => ["systemctl", "reload", "nginx"].map(str::to_owned).to_vec(),
        NginxReload::Signal => {
            let mut words = program(nginx, &["-s", "reload"]);
            words.extend(configuration(nginx));
            words
        }
    };
    privileged(privileges, words, vec!["nginx-reload".into()])
}

fn program(nginx: &Nginx, options: &[&str]) -> Vec<String> {
    let mut words = vec![nginx.program.to_string_lossy().into_owned()];
    words.extend(options.iter().map(|option| (*option).to_owned()));
    if let Some(prefix) = &nginx.prefix {
        words.extend(["-p".to_owned(), prefix.to_string_lossy().into_owned()]);
    }
    words
}

/// Said only where it is not what nginx does by itself, so that a sudo rule can be short and exact.
fn configuration(nginx: &Nginx) -> Vec<String> {
    match nginx.configuration == Path::new(CONFIGURATION) {
        true => Vec::new(),
        false => vec!["-c".to_owned(), nginx.configuration.to_string_lossy().into_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_root_is_short_and_constant() {
        let usual = Nginx {
            program: "/usr/sbin/nginx".into(),
            directory: "/etc/nginx".into(),
            configuration: "/etc/nginx/nginx.conf".into(),
            prefix: None,
            log_directory: "/var/log/nginx".into(),
            reload: NginxReload::Systemctl,
        };
        assert_eq!(test(&usual, Privileges::Sudo).shown(), format!("sudo -n {HELPER} nginx-test"));
        assert_eq!(reload(&usual, Privileges::Sudo).shown(), format!("sudo -n {HELPER} nginx-reload"));
        assert_eq!(test(&usual, Privileges::Direct).shown(), "/usr/sbin/nginx -t");
        assert_eq!(
            remove_site(Privileges::Helper, "conf.d/a").shown(),
            format!("{HELPER} ask site-remove conf.d/a")
        );
        let written = write_site(Privileges::Sudo, "conf.d/a", Path::new("/s/content")).argv();
        assert_eq!(written[4..], ["/s/content", "sudo", "-n", HELPER, "site-write", "conf.d/a"]);
        assert_eq!(test(&usual, Privileges::Helper).shown(), format!("{HELPER} ask nginx-test"));
        assert_eq!(reload(&usual, Privileges::Helper).shown(), format!("{HELPER} ask nginx-reload"));
        assert_eq!(
            test_staged(&usual, Path::new("/s/nginx.conf")).shown(),
            "/usr/sbin/nginx -T -c /s/nginx.conf"
        );
        let own = Nginx {
            prefix: Some("/p".into()),
            configuration: "/p/c".into(),
            reload: NginxReload::Signal,
            ..usual
        };
        assert_eq!(test(&own, Privileges::Direct).shown(), "/usr/sbin/nginx -t -p /p -c /p/c");
        assert_eq!(reload(&own, Privileges::Direct).shown(), "/usr/sbin/nginx -s reload -p /p -c /p/c");
    }
}
