//! What the host's administrator allows: `/etc/durhack-deployer/privileged.toml`. Root's file, or it does not count.

use crate::request::{DomainName, Refusal, Request, UnitName};
use nginx_policy::Bounds;
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the list lies. Not configurable: whoever could name another would write it, too.
pub const PATH: &str = "/etc/durhack-deployer/privileged.toml";

/// Whom the system knows. Users who are only in a directory service cannot be named.
const USERS: &str = "/etc/passwd";

/// Of either file: some hundred times what real ones have.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where certbot keeps what it has obtained; site files may name keys below it.
pub const CERTIFICATES: &str = "/etc/letsencrypt";

/// Where certbot writes what the CA asks for, if root names no other directory. Its unit makes it (`StateDirectory=`), and site files may serve it.
pub const WEBROOT: &str = "/var/lib/letsencrypt/webroot";

/// Where certbot puts what the CA asks for, below the webroot.
const CHALLENGES: [&str; 3] = ["", ".well-known", ".well-known/acme-challenge"];

/// What `privileged.toml` says. A key that is not known is an error: a mistyped limit must not become none.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowList {
    /// The name of the only user who may ask.
    user: String,
    /// Units that may be restarted, reloaded, started and stopped, and whose journal may be read.
    #[serde(default)]
    units: Vec<String>,
    /// Names that may be in certificates.
    #[serde(default)]
    domains: Vec<String>,
    /// What site files may say beside the closed list: names of directives, and directories that may be served.
    #[serde(default)]
    sites_allow: Vec<String>,
    /// Where site files may have nginx write logs.
    #[serde(default = "usual_logs")]
    log_directory: PathBuf,
    /// Files and directories that nginx reads although others than root can change them.
    #[serde(default)]
    pub nginx_foreign: Vec<PathBuf>,
    /// How certificates are obtained.
    #[serde(default)]
    pub certbot: Certbot,
}

/// What root's certbot is told: the table `[certbot]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certbot {
    /// For a new account.
    pub email: Option<String>,
    /// The CA's directory; None: certbot's own choice.
    pub server: Option<String>,
    /// What the CA asks for is written below it; None: below [`WEBROOT`].
    pub webroot: Option<PathBuf>,
}

impl Certbot {
    /// The directory that every site must serve at `/.well-known/acme-challenge/`.
    pub fn webroot(&self) -> &Path {
        self.webroot.as_deref().unwrap_or(Path::new(WEBROOT))
    }
}

impl AllowList {
    /// Reads it, if it is root's.
    pub fn load() -> Result<Self, Refusal> {
        let path = Path::new(PATH);
        check_directories(path.parent().unwrap_or(path))?;
        let list: Self = toml::from_str(&read(path)?).map_err(|error| {
            Refusal(format!(
                "{PATH} cannot be understood: {}",
                error.to_string().trim_end().replace('\n', " ")
            ))
        })?;
        list.check().map_err(|why| Refusal(format!("{PATH}: {why}")))?;
        Ok(list)
    }

    /// What root has written is checked too: an option of certbot's is soon pasted into the wrong place.
    fn check(&self) -> Result<(), Refusal> {
        self.units.iter().try_for_each(|unit| UnitName::parse(unit).map(drop))?;
        self.domains.iter().try_for_each(|name| DomainName::parse(name).map(drop))?;
        let plain = |text: &str| !text.starts_with('-') && text.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(email) = self.certbot.email.as_ref().filter(|email| !plain(email) || !email.contains('@'))
        {
            return Err(Refusal(format!("{email:?} is not an e-mail address")));
        }
        if let Some(server) =
            self.certbot.server.as_ref().filter(|url| !plain(url) || !url.starts_with("https://"))
        {
            return Err(Refusal(format!("{server:?} is not the https:// address of a CA's directory")));
        }
        let paths = self.certbot.webroot.iter().chain([&self.log_directory]).chain(&self.nginx_foreign);
        match paths.into_iter().find(|path| !path.is_absolute()) {
            Some(path) => Err(Refusal(format!("{path:?} is not an absolute path"))),
            None => Ok(()),
        }
    }

    /// Whether this is the user who may ask.
    pub fn admit(&self, uid: u32) -> Result<(), Refusal> {
        if self.uid()? == uid {
            return Ok(());
        }
        Err(Refusal(format!("only user {:?} may ask, by {PATH}; this was user id {uid}", self.user)))
    }

    /// The id of the only user who may ask.
    pub fn uid(&self) -> Result<u32, Refusal> {
        uid_of(&read(Path::new(USERS))?, &self.user)
            .ok_or_else(|| Refusal(format!("{PATH} names user {:?}, who is not in {USERS}", self.user)))
    }

    /// Where site files may lead nginx.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            directory: crate::sites::NGINX.into(),
            certificates: CERTIFICATES.into(),
            logs: self.log_directory.clone(),
            allowed: self.sites_allow.clone(),
        }
    }

    /// Whether this may be asked for.
    pub fn permit(&self, request: &Request) -> Result<(), Refusal> {
        let add = |name: &str, key: &str| {
            Refusal(format!("{name:?} is not in `{key}` of {PATH}; root can add it there"))
        };
        match request {
            Request::NginxTest | Request::NginxReload => Ok(()),
            // What is in them is judged where they are written.
            Request::SiteWrite { .. } | Request::SiteRemove(_) | Request::SitesAdopt(_) => Ok(()),
            Request::Unit(_, unit) | Request::UnitJournal(unit) => {
                let full = unit.in_full();
                let listed =
                    |text: &String| UnitName::parse(text).is_ok_and(|listed| listed.in_full() == full);
                if self.units.iter().any(listed) { Ok(()) } else { Err(add(&full, "units")) }
            }
            Request::Certificate { names, .. } => {
                let names = names.iter().map(ToString::to_string);
                if let Some(name) = names.into_iter().find(|name| !self.domains.contains(name)) {
                    return Err(add(&name, "domains"));
                }
                check_webroot(self.certbot.webroot())
            }
        }
    }
}

/// certbot writes there as root, and follows links: nobody else may have put any.
fn check_webroot(webroot: &Path) -> Result<(), Refusal> {
    for directory in CHALLENGES.map(|below| webroot.join(below)) {
        match directory.symlink_metadata() {
            // certbot's unit makes the one that is not root's choice.
            Err(error)
                if error.kind() == std::io::ErrorKind::NotFound
                    && (directory != webroot || webroot == Path::new(WEBROOT)) => {}
            _ => check_directories(&directory)?,
        }
    }
    Ok(())
}

/// A directory, and all above it, are such as only root can change.
pub fn check_directories(directory: &Path) -> Result<(), Refusal> {
    directory.ancestors().filter(|path| !path.as_os_str().is_empty()).try_for_each(|path| {
        let found = path
            .symlink_metadata()
            .map_err(|error| Refusal(format!("cannot read {}: {error}", path.display())))?;
        if !found.is_dir() {
            return Err(Refusal(format!("{} is not a directory", path.display())));
        }
        check_owner(path, &found)
    })
}

/// An access list shows in the group's bits.
pub fn check_owner(path: &Path, found: &Metadata) -> Result<(), Refusal> {
    if found.uid() == 0 && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(Refusal(format!(
        "{path} can be changed by others than root: chown root {path} and chmod go-w {path}"
    )))
}

/// A plain file of root's, as text.
pub fn read(path: &Path) -> Result<String, Refusal> {
    let cannot = |error: &dyn std::fmt::Display| Refusal(format!("cannot read {}: {error}", path.display()));
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|error| cannot(&error))?);
    let found = file.metadata().map_err(|error| cannot(&error))?;
    if !found.is_file() {
        return Err(cannot(&"it is not a plain file"));
    }
    check_owner(path, &found)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| cannot(&error))?;
    // The beginning of one is not what it says.
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(cannot(&format_args!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn usual_logs() -> PathBuf {
    "/var/log/nginx".into()
}

fn uid_of(passwd: &str, user: &str) -> Option<u32> {
    let mut lines = passwd.lines().map(|line| line.split(':'));
    let mut found = lines.find_map(|mut fields| (fields.next() == Some(user)).then_some(fields))?;
    found.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<AllowList, String> {
        let list: AllowList = toml::from_str(text).map_err(|error| error.to_string())?;
        list.check().map_err(|refusal| refusal.to_string())?;
        Ok(list)
    }

    #[test]
    fn only_what_is_listed_is_permitted() {
        let list = list("user = 'd'\nunits = ['a.service', 'b']\ndomains = ['a.org']").unwrap();
        for (words, permitted) in [
            (&["nginx-reload"][..], true),
            (&["unit-restart", "a.service"], true),
            (&["unit-restart", "a"], true),
            (&["unit-restart", "b.service"], true),
            (&["unit-restart", "a.socket"], false),
            (&["unit-stop", "ssh.service"], false),
            (&["unit-journal", "a"], true),
            (&["unit-journal", "ssh.service"], false),
            (&["certificate", "a.org"], true),
            (&["certificate", "a.org", "www.a.org"], false),
            (&["certificate", "a.org.evil.org"], false),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let answer = list.permit(&Request::parse(&words).unwrap());
            assert_eq!(answer.is_ok(), permitted, "{words:?}");
            assert!(permitted || answer.unwrap_err().0.contains(PATH));
        }
    }

    #[test]
    fn a_list_that_is_not_one_is_refused() {
        for text in [
            "",
            "user = 1",
            "user = 'd'\nunit = ['a']",
            "user = 'd'\nunits = ['*']",
            "user = 'd'\ndomains = ['*.a.org']",
            "user = 'd'\n[certbot]\nemail = '--pre-hook=id@x.y'",
            "user = 'd'\n[certbot]\nserver = 'http://a.org'",
            "user = 'd'\n[certbot]\nwebroot = 'x'",
            "user = 'd'\n[certbot]\npre_hook = 'id'",
        ] {
            assert!(list(text).is_err(), "{text}");
        }
    }

    #[test]
    fn users_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\ndeploy:x:990:990::/:/bin/sh\nbroken\ndep::y:::\n";
        for (user, uid) in [("deploy", Some(990)), ("dep", None), ("broken", None), ("x", None), ("", None)] {
            assert_eq!(uid_of(passwd, user), uid, "{user}");
        }
    }
}
