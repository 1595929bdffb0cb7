//! `nginx`, as we call it.

use super::privileged;
use crate::config::{CommandLine, Nginx, NginxReload, Privileges};
use std::path::Path;

/// Tests what is live. As whoever nginx's master runs as: it opens keys and logs.
pub fn test(nginx: &Nginx, privileges: Privileges) -> CommandLine {
    let mut words = program(nginx, &["-t"]);
    words.extend(configuration(nginx));
    privileged(privileges, words, vec!["nginx-test".into()])
}

/// The same for the host's own nginx, by root, before anything is configured.
pub fn test_host() -> CommandLine {
    CommandLine::Argv(["nginx", "-t"].map(str::to_owned).to_vec())
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
    const USUAL: &str = "/etc/nginx/nginx.conf";
    match nginx.configuration == Path::new(USUAL) {
        true => Vec::new(),
        false => vec!["-c".to_owned(), nginx.configuration.to_string_lossy().into_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::super::HELPER;
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
        assert_eq!(test(&usual, Privileges::Sudo).shown(), "sudo -n /usr/sbin/nginx -t");
        assert_eq!(reload(&usual, Privileges::Sudo).shown(), "sudo -n systemctl reload nginx");
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
