//! What can be asked for. Words from outside become a [`Request`] here, or nothing happens. Pure.

use std::fmt;
use std::path::{Component, Path, PathBuf};

/// Names in one certificate, at most: the limit of Let's Encrypt.
const NAMES_MAX: usize = 100;

/// A thing that root does for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Is what lies in nginx's directories a configuration?
    NginxTest,
    /// That, and if so nginx reads it.
    NginxReload,
    /// A certificate for these names, called like the first.
    Certificate {
        /// At least one; the first names the certificate.
        names: Vec<DomainName>,
        /// Also where the one that is there would do by certbot's own judgement.
        renew: bool,
    },
    /// Something is done to a unit.
    Unit(UnitVerb, UnitName),
    /// What a unit has said last.
    UnitJournal(UnitName),
    /// A file of nginx's, as it shall be.
    SiteWrite {
        /// Relative to nginx's directory.
        target: String,
        /// What shall be in it.
        text: String,
    },
    /// A file of nginx's goes.
    SiteRemove(String),
    /// What the deployer's user has written among nginx's files becomes root's; likewise what links into one of these directories lead to. By
    /// root alone.
    SitesAdopt(Vec<PathBuf>),
}

/// What is done to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitVerb {
    /// Stop it and start it again; a unit that does not run is started.
    Restart,
    /// Read its configuration again; a restart where it cannot, or does not run.
    Reload,
    /// Start it; one that runs is left alone.
    Start,
    /// Stop it, and wait until it has ended.
    Stop,
    /// Forget that it failed, so that its start limit does not count any more.
    ResetFailed,
}

/// Why words are no request, or one that may not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Request {
    /// A verb and its arguments.
    pub fn parse(words: &[String]) -> Result<Self, Refusal> {
        let Some((verb, arguments)) = words.split_first() else {
            return Err(Refusal("no verb was given".into()));
        };
        let unit = |verb| match arguments {
            [unit] => Ok(Self::Unit(verb, UnitName::parse(unit)?)),
            _ => Err(Refusal(format!("{} takes the name of one unit", words[0]))),
        };
        match verb.as_str() {
            "nginx-test" => without(verb, arguments, Self::NginxTest),
            "nginx-reload" => without(verb, arguments, Self::NginxReload),
            "certificate" | "certificate-renew" => {
                if arguments.is_empty() || arguments.len() > NAMES_MAX {
                    return Err(Refusal(format!("{verb} takes 1 to {NAMES_MAX} names")));
                }
                let names = arguments.iter().map(|name| DomainName::parse(name)).collect::<Result<_, _>>()?;
                Ok(Self::Certificate { names, renew: verb == "certificate-renew" })
            }
            "unit-restart" => unit(UnitVerb::Restart),
            "unit-reload" => unit(UnitVerb::Reload),
            "unit-start" => unit(UnitVerb::Start),
            "unit-stop" => unit(UnitVerb::Stop),
            "unit-reset-failed" => unit(UnitVerb::ResetFailed),
            "unit-journal" => match arguments {
                [unit] => Ok(Self::UnitJournal(UnitName::parse(unit)?)),
                _ => Err(Refusal(format!("{verb} takes the name of one unit"))),
            },
            "site-write" => match arguments {
                [target, text] => Ok(Self::SiteWrite { target: site(target)?, text: text.clone() }),
                _ => Err(Refusal("site-write takes a file's name, and what is in it".into())),
            },
            "site-remove" => match arguments {
                [target] => Ok(Self::SiteRemove(site(target)?)),
                _ => Err(Refusal("site-remove takes a file's name".into())),
            },
            "sites-adopt" => {
                Ok(Self::SitesAdopt(arguments.iter().map(|path| tree(path)).collect::<Result<_, _>>()?))
            }
            _ => Err(Refusal(format!("{verb:?} is not a verb of durhack-deployer-privileged"))),
        }
    }
}

/// A name that a site file may have.
fn site(target: &str) -> Result<String, Refusal> {
    nginx_policy::judge_name(target).map(|()| target.to_owned()).map_err(Refusal)
}

/// A directory that nginx's links may lead into: a plain way to it, and not all of the host.
fn tree(path: &str) -> Result<PathBuf, Refusal> {
    let is_plain = |path: &Path| {
        let mut parts = path.components();
        parts.next() == Some(Component::RootDir)
            && parts.clone().count() >= 2
            && parts.all(|part| matches!(part, Component::Normal(_)))
    };
    Some(PathBuf::from(path))
        .filter(|path| is_plain(path))
        .ok_or_else(|| Refusal(format!("{path:?} is no path of a deployment")))
}

fn without(verb: &str, arguments: &[String], request: Request) -> Result<Request, Refusal> {
    match arguments {
        [] => Ok(request),
        _ => Err(Refusal(format!("{verb} takes no arguments"))),
    }
}

/// A host name for which a certificate can be asked: at least two labels, no wildcard, no address, no option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainName(String);

impl DomainName {
    /// Refuses what no certificate authority would certify, before certbot could take it for an option.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        let last = text.rsplit('.').next().unwrap_or_default();
        let is_name = text.len() <= 253
            && text.contains('.')
            && text.split('.').all(is_label)
            && last.bytes().any(|byte| !byte.is_ascii_digit());
        is_name
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| Refusal(format!("{text:?} is not a public host name")))
    }
}

/// A systemd unit with its type, such as `site.service`: no option, no pattern, no path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitName(String);

impl UnitName {
    /// Refuses what systemctl could take for an option, a path or a pattern.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let is_name = (1..=255).contains(&text.len())
            && !text.starts_with(['-', '.'])
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@:".contains(&byte));
        is_name
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| Refusal(format!("{text:?} is not the name of a unit")))
    }

    /// As systemd has it: `site` is `site.service`.
    pub fn in_full(&self) -> String {
        const TYPES: [&str; 7] = ["service", "socket", "target", "timer", "path", "mount", "slice"];
        match self.0.rsplit_once('.') {
            Some((_, kind)) if TYPES.contains(&kind) => self.0.clone(),
            _ => format!("{}.service", self.0),
        }
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl UnitVerb {
    /// The word for `systemctl`.
    pub fn of_systemctl(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Reload => "reload-or-restart",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::ResetFailed => "reset-failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Request, Refusal> {
        Request::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn verbs_take_what_they_take() {
        assert_eq!(parse(&["nginx-test"]), Ok(Request::NginxTest));
        assert_eq!(parse(&["nginx-reload"]), Ok(Request::NginxReload));
        for (verb, expected) in [
            ("unit-restart", "restart"),
            ("unit-reload", "reload-or-restart"),
            ("unit-start", "start"),
            ("unit-stop", "stop"),
            ("unit-reset-failed", "reset-failed"),
        ] {
            let Ok(Request::Unit(verb, unit)) = parse(&[verb, "site"]) else { panic!("{verb}") };
            assert_eq!((verb.of_systemctl(), unit.in_full().as_str()), (expected, "site.service"));
        }
        let text = "server {}".to_owned();
        let written = Request::SiteWrite { target: "conf.d/[a.org].conf".into(), text };
        assert_eq!(parse(&["site-write", "conf.d/[a.org].conf", "server {}"]), Ok(written));
        assert_eq!(parse(&["site-remove", "snippets/x"]), Ok(Request::SiteRemove("snippets/x".into())));
        let Ok(Request::Certificate { names, renew }) = parse(&["certificate-renew", "a.org", "xn--b.a.org"])
        else {
            panic!()
        };
        assert_eq!((names.len(), renew), (2, true));
        for unit in ["a.socket", "a@1.service", "pm2-www.service"] {
            assert_eq!(UnitName::parse(unit).unwrap().in_full(), unit);
        }
    }

    #[test]
    fn anything_else_is_no_request() {
        let long = format!("{}.org", "a".repeat(250));
        let many = vec!["a.org"; NAMES_MAX + 1];
        for words in [
            &[][..],
            &[""],
            &["NGINX-TEST"],
            &["nginx-test", "-c"],
            &["nginx-reload", ""],
            &["nginx-test\0"],
            &["site-install", "x"],
            &["site-write", "conf.d/x"],
            &["site-write", "../x", ""],
            &["site-write", "/etc/cron.d/x", ""],
            &["site-write", "nginx.conf", ""],
            &["site-write", "conf.d/../nginx.conf", ""],
            &["site-write", "conf.d/x", "", ""],
            &["site-remove", "nginx.conf"],
            &["site-remove", "conf.d"],
            &["site-remove"],
            &["sites-adopt", "x"],
            &["sites-adopt", "/"],
            &["sites-adopt", "/srv"],
            &["sites-adopt", "/srv/../etc"],
            &["sites-adopt", "/srv/site", ""],
            &["sh"],
            &["certificate"],
            &["certificate", "--pre-hook"],
            &["certificate", "a.org", "--pre-hook", "id"],
            &["certificate", "a.org --pre-hook id"],
            &["certificate", "*.a.org"],
            &["certificate", "localhost"],
            &["certificate", "10.0.0.1"],
            &["certificate", "a..org"],
            &["certificate", "A.org"],
            &["certificate", "a.org\n"],
            &["certificate", "a.org,b.org"],
            &["certificate", "../a.org"],
            &["certificate", "caf\u{e9}.org"],
            &["certificate", &long],
            &[&["certificate"], many.as_slice()].concat(),
            &["unit-restart"],
            &["unit-restart", ""],
            &["unit-restart", "a.service", "b.service"],
            &["unit-restart", "a.service; reboot"],
            &["unit-restart", "a*.service"],
            &["unit-restart", "-p"],
            &["unit-restart", "--now"],
            &["unit-restart", "../a.service"],
            &["unit-restart", "/etc/systemd/system/a.service"],
            &["unit-restart", "a\u{0}.service"],
            &["unit-mask", "a.service"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
